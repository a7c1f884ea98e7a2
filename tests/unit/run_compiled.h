/* For tests of what is compiled: a module through the passes and code generation, run once. */
#ifndef TENON_TESTS_RUN_COMPILED_H
#define TENON_TESTS_RUN_COMPILED_H

#include "unit/codegen_eval.h"
#include "codegen/codegen.h"
#include "driver/driver.h"

/* At -O3, for `cpu` (NULL: this processor).  in, out: the graph's inputs and outputs, in order.  To be called
 * under tn_guard, which sees what fails. */
static inline void run_compiled(tn_ctx *ctx, struct tn_module *m, const char *cpu, const void **in,
                                void **out) {
  struct tn_pass_options p = {.level = 3};
  struct tn_target_options t = {.opt = 3, .threads = 1, .cpu = cpu};
  struct tn_codegen *cg = tn_run_passes(m, &p) ? tn_codegen(m, &t, (struct tn_hash){0}) : NULL;
  if (!cg)
    tn_fail_now(ctx);
  void *arena = tn_alloc_raw(tn_ctx_arena(ctx), (size_t)tn_codegen_facts(cg)->arena_bytes + 64, 64);
  tn_run_function *run = tn_codegen_load(cg, NULL);
  assert_non_null(run);
  assert_int_equal(run(in, out, arena), 0);
}

#endif
