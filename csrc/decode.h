// Encoded bytes to pixels. Files are not trusted: whatever they hold, the result is the picture or
// a DecodeError, never a crash and never pixels that are not theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "extent.h"
#include "image.h"

namespace hmtl {

// Bad data; the message names the file, what is wrong and, where there is one, the position. It is
// one line: line breaks, which the names of files may hold, become question marks.
class DecodeError : public std::runtime_error {
 public:
  explicit DecodeError(std::string message);
};

// One sample's bytes, borrowed; `height` and `width` as in Extent, `name` is what errors call it.
struct Encoded {
  const std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  Codec codec = Codec::kJpeg;
  int height = 0, width = 0;
  std::string name;
};

enum class ColorSpace { kRgb, kYcc };

// How a file keeps its colours.
enum class SourceColor { kYcc, kGrey, kRgb, kCmyk, kYcck, kPalette, kGreyAlpha, kRgbAlpha, kBgr };

// A part of one grid of samples. `full_height` × `full_width` is the whole grid; `view()` shows the
// rows from `top` and columns from `left` on; one source pixel is `scale_x` × `scale_y` grid
// samples (0.5 for the chroma of 4:2:0, 1/8 … 1 where the inverse transform was scaled down).
struct Plane {
  Image pixels;
  ImageView borrowed;  // set where the sample's own bytes are the pixels, which are then not copied
  int top = 0, left = 0;
  int full_height = 0, full_width = 0;
  float scale_x = 1, scale_y = 1;
  ImageView view() const { return borrowed.data != nullptr ? borrowed : pixels.view(); }
};

// A decoded picture: one interleaved RGB plane (kRgb), or the planes Y, Cb, Cr as they lie in the
// file (kYcc), the last two of one grid. Reused from sample to sample by one thread.
struct Picture {
  int height = 0, width = 0;  // of the whole source image, in pixels
  ColorSpace space = ColorSpace::kRgb;
  Plane planes[3];
  int warnings = 0;           // of the decoder, in the rows decoded
  std::string first_warning;  // the text of the first of them
  SourceColor source_color = SourceColor::kRgb;
  int source_bits = 8;                // of one sample in the file
  int orientation = 1;                // EXIF's; 1 is as stored
  int turned = 0;                     // by so many quarters since it was decoded, counter-clockwise
  std::vector<std::uint8_t> scratch;  // of the decoder
  int plane_count() const { return space == ColorSpace::kRgb ? 1 : 3; }
};

struct DecodeOptions {
  bool whole = true;  // decode everything; else at least `region` and `margin` around it
  Box region;         // in source pixels; may leave the image
  int margin = 2;     // source pixels that resampling may read beyond the region
  // Source pixels for each output pixel of the finest crop; 0: never scale the inverse transform.
  double pixels_per_output = 0;
  bool planes = false;       // prefer kYcc where the file is 4:2:0, 4:2:2 or 4:4:4 YCbCr baseline
  bool ignore_exif = false;  // else an orientation other than 1 is an error
  std::int64_t max_pixels = 100'000'000;  // of the header; checked before anything is allocated
};

// Decodes a sample into `picture`, which may borrow the sample's bytes: it must not outlive them.
void decode(const Encoded& sample, const DecodeOptions& options, Picture& picture);

// Reads a sample into `bytes`, which is reused and must outlive the result.
Encoded read_encoded(const FileTable& files, const Extent& extent,
                     std::vector<std::uint8_t>& bytes);

}  // namespace hmtl
