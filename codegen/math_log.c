/* Logarithms and what is made of them: log, asinh, acosh, atanh, pow.
 *
 * x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), cut out of the bits of x; log x = k ln2 + log(1 + f) with
 * ln2 in two parts.  log(1 + x) is log of the rounded sum u plus what the rounding lost, divided by u.  pow
 * works on base-2 logarithms in pairs of numbers, so that 10 more bits survive the product with y. */
#include "codegen/math_build.h"
#include "codegen/math_tables.h"

struct split {
  val k;        /* exponent as an integer */
  val fraction; /* f, exact */
};

/* x is positive, finite and normal. */
static struct split split(const struct fx *f, val x) {
  uint64_t root_half = f->width == 32 ? 0x3F3504F3u : 0x3FE6A09E667F3BCDu;
  uint64_t mask = ((uint64_t)1 << f->mantissa) - 1;
  val offset = isub(f, to_bits(f, x), ki(f, root_half));
  struct split s;
  s.k = sar(f, offset, f->mantissa);
  val m = iadd(f, iand(f, offset, ki(f, mask)), ki(f, root_half));
  s.fraction = sub(f, to_real(f, m), k(f, 1));
  return s;
}

/* The same for subnormal x too. */
static struct split split_any(const struct fx *f, val x) {
  int lift = f->width == 32 ? 32 : 64;
  val tiny = lt(f, x, kpow2(f, 1 - f->bias));
  struct split s = split(f, sel(f, tiny, mul(f, x, kpow2(f, lift)), x));
  s.k = isub(f, s.k, sel(f, tiny, ki(f, (uint64_t)lift), ki(f, 0)));
  return s;
}

/* k ln2 + log(1 + f) + low */
static val evaluate(const struct fx *f, struct split s, val low) {
  val n = int_to_real(f, s.k), r = s.fraction;
  val z = mul(f, r, r);
  val y;
  if (f->width == 32) {
    val p = horner(f, r, POLY(f, log));
    y = mul(f, mul(f, r, z), p);
    y = mad(f, n, k(f, -0x1.bd0106p-13), y);
    if (low)
      y = add(f, y, low);
    y = add(f, r, mad(f, k(f, -0.5), z, y));
    return mad(f, n, k(f, 0x1.63p-1), y);
  }
  /* Tang's form: log(1+f) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f) */
  val q = quo(f, r, add(f, k(f, 2), r)), w = mul(f, q, q), half = mul(f, z, k(f, 0.5));
  y = mul(f, q, mad(f, w, horner(f, w, POLY(f, log)), half));
  y = mad(f, n, k(f, 0x1.a39ef35793c76p-33), y);
  if (low)
    y = add(f, y, low);
  y = sub(f, r, sub(f, half, y));
  return mad(f, n, k(f, 0x1.62e42feep-1), y);
}

/* Puts right what a logarithm of x gave outside of (0, inf). */
static val log_domain(const struct fx *f, val x, val y) {
  val zero = k(f, 0);
  y = sel(f, lt(f, x, k(f, INFINITY)), y, x);
  val pole = sel(f, eq(f, x, zero), k(f, -INFINITY), k(f, NAN));
  return sel(f, le(f, x, zero), pole, y);
}

val tn_fx_log(const struct fx *f, val x) {
  return log_domain(f, x, evaluate(f, split_any(f, x), NULL));
}

/* log(1 + t), or log(2 big) where is_big (may be NULL) holds. */
static val log1p_or(const struct fx *f, val t, val is_big, val big) {
  val one = k(f, 1);
  val u = add(f, one, t), b = sub(f, u, one);
  val of_one = sub(f, one, sub(f, u, b));
  val low = add(f, of_one, sub(f, t, b));
  if (is_big) {
    u = sel(f, is_big, big, u);
    low = sel(f, is_big, k(f, 0), low);
  }
  struct split s = split(f, u);
  /* low is nothing beyond 2^mantissa; the bound keeps 2^-k a normal number */
  val most = ki(f, (uint64_t)f->bias - 2);
  val bounded = sel(f, LLVMBuildICmp(f->b, LLVMIntSGT, s.k, most, ""), most, s.k);
  val unscale = to_real(f, shl(f, isub(f, ki(f, (uint64_t)f->bias), bounded), f->mantissa));
  low = mul(f, low, unscale);
  s.fraction = add(f, s.fraction, low);
  if (is_big)
    s.k = iadd(f, s.k, sel(f, is_big, ki(f, 1), ki(f, 0)));
  return log_domain(f, u, evaluate(f, s, NULL));
}

val tn_fx_log1p(const struct fx *f, val x) {
  return log1p_or(f, x, NULL, NULL);
}

/* asinh = log1p(a + a^2 / (1 + sqrt(1 + a^2))), log(2a) when a is large */
val tn_fx_asinh(const struct fx *f, val x) {
  val one = k(f, 1), a = mag(f, x), z = mul(f, a, a);
  val t = add(f, a, quo(f, z, add(f, one, tn_fx_sqrt(f, add(f, one, z)))));
  val is_big = lt(f, k2(f, 0x1p13, 0x1p28), a);
  return with_sign(f, log1p_or(f, t, is_big, a), x);
}

/* acosh = log1p(t + sqrt(t (t + 2))), t = x - 1 */
val tn_fx_acosh(const struct fx *f, val x) {
  val t = sub(f, x, k(f, 1));
  val root = tn_fx_sqrt(f, mul(f, t, add(f, t, k(f, 2))));
  val is_big = lt(f, k2(f, 0x1p13, 0x1p28), x);
  val y = log1p_or(f, add(f, t, root), is_big, x);
  return sel(f, lt(f, x, k(f, 1)), k(f, NAN), y);
}

/* atanh = log1p(2a / (1 - a)) / 2 */
val tn_fx_atanh(const struct fx *f, val x) {
  val a = mag(f, x);
  val twice = add(f, a, a);
  val t = quo(f, twice, sub(f, k(f, 1), a));
  return with_sign(f, mul(f, log1p_or(f, t, NULL, NULL), k(f, 0.5)), x);
}

/* log2 of positive finite x, to about twice the precision of the format less 15 bits.
 * With s = f / (2 + f) and z = s^2: log2(1 + f) = s (c0 + z (c1 + z p(z))); s, z, c0 and c1 are pairs. */
static struct two log2_pair(const struct fx *f, val x) {
  struct split e = split_any(f, x);
  val n = int_to_real(f, e.k), r = e.fraction;
  struct two den = fast_two_sum(f, k(f, 2), r);
  val inverse = quo(f, k(f, 1), den.hi);
  struct two s, z, p, w, v, y;
  s.hi = mul(f, r, inverse);
  struct two back = two_prod(f, s.hi, den.hi);
  val left = sub(f, sub(f, r, back.hi), back.lo);
  s.lo = mul(f, sub(f, left, mul(f, s.hi, den.lo)), inverse);
  z = two_prod(f, s.hi, s.hi);
  z.lo = mad(f, add(f, s.hi, s.hi), s.lo, z.lo);
  p = fast_two_sum(f, k2(f, 0x1.ec709ep-1, 0x1.ec709dc3a03fdp-1), mul(f, z.hi, horner(f, z.hi, POLY(f, log2))));
  p.lo = add(f, p.lo, k2(f, -0x1.e2fe02p-28, 0x1.d27f05548af0cp-55));
  w = two_prod(f, z.hi, p.hi);
  w.lo = add(f, w.lo, mad(f, z.hi, p.lo, mul(f, z.lo, p.hi)));
  v = fast_two_sum(f, k2(f, 0x1.715476p+1, 0x1.71547652b82fep+1), w.hi);
  v.lo = add(f, v.lo, add(f, w.lo, k2(f, 0x1.4ae0cp-25, 0x1.777d0ffda0d24p-55)));
  y = two_prod(f, s.hi, v.hi);
  y.lo = add(f, y.lo, mad(f, s.hi, v.lo, mul(f, s.lo, v.hi)));
  struct two sum = fast_two_sum(f, n, y.hi);
  sum.lo = add(f, sum.lo, y.lo);
  return sum;
}

/* y as one number in all lanes. */
static bool is_constant(const struct fx *f, val y, double *value) {
  val element = y;
  if (f->lanes) {
    if (!LLVMIsConstant(y))
      return false;
    element = LLVMGetAggregateElement(y, 0);
    for (unsigned i = 1; i < f->lanes; i++)
      if (LLVMGetAggregateElement(y, i) != element)
        return false;
  }
  if (!element || !LLVMIsAConstantFP(element))
    return false;
  LLVMBool loses;
  *value = LLVMConstRealGetDouble(element, &loses);
  return true;
}

/* x * x, 1 / x and the like for a constant exponent that needs no logarithm; NULL for others.  Each rounds
 * once; 1.5 and -0.5 twice. */
static val pow_constant(const struct fx *f, val x, val y) {
  double value;
  if (!is_constant(f, y, &value))
    return NULL;
  if (value == 0)
    return k(f, 1);
  if (value == 1)
    return x;
  if (value == 2)
    return mul(f, x, x);
  if (value == -1)
    return quo(f, k(f, 1), x);
  if (value == 0.5 || value == -0.5 ||
      value == 1.5) { /* -0 gives what 0 does, and -inf what inf does: no nan */
    val plus = add(f, x, k(f, 0)), minus_inf = eq(f, x, k(f, -INFINITY));
    val base = sel(f, minus_inf, k(f, INFINITY), plus), root = tn_fx_sqrt(f, base);
    return value < 0 ? quo(f, k(f, 1), root) : value > 1 ? mul(f, base, root) : root;
  }
  return NULL;
}

/* log2 of positive normal x with coefficients picked by the first bits of its mantissa: x = 2^n m, r = m c - 1
 * exactly, log2 x = n - log2 c + log2(1 + r).  The first three terms of the last are pairs. */
static struct two log2_by_pieces(const struct fx *f, val x) {
  bool wide = f->picks == 16;
  val bits = to_bits(f, x), offset = isub(f, bits, ki(f, wide ? 0x3F7C0000 : 0x3F780000));
  val exponent = sar(f, offset, 23), piece = shr(f, offset, wide ? 19 : 20);
  val m = to_real(f, isub(f, bits, shl(f, exponent, 23)));
  const double *table = wide ? inverses16[0] : inverses8[0];
  val c = tn_fx_pick(f, table, piece);
  val whole = tn_fx_pick(f, table + f->picks, piece), part = tn_fx_pick(f, table + (size_t)2 * f->picks, piece);
  val r = mad(f, m, c, k(f, -1));
  val p = wide ? horner(f, r, log2_near16_f32, TN_COUNT(log2_near16_f32))
               : horner(f, r, log2_near8_f32, TN_COUNT(log2_near8_f32));
  struct two s, w, v, y, sum;
  s = fast_two_sum(f, k(f, -0x1.715476p-1), mul(f, r, p));
  s.lo = add(f, s.lo, k(f, -0x1.4ae0cp-27));
  w = two_prod(f, r, s.hi);
  w.lo = mad(f, r, s.lo, w.lo);
  v = fast_two_sum(f, k(f, 0x1.715476p+0), w.hi);
  v.lo = add(f, v.lo, add(f, w.lo, k(f, 0x1.4ae0cp-26)));
  y = two_prod(f, r, v.hi);
  y.lo = mad(f, r, v.lo, y.lo);
  val n = LLVMBuildSIToFP(f->b, exponent, f->real, "");
  sum = fast_two_sum(f, add(f, n, whole), y.hi);
  sum.lo = add(f, sum.lo, add(f, y.lo, part));
  return sum;
}

static val pow_any(const struct fx *f, val x, val y);

/* |x|^y with the sign of x^y, a nan for a `negative` base whose power is undefined. */
static val negate_power(const struct fx *f, val x, val y, val negative, val power) {
  val is_int = eq(f, tn_fx_round(f, TN_TRUNC, y), y), half = mul(f, y, k(f, 0.5));
  val is_odd = both(f, is_int, no(f, eq(f, tn_fx_round(f, TN_TRUNC, half), half)));
  power = sel(f, is_odd, with_sign(f, power, x), power);
  val undefined = both(f, negative, no(f, is_int));
  return sel(f, undefined, k(f, NAN), power);
}

/* pow where |x| and the result are normal, by a third of the operations; a vector with other lanes calls a
 * function for these.  Zeros are usual bases of a constant exponent. */
static val pow_usual(const struct fx *f, val x, val y) {
  val a = mag(f, x);
  struct two l = log2_by_pieces(f, a), e = two_prod(f, y, l.hi);
  e.lo = mad(f, y, l.lo, e.lo);
  val shift = k(f, rounder(f)), t = add(f, e.hi, shift);
  val rest = sub(f, e.hi, sub(f, t, shift));
  rest = add(f, rest, e.lo);
  val q = mad(f, rest, horner(f, rest, exp2_f32, TN_COUNT(exp2_f32)), k(f, 1));
  val power = to_real(f, iadd(f, to_bits(f, q), shl(f, to_bits(f, t), 23)));

  val from_least = isub(f, to_bits(f, a), ki(f, 0x00800000));
  val is_normal = LLVMBuildICmp(f->b, LLVMIntULT, from_least, ki(f, 0x7F000000), "");
  val is_usual = both(f, is_normal, le(f, mag(f, e.hi), k(f, 125.5)));
  double value;
  if (is_constant(f, y, &value)) {
    val is_zero = eq(f, x, k(f, 0));
    power = sel(f, is_zero, k(f, value > 0 ? 0 : INFINITY), power);
    is_usual = LLVMBuildOr(f->b, is_usual, is_zero, "");
  }
  power = negate_power(f, x, y, lt(f, x, k(f, 0)), power);
  struct detour d = tn_fx_detour(f, no(f, is_usual));
  bool is_new;
  val function = tn_fx_rare_helper(f, "tn_pow", f->real, 2, &is_new);
  if (is_new) {
    struct fx g = *f;
    g.b = LLVMCreateBuilderInContext(f->c);
    LLVMPositionBuilderAtEnd(g.b, LLVMAppendBasicBlockInContext(f->c, function, "start"));
    LLVMBuildRet(g.b, pow_any(&g, LLVMGetParam(function, 0), LLVMGetParam(function, 1)));
    LLVMDisposeBuilder(g.b);
  }
  val arg[2] = {x, y}, now = LLVMBuildCall2(f->b, LLVMGlobalGetValueType(function), function, arg, 2, "");
  now = sel(f, is_usual, power, now);
  tn_fx_detour_end(f, &d, &power, &now, 1);
  return power;
}

val tn_fx_pow(const struct fx *f, val x, val y) {
  val simple = pow_constant(f, x, y);
  if (simple)
    return simple;
  return f->picks ? pow_usual(f, x, y) : pow_any(f, x, y);
}

static val pow_any(const struct fx *f, val x, val y) {
  val zero = k(f, 0), one = k(f, 1), inf = k(f, INFINITY);
  val a = mag(f, x);
  /* |log2| is 0 or at least 2^-24 (2^-53): a larger y changes no result, and its products stay finite. */
  val limit = k2(f, 0x1p40, 0x1p80);
  val power = at_least(f, at_most(f, y, limit), neg(f, limit));
  struct two l = log2_pair(f, a);
  struct two e = two_prod(f, power, l.hi);
  e.lo = mad(f, power, l.lo, e.lo);
  val r = tn_fx_exp2(f, e);

  val is_inf = eq(f, a, inf), is_zero = eq(f, a, zero), inverts = lt(f, y, zero);
  val extreme = LLVMBuildOr(f->b, is_zero, is_inf, "");
  val grows = differ(f, is_inf, inverts);
  r = sel(f, extreme, sel(f, grows, inf, zero), r);
  val negative = lt(f, x, zero), finite = lt(f, a, inf);
  r = negate_power(f, x, y, both(f, negative, finite), r);
  val nan = add(f, x, y);
  r = sel(f, is_nan(f, x, y), nan, r);
  val base_one = eq(f, x, one), power_zero = eq(f, y, zero);
  val is_one = LLVMBuildOr(f->b, base_one, power_zero, "");
  return sel(f, is_one, one, r);
}
