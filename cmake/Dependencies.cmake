# What Tenon is built on; each is a Debian package named in tools/setup.sh.
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
find_program(PROTOC_C protoc-c REQUIRED)

# LLVM 19 or newer, newest first, through llvm-config (its CMake package asks for a C++ compiler).
find_program(LLVM_CONFIG NAMES llvm-config-22 llvm-config-21 llvm-config-20 llvm-config-19 llvm-config REQUIRED)
execute_process(COMMAND ${LLVM_CONFIG} --version OUTPUT_VARIABLE LLVM_VERSION OUTPUT_STRIP_TRAILING_WHITESPACE)
if(LLVM_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "LLVM 19 or newer is needed; ${LLVM_CONFIG} is ${LLVM_VERSION}. Set -DLLVM_CONFIG=PATH.")
endif()
execute_process(COMMAND ${LLVM_CONFIG} --includedir OUTPUT_VARIABLE LLVM_INCLUDE OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${LLVM_CONFIG} --bindir OUTPUT_VARIABLE LLVM_BIN OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${LLVM_CONFIG} --ldflags --libs OUTPUT_VARIABLE LLVM_LINK OUTPUT_STRIP_TRAILING_WHITESPACE)
separate_arguments(LLVM_LINK UNIX_COMMAND "${LLVM_LINK}")
add_library(tn_llvm INTERFACE)
target_include_directories(tn_llvm SYSTEM INTERFACE ${LLVM_INCLUDE})
target_link_libraries(tn_llvm INTERFACE ${LLVM_LINK})
