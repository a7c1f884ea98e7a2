# tenon_add_model() from an installed Tenon.
add_test(NAME cmake_model COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cmake_model/run.sh ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR}
  ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/cmake_model ${CMAKE_GENERATOR})
