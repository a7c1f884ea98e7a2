/* Attention by blocks: the compiled kernel agrees with the definitions of its nodes one by one, for lengths
 * that no block divides, shared heads, masks of every kind, keys from two inputs and a single row. */
#include "unit/codegen_attention.h"
#include "driver/driver.h"
#include "tests/cases/cases.h"

#include <math.h>

struct job {
  tn_ctx *ctx;
  struct attention a;
};

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

static void check_level(struct job *job, const void *const *in, const struct tn_tensor *wanted, int level,
                        bool small) {
  tn_arena *arena = tn_ctx_arena(job->ctx);
  struct tn_module *m = attention_module(job->ctx, &job->a);
  struct tn_pass_options passes = {.level = level, .small = small, .verify_each = true, .evaluate = evaluate};
  struct tn_target_options target = {.opt = level, .small = small, .threads = 1};
  struct tn_codegen *cg = tn_run_passes(m, &passes) ? tn_codegen(m, &target, (struct tn_hash){0}) : NULL;
  tn_run_function *run = cg ? tn_codegen_load(cg, NULL) : NULL;
  if (!run)
    tn_fail_now(job->ctx);
  assert_true(level == 0 || attention_is_one_kernel(m));
  if (level > 0)
    assert_int_equal(attention_goes_by_blocks(m), job->a.keys >= 1536);
  void *memory = tn_alloc_raw(arena, (size_t)tn_codegen_facts(cg)->arena_bytes + 64, 64);
  memset(memory, 0xA5, (size_t)tn_codegen_facts(cg)->arena_bytes);
  struct tn_tensor got = *wanted;
  void *out[1] = {tn_alloc_raw(arena, wanted->bytes + 64, 64)};
  got.data = out[0];
  assert_int_equal(run(in, out, memory), 0);
  double within = job->a.dtype == TN_F16 ? 4e-3 : 2e-6;
  for (int64_t i = 0; i < count_of(m->main->outputs.at[0]); i++) {
    double g = tn_tensor_float(&got, i), w = tn_tensor_float(wanted, i);
    if (isnan(g) != isnan(w) || fabs(g - w) > within * (1 + fabs(w)))
      fail_msg("-O%d: element %d is %g, expected %g\n%s", level, (int)i, g, w, tn_print(arena, m));
  }
}

static bool check(void *user) {
  struct job *job = user;
  tn_arena *arena = tn_ctx_arena(job->ctx);
  struct tn_module *m = attention_module(job->ctx, &job->a);
  struct tn_tensor inputs[8], wanted;
  const void *in[8];
  assert_true(m->main->inputs.count <= TN_COUNT(inputs));
  struct random r = {(uint64_t)(job->a.rows * 31 + job->a.keys), NULL};
  double unit = job->a.dtype == TN_F16
                    ? 4000
                    : 512; /* scores so small that their rounding is no more than the result's */
  for (size_t i = 0; i < m->main->inputs.count; i++) {
    const struct tn_value *x = m->main->inputs.at[i];
    int64_t bytes;
    assert_true(tn_type_bytes(&x->type, &bytes));
    void *data = tn_alloc(arena, (size_t)bytes);
    for (int64_t k = 0; k < count_of(x); k++) {
      bool hidden = job->a.hides && strcmp(x->name, "mask") == 0 &&
                    (k % (job->a.rows * job->a.keys) < job->a.keys || k % job->a.keys < job->a.keys / 2);
      tn_store_float(x->type.dtype, data, k, hidden ? -INFINITY : (double)pick(&r, -1000, 1000) / unit);
    }
    inputs[i] = (struct tn_tensor){x->type, data, (size_t)bytes};
    in[i] = data;
  }
  if (!tn_case_interpret(m, inputs, &wanted))
    return false;
  check_level(job, in, &wanted, 0, false);
  check_level(job, in, &wanted, 1, false);
  check_level(job, in, &wanted, 3, false);
  check_level(job, in, &wanted, 2, true);
  return true;
}

static void run(const struct attention *a, const char *what) {
  struct job job = {tn_ctx_create(NULL), *a};
  if (!tn_guard(job.ctx, check, &job)) {
    size_t count;
    const struct tn_diag *diags = tn_diags(job.ctx, &count);
    fail_msg("%s: %s", what, count ? tn_diag_format(tn_ctx_arena(job.ctx), &diags[0]) : "failed in silence");
  }
  tn_ctx_destroy(job.ctx);
}

static uint64_t seeds_from, seeds_to = 16;

static void random_shapes(void **state) {
  (void)state;
  for (uint64_t seed = seeds_from; seed < seeds_to; seed++) {
    char what[32];
    struct attention a = random_attention(seed);
    snprintf(what, sizeof what, "seed %d", (int)seed);
    run(&a, what);
  }
}

/* Rows so long that they come in blocks: lengths that leave little, much and nothing over, blocks and rows of
 * which nothing is seen, and single rows. */
static void long_rows(void **state) {
  (void)state;
  static const struct attention cases[] = {
      {.batch = 1, .heads = 2, .shared = 1, .rows = 7, .keys = 5000, .depth = 4, .width = 3, .dtype = TN_F32},
      {.batch = 1,
       .heads = 1,
       .shared = 2,
       .rows = 9,
       .keys = 1537,
       .depth = 5,
       .width = 20,
       .past = 3,
       .mask = MASK_ADDED,
       .moved = true,
       .dtype = TN_F32},
      {.batch = 2,
       .heads = 1,
       .shared = 1,
       .rows = 4,
       .keys = 1664,
       .depth = 3,
       .width = 16,
       .mask = MASK_ADDED,
       .hides = true,
       .dtype = TN_F32},
      {.batch = 1,
       .heads = 1,
       .shared = 3,
       .rows = 5,
       .keys = 1600,
       .depth = 3,
       .width = 7,
       .mask = MASK_ADDED,
       .hides = true,
       .zeroed = true,
       .dtype = TN_F32},
      {.batch = 1,
       .heads = 1,
       .shared = 1,
       .rows = 33,
       .keys = 1790,
       .depth = 17,
       .width = 1,
       .mask = MASK_CAUSAL,
       .dtype = TN_F32},
      {.batch = 1,
       .heads = 2,
       .shared = 1,
       .rows = 1,
       .keys = 1700,
       .depth = 8,
       .width = 8,
       .mask = MASK_ROW,
       .dtype = TN_F32}};
  for (size_t i = 0; i < TN_COUNT(cases); i++) {
    char what[32];
    snprintf(what, sizeof what, "long rows %d", (int)i);
    run(&cases[i], what);
  }
}

/* Blocks are of rows longer than a few: what the kernel keeps does not grow with the row. */
static void scratch_of_long_rows(void **state) {
  (void)state;
  int64_t bytes[2];
  for (int i = 0; i < 2; i++) {
    tn_ctx *ctx = tn_ctx_create(NULL);
    struct attention a = {.batch = 1,
                          .heads = 2,
                          .shared = 1,
                          .rows = 300,
                          .keys = i ? 16384 : 2048,
                          .depth = 1,
                          .width = 8,
                          .dtype = TN_F32};
    struct tn_module *m = attention_module(ctx, &a);
    struct tn_pass_options passes = {.level = 2, .evaluate = evaluate};
    struct tn_target_options target = {.opt = 2, .threads = 1};
    assert_true(tn_run_passes(m, &passes));
    struct tn_codegen *cg = tn_codegen(m, &target, (struct tn_hash){0});
    assert_non_null(cg);
    bytes[i] = tn_codegen_facts(cg)->arena_bytes;
    tn_ctx_destroy(ctx);
  }
  /* But for a copy of the keys, which is as long as they are. */
  assert_true(bytes[1] - bytes[0] <= (16384 - 2048) * 4 * 5 / 4);
}

/* test_driver_attention [FROM TO]: other seeds, by hand. */
int main(int argc, char **argv) {
  if (argc == 3) {
    seeds_from = strtoull(argv[1], NULL, 10);
    seeds_to = strtoull(argv[2], NULL, 10);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_shapes), cmocka_unit_test(long_rows),
                                     cmocka_unit_test(scratch_of_long_rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
