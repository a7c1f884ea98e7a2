# The operator cases (cases/*.cases; cases/cases.h says what a line means), a test a file; and the programs that time
# them and that ask whether every operator has one.
add_library(tn_cases STATIC cases/cases.c cases/interpret.c cases/reference.c)
target_link_libraries(tn_cases PUBLIC tn_codegen)
add_executable(run_cases cases/run_cases.c)
target_link_libraries(run_cases PRIVATE tn_cases tn_frontend tn_passes)
file(GLOB case_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cases/*.cases)
foreach(file ${case_files})
  get_filename_component(name ${file} NAME_WE)
  add_test(NAME cases_${name} COMMAND run_cases ${file})
endforeach()
add_executable(check_covered cases/check_covered.c)
target_link_libraries(check_covered PRIVATE tn_cases)
if(EXISTS /usr/share/libonnx-testdata/data/node)
  set(vectors /usr/share/libonnx-testdata/data/node)
else()
  set(vectors "") # conformance.cmake says so
endif()
add_test(NAME cases_cover COMMAND check_covered ${CMAKE_CURRENT_SOURCE_DIR}/conformance/expected-1.12.txt ${vectors} --
  ${case_files})
# Times the cases that are marked `bench`; no test.
add_executable(op_cases ${PROJECT_SOURCE_DIR}/bench/op_cases.c)
target_link_libraries(op_cases PRIVATE tn_cases tn_driver)
target_compile_definitions(op_cases PRIVATE TENON_CASES="${CMAKE_CURRENT_SOURCE_DIR}/cases")
# They run graphs by their definitions.
target_link_libraries(test_driver_random PRIVATE tn_cases)
target_link_libraries(test_driver_attention PRIVATE tn_cases)
