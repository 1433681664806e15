// What a BatchRenderer can be asked for. Every request is one piece of work a row; the pointers are
// the caller's memory.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "decoded.h"
#include "render.h"

namespace hmtl {

// The samples of a request, N, with the params of their V views.
struct SampleRows {
  std::vector<Extent> extents;       // N
  std::vector<SampleParams> params;  // N × V
  int views = 1;
  RenderSettings settings;

  DecodeOptions decoding(int row) const;
};

// Where rendered rows go.
struct BatchTarget {
  std::vector<std::uint8_t*> images;    // V, each N × size × size × 3
  std::int64_t* permutation = nullptr;  // N × V × grid²
  std::int64_t* turns = nullptr;        // N × V × grid²
  float* pose = nullptr;                // N × 3
};

// From files to pixels and labels.
struct RenderRequest {
  SampleRows samples;
  BatchTarget target;
};

// From pixels on the host to pixels and labels. Rows whose source has no height are left alone.
struct RenderDecodedRequest {
  std::vector<DecodedSource> sources;  // N
  std::vector<SampleParams> params;    // N × V
  RenderSettings settings;
  BatchTarget target;
};

// From files to what their views need of the pictures, in slots of one array. Bad rows get a source
// without height.
struct DecodeRequest {
  SampleRows samples;
  std::vector<std::int64_t> slots;  // N + 1 offsets: where slots begin, and the last one ends
  std::uint8_t* pixels = nullptr;
  DecodedSource* sources = nullptr;  // N
};

// The bytes of files for another decoder, and of which rows it may have them: those that are plain
// JPEGs which our own decoder would not scale down. Nothing is an error: whoever decodes the other
// rows finds out what is wrong with them.
struct ReadRequest {
  SampleRows samples;
  std::vector<std::int64_t> slots;  // N + 1, as of DecodeRequest; a slot has room for its extent
  std::uint8_t* bytes = nullptr;
  bool* plain = nullptr;  // N
};

using BatchRequest = std::variant<RenderRequest, RenderDecodedRequest, DecodeRequest, ReadRequest>;

// Throws std::invalid_argument for a request that cannot be.
void check_request(const BatchRequest& request, const FileTable& files);

int count_rows(const BatchRequest& request);

// Works off one row; returns the decoder's warnings. Throws DecodeError for bad data.
int run_row(const BatchRequest& request, int row, const FileTable& files, RenderScratch& scratch);

// What errors call a row.
std::string row_name(const BatchRequest& request, int row, const FileTable& files);

}  // namespace hmtl
