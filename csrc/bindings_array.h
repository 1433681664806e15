// What the bindings share that take arrays.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace hmtl {

template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

// Throws std::invalid_argument, naming the argument, unless the array has this shape.
inline void check_shape(const pybind11::array& array, const std::vector<pybind11::ssize_t>& shape,
                        const char* name) {
  const bool equal = array.ndim() == static_cast<pybind11::ssize_t>(shape.size()) &&
                     std::equal(shape.begin(), shape.end(), array.shape());
  if (!equal) throw std::invalid_argument(std::string(name) + " has the wrong shape");
}

}  // namespace hmtl
