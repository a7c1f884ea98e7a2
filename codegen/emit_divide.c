/* Quotients of integers in lanes by divisions of floats, since no processor divides vectors of integers.
 *
 * Of integers below 2^p in magnitude, exact in a format of more than p bits, the rounded quotient has the exact
 * one's integer part: where x / y is no integer it is 1 / y or more away from the next, a relative distance of
 * 1 / x, which is more than rounding moves it; and rounding never passes an integer.  The remainder x - q y is
 * exact in the same format.  So floats divide bytes and words, doubles i32, and i64 where all lanes are below
 * 2^51; other vectors of these take the processor's division, a lane at a time. */
#include "codegen/emit.h"

struct division {
  LLVMValueRef quotient, rest;
};

static LLVMValueRef splat(LLVMTypeRef type, LLVMValueRef element) {
  LLVMValueRef lane[256];
  unsigned lanes = LLVMGetVectorSize(type);
  for (unsigned i = 0; i < lanes; i++)
    lane[i] = element;
  return LLVMConstVector(lane, lanes);
}

static struct division by_integers(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
  return (struct division){LLVMBuildBinOp(e->b, is_signed ? LLVMSDiv : LLVMUDiv, x, y, ""),
                           LLVMBuildBinOp(e->b, is_signed ? LLVMSRem : LLVMURem, x, y, "")};
}

/* Of at most 32 bits. */
static struct division by_floats(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y,
                                 LLVMTypeRef real) {
  LLVMTypeRef type = LLVMTypeOf(x), i32 = LLVMVectorType(LLVMInt32TypeInContext(e->c), LLVMGetVectorSize(type));
  bool through_signed = is_signed || LLVMGetIntTypeWidth(LLVMGetElementType(type)) < 32;
  LLVMOpcode to_real = is_signed ? LLVMSIToFP : LLVMUIToFP, to_int = through_signed ? LLVMFPToSI : LLVMFPToUI;
  LLVMValueRef a = LLVMBuildCast(e->b, to_real, x, real, ""), b = LLVMBuildCast(e->b, to_real, y, real, "");
  LLVMValueRef q = LLVMBuildCast(e->b, to_int, LLVMBuildFDiv(e->b, a, b, ""), i32, "");
  LLVMValueRef whole = LLVMBuildCast(e->b, through_signed ? LLVMSIToFP : LLVMUIToFP, q, real, "");
  LLVMValueRef r = tn_emit_muladd(e, LLVMBuildFNeg(e->b, whole, ""), b, a);
  r = LLVMBuildCast(e->b, to_int, r, i32, "");
  if (type == i32)
    return (struct division){q, r};
  return (struct division){LLVMBuildTrunc(e->b, q, type, ""), LLVMBuildTrunc(e->b, r, type, "")};
}

/* Of 64 bits and below 2^51 in magnitude, which become doubles and integers again by way of 1.5 * 2^52, in
 * whose last bits they then stand. */
static struct division by_doubles(struct tn_emit *e, LLVMValueRef x, LLVMValueRef y, LLVMTypeRef real) {
  LLVMTypeRef type = LLVMTypeOf(x), f64 = LLVMDoubleTypeInContext(e->c), i64 = LLVMInt64TypeInContext(e->c);
  LLVMValueRef big = splat(real, LLVMConstReal(f64, 0x1.8p52)),
               bits = splat(type, LLVMConstInt(i64, 0x4338000000000000u, 0));
  LLVMValueRef n[2] = {x, y}, d[2];
  for (int i = 0; i < 2; i++) {
    d[i] = LLVMBuildBitCast(e->b, LLVMBuildAdd(e->b, n[i], bits, ""), real, "");
    d[i] = LLVMBuildFSub(e->b, d[i], big, "");
  }
  LLVMValueRef q = LLVMBuildFDiv(e->b, d[0], d[1], "");
  q = tn_emit_call(e, "llvm.trunc", &real, 1, &q, 1);
  LLVMValueRef r = tn_emit_muladd(e, LLVMBuildFNeg(e->b, q, ""), d[1], d[0]);
  LLVMValueRef *back[2] = {&q, &r};
  for (int i = 0; i < 2; i++) {
    LLVMValueRef sum = LLVMBuildFAdd(e->b, *back[i], big, "");
    *back[i] = LLVMBuildSub(e->b, LLVMBuildBitCast(e->b, sum, type, ""), bits, "");
  }
  return (struct division){q, r};
}

/* 1 where x or y is not below 2^51. */
static LLVMValueRef is_far(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
  LLVMTypeRef type = LLVMTypeOf(x), i64 = LLVMInt64TypeInContext(e->c);
  LLVMValueRef n[2] = {x, y};
  for (int i = 0; i < 2; i++) { /* the upper bits of n + 2^51 or n are none */
    if (is_signed)
      n[i] = LLVMBuildAdd(e->b, n[i], splat(type, LLVMConstInt(i64, (uint64_t)1 << 51, 0)), "");
  }
  LLVMValueRef both = LLVMBuildOr(e->b, n[0], n[1], "");
  LLVMValueRef limit = splat(type, LLVMConstInt(i64, ((uint64_t)1 << (is_signed ? 52 : 51)) - 1, 0));
  LLVMValueRef far = LLVMBuildICmp(e->b, LLVMIntUGT, both, limit, "");
  LLVMTypeRef mask = LLVMTypeOf(far);
  return tn_emit_call(e, "llvm.vector.reduce.or", &mask, 1, &far, 1);
}

bool tn_emit_divide_lanes(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y,
                          LLVMValueRef *quotient, LLVMValueRef *rest) {
  LLVMTypeRef type = LLVMTypeOf(x);
  if (LLVMGetTypeKind(type) != LLVMVectorTypeKind || LLVMGetVectorSize(type) > 256 || LLVMIsConstant(y))
    return false; /* LLVM multiplies by the inverse of a constant */
  bool x86 = strncmp(e->target->family, "x86", 3) == 0, aarch64 = strncmp(e->target->family, "aarch64", 7) == 0;
  unsigned bits = LLVMGetIntTypeWidth(LLVMGetElementType(type)), lanes = LLVMGetVectorSize(type);
  if (bits > 16 ? !x86 : !x86 && !aarch64)
    return false;
  LLVMTypeRef real =
      LLVMVectorType(bits > 16 ? LLVMDoubleTypeInContext(e->c) : LLVMFloatTypeInContext(e->c), lanes);
  struct division d;
  if (bits <= 32) {
    d = by_floats(e, is_signed, x, y, real);
    *quotient = d.quotient;
    *rest = d.rest;
    return true;
  }
  if (!e->target->round)
    return false;
  LLVMValueRef far = is_far(e, is_signed, x, y);
  LLVMValueRef function = LLVMGetBasicBlockParent(LLVMGetInsertBlock(e->b));
  LLVMBasicBlockRef block[2] = {LLVMAppendBasicBlockInContext(e->c, function, "near"),
                                LLVMAppendBasicBlockInContext(e->c, function, "far")},
                    after = LLVMAppendBasicBlockInContext(e->c, function, "divided");
  LLVMBuildCondBr(e->b, far, block[1], block[0]);
  LLVMValueRef q[2], r[2];
  for (int i = 0; i < 2; i++) {
    LLVMPositionBuilderAtEnd(e->b, block[i]);
    d = i == 0 ? by_doubles(e, x, y, real) : by_integers(e, is_signed, x, y);
    q[i] = d.quotient;
    r[i] = d.rest;
    LLVMBuildBr(e->b, after);
  }
  LLVMPositionBuilderAtEnd(e->b, after);
  *quotient = LLVMBuildPhi(e->b, type, "");
  *rest = LLVMBuildPhi(e->b, type, "");
  LLVMAddIncoming(*quotient, q, block, 2);
  LLVMAddIncoming(*rest, r, block, 2);
  return true;
}
