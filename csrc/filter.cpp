#include "filter.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "intrinsics.h"
#include "pixel_math.h"

namespace hmtl {
namespace {

constexpr int kTaps = 5, kReach = 2, kMargin = 3 * kReach;

// Bytes that AVX2 takes at a time; rows of sums and the line have room for whole blocks.
constexpr int kBlock = 32;

// 16 bits hold everything: 255 · 256 + 128 at most.
using Sum = std::uint16_t;

// Sums along a line, which has two more pixels before and behind.
void blend_along_plain(const std::uint8_t* line, Sum* sums, int count) {
  for (int i = 0; i < count; ++i) {
    sums[i] =
        static_cast<Sum>(binomial(line[i - 6] + line[i + 6], line[i - 3] + line[i + 3], line[i]));
  }
}

// Pixels from the sums along five lines.
void blend_rows_plain(const Sum* const rows[kTaps], std::uint8_t* out, int count) {
  for (int i = 0; i < count; ++i) {
    out[i] = blurred(binomial(rows[0][i] + rows[4][i], rows[1][i] + rows[3][i], rows[2][i]));
  }
}

#ifdef HMTL_X86

HMTL_AVX2 inline __m256i load(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

HMTL_AVX2 inline void store(void* at, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(at), value);
}

// Each block of 32 sums lies in the order in which interleaving leaves it, which packing undoes.
HMTL_AVX2 void blend_along_avx2(const std::uint8_t* line, Sum* sums, int count) {
  const __m256i one_four = _mm256_set1_epi16(1 | 4 << 8), six = _mm256_set1_epi16(6);
  const __m256i zero = _mm256_setzero_si256();
  for (int i = 0; i < count; i += kBlock) {
    const __m256i a = load(line + i - 6), b = load(line + i - 3), c = load(line + i);
    const __m256i d = load(line + i + 3), e = load(line + i + 6);
    const __m256i low =
        _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, b), one_four),
                         _mm256_maddubs_epi16(_mm256_unpacklo_epi8(e, d), one_four));
    const __m256i high =
        _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, b), one_four),
                         _mm256_maddubs_epi16(_mm256_unpackhi_epi8(e, d), one_four));
    const __m256i middle_low = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(c, zero), six);
    const __m256i middle_high = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(c, zero), six);
    store(sums + i, _mm256_add_epi16(low, middle_low));
    store(sums + i + 16, _mm256_add_epi16(high, middle_high));
  }
}

HMTL_AVX2 inline __m256i blend_words(const Sum* const rows[kTaps], int i) {
  const __m256i c = load(rows[2] + i), half = _mm256_set1_epi16(128);
  const __m256i outer = _mm256_add_epi16(load(rows[0] + i), load(rows[4] + i));
  const __m256i inner = _mm256_add_epi16(load(rows[1] + i), load(rows[3] + i));
  const __m256i fours = _mm256_slli_epi16(_mm256_add_epi16(inner, c), 2);
  const __m256i rest = _mm256_add_epi16(_mm256_add_epi16(c, c), _mm256_add_epi16(outer, half));
  return _mm256_srli_epi16(_mm256_add_epi16(fours, rest), 8);
}

HMTL_AVX2 void blend_rows_avx2(const Sum* const rows[kTaps], std::uint8_t* out, int count) {
  const Sum* const own[kTaps] = {rows[0], rows[1], rows[2], rows[3], rows[4]};
  int i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    store(out + i, _mm256_packus_epi16(blend_words(own, i), blend_words(own, i + 16)));
  }
  if (i == count) return;
  std::uint8_t rest[kBlock];
  store(rest, _mm256_packus_epi16(blend_words(own, i), blend_words(own, i + 16)));
  std::memcpy(out + i, rest, static_cast<std::size_t>(count - i));
}

#endif

struct Blends {
  void (*along)(const std::uint8_t* line, Sum* sums, int count);
  void (*rows)(const Sum* const rows[kTaps], std::uint8_t* out, int count);
};

Blends choose_blends() {
#ifdef HMTL_X86
  if (use_avx2()) return {blend_along_avx2, blend_rows_avx2};
#endif
  return {blend_along_plain, blend_rows_plain};
}

}  // namespace

void blur(MutableImageView rgb, FilterScratch& scratch) {
  const int height = rgb.height, width = rgb.width;
  if (height < 3 || width < 3) throw std::invalid_argument("blur needs at least 3 × 3 pixels");
  const Blends blends = choose_blends();
  const int count = width * 3, room = count / kBlock * kBlock + kBlock;
  scratch.line.resize(static_cast<std::size_t>(room + 2 * kMargin));
  // The sums along the last five rows: a row is read before it is written.
  scratch.sums.resize(static_cast<std::size_t>(kTaps * room));
  std::uint8_t* const line = scratch.line.data() + kMargin;
  const auto sums_of = [&](int y) { return scratch.sums.data() + y % kTaps * room; };
  int summed = 0;
  for (int y = 0; y < height; ++y) {
    for (; summed <= std::min(y + kReach, height - 1); ++summed) {
      std::memcpy(line, rgb.row(summed), static_cast<std::size_t>(count));
      for (int k = 1; k <= kReach; ++k) {
        std::copy_n(line + 3 * k, 3, line - 3 * k);
        std::copy_n(line + count - 3 - 3 * k, 3, line + count - 3 + 3 * k);
      }
      blends.along(line, sums_of(summed), count);
    }
    const Sum* rows[kTaps];
    for (int k = 0; k < kTaps; ++k) rows[k] = sums_of(reflected(y + k - kReach, height));
    blends.rows(rows, rgb.row(y), count);
  }
}

}  // namespace hmtl
