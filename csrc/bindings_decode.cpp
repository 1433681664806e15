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
#include "crc.h"
#include "decode.h"
#include "decode_shared.h"
#include "extent.h"
#include "inspect.h"
#include "lzf.h"

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
      PyErr_SetObject(type.get_stored().ptr(), message_object(decode_error.what()).ptr());
    }
  });
}

py::dict plane_dict(const Plane& plane) {
  const ImageView view = plane.view();
  py::array_t<std::uint8_t> pixels({view.height, view.width, view.channels});
  for (int y = 0; y < view.height; ++y) {
    std::memcpy(pixels.mutable_data(y), view.row(y), view.row_bytes());
  }
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

// What C libraries say may hold bytes of the file.
py::object latin1(const std::string& text) {
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeLatin1(text.data(), static_cast<py::ssize_t>(text.size()), nullptr));
}

py::dict picture_dict(const Picture& picture) {
  py::list planes;
  for (int i = 0; i < picture.plane_count(); ++i) planes.append(plane_dict(picture.planes[i]));
  py::dict dict;
  dict["space"] = picture.space == ColorSpace::kRgb ? "rgb" : "ycc";
  dict["height"] = picture.height;
  dict["width"] = picture.width;
  dict["warnings"] = picture.warnings;
  dict["first_warning"] = latin1(picture.first_warning);
  dict["planes"] = std::move(planes);
  return dict;
}

// The bytes and what is said of them; `data` must outlive it.
Encoded encoded(const py::bytes& data, int codec, std::string name, int height, int width) {
  char* bytes = nullptr;
  py::ssize_t size = 0;
  if (PyBytes_AsStringAndSize(data.ptr(), &bytes, &size) != 0) throw py::error_already_set();
  return {reinterpret_cast<const std::uint8_t*>(bytes),
          static_cast<std::size_t>(size),
          static_cast<Codec>(codec),
          height,
          width,
          std::move(name)};
}

py::dict bind_decode_call(const py::bytes& data, int codec, std::string name, int height, int width,
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
  const Encoded sample = encoded(data, codec, std::move(name), height, width);
  Picture picture;
  {
    const NoGil nogil;
    decode(sample, options, picture);
  }
  return picture_dict(picture);
}

using Extents = py::array_t<Extent, py::array::c_style>;

// A table of the one file that the extent names, which may be one of very many: only its path is
// looked at. `extent` is changed to name it there.
FileTable one_file(const py::sequence& paths, Extent& extent) {
  const auto count = static_cast<std::int64_t>(py::len(paths));
  if (extent.file < 0 || extent.file >= count) {
    throw std::invalid_argument("extent.file must be below " + std::to_string(count) + ", got " +
                                std::to_string(extent.file));
  }
  const auto number = static_cast<std::size_t>(std::exchange(extent.file, 0));
  return FileTable({paths[number].cast<std::string>()});
}

Extent one_extent(const Extents& extents) {
  if (extents.size() != 1) throw std::invalid_argument("extent must be one extent");
  return *extents.data();
}

// The bytes of samples, borrowed from Python, as the extents describe them.
std::vector<Encoded> encoded_samples(const std::vector<py::bytes>& data, const Extents& extents) {
  if (extents.size() != static_cast<py::ssize_t>(data.size())) {
    throw std::invalid_argument("data and extent must be of one length, got " +
                                std::to_string(data.size()) + " and " +
                                std::to_string(extents.size()));
  }
  std::vector<Encoded> samples;
  samples.reserve(data.size());
  for (const py::bytes& bytes : data) {
    const Extent& extent = extents.data()[samples.size()];
    samples.push_back(encoded(bytes, static_cast<int>(extent.codec),
                              "sample " + std::to_string(samples.size()), extent.height,
                              extent.width));
  }
  return samples;
}

std::int64_t bind_decode_repeatedly(const std::vector<py::bytes>& data, const Extents& extents,
                                    int passes) {
  const std::vector<Encoded> samples = encoded_samples(data, extents);
  std::int64_t pixels = 0;
  const NoGil nogil;
  Picture picture;
  for (int pass = 0; pass < passes; ++pass) {
    for (const Encoded& sample : samples) {
      decode(sample, DecodeOptions{}, picture);
      pixels += static_cast<std::int64_t>(picture.height) * picture.width;
    }
  }
  return pixels;
}

py::bytes bind_read_extent(const py::sequence& paths, const Extents& extents) {
  Extent extent = one_extent(extents);
  const FileTable files = one_file(paths, extent);
  std::vector<std::uint8_t> bytes;
  {
    const NoGil nogil;
    files.read(extent, bytes);
  }
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

py::dict bind_inspect(const py::sequence& paths, const Extents& extents, std::int64_t max_pixels) {
  Extent extent = one_extent(extents);
  const FileTable files = one_file(paths, extent);
  Picture picture;
  {
    const NoGil nogil;
    inspect(files, extent, max_pixels, picture);
  }
  py::dict dict;
  dict["height"] = picture.height;
  dict["width"] = picture.width;
  dict["channels"] = source_name(picture);
  dict["orientation"] = picture.orientation;
  dict["warnings"] = picture.warnings;
  dict["first_warning"] = latin1(picture.first_warning);
  return dict;
}

py::tuple bind_image_size(const py::bytes& head, int codec, std::string name) {
  const ImageSize size = image_size(encoded(head, codec, std::move(name), 0, 0));
  return py::make_tuple(size.height, size.width);
}

template <LzfResult (*Decode)(const std::uint8_t*, std::size_t, std::uint8_t*, std::size_t)>
py::bytes bind_lzf(const py::bytes& data, std::size_t size) {
  const Encoded sample = encoded(data, static_cast<int>(Codec::kLzfBgr), "data", 0, 0);
  std::vector<std::uint8_t> out(size);
  {
    const NoGil nogil;
    check_lzf(Decode(sample.bytes, sample.size, out.data(), size), size, sample);
  }
  return py::bytes(reinterpret_cast<const char*>(out.data()), size);
}

std::uint32_t bind_crc32(const py::bytes& data, bool use_wide) {
  const Encoded sample = encoded(data, 0, "data", 0, 0);
  const NoGil nogil;
  return crc32(sample.bytes, sample.size, use_wide);
}

std::uint32_t bind_crc32_plain(const py::bytes& data) {
  const Encoded sample = encoded(data, 0, "data", 0, 0);
  return crc32_plain(sample.bytes, sample.size);
}

}  // namespace

void bind_decode(py::module_& m) {
  register_decode_error(m);
  m.def("decode", &bind_decode_call, py::arg("data"), py::arg("codec"), py::arg("name"),
        py::kw_only(), py::arg("height") = 0, py::arg("width") = 0, py::arg("region") = py::none(),
        py::arg("margin") = 2, py::arg("pixels_per_output") = 0, py::arg("planes") = false,
        py::arg("ignore_exif") = false, py::arg("max_pixels") = DecodeOptions{}.max_pixels,
        "Decode a sample's bytes; region is x0, y0, x1, y1 in pixels.");
  m.def(
      "decode_repeatedly", &bind_decode_repeatedly, py::kw_only(), py::arg("data"),
      py::arg("extent"), py::arg("passes"),
      "Decode samples, whole and to RGB, so many times into one picture; return how many pixels.");
  m.def("read_extent", &bind_read_extent, py::arg("paths"), py::arg("extent"),
        "Return the encoded bytes of one extent.");
  m.def("inspect", &bind_inspect, py::arg("paths"), py::arg("extent"), py::kw_only(),
        py::arg("max_pixels") = DecodeOptions{}.max_pixels,
        "Read and decode one whole sample; return what was found, without pixels.");
  m.def("image_size", &bind_image_size, py::arg("data_head"), py::arg("codec"), py::arg("name"),
        "(height, width) as the header of a JPEG or PNG says.");
  m.def("lzf_decode", &bind_lzf<lzf_decode>, py::arg("data"), py::arg("size"),
        "Expand one LZF stream to so many bytes.");
  m.def("lzf_decode_plain", &bind_lzf<lzf_decode_plain>, py::arg("data"), py::arg("size"),
        "The same, byte by byte.");
  m.def("crc32", &bind_crc32, py::arg("data"), py::arg("use_wide") = true,
        "CRC-32 as zlib has it.");
  m.def("crc32_plain", &bind_crc32_plain, py::arg("data"), "The same, by zlib.");
}

}  // namespace hmtl
