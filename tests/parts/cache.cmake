# The compile cache.
add_test(NAME cache COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cache/run.sh $<TARGET_FILE:tenon> ${PROJECT_SOURCE_DIR}
  ${CMAKE_CURRENT_BINARY_DIR}/cache $<TARGET_FILE:driver_make_model>)
