/* Dtypes, types, and sizes that overflow. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void dtypes(void **state) {
  (void)state;
  for (int i = 0; i < TN_DTYPE_COUNT; i++) {
    enum tn_dtype dtype = (enum tn_dtype)i, back = TN_DTYPE_COUNT;
    assert_true(tn_dtype_parse(tn_dtype_name(dtype), &back) && back == dtype);
    assert_false(tn_dtype_is_float(dtype) && tn_dtype_is_int(dtype));
    assert_true(!tn_dtype_is_float(dtype) || tn_dtype_is_signed(dtype));
    assert_int_equal(tn_dtype_size(dtype) == 0, dtype == TN_NONE);
  }
  enum tn_dtype out;
  assert_false(tn_dtype_parse("float", &out));
  assert_int_equal(tn_dtype_size(TN_BF16), 2);
  assert_true(tn_dtype_is_int(TN_U8) && !tn_dtype_is_signed(TN_U8));
  assert_false(tn_dtype_is_int(TN_BOOL));
}

static void sizes(void **state) {
  (void)state;
  int64_t out = -1;
  struct tn_type type = tn_type_make(TN_F64, 3, (tn_dim[]){2, 3, 4});
  assert_true(tn_type_count(&type, &out) && out == 24);
  assert_true(tn_type_bytes(&type, &out) && out == 192);
  type = tn_type_scalar(TN_I16);
  assert_true(tn_type_count(&type, &out) && out == 1);
  assert_true(tn_type_bytes(&type, &out) && out == 2);
  type = tn_type_make(TN_F32, 3, (tn_dim[]){INT64_MAX, INT64_MAX, 0});
  assert_true(tn_type_count(&type, &out) && out == 0);
  type = tn_type_make(TN_F32, 2, (tn_dim[]){INT64_MAX, 2});
  assert_false(tn_type_count(&type, &out));
  type = tn_type_make(TN_F32, 1, (tn_dim[]){INT64_MAX / 2});
  assert_true(tn_type_count(&type, &out));
  assert_false(tn_type_bytes(&type, &out));
  type = tn_type_make(TN_F32, 2, (tn_dim[]){0, -1}); /* a symbol: no number, whatever it is multiplied by */
  assert_false(tn_type_static(&type));
  assert_false(tn_type_count(&type, &out));
}

static void equality(void **state) {
  (void)state;
  struct tn_type a = tn_type_make(TN_F32, 2, (tn_dim[]){2, -1}), b = a;
  assert_true(tn_type_equal(&a, &b) && tn_shape_equal(&a, &b));
  b.dtype = TN_F16;
  assert_true(!tn_type_equal(&a, &b) && tn_shape_equal(&a, &b));
  b = a;
  b.dim[1] = -2;
  assert_false(tn_shape_equal(&a, &b));
  b = tn_type_make(TN_F32, 1, (tn_dim[]){2});
  assert_false(tn_shape_equal(&a, &b));
  struct tn_quant q = {-1, 1, (float[]){0.5f}, (int32_t[]){3}}, same = {-1, 1, (float[]){0.5f}, (int32_t[]){3}};
  b = a;
  a.quant = &q;
  assert_false(tn_type_equal(&a, &b));
  b.quant = &same;
  assert_true(tn_type_equal(&a, &b));
  same.zero_point = (int32_t[]){4};
  assert_false(tn_type_equal(&a, &b));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(dtypes), cmocka_unit_test(sizes),
                                     cmocka_unit_test(equality)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
