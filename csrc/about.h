// What the core was built with, and which of its kernels run here.
#pragma once

#include <map>
#include <string>

namespace hmtl {

// By name: the versions of `compiler`, `libjpeg-turbo`, `libpng` and `zlib`, and the `kernels` of
// pixels and the `noise` kernel that this processor has.
std::map<std::string, std::string> about();

}  // namespace hmtl
