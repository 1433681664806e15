#include "harness.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "inspect.h"

namespace hmtl::fuzz {
namespace {

// Small, so that many inputs are tried.
constexpr std::int64_t kMaxPixels = 1 << 16;

bool same_samples(const Plane& a, const Plane& b) {
  const ImageView x = a.view(), y = b.view();
  if (a.top != b.top || a.left != b.left || x.height != y.height || x.width != y.width ||
      x.channels != y.channels) {
    return false;
  }
  for (int row = 0; row < x.height; ++row) {
    if (std::memcmp(x.row(row), y.row(row), x.row_bytes()) != 0) return false;
  }
  return true;
}

bool is_part(const Plane& part, const Plane& whole) {
  const ImageView some = part.view(), all = whole.view();
  if (some.channels != all.channels || part.left < 0 || part.top < 0 ||
      part.left + some.width > all.width || part.top + some.height > all.height) {
    return false;
  }
  for (int y = 0; y < some.height; ++y) {
    const std::uint8_t* row =
        all.row(part.top + y) + static_cast<std::ptrdiff_t>(part.left) * all.channels;
    if (std::memcmp(some.row(y), row, some.row_bytes()) != 0) return false;
  }
  return true;
}

bool same_facts(const Picture& a, const Picture& b) {
  return a.height == b.height && a.width == b.width && a.space == b.space &&
         a.source_color == b.source_color && a.source_bits == b.source_bits &&
         a.orientation == b.orientation && a.warnings == b.warnings &&
         a.first_warning == b.first_warning;
}

// Leaves a picture as if another file had been decoded into it.
void soil(Picture& picture) {
  constexpr int kSide = 160;
  constexpr std::uint8_t kDirt = 0xA5;
  for (Plane& plane : picture.planes) {
    plane.pixels.reshape(kSide, kSide, 3);
    std::memset(plane.pixels.row(0), kDirt, std::size_t{3} * kSide * kSide);
  }
  picture.scratch.assign(std::size_t{3} * kSide * kSide, kDirt);
  picture.height = picture.width = picture.source_bits = picture.warnings = kDirt;
  picture.first_warning = "another file's";
  picture.source_color = SourceColor::kBgr;
  picture.orientation = 8;
}

}  // namespace

std::uint8_t Input::byte() {
  if (size_ == 0) return 0;
  --size_;
  return *bytes_++;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "hmtl: %s\n", what);
  std::abort();
}

DecodeOptions take_options(Input& input) {
  DecodeOptions options;
  const int flags = input.byte();
  options.whole = (flags & 1) != 0;
  options.planes = (flags & 2) != 0;
  options.ignore_exif = (flags & 4) != 0;
  options.max_pixels = kMaxPixels;
  Box& region = options.region;
  region.x0 = 0.75F * static_cast<float>(static_cast<std::int8_t>(input.byte()));
  region.y0 = 0.75F * static_cast<float>(static_cast<std::int8_t>(input.byte()));
  region.x1 = region.x0 + 0.5F * static_cast<float>(input.byte());
  region.y1 = region.y0 + 0.5F * static_cast<float>(input.byte());
  options.margin = input.byte() % 8;
  options.pixels_per_output = input.byte() / 4.0;
  input.byte();
  return options;
}

bool decodes(const Encoded& sample, const DecodeOptions& options, Picture& picture) {
  try {
    decode(sample, options, picture);
    return true;
  } catch (const DecodeError& error) {
    const std::string line = error.what();
    require(line.find('\n') == std::string::npos, "an error of several lines");
    require(line.find(sample.name) != std::string::npos, "an error that does not name the file");
    return false;
  }
}

void check_decoding(const Encoded& sample, const DecodeOptions& options) {
  Picture clean, soiled, whole;
  const bool is_decoded = decodes(sample, options, clean);
  soil(soiled);
  require(decodes(sample, options, soiled) == is_decoded, "the second decoding ends otherwise");
  if (!is_decoded) return;
  require(same_facts(clean, soiled), "what is said of another picture stays");
  for (int i = 0; i < clean.plane_count(); ++i) {
    require(same_samples(clean.planes[i], soiled.planes[i]), "what lay in the memory shows");
  }
  if (sample.codec == Codec::kJpeg || sample.codec == Codec::kPng) {
    const ImageSize size = image_size(sample);
    require(size.height == clean.height && size.width == clean.width, "the header's size differs");
  }
  DecodeOptions all = options;
  all.whole = true;
  if (!decodes(sample, all, whole)) return;
  require(clean.space == whole.space, "the whole has other planes");
  for (int i = 0; i < clean.plane_count(); ++i) {
    require(is_part(clean.planes[i], whole.planes[i]), "a region is no part of the whole");
  }
}

}  // namespace hmtl::fuzz
