/* A small vocabulary in which the formulas of math_*.c are written: each word emits one operation on values of
 * the type that struct fx holds, scalar or vector.  Private to codegen/math*.c, hence the short names.
 *
 * Invariants: no fast-math flag is ever set (the error-free sums and the rounding by a large constant below are
 * exact only without reassociation); a comparison with a nan is false.  C leaves open which argument of a call
 * is evaluated first, so at most one argument emits code (constants emit none): the order of instructions must
 * not depend on the compiler that built Tenon. */
#ifndef TENON_CODEGEN_MATH_BUILD_H
#define TENON_CODEGEN_MATH_BUILD_H

#include "codegen/math.h"
#include <math.h>

typedef LLVMValueRef val;

struct fx {
  LLVMBuilderRef b;
  LLVMModuleRef module;
  LLVMContextRef c;
  unsigned width;         /* 32 or 64: of one element */
  unsigned lanes;         /* 0: scalar */
  unsigned mantissa;      /* stored bits: 23 or 52 */
  int bias;               /* of the exponent: 127 or 1023 */
  LLVMTypeRef real, bits; /* float or double, and the integer of its width, or vectors of them */
  unsigned picks;         /* of struct tn_math, 0 for f64 */
  bool fma, round, sqrt;  /* have an instruction */
};

/* The error-free pair hi + lo, |lo| <= ulp(hi)/2. */
struct two {
  val hi, lo;
};

/* Multiples of pi/2. */
struct angle {
  val quadrant; /* bits; only the lowest two matter */
  struct two r; /* what is left, at most pi/4 (and a thousandth of it) */
};

/* math.c */
val tn_fx_splat(const struct fx *f, LLVMValueRef element); /* folds to a constant for a constant */
val tn_fx_intrinsic(const struct fx *f, const char *name, LLVMTypeRef type, val *args, unsigned count);
val tn_fx_round(const struct fx *f, enum tn_op op, val x); /* FLOOR CEIL TRUNC ROUND */
val tn_fx_pick(const struct fx *f, const double *table,
               val index); /* entry index % f->picks of so many floats */
/* A block of code for the rare case that `rare` holds in some lane: what is emitted between the two calls.  At
 * the end value[i] becomes now[i] where it ran. */
struct detour {
  LLVMBasicBlockRef before, after;
};
struct detour tn_fx_detour(const struct fx *f, val rare);
void tn_fx_detour_end(const struct fx *f, const struct detour *d, val *value, const val *now, unsigned count);
struct fx tn_fx_scalar(const struct fx *f); /* the same for one element */
/* math_exp.c */
val tn_fx_exp(const struct fx *f, val x);
val tn_fx_sigmoid(const struct fx *f, val x);
val tn_fx_softplus(const struct fx *f, val x);
val tn_fx_tanh(const struct fx *f, val x);
val tn_fx_sinh(const struct fx *f, val x);
val tn_fx_cosh(const struct fx *f, val x);
val tn_fx_erf(const struct fx *f, val x);
val tn_fx_exp2(const struct fx *f, struct two x); /* 2^x; saturates to 0 and inf */
/* math_log.c */
val tn_fx_log(const struct fx *f, val x);
val tn_fx_log1p(const struct fx *f, val x);
val tn_fx_asinh(const struct fx *f, val x);
val tn_fx_acosh(const struct fx *f, val x);
val tn_fx_atanh(const struct fx *f, val x);
val tn_fx_pow(const struct fx *f, val x, val y);
/* math_turn.c */
struct angle tn_fx_turn(const struct fx *f, val a); /* a >= 0; r.hi is a nan for an infinity */
/* math_trig.c */
val tn_fx_sin(const struct fx *f, val x);
val tn_fx_cos(const struct fx *f, val x);
val tn_fx_tan(const struct fx *f, val x);
val tn_fx_asin(const struct fx *f, val x);
val tn_fx_acos(const struct fx *f, val x);
val tn_fx_atan(const struct fx *f, val x);
/* math_loop.c */
/* An internal function of 1 or 2 arguments f->real, free of side effects; the module's if it has one of that
 * name. */
val tn_fx_helper(const struct fx *f, const char *name, LLVMTypeRef result, unsigned params, bool *is_new);
/* One for vectors of this type, kept out of line: NAME_f32x16. */
val tn_fx_rare_helper(const struct fx *f, const char *name, LLVMTypeRef result, unsigned params, bool *is_new);
val tn_fx_sqrt(const struct fx *f, val x);
val tn_fx_fmod(const struct fx *f, val x, val y);
val tn_fx_mod(const struct fx *f, val x, val y);

/* ---- constants ---- */

static inline val k(const struct fx *f, double value) {
  LLVMTypeRef type = f->lanes ? LLVMGetElementType(f->real) : f->real;
  return tn_fx_splat(f, LLVMConstReal(type, value));
}
static inline val ki(const struct fx *f, uint64_t value) {
  LLVMTypeRef type = f->lanes ? LLVMGetElementType(f->bits) : f->bits;
  return tn_fx_splat(f, LLVMConstInt(type, value, 0));
}
/* One of two constants, by width. */
static inline val k2(const struct fx *f, double f32, double f64) {
  return k(f, f->width == 32 ? f32 : f64);
}
/* 2^n */
static inline val kpow2(const struct fx *f, int n) {
  return k(f, ldexp(1, n));
}

/* ---- floating point ---- */

static inline val add(const struct fx *f, val a, val b) {
  return LLVMBuildFAdd(f->b, a, b, "");
}
static inline val sub(const struct fx *f, val a, val b) {
  return LLVMBuildFSub(f->b, a, b, "");
}
static inline val mul(const struct fx *f, val a, val b) {
  return LLVMBuildFMul(f->b, a, b, "");
}
static inline val quo(const struct fx *f, val a, val b) {
  return LLVMBuildFDiv(f->b, a, b, "");
}
static inline val neg(const struct fx *f, val a) {
  return LLVMBuildFNeg(f->b, a, "");
}
/* a * b + c, with one rounding or two */
static inline val mad(const struct fx *f, val a, val b, val c) {
  if (!f->fma)
    return add(f, mul(f, a, b), c);
  return tn_fx_intrinsic(f, "llvm.fma", f->real, (val[]){a, b, c}, 3);
}
static inline val mag(const struct fx *f, val a) {
  return tn_fx_intrinsic(f, "llvm.fabs", f->real, &a, 1);
}
static inline val with_sign(const struct fx *f, val a, val sign) {
  return tn_fx_intrinsic(f, "llvm.copysign", f->real, (val[]){a, sign}, 2);
}
static inline val horner(const struct fx *f, val x, const double *c, size_t count) {
  val y = k(f, c[count - 1]);
  for (size_t i = count - 1; i-- > 0;)
    y = mad(f, y, x, k(f, c[i]));
  return y;
}

/* ---- comparisons and choice ---- */

static inline val lt(const struct fx *f, val a, val b) {
  return LLVMBuildFCmp(f->b, LLVMRealOLT, a, b, "");
}
static inline val le(const struct fx *f, val a, val b) {
  return LLVMBuildFCmp(f->b, LLVMRealOLE, a, b, "");
}
static inline val eq(const struct fx *f, val a, val b) {
  return LLVMBuildFCmp(f->b, LLVMRealOEQ, a, b, "");
}
static inline val is_nan(const struct fx *f, val a, val b) {
  return LLVMBuildFCmp(f->b, LLVMRealUNO, a, b, "");
}
static inline val both(const struct fx *f, val a, val b) {
  return LLVMBuildAnd(f->b, a, b, "");
}
static inline val differ(const struct fx *f, val a, val b) {
  return LLVMBuildXor(f->b, a, b, "");
}
static inline val no(const struct fx *f, val a) {
  return LLVMBuildNot(f->b, a, "");
}
static inline val sel(const struct fx *f, val cond, val a, val b) {
  return LLVMBuildSelect(f->b, cond, a, b, "");
}
/* Bounds that let a nan through (and are one instruction on x86). */
static inline val at_most(const struct fx *f, val x, val high) {
  return sel(f, lt(f, high, x), high, x);
}
static inline val at_least(const struct fx *f, val x, val low) {
  return sel(f, lt(f, x, low), low, x);
}

/* ---- integers ---- */

static inline val to_bits(const struct fx *f, val a) {
  return LLVMBuildBitCast(f->b, a, f->bits, "");
}
static inline val to_real(const struct fx *f, val a) {
  return LLVMBuildBitCast(f->b, a, f->real, "");
}
static inline val iadd(const struct fx *f, val a, val b) {
  return LLVMBuildAdd(f->b, a, b, "");
}
static inline val isub(const struct fx *f, val a, val b) {
  return LLVMBuildSub(f->b, a, b, "");
}
static inline val iand(const struct fx *f, val a, val b) {
  return LLVMBuildAnd(f->b, a, b, "");
}
static inline val ior(const struct fx *f, val a, val b) {
  return LLVMBuildOr(f->b, a, b, "");
}
static inline val ixor(const struct fx *f, val a, val b) {
  return LLVMBuildXor(f->b, a, b, "");
}
static inline val shl(const struct fx *f, val a, unsigned n) {
  return LLVMBuildShl(f->b, a, ki(f, n), "");
}
static inline val shr(const struct fx *f, val a, unsigned n) {
  return LLVMBuildLShr(f->b, a, ki(f, n), "");
}
static inline val sar(const struct fx *f, val a, unsigned n) {
  return LLVMBuildAShr(f->b, a, ki(f, n), "");
}
static inline val not_zero(const struct fx *f, val a) {
  return LLVMBuildICmp(f->b, LLVMIntNE, a, ki(f, 0), "");
}

/* Adding 1.5 * 2^mantissa to a small x rounds it to an integer, which then stands in the low bits of the sum.
 */
static inline double rounder(const struct fx *f) {
  return f->width == 32 ? 0x1.8p23 : 0x1.8p52;
}
static inline uint64_t rounder_bits(const struct fx *f) {
  return f->width == 32 ? 0x4B400000u : 0x4338000000000000u;
}
/* An integer |n| < 2^(mantissa - 1) as a real, without a conversion instruction (x86 has none for i64 vectors).
 */
static inline val int_to_real(const struct fx *f, val n) {
  return sub(f, to_real(f, iadd(f, n, ki(f, rounder_bits(f)))), k(f, rounder(f)));
}

/* ---- error-free transformations (Dekker 1971, Knuth) ---- */

/* a + b exactly; needs |a| >= |b| or a = 0 */
static inline struct two fast_two_sum(const struct fx *f, val a, val b) {
  val s = add(f, a, b);
  return (struct two){s, sub(f, b, sub(f, s, a))};
}
/* a * b: exact with a fused multiply-add; else by Dekker's product of halves cut by a mask, exact for f32 and
 * to 2^-106 for f64 */
static inline struct two two_prod(const struct fx *f, val a, val b) {
  val p = mul(f, a, b);
  if (f->fma)
    return (struct two){p, mad(f, a, b, neg(f, p))};
  val mask = ki(f, f->width == 32 ? 0xFFFFF000u : 0xFFFFFFFFF8000000u);
  val ah = to_real(f, iand(f, to_bits(f, a), mask)), al = sub(f, a, ah);
  val bh = to_real(f, iand(f, to_bits(f, b), mask)), bl = sub(f, b, bh);
  val e = sub(f, mul(f, ah, bh), p);
  e = add(f, e, mul(f, ah, bl));
  e = add(f, e, mul(f, al, bh));
  return (struct two){p, add(f, e, mul(f, al, bl))};
}

#endif
