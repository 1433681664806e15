#include "extent.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "crc.h"
#include "decode.h"
#include "decode_shared.h"

namespace hmtl {
namespace {

bool is_array(Codec codec) {
  return codec == Codec::kBgr || codec == Codec::kLzfBgr || codec == Codec::kDeflateBgr ||
         codec == Codec::kRgb;
}

std::string hex(std::uint32_t number) {
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(number));
  return digits;
}

// A file open for reading; errors call it `name`, which must outlive it.
class File {
 public:
  File(const std::string& path, const std::string& name) : name_(name) {
    do {
      // Without O_NONBLOCK a pipe that has the name of a picture would wait for ever.
      descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) fail_with_errno("cannot open");
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::int64_t size() const {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0) fail_with_errno("cannot read");
    if (!S_ISREG(status.st_mode)) throw DecodeError("not a regular file: " + name_);
    return static_cast<std::int64_t>(status.st_size);
  }

  // Reads up to `count` bytes; fewer only where the file ends.
  std::size_t read(std::int64_t offset, std::uint8_t* bytes, std::size_t count) const {
    std::size_t done = 0;
    while (done < count) {
      const ssize_t got = ::pread(descriptor_, bytes + done, count - done,
                                  static_cast<off_t>(offset + static_cast<std::int64_t>(done)));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_with_errno("cannot read");
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  [[noreturn]] void fail_with_errno(const char* what) const {
    throw DecodeError(std::string(what) + " (" + std::strerror(errno) + "): " + name_);
  }

  const std::string& name_;
  int descriptor_ = -1;
};

}  // namespace

const std::string& FileTable::path(const Extent& extent) const {
  if (extent.file < 0 || static_cast<std::size_t>(extent.file) >= paths_.size()) {
    throw std::invalid_argument("extent.file must be below " + std::to_string(paths_.size()) +
                                ", got " + std::to_string(extent.file));
  }
  return paths_[static_cast<std::size_t>(extent.file)];
}

std::string FileTable::name(const Extent& extent) const {
  if (extent.row < 0) return path(extent);
  return "row " + std::to_string(extent.row) + " of " + path(extent);
}

void FileTable::read(const Extent& extent, std::vector<std::uint8_t>& bytes) const {
  const std::string sample = name(extent);
  if (is_array(extent.codec) && extent.size == 0) {
    throw DecodeError("image was never written: " + sample);
  }
  if (extent.offset < 0 || extent.size < 0) {
    throw std::invalid_argument("extent must have offset >= 0 and size >= 0, got " +
                                std::to_string(extent.offset) + " and " +
                                std::to_string(extent.size) + " in " + sample);
  }
  const File file(path(extent), sample);
  // Asked first, so that a wrong index cannot make us allocate what no file holds.
  const std::int64_t length = file.size();
  bool complete = extent.size <= length && extent.offset <= length - extent.size;
  if (complete) {
    bytes.resize(static_cast<std::size_t>(extent.size));
    complete = file.read(extent.offset, bytes.data(), bytes.size()) == bytes.size();
  }
  if (!complete) {
    fail("file changed since it was indexed, the index has " + grouped(extent.size) +
             " bytes from byte " + grouped(extent.offset),
         sample, static_cast<std::size_t>(length));
  }
  if (extent.crc == 0) return;
  const std::uint32_t crc = crc32(bytes.data(), bytes.size());
  if (crc != extent.crc) {
    fail(
        "bytes changed since they were packed, crc32 " + hex(crc) + ", expected " + hex(extent.crc),
        sample, bytes.size());
  }
}

}  // namespace hmtl
