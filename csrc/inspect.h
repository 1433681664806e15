// Looking at samples without rendering them.
#pragma once

#include <cstdint>
#include <string>

#include "decode.h"
#include "extent.h"

namespace hmtl {

// Reads a sample and decodes all of it, whatever its orientation. `picture` holds what was found;
// of an array that is not its pixels.
void inspect(const FileTable& files, const Extent& extent, std::int64_t max_pixels,
             Picture& picture);

// How the file of a decoded picture keeps its colours: "YCbCr", "grey 1 bit", "RGB+alpha 16 bit".
std::string source_name(const Picture& picture);

struct ImageSize {
  int height = 0, width = 0;
};

// The size that the header of a JPEG or PNG says; the bytes need not go beyond the header. Throws
// DecodeError where they do not reach it, std::invalid_argument for other codecs.
ImageSize image_size(const Encoded& head);

}  // namespace hmtl
