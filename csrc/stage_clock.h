// Where the time of rendering goes, stage by stage.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace hmtl {

// What is told apart, in the order of the work: reading bytes, decoding them, turning the whole
// image, cropping with resize and colour, blur and down-scaling, noise, tiles and cutout.
enum class Stage : std::size_t { kRead, kDecode, kTurn, kCrop, kFilter, kNoise, kTile };
constexpr std::size_t kStages = 7;
constexpr std::array<const char*, kStages> kStageNames = {"read",   "decode", "turn", "crop",
                                                          "filter", "noise",  "tile"};

// Nanoseconds by stage.
using StageTimes = std::array<std::int64_t, kStages>;

// A stop watch. Reading the clock takes some 25 ns, a stage micro- to milliseconds: it always runs.
class StageClock {
 public:
  void start() { last_ = std::chrono::steady_clock::now(); }

  // What went by since the last call belongs to `stage`.
  void lap(Stage stage) {
    const auto now = std::chrono::steady_clock::now();
    times_[static_cast<std::size_t>(stage)] +=
        std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_).count();
    last_ = now;
  }

  // Returns what has been measured and begins anew.
  StageTimes take() {
    const StageTimes taken = times_;
    times_ = {};
    return taken;
  }

 private:
  std::chrono::steady_clock::time_point last_;
  StageTimes times_{};
};

}  // namespace hmtl
