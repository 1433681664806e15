// Files of all kinds to render, good and bad, and what each must become.
#pragma once

#include <string>
#include <vector>

#include "render.h"

namespace hmtl::stress {

constexpr int kSize = 48, kGrid = 3, kViews = 2;
constexpr int kImageBytes = kSize * kSize * 3, kLabels = kViews * kGrid * kGrid;

// One sample, and what one thread made of it.
struct Sample {
  Extent extent;
  SampleParams params[kViews];
  float pose[3];
  // As rendered; the reason is empty for a sample that can be read.
  std::vector<std::uint8_t> images[kViews];
  std::vector<std::int64_t> permutation, turns;
  float rendered_pose[3];
  std::string reason;
};

struct Samples {
  std::vector<std::string> paths;
  RenderSettings settings;
  std::vector<Sample> all;
};

// Writes JPEG and PNG files and a container of arrays into a folder that exists, damages some, and
// renders each sample on this thread.
Samples make_samples(const std::string& folder);

}  // namespace hmtl::stress
