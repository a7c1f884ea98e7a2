/* The whole way from a model to its object, with memory running out at one allocation or another: each time it
 * ends with a diagnostic that says so, and nothing stays allocated.  With the sanitizers, what LLVM or protobuf
 * hold counts too. */
#include "driver/driver.h"

#include "codegen/nest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct ration {
  long calls, fail_at; /* fails at this call alone, or with `after` at every one from it on; 0: never */
  bool after;
  long out; /* blocks that are not freed */
};

static void *resize(void *user, void *old, size_t size) {
  struct ration *r = user;
  if (size == 0) {
    r->out -= old != NULL;
    free(old);
    return NULL;
  }
  r->calls++;
  if (r->fail_at && (r->calls == r->fail_at || (r->after && r->calls > r->fail_at)))
    return NULL;
  void *at = realloc(old, size);
  r->out += !old && at;
  return at;
}

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

static bool whole_way(void *user) {
  tn_ctx *ctx = user;
  struct tn_onnx_options io = {.name = "digits", .evaluate = evaluate};
  struct tn_module *m = tn_onnx_import(ctx, TENON_DIGITS, &io, NULL);
  struct tn_pass_options passes = {.level = 3, .verify_each = true, .evaluate = evaluate};
  struct tn_target_options target = {.opt = 3, .threads = 1};
  struct tn_bytes object;
  struct tn_codegen *cg =
      m && tn_run_passes(m, &passes) ? tn_codegen(m, &target, (struct tn_hash){1, 2}) : NULL;
  return cg && tn_codegen_emit(cg, TN_EMIT_OBJECT, &object) && tn_codegen_header(cg, tn_ctx_arena(ctx)) != NULL;
}

/* Returns whether it went through. */
static bool attempt(struct ration *r) {
  tn_ctx *ctx = tn_ctx_create(&(struct tn_allocator){resize, r});
  if (!ctx)
    return false;
  bool good = tn_guard(ctx, whole_way, ctx), said = false;
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    said = said || strstr(diags[i].text, "memory") != NULL;
  if (!good && !said)
    fail_msg("call %ld failed, and no diagnostic says that there is no memory, the last is: %s", r->fail_at,
             count ? diags[count - 1].text : "none");
  tn_ctx_destroy(ctx);
  if (r->out != 0)
    fail_msg("call %ld failed, and %ld blocks are not freed", r->fail_at, r->out);
  return good;
}

static void memory_runs_out(void **state) {
  (void)state;
  struct ration free_run = {.calls = 0};
  assert_true(attempt(&free_run));
  assert_true(free_run.calls > 20);
  int failed = 0;
  for (int after = 0; after < 2; after++)
    for (long n = 1; n <= free_run.calls; n++) {
      struct ration r = {.fail_at = n, .after = after};
      failed += !attempt(&r);
    }
  assert_true(failed > 20); /* some allocations can be done without */
  struct ration again = {.calls = 0};
  assert_true(attempt(&again));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(memory_runs_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
