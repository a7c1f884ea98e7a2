# tests/text/*.tir: tensor IR in, passes, FileCheck on what comes out.
#
# The first line says which passes: "// PASSES: simplify fold", and after a "!" when they must fail:
# "// PASSES: ! plan".  The file's own comments hold the CHECK lines.
# A line "// -----" starts the next module of the file; CHECK-LABEL: module "name" keeps their checks apart.
find_program(FILECHECK NAMES FileCheck-22 FileCheck-21 FileCheck-20 FileCheck-19 FileCheck HINTS ${LLVM_BIN} REQUIRED)
add_executable(run_passes text/run_passes.c)
target_link_libraries(run_passes PRIVATE tn_passes tn_codegen)
file(GLOB text_tests CONFIGURE_DEPENDS text/*.tir)
foreach(source ${text_tests})
  get_filename_component(name ${source} NAME_WE)
  file(STRINGS ${source} passes LIMIT_COUNT 1 REGEX "^// PASSES: ")
  string(REGEX REPLACE "^// PASSES: *" "" passes "${passes}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  set(status 0)
  if(passes MATCHES "^! *(.*)")
    set(passes ${CMAKE_MATCH_1})
    set(status 1)
  endif()
  add_test(NAME text_${name} COMMAND sh -c
    "$<TARGET_FILE:run_passes> ${source} ${passes} > text_${name}.out; test $? = ${status} && ${FILECHECK} ${source} --input-file text_${name}.out || { cat text_${name}.out; exit 1; }")
endforeach()
