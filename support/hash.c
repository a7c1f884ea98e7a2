/* XXH3-128: identity of constants, kernels and models.  Not a defence against forgery. */
#include "support/support.h"

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
