/* Loops that set variables: scheduled, and interpreted, they give what their definitions give, for every family
 * of targets (test_codegen_schedule_same.c). */
#include "unit/codegen_schedule.h"

EVAL_TEST(searches) {
  static const int64_t cases[][2] = {{20, 1}, {20, 4}, {300, 4}, {700, 40}, {100, 60}, {90, 40}};
  for (size_t k = 0; k < TN_COUNT(cases); k++)
    for (int axis = 0; axis < 2; axis++) {
      tn_dim n = cases[k][0];
      struct tn_value *x = axis ? small(f, TN_F32, SHAPE(2, n)) : small(f, TN_F32, SHAPE(n, 3));
      struct tn_node *node = tn_node_make(&f->b, TN_TOPK, 1, &x, 2);
      tn_set_int(node, TN_TOPK_axis, axis);
      tn_set_int(node, TN_TOPK_k, cases[k][1]);
      tn_set_int(node, TN_TOPK_largest, k % 2);
      check_same(f, tn_printf(tn_ctx_arena(f->ctx), "the best, %d along %d", (int)k, axis), finished(f, node));
    }
}

EVAL_TEST(running) {
  static const enum tn_dtype dtypes[] = {TN_F32, TN_I32, TN_F64, TN_I64, TN_F16, TN_I8};
  static const tn_dim lengths[] = {1, 3, 4, 7, 16, 29, 64, 75};
  for (size_t k = 0; k < TN_COUNT(lengths); k++)
    for (size_t d = 0; d < TN_COUNT(dtypes); d++)
      for (int way = 0; way < 4; way++) {
        struct tn_value *x = small(f, dtypes[d], SHAPE(3, lengths[k]));
        struct tn_node *node = tn_node_make(&f->b, TN_SCAN_SUM, 1, &x, 1);
        tn_set_int(node, TN_SCAN_SUM_axis, 1);
        tn_set_int(node, TN_SCAN_SUM_reverse, way & 1);
        tn_set_int(node, TN_SCAN_SUM_exclusive, way >> 1);
        check_same(f, tn_printf(tn_ctx_arena(f->ctx), "running sum %d, way %d", (int)k, way),
                   finished(f, node));
      }
}

/* Trees of `nodes` nodes each, whose leaves lead to themselves; the last test, of nans, counts where `missing`
 * says so. */
static struct tn_value *walk(struct fixture *f, enum tn_dtype dtype, int rows, int trees, int nodes,
                             int64_t tests, bool missing, bool outside) {
  int all = trees * nodes;
  double *node = TN_NEW_ARRAY(tn_ctx_arena(f->ctx), double, all),
         *child = TN_NEW_ARRAY(tn_ctx_arena(f->ctx), double, 2 * all),
         *root = TN_NEW_ARRAY(tn_ctx_arena(f->ctx), double, trees);
  for (int i = 0; i < all; i++) {
    int tree = i / nodes, at = i % nodes, test = i * 5 % 6;
    while (!(tests >> test & 1))
      test = (test + 1) % 6;
    root[tree] = tree * nodes;
    node[i] = i * 7 % 5 * 16 + test * 2 + (missing && i % 3 == 0);
    child[2 * i] = 2 * at + 1 < nodes ? i + at + 1 : i;
    child[2 * i + 1] = 2 * at + 2 < nodes ? i + at + 2 : i;
  }
  if (outside)
    child[1] = all + 100;
  struct tn_value *in[5] = {small(f, dtype, SHAPE(rows, 5)), constant(f, TN_U32, SHAPE(trees), root),
                            constant(f, TN_U32, SHAPE(all), node), small(f, dtype, SHAPE(all)),
                            constant(f, TN_U32, SHAPE(2 * all), child)};
  struct tn_node *made = tn_node_make(&f->b, TN_TREE_WALK, 5, in, 1);
  tn_set_int(made, TN_TREE_WALK_levels, 4);
  tn_set_int(made, TN_TREE_WALK_tests, tests);
  tn_set_int(made, TN_TREE_WALK_missing, missing);
  return finished(f, made);
}

EVAL_TEST(walks) {
  static const int sizes[][2] = {{1, 1}, {1, 100}, {3, 7}, {2, 67}, {40, 3}};
  for (size_t k = 0; k < TN_COUNT(sizes); k++)
    for (int way = 0; way < 4; way++)
      check_same(f, tn_printf(tn_ctx_arena(f->ctx), "walk %d, way %d", (int)k, way),
                 walk(f, way == 2 ? TN_F64 : TN_F32, sizes[k][0], sizes[k][1], 15, way == 1 ? 63 : 1, way != 0,
                      way == 3));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(searches), cmocka_unit_test(running),
                                     cmocka_unit_test(walks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
