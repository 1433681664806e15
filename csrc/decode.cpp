#include "decode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "decode_shared.h"

namespace hmtl {
namespace {

constexpr std::size_t kIfdEntrySize = 12;
constexpr std::uint32_t kOrientationTag = 0x0112;

// Bounded reads of a TIFF block in its own byte order.
struct TiffReader {
  const std::uint8_t* bytes;
  std::size_t size;
  bool big_endian;

  bool has(std::size_t offset, std::size_t count) const {
    return offset <= size && count <= size - offset;
  }
  std::uint32_t read(std::size_t offset, std::size_t count) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      value = value << 8 | bytes[offset + (big_endian ? i : count - 1 - i)];
    }
    return value;
  }
};

// The first value of an IFD entry of type BYTE, SHORT or LONG; 1 for other types.
int entry_value(const TiffReader& tiff, std::size_t entry) {
  const std::uint32_t type = tiff.read(entry + 2, 2);
  const std::size_t width = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
  if (width == 0) return 1;
  const std::uint32_t value = tiff.read(entry + 8, width);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, '?');
  return text;
}

// Both edges of one axis of the window, in grid samples.
void needed_range(double from, double to, int margin, double scale, int full, int& first,
                  int& last) {
  if (!std::isfinite(from) || !std::isfinite(to)) {
    throw std::invalid_argument("region must be finite");
  }
  // One sample more on a coarser grid: its samples lie between pixels.
  const int extra = scale < 1 ? 1 : 0;
  const double low = std::floor((from - margin) * scale) - extra;
  const double high = std::ceil((to + margin) * scale) + extra;
  first = static_cast<int>(std::clamp(low, 0.0, static_cast<double>(full - 1)));
  last =
      static_cast<int>(std::clamp(high, static_cast<double>(first + 1), static_cast<double>(full)));
}

}  // namespace

DecodeError::DecodeError(std::string message) : std::runtime_error(one_line(std::move(message))) {}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::ptrdiff_t sign = number < 0 ? 1 : 0;
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > sign; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

void fail(const std::string& what, const std::string& name, std::size_t size) {
  throw DecodeError(what + ": " + name + " (" + grouped(static_cast<std::int64_t>(size)) +
                    " bytes)");
}

void check_pixels(std::int64_t height, std::int64_t width, std::int64_t max_pixels,
                  const std::string& name) {
  if (height <= max_pixels / width) return;
  throw DecodeError("image has " + grouped(height) + " × " + grouped(width) +
                    " pixels, more than max_pixels = " + grouped(max_pixels) + ": " + name);
}

int exif_orientation(const std::uint8_t* bytes, std::size_t size) {
  if (size >= 6 && std::memcmp(bytes, "Exif\0\0", 6) == 0) {
    bytes += 6;
    size -= 6;
  }
  if (size < 8) return 1;
  const bool big_endian = std::memcmp(bytes, "MM\0*", 4) == 0;
  if (!big_endian && std::memcmp(bytes, "II*\0", 4) != 0) return 1;
  const TiffReader tiff{bytes, size, big_endian};
  const std::size_t ifd = tiff.read(4, 4);
  if (!tiff.has(ifd, 2)) return 1;
  const std::size_t count = tiff.read(ifd, 2);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = ifd + 2 + i * kIfdEntrySize;
    if (!tiff.has(entry, kIfdEntrySize)) return 1;
    if (tiff.read(entry, 2) == kOrientationTag) return entry_value(tiff, entry);
  }
  return 1;
}

void note_orientation(const std::uint8_t* exif, std::size_t exif_size, const Encoded& sample,
                      const DecodeOptions& options, Picture& picture) {
  const int orientation = exif_orientation(exif, exif_size);
  if (orientation == 1) return;
  picture.orientation = orientation;
  if (options.ignore_exif) return;
  fail("EXIF orientation is " + std::to_string(orientation) +
           ", only 1 is read (boxes would be in another frame; exif=\"ignore\" decodes as stored)",
       sample.name, sample.size);
}

Window needed_window(const DecodeOptions& options, const Plane& plane) {
  if (options.whole) return {0, 0, plane.full_width, plane.full_height};
  Window window;
  const Box& region = options.region;
  needed_range(region.x0, region.x1, options.margin, plane.scale_x, plane.full_width, window.x0,
               window.x1);
  needed_range(region.y0, region.y1, options.margin, plane.scale_y, plane.full_height, window.y0,
               window.y1);
  return window;
}

void reshape_plane(Plane& plane, const Window& window, int channels) {
  plane.top = window.y0;
  plane.left = window.x0;
  plane.pixels.reshape(window.height(), window.width(), channels);
}

std::uint8_t* scratch_bytes(Picture& picture, std::size_t size) {
  if (picture.scratch.size() < size) picture.scratch.resize(size);
  return picture.scratch.data();
}

void decode(const Encoded& sample, const DecodeOptions& options, Picture& picture) {
  picture.warnings = 0;
  picture.first_warning.clear();
  picture.orientation = 1;
  picture.turned = 0;
  for (Plane& plane : picture.planes) plane.borrowed = {};
  switch (sample.codec) {
    case Codec::kJpeg:
      return decode_jpeg(sample, options, picture);
    case Codec::kPng:
      return decode_png(sample, options, picture);
    case Codec::kBgr:
    case Codec::kLzfBgr:
    case Codec::kDeflateBgr:
    case Codec::kRgb:
      return decode_array(sample, options, picture);
  }
  throw std::invalid_argument("codec must be in [0, 5], got " +
                              std::to_string(static_cast<int>(sample.codec)) + " for " +
                              sample.name);
}

Encoded read_encoded(const FileTable& files, const Extent& extent,
                     std::vector<std::uint8_t>& bytes) {
  files.read(extent, bytes);
  return {bytes.data(),  bytes.size(), extent.codec,
          extent.height, extent.width, files.name(extent)};
}

}  // namespace hmtl
