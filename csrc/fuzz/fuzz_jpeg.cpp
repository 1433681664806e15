#include "harness.h"
#include "plain_jpeg.h"

// 8 bytes of options, then the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hmtl;
  fuzz::Input input(data, size);
  const DecodeOptions options = fuzz::take_options(input);
  plain_jpeg_size(input.rest(), input.rest_size(), options.ignore_exif, options.max_pixels);
  fuzz::check_decoding({input.rest(), input.rest_size(), Codec::kJpeg, 0, 0, "a.jpg"}, options);
  return 0;
}
