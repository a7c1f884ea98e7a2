/* Entry points of the elementary functions: which formula an op has, rounding to integers, constants.
 *
 * Rounding without instructions: |x| + 2^mantissa - 2^mantissa is |x| rounded to even for |x| < 2^mantissa;
 * larger numbers are integers already. */
#include "codegen/math_build.h"

val tn_fx_splat(const struct fx *f, LLVMValueRef element) {
  if (f->lanes == 0)
    return element;
  LLVMTypeRef i32 = LLVMInt32TypeInContext(f->c);
  val none = LLVMGetPoison(LLVMVectorType(LLVMTypeOf(element), f->lanes));
  val one = LLVMBuildInsertElement(f->b, none, element, LLVMConstNull(i32), "");
  return LLVMBuildShuffleVector(f->b, one, none, LLVMConstNull(LLVMVectorType(i32, f->lanes)), "");
}

val tn_fx_intrinsic(const struct fx *f, const char *name, LLVMTypeRef type, val *args, unsigned count) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  val function = LLVMGetIntrinsicDeclaration(f->module, id, &type, 1);
  return LLVMBuildCall2(f->b, LLVMGlobalGetValueType(function), function, args, count, "");
}

val tn_fx_round(const struct fx *f, enum tn_op op, val x) {
  if (f->round) {
    const char *name = op == TN_FLOOR   ? "llvm.floor"
                       : op == TN_CEIL  ? "llvm.ceil"
                       : op == TN_TRUNC ? "llvm.trunc"
                                        : "llvm.roundeven";
    return tn_fx_intrinsic(f, name, f->real, &x, 1);
  }
  val a = mag(f, x), big = kpow2(f, (int)f->mantissa), one = k(f, 1), zero = k(f, 0);
  val r = sub(f, add(f, a, big), big);
  if (op == TN_TRUNC)
    r = sub(f, r, sel(f, lt(f, a, r), one, zero));
  r = with_sign(f, r, x);
  if (op == TN_FLOOR)
    r = sub(f, r, sel(f, lt(f, x, r), one, zero));
  if (op == TN_CEIL)
    r = add(f, r, sel(f, lt(f, r, x), one, zero));
  r = with_sign(f, r, x); /* ceil(-0.5) is -0 */
  return sel(f, lt(f, a, big), r, x);
}

struct fx tn_fx_scalar(const struct fx *f) {
  struct fx one = *f;
  if (f->lanes) {
    one.lanes = 0;
    one.real = LLVMGetElementType(f->real);
    one.bits = LLVMGetElementType(f->bits);
  }
  return one;
}

static bool init(struct fx *f, const struct tn_math *m, val x) {
  LLVMTypeRef type = LLVMTypeOf(x), element = type;
  unsigned lanes = 0;
  if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) {
    lanes = LLVMGetVectorSize(type);
    element = LLVMGetElementType(type);
  }
  LLVMTypeKind kind = LLVMGetTypeKind(element);
  if (kind != LLVMFloatTypeKind && kind != LLVMDoubleTypeKind)
    return false;
  bool single = kind == LLVMFloatTypeKind;
  bool soft = single ? m->soft_f32 : m->soft_f64;
  unsigned width = single ? 32 : 64;
  LLVMTypeRef bits = LLVMIntTypeInContext(m->c, width);
  *f = (struct fx){.b = m->b,
                   .module = m->module,
                   .c = m->c,
                   .width = width,
                   .lanes = lanes,
                   .mantissa = single ? 23 : 52,
                   .bias = single ? 127 : 1023,
                   .real = type,
                   .bits = lanes ? LLVMVectorType(bits, lanes) : bits,
                   .fma = m->hw_fma && !soft,
                   .round = m->hw_round && !soft,
                   .sqrt = !soft};
  return true;
}

LLVMValueRef tn_math_unary(struct tn_math *m, enum tn_op op, LLVMValueRef x) {
  struct fx f;
  if (!init(&f, m, x))
    return NULL;
  switch (op) {
  case TN_EXP:
    return tn_fx_exp(&f, x);
  case TN_LOG:
    return tn_fx_log(&f, x);
  case TN_SIN:
    return tn_fx_sin(&f, x);
  case TN_COS:
    return tn_fx_cos(&f, x);
  case TN_TAN:
    return tn_fx_tan(&f, x);
  case TN_ASIN:
    return tn_fx_asin(&f, x);
  case TN_ACOS:
    return tn_fx_acos(&f, x);
  case TN_ATAN:
    return tn_fx_atan(&f, x);
  case TN_SINH:
    return tn_fx_sinh(&f, x);
  case TN_COSH:
    return tn_fx_cosh(&f, x);
  case TN_TANH:
    return tn_fx_tanh(&f, x);
  case TN_ASINH:
    return tn_fx_asinh(&f, x);
  case TN_ACOSH:
    return tn_fx_acosh(&f, x);
  case TN_ATANH:
    return tn_fx_atanh(&f, x);
  case TN_ERF:
    return tn_fx_erf(&f, x);
  case TN_SIGMOID:
    return tn_fx_sigmoid(&f, x);
  case TN_SQRT:
    return tn_fx_sqrt(&f, x);
  case TN_ABS:
    return mag(&f, x);
  case TN_FLOOR:
  case TN_CEIL:
  case TN_TRUNC:
  case TN_ROUND:
    return tn_fx_round(&f, op, x);
  default:
    return NULL;
  }
}

LLVMValueRef tn_math_binary(struct tn_math *m, enum tn_op op, LLVMValueRef x, LLVMValueRef y) {
  struct fx f;
  if (!init(&f, m, x))
    return NULL;
  switch (op) {
  case TN_POW:
    return tn_fx_pow(&f, x, y);
  case TN_FMOD:
    return tn_fx_fmod(&f, x, y);
  case TN_MOD:
    return tn_fx_mod(&f, x, y);
  default:
    return NULL;
  }
}

LLVMValueRef tn_math_fma(struct tn_math *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  struct fx f;
  if (!init(&f, m, a))
    return NULL;
  return mad(&f, a, b, c);
}
