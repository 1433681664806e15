#include "lzf.h"

#include <cstring>

// Note [The LZF format]
// A stream is tokens one after the other, without a header. A first byte below 32 is one less than
// the number of literal bytes that follow. Any other repeats earlier output: its upper three bits
// are the length less 2, where 7 means that the next byte is to be added; its lower five bits and
// the byte that follows are the distance less 1. Facts from LibLZF's description of its format.

namespace hmtl {
namespace {

constexpr unsigned kLiterals = 32;  // first bytes below it are literal runs
constexpr std::size_t kLongLength = 7;
constexpr std::size_t kLeastLength = 2;
constexpr std::size_t kMostLength = kLongLength + 255 + kLeastLength;

// Bytes of one wide copy.
constexpr std::size_t kWide = 16;
// What a token may read, and write with wide copies, beyond where it starts.
constexpr std::ptrdiff_t kInSlack = 1 + kLiterals;
constexpr std::ptrdiff_t kOutSlack = kMostLength + kWide;

void copy_wide(std::uint8_t* to, const std::uint8_t* from) {
  std::uint8_t block[kWide];
  std::memcpy(block, from, kWide);
  std::memcpy(to, block, kWide);
}

// Where a decoder stands between two tokens.
struct Cursor {
  const std::uint8_t* in;
  std::uint8_t* out;
};

// The least multiple of a distance that is not less than kWide, by the distance.
constexpr std::uint8_t kWideMultiple[kWide] = {0,  16, 16, 18, 16, 20, 18, 21,
                                               16, 18, 20, 22, 24, 26, 28, 30};

// Repeats `length` bytes from `distance` before `out` on, where the two overlap or are long.
void repeat_wide(std::uint8_t* out, std::size_t distance, std::size_t length) {
  const std::uint8_t* const end = out + length;
  if (distance < kWide) {
    // Always so many: the processor could not predict where a loop of `length` ends.
    const std::uint8_t* const from = out - distance;
    for (std::size_t i = 0; i < kWide; ++i) out[i] = from[i];
    // What repeats every `distance` bytes repeats every multiple of it.
    distance = kWideMultiple[distance];
  }
  for (out += kWide; out < end; out += kWide) copy_wide(out, out - distance);
}

// Decodes tokens as long as there is slack for wide copies on both sides. Stops in front of a token
// that is wrong, too.
Cursor decode_wide(const std::uint8_t* in, const std::uint8_t* in_end, std::uint8_t* const begin,
                   const std::uint8_t* out_end) {
  std::uint8_t* out = begin;
  while (in_end - in >= kInSlack && out_end - out >= kOutSlack) {
    const unsigned first = *in;
    if (first < kLiterals) {
      copy_wide(out, in + 1);
      copy_wide(out + kWide, in + 1 + kWide);
      in += first + 2;
      out += first + 1;
      continue;
    }
    std::size_t length = first >> 5;
    const std::uint8_t* low = in + 1;
    if (length == kLongLength) length += *low++;
    length += kLeastLength;
    const std::size_t distance = ((first & 31) << 8 | *low) + 1;
    if (distance > static_cast<std::size_t>(out - begin)) break;
    copy_wide(out, out - distance);
    if (length > distance || length > kWide) repeat_wide(out, distance, length);
    in = low + 1;
    out += length;
  }
  return {in, out};
}

// Decodes from `at` on byte by byte to the end of both buffers, which began at the given places.
LzfResult decode_bytes(Cursor at, const std::uint8_t* in_begin, const std::uint8_t* in_end,
                       const std::uint8_t* out_begin, const std::uint8_t* out_end) {
  const std::uint8_t* in = at.in;
  std::uint8_t* out = at.out;
  const auto result = [&](LzfEnd end, const std::uint8_t* token) {
    return LzfResult{end, static_cast<std::size_t>(token - in_begin),
                     static_cast<std::size_t>(out - out_begin)};
  };
  while (in < in_end) {
    const std::uint8_t* const token = in;
    const unsigned first = *in++;
    if (first < kLiterals) {
      const std::ptrdiff_t length = static_cast<std::ptrdiff_t>(first) + 1;
      if (in_end - in < length) return result(LzfEnd::kTruncated, token);
      if (out_end - out < length) return result(LzfEnd::kTooLong, token);
      for (std::ptrdiff_t i = 0; i < length; ++i) *out++ = *in++;
      continue;
    }
    std::size_t length = first >> 5;
    if (in_end - in < (length == kLongLength ? 2 : 1)) return result(LzfEnd::kTruncated, token);
    if (length == kLongLength) length += *in++;
    length += kLeastLength;
    const std::size_t distance = ((first & 31) << 8 | *in++) + 1;
    if (static_cast<std::size_t>(out_end - out) < length) return result(LzfEnd::kTooLong, token);
    if (static_cast<std::size_t>(out - out_begin) < distance) {
      return result(LzfEnd::kBadReference, token);
    }
    const std::uint8_t* from = out - distance;
    for (std::size_t i = 0; i < length; ++i) *out++ = *from++;
  }
  return result(out == out_end ? LzfEnd::kWhole : LzfEnd::kTooShort, in);
}

}  // namespace

LzfResult lzf_decode(const std::uint8_t* in, std::size_t in_size, std::uint8_t* out,
                     std::size_t out_size) {
  const Cursor tail = decode_wide(in, in + in_size, out, out + out_size);
  return decode_bytes(tail, in, in + in_size, out, out + out_size);
}

LzfResult lzf_decode_plain(const std::uint8_t* in, std::size_t in_size, std::uint8_t* out,
                           std::size_t out_size) {
  return decode_bytes({in, out}, in, in + in_size, out, out + out_size);
}

}  // namespace hmtl
