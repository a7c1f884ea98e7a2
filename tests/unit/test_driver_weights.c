/* tenon_check_weights: its hash is that of xxHash for every length a file can have, and what is wrong has a
 * status. */
#include "runtime/tenon_weights.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { LARGEST = 8192 };
static _Alignas(64) uint8_t bytes[LARGEST];

static void hash_is_that_of_xxhash(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  uint32_t seed = 1;
  for (int i = 0; i < LARGEST; i++)
    bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
  for (uint64_t size = 256; size <= LARGEST; size += size < 1200 ? 1 : 64) {
    struct tenon_model m = {.arena_align = 64, .weight_bytes = (int64_t)size};
    m.weights_hash = tn_hash_hex(tn_ctx_arena(ctx), tn_hash_bytes(bytes, size));
    assert_int_equal(tenon_check_weights(&m, bytes, size), TENON_OK);
  }
  tn_ctx_destroy(ctx);
}

static void every_bit_counts(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  enum { SIZE = 1344 }; /* a block, stripes, and a last one */
  struct tenon_model m = {.arena_align = 64, .weight_bytes = SIZE};
  m.weights_hash = tn_hash_hex(tn_ctx_arena(ctx), tn_hash_bytes(bytes, SIZE));
  for (int i = 0; i < SIZE; i++) {
    bytes[i] ^= (uint8_t)(1 << i % 8);
    assert_int_equal(tenon_check_weights(&m, bytes, SIZE), TENON_WEIGHTS_WRONG_HASH);
    bytes[i] ^= (uint8_t)(1 << i % 8);
  }
  assert_int_equal(tenon_check_weights(&m, bytes, SIZE), TENON_OK);
  tn_ctx_destroy(ctx);
}

static void statuses(void **state) {
  (void)state;
  struct tenon_model m = {.arena_align = 64, .weight_bytes = 256};
  assert_int_equal(tenon_check_weights(&m, NULL, 0), TENON_OK); /* they are in the object */
  m.weights_hash = "00000000000000000000000000000000";
  assert_int_equal(tenon_check_weights(&m, NULL, 256), TENON_NULL_POINTER);
  assert_int_equal(tenon_check_weights(&m, bytes + 4, 256), TENON_WEIGHTS_MISALIGNED);
  assert_int_equal(tenon_check_weights(&m, bytes, 192), TENON_WEIGHTS_WRONG_SIZE);
  assert_int_equal(tenon_check_weights(&m, bytes, 320), TENON_WEIGHTS_WRONG_SIZE);
  assert_int_equal(tenon_check_weights(&m, bytes, 256), TENON_WEIGHTS_WRONG_HASH);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hash_is_that_of_xxhash),
      cmocka_unit_test(every_bit_counts),
      cmocka_unit_test(statuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
