// The Python module hmtl._core.

#include "bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of hmtl.";
  hmtl::bind_decode(m);
  hmtl::bind_stages(m);
  hmtl::bind_render(m);
  hmtl::bind_loader(m);
  hmtl::bind_device(m);
}
