# The official test vectors in Debian's libonnx-testdata, through `tenon verify`; what does not pass is listed by name.
set(testdata /usr/share/libonnx-testdata/data)
if(EXISTS ${testdata}/node)
  add_test(NAME conformance COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/conformance/run.sh $<TARGET_FILE:tenon>
    ${CMAKE_CURRENT_SOURCE_DIR}/conformance/expected-1.12.txt ${testdata}/node ${testdata}/simple)
  set_tests_properties(conformance PROPERTIES TIMEOUT 1200 RUN_SERIAL ON)
else()
  message(WARNING "the conformance test is left out: ${testdata} is absent (package libonnx-testdata)")
endif()
