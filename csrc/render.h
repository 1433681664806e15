// One sample from encoded bytes, or from pixels that were decoded already, to the network's pixels
// and labels: the only file that knows the stages' order.
#pragma once

#include <cstdint>
#include <vector>

#include "decode.h"
#include "decoded.h"
#include "extent.h"
#include "filter.h"
#include "params.h"
#include "resample.h"
#include "stage_clock.h"

namespace hmtl {

struct RenderSettings {
  int size = 224;      // side of the output, px
  int grid = 1;        // tiles per side of puzzled samples; labels have grid² numbers
  bool planes = true;  // resample JPEG's Y, Cb, Cr planes rather than RGB
  bool ignore_exif = false;
  std::int64_t max_pixels = 100'000'000;
};

// Where a sample goes. `images` holds one pointer per view, to size × size × 3 bytes; the labels
// hold views × grid² numbers.
struct RenderTarget {
  const std::vector<std::uint8_t*>* images = nullptr;
  std::ptrdiff_t image_offset = 0;  // of this sample from those pointers
  std::int64_t* permutation = nullptr;
  std::int64_t* turns = nullptr;
  float* pose = nullptr;  // 3 numbers: in as labelled and turned, out mirrored where the view is
};

// What one thread reuses from sample to sample.
struct RenderScratch {
  std::vector<std::uint8_t> encoded;
  Picture picture;
  Image canvas, turned;
  ResampleScratch resample;
  FilterScratch filter;
  StageClock clock;
};

// A sample is turned once, for all its views, and has one pose: throws std::invalid_argument unless
// their params agree.
void check_views(const SampleParams* params, std::size_t views);

// What all `views` of a sample need of its picture.
DecodeOptions decode_options(const SampleParams* params, std::size_t views,
                             const RenderSettings& settings);

// Reads a sample and decodes what its views need into `scratch.picture`. Throws DecodeError.
void decode_sample(const FileTable& files, const Extent& extent, const DecodeOptions& options,
                   RenderScratch& scratch);

// Renders all views of a sample; `params` holds one entry per view. Returns the number of decoder
// warnings. Throws DecodeError.
int render_sample(const FileTable& files, const Extent& extent, const SampleParams* params,
                  const RenderSettings& settings, RenderScratch& scratch,
                  const RenderTarget& target);

// The same from pixels on the host. Throws std::invalid_argument for a source that cannot be,
// std::logic_error for one that does not hold all that the views need.
void render_decoded(const DecodedSource& source, const SampleParams* params,
                    const RenderSettings& settings, RenderScratch& scratch,
                    const RenderTarget& target);

}  // namespace hmtl
