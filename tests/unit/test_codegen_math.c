/* Elementary functions, compiled in memory and compared with the C library in a wider format: the largest error
 * in units of the last place over f32 patterns a stride apart (f64: random ones) and over values where
 * something special happens.  Prints what it measured with TENON_MATH_REPORT set; docs/math.md quotes that. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "codegen/math.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

enum { LANES = 8 };

static long double sigmoid_wide(long double x) {
  return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}
static double sigmoid_double(double x) {
  return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static double python_mod(double x, double y) {
  double r = fmod(x, y);
  if (r == 0)
    return copysign(0, y);
  return (r < 0) != (y < 0) ? r + y : r;
}

/* Bounds in ulp, of any emission (fused or not). */
static const struct function {
  const char *name;
  enum tn_op op;
  double (*reference)(double);
  long double (*wide)(long double);
  double bound32, bound64;
} unary[] = {
    {"exp", TN_EXP, exp, expl, 1.0, 1.0},
    {"log", TN_LOG, log, logl, 1.0, 1.0},
    {"sin", TN_SIN, sin, sinl, 1.0, 1.0},
    {"cos", TN_COS, cos, cosl, 1.0, 1.0},
    {"tan", TN_TAN, tan, tanl, 2.5, 2.5},
    {"asin", TN_ASIN, asin, asinl, 2.5, 2.5},
    {"acos", TN_ACOS, acos, acosl, 2, 2},
    {"atan", TN_ATAN, atan, atanl, 2.0, 2.0},
    {"sinh", TN_SINH, sinh, sinhl, 2, 2.5},
    {"cosh", TN_COSH, cosh, coshl, 2.0, 2.0},
    {"tanh", TN_TANH, tanh, tanhl, 2.5, 3},
    {"asinh", TN_ASINH, asinh, asinhl, 2.5, 2.5},
    {"acosh", TN_ACOSH, acosh, acoshl, 2.5, 2.5},
    {"atanh", TN_ATANH, atanh, atanhl, 2.5, 2.5},
    {"erf", TN_ERF, erf, erfl, 2.5, 3.5},
    {"sigmoid", TN_SIGMOID, sigmoid_double, sigmoid_wide, 2.5, 2.5},
    {"sqrt", TN_SQRT, sqrt, sqrtl, 0.5, 0.5},
    {"floor", TN_FLOOR, floor, floorl, 0, 0},
    {"ceil", TN_CEIL, ceil, ceill, 0, 0},
    {"trunc", TN_TRUNC, trunc, truncl, 0, 0},
    {"round", TN_ROUND, rint, rintl, 0, 0},
    {"abs", TN_ABS, fabs, fabsl, 0, 0},
};
static const struct {
  const char *name;
  enum tn_op op;
} binary[] = {{"pow", TN_POW}, {"fmod", TN_FMOD}, {"mod", TN_MOD}};

/* How the functions are emitted. */
struct variant {
  const char *name;
  unsigned width, lanes;
  bool fma, round, soft;
};

typedef void (*kernel)(const void *x, const void *y, void *out);

struct jit {
  LLVMOrcLLJITRef lljit;
  LLVMTargetMachineRef machine;
};

static void check(LLVMErrorRef error) {
  if (error) {
    char *text = LLVMGetErrorMessage(error);
    fail_msg("%s", text);
    LLVMDisposeErrorMessage(text);
  }
}

static void emit_function(struct tn_math *m, const char *name, LLVMTypeRef type, enum tn_op op, bool two) {
  LLVMTypeRef pointer = LLVMPointerTypeInContext(m->c, 0), params[3] = {pointer, pointer, pointer};
  LLVMValueRef f =
      LLVMAddFunction(m->module, name, LLVMFunctionType(LLVMVoidTypeInContext(m->c), params, 3, 0));
  LLVMPositionBuilderAtEnd(m->b, LLVMAppendBasicBlockInContext(m->c, f, "entry"));
  LLVMValueRef x = LLVMBuildLoad2(m->b, type, LLVMGetParam(f, 0), "x"), y;
  LLVMSetAlignment(x, 4);
  if (two) {
    y = LLVMBuildLoad2(m->b, type, LLVMGetParam(f, 1), "y");
    LLVMSetAlignment(y, 4);
    y = tn_math_binary(m, op, x, y);
  } else {
    y = tn_math_unary(m, op, x);
  }
  assert_non_null(y);
  LLVMSetAlignment(LLVMBuildStore(m->b, y, LLVMGetParam(f, 2)), 4);
  LLVMBuildRetVoid(m->b);
}

static LLVMModuleRef emit_module(LLVMContextRef c, const struct variant *v) {
  LLVMModuleRef module = LLVMModuleCreateWithNameInContext("math", c);
  struct tn_math m = {.b = LLVMCreateBuilderInContext(c),
                      .module = module,
                      .c = c,
                      .hw_fma = v->fma,
                      .hw_round = v->round,
                      .soft_f32 = v->soft,
                      .soft_f64 = v->soft};
  LLVMTypeRef type = v->width == 32 ? LLVMFloatTypeInContext(c) : LLVMDoubleTypeInContext(c);
  if (v->lanes)
    type = LLVMVectorType(type, v->lanes);
  char name[32];
  for (size_t i = 0; i < TN_COUNT(unary); i++) {
    snprintf(name, sizeof name, "k_%s", unary[i].name);
    emit_function(&m, name, type, unary[i].op, false);
  }
  for (size_t i = 0; i < TN_COUNT(binary); i++) {
    snprintf(name, sizeof name, "k_%s", binary[i].name);
    emit_function(&m, name, type, binary[i].op, true);
  }
  LLVMDisposeBuilder(m.b);
  char *text = NULL;
  if (LLVMVerifyModule(module, LLVMReturnStatusAction, &text))
    fail_msg("%s", text);
  LLVMDisposeMessage(text);
  return module;
}

static LLVMTargetMachineRef machine_for(const char *triple, const char *cpu, const char *features) {
  LLVMTargetRef target;
  char *text = NULL;
  if (LLVMGetTargetFromTriple(triple, &target, &text))
    fail_msg("%s", text);
  return LLVMCreateTargetMachine(target, triple, cpu, features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                 LLVMCodeModelDefault);
}

static LLVMTargetMachineRef host_machine(void) {
  char *triple = LLVMGetDefaultTargetTriple(), *cpu = LLVMGetHostCPUName(),
       *features = LLVMGetHostCPUFeatures();
  LLVMTargetMachineRef machine = machine_for(triple, cpu, features);
  LLVMDisposeMessage(triple);
  LLVMDisposeMessage(cpu);
  LLVMDisposeMessage(features);
  return machine;
}

static bool host_has(const char *feature) {
  char *features = LLVMGetHostCPUFeatures();
  bool has = strstr(features, feature) != NULL;
  LLVMDisposeMessage(features);
#if !defined(__x86_64__)
  has = true; /* AArch64 and others always have both */
#endif
  return has;
}

static struct jit compile(const struct variant *v) {
  struct jit jit = {.machine = host_machine()};
  check(LLVMOrcCreateLLJIT(&jit.lljit, LLVMOrcCreateLLJITBuilder()));
  LLVMContextRef c = LLVMContextCreate();
  LLVMModuleRef module = emit_module(c, v);
  /* As the product does: what the optimizer makes of it is what is judged. */
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  check(LLVMRunPasses(module, "default<O2>", jit.machine, options));
  LLVMDisposePassBuilderOptions(options);
  LLVMMemoryBufferRef buffer;
  char *text = NULL;
  LLVMSetTarget(module, LLVMOrcLLJITGetTripleString(jit.lljit));
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(jit.machine);
  LLVMSetModuleDataLayout(module, layout);
  LLVMDisposeTargetData(layout);
  if (LLVMTargetMachineEmitToMemoryBuffer(jit.machine, module, LLVMObjectFile, &text, &buffer))
    fail_msg("%s", text);
  LLVMDisposeModule(module);
  LLVMContextDispose(c);
  /* No symbol of the process is offered: a call to libm would not link. */
  check(LLVMOrcLLJITAddObjectFile(jit.lljit, LLVMOrcLLJITGetMainJITDylib(jit.lljit), buffer));
  return jit;
}

static kernel find(struct jit *jit, const char *name) {
  char symbol[40];
  snprintf(symbol, sizeof symbol, "k_%s", name);
  LLVMOrcExecutorAddress address;
  check(LLVMOrcLLJITLookup(jit->lljit, &address, symbol));
  return (kernel)(uintptr_t)address;
}

static void dispose(struct jit *jit) {
  check(LLVMOrcDisposeLLJIT(jit->lljit));
  LLVMDisposeTargetMachine(jit->machine);
}

/* ---- errors ---- */

static double error32(float got, double want) {
  if (isnan(want) || isnan(got))
    return isnan(want) && isnan(got) ? 0 : INFINITY;
  float rounded = (float)want;
  if (isinf(rounded) || isinf(got)) {
    if (rounded == got)
      return 0;
    if (isinf(want) || isinf(rounded) == isinf(got)) /* infinities of two signs, or from nowhere */
      return INFINITY;
    return fabs(want - (isinf(got) ? copysign(0x1p128, got) : got)) / 0x1p104;
  }
  if (got == 0 && rounded == 0)
    return signbit(got) == signbit(rounded) ? 0 : INFINITY;
  int e;
  frexp(want, &e);
  return fabs((double)got - want) / ldexp(1, e - 24 < -149 ? -149 : e - 24);
}

static double error64(double got, long double want) {
  if (isnan(want) || isnan(got))
    return isnan(want) && isnan(got) ? 0 : INFINITY;
  double rounded = (double)want;
  if (isinf(rounded) || isinf(got)) {
    if (rounded == got)
      return 0;
    if (isinf(want) || isinf(rounded) == isinf(got))
      return INFINITY;
    return (double)(fabsl(want - (isinf(got) ? copysignl(0x1p1024L, got) : (long double)got)) / 0x1p971L);
  }
  if (got == 0 && rounded == 0)
    return signbit(got) == signbit(rounded) ? 0 : INFINITY;
  int e;
  frexpl(want, &e);
  return (double)(fabsl((long double)got - want) / ldexpl(1, e - 53 < -1074 ? -1074 : e - 53));
}

static uint64_t random_state;
static uint64_t random_bits(void) { /* splitmix64 */
  uint64_t z = random_state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

static float as_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static double as_double(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Both signs of each are tried. */
static const double specials[] = {0,
                                  INFINITY,
                                  NAN,
                                  0x1p-149,
                                  0x1.fffffcp-127,
                                  0x1p-126,
                                  0x1.8p-140,
                                  FLT_MAX,
                                  0x1p127,
                                  0.5,
                                  1,
                                  2,
                                  1.5,
                                  2.5,
                                  3,
                                  3.5,
                                  0x1.fffffep-1,
                                  0x1.000002p+0,
                                  0x1p-12,
                                  0x1p-13,
                                  0x1p-24,
                                  0x1p23,
                                  0x1.000002p23,
                                  8388607.5,
                                  4194303.5,
                                  0x1p24,
                                  0x1.62e42ep+6,
                                  0x1.62e430p+6,
                                  0x1.62e432p+6,
                                  103.972084,
                                  103.2789,
                                  87.33654,
                                  88.5,
                                  89.4,
                                  89.415985,
                                  89.4161,
                                  9.01,
                                  9.02,
                                  3.9192059,
                                  3.93,
                                  4,
                                  0x1.921fb6p-1,
                                  0x1.921fb4p-1,
                                  0x1.921fb6p+0,
                                  0x1.921fb6p+1,
                                  0x1.2d97c8p+1,
                                  16367173,
                                  0x1.6bcc5ep+17,
                                  0x1p31,
                                  0x1p32,
                                  0x1p64,
                                  1e30,
                                  0x1.a8279ap-2,
                                  0x1.3504f4p+1,
                                  0x1.6a09e6p-1,
                                  0x1.6a09e8p-1,
                                  0x1p13};
static const double specials64[] = {0x1p-1074,
                                    0x1.ffffffffffffep-1023,
                                    0x1p-1022,
                                    DBL_MAX,
                                    0x1.fffffffffffffp-1,
                                    0x1.0000000000001p+0,
                                    0x1p52,
                                    4503599627370495.5,
                                    0x1p53,
                                    709.782712893384,
                                    709.7827128933841,
                                    745.1332191019411,
                                    745.1332191019412,
                                    744,
                                    708.5,
                                    710.4758600739439,
                                    710.475860073944,
                                    19.06,
                                    5.92,
                                    5.93,
                                    0x1.921fb54442d18p+0,
                                    0x1.6ac5b262ca1ffp+849,
                                    0x1.921fb54442d18p-1,
                                    0x1.921fb54442d17p-1,
                                    0x1p28,
                                    0x1p-28,
                                    0x1p1023,
                                    0x1p1000,
                                    0x1.6a09e667f3bccp-1};

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

static void judge_unary(const struct variant *v, uint32_t stride, size_t count) {
  struct jit jit = compile(v);
  bool good = true;
  for (size_t i = 0; i < TN_COUNT(unary); i++) {
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
  struct jit jit = compile(v);
  unsigned n = v->lanes ? v->lanes : 1;
  bool good = true;
  for (size_t b = 0; b < TN_COUNT(binary); b++) {
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

static const struct variant f32_fused = {"f32", 32, LANES, true, true, false};
static const struct variant f32_plain = {"f32 no fma", 32, LANES, false, false, false};
static const struct variant f32_soft = {"f32 soft scalar", 32, 0, true, true, true};
static const struct variant f64_fused = {"f64", 64, LANES, true, true, false};
static const struct variant f64_plain = {"f64 no fma", 64, LANES, false, false, false};
static const struct variant f64_soft = {"f64 soft scalar", 64, 0, true, true, true};

static bool host_fused(void) {
  return host_has("+fma") && host_has("+sse4.1");
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
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_f32_fused), cmocka_unit_test(test_f32_plain), cmocka_unit_test(test_f32_soft),
      cmocka_unit_test(test_f64_fused), cmocka_unit_test(test_f64_plain), cmocka_unit_test(test_f64_soft),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
