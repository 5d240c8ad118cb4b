// The long texts of --help.
#pragma once

namespace rondo::program {

inline constexpr const char* kSummary =
    R"(Move messages between processes on this machine, through shared memory.

  ls | rondo send shm:names           in one terminal
  rondo recv shm:names | grep txt     in another; either may start first
)";

inline constexpr const char* kMainFooter = R"(Addresses (URL):
  shm:NAME                named shared memory: the fastest
  shm+guarded:PATH        the same, where the receiver can't write to the ring
  file:PATH               a file mapped into memory by both sides
  fifo:PATH               a named pipe
  unix:PATH               a UNIX stream socket
  fd:N                    a descriptor that was inherited, such as a pipe's end
Options follow a question mark (quote it for the shell):
  'shm:NAME?capacity=16MiB'    size of the ring; the largest message is about half of it
  'shm:NAME?wait=spin'         spin, pause, yield, adaptive or park while waiting
  'shm:NAME?start=fresh'       throw away what an earlier sender left there
  'shm:NAME?readers=64'        up to 64 receivers at once, each of which gets every message
  'shm:NAME?kind=mpmc&slots=4096&slot_size=256'
                               many senders and many receivers share the channel; each message,
                               up to slot_size bytes, goes to one of the receivers
  'shm:NAME?kind=frames&frames=8&frame_size=12MiB&readers=4'
                               large frames to each receiver, who may hold one; the sender waits
                               for nobody, and who is late is told how many frames it lost

Exit codes:
  0  done: the stream ended in order        5  the other side was killed, or left early
  2  an option or URL that can't be meant   6  the channel holds corrupt data
  3  the channel can't be opened            7  reading input or writing output failed
  4  nobody came within --wait              128+N  ended by signal N, as shells say it
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
  rondo recv --linger shm:log >> all.log     # goes on when the sender is killed and restarted
  rondo recv --policy lossy --from newest shm:ticks  # never holds the others up
  rondo recv --senders 3 'shm:files?kind=mpmc&slots=1024' > mine  # several may share the work

Receivers that share a channel (kind=mpmc) write each message out before they give it back. If one
is killed, another gets the message it held, and says that it may have been written twice.
)";

}  // namespace rondo::program
