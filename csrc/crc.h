// The checksum that packed samples carry.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hmtl {

// zlib's CRC-32 of these bytes, by carry-less multiplication where the processor has it: 64 bytes
// at a time, or 256 with AVX-512 unless `use_wide` is false.
std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size, bool use_wide = true);

// The same, by zlib itself.
std::uint32_t crc32_plain(const std::uint8_t* bytes, std::size_t size);

}  // namespace hmtl
