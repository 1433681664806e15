// Drawing params, the settings of a rendering, normalising.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bindings.h"
#include "bindings_array.h"
#include "decoded.h"
#include "normalize.h"
#include "params.h"
#include "render.h"

namespace py = pybind11;

namespace hmtl {
namespace {

Array<SampleParams> bind_draw_params(const DrawSettings& settings, std::uint64_t seed,
                                     std::uint32_t epoch, const Array<std::int64_t>& samples,
                                     int views, const Array<float>& face, const Array<float>& box) {
  const py::ssize_t count = samples.size();
  check_shape(samples, {count}, "samples");
  check_shape(face, {count, 4}, "face");
  check_shape(box, {count, 4}, "box");
  if (settings.grid < 1 || settings.grid > kMaxGrid || settings.size < 1 || views < 1) {
    throw std::invalid_argument("grid must be 1 … 8, size and views at least 1");
  }
  Array<SampleParams> params({count, static_cast<py::ssize_t>(views)});
  const auto* faces = reinterpret_cast<const Box*>(face.data());
  const auto* boxes = reinterpret_cast<const Box*>(box.data());
  SampleParams* out = params.mutable_data();
  {
    const NoGil nogil;
    draw_batch(settings, seed, epoch, samples.data(), static_cast<std::size_t>(count), views, faces,
               boxes, out);
  }
  return params;
}

py::array_t<std::int64_t> bind_epoch_order(std::uint64_t seed, std::uint32_t epoch,
                                           std::size_t count) {
  std::vector<std::int64_t> order;
  {
    const NoGil nogil;
    order = epoch_order(seed, epoch, count);
  }
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(order.size()), order.data());
}

void bind_normalize(const Array<std::uint8_t>& rgb, Array<float> out) {
  if (rgb.ndim() < 1 || rgb.shape(rgb.ndim() - 1) != 3) {
    throw std::invalid_argument("normalize takes (…, 3) interleaved RGB");
  }
  check_shape(out, {rgb.shape(), rgb.shape() + rgb.ndim()}, "out");
  const std::uint8_t* in = rgb.data();
  float* to = out.mutable_data();
  const auto pixels = static_cast<std::size_t>(rgb.size()) / 3;
  const NoGil nogil;
  normalize(in, to, pixels);
}

void bind_settings(py::module_& m) {
  py::class_<Range>(m, "Range").def(py::init<double, double>(), py::arg("low"), py::arg("high"));
  py::class_<Augmentation>(m, "Augmentation", "Ranges and probabilities by stage.")
      .def(py::init<>())
      .def_readwrite("turn", &Augmentation::turn)
      .def_readwrite("margin", &Augmentation::margin)
      .def_readwrite("area", &Augmentation::area)
      .def_readwrite("aspect", &Augmentation::aspect)
      .def_readwrite("off_centre", &Augmentation::off_centre)
      .def_readwrite("mirror", &Augmentation::mirror)
      .def_readwrite("color", &Augmentation::color)
      .def_readwrite("brightness", &Augmentation::brightness)
      .def_readwrite("contrast", &Augmentation::contrast)
      .def_readwrite("saturation", &Augmentation::saturation)
      .def_readwrite("hue", &Augmentation::hue)
      .def_readwrite("grey", &Augmentation::grey)
      .def_readwrite("blur", &Augmentation::blur)
      .def_readwrite("down_scale", &Augmentation::down_scale)
      .def_readwrite("blur_or_down_scale", &Augmentation::blur_or_down_scale)
      .def_readwrite("down_scale_to", &Augmentation::down_scale_to)
      .def_readwrite("noise", &Augmentation::noise)
      .def_readwrite("noise_deviation", &Augmentation::noise_deviation)
      .def_readwrite("cutout", &Augmentation::cutout)
      .def_readwrite("cutout_area", &Augmentation::cutout_area);
  py::class_<DrawSettings>(m, "DrawSettings", "All that shapes a draw beside chance.")
      .def(py::init([](const Augmentation& augmentation, int fit, int pretext, int grid, int size,
                       double puzzled_fraction) {
             return DrawSettings{augmentation, Fit{fit}, Pretext{pretext},
                                 grid,         size,     puzzled_fraction};
           }),
           py::kw_only(), py::arg("augmentation"), py::arg("fit"), py::arg("pretext"),
           py::arg("grid"), py::arg("size"), py::arg("puzzled_fraction"));
  py::class_<RenderSettings>(m, "RenderSettings", "How samples are decoded and laid out.")
      .def(py::init([](int size, int grid, bool planes, bool ignore_exif, std::int64_t max_pixels) {
             return RenderSettings{size, grid, planes, ignore_exif, max_pixels};
           }),
           py::kw_only(), py::arg("size"), py::arg("grid"), py::arg("planes"),
           py::arg("ignore_exif"), py::arg("max_pixels"));
}

}  // namespace

void bind_render(py::module_& m) {
  PYBIND11_NUMPY_DTYPE(Extent, file, codec, offset, size, height, width, row, crc);
  PYBIND11_NUMPY_DTYPE(Box, x0, y0, x1, y1);
  PYBIND11_NUMPY_DTYPE(ColorMatrix, m);
  PYBIND11_NUMPY_DTYPE(Rect, x0, y0, x1, y1);
  PYBIND11_NUMPY_DTYPE(NoiseSource, key, counter);
  PYBIND11_NUMPY_DTYPE(SampleParams, box, color, down_scale, noise_scale, noise, cutout, turn,
                       mirror, blur, puzzled, permutation, turns);
  PYBIND11_NUMPY_DTYPE(DecodedSource, pixels, stride, height, width, top, left, full_height,
                       full_width, denominator);
  m.attr("DECODED_SOURCE") = py::dtype::of<DecodedSource>();
  bind_settings(m);
  m.def("draw_params", &bind_draw_params, py::kw_only(), py::arg("settings"), py::arg("seed"),
        py::arg("epoch"), py::arg("samples"), py::arg("views"), py::arg("face"), py::arg("box"),
        "Structured array (N, V) of what is drawn for samples.");
  m.def("epoch_order", &bind_epoch_order, py::kw_only(), py::arg("seed"), py::arg("epoch"),
        py::arg("count"), "A permutation of 0 … count - 1.");
  m.def("normalize", &bind_normalize, py::arg("rgb"), py::arg("out").noconvert(),
        "uint8 (…, 3) to float32 of the same shape, in place of `out`.");
}

}  // namespace hmtl
