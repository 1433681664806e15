#include "plain_jpeg.h"

#include <cstring>

#include "decode_shared.h"
#include "jpeg_tables.h"

namespace hmtl {
namespace {

enum Marker : int {
  kBaseline = 0xC0,
  kProgressive = 0xC2,
  kHuffmanTables = 0xC4,
  kFirstRestart = 0xD0,
  kLastRestart = 0xD7,
  kStart = 0xD8,
  kEnd = 0xD9,
  kScan = 0xDA,
  kQuantization = 0xDB,
  kRestartInterval = 0xDD,
  kJfif = 0xE0,
  kExif = 0xE1,
  kAdobe = 0xEE,
  kLastApplication = 0xEF,
  kComment = 0xFE
};

// What a segment holds, without its marker and length.
struct Segment {
  const std::uint8_t* bytes;
  std::size_t size;

  bool begins_with(const char* text, std::size_t length) const {
    return size >= length && std::memcmp(bytes, text, length) == 0;
  }
  int number(std::size_t at) const { return bytes[at] << 8 | bytes[at + 1]; }
};

int divide_up(int value, int divisor) { return (value + divisor - 1) / divisor; }

// Reads a file from its start to its end; anything unusual ends it.
class Reader {
 public:
  Reader(const std::uint8_t* bytes, std::size_t size, bool ignore_exif, std::int64_t max_pixels)
      : bytes_(bytes), size_(size), ignore_exif_(ignore_exif), max_pixels_(max_pixels) {}

  bool is_plain() {
    if (size_ < 4 || bytes_[0] != 0xFF || bytes_[1] != kStart) return false;
    at_ = 2;
    while (size_ - at_ >= 2) {
      if (bytes_[at_] != 0xFF) return false;
      const int marker = bytes_[at_ + 1];
      at_ += 2;
      if (marker == kEnd) return at_ == size_ && scans_ > 0;
      Segment segment{};
      if (!take_segment(segment) || !read_segment(marker, segment)) return false;
    }
    return false;
  }

  ImageSize size() const { return {height_, width_}; }

 private:
  bool take_segment(Segment& segment) {
    if (size_ - at_ < 2) return false;
    const auto length = static_cast<std::size_t>(bytes_[at_] << 8 | bytes_[at_ + 1]);
    if (length < 2 || size_ - at_ < length) return false;
    segment = {bytes_ + at_ + 2, length - 2};
    at_ += length;
    return true;
  }

  bool read_segment(int marker, const Segment& segment) {
    switch (marker) {
      case kBaseline:
      case kProgressive:
        return read_frame(marker == kProgressive, segment);
      case kScan:
        return read_scan(segment);
      case kRestartInterval:
        if (segment.size != 2) return false;
        interval_ = segment.number(0);
        return true;
      case kJfif:
        is_jfif_ = is_jfif_ || segment.begins_with("JFIF", 5);
        return true;
      case kExif:
        return ignore_exif_ || !segment.begins_with("Exif", 5) ||
               exif_orientation(segment.bytes, segment.size) == 1;
      case kAdobe:
        return read_adobe(segment);
      case kHuffmanTables:
        return tables_.add_huffman(segment.bytes, segment.size);
      case kQuantization:
        return tables_.add_quantization(segment.bytes, segment.size);
      case kComment:
        return true;
      default:
        return marker > kExif && marker <= kLastApplication;
    }
  }

  // The last byte is how the colours are kept; 1 is YCbCr.
  bool read_adobe(const Segment& segment) {
    constexpr std::size_t kTransform = 11;
    if (!segment.begins_with("Adobe", 5)) return true;
    is_adobe_ = true;
    return segment.size > kTransform && segment.bytes[kTransform] == 1;
  }

  bool read_frame(bool is_progressive, const Segment& segment) {
    constexpr std::size_t kComponents = 6, kOfComponent = 3;
    if (components_ != 0 || segment.size < kComponents || segment.bytes[0] != 8) return false;
    is_progressive_ = is_progressive;
    height_ = segment.number(1);
    width_ = segment.number(3);
    components_ = segment.bytes[5];
    if (height_ < 1 || width_ < 1 || height_ > max_pixels_ / width_) return false;
    if (components_ != 1 && components_ != 3) return false;
    if (segment.size != kComponents + kOfComponent * static_cast<std::size_t>(components_)) {
      return false;
    }
    const std::uint8_t* component = segment.bytes + kComponents;
    for (int c = 0; c < components_; ++c, component += kOfComponent) {
      ids_in_order_ = ids_in_order_ && component[0] == c + 1;
      quantized_by_[c] = component[2];
      if (c == 0) {
        across_ = component[1] >> 4;
        down_ = component[1] & 15;
      } else if (component[1] != 0x11) {
        return false;
      }
    }
    if (components_ == 1) return across_ == 1 && down_ == 1;
    return (across_ == 1 && down_ == 1) || (across_ == 2 && (down_ == 1 || down_ == 2));
  }

  bool read_scan(const Segment& segment) {
    if (components_ == 0 || segment.size < 1) return false;
    if (components_ == 3 && !is_jfif_ && !is_adobe_ && !ids_in_order_) return false;
    for (int c = 0; c < components_; ++c) {
      if (!tables_.has_quantization(quantized_by_[c])) return false;
    }
    ++scans_;
    if (is_progressive_) return scans_ <= kMostScans && skip_coded(kAnyNumber);
    if (scans_ > 1 || segment.bytes[0] != components_ || !has_codes(segment)) return false;
    const std::int64_t units =
        static_cast<std::int64_t>(divide_up(width_, 8 * across_)) * divide_up(height_, 8 * down_);
    return skip_coded(interval_ == 0 ? 0 : (units + interval_ - 1) / interval_ - 1);
  }

  // Whether a scan of all components has the codes that it names.
  bool has_codes(const Segment& segment) const {
    const auto count = static_cast<std::size_t>(components_);
    if (segment.size != 4 + 2 * count) return false;
    for (std::size_t c = 0; c < count; ++c) {
      const int codes = segment.bytes[2 + 2 * c];
      if (!tables_.has_huffman(JpegTables::Kind::kDc, codes >> 4)) return false;
      if (!tables_.has_huffman(JpegTables::Kind::kAc, codes & 15)) return false;
    }
    return true;
  }

  // Goes on to the next marker that is none of a scan.
  bool skip_coded(std::int64_t restarts) {
    std::int64_t count = 0;
    for (;;) {
      const void* const found = std::memchr(bytes_ + at_, 0xFF, size_ - at_);
      if (found == nullptr) return false;
      at_ = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - bytes_);
      if (size_ - at_ < 2) return false;
      const int marker = bytes_[at_ + 1];
      if (marker >= kFirstRestart && marker <= kLastRestart) {
        if (interval_ == 0 || marker != kFirstRestart + count++ % 8) return false;
      } else if (marker != 0) {
        return restarts == kAnyNumber || count == restarts;
      }
      at_ += 2;
    }
  }

  static constexpr std::int64_t kAnyNumber = -1;
  // Beyond that our own decoder refuses, too.
  static constexpr int kMostScans = 500;

  const std::uint8_t* const bytes_;
  const std::size_t size_;
  const bool ignore_exif_;
  const std::int64_t max_pixels_;
  std::size_t at_ = 0;
  bool is_progressive_ = false, is_jfif_ = false, is_adobe_ = false, ids_in_order_ = true;
  int height_ = 0, width_ = 0, components_ = 0, across_ = 0, down_ = 0;
  int interval_ = 0, scans_ = 0;
  int quantized_by_[3] = {};
  JpegTables tables_;
};

}  // namespace

ImageSize plain_jpeg_size(const std::uint8_t* bytes, std::size_t size, bool ignore_exif,
                          std::int64_t max_pixels) {
  Reader reader(bytes, size, ignore_exif, max_pixels);
  return reader.is_plain() ? reader.size() : ImageSize{};
}

}  // namespace hmtl
