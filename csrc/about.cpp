#include "about.h"

#include <png.h>
#include <zlib.h>

#include <cstddef>
#include <cstdio>
// Needs what the two above declare.
#include <jpeglib.h>

#include "dispatch.h"
#include "noise.h"

namespace hmtl {
namespace {

// libjpeg-turbo counts 2.1.5 as 2001005.
std::string jpeg_version(int number) {
  return std::to_string(number / 1000000) + "." + std::to_string(number / 1000 % 1000) + "." +
         std::to_string(number % 1000);
}

}  // namespace

std::map<std::string, std::string> about() {
  return {{"compiler", __VERSION__},
          {"libjpeg-turbo", jpeg_version(LIBJPEG_TURBO_VERSION_NUMBER)},
          {"libpng", png_get_libpng_ver(nullptr)},
          {"zlib", zlibVersion()},
          {"kernels", use_wide()   ? "wide"
                      : use_avx2() ? "avx2"
                                   : "plain"},
          {"noise", noise_kernels().back()}};
}

}  // namespace hmtl
