# samples/loader on a shared library.
add_test(NAME loader COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/loader/run.sh $<TARGET_FILE:tenon> ${PROJECT_SOURCE_DIR}
  ${CMAKE_CURRENT_BINARY_DIR}/loader)
