#include "rondo/core/segment.hpp"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

#include "rondo/core/available_memory.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/segment_header.hpp"
#include "segment_file.hpp"
#include "segment_memory.hpp"
#include "system_v_segment.hpp"

namespace rondo::inline RONDO_ABI {

using detail::FileStatus;
using detail::is_handle;
using detail::kNoHandle;
using detail::system_error;
using detail::UniqueFd;

struct Segment::State {
  SegmentIdentity identity;
  SegmentName name;
  Access access = Access::kReadWrite;
  SegmentReport report;
  UniqueFd fd;
  UniqueFd lock_fd;  // only where there is no fd: of a name, or a memfd
  std::span<std::byte> bytes;
  std::optional<detail::Mapping> mapping;  // none: the memory is the caller's or the heap's
  Callback<void()> release;

  ~State() {
    if (release) release();
  }
};

// Makes segments, one function for each way.
class SegmentBuilder {
 public:
  using State = Segment::State;
  using Built = Result<std::unique_ptr<State>>;

  static Segment wrap(std::unique_ptr<State> state) {
    state->fd.remember();
    state->lock_fd.remember();
    return Segment(std::move(state));
  }

  static std::unique_ptr<State> start(const SegmentName& name, Access access) {
    auto state = std::make_unique<State>();
    state->name = name;
    state->access = access;
    return state;
  }

  // Named: unnamed file, contents, name.
  static Result<Segment> create_file(const SegmentName& name, std::size_t size_bytes,
                                     const SegmentOptions& options, const Segment::Fill& fill) {
    const std::string what = to_string(name);
    const std::string path = detail::path_of(name);
    auto file = detail::NewFile::create(path, what, options);
    if (!file) return file.error();
    if (detail::is_in_memory(file->fd())) {
      if (auto left = detail::check_available_memory(size_bytes, what); !left) return left.error();
    }
    auto state = start(name, Access::kReadWrite);
    state->identity.path = path;
    if (auto filled = fill_file(*state, file->fd(), size_bytes, options, fill); !filled) {
      return filled.error();
    }
    auto fd = std::move(*file).publish();
    if (!fd) return fd.error();
    state->fd = std::move(*fd);
    return wrap(std::move(state));
  }

  // As system_v_segment.hpp says.
  static Result<Segment> create_system_v(const SegmentName& name, std::size_t size_bytes,
                                         const SegmentOptions& options, const Segment::Fill& fill) {
    const std::string what = to_string(name);
    const std::string path = detail::path_of(name);
    if ((options.mode & 0777u) == detail::kUnfinished) {
      return Error{ErrorCode::kInvalidOption,
                   what +
                       " can't have mode=0611, by which one is known that is being made; say "
                       "another one, such as mode=0600"};
    }
    // First, as it costs little: bringing in the pages costs much.
    if (auto way = detail::make_way(path, what, options.mode); !way) return way.error();
    auto file = detail::NewFile::create(path, what, options);
    if (!file) return file.error();
    FileStatus status;
    if (const int error = detail::status_of(file->fd(), status); error != 0) {
      return system_error(error, "can't look at the file of " + what);
    }
    if (auto left = detail::check_available_memory(size_bytes, what); !left) return left.error();
    auto memory = detail::NewSystemV::make(name.name, what, size_bytes);
    if (!memory) return memory.error();
    auto state = start(name, Access::kReadWrite);
    state->mapping.emplace(memory->take_mapping());
    note_system_v(*state, path, status, memory->note(), size_bytes);
    if (auto filled = fill_mapping(*state, kNoHandle, options, fill); !filled) {
      return filled.error();
    }
    if (const int error = detail::write_note(file->fd(), memory->note()); error != 0) {
      return system_error(error, "can't write the file of " + what);
    }
    auto fd = std::move(*file).publish();
    if (!fd && fd.error().code == ErrorCode::kAlreadyExists) {
      // Who has the key has the name: what stands there was left since.
      if (auto way = detail::make_way(path, what, options.mode); !way) return way.error();
      fd = std::move(*file).publish();
    }
    if (!fd) return fd.error();
    state->lock_fd = std::move(*fd);
    // Also of one that was removed since (ipcrm), as we have it attached: who joins it sees that.
    const int error = detail::set_access_of_system_v(memory->note().id, status.group, options.mode);
    if (error != 0) {
      static_cast<void>(remove_if_at_its_name(state->identity));
      return system_error(error, "can't set the permissions of " + what);
    }
    memory->keep();
    return wrap(std::move(state));
  }

  static Result<Segment> create_memfd(const SegmentName& name, std::size_t size_bytes,
                                      const SegmentOptions& options, const Segment::Fill& fill) {
    if (options.huge_pages == HugePages::kNo) {
      return create_memfd_of(name, size_bytes, options, fill, false);
    }
    auto huge = create_memfd_of(name, size_bytes, options, fill, true);
    if (huge || options.huge_pages == HugePages::kRequire) return huge;
    auto small = create_memfd_of(name, size_bytes, options, fill, false);
    if (small) small->state_->report.notes.push_back(huge.error().message);
    return small;
  }

  static Result<Segment> create_anonymous(const SegmentName& name, std::size_t size_bytes,
                                          const SegmentOptions& options,
                                          const Segment::Fill& fill) {
    const std::string what = to_string(name);
    if (auto left = detail::check_available_memory(size_bytes, what); !left) return left.error();
    auto state = start(name, Access::kReadWrite);
    auto lock_fd = detail::make_memfd("the lock file of " + what, options.mode, false);
    if (!lock_fd) return lock_fd.error();
    state->lock_fd = std::move(*lock_fd);
    if (auto filled = fill_file(*state, kNoHandle, size_bytes, options, fill); !filled) {
      return filled.error();
    }
    return wrap(std::move(state));
  }

  static Result<Segment> create_heap(const SegmentName& name, std::size_t size_bytes,
                                     const Segment::Fill& fill) {
    if (auto left = detail::check_available_memory(size_bytes, to_string(name)); !left) {
      return left.error();
    }
    // calloc(), as new pages need no clearing; brought in all at once, at half of the cost.
    void* const taken = std::calloc(1, size_bytes + kPartAlignment);
    if (taken == nullptr) {
      return Error{ErrorCode::kNoSpace, "no memory for " + std::to_string(size_bytes) + " bytes"};
    }
    const auto address = reinterpret_cast<std::uintptr_t>(taken);
    const std::size_t before = round_up(address, kPartAlignment) - address;
    const std::span<std::byte> bytes(static_cast<std::byte*>(taken) + before, size_bytes);
    detail::bring_in_pages(bytes);
    auto segment = Segment::over(bytes, [taken] { std::free(taken); });
    if (!segment) {
      std::free(taken);
      return segment.error();
    }
    segment->state_->report.prefaulted = true;
    if (auto filled = fill(bytes); !filled) return filled.error();
    return segment;
  }

  // Attaches the System V segment beside a file that was judged.
  static Result<Segment> attach_system_v(std::unique_ptr<State> state, UniqueFd fd,
                                         const SegmentOptions& options) {
    const std::string what = to_string(state->name);
    const bool for_writing = state->access == Access::kReadWrite;
    const auto found =
        detail::find_beside(fd.get(), state->identity.path, what, options.mode, for_writing);
    if (!found) return found.error();
    if (auto sized = check_size(found->size_bytes, what); !sized) return sized.error();
    FileStatus status;
    if (const int error = detail::status_of(fd.get(), status); error != 0) {
      return system_error(error, "can't look at the file of " + what);
    }
    auto mapping = detail::Mapping::attach(found->note.id, found->size_bytes, state->access, what);
    if (!mapping) return mapping.error();
    state->mapping.emplace(std::move(*mapping));
    state->lock_fd = std::move(fd);
    const std::string path = state->identity.path;
    note_system_v(*state, path, status, found->note, found->size_bytes);
    if (auto prepared = detail::prepare(*state->mapping, for_writing, options, state->report, what);
        !prepared) {
      return prepared.error();
    }
    return wrap(std::move(state));
  }

  // Maps a file that exists and was judged.
  static Result<Segment> map_existing(std::unique_ptr<State> state, UniqueFd fd,
                                      const SegmentOptions& options) {
    const std::string what = to_string(state->name);
    FileStatus status;
    if (const int error = detail::status_of(fd.get(), status); error != 0) {
      return system_error(error, "can't look at " + what);
    }
    const std::uint64_t size = status.size_bytes;
    if (auto sized = check_size(size, what); !sized) return sized.error();
    if (options.file_bytes != 0 && size != options.file_bytes) {
      return Error{ErrorCode::kSizeMismatch, what + " has " + std::to_string(size) +
                                                 " bytes; it has to have " +
                                                 std::to_string(options.file_bytes)};
    }
    const bool complete = status.allocated_bytes >= size;
    if (!complete && detail::is_in_memory(fd.get())) {
      return Error{ErrorCode::kTooSmall, what + " has less memory behind it than its " +
                                             std::to_string(size) +
                                             " bytes; remove it and create it anew"};
    }
    auto mapping = detail::Mapping::map(fd.get(), size, state->access, what);
    if (!mapping) return mapping.error();
    state->mapping.emplace(std::move(*mapping));
    state->fd = std::move(fd);
    note_file(*state, status, size);

    // What a file has on disk alone need not be brought in whole: it may be a large hole.
    SegmentOptions wishes = options;
    wishes.prefault = options.prefault && complete;
    const bool for_writing =
        state->access == Access::kReadWrite && state->name.backing != Backing::kFile;
    if (auto prepared = detail::prepare(*state->mapping, for_writing, wishes, state->report, what);
        !prepared) {
      return prepared.error();
    }
    trim_huge_page(*state);
    return wrap(std::move(state));
  }

 private:
  static Result<Segment> create_memfd_of(const SegmentName& name, std::size_t size_bytes,
                                         const SegmentOptions& options, const Segment::Fill& fill,
                                         bool huge) {
    const std::string what = to_string(name);
    if (!huge) {
      if (auto left = detail::check_available_memory(size_bytes, what); !left) return left.error();
    }
    auto fd = detail::make_memfd(what, options.mode, huge);
    if (!fd) return fd.error();
    auto state = start(name, Access::kReadWrite);
    if (auto filled = fill_file(*state, fd->get(), size_bytes, options, fill); !filled) {
      return filled.error();
    }
    const detail::Seals seals{.size = true, .writing = options.sole_writer};
    if (const int error = detail::seal(fd->get(), seals); error != 0) {
      return system_error(error, "can't seal " + what);
    }
    state->fd = std::move(*fd);
    return wrap(std::move(state));
  }

  // Sizes, maps, reserves and fills; the common part of creating. `file`: kNoHandle for
  // anonymous memory.
  static Result<void> fill_file(State& state, NativeHandle file, std::size_t size_bytes,
                                const SegmentOptions& options, const Segment::Fill& fill) {
    const std::string what = to_string(state.name);
    FileStatus status;
    if (is_handle(file)) {
      const std::size_t page_bytes = detail::page_bytes_of(file);
      const bool huge = page_bytes > detail::system_page_bytes();
      const std::size_t file_bytes = huge ? round_up(size_bytes, page_bytes) : size_bytes;
      if (auto allowed = check_file_limit(file_bytes, what); !allowed) return allowed.error();
      if (const int error = detail::set_size(file, file_bytes); error != 0) {
        return system_error(error, "can't size " + what);
      }
      if (const int error = detail::status_of(file, status); error != 0) {
        return system_error(error, "can't look at " + what);
      }
    }
    auto mapping = detail::Mapping::map(file, size_bytes, Access::kReadWrite, what);
    if (!mapping) return mapping.error();
    state.mapping.emplace(std::move(*mapping));
    note_file(state, status, size_bytes);
    return fill_mapping(state, file, options, fill);
  }

  static Result<void> fill_mapping(State& state, NativeHandle file, const SegmentOptions& options,
                                   const Segment::Fill& fill) {
    if (auto reserved =
            detail::reserve(*state.mapping, file, options, state.report, to_string(state.name));
        !reserved) {
      return reserved.error();
    }
    return fill(state.bytes);
  }

  static void note_file(State& state, const FileStatus& status, std::size_t size_bytes) {
    state.bytes = state.mapping->memory().first(size_bytes);
    state.report.size_bytes = size_bytes;
    state.identity.device = status.device;
    state.identity.inode = status.inode;
  }

  static void note_system_v(State& state, const std::string& path, const FileStatus& status,
                            const detail::SystemVNote& note, std::size_t size_bytes) {
    note_file(state, status, size_bytes);
    state.identity.path = path;
    state.identity.system_v = note.id;
    state.identity.key = note.key;
  }

  static Result<void> check_size(std::uint64_t size, const std::string& what) {
    if (size < kPartAlignment) {
      return Error{ErrorCode::kTooSmall, what + " has " + std::to_string(size) +
                                             " bytes, too few for a segment; remove it"};
    }
    if (size <= kMaxSegmentBytes) return {};
    return Error{ErrorCode::kBadGeometry,
                 what + " has " + std::to_string(size) + " bytes, more than 2^46; remove it"};
  }

  static Result<void> check_file_limit(std::size_t file_bytes, const std::string& what) {
    const std::uint64_t limit = detail::file_size_limit();
    if (file_bytes <= limit) return {};
    return Error{ErrorCode::kNoSpace, what + " would have " + std::to_string(file_bytes) +
                                          " bytes, files may have " + std::to_string(limit) +
                                          "; raise `ulimit -f`"};
  }

  // A file of huge pages is larger than its segment. How large that is, its header says; if that
  // makes no sense, check_header() will refuse the whole.
  static void trim_huge_page(State& state) noexcept {
    const std::size_t page_bytes = state.mapping->page_bytes();
    if (page_bytes == detail::system_page_bytes()) return;
    const auto* header = reinterpret_cast<const SegmentHeader*>(state.bytes.data());
    // relaxed: a hint, judged here and again by check_header().
    const std::uint64_t total_bytes = header->total_bytes.load(std::memory_order_relaxed);
    if (total_bytes <= state.bytes.size() &&
        round_up(total_bytes, page_bytes) == state.bytes.size()) {
      state.bytes = state.bytes.first(total_bytes);
      state.report.size_bytes = total_bytes;
    }
  }
};

Result<Segment> Segment::create(const SegmentName& name, std::size_t size_bytes,
                                const SegmentOptions& options, const Fill& fill) {
  if (auto sound = detail::check_name(name); !sound) return sound.error();
  if (size_bytes == 0 || size_bytes > kMaxSegmentBytes) {
    return Error{ErrorCode::kInvalidCapacity, "a segment can't have " + std::to_string(size_bytes) +
                                                  " bytes; possible are 1 to 2^46"};
  }
  if (options.sole_writer && options.huge_pages != HugePages::kNo) {
    return Error{ErrorCode::kUnsupported, "a segment with a sole writer has no huge pages"};
  }
  switch (name.backing) {
    case Backing::kSharedMemory:
    case Backing::kFile: return SegmentBuilder::create_file(name, size_bytes, options, fill);
    case Backing::kSystemV: return SegmentBuilder::create_system_v(name, size_bytes, options, fill);
    case Backing::kMemfd: return SegmentBuilder::create_memfd(name, size_bytes, options, fill);
    case Backing::kAnonymous:
      return SegmentBuilder::create_anonymous(name, size_bytes, options, fill);
    case Backing::kHeap: break;
  }
  return SegmentBuilder::create_heap(name, size_bytes, fill);
}

Result<Segment> Segment::attach(const SegmentName& name, const SegmentOptions& options,
                                Access access) {
  if (auto named = detail::check_named(name); !named) return named.error();
  auto state = SegmentBuilder::start(name, access);
  state->identity.path = detail::path_of(name);
  auto fd = detail::open_checked(state->identity.path, to_string(name), access, options.mode);
  if (!fd) return fd.error();
  return name.backing == Backing::kSystemV
             ? SegmentBuilder::attach_system_v(std::move(state), std::move(*fd), options)
             : SegmentBuilder::map_existing(std::move(state), std::move(*fd), options);
}

Result<Segment> Segment::attach_fd(NativeHandle fd, const SegmentOptions& options, Access access) {
  const std::string what = "fd " + std::to_string(std::intptr_t(fd));
  // First, and of the very descriptor: it may be anything, and to look at it in another way, or to
  // close a duplicate of it, may wait for what is behind it (FUSE, a socket with SO_LINGER).
  detail::Seals seals;
  const int unsealable = detail::seals_of(fd, seals);
  if (unsealable == EBADF) return system_error(EBADF, "can't take over " + what);
  if (unsealable != 0) {
    return Error{ErrorCode::kForeignObject, what + " is not a memfd; hand over one that is"};
  }
  if (!seals.size) {
    return Error{ErrorCode::kUnsealed,
                 what +
                     " could be truncated under its readers; seal it against growing and "
                     "shrinking (F_SEAL_GROW, F_SEAL_SHRINK)"};
  }
  if (options.sole_writer && !seals.writing) {
    return Error{ErrorCode::kUnsealed,
                 what +
                     " could be written by those who are to read it alone; map it, then seal it "
                     "against that (F_SEAL_FUTURE_WRITE)"};
  }
  if (options.sole_writer && detail::page_bytes_of(fd) != detail::system_page_bytes()) {
    return Error{ErrorCode::kUnsupported, what + " has pages of " +
                                              std::to_string(detail::page_bytes_of(fd)) +
                                              " bytes; hand over a memfd without MFD_HUGETLB"};
  }
  const detail::OpenFor open = detail::open_for(fd);
  if (!open.reading || (!open.writing && access == Access::kReadWrite)) {
    return Error{ErrorCode::kPermission,
                 what + " is not open for " + (open.reading ? "writing" : "reading")};
  }
  UniqueFd own = detail::duplicate(fd);
  if (!own) return system_error(errno, "can't take over " + what);
  return SegmentBuilder::map_existing(SegmentBuilder::start({Backing::kMemfd, {}}, access),
                                      std::move(own), options);
}

Result<Segment> Segment::over(std::span<std::byte> memory, Callback<void()> release) {
  if (!is_aligned(memory.data(), kSharingRange)) {
    return Error{ErrorCode::kMisaligned, "the memory for a segment has to be aligned to " +
                                             std::to_string(kSharingRange) + " bytes"};
  }
  auto lock_fd = detail::make_memfd("the lock file of a segment in the heap", 0600, false);
  if (!lock_fd) return lock_fd.error();
  auto state = SegmentBuilder::start({Backing::kHeap, {}}, Access::kReadWrite);
  state->lock_fd = std::move(*lock_fd);
  state->bytes = memory;
  state->report.size_bytes = memory.size();
  state->report.page_bytes = detail::system_page_bytes();
  state->release = std::move(release);
  return SegmentBuilder::wrap(std::move(state));
}

Segment::Segment(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Segment::Segment(Segment&&) noexcept = default;
Segment& Segment::operator=(Segment&&) noexcept = default;
Segment::~Segment() = default;

std::span<std::byte> Segment::bytes() const noexcept { return state_->bytes; }
const SegmentReport& Segment::report() const noexcept { return state_->report; }
const SegmentName& Segment::name() const noexcept { return state_->name; }
const SegmentIdentity& Segment::identity() const noexcept { return state_->identity; }
Access Segment::access() const noexcept { return state_->access; }
NativeHandle Segment::fd() const noexcept { return state_->fd.get(); }
NativeHandle Segment::lock_fd() const noexcept {
  return state_->fd ? state_->fd.get() : state_->lock_fd.get();
}

Result<NativeHandle> Segment::open_description(Access access) const {
  const std::string what = to_string(name());
  if (!is_handle(fd())) return Error{ErrorCode::kUnsupported, what + " has no file to be opened"};
  auto again = detail::reopen(fd(), access, what);
  if (!again) return again.error();
  return again->release();
}

Result<void> Segment::overlay(std::size_t offset, const Segment& part) {
  // The kernel maps whole pages of the part's file, whatever its header or its Segment says: a file
  // of larger pages would replace what lies behind the part as well.
  const std::size_t page_bytes = state_->mapping ? state_->mapping->page_bytes() : 0;
  if (page_bytes == 0 || offset % page_bytes != 0 || !is_handle(part.fd()) ||
      detail::page_bytes_of(part.fd()) != page_bytes) {
    return Error{ErrorCode::kMisaligned,
                 "only whole pages of a mapping can show another file, of pages of that size"};
  }
  const std::size_t length = round_up(part.bytes().size(), page_bytes);
  if (offset > bytes().size() || length > bytes().size() - offset) {
    return Error{ErrorCode::kTooSmall, to_string(name()) + " has no room for " +
                                           std::to_string(length) + " bytes at " +
                                           std::to_string(offset)};
  }
  const int error = detail::map_over({bytes().data() + offset, length}, part.fd());
  if (error == 0) return {};
  return system_error(error, "can't map a part over " + to_string(name()));
}

bool Segment::still_at_its_name() const noexcept { return is_at_its_name(state_->identity); }
bool Segment::truncated() const noexcept { return state_->mapping && state_->mapping->truncated(); }

}  // namespace rondo::inline RONDO_ABI
