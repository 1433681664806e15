// The decoders, and what they share: the words of their errors, the window of samples to keep,
// EXIF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "decode.h"
#include "lzf.h"

namespace hmtl {

// The samples of one grid that are kept: rows [y0, y1), columns [x0, x1). Never empty.
struct Window {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;

  int width() const { return x1 - x0; }
  int height() const { return y1 - y0; }
};

// `number` with a comma between thousands, as people read it.
std::string grouped(std::int64_t number);

// Throws DecodeError "what: name (size bytes)".
[[noreturn]] void fail(const std::string& what, const std::string& name, std::size_t size);

// Throws DecodeError when the header promises more pixels than allowed.
void check_pixels(std::int64_t height, std::int64_t width, std::int64_t max_pixels,
                  const std::string& name);

// The orientation in an EXIF block (a TIFF header, with or without "Exif\0\0" before it); 1 where
// it says none or nothing valid. Any bytes are safe.
int exif_orientation(const std::uint8_t* bytes, std::size_t size);

// Keeps the orientation of a sample's EXIF block in `picture`, the last other than 1 of several.
// Throws DecodeError when the block turns or mirrors the picture and that is not to be ignored.
void note_orientation(const std::uint8_t* exif, std::size_t exif_size, const Encoded& sample,
                      const DecodeOptions& options, Picture& picture);

// The part of a plane that `options` needs: the region and its margin, on the plane's grid, cut to
// the plane. Reads full_height, full_width and the scales. Throws std::invalid_argument for a
// region that is not finite.
Window needed_window(const DecodeOptions& options, const Plane& plane);

// Sets where the window lies in `plane` and makes room for its samples.
void reshape_plane(Plane& plane, const Window& window, int channels);

// By how much a JPEG is scaled down while it is decoded: the largest denominator that leaves four
// decoded pixels for each output pixel; 1 for none.
int jpeg_denominator(const DecodeOptions& options);

void decode_jpeg(const Encoded& sample, const DecodeOptions& options, Picture& picture);
void decode_png(const Encoded& sample, const DecodeOptions& options, Picture& picture);
void decode_array(const Encoded& sample, const DecodeOptions& options, Picture& picture);

// Throws DecodeError unless a sample's LZF gave all `size` bytes.
void check_lzf(const LzfResult& result, std::size_t size, const Encoded& sample);

// Makes room for so many bytes in the picture's scratch; what they hold is unspecified.
std::uint8_t* scratch_bytes(Picture& picture, std::size_t size);

}  // namespace hmtl
