/* Elementwise definitions and moves, by hand-computed numbers. */
#include "unit/codegen_eval.h"

EVAL_TEST(broadcasting) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(2, 1, 3), 0),
                  *y = constant(f, TN_F32, SHAPE(2, 1), VALUES(10, 20));
  CHECK(f, tn_binary(&f->b, TN_ADD, x, y), 10, 11, 12, 20, 21, 22, 13, 14, 15, 23, 24, 25);
  CHECK(f, tn_binary(&f->b, TN_SUB, y, tn_const_float(&f->b, TN_F32, 1)), 9, 19);
  struct tn_value *cond = constant(f, TN_BOOL, SHAPE(3), VALUES(1, 0, 1));
  CHECK(f, tn_select(&f->b, cond, x, tn_const_float(&f->b, TN_F32, -1)), 0, -1, 2, 3, -1, 5);
  CHECK(f, tn_binary(&f->b, TN_LT, x, constant(f, TN_F32, SHAPE(3), VALUES(1, 1, 9))), 1, 0, 1, 0, 0, 1);
}

EVAL_TEST(integers) {
  struct tn_value *x = constant(f, TN_I8, SHAPE(4), VALUES(127, -128, -7, 7));
  struct tn_value *y = constant(f, TN_I8, SHAPE(4), VALUES(1, -1, 3, -3));
  CHECK(f, tn_binary(&f->b, TN_ADD, x, y), -128, 127, -4, 4);
  CHECK(f, tn_binary(&f->b, TN_DIV, x, y), 127, -128, -2, -2);
  CHECK(f, tn_binary(&f->b, TN_MOD, x, y), 0, 0, 2, -2);
  CHECK(f, tn_binary(&f->b, TN_FMOD, x, y), 0, 0, -1, 1);
  CHECK(f, tn_binary(&f->b, TN_DIV, x, tn_const_int(&f->b, TN_I8, 0)), 0, 0, 0, 0);
  CHECK(f, tn_binary(&f->b, TN_MOD, x, tn_const_int(&f->b, TN_I8, 0)), 0, 0, 0, 0);
  CHECK(f, tn_unary(&f->b, TN_ABS, x), 127, -128, 7, 7);
  CHECK(f, tn_unary(&f->b, TN_NEG, x), -127, -128, 7, -7);
  CHECK(f, tn_unary(&f->b, TN_NOT, x), -128, 127, 6, -8);
  CHECK(f, tn_unary(&f->b, TN_SIGN, x), 1, -1, -1, 1);
  CHECK(f, tn_binary(&f->b, TN_MAX, x, y), 127, -1, 3, 7);
  CHECK(f, tn_binary(&f->b, TN_XOR, x, y), 126, 127, -6, -6);
  struct tn_value *u = constant(f, TN_U8, SHAPE(3), VALUES(200, 3, 255)),
                  *v = constant(f, TN_U8, SHAPE(3), VALUES(100, 7, 8));
  CHECK(f, tn_binary(&f->b, TN_SUB, v, u), 156, 4, 9);
  CHECK(f, tn_binary(&f->b, TN_SHL, u, v), 0, 128, 0);
  CHECK(f, tn_binary(&f->b, TN_SHR, u, constant(f, TN_U8, SHAPE(3), VALUES(1, 1, 9))), 100, 1, 0);
  struct tn_value *s = constant(f, TN_I16, SHAPE(2), VALUES(-9, 9));
  CHECK(f, tn_binary(&f->b, TN_SHR, s, constant(f, TN_I16, SHAPE(2), VALUES(1, 40))), -5, 0);
  CHECK(f, tn_binary(&f->b, TN_SHR, s, constant(f, TN_I16, SHAPE(2), VALUES(40, 1))), -1, 4);
  struct tn_value *base = constant(f, TN_I32, SHAPE(5), VALUES(3, -2, 2, -1, 0));
  CHECK(f, tn_binary(&f->b, TN_POW, base, constant(f, TN_I32, SHAPE(5), VALUES(4, 3, -1, -3, 0))), 81, -8, 0,
        -1, 1);
  int64_t big[] = {INT64_MIN, -1};
  struct tn_value *wide = tn_constant_bytes(&f->b, tn_type_make(TN_U64, 1, (tn_dim[]){2}), big);
  CHECK(f, tn_binary(&f->b, TN_LT, wide, tn_const_int(&f->b, TN_U64, 5)), 0, 0);
  CHECK(f, tn_binary(&f->b, TN_DIV, wide, tn_const_int(&f->b, TN_U64, -1)), 0, 1);
  CHECK(f, tn_cast(&f->b, wide, TN_F32), 9223372036854775808.0, 18446744073709551616.0);
}

EVAL_TEST(floats) {
  double nan = (double)NAN, inf = (double)INFINITY;
  struct tn_value *x = constant(f, TN_F32, SHAPE(6), VALUES(-2.5, 0.5, 1.5, nan, inf, -inf));
  CHECK(f, tn_unary(&f->b, TN_ROUND, x), -2, 0, 2, nan, inf, -inf);
  CHECK(f, tn_unary(&f->b, TN_FLOOR, x), -3, 0, 1, nan, inf, -inf);
  CHECK(f, tn_unary(&f->b, TN_CEIL, x), -2, 1, 2, nan, inf, -inf);
  CHECK(f, tn_unary(&f->b, TN_TRUNC, x), -2, 0, 1, nan, inf, -inf);
  CHECK(f, tn_unary(&f->b, TN_SIGN, x), -1, 1, 1, nan, 1, -1);
  CHECK(f, tn_unary(&f->b, TN_ISNAN, x), 0, 0, 0, 1, 0, 0);
  CHECK(f, tn_unary(&f->b, TN_ISINF, x), 0, 0, 0, 0, 1, 1);
  struct tn_node *up = tn_node_make(&f->b, TN_ISINF, 1, &x, 1);
  tn_set_int(up, TN_ISINF_negative, 0);
  CHECK(f, finished(f, up), 0, 0, 0, 0, 1, 0);
  CHECK(f, tn_cast(&f->b, x, TN_I32), -2, 0, 1, 0, 2147483647.0, -2147483648.0);
  CHECK(f, tn_cast(&f->b, x, TN_U8), 0, 0, 1, 0, 255, 0);
  CHECK(f, tn_cast(&f->b, x, TN_BOOL), 1, 1, 1, 1, 1, 1);
  CHECK(f, tn_binary(&f->b, TN_MAX, x, tn_const_float(&f->b, TN_F32, 1)), 1, 1, 1.5, nan, inf, 1);
  struct tn_value *y = constant(f, TN_F32, SHAPE(3), VALUES(-7, 7, 6)),
                  *z = constant(f, TN_F32, SHAPE(3), VALUES(3, -3, 3));
  CHECK(f, tn_binary(&f->b, TN_MOD, y, z), 2, -2, 0);
  CHECK(f, tn_binary(&f->b, TN_FMOD, y, z), -1, 1, 0);
  CHECK(f, tn_binary(&f->b, TN_POW, y, tn_const_float(&f->b, TN_F32, 2)), 49, 49, 36);
  CHECK_NEAR(f, tn_unary(&f->b, TN_SIGMOID, z), 0.9525741268, 0.0474258732, 0.9525741268);
  CHECK_NEAR(f, tn_unary(&f->b, TN_ERF, constant(f, TN_F64, SHAPE(1), VALUES(0.5))), 0.5204998778130465);
  /* 16-bit floats are rounded after each operator */
  struct tn_value *h = constant(f, TN_F16, SHAPE(2), VALUES(2048, 1));
  CHECK(f, tn_binary(&f->b, TN_ADD, h, tn_const_float(&f->b, TN_F16, 1)), 2048, 2);
  struct tn_value *g = constant(f, TN_BF16, SHAPE(2), VALUES(256, 3));
  CHECK(f, tn_binary(&f->b, TN_ADD, g, tn_const_float(&f->b, TN_BF16, 1)), 256, 4);
  struct tn_node *bits = tn_node_make(&f->b, TN_BITCAST, 1, &y, 1);
  tn_set_int(bits, TN_BITCAST_to, TN_I32);
  CHECK(f, finished(f, bits), (double)(int32_t)0xC0E00000, 0x40E00000, 0x40C00000);
}

EVAL_TEST(iota) {
  CHECK(f, tn_iota(&f->b, TN_I64, SHAPE(2, 3), 1), 0, 1, 2, 0, 1, 2);
  CHECK(f, tn_iota(&f->b, TN_F32, SHAPE(2, 3), 0), 0, 0, 0, 1, 1, 1);
}

/* Every element of a reshape is the one at the same place in memory, whatever groups the dims fall into. */
EVAL_TEST(reshape) {
  static const struct {
    int from, to;
    tn_dim dims[2][6];
  } cases[] = {
      {2, 1, {{4, 6}, {24}}},          {1, 3, {{24}, {2, 3, 4}}},
      {3, 2, {{2, 3, 4}, {6, 4}}},     {2, 2, {{4, 6}, {3, 8}}},
      {3, 3, {{2, 3, 4}, {4, 3, 2}}},  {3, 5, {{1, 4, 6}, {4, 1, 3, 2, 1}}},
      {4, 2, {{2, 1, 3, 4}, {2, 12}}}, {6, 3, {{1, 1, 2, 1, 12, 1}, {6, 1, 4}}},
      {0, 2, {{0}, {1, 1}}},           {2, 0, {{1, 1}, {0}}},
      {2, 2, {{0, 3}, {5, 0}}},
  };
  for (size_t k = 0; k < TN_COUNT(cases); k++) {
    struct tn_value *x = counting(f, TN_I32, cases[k].from, cases[k].dims[0], 0);
    struct tn_value *y = tn_reshape(&f->b, x, cases[k].to, cases[k].dims[1]);
    struct tn_tensor t = evaluated(f, y), in = *tn_value_tensor(x);
    assert_int_equal(t.bytes, in.bytes);
    assert_memory_equal(t.data, in.data, t.bytes);
  }
}

EVAL_TEST(moves) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(2, 3), 0);
  CHECK(f, tn_transpose(&f->b, x, (const int64_t[]){1, 0}), 0, 3, 1, 4, 2, 5);
  CHECK(f, tn_expand(&f->b, x, SHAPE(2, 2, 3)), 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5);
  CHECK(f, tn_expand(&f->b, constant(f, TN_F32, SHAPE(2, 1), VALUES(7, 8)), SHAPE(2, 2)), 7, 7, 8, 8);
  CHECK(f, tn_slice(&f->b, x, (const int64_t[]){1, 2}, (const int64_t[]){-1, -2}, (const int64_t[]){2, 2}), 5,
        3, 2, 0);
  struct tn_value *y = counting(f, TN_F32, SHAPE(2, 2), 10);
  CHECK(f, tn_concat(&f->b, 1, 2, (struct tn_value *[]){x, y}), 0, 1, 2, 10, 11, 3, 4, 5, 12, 13);
}

static struct tn_value *padded(struct fixture *f, struct tn_value *x, const char *mode, const int64_t *before,
                               const int64_t *after, const int64_t *interior) {
  static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
  struct tn_node *node = tn_node_make(&f->b, TN_PAD, 1, &x, 1);
  size_t rank = (size_t)x->type.rank;
  tn_set_ints(node, TN_PAD_before, before, rank);
  tn_set_ints(node, TN_PAD_after, after, rank);
  if (interior)
    tn_set_ints(node, TN_PAD_interior, interior, rank);
  for (int i = 0; i < 4; i++)
    if (strcmp(mode, modes[i]) == 0)
      tn_set_int(node, TN_PAD_mode, i);
  return finished(f, node);
}
#define ONE(x) ((const int64_t[]){x})

EVAL_TEST(pad) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(3), 1);
  CHECK(f, padded(f, x, "constant", ONE(2), ONE(1), NULL), 0, 0, 1, 2, 3, 0);
  CHECK(f, padded(f, x, "constant", ONE(-1), ONE(2), NULL), 2, 3, 0, 0);
  CHECK(f, padded(f, x, "constant", ONE(1), ONE(0), ONE(2)), 0, 1, 0, 0, 2, 0, 0, 3);
  CHECK(f, padded(f, x, "constant", ONE(-1), ONE(-1), ONE(1)), 0, 2, 0);
  CHECK(f, padded(f, x, "reflect", ONE(2), ONE(2), NULL), 3, 2, 1, 2, 3, 2, 1);
  CHECK(f, padded(f, x, "edge", ONE(2), ONE(1), NULL), 1, 1, 1, 2, 3, 3);
  CHECK(f, padded(f, x, "wrap", ONE(2), ONE(4), NULL), 2, 3, 1, 2, 3, 1, 2, 3, 1);
  CHECK(f, padded(f, x, "edge", ONE(-1), ONE(1), NULL), 2, 3, 3);
  struct tn_value *y = counting(f, TN_I32, SHAPE(2, 2), 1);
  CHECK(f, tn_pad(&f->b, y, (const int64_t[]){0, 1}, (const int64_t[]){1, 0}, tn_const_int(&f->b, TN_I32, 9)),
        9, 1, 2, 9, 3, 4, 9, 9, 9);
  CHECK(f, padded(f, y, "reflect", (const int64_t[]){1, 1}, (const int64_t[]){0, 1}, NULL), 4, 3, 4, 3, 2, 1, 2,
        1, 4, 3, 4, 3);
}

EVAL_TEST(gathers) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(3, 2), 0);
  struct tn_value *i = constant(f, TN_I64, SHAPE(2, 2), VALUES(2, -3, 9, -9));
  CHECK(f, tn_gather(&f->b, x, i, 0), 4, 5, 0, 1, 4, 5, 0, 1);
  CHECK(f, tn_gather(&f->b, x, constant(f, TN_I32, SHAPE(3), VALUES(1, 0, -1)), 1), 1, 0, 1, 3, 2, 3, 5, 4, 5);
  CHECK(f, tn_gather(&f->b, x, tn_const_int(&f->b, TN_I64, -1), 0), 4, 5);
  struct tn_value *e[2] = {x, constant(f, TN_I64, SHAPE(2, 2), VALUES(1, 2, -1, 0))};
  struct tn_node *elements = tn_node_make(&f->b, TN_GATHER_ELEMENTS, 2, e, 1);
  CHECK(f, finished(f, elements), 2, 5, 4, 1);
  struct tn_value *d[2] = {counting(f, TN_F32, SHAPE(2, 2, 2), 0),
                           constant(f, TN_I64, SHAPE(2, 2), VALUES(0, 1, 1, -2))};
  CHECK(f, finished(f, tn_node_make(&f->b, TN_GATHER_ND, 2, d, 1)), 2, 3, 4, 5);
  struct tn_value *g[2] = {d[0], constant(f, TN_I64, SHAPE(2, 1), VALUES(1, 0))};
  struct tn_node *batched = tn_node_make(&f->b, TN_GATHER_ND, 2, g, 1);
  tn_set_int(batched, TN_GATHER_ND_batch_dims, 1);
  CHECK(f, finished(f, batched), 2, 3, 4, 5);
}

EVAL_TEST(scatters) {
  struct tn_value *x = counting(f, TN_F32, SHAPE(4), 0);
  struct tn_value *in[3] = {x, constant(f, TN_I64, SHAPE(5), VALUES(1, -1, 1, 7, -9)),
                            constant(f, TN_F32, SHAPE(5), VALUES(10, 20, 30, 40, 50))};
  static const double want[5][4] = {
      {0, 30, 2, 20}, {0, 41, 2, 23}, {0, 300, 2, 60}, {0, 30, 2, 20}, {0, 1, 2, 3}};
  for (int r = 0; r < 5; r++) {
    struct tn_node *node = tn_node_make(&f->b, TN_SCATTER_ELEMENTS, 3, in, 1);
    tn_set_int(node, TN_SCATTER_ELEMENTS_reduction, r);
    struct tn_tensor t = evaluated(f, finished(f, node));
    check_tensor(f, &t, 4, want[r], 0);
  }
  struct tn_value *y = counting(f, TN_I32, SHAPE(2, 3), 0);
  struct tn_value *axis1[3] = {y, constant(f, TN_I64, SHAPE(2, 2), VALUES(0, 2, 1, -1)),
                               constant(f, TN_I32, SHAPE(2, 2), VALUES(7, 8, 9, 10))};
  struct tn_node *node = tn_node_make(&f->b, TN_SCATTER_ELEMENTS, 3, axis1, 1);
  tn_set_int(node, TN_SCATTER_ELEMENTS_axis, 1);
  CHECK(f, finished(f, node), 7, 1, 8, 3, 9, 10);
  struct tn_value *rows[3] = {y, constant(f, TN_I64, SHAPE(1, 1), VALUES(-1)),
                              constant(f, TN_I32, SHAPE(1, 3), VALUES(7, 8, 9))};
  CHECK(f, finished(f, tn_node_make(&f->b, TN_SCATTER_ND, 3, rows, 1)), 0, 1, 2, 7, 8, 9);
  struct tn_value *cells[3] = {y, constant(f, TN_I64, SHAPE(3, 2), VALUES(0, 1, 0, 1, 2, 0)),
                               constant(f, TN_I32, SHAPE(3), VALUES(5, 6, 7))};
  struct tn_node *add = tn_node_make(&f->b, TN_SCATTER_ND, 3, cells, 1);
  tn_set_int(add, TN_SCATTER_ND_reduction, 1);
  CHECK(f, finished(f, add), 0, 12, 2, 3, 4, 5);
}

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(broadcasting), cmocka_unit_test(integers), cmocka_unit_test(floats),
      cmocka_unit_test(iota),         cmocka_unit_test(reshape),  cmocka_unit_test(moves),
      cmocka_unit_test(pad),          cmocka_unit_test(gathers),  cmocka_unit_test(scatters),
      cmocka_unit_test(table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
