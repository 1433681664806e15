#include "jpeg_tables.h"

namespace hmtl {
namespace {

constexpr int kLongestCode = 16;

// How many symbols codes of these numbers by length have, -1 if they do not fit: each length has
// twice what the shorter ones left of the codes, and the last code, all ones, is none.
int symbols_of(const std::uint8_t* counts) {
  int symbols = 0, left = 1;
  for (int length = 0; length < kLongestCode; ++length) {
    left = 2 * left - counts[length];
    symbols += counts[length];
    if (left < 1) return -1;
  }
  return symbols <= 256 ? symbols : -1;
}

}  // namespace

bool JpegTables::add_quantization(const std::uint8_t* bytes, std::size_t size) {
  constexpr std::size_t kNumbers = 64;
  while (size > 0) {
    const int width = bytes[0] >> 4, id = bytes[0] & 15;
    const std::size_t length = 1 + kNumbers * static_cast<std::size_t>(width + 1);
    // 8 bits a number in a baseline picture; 16 are for those of 12 bits.
    if (width != 0 || id >= kMostTables || size < length) return false;
    quantization_[id] = true;
    bytes += length;
    size -= length;
  }
  return true;
}

bool JpegTables::add_huffman(const std::uint8_t* bytes, std::size_t size) {
  while (size > 0) {
    const int kind = bytes[0] >> 4, id = bytes[0] & 15;
    if (kind > 1 || id >= kMostTables || size < 1 + kLongestCode) return false;
    const int symbols = symbols_of(bytes + 1);
    const std::size_t length = 1 + kLongestCode + static_cast<std::size_t>(symbols);
    if (symbols < 0 || size < length) return false;
    huffman_[kind][id] = true;
    bytes += length;
    size -= length;
  }
  return true;
}

}  // namespace hmtl
