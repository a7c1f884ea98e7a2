/* The exponential and what is made of it: exp, sigmoid, tanh, sinh, cosh, erf, and 2^x for pow.
 *
 * All share Cody and Waite's reduction x = n ln2 + r, |r| <= ln2/2, with ln2 in two parts (the first has
 * trailing zeros, so n times it is exact), and one polynomial.  n is found by adding a large constant, and is
 * used straight from the low bits of that sum, to which the wanted bias of the exponent was added at no cost.
 */
#include "codegen/math_build.h"
#include "codegen/math_tables.h"

struct reduced {
  val n; /* bits whose lowest ones are n + bias */
  val r; /* remainder */
  val q; /* e^r - 1 */
};

static void reduce(const struct fx *f, val x, int bias, struct reduced *out) {
  val shift = k(f, rounder(f) + bias);
  val t = mad(f, x, k(f, 0x1.71547652b82fep+0), shift);
  val n = sub(f, t, shift);
  val r = mad(f, n, k2(f, -0x1.63p-1, -0x1.62e42feep-1), x);
  r = mad(f, n, k2(f, 0x1.bd0106p-13, -0x1.a39ef35793c76p-33), r);
  out->n = to_bits(f, t);
  out->r = r;
}

static void reduce_expm1(const struct fx *f, val x, int bias, struct reduced *out) {
  reduce(f, x, bias, out);
  val p = horner(f, out->r, POLY(f, exp));
  out->q = mad(f, mul(f, out->r, out->r), p, out->r);
}

/* y * 2^n where out->n was biased by twice the format's bias: in two halves, so that results beyond the normal
 * range round once to subnormals or overflow. */
static val scale(const struct fx *f, val y, val n) {
  val half = shr(f, n, 1);
  val low = to_real(f, shl(f, half, f->mantissa));
  val high = to_real(f, shl(f, isub(f, n, half), f->mantissa));
  return mul(f, mul(f, y, low), high);
}

/* Results below 2^-125 (f64: 2^-1021) are zero: processors take a hundred times as long for a subnormal number,
 * here and wherever it is used, and masks of attention fill rows with them.  So 2^(n-1) is a normal number, and
 * the factor of 2 that is left comes with the sum. */
val tn_fx_exp(const struct fx *f, val x) {
  struct reduced e;
  val under = lt(f, x, k2(f, TN_EXP_ZERO_F32, TN_EXP_ZERO_F64));
  x = sel(f, under, k(f, 0), at_most(f, x, k2(f, 89, 710)));
  reduce_expm1(f, x, f->bias - 1, &e);
  val power = to_real(f, shl(f, e.n, f->mantissa)), twice = mad(f, e.q, k(f, 2), k(f, 2));
  return sel(f, under, k(f, 0), mul(f, twice, power));
}

val tn_fx_exp2(const struct fx *f, struct two x) {
  val bounded = at_least(f, at_most(f, x.hi, k2(f, 129, 1025)), k2(f, -152, -1077));
  val low = sel(f, eq(f, bounded, x.hi), x.lo, k(f, 0));
  val shift = k(f, rounder(f) + 2 * f->bias);
  val t = add(f, bounded, shift);
  val rest = sub(f, bounded, sub(f, t, shift));
  val ln2 = k(f, 0x1.62e42fefa39efp-1);
  /* rest is exact; its product with ln2 is not, and what it lost joins low. */
  struct two r = two_prod(f, rest, ln2);
  val tail = mad(
      f, low, ln2,
      mad(f, rest, k2(f, 0x1.62e42fefa39efp-1 - (double)0x1.62e42fefa39efp-1f, 0x1.abc9e3b39803fp-56), r.lo));
  val p = horner(f, r.hi, POLY(f, exp)), square = mul(f, r.hi, r.hi);
  /* e^(r + tail) = e^r + e^r tail; tail is as large as the last place of n */
  val rough = mad(f, square, p, r.hi);
  tail = mad(f, tail, rough, tail);
  val q = add(f, r.hi, mad(f, square, p, tail));
  val y = add(f, k(f, 1), q);
  return scale(f, y, to_bits(f, t));
}

/* e^-|x| / (1 + e^-|x|) for negative x, 1 / (1 + e^-|x|) for others: relative accuracy on both sides.  Results
 * that would be subnormal are the smallest normal number instead (about; zero stays zero): saturated gates and
 * masks are full of them, and each would take a hundred times as long, here and wherever it is used. */
val tn_fx_sigmoid(const struct fx *f, val x) {
  struct reduced r;
  val a = at_least(f, neg(f, mag(f, x)), k2(f, -87.33, -708.39));
  reduce_expm1(f, a, f->bias, &r);
  val power = to_real(f, shl(f, r.n, f->mantissa));
  val e = mad(f, r.q, power, power), one = k(f, 1);
  val above = sel(f, lt(f, x, k(f, 0)), e, one);
  return sel(f, lt(f, x, k2(f, -104, -746)), k(f, 0), quo(f, above, add(f, one, e)));
}

/* max(x, 0) + log(1 + e^-|x|): the power is at most 1 and small numbers keep their relative accuracy. */
val tn_fx_softplus(const struct fx *f, val x) {
  val e = tn_fx_exp(f, neg(f, mag(f, x))), rest;
  if (f->width == 32) {
    val p = horner(f, sub(f, e, k(f, 0.5)), log1p_f32, TN_COUNT(log1p_f32)), above = at_least(f, x, k(f, 0));
    return mad(f, e, p, above);
  }
  rest = tn_fx_log1p(f, e);
  return add(f, at_least(f, x, k(f, 0)), rest);
}

/* e^x - 1 for -37 <= x <= 40 or so: 2^n in one piece. */
static val expm1_narrow(const struct fx *f, val x) {
  struct reduced r;
  reduce_expm1(f, x, f->bias, &r);
  val power = to_real(f, shl(f, r.n, f->mantissa));
  return mad(f, power, r.q, sub(f, power, k(f, 1)));
}

/* tanh |x| = E / (E + 2), E = e^2|x| - 1, which keeps relative accuracy at zero; 1 from 9.02 (19.1) on. */
val tn_fx_tanh(const struct fx *f, val x) {
  val a = at_most(f, mag(f, x), k2(f, 9.02, 19.1));
  val e = expm1_narrow(f, add(f, a, a));
  return with_sign(f, quo(f, e, add(f, e, k(f, 2))), x);
}

/* The polynomial around the nearest of equally spaced points, whose coefficients are picked by the point's
 * number: about 17 (21) operations instead of 26.  The point of the first piece is 0, so that relative accuracy
 * stays there. */
static val erf_by_pieces(const struct fx *f, val a) {
  bool wide = f->picks == 16;
  double step = wide ? 17582.0 / 65536 : 35270.0 / 65536;
  const double *table = wide ? erf_pieces16[0] : erf_pieces8[0];
  size_t count = wide ? TN_COUNT(erf_pieces16) : TN_COUNT(erf_pieces8);
  a = at_most(f, a, k(f, wide ? 4.1 : 4.0)); /* where erf is 1, and still nearest to the last point */
  val shift = k(f, rounder(f)), t = mad(f, a, k(f, 1 / step), shift);
  val number = to_bits(f, t);
  val r = mad(f, sub(f, t, shift), k(f, -step), a); /* exact: a step has 16 bits */
  val y = tn_fx_pick(f, table + (count - 1) * f->picks, number);
  for (size_t i = count - 1; i-- > 0;) {
    val c = tn_fx_pick(f, table + i * f->picks, number);
    y = mad(f, y, r, c);
  }
  return y;
}

/* erf = 1 - e^(-x p(x)): the exponent -log(erfc x) is smooth, and expm1 keeps relative accuracy at zero. */
val tn_fx_erf(const struct fx *f, val x) {
  if (f->picks)
    return with_sign(f, erf_by_pieces(f, mag(f, x)), x);
  val a = at_most(f, mag(f, x), k2(f, 3.93, 5.93));
  val first = k2(f, erf_f32[0], erf_f64[0]); /* 2/sqrt(pi), whose lower part starts the rest of the table */
  val rest = horner(f, a, (f->width == 32 ? erf_f32 : erf_f64) + 1,
                    (f->width == 32 ? TN_COUNT(erf_f32) : TN_COUNT(erf_f64)) - 1);
  val v = mad(f, a, first, mul(f, a, rest));
  return with_sign(f, expm1_narrow(f, neg(f, v)), x);
}

/* With h = 2^(n-1), g = 2^(-n-1), s = sinh r, c = cosh r - 1:
 *   sinh x = (h-g) + (h-g) c + (h+g) s,   cosh x = (h+g) + (h+g) c + (h-g) s
 * Both are built at a quarter of their size, as 2^(n-1) may overflow before they do. */
static val hyperbolic(const struct fx *f, val x, bool is_sinh) {
  struct reduced r;
  val a = at_most(f, mag(f, x), k2(f, 90, 711));
  int bias = f->bias - 3;
  reduce(f, a, bias, &r);
  val n = isub(f, r.n, ki(f, rounder_bits(f) + (uint64_t)bias));
  val h = to_real(f, shl(f, r.n, f->mantissa));
  val exponent = isub(f, ki(f, (uint64_t)bias), n);
  val positive = LLVMBuildICmp(f->b, LLVMIntSGT, exponent, ki(f, 0), "");
  val g = to_real(f, shl(f, sel(f, positive, exponent, ki(f, 0)), f->mantissa));
  val z = mul(f, r.r, r.r);
  val ps = horner(f, z, POLY(f, sinh)), pc = horner(f, z, POLY(f, cosh));
  val s = mad(f, mul(f, r.r, z), ps, r.r);
  val half = mul(f, z, k(f, 0.5));
  val c = mad(f, mul(f, z, z), pc, half);
  val sum = add(f, h, g), difference = sub(f, h, g);
  val y = is_sinh ? add(f, difference, mad(f, difference, c, mul(f, sum, s)))
                  : add(f, sum, mad(f, sum, c, mul(f, difference, s)));
  return mul(f, y, k(f, 4));
}

val tn_fx_sinh(const struct fx *f, val x) {
  val tiny = lt(f, mag(f, x), k2(f, 0x1p-13, 0x1p-28)); /* a quarter of a subnormal would lose bits */
  return sel(f, tiny, x, with_sign(f, hyperbolic(f, x, true), x));
}

val tn_fx_cosh(const struct fx *f, val x) {
  return hyperbolic(f, x, false);
}
