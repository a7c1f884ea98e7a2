# test_ir_doc reads the examples of docs/ir.md.
target_compile_definitions(test_ir_doc PRIVATE TENON_IR_MD="${PROJECT_SOURCE_DIR}/docs/ir.md")
