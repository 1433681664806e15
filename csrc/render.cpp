#include "render.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "noise.h"
#include "turn.h"

namespace hmtl {
namespace {

// What all views of a sample need of its picture.
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

// A sample is turned once, for all its views, and has one pose.
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

}  // namespace

int render_sample(const FileTable& files, const Extent& extent, const SampleParams* params,
                  const RenderSettings& settings, RenderScratch& scratch,
                  const RenderTarget& target) {
  const std::size_t views = target.images->size();
  check_views(params, views);
  scratch.clock.start();
  const Encoded sample = read_encoded(files, extent, scratch.encoded);
  scratch.clock.lap(Stage::kRead);
  decode(sample, decode_options(params, views, settings), scratch.picture);
  scratch.clock.lap(Stage::kDecode);
  turn_picture(params[0].turn, scratch.picture, scratch.turned);
  scratch.clock.lap(Stage::kTurn);
  const std::ptrdiff_t tiles = settings.grid * settings.grid;
  for (std::size_t view = 0; view < views; ++view) {
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
  return scratch.picture.warnings;
}

}  // namespace hmtl
