// What the fuzz targets share: options drawn from the input, and what must hold of every decoding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decode.h"

namespace hmtl::fuzz {

// The input, taken from the front; 0 where it has ended.
class Input {
 public:
  Input(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  std::uint8_t byte();
  const std::uint8_t* rest() const { return bytes_; }
  std::size_t rest_size() const { return size_; }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
};

// Ends the process, which is a finding, unless `holds`.
void require(bool holds, const char* what);

// Takes 8 bytes: flags, the region's left, top, width and height, margin, scale, one to spare.
DecodeOptions take_options(Input& input);

// Decodes into `picture`. Returns false where that fails, with an error as errors must be.
bool decodes(const Encoded& sample, const DecodeOptions& options, Picture& picture);

// Decodes a sample in several ways and compares: what lay in reused memory must not show, a region
// must be a part of the whole, and the header must say the size of what is decoded.
void check_decoding(const Encoded& sample, const DecodeOptions& options);

}  // namespace hmtl::fuzz
