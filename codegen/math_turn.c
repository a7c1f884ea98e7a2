/* The remainder of a division by pi/2, for the trigonometric functions.
 *
 * Moderate numbers, |x| < 12864 (f64: 6.6 million), follow Cody and Waite: the multiple of pi/2 is taken off in
 * three parts, of which the first leaves an exact difference, and the second a pair of numbers.  So the
 * remainder keeps its relative accuracy however near to zero it comes.
 *
 * Larger ones follow Payne and Hanek (1983) in integers: the mantissa is multiplied by that window of the bits
 * of 2/pi which decides the quadrant and 60 (124) bits of the fraction; bits further left only add whole turns.
 * So it is right to the last bit for the largest numbers too, and f32 needs no f64.  This takes four times as
 * long as all the rest of a sine: it is a function of its own, called where a lane is large, whose other lanes
 * keep what they had. */
#include "codegen/math_build.h"

enum { MAX_LIMBS = 6 };

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

/* For every a >= pi/4; lanes of infinities and nans are of no use. */
static struct angle turn_large(const struct fx *f, val a) {
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

  val right = k(f, 0x1.921fb54442d18p+0), right_low = k2(f, -0x1.777a5cp-25, 0x1.1a62633145c07p-54);
  struct two r = two_prod(f, turn.hi, right);
  r.lo = add(f, r.lo, mad(f, turn.hi, right_low, mul(f, turn.lo, right)));
  out.r = r;
  return out;
}

/* With n the multiple, the parts are n P1 (P1 of 22 bits, in halves of 11 where products round: exact), n P2 as
 * a pair, n P3.  x - n P1 is a multiple of the last place of n P2 or, above that, of its own: either way the
 * difference of the two is exact, or its error is one number. */
static struct angle turn_moderate(const struct fx *f, val a) {
  val shift = k(f, rounder(f)), t = mad(f, a, k(f, 0x1.45f306dc9c883p-1), shift);
  val n = neg(f, sub(f, t, shift)), x;
  if (f->fma) {
    x = mad(f, n, k2(f, 0x1.921fb8p+0, 0x1.921fb54442d18p+0), a);
  } else {
    x = mad(f, n, k2(f, 0x1.92p+0, 0x1.921fb548p+0), a);
    x = mad(f, n, k2(f, 0x1.fb8p-12, -0x1.de974p-31), x);
  }
  struct two p = two_prod(f, n, k2(f, -0x1.5dde98p-23, 0x1.1a62633145c07p-54));
  struct angle out = {.quadrant = to_bits(f, t)};
  out.r.hi = add(f, x, p.hi);
  val lost = add(f, sub(f, x, out.r.hi), p.hi);
  out.r.lo = mad(f, n, k2(f, 0x1.84698ap-48, -0x1.f1976b7ed8fbcp-110), add(f, lost, p.lo));
  return out;
}

/* The function of turn_large for vectors of this type. */
static val large_function(const struct fx *f, LLVMTypeRef result) {
  bool is_new;
  val function = tn_fx_rare_helper(f, "tn_turn", result, 1, &is_new);
  if (!is_new)
    return function;
  struct fx g = *f;
  g.b = LLVMCreateBuilderInContext(f->c);
  LLVMPositionBuilderAtEnd(g.b, LLVMAppendBasicBlockInContext(f->c, function, "start"));
  struct angle t = turn_large(&g, LLVMGetParam(function, 0));
  val all[3] = {t.quadrant, t.r.hi, t.r.lo};
  LLVMBuildAggregateRet(g.b, all, 3);
  LLVMDisposeBuilder(g.b);
  return function;
}

struct angle tn_fx_turn(const struct fx *f, val a) {
  struct angle t = turn_moderate(f, a);
  val is_large = le(f, k2(f, 0x1.92p13, 0x1.92p22), a);
  struct detour d = tn_fx_detour(f, is_large);
  LLVMTypeRef parts[3] = {f->bits, f->real, f->real};
  val function = large_function(f, LLVMStructTypeInContext(f->c, parts, 3, 0));
  val large = LLVMBuildCall2(f->b, LLVMGlobalGetValueType(function), function, &a, 1, "");
  val out[3] = {t.quadrant, t.r.hi, t.r.lo}, now[3];
  val nan = sub(f, a, a); /* of an infinity */
  for (unsigned i = 0; i < 3; i++) {
    now[i] = LLVMBuildExtractValue(f->b, large, i, "");
    if (i == 1)
      now[i] = sel(f, lt(f, a, k(f, INFINITY)), now[i], nan);
    now[i] = sel(f, is_large, now[i], out[i]);
  }
  tn_fx_detour_end(f, &d, out, now, 3);
  return (struct angle){out[0], {out[1], out[2]}};
}
