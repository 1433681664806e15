#include <cstring>
#include <memory>

#include "harness.h"
#include "lzf.h"

// 8 bytes of options, height, width, then the stream.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hmtl;
  fuzz::Input input(data, size);
  const DecodeOptions options = fuzz::take_options(input);
  const int height = input.byte(), width = input.byte();
  const std::uint8_t* const stream = input.rest();
  const std::size_t stream_size = input.rest_size();
  fuzz::check_decoding({stream, stream_size, Codec::kLzfBgr, height, width, "row 1 of a.h5"},
                       options);

  // Of exactly the size, so that AddressSanitizer sees every byte written beyond.
  const auto expected = static_cast<std::size_t>(3 * height * width);
  const auto fast = std::make_unique<std::uint8_t[]>(expected);
  const auto plain = std::make_unique<std::uint8_t[]>(expected);
  const LzfResult a = lzf_decode(stream, stream_size, fast.get(), expected);
  const LzfResult b = lzf_decode_plain(stream, stream_size, plain.get(), expected);
  fuzz::require(a.end == b.end && a.read == b.read && a.written == b.written,
                "the decoders end apart");
  fuzz::require(std::memcmp(fast.get(), plain.get(), a.written) == 0,
                "the decoders write different bytes");
  return 0;
}
