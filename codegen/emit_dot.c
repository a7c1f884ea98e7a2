/* Emission of TN_DOT_S and TN_DOT_U, sums of products of bytes, and TN_DOT_W, of words: what they say, shift by
 * shift, and the instructions of processors that have better ones.  All of them are exact.
 *
 *   x86 with VNNI      vpdpbusd: four products, unsigned with signed, added to each i32 lane
 *   x86 without        pmaddwd on the bytes of even and of odd numbers, as words
 *   AArch64 dotprod    sdot (and usdot): four products added to each i32 lane
 *   AArch64 without    smull of bytes to words, neighbours added twice
 *   ARMv7 NEON         vmlal: products of words added to i32, one at a time
 *   Cortex-M with DSP    sxtb16 (uxtb16) and smlad: two products added to an i32 */
#include "codegen/emit.h"

static LLVMTypeRef vector_of(const struct tn_emit *e, unsigned bits, unsigned lanes) {
  return LLVMVectorType(LLVMIntTypeInContext(e->c, bits), lanes);
}

static LLVMValueRef constant_like(LLVMTypeRef type, uint64_t value) {
  if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
    return LLVMConstInt(type, value, 0);
  LLVMValueRef all[64], one = LLVMConstInt(LLVMGetElementType(type), value, 0);
  unsigned lanes = LLVMGetVectorSize(type);
  for (unsigned i = 0; i < lanes; i++)
    all[i] = one;
  return LLVMConstVector(all, lanes);
}

/* ---- by shifts ----------------------------------------------------------------------------------------- */

/* Part k, of `width` bits, of each element of v, extended. */
static LLVMValueRef part_of(struct tn_emit *e, LLVMValueRef v, unsigned bits, unsigned width, unsigned k,
                            bool is_signed) {
  LLVMTypeRef type = LLVMTypeOf(v);
  v = LLVMBuildShl(e->b, v, constant_like(type, bits - width - width * k), "");
  LLVMValueRef down = constant_like(type, bits - width);
  return is_signed ? LLVMBuildAShr(e->b, v, down, "") : LLVMBuildLShr(e->b, v, down, "");
}

static LLVMValueRef by_shifts(struct tn_emit *e, enum tn_op op, LLVMValueRef acc, LLVMValueRef x,
                              LLVMValueRef y) {
  LLVMTypeRef type = LLVMTypeOf(x), scalar = type;
  if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
    scalar = LLVMGetElementType(type);
  unsigned bits = LLVMGetIntTypeWidth(scalar);
  unsigned width = op == TN_DOT_W ? 16 : 8;
  for (unsigned k = 0; k < bits / width; k++) {
    LLVMValueRef product = LLVMBuildMul(e->b, part_of(e, x, bits, width, k, op != TN_DOT_U),
                                        part_of(e, y, bits, width, k, true), "");
    acc = acc ? LLVMBuildAdd(e->b, acc, product, "") : product;
  }
  return acc ? acc : constant_like(type, 0);
}

/* ---- x86 ----------------------------------------------------------------------------------------------- */

/* The intrinsic on arguments that are bitcast to the types it has. */
static LLVMValueRef call_bits(struct tn_emit *e, const char *name, LLVMValueRef *arg, unsigned count) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  if (!id)
    tn_bug(tn_arena_ctx(e->arena), "this LLVM has no intrinsic %s", name);
  LLVMTypeRef type = LLVMIntrinsicGetType(e->c, id, NULL, 0), want[3];
  LLVMGetParamTypes(type, want);
  for (unsigned i = 0; i < count; i++)
    arg[i] = LLVMBuildBitCast(e->b, arg[i], want[i], "");
  return LLVMBuildCall2(e->b, type, LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0), arg, count, "");
}

/* Words of the bytes of even numbers (odd: of odd ones). */
static LLVMValueRef words(struct tn_emit *e, LLVMValueRef v, unsigned lanes, bool odd, bool is_signed) {
  LLVMTypeRef type = vector_of(e, 16, lanes * 2);
  LLVMValueRef eight = constant_like(type, 8);
  v = LLVMBuildBitCast(e->b, v, type, "");
  if (!odd && !is_signed)
    return LLVMBuildAnd(e->b, v, constant_like(type, 255), "");
  if (!odd)
    v = LLVMBuildShl(e->b, v, eight, "");
  return is_signed ? LLVMBuildAShr(e->b, v, eight, "") : LLVMBuildLShr(e->b, v, eight, "");
}

static LLVMValueRef on_x86(struct tn_emit *e, bool x_signed, LLVMValueRef acc, LLVMValueRef x, LLVMValueRef y,
                           unsigned lanes) {
  if (e->target->dot && !x_signed) {
    const char *name = lanes == 4   ? "llvm.x86.avx512.vpdpbusd.128"
                       : lanes == 8 ? "llvm.x86.avx512.vpdpbusd.256"
                                    : "llvm.x86.avx512.vpdpbusd.512";
    return call_bits(e, name, (LLVMValueRef[]){acc ? acc : LLVMConstNull(LLVMTypeOf(x)), x, y}, 3);
  }
  const char *name = lanes == 4   ? "llvm.x86.sse2.pmadd.wd"
                     : lanes == 8 ? "llvm.x86.avx2.pmadd.wd"
                                  : "llvm.x86.avx512.pmaddw.d.512";
  for (int odd = 0; odd < 2; odd++) {
    LLVMValueRef arg[2] = {words(e, x, lanes, odd, x_signed), words(e, y, lanes, odd, true)};
    LLVMValueRef product = call_bits(e, name, arg, 2);
    acc = acc ? LLVMBuildAdd(e->b, acc, product, "") : product;
  }
  return acc;
}

bool tn_emit_has_words(const struct tn_emit *e, int lanes) {
  if (strcmp(e->target->family, "armv7-neon") == 0)
    return lanes == 4;
  return lanes >= 4 && e->target->dot_w;
}

LLVMValueRef tn_emit_words(struct tn_emit *e, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef low) {
  unsigned lanes = LLVMGetVectorSize(LLVMTypeOf(acc));
  LLVMValueRef arg[3] = {acc, a, low};
  if (strcmp(e->target->family, "armv7-neon") == 0) { /* vmlal: the lower words */
    LLVMTypeRef words = vector_of(e, 16, lanes), type = LLVMTypeOf(acc);
    LLVMValueRef half[2] = {LLVMBuildTrunc(e->b, a, words, ""), LLVMBuildTrunc(e->b, low, words, "")};
    return LLVMBuildAdd(e->b, acc, tn_emit_call(e, "llvm.arm.neon.vmulls", &type, 1, half, 2), "");
  }
  if (e->target->dot)
    return call_bits(e,
                     lanes == 4   ? "llvm.x86.avx512.vpdpwssd.128"
                     : lanes == 8 ? "llvm.x86.avx512.vpdpwssd.256"
                                  : "llvm.x86.avx512.vpdpwssd.512",
                     arg, 3);
  const char *name = lanes == 4   ? "llvm.x86.sse2.pmadd.wd"
                     : lanes == 8 ? "llvm.x86.avx2.pmadd.wd"
                                  : "llvm.x86.avx512.pmaddw.d.512";
  return LLVMBuildAdd(e->b, acc, call_bits(e, name, arg + 1, 2), "");
}

/* ---- AArch64 ------------------------------------------------------------------------------------------- */

/* Elements first, first + step, ... of a vector. */
static LLVMValueRef elements(struct tn_emit *e, LLVMValueRef v, unsigned first, unsigned step, unsigned count) {
  LLVMValueRef number[64];
  for (unsigned i = 0; i < count; i++)
    number[i] = LLVMConstInt(LLVMInt32TypeInContext(e->c), first + i * step, 0);
  return LLVMBuildShuffleVector(e->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(number, count), "");
}

/* Sums of neighbours, in elements of twice the width. */
static LLVMValueRef pairs(struct tn_emit *e, LLVMValueRef v, unsigned bits, unsigned count) {
  v = LLVMBuildSExt(e->b, v, vector_of(e, bits * 2, count), "");
  return LLVMBuildAdd(e->b, elements(e, v, 0, 2, count / 2), elements(e, v, 1, 2, count / 2), "");
}

static LLVMValueRef on_aarch64(struct tn_emit *e, bool x_signed, LLVMValueRef acc, LLVMValueRef x,
                               LLVMValueRef y, unsigned lanes) {
  LLVMTypeRef bytes = vector_of(e, 8, lanes * 4), type = LLVMTypeOf(x);
  x = LLVMBuildBitCast(e->b, x, bytes, "");
  y = LLVMBuildBitCast(e->b, y, bytes, "");
  if (e->target->dot) {
    LLVMTypeRef overload[2] = {type, bytes};
    LLVMValueRef arg[3] = {acc ? acc : LLVMConstNull(type), x, y};
    return tn_emit_call(e, x_signed ? "llvm.aarch64.neon.sdot" : "llvm.aarch64.neon.usdot", overload, 2, arg,
                        3);
  }
  LLVMTypeRef wide = vector_of(e, 16, lanes * 4);
  LLVMValueRef product =
      LLVMBuildMul(e->b, LLVMBuildSExt(e->b, x, wide, ""), LLVMBuildSExt(e->b, y, wide, ""), "");
  LLVMValueRef two = pairs(e, product, 16, lanes * 4);
  LLVMValueRef sum = LLVMBuildAdd(e->b, elements(e, two, 0, 2, lanes), elements(e, two, 1, 2, lanes), "");
  return acc ? LLVMBuildAdd(e->b, acc, sum, "") : sum;
}

/* ---- Cortex-M with DSP --------------------------------------------------------------------------------- */

static LLVMValueRef halves(struct tn_emit *e, LLVMValueRef v, bool odd, bool is_signed) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  if (odd) { /* a rotation, which the extension takes along */
    LLVMValueRef arg[3] = {v, v, LLVMConstInt(i32, 8, 0)};
    v = tn_emit_call(e, "llvm.fshr", &i32, 1, arg, 3);
  }
  return tn_emit_call(e, is_signed ? "llvm.arm.sxtb16" : "llvm.arm.uxtb16", NULL, 0, &v, 1);
}

static LLVMValueRef on_arm_dsp(struct tn_emit *e, bool x_signed, LLVMValueRef acc, LLVMValueRef x,
                               LLVMValueRef y) {
  acc = acc ? acc : LLVMConstNull(LLVMTypeOf(x));
  for (int odd = 0; odd < 2; odd++) {
    LLVMValueRef arg[3] = {halves(e, x, odd, x_signed), halves(e, y, odd, true), acc};
    acc = tn_emit_call(e, "llvm.arm.smlad", NULL, 0, arg, 3);
  }
  return acc;
}

/* ---- all ----------------------------------------------------------------------------------------------- */

/* With vectors of at least the narrowest register. */
static LLVMValueRef in_lanes(struct tn_emit *e, enum tn_op op, LLVMValueRef acc, LLVMValueRef x, LLVMValueRef y,
                             unsigned lanes, bool x86) {
  if (op == TN_DOT_W)
    return tn_emit_words(e, acc ? acc : LLVMConstNull(LLVMTypeOf(x)), x, y);
  return x86 ? on_x86(e, op == TN_DOT_S, acc, x, y, lanes) : on_aarch64(e, op == TN_DOT_S, acc, x, y, lanes);
}

LLVMValueRef tn_emit_dot(struct tn_emit *e, enum tn_op op, LLVMValueRef acc, LLVMValueRef x, LLVMValueRef y) {
  const struct tn_target *t = e->target;
  bool cheap = op == TN_DOT_W ? t->dot_w : op == TN_DOT_S ? t->dot_s : t->dot_u;
  LLVMTypeRef type = LLVMTypeOf(x);
  bool vec = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
  unsigned lanes = vec ? LLVMGetVectorSize(type) : 1;
  LLVMTypeRef scalar = vec ? LLVMGetElementType(type) : type;
  if (!cheap || LLVMGetIntTypeWidth(scalar) != 32)
    return by_shifts(e, op, acc, x, y);
  if (!vec)
    return t->dot && t->vector_bytes == 0 ? on_arm_dsp(e, op == TN_DOT_S, acc, x, y)
                                          : by_shifts(e, op, acc, x, y);
  bool x86 = strncmp(t->family, "x86", 3) == 0;
  unsigned least = x86 ? 4 : 2;
  if (lanes < least) { /* a part of the narrowest register */
    LLVMValueRef wide_x = elements(e, x, 0, 1, lanes), wide_y = y, wide_acc = acc, number[4];
    for (unsigned i = 0; i < least; i++)
      number[i] = i < lanes ? LLVMConstInt(LLVMInt32TypeInContext(e->c), i, 0)
                            : LLVMGetPoison(LLVMInt32TypeInContext(e->c));
    LLVMValueRef mask = LLVMConstVector(number, least), none = LLVMGetPoison(type);
    wide_x = LLVMBuildShuffleVector(e->b, x, none, mask, "");
    wide_y = LLVMBuildShuffleVector(e->b, y, none, mask, "");
    if (acc)
      wide_acc = LLVMBuildShuffleVector(e->b, acc, none, mask, "");
    return elements(e, in_lanes(e, op, wide_acc, wide_x, wide_y, least, x86), 0, 1, lanes);
  }
  return in_lanes(e, op, acc, x, y, lanes, x86);
}
