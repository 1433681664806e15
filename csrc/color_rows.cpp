#include "color_rows.h"

#include <algorithm>
#include <cstring>

#include "color_wide.h"
#include "intrinsics.h"

namespace hmtl {
namespace {

void split_row_plain(const std::uint8_t* rgb, std::uint8_t* const channels[3], int width) {
  for (int x = 0; x < width; ++x) {
    for (int c = 0; c < 3; ++c) channels[c][x] = rgb[3 * x + c];
  }
}

void join_row_plain(const ChannelRows& channels, std::uint8_t* rgb, int width) {
  for (int x = 0; x < width; ++x) {
    rgb[3 * x] = channels.first[x];
    rgb[3 * x + 1] = channels.second[x];
    rgb[3 * x + 2] = channels.third[x];
  }
}

void color_row_plain(const ColorMatrix& matrix, const ChannelRows& channels, std::uint8_t* rgb,
                     int width) {
  for (int x = 0; x < width; ++x) {
    const std::int32_t a = channels.first[x], b = channels.second[x], c = channels.third[x];
    for (int i = 0; i < 3; ++i) rgb[3 * x + i] = colored(matrix.m[i], a, b, c);
  }
}

bool fits_pairs(const ColorMatrix& matrix) {
  constexpr std::int32_t kMost = 32767;
  for (const auto& row : matrix.m) {
    for (int j = 0; j < 3; ++j) {
      if (row[j] < -kMost || row[j] > kMost) return false;
    }
  }
  return true;
}

bool is_diagonal(const ColorMatrix& matrix) {
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      if (i != j && matrix.m[i][j] != 0) return false;
    }
  }
  return true;
}

#ifdef HMTL_X86

constexpr int kPixels = 32;  // of a block

// Pixels behind the last block that the plain loop converts faster than another block.
constexpr int kFewPixels = 4;

// The channels of a block, 32 bytes each.
struct Channels {
  __m256i channel[3];
};

HMTL_AVX2 inline __m256i load(const std::uint8_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

HMTL_AVX2 inline void store(std::uint8_t* at, __m256i bytes) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), bytes);
}

// Which byte of a channel's 16 comes where in part `part` of 3 · 16 interleaved bytes, and the
// other way round; 0x80 stands for none.
struct Patterns {
  std::uint8_t join[3][3][16], split[3][3][16];  // [channel][part]
};

constexpr Patterns make_patterns() {
  Patterns patterns{};
  for (int c = 0; c < 3; ++c) {
    for (int part = 0; part < 3; ++part) {
      for (int i = 0; i < 16; ++i) {
        const int at = 16 * part + i;  // byte of the interleaved ones
        const int from = 3 * i + c;    // where the channel's byte i lies among them
        patterns.join[c][part][i] = static_cast<std::uint8_t>(at % 3 == c ? at / 3 : 0x80);
        patterns.split[c][part][i] =
            static_cast<std::uint8_t>(from / 16 == part ? from % 16 : 0x80);
      }
    }
  }
  return patterns;
}

constexpr Patterns kPatterns = make_patterns();

HMTL_AVX2 inline __m256i shuffle(__m256i bytes, const std::uint8_t (&pattern)[16]) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pattern));
  return _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(half));
}

// Each half of the vectors holds 16 pixels of the block.
HMTL_AVX2 inline Channels split(const std::uint8_t* rgb) {
  __m256i parts[3];
  for (int part = 0; part < 3; ++part) {
    const std::uint8_t* at = rgb + 16 * part;
    parts[part] = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 48)), 1);
  }
  Channels channels;
  for (int c = 0; c < 3; ++c) {
    channels.channel[c] = _mm256_or_si256(_mm256_or_si256(shuffle(parts[0], kPatterns.split[c][0]),
                                                          shuffle(parts[1], kPatterns.split[c][1])),
                                          shuffle(parts[2], kPatterns.split[c][2]));
  }
  return channels;
}

HMTL_AVX2 inline void join(const Channels& channels, std::uint8_t* rgb) {
  for (int part = 0; part < 3; ++part) {
    const __m256i bytes =
        _mm256_or_si256(_mm256_or_si256(shuffle(channels.channel[0], kPatterns.join[0][part]),
                                        shuffle(channels.channel[1], kPatterns.join[1][part])),
                        shuffle(channels.channel[2], kPatterns.join[2][part]));
    std::uint8_t* at = rgb + 16 * part;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at + 48), _mm256_extracti128_si256(bytes, 1));
  }
}

// The matrix as 16-bit factors of the pairs (first, second) and (third, 0).
struct PairMatrix {
  __m256i both[3], third[3], offset[3];
};

HMTL_AVX2 inline PairMatrix pair_matrix(const ColorMatrix& matrix) {
  PairMatrix pairs;
  for (int i = 0; i < 3; ++i) {
    const std::int32_t (&row)[4] = matrix.m[i];
    const auto first = static_cast<std::int16_t>(row[0]),
               second = static_cast<std::int16_t>(row[1]);
    const auto third = static_cast<std::int16_t>(row[2]);
    const __m128i both = _mm_setr_epi16(first, second, first, second, first, second, first, second);
    pairs.both[i] = _mm256_broadcastsi128_si256(both);
    pairs.third[i] =
        _mm256_broadcastsi128_si256(_mm_setr_epi16(third, 0, third, 0, third, 0, third, 0));
    pairs.offset[i] = _mm256_set1_epi32(row[3] + kColorHalf);
  }
  return pairs;
}

// Four samples of each channel in each half of the vectors.
HMTL_AVX2 inline __m256i weigh(const PairMatrix& pairs, int i, __m256i both, __m256i third) {
  const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(both, pairs.both[i]), pairs.offset[i]);
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_madd_epi16(third, pairs.third[i])),
                           kColorBits);
}

HMTL_AVX2 inline Channels multiply(const PairMatrix& pairs, const Channels& in) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i low = _mm256_unpacklo_epi8(in.channel[0], in.channel[1]);
  const __m256i high = _mm256_unpackhi_epi8(in.channel[0], in.channel[1]);
  const __m256i third_low = _mm256_unpacklo_epi8(in.channel[2], zero);
  const __m256i third_high = _mm256_unpackhi_epi8(in.channel[2], zero);
  const __m256i both[4] = {_mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
                           _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
  const __m256i third[4] = {
      _mm256_unpacklo_epi16(third_low, zero), _mm256_unpackhi_epi16(third_low, zero),
      _mm256_unpacklo_epi16(third_high, zero), _mm256_unpackhi_epi16(third_high, zero)};
  Channels out;
  for (int i = 0; i < 3; ++i) {
    // Packing saturates: it clips.
    const __m256i ab =
        _mm256_packs_epi32(weigh(pairs, i, both[0], third[0]), weigh(pairs, i, both[1], third[1]));
    const __m256i cd =
        _mm256_packs_epi32(weigh(pairs, i, both[2], third[2]), weigh(pairs, i, both[3], third[3]));
    out.channel[i] = _mm256_packus_epi16(ab, cd);
  }
  return out;
}

HMTL_AVX2 inline Channels load(const ChannelRows& channels, int x) {
  return {{load(channels.first + x), load(channels.second + x), load(channels.third + x)}};
}

// The pixels behind the last whole block, copied to where a block may be read.
struct Rest {
  std::uint8_t channels[3][kPixels] = {};
  ChannelRows rows() const { return {channels[0], channels[1], channels[2]}; }

  Rest(const ChannelRows& from, int x, int width) {
    const std::size_t count = static_cast<std::size_t>(width - x);
    std::memcpy(channels[0], from.first + x, count);
    std::memcpy(channels[1], from.second + x, count);
    std::memcpy(channels[2], from.third + x, count);
  }
};

HMTL_AVX2 void split_row_avx2(const std::uint8_t* rgb, std::uint8_t* const channels[3], int width) {
  int x = 0;
  for (; x + kPixels <= width; x += kPixels) {
    const Channels block = split(rgb + 3 * x);
    for (int c = 0; c < 3; ++c) store(channels[c] + x, block.channel[c]);
  }
  std::uint8_t* const rest[3] = {channels[0] + x, channels[1] + x, channels[2] + x};
  split_row_plain(rgb + 3 * x, rest, width - x);
}

HMTL_AVX2 void join_row_avx2(const ChannelRows& channels, std::uint8_t* rgb, int width) {
  int x = 0;
  for (; x + kPixels <= width; x += kPixels) join(load(channels, x), rgb + 3 * x);
  join_row_plain({channels.first + x, channels.second + x, channels.third + x}, rgb + 3 * x,
                 width - x);
}

HMTL_AVX2 void color_row_avx2(const ColorMatrix& matrix, const ChannelRows& channels,
                              std::uint8_t* rgb, int width) {
  const PairMatrix pairs = pair_matrix(matrix);
  int x = 0;
  for (; x + kPixels <= width; x += kPixels) {
    join(multiply(pairs, load(channels, x)), rgb + 3 * x);
  }
  if (width - x <= kFewPixels) {
    return color_row_plain(matrix, {channels.first + x, channels.second + x, channels.third + x},
                           rgb + 3 * x, width - x);
  }
  const Rest rest(channels, x, width);
  std::uint8_t pixels[3 * kPixels];
  join(multiply(pairs, load(rest.rows(), 0)), pixels);
  std::memcpy(rgb + 3 * x, pixels, 3 * static_cast<std::size_t>(width - x));
}

#endif

}  // namespace

void split_row(const std::uint8_t* rgb, std::uint8_t* const channels[3], int width) {
#ifdef HMTL_X86
  if (use_avx2()) return split_row_avx2(rgb, channels, width);
#endif
  split_row_plain(rgb, channels, width);
}

void join_row(const ChannelRows& channels, std::uint8_t* rgb, int width) {
#ifdef HMTL_X86
  if (use_wide()) return join_row_wide(channels, rgb, width);
  if (use_avx2()) return join_row_avx2(channels, rgb, width);
#endif
  join_row_plain(channels, rgb, width);
}

RowColor::RowColor(const ColorMatrix& matrix) : matrix_(matrix), way_(Way::kPlain) {
  if (matrix.is_identity()) {
    way_ = Way::kJoin;
  } else if (use_wide() && is_diagonal(matrix)) {
    way_ = Way::kLookUp;
    for (int c = 0; c < 3; ++c) {
      for (int value = 0; value < 256; ++value) {
        tables_.of[c][value] = colored(matrix.m[c], value, value, value);
      }
    }
  } else if (fits_pairs(matrix)) {
    way_ = use_wide() ? Way::kWide : use_avx2() ? Way::kAvx2 : Way::kPlain;
  }
}

void RowColor::convert(const ChannelRows& channels, std::uint8_t* rgb, int width) const {
  switch (way_) {
    case Way::kJoin:
      return join_row(channels, rgb, width);
#ifdef HMTL_X86
    case Way::kLookUp:
      return look_up_row_wide(tables_, channels, rgb, width);
    case Way::kWide:
      return color_row_wide(matrix_, channels, rgb, width);
    case Way::kAvx2:
      return color_row_avx2(matrix_, channels, rgb, width);
#endif
    default:
      color_row_plain(matrix_, channels, rgb, width);
  }
}

}  // namespace hmtl
