#include "requests.h"

#include <algorithm>
#include <stdexcept>

#include "decode_shared.h"
#include "plain_jpeg.h"
#include "slots.h"

namespace hmtl {
namespace {

std::size_t at(int row) { return static_cast<std::size_t>(row); }

void check_samples(const SampleRows& samples, const FileTable& files) {
  const RenderSettings& settings = samples.settings;
  if (settings.size < 1 || settings.grid < 1 || settings.grid > kMaxGrid) {
    throw std::invalid_argument("a batch needs a size of 1 or more and a grid of 1 … " +
                                std::to_string(kMaxGrid) + ", got size " +
                                std::to_string(settings.size) + " and grid " +
                                std::to_string(settings.grid));
  }
  if (samples.views < 1 || samples.params.size() != samples.extents.size() * at(samples.views)) {
    throw std::invalid_argument("a batch needs params for every row and view");
  }
  // A file number that is unknown is refused here, where the caller gets the error.
  for (const Extent& extent : samples.extents) files.path(extent);
}

void check_target(const SampleRows& samples, const BatchTarget& target) {
  if (target.images.size() == at(samples.views)) return;
  throw std::invalid_argument("a batch needs images for every view");
}

void check_slots(const SampleRows& samples, const std::vector<std::int64_t>& slots) {
  if (slots.size() == samples.extents.size() + 1 && slots.front() >= 0 &&
      std::is_sorted(slots.begin(), slots.end())) {
    return;
  }
  throw std::invalid_argument("slots must begin at the offsets given, in order, with one end");
}

RenderTarget target_of(const BatchTarget& target, const RenderSettings& settings, int row) {
  const auto views = static_cast<std::ptrdiff_t>(target.images.size());
  const std::ptrdiff_t labels = row * views * settings.grid * settings.grid;
  const std::ptrdiff_t image_bytes = static_cast<std::ptrdiff_t>(settings.size) * settings.size * 3;
  return {&target.images, row * image_bytes, target.permutation + labels, target.turns + labels,
          target.pose + 3 * row};
}

const SampleRows& samples_of(const BatchRequest& request) {
  return std::visit([](const auto& one) -> const SampleRows& { return one.samples; }, request);
}

// What only some requests ask for.
struct Check {
  void operator()(const RenderRequest& request) const {
    check_target(request.samples, request.target);
  }
  void operator()(const RenderDecodedRequest& request) const {
    check_target(request.samples, request.target);
    if (request.sources.size() != request.samples.extents.size()) {
      throw std::invalid_argument("a batch needs a source for every row");
    }
  }
  void operator()(const DecodeRequest& request) const {
    check_slots(request.samples, request.slots);
    if (request.samples.settings.planes) {
      throw std::invalid_argument("slots hold RGB, not the planes of JPEGs");
    }
  }
  void operator()(const ReadRequest& request) const { check_slots(request.samples, request.slots); }
};

// The part of a picture of this size that is decoded.
DecodedSource needed_part(const ImageSize& size, const DecodeOptions& options) {
  Plane plane;
  plane.full_height = size.height;
  plane.full_width = size.width;
  const Window window = needed_window(options, plane);
  DecodedSource part;
  part.height = window.height();
  part.width = window.width();
  part.top = window.y0;
  part.left = window.x0;
  part.full_height = size.height;
  part.full_width = size.width;
  return part;
}

struct Run {
  const FileTable& files;
  int row;
  RenderScratch& scratch;

  int operator()(const RenderRequest& request) const {
    const SampleRows& samples = request.samples;
    return render_sample(files, samples.extents[at(row)], samples.params_of(row), samples.settings,
                         scratch, target_of(request.target, samples.settings, row));
  }

  int operator()(const RenderDecodedRequest& request) const {
    const SampleRows& samples = request.samples;
    const DecodedSource& source = request.sources[at(row)];
    if (source.height == 0) return 0;
    render_decoded(source, samples.params_of(row), samples.settings, scratch,
                   target_of(request.target, samples.settings, row));
    return 0;
  }

  int operator()(const DecodeRequest& request) const {
    const SampleRows& samples = request.samples;
    request.sources[row] = {};
    check_views(samples.params_of(row), at(samples.views));
    decode_sample(files, samples.extents[at(row)], samples.decoding(row), scratch);
    const std::int64_t first = request.slots[at(row)], last = request.slots[at(row) + 1];
    request.sources[row] = fill_slot(scratch.picture, request.bytes + first, last - first);
    scratch.clock.lap(Stage::kDecode);
    return scratch.picture.warnings;
  }

  int operator()(const ReadRequest& request) const {
    request.sources[row] = {};
    scratch.clock.start();
    try {
      request.sources[row] = read_plain(request);
    } catch (const std::exception&) {
      // Found again by our own decoder.
    }
    scratch.clock.lap(Stage::kRead);
    return 0;
  }

  DecodedSource read_plain(const ReadRequest& request) const {
    const SampleRows& samples = request.samples;
    const Extent& extent = samples.extents[at(row)];
    const std::int64_t first = request.slots[at(row)], last = request.slots[at(row) + 1];
    const DecodeOptions options = samples.decoding(row);
    if (extent.codec != Codec::kJpeg || extent.size > last - first) return {};
    if (jpeg_denominator(options) > 1) return {};
    files.read(extent, scratch.encoded);
    std::copy(scratch.encoded.begin(), scratch.encoded.end(), request.bytes + first);
    const ImageSize size = plain_jpeg_size(scratch.encoded.data(), scratch.encoded.size(),
                                           options.ignore_exif, options.max_pixels);
    return size.height > 0 ? needed_part(size, options) : DecodedSource{};
  }
};

}  // namespace

DecodeOptions SampleRows::decoding(int row) const {
  return decode_options(params_of(row), at(views), settings);
}

void check_request(const BatchRequest& request, const FileTable& files) {
  check_samples(samples_of(request), files);
  std::visit(Check{}, request);
}

int count_rows(const BatchRequest& request) {
  return static_cast<int>(samples_of(request).extents.size());
}

int run_row(const BatchRequest& request, int row, const FileTable& files, RenderScratch& scratch) {
  return std::visit(Run{files, row, scratch}, request);
}

std::string row_name(const BatchRequest& request, int row, const FileTable& files) {
  return files.name(samples_of(request).extents[at(row)]);
}

}  // namespace hmtl
