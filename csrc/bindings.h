// The parts of the module `hmtl._core`; bindings.cpp puts them together.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include <unistd.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace hmtl {

// Releases the GIL while it lives. Note [The end of the interpreter]: a daemon thread that wants
// the GIL back after the interpreter has ended is unwound by pthread_exit up to Python 3.13, which
// no destructor lets through, and the process would abort. It stays here instead, as since
// Python 3.14.
class NoGil {
 public:
  NoGil() : state_(PyEval_SaveThread()) {}
  ~NoGil() {
#ifdef __GLIBCXX__
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      for (;;) pause();
    }
#else
    PyEval_RestoreThread(state_);
#endif
  }
  NoGil(const NoGil&) = delete;
  NoGil& operator=(const NoGil&) = delete;

 private:
  PyThreadState* state_;
};

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
void bind_device(pybind11::module_& m);

}  // namespace hmtl
