// A request of any kind and the memory that it is for.
#pragma once

#include <cstdint>
#include <vector>

#include "requests.h"
#include "samples.h"

namespace hmtl::stress {

// Freed as soon as the renderer's contract allows it: the sanitizers see a thread that still
// writes.
class Work {
 public:
  // `rows` are numbers of samples.
  Work(const Samples& samples, Kind kind, std::vector<int> rows);

  // Points into this; to be asked for once.
  BatchRequest request();

  Kind kind() const { return kind_; }
  const std::vector<int>& rows() const { return rows_; }

  // Everything that a row has become, in a fixed order, without addresses.
  std::vector<std::uint8_t> written(int row) const;

  // The part of a picture in the slot of a row.
  DecodedSource source(int row) const { return sources_[static_cast<std::size_t>(row)]; }
  std::vector<std::uint8_t> slot(int row) const;

 private:
  SampleRows sample_rows() const;
  BatchTarget target();
  BatchRequest render_decoded();
  template <typename Request>
  Request into_slots(std::uint8_t*(Request::* bytes));

  bool fills_slots() const { return kind_ == Kind::kDecode || kind_ == Kind::kRead; }
  const Sample& sample(int row) const;

  const Samples& samples_;
  const Kind kind_;
  const std::vector<int> rows_;
  std::vector<std::uint8_t> images_[kViews];
  std::vector<std::int64_t> permutation_, turns_;
  std::vector<float> pose_;
  std::vector<std::int64_t> slots_;
  std::vector<std::uint8_t> slot_bytes_;
  std::vector<DecodedSource> sources_;
};

}  // namespace hmtl::stress
