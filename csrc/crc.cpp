#include "crc.h"

#include <zlib.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HMTL_CARRY_LESS
#include <immintrin.h>
#endif

namespace hmtl {
namespace {

// zlib's register `crc` after these bytes; zlib counts in 32 bits.
std::uint32_t add_bytes(std::uint32_t crc, const std::uint8_t* bytes, std::size_t size) {
  constexpr std::size_t kMost = 1U << 30;
  while (size > 0) {
    const std::size_t count = size < kMost ? size : kMost;
    crc = static_cast<std::uint32_t>(::crc32(crc, bytes, static_cast<uInt>(count)));
    bytes += count;
    size -= count;
  }
  return crc;
}

#ifdef HMTL_CARRY_LESS
constexpr std::size_t kLane = 16, kLanes = 4, kBlock = kLane * kLanes;

// Note [Folding]
// A CRC is the remainder of the message, read as a polynomial, by the CRC's polynomial. 16 bytes
// that stand d bits before others may be replaced by their product with x^d, reduced, which is
// added to those: the remainder stays. Both halves have a constant each, x^(d+32) and x^(d-32)
// reduced, in the CRC's reflected bit order (V. Gopal and others, "Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ Instruction", Intel, 2009, which lists them). What remains in the end
// is 16 bytes with the remainder of all that was folded into them.
__attribute__((target("pclmul,sse2"))) inline __m128i fold(__m128i lane, __m128i constants,
                                                           __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(lane, constants, 0x00);
  const __m128i high = _mm_clmulepi64_si128(lane, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse2"))) std::uint32_t crc32_folded(const std::uint8_t* bytes,
                                                                  std::size_t size) {
  const __m128i over_four = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
  const __m128i over_one = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
  const auto load = [](const std::uint8_t* from) __attribute__((target("pclmul,sse2"))) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  };
  __m128i lanes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = load(bytes + i * kLane);
  // CRC-32 starts with a register of ones, which is added to the first 32 bits.
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(-1));
  bytes += kBlock;
  size -= kBlock;
  for (; size >= kBlock; bytes += kBlock, size -= kBlock) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      lanes[i] = fold(lanes[i], over_four, load(bytes + i * kLane));
    }
  }
  __m128i lane = lanes[0];
  for (std::size_t i = 1; i < kLanes; ++i) lane = fold(lane, over_one, lanes[i]);
  for (; size >= kLane; bytes += kLane, size -= kLane) lane = fold(lane, over_one, load(bytes));
  std::uint8_t rest[kLane];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), lane);
  // zlib inverts the register before and after: this one is zero before.
  return add_bytes(add_bytes(0xFFFFFFFF, rest, kLane), bytes, size);
}
#endif

}  // namespace

std::uint32_t crc32_plain(const std::uint8_t* bytes, std::size_t size) {
  return add_bytes(0, bytes, size);
}

std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size) {
#ifdef HMTL_CARRY_LESS
  static const bool has_it = __builtin_cpu_supports("pclmul") != 0;
  if (has_it && size >= kBlock) return crc32_folded(bytes, size);
#endif
  return crc32_plain(bytes, size);
}

}  // namespace hmtl
