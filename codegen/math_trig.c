/* Trigonometric functions and their inverses.
 *
 * Reduction by pi/2 follows Payne and Hanek (1983) in integers, for every |x| >= pi/4: the mantissa is
 * multiplied by that window of the bits of 2/pi which decides the quadrant and 60 (124) bits of the fraction;
 * bits further left only add whole turns.  So the remainder is right to the last bit for the largest numbers
 * too, f32 needs no f64, and no lane takes a branch. */
#include "codegen/math_build.h"
#include "codegen/math_tables.h"

enum { MAX_LIMBS = 6 };

/* pi/2, and what rounding it to the format loses */
static const double pi_2 = 0x1.921fb54442d18p+0, pi_2_low_f32 = -0x1.777a5cp-25,
                    pi_2_low_f64 = 0x1.1a62633145c07p-54;

/* Bits of 2/pi after the binary point, 32 a word. */
static const uint32_t two_over_pi[] = {
    0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561,
    0xb7246e3a, 0x424dd2e0, 0x06492eea, 0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484,
    0xe99c7026, 0xb45f7e41, 0x3991d639, 0x835339f4, 0x9c845f8b, 0xbdf9283b, 0x1ff897ff, 0xde05980f,
    0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7, 0x4f463f66, 0x9e5fea2d, 0x7527bac7, 0xebe5f17b,
    0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1, 0x1f8d5d08, 0x56033046, 0xfc7b6bab};

/* Word i of the same bits behind `zeros` zero bits. */
static uint32_t shifted_word(unsigned i, unsigned zeros) {
  int64_t first = (int64_t)i * 32 - zeros; /* index of the word's first bit */
  uint32_t word = 0;
  for (int64_t bit = first; bit < first + 32; bit++) {
    word <<= 1;
    if (bit >= 0 && bit / 32 < (int64_t)TN_COUNT(two_over_pi))
      word |= two_over_pi[bit / 32] >> (31 - bit % 32) & 1;
  }
  return word;
}

/* Integers of 32 bits in lanes of 64. */
struct wide {
  const struct fx *f;
  LLVMTypeRef type;
};
static val wconst(const struct wide *w, uint64_t value) {
  return tn_fx_splat(w->f, LLVMConstInt(LLVMInt64TypeInContext(w->f->c), value, 0));
}
static val widen(const struct wide *w, val a) {
  return w->f->width == 64 ? a : LLVMBuildZExt(w->f->b, a, w->type, "");
}
static val narrow(const struct wide *w, val a) {
  return w->f->width == 64 ? a : LLVMBuildTrunc(w->f->b, a, w->f->bits, "");
}
static val low_half(const struct wide *w, val a) {
  return LLVMBuildAnd(w->f->b, a, wconst(w, 0xFFFFFFFFu), "");
}
static val high_half(const struct wide *w, val a) {
  return LLVMBuildLShr(w->f->b, a, wconst(w, 32), "");
}

/* window[0..count-1], most significant word first: the bits of 2/pi behind `zeros` zeros, from bit `at` on. */
static void cut_window(const struct wide *w, val at, unsigned zeros, unsigned max_index, unsigned count,
                       val *window) {
  const struct fx *f = w->f;
  val word[TN_COUNT(two_over_pi) + MAX_LIMBS + 2];
  unsigned top = 1; /* the largest power of two in an index */
  while (top * 2 <= max_index)
    top *= 2;
  for (unsigned i = 0; i <= max_index + count; i++)
    word[i] = ki(f, shifted_word(i, zeros));
  /* A bit of the index a step: halve the choice. */
  val index = shr(f, at, 5);
  unsigned last = max_index + count;
  for (unsigned step = top; step >= 1; step /= 2) {
    val moves = not_zero(f, iand(f, index, ki(f, step)));
    unsigned need = step - 1 + count;
    for (unsigned i = 0; i <= need; i++)
      word[i] = i + step <= last ? sel(f, moves, word[i + step], word[i]) : word[i];
    last = need;
  }
  val left = widen(w, isub(f, ki(f, 32), iand(f, at, ki(f, 31))));
  val wide_word[MAX_LIMBS + 1];
  for (unsigned i = 0; i <= count; i++)
    wide_word[i] = widen(w, word[i]);
  for (unsigned i = 0; i < count; i++) {
    val pair = LLVMBuildOr(f->b, LLVMBuildShl(f->b, wide_word[i], wconst(w, 32), ""), wide_word[i + 1], "");
    window[i] = low_half(w, LLVMBuildLShr(f->b, pair, left, ""));
  }
}

/* The `keep` most significant words (in product[0..keep-1]) of m times window modulo 2^(32 count).  m has the
 * least significant limb first. */
static void multiply_modulo(const struct wide *w, const val *m, unsigned limbs, const val *window,
                            unsigned count, unsigned keep, val *product) {
  const struct fx *f = w->f;
  val column[MAX_LIMBS];
  for (unsigned i = 0; i < count; i++)
    column[i] = wconst(w, 0);
  for (unsigned i = 0; i < limbs; i++)
    for (unsigned j = 0; i + j < count; j++) {
      val p = LLVMBuildMul(f->b, m[i], window[count - 1 - j], "");
      column[i + j] = LLVMBuildAdd(f->b, column[i + j], low_half(w, p), "");
      if (i + j + 1 < count)
        column[i + j + 1] = LLVMBuildAdd(f->b, column[i + j + 1], high_half(w, p), "");
    }
  for (unsigned i = 0; i < count; i++) {
    if (i > 0)
      column[i] = LLVMBuildAdd(f->b, column[i], high_half(w, column[i - 1]), "");
    if (count - 1 - i < keep)
      product[count - 1 - i] = low_half(w, column[i]);
  }
}

struct angle {
  val quadrant; /* bits; only the lowest two matter */
  struct two r; /* |x| less quadrant * pi/2, at most pi/4 */
};

static struct angle reduce(const struct fx *f, val a) {
  LLVMTypeRef i64 = LLVMInt64TypeInContext(f->c);
  struct wide wide = {f, f->lanes ? LLVMVectorType(i64, f->lanes) : i64}, *w = &wide;
  bool narrow_format = f->width == 32;
  unsigned limbs = narrow_format ? 1 : 2, count = 3 * limbs, keep = 2 * limbs;
  unsigned exponent_bits = f->width - 1 - f->mantissa;
  uint64_t implicit = (uint64_t)1 << f->mantissa;

  /* a = m 2^(e - ...), m with its leading bit at the top of the limbs; a >= 1/2 here, other lanes are replaced.
   */
  val bits = to_bits(f, a);
  val m = shl(f, ior(f, iand(f, bits, ki(f, implicit - 1)), ki(f, implicit)), exponent_bits);
  val e = isub(f, shr(f, bits, f->mantissa), ki(f, (uint64_t)f->bias - 1));
  val positive = LLVMBuildICmp(f->b, LLVMIntSGT, e, ki(f, 0), "");
  e = sel(f, positive, e, ki(f, 0));
  val limb[2] = {narrow_format ? widen(w, m) : low_half(w, m), narrow_format ? NULL : high_half(w, m)};
  val window[MAX_LIMBS], product[4];
  cut_window(w, e, narrow_format ? 34 : 66, narrow_format ? 4 : 32, count, window);
  multiply_modulo(w, limb, limbs, window, count, keep, product);

  /* The top two bits are the quadrant; round it to nearest, which leaves a signed fraction. */
  val half = wconst(w, 0x20000000u);
  val rounded = LLVMBuildAdd(f->b, product[0], half, "");
  struct angle out;
  out.quadrant = narrow(w, LLVMBuildLShr(f->b, rounded, wconst(w, 30), ""));
  val top = LLVMBuildAnd(f->b, rounded, wconst(w, 0x3FFFFFFFu), "");
  top = LLVMBuildSub(f->b, top, half, "");

  /* Four pieces that are exact as reals, most significant first. */
  val piece[4];
  if (narrow_format) {
    val high = narrow(w, top), low = narrow(w, product[1]), mask = ki(f, 0xFFFF);
    piece[0] = sar(f, high, 16);
    piece[1] = iand(f, high, mask);
    piece[2] = shr(f, low, 16);
    piece[3] = iand(f, low, mask);
  } else {
    piece[0] = top;
    for (unsigned i = 1; i < 4; i++)
      piece[i] = product[i];
  }
  int bits_of_piece = narrow_format ? 16 : 32, unit = 2 - bits_of_piece;
  val sum = mul(f, int_to_real(f, piece[0]), kpow2(f, unit)), low = NULL;
  for (int i = 1; i < 4; i++) {
    struct two t = fast_two_sum(f, sum, mul(f, int_to_real(f, piece[i]), kpow2(f, unit - bits_of_piece * i)));
    sum = t.hi;
    low = low ? add(f, low, t.lo) : t.lo;
  }
  struct two turn = fast_two_sum(f, sum, low);

  val right = k(f, pi_2);
  struct two r = two_prod(f, turn.hi, right);
  r.lo = add(f, r.lo, mad(f, turn.hi, k2(f, pi_2_low_f32, pi_2_low_f64), mul(f, turn.lo, right)));
  val is_small = lt(f, a, k(f, 0x1.921fb6p-1));
  out.quadrant = sel(f, is_small, ki(f, 0), out.quadrant);
  out.r.hi = sel(f, is_small, a, r.hi);
  out.r.lo = sel(f, is_small, k(f, 0), r.lo);
  return out;
}

static val sine(const struct fx *f, struct two r, val z) {
  val tail = mad(f, mul(f, z, k(f, -0.5)), r.lo, r.lo);
  val p = horner(f, z, POLY(f, sin));
  return add(f, r.hi, mad(f, mul(f, r.hi, z), p, tail));
}

static val cosine(const struct fx *f, struct two r, val z) {
  val half = mul(f, z, k(f, 0.5)), one = k(f, 1);
  val w = sub(f, one, half);
  val lost = sub(f, sub(f, one, w), half);
  val p = horner(f, z, POLY(f, cos)), cross = neg(f, mul(f, r.hi, r.lo));
  val rest = mad(f, mul(f, z, z), p, cross);
  return add(f, w, add(f, lost, rest));
}

/* Bit 1 of `quadrant` moved to the sign. */
static val sign_of(const struct fx *f, val quadrant) {
  return shl(f, iand(f, quadrant, ki(f, 2)), f->width - 2);
}

static val sine_or_cosine(const struct fx *f, val x, bool is_cosine) {
  val a = mag(f, x);
  struct angle t = reduce(f, a);
  val z = mul(f, t.r.hi, t.r.hi);
  val quadrant = is_cosine ? iadd(f, t.quadrant, ki(f, 1)) : t.quadrant;
  val odd = not_zero(f, iand(f, quadrant, ki(f, 1)));
  val s = sine(f, t.r, z), c = cosine(f, t.r, z);
  val y = sel(f, odd, c, s);
  val sign = sign_of(f, quadrant);
  if (!is_cosine)
    sign = ixor(f, sign, iand(f, to_bits(f, x), ki(f, (uint64_t)1 << (f->width - 1))));
  y = to_real(f, ixor(f, to_bits(f, y), sign));
  val nan = sub(f, x, x); /* of an infinity or a nan */
  return sel(f, lt(f, a, k(f, INFINITY)), y, nan);
}

val tn_fx_sin(const struct fx *f, val x) {
  return sine_or_cosine(f, x, false);
}
val tn_fx_cos(const struct fx *f, val x) {
  return sine_or_cosine(f, x, true);
}

val tn_fx_tan(const struct fx *f, val x) {
  val a = mag(f, x);
  struct angle t = reduce(f, a);
  val z = mul(f, t.r.hi, t.r.hi);
  val s = sine(f, t.r, z), c = cosine(f, t.r, z);
  val odd = not_zero(f, iand(f, t.quadrant, ki(f, 1)));
  val above = sel(f, odd, neg(f, c), s), below = sel(f, odd, s, c);
  val y = quo(f, above, below);
  val sign = iand(f, to_bits(f, x), ki(f, (uint64_t)1 << (f->width - 1)));
  y = to_real(f, ixor(f, to_bits(f, y), sign));
  val nan = sub(f, x, x); /* of an infinity or a nan */
  return sel(f, lt(f, a, k(f, INFINITY)), y, nan);
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
