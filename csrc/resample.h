// Crop and antialiased resize in one go, in 8-bit fixed point.
#pragma once

#include <cstdint>
#include <vector>

#include "decode.h"
#include "image.h"

namespace hmtl {

// Weights sum to 1 << 14: an 8-bit sample times a weight leaves room for the sum in 32 bits.
constexpr int kWeightBits = 14;

// Source pixels for an output pixel, and so the reach of the filter. Beyond any image that is
// decoded; keeps a mistaken box from taking all memory.
constexpr int kMaxReach = 1 << 14;

// For each output sample: the input samples it is made of, as a dot product of `stride` samples
// from `first` on with weights that are 0 where the sample does not count. What samples outside the
// image contribute is in `bias`, together with the half that rounds.
struct Taps {
  std::vector<std::int32_t> first, bias;  // one per output sample
  std::vector<std::int16_t> weights;      // `stride` per output sample
  int stride = 0;
  int begin = 0, end = 0;  // input samples that are read with a weight other than 0

  // What the taps were made for; making them again for the same is free.
  double from = 0, to = 0;
  int length = -1, out = 0, border = 0;
};

// The triangle filter of Pillow's BILINEAR: its support is one input sample, or one output sample
// where that is larger. Resamples [begin, end) of an axis to `taps.spans.size()` = `out` samples.
// The axis holds samples 0 … length - 1. Where [begin, end) leaves it, samples outside count as
// the border colour; where it does not, the filter is cut off at the border and its weights
// rescaled, as if the image were pasted on a canvas just large enough for the crop.
void make_taps(double from, double to, int length, int out, int border, Taps& taps);

// Memory that `crop_resize` reuses.
struct ResampleScratch {
  Taps rows, columns;
  std::vector<std::int16_t> lines;  // one row of each channel
};

// Resamples `box` (in source pixels) of a decoded plane to fill `dst`, which has as many channels.
// The plane must hold all samples within max(1 sample, 1 output pixel) of the box that exist.
void crop_resize(const Plane& plane, const Box& box, std::uint8_t border, ResampleScratch& scratch,
                 MutableImageView dst);

// The same for a whole image to another size; 3 channels.
void resize(ImageView src, ResampleScratch& scratch, MutableImageView dst);

}  // namespace hmtl
