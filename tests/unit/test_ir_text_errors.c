/* Wrong text is refused with its line and column, and running out of memory while reading leaks nothing. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* The text is refused; the first diagnostic starts with `where` and holds `what`. */
static void refused(const char *text, const char *where, const char *what) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_module *module = tn_parse(ctx, "t", text, strlen(text));
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  if (module || count == 0)
    fail_msg("this was read:\n%s", text);
  const char *first = tn_diag_format(tn_ctx_arena(ctx), &diags[0]);
  if (strncmp(first, where, strlen(where)) != 0 || !strstr(first, what))
    fail_msg("for:\n%s\nexpected: %s ... %s\nfound:    %s", text, where, what, first);
  tn_ctx_destroy(ctx);
}

#define BODY(lines) "module \"m\"\ngraph(%x: f32[2,3], %i: i64[2]) {\n" lines "\n  return %x\n}\n"

static void structure(void **state) {
  (void)state;
  refused("", "t:1:1: error:", "expected 'module', found the end of the text");
  refused("modules \"m\"", "t:1:1:", "found 'modules'");
  refused("module m", "t:1:8:", "expected a string in quotes, found 'm'");
  refused("module \"m\"\n", "t:2:1:", "expected 'graph'");
  refused("module \"m\"\ngraph() {\n", "t:3:1:", "expected an op, found the end");
  refused("module \"m\"\ngraph() {\n  return\n}\nx", "t:5:1:", "expected the end of the text");
  refused("module \"m\"\ngraph() {\n  return %x\n}", "t:3:10:", "%x is not defined here");
  refused("module \"m\"\ngraph() {\n  return _\n}", "t:3:10:", "may not be left out");
  refused("module \"m\ngraph", "t:1:8:", "no end");
  refused("module \"\\q\"", "t:1:9:", "no such escape");
  refused("module \"\\x00\"", "t:1:9:", "no such escape");
  refused("module \"m\" \x01", "t:1:12:", "a byte 0x01");
}

static void nodes(void **state) {
  (void)state;
  refused(BODY("  %y = frob(%x) : f32[]"), "t:3:8:", "there is no op 'frob'");
  refused(BODY("  %y = neg(%z) : f32[2,3]"), "t:3:12:", "%z is not defined here");
  refused(BODY("  %x = neg(%x) : f32[2,3]"), "t:3:3:", "%x is defined a second time");
  refused(BODY("  %y, %y = topk(%x) {axis = 1, k = 1} : f32[2,1], i64[2,1]"), "t:3:7:", "a second time");
  refused(BODY("  %y = neg(%x) : f32[2,4]"), "t:3:18:", "%y is written as f32[2x4], but");
  refused(BODY("  %y = neg(%x) : f64[2,3]"), "t:3:18:", "f64");
  refused(BODY("  %y = neg(%x)"), "t:4:3:", "expected ':', found 'return'");
  refused(BODY("  neg(%x)"), "t: error: node 'neg' (neg)", "at least 1 results");
  refused(BODY("  %y = neg(%x, %x) : f32[2,3]"), "t: error: node 'y' (neg)", "operands");
  refused(BODY("  %y = neg(_) : f32[2,3]"), "t: error: node 'y' (neg)", "absent");
  refused(BODY("  %y = add(%x, %i) : f32[2,3]"), "t: error: node 'y' (add)", "one dtype");
  refused(BODY("  %y = add(%x, %i) : f32[2,3] loc(\"n\", \"Add\")"), "t: error: node 'n' (Add)", "one dtype");
  refused(BODY("  %y = neg(%x) graph() {\n return } : f32[2,3]"), "t:3:16:", "holds no graph");
  refused(BODY("  %y = neg(%x) : f32[2,3] @heap+1"), "t:3:28:", "expected 'input N'");
  refused(BODY("  %y = neg(%x) : f32[2,3] @arena+-1"), "t:3:34:", "not below 0");
}

static void attributes(void **state) {
  (void)state;
  refused(BODY("  %y = cast(%x) : f32[2,3]"), "t:3:8:", "cast needs its attribute 'to'");
  refused(BODY("  %y = cast(%x) {from = f32} : f32[2,3]"), "t:3:18:", "cast has no attribute 'from'");
  refused(BODY("  %y = cast(%x) {to = f31} : f32[2,3]"), "t:3:23:", "there is no dtype 'f31'");
  refused(BODY("  %y = cast(%x) {to = f16, to = f16} : f32[2,3]"), "t:3:28:", "a second time");
  refused(BODY("  %y = pad(%x) {before = [0,0], after = [0,0], mode = torn} : f32[2,3]"),
          "t:3:55:", "constant|reflect|edge|wrap");
  refused(BODY("  %y = softmax(%x) {axis = 99999999999999999999} : f32[2,3]"), "t:3:28:", "64 bits");
  refused(BODY("  %y = softmax(%x) {axis = one} : f32[2,3]"), "t:3:28:", "whole number");
  refused(BODY("  %y = layer_norm(%x) {epsilon = 0x10} : f32[2,3]"), "t:3:34:", "expected a number");
  refused(BODY("  %y = layer_norm(%x) {epsilon = infinity} : f32[2,3]"), "t:3:34:", "expected a number");
  refused(BODY("  %y = reshape(%x) {shape = [3,2} : f32[3,2]"), "t:3:33:", "expected ']', found '}'");
}

static void types_and_tensors(void **state) {
  (void)state;
#define INPUT(type) "module \"m\"\ngraph(%x: " type ") {\n  return\n}\n"
  refused(INPUT("f33[]"), "t:2:11:", "there is no type 'f33'");
  refused(INPUT("none[]"), "t:2:11:", "there is no type 'none'");
  refused(INPUT("f32[1,2,3,4,5,6,7,8,9]"), "t:2:31:", "at most 8 dimensions");
  refused(INPUT("f32[-3]"), "t:2:15:", "-3 is no extent");
  refused(INPUT("f32[99999999,99999999]"), "t:2:24:", "bytes");
  refused(INPUT("f32[0,9999999999999]"), "t:2:17:", "bytes");
  refused(INPUT("f32[(3 + )]"), "t:2:20:", "expected a dimension");
  refused(INPUT("f32[(3 & 4)]"), "t:2:18:", "expected + - * / or %");
  refused(INPUT("f32[$0]"), "t:2:15:", "not declared");
  refused(INPUT("i8[2] quant(0, [1], [2])"), "t:2:22:", "quant(axis");
  refused(INPUT("i8[2] quant(2, [1], [2])"), "t:2:22:", "quant(axis");
  refused(INPUT("i8[2] quant(-1, [1], [3000000000])"), "t:2:33:", "32 bits");
#define CONSTANT(tensor) "module \"m\"\ngraph() {\n%c = constant {value = " tensor "} : f32[]\nreturn\n}\n"
  refused(CONSTANT("f32[2] [1]"), "t:3:33:", "expected ','");
  refused(CONSTANT("f32[1] [1, 2]"), "t:3:33:", "expected ']'");
  refused(CONSTANT("u8[1] [256]"), "t:3:31:", "does not fit u8");
  refused(CONSTANT("u8[1] [-1]"), "t:3:31:", "does not fit u8");
  refused(CONSTANT("i8[1] [-129]"), "t:3:31:", "does not fit i8");
  refused(CONSTANT("i64[1] [9223372036854775808]"), "t:3:32:", "does not fit i64");
  refused(CONSTANT("bool[1] [1]"), "t:3:33:", "true or false");
  refused(CONSTANT("f32[1] [1e]"), "t:3:32:", "expected a number");
  refused(CONSTANT("f32[1] hex\"0102030\""), "t:3:41:", "8 hexadecimal digits");
  refused(CONSTANT("f32[1] hex\"0102030405\""), "t:3:35:", "no more than 8");
  refused(CONSTANT("f32[1] ..."), "t:3:31:", "left out");
  refused(CONSTANT("f32[N] [1]"), "t:3:24:", "numbers");
  /* a terabyte is not set aside before it is seen to be there */
  refused(CONSTANT("u8[1000000000000] [1, 2]"), "t:3:42:", "the text ends");
  refused(CONSTANT("u8[1000000000000] hex\"00\""), "t:3:42:", "the text ends");
}

static void symbols(void **state) {
  (void)state;
  refused("module \"m\"\nsymbol N = 5..4\n", "t:2:12:", "bounds");
  refused("module \"m\"\nsymbol N = -1..4\n", "t:2:12:", "bounds");
  refused("module \"m\"\nsymbol (N + 1) = 1..4\n", "t:2:8:", "only a named symbol");
  refused("module \"m\"\nsymbol -3 = 1..4\n", "t:2:8:", "only a named symbol");
  refused("module \"m\"\nsymbol N\nsymbol N = 1..4\n", "t:3:8:", "in use above");
  refused("module \"m\"\nsymbol $1 = (N + 1)\n", "t:2:8:", "expected $0");
}

static void scopes(void **state) {
  (void)state;
  const char *head = "module \"m\"\ngraph(%p: bool[], %x: f32[]) {\n  %r = if(%p) graph() {\n";
  tn_ctx *ctx = tn_ctx_create(NULL);
  tn_arena *arena = tn_ctx_arena(ctx);
  refused(tn_printf(arena, "%s  return %%r\n} graph() {\nreturn %%x } : f32[]\nreturn\n}", head),
          "t:4:10:", "not defined here");
  refused(tn_printf(arena,
                    "%s  %%a = neg(%%x) : f32[]\n return %%a } graph() {\nreturn %%a } : f32[]\nreturn\n}",
                    head),
          "t:6:8:", "not defined here");
  refused(tn_printf(arena,
                    "%s  %%r = neg(%%x) : f32[]\n return %%r } graph() {\nreturn %%x } : f32[]\nreturn\n}",
                    head),
          "t:4:3:", "a second time");
  refused(tn_printf(arena, "%s  return %%x } : f32[]\nreturn\n}", head), "t: error: node 'r' (if)",
          "2 regions");
  tn_ctx_destroy(ctx);
}

static void nesting_is_bounded(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(ctx));
  tn_str_add(&s, "module \"m\" graph(%%p: bool[]) {");
  for (int i = 0; i < 100000; i++)
    tn_str_add(&s, "if(%%p) graph() {");
  refused(s.at, "t:1:", "nested more than 64 deep");
  tn_str_init(&s, tn_ctx_arena(ctx));
  tn_str_add(&s, "module \"m\" graph(%%p: f32[");
  for (int i = 0; i < 100000; i++)
    tn_str_add(&s, "max(");
  refused(s.at, "t:1:", "nested more than 256 deep");
  tn_ctx_destroy(ctx);
}

/* ---- out of memory --------------------------------------------------------------------------------------- */

struct counting {
  long calls, fail_at, live;
};

static void *counting_resize(void *user, void *old, size_t size) {
  struct counting *c = user;
  if (size == 0) {
    c->live -= old != NULL;
    free(old);
    return NULL;
  }
  if (++c->calls == c->fail_at)
    return NULL;
  void *at = realloc(old, size);
  c->live += !old;
  return at;
}

static void out_of_memory(void **state) {
  (void)state;
  struct tn_str s;
  tn_ctx *own = tn_ctx_create(NULL);
  tn_str_init(&s, tn_ctx_arena(own));
  tn_str_add(&s, "module \"m\"\nsymbol N\ngraph(%%x0: f32[N,(N / 2)]) {\n");
  for (int i = 0; i < 1000; i++)
    tn_str_add(&s, "%%x%d = add(%%x%d, %%x%d) : f32[N,(N / 2)]\n", i + 1, i, i / 2);
  tn_str_add(&s, "return\n}");
  bool whole = false;
  for (long n = 2; !whole; n++) {
    struct counting c = {.fail_at = n};
    tn_ctx *ctx = tn_ctx_create(&(struct tn_allocator){counting_resize, &c});
    struct tn_module *module = tn_parse(ctx, "t", s.at, s.count);
    whole = c.calls < n;
    assert_int_equal(module != NULL, whole);
    assert_int_equal(tn_diag_count(ctx, TN_ERROR) != 0, !whole);
    tn_ctx_destroy(ctx);
    assert_int_equal(c.live, 0);
    assert_true(n < 1000);
  }
  tn_ctx_destroy(own);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(structure),          cmocka_unit_test(nodes),         cmocka_unit_test(attributes),
      cmocka_unit_test(types_and_tensors),  cmocka_unit_test(symbols),       cmocka_unit_test(scopes),
      cmocka_unit_test(nesting_is_bounded), cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
