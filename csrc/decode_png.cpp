#include <png.h>
#include <zlib.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "decode.h"
#include "decode_shared.h"

// Note [Chunks are walked before libpng]
// One pass over the chunks checks that they are complete and that their checksums are right,
// and takes the header and the EXIF block, which may lie behind the pixels. So damage is found
// also when the rows below a crop are never inflated, sizes are known before libpng allocates, and
// libpng need not compute the checksums again. Chunks that cannot change the pixels stay closed to
// it: compressed text and colour profiles could be made to fill the memory.

namespace hmtl {
namespace {

constexpr std::size_t kSignatureSize = 8;
constexpr std::size_t kChunkFrame = 12;  // length, type and checksum

// What the chunks say.
struct Chunks {
  std::uint32_t height = 0, width = 0;
  int bits = 0, color_type = 0;
  const std::uint8_t* exif = nullptr;
  std::size_t exif_size = 0;
};

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
         static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

bool is_type(const std::uint8_t* type, const char* expected) {
  return std::memcmp(type, expected, 4) == 0;
}

// A chunk's type for messages; a damaged one may hold anything.
std::string printable(const std::uint8_t* type) {
  std::string text(reinterpret_cast<const char*>(type), 4);
  for (char& letter : text) {
    const bool is_letter = (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z');
    if (!is_letter) letter = '?';
  }
  return text;
}

// See Note [Chunks are walked before libpng].
Chunks walk_chunks(const std::uint8_t* bytes, std::size_t size, const std::string& name) {
  Chunks chunks;
  std::size_t at = kSignatureSize;
  bool is_first = true;
  while (true) {
    if (size - at < kChunkFrame) {
      fail("truncated PNG, the data ends before the chunk IEND", name, size);
    }
    const std::size_t length = big_endian(bytes + at);
    const std::uint8_t* type = bytes + at + 4;
    const std::uint8_t* data = type + 4;
    if (length > size - at - kChunkFrame || length > PNG_UINT_31_MAX) {
      fail("truncated PNG, the data ends in the chunk " + printable(type) + " at byte " +
               grouped(static_cast<std::int64_t>(at)),
           name, size);
    }
    if (::crc32(0, type, static_cast<uInt>(length + 4)) != big_endian(data + length)) {
      fail("broken PNG, wrong checksum of the chunk " + printable(type) + " at byte " +
               grouped(static_cast<std::int64_t>(at)),
           name, size);
    }
    if (is_first) {
      if (!is_type(type, "IHDR") || length != 13) fail("broken PNG, no header", name, size);
      chunks.width = big_endian(data);
      chunks.height = big_endian(data + 4);
      chunks.bits = data[8];
      chunks.color_type = data[9];
    }
    is_first = false;
    if (is_type(type, "IEND")) return chunks;
    if (is_type(type, "eXIf")) {
      chunks.exif = data;
      chunks.exif_size = length;
    }
    at += kChunkFrame + length;
  }
}

// One libpng reader, its callbacks' state, and the plan of what it is to read.
struct Png {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf on_error{};
  char message[256] = "";
  char first_warning[256] = "";
  int warnings = 0;
  const std::uint8_t* next = nullptr;
  std::size_t left = 0;

  bool whole = true;
  bool is_interlaced = false;
  Window window;
  Picture* picture = nullptr;
  std::uint8_t* scratch = nullptr;

  Png() = default;
  ~Png() { png_destroy_read_struct(&png, &info, nullptr); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
};

void on_png_error(png_structp png, png_const_charp message) {
  Png& reader = *static_cast<Png*>(png_get_error_ptr(png));
  std::snprintf(reader.message, sizeof(reader.message), "%s", message);
  std::longjmp(reader.on_error, 1);
}

void on_png_warning(png_structp png, png_const_charp message) {
  Png& reader = *static_cast<Png*>(png_get_error_ptr(png));
  if (reader.warnings++ > 0) return;
  std::snprintf(reader.first_warning, sizeof(reader.first_warning), "%s", message);
}

void on_read(png_structp png, png_bytep to, std::size_t count) {
  Png& reader = *static_cast<Png*>(png_get_io_ptr(png));
  if (count > reader.left) png_error(png, "the data ends");
  std::memcpy(to, reader.next, count);
  reader.next += count;
  reader.left -= count;
}

// Runs a step. Returns false when it stopped in the middle: everything between here and there is
// skipped, so this function and the steps have trivial locals only.
bool run_step(Png& reader, void (*step)(Png&)) {
  if (setjmp(reader.on_error) != 0) return false;
  step(reader);
  return true;
}

// Reads up to the pixels and asks for 8-bit RGB.
void read_header(Png& reader) {
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_png_error, on_png_warning);
  // Without the structure there is nobody to report through.
  if (reader.png == nullptr) return;
  reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) png_error(reader.png, "out of memory");
  png_set_read_fn(reader.png, &reader, on_read);
  png_set_crc_action(reader.png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
#ifdef PNG_HANDLE_AS_UNKNOWN_SUPPORTED
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
#endif
  png_set_user_limits(reader.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_read_info(reader.png, reader.info);

  png_set_palette_to_rgb(reader.png);
  png_set_expand_gray_1_2_4_to_8(reader.png);
  png_set_scale_16(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_gray_to_rgb(reader.png);
  reader.is_interlaced = png_set_interlace_handling(reader.png) > 1;
  png_read_update_info(reader.png, reader.info);
  const std::size_t row_bytes = std::size_t{3} * png_get_image_width(reader.png, reader.info);
  if (png_get_rowbytes(reader.png, reader.info) != row_bytes) {
    png_error(reader.png, "unexpected size of a row");
  }
}

void read_rows(Png& reader) {
  Image& pixels = reader.picture->planes[0].pixels;
  const Window window = reader.window;
  const int full_width = reader.picture->width;
  if (reader.is_interlaced) {
    for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; ++pass) {
      for (int y = 0; y < pixels.height(); ++y) png_read_row(reader.png, pixels.row(y), nullptr);
    }
    return;
  }
  const bool is_direct = window.width() == full_width;
  for (int y = 0; y < window.y1; ++y) {
    if (y < window.y0) {
      png_read_row(reader.png, reader.scratch, nullptr);
    } else if (is_direct) {
      png_read_row(reader.png, pixels.row(y - window.y0), nullptr);
    } else {
      png_read_row(reader.png, reader.scratch, nullptr);
      std::memcpy(pixels.row(y - window.y0), reader.scratch + std::ptrdiff_t{3} * window.x0,
                  static_cast<std::size_t>(pixels.stride()));
    }
  }
}

SourceColor source_color(int color_type) {
  switch (color_type) {
    case PNG_COLOR_TYPE_GRAY:
      return SourceColor::kGrey;
    case PNG_COLOR_TYPE_PALETTE:
      return SourceColor::kPalette;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      return SourceColor::kGreyAlpha;
    case PNG_COLOR_TYPE_RGB_ALPHA:
      return SourceColor::kRgbAlpha;
    default:
      return SourceColor::kRgb;
  }
}

}  // namespace

void decode_png(const Encoded& sample, const DecodeOptions& options, Picture& picture) {
  const std::string& name = sample.name;
  const std::size_t size = sample.size;
  if (size < kSignatureSize || png_sig_cmp(sample.bytes, 0, kSignatureSize) != 0) {
    fail("not a PNG (no signature)", name, size);
  }
  const Chunks chunks = walk_chunks(sample.bytes, size, name);
  if (chunks.height == 0 || chunks.width == 0 || chunks.height > PNG_UINT_31_MAX ||
      chunks.width > PNG_UINT_31_MAX) {
    fail("invalid PNG (" + grouped(chunks.height) + " × " + grouped(chunks.width) + " pixels)",
         name, size);
  }
  check_pixels(chunks.height, chunks.width, options.max_pixels, name);
  if (chunks.exif != nullptr) {
    note_orientation(chunks.exif, chunks.exif_size, sample, options, picture);
  }

  Png reader;
  reader.picture = &picture;
  reader.next = sample.bytes;
  reader.left = size;
  const auto invalid = [&] {
    fail(std::string("invalid PNG (") + reader.message + ")", name, size);
  };
  if (!run_step(reader, read_header)) invalid();
  if (reader.png == nullptr) throw std::bad_alloc();

  picture.height = static_cast<int>(chunks.height);
  picture.width = static_cast<int>(chunks.width);
  picture.space = ColorSpace::kRgb;
  picture.source_color = source_color(chunks.color_type);
  picture.source_bits = chunks.bits;
  Plane& plane = picture.planes[0];
  plane.full_height = picture.height;
  plane.full_width = picture.width;
  plane.scale_x = plane.scale_y = 1;
  reader.window = needed_window(options, plane);
  // The passes of an interlaced file fill the whole picture in turn.
  if (reader.is_interlaced) reader.window = {0, 0, picture.width, picture.height};
  reshape_plane(plane, reader.window, 3);
  reader.scratch = scratch_bytes(picture, static_cast<std::size_t>(picture.width) * 3);
  if (!run_step(reader, read_rows)) invalid();
  picture.warnings = reader.warnings;
  if (reader.warnings > 0) picture.first_warning = reader.first_warning;
}

}  // namespace hmtl
