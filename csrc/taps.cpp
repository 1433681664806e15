#include "taps.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "dispatch.h"

namespace hmtl {
namespace {

constexpr std::int32_t kOne = 1 << kWeightBits;
constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

// Output samples whose weights are computed together, so that the loops over them are vector loops.
constexpr int kBlock = 32;

// The filter about each output sample of a block; positions are whole numbers.
struct Filters {
  double centre[kBlock], first[kBlock], last[kBlock];
  double support = 1;
};

// Output samples from `sample` to `last`; the last stands for those behind it.
HMTL_CLONES void place_filters(double from, double scale, int sample, int last, double canvas_first,
                               double canvas_last, Filters& filters) {
  const double support = filters.support;
  for (int j = 0; j < kBlock; ++j) {
    const double centre = from + (std::min(sample + j, last) + 0.5) * scale;
    filters.centre[j] = centre;
    filters.first[j] = std::max(canvas_first, std::floor(centre - support + 0.5));
    filters.last[j] = std::min(canvas_last, std::floor(centre + support + 0.5));
  }
}

// The weights of `count` positions from each filter's first on, position by position, rounded so
// that a filter's sum to kOne exactly; what is missing goes to the first of the largest.
HMTL_CLONES void weigh(const Filters& filters, int count, double* exact, std::int32_t* rounded) {
  double total[kBlock] = {};
  for (int k = 0; k < count; ++k) {
    double* weights = exact + k * kBlock;
    for (int j = 0; j < kBlock; ++j) {
      const double position = filters.first[j] + k;
      const double weight = 1.0 - std::abs(position + 0.5 - filters.centre[j]) / filters.support;
      weights[j] = position < filters.last[j] && weight > 0.0 ? weight : 0.0;
      total[j] += weights[j];
    }
  }
  std::int32_t sum[kBlock] = {}, largest[kBlock] = {}, at[kBlock] = {};
  for (int k = 0; k < count; ++k) {
    for (int j = 0; j < kBlock; ++j) {
      const auto weight = static_cast<std::int32_t>(exact[k * kBlock + j] / total[j] * kOne + 0.5);
      rounded[k * kBlock + j] = weight;
      sum[j] += weight;
      at[j] = weight > largest[j] ? k : at[j];
      largest[j] = std::max(largest[j], weight);
    }
  }
  for (int j = 0; j < kBlock; ++j) rounded[at[j] * kBlock + j] += kOne - sum[j];
}

// Puts the weights of one output sample, `rounded` by steps of kBlock and the first of them for
// `position`, into their place; those outside the image go to the bias.
void place_weights(Taps& taps, int sample, double position, const std::int32_t* rounded) {
  std::int16_t* weights = taps.weights.data() + static_cast<std::ptrdiff_t>(sample) * taps.stride;
  // A sample that reads nothing stays close to its neighbours.
  std::int32_t first = sample > 0 ? taps.first[static_cast<std::size_t>(sample) - 1] : 0;
  std::int32_t bias = kHalf;
  int count = 0, used = 0;
  for (int k = 0; k < taps.stride; ++k, ++position) {
    const std::int32_t weight = rounded[k * kBlock];
    if (position < 0 || position >= taps.length) {
      bias += weight * taps.border;
    } else if (weight != 0 || count > 0) {
      if (count == 0) first = static_cast<std::int32_t>(position);
      weights[count++] = static_cast<std::int16_t>(weight);
      if (weight != 0) used = count;
    }
  }
  taps.first[static_cast<std::size_t>(sample)] = first;
  taps.bias[static_cast<std::size_t>(sample)] = bias;
  if (used == 0) return;
  taps.begin = taps.begin < taps.end ? std::min(taps.begin, first) : first;
  taps.end = std::max(taps.end, first + used);
  taps.count = std::max(taps.count, used);
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
  Filters filters;
  filters.support = std::max(1.0, scale);
  if (filters.support > kMaxReach) {
    throw std::invalid_argument("a crop may have " + std::to_string(kMaxReach) +
                                " pixels for each output pixel, got " + std::to_string(scale));
  }
  const double canvas_first = std::min(0.0, std::floor(from));
  const double canvas_last = std::max(static_cast<double>(length), std::ceil(to));
  const auto samples = static_cast<std::size_t>(out);
  taps.stride = static_cast<int>(std::ceil(filters.support)) * 2 + 1;
  taps.first.assign(samples, 0);
  taps.bias.assign(samples, 0);
  taps.weights.assign(samples * static_cast<std::size_t>(taps.stride), 0);
  taps.begin = taps.end = taps.count = 0;
  taps.from = from;
  taps.to = to;
  taps.length = length;
  taps.border = border;
  taps.out = 0;  // until they are whole

  taps.exact.resize(static_cast<std::size_t>(taps.stride) * kBlock);
  taps.rounded.resize(taps.exact.size());
  for (int block = 0; block < out; block += kBlock) {
    place_filters(from, scale, block, out - 1, canvas_first, canvas_last, filters);
    weigh(filters, taps.stride, taps.exact.data(), taps.rounded.data());
    for (int j = 0; j < std::min(kBlock, out - block); ++j) {
      place_weights(taps, block + j, filters.first[j], taps.rounded.data() + j);
    }
  }
  // Samples before the first that reads something.
  for (std::int32_t& first : taps.first) {
    if (first >= taps.begin) break;
    first = taps.begin;
  }
  taps.out = out;
}

}  // namespace hmtl
