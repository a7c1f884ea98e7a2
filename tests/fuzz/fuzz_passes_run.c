/* Any text that the parser accepts goes through the whole pipeline: it comes out planned and verified, or is
 * refused with a diagnostic that is no bug. */
#include "fuzz/fuzz.h"
#include "passes/passes.h"

struct job {
  struct tn_module *module;
  int level;
};

static bool run(void *user) {
  struct job *job = user;
  struct tn_pass_options options = {.level = job->level, .verify_each = true};
  return tn_run_passes(job->module, &options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (int level = 0; level <= 3; level += 3) {
    tn_ctx *ctx = tn_ctx_create(NULL);
    fuzz_want(ctx != NULL, "a context");
    struct job job = {tn_parse(ctx, "fuzz.tir", (const char *)data, size), level};
    if (job.module && !tn_guard(ctx, run, &job))
      fuzz_want(tn_diag_count(ctx, TN_ERROR) > 0, "a refusal says why");
    fuzz_end(ctx);
  }
  return 0;
}
