# The digits network on every target: real processors, user-mode and system emulators; equal predictions on all.
foreach(target host x86-64-sse x86-64-avx2 aarch64 armv7 armv7-vfp4 armv7-cortex-a9 armhf riscv64 riscv64-v cortex-m0 cortex-m4 cortex-m55)
  add_test(NAME target_${target} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/targets/run.sh $<TARGET_FILE:tenon>
    ${PROJECT_SOURCE_DIR}/samples/digits ${CMAKE_CURRENT_SOURCE_DIR}/targets ${CMAKE_CURRENT_BINARY_DIR}/targets ${target})
  set_tests_properties(target_${target} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
endforeach()
