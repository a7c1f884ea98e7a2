/* Definitions of reductions, contractions, windows, scans and topk, by hand-computed or plainly recomputed
 * numbers. */
#include "unit/codegen_eval.h"

EVAL_TEST(reduces) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(2, 3, 2), 1);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_SUM, x, (const int64_t[]){1}, 1, true), 9, 12, 27, 30);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_SUM, x, (const int64_t[]){0, 2}, 2, false), 18, 26, 34);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_SUM, x, (const int64_t[]){0, 1, 2}, 3, false), 78);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_PROD, x, (const int64_t[]){2, 1}, 2, false), 720, 665280);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_MAX, x, (const int64_t[]){0}, 1, false), 7, 8, 9, 10, 11, 12);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_MIN, x, (const int64_t[]){2}, 1, false), 1, 3, 5, 7, 9, 11);
  double nan = (double)NAN, inf = (double)INFINITY;
  struct tn_value *y = constant(f, TN_F32, SHAPE(3), VALUES(1, nan, 2));
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_MAX, y, (const int64_t[]){0}, 1, false), nan);
  struct tn_value *none = constant(f, TN_F32, SHAPE(2, 0), VALUES(0));
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_MAX, none, (const int64_t[]){1}, 1, false), -inf, -inf);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_SUM, none, (const int64_t[]){1}, 1, true), 0, 0);
  struct tn_value *bools = constant(f, TN_BOOL, SHAPE(2, 2), VALUES(1, 0, 1, 1));
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_MAX, bools, (const int64_t[]){1}, 1, false), 1, 1);
  CHECK(f, tn_reduce(&f->b, TN_REDUCE_MIN, bools, (const int64_t[]){1}, 1, false), 0, 1);
  CHECK(f,
        tn_reduce(&f->b, TN_REDUCE_SUM, constant(f, TN_U8, SHAPE(3), VALUES(100, 100, 100)),
                  (const int64_t[]){0}, 1, false),
        44);
  /* Summed in f32: 2048 ones on top of 2048 would be lost in f16. */
  double ones[4096];
  for (int i = 0; i < 4096; i++)
    ones[i] = 1;
  CHECK(f,
        tn_reduce(&f->b, TN_REDUCE_SUM, constant(f, TN_F16, SHAPE(4096), ones), (const int64_t[]){0}, 1, false),
        4096);
}

static struct tn_value *arg(struct fixture *f, enum tn_op op, struct tn_value *x, int axis, bool keep,
                            bool last) {
  struct tn_node *node = tn_node_make(&f->b, op, 1, &x, 1);
  bool max = op == TN_ARG_MAX;
  tn_set_int(node, max ? TN_ARG_MAX_axis : TN_ARG_MIN_axis, axis);
  tn_set_int(node, max ? TN_ARG_MAX_keepdims : TN_ARG_MIN_keepdims, keep);
  tn_set_int(node, max ? TN_ARG_MAX_select_last : TN_ARG_MIN_select_last, last);
  return finished(f, node);
}

EVAL_TEST(args) {
  struct tn_value *x = constant(f, TN_F32, SHAPE(2, 4), VALUES(1, 5, 5, 2, 3, 0, 0, 3));
  CHECK(f, arg(f, TN_ARG_MAX, x, 1, true, false), 1, 0);
  CHECK(f, arg(f, TN_ARG_MAX, x, 1, false, true), 2, 3);
  CHECK(f, arg(f, TN_ARG_MIN, x, 1, false, false), 0, 1);
  CHECK(f, arg(f, TN_ARG_MIN, x, 1, false, true), 0, 2);
  CHECK(f, arg(f, TN_ARG_MAX, x, 0, true, false), 1, 0, 0, 1);
  double nan = (double)NAN;
  struct tn_value *y = constant(f, TN_F32, SHAPE(5), VALUES(1, nan, 9, nan, 2));
  CHECK(f, arg(f, TN_ARG_MAX, y, 0, false, false), 1);
  CHECK(f, arg(f, TN_ARG_MIN, y, 0, false, true), 3);
  CHECK(f, arg(f, TN_ARG_MAX, constant(f, TN_I8, SHAPE(1), VALUES(4)), 0, false, false), 0);
}

static struct tn_value *scan(struct fixture *f, enum tn_op op, struct tn_value *x, int axis, bool exclusive,
                             bool reverse) {
  struct tn_node *node = tn_node_make(&f->b, op, 1, &x, 1);
  bool sum = op == TN_SCAN_SUM;
  tn_set_int(node, sum ? TN_SCAN_SUM_axis : TN_SCAN_PROD_axis, axis);
  tn_set_int(node, sum ? TN_SCAN_SUM_exclusive : TN_SCAN_PROD_exclusive, exclusive);
  tn_set_int(node, sum ? TN_SCAN_SUM_reverse : TN_SCAN_PROD_reverse, reverse);
  return finished(f, node);
}

EVAL_TEST(scans) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(2, 3), 1);
  CHECK(f, scan(f, TN_SCAN_SUM, x, 1, false, false), 1, 3, 6, 4, 9, 15);
  CHECK(f, scan(f, TN_SCAN_SUM, x, 1, true, false), 0, 1, 3, 0, 4, 9);
  CHECK(f, scan(f, TN_SCAN_SUM, x, 1, false, true), 6, 5, 3, 15, 11, 6);
  CHECK(f, scan(f, TN_SCAN_SUM, x, 1, true, true), 5, 3, 0, 11, 6, 0);
  CHECK(f, scan(f, TN_SCAN_SUM, x, 0, false, false), 1, 2, 3, 5, 7, 9);
  CHECK(f, scan(f, TN_SCAN_PROD, x, 1, true, false), 1, 1, 2, 1, 4, 20);
}

static struct tn_value *topk(struct fixture *f, struct tn_value *x, int axis, int64_t k, bool largest) {
  struct tn_node *node = tn_node_make(&f->b, TN_TOPK, 1, &x, 2);
  tn_set_int(node, TN_TOPK_axis, axis);
  tn_set_int(node, TN_TOPK_k, k);
  tn_set_int(node, TN_TOPK_largest, largest);
  return finished(f, node);
}

EVAL_TEST(topks) {
  double nan = (double)NAN;
  struct tn_value *x = constant(f, TN_F32, SHAPE(2, 5), VALUES(3, 1, 3, 9, 2, 0, nan, 4, nan, 4));
  struct tn_value *best = topk(f, x, 1, 3, true), *least = topk(f, x, 1, 3, false);
  CHECK(f, best, 9, 3, 3, nan, nan, 4);
  CHECK(f, best->def->out[1], 3, 0, 2, 1, 3, 2);
  CHECK(f, least, 1, 2, 3, 0, 4, 4);
  CHECK(f, least->def->out[1], 1, 4, 0, 0, 2, 4);
  struct tn_value *columns = topk(f, constant(f, TN_I32, SHAPE(3, 2), VALUES(1, 6, 5, 2, 3, 4)), 0, 2, true);
  CHECK(f, columns, 5, 6, 3, 4);
  CHECK(f, columns->def->out[1], 1, 0, 2, 2);
}

static int by_value(const void *a, const void *b) { /* pairs of value and position, largest first */
  const double *x = a, *y = b;
  return x[0] != y[0] ? (x[0] < y[0] ? 1 : -1) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Many: by a heap; with few different values, so that ties must keep their order. */
EVAL_TEST(sorts) {
  enum { N = 300 };
  double values[2 * N], pairs[2 * N][2];
  uint32_t seed = 1;
  for (int i = 0; i < 2 * N; i++) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = seed >> 26;
  }
  static const int ks[] = {33, 150, N};
  for (size_t c = 0; c < TN_COUNT(ks); c++) {
    int k = ks[c];
    struct tn_value *best = topk(f, constant(f, TN_F32, SHAPE(2, N), values), 1, k, true);
    struct tn_tensor outs[2] = {{.data = NULL}};
    evaluate_node(f, best->def, outs);
    for (int row = 0; row < 2; row++) {
      for (int i = 0; i < N; i++) {
        pairs[i][0] = values[row * N + i];
        pairs[i][1] = i;
      }
      qsort(pairs, N, sizeof *pairs, by_value);
      for (int i = 0; i < k; i++) {
        assert_true(tn_tensor_float(&outs[0], row * k + i) == pairs[i][0]);
        assert_int_equal(tn_tensor_int(&outs[1], row * k + i), (int64_t)pairs[i][1]);
      }
    }
  }
}

EVAL_TEST(matmuls) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(2, 3), 1), *y = counting(f, TN_F32, SHAPE(3, 2), 1);
  CHECK(f, tn_matmul(&f->b, x, y), 22, 28, 49, 64);
  struct tn_value *a = counting(f, TN_F32, SHAPE(2, 1, 1, 2), 0), *b = counting(f, TN_F32, SHAPE(3, 2, 1), 0);
  CHECK(f, tn_matmul(&f->b, a, b), 1, 3, 5, 3, 13, 23);
  struct tn_value *in[2] = {constant(f, TN_U8, SHAPE(1, 2), VALUES(255, 255)),
                            constant(f, TN_I8, SHAPE(2, 2), VALUES(-128, 127, -128, 127))};
  struct tn_node *quantized = tn_node_make(&f->b, TN_MATMUL, 2, in, 1);
  tn_set_int(quantized, TN_MATMUL_acc, TN_I32);
  CHECK(f, finished(f, quantized), -65280, 64770);
  struct tn_value *h[2] = {constant(f, TN_F16, SHAPE(1, 3), VALUES(2048, 1, 1)),
                           constant(f, TN_F16, SHAPE(3, 1), VALUES(1, 1, 1))};
  CHECK(f, tn_matmul(&f->b, h[0], h[1]), 2050);
}

/* conv, recomputed plainly: x[n, h, w, c], k[kh, kw, c/group, m]. */
static void check_conv(struct fixture *f, const tn_dim *x, const tn_dim *w, int64_t group,
                       const int64_t *stride, const int64_t *dilation) {
  struct tn_value *in[2] = {counting(f, TN_I32, 4, x, -20), counting(f, TN_I32, 4, w, -9)};
  struct tn_node *node = tn_node_make(&f->b, TN_CONV, 2, in, 1);
  tn_set_ints(node, TN_CONV_strides, stride, 2);
  tn_set_ints(node, TN_CONV_dilations, dilation, 2);
  tn_set_int(node, TN_CONV_group, group);
  struct tn_value *out = finished(f, node);
  struct tn_tensor t = evaluated(f, out);
  const tn_dim *o = out->type.dim;
  int64_t channels = w[3] / group, at = 0;
  for (int64_t n = 0; n < o[0]; n++)
    for (int64_t i = 0; i < o[1]; i++)
      for (int64_t j = 0; j < o[2]; j++)
        for (int64_t m = 0; m < o[3]; m++) {
          int64_t sum = 0;
          for (int64_t p = 0; p < w[0]; p++)
            for (int64_t q = 0; q < w[1]; q++)
              for (int64_t c = 0; c < w[2]; c++) {
                int64_t row = i * stride[0] + p * dilation[0], column = j * stride[1] + q * dilation[1];
                int64_t from = ((n * x[1] + row) * x[2] + column) * x[3] + m / channels * w[2] + c;
                sum += (from - 20) * (((p * w[1] + q) * w[2] + c) * w[3] + m - 9);
              }
          assert_int_equal(tn_tensor_int(&t, at), sum);
          at++;
        }
  int64_t count;
  assert_true(tn_type_count(&out->type, &count));
  assert_int_equal(at, count);
}

EVAL_TEST(convs) {
  static const int64_t one[] = {1, 1}, two[] = {2, 1}, wide[] = {1, 2};
  check_conv(f, (tn_dim[]){2, 5, 6, 3}, (tn_dim[]){3, 2, 3, 4}, 1, one, one);
  check_conv(f, (tn_dim[]){1, 5, 6, 3}, (tn_dim[]){3, 2, 3, 1}, 1, two, wide);
  check_conv(f, (tn_dim[]){1, 5, 6, 4}, (tn_dim[]){3, 3, 2, 6}, 2, two, wide);
  check_conv(f, (tn_dim[]){2, 5, 6, 4}, (tn_dim[]){2, 3, 1, 4}, 4, wide, two);
  check_conv(f, (tn_dim[]){1, 5, 6, 4}, (tn_dim[]){2, 3, 1, 8}, 4, one, one);
  check_conv(f, (tn_dim[]){1, 4, 4, 6}, (tn_dim[]){1, 1, 2, 3}, 3, one, one);
}

static struct tn_value *pool(struct fixture *f, struct tn_value *x, int kind, const int64_t *window,
                             const int64_t *strides, const int64_t *dilations, const int64_t *before,
                             const int64_t *after) {
  struct tn_node *node = tn_node_make(&f->b, TN_POOL, 1, &x, 1);
  size_t rank = (size_t)x->type.rank;
  tn_set_int(node, TN_POOL_kind, kind);
  tn_set_ints(node, TN_POOL_window, window, rank);
  tn_set_ints(node, TN_POOL_strides, strides, rank);
  tn_set_ints(node, TN_POOL_dilations, dilations, rank);
  tn_set_ints(node, TN_POOL_before, before, rank);
  tn_set_ints(node, TN_POOL_after, after, rank);
  return finished(f, node);
}
#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

EVAL_TEST(pools) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(1, 3, 3, 1), 1);
  const int64_t *one = DIMS(1, 1, 1, 1), *zero = DIMS(0, 0, 0, 0);
  CHECK(f, pool(f, x, 0, DIMS(1, 2, 2, 1), one, one, zero, zero), 5, 6, 8, 9);
  CHECK(f, pool(f, x, 1, DIMS(1, 2, 2, 1), DIMS(1, 2, 2, 1), one, DIMS(0, 1, 1, 0), zero), 1, 2, 4, 5);
  CHECK(f, pool(f, x, 2, DIMS(1, 2, 2, 1), one, DIMS(1, 2, 2, 1), DIMS(0, 0, 1, 0), DIMS(0, 0, 1, 0)), 10, 20,
        10);
  struct tn_value *y = constant(f, TN_I8, SHAPE(3), VALUES(-5, -3, -128));
  CHECK(f, pool(f, y, 0, DIMS(2), DIMS(1), DIMS(1), DIMS(1), DIMS(1)), -5, -3, -3, -128);
  double inf = (double)INFINITY; /* a window of padding alone */
  CHECK(f, pool(f, counting(f, TN_F32, SHAPE(1), 4), 0, DIMS(1), DIMS(1), DIMS(1), DIMS(1), DIMS(0)), -inf, 4);
}

/* A kernel node of the ops that build() makes from its one operand. */
static struct tn_value *kernel(struct fixture *f, struct tn_value *x, int anchor,
                               struct tn_value *(*build)(struct tn_build *b, struct tn_value *x)) {
  struct tn_node *node = tn_node_make(&f->b, TN_KERNEL, 1, &x, 1);
  tn_set_int(node, TN_KERNEL_anchor, anchor);
  struct tn_graph *region = tn_graph_create(f->module, node);
  struct tn_value *input = tn_graph_input(region, "inner", x->type);
  struct tn_build b = tn_build_at_end(region);
  b.name = "inner_node";
  tn_graph_output(region, build(&b, input));
  return finished(f, node);
}

static struct tn_value *build_moves(struct tn_build *b, struct tn_value *x) { /* x[2, 3] */
  struct tn_value *parts[] = {tn_pad(b, x, DIMS(1, 0), DIMS(0, 1), NULL),
                              tn_unary(b, TN_NEG, tn_pad(b, x, DIMS(0, 1), DIMS(1, 0), NULL))};
  struct tn_value *both = tn_concat(b, 1, 2, parts); /* [3, 8] */
  return tn_unary(b, TN_NEG, tn_reshape(b, tn_transpose(b, both, DIMS(1, 0)), SHAPE(4, 6)));
}

static struct tn_value *build_reduction(struct tn_build *b, struct tn_value *x) {
  struct tn_value *scaled = tn_binary(b, TN_MUL, tn_transpose(b, x, DIMS(1, 0)), tn_const_float(b, TN_F32, 2));
  struct tn_value *sum = tn_reduce(b, TN_REDUCE_SUM, scaled, DIMS(1), 1, false);
  return tn_binary(b, TN_ADD, sum, tn_const_float(b, TN_F32, 1));
}

EVAL_TEST(kernels) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(2, 3), 1);
  CHECK(f, kernel(f, x, -1, build_moves), 0, -1, -4, 0, -2, -5, 0, -3, -6, 0, 0, 0, 0, 0, 0, 1, 4, 0, 2, 5, 0,
        3, 6, 0);
  /* nodes of the region: transpose, constant, mul, reduce_sum, ... */
  struct tn_value *y = kernel(f, x, 3, build_reduction);
  CHECK(f, y, 11, 15, 19);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reduces), cmocka_unit_test(args),  cmocka_unit_test(scans),
      cmocka_unit_test(topks),   cmocka_unit_test(sorts), cmocka_unit_test(matmuls),
      cmocka_unit_test(convs),   cmocka_unit_test(pools), cmocka_unit_test(kernels),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
