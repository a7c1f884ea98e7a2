/* Quantization in f32 vectors: division by a constant as products, rounding to an integer as one addition, with
 * the bits of the definitions.
 *
 * Division: with zh + zl the constant's reciprocal, each part rounded to nearest, q = fma(x, zh, x * zl) is
 * within 2^-47 q of x / c before its own rounding.  It is the rounded quotient unless a midpoint of two floats
 * lies between, and x / c comes that near to one for a few mantissas x only: they are found by solving a
 * congruence, and tried (after Brisebarre, Muller and Raina, "Accelerating correctly rounded floating-point
 * division when the divisor is known in advance", 2004).  A constant that fails keeps its division.
 *
 * That is exact only while nothing overflows or underflows, and a quotient of -0 would lose its sign: the
 * dividend must be known to be 0 or of moderate size.  Requantization is: an i32 times scales.  Elsewhere, and
 * where there is no fused multiply-add, a division stays one.
 *
 * Rounding: a number between -2^21 and 2^21 plus 1.5 * 2^23 has the nearest integer, ties to even, in the low
 * bits of its mantissa. */
#include "codegen/emit.h"

#include <math.h>

/* What a value may be: +0 or a number whose magnitude is in [2^low, 2^high]. */
struct span {
  int low, high;
};

static bool span_of_number(double v, struct span *s) {
  int e;
  if (!isfinite(v) || (v == 0 && signbit(v)))
    return false;
  if (v == 0) {
    *s = (struct span){1000, -1000}; /* no number yet */
    return true;
  }
  frexp(v, &e);
  *s = (struct span){e - 1, e};
  return true;
}

static void join(struct span *s, const struct span *other) {
  s->low = other->low < s->low ? other->low : s->low;
  s->high = other->high > s->high ? other->high : s->high;
}

static bool span_of_data(const struct tn_buf *buf, bool positive, struct span *s) {
  if (!buf->data || buf->count == 0 || buf->count > 65536 || buf->dtype != TN_F32)
    return false;
  *s = (struct span){1000, -1000};
  for (int64_t i = 0; i < buf->count; i++) {
    struct span one;
    double v = tn_tensor_float(buf->data, i);
    if ((positive && v < 0) || !span_of_number(v, &one))
      return false;
    join(s, &one);
  }
  return true;
}

static bool positive_span(const struct tn_expr *x, struct span *s) {
  if (x->kind == TN_EX_FLOAT)
    return x->f > 0 && span_of_number(x->f, s);
  return x->kind == TN_EX_LOAD && !x->load.guard && span_of_data(x->load.buf, true, s);
}

static bool span_of(const struct tn_expr *x, int depth, struct span *s) {
  struct span other;
  if (depth == 0 || x->dtype != TN_F32)
    return false;
  if (x->kind == TN_EX_FLOAT)
    return span_of_number(x->f, s);
  if (x->kind == TN_EX_LOAD)
    return !x->load.guard && span_of_data(x->load.buf, false, s);
  if (x->kind != TN_EX_OP)
    return false;
  struct tn_expr *const *arg = x->op.arg;
  switch ((int)x->op.op) {
  case TN_CAST:
    *s = (struct span){0, 32};
    return tn_dtype_is_int(arg[0]->dtype) && tn_dtype_size(arg[0]->dtype) <= 4;
  case TN_MUL: { /* by something positive: 0 * -1 would be -0 */
    int scale = positive_span(arg[1], &other) ? 1 : 0;
    if ((!scale && !positive_span(arg[0], &other)) || !span_of(arg[1 - scale], depth - 1, s))
      return false;
    *s = (struct span){s->low + other.low, s->high + other.high};
    return true;
  }
  case TN_DIV:
    if (!positive_span(arg[1], &other) || !span_of(arg[0], depth - 1, s))
      return false;
    *s = (struct span){s->low - other.high, s->high - other.low};
    return true;
  case TN_ADD:
  case TN_SUB:
  case TN_MAX:
  case TN_MIN:
    if (!span_of(arg[0], depth - 1, s) || !span_of(arg[1], depth - 1, &other))
      return false;
    join(s, &other);
    if (x->op.op == TN_ADD || x->op.op == TN_SUB) {
      s->low -= 24; /* a multiple of the smaller one's last place */
      s->high += 1;
    }
    return true;
  default:
    return false;
  }
}

/* Whether the product with zh + zl gives the rounded quotient by c = mantissa * a power of two for the dividend
 * of mantissa x. */
static bool divides(uint64_t x, double c, float zh, float zl) {
  float dividend = (float)x;
  return fmaf(dividend, zh, dividend * zl) == dividend / (float)c;
}

/* ... for every dividend.  Mantissas X and C are integers of 24 bits, a midpoint is M / 2^s with an odd M of 25
 * bits, s = 24 for quotients from 1 on and 25 below; 2^s X - M C is an integer, and where it is larger than 3
 * the midpoint is too far off.  So M C = -k modulo 2^s for a small k. */
static bool divides_all(double c, float zh, float zl) {
  int e;
  uint64_t mantissa = (uint64_t)(frexp(c, &e) * (1 << 24)), odd = mantissa, inverse = 1;
  int even = 0;
  for (; odd % 2 == 0; odd /= 2)
    even++;
  for (int i = 0; i < 6; i++) /* Newton's: twice the bits each time */
    inverse *= 2 - odd * inverse;
  for (int s = 24; s <= 25; s++)
    for (int64_t k = -4; k <= 4; k++) {
      if (k == 0 || k % ((int64_t)1 << even))
        continue;
      uint64_t step = (uint64_t)1 << (s - even), m = (uint64_t)(-(k / ((int64_t)1 << even))) * inverse % step;
      m += ((1 << 24) - m + step - 1) / step * step;
      for (; m < 1 << 25; m += step) {
        uint64_t x = (m * mantissa + (uint64_t)k) >> s;
        if (x >= 1 << 23 && x < 1 << 24 && !divides(x, c, zh, zl))
          return false;
      }
    }
  return divides(1 << 23, c, zh, zl) && divides((1 << 24) - 1, c, zh, zl);
}

LLVMValueRef tn_emit_quotient(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef dividend) {
  const struct tn_expr *by = x->op.arg[1];
  struct span s;
  if (!e->target->fma || x->dtype != TN_F32 || by->kind != TN_EX_FLOAT || !(by->f > 0x1p-40) ||
      !(by->f < 0x1p40) || !span_of(x->op.arg[0], 12, &s) || s.low < -70 || s.high > 70)
    return NULL;
  float zh = (float)(1 / by->f), zl = (float)((1 - by->f * (double)zh) / by->f);
  if (!divides_all(by->f, zh, zl))
    return NULL;
  LLVMTypeRef f32 = LLVMFloatTypeInContext(e->c);
  LLVMValueRef high = tn_emit_splat(e, LLVMConstReal(f32, (double)zh));
  if (zl == 0)
    return LLVMBuildFMul(e->b, dividend, high, "");
  LLVMValueRef low = LLVMBuildFMul(e->b, dividend, tn_emit_splat(e, LLVMConstReal(f32, (double)zl)), "");
  return tn_emit_muladd(e, dividend, high, low);
}

/* ---- rounding ------------------------------------------------------------------------------------------ */

#define MAGIC 12582912.0 /* 1.5 * 2^23 */

const struct tn_expr *tn_quantized(const struct tn_emit *e, const struct tn_expr *x, double *zero) {
  struct span s;
  *zero = 0;
  if (x->op.op != TN_CAST || !tn_dtype_is_int(x->dtype) || tn_dtype_size(x->dtype) > 2 ||
      x->op.arg[0]->dtype != TN_F32 || e->target->vector_bytes == 0)
    return NULL;
  x = x->op.arg[0];
  if (x->kind == TN_EX_OP && x->op.op == TN_ADD && x->op.arg[1]->kind == TN_EX_FLOAT) {
    *zero = x->op.arg[1]->f;
    x = x->op.arg[0];
  }
  if (x->kind != TN_EX_OP || x->op.op != TN_ROUND || *zero != floor(*zero) || fabs(*zero) > 65536 ||
      !span_of(x->op.arg[0], 14, &s) || s.high > 120)
    return NULL;
  return x->op.arg[0];
}

static LLVMValueRef choose(struct tn_emit *e, LLVMRealPredicate p, LLVMValueRef a, double limit) {
  LLVMValueRef b = tn_emit_splat(e, LLVMConstReal(LLVMFloatTypeInContext(e->c), limit));
  return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, p, a, b, ""), a, b, "");
}

LLVMValueRef tn_emit_quantized(struct tn_emit *e, enum tn_dtype to, LLVMValueRef q, double zero) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c), f32 = LLVMFloatTypeInContext(e->c);
  int bits = (int)tn_dtype_size(to) * 8;
  double low = tn_dtype_is_signed(to) ? -ldexp(1, bits - 1) : 0, high = low + ldexp(1, bits) - 1;
  q = choose(e, LLVMRealOGT, q, low - zero); /* integers: what is outside rounds to outside */
  q = choose(e, LLVMRealOLT, q, high - zero);
  bool even = fmod(zero, 2) == 0; /* and ties stay where they are */
  q = LLVMBuildFAdd(e->b, q, tn_emit_splat(e, LLVMConstReal(f32, MAGIC + (even ? zero : 0))), "");
  q = LLVMBuildBitCast(e->b, q, tn_emit_widen(e, i32, true), "");
  if (!even)
    q = LLVMBuildAdd(e->b, q, tn_emit_splat(e, LLVMConstInt(i32, (unsigned long long)(int64_t)zero, 1)), "");
  return LLVMBuildTrunc(e->b, q, tn_emit_widen(e, LLVMIntTypeInContext(e->c, (unsigned)bits), true), "");
}
