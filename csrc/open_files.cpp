#include "open_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>

#include "decode.h"

namespace hmtl {
namespace {

[[noreturn]] void fail_with_errno(const char* what, const std::string& name) {
  throw DecodeError(std::string(what) + " (" + std::strerror(errno) + "): " + name);
}

// Returns -1, and why in `errno`, where the file cannot be opened.
int open_to_read(const std::string& path) {
  int descriptor;
  do {
    // Without O_NONBLOCK a pipe that has the name of a picture would wait for ever.
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

}  // namespace

File::File(const std::string& path, const std::string& name, OpenFiles& others)
    : descriptor_(open_to_read(path)) {
  if (descriptor_ < 0 && (errno == EMFILE || errno == ENFILE)) {
    others.close_unused();
    descriptor_ = open_to_read(path);
  }
  if (descriptor_ < 0) fail_with_errno("cannot open", name);
}

File::~File() { ::close(descriptor_); }

std::int64_t File::size(const std::string& name) const {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail_with_errno("cannot read", name);
  if (!S_ISREG(status.st_mode)) throw DecodeError("not a regular file: " + name);
  return static_cast<std::int64_t>(status.st_size);
}

std::size_t File::read(std::int64_t offset, std::uint8_t* bytes, std::size_t count,
                       const std::string& name) const {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(descriptor_, bytes + done, count - done,
                                static_cast<off_t>(offset + static_cast<std::int64_t>(done)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with_errno("cannot read", name);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

OpenFiles::Entry& OpenFiles::borrow(std::int32_t number, const std::string& path,
                                    const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(number);
    if (found != entries_.end()) {
      ++found->second.borrowers;
      return found->second;
    }
  }
  // Opened without the lock: on a network it takes long, and others have their files already. Where
  // two threads open the same file, one of them does it in vain.
  Entries fresh;
  fresh.emplace(std::piecewise_construct, std::forward_as_tuple(number),
                std::forward_as_tuple(path, name, *this));
  const std::lock_guard lock(mutex_);
  entries_.merge(fresh);
  Entry& entry = entries_.at(number);
  ++entry.borrowers;
  close_surplus(limit_);
  return entry;
}

void OpenFiles::give_back(Entry& entry) {
  const std::lock_guard lock(mutex_);
  --entry.borrowers;
  entry.last_use = ++uses_;
}

void OpenFiles::close_unused() {
  const std::lock_guard lock(mutex_);
  close_surplus(0);
}

void OpenFiles::close_surplus(std::size_t limit) {
  while (entries_.size() > limit) {
    auto oldest = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->second.borrowers > 0) continue;
      if (oldest == entries_.end() || entry->second.last_use < oldest->second.last_use) {
        oldest = entry;
      }
    }
    if (oldest == entries_.end()) return;
    entries_.erase(oldest);
  }
}

}  // namespace hmtl
