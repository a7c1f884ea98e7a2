# tests/driver/test_NAME.sh: the tenon command from outside.
add_executable(driver_make_model driver/make_model.c)
target_link_libraries(driver_make_model PRIVATE tn_options)
target_include_directories(driver_make_model PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
file(GLOB driver_tests CONFIGURE_DEPENDS driver/test_*.sh)
foreach(source ${driver_tests})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "driver_" name ${name})
  add_test(NAME ${name} COMMAND ${source} $<TARGET_FILE:tenon> ${PROJECT_SOURCE_DIR}
    ${CMAKE_CURRENT_BINARY_DIR}/driver/${name} $<TARGET_FILE:driver_make_model>)
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
endforeach()
