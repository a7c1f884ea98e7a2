/* Trigonometric functions and their inverses; math_turn.c has the reduction by pi/2. */
#include "codegen/math_build.h"
#include "codegen/math_tables.h"

/* pi/2, and what rounding it to the format loses */
static const double pi_2 = 0x1.921fb54442d18p+0, pi_2_low_f32 = -0x1.777a5cp-25,
                    pi_2_low_f64 = 0x1.1a62633145c07p-54;

struct wave {
  val sin, cos; /* of the remainder */
};

/* careful: the cosine without the last tenth of a unit, which a quotient would double. */
static struct wave wave(const struct fx *f, struct two r, bool careful) {
  struct wave out;
  val z, one = k(f, 1);
  if (f->fma && !careful) { /* (hi + lo)^2 is one number that both series take */
    z = mad(f, r.hi, r.hi, mul(f, r.hi, add(f, r.lo, r.lo)));
    val c = horner(f, z, POLY(f, cos));
    out.cos = mad(f, z, mad(f, z, c, k(f, -0.5)), one);
  } else { /* what rounding 1 - z/2 loses joins the rest, and the cross product */
    z = mul(f, r.hi, r.hi);
    val half = mul(f, z, k(f, 0.5)), w = sub(f, one, half);
    val lost = sub(f, sub(f, one, w), half);
    lost = sub(f, lost, mul(f, r.hi, r.lo));
    val c = horner(f, z, POLY(f, cos)), square = mul(f, z, z);
    out.cos = add(f, w, mad(f, square, c, lost));
  }
  val s = horner(f, z, POLY(f, sin)), tail = mul(f, r.lo, out.cos), cube = mul(f, r.hi, z);
  out.sin = add(f, r.hi, mad(f, cube, s, tail));
  return out;
}

/* Bit 1 of `quadrant` moved to the sign. */
static val sign_of(const struct fx *f, val quadrant) {
  return shl(f, iand(f, quadrant, ki(f, 2)), f->width - 2);
}

static val sine_or_cosine(const struct fx *f, val x, bool is_cosine) {
  val a = mag(f, x);
  struct angle t = tn_fx_turn(f, a);
  val quadrant = is_cosine ? iadd(f, t.quadrant, ki(f, 1)) : t.quadrant;
  val odd = not_zero(f, iand(f, quadrant, ki(f, 1)));
  struct wave w = wave(f, t.r, false);
  val y = sel(f, odd, w.cos, w.sin);
  val sign = sign_of(f, quadrant);
  if (!is_cosine)
    sign = ixor(f, sign, iand(f, to_bits(f, x), ki(f, (uint64_t)1 << (f->width - 1))));
  return to_real(f, ixor(f, to_bits(f, y), sign));
}

val tn_fx_sin(const struct fx *f, val x) {
  return sine_or_cosine(f, x, false);
}
val tn_fx_cos(const struct fx *f, val x) {
  return sine_or_cosine(f, x, true);
}

val tn_fx_tan(const struct fx *f, val x) {
  val a = mag(f, x);
  struct angle t = tn_fx_turn(f, a);
  struct wave w = wave(f, t.r, true);
  val odd = not_zero(f, iand(f, t.quadrant, ki(f, 1)));
  val above = sel(f, odd, neg(f, w.cos), w.sin), below = sel(f, odd, w.sin, w.cos);
  val y = quo(f, above, below);
  val sign = iand(f, to_bits(f, x), ki(f, (uint64_t)1 << (f->width - 1)));
  return to_real(f, ixor(f, to_bits(f, y), sign));
}

/* t = x for |x| <= 1/2, else the half angle t = sqrt((1 - |x|) / 2) with the sign of x; asin t = t + tail.  The
 * two are added last, to whatever else there is, so that they round once. */
struct arc {
  val is_big;
  val t, tail;
};

static struct arc arc_sine(const struct fx *f, val x) {
  struct arc out;
  val half = k(f, 0.5), a = mag(f, x);
  out.is_big = lt(f, half, a);
  val folded = mul(f, sub(f, k(f, 1), a), half);
  val z = sel(f, out.is_big, folded, mul(f, a, a));
  out.t = with_sign(f, sel(f, out.is_big, tn_fx_sqrt(f, folded), a), x);
  val p = horner(f, z, POLY(f, asin));
  out.tail = mul(f, mul(f, out.t, z), p);
  return out;
}

/* base + base_low - factor * (t + tail) */
static val less(const struct fx *f, val base, val base_low, double factor, const struct arc *arc) {
  val hi = mad(f, arc->t, k(f, -factor), base);
  return add(f, hi, mad(f, arc->tail, k(f, -factor), base_low));
}

/* |x| > 1/2: pi/2 - 2 asin t */
val tn_fx_asin(const struct fx *f, val x) {
  struct arc arc = arc_sine(f, x);
  val minus = lt(f, x, k(f, 0));
  val right = sel(f, minus, k(f, -pi_2), k(f, pi_2));
  val right_low = sel(f, minus, k2(f, -pi_2_low_f32, -pi_2_low_f64), k2(f, pi_2_low_f32, pi_2_low_f64));
  val big = less(f, right, right_low, 2, &arc);
  return sel(f, arc.is_big, big, add(f, arc.t, arc.tail));
}

/* |x| <= 1/2: pi/2 - asin x;  x > 1/2: 2 asin t;  x < -1/2: pi + 2 asin t, t being negative */
val tn_fx_acos(const struct fx *f, val x) {
  struct arc arc = arc_sine(f, x);
  val zero = k(f, 0), right = k(f, pi_2), right_low = k2(f, pi_2_low_f32, pi_2_low_f64);
  val plain = less(f, right, right_low, 1, &arc);
  val minus = lt(f, x, zero);
  val base = sel(f, minus, mul(f, right, k(f, 2)), zero);
  val base_low = sel(f, minus, mul(f, right_low, k(f, 2)), zero);
  val big = less(f, base, base_low, -2, &arc);
  return sel(f, arc.is_big, big, plain);
}

/* Three intervals, one quotient: a, (a - 1) / (a + 1) + pi/4 above tan(pi/8), -1 / a + pi/2 above tan(3 pi/8).
 */
val tn_fx_atan(const struct fx *f, val x) {
  val a = mag(f, x), one = k(f, 1), zero = k(f, 0);
  val middle = lt(f, k(f, 0x1.a8279ap-2), a), large = lt(f, k(f, 0x1.3504f4p+1), a);
  val above = sel(f, large, k(f, -1), sel(f, middle, sub(f, a, one), a));
  val below = sel(f, large, a, sel(f, middle, add(f, a, one), one));
  val base = sel(f, large, k(f, pi_2), sel(f, middle, k(f, pi_2 / 2), zero));
  val base_low = sel(f, large, k2(f, pi_2_low_f32, pi_2_low_f64),
                     sel(f, middle, k2(f, pi_2_low_f32 / 2, pi_2_low_f64 / 2), zero));
  val t = quo(f, above, below), z = mul(f, t, t);
  val p = horner(f, z, POLY(f, atan));
  val low = mad(f, mul(f, t, z), p, base_low);
  return with_sign(f, add(f, base, add(f, t, low)), x);
}
