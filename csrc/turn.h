// Turns of the whole image by quarters, counter-clockwise.
#pragma once

#include "decode.h"
#include "image.h"

namespace hmtl {

// Turns `src` by `quarters` (0 … 3) into `dst`, whose sides fit; both have 1 or 3 channels.
void turn(ImageView src, int quarters, MutableImageView dst);

// Turns what was decoded of a picture: afterwards it holds the same part of the turned picture, and
// `picture.turned` says so.
// `spare` is memory that it reuses.
void turn_picture(int quarters, Picture& picture, Image& spare);

// Where `box`, in pixels of the stored picture, lies after so many quarters. `plane` is the one to
// be cropped, as `turn_picture` leaves it: where its samples reach beyond the picture, as chroma of
// an odd width does, they are turned with it.
Box turned_box(const Box& box, int quarters, const Plane& plane);

}  // namespace hmtl
