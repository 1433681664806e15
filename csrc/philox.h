// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011. What is drawn is a pure function of key and counter.
#pragma once

#include <array>
#include <cstdint>

#include "pixel_math.h"

namespace hmtl {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

HMTL_BOTH inline PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// What a stream of numbers is for. A stage that draws more or less than before leaves the others'
// numbers as they are. Values are part of the reproducible definition: append, never renumber.
enum class Purpose : std::uint32_t {
  kOrder = 0,
  kCrop = 1,
  kMirror = 2,
  kColor = 3,
  kFilter = 4,
  kCutout = 5,
  kPuzzled = 6,
  kTiles = 7,
  kTurn = 8,
  kNoise = 9,
  kNoisePixels = 10,
};

// The numbers of one (seed, purpose, view, sample, epoch), one after the other.
class Stream {
 public:
  Stream(std::uint64_t seed, Purpose purpose, std::uint32_t view, std::uint32_t sample,
         std::uint32_t epoch)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        counter_{0, static_cast<std::uint32_t>(purpose) | view << 16, sample, epoch} {}

  std::uint32_t next() {
    if (used_ == 4) {
      words_ = philox4x32(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return words_[static_cast<std::size_t>(used_++)];
  }

  // In [0, 1), a multiple of 2⁻²⁴.
  double uniform() { return static_cast<double>(next() >> 8) * 0x1p-24; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  bool chance(double probability) { return uniform() < probability; }

  // In [0, bound), unbiased: Lemire, "Fast random integer generation in an interval", 2019.
  std::uint32_t below(std::uint32_t bound) {
    std::uint64_t product = static_cast<std::uint64_t>(next()) * bound;
    if (static_cast<std::uint32_t>(product) < bound) {
      const std::uint32_t threshold = (0u - bound) % bound;
      while (static_cast<std::uint32_t>(product) < threshold) {
        product = static_cast<std::uint64_t>(next()) * bound;
      }
    }
    return static_cast<std::uint32_t>(product >> 32);
  }

 private:
  PhiloxKey key_;
  PhiloxCounter counter_;
  PhiloxCounter words_{};
  int used_ = 4;
};

}  // namespace hmtl
