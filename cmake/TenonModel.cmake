# tenon_add_model(NAME MODEL [ARGUMENTS...]) compiles MODEL with `tenon compile` while the project builds and makes a
# library target NAME of it: link it, and include "NAME.h".
#
#   find_package(tenon REQUIRED)        or, from a source tree: include(.../cmake/TenonModel.cmake)
#   tenon_add_model(digits digits.onnx --target=thumbv7em-none-eabihf --cpu=cortex-m4)
#   target_link_libraries(firmware PRIVATE digits)
#
# NAME is also the C prefix.  ARGUMENTS are options of `tenon compile`.  When CMake cross-compiles, the target triple
# must be among them, unless CMAKE_C_COMPILER_TARGET says it.  TENON is the command; found on PATH, set it otherwise.
if(NOT TARGET tenon)
  get_filename_component(tenon_prefix ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
  find_program(TENON tenon HINTS ${tenon_prefix}/bin REQUIRED NO_CMAKE_FIND_ROOT_PATH)
endif()

function(tenon_add_model name model)
  if(NOT name MATCHES "^[A-Za-z_][A-Za-z0-9_]*$")
    message(FATAL_ERROR "tenon_add_model: '${name}' is no C identifier; it becomes the prefix of the model's functions")
  endif()
  get_filename_component(model ${model} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
  if(TARGET tenon)
    set(command $<TARGET_FILE:tenon>)
    set(compiler tenon)
  else()
    set(command ${TENON})
    set(compiler ${TENON})
  endif()
  set(target ${ARGN})
  list(FILTER target INCLUDE REGEX "^--target=")
  if(NOT target AND CMAKE_C_COMPILER_TARGET)
    set(target --target=${CMAKE_C_COMPILER_TARGET})
  elseif(NOT target AND CMAKE_CROSSCOMPILING)
    message(FATAL_ERROR "tenon_add_model(${name}): this build is for another machine; add --target=TRIPLE")
  else()
    set(target "")
  endif()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${name}.tenon)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(
    OUTPUT ${folder}/${name}.o ${folder}/${name}.h
    COMMAND ${command} compile ${model} -o ${folder}/${name}.o --name=${name} -MD ${target} ${ARGN}
    DEPENDS ${model} ${compiler}
    DEPFILE ${folder}/${name}.d
    COMMENT "Compiling the network ${name}"
    VERBATIM)
  add_custom_target(${name}_compiled DEPENDS ${folder}/${name}.o ${folder}/${name}.h)
  add_library(${name} INTERFACE)
  add_dependencies(${name} ${name}_compiled)
  target_include_directories(${name} INTERFACE ${folder})
  target_link_libraries(${name} INTERFACE ${folder}/${name}.o)
endfunction()
