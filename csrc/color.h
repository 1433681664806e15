// Brightness, contrast, saturation, hue and grey as one fixed-point matrix.
#pragma once

#include <cstdint>

#include "image.h"
#include "pixel_math.h"

namespace hmtl {

// out[i] = (m[i][0]·r + m[i][1]·g + m[i][2]·b + m[i][3] + half) >> kColorBits, clipped to 0 … 255.
struct ColorMatrix {
  std::int32_t m[3][4] = {
      {1 << kColorBits, 0, 0, 0}, {0, 1 << kColorBits, 0, 0}, {0, 0, 1 << kColorBits, 0}};

  bool is_identity() const;
};

// Composes, in this order and without clipping in between: brightness (a factor), contrast (a
// factor about 128), saturation (a factor), hue (a rotation of I and Q of YIQ, degrees from red
// towards yellow) and grey (Rec. 601 luma). 1, 1, 1, 0, false is the identity, exactly.
ColorMatrix color_matrix(double brightness, double contrast, double saturation, double hue_degrees,
                         bool grey);

// The matrix after JPEG's conversion (JFIF, full-range YCbCr of Rec. 601, to RGB), as one matrix.
ColorMatrix after_ycc(const ColorMatrix& matrix);

// Applies the matrix to interleaved RGB, in place.
void apply_color(const ColorMatrix& matrix, MutableImageView rgb);

// Converts planes Y, Cb, Cr of one size to interleaved RGB through `after_ycc` of the matrix.
void apply_color_ycc(const ColorMatrix& matrix, ImageView y, ImageView cb, ImageView cr,
                     MutableImageView rgb);

}  // namespace hmtl
