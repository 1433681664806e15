// What is drawn for a sample: the one place where chance enters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "color.h"
#include "image.h"
#include "noise.h"
#include "tile.h"

namespace hmtl {

struct Range {
  double low = 0, high = 0;
};

// Ranges and probabilities, by stage. The defaults change nothing.
struct Augmentation {
  double turn = 0;         // probability of 0 … 3 quarter turns of the whole image
  Range margin{1, 1};      // factor on the margin between a sample's `face` and its `box`
  Range area{1, 1};        // share of the crop's area that is kept
  Range aspect{1, 1};      // width over height of what is kept, the crop's being 1
  double off_centre = 0;   // how far towards the crop's border it may lie: 0 central, 1 anywhere
  double mirror = 0;       // probability
  double color = 1;        // probability of the next four together
  Range brightness{1, 1};  // factor
  Range contrast{1, 1};    // factor about 128
  Range saturation{1, 1};  // factor
  Range hue{0, 0};         // degrees
  double grey = 0;         // probability
  double blur = 0;         // probability
  double down_scale = 0;   // probability
  double blur_or_down_scale = 0;  // probability of exactly one of the two
  Range down_scale_to{1, 1};      // share of the side kept on the way
  double noise = 0;               // probability
  Range noise_deviation{0, 0};    // standard deviation, share of the range 0 … 255
  double cutout = 0;              // probability
  Range cutout_area{0, 0};        // share of the area
};

enum class Fit : std::int32_t { kShortSide = 0, kStretch = 1 };
enum class Pretext : std::int32_t { kNone = 0, kPuzzle = 1, kRotation = 2, kPuzzleRotation = 3 };

// All that shapes a draw beside chance itself.
struct DrawSettings {
  Augmentation augmentation;
  Fit fit = Fit::kShortSide;
  Pretext pretext = Pretext::kNone;
  int grid = 1;
  int size = 224;
  double puzzled_fraction = 1;
};

// Everything a view of a sample is made with. The layout is that of the NumPy structured type that
// `draw_params` returns.
struct SampleParams {
  Box box;  // rendered rectangle, pixels of the stored image
  ColorMatrix color;
  std::int32_t down_scale;   // side on the way, 0: none
  std::int32_t noise_scale;  // as `noise_scale` gives it, 0: none
  NoiseSource noise;         // 0 where there is none
  Rect cutout;
  std::uint8_t turn;  // of the whole image before it is cropped, quarters counter-clockwise
  std::uint8_t mirror, blur, puzzled;
  std::uint8_t permutation[kMaxTiles];
  std::uint8_t turns[kMaxTiles];
};

// Draws the params of one view. A pure function of its arguments: turn, mirror and `puzzled`
// do not depend on the view, so that they hold for all views of a sample.
SampleParams draw_params(const DrawSettings& settings, std::uint64_t seed, std::uint32_t epoch,
                         std::uint32_t sample, std::uint32_t view, const Box& face, const Box& box);

// The same for a batch: `count` samples with their faces and boxes, `views` params each, into
// `out`.
void draw_batch(const DrawSettings& settings, std::uint64_t seed, std::uint32_t epoch,
                const std::int64_t* samples, std::size_t count, int views, const Box* faces,
                const Box* boxes, SampleParams* out);

// A uniformly drawn permutation of 0 … count - 1 (Fisher and Yates), the order of an epoch.
std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::size_t count);

}  // namespace hmtl
