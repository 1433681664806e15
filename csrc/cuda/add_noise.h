// The kernel that adds noise, one thread for each block of samples; see Note [Noise].
#pragma once

#include <cstdint>
#include <cstring>

#include "batch.h"
#include "block.h"
#include "noise_kernels.h"
#include "philox.h"
#include "pixel_math.h"

namespace hmtl::cuda {

struct AddNoise {
  static constexpr int kThreads = 128;
  static constexpr int kRows = static_cast<int>(kNoiseRows), kWords = 4, kWordBytes = 4;
  struct Shared {};

  DeviceBatch batch;

  std::int64_t blocks() const { return blocks_for(batch.job_count * of_job(), kThreads); }

  HMTL_BOTH void operator()(Block<kThreads> block, std::int64_t number, Shared&) const {
    block.step([&](int thread) { add(number * kThreads + thread); });
  }

 private:
  // Blocks of samples of the largest canvas.
  HMTL_BOTH std::int64_t of_job() const {
    const std::int64_t side = batch.workspace.most_side;
    return blocks_for(3 * side * side, kNoiseBlock);
  }

  HMTL_BOTH void add(std::int64_t number) const {
    const std::int64_t job_number = number / of_job(), noise_block = number % of_job();
    if (job_number >= batch.job_count) return;
    const Job& job = batch.job(job_number);
    const std::int64_t samples = 3 * static_cast<std::int64_t>(job.side) * job.side;
    const std::int64_t first = noise_block * static_cast<std::int64_t>(kNoiseBlock);
    if (job.params.noise_scale == 0 || first >= samples) return;
    std::uint8_t* const at = batch.blurred_canvas(job_number) + first;
    const std::int64_t left = samples - first;
    std::uint32_t words[kRows][kWords];
    draw(job.params.noise, static_cast<std::uint32_t>(noise_block), words);
    HMTL_UNROLL
    for (int word = 0; word < kWords; ++word) {
      std::int32_t sums[kWordBytes][kRows];
      HMTL_UNROLL
      for (int byte = 0; byte < kWordBytes; ++byte) {
        HMTL_UNROLL
        for (int k = 0; k < kRows; ++k) {
          sums[byte][k] = 2 * static_cast<std::int32_t>(words[k][word] >> (8 * byte) & 0xFF) - 255;
        }
        transform(sums[byte]);
      }
      HMTL_UNROLL
      for (int k = 0; k < kRows; ++k) {
        const int i = static_cast<int>(kNoiseColumns) * k + kWordBytes * word;
        const std::int32_t n[kWordBytes] = {sums[0][k], sums[1][k], sums[2][k], sums[3][k]};
        add_to_word(n, job.params.noise_scale, left - i, at + i);
      }
    }
  }

  // Adds to up to four samples, which begin at a multiple of four bytes.
  HMTL_BOTH static void add_to_word(const std::int32_t (&n)[kWordBytes], std::int32_t scale,
                                    std::int64_t left, std::uint8_t* at) {
    if (left >= kWordBytes) {
      std::uint8_t samples[kWordBytes];
      std::memcpy(samples, __builtin_assume_aligned(at, kWordBytes), kWordBytes);
      HMTL_UNROLL
      for (int byte = 0; byte < kWordBytes; ++byte) {
        samples[byte] = noisy(samples[byte], n[byte], scale);
      }
      std::memcpy(__builtin_assume_aligned(at, kWordBytes), samples, kWordBytes);
      return;
    }
    for (int byte = 0; byte < left; ++byte) at[byte] = noisy(at[byte], n[byte], scale);
  }

  HMTL_BOTH static void draw(const NoiseSource& source, std::uint32_t noise_block,
                             std::uint32_t (&words)[kRows][kWords]) {
    HMTL_UNROLL
    for (std::uint32_t k = 0; k < kRows; ++k) {
      const PhiloxCounter drawn = philox4x32(
          {noise_block * kRows + k, source.counter[0], source.counter[1], source.counter[2]},
          {source.key[0], source.key[1]});
      for (std::size_t word = 0; word < kWords; ++word) words[k][word] = drawn[word];
    }
  }

  // The fast Walsh and Hadamard transform.
  HMTL_BOTH static void transform(std::int32_t (&sums)[kRows]) {
    HMTL_UNROLL
    for (int half = 1; half < kRows; half *= 2) {
      HMTL_UNROLL
      for (int k = 0; k < kRows; ++k) {
        if ((k & half) != 0) continue;
        const std::int32_t a = sums[k], b = sums[k + half];
        sums[k] = a + b;
        sums[k + half] = a - b;
      }
    }
  }
};

}  // namespace hmtl::cuda
