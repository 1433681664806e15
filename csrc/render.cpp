#include "render.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "noise.h"
#include "turn.h"

namespace hmtl {
namespace {

void render_view(const SampleParams& params, const RenderSettings& settings, RenderScratch& scratch,
                 MutableImageView output, std::int64_t* permutation, std::int64_t* turns) {
  MutableImageView canvas = output, later;
  if (params.puzzled) {
    const int side = canvas_side(settings.size, settings.grid, true);
    scratch.canvas.reshape(side, side, 3);
    canvas = scratch.canvas.view();
    later = output;
  }
  develop(scratch.picture, params.box, params.color, params.mirror != 0, scratch.resample, canvas,
          later);
  scratch.clock.lap(Stage::kCrop);
  if (params.blur) blur(canvas, scratch.filter);
  if (params.down_scale > 0) down_scale(canvas, params.down_scale, scratch.resample);
  scratch.clock.lap(Stage::kFilter);
  if (params.noise_scale != 0) add_noise(params.noise, params.noise_scale, canvas);
  scratch.clock.lap(Stage::kNoise);
  if (params.puzzled) {
    tile(canvas, settings.grid, params.permutation, params.turns, output, permutation, turns);
  } else {
    untiled_labels(settings.grid, permutation, turns);
  }
  cutout(output, params.cutout);
  scratch.clock.lap(Stage::kTile);
}

// Everything behind decoding.
void render_picture(const SampleParams* params, const RenderSettings& settings,
                    RenderScratch& scratch, const RenderTarget& target) {
  turn_picture(params[0].turn, scratch.picture, scratch.turned);
  scratch.clock.lap(Stage::kTurn);
  const std::ptrdiff_t tiles = settings.grid * settings.grid;
  for (std::size_t view = 0; view < target.images->size(); ++view) {
    const MutableImageView output = {(*target.images)[view] + target.image_offset, settings.size,
                                     settings.size, 3,
                                     static_cast<std::ptrdiff_t>(settings.size) * 3};
    const auto labels = static_cast<std::ptrdiff_t>(view) * tiles;
    render_view(params[view], settings, scratch, output, target.permutation + labels,
                target.turns + labels);
  }
  if (params[0].mirror) {
    target.pose[0] = -target.pose[0];
    target.pose[2] = -target.pose[2];
  }
}

bool is_inside(std::int32_t first, std::int32_t count, std::int32_t full) {
  constexpr std::int32_t kLongest = 1 << 24;  // no sum of sides or products with 8 overflows
  return first >= 0 && count >= 1 && full <= kLongest && first <= full - count;
}

// Makes `picture` the source, whose pixels it borrows.
void borrow(const DecodedSource& source, Picture& picture) {
  const std::int32_t by = source.denominator;
  if (source.pixels == 0 || (by != 1 && by != 2 && by != 4 && by != 8) ||
      !is_inside(source.top, source.height, source.full_height) ||
      !is_inside(source.left, source.width, source.full_width) ||
      source.stride < std::int64_t{3} * source.width) {
    throw std::invalid_argument("a decoded source is no part of a picture");
  }
  picture.height = source.full_height * by;
  picture.width = source.full_width * by;
  picture.space = ColorSpace::kRgb;
  picture.warnings = 0;
  Plane& plane = picture.planes[0];
  plane.borrowed = {reinterpret_cast<const std::uint8_t*>(source.pixels), source.height,
                    source.width, 3, static_cast<std::ptrdiff_t>(source.stride)};
  plane.top = source.top;
  plane.left = source.left;
  plane.full_height = source.full_height;
  plane.full_width = source.full_width;
  plane.scale_x = plane.scale_y = 1.0F / static_cast<float>(by);
}

}  // namespace

void check_views(const SampleParams* params, std::size_t views) {
  for (std::size_t view = 0; view < views; ++view) {
    if (params[view].turn > 3 || params[view].turn != params[0].turn) {
      throw std::invalid_argument("the views of a sample have one turn of 0 … 3 quarters");
    }
    if (params[view].mirror != params[0].mirror) {
      throw std::invalid_argument("the views of a sample are all mirrored or none");
    }
  }
}

DecodeOptions decode_options(const SampleParams* params, std::size_t views,
                             const RenderSettings& settings) {
  DecodeOptions options;
  options.whole = false;
  options.planes = settings.planes;
  options.ignore_exif = settings.ignore_exif;
  options.max_pixels = settings.max_pixels;
  options.region = params[0].box;
  options.pixels_per_output = INFINITY;
  Box& region = options.region;
  double coarsest = 2;  // resampled chroma reaches two source pixels beyond the crop
  for (std::size_t view = 0; view < views; ++view) {
    const Box& box = params[view].box;
    region = {std::min(region.x0, box.x0), std::min(region.y0, box.y0), std::max(region.x1, box.x1),
              std::max(region.y1, box.y1)};
    const double side = canvas_side(settings.size, settings.grid, params[view].puzzled != 0);
    const double x = (static_cast<double>(box.x1) - box.x0) / side;
    const double y = (static_cast<double>(box.y1) - box.y0) / side;
    options.pixels_per_output = std::min({options.pixels_per_output, x, y});
    coarsest = std::max({coarsest, x, y});
  }
  options.margin = static_cast<int>(std::ceil(std::min<double>(coarsest, kMaxReach))) + 2;
  return options;
}

void decode_sample(const FileTable& files, const Extent& extent, const DecodeOptions& options,
                   RenderScratch& scratch) {
  scratch.clock.start();
  const Encoded sample = read_encoded(files, extent, scratch.encoded);
  scratch.clock.lap(Stage::kRead);
  decode(sample, options, scratch.picture);
  scratch.clock.lap(Stage::kDecode);
}

int render_sample(const FileTable& files, const Extent& extent, const SampleParams* params,
                  const RenderSettings& settings, RenderScratch& scratch,
                  const RenderTarget& target) {
  const std::size_t views = target.images->size();
  check_views(params, views);
  decode_sample(files, extent, decode_options(params, views, settings), scratch);
  render_picture(params, settings, scratch, target);
  return scratch.picture.warnings;
}

void render_decoded(const DecodedSource& source, const SampleParams* params,
                    const RenderSettings& settings, RenderScratch& scratch,
                    const RenderTarget& target) {
  check_views(params, target.images->size());
  borrow(source, scratch.picture);
  scratch.clock.start();
  render_picture(params, settings, scratch, target);
}

}  // namespace hmtl
