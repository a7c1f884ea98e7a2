/* See tenon_weights.h.  The hash is XXH3-128 of inputs of more than 240 bytes, with the default secret and no
 * seed, as in the published xxHash specification; files of weights are never shorter than 256 bytes. */
#include "tenon_weights.h"

enum { LANES = 8, STRIPE = 64, SECRET = 192, STRIPES_A_BLOCK = (SECRET - STRIPE) / 8 };

static const uint8_t secret[SECRET] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4,
    0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e,
    0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43,
    0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19,
    0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7,
    0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78,
    0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16,
    0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f,
    0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e};

static uint64_t load(const uint8_t *p) {
  return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
         (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static void accumulate(uint64_t *acc, const uint8_t *p, const uint8_t *key) {
  int i;
  for (i = 0; i < LANES; i++) {
    uint64_t data = load(p + 8 * i), mixed = data ^ load(key + 8 * i);
    acc[i ^ 1] += data;
    acc[i] += (mixed & 0xFFFFFFFFu) * (mixed >> 32);
  }
}

static void scramble(uint64_t *acc) {
  int i;
  for (i = 0; i < LANES; i++)
    acc[i] = (acc[i] ^ acc[i] >> 47 ^ load(secret + SECRET - STRIPE + 8 * i)) * 0x9E3779B1u;
}

/* The halves of the 128-bit product, exclusive or. */
static uint64_t fold(uint64_t a, uint64_t b) {
  uint64_t al = a & 0xFFFFFFFFu, ah = a >> 32, bl = b & 0xFFFFFFFFu, bh = b >> 32;
  uint64_t low = al * bl, cross = (low >> 32) + ((ah * bl) & 0xFFFFFFFFu) + al * bh;
  uint64_t high = ah * bh + (ah * bl >> 32) + (cross >> 32);
  return high ^ (cross << 32 | (low & 0xFFFFFFFFu));
}

static uint64_t merge(const uint64_t *acc, const uint8_t *key, uint64_t h) {
  int i;
  for (i = 0; i < LANES; i += 2)
    h += fold(acc[i] ^ load(key + 8 * i), acc[i + 1] ^ load(key + 8 * i + 8));
  h = (h ^ h >> 37) * 0x165667919E3779F9u;
  return h ^ h >> 32;
}

/* bytes > 240 */
static void hash(const uint8_t *p, uint64_t bytes, uint64_t *high, uint64_t *low) {
  uint64_t acc[LANES] = {0xC2B2AE3Du,         0x9E3779B185EBCA87u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u,
                         0x85EBCA77C2B2AE63u, 0x85EBCA77u,         0x27D4EB2F165667C5u, 0x9E3779B1u};
  uint64_t stripe, stripes = (bytes - 1) / STRIPE;
  for (stripe = 0; stripe < stripes; stripe++) {
    uint64_t at = stripe % STRIPES_A_BLOCK;
    accumulate(acc, p + stripe * STRIPE, secret + 8 * at);
    if (at == STRIPES_A_BLOCK - 1)
      scramble(acc);
  }
  accumulate(acc, p + bytes - STRIPE, secret + SECRET - STRIPE - 7);
  *low = merge(acc, secret + 11, bytes * 0x9E3779B185EBCA87u);
  *high = merge(acc, secret + SECRET - STRIPE - 11, ~(bytes * 0xC2B2AE3D27D4EB4Fu));
}

static int is_hex(const char *text, uint64_t value) {
  int i;
  for (i = 0; i < 16; i++)
    if (text[i] != "0123456789abcdef"[value >> (60 - 4 * i) & 15])
      return 0;
  return 1;
}

int tenon_check_weights(const struct tenon_model *model, const void *weights, uint64_t bytes) {
  uint64_t high, low;
  if (!model->weights_hash)
    return TENON_OK;
  if (!weights)
    return TENON_NULL_POINTER;
  if ((uintptr_t)weights % (uintptr_t)model->arena_align)
    return TENON_WEIGHTS_MISALIGNED;
  if (bytes != (uint64_t)model->weight_bytes)
    return TENON_WEIGHTS_WRONG_SIZE;
  hash((const uint8_t *)weights, bytes, &high, &low);
  return is_hex(model->weights_hash, high) && is_hex(model->weights_hash + 16, low) ? TENON_OK
                                                                                    : TENON_WEIGHTS_WRONG_HASH;
}
