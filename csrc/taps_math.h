// The triangle filter about one output sample, one statement of it for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "pixel_math.h"

namespace hmtl {

// Resampling of [from, to) of an axis, as `make_taps` says.
struct Axis {
  double from, scale, support;
  double canvas_first, canvas_last;  // samples that count, those outside the image as the border
};

HMTL_BOTH inline Axis make_axis(double from, double to, int length, int out) {
  const double scale = (to - from) / out;
  const double low = std::floor(from), high = std::ceil(to);
  return {from, scale, scale > 1.0 ? scale : 1.0, low < 0.0 ? low : 0.0,
          high > length ? high : static_cast<double>(length)};
}

// The most positions of a filter, those on its border included.
HMTL_BOTH inline int most_positions(double support) {
  return static_cast<int>(std::ceil(support)) * 2 + 2;
}

HMTL_BOTH inline double filter_centre(const Axis& axis, int sample) {
  return axis.from + (sample + 0.5) * axis.scale;
}

// The filter's positions, from the first up to the last.
HMTL_BOTH inline double filter_first(const Axis& axis, double centre) {
  const double first = std::floor(centre - axis.support + 0.5);
  return first > axis.canvas_first ? first : axis.canvas_first;
}
HMTL_BOTH inline double filter_last(const Axis& axis, double centre) {
  const double last = std::floor(centre + axis.support + 0.5);
  return last < axis.canvas_last ? last : axis.canvas_last;
}

// How far the sample at a position lies from the filter's centre.
HMTL_BOTH inline double filter_distance(double position, double centre) {
  return std::abs(position + 0.5 - centre);
}

// Its share of the filter's total, in fixed point.
HMTL_BOTH inline std::int32_t rounded_weight(double weight, double total) {
  return static_cast<std::int32_t>(weight / total * (1 << kWeightBits) + 0.5);
}

}  // namespace hmtl
