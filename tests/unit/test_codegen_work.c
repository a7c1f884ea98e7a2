/* The work counted on definitions: operations, and the bytes that are touched, by hand. */
#include "unit/codegen_eval.h"

static struct tn_nest *lowered(struct fixture *f, struct tn_value *v) {
  struct tn_nest *n = tn_lower_node(tn_ctx_arena(f->ctx), v->def);
  assert_non_null(n);
  return n;
}

static struct tn_value *input(struct fixture *f, enum tn_dtype dtype, int rank, const tn_dim *dims) {
  return tn_graph_input(f->module->main, "x", tn_type_make(dtype, rank, dims));
}

EVAL_TEST(product) {
  double zeros[6 * 4] = {0};
  struct tn_value *x = input(f, TN_F32, SHAPE(5, 6)), *w = constant(f, TN_F32, SHAPE(6, 4), zeros);
  struct tn_nest *n = lowered(f, tn_matmul(&f->b, x, w));
  assert_int_equal(n->flops, 2 * 5 * 6 * 4);
  assert_int_equal(n->bytes, 4 * (5 * 6 + 6 * 4 + 5 * 4));
  assert_int_equal(n->bytes_written, 4 * 5 * 4);
  assert_int_equal(n->bytes_constant, 4 * 6 * 4);
}

/* two of a hundred rows, and their indices */
EVAL_TEST(rows_of_a_table) {
  double zeros[100 * 8] = {0};
  struct tn_value *table = constant(f, TN_F32, SHAPE(100, 8), zeros);
  struct tn_value *in[] = {table, input(f, TN_I64, SHAPE(2))};
  struct tn_node *node = tn_node_make(&f->b, TN_GATHER, 2, in, 1);
  assert_true(tn_finish(&f->b, node));
  struct tn_nest *n = lowered(f, node->out[0]);
  assert_int_equal(n->bytes, 4 * 2 * 8 + 8 * 2 + 4 * 2 * 8);
  assert_int_equal(n->bytes_constant, 4 * 2 * 8);
  assert_int_equal(n->bytes_written, 4 * 2 * 8);
}

/* a result larger than what it reads */
EVAL_TEST(broadcast) {
  struct tn_value *row = input(f, TN_F32, SHAPE(1, 8)), *all = input(f, TN_F32, SHAPE(3, 8));
  struct tn_nest *n = lowered(f, tn_binary(&f->b, TN_ADD, row, all));
  assert_int_equal(n->flops, 3 * 8);
  assert_int_equal(n->bytes, 4 * (8 + 24 + 24));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(product),
      cmocka_unit_test(rows_of_a_table),
      cmocka_unit_test(broadcast),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
