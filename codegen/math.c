/* Entry points of the elementary functions: which formula an op has, rounding to integers, constants.
 *
 * Rounding without instructions: |x| + 2^mantissa - 2^mantissa is |x| rounded to even for |x| < 2^mantissa;
 * larger numbers are integers already. */
#include "codegen/math_build.h"

enum { MOST_LANES = 256 };

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

/* `count` lanes: those of v from `first` on, in front of them `at` lanes of `before` (NULL: none); what is in
 * neither is poison. */
static val join(const struct fx *f, val before, unsigned at, val v, unsigned first, unsigned count) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(f->c);
  unsigned have = LLVMGetVectorSize(LLVMTypeOf(v));
  val mask[MOST_LANES];
  for (unsigned i = 0; i < count; i++) {
    unsigned lane = i < at ? have + i : first + i - at;
    mask[i] = i < at || lane < have ? LLVMConstInt(i32, lane, 0) : LLVMGetPoison(i32);
  }
  val other = before ? before : LLVMGetPoison(LLVMTypeOf(v));
  return LLVMBuildShuffleVector(f->b, v, other, LLVMConstVector(mask, count), "");
}

val tn_fx_pick(const struct fx *f, const double *table, val index) {
  LLVMTypeRef f32 = LLVMFloatTypeInContext(f->c), i32 = LLVMInt32TypeInContext(f->c);
  unsigned picks = f->picks, lanes = f->lanes;
  val number[16];
  for (unsigned i = 0; i < picks; i++)
    number[i] = LLVMConstReal(f32, table[i]);
  const char *name = picks == 16 ? "llvm.x86.avx512.permvar.sf.512" : "llvm.x86.avx2.permps";
  val function = LLVMGetIntrinsicDeclaration(f->module, LLVMLookupIntrinsicID(name, strlen(name)), NULL, 0);
  LLVMTypeRef type = LLVMGlobalGetValueType(function);
  val arg[2] = {LLVMConstVector(number, picks), index};
  if (lanes == 0) {
    arg[1] =
        LLVMBuildInsertElement(f->b, LLVMGetPoison(LLVMVectorType(i32, picks)), index, LLVMConstNull(i32), "");
    val all = LLVMBuildCall2(f->b, type, function, arg, 2, "");
    return LLVMBuildExtractElement(f->b, all, LLVMConstNull(i32), "");
  }
  val result = NULL; /* of the lanes below `first`, in whole registers */
  for (unsigned first = 0; first < lanes; first += picks) {
    if (lanes != picks)
      arg[1] = join(f, NULL, 0, index, first, picks);
    val part = LLVMBuildCall2(f->b, type, function, arg, 2, "");
    if (first > 0) { /* both sides of a shuffle have one length */
      part = join(f, NULL, 0, part, 0, first);
      part = join(f, result, first, part, 0, first + picks);
    }
    result = part;
  }
  return lanes % picks ? join(f, NULL, 0, result, 0, lanes) : result;
}

struct detour tn_fx_detour(const struct fx *f, val rare) {
  val any = f->lanes ? tn_fx_intrinsic(f, "llvm.vector.reduce.or", LLVMTypeOf(rare), &rare, 1) : rare;
  struct detour d = {.before = LLVMGetInsertBlock(f->b)};
  val function = LLVMGetBasicBlockParent(d.before);
  LLVMBasicBlockRef block = LLVMAppendBasicBlockInContext(f->c, function, "rare");
  d.after = LLVMAppendBasicBlockInContext(f->c, function, "usual");
  LLVMBuildCondBr(f->b, any, block, d.after);
  LLVMPositionBuilderAtEnd(f->b, block);
  return d;
}

void tn_fx_detour_end(const struct fx *f, const struct detour *d, val *value, const val *now, unsigned count) {
  LLVMBasicBlockRef from[2] = {d->before, LLVMGetInsertBlock(f->b)};
  LLVMBuildBr(f->b, d->after);
  LLVMPositionBuilderAtEnd(f->b, d->after);
  for (unsigned i = 0; i < count; i++) {
    val both[2] = {value[i], now[i]};
    value[i] = LLVMBuildPhi(f->b, LLVMTypeOf(both[0]), "");
    LLVMAddIncoming(value[i], both, from, 2);
  }
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
                   .picks = single && !soft && lanes <= MOST_LANES - 16 ? m->picks : 0,
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
  case TN_SOFTPLUS:
    return tn_fx_softplus(&f, x);
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
