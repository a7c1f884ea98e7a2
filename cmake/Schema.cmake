# The ONNX wire format: C structures generated from our own schema file.
set(schema_dir ${CMAKE_CURRENT_BINARY_DIR}/schema)
file(MAKE_DIRECTORY ${schema_dir})
add_custom_command(
  OUTPUT ${schema_dir}/onnx.pb-c.c ${schema_dir}/onnx.pb-c.h
  COMMAND ${PROTOC_C} --c_out=${schema_dir} --proto_path=${CMAKE_CURRENT_SOURCE_DIR}/frontend/onnx onnx.proto
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/frontend/onnx/onnx.proto)
add_library(tn_schema STATIC ${schema_dir}/onnx.pb-c.c)
target_include_directories(tn_schema SYSTEM PUBLIC ${schema_dir})
target_link_libraries(tn_schema PUBLIC PkgConfig::PROTOBUF_C)
target_link_libraries(tn_frontend PRIVATE tn_schema)
