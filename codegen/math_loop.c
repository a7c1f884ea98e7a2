/* What needs a loop to be exact: the remainders, and square root without hardware.
 *
 * Each is an internal function of one element, made once a module and called for every lane.  fmod is long
 * division on the mantissas, a few quotient bits a step: remainder = (remainder << k) mod y while exponents
 * differ.  sqrt is the digit-by-digit method with one bit more than the format, which then rounds. */
#include "codegen/math_build.h"
#include <stdio.h>

static void add_attribute(const struct fx *f, val function, const char *name) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(f->c, kind, 0));
}

val tn_fx_helper(const struct fx *f, const char *name, LLVMTypeRef result, unsigned params, bool *is_new) {
  val function = LLVMGetNamedFunction(f->module, name);
  *is_new = function == NULL;
  if (function)
    return function;
  LLVMTypeRef types[2] = {f->real, f->real};
  function = LLVMAddFunction(f->module, name, LLVMFunctionType(result, types, params, 0));
  LLVMSetLinkage(function, LLVMInternalLinkage);
  add_attribute(f, function, "nounwind");
  add_attribute(f, function, "willreturn");
  add_attribute(f, function, "memory"); /* none */
  return function;
}

val tn_fx_rare_helper(const struct fx *f, const char *name, LLVMTypeRef result, unsigned params, bool *is_new) {
  char symbol[32];
  snprintf(symbol, sizeof symbol, "%s_f%ux%u", name, f->width, f->lanes);
  val function = tn_fx_helper(f, symbol, result, params, is_new);
  if (*is_new) {
    add_attribute(f, function, "cold");
    add_attribute(f, function, "noinline");
  }
  return function;
}

static val call_lanes(const struct fx *f, val function, val *args, unsigned count) {
  LLVMTypeRef type = LLVMGlobalGetValueType(function);
  if (f->lanes == 0)
    return LLVMBuildCall2(f->b, type, function, args, count, "");
  LLVMTypeRef i32 = LLVMInt32TypeInContext(f->c);
  val result = LLVMGetPoison(f->real);
  for (unsigned i = 0; i < f->lanes; i++) {
    val lane[2], at = LLVMConstInt(i32, i, 0);
    for (unsigned j = 0; j < count; j++)
      lane[j] = LLVMBuildExtractElement(f->b, args[j], at, "");
    result =
        LLVMBuildInsertElement(f->b, result, LLVMBuildCall2(f->b, type, function, lane, count, ""), at, "");
  }
  return result;
}

static LLVMBasicBlockRef block(const struct fx *s, val function, const char *name) {
  return LLVMAppendBasicBlockInContext(s->c, function, name);
}
static val icmp(const struct fx *s, LLVMIntPredicate p, val a, val b) {
  return LLVMBuildICmp(s->b, p, a, b, "");
}
static val phi(const struct fx *s, val first, LLVMBasicBlockRef from) {
  val p = LLVMBuildPhi(s->b, s->bits, "");
  LLVMAddIncoming(p, &first, &from, 1);
  return p;
}
static val leading_zeros(const struct fx *s, val a) {
  return tn_fx_intrinsic(s, "llvm.ctlz", s->bits, (val[]){a, LLVMConstInt(LLVMInt1TypeInContext(s->c), 0, 0)},
                         2);
}

/* |x| as integer * 2^exponent; subnormals share the exponent of the smallest normals. */
struct parts {
  val exponent; /* biased, at least 1 */
  val mantissa; /* with the leading bit where there is one */
};
static struct parts take_apart(const struct fx *s, val magnitude) {
  uint64_t implicit = (uint64_t)1 << s->mantissa;
  val e = shr(s, magnitude, s->mantissa), fraction = iand(s, magnitude, ki(s, implicit - 1));
  val normal = not_zero(s, e);
  val with_implicit = ior(s, fraction, ki(s, implicit));
  struct parts p;
  p.exponent = sel(s, normal, e, ki(s, 1));
  p.mantissa = sel(s, normal, with_implicit, fraction);
  return p;
}

static void build_fmod(const struct fx *s, val function) {
  val x = LLVMGetParam(function, 0), y = LLVMGetParam(function, 1);
  uint64_t sign_bit = (uint64_t)1 << (s->width - 1), implicit = (uint64_t)1 << s->mantissa;
  uint64_t infinity = ((uint64_t)2 * (uint64_t)s->bias + 1) << s->mantissa;
  unsigned chunk = s->width - s->mantissa - 1; /* 8 or 11 bits more than a mantissa fit */
  LLVMBasicBlockRef entry = block(s, function, "entry"), invalid = block(s, function, "invalid"),
                    finite = block(s, function, "finite"), keep = block(s, function, "keep"),
                    divide = block(s, function, "divide"), loop = block(s, function, "loop"),
                    step = block(s, function, "step"), done = block(s, function, "done");

  LLVMPositionBuilderAtEnd(s->b, entry);
  val sign = iand(s, to_bits(s, x), ki(s, sign_bit));
  val ux = iand(s, to_bits(s, x), ki(s, sign_bit - 1)), uy = iand(s, to_bits(s, y), ki(s, sign_bit - 1));
  val x_bad = icmp(s, LLVMIntUGE, ux, ki(s, infinity));
  val y_nan = icmp(s, LLVMIntUGT, uy, ki(s, infinity)), y_zero = icmp(s, LLVMIntEQ, uy, ki(s, 0));
  val bad = LLVMBuildOr(s->b, x_bad, LLVMBuildOr(s->b, y_nan, y_zero, ""), "");
  LLVMBuildCondBr(s->b, bad, invalid, finite);
  LLVMPositionBuilderAtEnd(s->b, invalid);
  val nan = add(s, x, y);
  LLVMBuildRet(s->b, sel(s, is_nan(s, x, y), nan, k(s, NAN)));
  LLVMPositionBuilderAtEnd(s->b, finite);
  LLVMBuildCondBr(s->b, icmp(s, LLVMIntULT, ux, uy), keep, divide);
  LLVMPositionBuilderAtEnd(s->b, keep);
  LLVMBuildRet(s->b, x);

  LLVMPositionBuilderAtEnd(s->b, divide);
  struct parts px = take_apart(s, ux), py = take_apart(s, uy);
  val first = LLVMBuildURem(s->b, px.mantissa, py.mantissa, ""), distance = isub(s, px.exponent, py.exponent);
  LLVMBuildBr(s->b, loop);

  LLVMPositionBuilderAtEnd(s->b, loop);
  val rest = phi(s, first, divide), left = phi(s, distance, divide);
  LLVMBuildCondBr(s->b, not_zero(s, left), step, done);
  LLVMPositionBuilderAtEnd(s->b, step);
  val n = sel(s, icmp(s, LLVMIntULT, left, ki(s, chunk)), left, ki(s, chunk));
  val next_rest = LLVMBuildURem(s->b, LLVMBuildShl(s->b, rest, n, ""), py.mantissa, "");
  val next_left = isub(s, left, n);
  LLVMAddIncoming(rest, &next_rest, &step, 1);
  LLVMAddIncoming(left, &next_left, &step, 1);
  LLVMBuildBr(s->b, loop);

  /* Shift the leading bit into its place, or as far as subnormals allow; its weight adds the exponent's last 1.
   */
  LLVMPositionBuilderAtEnd(s->b, done);
  val room = isub(s, leading_zeros(s, rest), ki(s, s->width - 1 - s->mantissa));
  val most = isub(s, py.exponent, ki(s, 1));
  val shift = sel(s, icmp(s, LLVMIntULT, room, most), room, most);
  val mantissa = LLVMBuildShl(s->b, rest, shift, "");
  val exponent = isub(s, most, shift);
  val bits = iadd(s, mantissa, shl(s, exponent, s->mantissa));
  bits = sel(s, icmp(s, LLVMIntULT, mantissa, ki(s, implicit)), mantissa, bits); /* zero or subnormal */
  LLVMBuildRet(s->b, to_real(s, ior(s, bits, sign)));
}

static void build_sqrt(const struct fx *s, val function) {
  val x = LLVMGetParam(function, 0);
  uint64_t infinity = ((uint64_t)2 * (uint64_t)s->bias + 1) << s->mantissa;
  uint64_t implicit = (uint64_t)1 << s->mantissa;
  LLVMBasicBlockRef entry = block(s, function, "entry"), special = block(s, function, "special"),
                    start = block(s, function, "start"), loop = block(s, function, "loop"),
                    done = block(s, function, "done");
  LLVMPositionBuilderAtEnd(s->b, entry);
  val ux = to_bits(s, x);
  val usual = icmp(s, LLVMIntULT, isub(s, ux, ki(s, 1)), ki(s, infinity - 1)); /* 0 < x < inf */
  LLVMBuildCondBr(s->b, usual, start, special);
  LLVMPositionBuilderAtEnd(s->b, special); /* zeros, inf and nan are their own roots */
  val negative = lt(s, x, k(s, 0));
  LLVMBuildRet(s->b, sel(s, negative, k(s, NAN), x));

  LLVMPositionBuilderAtEnd(s->b, start);
  struct parts p = take_apart(s, ux);
  val lift = isub(s, leading_zeros(s, p.mantissa), ki(s, s->width - 1 - s->mantissa));
  val mantissa = LLVMBuildShl(s->b, p.mantissa, lift, "");
  val exponent = isub(s, isub(s, p.exponent, lift), ki(s, (uint64_t)s->bias));
  val odd = not_zero(s, iand(s, exponent, ki(s, 1)));
  val first_rest = shl(s, sel(s, odd, shl(s, mantissa, 1), mantissa), 1);
  LLVMBuildBr(s->b, loop);

  /* root: digits so far; twice: 2 * root; digit: the bit under trial */
  LLVMPositionBuilderAtEnd(s->b, loop);
  val root = phi(s, ki(s, 0), start), twice = phi(s, ki(s, 0), start);
  val rest = phi(s, first_rest, start), digit = phi(s, ki(s, implicit << 1), start);
  val trial = iadd(s, twice, digit);
  val fits = icmp(s, LLVMIntULE, trial, rest);
  val next_twice = sel(s, fits, iadd(s, trial, digit), twice);
  val next_root = sel(s, fits, iadd(s, root, digit), root);
  val next_rest = shl(s, sel(s, fits, isub(s, rest, trial), rest), 1), next_digit = shr(s, digit, 1);
  LLVMAddIncoming(root, &next_root, &loop, 1);
  LLVMAddIncoming(twice, &next_twice, &loop, 1);
  LLVMAddIncoming(rest, &next_rest, &loop, 1);
  LLVMAddIncoming(digit, &next_digit, &loop, 1);
  LLVMBuildCondBr(s->b, not_zero(s, next_digit), loop, done);

  /* The last digit is half a unit: a root is never exactly between two numbers, so it alone decides. */
  LLVMPositionBuilderAtEnd(s->b, done);
  val rounded = shr(s, iadd(s, next_root, iand(s, next_root, ki(s, 1))), 1);
  val half = shl(s, sar(s, exponent, 1), s->mantissa);
  val bits = iadd(s, iadd(s, rounded, half), ki(s, (uint64_t)(s->bias - 1) << s->mantissa));
  LLVMBuildRet(s->b, to_real(s, bits));
}

static val call_helper(const struct fx *f, const char *f32_name, const char *f64_name, val *args,
                       unsigned count, void (*build)(const struct fx *s, val function)) {
  struct fx s = tn_fx_scalar(f);
  bool is_new;
  val function = tn_fx_helper(&s, s.width == 32 ? f32_name : f64_name, s.real, count, &is_new);
  if (is_new) {
    s.b = LLVMCreateBuilderInContext(f->c);
    build(&s, function);
    LLVMDisposeBuilder(s.b);
  }
  return call_lanes(f, function, args, count);
}

val tn_fx_sqrt(const struct fx *f, val x) {
  if (f->sqrt)
    return tn_fx_intrinsic(f, "llvm.sqrt", f->real, &x, 1);
  return call_helper(f, "tn_sqrt_f32", "tn_sqrt_f64", &x, 1, build_sqrt);
}

/* Where the quotient of vectors is below 2^mantissa: its rounded value is the exact one's integer part or, at a
 * hair below an integer, that integer; so one divisor more is right or the remainder is, and both are exact. */
val tn_fx_fmod(const struct fx *f, val x, val y) {
  val arg[2] = {x, y};
  if (!f->lanes || !f->fma)
    return call_helper(f, "tn_fmod_f32", "tn_fmod_f64", arg, 2, build_fmod);
  val a = mag(f, x), b = mag(f, y), zero = k(f, 0), ratio = quo(f, a, b);
  val q = neg(f, tn_fx_round(f, TN_TRUNC, ratio)), r = mad(f, q, b, a);
  r = sel(f, lt(f, r, zero), add(f, r, b), r);
  r = with_sign(f, r, x);
  val is_finite = lt(f, b, k(f, INFINITY)),
      is_usual = both(f, is_finite, lt(f, ratio, kpow2(f, (int)f->mantissa)));
  struct detour d = tn_fx_detour(f, no(f, is_usual));
  val now = call_helper(f, "tn_fmod_f32", "tn_fmod_f64", arg, 2, build_fmod);
  now = sel(f, is_usual, r, now);
  tn_fx_detour_end(f, &d, &r, &now, 1);
  return r;
}

/* The remainder with the sign of y; zero takes it too. */
val tn_fx_mod(const struct fx *f, val x, val y) {
  val zero = k(f, 0), r = tn_fx_fmod(f, x, y);
  val is_zero = eq(f, r, zero), r_negative = lt(f, r, zero), y_negative = lt(f, y, zero);
  val differs = differ(f, r_negative, y_negative);
  val wrong = both(f, differs, no(f, is_zero));
  val shifted = sel(f, wrong, add(f, r, y), r);
  return sel(f, is_zero, with_sign(f, zero, y), shifted);
}
