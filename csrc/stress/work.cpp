#include "work.h"

#include <utility>

#include "slots.h"

namespace hmtl::stress {
namespace {

constexpr int kImageBytes = kSize * kSize * 3, kLabels = kViews * kGrid * kGrid;
// Before anything is written.
constexpr std::uint8_t kUntouched = 0xEE;

template <typename Item>
void append(std::vector<std::uint8_t>& bytes, const Item* items, std::size_t count) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(items);
  bytes.insert(bytes.end(), first, first + count * sizeof(Item));
}

}  // namespace

Work::Work(const Samples& samples, Kind kind, std::vector<int> rows)
    : samples_(samples), kind_(kind), rows_(std::move(rows)) {}

const Sample& Work::sample(int row) const {
  return samples_.all[static_cast<std::size_t>(rows_[static_cast<std::size_t>(row)])];
}

BatchRequest Work::request() {
  switch (kind_) {
    case Kind::kRender: {
      RenderRequest request;
      request.samples = sample_rows();
      request.target = target();
      return request;
    }
    case Kind::kDecode:
      return into_slots(&DecodeRequest::bytes);
    case Kind::kRead:
      return into_slots(&ReadRequest::bytes);
    case Kind::kRenderDecoded:
      break;
  }
  return render_decoded();
}

BatchRequest Work::render_decoded() {
  RenderDecodedRequest request;
  request.samples = sample_rows();
  request.target = target();
  for (int row = 0; row < static_cast<int>(rows_.size()); ++row) {
    request.sources.push_back(sample(row).source);
  }
  return request;
}

SampleRows Work::sample_rows() const {
  SampleRows found;
  found.settings = samples_.settings;
  found.settings.planes = kind_ == Kind::kRender;
  found.views = kViews;
  for (int row = 0; row < static_cast<int>(rows_.size()); ++row) {
    const Sample& one = sample(row);
    found.extents.push_back(one.extent);
    found.params.insert(found.params.end(), one.params, one.params + kViews);
  }
  return found;
}

BatchTarget Work::target() {
  const std::size_t count = rows_.size();
  BatchTarget target;
  for (auto& view : images_) {
    view.assign(count * kImageBytes, kUntouched);
    target.images.push_back(view.data());
  }
  permutation_.assign(count * kLabels, -1);
  turns_.assign(count * kLabels, -1);
  for (int row = 0; row < static_cast<int>(count); ++row) {
    pose_.insert(pose_.end(), sample(row).pose, sample(row).pose + 3);
  }
  target.permutation = permutation_.data();
  target.turns = turns_.data();
  target.pose = pose_.data();
  return target;
}

template <typename Request>
Request Work::into_slots(std::uint8_t*(Request::* bytes)) {
  Request request;
  request.samples = sample_rows();
  slots_.push_back(0);
  for (int row = 0; row < static_cast<int>(rows_.size()); ++row) {
    const Extent& extent = sample(row).extent;
    const std::int64_t decoded = hmtl::slot_bytes(extent, request.samples.decoding(row));
    slots_.push_back(slots_.back() + (kind_ == Kind::kDecode ? decoded : extent.size));
  }
  slot_bytes_.assign(static_cast<std::size_t>(slots_.back()), kUntouched);
  sources_.resize(rows_.size());
  request.slots = slots_;
  request.*bytes = slot_bytes_.data();
  request.sources = sources_.data();
  return request;
}

std::vector<std::uint8_t> Work::slot(int row) const {
  const auto at = static_cast<std::size_t>(row);
  return {slot_bytes_.data() + slots_[at], slot_bytes_.data() + slots_[at + 1]};
}

std::vector<std::uint8_t> Work::written(int row) const {
  const auto at = static_cast<std::size_t>(row);
  std::vector<std::uint8_t> bytes;
  if (fills_slots()) {
    bytes = slot(row);
    DecodedSource found = sources_[at];
    found.pixels = 0;
    append(bytes, &found, 1);
    return bytes;
  }
  for (const auto& view : images_) append(bytes, view.data() + at * kImageBytes, kImageBytes);
  append(bytes, permutation_.data() + at * kLabels, kLabels);
  append(bytes, turns_.data() + at * kLabels, kLabels);
  append(bytes, pose_.data() + at * 3, 3);
  return bytes;
}

}  // namespace hmtl::stress
