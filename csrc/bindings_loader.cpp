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

namespace py = pybind11;

namespace hmtl {
namespace {

// How long Ctrl-C may go unseen.
constexpr std::chrono::milliseconds kSlice{50};

// Note [Lent arrays]
// Threads write to arrays of Python. Whatever becomes of the caller (an exception between two of
// its lines, a generator that nobody closes), an array must not be freed before its batch is done:
// the renderer keeps a reference to each until then. All members are guarded by the GIL.
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
    const py::ssize_t count = extent.size(), views = static_cast<py::ssize_t>(images.size());
    const py::ssize_t size = settings.size, grid = settings.grid;
    check_shape(params, {count, views}, "params");
    check_shape(permutation, {count, views, grid * grid}, "permutation");
    check_shape(turns, {count, views, grid * grid}, "turns");
    check_shape(pose, {count, 3}, "pose");
    BatchRequest request;
    request.extents.assign(extent.data(), extent.data() + count);
    request.params.assign(params.data(), params.data() + count * views);
    request.settings = settings;
    for (Array<std::uint8_t>& view : images) {
      check_shape(view, {count, size, size, 3}, "images");
      request.images.push_back(view.mutable_data());
    }
    request.permutation = permutation.mutable_data();
    request.turns = turns.mutable_data();
    request.pose = pose.mutable_data();
    take_back_released();
    // Lent first: once the threads have the batch, nothing may fail any more.
    lent_.push_back({0, std::move(images), permutation, turns, pose});
    try {
      lent_.back().ticket = core_->submit(std::move(request), urgent);
    } catch (...) {
      lent_.pop_back();
      throw;
    }
    return lent_.back().ticket;
  }

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
    std::vector<Array<std::uint8_t>> images;
    py::object permutation, turns, pose;
  };

  struct Waiting {
    int& count;
    explicit Waiting(int& counter) : count(counter) { ++count; }
    ~Waiting() { --count; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
  };

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
      .def("wait", &Renderer::wait, py::arg("ticket"),
           "([(row, reason)], decoder warnings, {stage: seconds of all threads}).")
      .def("cancel", &Renderer::cancel, py::arg("ticket"), "Give a batch up, without waiting.")
      .def("close", &Renderer::close, "Join the threads.");
}

}  // namespace hmtl
