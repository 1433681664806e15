// Where the encoded bytes of samples lie, and the one way to read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hmtl {

enum class Codec : std::int32_t { kJpeg = 0, kPng = 1 };

// One sample's encoded bytes: [offset, offset + size) of the file with this number.
// The layout is that of the NumPy structured type of a dataset's `extent` column.
struct Extent {
  std::int32_t file = 0;
  Codec codec = Codec::kJpeg;
  std::int64_t offset = 0;
  std::int64_t size = 0;
};
static_assert(sizeof(Extent) == 24);

// The files of a dataset. Immutable, so any number of threads may read through one table.
class FileTable {
 public:
  explicit FileTable(std::vector<std::string> paths) : paths_(std::move(paths)) {}

  const std::string& path(const Extent& extent) const;

  // Fills `bytes` with the extent's bytes. Throws DecodeError naming the file when it cannot be
  // opened or is shorter than the extent says; std::invalid_argument for a file number unknown.
  void read(const Extent& extent, std::vector<std::uint8_t>& bytes) const;

 private:
  std::vector<std::string> paths_;
};

}  // namespace hmtl
