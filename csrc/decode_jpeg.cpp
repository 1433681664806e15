#include <algorithm>
#include <cstring>
#include <string>

#include "decode.h"
#include "decode_shared.h"
#include "jpeg_reader.h"

// Note [Rows and columns of a crop]
// Smooth upsampling of chroma reads one chroma sample to each side, so the columns next to a cut
// differ from those of a full decode. kContext more pixels are decoded on each side and dropped.
// With several scans, CMYK or odd sampling, whole rows are decoded from the top: the partial calls
// of libjpeg-turbo have had errors there, and such files are rare.

// Note [Raw planes]
// libjpeg writes the planes where they stay, in whole blocks, of which the window is a part. It can
// neither skip nor crop them, so the rows above the window are decoded without the inverse
// transform, for which nobody looks at what they hold; what is left and right of it is kept, too.

namespace hmtl {
namespace {

constexpr int kContext = 4;
// libjpeg-turbo stores aligned rows of colour past the caches. A scratch row is read back at once,
// so it starts at an odd address: 330 × 330 pixels out of 450 × 450 take 340 µs instead of 475.
constexpr std::size_t kUnalignment = 1;
// libjpeg's own memory: coefficients of several scans take 2 bytes for each sample of up to four
// components, and each component is padded to whole blocks.
constexpr std::int64_t kMemoryBase = 64 << 20;
constexpr std::int64_t kMemoryPerPixel = 10;

// As Pillow: the file holds inverted CMYK (Adobe's way), and RGB = (1 - CMY)·(1 - K), rounded.
void cmyk_to_rgb(const std::uint8_t* cmyk, int width, std::uint8_t* rgb) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int white = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - cmyk[c]) * white + 128;
      rgb[c] = static_cast<std::uint8_t>(white - ((product + (product >> 8)) >> 8));
    }
  }
}

// Restricts the rows that follow to the window; returns the first column of what is then read.
int crop_and_skip(Jpeg& jpeg, const Window& window) {
  jpeg_decompress_struct& info = jpeg.info;
  const int full_width = static_cast<int>(info.output_width);
  const int first = std::max(0, window.x0 - kContext);
  JDIMENSION left = static_cast<JDIMENSION>(first);
  JDIMENSION width = static_cast<JDIMENSION>(std::min(full_width, window.x1 + kContext) - first);
  jpeg_crop_scanline(&info, &left, &width);
  const JDIMENSION skipped = static_cast<JDIMENSION>(std::max(0, window.y0 - kContext));
  if (skipped > 0 && jpeg_skip_scanlines(&info, skipped) != skipped) {
    stop_with(jpeg, "rows cannot be skipped");
  }
  return static_cast<int>(left);
}

void read_rgb(Jpeg& jpeg) {
  jpeg_decompress_struct& info = jpeg.info;
  Plane& plane = jpeg.picture->planes[0];
  const Window window = jpeg.windows[0];
  if (jpeg_start_decompress(&info) == FALSE) stop(jpeg, Failure::kTruncated);
  if (static_cast<int>(info.output_width) != plane.full_width ||
      static_cast<int>(info.output_height) != plane.full_height) {
    stop_with(jpeg, "unexpected output size");
  }
  const bool is_cmyk = info.out_color_space == JCS_CMYK;
  const bool is_direct = !is_cmyk && window.width() == plane.full_width;
  const int left = jpeg.partial ? crop_and_skip(jpeg, window) : 0;
  const std::ptrdiff_t skipped_bytes =
      static_cast<std::ptrdiff_t>(window.x0 - left) * info.output_components;
  while (static_cast<int>(info.output_scanline) < window.y1) {
    const int y = static_cast<int>(info.output_scanline) - window.y0;
    JSAMPROW row = is_direct && y >= 0 ? plane.pixels.row(y) : jpeg.scratch;
    if (jpeg_read_scanlines(&info, &row, 1) != 1) stop(jpeg, Failure::kTruncated);
    if (y < 0 || is_direct) continue;
    if (is_cmyk) {
      cmyk_to_rgb(row + skipped_bytes, window.width(), plane.pixels.row(y));
    } else {
      std::memcpy(plane.pixels.row(y), row + skipped_bytes,
                  static_cast<std::size_t>(plane.pixels.stride()));
    }
  }
}

// Lets the inverse transforms run, or not: libjpeg looks at it for each block.
void transform_blocks(jpeg_decompress_struct& info, boolean run) {
  for (int c = 0; c < info.num_components; ++c) info.comp_info[c].component_needed = run;
}

// See Note [Raw planes].
void read_planes(Jpeg& jpeg) {
  jpeg_decompress_struct& info = jpeg.info;
  if (jpeg_start_decompress(&info) == FALSE) stop(jpeg, Failure::kTruncated);
  constexpr int kMaxRows = 2 * DCTSIZE;
  JSAMPROW rows[3][kMaxRows];
  JSAMPARRAY components[3] = {rows[0], rows[1], rows[2]};
  const JDIMENSION lines = static_cast<JDIMENSION>(info.max_v_samp_factor * DCTSIZE);
  for (int i = 0; i < jpeg.mcu_rows; ++i) {
    const int kept = std::max(0, i - jpeg.first_mcu_row);
    for (int c = 0; c < 3; ++c) {
      const int count = info.comp_info[c].v_samp_factor * DCTSIZE;
      for (int y = 0; y < count; ++y) rows[c][y] = jpeg.blocks[c].row(kept * count + y);
    }
    transform_blocks(info, i < jpeg.first_mcu_row ? FALSE : TRUE);
    if (jpeg_read_raw_data(&info, components, lines) != lines) stop(jpeg, Failure::kTruncated);
  }
}

// Whether the file is one scan of whole blocks: neither progressive nor lossless.
bool is_sequential(const Jpeg& jpeg) {
  return !jpeg.many_scans && !jpeg.info.progressive_mode && jpeg.info.Se == DCTSIZE2 - 1;
}

// Whether the planes can be handed out as they lie in the file.
bool has_plain_planes(const Jpeg& jpeg) {
  const jpeg_decompress_struct& info = jpeg.info;
  if (info.jpeg_color_space != JCS_YCbCr || info.num_components != 3) return false;
  if (!is_sequential(jpeg)) return false;
  const jpeg_component_info* components = info.comp_info;
  for (int c = 1; c < 3; ++c) {
    if (components[c].h_samp_factor != 1 || components[c].v_samp_factor != 1) return false;
  }
  const int h = components[0].h_samp_factor, v = components[0].v_samp_factor;
  return (h == 1 && v == 1) || (h == 2 && v == 1) || (h == 2 && v == 2);
}

int divide_up(int value, int divisor) { return (value + divisor - 1) / divisor; }

// Sets the grid of a plane whose samples are x by y pixels apart, and where the window that
// is returned lies in it.
Window plan_plane(const DecodeOptions& options, const Picture& picture, int x, int y,
                  Plane& plane) {
  plane.scale_x = 1.0F / static_cast<float>(x);
  plane.scale_y = 1.0F / static_cast<float>(y);
  plane.full_width = divide_up(picture.width, x);
  plane.full_height = divide_up(picture.height, y);
  const Window window = needed_window(options, plane);
  plane.top = window.y0;
  plane.left = window.x0;
  return window;
}

// Prepares read_planes.
void plan_planes(const DecodeOptions& options, Jpeg& jpeg) {
  jpeg_decompress_struct& info = jpeg.info;
  Picture& picture = *jpeg.picture;
  picture.space = ColorSpace::kYcc;
  info.raw_data_out = TRUE;
  info.out_color_space = JCS_YCbCr;
  jpeg.first_mcu_row = static_cast<int>(info.image_height);
  for (int c = 0; c < 3; ++c) {
    const jpeg_component_info& component = info.comp_info[c];
    Plane& plane = picture.planes[c];
    jpeg.windows[c] = plan_plane(options, picture, info.max_h_samp_factor / component.h_samp_factor,
                                 info.max_v_samp_factor / component.v_samp_factor, plane);
    const int count = component.v_samp_factor * DCTSIZE;
    jpeg.first_mcu_row = std::min(jpeg.first_mcu_row, jpeg.windows[c].y0 / count);
    jpeg.mcu_rows = std::max(jpeg.mcu_rows, divide_up(jpeg.windows[c].y1, count));
  }
  for (int c = 0; c < 3; ++c) {
    const jpeg_component_info& component = info.comp_info[c];
    const int count = component.v_samp_factor * DCTSIZE;
    const Window& window = jpeg.windows[c];
    Image& pixels = picture.planes[c].pixels;
    jpeg.blocks[c] = pixels.reshape_grid((jpeg.mcu_rows - jpeg.first_mcu_row) * count,
                                         static_cast<int>(component.width_in_blocks) * DCTSIZE, 1);
    pixels.crop(window.y0 - jpeg.first_mcu_row * count, window.x0, window.height(), window.width());
  }
}

// Prepares read_rgb; returns the bytes of scratch it takes.
std::size_t plan_rgb(const DecodeOptions& options, int denominator, Jpeg& jpeg) {
  jpeg_decompress_struct& info = jpeg.info;
  Picture& picture = *jpeg.picture;
  picture.space = ColorSpace::kRgb;
  info.scale_num = 1;
  info.scale_denom = static_cast<unsigned>(denominator);
  info.out_color_space = info.num_components == 4 ? JCS_CMYK : JCS_RGB;
  jpeg.windows[0] = plan_plane(options, picture, denominator, denominator, picture.planes[0]);
  reshape_plane(picture.planes[0], jpeg.windows[0], 3);
  const bool is_plain =
      info.num_components == 3 ||
      (info.num_components == 1 && info.max_h_samp_factor == 1 && info.max_v_samp_factor == 1);
  jpeg.partial = !options.whole && is_plain && is_sequential(jpeg);
  return static_cast<std::size_t>(picture.planes[0].full_width) * 4 + kUnalignment;
}

[[noreturn]] void fail_jpeg(const Jpeg& jpeg, const Encoded& sample) {
  const std::string& name = sample.name;
  const std::size_t size = sample.size;
  const jpeg_decompress_struct& info = jpeg.info;
  if (jpeg.failure == Failure::kInvalid) {
    fail(std::string("invalid JPEG (") + jpeg.message + ")", name, size);
  }
  const std::string what = jpeg.failure == Failure::kTruncated
                               ? "truncated JPEG, the data ends in "
                               : "broken JPEG, a stray marker cuts the data off in ";
  if (jpeg.in_header) fail(what + "the header", name, size);
  if (jpeg.many_scans) {
    fail(what + "scan " + std::to_string(info.input_scan_number), name, size);
  }
  const std::int64_t height = jpeg.picture->height;
  const std::int64_t row =
      static_cast<std::int64_t>(info.input_iMCU_row) * DCTSIZE * info.max_v_samp_factor;
  fail(what + "row " + grouped(std::min(row, height - 1)) + " of " + grouped(height), name, size);
}

SourceColor source_color(const jpeg_decompress_struct& info) {
  switch (info.jpeg_color_space) {
    case JCS_GRAYSCALE:
      return SourceColor::kGrey;
    case JCS_YCbCr:
      return SourceColor::kYcc;
    case JCS_CMYK:
      return SourceColor::kCmyk;
    case JCS_YCCK:
      return SourceColor::kYcck;
    default:
      return SourceColor::kRgb;
  }
}

void check_header(const Jpeg& jpeg, const Encoded& sample, const DecodeOptions& options) {
  const jpeg_decompress_struct& info = jpeg.info;
  check_pixels(info.image_height, info.image_width, options.max_pixels, sample.name);
  if (info.data_precision != 8) {
    fail("JPEG has " + std::to_string(info.data_precision) + " bits a sample, only 8 are read",
         sample.name, sample.size);
  }
  if (info.num_components != 1 && info.num_components != 3 && info.num_components != 4) {
    fail("JPEG has " + std::to_string(info.num_components) + " components, 1, 3 or 4 are read",
         sample.name, sample.size);
  }
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->data_length < 6 || std::memcmp(marker->data, "Exif\0", 5) != 0) continue;
    note_orientation(marker->data, marker->data_length, sample, options, *jpeg.picture);
  }
}

}  // namespace

int jpeg_denominator(const DecodeOptions& options) {
  for (const int denominator : {8, 4, 2}) {
    if (options.pixels_per_output >= 4.0 * denominator) return denominator;
  }
  return 1;
}

void decode_jpeg(const Encoded& sample, const DecodeOptions& options, Picture& picture) {
  if (sample.size < 2 || sample.bytes[0] != 0xFF || sample.bytes[1] != 0xD8) {
    fail("not a JPEG (no SOI marker)", sample.name, sample.size);
  }
  Jpeg jpeg;
  jpeg.picture = &picture;
  jpeg.source.next_input_byte = sample.bytes;
  jpeg.source.bytes_in_buffer = sample.size;
  if (!run_step(jpeg, read_header)) fail_jpeg(jpeg, sample);
  check_header(jpeg, sample, options);

  jpeg_decompress_struct& info = jpeg.info;
  picture.height = static_cast<int>(info.image_height);
  picture.width = static_cast<int>(info.image_width);
  picture.source_color = source_color(info);
  picture.source_bits = info.data_precision;
  jpeg.in_header = false;
  jpeg.many_scans = jpeg_has_multiple_scans(&info) != FALSE;
  jpeg.end_is_error = jpeg.many_scans || info.arith_code;
  info.mem->max_memory_to_use =
      static_cast<long>(kMemoryBase + kMemoryPerPixel * picture.height * picture.width);

  const int denominator = jpeg_denominator(options);
  const bool use_planes = options.planes && denominator == 1 && has_plain_planes(jpeg);
  if (use_planes) {
    plan_planes(options, jpeg);
  } else {
    const std::size_t scratch_size = plan_rgb(options, denominator, jpeg);
    jpeg.scratch = scratch_bytes(picture, scratch_size) + kUnalignment;
  }
  if (!run_step(jpeg, use_planes ? read_planes : read_rgb)) fail_jpeg(jpeg, sample);
  picture.warnings = jpeg.warnings;
  if (jpeg.warnings > 0) picture.first_warning = jpeg.first_warning;
}

}  // namespace hmtl
