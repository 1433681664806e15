// The parts of the module `hmtl._core`; bindings.cpp puts them together.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace hmtl {

// A message with names of files in it, which need not be UTF-8: as Python decodes them.
inline pybind11::object message_object(const std::string& message) {
  auto text =
      pybind11::reinterpret_steal<pybind11::object>(PyUnicode_DecodeFSDefault(message.c_str()));
  if (!text) throw pybind11::error_already_set();
  return text;
}

void bind_decode(pybind11::module_& m);
void bind_stages(pybind11::module_& m);
void bind_render(pybind11::module_& m);
void bind_loader(pybind11::module_& m);

}  // namespace hmtl
