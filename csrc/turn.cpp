#include "turn.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace hmtl {
namespace {

// Rows and columns of a quarter turn are walked in squares of this side, so that the lines of
// memory that are read once for each output row stay in the first-level cache.
constexpr int kSquare = 32;

// Gathers `count` pixels, `step` bytes apart, into a row. Where another byte may be read behind
// each, three channels are moved as four bytes, the last of which the next pixel overwrites: one
// load and one store for each pixel.
template <int kChannels>
void gather(const std::uint8_t* in, std::ptrdiff_t step, bool readable_behind, std::uint8_t* out,
            int count) {
  if (kChannels == 3 && readable_behind) {
    for (; count > 1; --count, in += step, out += 3) std::memcpy(out, in, 4);
  }
  for (; count > 0; --count, in += step, out += kChannels) std::memcpy(out, in, kChannels);
}

template <int kChannels>
void turn_half(ImageView src, MutableImageView dst) {
  for (int y = 0; y < dst.height; ++y) {
    const std::uint8_t* in = src.row(src.height - 1 - y);
    std::uint8_t* out = dst.row(y);
    if (kChannels == 1) {
      std::reverse_copy(in, in + src.width, out);
      continue;
    }
    const std::uint8_t* last = in + (src.width - 1) * kChannels;
    gather<kChannels>(last, 0, false, out, 1);
    if (src.width == 1) continue;
    gather<kChannels>(last - kChannels, -kChannels, true, out + kChannels, dst.width - 1);
  }
}

// dst(y, x) = src(x, width - 1 - y) for one quarter, src(height - 1 - x, y) for three.
template <int kChannels>
void turn_quarter(ImageView src, bool clockwise, MutableImageView dst) {
  const std::ptrdiff_t step = clockwise ? -src.stride : src.stride;
  for (int top = 0; top < dst.height; top += kSquare) {
    const int bottom = std::min(top + kSquare, dst.height);
    for (int left = 0; left < dst.width; left += kSquare) {
      const std::uint8_t* row = src.row(clockwise ? src.height - 1 - left : left);
      const int count = std::min(kSquare, dst.width - left);
      for (int y = top; y < bottom; ++y) {
        const int column = clockwise ? y : src.width - 1 - y;
        gather<kChannels>(row + column * kChannels, step, column < src.width - 1,
                          dst.row(y) + left * kChannels, count);
      }
    }
  }
}

template <int kChannels>
void turn_channels(ImageView src, int quarters, MutableImageView dst) {
  if (quarters == 2) {
    turn_half<kChannels>(src, dst);
  } else {
    turn_quarter<kChannels>(src, quarters == 3, dst);
  }
}

// The part of the grid keeps its samples; the grid turns about them.
void turn_plane(int quarters, Plane& plane, Image& spare) {
  const bool upright = quarters == 2;
  const ImageView src = plane.view();
  const int height = src.height, width = src.width;
  const int below = plane.full_height - plane.top - height;
  const int beside = plane.full_width - plane.left - width;
  spare.reshape(upright ? height : width, upright ? width : height, src.channels);
  turn(src, quarters, spare.view());
  std::swap(plane.pixels, spare);
  plane.borrowed = {};
  const int top = quarters == 1 ? beside : (upright ? below : plane.left);
  plane.left = quarters == 1 ? plane.top : (upright ? beside : below);
  plane.top = top;
  if (upright) return;
  std::swap(plane.full_height, plane.full_width);
  std::swap(plane.scale_x, plane.scale_y);
}

}  // namespace

void turn(ImageView src, int quarters, MutableImageView dst) {
  const bool upright = quarters % 2 == 0;
  if (quarters < 0 || quarters > 3 || dst.height != (upright ? src.height : src.width) ||
      dst.width != (upright ? src.width : src.height) || src.channels != dst.channels ||
      (src.channels != 1 && src.channels != 3)) {
    throw std::invalid_argument("an image of " + std::to_string(src.height) + " × " +
                                std::to_string(src.width) + " cannot be turned by " +
                                std::to_string(quarters) + " quarters into " +
                                std::to_string(dst.height) + " × " + std::to_string(dst.width));
  }
  if (quarters == 0) {
    const auto bytes = static_cast<std::size_t>(src.width) * static_cast<std::size_t>(src.channels);
    for (int y = 0; y < src.height; ++y) std::memcpy(dst.row(y), src.row(y), bytes);
  } else if (src.channels == 3) {
    turn_channels<3>(src, quarters, dst);
  } else {
    turn_channels<1>(src, quarters, dst);
  }
}

void turn_picture(int quarters, Picture& picture, Image& spare) {
  picture.turned = quarters;
  if (quarters == 0) return;
  for (int i = 0; i < picture.plane_count(); ++i) turn_plane(quarters, picture.planes[i], spare);
  if (quarters != 2) std::swap(picture.height, picture.width);
}

Box turned_box(const Box& box, int quarters, const Plane& plane) {
  // Sides of the turned grid in source pixels.
  const double height = plane.full_height / static_cast<double>(plane.scale_y);
  const double width = plane.full_width / static_cast<double>(plane.scale_x);
  const auto from = [](double end, float edge) { return static_cast<float>(end - edge); };
  switch (quarters) {
    case 1:
      return {box.y0, from(height, box.x1), box.y1, from(height, box.x0)};
    case 2:
      return {from(width, box.x1), from(height, box.y1), from(width, box.x0), from(height, box.y0)};
    case 3:
      return {from(width, box.y1), box.x0, from(width, box.y0), box.x1};
    default:
      return box;
  }
}

}  // namespace hmtl
