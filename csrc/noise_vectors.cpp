// Noise with the vectors of AVX2 and AVX-512, equal to `add_noise_plain` bit for bit.

#include "intrinsics.h"
#include "noise_kernels.h"

#ifdef HMTL_X86

namespace hmtl {
namespace {

constexpr int kRounds = 10;
constexpr int kMultiplier0 = static_cast<int>(0xD2511F53);
constexpr int kMultiplier1 = static_cast<int>(0xCD9E8D57);

// The keys of the rounds.
struct RoundKeys {
  int first[kRounds], second[kRounds];

  explicit RoundKeys(const NoiseSource& source) {
    std::uint32_t a = source.key[0], b = source.key[1];
    for (int round = 0; round < kRounds; ++round, a += 0x9E3779B9, b += 0xBB67AE85) {
      first[round] = static_cast<int>(a);
      second[round] = static_cast<int>(b);
    }
  }
};

// Four counters. Each word lies in the lower half of 64 bits; what is in the upper half does not
// matter, because the multiplication leaves it out.
struct Words4 {
  __m256i words[4];
};

HMTL_AVX2 inline void philox_round(Words4& counters, __m256i key0, __m256i key1) {
  auto& [c0, c1, c2, c3] = counters.words;
  const __m256i product0 = _mm256_mul_epu32(_mm256_set1_epi32(kMultiplier0), c0);
  const __m256i product1 = _mm256_mul_epu32(_mm256_set1_epi32(kMultiplier1), c2);
  c0 = _mm256_xor_si256(_mm256_srli_epi64(product1, 32), _mm256_xor_si256(c1, key0));
  c1 = product1;
  c2 = _mm256_xor_si256(_mm256_srli_epi64(product0, 32), _mm256_xor_si256(c3, key1));
  c3 = product0;
}

// Two times four, side by side: each round waits for the one before, and there is other work then.
HMTL_AVX2 inline void philox(const RoundKeys& keys, Words4& first, Words4& second) {
  for (int round = 0; round < kRounds; ++round) {
    const __m256i key0 = _mm256_set1_epi32(keys.first[round]);
    const __m256i key1 = _mm256_set1_epi32(keys.second[round]);
    philox_round(first, key0, key1);
    philox_round(second, key0, key1);
  }
}

// The 16 bytes of a counter in each half: of the first and third in `even`, the others in `odd`.
HMTL_AVX2 inline void join_words(const Words4& in, __m256i& even, __m256i& odd) {
  constexpr int kUpper = 0b10101010;
  const __m256i low = _mm256_blend_epi32(in.words[0], _mm256_slli_epi64(in.words[1], 32), kUpper);
  const __m256i high = _mm256_blend_epi32(in.words[2], _mm256_slli_epi64(in.words[3], 32), kUpper);
  even = _mm256_unpacklo_epi64(low, high);
  odd = _mm256_unpackhi_epi64(low, high);
}

HMTL_AVX2 inline __m256i widen_first(__m256i bytes) {
  return _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes));
}

HMTL_AVX2 inline __m256i widen_second(__m256i bytes) {
  return _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1));
}

// Rows of bytes to rows of 2·B - 255 after Hadamard. The transform is linear and its first row
// sums, the others cancel what is the same in all: the 255 concern the first only.
HMTL_AVX2 inline void transform(__m256i rows[8]) {
  for (int half = 1; half < 8; half *= 2) {
    for (int k = 0; k < 8; ++k) {
      if (k & half) continue;
      const __m256i a = rows[k], b = rows[k + half];
      rows[k] = _mm256_add_epi16(a, b);
      rows[k + half] = _mm256_sub_epi16(a, b);
    }
  }
  for (int k = 0; k < 8; ++k) rows[k] = _mm256_add_epi16(rows[k], rows[k]);
  rows[0] = _mm256_sub_epi16(rows[0], _mm256_set1_epi16(8 * 255));
}

// Two rows of noise, scaled, on the 32 samples they belong to.
HMTL_AVX2 inline void add_rows(__m256i first, __m256i second, __m256i scale,
                               std::uint8_t* samples) {
  auto* place = reinterpret_cast<__m256i*>(samples);
  const __m256i bytes = _mm256_loadu_si256(place);
  const __m256i a = _mm256_add_epi16(widen_first(bytes), _mm256_mulhrs_epi16(first, scale));
  const __m256i b = _mm256_add_epi16(widen_second(bytes), _mm256_mulhrs_epi16(second, scale));
  _mm256_storeu_si256(place, _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0b11011000));
}

// The noise of the first four counters' bytes and of the last four's, on the samples of a block.
HMTL_AVX2 inline void add_block(const __m256i even[2], const __m256i odd[2], __m256i scale,
                                std::uint8_t* samples) {
  __m256i rows[kNoiseRows];
  for (int half = 0; half < 2; ++half) {
    rows[4 * half] = widen_first(even[half]);
    rows[4 * half + 1] = widen_first(odd[half]);
    rows[4 * half + 2] = widen_second(even[half]);
    rows[4 * half + 3] = widen_second(odd[half]);
  }
  transform(rows);
  for (int k = 0; k < 8; k += 2) add_rows(rows[k], rows[k + 1], scale, samples + 16 * k);
}

// Eight counters, as `Words4`.
struct Words8 {
  __m512i words[4];
};

HMTL_AVX512 inline void philox_round(Words8& counters, __m512i key0, __m512i key1) {
  constexpr int kXorAll = 0x96;  // the truth table of a ^ b ^ c
  auto& [c0, c1, c2, c3] = counters.words;
  const __m512i product0 = _mm512_mul_epu32(_mm512_set1_epi32(kMultiplier0), c0);
  const __m512i product1 = _mm512_mul_epu32(_mm512_set1_epi32(kMultiplier1), c2);
  c0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product1, 32), c1, key0, kXorAll);
  c1 = product1;
  c2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product0, 32), c3, key1, kXorAll);
  c3 = product0;
}

HMTL_AVX512 inline void philox(const RoundKeys& keys, Words8& first, Words8& second) {
  for (int round = 0; round < kRounds; ++round) {
    const __m512i key0 = _mm512_set1_epi32(keys.first[round]);
    const __m512i key1 = _mm512_set1_epi32(keys.second[round]);
    philox_round(first, key0, key1);
    philox_round(second, key0, key1);
  }
}

HMTL_AVX512 inline void add_block(const Words8& in, __m256i scale, std::uint8_t* samples) {
  constexpr __mmask16 kUpper = 0xAAAA;
  const __m512i low =
      _mm512_mask_blend_epi32(kUpper, in.words[0], _mm512_slli_epi64(in.words[1], 32));
  const __m512i high =
      _mm512_mask_blend_epi32(kUpper, in.words[2], _mm512_slli_epi64(in.words[3], 32));
  const __m512i even = _mm512_unpacklo_epi64(low, high);
  const __m512i odd = _mm512_unpackhi_epi64(low, high);
  const __m256i even_halves[2] = {_mm512_castsi512_si256(even), _mm512_extracti64x4_epi64(even, 1)};
  const __m256i odd_halves[2] = {_mm512_castsi512_si256(odd), _mm512_extracti64x4_epi64(odd, 1)};
  add_block(even_halves, odd_halves, scale, samples);
}

}  // namespace

HMTL_AVX2 void add_noise_avx2(const NoiseSource& source, std::int32_t scale, std::uint32_t first,
                              std::size_t blocks, std::uint8_t* samples) {
  const RoundKeys keys(source);
  const __m256i factor = _mm256_set1_epi16(static_cast<short>(scale));
  const __m256i four = _mm256_set1_epi32(4);
  __m256i number = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first * kNoiseRows)),
                                    _mm256_setr_epi64x(0, 1, 2, 3));
  for (std::size_t block = 0; block < blocks; ++block, samples += kNoiseBlock) {
    Words4 halves[2];
    for (Words4& half : halves) {
      half.words[0] = number;
      for (int i = 0; i < 3; ++i)
        half.words[i + 1] = _mm256_set1_epi32(static_cast<int>(source.counter[i]));
      number = _mm256_add_epi32(number, four);
    }
    philox(keys, halves[0], halves[1]);
    __m256i even[2], odd[2];
    for (int half = 0; half < 2; ++half) join_words(halves[half], even[half], odd[half]);
    add_block(even, odd, factor, samples);
  }
}

HMTL_AVX512 void add_noise_avx512(const NoiseSource& source, std::int32_t scale,
                                  std::uint32_t first, std::size_t blocks, std::uint8_t* samples) {
  const RoundKeys keys(source);
  const __m256i factor = _mm256_set1_epi16(static_cast<short>(scale));
  const __m512i eight = _mm512_set1_epi32(8);
  __m512i number = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first * kNoiseRows)),
                                    _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
  const std::size_t paired = blocks / 2 * 2;
  for (std::size_t block = 0; block < paired; block += 2) {
    Words8 pair[2];
    for (Words8& one : pair) {
      one.words[0] = number;
      for (int i = 0; i < 3; ++i)
        one.words[i + 1] = _mm512_set1_epi32(static_cast<int>(source.counter[i]));
      number = _mm512_add_epi32(number, eight);
    }
    philox(keys, pair[0], pair[1]);
    for (const Words8& one : pair) {
      add_block(one, factor, samples);
      samples += kNoiseBlock;
    }
  }
  if (paired < blocks) {
    add_noise_avx2(source, scale, first + static_cast<std::uint32_t>(paired), 1, samples);
  }
}

}  // namespace hmtl

#endif
