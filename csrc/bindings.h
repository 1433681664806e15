// The parts of the module `hmtl._core`; bindings.cpp puts them together.
#pragma once

#include <pybind11/pybind11.h>

namespace hmtl {

void bind_decode(pybind11::module_& m);
void bind_stages(pybind11::module_& m);
void bind_render(pybind11::module_& m);
void bind_loader(pybind11::module_& m);

}  // namespace hmtl
