#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "dispatch.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace hmtl {
namespace {

constexpr std::int32_t kOne = 1 << kWeightBits;
constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

// The weights of an output sample come in groups of this many, so that the products of a group are
// one vector operation (16-bit factors, 32-bit sums).
constexpr int kGroup = 8;

// Columns that the vertical pass sums at a time, in registers.
constexpr int kBlock = 64;

// Rounds weights so that they sum to kOne exactly; what is missing goes to the largest.
void quantise(const std::vector<double>& exact, double total, std::vector<std::int32_t>& rounded) {
  rounded.resize(exact.size());
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    rounded[i] = static_cast<std::int32_t>(exact[i] / total * kOne + 0.5);
    sum += rounded[i];
  }
  *std::max_element(rounded.begin(), rounded.end()) += kOne - sum;
}

// One row of samples as the sum of `taps` weighted rows.
HMTL_CLONES void sum_rows(const std::uint8_t* const* rows, const std::int16_t* weights, int taps,
                          std::int32_t bias, std::int16_t* line, int count) {
  std::int32_t sums[kBlock];
  for (int x = 0; x < count; x += kBlock) {
    const int width = std::min(kBlock, count - x);
    for (int i = 0; i < kBlock; ++i) sums[i] = bias;
    for (int k = 0; k < taps; ++k) {
      const std::int32_t weight = weights[k];
      const std::uint8_t* row = rows[k] + x;
      if (width == kBlock) {
        for (int i = 0; i < kBlock; ++i) sums[i] += weight * row[i];
      } else {
        for (int i = 0; i < width; ++i) sums[i] += weight * row[i];
      }
    }
    for (int i = 0; i < width; ++i) line[x + i] = static_cast<std::int16_t>(sums[i] >> kWeightBits);
  }
}

HMTL_CLONES void split_channels(const std::int16_t* line, std::int16_t* planes, int width,
                                std::ptrdiff_t plane_stride) {
  for (int x = 0; x < width; ++x) {
    for (int c = 0; c < 3; ++c) planes[c * plane_stride + x] = line[3 * x + c];
  }
}

// Sums of `stride` products, one after the other.
std::int32_t dot(const std::int16_t* samples, const std::int16_t* weights, int stride) {
  std::int32_t sum = 0;
  for (int k = 0; k < stride; ++k) sum += samples[k] * weights[k];
  return sum;
}

#ifdef __SSE2__
// The same for four output samples at once: compilers do not find the pairwise product-sum
// (pmaddwd) in the plain loop. Every x86-64 has it.
__m128i multiply_group(const std::int16_t* samples, const std::int16_t* weights) {
  const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples));
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights));
  return _mm_madd_epi16(a, b);
}

__m128i dot_groups(const std::int16_t* samples, const std::int16_t* weights, int stride) {
  __m128i sum = multiply_group(samples, weights);
  for (int k = kGroup; k < stride; k += kGroup) {
    sum = _mm_add_epi32(sum, multiply_group(samples + k, weights + k));
  }
  return sum;
}

void sum_four(const std::int16_t* const* samples, const std::int16_t* weights, int stride,
              const std::int32_t* bias, std::uint8_t* bytes) {
  const __m128i a = dot_groups(samples[0], weights, stride);
  const __m128i b = dot_groups(samples[1], weights + stride, stride);
  const __m128i c = dot_groups(samples[2], weights + 2 * stride, stride);
  const __m128i d = dot_groups(samples[3], weights + 3 * stride, stride);
  const __m128i ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
  const __m128i cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
  const __m128i sums = _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
  const __m128i biases = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bias));
  const __m128i rounded = _mm_srai_epi32(_mm_add_epi32(sums, biases), kWeightBits);
  const __m128i words = _mm_packs_epi32(rounded, rounded);
  const std::int32_t packed = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  std::memcpy(bytes, &packed, 4);
}
#else
void sum_four(const std::int16_t* const* samples, const std::int16_t* weights, int stride,
              const std::int32_t* bias, std::uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    const std::int32_t sum = dot(samples[i], weights + i * stride, stride) + bias[i];
    bytes[i] = static_cast<std::uint8_t>(sum >> kWeightBits);
  }
}
#endif

// One row of one channel, written to every `step`-th byte of `out`. `line` begins with the sample
// `taps.begin`; up to `stride` samples beyond the last one are read, with weight 0.
void sum_columns(const std::int16_t* line, const Taps& taps, std::uint8_t* out, int width,
                 int step) {
  const std::int32_t *first = taps.first.data(), *bias = taps.bias.data();
  const std::int16_t* weights = taps.weights.data();
  const std::int16_t* origin = line - taps.begin;
  int x = 0;
  for (; x + 4 <= width; x += 4) {
    const std::int16_t* samples[4] = {origin + first[x], origin + first[x + 1],
                                      origin + first[x + 2], origin + first[x + 3]};
    std::uint8_t bytes[4];
    sum_four(samples, weights + static_cast<std::ptrdiff_t>(x) * taps.stride, taps.stride, bias + x,
             bytes);
    for (int i = 0; i < 4; ++i) out[(x + i) * step] = bytes[i];
  }
  for (; x < width; ++x) {
    const std::int32_t sum =
        dot(origin + first[x], weights + static_cast<std::ptrdiff_t>(x) * taps.stride, taps.stride);
    out[x * step] = static_cast<std::uint8_t>((sum + bias[x]) >> kWeightBits);
  }
}

// `src` holds the rows from `top` and the columns from `left` on of what the taps were made for.
void resample(ImageView src, int top, int left, const Taps& rows, const Taps& columns,
              std::vector<std::int16_t>& lines, MutableImageView dst) {
  const int channels = dst.channels;
  const int width = columns.end - columns.begin, count = width * channels;
  const std::ptrdiff_t plane_stride = width + columns.stride;
  // The interleaved row of the vertical pass, then the channels apart; zeros behind each.
  const std::ptrdiff_t row_space = count + columns.stride;
  lines.assign(static_cast<std::size_t>(row_space + 3 * plane_stride), 0);
  std::int16_t* line = lines.data();
  std::int16_t* planes = channels == 3 ? line + row_space : line;
  std::vector<const std::uint8_t*> sources(static_cast<std::size_t>(rows.stride));
  std::vector<std::int16_t> weights(sources.size());
  for (int y = 0; y < dst.height; ++y) {
    int taps = 0;
    for (int k = 0; k < rows.stride; ++k) {
      const std::int16_t weight = rows.weights[static_cast<std::size_t>(y * rows.stride + k)];
      if (weight == 0) continue;
      const int row = rows.first[static_cast<std::size_t>(y)] + k - top;
      sources[static_cast<std::size_t>(taps)] = src.row(row) + (columns.begin - left) * channels;
      weights[static_cast<std::size_t>(taps++)] = weight;
    }
    sum_rows(sources.data(), weights.data(), taps, rows.bias[static_cast<std::size_t>(y)], line,
             count);
    if (channels == 3) split_channels(line, planes, width, plane_stride);
    for (int c = 0; c < channels; ++c) {
      sum_columns(planes + c * plane_stride, columns, dst.row(y) + c, dst.width, channels);
    }
  }
}

void check_held(const Taps& taps, int first, int count, const char* what) {
  if (taps.begin < taps.end && (taps.begin < first || taps.end > first + count)) {
    throw std::logic_error(std::string("resampling reads ") + what + " that were not decoded");
  }
}

// Puts the weights of one output sample into its place; those outside the image go to the bias.
void place_weights(Taps& taps, int sample, double position,
                   const std::vector<std::int32_t>& rounded) {
  std::int16_t* weights = taps.weights.data() + static_cast<std::ptrdiff_t>(sample) * taps.stride;
  std::int32_t first = taps.begin, bias = kHalf;
  int count = 0, used = 0;
  for (const std::int32_t weight : rounded) {
    const double at = position++;
    if (at < 0 || at >= taps.length) {
      bias += weight * taps.border;
    } else if (weight != 0 || count > 0) {
      if (count == 0) first = static_cast<std::int32_t>(at);
      weights[count++] = static_cast<std::int16_t>(weight);
      if (weight != 0) used = count;
    }
  }
  taps.first[static_cast<std::size_t>(sample)] = first;
  taps.bias[static_cast<std::size_t>(sample)] = bias;
  if (used == 0) return;
  taps.begin = taps.begin < taps.end ? std::min(taps.begin, first) : first;
  taps.end = std::max(taps.end, first + used);
}

}  // namespace

void make_taps(double from, double to, int length, int out, int border, Taps& taps) {
  if (taps.from == from && taps.to == to && taps.length == length && taps.out == out &&
      taps.border == border) {
    return;
  }
  if (!(from < to) || !std::isfinite(from) || !std::isfinite(to)) {
    throw std::invalid_argument("a crop must have x0 < x1 and y0 < y1, got " +
                                std::to_string(from) + " … " + std::to_string(to));
  }
  const double scale = (to - from) / out;
  const double support = std::max(1.0, scale);
  if (support > kMaxReach) {
    throw std::invalid_argument("a crop may have " + std::to_string(kMaxReach) +
                                " pixels for each output pixel, got " + std::to_string(scale));
  }
  const double canvas_first = std::min(0.0, std::floor(from));
  const double canvas_last = std::max(static_cast<double>(length), std::ceil(to));
  const int most = static_cast<int>(std::ceil(support)) * 2 + 1;
  const auto samples = static_cast<std::size_t>(out);
  taps.stride = (most + kGroup - 1) / kGroup * kGroup;
  taps.first.assign(samples, 0);
  taps.bias.assign(samples, 0);
  taps.weights.assign(samples * static_cast<std::size_t>(taps.stride), 0);
  taps.begin = taps.end = 0;
  taps.from = from;
  taps.to = to;
  taps.length = length;
  taps.border = border;
  taps.out = 0;  // until they are whole

  std::vector<double> exact;
  std::vector<std::int32_t> rounded;
  for (int i = 0; i < out; ++i) {
    const double centre = from + (i + 0.5) * scale;
    const double first = std::max(canvas_first, std::floor(centre - support + 0.5));
    const double last = std::min(canvas_last, std::floor(centre + support + 0.5));
    exact.clear();
    double total = 0;
    for (double position = first; position < last; ++position) {
      const double weight = std::max(0.0, 1.0 - std::abs(position + 0.5 - centre) / support);
      exact.push_back(weight);
      total += weight;
    }
    quantise(exact, total, rounded);
    place_weights(taps, i, first, rounded);
  }
  // Samples that read nothing must still point into the row.
  for (std::int32_t& first : taps.first)
    first = std::clamp(first, taps.begin, std::max(taps.begin, taps.end));
  taps.out = out;
}

void crop_resize(const Plane& plane, const Box& box, std::uint8_t border, ResampleScratch& scratch,
                 MutableImageView dst) {
  const ImageView src = plane.pixels.view();
  if (src.channels != dst.channels || (dst.channels != 1 && dst.channels != 3)) {
    throw std::invalid_argument("crop_resize needs 1 or 3 channels, the same on both sides");
  }
  make_taps(static_cast<double>(box.y0) * plane.scale_y,
            static_cast<double>(box.y1) * plane.scale_y, plane.full_height, dst.height, border,
            scratch.rows);
  make_taps(static_cast<double>(box.x0) * plane.scale_x,
            static_cast<double>(box.x1) * plane.scale_x, plane.full_width, dst.width, border,
            scratch.columns);
  check_held(scratch.rows, plane.top, src.height, "rows");
  check_held(scratch.columns, plane.left, src.width, "columns");
  resample(src, plane.top, plane.left, scratch.rows, scratch.columns, scratch.lines, dst);
}

void resize(ImageView src, ResampleScratch& scratch, MutableImageView dst) {
  make_taps(0, src.height, src.height, dst.height, 0, scratch.rows);
  make_taps(0, src.width, src.width, dst.width, 0, scratch.columns);
  resample(src, 0, 0, scratch.rows, scratch.columns, scratch.lines, dst);
}

}  // namespace hmtl
