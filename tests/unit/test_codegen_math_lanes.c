/* Elementary functions: a vector's lane against the scalar, and constant exponents. */
#include "unit/codegen_math_jit.h"

/* A lane has the bits of the scalar (any nan is as good as another). */
static void same_bits(const struct variant *vector, const struct variant *scalar) {
  struct jit many = compile(vector), one = compile(scalar);
  for (size_t i = 0; i < TN_COUNT(unary) + TN_COUNT(binary); i++) {
    const char *name = i < TN_COUNT(unary) ? unary[i].name : binary[i - TN_COUNT(unary)].name;
    kernel run_many = find(&many, name), run_one = find(&one, name);
    random_state = i;
    for (int round = 0; round < 1000; round++) {
      union {
        float f32[LANES];
        double f64[LANES];
      } x, y, out, lane;
      for (unsigned j = 0; j < LANES; j++) {
        double a = (double)(int64_t)random_bits() * 0x1p-60, b = (double)(int64_t)random_bits() * 0x1p-60;
        if (vector->width == 32) {
          x.f32[j] = j % 2 ? as_float((uint32_t)random_bits()) : (float)a;
          y.f32[j] = (float)b;
        } else {
          x.f64[j] = j % 2 ? as_double(random_bits()) : a;
          y.f64[j] = b;
        }
      }
      run_many(&x, &y, &out);
      for (unsigned j = 0; j < LANES; j++) {
        if (vector->width == 32) {
          run_one(&x.f32[j], &y.f32[j], &lane.f32[j]);
          if (memcmp(&lane.f32[j], &out.f32[j], sizeof out.f32[j]) &&
              !(isnan(lane.f32[j]) && isnan(out.f32[j])))
            fail_msg("%s f32: lane %a, scalar %a", name, (double)out.f32[j], (double)lane.f32[j]);
        } else {
          run_one(&x.f64[j], &y.f64[j], &lane.f64[j]);
          if (memcmp(&lane.f64[j], &out.f64[j], sizeof out.f64[j]) &&
              !(isnan(lane.f64[j]) && isnan(out.f64[j])))
            fail_msg("%s f64: lane %a, scalar %a", name, out.f64[j], lane.f64[j]);
        }
      }
    }
  }
  dispose(&many);
  dispose(&one);
}

static void test_lanes(void **state) {
  (void)state;
  if (host_fused() && host_has("+avx2"))
    same_bits(&f32_picks8, &f32_picks8_scalar);
  if (host_fused() && host_has("+avx512vl"))
    same_bits(&f32_picks16, &f32_picks16_scalar);
  same_bits(&f32_plain, &f32_scalar);
  same_bits(&f64_plain, &f64_scalar);
}

/* Coefficients picked from registers, by vectors of fewer lanes, and of more and not a multiple. */
static void picked_lanes(unsigned picks) {
  static const unsigned lanes[] = {0, 3, 8, 16, 20, 32};
  static const char *const names[] = {"0", "3", "8", "16", "20", "32"};
  LLVMContextRef c = LLVMContextCreate();
  LLVMModuleRef module = LLVMModuleCreateWithNameInContext("math", c);
  struct tn_math m = {.b = LLVMCreateBuilderInContext(c),
                      .module = module,
                      .c = c,
                      .hw_fma = true,
                      .hw_round = true,
                      .picks = picks};
  for (size_t i = 0; i < TN_COUNT(lanes); i++) {
    LLVMTypeRef f32 = LLVMFloatTypeInContext(c);
    char symbol[8];
    snprintf(symbol, sizeof symbol, "k_%s", names[i]);
    emit_function(&m, symbol, lanes[i] ? LLVMVectorType(f32, lanes[i]) : f32, TN_ERF, false);
  }
  LLVMDisposeBuilder(m.b);
  struct jit jit = compile_module(c, module);
  kernel one = find(&jit, names[0]);
  for (size_t i = 1; i < TN_COUNT(lanes); i++) {
    kernel many = find(&jit, names[i]);
    float x[32], out[32], want;
    for (int round = 0; round < 200; round++) {
      for (unsigned l = 0; l < lanes[i]; l++)
        x[l] = (float)((double)(int64_t)random_bits() * 0x1p-63 * 5);
      many(x, NULL, out);
      for (unsigned l = 0; l < lanes[i]; l++) {
        one(&x[l], NULL, &want);
        if (memcmp(&want, &out[l], sizeof want))
          fail_msg("erf(%a) from %u: %a in lane %u of %u, scalar %a", (double)x[l], picks, (double)out[l], l,
                   lanes[i], (double)want);
      }
    }
  }
  dispose(&jit);
}

static void test_picked_lanes8(void **state) {
  (void)state;
  if (!host_fused() || !host_has("+avx2"))
    skip();
  picked_lanes(8);
}
static void test_picked_lanes16(void **state) {
  (void)state;
  if (!host_fused() || !host_has("+avx512vl"))
    skip();
  picked_lanes(16);
}

/* Constant exponents, with pow's special cases; each base among seven of 1. */
static void constant_powers(const struct variant *v) {
  struct jit jit = compile(v);
  for (size_t i = 0; i < TN_COUNT(powers); i++) {
    char name[16];
    snprintf(name, sizeof name, "pow_%zu", i);
    kernel run = find(&jit, name);
    for (size_t s = 0; s < 2 * TN_COUNT(specials); s++) {
      float base = (float)(s & 1 ? -specials[s / 2] : specials[s / 2]), x[LANES], out[LANES];
      for (unsigned l = 0; l < LANES; l++)
        x[l] = l == s % LANES ? base : 1;
      run(x, NULL, out);
      float got = out[s % LANES];
      double e = error32(got, pow((double)base, (double)(float)powers[i].power));
      if (!(e <= powers[i].bound))
        fail_msg("%s: pow(%a, %g): %a, an error of %g", v->name, (double)base, powers[i].power, (double)got, e);
      assert_true(out[(s + 1) % LANES] == 1);
    }
  }
  dispose(&jit);
}

static void test_constant_powers(void **state) {
  (void)state;
  constant_powers(&f32_plain);
}
static void test_constant_powers8(void **state) {
  (void)state;
  if (!host_fused() || !host_has("+avx2"))
    skip();
  constant_powers(&f32_picks8);
}
static void test_constant_powers16(void **state) {
  (void)state;
  if (!host_fused() || !host_has("+avx512vl"))
    skip();
  constant_powers(&f32_picks16);
}

int main(void) {
  math_jit_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lanes),
      cmocka_unit_test(test_picked_lanes8),
      cmocka_unit_test(test_picked_lanes16),
      cmocka_unit_test(test_constant_powers),
      cmocka_unit_test(test_constant_powers8),
      cmocka_unit_test(test_constant_powers16),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
