# docs/ops.md of the build: the operators, from the tables that define them.  Nobody edits it, so it is not in the tree.
add_executable(ops_md tools/ops_md.c)
target_link_libraries(ops_md PRIVATE tn_ir)
add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/docs/ops.md
  COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/docs
  COMMAND ops_md ${PROJECT_BINARY_DIR}/docs/ops.md DEPENDS ops_md)
add_custom_target(docs ALL DEPENDS ${PROJECT_BINARY_DIR}/docs/ops.md)
