# Two networks, of floats and of bytes, on every target: real processors, user-mode and system emulators; equal results
# on all.
add_executable(target_make_int8 targets/make_int8.c)
target_link_libraries(target_make_int8 PRIVATE tn_options)
target_include_directories(target_make_int8 PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
set(targets_out ${CMAKE_CURRENT_BINARY_DIR}/targets)
file(MAKE_DIRECTORY ${targets_out})
add_custom_command(OUTPUT ${targets_out}/int8.onnx COMMAND target_make_int8 ${targets_out}/int8.onnx
  DEPENDS target_make_int8)
add_custom_target(target_int8_model ALL DEPENDS ${targets_out}/int8.onnx)
foreach(model digits int8)
  foreach(target host x86-64-sse x86-64-avx2 x86-64-avx512 x86-64-vnni aarch64 aarch64-dotprod aarch64-i8mm armv7
      armv7-vfp4 armv7-cortex-a9 armhf riscv64 riscv64-v cortex-m0 cortex-m4 cortex-m7 cortex-m33 cortex-m55)
    add_test(NAME target_${model}_${target} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/targets/run.sh $<TARGET_FILE:tenon>
      ${PROJECT_SOURCE_DIR}/samples/digits ${CMAKE_CURRENT_SOURCE_DIR}/targets ${targets_out} ${target} ${model})
    set_tests_properties(target_${model}_${target} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
  endforeach()
endforeach()
