#include <zlib.h>

#include <vector>

#include "harness.h"

namespace {

// Whether zlib's own one-call function finds exactly so many bytes, and nothing behind them.
bool holds_exactly(const std::uint8_t* data, std::size_t size, std::size_t expected) {
  std::vector<std::uint8_t> out(expected);
  uLongf written = static_cast<uLongf>(expected);
  uLong read = static_cast<uLong>(size);
  return uncompress2(out.data(), &written, data, &read) == Z_OK && written == expected &&
         read == size;
}

}  // namespace

// 8 bytes of options, height, width, then the stream.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hmtl;
  fuzz::Input input(data, size);
  const DecodeOptions options = fuzz::take_options(input);
  const int height = input.byte(), width = input.byte();
  const Encoded sample = {input.rest(), input.rest_size(), Codec::kDeflateBgr, height,
                          width,        "row 1 of a.h5"};
  fuzz::check_decoding(sample, options);
  Picture picture;
  const bool is_decoded = fuzz::decodes(sample, options, picture);
  const auto expected = static_cast<std::size_t>(3 * height * width);
  fuzz::require(is_decoded == (expected > 0 && holds_exactly(sample.bytes, sample.size, expected)),
                "zlib is of another mind");
  return 0;
}
