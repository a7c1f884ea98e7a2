/* Overflow, floor division, 16-bit floats over all their values, floats as text. */
#include "support/support.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void integers(void **state) {
  (void)state;
  int64_t out;
  assert_true(tn_mul_i64(-3, 4, &out) && out == -12);
  assert_false(tn_mul_i64(INT64_MAX, 2, &out));
  assert_false(tn_add_i64(INT64_MAX, 1, &out));
  assert_true(tn_add_i64(INT64_MAX, -1, &out) && out == INT64_MAX - 1);
  for (int64_t a = -20; a <= 20; a++)
    for (int64_t b = -7; b <= 7; b++) {
      if (b == 0)
        continue;
      int64_t q = tn_floor_div(a, b), r = tn_floor_mod(a, b);
      assert_int_equal(q * b + r, a);
      assert_int_equal(q, (int64_t)floor((double)a / (double)b));
      assert_true(r == 0 || (r < 0) == (b < 0));
      if (b > 0) {
        int64_t up = tn_round_up(a, b);
        assert_true(up >= a && up < a + b && up % b == 0);
      }
    }
  assert_int_equal(tn_floor_div(INT64_MIN, -1), INT64_MAX);
  assert_int_equal(tn_floor_mod(INT64_MIN, -1), 0);
  assert_int_equal(tn_round_up(INT64_MAX, 64), INT64_MAX);
}

static void half_round_trip(void **state) {
  (void)state;
  for (uint32_t bits = 0; bits < 65536; bits++) {
    uint16_t half = (uint16_t)bits;
    float value = tn_half_to_float(half);
    uint16_t back = tn_float_to_half(value);
    bool is_nan = (half & 0x7c00) == 0x7c00 && (half & 0x3ff);
    assert_int_equal(is_nan, isnan(value) != 0);
    assert_int_equal(back, is_nan ? (half | 0x200) : half);
    if ((half & 0x7c00) == 0x7c00 || (half & 0x7fff) == 0x7bff)
      continue;
    /* between this and the next larger magnitude: half way goes to even, just above goes up */
    float next = tn_half_to_float((uint16_t)(half + 1));
    double middle = ((double)value + (double)next) / 2;
    uint16_t even = (half & 1) ? (uint16_t)(half + 1) : half;
    assert_int_equal(tn_double_to_half(middle), even);
    assert_int_equal(tn_double_to_half(nextafter(middle, (double)next)), half + 1);
    assert_int_equal(tn_double_to_half(nextafter(middle, (double)value)), half);
    assert_int_equal(tn_float_to_half((float)middle), even); /* exact in float too */
  }
  assert_int_equal(tn_float_to_half(65519.f), 0x7bff);
  assert_int_equal(tn_float_to_half(65520.f), 0x7c00);
  assert_int_equal(tn_float_to_half(-1e30f), 0xfc00);
  assert_int_equal(tn_float_to_half(INFINITY), 0x7c00);
  assert_int_equal(tn_double_to_half(0x1p-25), 0);
  assert_int_equal(tn_double_to_half(nextafter(0x1p-25, 1)), 1);
  assert_int_equal(tn_double_to_half(-1e-300), 0x8000);
  assert_true(tn_half_to_float(0x3c00) == 1.f && tn_half_to_float(0xc000) == -2.f);
  /* one rounding: by way of float this would be a tie */
  assert_int_equal(tn_double_to_half(1.0 + 0x1p-11 + 0x1p-40), 0x3c01);
}

static void bf16_round_trip(void **state) {
  (void)state;
  for (uint32_t bits = 0; bits < 65536; bits++) {
    float value = tn_bf16_to_float((uint16_t)bits);
    uint16_t back = tn_float_to_bf16(value);
    assert_int_equal(back, isnan(value) ? (bits | 0x40) : bits);
  }
  assert_int_equal(tn_float_to_bf16(1.0f + 0x1p-8f), 0x3f80);           /* tie, even below */
  assert_int_equal(tn_float_to_bf16(1.0f + 0x1p-7f + 0x1p-8f), 0x3f82); /* tie, even above */
  assert_int_equal(tn_float_to_bf16(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);
  assert_int_equal(tn_float_to_bf16(3.4e38f), 0x7f80);
}

static void float_text(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  tn_arena *a = tn_ctx_arena(ctx);
  assert_string_equal(tn_float_text(a, 1.f), "1");
  assert_string_equal(tn_float_text(a, -0.f), "-0");
  assert_string_equal(tn_float_text(a, 0.1f), "0.1");
  assert_string_equal(tn_float_text(a, INFINITY), "inf");
  assert_string_equal(tn_float_text(a, -INFINITY), "-inf");
  assert_string_equal(tn_float_text(a, NAN), "nan");
  assert_string_equal(tn_double_text(a, 0.1), "0.1");
  assert_string_equal(tn_double_text(a, 1e300), "1e+300");
  uint32_t seed = 12345;
  for (int i = 0; i < 20000; i++) {
    seed = seed * 1664525u + 1013904223u;
    float value;
    memcpy(&value, &seed, sizeof value);
    if (isnan(value))
      continue;
    float back = strtof(tn_float_text(a, value), NULL);
    assert_memory_equal(&back, &value, sizeof value);
    double wide = (double)value * 1.1;
    double wide_back = strtod(tn_double_text(a, wide), NULL);
    assert_memory_equal(&wide_back, &wide, sizeof wide);
  }
  tn_ctx_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(integers),
      cmocka_unit_test(half_round_trip),
      cmocka_unit_test(bf16_round_trip),
      cmocka_unit_test(float_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
