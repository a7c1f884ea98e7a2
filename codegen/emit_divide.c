/* Division of f32 vectors by a constant, as products, with the bits of a division.
 *
 * With z the constant's reciprocal rounded to nearest, q = x * z is within 1.5 units in the last place of x /
 * c; each step q = fma(fma(-c, q, x), z, q) takes the exact remainder along.  One step from a q within one unit
 * is correctly rounded (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor",
 * 1990, theorem 8); where the reciprocal's error leaves q further off a step more brings it there.  A quotient
 * of 24-bit numbers is no nearer to a midpoint than half a unit / C, C the constant's mantissa as an integer:
 * the reciprocal's error must be under that, which is checked for the constant.
 *
 * The remainder is exact only while nothing overflows or underflows, and a quotient of -0 would lose its sign:
 * the dividend must be known to be 0 or of moderate size.  Requantization is: an i32 times scales.  Elsewhere,
 * and where there is no fused multiply-add, a division stays one. */
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

/* Steps after the first product; 0: the constant has no such reciprocal. */
static int steps_for(double c, double *reciprocal) {
  int e;
  double mantissa = frexp(c, &e) * (1 << 24); /* [2^23, 2^24) */
  *reciprocal = (double)(float)(1 / c);
  double error = fabs(*reciprocal * c - 1); /* exact: 48 bits, less nearly itself */
  if (e < -40 || e > 40 || error * mantissa >= 0.999)
    return 0;
  return error < ldexp(0.999, -25) ? 1 : 2;
}

LLVMValueRef tn_emit_quotient(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef dividend) {
  const struct tn_expr *by = x->op.arg[1];
  struct span s;
  double reciprocal;
  if (!e->target->fma || x->dtype != TN_F32 || by->kind != TN_EX_FLOAT || !(by->f > 0) || !isfinite(by->f) ||
      !span_of(x->op.arg[0], 12, &s) || s.low < -70 || s.high > 70)
    return NULL;
  int steps = steps_for(by->f, &reciprocal);
  if (!steps)
    return NULL;
  LLVMTypeRef f32 = LLVMFloatTypeInContext(e->c);
  LLVMValueRef z = tn_emit_splat(e, LLVMConstReal(f32, reciprocal)),
               minus = tn_emit_splat(e, LLVMConstReal(f32, -by->f));
  LLVMValueRef q = LLVMBuildFMul(e->b, dividend, z, "");
  for (int i = 0; i < steps; i++)
    q = tn_emit_muladd(e, tn_emit_muladd(e, minus, q, dividend), z, q);
  return q;
}
