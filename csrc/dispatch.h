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

// In front of a function written in AVX2's intrinsics, the twin of a plain one that gives the same
// bytes; defined where a compiler has them. Such a function is called only if `use_avx2()`.
#if defined(__x86_64__) && defined(__GNUC__)
#define HMTL_AVX2 __attribute__((target("avx2")))
#endif

namespace hmtl {

// Whether this processor has AVX2 and nobody asked for the plain kernels.
bool use_avx2();

// Makes all threads run the plain kernels of pixels from now on, or no longer: for tests that hold
// both equal.
void use_plain_kernels(bool plain);

}  // namespace hmtl
