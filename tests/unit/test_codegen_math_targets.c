/* Elementary functions on other machines: what each target's code calls, and that emission is reproducible.
 *
 * A target may call its compiler's arithmetic (soft float, 64-bit division), never libm. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "codegen/math.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

static const enum tn_op unary[] = {TN_EXP,   TN_LOG,   TN_SIN,   TN_COS,      TN_TAN,     TN_ASIN,
                                   TN_ACOS,  TN_ATAN,  TN_SINH,  TN_COSH,     TN_TANH,    TN_ASINH,
                                   TN_ACOSH, TN_ATANH, TN_ERF,   TN_SOFTPLUS, TN_SIGMOID, TN_SQRT,
                                   TN_FLOOR, TN_CEIL,  TN_TRUNC, TN_ROUND,    TN_ABS};
static const enum tn_op binary[] = {TN_POW, TN_FMOD, TN_MOD};

static const struct machine {
  const char *triple, *cpu, *features;
  bool fma, round, soft_f32, soft_f64;
  unsigned lanes; /* tried beside scalars */
  unsigned picks;
} machines[] = {
    {"x86_64-unknown-linux-gnu", "x86-64", "", false, false, false, false, 4, 0},
    {"x86_64-unknown-linux-gnu", "x86-64-v3", "", true, true, false, false, 8, 8},
    {"x86_64-unknown-linux-gnu", "x86-64-v4", "", true, true, false, false, 16, 16},
    {"aarch64-unknown-linux-gnu", "cortex-a53", "", true, true, false, false, 4, 0},
    {"armv7a-unknown-linux-gnueabihf", "cortex-a7", "+neon", true, false, false, false, 4, 0},
    {"thumbv6m-none-eabi", "cortex-m0", "", false, false, true, true, 0, 0},
    {"thumbv7m-none-eabi", "cortex-m3", "", false, false, true, true, 0, 0},
    {"thumbv7em-none-eabihf", "cortex-m4", "", true, false, false, true, 0, 0},
    {"thumbv8.1m.main-none-eabihf", "cortex-m55", "", true, true, false, false, 4, 0},
    {"riscv32-unknown-elf", "generic-rv32", "+m,+c", false, false, true, true, 0, 0},
    {"riscv32-unknown-elf", "generic-rv32", "+m,+f,+c", true, false, false, true, 0, 0},
    {"riscv64-unknown-linux-gnu", "generic-rv64", "+m,+f,+d,+c", true, false, false, false, 0, 0},
    {"riscv64-unknown-linux-gnu", "generic-rv64", "+m,+f,+d,+c,+v", true, false, false, false, 4, 0},
};

static void check(LLVMErrorRef error) {
  if (error)
    fail_msg("%s", LLVMGetErrorMessage(error));
}

/* One function an op: T k<op>(T, T). */
static LLVMModuleRef emit(LLVMContextRef c, const struct machine *t, unsigned width, unsigned lanes) {
  LLVMModuleRef module = LLVMModuleCreateWithNameInContext("math", c);
  struct tn_math m = {.b = LLVMCreateBuilderInContext(c),
                      .module = module,
                      .c = c,
                      .hw_fma = t->fma,
                      .hw_round = t->round,
                      .picks = t->picks,
                      .soft_f32 = t->soft_f32,
                      .soft_f64 = t->soft_f64};
  LLVMTypeRef type = width == 32 ? LLVMFloatTypeInContext(c) : LLVMDoubleTypeInContext(c);
  if (lanes)
    type = LLVMVectorType(type, lanes);
  for (size_t i = 0; i < TN_COUNT(unary) + TN_COUNT(binary); i++) {
    bool two = i >= TN_COUNT(unary);
    enum tn_op op = two ? binary[i - TN_COUNT(unary)] : unary[i];
    char name[16];
    snprintf(name, sizeof name, "k%d", (int)op);
    LLVMTypeRef params[2] = {type, type};
    LLVMValueRef f = LLVMAddFunction(module, name, LLVMFunctionType(type, params, 2, 0));
    LLVMPositionBuilderAtEnd(m.b, LLVMAppendBasicBlockInContext(c, f, "entry"));
    LLVMValueRef x = LLVMGetParam(f, 0), y = LLVMGetParam(f, 1);
    y = two ? tn_math_binary(&m, op, x, y) : tn_math_unary(&m, op, x);
    assert_non_null(y);
    LLVMBuildRet(m.b, y);
  }
  LLVMDisposeBuilder(m.b);
  char *text = NULL;
  if (LLVMVerifyModule(module, LLVMReturnStatusAction, &text))
    fail_msg("%s", text);
  LLVMDisposeMessage(text);
  return module;
}

static bool is_libm(const char *word, size_t length) {
  static const char *const names[] = {"exp",      "exp2",  "exp10",     "expm1",     "log",    "log2",  "log10",
                                      "log1p",    "sin",   "cos",       "tan",       "sincos", "asin",  "acos",
                                      "atan",     "atan2", "sinh",      "cosh",      "tanh",   "asinh", "acosh",
                                      "atanh",    "erf",   "pow",       "fmod",      "sqrt",   "floor", "ceil",
                                      "trunc",    "rint",  "nearbyint", "roundeven", "round",  "fma",   "fabs",
                                      "copysign", "ldexp", "frexp",     "scalbn",    "fmin",   "fmax"};
  for (size_t i = 0; i < TN_COUNT(names); i++) {
    size_t n = strlen(names[i]);
    if (length >= n && memcmp(word, names[i], n) == 0 &&
        (length == n || (length == n + 1 && (word[n] == 'f' || word[n] == 'l'))))
      return true;
  }
  return false;
}

/* Operands of the assembly that are names of libm: of calls and of jumps, which both may hold one. */
static void check_calls(const struct machine *t, unsigned width, unsigned lanes, const char *assembly) {
  for (const char *line = assembly; *line;) {
    const char *end = strchr(line, '\n');
    if (!end)
      end = line + strlen(line);
    const char *at = line;
    while (at < end && isspace((unsigned char)*at))
      at++;
    while (at < end && !isspace((unsigned char)*at)) /* the mnemonic */
      at++;
    while (at < end) {
      const char *word = at;
      while (at < end && (isalnum((unsigned char)*at) || *at == '_'))
        at++;
      if (is_libm(word, (size_t)(at - word)))
        fail_msg("%s %s f%u x %u calls libm: %.*s", t->triple, t->cpu, width, lanes, (int)(end - line), line);
      if (at == word)
        at++;
    }
    line = *end ? end + 1 : end;
  }
}

static void test_no_libm(void **state) {
  (void)state;
  for (size_t i = 0; i < TN_COUNT(machines); i++) {
    const struct machine *t = &machines[i];
    LLVMTargetRef target;
    char *text = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &target, &text)) {
      LLVMDisposeMessage(text); /* this LLVM was built without it */
      continue;
    }
    LLVMTargetMachineRef machine = LLVMCreateTargetMachine(
        target, t->triple, t->cpu, t->features, LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    for (unsigned width = 32; width <= 64; width += 32)
      for (unsigned lanes = 0; lanes <= t->lanes; lanes += t->lanes ? t->lanes : 1) {
        LLVMContextRef c = LLVMContextCreate();
        LLVMModuleRef module = emit(c, t, width, lanes);
        LLVMSetTarget(module, t->triple);
        LLVMSetModuleDataLayout(module, layout);
        LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
        check(LLVMRunPasses(module, "default<O2>", machine, options));
        LLVMDisposePassBuilderOptions(options);
        LLVMMemoryBufferRef buffer;
        if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, LLVMAssemblyFile, &text, &buffer))
          fail_msg("%s", text);
        check_calls(t, width, lanes, LLVMGetBufferStart(buffer));
        LLVMDisposeMemoryBuffer(buffer);
        LLVMDisposeModule(module);
        LLVMContextDispose(c);
      }
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(machine);
  }
}

/* The check above can fail: an intrinsic that the target lacks is seen. */
static void test_libm_is_seen(void **state) {
  (void)state;
  assert_true(is_libm("sqrtf", 5));
  assert_true(is_libm("fma", 3));
  assert_false(is_libm("tn_sqrt_f32", 11));
  assert_false(is_libm("__aeabi_fmul", 12));
}

static void test_reproducible(void **state) {
  (void)state;
  for (size_t i = 0; i < TN_COUNT(machines); i++) {
    char *text[2];
    for (int k = 0; k < 2; k++) {
      LLVMContextRef c = LLVMContextCreate();
      LLVMModuleRef module = emit(c, &machines[i], i % 2 ? 64 : 32, machines[i].lanes);
      text[k] = LLVMPrintModuleToString(module);
      LLVMDisposeModule(module);
      LLVMContextDispose(c);
    }
    assert_string_equal(text[0], text[1]);
    LLVMDisposeMessage(text[0]);
    LLVMDisposeMessage(text[1]);
  }
}

static void test_unsupported(void **state) {
  (void)state;
  LLVMContextRef c = LLVMContextCreate();
  LLVMModuleRef module = LLVMModuleCreateWithNameInContext("math", c);
  struct tn_math m = {.b = LLVMCreateBuilderInContext(c), .module = module, .c = c};
  LLVMValueRef half = LLVMConstReal(LLVMHalfTypeInContext(c), 1),
               one = LLVMConstReal(LLVMFloatTypeInContext(c), 1);
  assert_null(tn_math_unary(&m, TN_EXP, half));
  assert_null(tn_math_unary(&m, TN_POW, one));
  assert_null(tn_math_binary(&m, TN_EXP, one, one));
  LLVMDisposeBuilder(m.b);
  LLVMDisposeModule(module);
  LLVMContextDispose(c);
}

int main(void) {
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_libm),
      cmocka_unit_test(test_libm_is_seen),
      cmocka_unit_test(test_reproducible),
      cmocka_unit_test(test_unsupported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
