/* Elementary functions compiled in memory, and what their tests share: how they are emitted, the values tried,
 * and errors in units of the last place. */
#ifndef TENON_TESTS_CODEGEN_MATH_JIT_H
#define TENON_TESTS_CODEGEN_MATH_JIT_H

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

/* Where the result would be subnormal, that of the last operand with a normal one; zero where it would be zero.
 */
static inline long double sigmoid_wide(long double x) { /* of f64 */
  x = x < -746 ? -INFINITY : x < -708.39 ? -708.39 : x;
  return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}
static inline double sigmoid_double(double x) { /* of f32 */
  x = x < -104 ? -INFINITY : x < (double)-87.33F ? (double)-87.33F : x;
  return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static inline long double softplus_wide(long double x) {
  return (x < 0 ? 0 : x) + (x < TN_EXP_ZERO_F64 ? 0 : log1pl(expl(-fabsl(x))));
}
static inline double softplus_double(double x) {
  return (x < 0 ? 0 : x) + (x < (double)(float)TN_EXP_ZERO_F32 ? 0 : log1p(exp(-fabs(x))));
}
/* Zero where the result would be subnormal, or twice the smallest normal number at most. */
static inline long double exp_wide(long double x) {
  return x < TN_EXP_ZERO_F64 ? 0 : expl(x);
}
static inline double exp_double(double x) {
  return x < (double)(float)TN_EXP_ZERO_F32 ? 0 : exp(x);
}
static inline double python_mod(double x, double y) {
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
    {"exp", TN_EXP, exp_double, exp_wide, 1.1, 1.1},
    {"log", TN_LOG, log, logl, 1.0, 1.0},
    {"sin", TN_SIN, sin, sinl, 1.0, 1.0},
    {"cos", TN_COS, cos, cosl, 1.0, 1.0},
    {"tan", TN_TAN, tan, tanl, 2.5, 2.5},
    {"asin", TN_ASIN, asin, asinl, 2.5, 2.5},
    {"acos", TN_ACOS, acos, acosl, 1.5, 1.5},
    {"atan", TN_ATAN, atan, atanl, 2.0, 2.0},
    {"sinh", TN_SINH, sinh, sinhl, 2, 2.5},
    {"cosh", TN_COSH, cosh, coshl, 2.0, 2.0},
    {"tanh", TN_TANH, tanh, tanhl, 3, 3},
    {"asinh", TN_ASINH, asinh, asinhl, 2.5, 2.5},
    {"acosh", TN_ACOSH, acosh, acoshl, 2.5, 2.5},
    {"atanh", TN_ATANH, atanh, atanhl, 2.5, 2.5},
    {"erf", TN_ERF, erf, erfl, 2.5, 3.5},
    {"softplus", TN_SOFTPLUS, softplus_double, softplus_wide, 2.5, 2.5},
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

/* Exponents that need no logarithm, or not for zero; and by how many units their powers may err. */
static const struct {
  double power, bound;
} powers[] = {{0, 0.5},    {1, 0.5},   {2, 0.5}, {-1, 0.5}, {0.5, 0.5},
              {-0.5, 1.5}, {1.5, 1.5}, {2.2, 1}, {-2.2, 1}, {1. / 3, 1}};

/* How the functions are emitted. */
struct variant {
  const char *name;
  unsigned width, lanes;
  bool fma, round, soft;
  unsigned picks;
};

typedef void (*kernel)(const void *x, const void *y, void *out);

struct jit {
  LLVMOrcLLJITRef lljit;
  LLVMTargetMachineRef machine;
};

static inline void check(LLVMErrorRef error) {
  if (error) {
    char *text = LLVMGetErrorMessage(error);
    fail_msg("%s", text);
    LLVMDisposeErrorMessage(text);
  }
}

static inline void emit_function(struct tn_math *m, const char *name, LLVMTypeRef type, enum tn_op op,
                                 bool two) {
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

static inline void emit_power(struct tn_math *m, const char *name, LLVMTypeRef type, double power) {
  bool vector = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
  LLVMValueRef y = LLVMConstReal(vector ? LLVMGetElementType(type) : type, power), lane[LANES];
  for (unsigned i = 0; i < LANES; i++)
    lane[i] = y;
  if (vector)
    y = LLVMConstVector(lane, LANES);
  LLVMTypeRef pointer = LLVMPointerTypeInContext(m->c, 0), params[3] = {pointer, pointer, pointer};
  LLVMValueRef f =
      LLVMAddFunction(m->module, name, LLVMFunctionType(LLVMVoidTypeInContext(m->c), params, 3, 0));
  LLVMPositionBuilderAtEnd(m->b, LLVMAppendBasicBlockInContext(m->c, f, "entry"));
  LLVMValueRef x = LLVMBuildLoad2(m->b, type, LLVMGetParam(f, 0), "x");
  LLVMSetAlignment(x, 4);
  y = tn_math_binary(m, TN_POW, x, y);
  assert_non_null(y);
  LLVMSetAlignment(LLVMBuildStore(m->b, y, LLVMGetParam(f, 2)), 4);
  LLVMBuildRetVoid(m->b);
}

static inline LLVMModuleRef emit_module(LLVMContextRef c, const struct variant *v) {
  LLVMModuleRef module = LLVMModuleCreateWithNameInContext("math", c);
  struct tn_math m = {.b = LLVMCreateBuilderInContext(c),
                      .module = module,
                      .c = c,
                      .hw_fma = v->fma,
                      .hw_round = v->round,
                      .picks = v->picks,
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
  for (size_t i = 0; i < TN_COUNT(powers); i++) {
    snprintf(name, sizeof name, "k_pow_%zu", i);
    emit_power(&m, name, type, powers[i].power);
  }
  LLVMDisposeBuilder(m.b);
  char *text = NULL;
  if (LLVMVerifyModule(module, LLVMReturnStatusAction, &text))
    fail_msg("%s", text);
  LLVMDisposeMessage(text);
  return module;
}

static inline void math_jit_init(void) {
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
}

static inline LLVMTargetMachineRef machine_for(const char *triple, const char *cpu, const char *features) {
  LLVMTargetRef target;
  char *text = NULL;
  if (LLVMGetTargetFromTriple(triple, &target, &text))
    fail_msg("%s", text);
  return LLVMCreateTargetMachine(target, triple, cpu, features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                 LLVMCodeModelDefault);
}

static inline LLVMTargetMachineRef host_machine(void) {
  char *triple = LLVMGetDefaultTargetTriple(), *cpu = LLVMGetHostCPUName(),
       *features = LLVMGetHostCPUFeatures();
  LLVMTargetMachineRef machine = machine_for(triple, cpu, features);
  LLVMDisposeMessage(triple);
  LLVMDisposeMessage(cpu);
  LLVMDisposeMessage(features);
  return machine;
}

static inline bool host_has(const char *feature) {
  char *features = LLVMGetHostCPUFeatures();
  bool has = strstr(features, feature) != NULL;
  LLVMDisposeMessage(features);
#if !defined(__x86_64__)
  has = true; /* AArch64 and others always have both */
#endif
  return has;
}

/* Takes module and context. */
static inline struct jit compile_module(LLVMContextRef c, LLVMModuleRef module) {
  struct jit jit = {.machine = host_machine()};
  check(LLVMOrcCreateLLJIT(&jit.lljit, LLVMOrcCreateLLJITBuilder()));
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

static inline struct jit compile(const struct variant *v) {
  LLVMContextRef c = LLVMContextCreate();
  return compile_module(c, emit_module(c, v));
}

static inline kernel find(struct jit *jit, const char *name) {
  char symbol[40];
  snprintf(symbol, sizeof symbol, "k_%s", name);
  LLVMOrcExecutorAddress address;
  check(LLVMOrcLLJITLookup(jit->lljit, &address, symbol));
  return (kernel)(uintptr_t)address;
}

static inline void dispose(struct jit *jit) {
  check(LLVMOrcDisposeLLJIT(jit->lljit));
  LLVMDisposeTargetMachine(jit->machine);
}

/* ---- errors ---- */

static inline double error32(float got, double want) {
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

static inline double error64(double got, long double want) {
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
static inline uint64_t random_bits(void) { /* splitmix64 */
  uint64_t z = random_state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

static inline float as_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static inline double as_double(uint64_t bits) {
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
                                  86.64,
                                  86.640007,
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
                                    707.7,
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

static const struct variant f32_fused = {"f32", 32, LANES, true, true, false, 0};
static const struct variant f32_plain = {"f32 no fma", 32, LANES, false, false, false, 0};
static const struct variant f32_soft = {"f32 soft scalar", 32, 0, true, true, true, 0};
static const struct variant f64_fused = {"f64", 64, LANES, true, true, false, 0};
static const struct variant f64_plain = {"f64 no fma", 64, LANES, false, false, false, 0};
static const struct variant f64_soft = {"f64 soft scalar", 64, 0, true, true, true, 0};
/* With coefficients picked from registers. */
static const struct variant f32_picks16 = {"f32 picks 16", 32, LANES, true, true, false, 16};
static const struct variant f32_picks8 = {"f32 picks 8", 32, LANES, true, true, false, 8};

static const struct variant f32_picks16_scalar = {"f32 picks 16 scalar", 32, 0, true, true, false, 16};
static const struct variant f32_picks8_scalar = {"f32 picks 8 scalar", 32, 0, true, true, false, 8};
static const struct variant f32_scalar = {"f32 scalar", 32, 0, false, false, false, 0};
static const struct variant f64_scalar = {"f64 scalar", 64, 0, false, false, false, 0};

static inline bool host_fused(void) {
  return host_has("+fma") && host_has("+sse4.1");
}

#endif
