// What a resampled sample is made of: the fixed-point weights of one axis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pixel_math.h"

namespace hmtl {

// Weights that are read together.
constexpr int kWeightBlock = 16;

// Source pixels for an output pixel, and so the reach of the filter. Beyond any image that is
// decoded; keeps a mistaken box from taking all memory.
constexpr int kMaxReach = 1 << 14;

// For each output sample: the input samples it is made of, as a dot product of `count` samples from
// `first` on with weights that are 0 where the sample does not count. What samples outside the
// image contribute is in `bias`, together with the half that rounds.
struct Taps {
  std::vector<std::int32_t> first, bias;  // one per output sample
  std::vector<std::int16_t> weights;      // `stride` per output sample, 0 from `count` on
  int stride = 0;                         // a multiple of kWeightBlock
  int count = 0;                          // the most samples that an output sample is made of
  int begin = 0, end = 0;                 // input samples that are read with a weight other than 0

  // What the taps were made for; making them again for the same is free.
  double from = 0, to = 0;
  int length = -1, out = 0, border = 0;

  // Memory of the making.
  std::vector<double> exact;
  std::vector<std::int32_t> rounded;

  const std::int16_t* weights_of(int sample) const {
    return weights.data() + static_cast<std::ptrdiff_t>(sample) * stride;
  }
};

// The triangle filter of Pillow's BILINEAR: its support is one input sample, or one output sample
// where that is larger. Resamples [from, to) of an axis to `out` samples. The axis holds samples
// 0 … length - 1. Where [from, to) leaves it, samples outside count as the border colour; where it
// does not, the filter is cut off at the border and its weights rescaled, as if the image were
// pasted on a canvas just large enough for the crop. Throws std::invalid_argument unless
// from < to and the reach is within kMaxReach.
void make_taps(double from, double to, int length, int out, int border, Taps& taps);

}  // namespace hmtl
