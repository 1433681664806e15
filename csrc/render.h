// One sample from encoded bytes to pixels and labels: the only file that knows the stages' order.
#pragma once

#include <cstdint>
#include <vector>

#include "decode.h"
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

// Renders all views of a sample; `params` holds one entry per view. Returns the number of decoder
// warnings. Throws DecodeError.
int render_sample(const FileTable& files, const Extent& extent, const SampleParams* params,
                  const RenderSettings& settings, RenderScratch& scratch,
                  const RenderTarget& target);

}  // namespace hmtl
