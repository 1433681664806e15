// Run-time choice of the instruction set, so that one binary runs everywhere and fast.
#pragma once

// In front of a function whose plain loops gain from wider vectors: the compiler emits it once per
// instruction set and the dynamic loader picks one. Needs ifunc (ELF, x86-64); ThreadSanitizer's
// runtime is not up yet when ifuncs are resolved.
#if defined(__x86_64__) && defined(__ELF__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__)
#define HMTL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HMTL_CLONES
#endif

// Defined where a compiler has x86's intrinsics, also those of processors beyond the one it builds
// for: in functions that say so. Such a function is the twin of a plain one that gives the same
// bytes; in AVX2 it is called only if `use_avx2()`, with the bytes and dot products of AVX-512
// (VBMI and VNNI: Ice Lake, Zen 4 and later) only if `use_wide()`.
#if defined(__x86_64__) && defined(__GNUC__)
#define HMTL_X86
#define HMTL_AVX2 __attribute__((target("avx2")))
#define HMTL_AVX512 __attribute__((target("avx512f,avx512bw")))
#define HMTL_WIDE __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vnni")))
#endif

// A line of the cache that is going to be written.
#ifdef __GNUC__
#define HMTL_FETCH(at) __builtin_prefetch(at, 1, 2)
#define HMTL_INLINE __attribute__((always_inline)) inline
#else
#define HMTL_FETCH(at) static_cast<void>(at)
#define HMTL_INLINE inline
#endif

namespace hmtl {

// The kernels of pixels; each kind includes those before it.
enum class Kernels { kPlain, kAvx2, kWide };

// Whether this processor has what the kernels need, and nobody asked for lesser ones.
bool use_avx2();
bool use_wide();

// Makes all threads run no more than these kernels from now on: for tests that hold all equal.
void limit_kernels(Kernels most);

}  // namespace hmtl
