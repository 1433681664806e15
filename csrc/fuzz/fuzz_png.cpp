#include <zlib.h>

#include <vector>

#include "harness.h"

namespace {

constexpr std::size_t kSignatureSize = 8;
constexpr std::size_t kChunkFrame = 12;  // length, type and checksum

// Without this nearly every change would end at a checksum.
void repair_checksums(std::vector<std::uint8_t>& png) {
  std::size_t at = kSignatureSize;
  while (png.size() >= kChunkFrame && at <= png.size() - kChunkFrame) {
    std::uint8_t* const chunk = png.data() + at;
    const std::size_t length = static_cast<std::size_t>(chunk[0]) << 24 |
                               static_cast<std::size_t>(chunk[1]) << 16 |
                               static_cast<std::size_t>(chunk[2]) << 8 | chunk[3];
    if (length > png.size() - at - kChunkFrame) return;
    const uLong sum = crc32(0, chunk + 4, static_cast<uInt>(length + 4));
    for (int i = 0; i < 4; ++i) {
      chunk[8 + length + static_cast<std::size_t>(i)] =
          static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    }
    at += kChunkFrame + length;
  }
}

}  // namespace

// 8 bytes of options, then the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hmtl;
  fuzz::Input input(data, size);
  const DecodeOptions options = fuzz::take_options(input);
  std::vector<std::uint8_t> png(input.rest(), input.rest() + input.rest_size());
  repair_checksums(png);
  fuzz::check_decoding({png.data(), png.size(), Codec::kPng, 0, 0, "a.png"}, options);
  return 0;
}
