// Planning a batch for a device, and its kernels on the host, for the tests of a machine without.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <vector>

#include "bindings.h"
#include "bindings_array.h"
#include "cuda/on_host.h"
#include "cuda/plan.h"
#include "normalize.h"

namespace py = pybind11;

namespace hmtl {
namespace {

using cuda::DeviceBatch;
using cuda::FloatType;
using cuda::NormalizePixels;
using cuda::Plan;

Plan bind_plan(const Array<DecodedSource>& sources, const Array<SampleParams>& params,
               const Array<bool>& valid, int size, int grid) {
  const py::ssize_t count = sources.size();
  if (params.ndim() != 2) throw std::invalid_argument("params are (N, V)");
  const py::ssize_t views = params.shape(1);
  check_shape(sources, {count}, "sources");
  check_shape(params, {count, views}, "params");
  check_shape(valid, {count}, "valid");
  const NoGil nogil;
  return cuda::make_plan(sources.data(), params.data(), valid.data(),
                         static_cast<std::size_t>(count), static_cast<int>(views), size, grid);
}

Array<std::uint8_t> jobs_of(const Plan& plan) {
  const std::size_t bytes = plan.jobs.size() * sizeof(cuda::Job);
  return Array<std::uint8_t>(static_cast<py::ssize_t>(bytes),
                             reinterpret_cast<const std::uint8_t*>(plan.jobs.data()));
}

void bind_render_on_host(const Plan& plan, std::vector<Array<std::uint8_t>> images,
                         Array<std::int64_t> permutation, Array<std::int64_t> turns,
                         bool backwards) {
  const py::ssize_t views = plan.views, size = plan.size, grid = plan.grid;
  const auto count = static_cast<py::ssize_t>(plan.jobs.size()) / views;
  if (static_cast<py::ssize_t>(images.size()) != views) {
    throw std::invalid_argument("there must be an array of images for each view");
  }
  check_shape(permutation, {count, views, grid * grid}, "permutation");
  check_shape(turns, {count, views, grid * grid}, "turns");
  // What a kernel forgets to write shows.
  std::vector<std::uint8_t> memory(
      static_cast<std::size_t>(plan.workspace.bytes + cuda::Workspace::kAlignment), 0xA5);
  std::vector<std::uint8_t*> pointers;
  for (Array<std::uint8_t>& view : images) {
    check_shape(view, {count, size, size, 3}, "images");
    pointers.push_back(view.mutable_data());
  }
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  std::uint8_t* const start = memory.data() + (-address & (cuda::Workspace::kAlignment - 1));
  if (!plan.jobs.empty()) {
    std::memcpy(start + plan.workspace.jobs, plan.jobs.data(),
                plan.jobs.size() * sizeof(cuda::Job));
  }
  const DeviceBatch batch =
      cuda::device_batch(plan, start, pointers, permutation.mutable_data(), turns.mutable_data());
  const NoGil nogil;
  cuda::render_on_host(batch, backwards);
}

py::array bind_normalize_on_host(const Array<std::uint8_t>& rgb, const std::string& type) {
  if (rgb.ndim() < 1 || rgb.shape(rgb.ndim() - 1) != 3) {
    throw std::invalid_argument("normalize takes (…, 3) interleaved RGB");
  }
  const FloatType to = cuda::float_type(type);
  const std::vector<py::ssize_t> shape(rgb.shape(), rgb.shape() + rgb.ndim());
  // 16 bits as they are: NumPy knows no bfloat16.
  py::array out = to == FloatType::kFloat32 ? py::array(Array<float>(shape))
                                            : py::array(Array<std::uint16_t>(shape));
  const NormalizePixels kernel =
      cuda::normalize_pixels(rgb.data(), out.mutable_data(), to, rgb.size() / 3);
  const NoGil nogil;
  cuda::normalize_on_host(kernel);
  return out;
}

}  // namespace

void bind_device(py::module_& m) {
  py::class_<Plan>(m, "DevicePlan", "What the host works out before a device renders a batch.")
      .def(py::init(&bind_plan), py::kw_only(), py::arg("sources"), py::arg("params"),
           py::arg("valid"), py::arg("size"), py::arg("grid"))
      .def_property_readonly(
          "bytes", [](const Plan& plan) { return plan.workspace.bytes; },
          "Memory that the device needs meanwhile.")
      .def_property_readonly("jobs", &jobs_of, "What that memory begins with.")
      .def("render_on_host", &bind_render_on_host, py::kw_only(), py::arg("images").noconvert(),
           py::arg("permutation").noconvert(), py::arg("turns").noconvert(),
           py::arg("backwards") = false,
           "The kernels on the host, where the sources' addresses must lie.");
  m.def("normalize_on_host", &bind_normalize_on_host, py::arg("rgb"), py::arg("type"),
        "The kernel that normalizes, on the host; 16-bit floats as uint16.");
}

}  // namespace hmtl
