// Decoding and reading by themselves, and the type of their errors. The NumPy type of Extent is
// registered with the others, in bindings_render.cpp.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "decode.h"
#include "extent.h"

namespace py = pybind11;

namespace hmtl {
namespace {

void register_decode_error(py::module_& m) {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> type;
  type.call_once_and_store_result([&m]() -> py::object {
    return py::exception<DecodeError>(m, "DecodeError", PyExc_ValueError);
  });
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const DecodeError& decode_error) {
      // File names need not be UTF-8.
      py::object text =
          py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefault(decode_error.what()));
      if (text) PyErr_SetObject(type.get_stored().ptr(), text.ptr());
    }
  });
}

py::dict plane_dict(const Plane& plane) {
  const ImageView view = plane.pixels.view();
  py::array_t<std::uint8_t> pixels({view.height, view.width, view.channels});
  std::memcpy(pixels.mutable_data(), view.data, static_cast<std::size_t>(pixels.nbytes()));
  py::dict dict;
  dict["pixels"] = std::move(pixels);
  dict["top"] = plane.top;
  dict["left"] = plane.left;
  dict["full_height"] = plane.full_height;
  dict["full_width"] = plane.full_width;
  dict["scale_x"] = plane.scale_x;
  dict["scale_y"] = plane.scale_y;
  return dict;
}

py::dict picture_dict(const Picture& picture) {
  py::list planes;
  for (int i = 0; i < picture.plane_count(); ++i) planes.append(plane_dict(picture.planes[i]));
  py::dict dict;
  dict["space"] = picture.space == ColorSpace::kRgb ? "rgb" : "ycc";
  dict["height"] = picture.height;
  dict["width"] = picture.width;
  dict["warnings"] = picture.warnings;
  dict["first_warning"] = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeLatin1(picture.first_warning.data(),
                             static_cast<py::ssize_t>(picture.first_warning.size()), nullptr));
  dict["planes"] = std::move(planes);
  return dict;
}

py::dict bind_decode_call(const py::bytes& data, int codec, const std::string& name,
                          const std::optional<std::array<float, 4>>& region, int margin,
                          double pixels_per_output, bool planes, bool ignore_exif,
                          std::int64_t max_pixels) {
  DecodeOptions options;
  options.whole = !region.has_value();
  if (region) options.region = {(*region)[0], (*region)[1], (*region)[2], (*region)[3]};
  options.margin = margin;
  options.pixels_per_output = pixels_per_output;
  options.planes = planes;
  options.ignore_exif = ignore_exif;
  options.max_pixels = max_pixels;
  char* bytes = nullptr;
  py::ssize_t size = 0;
  if (PyBytes_AsStringAndSize(data.ptr(), &bytes, &size) != 0) throw py::error_already_set();
  Picture picture;
  {
    py::gil_scoped_release nogil;
    decode(reinterpret_cast<const std::uint8_t*>(bytes), static_cast<std::size_t>(size),
           static_cast<Codec>(codec), name, options, picture);
  }
  return picture_dict(picture);
}

py::bytes bind_read_extent(std::vector<std::string> paths,
                           const py::array_t<Extent, py::array::c_style>& extent) {
  if (extent.size() != 1) throw std::invalid_argument("extent must be one extent");
  const Extent where = *extent.data();
  std::vector<std::uint8_t> bytes;
  {
    py::gil_scoped_release nogil;
    FileTable(std::move(paths)).read(where, bytes);
  }
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

void bind_decode(py::module_& m) {
  register_decode_error(m);
  m.def("decode", &bind_decode_call, py::arg("data"), py::arg("codec"), py::arg("name"),
        py::kw_only(), py::arg("region") = py::none(), py::arg("margin") = 2,
        py::arg("pixels_per_output") = 0, py::arg("planes") = false, py::arg("ignore_exif") = false,
        py::arg("max_pixels") = DecodeOptions{}.max_pixels,
        "Decode a JPEG (codec 0) or PNG (1); region is x0, y0, x1, y1 in pixels.");
  m.def("read_extent", &bind_read_extent, py::arg("paths"), py::arg("extent"),
        "Return the encoded bytes of one extent.");
}

}  // namespace hmtl
