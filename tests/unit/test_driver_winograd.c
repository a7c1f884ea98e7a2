/* A convolution computed by Winograd's transforms agrees with the direct one: odd sizes whose last tiles hang
 * over, several images, one block or several, an epilogue of bias, residual and clipping or a gate in the
 * output transform, a pool of its tiles, and halves. */
#include "unit/codegen_random.h"
#include "driver/driver.h"

#include <math.h>

struct job {
  tn_ctx *ctx;
  tn_dim x[4], m;
  size_t blocks;  /* that are expected */
  int64_t window; /* of a pool behind; 0: there is none */
  bool winograd, swish, half;
  float *y; /* result, allocated here */
  int64_t count;
};

static float *uniform(struct random *r, tn_arena *arena, int64_t count) {
  float *values = TN_NEW_ARRAY(arena, float, count);
  for (int64_t i = 0; i < count; i++)
    values[i] = (float)pick(r, -1000, 1000) / 1000;
  return values;
}

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

static size_t count_mentions(struct tn_module *m, const char *what) {
  size_t count = 0;
  for (const char *at = tn_print(m->arena, m); (at = strstr(at, what)); at += strlen(what))
    count++;
  return count;
}

static struct tn_value *pooled(struct tn_build *b, struct tn_value *x, int64_t window) {
  struct tn_node *pool = tn_node_make(b, TN_POOL, 1, &x, 1);
  tn_set_int(pool, TN_POOL_kind, TN_WINDOW_MAX);
  tn_set_ints(pool, TN_POOL_window, (int64_t[]){1, window, window, 1}, 4);
  tn_set_ints(pool, TN_POOL_strides, (int64_t[]){1, window, window, 1}, 4);
  tn_set_ints(pool, TN_POOL_dilations, (int64_t[]){1, 1, 1, 1}, 4);
  tn_set_ints(pool, TN_POOL_before, (int64_t[]){0, 0, 0, 0}, 4);
  tn_set_ints(pool, TN_POOL_after, (int64_t[]){0, 0, 0, 0}, 4);
  if (!tn_finish(b, pool))
    tn_fail_now(b->graph->module->ctx);
  return pool->out[0];
}

static bool compute(void *user) {
  struct job *job = user;
  tn_arena *arena = tn_ctx_arena(job->ctx);
  struct tn_module *m = tn_module_create(job->ctx, "w", "test");
  struct random r = {17, NULL};
  tn_dim *x = job->x, filter[4] = {3, 3, x[3], job->m}, out[4] = {x[0], x[1] - 2, x[2] - 2, job->m};
  struct tn_value *image = tn_graph_input(m->main, "x", tn_type_make(TN_F32, 4, x));
  struct tn_value *residual = tn_graph_input(m->main, "residual", tn_type_make(TN_F32, 4, out));
  struct tn_build b = tn_build_at_end(m->main);
  float *weights = uniform(&r, m->arena, 9 * x[3] * job->m);
  enum tn_dtype dtype = job->half ? TN_F16 : TN_F32;
  struct tn_value *w = tn_constant_bytes(&b, tn_type_make(TN_F32, 4, filter), weights);
  struct tn_value *in[2] = {tn_cast(&b, image, dtype), tn_cast(&b, w, dtype)};
  struct tn_node *conv = tn_node_make(&b, TN_CONV, 2, in, 1);
  tn_set_ints(conv, TN_CONV_strides, (int64_t[]){1, 1}, 2);
  tn_set_ints(conv, TN_CONV_dilations, (int64_t[]){1, 1}, 2);
  if (!tn_finish(&b, conv))
    return false;
  float *bias = uniform(&r, m->arena, job->m);
  struct tn_value *sum = tn_binary(&b, TN_ADD, tn_cast(&b, conv->out[0], TN_F32),
                                   tn_constant_bytes(&b, tn_type_make(TN_F32, 1, &job->m), bias));
  sum = tn_binary(&b, TN_ADD, sum, residual);
  struct tn_value *swish = tn_binary(&b, TN_MUL, sum, tn_unary(&b, TN_SIGMOID, sum));
  struct tn_value *y = job->swish ? swish : tn_binary(&b, TN_MAX, sum, tn_const_float(&b, TN_F32, 0));
  if (job->window)
    y = pooled(&b, y, job->window);
  tn_graph_output(m->main, y);

  struct tn_pass_options passes = {
      .level = 3, .roomy = job->winograd, .verify_each = true, .evaluate = evaluate};
  struct tn_target_options target = {.opt = 3, .threads = 1};
  if (!tn_run_passes(m, &passes))
    return false;
  size_t blocks = count_mentions(m, "winograd_output(");
  assert_int_equal(blocks, job->winograd ? job->blocks : 0);
  struct tn_codegen *cg = tn_codegen(m, &target, (struct tn_hash){0});
  tn_run_function *run = cg ? tn_codegen_load(cg, NULL) : NULL;
  if (!run)
    return false;
  /* The epilogue rides in the output transforms: a pad, then transform, product and transform of each block,
   * which lie where they should.  The image becomes halves beforehand. */
  assert_true(tn_codegen_facts(cg)->kernel_count <= (blocks ? 3 * (int)blocks + 1 : 1) + job->half);
  assert_true(tn_type_count(&y->type, &job->count));
  job->y = TN_NEW_ARRAY(arena, float, job->count);
  const void *ins[2] = {uniform(&r, arena, x[0] * x[1] * x[2] * x[3]),
                        uniform(&r, arena, out[0] * out[1] * out[2] * out[3])};
  void *outs[1] = {job->y}, *memory = tn_alloc_raw(arena, (size_t)tn_codegen_facts(cg)->arena_bytes + 64, 64);
  memset(memory, 0xA5, (size_t)tn_codegen_facts(cg)->arena_bytes);
  assert_int_equal(run(ins, outs, memory), 0);
  return true;
}

static void agrees(void **state) {
  (void)state;
  static const struct {
    tn_dim x[4], m;
    size_t blocks;
    int64_t window;
    bool swish, half;
  } cases[] = {{{1, 64, 64, 32}, 32, 3, 0, false, false}, {{2, 43, 39, 40}, 33, 3, 0, true, false},
               {{1, 30, 61, 64}, 48, 2, 0, true, false},  {{1, 27, 27, 64}, 48, 1, 0, true, false},
               {{2, 43, 39, 40}, 33, 3, 2, false, false}, {{1, 64, 64, 32}, 32, 3, 4, false, false},
               {{1, 27, 27, 64}, 48, 1, 2, true, false},  {{1, 27, 27, 64}, 48, 1, 0, true, true}};
  for (size_t k = 0; k < TN_COUNT(cases); k++) {
    struct job job[2] = {{.m = cases[k].m, .window = cases[k].window},
                         {.m = cases[k].m, .window = cases[k].window, .winograd = true}};
    for (int i = 0; i < 2; i++) {
      job[i].blocks = cases[k].blocks;
      job[i].swish = cases[k].swish;
      job[i].half = cases[k].half;
      job[i].ctx = tn_ctx_create(NULL);
      memcpy(job[i].x, cases[k].x, sizeof job[i].x);
      if (!tn_guard(job[i].ctx, compute, &job[i])) {
        size_t count;
        const struct tn_diag *diags = tn_diags(job[i].ctx, &count);
        fail_msg("case %d: %s", (int)k, count ? tn_diag_format(tn_ctx_arena(job[i].ctx), &diags[0]) : "?");
      }
    }
    assert_int_equal(job[0].count, job[1].count);
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < job[0].count; i++) {
      double d = fabs((double)job[0].y[i] - (double)job[1].y[i]);
      worst = d > worst || isnan(d) ? d : worst;
      largest = fabs((double)job[0].y[i]) > largest ? fabs((double)job[0].y[i]) : largest;
    }
    if (!(worst <= (cases[k].half ? 1e-3 : 1e-5) * largest)) /* a half's last bit may differ */
      fail_msg("case %d: differs by %g, largest element %g", (int)k, worst, largest);
    tn_ctx_destroy(job[0].ctx);
    tn_ctx_destroy(job[1].ctx);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(agrees)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
