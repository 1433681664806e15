#include "crc.h"

#include <zlib.h>

#include <cstring>

#include "intrinsics.h"

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

#ifdef HMTL_X86
constexpr std::size_t kLane = 16, kLanes = 4, kBlock = kLane * kLanes;
// The same in AVX-512, where a register is four lanes.
constexpr std::size_t kWideBlock = kBlock * 4;

// Note [Folding]
// A CRC is the remainder of the message, read as a polynomial, by the CRC's polynomial. 16 bytes
// that stand d bits before others may be replaced by their product with x^d, reduced, which is
// added to those: the remainder stays. Both halves have a constant each, x^(d+32) and x^(d-32)
// reduced, in the CRC's reflected bit order (V. Gopal and others, "Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ Instruction", Intel, 2009). What remains in the end is 16 bytes with
// the remainder of all that was folded into them.
struct Constants {
  std::int64_t low, high;
};
constexpr Constants kOver128 = {0x1751997d0, 0x0ccaa009e};
constexpr Constants kOver512 = {0x154442bd4, 0x1c6e41596};
constexpr Constants kOver2048 = {0x11542778a, 0x1322d1430};

#define HMTL_FOLD __attribute__((target("pclmul,sse2")))
#define HMTL_FOLD_WIDE __attribute__((target("avx512f,pclmul,vpclmulqdq")))

HMTL_FOLD inline __m128i load(const std::uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

HMTL_FOLD inline __m128i fold(__m128i lane, Constants over, __m128i next) {
  const __m128i constants = _mm_set_epi64x(over.high, over.low);
  const __m128i low = _mm_clmulepi64_si128(lane, constants, 0x00);
  const __m128i high = _mm_clmulepi64_si128(lane, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

HMTL_FOLD_WIDE inline __m512i fold_wide(__m512i lanes, Constants over, __m512i next) {
  const __m512i constants = _mm512_set_epi64(over.high, over.low, over.high, over.low, over.high,
                                             over.low, over.high, over.low);
  const __m512i low = _mm512_clmulepi64_epi128(lanes, constants, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(lanes, constants, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

// Folds whole wide blocks, at least one, of `size` bytes into the 64 bytes of `lanes`; returns how
// many bytes that were. CRC-32 starts with a register of ones, added to the first 32 bits.
HMTL_FOLD_WIDE std::size_t start_wide(const std::uint8_t* bytes, std::size_t size,
                                      std::uint8_t* lanes) {
  __m512i wide[4];
  for (std::size_t i = 0; i < 4; ++i) wide[i] = _mm512_loadu_si512(bytes + i * kBlock);
  wide[0] = _mm512_xor_si512(wide[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(-1)));
  std::size_t at = kWideBlock;
  for (; size - at >= kWideBlock; at += kWideBlock) {
    for (std::size_t i = 0; i < 4; ++i) {
      const __m512i next = _mm512_loadu_si512(bytes + at + i * kBlock);
      wide[i] = fold_wide(wide[i], kOver2048, next);
    }
  }
  __m512i last = wide[0];
  for (std::size_t i = 1; i < 4; ++i) last = fold_wide(last, kOver512, wide[i]);
  _mm512_storeu_si512(lanes, last);
  return at;
}

// The same of one block of 64 bytes, which needs no folding.
HMTL_FOLD std::size_t start(const std::uint8_t* bytes, std::uint8_t* lanes) {
  std::memcpy(lanes, bytes, kBlock);
  const __m128i first = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128(-1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), first);
  return kBlock;
}

HMTL_FOLD std::uint32_t crc32_folded(const std::uint8_t* bytes, std::size_t size, bool wide) {
  std::uint8_t state[kBlock];
  const std::size_t done =
      wide && size >= kWideBlock ? start_wide(bytes, size, state) : start(bytes, state);
  bytes += done;
  size -= done;
  __m128i lanes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = load(state + i * kLane);
  for (; size >= kBlock; bytes += kBlock, size -= kBlock) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      lanes[i] = fold(lanes[i], kOver512, load(bytes + i * kLane));
    }
  }
  __m128i lane = lanes[0];
  for (std::size_t i = 1; i < kLanes; ++i) lane = fold(lane, kOver128, lanes[i]);
  for (; size >= kLane; bytes += kLane, size -= kLane) lane = fold(lane, kOver128, load(bytes));
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

std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size, bool use_wide) {
#ifdef HMTL_X86
  static const bool can_fold = __builtin_cpu_supports("pclmul") != 0;
  static const bool can_fold_wide =
      __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("vpclmulqdq") != 0;
  if (can_fold && size >= kBlock) {
    return crc32_folded(bytes, size, can_fold_wide && use_wide);
  }
#endif
  return crc32_plain(bytes, size);
}

}  // namespace hmtl
