// Rendering batches into arrays of Python.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "bindings.h"
#include "bindings_array.h"
#include "loader.h"
#include "slots.h"

namespace py = pybind11;

namespace hmtl {
namespace {

// How long Ctrl-C may go unseen.
constexpr std::chrono::milliseconds kSlice{50};

SampleRows sample_rows(const Array<Extent>& extent, const Array<SampleParams>& params,
                       const RenderSettings& settings) {
  const py::ssize_t count = extent.size();
  const py::ssize_t views = params.ndim() == 2 ? params.shape(1) : 0;
  check_shape(extent, {count}, "extent");
  check_shape(params, {count, views}, "params");
  SampleRows samples;
  samples.extents.assign(extent.data(), extent.data() + count);
  samples.params.assign(params.data(), params.data() + params.size());
  samples.views = static_cast<int>(views);
  samples.settings = settings;
  return samples;
}

BatchTarget batch_target(py::ssize_t count, const RenderSettings& settings,
                         std::vector<Array<std::uint8_t>>& images, Array<std::int64_t>& permutation,
                         Array<std::int64_t>& turns, Array<float>& pose) {
  const py::ssize_t size = settings.size, tiles = py::ssize_t{settings.grid} * settings.grid;
  const auto views = static_cast<py::ssize_t>(images.size());
  check_shape(permutation, {count, views, tiles}, "permutation");
  check_shape(turns, {count, views, tiles}, "turns");
  check_shape(pose, {count, 3}, "pose");
  BatchTarget target;
  for (Array<std::uint8_t>& view : images) {
    check_shape(view, {count, size, size, 3}, "images");
    target.images.push_back(view.mutable_data());
  }
  target.permutation = permutation.mutable_data();
  target.turns = turns.mutable_data();
  target.pose = pose.mutable_data();
  return target;
}

std::vector<std::int64_t> slots_within(const Array<std::int64_t>& slots,
                                       const Array<std::uint8_t>& bytes) {
  check_shape(slots, {slots.size()}, "slots");
  check_shape(bytes, {bytes.size()}, "the array of slots");
  if (slots.size() < 1 || slots.data()[slots.size() - 1] > bytes.size()) {
    throw std::invalid_argument("slots must end within their array");
  }
  return {slots.data(), slots.data() + slots.size()};
}

Array<std::int64_t> bind_slot_bytes(const Array<Extent>& extent, const Array<SampleParams>& params,
                                    const RenderSettings& settings) {
  const SampleRows samples = sample_rows(extent, params, settings);
  if (samples.views < 1) throw std::invalid_argument("params must be of one view or more");
  Array<std::int64_t> bytes(extent.size());
  for (py::ssize_t row = 0; row < extent.size(); ++row) {
    bytes.mutable_data()[row] =
        slot_bytes(extent.data()[row], samples.decoding(static_cast<int>(row)));
  }
  return bytes;
}

// Note [Lent arrays]
// Threads write to arrays of Python. Whatever becomes of the caller (an exception between two of
// its lines, a generator that nobody closes), an array must not be freed before its batch is done:
// the renderer keeps a reference to each until then, and to whatever holds pixels that it only
// reads. All members are guarded by the GIL.
class Renderer {
 public:
  Renderer(std::vector<std::string> paths, int threads)
      : core_(std::make_unique<BatchRenderer>(std::move(paths), threads)) {}

  ~Renderer() {
    if (core_->in_forked_child()) static_cast<void>(core_.release());
  }
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;

  std::uint64_t submit(const Array<Extent>& extent, const Array<SampleParams>& params,
                       std::vector<Array<std::uint8_t>> images, Array<std::int64_t> permutation,
                       Array<std::int64_t> turns, Array<float> pose, const RenderSettings& settings,
                       bool urgent) {
    RenderRequest request;
    request.samples = sample_rows(extent, params, settings);
    request.target = batch_target(extent.size(), settings, images, permutation, turns, pose);
    return lend(std::move(request), {py::cast(images), permutation, turns, pose}, urgent);
  }

  std::uint64_t submit_decoded(const Array<Extent>& extent, const Array<SampleParams>& params,
                               const Array<DecodedSource>& sources,
                               std::vector<Array<std::uint8_t>> images,
                               Array<std::int64_t> permutation, Array<std::int64_t> turns,
                               Array<float> pose, const RenderSettings& settings, py::object pixels,
                               bool urgent) {
    check_shape(sources, {extent.size()}, "sources");
    RenderDecodedRequest request;
    request.samples = sample_rows(extent, params, settings);
    request.sources.assign(sources.data(), sources.data() + sources.size());
    request.target = batch_target(extent.size(), settings, images, permutation, turns, pose);
    return lend(std::move(request), {py::cast(images), permutation, turns, pose, std::move(pixels)},
                urgent);
  }

  // A DecodeRequest or a ReadRequest.
  template <typename Request>
  std::uint64_t submit_into_slots(const Array<Extent>& extent, const Array<SampleParams>& params,
                                  const Array<std::int64_t>& slots, Array<std::uint8_t> bytes,
                                  Array<DecodedSource> sources, const RenderSettings& settings,
                                  bool urgent) {
    check_shape(sources, {extent.size()}, "sources");
    Request request;
    request.samples = sample_rows(extent, params, settings);
    request.slots = slots_within(slots, bytes);
    request.bytes = bytes.mutable_data();
    request.sources = sources.mutable_data();
    return lend(std::move(request), {bytes, sources}, urgent);
  }

  void check_process() const { core_->check_process(); }

  py::tuple wait(std::uint64_t ticket) {
    std::optional<BatchResult> result = wait_slice(ticket);
    while (!result) {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      result = wait_slice(ticket);
    }
    take_back(ticket);
    py::list bad;
    for (const BadRow& row : result->bad)
      bad.append(py::make_tuple(row.row, message_object(row.reason)));
    py::dict seconds;
    for (std::size_t stage = 0; stage < kStages; ++stage) {
      seconds[kStageNames[stage]] = static_cast<double>(result->times[stage]) * 1e-9;
    }
    return py::make_tuple(bad, result->warnings, seconds);
  }

  bool is_whole(std::uint64_t ticket) { return core_->is_whole(ticket); }

  void cancel(std::uint64_t ticket) {
    core_->cancel(ticket);
    take_back_released();
  }

  void close() {
    if (core_->in_forked_child()) return;
    {
      const NoGil nogil;
      core_->close();
    }
    // At the interpreter's end a thread must not be on its way to the GIL: it would never get it,
    // and be ended in the middle of C++.
    while (waiting_ > 0) {
      const NoGil nogil;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const std::list<Lent> lent = std::move(lent_);
    lent_.clear();
  }

 private:
  struct Lent {
    std::uint64_t ticket;
    std::vector<py::object> arrays;
  };

  struct Waiting {
    int& count;
    explicit Waiting(int& counter) : count(counter) { ++count; }
    ~Waiting() { --count; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
  };

  // Queues a request that points into arrays.
  std::uint64_t lend(BatchRequest request, std::vector<py::object> arrays, bool urgent) {
    take_back_released();
    // Lent first: once the threads have the batch, nothing may fail any more.
    lent_.push_back({0, std::move(arrays)});
    try {
      lent_.back().ticket = core_->submit(std::move(request), urgent);
    } catch (...) {
      lent_.pop_back();
      throw;
    }
    return lent_.back().ticket;
  }

  std::optional<BatchResult> wait_slice(std::uint64_t ticket) {
    const Waiting waiting(waiting_);
    const NoGil nogil;
    return core_->wait(ticket, kSlice);
  }

  void take_back(std::uint64_t ticket) {
    lent_.remove_if([ticket](const Lent& lent) { return lent.ticket == ticket; });
  }

  void take_back_released() {
    for (const std::uint64_t ticket : core_->take_released()) take_back(ticket);
  }

  std::list<Lent> lent_;  // before the core, which joins its threads when it goes: goes after it
  std::unique_ptr<BatchRenderer> core_;
  int waiting_ = 0;
};

}  // namespace

void bind_loader(py::module_& m) {
  py::class_<Renderer>(m, "BatchRenderer", "Renders batches ahead of their use.")
      .def(py::init<std::vector<std::string>, int>(), py::arg("paths"), py::arg("threads"))
      .def("submit", &Renderer::submit, py::kw_only(), py::arg("extent"), py::arg("params"),
           py::arg("images").noconvert(), py::arg("permutation").noconvert(),
           py::arg("turns").noconvert(), py::arg("pose").noconvert(), py::arg("settings"),
           py::arg("urgent") = false, "Queue a batch; returns its ticket.")
      .def("submit_decoded", &Renderer::submit_decoded, py::kw_only(), py::arg("extent"),
           py::arg("params"), py::arg("sources"), py::arg("images").noconvert(),
           py::arg("permutation").noconvert(), py::arg("turns").noconvert(),
           py::arg("pose").noconvert(), py::arg("settings"), py::arg("pixels"),
           py::arg("urgent") = false,
           "Queue a batch whose pixels, which `pixels` holds, are decoded already.")
      .def("submit_decoding", &Renderer::submit_into_slots<DecodeRequest>, py::kw_only(),
           py::arg("extent"), py::arg("params"), py::arg("slots"), py::arg("pixels").noconvert(),
           py::arg("sources").noconvert(), py::arg("settings"), py::arg("urgent") = false,
           "Queue the decoding of samples into slots of one array.")
      .def("submit_reading", &Renderer::submit_into_slots<ReadRequest>, py::kw_only(),
           py::arg("extent"), py::arg("params"), py::arg("slots"), py::arg("encoded").noconvert(),
           py::arg("sources").noconvert(), py::arg("settings"), py::arg("urgent") = false,
           "Queue the reading of files for another decoder.")
      .def("check_process", &Renderer::check_process, "Raise RuntimeError in a forked child.")
      .def("wait", &Renderer::wait, py::arg("ticket"),
           "([(row, reason)], decoder warnings, {stage: seconds of all threads}).")
      .def("is_whole", &Renderer::is_whole, py::arg("ticket"),
           "Whether a batch is done, all of its rows rendered.")
      .def("cancel", &Renderer::cancel, py::arg("ticket"), "Give a batch up, without waiting.")
      .def("close", &Renderer::close, "Join the threads.");
  m.def("slot_bytes", &bind_slot_bytes, py::kw_only(), py::arg("extent"), py::arg("params"),
        py::arg("settings"), "Bytes that the slot of each sample must have.");
}

}  // namespace hmtl
