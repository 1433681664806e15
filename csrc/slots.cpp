#include "slots.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "decode_shared.h"

namespace hmtl {
namespace {

// The most samples of one axis that the window of a decoder can have, as `needed_window` cuts it;
// `full` is the whole axis, 0 where it is not known. A region that is not finite is never decoded.
double longest(double from, double to, const DecodeOptions& options, int denominator, int full) {
  if (!std::isfinite(from) || !std::isfinite(to)) return 1;
  const int extra = denominator > 1 ? 1 : 0;
  const double low = std::floor((from - options.margin) / denominator) - extra;
  const double high = std::ceil((to + options.margin) / denominator) + extra;
  const double count = std::max(1.0, high - low);
  return full > 0 ? std::min<double>(count, full) : count;
}

}  // namespace

std::int64_t slot_bytes(const Extent& extent, const DecodeOptions& options) {
  const bool is_jpeg = extent.codec == Codec::kJpeg, is_png = extent.codec == Codec::kPng;
  const int denominator = is_jpeg ? jpeg_denominator(options) : 1;
  // Only arrays have their sides in the extent.
  const bool is_array = !is_jpeg && !is_png;
  const Box& region = options.region;
  const double height =
      longest(region.y0, region.y1, options, denominator, is_array ? extent.height : 0);
  const double width =
      longest(region.x0, region.x1, options, denominator, is_array ? extent.width : 0);
  // No picture with more pixels is decoded.
  return 3 * static_cast<std::int64_t>(
                 std::min(height * width, static_cast<double>(options.max_pixels)));
}

DecodedSource fill_slot(const Picture& picture, std::uint8_t* slot, std::int64_t bytes) {
  const Plane& plane = picture.planes[0];
  const ImageView view = plane.view();
  const std::size_t row_bytes = view.row_bytes();
  if (picture.space != ColorSpace::kRgb ||
      static_cast<std::int64_t>(row_bytes) * view.height > bytes) {
    throw std::logic_error("a decoded picture does not fit into its slot");
  }
  for (int y = 0; y < view.height; ++y) {
    std::memcpy(slot + static_cast<std::size_t>(y) * row_bytes, view.row(y), row_bytes);
  }
  DecodedSource source;
  source.pixels = reinterpret_cast<std::uintptr_t>(slot);
  source.stride = static_cast<std::int64_t>(row_bytes);
  source.height = view.height;
  source.width = view.width;
  source.top = plane.top;
  source.left = plane.left;
  source.full_height = plane.full_height;
  source.full_width = plane.full_width;
  source.denominator = static_cast<std::int32_t>(std::lround(1 / plane.scale_x));
  return source;
}

}  // namespace hmtl
