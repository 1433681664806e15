#include "extent.h"

#include <cstdio>
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

// Throws DecodeError unless the file holds what the index says it does.
void read_file(const File& file, const Extent& extent, const std::string& sample,
               std::vector<std::uint8_t>& bytes) {
  // Asked first, so that a wrong index cannot make us allocate what no file holds.
  const std::int64_t length = file.size(sample);
  // A picture's own file must be as long as it was; others may grow behind what was indexed.
  const bool is_whole = extent.row == Extent::kWholeFile && extent.offset == 0;
  bool complete = is_whole ? extent.size == length
                           : extent.size <= length && extent.offset <= length - extent.size;
  if (complete) {
    bytes.resize(static_cast<std::size_t>(extent.size));
    complete = file.read(extent.offset, bytes.data(), bytes.size(), sample) == bytes.size();
  }
  if (!complete) {
    fail("file changed since it was indexed, the index has " + grouped(extent.size) +
             " bytes from byte " + grouped(extent.offset),
         sample, static_cast<std::size_t>(length));
  }
}

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
  if (extent.row == Extent::kWholeFile) {
    read_file(File(path(extent), sample, containers_), extent, sample, bytes);
  } else {
    const OpenFiles::Loan loan(containers_, extent.file, path(extent), sample);
    read_file(loan.file(), extent, sample, bytes);
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
