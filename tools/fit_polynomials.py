#!/usr/bin/env python3
"""Fits the polynomials of codegen/math_tables.h and prints them as C arrays.

Method: least squares of the weighted error w(x) * (f(x) - sum c_k x^k) at Chebyshev nodes, which is within a
factor of two of the minimax error, in 80-digit arithmetic.  Coefficients are rounded to the target's format one
at a time, lowest first, refitting those that are left, so that each rounding is compensated by the later ones.
Needs mpmath.

usage: fit_polynomials.py [NAME...]
"""
import struct
import sys

from mpmath import (mp, mpf, matrix, lu_solve, exp, log, sin, cos, sinh, cosh, asin, atan, atanh, erf, erfc, expm1, pi,
                    sqrt, cos as mcos)

mp.dps = 80


def to_float(value, bits):
    if bits == 32:
        # Round the exact value once: struct would round a double a second time.
        return _round(value, 24)
    return _round(value, 53)


def _round(value, precision):
    saved = mp.prec
    mp.prec = precision
    result = +value
    mp.prec = saved
    return result


def solve(target, weight, powers, low, high):
    """Coefficients of the weighted fit with the given powers."""
    n = len(powers)
    count = 8 * n + 8
    normal, right = matrix(n, n), matrix(n, 1)
    for i in range(count):
        x = low + (high - low) * (1 - mcos(pi * (2 * i + 1) / (2 * count))) / 2
        w = weight(x)
        row = [w * x**p for p in powers]
        y = w * target(x)
        for j in range(n):
            right[j] += row[j] * y
            for k in range(n):
                normal[j, k] += row[j] * row[k]
    solution = lu_solve(normal, right)
    return [solution[j] for j in range(n)]


def fit(name, target, weight, count, low, high, bits, split=False):
    """Polynomial with `count` coefficients, each rounded to `bits`; split: two numbers for the first of them."""
    low, high = mpf(low), mpf(high)
    fixed = []
    for done in range(count):
        powers = list(range(done, count))
        rest = lambda x: target(x) - sum(c * x**k for k, c in enumerate(fixed))
        if done > 6:  # later coefficients no longer repay a refit
            fixed += [to_float(c, bits) for c in coeffs[1:]]
            break
        coeffs = solve(rest, weight, powers, low, high)
        fixed.append(to_float(coeffs[0], bits))
        if split and done == 0:
            second = to_float(coeffs[0] - fixed[0], bits)
            fixed[0] += second
    worst = mpf(0)
    for i in range(2001):
        x = low + (high - low) * i / 2000
        worst = max(worst, abs(weight(x) * (target(x) - sum(c * x**k for k, c in enumerate(fixed)))))
    print(f"/* {name}: error 2^{float(log(worst) / log(2)):.1f} */")
    if split:
        fixed[:1] = [fixed[0] - second, second]
    text = ", ".join(float(c).hex() for c in fixed)
    print(f"static const double {name}[] = {{{text}}};", flush=True)


def fit_pieces(name, target, step, pieces, degree):
    """Polynomials of f32 in x - k step for |x - k step| <= step / 2, of the least relative error; piece 0, where the
    target is zero at 0, has none below x.  Printed as one row of `pieces` numbers a power."""
    step, table, worst = mpf(step), [], mpf(0)
    for k in range(pieces):
        low, high, middle = mpf("-0.5") * step if k else mpf(10)**-6, step / 2, k * step
        weight = lambda t: 1 / target(middle + t)
        fixed = [to_float(target(middle), 32)]
        while len(fixed) <= degree:
            rest = lambda t: target(middle + t) - sum(c * t**i for i, c in enumerate(fixed))
            fixed.append(to_float(solve(rest, weight, range(len(fixed), degree + 1), low, high)[0], 32))
        table.append(fixed)
        for i in range(201):
            t = low + (high - low) * i / 200
            worst = max(worst, abs(1 - sum(c * t**j for j, c in enumerate(fixed)) * weight(t)))
    print(f"/* {name}: relative error 2^{float(log(worst) / log(2)):.1f} */")
    rows = ",\n".join("  {" + ", ".join(float(piece[i]).hex() for piece in table) + "}" for i in range(degree + 1))
    print(f"static const double {name}[][{pieces}] = {{\n{rows}}};", flush=True)


def fit_inverses(name, start, shift, pieces):
    """For the pieces of the mantissa's range that begin at the bits `start` of an f32 and are 2^shift of them long: a
    number c, near enough to the inverse of the middle and of so few bits that x c - 1 is exact, and -log2(c) in two parts,
    the first with 16 bits after the point.  c is 1 where x may be."""
    rows = [[], [], []]
    for piece in range(pieces):
        low, high = (struct.unpack("<f", struct.pack("<I", start + ((piece + i) << shift) - i))[0] for i in (0, 1))
        best = None
        for bits in range(8):
            for q in range(1 if bits == 0 else 2**(bits - 1), 2**bits + 1):
                c = q / 2**bits
                far = max(abs(low * c - 1), abs(high * c - 1))
                if far <= 2**(1 - bits) and (not best or far < best[0]):
                    best = far, c
        c = mpf(best[1] if piece else 1)
        t = -log(c) / LN2
        rows[0].append(c)
        rows[1].append(mp.nint(t * 2**16) / 2**16)
        rows[2].append(to_float(t - rows[1][-1], 32))
    text = ",\n".join("  {" + ", ".join(float(v).hex() for v in row) + "}" for row in rows)
    print(f"static const double {name}[][{pieces}] = {{\n{text}}};", flush=True)


def series(f, at_zero):
    """f with its limit at (and near) zero, where the closed form cancels."""
    return lambda x: f(x) if abs(x) > mpf(10)**-12 else at_zero(x)


LN2 = log(mpf(2))
HALF_LN2 = mpf("0.3475")
SQRT = sqrt(mpf(2))


def exp_tail(x):  # e^x = 1 + x + x^2 p(x)
    return (exp(x) - 1 - x) / x**2


def sinh_tail(z):
    x = sqrt(z)
    return (sinh(x) - x) / x**3


def cosh_tail(z):
    x = sqrt(z)
    return (cosh(x) - 1 - z / 2) / z**2


def log_tail(x):  # log(1 + x) = x - x^2/2 + x^3 p(x)
    return (log(1 + x) - x + x * x / 2) / x**3


def log_s_tail(z):  # log((1+s)/(1-s)) = 2s + s z p(z), z = s^2
    s = sqrt(z)
    return (2 * atanh(s) - 2 * s) / (s * z)


def log2_near_one(r):  # log2(1 + r) = r / ln2 - r^2 / (2 ln2) + r^3 p(r)
    return log_tail(r) / LN2


def log1p_ratio(t):  # log(1 + e) = e p(e - 1/2)
    e = t + mpf("0.5")
    return log(1 + e) / e if e > mpf(10)**-12 else 1 - e / 2


def exp2_tail(r):  # 2^r = 1 + r p(r)
    return (exp(r * LN2) - 1) / r


def log2_tail(z):  # log2((1+s)/(1-s)) = s (2/ln2 + z (2/(3 ln2) + z p(z)))
    s = sqrt(z)
    return ((2 * atanh(s) / s - 2) / z - mpf(2) / 3) / z / LN2


def sin_tail(z):
    x = sqrt(z)
    return (sin(x) - x) / x**3


def cos_tail(z):
    x = sqrt(z)
    return (cos(x) - 1 + z / 2) / z**2


def asin_tail(z):
    x = sqrt(z)
    return (asin(x) - x) / x**3


def atan_tail(z):
    x = sqrt(z)
    return (atan(x) - x) / x**3


def erf_exponent(x):  # erf(x) = -expm1(-x p(x))
    return -log(erfc(x)) / x


def erf_weight(x):  # relative error of erf for an absolute error of p
    v = -log(erfc(x))
    return x * exp(-v) / -expm1(-v)


TINY = mpf(10)**-9
SMAX = (SQRT - 1) / (SQRT + 1) * mpf("1.001")
PI4 = pi / 4 * mpf("1.0001")
ONE = lambda x: mpf(1)

TABLES = {
    "exp": lambda b: fit(f"exp_f{b}", series(exp_tail, lambda x: mpf(1) / 2 + x / 6), lambda x: x**2,
                         {32: 5, 64: 10}[b], -HALF_LN2, HALF_LN2, b),
    "sinh": lambda b: fit(f"sinh_f{b}", sinh_tail, lambda z: z, {32: 3, 64: 6}[b], TINY, HALF_LN2**2, b),
    "cosh": lambda b: fit(f"cosh_f{b}", cosh_tail, lambda z: z**2, {32: 2, 64: 5}[b], TINY, HALF_LN2**2, b),
    "log": lambda b: (fit("log_f32", series(log_tail, lambda x: mpf(1) / 3 - x / 4), lambda x: x**2, 8,
                          SQRT / 2 - 1 - mpf("0.0001"), SQRT - 1 + mpf("0.0001"), 32) if b == 32 else
                      fit("log_f64", log_s_tail, lambda z: z, 8, TINY, SMAX**2, 64)),
    "log2": lambda b: fit(f"log2_f{b}", log2_tail, lambda z: z**2, {32: 3, 64: 9}[b], TINY, SMAX**2, b),
    "sin": lambda b: fit(f"sin_f{b}", sin_tail, lambda z: z, {32: 3, 64: 6}[b], TINY, PI4**2, b),
    "cos": lambda b: fit(f"cos_f{b}", cos_tail, lambda z: z**2, {32: 3, 64: 6}[b], TINY, PI4**2, b),
    "asin": lambda b: fit(f"asin_f{b}", asin_tail, lambda z: z, {32: 5, 64: 12}[b], TINY, mpf("0.2501"), b),
    "atan": lambda b: fit(f"atan_f{b}", atan_tail, lambda z: z, {32: 5, 64: 12}[b], TINY, mpf("0.17158"), b),
    "erf": lambda b: fit(f"erf_f{b}", erf_exponent, erf_weight, {32: 9, 64: 23}[b], mpf(10)**-8,
                         {32: mpf("3.93"), 64: mpf("5.93")}[b], b, split=True),
    "inverses": lambda b: (fit_inverses("inverses16", 0x3F7C0000, 19, 16), fit_inverses("inverses8", 0x3F780000, 20, 8))
                if b == 32 else None,
    "log2_near": lambda b: [fit(f"log2_near{n}_f32", series(log2_near_one, lambda r: (mpf(1) / 3 - r / 4) / LN2),
                                lambda r: r**2, count, -far, far, 32)
                            for n, count, far in ((16, 4, mpf("0.0342")), (8, 5, mpf("0.0704")))] if b == 32 else None,
    "log1p": lambda b: fit("log1p_f32", log1p_ratio, lambda t: 1 / log1p_ratio(t), 10, mpf("-0.5"), mpf("0.5"), 32)
                if b == 32 else None,
    "exp2": lambda b: fit("exp2_f32", series(exp2_tail, lambda r: LN2 + r * LN2**2 / 2), lambda r: r, 6, mpf("-0.5001"),
                          mpf("0.5001"), 32) if b == 32 else None,
    # the steps: few bits, and erf of the first ones is nearly a float
    "erf_pieces": lambda b: (fit_pieces("erf_pieces16", erf, mpf(17582) / 65536, 16, 5), fit_pieces(
        "erf_pieces8", erf, mpf(35270) / 65536, 8, 7)) if b == 32 else None,
}

if __name__ == "__main__":
    for table in sys.argv[1:] or TABLES:
        for width in (32, 64):
            TABLES[table](width)
