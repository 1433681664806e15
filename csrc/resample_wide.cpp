#include "resample_wide.h"

#include <algorithm>
#include <cstring>

#include "intrinsics.h"

// Note [Columns in AVX-512]
// Sixteen neighbouring output samples are one vector of sums. All their first pairs of taps lie in
// 64 bytes from the place of the first of them: one instruction picks any bytes of those, `picks`
// says which, as 16-bit numbers, and one multiplies and adds up the two of each pair. The next pair
// of taps is two steps further on for all of them: the same picks from 64 bytes that begin there.
// Four vectors of sums are packed to bytes together, which leaves them in groups of four: those of
// the first vector's four lanes come to 0, 16, 32 and 48, and so on. The last instruction brings
// them into order.

#ifdef HMTL_X86

namespace hmtl {
namespace {

constexpr int kGroup = 16;   // output samples of a vector of sums
constexpr int kBlock = 64;   // output samples that are packed together
constexpr int kWindow = 64;  // bytes of one load

// Two 16-bit weights side by side, of which rounding may make one negative.
int pair_of(std::int32_t first, std::int32_t second) {
  const auto low = static_cast<std::uint16_t>(first), high = static_cast<std::uint16_t>(second);
  return static_cast<int>(low | static_cast<std::uint32_t>(high) << 16);
}

HMTL_WIDE inline __m512i load(const void* at) { return _mm512_loadu_si512(at); }

// With kPairs = 0 there are `pair_count` pairs of rows.
template <int kPairs>
HMTL_WIDE void sum_pairs(const WeightedRow* rows, int pair_count, std::int32_t bias,
                         std::uint8_t* line, int count) {
  const __m512i zero = _mm512_setzero_si512(), biases = _mm512_set1_epi32(bias);
  const int pairs = kPairs > 0 ? kPairs : pair_count;
  for (int x = 0; x < count; x += kWindow) {
    const int left = count - x;
    const __mmask64 mask = left >= kWindow ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    __m512i a = biases, b = biases, c = biases, d = biases;
    for (const WeightedRow* row = rows; row < rows + 2 * pairs; row += 2) {
      const __m512i weights = _mm512_set1_epi32(pair_of(row[0].weight, row[1].weight));
      const __m512i upper = _mm512_maskz_loadu_epi8(mask, row[0].row + x);
      const __m512i lower = _mm512_maskz_loadu_epi8(mask, row[1].row + x);
      const __m512i low = _mm512_unpacklo_epi8(upper, lower);
      const __m512i high = _mm512_unpackhi_epi8(upper, lower);
      a = _mm512_dpwssd_epi32(a, _mm512_unpacklo_epi8(low, zero), weights);
      b = _mm512_dpwssd_epi32(b, _mm512_unpackhi_epi8(low, zero), weights);
      c = _mm512_dpwssd_epi32(c, _mm512_unpacklo_epi8(high, zero), weights);
      d = _mm512_dpwssd_epi32(d, _mm512_unpackhi_epi8(high, zero), weights);
    }
    // Packing saturates: it clips. Its order undoes that of unpacking.
    const __m512i ab =
        _mm512_packs_epi32(_mm512_srai_epi32(a, kWeightBits), _mm512_srai_epi32(b, kWeightBits));
    const __m512i cd =
        _mm512_packs_epi32(_mm512_srai_epi32(c, kWeightBits), _mm512_srai_epi32(d, kWeightBits));
    _mm512_mask_storeu_epi8(line + x, mask, _mm512_packus_epi16(ab, cd));
  }
}

// What the groups are summed from, from the first of them on.
struct Cursor {
  const std::int32_t *places, *biases;
  const std::uint8_t* picks;
  const std::int16_t* weights;
};

// The sums of a group, for each line; moves on to the next.
template <int kLines>
HMTL_WIDE inline void sum_group(const std::uint8_t* const* lines, int pairs, int step, Cursor& at,
                                __m512i* sums) {
  constexpr __mmask64 kLowBytes = 0x5555555555555555;  // of 16-bit numbers
  const std::ptrdiff_t place = *at.places++;
  const __m512i picks = load(at.picks), biases = load(at.biases);
  for (int i = 0; i < kLines; ++i) sums[i] = biases;
  for (int pair = 0; pair < pairs; ++pair, at.weights += 2 * kGroup) {
    const __m512i factors = load(at.weights);
    for (int i = 0; i < kLines; ++i) {
      const __m512i window = load(lines[i] + place + 2 * step * pair);
      const __m512i samples = _mm512_maskz_permutexvar_epi8(kLowBytes, picks, window);
      sums[i] = _mm512_dpwssd_epi32(sums[i], samples, factors);
    }
  }
  for (int i = 0; i < kLines; ++i) sums[i] = _mm512_srai_epi32(sums[i], kWeightBits);
  at.picks += kWindow;
  at.biases += kGroup;
}

template <int kLines>
HMTL_WIDE void sum_blocks(const std::uint8_t* const* lines, const Columns& columns,
                          std::uint8_t* const* out) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const int pairs = columns.pairs, step = columns.step;
  Cursor at = {columns.places.data(), columns.biases.data(), columns.picks.data(),
               columns.weights.data()};
  for (int x = 0; x < columns.taps.out; x += kBlock) {
    const int left = columns.taps.out - x;
    const __mmask64 mask = left >= kBlock ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    __m512i a[kLines], b[kLines], ab[kLines];
    sum_group<kLines>(lines, pairs, step, at, a);
    sum_group<kLines>(lines, pairs, step, at, b);
    for (int i = 0; i < kLines; ++i) ab[i] = _mm512_packs_epi32(a[i], b[i]);
    sum_group<kLines>(lines, pairs, step, at, a);
    sum_group<kLines>(lines, pairs, step, at, b);
    for (int i = 0; i < kLines; ++i) {
      const __m512i bytes = _mm512_packus_epi16(ab[i], _mm512_packs_epi32(a[i], b[i]));
      _mm512_mask_storeu_epi8(out[i] + x, mask, _mm512_permutexvar_epi32(order, bytes));
    }
  }
}

}  // namespace

HMTL_WIDE void sum_rows_wide(WeightedRow* rows, int row_count, std::int32_t bias,
                             std::uint8_t* line, int count) {
  if (row_count % 2 != 0) rows[row_count] = {rows[row_count - 1].row, 0};
  switch ((row_count + 1) / 2) {
    case 1:
      return sum_pairs<1>(rows, 1, bias, line, count);
    case 2:
      return sum_pairs<2>(rows, 2, bias, line, count);
    default:
      return sum_pairs<0>(rows, (row_count + 1) / 2, bias, line, count);
  }
}

bool prepare_wide(Columns& columns) {
  const Taps& taps = columns.taps;
  const int pairs = std::max(1, (taps.count + 1) / 2);
  // Groups behind the last sample, up to a whole block, are sums of nothing.
  const auto groups = static_cast<std::size_t>((taps.out + kBlock - 1) / kBlock * kBlock / kGroup);
  columns.places.assign(groups, 0);
  columns.biases.assign(groups * kGroup, 0);
  columns.picks.assign(groups * kWindow, 0);
  columns.weights.assign(groups * 2 * kGroup * static_cast<std::size_t>(pairs), 0);
  for (int i = 0; i < taps.out; ++i) {
    const auto group = static_cast<std::size_t>(i / kGroup);
    const auto lane = static_cast<std::size_t>(i % kGroup);
    const auto first_of = [&](int place) {
      return taps.first[static_cast<std::size_t>(sample_at(columns, place))];
    };
    if (lane == 0) {
      // Positions rise or, mirrored, fall: the lowest is that of one end.
      const int last = std::min(i + kGroup, taps.out) - 1;
      columns.places[group] = (std::min(first_of(i), first_of(last)) - taps.begin) * columns.step;
    }
    const int sample = sample_at(columns, i);
    const int place = (first_of(i) - taps.begin) * columns.step - columns.places[group];
    if (place < 0 || place + columns.step >= kWindow) return false;
    columns.picks[group * kWindow + 4 * lane] = static_cast<std::uint8_t>(place);
    columns.picks[group * kWindow + 4 * lane + 2] = static_cast<std::uint8_t>(place + columns.step);
    columns.biases[static_cast<std::size_t>(i)] = taps.bias[static_cast<std::size_t>(sample)];
    const std::int16_t* const weights = taps.weights_of(sample);
    std::int16_t* const out =
        &columns.weights[group * 2 * kGroup * static_cast<std::size_t>(pairs) + 2 * lane];
    for (int pair = 0; pair < pairs; ++pair) {
      std::memcpy(out + 2 * kGroup * pair, weights + 2 * pair, 2 * sizeof *out);
    }
  }
  columns.pairs = pairs;
  return true;
}

HMTL_WIDE void sum_columns_wide(const std::uint8_t* const* lines, int line_count,
                                const Columns& columns, std::uint8_t* const* out) {
  switch (line_count) {
    case 1:
      return sum_blocks<1>(lines, columns, out);
    case 2:
      return sum_blocks<2>(lines, columns, out);
    default:
      return sum_blocks<3>(lines, columns, out);
  }
}

}  // namespace hmtl

#endif
