/* Definitions beyond what a case of tests/cases says: the table itself, long sorts, kernels of several nodes.
 */
#include "unit/codegen_eval.h"

/* The flags of ops.def say how an op is defined. */
static void table(void **state) {
  (void)state;
  for (int op = 0; op < TN_OP_COUNT; op++) {
    const struct tn_definition *d = tn_definition_of((enum tn_op)op);
    const struct tn_op_info *info = tn_op_info((enum tn_op)op);
    int ways = d ? (d->element != NULL) + (d->reduce.shape != NULL) + (d->nest != NULL) : 0;
    assert_int_equal(ways, d != NULL);
    assert_int_equal((info->flags & TN_POINTWISE) != 0, d && d->element);
    assert_int_equal((info->flags & TN_REDUCE) != 0, d && d->reduce.shape);
    assert_int_equal(d && d->reduce.shape, d && d->reduce.at && d->reduce.term);
    if (info->flags & (TN_COMPOSITE | TN_REGION))
      assert_null(d);
  }
}

static struct tn_value *topk(struct fixture *f, struct tn_value *x, int axis, int64_t k, bool largest) {
  struct tn_node *node = tn_node_make(&f->b, TN_TOPK, 1, &x, 2);
  tn_set_int(node, TN_TOPK_axis, axis);
  tn_set_int(node, TN_TOPK_k, k);
  tn_set_int(node, TN_TOPK_largest, largest);
  return finished(f, node);
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

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

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
  const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(sorts),
                                     cmocka_unit_test(kernels)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
