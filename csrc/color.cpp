#include "color.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "color_rows.h"

namespace hmtl {
namespace {

struct Matrix3 {
  double m[3][3];
};

Matrix3 multiply(const Matrix3& a, const Matrix3& b) {
  Matrix3 product{};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 3; ++k) product.m[i][j] += a.m[i][k] * b.m[k][j];
    }
  }
  return product;
}

constexpr double kRed = 0.299, kGreen = 0.587, kBlue = 0.114;  // Rec. 601 luma

// Scales and rotates the chroma plane: RGB → YIQ (NTSC 1953), rotation, YIQ → RGB. The way back is
// the exact inverse, so that greys stay grey.
Matrix3 saturation_hue(double saturation, double hue_degrees) {
  constexpr double kDegree = 3.14159265358979323846 / 180.0;
  const Matrix3 to_yiq = {
      {{kRed, kGreen, kBlue}, {0.5959, -0.2746, -0.3213}, {0.2115, -0.5227, 0.3112}}};
  // From red to yellow, as HSV counts and DALI turns: against the sense of I and Q.
  const double cosine = saturation * std::cos(hue_degrees * kDegree);
  const double sine = -saturation * std::sin(hue_degrees * kDegree);
  const Matrix3 turn = {{{1, 0, 0}, {0, cosine, -sine}, {0, sine, cosine}}};

  const auto& a = to_yiq.m;
  Matrix3 from_yiq{};
  double determinant = 0;
  for (int i = 0; i < 3; ++i) {
    const int i1 = (i + 1) % 3, i2 = (i + 2) % 3;
    for (int j = 0; j < 3; ++j) {
      const int j1 = (j + 1) % 3, j2 = (j + 2) % 3;
      from_yiq.m[j][i] = a[i1][j1] * a[i2][j2] - a[i1][j2] * a[i2][j1];
    }
  }
  for (int j = 0; j < 3; ++j) determinant += a[0][j] * from_yiq.m[j][0];
  for (auto& row : from_yiq.m) {
    for (double& value : row) value /= determinant;
  }
  return multiply(from_yiq, multiply(turn, to_yiq));
}

// Inverse of JFIF's RGB → YCbCr, in 16 bits after the point; chroma is taken about 128.
constexpr std::int64_t kYccBits = 16;
constexpr std::int64_t kFromYcc[3][3] = {
    {65536, 0, 91881}, {65536, -22554, -46802}, {65536, 116130, 0}};

}  // namespace

bool ColorMatrix::is_identity() const { return std::memcmp(m, ColorMatrix{}.m, sizeof m) == 0; }

ColorMatrix color_matrix(double brightness, double contrast, double saturation, double hue_degrees,
                         bool grey) {
  Matrix3 chroma = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  if (saturation != 1.0 || hue_degrees != 0.0) chroma = saturation_hue(saturation, hue_degrees);
  if (grey) {
    const Matrix3 luma = {{{kRed, kGreen, kBlue}, {kRed, kGreen, kBlue}, {kRed, kGreen, kBlue}}};
    chroma = multiply(luma, chroma);
  }
  // Rows of `chroma` sum to 1: what contrast adds to all channels passes through unchanged.
  const double offset = 128.0 * (1.0 - contrast);
  constexpr double kOne = 1 << kColorBits;
  ColorMatrix result;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      result.m[i][j] =
          static_cast<std::int32_t>(std::lround(chroma.m[i][j] * brightness * contrast * kOne));
    }
    result.m[i][3] = static_cast<std::int32_t>(std::lround(offset * kOne));
  }
  return result;
}

ColorMatrix after_ycc(const ColorMatrix& matrix) {
  ColorMatrix composed;
  for (int i = 0; i < 3; ++i) {
    std::int64_t wide[4] = {0, 0, 0, static_cast<std::int64_t>(matrix.m[i][3]) * (1 << kYccBits)};
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 3; ++k) wide[j] += matrix.m[i][k] * kFromYcc[k][j];
    }
    wide[3] -= 128 * (wide[1] + wide[2]);
    for (int j = 0; j < 4; ++j) {
      composed.m[i][j] = static_cast<std::int32_t>((wide[j] + (1 << (kYccBits - 1))) >> kYccBits);
    }
  }
  return composed;
}

void apply_color(const ColorMatrix& matrix, MutableImageView rgb) {
  constexpr int kPixels = 256;  // at a time, their channels apart
  const RowColor color(matrix);
  std::uint8_t channels[3][kPixels];
  std::uint8_t* const apart[3] = {channels[0], channels[1], channels[2]};
  for (int y = 0; y < rgb.height; ++y) {
    for (int x = 0; x < rgb.width; x += kPixels) {
      const int width = std::min(kPixels, rgb.width - x);
      std::uint8_t* const pixels = rgb.row(y) + 3 * x;
      split_row(pixels, apart, width);
      color.convert({apart[0], apart[1], apart[2]}, pixels, width);
    }
  }
}

void apply_color_ycc(const ColorMatrix& matrix, ImageView y, ImageView cb, ImageView cr,
                     MutableImageView rgb) {
  const RowColor color(after_ycc(matrix));
  for (int row = 0; row < rgb.height; ++row) {
    color.convert({y.row(row), cb.row(row), cr.row(row)}, rgb.row(row), rgb.width);
  }
}

}  // namespace hmtl
