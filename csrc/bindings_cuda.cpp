// The module `hmtl._cuda`: the stages on a device, for arrays of whatever library is on it.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bindings.h"
#include "cuda/render.h"

namespace py = pybind11;

namespace hmtl {
namespace {

// Memory of a device, by the CUDA array interface (version 2 and later).
struct DeviceArray {
  std::uintptr_t data;
  std::vector<std::int64_t> shape;

  std::int64_t size() const {
    std::int64_t product = 1;
    for (const std::int64_t length : shape) product *= length;
    return product;
  }
};

// Throws std::invalid_argument, naming the argument, unless it lies without gaps and has one of the
// types, given as NumPy writes them.
DeviceArray device_array(const py::handle& object, const std::vector<std::string>& types,
                         const char* name) {
  const std::string argument(name);
  if (!py::hasattr(object, "__cuda_array_interface__")) {
    throw std::invalid_argument(argument + " must be on a CUDA device");
  }
  const py::dict about = object.attr("__cuda_array_interface__");
  const auto type = about["typestr"].cast<std::string>();
  bool known = false;
  for (const std::string& one : types) known |= one == type;
  if (!known) {
    throw std::invalid_argument(argument + " must be of type " + types.front() + ", got " + type);
  }
  DeviceArray array = {about["data"].cast<py::tuple>()[0].cast<std::uintptr_t>(),
                       about["shape"].cast<std::vector<std::int64_t>>()};
  if (about.contains("strides") && !about["strides"].is_none()) {
    const auto strides = about["strides"].cast<std::vector<std::int64_t>>();
    std::int64_t expected = type.back() - '0';
    for (std::size_t i = array.shape.size(); i-- > 0; expected *= array.shape[i]) {
      if (array.shape[i] > 1 && strides[i] != expected) {
        throw std::invalid_argument(argument + " must lie without gaps");
      }
    }
  }
  return array;
}

void check_shape(const DeviceArray& array, const std::vector<std::int64_t>& shape,
                 const char* name) {
  if (array.shape != shape) {
    throw std::invalid_argument(std::string(name) + " has the wrong shape");
  }
}

void render_batch(const cuda::Plan& plan, const py::object& memory, const py::sequence& images,
                  const py::object& permutation, const py::object& turns, std::uintptr_t stream) {
  const std::int64_t views = plan.views, size = plan.size, tiles = plan.grid * plan.grid;
  const std::int64_t count = static_cast<std::int64_t>(plan.jobs.size()) / views;
  const DeviceArray workspace = device_array(memory, {"|u1"}, "memory");
  if (workspace.size() < plan.workspace.bytes ||
      workspace.data % cuda::Workspace::kAlignment != 0) {
    throw std::invalid_argument("memory must have " + std::to_string(plan.workspace.bytes) +
                                " bytes, aligned to " +
                                std::to_string(cuda::Workspace::kAlignment));
  }
  if (static_cast<std::int64_t>(images.size()) != views) {
    throw std::invalid_argument("there must be an array of images for each view");
  }
  std::vector<std::uint8_t*> pointers;
  for (const py::handle& view : images) {
    const DeviceArray array = device_array(view, {"|u1"}, "images");
    check_shape(array, {count, size, size, 3}, "images");
    pointers.push_back(reinterpret_cast<std::uint8_t*>(array.data));
  }
  const DeviceArray labels[2] = {device_array(permutation, {"<i8"}, "permutation"),
                                 device_array(turns, {"<i8"}, "turns")};
  check_shape(labels[0], {count, views, tiles}, "permutation");
  check_shape(labels[1], {count, views, tiles}, "turns");
  const cuda::DeviceBatch batch =
      cuda::device_batch(plan, reinterpret_cast<std::uint8_t*>(workspace.data), pointers,
                         reinterpret_cast<std::int64_t*>(labels[0].data),
                         reinterpret_cast<std::int64_t*>(labels[1].data));
  const NoGil nogil;
  cuda::render_on_device(batch, stream);
}

void normalize_batch(const py::object& rgb, const py::object& out, const std::string& type,
                     std::uintptr_t stream) {
  const cuda::FloatType to = cuda::float_type(type);
  const DeviceArray from = device_array(rgb, {"|u1"}, "rgb");
  if (from.shape.empty() || from.shape.back() != 3) {
    throw std::invalid_argument("normalize takes (…, 3) interleaved RGB");
  }
  const DeviceArray floats = to == cuda::FloatType::kFloat32
                                 ? device_array(out, {"<f4"}, "out")
                                 : device_array(out, {"<f2", "<i2", "<u2"}, "out");
  check_shape(floats, from.shape, "out");
  // Vectors of 4 bytes and of 16 are moved at once.
  if (from.data % 4 != 0 || floats.data % 16 != 0) {
    throw std::invalid_argument("rgb must be aligned to 4 bytes and out to 16");
  }
  const cuda::NormalizePixels kernel =
      cuda::normalize_pixels(reinterpret_cast<const std::uint8_t*>(from.data),
                             reinterpret_cast<void*>(floats.data), to, from.size() / 3);
  const NoGil nogil;
  cuda::normalize_on_device(kernel, stream);
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.doc() = "The stages on a CUDA device. Streams are addresses of cudaStream_t.";
  // For the type of a plan.
  py::module_::import("hmtl._core");
  m.def("device_count", &cuda::device_count, "Devices that can be used; 0 without a driver.");
  m.def("render", &render_batch, py::kw_only(), py::arg("plan"), py::arg("memory"),
        py::arg("images"), py::arg("permutation"), py::arg("turns"), py::arg("stream"),
        "Queue a planned batch, whose jobs lie at the beginning of the memory.");
  m.def("normalize", &normalize_batch, py::kw_only(), py::arg("rgb"), py::arg("out"),
        py::arg("type"), py::arg("stream"),
        "Queue the way from bytes to floats; 16-bit floats may come as integers.");
}

}  // namespace hmtl
