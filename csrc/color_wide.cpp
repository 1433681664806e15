#include "color_wide.h"

#include "intrinsics.h"

#ifdef HMTL_X86

namespace hmtl {
namespace {

constexpr int kPixels = 64;  // of a block: a vector for each channel

// Which bytes of the channels come to the three vectors of interleaved pixels: those of the first
// two, which are told apart by bit 6, and where `is_third` says so those of the third.
struct Pattern {
  alignas(64) std::uint8_t both[3][kPixels], third[3][kPixels];
  std::uint64_t is_third[3];
};

constexpr Pattern make_pattern() {
  Pattern pattern{};
  for (int part = 0; part < 3; ++part) {
    for (int i = 0; i < kPixels; ++i) {
      const int at = kPixels * part + i, channel = at % 3, pixel = at / 3;
      pattern.both[part][i] = static_cast<std::uint8_t>(channel == 1 ? pixel + kPixels : pixel);
      pattern.third[part][i] = static_cast<std::uint8_t>(pixel);
      if (channel == 2) pattern.is_third[part] |= std::uint64_t{1} << i;
    }
  }
  return pattern;
}

constexpr Pattern kPattern = make_pattern();

// The first `count` of 64 bytes, all of them from 64 on and none below 0.
__mmask64 first_bytes(int count) {
  if (count >= 64) return ~__mmask64{0};
  return count > 0 ? (__mmask64{1} << count) - 1 : 0;
}

struct Block {
  __m512i channel[3];
};

HMTL_WIDE inline Block load(const ChannelRows& channels, int x, int width) {
  const __mmask64 mask = first_bytes(width - x);
  return {{_mm512_maskz_loadu_epi8(mask, channels.first + x),
           _mm512_maskz_loadu_epi8(mask, channels.second + x),
           _mm512_maskz_loadu_epi8(mask, channels.third + x)}};
}

// Writes those pixels of a block that the row has.
HMTL_WIDE inline void join(const Block& block, std::uint8_t* rgb, int x, int width) {
  for (int part = 0; part < 3; ++part) {
    const __m512i both = _mm512_permutex2var_epi8(
        block.channel[0], _mm512_load_si512(kPattern.both[part]), block.channel[1]);
    const __m512i bytes = _mm512_mask_permutexvar_epi8(
        both, kPattern.is_third[part], _mm512_load_si512(kPattern.third[part]), block.channel[2]);
    _mm512_mask_storeu_epi8(rgb + 3 * x + kPixels * part,
                            first_bytes(3 * (width - x) - kPixels * part), bytes);
  }
}

// A table of 256 bytes.
struct Table {
  __m512i quarters[4];
};

HMTL_WIDE inline Table load_table(const std::uint8_t (&values)[256]) {
  Table table;
  for (int i = 0; i < 4; ++i) table.quarters[i] = _mm512_load_si512(values + 64 * i);
  return table;
}

HMTL_WIDE inline __m512i look_up(const Table& table, __m512i bytes) {
  const __m512i low = _mm512_permutex2var_epi8(table.quarters[0], bytes, table.quarters[1]);
  const __m512i high = _mm512_permutex2var_epi8(table.quarters[2], bytes, table.quarters[3]);
  return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(bytes), high);
}

// The matrix as 16-bit factors of the pairs (first, second) and (third, 0).
struct PairMatrix {
  __m512i both[3], third[3], offset[3];
};

HMTL_WIDE inline PairMatrix pair_matrix(const ColorMatrix& matrix) {
  PairMatrix pairs;
  for (int i = 0; i < 3; ++i) {
    const std::int32_t (&row)[4] = matrix.m[i];
    const auto low = static_cast<std::uint16_t>(row[0]), high = static_cast<std::uint16_t>(row[1]);
    pairs.both[i] =
        _mm512_set1_epi32(static_cast<int>(low | static_cast<std::uint32_t>(high) << 16));
    pairs.third[i] = _mm512_set1_epi32(static_cast<std::uint16_t>(row[2]));
    pairs.offset[i] = _mm512_set1_epi32(row[3] + kColorHalf);
  }
  return pairs;
}

// Sixteen samples of each channel.
HMTL_WIDE inline __m512i weigh(const PairMatrix& pairs, int i, __m512i both, __m512i third) {
  const __m512i sum = _mm512_dpwssd_epi32(pairs.offset[i], both, pairs.both[i]);
  return _mm512_srai_epi32(_mm512_dpwssd_epi32(sum, third, pairs.third[i]), kColorBits);
}

HMTL_WIDE inline Block multiply(const PairMatrix& pairs, const Block& in) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i low = _mm512_unpacklo_epi8(in.channel[0], in.channel[1]);
  const __m512i high = _mm512_unpackhi_epi8(in.channel[0], in.channel[1]);
  const __m512i third_low = _mm512_unpacklo_epi8(in.channel[2], zero);
  const __m512i third_high = _mm512_unpackhi_epi8(in.channel[2], zero);
  const __m512i both[4] = {_mm512_unpacklo_epi8(low, zero), _mm512_unpackhi_epi8(low, zero),
                           _mm512_unpacklo_epi8(high, zero), _mm512_unpackhi_epi8(high, zero)};
  const __m512i third[4] = {
      _mm512_unpacklo_epi16(third_low, zero), _mm512_unpackhi_epi16(third_low, zero),
      _mm512_unpacklo_epi16(third_high, zero), _mm512_unpackhi_epi16(third_high, zero)};
  Block out;
  for (int i = 0; i < 3; ++i) {
    // Packing saturates: it clips. Its order undoes that of unpacking.
    const __m512i ab =
        _mm512_packs_epi32(weigh(pairs, i, both[0], third[0]), weigh(pairs, i, both[1], third[1]));
    const __m512i cd =
        _mm512_packs_epi32(weigh(pairs, i, both[2], third[2]), weigh(pairs, i, both[3], third[3]));
    out.channel[i] = _mm512_packus_epi16(ab, cd);
  }
  return out;
}

}  // namespace

HMTL_WIDE void join_row_wide(const ChannelRows& channels, std::uint8_t* rgb, int width) {
  for (int x = 0; x < width; x += kPixels) join(load(channels, x, width), rgb, x, width);
}

HMTL_WIDE void look_up_row_wide(const ColorTables& tables, const ChannelRows& channels,
                                std::uint8_t* rgb, int width) {
  const Table of[3] = {load_table(tables.of[0]), load_table(tables.of[1]),
                       load_table(tables.of[2])};
  for (int x = 0; x < width; x += kPixels) {
    Block block = load(channels, x, width);
    for (int c = 0; c < 3; ++c) block.channel[c] = look_up(of[c], block.channel[c]);
    join(block, rgb, x, width);
  }
}

HMTL_WIDE void color_row_wide(const ColorMatrix& matrix, const ChannelRows& channels,
                              std::uint8_t* rgb, int width) {
  const PairMatrix pairs = pair_matrix(matrix);
  for (int x = 0; x < width; x += kPixels) {
    join(multiply(pairs, load(channels, x, width)), rgb, x, width);
  }
}

}  // namespace hmtl

#endif
