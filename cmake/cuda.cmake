# The module hmtl._cuda: the stages on a CUDA device. It is built where a CUDA compiler is found
# (HMTL_BUILDS_CUDA), and can be imported without a driver.

set(HMTL_CUDA AUTO CACHE STRING "Build the stages for CUDA devices: AUTO (where nvcc is), ON or OFF")
set_property(CACHE HMTL_CUDA PROPERTY STRINGS AUTO ON OFF)
set(HMTL_CUDA_ARCHITECTURES "75;80;86;89;90;100;120" CACHE STRING
  "Devices to build for, those that the compiler does not know left out")

set(HMTL_BUILDS_CUDA FALSE)
if(NOT HMTL_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "HMTL_CUDA must be AUTO, ON or OFF, got ${HMTL_CUDA}")
endif()
if(HMTL_CUDA STREQUAL "OFF" OR HMTL_SANITIZE)
  return()
endif()

check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(HMTL_CUDA STREQUAL "ON")
    message(FATAL_ERROR "HMTL_CUDA=ON needs a CUDA compiler: install the CUDA toolkit, or name its"
      " nvcc with CUDACXX=/path/to/nvcc")
  endif()
  message(STATUS "hmtl: no CUDA compiler (nvcc) was found: the engine cuda is left out")
  return()
endif()

# The devices that this compiler knows; the last one's intermediate code is for those to come.
execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code
  OUTPUT_VARIABLE known OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[0-9]+" known "${known}")
set(architectures ${HMTL_CUDA_ARCHITECTURES})
foreach(architecture IN LISTS HMTL_CUDA_ARCHITECTURES)
  if(NOT architecture IN_LIST known)
    list(REMOVE_ITEM architectures ${architecture})
  endif()
endforeach()
if(NOT architectures)
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} builds for none of ${HMTL_CUDA_ARCHITECTURES},"
    " it knows ${known}")
endif()
list(POP_BACK architectures newest)
list(TRANSFORM architectures APPEND "-real")
set(CMAKE_CUDA_ARCHITECTURES ${architectures} ${newest})

set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
message(STATUS "hmtl: the engine cuda is built by ${CMAKE_CUDA_COMPILER} for"
  " ${CMAKE_CUDA_ARCHITECTURES} (HMTL_CUDA=OFF leaves it out)")

set(HMTL_BUILDS_CUDA TRUE)

function(hmtl_add_cuda_module)
  pybind11_add_module(_cuda MODULE csrc/bindings_cuda.cpp csrc/cuda/render.cu csrc/normalize.cpp)
  target_include_directories(_cuda PRIVATE csrc)
  set_target_properties(_cuda PROPERTIES CUDA_VISIBILITY_PRESET hidden)
  # Without contraction, floats are those of the host.
  target_compile_options(_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wconversion -Wshadow -Werror -ffp-contract=off>
    $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false --expt-relaxed-constexpr --threads=2
    --Werror=all-warnings>)
  install(TARGETS _cuda DESTINATION hmtl)
endfunction()
