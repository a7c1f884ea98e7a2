/* Elementary functions compared with the C library in a wider format: the largest error in units of the last
 * place over f32 patterns a stride apart (f64: random ones) and over values where something special happens.
 *
 * TENON_MATH_REPORT=1 prints what was measured, TENON_MATH_DENSE=N tries N times as many values; docs/math.md
 * quotes N = 10.  TENON_MATH_ONLY=NAME tries that function alone. */
#include "unit/codegen_math_jit.h"

static double worst32(kernel run, unsigned lanes, const struct function *f, uint32_t stride, float *where) {
  unsigned n = lanes ? lanes : 1;
  double worst = 0;
  float x[LANES], out[LANES] = {0};
  unsigned fill = 0;
  uint64_t bits = 0;
  size_t special = 0;
  for (bool more = true; more;) {
    if (special < 2 * TN_COUNT(specials)) {
      x[fill++] = (float)(special & 1 ? -specials[special / 2] : specials[special / 2]);
      special++;
    } else {
      x[fill++] = as_float((uint32_t)bits);
      bits += stride;
      more = bits <= UINT32_MAX;
    }
    while (!more && fill < n) /* the last vector */
      x[fill++] = 1;
    if (fill < n)
      continue;
    run(x, NULL, out);
    for (unsigned i = 0; i < n; i++) {
      double e = error32(out[i], f->reference((double)x[i]));
      if (e > worst) {
        worst = e;
        *where = x[i];
      }
    }
    fill = 0;
  }
  return worst;
}

static double worst64(kernel run, unsigned lanes, const struct function *f, size_t count, double *where) {
  unsigned n = lanes ? lanes : 1;
  double worst = 0, x[LANES], out[LANES] = {0};
  size_t total = count + 2 * TN_COUNT(specials) + 2 * TN_COUNT(specials64);
  unsigned fill = 0;
  random_state = 1;
  for (size_t i = 0; i < total; i++) {
    size_t s = i / 2;
    double value;
    if (s < TN_COUNT(specials))
      value = i & 1 ? -specials[s] : specials[s];
    else if (s < TN_COUNT(specials) + TN_COUNT(specials64))
      value = i & 1 ? -specials64[s - TN_COUNT(specials)] : specials64[s - TN_COUNT(specials)];
    else if (i % 4 == 0) /* any pattern */
      value = as_double(random_bits());
    else if (i % 4 == 1) /* near 1, where most of the logarithms and arcs are hard */
      value = (double)(int64_t)random_bits() * 0x1p-63 * 1.5;
    else if (i % 4 == 2)
      value = (double)(int64_t)random_bits() * 0x1p-63 * 40;
    else /* exponents from 2^-64 to 2^63 */
      value = ldexp((double)(int64_t)random_bits() * 0x1p-63, (int)(random_bits() % 128) - 64);
    x[fill++] = value;
    if (fill < n)
      continue;
    run(x, NULL, out);
    for (unsigned j = 0; j < n; j++) {
      double e = error64(out[j], f->wide((long double)x[j]));
      if (e > worst) {
        worst = e;
        *where = x[j];
      }
    }
    fill = 0;
  }
  return worst;
}

static unsigned density(void) {
  const char *text = getenv("TENON_MATH_DENSE");
  return text && atoi(text) > 0 ? (unsigned)atoi(text) : 1;
}

static size_t tried; /* functions of TENON_MATH_ONLY's name */

static bool wanted(const char *name) {
  const char *only = getenv("TENON_MATH_ONLY");
  bool yes = !only || strcmp(only, name) == 0;
  tried += yes;
  return yes;
}

static void judge_unary(const struct variant *v, uint32_t stride, size_t count) {
  stride = stride / density() | 1;
  count *= density();
  struct jit jit = compile(v);
  bool good = true;
  for (size_t i = 0; i < TN_COUNT(unary); i++) {
    if (!wanted(unary[i].name))
      continue;
    kernel run = find(&jit, unary[i].name);
    float at32 = 0;
    double at = 0, e, bound;
    if (v->width == 32) {
      e = worst32(run, v->lanes, &unary[i], stride, &at32);
      at = (double)at32;
      bound = unary[i].bound32;
    } else {
      e = worst64(run, v->lanes, &unary[i], count, &at);
      bound = unary[i].bound64;
    }
    if (getenv("TENON_MATH_REPORT"))
      print_message("%-16s %-8s %.3f ulp at %a (bound %g)\n", v->name, unary[i].name, e, at, bound);
    if (!(e <= bound)) {
      print_error("%s %s: %.3f ulp at %a, expected at most %g\n", v->name, unary[i].name, e, at, bound);
      good = false;
    }
  }
  dispose(&jit);
  assert_true(good);
}

static void judge_binary(const struct variant *v, size_t count) {
  count *= density();
  struct jit jit = compile(v);
  unsigned n = v->lanes ? v->lanes : 1;
  bool good = true;
  for (size_t b = 0; b < TN_COUNT(binary); b++) {
    if (!wanted(binary[b].name))
      continue;
    kernel run = find(&jit, binary[b].name);
    enum tn_op op = binary[b].op;
    double worst = 0, worst_x = 0, worst_y = 0, bound = op == TN_POW ? 1.0 : op == TN_MOD ? 0.5 : 0;
    random_state = 2;
    unsigned fill = 0;
    double x[LANES], y[LANES];
    size_t wide = 2 * TN_COUNT(specials);
    for (size_t i = 0; i < count + wide * wide; i++) {
      if (i < wide * wide) {
        size_t sx = i / wide, sy = i % wide;
        x[fill] = sx & 1 ? -specials[sx / 2] : specials[sx / 2];
        y[fill] = sy & 1 ? -specials[sy / 2] : specials[sy / 2];
      } else if (i % 4 == 0) {
        x[fill] = v->width == 32 ? (double)as_float((uint32_t)random_bits()) : as_double(random_bits());
        y[fill] = v->width == 32 ? (double)as_float((uint32_t)random_bits()) : as_double(random_bits());
      } else if (i % 4 == 1) { /* pow: results over the whole range */
        x[fill] = fabs(v->width == 32 ? (double)as_float((uint32_t)random_bits()) : as_double(random_bits()));
        double room = (v->width == 32 ? 155 : 1080) / (fabs(log2(x[fill])) + 1e-9);
        y[fill] = (double)(int64_t)random_bits() * 0x1p-63 * (isfinite(room) ? room : 1);
      } else if (i % 4 == 2) { /* bases near 1, large exponents */
        x[fill] = 1 + (double)(int64_t)random_bits() * 0x1p-63 * ldexp(1, -(int)(random_bits() % 24));
        y[fill] = (double)(int64_t)random_bits() * 0x1p-63 *
                  ((v->width == 32 ? 150 : 1070) / (fabs(log2(fabs(x[fill]))) + 1e-9));
      } else {
        x[fill] = (double)(int64_t)random_bits() * 0x1p-63 * 100;
        y[fill] = (double)((int64_t)random_bits() >> 58);
      }
      if (v->width == 32) {
        x[fill] = (double)(float)x[fill];
        y[fill] = (double)(float)y[fill];
      }
      if (++fill < n)
        continue;
      fill = 0;
      float x32[LANES], y32[LANES], out32[LANES] = {0};
      double out64[LANES] = {0};
      for (unsigned j = 0; j < n; j++) {
        x32[j] = (float)x[j];
        y32[j] = (float)y[j];
      }
      if (v->width == 32)
        run(x32, y32, out32);
      else
        run(x, y, out64);
      for (unsigned j = 0; j < n; j++) {
        double e;
        if (v->width == 32) {
          double want = op == TN_POW    ? pow(x[j], y[j])
                        : op == TN_FMOD ? fmod(x[j], y[j])
                                        : python_mod(x[j], y[j]);
          e = error32(out32[j], want);
        } else {
          long double r = fmodl(x[j], y[j]);
          long double want = op == TN_POW    ? powl(x[j], y[j])
                             : op == TN_FMOD ? r
                             : r == 0        ? copysignl(0, y[j])
                                             : ((r < 0) != (y[j] < 0) ? r + y[j] : r);
          e = error64(out64[j], want);
        }
        if (e > worst) {
          worst = e;
          worst_x = x[j];
          worst_y = y[j];
        }
      }
    }
    if (getenv("TENON_MATH_REPORT"))
      print_message("%-16s %-8s %.3f ulp at %a, %a (bound %g)\n", v->name, binary[b].name, worst, worst_x,
                    worst_y, bound);
    if (!(worst <= bound)) {
      print_error("%s %s: %.3f ulp at %a, %a, expected at most %g\n", v->name, binary[b].name, worst, worst_x,
                  worst_y, bound);
      good = false;
    }
  }
  dispose(&jit);
  assert_true(good);
}

/* Where sines and cosines are nearest to zero, and halfway to the next multiple of pi/2, up to beyond the
 * numbers that the short reduction takes: neighbours of both. */
static void judge_turns(const struct variant *v, unsigned step) {
  struct jit jit = compile(v);
  unsigned n = v->lanes ? v->lanes : 1, fill = 0;
  const long double quarter = 0x1.921fb54442d1846ap-1L;
  for (size_t i = 0; i < TN_COUNT(unary); i++) {
    if (unary[i].op != TN_SIN && unary[i].op != TN_COS && unary[i].op != TN_TAN)
      continue;
    kernel run = find(&jit, unary[i].name);
    float x32[LANES], out32[LANES] = {0};
    double x64[LANES], out64[LANES] = {0};
    unsigned most = v->width == 32 ? 17000 : 8600000;
    for (unsigned m = 1; m <= most; m += step)
      for (int next = -1; next <= 1; next++) {
        float near32 = (float)(m * quarter);
        double near64 = (double)(m * quarter);
        x32[fill] = next ? nextafterf(near32, next > 0 ? INFINITY : 0) : near32;
        x64[fill] = next ? nextafter(near64, next > 0 ? (double)INFINITY : 0) : near64;
        if (++fill < n)
          continue;
        fill = 0;
        run(v->width == 32 ? (const void *)x32 : x64, NULL, v->width == 32 ? (void *)out32 : out64);
        for (unsigned l = 0; l < n; l++) {
          double e = v->width == 32 ? error32(out32[l], unary[i].reference((double)x32[l]))
                                    : error64(out64[l], unary[i].wide((long double)x64[l]));
          if (!(e <= (v->width == 32 ? unary[i].bound32 : unary[i].bound64)))
            fail_msg("%s %s: %.3f ulp at %a", v->name, unary[i].name, e,
                     v->width == 32 ? (double)x32[l] : x64[l]);
        }
      }
  }
  dispose(&jit);
}

static void test_turns(void **state) {
  (void)state;
  judge_turns(&f32_plain, 1);
  judge_turns(&f32_soft, 7);
  judge_turns(&f64_plain, 997);
  judge_turns(&f64_soft, 9973);
}
static void test_turns_fused(void **state) {
  (void)state;
  if (!host_fused())
    skip();
  judge_turns(&f32_fused, 1);
  judge_turns(&f64_fused, 499);
}

static void test_f32_fused(void **state) {
  (void)state;
  if (!host_fused())
    skip();
  judge_unary(&f32_fused, 997, 0);
  judge_binary(&f32_fused, 400000);
}
static void test_f32_plain(void **state) {
  (void)state;
  judge_unary(&f32_plain, 2003, 0);
  judge_binary(&f32_plain, 200000);
}
static void test_f32_soft(void **state) {
  (void)state;
  judge_unary(&f32_soft, 20011, 0);
  judge_binary(&f32_soft, 50000);
}
static void test_f32_picks8(void **state) {
  (void)state;
  if (!host_fused() || !host_has("+avx2"))
    skip();
  judge_unary(&f32_picks8, 2003, 0);
  judge_binary(&f32_picks8, 200000);
}
static void test_f32_picks16(void **state) {
  (void)state;
  if (!host_fused() || !host_has("+avx512vl"))
    skip();
  judge_unary(&f32_picks16, 2003, 0);
  judge_binary(&f32_picks16, 200000);
}
static void test_f64_fused(void **state) {
  (void)state;
  if (!host_fused())
    skip();
  judge_unary(&f64_fused, 0, 400000);
  judge_binary(&f64_fused, 200000);
}
static void test_f64_plain(void **state) {
  (void)state;
  judge_unary(&f64_plain, 0, 200000);
  judge_binary(&f64_plain, 100000);
}
static void test_f64_soft(void **state) {
  (void)state;
  judge_unary(&f64_soft, 0, 50000);
  judge_binary(&f64_soft, 30000);
}

int main(void) {
  math_jit_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_turns),       cmocka_unit_test(test_turns_fused), cmocka_unit_test(test_f32_fused),
      cmocka_unit_test(test_f32_plain),   cmocka_unit_test(test_f32_soft),    cmocka_unit_test(test_f32_picks8),
      cmocka_unit_test(test_f32_picks16), cmocka_unit_test(test_f64_fused),   cmocka_unit_test(test_f64_plain),
      cmocka_unit_test(test_f64_soft),
  };
  int failures = cmocka_run_group_tests(tests, NULL, NULL);
  if (failures == 0 && tried == 0) {
    fprintf(stderr, "TENON_MATH_ONLY names no function: %s\n", getenv("TENON_MATH_ONLY"));
    return 1;
  }
  return failures;
}
