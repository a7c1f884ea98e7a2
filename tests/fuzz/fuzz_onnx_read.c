/* Any bytes as an ONNX model: the import ends with a module that verifies, or with a diagnostic that is no bug.
 */
#include "frontend/onnx/onnx.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_onnx_outcome outcome;
  fuzz_want(ctx != NULL, "a context");
  struct tn_module *module = tn_onnx_import_bytes(ctx, (struct tn_bytes){data, size}, NULL, NULL, &outcome);
  if (module)
    fuzz_want(tn_verify(module, "import"), "what was imported verifies");
  else
    fuzz_want(tn_diag_count(ctx, TN_ERROR) > 0, "a refusal says why");
  fuzz_end(ctx);
  return 0;
}
