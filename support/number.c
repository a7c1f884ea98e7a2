/* Arithmetic that C leaves open: overflow, floor division, the 16-bit floats, floats as text. */
#include "support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool tn_mul_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
bool tn_add_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_add_overflow(a, b, out);
}

int64_t tn_floor_div(int64_t a, int64_t b) {
  if (b == -1)
    return a == INT64_MIN ? INT64_MAX : -a;
  int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t tn_floor_mod(int64_t a, int64_t b) {
  if (b == -1)
    return 0;
  int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t tn_ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

int64_t tn_gcd(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

int64_t tn_round_up(int64_t a, int64_t multiple) {
  int64_t rest = tn_floor_mod(a, multiple);
  int64_t up = a;
  if (rest && !tn_add_i64(a, multiple - rest, &up))
    return INT64_MAX;
  return up;
}

static uint32_t float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float bits_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

float tn_half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = (half >> 10) & 31;
  uint32_t fraction = half & 0x3ff;
  if (exponent == 31)
    return bits_float(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact in float */
    float magnitude = (float)fraction * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t tn_double_to_half(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t sign = (uint16_t)(bits >> 48 & 0x8000);
  int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
  uint64_t fraction = bits & 0xfffffffffffff;
  if (exponent == 1024) /* infinity, or a nan: quiet, upper payload kept */
    return (uint16_t)(sign | 0x7c00 | (fraction ? 0x200 | fraction >> 42 : 0));
  if (exponent > 15)
    return (uint16_t)(sign | 0x7c00);
  if (exponent < -25) /* below half of the smallest subnormal, 2^-25 */
    return sign;
  /* significand in 2^(exponent-52); keep it down to 2^(exponent-10), or to 2^-24 for subnormals */
  uint64_t significand = fraction | 1ull << 52;
  int drop = exponent < -14 ? 42 + (-14 - exponent) : 42;
  uint64_t kept = significand >> drop;
  uint64_t rest = significand & ((1ull << drop) - 1);
  uint64_t half_way = 1ull << (drop - 1);
  kept += rest > half_way || (rest == half_way && (kept & 1));
  /* A carry runs into the exponent, up to infinity, just as it should. */
  if (exponent >= -14)
    kept += (uint64_t)(exponent + 14) << 10;
  return (uint16_t)(sign | kept);
}

uint16_t tn_float_to_half(float value) {
  return tn_double_to_half((double)value);
}

float tn_bf16_to_float(uint16_t bits) {
  return bits_float((uint32_t)bits << 16);
}

uint16_t tn_float_to_bf16(float value) {
  uint32_t bits = float_bits(value);
  if (isnan(value))
    return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* NULL: has to be printed in digits. */
static const char *special_text(double value) {
  if (isnan(value))
    return "nan";
  if (isinf(value))
    return value < 0 ? "-inf" : "inf";
  return NULL;
}

char *tn_float_text(tn_arena *arena, float value) {
  const char *special = special_text((double)value);
  if (special)
    return tn_strdup(arena, special);
  char text[32];
  for (int digits = 1; digits <= 9; digits++) { /* 9 always suffice */
    snprintf(text, sizeof text, "%.*g", digits, (double)value);
    if (strtof(text, NULL) == value)
      break;
  }
  return tn_strdup(arena, text);
}

char *tn_double_text(tn_arena *arena, double value) {
  const char *special = special_text(value);
  if (special)
    return tn_strdup(arena, special);
  char text[40];
  for (int digits = 1; digits <= 17; digits++) { /* 17 always suffice */
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value)
      break;
  }
  return tn_strdup(arena, text);
}
