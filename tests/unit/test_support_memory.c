/* Context, arenas, guards, vectors; and that running out of memory at any allocation unwinds without a leak. */
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* An allocator that counts what is out and fails at a chosen call. */
struct counting {
  long calls, fail_at, live;
};

static void *counting_resize(void *user, void *old, size_t size) {
  struct counting *c = user;
  if (size == 0) {
    if (old)
      c->live--;
    free(old);
    return NULL;
  }
  if (++c->calls == c->fail_at)
    return NULL;
  void *at = realloc(old, size);
  if (!old)
    c->live++;
  return at;
}

static int cleaned;
static void clean(void *object) {
  *(int *)object = ++cleaned;
}

struct work {
  tn_ctx *ctx;
  int object;
  bool finished;
};

/* Touches everything that allocates. */
static bool do_work(void *user) {
  struct work *w = user;
  tn_arena *scratch = tn_arena_create(w->ctx);
  tn_ctx_cleanup(w->ctx, clean, &w->object);
  TN_VEC(int) numbers = {0};
  for (int i = 0; i < 100000; i++)
    TN_PUSH(scratch, &numbers, i);
  struct tn_str s;
  tn_str_init(&s, scratch);
  struct tn_map map;
  tn_map_init(&map, tn_ctx_arena(w->ctx));
  for (int i = 0; i < 3000; i++) {
    tn_str_add(&s, "%d,", i);
    tn_map_set(&map, tn_printf(scratch, "key%d", i), &numbers.at[i]);
  }
  for (int i = 0; i < 40; i++)
    tn_report(w->ctx, TN_WARNING, (struct tn_where){"f", "n", "Op"}, "warning %d", i);
  tn_alloc(scratch, 1 << 20);
  tn_arena_destroy(scratch);
  struct tn_bytes bytes;
  if (!tn_file_map(w->ctx, "/proc/self/status", &bytes))
    return false;
  w->finished = true;
  return true;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  bool finished = false;
  int failures = 0;
  for (long n = 1; !finished; n++) {
    struct counting c = {.fail_at = n};
    tn_ctx *ctx = tn_ctx_create(&(struct tn_allocator){counting_resize, &c});
    if (!ctx) {
      assert_int_equal(n, 1);
      assert_int_equal(c.live, 0);
      continue;
    }
    struct work w = {.ctx = ctx};
    bool good = tn_guard(ctx, do_work, &w);
    finished = c.calls < n;
    if (!finished) {
      failures++;
      size_t count;
      const struct tn_diag *diags = tn_diags(ctx, &count);
      bool said = false;
      for (size_t i = 0; i < count; i++)
        said |= strstr(diags[i].text, "out of memory") != NULL;
      assert_true(said);
    } else {
      assert_true(good);
      assert_int_equal(tn_diag_count(ctx, TN_ERROR), 0);
    }
    if (good)
      assert_true(w.finished);
    tn_ctx_destroy(ctx);
    assert_int_equal(c.live, 0);
    assert_true(n < 1000);
  }
  assert_true(failures > 10);
}

static void arena_alignment_and_zero(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  tn_arena *arena = tn_arena_create(ctx);
  for (size_t size = 0; size < 300000; size = size * 3 / 2 + 1) {
    char *at = tn_alloc(arena, size);
    assert_int_equal((uintptr_t)at % (size >= 65536 ? 64 : 16), 0);
    for (size_t i = 0; i < size; i++)
      assert_int_equal(at[i], 0);
    memset(at, 0xff, size);
    for (size_t align = 1; align <= 4096; align *= 2)
      assert_int_equal((uintptr_t)tn_alloc_raw(arena, 3, align) % align, 0);
  }
  assert_true(tn_arena_bytes(arena) > 300000);
  assert_ptr_equal(tn_arena_ctx(arena), ctx);
  tn_ctx_destroy(ctx);
}

static void arenas_go_in_any_order(void **state) {
  (void)state;
  struct counting c = {0};
  tn_ctx *ctx = tn_ctx_create(&(struct tn_allocator){counting_resize, &c});
  tn_arena *a[5];
  for (int i = 0; i < 5; i++) {
    a[i] = tn_arena_create(ctx);
    tn_alloc(a[i], 100);
  }
  tn_arena_destroy(a[2]);
  tn_arena_destroy(a[4]);
  tn_arena_destroy(a[0]);
  tn_arena_destroy(NULL);
  assert_int_equal(c.live, 1 + 2 * 2);
  tn_ctx_destroy(ctx);
  assert_int_equal(c.live, 0);
}

static bool overflow(void *user) {
  tn_calloc(tn_ctx_arena(user), SIZE_MAX / 2, 3);
  return true;
}
static bool too_large(void *user) {
  tn_alloc(tn_ctx_arena(user), SIZE_MAX - 5);
  return true;
}

static void hostile_sizes_fail(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  assert_false(tn_guard(ctx, overflow, ctx));
  assert_false(tn_guard(ctx, too_large, ctx));
  assert_int_equal(tn_diag_count(ctx, TN_ERROR), 1); /* said once */
  tn_ctx_destroy(ctx);
}

static bool inner(void *user) {
  tn_bug(user, "bad %d", 7);
  return true;
}
static bool outer(void *user) {
  return !tn_guard(user, inner, user);
}

static void guards_nest(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  assert_true(tn_guard(ctx, outer, ctx));
  assert_false(tn_guard(ctx, inner, ctx));
  assert_int_equal(tn_diag_count(ctx, TN_BUG), 2);
  tn_ctx_destroy(ctx);
}

static void cleanups_run_last_first(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  int a = 0, b = 0;
  cleaned = 0;
  tn_ctx_cleanup(ctx, clean, &a);
  tn_ctx_cleanup(ctx, clean, &b);
  assert_int_equal(cleaned, 0);
  tn_ctx_destroy(ctx);
  assert_int_equal(b, 1);
  assert_int_equal(a, 2);
}

static void vector_keeps_elements(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  tn_arena *arena = tn_ctx_arena(ctx);
  TN_VEC(uint16_t) a = {0};
  TN_VEC(double) b = {0};
  for (int i = 0; i < 5000; i++) { /* two vectors growing in turn: some growth in place, some by moving */
    TN_PUSH(arena, &a, (uint16_t)i);
    if (i % 3 == 0)
      TN_PUSH(arena, &b, i * 0.5);
  }
  for (int i = 0; i < 5000; i++)
    assert_int_equal(a.at[i], i);
  for (int i = 0; i < 1667; i++)
    assert_true(b.at[i] == i * 3 * 0.5);
  tn_ctx_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(arena_alignment_and_zero),
      cmocka_unit_test(arenas_go_in_any_order),
      cmocka_unit_test(hostile_sizes_fail),
      cmocka_unit_test(guards_nest),
      cmocka_unit_test(cleanups_run_last_first),
      cmocka_unit_test(vector_keeps_elements),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
