/* Kernels that pool what a convolution makes: scheduled for every family of targets they give the bytes of
 * their definition, whether the pool is in the tile, around it, or takes the sums from scratch. */
#include "unit/codegen_schedule.h"

struct pooled {
  tn_dim x[4], w[4];
  int64_t group, stride, window[2], step[2];
  bool residual;
};

static void set_pool(struct tn_node *node, int kind, const int64_t *window, const int64_t *step) {
  tn_set_int(node, TN_POOL_kind, kind);
  tn_set_ints(node, TN_POOL_window, INTS(1, window[0], window[1], 1));
  tn_set_ints(node, TN_POOL_strides, INTS(1, step[0], step[1], 1));
  tn_set_ints(node, TN_POOL_dilations, INTS(1, 1, 1, 1));
  tn_set_ints(node, TN_POOL_before, INTS(0, 0, 0, 0));
  tn_set_ints(node, TN_POOL_after, INTS(0, 0, 0, 0));
}

static struct tn_value *made(struct tn_build *b, struct tn_node *node) {
  if (!tn_finish(b, node))
    tn_fail_now(b->graph->module->ctx);
  return node->out[0];
}

static tn_dim places(tn_dim image, tn_dim window, int64_t step) {
  return (image - window) / step + 1;
}

/* conv(x, w) [+ residual], its largest with 0 when it is of floats, pooled, plus a bias. */
static struct tn_value *kernel_of(struct fixture *f, const struct pooled *p, int kind, enum tn_dtype image) {
  bool floats = tn_dtype_is_float(image);
  tn_dim m = p->w[3];
  tn_dim whole[4] = {p->x[0], places(p->x[1], p->w[0], p->stride), places(p->x[2], p->w[1], p->stride), m};
  struct tn_value *in[4] = {floats ? small(f, image, 4, p->x) : bytes_of(f, image, 4, p->x, 1),
                            floats ? small(f, image, 4, p->w) : bytes_of(f, TN_I8, 4, p->w, 2),
                            small(f, floats ? image : TN_I32, SHAPE(m)),
                            p->residual ? small(f, floats ? image : TN_I32, 4, whole) : NULL};
  int count = p->residual ? 4 : 3;
  struct tn_node *node = tn_node_make(&f->b, TN_KERNEL, count, in, 1);
  struct tn_graph *region = tn_graph_create(f->module, node);
  struct tn_value *inner[4];
  for (int i = 0; i < count; i++)
    inner[i] = tn_graph_input(region, tn_printf(tn_ctx_arena(f->ctx), "x%d", i), in[i]->type);
  struct tn_build b = tn_build_at_end(region);
  b.name = "inner_node";
  struct tn_node *conv = tn_node_make(&b, TN_CONV, 2, inner, 1);
  tn_set_ints(conv, TN_CONV_strides, INTS(p->stride, p->stride));
  tn_set_ints(conv, TN_CONV_dilations, INTS(1, 1));
  tn_set_int(conv, TN_CONV_group, p->group);
  if (!floats)
    tn_set_int(conv, TN_CONV_acc, TN_I32);
  struct tn_value *y = made(&b, conv);
  if (p->residual)
    y = tn_binary(&b, TN_ADD, y, inner[3]);
  if (floats)
    y = tn_binary(&b, TN_MAX, y, tn_const_float(&b, image, 0));
  struct tn_node *pool = tn_node_make(&b, TN_POOL, 1, &y, 1);
  set_pool(pool, kind, p->window, p->step);
  y = tn_binary(&b, TN_ADD, made(&b, pool), inner[2]);
  tn_graph_output(region, y);
  int at = 0;
  for (const struct tn_node *each = region->first; each; each = each->next, at++)
    if (each->op == TN_POOL)
      tn_set_int(node, TN_KERNEL_pool, at);
  tn_set_int(node, TN_KERNEL_anchor, 0);
  return finished(f, node);
}

static const struct pooled cases[] = {
    {{1, 10, 10, 5}, {3, 3, 5, 33}, 1, 1, {2, 2}, {2, 2}, true},    /* whole tiles of windows */
    {{2, 7, 9, 3}, {1, 1, 3, 16}, 1, 1, {3, 3}, {3, 3}, false},     /* what is left over is not computed */
    {{1, 13, 6, 4}, {2, 1, 4, 20}, 1, 1, {1, 2}, {2, 2}, false},    /* between windows */
    {{1, 1, 40, 8}, {1, 3, 8, 17}, 1, 1, {1, 4}, {1, 4}, false},    /* one dim */
    {{1, 12, 12, 6}, {3, 3, 6, 8}, 1, 2, {5, 5}, {5, 5}, true},     /* one window of many elements */
    {{1, 9, 9, 24}, {2, 2, 1, 24}, 24, 1, {2, 2}, {2, 2}, true},    /* of each channel apart */
    {{1, 11, 11, 8}, {2, 2, 4, 10}, 2, 1, {2, 2}, {2, 2}, false},   /* groups */
    {{1, 30, 30, 1}, {3, 3, 1, 2}, 1, 1, {2, 2}, {2, 2}, false},    /* lanes along the image */
    {{2, 14, 10, 24}, {3, 3, 24, 20}, 1, 1, {2, 2}, {2, 2}, false}, /* a long sum in chunks */
    {{1, 9, 8, 40}, {1, 1, 40, 3}, 1, 1, {2, 2}, {2, 2}, false},    /* few columns */
};

EVAL_TEST(same) {
  for (size_t k = 0; k < TN_COUNT(cases); k++)
    for (int kind = 0; kind < 3; kind++) {
      const char *name = tn_printf(tn_ctx_arena(f->ctx), "pooled %d, kind %d", (int)k, kind);
      check_same(f, name, kernel_of(f, &cases[k], kind, k % 3 == 2 && kind == 1 ? TN_F16 : TN_F32));
      check_same(f, name, kernel_of(f, &cases[k], kind, kind ? TN_I8 : TN_U8));
    }
}

static const char *scheduled(struct fixture *f, const struct tn_target *t, const struct pooled *p) {
  struct tn_nest *n = lowered(f, kernel_of(f, p, 0, TN_F32)->def, true);
  tn_schedule(t, n);
  tn_schedule_parallel(t, n);
  return tn_nest_print(tn_ctx_arena(f->ctx), n);
}

static void check_has(const char *text, const char *part, bool has) {
  if ((strstr(text, part) != NULL) != has)
    fail_msg("%s %s in\n%s", has ? "no" : "a", part, text);
}

EVAL_TEST(ways) {
  const struct tn_target *wide = &targets[TN_COUNT(targets) - 1];
  const char *in_tile = scheduled(f, wide, &cases[0]), *around = scheduled(f, wide, &cases[4]),
             *apart = scheduled(f, wide, &cases[5]);
  check_has(in_tile, "for w4 in 2 tile", true);
  check_has(in_tile, "for w5 in 2 tile", true);
  check_has(in_tile, "local pooled", false);
  check_has(around, "local pooled", true); /* one result a channel: a tile of nothing else has no rows */
  check_has(apart, "local pooled", true);
  check_has(apart, "let", false);
  /* Long windows with many results: the combined values wait while the tile goes through the window. */
  struct pooled many = {{1, 40, 40, 64}, {1, 1, 64, 64}, 1, 1, {5, 5}, {5, 5}, false};
  const char *waiting = scheduled(f, wide, &many);
  check_has(waiting, "for w4 in 5\n", true);
  check_has(waiting, "local pooled", false);
}

/* Threads share rows of results: each has a row of scratch, or the pool is in its tiles. */
EVAL_TEST(shared) {
  struct tn_target two = targets[TN_COUNT(targets) - 1];
  two.threads = 2;
  check_has(scheduled(f, &two, &cases[0]), "parallel", true);
  check_has(scheduled(f, &two, &cases[5]), "parallel", true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same),
      cmocka_unit_test(ways),
      cmocka_unit_test(shared),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
