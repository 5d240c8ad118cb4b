// The long texts of --help.
#pragma once

namespace rondo::program {

inline constexpr const char* kSummary =
    R"(Move messages between processes on this machine, through shared memory.

  ls | rondo send shm:names           in one terminal
  rondo recv shm:names | grep txt     in another; either may start first
)";

// Behind what url_help() says of addresses and their options.
inline constexpr const char* kMainFooter = R"(`rondo help options` says all of them at length.

Exit codes:
  0  done: the stream ended in order        5  the other side was killed, or left early
  2  an option or URL that can't be meant   6  the channel holds corrupt data
  3  the channel can't be opened            7  reading input or writing output failed
  4  no peer came within --wait             8  a service refused what was asked
                                            128+N  ended by signal N, as shells say it
)";

inline constexpr const char* kSendFooter = R"(Formats:
  lines    each line is a message, without its newline
  records  each message follows its length, a little-endian 32-bit number
  blocks   raw bytes: the fastest; use it for files, and for what is not text

The sender makes the channel and waits for a receiver. At the end of its input, or at the first
Ctrl-C, it closes the stream; the receiver takes what is left and ends too. If the sender is
killed instead, the receiver gets all that was sent, and says that the sender has vanished.

Examples:
  ls | rondo send shm:names
  rondo send --format blocks --progress 'shm:big?capacity=16MiB' < archive.tar
  ffmpeg ... -f rawvideo - | rondo send -f blocks -b 3110400 'shm:video?capacity=32MiB'
  ffmpeg ... -f rawvideo - | rondo send -f blocks -b 3110400 --receivers 1 \
    'shm:video?kind=frames&frame_size=3110400'  # to viewers who get what they can keep up with
  date | rondo send --keep shm:note          # left for whoever asks later
  ticker | rondo send --receivers 2 shm:ticks  # to everybody, once two are there
  find . | rondo send 'shm:files?kind=mpmc'  # several of these, and several receivers, may run
)";

inline constexpr const char* kRecvFooter = R"(Formats:
  lines    each message is written with a newline behind it
  records  each message is written behind its length, a little-endian 32-bit number
  blocks   messages are written as they are

Output is written in large pieces while messages flow, and at once when they pause.

Examples:
  rondo recv shm:names | grep txt
  rondo recv --format blocks shm:big > archive.tar
  rondo recv --count 1 --wait 5 shm:note
  rondo recv --await-successor shm:log >> all.log  # goes on with a restarted sender
  rondo recv --policy lossy --from newest shm:ticks  # never holds the others up
  rondo recv --senders 3 'shm:files?kind=mpmc&slots=1024' > mine  # several may share the work

Receivers that share a channel (kind=mpmc) write each message out before they give it back. If one
is killed, another gets the message it held, and says that it may have been written twice.
)";

inline constexpr const char* kBridgeFooter =
    R"(Each message is passed on as it is. One that was taken is given back to its channel only when
the other end has it, so a bridge that is killed loses nothing that lies in a ring; some messages
may come twice then. The end of the stream is passed on, too: that of one that ended in order as
such, else the exit code is 5, and who receives is told that more should have come.

With --restart the bridge outlives those at both ends: when one is lost it says so, waits for the
next one (SECONDS each time, with --wait) and goes on. What a byte stream had on its way when its
reader was lost is lost. A descriptor or pipe has no next one.

With --duplex both addresses are connections, and messages go both ways, the ends of the streams
each for itself. It connects, to a program that listens; or waits for one that connects, with
listen=1. fd:IN,OUT is two descriptors. --count counts both ways together. --restart goes for as
long as neither way has ended.

Examples:
  rondo bridge 'unix:/run/in?framing=lines' 'shm:log?readers=8'
  rondo bridge --restart shm:ticks 'fifo:/run/ticks?framing=lines'
  rondo bridge --progress shm:video file:/mnt/spool
  rondo bridge --duplex 'unix:/run/here?listen=1' tcp://there:7000
)";

inline constexpr const char* kCallFooter =
    R"(Each request is answered before the next one is asked. A request that the service refuses is
reported, and the exit code is then 8; the others are asked all the same.

Examples:
  rondo serve shm:upper 'tr a-z A-Z'           in one terminal
  echo hello | rondo call shm:upper            in another
  rondo call --format blocks --wait 5 shm:thumbnails < photo.jpg > small.jpg
)";

inline constexpr const char* kServeFooter =
    R"(COMMAND reads the request and writes the reply. If it ends with another code than 0, the
caller is told so; if its caller waits no longer, cancels the request or is gone, it is
killed. One request is answered at a time, of one caller; when that has gone the next one
may come. Ends by Ctrl-C.

Examples:
  rondo serve shm:upper 'tr a-z A-Z'
  rondo serve unix:/run/thumbnails 'convert - -resize 200x200 jpeg:-'
)";

inline constexpr const char* kTransportsFooter = R"(The columns:
  zero-copy      messages are written and read where they lie, in memory that both sides have
  boundaries     the mechanism itself keeps messages apart; else a framing does
  lossy          a receiver that is late is told how many it lost; else the sender waits
  priorities     some messages may overtake others
  senders        there may be many; receivers: the same
  processes      not only between threads of one process; hosts: not only on one machine
  death          a peer that was killed is told from one that has left
  descriptor     fd() is of the mechanism itself
  authenticated  which users may be at the other end is decided by the system and the options
  encrypted      who reads along learns nothing
)";

inline constexpr const char* kBenchFooter =
    R"(Two processes on two cores send each other messages of 64 B, 1 KiB and 64 KiB, through
each channel that Rondo has between processes, and through what the kernel offers.
Every message is written in full, read in full, and checked. The table shows how long
a message takes there and back (half of them, 99 %, 99.9 %, and the longest), and how
many flow in one direction. Each cell is measured in three rounds, with fresh
channels. `no message` is the same clock read again and again: what is seen there, the
machine adds to everything.

Run it on a machine that has nothing else to do. Nothing stays behind, and nothing is sent anywhere.

Examples:
  rondo bench
  rondo bench --seconds 60 --json > here.json
)";

}  // namespace rondo::program
