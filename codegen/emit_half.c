/* float16: conversions by the processor, or in integer arithmetic where it has no instructions for them - the
 * library functions that LLVM would call instead are not in every toolchain. */
#include "codegen/emit.h"

static LLVMTypeRef retyped(LLVMValueRef v, LLVMTypeRef scalar) {
  LLVMTypeRef type = LLVMTypeOf(v);
  return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMVectorType(scalar, LLVMGetVectorSize(type)) : scalar;
}

/* The number in each lane of `type`, an integer type or a vector of it. */
static LLVMValueRef number(struct tn_emit *e, LLVMTypeRef type, uint32_t n) {
  if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
    return LLVMConstInt(type, n, 0);
  unsigned lanes = LLVMGetVectorSize(type);
  LLVMValueRef *each = TN_NEW_ARRAY(e->arena, LLVMValueRef, lanes);
  for (unsigned i = 0; i < lanes; i++)
    each[i] = LLVMConstInt(LLVMGetElementType(type), n, 0);
  return LLVMConstVector(each, lanes);
}

static LLVMValueRef less(struct tn_emit *e, LLVMValueRef a, uint32_t n) {
  return LLVMBuildICmp(e->b, LLVMIntULT, a, number(e, LLVMTypeOf(a), n), "");
}

LLVMValueRef tn_emit_half_to_float(struct tn_emit *e, LLVMValueRef bits) {
  LLVMTypeRef f32 = retyped(bits, LLVMFloatTypeInContext(e->c)),
              i32 = retyped(bits, LLVMInt32TypeInContext(e->c));
  if (e->target->half)
    return LLVMBuildFPExt(e->b, LLVMBuildBitCast(e->b, bits, retyped(bits, LLVMHalfTypeInContext(e->c)), ""),
                          f32, "");
#define N(n) number(e, i32, n)
  LLVMValueRef x = LLVMBuildZExt(e->b, bits, i32, ""), magnitude = LLVMBuildAnd(e->b, x, N(0x7FFF), "");
  LLVMValueRef moved = LLVMBuildShl(e->b, magnitude, N(13), "");
  LLVMValueRef normal = LLVMBuildAdd(e->b, moved, N(112u << 23), ""); /* the exponents' biases: 127 and 15 */
  LLVMValueRef special = LLVMBuildAdd(e->b, moved, N(224u << 23), "");
  LLVMValueRef r = LLVMBuildSelect(e->b, less(e, magnitude, 0x7C00), normal, special, "");
  /* A subnormal is its mantissa times 2^-24, which is a normal float: no processor flushes it. */
  LLVMValueRef unit = LLVMBuildBitCast(e->b, N((127u - 24) << 23), f32, "");
  LLVMValueRef small = LLVMBuildFMul(e->b, LLVMBuildSIToFP(e->b, magnitude, f32, ""), unit, "");
  r = LLVMBuildSelect(e->b, less(e, magnitude, 0x0400), LLVMBuildBitCast(e->b, small, i32, ""), r, "");
  LLVMValueRef sign = LLVMBuildShl(e->b, LLVMBuildAnd(e->b, x, N(0x8000), ""), N(16), "");
  return LLVMBuildBitCast(e->b, LLVMBuildOr(e->b, r, sign, ""), f32, "");
}

LLVMValueRef tn_emit_float_to_half(struct tn_emit *e, LLVMValueRef v) {
  LLVMTypeRef i16 = retyped(v, LLVMInt16TypeInContext(e->c)), i32 = retyped(v, LLVMInt32TypeInContext(e->c));
  if (e->target->half)
    return LLVMBuildBitCast(e->b, LLVMBuildFPTrunc(e->b, v, retyped(v, LLVMHalfTypeInContext(e->c)), ""), i16,
                            "");
  LLVMValueRef x = LLVMBuildBitCast(e->b, v, i32, ""), a = LLVMBuildAnd(e->b, x, N(0x7FFFFFFF), "");
  /* To nearest even: half a unit less one bit, and that bit when the unit's is odd; a carry goes into the
   * exponent. */
  LLVMValueRef odd = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, a, N(13), ""), N(1), "");
  LLVMValueRef r = LLVMBuildAdd(e->b, LLVMBuildAdd(e->b, a, odd, ""), N(0xFFFu - (112u << 23)), "");
  r = LLVMBuildLShr(e->b, r, N(13), "");
  r = LLVMBuildSelect(e->b, less(e, a, 0x47800000), r, N(0x7C00), ""); /* 65536 */
  /* Below 2^-14: beside 0.5, whose unit is 2^-24, the processor's own addition rounds. */
  LLVMValueRef half = LLVMBuildBitCast(e->b, N(0x3F000000), LLVMTypeOf(v), "");
  LLVMValueRef sum = LLVMBuildFAdd(e->b, LLVMBuildBitCast(e->b, a, LLVMTypeOf(v), ""), half, "");
  LLVMValueRef small = LLVMBuildSub(e->b, LLVMBuildBitCast(e->b, sum, i32, ""), N(0x3F000000), "");
  r = LLVMBuildSelect(e->b, less(e, a, 0x38800000), small, r, "");
  LLVMValueRef nan =
      LLVMBuildOr(e->b, LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, a, N(13), ""), N(0x3FF), ""), N(0x7E00), "");
  r = LLVMBuildSelect(e->b, less(e, a, 0x7F800001), r, nan, "");
  LLVMValueRef sign = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, x, N(16), ""), N(0x8000), "");
#undef N
  return LLVMBuildTrunc(e->b, LLVMBuildOr(e->b, r, sign, ""), i16, "");
}
