#include "params.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "philox.h"

namespace hmtl {
namespace {

double draw(Stream& stream, const Range& range) { return stream.uniform(range.low, range.high); }

// The rectangle [centre - side/2, centre + side/2) of each axis.
struct Frame {
  double x, y, width, height;
};

Frame fit_frame(const DrawSettings& settings, double margin, const Box& face, const Box& box) {
  const auto edge = [margin](float inner, float outer) {
    return static_cast<double>(inner) +
           margin * (static_cast<double>(outer) - static_cast<double>(inner));
  };
  const double x0 = edge(face.x0, box.x0), x1 = edge(face.x1, box.x1);
  const double y0 = edge(face.y0, box.y0), y1 = edge(face.y1, box.y1);
  Frame frame{(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0};
  if (settings.fit == Fit::kShortSide)
    frame.width = frame.height = std::min(frame.width, frame.height);
  return frame;
}

// Evenly on a logarithmic scale, so that r is as likely as 1/r. A part that has `area` of its frame
// fits into it with aspects of area … 1/area; a range that lies beyond gives the nearest of these.
double draw_aspect(Stream& stream, const Range& aspect, double area) {
  const double low = std::clamp(aspect.low, area, 1 / area);
  const double high = std::clamp(aspect.high, area, 1 / area);
  return std::exp(stream.uniform(std::log(low), std::log(high)));
}

Box draw_crop(const DrawSettings& settings, Stream stream, const Box& face, const Box& box) {
  const double margin = draw(stream, settings.augmentation.margin);
  const double area = draw(stream, settings.augmentation.area);
  const double aspect = draw_aspect(stream, settings.augmentation.aspect, area);
  const Frame frame = fit_frame(settings, margin, face, box);
  const double half_width = frame.width * std::sqrt(area * aspect) / 2;
  const double half_height = frame.height * std::sqrt(area / aspect) / 2;
  const auto centre = [&](double middle, double room) {
    return middle + settings.augmentation.off_centre * (stream.uniform() - 0.5) * room;
  };
  const double x = centre(frame.x, frame.width - 2 * half_width);
  const double y = centre(frame.y, frame.height - 2 * half_height);
  return {static_cast<float>(x - half_width), static_cast<float>(y - half_height),
          static_cast<float>(x + half_width), static_cast<float>(y + half_height)};
}

ColorMatrix draw_color(const Augmentation& augmentation, Stream stream) {
  const bool jitter = stream.chance(augmentation.color);
  const double brightness = draw(stream, augmentation.brightness);
  const double contrast = draw(stream, augmentation.contrast);
  const double saturation = draw(stream, augmentation.saturation);
  const double hue = draw(stream, augmentation.hue);
  const bool grey = stream.chance(augmentation.grey);
  return jitter ? color_matrix(brightness, contrast, saturation, hue, grey)
                : color_matrix(1, 1, 1, 0, grey);
}

Rect draw_cutout(const DrawSettings& settings, Stream stream) {
  if (!stream.chance(settings.augmentation.cutout)) return {};
  const double share = std::sqrt(draw(stream, settings.augmentation.cutout_area));
  const int side =
      std::clamp(static_cast<int>(std::lround(share * settings.size)), 1, settings.size);
  const auto places = static_cast<std::uint32_t>(settings.size - side + 1);
  const auto x0 = static_cast<int>(stream.below(places));
  const auto y0 = static_cast<int>(stream.below(places));
  return {static_cast<std::int16_t>(x0), static_cast<std::int16_t>(y0),
          static_cast<std::int16_t>(x0 + side), static_cast<std::int16_t>(y0 + side)};
}

void draw_filters(const DrawSettings& settings, Stream stream, SampleParams& params) {
  const Augmentation& augmentation = settings.augmentation;
  bool blur = stream.chance(augmentation.blur);
  bool down_scale = stream.chance(augmentation.down_scale);
  const double share = draw(stream, augmentation.down_scale_to);
  if (stream.chance(augmentation.blur_or_down_scale)) {
    blur = stream.chance(0.5);
    down_scale = !blur;
  }
  const int canvas = canvas_side(settings.size, settings.grid, params.puzzled != 0);
  params.blur = blur;
  if (down_scale) params.down_scale = std::max(1, static_cast<int>(std::lround(share * canvas)));
}

// Whether and how much is one draw, the noise itself another: `source` only says which.
void draw_noise(const Augmentation& augmentation, Stream stream, const NoiseSource& source,
                SampleParams& params) {
  const bool noise = stream.chance(augmentation.noise);
  const double deviation = draw(stream, augmentation.noise_deviation);
  if (noise) params.noise_scale = noise_scale(deviation);
  if (params.noise_scale != 0) params.noise = source;
}

// Two different cells are turned by 0 … 3 quarters each, so at most two differ from upright.
void draw_two_turns(Stream& stream, int tiles, std::uint8_t* turns) {
  const std::uint32_t first = stream.below(static_cast<std::uint32_t>(tiles));
  std::uint32_t second = stream.below(static_cast<std::uint32_t>(tiles - 1));
  if (second >= first) ++second;
  turns[first] = static_cast<std::uint8_t>(stream.below(4));
  turns[second] = static_cast<std::uint8_t>(stream.below(4));
}

template <typename Number>
void shuffle(Stream& stream, Number* numbers, std::size_t count) {
  for (std::size_t i = count; i > 1; --i) {
    std::swap(numbers[i - 1], numbers[stream.below(static_cast<std::uint32_t>(i))]);
  }
}

void draw_tiles(const DrawSettings& settings, Stream stream, SampleParams& params) {
  const int tiles = settings.grid * settings.grid;
  if (settings.pretext == Pretext::kPuzzle || settings.pretext == Pretext::kPuzzleRotation) {
    shuffle(stream, params.permutation, static_cast<std::size_t>(tiles));
  }
  if (settings.pretext == Pretext::kRotation) {
    for (int cell = 0; cell < tiles; ++cell)
      params.turns[cell] = static_cast<std::uint8_t>(stream.below(4));
  }
  if (settings.pretext == Pretext::kPuzzleRotation) draw_two_turns(stream, tiles, params.turns);
}

}  // namespace

SampleParams draw_params(const DrawSettings& settings, std::uint64_t seed, std::uint32_t epoch,
                         std::uint32_t sample, std::uint32_t view, const Box& face,
                         const Box& box) {
  const Augmentation& augmentation = settings.augmentation;
  const auto stream = [&](Purpose purpose, std::uint32_t of_view) {
    return Stream(seed, purpose, of_view, sample, epoch);
  };
  SampleParams params{};
  std::iota(params.permutation, params.permutation + kMaxTiles, std::uint8_t{0});
  params.puzzled = settings.pretext != Pretext::kNone &&
                   stream(Purpose::kPuzzled, 0).chance(settings.puzzled_fraction);
  if (params.puzzled) draw_tiles(settings, stream(Purpose::kTiles, view), params);

  Stream turn = stream(Purpose::kTurn, 0);
  if (turn.chance(augmentation.turn)) params.turn = static_cast<std::uint8_t>(turn.below(4));
  params.box = draw_crop(settings, stream(Purpose::kCrop, view), face, box);
  params.mirror = stream(Purpose::kMirror, 0).chance(augmentation.mirror);
  params.color = draw_color(augmentation, stream(Purpose::kColor, view));

  draw_filters(settings, stream(Purpose::kFilter, view), params);

  const NoiseSource source = {
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
      {static_cast<std::uint32_t>(Purpose::kNoisePixels) | view << 16, sample, epoch}};
  draw_noise(augmentation, stream(Purpose::kNoise, view), source, params);

  params.cutout = draw_cutout(settings, stream(Purpose::kCutout, view));
  return params;
}

void draw_batch(const DrawSettings& settings, std::uint64_t seed, std::uint32_t epoch,
                const std::int64_t* samples, std::size_t count, int views, const Box* faces,
                const Box* boxes, SampleParams* out) {
  for (std::size_t i = 0; i < count; ++i) {
    for (int view = 0; view < views; ++view) {
      *out++ = draw_params(settings, seed, epoch, static_cast<std::uint32_t>(samples[i]),
                           static_cast<std::uint32_t>(view), faces[i], boxes[i]);
    }
  }
}

std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::size_t count) {
  std::vector<std::int64_t> order(count);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  Stream stream(seed, Purpose::kOrder, 0, 0, epoch);
  shuffle(stream, order.data(), count);
  return order;
}

}  // namespace hmtl
