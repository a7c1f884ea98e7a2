# What a compiled model promises beside its numbers.
add_test(NAME contract COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/contract/run.sh $<TARGET_FILE:tenon> ${PROJECT_SOURCE_DIR}
  ${CMAKE_CURRENT_BINARY_DIR}/contract)
