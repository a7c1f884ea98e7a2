# The pool of runtime/, and models that share their loops.
add_test(NAME threads COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/threads/run.sh $<TARGET_FILE:tenon> ${PROJECT_SOURCE_DIR}
  ${CMAKE_CURRENT_BINARY_DIR}/threads)
target_compile_definitions(test_driver_threads PRIVATE DIGITS="${PROJECT_SOURCE_DIR}/samples/digits/digits.onnx"
  TESTDATA="/usr/share/libonnx-testdata/data")
