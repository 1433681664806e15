#include "resample_avx2.h"

#include <algorithm>
#include <cstring>

#include "intrinsics.h"

// Note [Columns in AVX2]
// A block of 32 output samples is four vectors of 8 sums. The low half of vector k has the samples
// 4k … 4k + 3 and the high half those 16 further on, so that packing the four to bytes puts them in
// order. The inputs of 4 neighbouring samples lie close together: one load of 16 bytes from the
// place of the first of them holds a pair of taps of all four, `picks` brings the pairs into place
// as 16-bit numbers, and one instruction multiplies and adds the two of each pair. The next pair of
// taps is two steps further on for all four: either in the same window (up to 3 pairs; adding two
// steps to `picks` keeps what stands for no byte), or in a window two steps further on with the
// same picks. Where a window is too short even so (more than 4.6 samples for each output sample),
// each output sample is a dot product of neighbouring bytes, 16 at a time; 8 of them are added up
// together.

#ifdef HMTL_X86

namespace hmtl {
namespace {

constexpr int kWindow = 16;           // bytes of one load
constexpr int kGroup = 4;             // output samples that share a window
constexpr std::uint8_t kZero = 0x80;  // in `picks`: no byte

HMTL_AVX2 inline __m256i load(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

// Two 16-bit weights side by side, of which rounding may make one negative.
std::int32_t pair_of(std::int32_t first, std::int32_t second) {
  const auto low = static_cast<std::uint16_t>(first), high = static_cast<std::uint16_t>(second);
  return static_cast<std::int32_t>(low | static_cast<std::uint32_t>(high) << 16);
}

// 32 columns as words: the sums of one pair of rows are one multiplication of interleaved samples.
// With kPairs = 0 there are `pair_count` pairs.
template <int kPairs>
HMTL_AVX2 void sum_pairs(const WeightedRow* rows, int pair_count, std::int32_t bias,
                         std::uint8_t* line, int count) {
  constexpr int kColumns = 32;
  const __m256i zero = _mm256_setzero_si256(), biases = _mm256_set1_epi32(bias);
  const int pairs = kPairs > 0 ? kPairs : pair_count;
  for (int x = 0;;) {
    __m256i a = biases, b = biases, c = biases, d = biases;
    for (const WeightedRow* row = rows; row < rows + 2 * pairs; row += 2) {
      const __m256i weights = _mm256_set1_epi32(pair_of(row[0].weight, row[1].weight));
      const __m256i upper = load(row[0].row + x), lower = load(row[1].row + x);
      const __m256i low = _mm256_unpacklo_epi8(upper, lower);
      const __m256i high = _mm256_unpackhi_epi8(upper, lower);
      a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), weights));
      b = _mm256_add_epi32(b, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), weights));
      c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), weights));
      d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), weights));
    }
    const __m256i ab =
        _mm256_packs_epi32(_mm256_srai_epi32(a, kWeightBits), _mm256_srai_epi32(b, kWeightBits));
    const __m256i cd =
        _mm256_packs_epi32(_mm256_srai_epi32(c, kWeightBits), _mm256_srai_epi32(d, kWeightBits));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(line + x), _mm256_packus_epi16(ab, cd));
    if (x + kColumns >= count) return;
    x = std::min(x + kColumns, count - kColumns);  // the last block overlaps the one before
  }
}

// Samples behind the last block that the plain loop sums faster than another block.
constexpr int kFewColumns = 4;

// What the vectors of `Columns` are summed from, from the first of them on.
struct Cursor {
  const std::int32_t *places, *biases;
  const std::uint8_t* picks;
  const std::int16_t* weights;
};

// Loads 16 bytes to each half.
HMTL_AVX2 inline __m256i load_halves(const std::uint8_t* low, const std::uint8_t* high) {
  return _mm256_inserti128_si256(
      _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low))),
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)), 1);
}

// Vector `k` from the cursor on, for each line; its two halves begin at two places. With
// kPairs = 0 there are `pair_count` pairs, each in a window of its own.
template <int kPairs, int kLines>
HMTL_AVX2 inline void sum_vector(const std::uint8_t* const* lines, const Cursor& at,
                                 std::ptrdiff_t k, int pair_count, int step, __m256i* sums) {
  const std::ptrdiff_t low = at.places[2 * k], high = at.places[2 * k + 1];
  const int pairs = kPairs > 0 ? kPairs : pair_count;
  const std::int16_t* weights = at.weights + 16 * pairs * k;
  __m256i picks = load(at.picks + 32 * k);
  __m256i windows[kLines];
  for (int i = 0; i < kLines; ++i) {
    sums[i] = load(at.biases + 8 * k);
    windows[i] = load_halves(lines[i] + low, lines[i] + high);
  }
  for (int pair = 0; pair < pairs; ++pair) {
    const __m256i factors = load(weights + 16 * pair);
    for (int i = 0; i < kLines; ++i) {
      const __m256i samples = _mm256_shuffle_epi8(windows[i], picks);
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(samples, factors));
    }
    if (pair + 1 == pairs) break;
    if (kPairs > 0) {
      picks = _mm256_add_epi8(picks, _mm256_set1_epi8(static_cast<char>(2 * step)));
    } else {
      const std::ptrdiff_t further = 2 * step * (pair + 1);
      for (int i = 0; i < kLines; ++i) {
        windows[i] = load_halves(lines[i] + low + further, lines[i] + high + further);
      }
    }
  }
  for (int i = 0; i < kLines; ++i) sums[i] = _mm256_srai_epi32(sums[i], kWeightBits);
}

template <int kPairs, int kLines>
HMTL_AVX2 void sum_blocks(const std::uint8_t* const* lines, const Columns& columns,
                          std::uint8_t* const* out) {
  const int pairs = columns.pairs, step = columns.step, width = columns.taps.out;
  Cursor at = {columns.places.data(), columns.biases.data(), columns.picks.data(),
               columns.weights.data()};
  int x = 0;
  for (; x < width - kFewColumns; x += kColumnBlock) {
    __m256i a[kLines], b[kLines], ab[kLines];
    sum_vector<kPairs, kLines>(lines, at, 0, pairs, step, a);
    sum_vector<kPairs, kLines>(lines, at, 1, pairs, step, b);
    for (int i = 0; i < kLines; ++i) ab[i] = _mm256_packs_epi32(a[i], b[i]);
    sum_vector<kPairs, kLines>(lines, at, 2, pairs, step, a);
    sum_vector<kPairs, kLines>(lines, at, 3, pairs, step, b);
    for (int i = 0; i < kLines; ++i) {
      const __m256i cd = _mm256_packs_epi32(a[i], b[i]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[i] + x), _mm256_packus_epi16(ab[i], cd));
    }
    at = {at.places + 8, at.biases + kColumnBlock, at.picks + 4 * kColumnBlock,
          at.weights + 2 * pairs * kColumnBlock};
  }
  if (x < width) sum_columns_plain(lines, kLines, columns, x, out);
}

template <int kPairs>
HMTL_AVX2 void sum_lines(const std::uint8_t* const* lines, int line_count, const Columns& columns,
                         std::uint8_t* const* out) {
  switch (line_count) {
    case 1:
      return sum_blocks<kPairs, 1>(lines, columns, out);
    case 2:
      return sum_blocks<kPairs, 2>(lines, columns, out);
    default:
      return sum_blocks<kPairs, 3>(lines, columns, out);
  }
}

// Eight sums of 8 numbers each.
HMTL_AVX2 inline __m256i add_across(const __m256i* sums) {
  const __m256i low =
      _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
  const __m256i high =
      _mm256_hadd_epi32(_mm256_hadd_epi32(sums[4], sums[5]), _mm256_hadd_epi32(sums[6], sums[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                          _mm256_permute2x128_si256(low, high, 0x31));
}

// The samples of a line as dot products: they lie side by side.
HMTL_AVX2 void sum_dots(const std::uint8_t* line, const Columns& columns, std::uint8_t* out) {
  constexpr int kDots = 8;
  const Taps& taps = columns.taps;
  for (int x = 0; x < taps.out; x += kDots) {
    __m256i sums[kDots];
    alignas(32) std::int32_t biases[kDots];
    for (int i = 0; i < kDots; ++i) {
      const int sample = sample_at(columns, std::min(x + i, taps.out - 1));
      const std::uint8_t* samples =
          line + taps.first[static_cast<std::size_t>(sample)] - taps.begin;
      const std::int16_t* weights = taps.weights_of(sample);
      __m256i sum = _mm256_setzero_si256();
      for (int k = 0; k < taps.count; k += kWeightBlock) {
        const __m256i bytes =
            _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(samples + k)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(bytes, load(weights + k)));
      }
      sums[i] = sum;
      biases[i] = taps.bias[static_cast<std::size_t>(sample)];
    }
    const __m256i total =
        _mm256_srai_epi32(_mm256_add_epi32(add_across(sums), load(biases)), kWeightBits);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + x), _mm_packus_epi16(words, words));
  }
}

// Places the four samples that are written from `i` on as half `half` of a vector. Returns false
// where a window is too short for them.
bool place_group(int i, std::size_t half, Columns& columns) {
  const Taps& taps = columns.taps;
  if (i >= taps.out) return true;
  const auto pairs = static_cast<std::size_t>(columns.pairs);
  int first = taps.end;
  for (int j = i; j < std::min(i + kGroup, taps.out); ++j) {
    first = std::min(first, taps.first[static_cast<std::size_t>(sample_at(columns, j))]);
  }
  columns.places[half] = (first - taps.begin) * columns.step;
  for (int j = 0; j < std::min(kGroup, taps.out - i); ++j) {
    const int sample = sample_at(columns, i + j);
    const std::size_t lane = half * kGroup + static_cast<std::size_t>(j);
    const int place = (taps.first[static_cast<std::size_t>(sample)] - first) * columns.step;
    if (place + columns.step >= kWindow) return false;
    if (place + columns.step * (2 * columns.pairs - 1) >= kWindow) columns.one_window = false;
    const std::uint8_t picks[4] = {static_cast<std::uint8_t>(place), kZero,
                                   static_cast<std::uint8_t>(place + columns.step), kZero};
    std::memcpy(&columns.picks[4 * lane], picks, sizeof picks);
    columns.biases[lane] = taps.bias[static_cast<std::size_t>(sample)];
    const std::int16_t* weights = taps.weights_of(sample);
    std::int16_t* pair = &columns.weights[half / 2 * 16 * pairs + 2 * (lane % 8)];
    for (std::size_t k = 0; k < pairs; ++k) {
      std::memcpy(pair + 16 * k, weights + 2 * k, 2 * sizeof *pair);
    }
  }
  return true;
}

}  // namespace

HMTL_AVX2 void sum_rows_avx2(WeightedRow* rows, int row_count, std::int32_t bias,
                             std::uint8_t* line, int count) {
  if (row_count % 2 != 0) rows[row_count] = {rows[row_count - 1].row, 0};
  switch ((row_count + 1) / 2) {
    case 1:
      return sum_pairs<1>(rows, 1, bias, line, count);
    case 2:
      return sum_pairs<2>(rows, 2, bias, line, count);
    case 3:
      return sum_pairs<3>(rows, 3, bias, line, count);
    default:
      return sum_pairs<0>(rows, (row_count + 1) / 2, bias, line, count);
  }
}

void prepare_avx2(Columns& columns) {
  columns.pairs = std::max(1, (columns.taps.count + 1) / 2);
  columns.one_window = true;
  const auto samples = static_cast<std::size_t>(padded(columns.taps.out));
  columns.places.assign(samples / kGroup, 0);
  columns.biases.assign(samples, 0);
  columns.picks.assign(4 * samples, kZero);
  columns.weights.assign(2 * samples * static_cast<std::size_t>(columns.pairs), 0);
  // See Note [Columns in AVX2]: group g of a block is half g / 4 of its vector g % 4.
  for (std::size_t group = 0; group < samples / kGroup; ++group) {
    const std::size_t in_block = group % 8;
    const std::size_t half = group - in_block + 2 * (in_block % 4) + in_block / 4;
    if (!place_group(static_cast<int>(group) * kGroup, half, columns)) {
      columns.pairs = 0;
      return;
    }
  }
}

HMTL_AVX2 void sum_columns_avx2(const std::uint8_t* const* lines, int line_count,
                                const Columns& columns, std::uint8_t* const* out) {
  if (columns.pairs == 0) {
    for (int i = 0; i < line_count; ++i) sum_dots(lines[i], columns, out[i]);
    return;
  }
  switch (columns.one_window ? columns.pairs : 0) {
    case 1:
      return sum_lines<1>(lines, line_count, columns, out);
    case 2:
      return sum_lines<2>(lines, line_count, columns, out);
    case 3:
      return sum_lines<3>(lines, line_count, columns, out);
    default:
      return sum_lines<0>(lines, line_count, columns, out);
  }
}

}  // namespace hmtl

#endif
