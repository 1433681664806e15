// One libjpeg decompressor over bytes in memory: how it reports, where it ends, what it is to read.
#pragma once

#include <csetjmp>
#include <cstdint>
// jpeglib.h needs <cstdio> before it.
#include <cstdio>

#include <jpeglib.h>

#include "decode_shared.h"

namespace hmtl {

// Why a step stopped.
enum class Failure { kNone, kInvalid, kTruncated, kStrayMarker };

// One decompressor, its callbacks' state, and the plan of what it is to read.
struct Jpeg {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};
  std::jmp_buf on_error{};
  Failure failure = Failure::kNone;
  char message[JMSG_LENGTH_MAX] = "";
  char first_warning[JMSG_LENGTH_MAX] = "";
  int warnings = 0;
  bool in_header = true;
  bool many_scans = false;
  bool end_is_error = true;  // See Note [Ends of a JPEG].

  bool partial = false;  // See Note [Rows and columns of a crop].
  Window windows[3];
  // The rows of MCUs of raw planes that are kept, and where: whole blocks of each component.
  int first_mcu_row = 0, mcu_rows = 0;
  MutableImageView blocks[3];
  Picture* picture = nullptr;
  std::uint8_t* scratch = nullptr;

  Jpeg() = default;
  ~Jpeg() { jpeg_destroy_decompress(&info); }
  Jpeg(const Jpeg&) = delete;
  Jpeg& operator=(const Jpeg&) = delete;
};

// Ends the running step: run_step returns false.
[[noreturn]] void stop(Jpeg& jpeg, Failure failure);
[[noreturn]] void stop_with(Jpeg& jpeg, const char* message);

// Runs a step. Returns false when it stopped in the middle: everything between here and there is
// skipped, so steps have trivial locals only.
bool run_step(Jpeg& jpeg, void (*step)(Jpeg&));

// The first step: sets up `jpeg` and reads the header. `source` must point to the bytes.
void read_header(Jpeg& jpeg);

}  // namespace hmtl
