/* Element access: every dtype stores and reads back, conversions round once, saturate or wrap. */
#include "ir/ir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static double float_through(enum tn_dtype dtype, double value) {
  uint8_t data[16] = {0};
  struct tn_tensor tensor = {.type = tn_type_make(dtype, 1, (tn_dim[]){2}), .data = data, .bytes = 16};
  tn_store_float(dtype, data, 1, value);
  return tn_tensor_float(&tensor, 1);
}

static int64_t int_through(enum tn_dtype dtype, int64_t value) {
  uint8_t data[17] = {0};
  /* Unaligned on purpose: the data of a mapped file may be. */
  struct tn_tensor tensor = {.type = tn_type_make(dtype, 1, (tn_dim[]){2}), .data = data + 1, .bytes = 16};
  tn_store_int(dtype, data + 1, 1, value);
  return tn_tensor_int(&tensor, 1);
}

static void all_dtypes(void **state) {
  (void)state;
  for (int dtype = TN_F32; dtype < TN_DTYPE_COUNT; dtype++)
    for (int value = 0; value < 2; value++) {
      assert_true(float_through((enum tn_dtype)dtype, value) == value);
      assert_int_equal(int_through((enum tn_dtype)dtype, value), value);
      if (tn_dtype_is_signed((enum tn_dtype)dtype)) {
        assert_int_equal(int_through((enum tn_dtype)dtype, -100), -100);
        assert_true(float_through((enum tn_dtype)dtype, -100) == -100);
      }
    }
}

static void saturation(void **state) {
  (void)state;
  assert_true(float_through(TN_I8, 300) == 127);
  assert_true(float_through(TN_I8, -300) == -128);
  assert_true(float_through(TN_I8, -2.9) == -2);
  assert_true(float_through(TN_U8, -1) == 0);
  assert_true(float_through(TN_U8, 1e9) == 255);
  assert_true(float_through(TN_I32, (double)NAN) == 0);
  assert_true(float_through(TN_U32, 4294967295.0) == 4294967295.0);
  assert_true(float_through(TN_U64, 1.5e19) == 1.5e19);
  assert_true(float_through(TN_U64, 1e30) == 18446744073709551616.0);
  assert_true(float_through(TN_I64, (double)INFINITY) == 9223372036854775808.0);
  assert_true(float_through(TN_BOOL, 0.25) == 1);
  assert_int_equal(int_through(TN_I8, 300), 44);
  assert_int_equal(int_through(TN_U16, -1), 65535);
  assert_int_equal(int_through(TN_BOOL, 256), 1);
  assert_int_equal(int_through(TN_U64, -5), -5);
}

static void rounding(void **state) {
  (void)state;
  /* Just above a tie that float32 would round onto the tie: one rounding goes up. */
  assert_true(float_through(TN_BF16, 1.00390625 + 1e-12) == 1.0078125);
  assert_true(float_through(TN_BF16, 1.00390625) == 1.0);
  assert_true(float_through(TN_BF16, 1.01171875 - 1e-12) == 1.0078125);
  assert_true(float_through(TN_BF16, -1.00390625 - 1e-12) == -1.0078125);
  assert_true(float_through(TN_F16, 1.00048828125 + 1e-12) == 1.0009765625);
  assert_true(isinf(float_through(TN_BF16, 1e39)) && isnan(float_through(TN_F16, (double)NAN)));
  assert_true(isnan(float_through(TN_BF16, (double)NAN)));
  assert_true(float_through(TN_BF16, 0x1p-133) == 0x1p-133); /* the smallest subnormal */
  assert_true(float_through(TN_BF16, 0x1.8p-134) == 0x1p-133);
  uint8_t data[8];
  struct tn_tensor tensor = {.type = tn_type_scalar(TN_F32), .data = data};
  tn_store_int(TN_F32, data, 0, 0x4000004000000001); /* over double: a tie, to even, down */
  assert_true(tn_tensor_float(&tensor, 0) == 0x1.000002p62);
  tensor.type.dtype = TN_BF16;
  tn_store_int(TN_BF16, data, 0, 0x4040000000000001);
  assert_true(tn_tensor_float(&tensor, 0) == 0x1.02p62);
}

static void constants(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_module *m = tn_module_create(ctx, "t", NULL);
  struct tn_build b = tn_build_at_end(m->main);
  struct tn_value *c = tn_const_i64s(&b, (int64_t[]){3, -1, INT64_MIN}, 3),
                  *s = tn_const_float(&b, TN_F32, 2.5);
  struct tn_ints ints;
  const double *floats;
  int64_t count;
  assert_true(tn_value_ints(c, m->arena, &ints));
  assert_int_equal(ints.count, 3);
  assert_int_equal(ints.at[1], -1);
  assert_int_equal(ints.at[2], INT64_MIN);
  assert_true(tn_value_floats(s, m->arena, &floats, &count) && count == 1 && floats[0] == 2.5);
  assert_int_equal(s->type.rank, 0);
  struct tn_value *x = tn_graph_input(m->main, "x", tn_type_scalar(TN_F32));
  assert_null(tn_value_tensor(x));
  assert_null(tn_value_tensor(NULL));
  assert_false(tn_value_ints(x, m->arena, &ints));
  struct tn_value *empty = tn_const_i64s(&b, NULL, 0);
  assert_true(tn_value_ints(empty, m->arena, &ints) && ints.count == 0);

  struct tn_tensor wrong = {.type = tn_type_make(TN_F32, 1, (tn_dim[]){3}), .data = "abc", .bytes = 3};
  struct tn_node *node = tn_node_make(&b, TN_CONSTANT, 0, NULL, 1);
  tn_set_tensor(node, TN_CONSTANT_value, &wrong);
  assert_false(tn_finish(&b, node));
  size_t diags;
  assert_non_null(strstr(tn_diags(ctx, &diags)->text, "needs 12 bytes, found 3"));
  tn_ctx_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_dtypes),
      cmocka_unit_test(saturation),
      cmocka_unit_test(rounding),
      cmocka_unit_test(constants),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
