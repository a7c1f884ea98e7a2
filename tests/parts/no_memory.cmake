# test_driver_no_memory imports the digits.
target_compile_definitions(test_driver_no_memory PRIVATE TENON_DIGITS="${PROJECT_SOURCE_DIR}/samples/digits/digits.onnx")
