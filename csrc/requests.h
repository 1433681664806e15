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

  const SampleParams* params_of(int row) const { return params.data() + row * views; }
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
  SampleRows samples;                  // whose files are not looked at
  std::vector<DecodedSource> sources;  // N
  BatchTarget target;
};

// From files to what their views need of the pictures, in slots of one array. Bad rows get a source
// without height.
struct DecodeRequest {
  SampleRows samples;
  std::vector<std::int64_t> slots;  // N + 1 offsets: where slots begin, and the last one ends
  std::uint8_t* bytes = nullptr;
  DecodedSource* sources = nullptr;  // N
};

// The bytes of files for another decoder, and which part of the picture it is to decode: no part,
// which has no height, unless the file is a plain JPEG that our own decoder would not scale down.
// Nothing is an error: whoever decodes the other rows finds out what is wrong with them.
struct ReadRequest {
  SampleRows samples;
  std::vector<std::int64_t> slots;  // N + 1, as of DecodeRequest; a slot has room for its extent
  std::uint8_t* bytes = nullptr;
  DecodedSource* sources = nullptr;  // N, without the address of pixels
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
