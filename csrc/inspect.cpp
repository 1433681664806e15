#include "inspect.h"

#include <cstring>
#include <stdexcept>
#include <vector>

#include "decode_shared.h"

namespace hmtl {
namespace {

// Big-endian, as JPEG and PNG have their numbers.
std::int64_t read_number(const std::uint8_t* bytes, int count) {
  std::int64_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

[[noreturn]] void fail_short(const char* kind, const Encoded& head) {
  fail(std::string("truncated ") + kind + ", the data ends in the header", head.name, head.size);
}

ImageSize checked(std::int64_t height, std::int64_t width, const char* kind, const Encoded& head) {
  constexpr std::int64_t kMost = INT32_MAX;
  if (height < 1 || width < 1 || height > kMost || width > kMost) {
    fail(std::string("invalid ") + kind + " (" + grouped(height) + " × " + grouped(width) +
             " pixels)",
         head.name, head.size);
  }
  return {static_cast<int>(height), static_cast<int>(width)};
}

// SOF0 … SOF15, which share their range with DHT, JPG and DAC.
bool is_frame(int marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

ImageSize jpeg_size(const Encoded& head) {
  if (head.size < 2 || head.bytes[0] != 0xFF || head.bytes[1] != 0xD8) {
    fail("not a JPEG (no SOI marker)", head.name, head.size);
  }
  std::size_t at = 2;
  while (true) {
    // Bytes between segments are passed over, and a marker may have any number of FF before it, as
    // libjpeg reads it.
    while (at < head.size && head.bytes[at] != 0xFF) ++at;
    while (at < head.size && head.bytes[at] == 0xFF) ++at;
    if (at >= head.size) fail_short("JPEG", head);
    const int marker = head.bytes[at++];
    constexpr int kStuffed = 0, kTem = 0x01, kFirstRestart = 0xD0, kLastRestart = 0xD7;
    constexpr int kStartOfScan = 0xDA, kEnd = 0xD9;
    if (marker == kStuffed || marker == kTem ||
        (marker >= kFirstRestart && marker <= kLastRestart)) {
      continue;
    }
    if (marker == kStartOfScan || marker == kEnd) {
      fail("invalid JPEG (no frame header)", head.name, head.size);
    }
    // Length of the segment, bits of a sample, height, width.
    constexpr std::size_t kFrameStart = 7;
    if (is_frame(marker)) {
      if (head.size - at < kFrameStart) fail_short("JPEG", head);
      return checked(read_number(head.bytes + at + 3, 2), read_number(head.bytes + at + 5, 2),
                     "JPEG", head);
    }
    if (head.size - at < 2) fail_short("JPEG", head);
    const auto length = static_cast<std::size_t>(read_number(head.bytes + at, 2));
    if (head.size - at < length) fail_short("JPEG", head);
    at += length;
  }
}

ImageSize png_size(const Encoded& head) {
  static constexpr std::uint8_t kSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr std::size_t kHeaderEnd = sizeof(kSignature) + 16;  // length, type, width, height
  if (head.size < sizeof(kSignature) ||
      std::memcmp(head.bytes, kSignature, sizeof(kSignature)) != 0) {
    fail("not a PNG (no signature)", head.name, head.size);
  }
  if (head.size < kHeaderEnd) fail_short("PNG", head);
  if (std::memcmp(head.bytes + 12, "IHDR", 4) != 0) {
    fail("broken PNG, no header", head.name, head.size);
  }
  return checked(read_number(head.bytes + 20, 4), read_number(head.bytes + 16, 4), "PNG", head);
}

const char* color_name(SourceColor color) {
  switch (color) {
    case SourceColor::kYcc:
      return "YCbCr";
    case SourceColor::kGrey:
      return "grey";
    case SourceColor::kRgb:
      return "RGB";
    case SourceColor::kCmyk:
      return "CMYK";
    case SourceColor::kYcck:
      return "YCCK";
    case SourceColor::kPalette:
      return "palette";
    case SourceColor::kGreyAlpha:
      return "grey+alpha";
    case SourceColor::kRgbAlpha:
      return "RGB+alpha";
    case SourceColor::kBgr:
      return "BGR";
  }
  return "";
}

}  // namespace

void inspect(const FileTable& files, const Extent& extent, std::int64_t max_pixels,
             Picture& picture) {
  DecodeOptions options;
  options.planes = true;  // spares the conversion to RGB, which cannot fail
  options.ignore_exif = true;
  options.max_pixels = max_pixels;
  std::vector<std::uint8_t> encoded;
  decode(read_encoded(files, extent, encoded), options, picture);
  for (Plane& plane : picture.planes) plane.borrowed = {};  // from bytes that go now
}

std::string source_name(const Picture& picture) {
  std::string name = color_name(picture.source_color);
  if (picture.source_bits != 8) name += " " + std::to_string(picture.source_bits) + " bit";
  return name;
}

ImageSize image_size(const Encoded& head) {
  if (head.codec == Codec::kJpeg) return jpeg_size(head);
  if (head.codec == Codec::kPng) return png_size(head);
  throw std::invalid_argument("only codecs 0 (JPEG) and 1 (PNG) have a header, got " +
                              std::to_string(static_cast<int>(head.codec)) + " for " + head.name);
}

}  // namespace hmtl
