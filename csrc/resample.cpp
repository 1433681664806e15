#include "resample.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "dispatch.h"

namespace hmtl {
namespace {

constexpr std::int32_t kOne = 1 << kWeightBits;
constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

// Rounds weights so that they sum to kOne exactly; what is missing goes to the largest.
void quantise(const std::vector<double>& exact, double total, std::vector<std::int32_t>& rounded) {
  rounded.resize(exact.size());
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    rounded[i] = static_cast<std::int32_t>(std::lround(exact[i] / total * kOne));
    sum += rounded[i];
  }
  *std::max_element(rounded.begin(), rounded.end()) += kOne - sum;
}

HMTL_CLONES void add_weighted(const std::uint8_t* row, std::int32_t weight, std::int32_t* sums,
                              int count) {
  for (int i = 0; i < count; ++i) sums[i] += weight * row[i];
}

HMTL_CLONES void round_sums(const std::int32_t* sums, std::uint8_t* line, int count) {
  for (int i = 0; i < count; ++i) line[i] = static_cast<std::uint8_t>(sums[i] >> kWeightBits);
}

// One output row: sums over input rows, for the columns [first, first + count) of samples.
void blend_rows(ImageView src, int top, const Taps& taps, int y, std::uint8_t border, int first,
                int count, ResampleScratch& scratch) {
  const Taps::Span& span = taps.spans[static_cast<std::size_t>(y)];
  const std::int32_t* weights = taps.weights.data() + static_cast<std::ptrdiff_t>(y) * taps.stride;
  std::fill_n(scratch.sums.begin(), count, kHalf + span.outside * border);
  for (int k = 0; k < span.count; ++k) {
    add_weighted(src.row(span.first + k - top) + first, weights[k], scratch.sums.data(), count);
  }
  round_sums(scratch.sums.data(), scratch.line.data(), count);
}

template <int kChannels>
HMTL_CLONES void blend_columns(const std::uint8_t* line, int left, const Taps& taps,
                               std::uint8_t border, std::uint8_t* out, int width) {
  for (int x = 0; x < width; ++x) {
    const Taps::Span span = taps.spans[static_cast<std::size_t>(x)];
    const std::int32_t* weights =
        taps.weights.data() + static_cast<std::ptrdiff_t>(x) * taps.stride;
    const std::uint8_t* samples = line + (span.first - left) * kChannels;
    std::int32_t sums[kChannels];
    for (int c = 0; c < kChannels; ++c) sums[c] = kHalf + span.outside * border;
    for (int k = 0; k < span.count; ++k) {
      for (int c = 0; c < kChannels; ++c) sums[c] += weights[k] * samples[k * kChannels + c];
    }
    for (int c = 0; c < kChannels; ++c) {
      out[x * kChannels + c] = static_cast<std::uint8_t>(sums[c] >> kWeightBits);
    }
  }
}

struct Bounds {
  int first, last;  // last exclusive; empty where no output sample touches the image
};

Bounds touched(const Taps& taps) {
  Bounds bounds{0, 0};
  bool any = false;
  for (const Taps::Span& span : taps.spans) {
    if (span.count == 0) continue;
    bounds.first = any ? std::min(bounds.first, span.first) : span.first;
    bounds.last = any ? std::max(bounds.last, span.first + span.count) : span.first + span.count;
    any = true;
  }
  return bounds;
}

void check_held(const Bounds& needed, int first, int count, const char* what) {
  if (needed.first < needed.last && (needed.first < first || needed.last > first + count)) {
    throw std::logic_error(std::string("resampling reads ") + what + " that were not decoded");
  }
}

}  // namespace

void make_taps(double begin, double end, int length, int out, Taps& taps) {
  if (!(begin < end) || !std::isfinite(begin) || !std::isfinite(end)) {
    throw std::invalid_argument("a crop must have x0 < x1 and y0 < y1, got " +
                                std::to_string(begin) + " … " + std::to_string(end));
  }
  const double scale = (end - begin) / out;
  const double support = std::max(1.0, scale);
  const double canvas_first = std::min(0.0, std::floor(begin));
  const double canvas_last = std::max(static_cast<double>(length), std::ceil(end));
  taps.spans.resize(static_cast<std::size_t>(out));
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.weights.assign(static_cast<std::size_t>(out) * static_cast<std::size_t>(taps.stride), 0);

  std::vector<double> exact;
  std::vector<std::int32_t> rounded;
  for (int i = 0; i < out; ++i) {
    const double centre = begin + (i + 0.5) * scale;
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

    Taps::Span& span = taps.spans[static_cast<std::size_t>(i)];
    span = Taps::Span{};
    std::int32_t* weights = taps.weights.data() + static_cast<std::ptrdiff_t>(i) * taps.stride;
    for (std::size_t k = 0; k < rounded.size(); ++k) {
      const double position = first + static_cast<double>(k);
      if (position < 0 || position >= length) {
        span.outside += rounded[k];
      } else if (rounded[k] != 0) {
        if (span.count == 0) span.first = static_cast<int>(position);
        span.count = static_cast<int>(position) - span.first + 1;
        weights[span.count - 1] = rounded[k];
      }
    }
  }
}

void crop_resize(const Plane& plane, const Box& box, std::uint8_t border, ResampleScratch& scratch,
                 MutableImageView dst) {
  const ImageView src = plane.pixels.view();
  if (src.channels != dst.channels || (dst.channels != 1 && dst.channels != 3)) {
    throw std::invalid_argument("crop_resize needs 1 or 3 channels, the same on both sides");
  }
  make_taps(static_cast<double>(box.y0) * plane.scale_y,
            static_cast<double>(box.y1) * plane.scale_y, plane.full_height, dst.height,
            scratch.rows);
  make_taps(static_cast<double>(box.x0) * plane.scale_x,
            static_cast<double>(box.x1) * plane.scale_x, plane.full_width, dst.width,
            scratch.columns);
  const Bounds columns = touched(scratch.columns);
  check_held(touched(scratch.rows), plane.top, src.height, "rows");
  check_held(columns, plane.left, src.width, "columns");

  const int count = (columns.last - columns.first) * src.channels;
  scratch.sums.resize(static_cast<std::size_t>(count));
  scratch.line.resize(static_cast<std::size_t>(count));
  for (int y = 0; y < dst.height; ++y) {
    blend_rows(src, plane.top, scratch.rows, y, border, (columns.first - plane.left) * src.channels,
               count, scratch);
    if (dst.channels == 3) {
      blend_columns<3>(scratch.line.data(), columns.first, scratch.columns, border, dst.row(y),
                       dst.width);
    } else {
      blend_columns<1>(scratch.line.data(), columns.first, scratch.columns, border, dst.row(y),
                       dst.width);
    }
  }
}

void resize(ImageView src, ResampleScratch& scratch, MutableImageView dst) {
  make_taps(0, src.height, src.height, dst.height, scratch.rows);
  make_taps(0, src.width, src.width, dst.width, scratch.columns);
  const int count = src.width * src.channels;
  scratch.sums.resize(static_cast<std::size_t>(count));
  scratch.line.resize(static_cast<std::size_t>(count));
  for (int y = 0; y < dst.height; ++y) {
    blend_rows(src, 0, scratch.rows, y, 0, 0, count, scratch);
    blend_columns<3>(scratch.line.data(), 0, scratch.columns, 0, dst.row(y), dst.width);
  }
}

}  // namespace hmtl
