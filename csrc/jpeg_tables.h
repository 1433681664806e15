// Which tables a JPEG has defined, and whether they are ones that a decoder can use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hmtl {

class JpegTables {
 public:
  enum class Kind : int { kDc = 0, kAc = 1 };

  // Take what a segment holds (ITU-T T.81, B.2.4.1 and B.2.4.2); false if it is no such segment, or
  // if codes are more than there is room for. Any bytes are safe.
  bool add_quantization(const std::uint8_t* bytes, std::size_t size);
  bool add_huffman(const std::uint8_t* bytes, std::size_t size);

  bool has_quantization(int id) const { return has(quantization_, id); }
  bool has_huffman(Kind kind, int id) const { return has(huffman_[static_cast<int>(kind)], id); }

 private:
  static constexpr int kMostTables = 4;

  static bool has(const bool (&tables)[kMostTables], int id) {
    return id < kMostTables && tables[id];
  }

  bool quantization_[kMostTables] = {};
  bool huffman_[2][kMostTables] = {};
};

}  // namespace hmtl
