/* XXH3-128: identity of constants, kernels and models.  Not a defence against forgery. */
#include "support/support.h"

#define XXH_STATIC_LINKING_ONLY /* the size of a state */
#include <xxhash.h>

struct tn_hash tn_hash_bytes(const void *bytes, size_t size) {
  XXH128_hash_t hash = XXH3_128bits(bytes, size);
  return (struct tn_hash){hash.low64, hash.high64};
}

bool tn_hash_equal(struct tn_hash a, struct tn_hash b) {
  return a.low == b.low && a.high == b.high;
}

char *tn_hash_hex(tn_arena *arena, struct tn_hash hash) {
  return tn_printf(arena, "%016llx%016llx", (unsigned long long)hash.high, (unsigned long long)hash.low);
}

struct tn_hasher {
  XXH3_state_t state;
};

struct tn_hasher *tn_hasher_create(tn_arena *arena) {
  struct tn_hasher *h = tn_alloc_raw(arena, sizeof *h, 64);
  XXH3_128bits_reset(&h->state);
  return h;
}

void tn_hasher_add(struct tn_hasher *h, const void *bytes, size_t size) {
  XXH3_128bits_update(&h->state, bytes, size);
}

struct tn_hash tn_hasher_end(const struct tn_hasher *h) {
  XXH128_hash_t hash = XXH3_128bits_digest(&h->state);
  return (struct tn_hash){hash.low64, hash.high64};
}
