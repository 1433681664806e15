#include <zlib.h>

#include <climits>
#include <cstring>
#include <new>
#include <string>

#include "decode.h"
#include "decode_shared.h"
#include "dispatch.h"
#include "lzf.h"

#ifdef HMTL_X86
#include <immintrin.h>
#endif

// One image, height × width × 3 bytes: blue first, as it is or packed as one chunk, as ETH-XGaze's
// HDF5 files hold it; red first, as packed shards do. The bytes do not say the size: the sample
// does.

namespace hmtl {
namespace {

// Blue first to red first; the two do not overlap.
void exchange_red_and_blue_plain(const std::uint8_t* bgr, std::uint8_t* rgb, int pixels) {
  for (int i = 0; i < pixels; ++i) {
    rgb[3 * i] = bgr[3 * i + 2];
    rgb[3 * i + 1] = bgr[3 * i + 1];
    rgb[3 * i + 2] = bgr[3 * i];
  }
}

#ifdef HMTL_X86
// Five pixels at a time and a byte behind them, which the next five write again.
HMTL_AVX2 void exchange_red_and_blue_avx2(const std::uint8_t* bgr, std::uint8_t* rgb, int pixels) {
  constexpr int kAtOnce = 5;
  const __m128i order = _mm_setr_epi8(2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9, 14, 13, 12, 15);
  for (; pixels > kAtOnce; pixels -= kAtOnce) {
    const __m128i five = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bgr));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(rgb), _mm_shuffle_epi8(five, order));
    bgr += 3 * kAtOnce;
    rgb += 3 * kAtOnce;
  }
  exchange_red_and_blue_plain(bgr, rgb, pixels);
}
#endif

void exchange_red_and_blue(const std::uint8_t* bgr, std::uint8_t* rgb, int pixels) {
#ifdef HMTL_X86
  if (use_avx2()) return exchange_red_and_blue_avx2(bgr, rgb, pixels);
#endif
  exchange_red_and_blue_plain(bgr, rgb, pixels);
}

std::string in_bytes(std::size_t count) {
  return grouped(static_cast<std::int64_t>(count)) + " bytes";
}

// What the sample must hold, for messages.
std::string expected(const Encoded& sample, std::size_t size) {
  const std::string line = "expected " + in_bytes(size);
  if (sample.height == 0) return line + ", found ";
  return line + " of " + std::to_string(sample.height) + " × " + std::to_string(sample.width) +
         " pixels, found ";
}

// A zlib inflater that is freed.
struct Inflater {
  z_stream stream{};

  Inflater() {
    if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

void expand_deflate(const Encoded& sample, std::uint8_t* out, std::size_t size) {
  Inflater inflater;
  z_stream& stream = inflater.stream;
  stream.next_in = const_cast<Bytef*>(sample.bytes);
  stream.avail_in = static_cast<uInt>(sample.size);
  stream.next_out = out;
  stream.avail_out = static_cast<uInt>(size);
  const int status = inflate(&stream, Z_FINISH);
  if (status == Z_MEM_ERROR) throw std::bad_alloc();
  const std::string found = expected(sample, size) + in_bytes(size - stream.avail_out);
  if (status == Z_STREAM_END && stream.avail_out > 0) {
    fail("deflate of another size: " + found, sample.name, sample.size);
  }
  if (status == Z_STREAM_END && stream.avail_in > 0) {
    fail("deflate with " + in_bytes(stream.avail_in) + " behind its end: " + found, sample.name,
         sample.size);
  }
  if (status == Z_STREAM_END) return;
  if (status == Z_BUF_ERROR && stream.avail_in > 0) {
    fail("deflate of another size: " + expected(sample, size) + "more", sample.name, sample.size);
  }
  if (status == Z_BUF_ERROR) fail("truncated deflate: " + found, sample.name, sample.size);
  const std::string reason = stream.msg != nullptr ? stream.msg : "it needs a dictionary";
  fail("broken deflate, " + reason + ": " + found, sample.name, sample.size);
}

// The samples of the whole array: in the file's bytes, or expanded into the picture's scratch.
const std::uint8_t* expand(const Encoded& sample, std::size_t size, Picture& picture) {
  if (sample.codec == Codec::kBgr || sample.codec == Codec::kRgb) {
    if (sample.size == size) return sample.bytes;
    fail("array of another size: " + expected(sample, size) + in_bytes(sample.size), sample.name,
         sample.size);
  }
  // HDF5 has no chunks beyond that, and zlib counts up to there.
  if (size > UINT_MAX || sample.size > UINT_MAX) {
    fail("more than 4 GiB: " + expected(sample, size) + in_bytes(sample.size), sample.name,
         sample.size);
  }
  std::uint8_t* const out = scratch_bytes(picture, size);
  if (sample.codec == Codec::kLzfBgr) {
    check_lzf(lzf_decode(sample.bytes, sample.size, out, size), size, sample);
  } else {
    expand_deflate(sample, out, size);
  }
  return out;
}

}  // namespace

void check_lzf(const LzfResult& result, std::size_t size, const Encoded& sample) {
  if (result.end == LzfEnd::kWhole) return;
  const std::string at = ", byte " + grouped(static_cast<std::int64_t>(result.read));
  const std::string found = expected(sample, size) + in_bytes(result.written);
  switch (result.end) {
    case LzfEnd::kTruncated:
      fail("truncated LZF, the data ends in a token" + at + ": " + found, sample.name, sample.size);
    case LzfEnd::kBadReference:
      fail("broken LZF, a reference to what is before the start" + at + ": " + found, sample.name,
           sample.size);
    case LzfEnd::kTooLong:
      fail("LZF of another size: " + expected(sample, size) + "more", sample.name, sample.size);
    default:
      fail("LZF of another size: " + found, sample.name, sample.size);
  }
}

void decode_array(const Encoded& sample, const DecodeOptions& options, Picture& picture) {
  if (sample.height < 1 || sample.width < 1) {
    fail("array of " + std::to_string(sample.height) + " × " + std::to_string(sample.width) +
             " pixels",
         sample.name, sample.size);
  }
  check_pixels(sample.height, sample.width, options.max_pixels, sample.name);
  const std::size_t row_bytes = static_cast<std::size_t>(sample.width) * 3;
  const std::uint8_t* const samples =
      expand(sample, static_cast<std::size_t>(sample.height) * row_bytes, picture);

  picture.height = sample.height;
  picture.width = sample.width;
  picture.space = ColorSpace::kRgb;
  const bool is_rgb = sample.codec == Codec::kRgb;
  picture.source_color = is_rgb ? SourceColor::kRgb : SourceColor::kBgr;
  picture.source_bits = 8;
  Plane& plane = picture.planes[0];
  plane.full_height = picture.height;
  plane.full_width = picture.width;
  plane.scale_x = plane.scale_y = 1;
  const Window window = needed_window(options, plane);
  const auto row = [=](int y) {
    return samples + static_cast<std::size_t>(y) * row_bytes + 3 * window.x0;
  };
  if (is_rgb) {
    plane.top = window.y0;
    plane.left = window.x0;
    plane.borrowed = {row(window.y0), window.height(), window.width(), 3,
                      static_cast<std::ptrdiff_t>(row_bytes)};
    return;
  }
  reshape_plane(plane, window, 3);
  for (int y = window.y0; y < window.y1; ++y) {
    exchange_red_and_blue(row(y), plane.pixels.row(y - window.y0), window.width());
  }
}

}  // namespace hmtl
