// Where the encoded bytes of samples lie, and the one way to read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "open_files.h"

namespace hmtl {

// From the third on the samples of a height × width × 3 array: blue first, as they are, as one LZF
// stream, as one zlib stream; red first, as they are.
enum class Codec : std::int32_t {
  kJpeg = 0,
  kPng = 1,
  kBgr = 2,
  kLzfBgr = 3,
  kDeflateBgr = 4,
  kRgb = 5
};

// One sample's encoded bytes: [offset, offset + size) of the file with this number.
// The layout is that of the NumPy structured type of a dataset's `extent` column.
struct Extent {
  std::int32_t file = 0;
  Codec codec = Codec::kJpeg;
  std::int64_t offset = 0;
  std::int64_t size = 0;          // 0: an array that was never written
  std::uint16_t height = 0;       // px; 0 where the bytes themselves say it,
  std::uint16_t width = 0;        // the same
  std::int32_t row = kWholeFile;  // the number of the image in a file that holds several
  std::uint32_t crc = 0;          // CRC-32 of the bytes; 0 where it is not known

  static constexpr std::int32_t kWholeFile = -1;
};
static_assert(sizeof(Extent) == 40);

// The files of a dataset. Any number of threads may read through one table. Files that hold several
// images are opened once, and closed with the table.
class FileTable {
 public:
  explicit FileTable(std::vector<std::string> paths) : paths_(std::move(paths)) {}

  // Throws std::invalid_argument for a file number unknown.
  const std::string& path(const Extent& extent) const;

  // What errors call the sample: its file, or "row 17 of" its file.
  std::string name(const Extent& extent) const;

  // Fills `bytes` with the extent's bytes. Throws DecodeError naming the sample when its file
  // cannot be opened, is shorter than the extent says or, being one picture, longer; when it was
  // never written, or when the bytes have another CRC-32 than the extent says.
  void read(const Extent& extent, std::vector<std::uint8_t>& bytes) const;

 private:
  // The 80 training files of ETH-XGaze and a few more; far below a process's usual 1,024.
  static constexpr std::size_t kOpenContainers = 128;

  std::vector<std::string> paths_;
  mutable OpenFiles containers_{kOpenContainers};
};

}  // namespace hmtl
