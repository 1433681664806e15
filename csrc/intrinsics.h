// x86's intrinsics without what GCC 12 says of them: it takes the undefined values with which those
// of AVX-512 begin for mistakes (bug 105593).
#pragma once

#include "dispatch.h"

#ifdef HMTL_X86
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
