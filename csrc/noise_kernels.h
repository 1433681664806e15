// The ways to add noise, all to the same result; noise.h chooses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dispatch.h"
#include "noise.h"

namespace hmtl {

// Samples of a block: kNoiseRows rows, as many as Philox counters, of the 16 bytes of a counter.
constexpr std::size_t kNoiseRows = 8, kNoiseColumns = 16;
constexpr std::size_t kNoiseBlock = kNoiseRows * kNoiseColumns;

// Adds the noise of `blocks` whole blocks from number `first` on to their samples.
using NoiseKernel = void (*)(const NoiseSource& source, std::int32_t scale, std::uint32_t first,
                             std::size_t blocks, std::uint8_t* samples);

void add_noise_plain(const NoiseSource& source, std::int32_t scale, std::uint32_t first,
                     std::size_t blocks, std::uint8_t* samples);

#ifdef HMTL_X86
void add_noise_avx2(const NoiseSource& source, std::int32_t scale, std::uint32_t first,
                    std::size_t blocks, std::uint8_t* samples);
void add_noise_avx512(const NoiseSource& source, std::int32_t scale, std::uint32_t first,
                      std::size_t blocks, std::uint8_t* samples);
#endif

}  // namespace hmtl
