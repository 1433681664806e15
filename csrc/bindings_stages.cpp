// The stages one by one, for the tests that hold each against a slow reference.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "about.h"
#include "bindings.h"
#include "color.h"
#include "dispatch.h"
#include "filter.h"
#include "noise.h"
#include "normalize.h"
#include "philox.h"
#include "resample.h"
#include "tile.h"
#include "turn.h"

namespace py = pybind11;

namespace hmtl {
namespace {

using Pixels = py::array_t<std::uint8_t, py::array::c_style>;
constexpr std::array<std::string_view, 3> kKernelNames = {"plain", "avx2", "wide"};

using Matrix = py::array_t<std::int32_t, py::array::c_style>;

ImageView image_view(const Pixels& pixels, int channels) {
  const bool is_image = pixels.ndim() == 3 && pixels.shape(2) == channels;
  const bool is_plane = pixels.ndim() == 2 && channels == 1;
  if (!is_image && !is_plane) {
    throw std::invalid_argument("expected uint8 pixels (H, W, " + std::to_string(channels) + ")");
  }
  const int height = static_cast<int>(pixels.shape(0)), width = static_cast<int>(pixels.shape(1));
  return {pixels.data(), height, width, channels, static_cast<std::ptrdiff_t>(width) * channels};
}

MutableImageView mutable_view(Pixels& pixels) {
  const ImageView view = image_view(pixels, 3);
  return {pixels.mutable_data(), view.height, view.width, 3, view.stride};
}

Pixels copy_of(const Pixels& pixels) {
  const ImageView view = image_view(pixels, 3);
  Pixels copy({view.height, view.width, 3});
  std::memcpy(copy.mutable_data(), view.data, static_cast<std::size_t>(pixels.size()));
  return copy;
}

ColorMatrix to_matrix(const Matrix& matrix) {
  if (matrix.ndim() != 2 || matrix.shape(0) != 3 || matrix.shape(1) != 4) {
    throw std::invalid_argument("a colour matrix is int32 (3, 4)");
  }
  ColorMatrix result;
  std::memcpy(result.m, matrix.data(), sizeof result.m);
  return result;
}

Plane to_plane(const Pixels& pixels) {
  const int channels = pixels.ndim() == 3 ? static_cast<int>(pixels.shape(2)) : 1;
  const ImageView view = image_view(pixels, channels);
  Plane plane;
  plane.pixels.reshape(view.height, view.width, channels);
  std::memcpy(plane.pixels.row(0), view.data, static_cast<std::size_t>(pixels.size()));
  plane.full_height = view.height;
  plane.full_width = view.width;
  return plane;
}

Pixels bind_crop_resize(const Pixels& image, const std::array<float, 4>& box,
                        std::pair<int, int> size, int border) {
  const Plane plane = to_plane(image);
  const int channels = plane.pixels.channels();
  Pixels out({size.first, size.second, channels});
  const MutableImageView dst = {out.mutable_data(), size.first, size.second, channels,
                                static_cast<std::ptrdiff_t>(size.second) * channels};
  ResampleScratch scratch;
  const NoGil nogil;
  crop_resize(plane, {box[0], box[1], box[2], box[3]}, static_cast<std::uint8_t>(border), scratch,
              dst);
  return out;
}

Pixels bind_develop(const std::vector<Pixels>& planes, const std::array<float, 4>& box,
                    std::pair<int, int> size, const Matrix& matrix, bool mirrored) {
  if (planes.size() != 1 && planes.size() != 3) {
    throw std::invalid_argument("a picture has one plane (RGB) or three (Y, Cb, Cr)");
  }
  Picture picture;
  picture.space = planes.size() == 1 ? ColorSpace::kRgb : ColorSpace::kYcc;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    Plane& plane = picture.planes[i];
    plane = to_plane(planes[i]);
    if (plane.pixels.channels() != (planes.size() == 1 ? 3 : 1)) {
      throw std::invalid_argument("an RGB plane has 3 channels, the others one");
    }
    if (plane.full_width < picture.planes[0].full_width) plane.scale_x = 0.5F;
    if (plane.full_height < picture.planes[0].full_height) plane.scale_y = 0.5F;
  }
  Pixels out({size.first, size.second, 3});
  ResampleScratch scratch;
  develop(picture, {box[0], box[1], box[2], box[3]}, to_matrix(matrix), mirrored, scratch,
          mutable_view(out));
  return out;
}

Matrix bind_color_matrix(double brightness, double contrast, double saturation, double hue,
                         bool grey) {
  const ColorMatrix matrix = color_matrix(brightness, contrast, saturation, hue, grey);
  Matrix out({3, 4});
  std::memcpy(out.mutable_data(), matrix.m, sizeof matrix.m);
  return out;
}

Pixels bind_apply_color(const Pixels& image, const Matrix& matrix) {
  Pixels out = copy_of(image);
  apply_color(to_matrix(matrix), mutable_view(out));
  return out;
}

Pixels bind_apply_color_ycc(const Pixels& y, const Pixels& cb, const Pixels& cr,
                            const Matrix& matrix) {
  const ImageView luma = image_view(y, 1), blue = image_view(cb, 1), red = image_view(cr, 1);
  if (blue.height != luma.height || blue.width != luma.width || red.height != luma.height ||
      red.width != luma.width) {
    throw std::invalid_argument("the planes must have one size");
  }
  Pixels out({luma.height, luma.width, 3});
  apply_color_ycc(to_matrix(matrix), luma, blue, red, mutable_view(out));
  return out;
}

Pixels bind_blur(const Pixels& image) {
  Pixels out = copy_of(image);
  FilterScratch scratch;
  blur(mutable_view(out), scratch);
  return out;
}

Pixels bind_down_scale(const Pixels& image, int side) {
  Pixels out = copy_of(image);
  ResampleScratch scratch;
  down_scale(mutable_view(out), side, scratch);
  return out;
}

Pixels bind_mirror(const Pixels& image) {
  Pixels out = copy_of(image);
  mirror(mutable_view(out));
  return out;
}

Pixels bind_add_noise(const Pixels& image, std::int32_t scale, std::array<std::uint32_t, 2> key,
                      std::array<std::uint32_t, 3> counter, const std::string& kernel) {
  Pixels out = copy_of(image);
  const NoiseSource source = {{key[0], key[1]}, {counter[0], counter[1], counter[2]}};
  if (kernel.empty()) {
    add_noise(source, scale, mutable_view(out));
  } else {
    add_noise(kernel, source, scale, mutable_view(out));
  }
  return out;
}

Pixels bind_turn(const Pixels& image, int quarters) {
  const int channels = image.ndim() == 3 ? static_cast<int>(image.shape(2)) : 1;
  const ImageView view = image_view(image, channels);
  const bool upright = quarters % 2 == 0;
  const int height = upright ? view.height : view.width, width = upright ? view.width : view.height;
  Pixels out({height, width, channels});
  turn(
      view, quarters,
      {out.mutable_data(), height, width, channels, static_cast<std::ptrdiff_t>(width) * channels});
  return out;
}

Pixels bind_cutout(const Pixels& image, const std::array<std::int16_t, 4>& rect) {
  Pixels out = copy_of(image);
  cutout(mutable_view(out), {rect[0], rect[1], rect[2], rect[3]});
  return out;
}

py::tuple bind_tile(const Pixels& canvas, int grid, const std::vector<std::uint8_t>& permutation,
                    const std::vector<std::uint8_t>& turns, int size) {
  const auto tiles = static_cast<std::size_t>(grid) * static_cast<std::size_t>(grid);
  if (grid < 1 || grid > kMaxGrid || permutation.size() != tiles || turns.size() != tiles) {
    throw std::invalid_argument("permutation and turns have grid² numbers");
  }
  Pixels out({size, size, 3});
  py::array_t<std::int64_t> permutation_label(static_cast<py::ssize_t>(tiles));
  py::array_t<std::int64_t> turns_label(static_cast<py::ssize_t>(tiles));
  tile(image_view(canvas, 3), grid, permutation.data(), turns.data(), mutable_view(out),
       permutation_label.mutable_data(), turns_label.mutable_data());
  return py::make_tuple(out, permutation_label, turns_label);
}

}  // namespace

void bind_stages(py::module_& m) {
  m.def("about", &about, "What the core was built with, and which of its kernels run here.");
  m.def("philox", &philox4x32, py::arg("counter"), py::arg("key"), "Philox4x32-10 of one counter.");
  m.def("crop_resize", &bind_crop_resize, py::arg("image"), py::arg("box"), py::arg("size"),
        py::arg("border") = 0, "Crop and antialiased resize to (height, width).");
  m.def("develop", &bind_develop, py::arg("planes"), py::arg("box"), py::arg("size"),
        py::arg("matrix"), py::arg("mirrored") = false,
        "Crop, resize, colour and mirror an RGB plane, or planes Y, Cb, Cr, whose chroma may have "
        "half the rows or columns.");
  m.def(
      "limit_kernels",
      [](const std::string& most) {
        for (std::size_t i = 0; i < kKernelNames.size(); ++i) {
          if (kKernelNames[i] == most) return limit_kernels(static_cast<Kernels>(i));
        }
        throw std::invalid_argument("kernels must be plain, avx2 or wide, got " + most);
      },
      py::arg("most"), "Run no more than the kernels of pixels called plain, avx2 or wide.");
  m.def("color_matrix", &bind_color_matrix, py::arg("brightness") = 1.0, py::arg("contrast") = 1.0,
        py::arg("saturation") = 1.0, py::arg("hue") = 0.0, py::arg("grey") = false,
        "int32 (3, 4), 12 bits after the point.");
  m.def("apply_color", &bind_apply_color, py::arg("image"), py::arg("matrix"),
        "Colour matrix on RGB.");
  m.def("apply_color_ycc", &bind_apply_color_ycc, py::arg("y"), py::arg("cb"), py::arg("cr"),
        py::arg("matrix"), "JFIF YCbCr planes to RGB with a colour matrix.");
  m.def("blur", &bind_blur, py::arg("image"), "Binomial 5 × 5 blur.");
  m.def("down_scale", &bind_down_scale, py::arg("image"), py::arg("side"),
        "To side × side and back.");
  m.def("mirror", &bind_mirror, py::arg("image"), "Left-right mirror.");
  m.def("add_noise", &bind_add_noise, py::arg("image"), py::arg("scale"), py::arg("key"),
        py::arg("counter"), py::arg("kernel") = "",
        "Noise of a source on RGB, with one of noise_kernels() or the fastest.");
  m.def("noise_scale", &noise_scale, py::arg("deviation"), "The scale of a share of 255.");
  m.def("noise_kernels", &noise_kernels, "What this machine can run, the fastest last.");
  m.def("turn", &bind_turn, py::arg("image"), py::arg("quarters"),
        "Turn of the whole image, counter-clockwise.");
  m.def("cutout", &bind_cutout, py::arg("image"), py::arg("rect"),
        "Mean colour in (x0, y0, x1, y1).");
  m.def("tile", &bind_tile, py::arg("canvas"), py::arg("grid"), py::arg("permutation"),
        py::arg("turns"), py::arg("size"), "(image, permutation label, turns label).");
  m.def(
      "normalize_coefficients",
      [] {
        std::array<float, 6> all{};
        for (int c = 0; c < 3; ++c) {
          all[static_cast<std::size_t>(c)] = normalize_scale(c);
          all[static_cast<std::size_t>(3 + c)] = normalize_offset(c);
        }
        return all;
      },
      "Scales and offsets of R, G, B.");
}

}  // namespace hmtl
