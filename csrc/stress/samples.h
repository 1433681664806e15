// Files of all kinds to work on, good and bad, and what each must become.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "decoded.h"
#include "render.h"

namespace hmtl::stress {

constexpr int kSize = 48, kGrid = 3, kViews = 2;

// What can be asked of a sample.
enum class Kind { kRender, kDecode, kRenderDecoded, kRead };
constexpr Kind kKinds[] = {Kind::kRender, Kind::kDecode, Kind::kRenderDecoded, Kind::kRead};

// All bytes that are written for a row, or the reason why it fails.
struct Outcome {
  std::vector<std::uint8_t> bytes;
  std::string reason;
};

// One sample, and what one thread made of it.
struct Sample {
  Extent extent;
  SampleParams params[kViews];
  float pose[3];
  // Decoded; of no height for a sample that cannot be read.
  std::vector<std::uint8_t> pixels;
  DecodedSource source;
  Outcome outcomes[std::size(kKinds)];

  const Outcome& outcome(Kind kind) const { return outcomes[static_cast<int>(kind)]; }
};

struct Samples {
  std::vector<std::string> paths;
  RenderSettings settings;
  std::vector<Sample> all;
};

// Writes JPEG and PNG files and a container of arrays into a folder that exists, damages some, and
// does everything to each sample on this thread.
Samples make_samples(const std::string& folder);

}  // namespace hmtl::stress
