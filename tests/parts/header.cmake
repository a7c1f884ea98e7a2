# The generated header, for a model whose tensors have names that C does not allow.
add_test(NAME header COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/header/run.sh $<TARGET_FILE:tenon> ${PROJECT_SOURCE_DIR}
  ${CMAKE_CURRENT_BINARY_DIR}/header)
