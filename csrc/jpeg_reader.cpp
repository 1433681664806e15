#include "jpeg_reader.h"

#include <jerror.h>

// Note [Ends of a JPEG]
// libjpeg never fails at the end of the data: it makes up an end marker, warns and hands out grey
// rows. Here the end is an error wherever a row that is needed lacks bits. Bits are read ahead, so
// that running out of bytes alone says little: in a single Huffman scan the made-up marker is fed
// and the warning that bits are missing becomes the error. With several scans every row needs the
// whole file, and arithmetic decoding does not warn; there running out of bytes is the error.

namespace hmtl {
namespace {

constexpr int kMaxScans = 500;

template <typename Info>
Jpeg& owner(Info* info) {
  return *static_cast<Jpeg*>(info->client_data);
}

void on_error_exit(j_common_ptr info) {
  Jpeg& jpeg = owner(info);
  info->err->format_message(info, jpeg.message);
  stop(jpeg, Failure::kInvalid);
}

bool is_restart(int marker) { return marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7; }

// Whether bits that are missing before `unread_marker` leave all rows below without data.
bool scan_is_lost(const Jpeg& jpeg) {
  const int marker = jpeg.info.unread_marker;
  if (marker == JPEG_EOI) return true;
  // The decoder finds its way again at the next restart marker, and skips markers below SOF0.
  constexpr int kFirstValidMarker = 0xC0;
  const bool recovers =
      jpeg.info.restart_interval > 0 && (is_restart(marker) || marker < kFirstValidMarker);
  return !jpeg.many_scans && !recovers;
}

void on_emit_message(j_common_ptr common, int level) {
  if (level >= 0) return;
  Jpeg& jpeg = owner(common);
  if (jpeg.warnings++ == 0) common->err->format_message(common, jpeg.first_warning);
  if (common->err->msg_code != JWRN_HIT_MARKER) return;
  if (!scan_is_lost(jpeg)) return;
  stop(jpeg, jpeg.info.unread_marker == JPEG_EOI ? Failure::kTruncated : Failure::kStrayMarker);
}

void ignore_output(j_common_ptr) {}
void ignore_source(j_decompress_ptr) {}

boolean on_fill_input(j_decompress_ptr info) {
  static const JOCTET kEnd[] = {0xFF, JPEG_EOI};
  Jpeg& jpeg = owner(info);
  if (jpeg.end_is_error) stop(jpeg, Failure::kTruncated);
  info->src->next_input_byte = kEnd;
  info->src->bytes_in_buffer = sizeof(kEnd);
  return TRUE;
}

void on_skip_input(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) {
    stop(owner(info), Failure::kTruncated);
  }
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

void on_progress(j_common_ptr common) {
  Jpeg& jpeg = owner(common);
  if (jpeg.info.input_scan_number > kMaxScans) stop_with(jpeg, "more than 500 scans");
}

}  // namespace

void stop(Jpeg& jpeg, Failure failure) {
  jpeg.failure = failure;
  std::longjmp(jpeg.on_error, 1);
}

void stop_with(Jpeg& jpeg, const char* message) {
  std::snprintf(jpeg.message, sizeof(jpeg.message), "%s", message);
  stop(jpeg, Failure::kInvalid);
}

bool run_step(Jpeg& jpeg, void (*step)(Jpeg&)) {
  if (setjmp(jpeg.on_error) != 0) return false;
  step(jpeg);
  return true;
}

void read_header(Jpeg& jpeg) {
  jpeg_decompress_struct& info = jpeg.info;
  info.err = jpeg_std_error(&jpeg.errors);
  info.client_data = &jpeg;
  jpeg.errors.error_exit = on_error_exit;
  jpeg.errors.emit_message = on_emit_message;
  jpeg.errors.output_message = ignore_output;
  jpeg_create_decompress(&info);
  info.src = &jpeg.source;
  jpeg.source.init_source = ignore_source;
  jpeg.source.fill_input_buffer = on_fill_input;
  jpeg.source.skip_input_data = on_skip_input;
  jpeg.source.resync_to_restart = jpeg_resync_to_restart;
  jpeg.source.term_source = ignore_source;
  info.progress = &jpeg.progress;
  jpeg.progress.progress_monitor = on_progress;
  constexpr unsigned kWholeMarker = 0xFFFF;
  jpeg_save_markers(&info, JPEG_APP0 + 1, kWholeMarker);
  if (jpeg_read_header(&info, TRUE) != JPEG_HEADER_OK) stop(jpeg, Failure::kTruncated);
}

}  // namespace hmtl
