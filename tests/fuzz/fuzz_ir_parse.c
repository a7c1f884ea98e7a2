/* The parser of the text form under any bytes.  What it accepts must verify, print, and read back to the same
 * text. */
#include "fuzz/fuzz.h"
#include "ir/ir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  fuzz_want(ctx != NULL, "a context");
  struct tn_module *module = tn_parse(ctx, "fuzz.tir", (const char *)data, size);
  if (module) {
    tn_arena *arena = tn_ctx_arena(ctx);
    fuzz_want(tn_verify(module, "parsing"), "what was read verifies");
    const char *first = tn_print(arena, module);
    struct tn_module *again = tn_parse(ctx, "again.tir", first, strlen(first));
    fuzz_want(again != NULL, "what was printed reads back");
    fuzz_want(strcmp(tn_print(arena, again), first) == 0, "it prints as the same text");
  } else {
    fuzz_want(tn_diag_count(ctx, TN_ERROR) > 0, "a refusal says why");
  }
  fuzz_end(ctx);
  return 0;
}
