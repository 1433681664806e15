// Pixels and rectangles: who owns memory, and how it lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hmtl {

// A rectangle in pixels of the whole source image, x1 and y1 exclusive. It may leave the image.
struct Box {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

// Borrowed 8-bit pixels, rows of interleaved channels; `stride` counts bytes from row to row.
struct ImageView {
  const std::uint8_t* data = nullptr;
  int height = 0, width = 0, channels = 0;
  std::ptrdiff_t stride = 0;

  const std::uint8_t* row(int y) const { return data + y * stride; }
  // Of a row's pixels, without what pads it.
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
  }
};

// The same, writable.
struct MutableImageView {
  std::uint8_t* data = nullptr;
  int height = 0, width = 0, channels = 0;
  std::ptrdiff_t stride = 0;

  std::uint8_t* row(int y) const { return data + y * stride; }
  operator ImageView() const { return {data, height, width, channels, stride}; }
};

// Owned 8-bit pixels. Reshaping keeps the memory it has, so that a thread that reuses its images
// stops allocating; the pixels are unspecified afterwards.
class Image {
 public:
  Image() = default;
  Image(int height, int width, int channels) { reshape(height, width, channels); }

  // Without padding.
  void reshape(int height, int width, int channels) {
    reshape_grid(height, width, channels);
    crop(0, 0, height, width);
  }

  // A grid of which `crop` then makes a part the image, without moving it. Returns the grid.
  MutableImageView reshape_grid(int height, int width, int channels) {
    channels_ = channels;
    stride_ = static_cast<std::ptrdiff_t>(width) * channels;
    const std::size_t size = static_cast<std::size_t>(height) * static_cast<std::size_t>(stride_);
    if (pixels_.size() < size) pixels_.resize(size);
    return {pixels_.data(), height, width, channels, stride_};
  }

  // Makes height × width pixels of the grid, which has them, the image.
  void crop(int top, int left, int height, int width) {
    offset_ = top * stride_ + static_cast<std::ptrdiff_t>(left) * channels_;
    height_ = height;
    width_ = width;
  }

  int height() const { return height_; }
  int width() const { return width_; }
  int channels() const { return channels_; }
  std::ptrdiff_t stride() const { return stride_; }
  std::uint8_t* row(int y) { return pixels_.data() + offset_ + y * stride_; }
  ImageView view() const { return {pixels_.data() + offset_, height_, width_, channels_, stride_}; }
  MutableImageView view() {
    return {pixels_.data() + offset_, height_, width_, channels_, stride_};
  }

 private:
  std::vector<std::uint8_t> pixels_;
  int height_ = 0, width_ = 0, channels_ = 0;
  std::ptrdiff_t stride_ = 0, offset_ = 0;
};

}  // namespace hmtl
