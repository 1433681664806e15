#include "resample.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "color_rows.h"
#include "dispatch.h"
#include "turn.h"

namespace hmtl {
namespace {

// Samples outside the image are black: 0, and 128 for the chroma planes.
constexpr std::uint8_t kBlack = 0, kNoChroma = 128;

// The samples of one plane; its first row and column are `top` and `left` of what the taps are for.
struct Source {
  ImageView pixels;
  int top = 0, left = 0;
};

// Room for what the vertical pass gives: up to 3 lines of one plane each, or an interleaved line
// and its channels apart; and for up to three rows of the horizontal pass.
struct Lines {
  std::uint8_t *interleaved, *channels[3], *rows[3];
};

std::size_t line_bytes(const Columns& columns, int channels) {
  return static_cast<std::size_t>((columns.taps.end - columns.taps.begin + columns.taps.count) *
                                  channels) +
         kLineSlack;
}

// `longest` bytes hold any line of the vertical pass, `width` samples a row of the output.
Lines take_lines(std::size_t longest, int width, std::vector<std::uint8_t>& memory) {
  const auto row = static_cast<std::size_t>(padded(width));
  if (memory.size() < 4 * longest + 3 * row) memory.resize(4 * longest + 3 * row);
  Lines lines{};
  lines.interleaved = memory.data();
  for (std::size_t c = 0; c < 3; ++c) {
    lines.channels[c] = memory.data() + (1 + c) * longest;
    lines.rows[c] = memory.data() + 4 * longest + c * row;
  }
  return lines;
}

// The vertical pass for row `y` of the output, over `count` bytes of the rows from `skipped` on.
void sum_bytes(const Source& src, const Taps& taps, int y, std::ptrdiff_t skipped, int count,
               std::vector<WeightedRow>& rows, std::uint8_t* line) {
  const auto most = static_cast<std::size_t>(taps.count) + 1;
  if (rows.size() < most) rows.resize(most);
  const std::int16_t* weights = taps.weights_of(y);
  int row_count = 0;
  for (int k = 0; k < taps.count; ++k) {
    if (weights[k] == 0) continue;
    const int row = taps.first[static_cast<std::size_t>(y)] + k - src.top;
    rows[static_cast<std::size_t>(row_count++)] = {src.pixels.row(row) + skipped, weights[k]};
  }
  sum_rows(rows.data(), row_count, taps.bias[static_cast<std::size_t>(y)], line, count);
}

// The same over the columns that are needed.
void sum_needed(const Source& src, const Grids& grids, int y, std::vector<WeightedRow>& rows,
                std::uint8_t* line) {
  const Taps& columns = grids.columns.taps;
  const int channels = src.pixels.channels;
  sum_bytes(src, grids.rows, y, (columns.begin - src.left) * channels,
            (columns.end - columns.begin) * channels, rows, line);
}

// Row `y` of up to three planes that share their grids.
void resample_planes(const Source* sources, int count, const Grids& grids, int y,
                     std::vector<WeightedRow>& rows, const Lines& lines, std::uint8_t* const* out) {
  for (int i = 0; i < count; ++i) sum_needed(sources[i], grids, y, rows, lines.channels[i]);
  sum_columns(lines.channels, count, grids.columns, out);
}

// Row `y` of interleaved RGB, its channels apart.
void resample_rgb(const Source& src, const Grids& grids, int y, std::vector<WeightedRow>& rows,
                  const Lines& lines, std::uint8_t* const* out) {
  const Columns& columns = grids.columns;
  sum_needed(src, grids, y, rows, lines.interleaved);
  if (columns.step == 3) {
    const std::uint8_t* const line = lines.interleaved;
    const std::uint8_t* const channels[3] = {line, line + 1, line + 2};
    sum_columns(channels, 3, columns, out);
  } else {
    split_row(lines.interleaved, lines.channels, columns.taps.end - columns.taps.begin);
    sum_columns(lines.channels, 3, columns, out);
  }
}

// Completes grids whose taps are made, for sources with so many channels.
void prepare(int channels, bool mirrored, Grids& grids) {
  prepare_columns(channels, mirrored, grids.columns);
  if (channels > 1 && grids.columns.pairs == 0) prepare_columns(1, mirrored, grids.columns);
}

void check_held(const Taps& taps, int first, int count, const char* what) {
  if (taps.begin < taps.end && (taps.begin < first || taps.end > first + count)) {
    throw std::logic_error(std::string("resampling reads ") + what + " that were not decoded");
  }
}

// The samples of a plane for grids that were made for it, or for a plane of the same grid.
Source source_of(const Plane& plane, const Grids& grids) {
  const ImageView pixels = plane.view();
  check_held(grids.rows, plane.top, pixels.height, "rows");
  check_held(grids.columns.taps, plane.left, pixels.width, "columns");
  return {pixels, plane.top, plane.left};
}

Source make_grids(const Plane& plane, const Box& box, std::uint8_t border, bool mirrored,
                  int height, int width, Grids& grids) {
  make_taps(static_cast<double>(box.y0) * plane.scale_y,
            static_cast<double>(box.y1) * plane.scale_y, plane.full_height, height, border,
            grids.rows);
  make_taps(static_cast<double>(box.x0) * plane.scale_x,
            static_cast<double>(box.x1) * plane.scale_x, plane.full_width, width, border,
            grids.columns.taps);
  prepare(plane.view().channels, mirrored, grids);
  return source_of(plane, grids);
}

// The grids between a whole square image and one of another side.
void make_square_grids(ImageView src, int side, Grids& grids) {
  make_taps(0, src.height, src.height, side, kBlack, grids.rows);
  grids.columns.taps = grids.rows;
  prepare(src.channels, false, grids);
}

// Asks for a row of an image that is going to be written. Inlined by force: GCC takes a call that
// does nothing else for one without effect, and drops it.
HMTL_INLINE void fetch_row(const MutableImageView& image, int y) {
  constexpr std::ptrdiff_t kCacheLine = 64;
  if (y >= image.height) return;
  for (std::ptrdiff_t i = 0; i < image.stride; i += kCacheLine) HMTL_FETCH(image.row(y) + i);
}

void develop_rgb(const Picture& picture, const Box& box, const ColorMatrix& color, bool mirrored,
                 ResampleScratch& scratch, MutableImageView rgb, MutableImageView later) {
  Grids& grids = scratch.grids[0];
  const Plane& plane = picture.planes[0];
  const Source src = make_grids(plane, turned_box(box, picture.turned, plane), kBlack, mirrored,
                                rgb.height, rgb.width, grids);
  const Lines lines = take_lines(line_bytes(grids.columns, 3), rgb.width, scratch.lines);
  const ChannelRows rows = {lines.rows[0], lines.rows[1], lines.rows[2]};
  const RowColor row_color(color);
  for (int y = 0; y < rgb.height; ++y) {
    fetch_row(later, y);
    resample_rgb(src, grids, y, scratch.rows, lines, lines.rows);
    row_color.convert(rows, rgb.row(y), rgb.width);
  }
}

void develop_ycc(const Picture& picture, const Box& box, const ColorMatrix& color, bool mirrored,
                 ResampleScratch& scratch, MutableImageView rgb, MutableImageView later) {
  Grids &luma = scratch.grids[0], &chroma = scratch.grids[1];
  const Plane(&planes)[3] = picture.planes;
  const int height = rgb.height, width = rgb.width;
  const Box of_luma = turned_box(box, picture.turned, planes[0]);
  const Box of_chroma = turned_box(box, picture.turned, planes[1]);
  const Source sources[3] = {
      make_grids(planes[0], of_luma, kBlack, mirrored, height, width, luma),
      make_grids(planes[1], of_chroma, kNoChroma, mirrored, height, width, chroma),
      source_of(planes[2], chroma)};
  const std::size_t longest = std::max(line_bytes(luma.columns, 1), line_bytes(chroma.columns, 1));
  const Lines lines = take_lines(longest, rgb.width, scratch.lines);
  const ChannelRows rows = {lines.rows[0], lines.rows[1], lines.rows[2]};
  const RowColor row_color(after_ycc(color));
  for (int y = 0; y < rgb.height; ++y) {
    fetch_row(later, y);
    resample_planes(sources, 1, luma, y, scratch.rows, lines, lines.rows);
    resample_planes(sources + 1, 2, chroma, y, scratch.rows, lines, lines.rows + 1);
    row_color.convert(rows, rgb.row(y), rgb.width);
  }
}

}  // namespace

void crop_resize(const Plane& plane, const Box& box, std::uint8_t border, ResampleScratch& scratch,
                 MutableImageView dst) {
  if (plane.view().channels != dst.channels || (dst.channels != 1 && dst.channels != 3)) {
    throw std::invalid_argument("crop_resize needs 1 or 3 channels, the same on both sides");
  }
  Grids& grids = scratch.grids[0];
  const Source src = make_grids(plane, box, border, false, dst.height, dst.width, grids);
  const Lines lines = take_lines(line_bytes(grids.columns, dst.channels), dst.width, scratch.lines);
  for (int y = 0; y < dst.height; ++y) {
    if (dst.channels == 3) {
      resample_rgb(src, grids, y, scratch.rows, lines, lines.rows);
      join_row({lines.rows[0], lines.rows[1], lines.rows[2]}, dst.row(y), dst.width);
    } else {
      resample_planes(&src, 1, grids, y, scratch.rows, lines, lines.rows);
      std::memcpy(dst.row(y), lines.rows[0], static_cast<std::size_t>(dst.width));
    }
  }
}

void develop(const Picture& picture, const Box& box, const ColorMatrix& color, bool mirrored,
             ResampleScratch& scratch, MutableImageView rgb, MutableImageView later) {
  if (picture.space == ColorSpace::kRgb) {
    develop_rgb(picture, box, color, mirrored, scratch, rgb, later);
  } else {
    develop_ycc(picture, box, color, mirrored, scratch, rgb, later);
  }
}

void down_scale(MutableImageView rgb, int side, ResampleScratch& scratch) {
  if (rgb.height != rgb.width) throw std::invalid_argument("down_scale needs a square image");
  Grids &down = scratch.grids[0], &up = scratch.grids[1];
  Image& small = scratch.small;
  // Its channels side by side, with room for whole blocks: all three are summed as one row.
  const int apart = padded(side);
  small.reshape(side, 3 * apart, 1);
  make_square_grids(rgb, side, down);
  make_square_grids({small.row(0), side, side, 1, small.stride()}, rgb.width, up);
  const std::size_t longest = std::max(
      line_bytes(down.columns, 3), static_cast<std::size_t>(2 * apart) + line_bytes(up.columns, 1));
  const Lines lines = take_lines(longest, std::max(side, rgb.width), scratch.lines);
  for (int y = 0; y < side; ++y) {
    std::uint8_t* const row = small.row(y);
    std::uint8_t* const out[3] = {row, row + apart, row + 2 * apart};
    resample_rgb({rgb, 0, 0}, down, y, scratch.rows, lines, out);
  }
  const std::uint8_t* const line = lines.interleaved;
  const std::uint8_t* const channels[3] = {line, line + apart, line + 2 * apart};
  const ChannelRows rows = {lines.rows[0], lines.rows[1], lines.rows[2]};
  for (int y = 0; y < rgb.height; ++y) {
    sum_bytes({small.view(), 0, 0}, up.rows, y, 0, 2 * apart + side, scratch.rows,
              lines.interleaved);
    sum_columns(channels, 3, up.columns, lines.rows);
    join_row(rows, rgb.row(y), rgb.width);
  }
}

}  // namespace hmtl
