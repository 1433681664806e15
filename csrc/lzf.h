// LZF, the compression of HDF5's filter 32000. Streams are not trusted: whatever they hold, nothing
// is read or written outside the two buffers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hmtl {

// How a stream ended.
enum class LzfEnd {
  kWhole,         // at the last byte of the output
  kTooShort,      // before it
  kTooLong,       // with a token that goes beyond it
  kTruncated,     // within a token
  kBadReference,  // with a token that refers to what is before the output
};

struct LzfResult {
  LzfEnd end = LzfEnd::kWhole;
  std::size_t read = 0;     // bytes of the whole tokens
  std::size_t written = 0;  // bytes they gave
};

// Decodes `in` into exactly `out_size` bytes. After a failure the rest of `out` is unspecified.
LzfResult lzf_decode(const std::uint8_t* in, std::size_t in_size, std::uint8_t* out,
                     std::size_t out_size);

// The same, byte by byte.
LzfResult lzf_decode_plain(const std::uint8_t* in, std::size_t in_size, std::uint8_t* out,
                           std::size_t out_size);

}  // namespace hmtl
