/* Strings, maps, diagnostics, hashes. */
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void strings(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  tn_arena *arena = tn_ctx_arena(ctx);
  assert_string_equal(tn_strdup(arena, ""), "");
  assert_string_equal(tn_strndup(arena, "abcdef", 3), "abc");
  assert_string_equal(tn_printf(arena, "%s-%d", "x", 5), "x-5");
  struct tn_str s;
  tn_str_init(&s, arena);
  for (int i = 0; i < 1000; i++)
    tn_str_add(&s, "%04d", i);
  assert_int_equal(s.count, 4000);
  assert_memory_equal(s.at + 3996, "0999", 5);
  char big[5000];
  memset(big, 'z', sizeof big - 1);
  big[sizeof big - 1] = '\0';
  tn_str_add(&s, "%s", big);
  tn_str_addn(&s, "\0q", 2);
  assert_int_equal(s.count, 4000 + 4999 + 2);
  assert_int_equal(strlen(s.at), 8999);
  assert_string_equal(s.at + 9000, "q");
  tn_ctx_destroy(ctx);
}

static void maps(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_map map;
  tn_map_init(&map, arena);
  assert_null(tn_map_get(&map, "a"));
  assert_false(tn_map_has(&map, "a"));
  tn_map_set(&map, "a", NULL);
  assert_true(tn_map_has(&map, "a"));
  int values[2000];
  for (int i = 0; i < 2000; i++)
    tn_map_set(&map, tn_printf(arena, "%d", i), &values[i]);
  assert_int_equal(map.count, 2001);
  for (int i = 0; i < 2000; i++) {
    assert_ptr_equal(tn_map_get(&map, tn_printf(arena, "%d", i)), &values[i]);
    assert_string_equal(map.entries[i + 1].key, tn_printf(arena, "%d", i));
  }
  tn_map_set(&map, "7", &values[0]);
  assert_int_equal(map.count, 2001);
  assert_ptr_equal(tn_map_get(&map, "7"), &values[0]);
  assert_null(tn_map_get(&map, "2000"));
  tn_ctx_destroy(ctx);
}

static void diagnostics(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  tn_arena *arena = tn_ctx_arena(ctx);
  char name[] = "conv1";
  tn_report(ctx, TN_ERROR, (struct tn_where){"m.onnx", name, "Conv"}, "%d channels", 3);
  name[0] = 'X'; /* was copied */
  tn_report(ctx, TN_NOTE, (struct tn_where){0}, "hm");
  tn_report(ctx, TN_WARNING, (struct tn_where){.node = "n"}, "w");
  tn_report(ctx, TN_BUG, (struct tn_where){.file = "f", .op = "Add"}, "b");
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  assert_int_equal(count, 4);
  assert_string_equal(tn_diag_format(arena, &diags[0]), "m.onnx: error: node 'conv1' (Conv): 3 channels");
  assert_string_equal(tn_diag_format(arena, &diags[1]), "note: hm");
  assert_string_equal(tn_diag_format(arena, &diags[2]), "warning: node 'n': w");
  assert_string_equal(tn_diag_format(arena, &diags[3]), "f: internal error: Add: b");
  assert_int_equal(tn_diag_count(ctx, TN_NOTE), 4);
  assert_int_equal(tn_diag_count(ctx, TN_ERROR), 2);
  tn_diag_truncate(ctx, 9);
  tn_diag_truncate(ctx, 1);
  tn_diags(ctx, &count);
  assert_int_equal(count, 1);
  for (int i = 0; i < 100; i++)
    tn_report(ctx, TN_NOTE, (struct tn_where){0}, "%d", i);
  diags = tn_diags(ctx, &count);
  assert_int_equal(count, 101);
  assert_string_equal(diags[0].text, "3 channels");
  assert_string_equal(diags[100].text, "99");
  tn_ctx_destroy(ctx);
}

static void hashes(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_hash a = tn_hash_bytes("", 0), b = tn_hash_bytes("x", 1);
  assert_false(tn_hash_equal(a, b));
  assert_true(tn_hash_equal(b, tn_hash_bytes("xy", 1)));
  /* the published value of XXH3-128 of nothing */
  assert_string_equal(tn_hash_hex(tn_ctx_arena(ctx), a), "99aa06d3014798d86001c324468d497f");
  tn_ctx_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(strings),
      cmocka_unit_test(maps),
      cmocka_unit_test(diagnostics),
      cmocka_unit_test(hashes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
