/* Emission of scalar operators: each has the meaning that ir/ops.def gives it, on scalars and vectors alike. */
#include "codegen/emit.h"

/* ---- types -------------------------------------------------------------------------------------------------
 */

LLVMTypeRef tn_emit_type(const struct tn_emit *e, enum tn_dtype dtype) {
  switch (dtype) {
  case TN_INDEX:
    return LLVMIntTypeInContext(e->c, (unsigned)e->target->pointer_bits);
  case TN_F32:
  case TN_F16:
  case TN_BF16:
    return LLVMFloatTypeInContext(e->c);
  case TN_F64:
    return LLVMDoubleTypeInContext(e->c);
  case TN_BOOL:
    return LLVMInt1TypeInContext(e->c);
  default:
    return LLVMIntTypeInContext(e->c, (unsigned)tn_dtype_size(dtype) * 8);
  }
}

LLVMTypeRef tn_emit_storage(const struct tn_emit *e, enum tn_dtype dtype) {
  if (dtype == TN_F32 || dtype == TN_F64)
    return tn_emit_type(e, dtype);
  return LLVMIntTypeInContext(e->c, (unsigned)tn_dtype_size(dtype) * 8);
}

LLVMTypeRef tn_emit_widen(const struct tn_emit *e, LLVMTypeRef scalar, bool vec) {
  return vec ? LLVMVectorType(scalar, (unsigned)e->lanes) : scalar;
}

LLVMValueRef tn_emit_index(const struct tn_emit *e, int64_t value) {
  return LLVMConstInt(tn_emit_type(e, TN_INDEX), (unsigned long long)value, 1);
}

/* A splat is an insertelement and a shuffle: adding to zero would cost an instruction that stays. */
LLVMValueRef tn_emit_splat(struct tn_emit *e, LLVMValueRef scalar) {
  LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)e->lanes);
  if (LLVMIsConstant(scalar)) {
    LLVMValueRef *all = TN_NEW_ARRAY(e->arena, LLVMValueRef, e->lanes);
    for (int i = 0; i < e->lanes; i++)
      all[i] = scalar;
    return LLVMConstVector(all, (unsigned)e->lanes);
  }
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), scalar, LLVMConstInt(i32, 0, 0), "");
  return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type),
                                LLVMConstNull(LLVMVectorType(i32, (unsigned)e->lanes)), "");
}

LLVMValueRef tn_emit_widened(struct tn_emit *e, struct tn_val val) {
  return val.vec || !e->lane ? val.v : tn_emit_splat(e, val.v);
}

LLVMValueRef tn_emit_call(struct tn_emit *e, const char *intrinsic, LLVMTypeRef *overloads,
                          unsigned overload_count, LLVMValueRef *args, unsigned arg_count) {
  unsigned id = LLVMLookupIntrinsicID(intrinsic, strlen(intrinsic));
  if (!id)
    tn_bug(tn_arena_ctx(e->arena), "this LLVM has no intrinsic %s", intrinsic);
  LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, overloads, overload_count);
  LLVMTypeRef type = LLVMIntrinsicGetType(e->c, id, overloads, overload_count);
  return LLVMBuildCall2(e->b, type, f, args, arg_count, "");
}

static LLVMValueRef call_same(struct tn_emit *e, const char *intrinsic, LLVMValueRef *args, unsigned count) {
  LLVMTypeRef type = LLVMTypeOf(args[0]);
  return tn_emit_call(e, intrinsic, &type, 1, args, count);
}

/* A constant of v's type. */
static LLVMValueRef like(struct tn_emit *e, LLVMValueRef v, double number) {
  LLVMTypeRef type = LLVMTypeOf(v);
  bool vec = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
  LLVMTypeRef scalar = vec ? LLVMGetElementType(type) : type;
  LLVMValueRef c = LLVMGetTypeKind(scalar) == LLVMIntegerTypeKind
                       ? LLVMConstInt(scalar, (unsigned long long)(int64_t)number, 1)
                       : LLVMConstReal(scalar, number);
  return vec ? tn_emit_splat(e, c) : c;
}

static LLVMValueRef ones(LLVMValueRef v) {
  return LLVMConstAllOnes(LLVMTypeOf(v));
}
static LLVMValueRef zero(LLVMValueRef v) {
  return LLVMConstNull(LLVMTypeOf(v));
}

static LLVMTypeRef retyped(struct tn_emit *e, LLVMValueRef v, LLVMTypeRef scalar) {
  return tn_emit_widen(e, scalar, LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind);
}

static unsigned scalar_bits(LLVMValueRef v) {
  LLVMTypeRef type = LLVMTypeOf(v);
  if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
    type = LLVMGetElementType(type);
  return LLVMGetIntTypeWidth(type);
}

/* ---- rounding ----------------------------------------------------------------------------------------------
 */

LLVMValueRef tn_emit_round(struct tn_emit *e, enum tn_dtype dtype, LLVMValueRef v) {
  if (dtype == TN_F16)
    return tn_emit_half_to_float(e, tn_emit_float_to_half(e, v));
  if (dtype != TN_BF16)
    return v;
  /* To nearest even on the upper half of the bits; a nan keeps its upper bits and stays quiet. */
  LLVMTypeRef i32 = retyped(e, v, LLVMInt32TypeInContext(e->c));
  LLVMValueRef bits = LLVMBuildBitCast(e->b, v, i32, "");
  LLVMValueRef lsb = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, bits, like(e, bits, 16), ""), like(e, bits, 1), "");
  LLVMValueRef up = LLVMBuildAdd(e->b, bits, LLVMBuildAdd(e->b, lsb, like(e, bits, 0x7FFF), ""), "");
  LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, v, v, "");
  up = LLVMBuildSelect(e->b, nan, LLVMBuildOr(e->b, bits, like(e, bits, 0x400000), ""), up, "");
  up = LLVMBuildAnd(e->b, up, like(e, bits, -65536.0), "");
  return LLVMBuildBitCast(e->b, up, LLVMTypeOf(v), "");
}

LLVMValueRef tn_emit_muladd(struct tn_emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  return tn_math_fma(&e->math, a, b, c);
}

/* ---- minimum and maximum: a nan wins -----------------------------------------------------------------------
 */

static bool never_nan(LLVMValueRef v) {
  return LLVMIsConstant(v) && !LLVMIsUndef(v);
}

LLVMValueRef tn_emit_extreme(struct tn_emit *e, bool max, LLVMValueRef so_far, LLVMValueRef v) {
  LLVMValueRef better = LLVMBuildFCmp(e->b, max ? LLVMRealOGT : LLVMRealOLT, v, so_far, "");
  return LLVMBuildSelect(e->b, better, v, so_far, "");
}

/* x86's instruction for b > a ? b : a (b < a ? b : a), which LLVM does not see any more once the test for a nan
 * is beside it; NULL: none for such operands. */
static LLVMValueRef x86_extreme(struct tn_emit *e, bool max, LLVMValueRef a, LLVMValueRef b) {
  LLVMTypeRef type = LLVMTypeOf(a);
  if (strncmp(e->target->family, "x86", 3) != 0 || LLVMGetTypeKind(type) != LLVMVectorTypeKind ||
      LLVMGetTypeKind(LLVMGetElementType(type)) != LLVMFloatTypeKind)
    return NULL;
  unsigned bytes = 4 * LLVMGetVectorSize(type);
  LLVMValueRef arg[3] = {b, a, LLVMConstInt(LLVMInt32TypeInContext(e->c), 4, 0)}; /* 4: rounding as it is */
  if ((int)bytes > e->target->vector_bytes)
    return NULL;
  if (bytes == 16)
    return tn_emit_call(e, max ? "llvm.x86.sse.max.ps" : "llvm.x86.sse.min.ps", NULL, 0, arg, 2);
  if (bytes == 32)
    return tn_emit_call(e, max ? "llvm.x86.avx.max.ps.256" : "llvm.x86.avx.min.ps.256", NULL, 0, arg, 2);
  if (bytes == 64)
    return tn_emit_call(e, max ? "llvm.x86.avx512.max.ps.512" : "llvm.x86.avx512.min.ps.512", NULL, 0, arg, 3);
  return NULL;
}

static LLVMValueRef float_extreme(struct tn_emit *e, bool max, LLVMValueRef a, LLVMValueRef b) {
  if (never_nan(a)) {
    LLVMValueRef t = a;
    a = b;
    b = t;
  }
  /* Ordered comparison that a nan `a` fails: it is kept. */
  LLVMValueRef v = never_nan(b) ? NULL : x86_extreme(e, max, a, b);
  if (!v) {
    LLVMValueRef other = LLVMBuildFCmp(e->b, max ? LLVMRealOLT : LLVMRealOGT, a, b, "");
    v = LLVMBuildSelect(e->b, other, b, a, "");
  }
  if (never_nan(b))
    return v;
  return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, b, b, ""), b, v, "");
}

static LLVMValueRef extreme(struct tn_emit *e, bool max, enum tn_dtype dtype, LLVMValueRef a, LLVMValueRef b) {
  if (tn_dtype_is_float(dtype))
    return float_extreme(e, max, a, b);
  bool is_signed = dtype == TN_INDEX || tn_dtype_is_signed(dtype);
  LLVMValueRef arg[2] = {a, b};
  return call_same(e,
                   max         ? is_signed ? "llvm.smax" : "llvm.umax"
                   : is_signed ? "llvm.smin"
                               : "llvm.umin",
                   arg, 2);
}

/* ---- integers ----------------------------------------------------------------------------------------------
 */

/* Quotient and remainder with C's signs, that neither trap nor are undefined: x / 0 = 0, x % 0 = 0. */
static void int_divide(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y,
                       LLVMValueRef *quotient, LLVMValueRef *rest) {
  LLVMValueRef by_zero = LLVMBuildICmp(e->b, LLVMIntEQ, y, zero(y), ""), odd = by_zero, by_minus = NULL;
  if (is_signed) {
    by_minus = LLVMBuildICmp(e->b, LLVMIntEQ, y, ones(y), "");
    odd = LLVMBuildOr(e->b, by_zero, by_minus, "");
  }
  LLVMValueRef safe = LLVMBuildSelect(e->b, odd, like(e, y, 1), y, ""), q, r;
  if (!tn_emit_divide_lanes(e, is_signed, x, safe, &q, &r)) {
    q = is_signed ? LLVMBuildSDiv(e->b, x, safe, "") : LLVMBuildUDiv(e->b, x, safe, "");
    r = is_signed ? LLVMBuildSRem(e->b, x, safe, "") : LLVMBuildURem(e->b, x, safe, "");
  }
  if (by_minus)
    q = LLVMBuildSelect(e->b, by_minus, LLVMBuildNeg(e->b, x, ""), q, "");
  *quotient = LLVMBuildSelect(e->b, by_zero, zero(x), q, "");
  *rest = LLVMBuildSelect(e->b, odd, zero(x), r, "");
}

/* Floor quotient of a position by a positive one. */
static LLVMValueRef index_floor_div(struct tn_emit *e, LLVMValueRef x, LLVMValueRef y) {
  LLVMValueRef q = LLVMBuildSDiv(e->b, x, y, ""), r = LLVMBuildSRem(e->b, x, y, "");
  LLVMValueRef below = LLVMBuildICmp(e->b, LLVMIntSLT, r, zero(r), "");
  return LLVMBuildAdd(e->b, q, LLVMBuildSExt(e->b, below, LLVMTypeOf(q), ""), "");
}

static LLVMValueRef int_mod(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
  LLVMValueRef q, r;
  int_divide(e, is_signed, x, y, &q, &r);
  if (!is_signed)
    return r;
  /* Python's sign: that of the divisor. */
  LLVMValueRef differ = LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, r, y, ""), zero(r), "");
  LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntNE, r, zero(r), "");
  return LLVMBuildSelect(e->b, LLVMBuildAnd(e->b, differ, some, ""), LLVMBuildAdd(e->b, r, y, ""), r, "");
}

static LLVMValueRef shift(struct tn_emit *e, bool left, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
  unsigned bits = scalar_bits(x);
  LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntULT, y, like(e, y, bits), "");
  LLVMValueRef by = LLVMBuildSelect(e->b, inside, y, like(e, y, left || !is_signed ? 0 : bits - 1), "");
  LLVMValueRef v = left        ? LLVMBuildShl(e->b, x, by, "")
                   : is_signed ? LLVMBuildAShr(e->b, x, by, "")
                               : LLVMBuildLShr(e->b, x, by, "");
  return !left && is_signed ? v : LLVMBuildSelect(e->b, inside, v, zero(v), "");
}

/* x to the y by squaring, wrapping; a negative exponent gives 0 but for bases 1 and -1. */
static LLVMValueRef int_pow(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
  unsigned bits = scalar_bits(x);
  LLVMValueRef result = like(e, x, 1), base = x;
  for (unsigned k = 0; k < bits; k++) {
    LLVMValueRef bit = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, y, like(e, y, k), ""), like(e, y, 1), "");
    LLVMValueRef take = LLVMBuildICmp(e->b, LLVMIntNE, bit, zero(bit), "");
    result = LLVMBuildSelect(e->b, take, LLVMBuildMul(e->b, result, base, ""), result, "");
    base = LLVMBuildMul(e->b, base, base, "");
  }
  if (!is_signed)
    return result;
  LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, y, zero(y), "");
  LLVMValueRef odd = LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildAnd(e->b, y, like(e, y, 1), ""), zero(y), "");
  LLVMValueRef one = LLVMBuildICmp(e->b, LLVMIntEQ, x, like(e, x, 1), "");
  LLVMValueRef minus = LLVMBuildICmp(e->b, LLVMIntEQ, x, ones(x), "");
  LLVMValueRef sign = LLVMBuildSelect(e->b, odd, ones(x), like(e, x, 1), "");
  LLVMValueRef inverse = LLVMBuildSelect(e->b, one, x, LLVMBuildSelect(e->b, minus, sign, zero(x), ""), "");
  return LLVMBuildSelect(e->b, negative, inverse, result, "");
}

/* ---- comparisons -------------------------------------------------------------------------------------------
 */

static LLVMValueRef compare(struct tn_emit *e, enum tn_op op, enum tn_dtype dtype, LLVMValueRef a,
                            LLVMValueRef b) {
  if (tn_dtype_is_float(dtype)) {
    LLVMRealPredicate p = op == TN_EQ   ? LLVMRealOEQ
                          : op == TN_NE ? LLVMRealUNE
                          : op == TN_LT ? LLVMRealOLT
                          : op == TN_LE ? LLVMRealOLE
                          : op == TN_GT ? LLVMRealOGT
                                        : LLVMRealOGE;
    return LLVMBuildFCmp(e->b, p, a, b, "");
  }
  bool s = dtype == TN_INDEX || tn_dtype_is_signed(dtype);
  LLVMIntPredicate p = op == TN_EQ   ? LLVMIntEQ
                       : op == TN_NE ? LLVMIntNE
                       : op == TN_LT ? (s ? LLVMIntSLT : LLVMIntULT)
                       : op == TN_LE ? (s ? LLVMIntSLE : LLVMIntULE)
                       : op == TN_GT ? (s ? LLVMIntSGT : LLVMIntUGT)
                                     : (s ? LLVMIntSGE : LLVMIntUGE);
  return LLVMBuildICmp(e->b, p, a, b, "");
}

/* ---- conversions -------------------------------------------------------------------------------------------
 */

/* Lanes of floats to integers of at most 32 bits through i32: x86 has only that conversion for vectors, and
 * LLVM would take saturating ones apart.  Clamped before, so that every lane converts; nan becomes 0. */
static LLVMValueRef lanes_to_int(struct tn_emit *e, enum tn_dtype to, LLVMValueRef v) {
  bool is_signed = tn_dtype_is_signed(to),
       f32 = LLVMGetElementType(LLVMTypeOf(v)) == LLVMFloatTypeInContext(e->c);
  int bits = (int)tn_dtype_size(to) * 8;
  double low = is_signed ? -(double)((int64_t)1 << (bits - 1)) : 0;
  double high = (double)(((int64_t)1 << (is_signed ? bits - 1 : bits)) - 1);
  double most = bits == 32 && f32 ? 2147483520.0 : high; /* the largest float below 2^31 */
  LLVMTypeRef i32 = tn_emit_widen(e, LLVMInt32TypeInContext(e->c), true);
  LLVMValueRef bottom = like(e, v, low), top = like(e, v, most);
  LLVMValueRef x = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealORD, v, v, ""), v, zero(v), "");
  x = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOGT, x, bottom, ""), x, bottom, "");
  x = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOLT, x, top, ""), x, top, "");
  LLVMValueRef r = LLVMBuildFPToSI(e->b, x, i32, "");
  if (most != high)
    r = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOGT, v, top, ""), like(e, r, high), r, "");
  return bits == 32 ? r : LLVMBuildTrunc(e->b, r, tn_emit_widen(e, tn_emit_type(e, to), true), "");
}

/* To fewer bits through an i32 that is clamped: processors whose conversion to i32 saturates have short code
 * for both. */
static LLVMValueRef through_i32(struct tn_emit *e, enum tn_dtype to, LLVMValueRef v) {
  bool is_signed = tn_dtype_is_signed(to);
  int bits = (int)tn_dtype_size(to) * 8;
  LLVMTypeRef overload[2] = {retyped(e, v, LLVMInt32TypeInContext(e->c)), LLVMTypeOf(v)};
  LLVMValueRef r = tn_emit_call(e, "llvm.fptosi.sat", overload, 2, &v, 1);
  LLVMValueRef low = like(e, r, is_signed ? -(double)(1 << (bits - 1)) : 0),
               high = like(e, r, (1 << (is_signed ? bits - 1 : bits)) - 1);
  r = tn_emit_call(e, "llvm.smax", overload, 1, (LLVMValueRef[]){r, low}, 2);
  r = tn_emit_call(e, "llvm.smin", overload, 1, (LLVMValueRef[]){r, high}, 2);
  return LLVMBuildTrunc(e->b, r, retyped(e, v, tn_emit_type(e, to)), "");
}

static LLVMValueRef cast_float_to_int(struct tn_emit *e, enum tn_dtype to, LLVMValueRef v) {
  bool vec = LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
  bool x86 = strncmp(e->target->family, "x86", 3) == 0;
  if (vec && to != TN_INDEX && to != TN_U32 && tn_dtype_size(to) <= 4 && x86)
    return lanes_to_int(e, to, v);
  if (!x86 && to != TN_INDEX && tn_dtype_size(to) <= 2)
    return through_i32(e, to, v);
  LLVMTypeRef overload[2] = {retyped(e, v, tn_emit_type(e, to)), LLVMTypeOf(v)};
  bool is_signed = to == TN_INDEX || tn_dtype_is_signed(to);
  return tn_emit_call(e, is_signed ? "llvm.fptosi.sat" : "llvm.fptoui.sat", overload, 2, &v, 1);
}

/* A double as the float that is nearest, or, where that is another number, as the neighbour on v's side whose
 * last bit is set: rounded again to fewer bits, it gives what v itself would (Boldo and Melquiond, "Emulation
 * of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008). */
static LLVMValueRef to_odd_float(struct tn_emit *e, LLVMValueRef v) {
  LLVMTypeRef f32 = retyped(e, v, LLVMFloatTypeInContext(e->c)),
              i32 = retyped(e, v, LLVMInt32TypeInContext(e->c));
  LLVMValueRef r = LLVMBuildFPTrunc(e->b, v, f32, ""), back = LLVMBuildFPExt(e->b, r, LLVMTypeOf(v), "");
  LLVMValueRef bits = LLVMBuildBitCast(e->b, r, i32, "");
  LLVMTypeRef type = LLVMTypeOf(v);
  LLVMValueRef far = LLVMBuildFCmp(e->b, LLVMRealOGT, tn_emit_call(e, "llvm.fabs", &type, 1, &back, 1),
                                   tn_emit_call(e, "llvm.fabs", &type, 1, &v, 1), "");
  LLVMValueRef step = LLVMBuildSelect(e->b, far, like(e, bits, -1), like(e, bits, 1), "");
  LLVMValueRef even =
      LLVMBuildICmp(e->b, LLVMIntEQ, LLVMBuildAnd(e->b, bits, like(e, bits, 1), ""), zero(bits), "");
  LLVMValueRef moves = LLVMBuildAnd(e->b, even, LLVMBuildFCmp(e->b, LLVMRealONE, back, v, ""), "");
  bits = LLVMBuildSelect(e->b, moves, LLVMBuildAdd(e->b, bits, step, ""), bits, "");
  return LLVMBuildBitCast(e->b, bits, f32, "");
}

static LLVMValueRef cast(struct tn_emit *e, enum tn_dtype from, enum tn_dtype to, LLVMValueRef v) {
  LLVMTypeRef type = retyped(e, v, tn_emit_type(e, to));
  bool from_float = tn_dtype_is_float(from), to_float = tn_dtype_is_float(to);
  bool from_signed = from == TN_INDEX || tn_dtype_is_signed(from);
  if (to == TN_BOOL)
    return from == TN_BOOL ? v
           : from_float    ? LLVMBuildFCmp(e->b, LLVMRealUNE, v, zero(v), "")
                           : LLVMBuildICmp(e->b, LLVMIntNE, v, zero(v), "");
  if (from == TN_F64 && (to == TN_F16 || to == TN_BF16))
    return tn_emit_round(e, to, to_odd_float(e, v));
  if (from_float && to_float) {
    LLVMTypeRef have = LLVMTypeOf(v);
    LLVMValueRef r = have == type   ? v
                     : to == TN_F64 ? LLVMBuildFPExt(e->b, v, type, "")
                                    : LLVMBuildFPTrunc(e->b, v, type, "");
    return from == to ? r : tn_emit_round(e, to, r);
  }
  if (from_float)
    return cast_float_to_int(e, to, v);
  if (to_float) {
    LLVMValueRef r = from_signed ? LLVMBuildSIToFP(e->b, v, type, "") : LLVMBuildUIToFP(e->b, v, type, "");
    return tn_emit_round(e, to, r);
  }
  unsigned have = scalar_bits(v);
  unsigned want = LLVMGetIntTypeWidth(tn_emit_type(e, to));
  if (have == want)
    return v;
  return have > want   ? LLVMBuildTrunc(e->b, v, type, "")
         : from_signed ? LLVMBuildSExt(e->b, v, type, "")
                       : LLVMBuildZExt(e->b, v, type, "");
}

/* The bits in memory of a value, as an integer or a float of that size. */
static LLVMValueRef bitcast(struct tn_emit *e, enum tn_dtype from, enum tn_dtype to, LLVMValueRef v) {
  LLVMTypeRef i16 = LLVMInt16TypeInContext(e->c), i32 = LLVMInt32TypeInContext(e->c);
  if (from == TN_F16)
    v = tn_emit_float_to_half(e, v);
  else if (from == TN_BF16) {
    v = LLVMBuildBitCast(e->b, v, retyped(e, v, i32), "");
    v = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, v, like(e, v, 16), ""), retyped(e, v, i16), "");
  } else if (from == TN_BOOL)
    v = LLVMBuildZExt(e->b, v, retyped(e, v, LLVMInt8TypeInContext(e->c)), "");
  if (to == TN_F16)
    return tn_emit_half_to_float(e, v);
  if (to == TN_BF16) {
    v = LLVMBuildZExt(e->b, v, retyped(e, v, i32), "");
    v = LLVMBuildShl(e->b, v, like(e, v, 16), "");
    return LLVMBuildBitCast(e->b, v, retyped(e, v, LLVMFloatTypeInContext(e->c)), "");
  }
  if (to == TN_BOOL)
    return LLVMBuildICmp(e->b, LLVMIntNE, v, zero(v), "");
  return LLVMBuildBitCast(e->b, v, retyped(e, v, tn_emit_type(e, to)), "");
}

/* ---- unary -------------------------------------------------------------------------------------------------
 */

static LLVMValueRef sign_of(struct tn_emit *e, enum tn_dtype dtype, LLVMValueRef x) {
  LLVMValueRef one = like(e, x, 1), none = zero(x);
  if (tn_dtype_is_float(dtype)) {
    LLVMValueRef above = LLVMBuildFCmp(e->b, LLVMRealOGT, x, none, "");
    LLVMValueRef below = LLVMBuildFCmp(e->b, LLVMRealOLT, x, none, "");
    return LLVMBuildSelect(e->b, above, one, LLVMBuildSelect(e->b, below, like(e, x, -1), x, ""), "");
  }
  LLVMValueRef some = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntNE, x, none, ""), one, none, "");
  if (!tn_dtype_is_signed(dtype))
    return some;
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, x, none, ""), ones(x), some, "");
}

static LLVMValueRef is_inf(struct tn_emit *e, int flags, LLVMValueRef x) {
  LLVMTypeRef type = LLVMTypeOf(x);
  LLVMValueRef never = LLVMConstNull(retyped(e, x, LLVMInt1TypeInContext(e->c)));
  LLVMTypeRef scalar = LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
  double inf = __builtin_inf();
  LLVMValueRef plus = LLVMConstReal(scalar, inf), minus = LLVMConstReal(scalar, -inf);
  if (scalar != type) {
    plus = tn_emit_splat(e, plus);
    minus = tn_emit_splat(e, minus);
  }
  LLVMValueRef up = flags & 1 ? LLVMBuildFCmp(e->b, LLVMRealOEQ, x, plus, "") : never;
  LLVMValueRef down = flags & 2 ? LLVMBuildFCmp(e->b, LLVMRealOEQ, x, minus, "") : never;
  return LLVMBuildOr(e->b, up, down, "");
}

static LLVMValueRef unary(struct tn_emit *e, enum tn_op op, enum tn_dtype dtype, int flags, LLVMValueRef x) {
  bool is_float = tn_dtype_is_float(dtype);
  switch (op) {
  case TN_NEG:
    return is_float ? LLVMBuildFNeg(e->b, x, "") : LLVMBuildNeg(e->b, x, "");
  case TN_ABS:
    if (is_float)
      return call_same(e, "llvm.fabs", &x, 1);
    return tn_dtype_is_signed(dtype) ? LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, x, zero(x), ""),
                                                       LLVMBuildNeg(e->b, x, ""), x, "")
                                     : x;
  case TN_SIGN:
    return sign_of(e, dtype, x);
  case TN_NOT:
    return LLVMBuildNot(e->b, x, "");
  case TN_ISNAN:
    return LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
  case TN_ISINF:
    return is_inf(e, flags, x);
  default: /* the rest is mathematics */
    return tn_emit_round(e, dtype, tn_math_unary(&e->math, op, x));
  }
}

/* ---- binary ------------------------------------------------------------------------------------------------
 */

static LLVMValueRef float_binary(struct tn_emit *e, enum tn_op op, enum tn_dtype dtype, LLVMValueRef a,
                                 LLVMValueRef b) {
  LLVMValueRef v;
  switch (op) {
  case TN_ADD:
    v = LLVMBuildFAdd(e->b, a, b, "");
    break;
  case TN_SUB:
    v = LLVMBuildFSub(e->b, a, b, "");
    break;
  case TN_MUL:
    v = LLVMBuildFMul(e->b, a, b, "");
    break;
  case TN_DIV:
    v = LLVMBuildFDiv(e->b, a, b, "");
    break;
  default:
    v = tn_math_binary(&e->math, op, a, b);
    break;
  }
  return tn_emit_round(e, dtype, v);
}

static LLVMValueRef int_binary(struct tn_emit *e, enum tn_op op, enum tn_dtype dtype, LLVMValueRef a,
                               LLVMValueRef b) {
  bool is_signed = dtype == TN_INDEX || tn_dtype_is_signed(dtype);
  LLVMValueRef q, r;
  switch (op) {
  case TN_ADD:
    return LLVMBuildAdd(e->b, a, b, "");
  case TN_SUB:
    return LLVMBuildSub(e->b, a, b, "");
  case TN_MUL:
    return LLVMBuildMul(e->b, a, b, "");
  case TN_DIV:
    if (dtype == TN_INDEX)
      return index_floor_div(e, a, b);
    int_divide(e, is_signed, a, b, &q, &r);
    return q;
  case TN_FMOD:
    int_divide(e, is_signed, a, b, &q, &r);
    return r;
  case TN_MOD:
    return int_mod(e, is_signed, a, b);
  case TN_POW:
    return int_pow(e, is_signed, a, b);
  case TN_SHL:
  case TN_SHR:
    return shift(e, op == TN_SHL, is_signed, a, b);
  case TN_DOT_S:
  case TN_DOT_U:
  case TN_DOT_W:
    return tn_emit_dot(e, op, NULL, a, b);
  default:
    tn_bug(tn_arena_ctx(e->arena), "no emission for the scalar operator %s of %s", tn_op_info(op)->name,
           tn_dtype_name(dtype));
  }
}

LLVMValueRef tn_emit_op(struct tn_emit *e, enum tn_op op, enum tn_dtype from, enum tn_dtype to, int flags,
                        LLVMValueRef *arg) {
  LLVMValueRef a = arg[0], b = arg[1];
  switch (op) {
  case TN_CAST:
    return cast(e, from, to, a);
  case TN_BITCAST:
    return bitcast(e, from, to, a);
  case TN_SELECT:
    return LLVMBuildSelect(e->b, a, b, arg[2], "");
  case TN_MAX:
  case TN_MIN:
    return extreme(e, op == TN_MAX, from, a, b);
  case TN_AND:
    return LLVMBuildAnd(e->b, a, b, "");
  case TN_OR:
    return LLVMBuildOr(e->b, a, b, "");
  case TN_XOR:
    return LLVMBuildXor(e->b, a, b, "");
  case TN_EQ:
  case TN_NE:
  case TN_LT:
  case TN_LE:
  case TN_GT:
  case TN_GE:
    return compare(e, op, from, a, b);
  default:
    if (!b)
      return unary(e, op, from, flags, a);
    return tn_dtype_is_float(from) ? float_binary(e, op, from, a, b) : int_binary(e, op, from, a, b);
  }
}

/* ---- reductions --------------------------------------------------------------------------------------------
 */

LLVMValueRef tn_emit_combine(struct tn_emit *e, enum tn_op combine, enum tn_dtype dtype, LLVMValueRef a,
                             LLVMValueRef b) {
  LLVMValueRef arg[3] = {a, b, NULL};
  return tn_emit_op(e, combine, dtype, dtype, 0, arg);
}

LLVMValueRef tn_emit_identity(const struct tn_emit *e, enum tn_op combine, enum tn_dtype dtype) {
  LLVMTypeRef type = tn_emit_type(e, dtype);
  bool is_float = tn_dtype_is_float(dtype), is_signed = tn_dtype_is_signed(dtype);
  double inf = __builtin_inf();
  unsigned bits = is_float ? 0 : LLVMGetIntTypeWidth(type);
  unsigned long long top = bits ? (unsigned long long)1 << (bits - 1) : 0;
  switch (combine) {
  case TN_MUL:
    return is_float ? LLVMConstReal(type, 1) : LLVMConstInt(type, 1, 0);
  case TN_AND:
    return LLVMConstAllOnes(type);
  case TN_MAX:
    return is_float ? LLVMConstReal(type, -inf) : LLVMConstInt(type, is_signed ? top : 0, 0);
  case TN_MIN:
    if (is_float)
      return LLVMConstReal(type, inf);
    return is_signed ? LLVMConstInt(type, top - 1, 0) : LLVMConstAllOnes(type);
  default: /* add, or */
    return is_float ? LLVMConstReal(type, 0) : LLVMConstInt(type, 0, 0);
  }
}
