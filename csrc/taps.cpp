#include "taps.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "dispatch.h"
#include "taps_math.h"

namespace hmtl {
namespace {

constexpr std::int32_t kOne = 1 << kWeightBits;

// Output samples whose weights are computed together, so that the loops over them are vector loops.
constexpr int kBlock = 32;

// The filter about each output sample of a block; positions are whole numbers.
struct Filters {
  double centre[kBlock], first[kBlock], last[kBlock];
  double support = 1;
  int most = 0;  // positions of a filter
};

// Output samples from `sample` to `last`; the last stands for those behind it.
HMTL_CLONES void place_filters(const Axis& axis, int sample, int last, Filters& filters) {
  const Axis own = axis;
  int most = 0;
  for (int j = 0; j < kBlock; ++j) {
    const double centre = filter_centre(own, std::min(sample + j, last));
    filters.centre[j] = centre;
    filters.first[j] = filter_first(own, centre);
    filters.last[j] = filter_last(own, centre);
  }
  for (int j = 0; j < kBlock; ++j) {
    most = std::max(most, static_cast<int>(filters.last[j] - filters.first[j]));
  }
  filters.most = most;
}

// The weights of a block, position by position from each filter's first on; those that are not 0
// are from `begin` to `end`.
struct Weights {
  std::int32_t* rounded;
  std::int32_t begin[kBlock], end[kBlock];

  std::int32_t at(int sample, int k) const { return rounded[k * kBlock + sample]; }
};

// Rounds the weights of each filter so that they sum to kOne exactly; what is missing goes to the
// first of the largest.
HMTL_CLONES void weigh(const Filters& filters, double* exact, Weights& weights) {
  const int count = filters.most;
  const bool is_narrow = filters.support == 1.0;  // dividing takes time
  double total[kBlock] = {};
  for (int k = 0; k < count; ++k) {
    for (int j = 0; j < kBlock; ++j) {
      const double position = filters.first[j] + k;
      const double distance = filter_distance(position, filters.centre[j]);
      const double weight = 1.0 - (is_narrow ? distance : distance / filters.support);
      exact[k * kBlock + j] = position < filters.last[j] && weight > 0.0 ? weight : 0.0;
      total[j] += exact[k * kBlock + j];
    }
  }
  std::int32_t missing[kBlock], largest[kBlock] = {}, place[kBlock] = {};
  std::fill_n(missing, kBlock, kOne);
  for (int k = 0; k < count; ++k) {
    std::int32_t* const rounded = weights.rounded + k * kBlock;
    for (int j = 0; j < kBlock; ++j) {
      const std::int32_t weight = rounded_weight(exact[k * kBlock + j], total[j]);
      rounded[j] = weight;
      missing[j] -= weight;
      place[j] = weight > largest[j] ? k : place[j];
      largest[j] = std::max(largest[j], weight);
    }
  }
  for (int j = 0; j < kBlock; ++j) {
    weights.rounded[place[j] * kBlock + j] += missing[j];
    weights.begin[j] = count;
    weights.end[j] = 0;
  }
  for (int k = 0; k < count; ++k) {
    const std::int32_t* const rounded = weights.rounded + k * kBlock;
    for (int j = 0; j < kBlock; ++j) {
      weights.begin[j] = rounded[j] != 0 ? std::min(weights.begin[j], k) : weights.begin[j];
      weights.end[j] = rounded[j] != 0 ? k + 1 : weights.end[j];
    }
  }
}

// What the weights from k to `end` sum to.
std::int32_t sum_weights(const Weights& weights, int j, int k, int end) {
  std::int32_t sum = 0;
  for (; k < end; ++k) sum += weights.at(j, k);
  return sum;
}

// Puts the weights of output sample `sample`, the j-th of its block and the first of them for
// `position`, into their place; those outside the image go to the bias.
void place_weights(const Weights& weights, int j, double position, int sample, Taps& taps) {
  const auto at = static_cast<std::size_t>(sample);
  // Where the image begins and ends among the weights.
  const int begin = weights.begin[j], end = weights.end[j];
  int first = begin, last = end;
  taps.bias[at] = kWeightHalf;
  if (position + begin < 0 || position + end > taps.length) {
    first = static_cast<int>(std::clamp(-position, 1.0 * begin, 1.0 * end));
    last = static_cast<int>(std::clamp(taps.length - position, 1.0 * first, 1.0 * end));
    taps.bias[at] +=
        taps.border * (sum_weights(weights, j, begin, first) + sum_weights(weights, j, last, end));
  }
  if (first == last) {
    // A sample that reads nothing stays close to its neighbours.
    taps.first[at] = sample > 0 ? taps.first[at - 1] : 0;
    return;
  }
  std::int16_t* const out = taps.weights.data() + static_cast<std::ptrdiff_t>(sample) * taps.stride;
  for (int k = first; k < last; ++k) out[k - first] = static_cast<std::int16_t>(weights.at(j, k));
  const auto read = static_cast<std::int32_t>(position) + first;
  taps.first[at] = read;
  taps.begin = taps.begin < taps.end ? std::min(taps.begin, read) : read;
  taps.end = std::max(taps.end, read + last - first);
  taps.count = std::max(taps.count, last - first);
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
  const Axis axis = make_axis(from, to, length, out);
  Filters filters;
  filters.support = axis.support;
  if (filters.support > kMaxReach) {
    throw std::invalid_argument("a crop may have " + std::to_string(kMaxReach) +
                                " pixels for each output pixel, got " + std::to_string(axis.scale));
  }
  const auto samples = static_cast<std::size_t>(out);
  // Enough for all positions nearer than the support.
  const int most = most_positions(filters.support);
  taps.stride = (most + kWeightBlock - 1) / kWeightBlock * kWeightBlock;
  taps.first.assign(samples, 0);
  taps.bias.assign(samples, 0);
  taps.weights.assign(samples * static_cast<std::size_t>(taps.stride), 0);
  taps.begin = taps.end = taps.count = 0;
  taps.from = from;
  taps.to = to;
  taps.length = length;
  taps.border = border;
  taps.out = 0;  // until they are whole

  taps.exact.resize(static_cast<std::size_t>(most) * kBlock);
  taps.rounded.resize(taps.exact.size());
  Weights weights;
  weights.rounded = taps.rounded.data();
  for (int block = 0; block < out; block += kBlock) {
    place_filters(axis, block, out - 1, filters);
    weigh(filters, taps.exact.data(), weights);
    for (int j = 0; j < std::min(kBlock, out - block); ++j) {
      place_weights(weights, j, filters.first[j], block + j, taps);
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
