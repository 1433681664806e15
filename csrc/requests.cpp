#include "requests.h"

#include <algorithm>
#include <stdexcept>

#include "decode_shared.h"
#include "plain_jpeg.h"
#include "slots.h"

namespace hmtl {
namespace {

std::size_t at(int row) { return static_cast<std::size_t>(row); }

void check_settings(const RenderSettings& settings) {
  if (settings.size >= 1 && settings.grid >= 1 && settings.grid <= kMaxGrid) return;
  throw std::invalid_argument(
      "a batch needs a size of 1 or more and a grid of 1 … " + std::to_string(kMaxGrid) +
      ", got size " + std::to_string(settings.size) + " and grid " + std::to_string(settings.grid));
}

void check_params(std::size_t rows, std::size_t views, const std::vector<SampleParams>& params) {
  if (views == 0 || params.size() != rows * views) {
    throw std::invalid_argument("a batch needs params for every row and view");
  }
}

void check_samples(const SampleRows& samples, const FileTable& files) {
  check_settings(samples.settings);
  check_params(samples.extents.size(), at(samples.views), samples.params);
  // A file number that is unknown is refused here, where the caller gets the error.
  for (const Extent& extent : samples.extents) files.path(extent);
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

// None where a request is not of files.
const SampleRows* samples_of(const BatchRequest& request) {
  struct Find {
    const SampleRows* operator()(const RenderDecodedRequest&) const { return nullptr; }
    const SampleRows* operator()(const RenderRequest& other) const { return &other.samples; }
    const SampleRows* operator()(const DecodeRequest& other) const { return &other.samples; }
    const SampleRows* operator()(const ReadRequest& other) const { return &other.samples; }
  };
  return std::visit(Find{}, request);
}

struct Check {
  const FileTable& files;

  void operator()(const RenderRequest& request) const {
    check_samples(request.samples, files);
    if (request.target.images.size() != at(request.samples.views)) {
      throw std::invalid_argument("a batch needs images for every view");
    }
  }
  void operator()(const RenderDecodedRequest& request) const {
    check_settings(request.settings);
    check_params(request.sources.size(), request.target.images.size(), request.params);
  }
  void operator()(const DecodeRequest& request) const {
    check_samples(request.samples, files);
    check_slots(request.samples, request.slots);
    if (request.samples.settings.planes) {
      throw std::invalid_argument("slots hold RGB, not the planes of JPEGs");
    }
  }
  void operator()(const ReadRequest& request) const {
    check_samples(request.samples, files);
    check_slots(request.samples, request.slots);
  }
};

struct Run {
  const FileTable& files;
  int row;
  RenderScratch& scratch;

  int operator()(const RenderRequest& request) const {
    const SampleRows& samples = request.samples;
    return render_sample(files, samples.extents[at(row)],
                         samples.params.data() + row * samples.views, samples.settings, scratch,
                         target_of(request.target, samples.settings, row));
  }

  int operator()(const RenderDecodedRequest& request) const {
    const DecodedSource& source = request.sources[at(row)];
    if (source.height == 0) return 0;
    const auto views = static_cast<std::ptrdiff_t>(request.target.images.size());
    render_decoded(source, request.params.data() + row * views, request.settings, scratch,
                   target_of(request.target, request.settings, row));
    return 0;
  }

  int operator()(const DecodeRequest& request) const {
    const SampleRows& samples = request.samples;
    request.sources[row] = {};
    check_views(samples.params.data() + row * samples.views, at(samples.views));
    decode_sample(files, samples.extents[at(row)], samples.decoding(row), scratch);
    const std::int64_t first = request.slots[at(row)], last = request.slots[at(row) + 1];
    request.sources[row] = fill_slot(scratch.picture, request.pixels + first, last - first);
    scratch.clock.lap(Stage::kDecode);
    return scratch.picture.warnings;
  }

  int operator()(const ReadRequest& request) const {
    request.plain[row] = false;
    scratch.clock.start();
    request.plain[row] = read_plain(request);
    scratch.clock.lap(Stage::kRead);
    return 0;
  }

  bool read_plain(const ReadRequest& request) const {
    const SampleRows& samples = request.samples;
    const Extent& extent = samples.extents[at(row)];
    const std::int64_t first = request.slots[at(row)], last = request.slots[at(row) + 1];
    if (extent.codec != Codec::kJpeg || extent.size > last - first) return false;
    if (jpeg_denominator(samples.decoding(row)) > 1) return false;
    try {
      files.read(extent, scratch.encoded);
    } catch (const DecodeError&) {
      return false;
    }
    std::copy(scratch.encoded.begin(), scratch.encoded.end(), request.bytes + first);
    return is_plain_jpeg(scratch.encoded.data(), scratch.encoded.size(),
                         samples.settings.ignore_exif, samples.settings.max_pixels);
  }
};

}  // namespace

DecodeOptions SampleRows::decoding(int row) const {
  return decode_options(params.data() + row * views, at(views), settings);
}

void check_request(const BatchRequest& request, const FileTable& files) {
  std::visit(Check{files}, request);
}

int count_rows(const BatchRequest& request) {
  const SampleRows* const samples = samples_of(request);
  const std::size_t rows = samples != nullptr
                               ? samples->extents.size()
                               : std::get<RenderDecodedRequest>(request).sources.size();
  return static_cast<int>(rows);
}

int run_row(const BatchRequest& request, int row, const FileTable& files, RenderScratch& scratch) {
  return std::visit(Run{files, row, scratch}, request);
}

std::string row_name(const BatchRequest& request, int row, const FileTable& files) {
  const SampleRows* const samples = samples_of(request);
  if (samples == nullptr) return "row " + std::to_string(row) + " of decoded pictures";
  return files.name(samples->extents[at(row)]);
}

}  // namespace hmtl
