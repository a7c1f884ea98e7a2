/* What each scalar operator computes, over arrays of lanes: the one place where an operator's numbers are said.
 *
 * Floats are computed in double and rounded to their dtype after every operator; for f32 and narrower this is
 * the correctly rounded result of + - * / and sqrt.  Integers wrap, and division by zero gives 0.  MAX and MIN
 * order -0 below +0 and give a nan for a nan.  Positions (TN_INDEX) divide to minus infinity, all other
 * integers to zero. */
#include "codegen/nest.h"

#include <math.h>

/* ---- representation ----------------------------------------------------------------------------------------
 */

double tn_scalar_round(enum tn_dtype dtype, double value) {
  if (dtype == TN_F32)
    return (double)(float)value;
  if (dtype == TN_F16)
    return (double)tn_half_to_float(tn_double_to_half(value));
  if (dtype == TN_BF16) {
    uint16_t bits;
    tn_store_float(TN_BF16, &bits, 0, value);
    return (double)tn_bf16_to_float(bits);
  }
  return value;
}

int64_t tn_scalar_wrap(enum tn_dtype dtype, int64_t value) {
  switch (dtype) {
  case TN_I8:
    return (int8_t)value;
  case TN_I16:
    return (int16_t)value;
  case TN_I32:
    return (int32_t)value;
  case TN_U8:
    return (uint8_t)value;
  case TN_U16:
    return (uint16_t)value;
  case TN_U32:
    return (uint32_t)value;
  case TN_BOOL:
    return value != 0;
  default:
    return value;
  }
}

union tn_scalar tn_scalar_load(enum tn_dtype dtype, const void *data, int64_t i) {
  struct tn_tensor tensor = {.type = {.dtype = dtype == TN_INDEX ? TN_I64 : dtype}, .data = data};
  union tn_scalar out;
  if (tn_dtype_is_float(dtype))
    out.f = tn_tensor_float(&tensor, i);
  else
    out.i = tn_tensor_int(&tensor, i);
  return out;
}

void tn_scalar_store(enum tn_dtype dtype, void *data, int64_t i, union tn_scalar value) {
  if (tn_dtype_is_float(dtype))
    tn_store_float(dtype, data, i, value.f);
  else
    tn_store_int(dtype == TN_INDEX ? TN_I64 : dtype, data, i, value.i);
}

static int64_t int_limit(enum tn_dtype dtype, bool highest) {
  if (dtype == TN_BOOL)
    return highest;
  if (dtype == TN_INDEX)
    return highest ? INT64_MAX : INT64_MIN;
  int bits = (int)tn_dtype_size(dtype) * 8;
  uint64_t ones = ~(uint64_t)0 >> (64 - bits);
  if (!tn_dtype_is_signed(dtype))
    return highest ? (int64_t)ones : 0;
  return highest ? (int64_t)(ones >> 1) : -(int64_t)(ones >> 1) - 1;
}

union tn_scalar tn_scalar_identity(enum tn_op combine, enum tn_dtype dtype) {
  union tn_scalar out = {.i = 0};
  bool is_float = tn_dtype_is_float(dtype);
  switch (combine) {
  case TN_MUL:
    if (is_float)
      out.f = 1;
    else
      out.i = 1;
    return out;
  case TN_MAX:
  case TN_MIN:
    if (is_float)
      out.f = combine == TN_MIN ? (double)INFINITY : (double)-INFINITY;
    else
      out.i = int_limit(dtype, combine == TN_MIN);
    return out;
  case TN_AND:
    out.i = tn_scalar_wrap(dtype, -1);
    return out;
  default: /* ADD, OR: 0, whose bits are those of 0.0; a sum of nothing is +0 */
    return out;
  }
}

struct tn_expr *tn_ex_identity(struct tn_nest *n, enum tn_op combine, enum tn_dtype dtype) {
  union tn_scalar value = tn_scalar_identity(combine, dtype);
  return tn_dtype_is_float(dtype) ? tn_ex_float(n, dtype, value.f) : tn_ex_int(n, dtype, value.i);
}

/* ---- one element: the operators that need more than an expression ------------------------------------------
 */

static double sign_of(double x) {
  return isnan(x) ? x : (double)((x > 0) - (x < 0));
}

static double float_mod(double x, double y) {
  double rest = fmod(x, y);
  if (rest == 0)
    return copysign(0.0, y);
  return (rest < 0) != (y < 0) ? rest + y : rest;
}

static double float_max(double x, double y) {
  if (isnan(x) || isnan(y))
    return (double)NAN;
  return x == y ? (signbit(x) ? y : x) : x > y ? x : y;
}

static double float_min(double x, double y) {
  if (isnan(x) || isnan(y))
    return (double)NAN;
  return x == y ? (signbit(x) ? x : y) : x < y ? x : y;
}

static int64_t int_div(enum tn_dtype dtype, int64_t x, int64_t y) {
  if (y == 0)
    return 0;
  if (dtype == TN_U64)
    return (int64_t)((uint64_t)x / (uint64_t)y);
  if (dtype == TN_INDEX)
    return tn_floor_div(x, y);
  return y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

static int64_t int_fmod(enum tn_dtype dtype, int64_t x, int64_t y) {
  if (y == 0)
    return 0;
  if (dtype == TN_U64)
    return (int64_t)((uint64_t)x % (uint64_t)y);
  return y == -1 ? 0 : x % y;
}

static int64_t int_mod(enum tn_dtype dtype, int64_t x, int64_t y) {
  if (y == 0)
    return 0;
  return dtype == TN_U64 ? int_fmod(dtype, x, y) : tn_floor_mod(x, y);
}

/* A negative exponent: the quotient 1 / x^-y, truncated. */
static int64_t int_pow(enum tn_dtype dtype, int64_t x, int64_t y) {
  if (y < 0 && dtype != TN_U64)
    return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  uint64_t base = (uint64_t)x, out = 1;
  for (uint64_t left = (uint64_t)y; left; left >>= 1) {
    if (left & 1)
      out *= base;
    base *= base;
  }
  return (int64_t)out;
}

static int64_t shift_left(enum tn_dtype dtype, int64_t x, int64_t y) {
  uint64_t bits = tn_dtype_size(dtype) * 8;
  return (uint64_t)y >= bits ? 0 : (int64_t)((uint64_t)x << y);
}

static int64_t shift_right(enum tn_dtype dtype, int64_t x, int64_t y) {
  uint64_t bits = tn_dtype_size(dtype) * 8;
  if (!tn_dtype_is_signed(dtype))
    return (uint64_t)y >= bits ? 0 : (int64_t)((uint64_t)x >> y);
  return x >> ((uint64_t)y >= bits ? bits - 1 : (uint64_t)y);
}

static bool is_inf(double x, int flags) {
  return isinf(x) && (flags & (x > 0 ? 1 : 2)) != 0;
}

/* Through the bytes of an element, with the conversions of tn_store_*. */
static union tn_scalar reread(enum tn_dtype dtype, enum tn_dtype from, union tn_scalar x, bool bits) {
  uint64_t bytes = 0;
  if (bits)
    tn_scalar_store(from, &bytes, 0, x);
  else if (tn_dtype_is_float(from))
    tn_store_float(dtype == TN_INDEX ? TN_I64 : dtype, &bytes, 0, x.f);
  else if (from == TN_U64 && tn_dtype_is_float(dtype) && x.i < 0) {
    /* halved with a sticky low bit, so that the one rounding is that of the whole number */
    int64_t half = (int64_t)((uint64_t)x.i >> 1 | ((uint64_t)x.i & 1));
    tn_store_int(dtype, &bytes, 0, half);
    union tn_scalar out = tn_scalar_load(dtype, &bytes, 0);
    out.f *= 2; /* overflows f16 to infinity, as it did before */
    return out;
  } else
    tn_store_int(dtype == TN_INDEX ? TN_I64 : dtype, &bytes, 0, x.i);
  return tn_scalar_load(dtype, &bytes, 0);
}

/* ---- lanes -------------------------------------------------------------------------------------------------
 */

#define LANES(to, expression)       \
  do {                              \
    for (int i = 0; i < count; i++) \
      out[i].to = (expression);     \
    return true;                    \
  } while (0)
#define X a[i].f
#define Y b[i].f
#define IX a[i].i
#define IY b[i].i
#define UX ((uint64_t)a[i].i)
#define UY ((uint64_t)b[i].i)

/* Operators with float operands, unrounded.  False: no such operator. */
static bool float_lanes(enum tn_op op, int flags, int count, union tn_scalar *out, const union tn_scalar *a,
                        const union tn_scalar *b) {
  switch ((int)op) {
  case TN_NEG:
    LANES(f, -X);
  case TN_ABS:
    LANES(f, fabs(X));
  case TN_SIGN:
    LANES(f, sign_of(X));
  case TN_CEIL:
    LANES(f, ceil(X));
  case TN_FLOOR:
    LANES(f, floor(X));
  case TN_TRUNC:
    LANES(f, trunc(X));
  case TN_ROUND:
    LANES(f, rint(X));
  case TN_SQRT:
    LANES(f, sqrt(X));
  case TN_EXP:
    LANES(f, exp(X));
  case TN_LOG:
    LANES(f, log(X));
  case TN_SIN:
    LANES(f, sin(X));
  case TN_COS:
    LANES(f, cos(X));
  case TN_TAN:
    LANES(f, tan(X));
  case TN_ASIN:
    LANES(f, asin(X));
  case TN_ACOS:
    LANES(f, acos(X));
  case TN_ATAN:
    LANES(f, atan(X));
  case TN_SINH:
    LANES(f, sinh(X));
  case TN_COSH:
    LANES(f, cosh(X));
  case TN_TANH:
    LANES(f, tanh(X));
  case TN_ASINH:
    LANES(f, asinh(X));
  case TN_ACOSH:
    LANES(f, acosh(X));
  case TN_ATANH:
    LANES(f, atanh(X));
  case TN_ERF:
    LANES(f, erf(X));
  case TN_SOFTPLUS:
    LANES(f, (X < 0 ? 0 : X) + log1p(exp(-fabs(X))));
  case TN_SIGMOID:
    LANES(f, 1 / (1 + exp(-X)));
  case TN_ISNAN:
    LANES(i, isnan(X) != 0);
  case TN_ISINF:
    LANES(i, is_inf(X, flags));
  case TN_ADD:
    LANES(f, X + Y);
  case TN_SUB:
    LANES(f, X - Y);
  case TN_MUL:
    LANES(f, X * Y);
  case TN_DIV:
    LANES(f, X / Y);
  case TN_MOD:
    LANES(f, float_mod(X, Y));
  case TN_FMOD:
    LANES(f, fmod(X, Y));
  case TN_POW:
    LANES(f, pow(X, Y));
  case TN_MAX:
    LANES(f, float_max(X, Y));
  case TN_MIN:
    LANES(f, float_min(X, Y));
  case TN_EQ:
    LANES(i, X == Y);
  case TN_NE:
    LANES(i, X != Y);
  case TN_LT:
    LANES(i, X < Y);
  case TN_LE:
    LANES(i, X <= Y);
  case TN_GT:
    LANES(i, X > Y);
  case TN_GE:
    LANES(i, X >= Y);
  default:
    return false;
  }
}

/* Sum of the products of the words of x and y; an integer of 8 bits is none. */
static int64_t dot_words(enum tn_dtype dtype, int64_t x, int64_t y) {
  uint64_t sum = 0;
  for (size_t k = 0; k < tn_dtype_size(dtype) / 2; k++)
    sum += (uint64_t)((int64_t)(int16_t)(uint16_t)((uint64_t)x >> (16 * k)) *
                      (int16_t)(uint16_t)((uint64_t)y >> (16 * k)));
  return (int64_t)sum;
}

/* Sum of the products of the bytes of x and y; y's are signed. */
static int64_t dot_bytes(enum tn_dtype dtype, bool x_signed, int64_t x, int64_t y) {
  int64_t sum = 0;
  for (size_t k = 0; k < tn_dtype_size(dtype); k++) {
    int a = (uint8_t)((uint64_t)x >> (8 * k)), b = (int8_t)(uint8_t)((uint64_t)y >> (8 * k));
    sum += (int64_t)(x_signed ? (int8_t)a : a) * b;
  }
  return sum;
}

/* Operators with integer, bool or position operands of dtype `from`, unwrapped.  The sign of an i64 decides the
 * order but for u64. */
static bool int_lanes(enum tn_op op, enum tn_dtype from, int count, union tn_scalar *out,
                      const union tn_scalar *a, const union tn_scalar *b) {
  bool u64 = from == TN_U64;
  switch ((int)op) {
  case TN_NEG:
    LANES(i, (int64_t)(0 - UX));
  case TN_ABS:
    LANES(i, IX < 0 && !u64 ? (int64_t)(0 - UX) : IX);
  case TN_SIGN:
    LANES(i, u64 ? IX != 0 : (IX > 0) - (IX < 0));
  case TN_NOT:
    if (from == TN_BOOL)
      LANES(i, !IX);
    LANES(i, ~IX);
  case TN_ISNAN:
  case TN_ISINF:
    LANES(i, 0);
  case TN_ADD:
    LANES(i, (int64_t)(UX + UY));
  case TN_SUB:
    LANES(i, (int64_t)(UX - UY));
  case TN_MUL:
    LANES(i, (int64_t)(UX * UY));
  case TN_DIV:
    LANES(i, int_div(from, IX, IY));
  case TN_MOD:
    LANES(i, int_mod(from, IX, IY));
  case TN_FMOD:
    LANES(i, int_fmod(from, IX, IY));
  case TN_POW:
    LANES(i, int_pow(from, IX, IY));
  case TN_MAX:
    LANES(i, (u64 ? UX > UY : IX > IY) ? IX : IY);
  case TN_MIN:
    LANES(i, (u64 ? UX < UY : IX < IY) ? IX : IY);
  case TN_AND:
    LANES(i, IX & IY);
  case TN_OR:
    LANES(i, IX | IY);
  case TN_XOR:
    LANES(i, IX ^ IY);
  case TN_SHL:
    LANES(i, shift_left(from, IX, IY));
  case TN_SHR:
    LANES(i, shift_right(from, IX, IY));
  case TN_DOT_S:
  case TN_DOT_U:
    LANES(i, dot_bytes(from, op == TN_DOT_S, IX, IY));
  case TN_DOT_W:
    LANES(i, dot_words(from, IX, IY));
  case TN_EQ:
    LANES(i, IX == IY);
  case TN_NE:
    LANES(i, IX != IY);
  case TN_LT:
    LANES(i, u64 ? UX < UY : IX < IY);
  case TN_LE:
    LANES(i, u64 ? UX <= UY : IX <= IY);
  case TN_GT:
    LANES(i, u64 ? UX > UY : IX > IY);
  case TN_GE:
    LANES(i, u64 ? UX >= UY : IX >= IY);
  default:
    return false;
  }
}

static void fit(enum tn_dtype dtype, int count, union tn_scalar *out) {
  if (dtype == TN_F32) {
    for (int i = 0; i < count; i++)
      out[i].f = (double)(float)out[i].f;
  } else if (dtype == TN_F16 || dtype == TN_BF16) {
    for (int i = 0; i < count; i++)
      out[i].f = tn_scalar_round(dtype, out[i].f);
  } else if (dtype != TN_F64 && dtype != TN_I64 && dtype != TN_U64 && dtype != TN_INDEX) {
    for (int i = 0; i < count; i++)
      out[i].i = tn_scalar_wrap(dtype, out[i].i);
  }
}

bool tn_scalar_lanes(enum tn_op op, enum tn_dtype dtype, enum tn_dtype from, int flags, int count,
                     union tn_scalar *out, const union tn_scalar *const *arg) {
  const union tn_scalar *a = arg[0];
  if (op == TN_SELECT) {
    const union tn_scalar *b = arg[1], *c = arg[2];
    for (int i = 0; i < count; i++)
      out[i] = a[i].i ? b[i] : c[i];
    return true;
  }
  if (op == TN_CAST || op == TN_BITCAST) {
    bool plain = !tn_dtype_is_float(dtype) && !tn_dtype_is_float(from);
    for (int i = 0; i < count; i++)
      if (plain)
        out[i].i = tn_scalar_wrap(dtype, a[i].i);
      else
        out[i] = reread(dtype, from, a[i], op == TN_BITCAST);
    return true;
  }
  bool known = tn_dtype_is_float(from) ? float_lanes(op, flags, count, out, a, arg[1])
                                       : int_lanes(op, from, count, out, a, arg[1]);
  if (known)
    fit(dtype, count, out);
  return known;
}

bool tn_scalar_op(enum tn_op op, enum tn_dtype dtype, enum tn_dtype from, int flags, const union tn_scalar *arg,
                  int argc, union tn_scalar *out) {
  const union tn_scalar *args[3] = {arg, argc > 1 ? arg + 1 : NULL, argc > 2 ? arg + 2 : NULL};
  return tn_scalar_lanes(op, dtype, from, flags, 1, out, args);
}
