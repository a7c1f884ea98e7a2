/* Shapes by value: what exporters write around Shape resolves to dims; what cannot be known is not. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* `shape = ` x's shape, x: f32[N,3,H,8]; the body ends in %r.  want NULL: unknown. */
struct row {
  const char *body, *want;
};

static void check(const struct row *r) {
  char text[4096], found[1024] = "";
  int size = snprintf(
      text, sizeof text,
      "module \"t\"\nsymbol N\nsymbol H\ngraph(%%x: f32[N,3,H,8], %%u: i64[2], %%p: bool[]) {\n"
      "%%s = shape(%%x) : i64[4]\n%%i0 = constant {value = i64[] [0]} : i64[]\n"
      "%%i1 = constant {value = i64[] [1]} : i64[]\n%%im = constant {value = i64[1] [-1]} : i64[1]\n"
      "%%n = gather(%%s, %%i0) : i64[]\n%%h = slice(%%s) {starts = [2], steps = [1], sizes = [1]} : i64[1]\n"
      "%s\nreturn %%r }\n",
      r->body);
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_module *m = tn_parse(ctx, "t", text, (size_t)size);
  size_t count;
  if (!m)
    fail_msg("%s: %s", r->body, tn_diag_format(tn_ctx_arena(ctx), tn_diags(ctx, &count)));
  tn_dim dims[64];
  int dim_count;
  bool known = tn_value_dims(m->main->outputs.at[0], dims, &dim_count);
  for (int i = 0; known && i < dim_count; i++) {
    strcat(found, i ? " " : "");
    strcat(found, tn_dim_text(m, dims[i]));
  }
  if (known != (r->want != NULL) || (known && strcmp(found, r->want) != 0))
    fail_msg("%s\n  gives %s, expected %s", r->body, known ? found : "unknown", r->want ? r->want : "unknown");
  tn_ctx_destroy(ctx);
}

static void rows(void **state) {
  (void)state;
  static const struct row all[] = {
      {"%r = reshape(%s) {shape = [2, 2]} : i64[2,2]", "N 3 H 8"},
      {"%r = shape(%x) {start = 1, end = 3} : i64[2]", "3 H"},
      {"%r = gather(%s, %im) : i64[1]", "8"},
      {"%n1 = reshape(%n) {shape = [1]} : i64[1]\n%r = concat(%n1, %im, %h) {axis = 0} : i64[3]", "N -1 H"},
      {"%r = slice(%s) {starts = [3], steps = [-2], sizes = [2]} : i64[2]", "8 3"},
      {"%r = mul(%n, %h) : i64[1]", "(N * H)"},
      {"%r = add(%s, %i1) : i64[4]", "(N + 1) 4 (H + 1) 9"},
      {"%r = sub(%h, %i1) : i64[1]", "(H - 1)"},
      {"%t = constant {value = i64[] [2]} : i64[]\n%r = div(%h, %t) : i64[1]", "(H / 2)"},
      {"%t = constant {value = i64[] [-7]} : i64[]\n%v = constant {value = i64[] [2]} : i64[]\n"
       "%r = div(%t, %v) : i64[]",
       "-3"},                                                           /* truncates */
      {"%m = sub(%h, %i1) : i64[1]\n%r = div(%m, %i1) : i64[1]", NULL}, /* may be below 0 */
      {"%r = div(%n, %i0) : i64[]", "0"}, /* by definition of div */
      {"%r = reduce_prod(%s) {axes = [0], keepdims = 0} : i64[]", "((N * H) * 24)"},
      {"%r = reduce_sum(%s) {axes = [0]} : i64[1]", "((N + H) + 11)"},
      {"%e = slice(%s) {starts = [0], steps = [1], sizes = [0]} : i64[0]\n%r = reduce_prod(%e) {axes = [0]} : "
       "i64[1]",
       "1"},
      {"%r = min(%n, %i0) : i64[]", "0"},
      {"%r = max(%h, %i1) : i64[1]", "max(H, 1)"},
      {"%c = cast(%s) {to = i32} : i32[4]\n%r = cast(%c) {to = i64} : i64[4]", "N 3 H 8"},
      {"%r = cast(%s) {to = i8} : i8[4]", NULL},
      {"%c = constant {value = i64[1] [300]} : i64[1]\n%r = cast(%c) {to = i8} : i8[1]", NULL},
      {"%f = cast(%h) {to = f32} : f32[1]\n%t = constant {value = f32[] [2]} : f32[]\n"
       "%g = mul(%f, %t) : f32[1]\n%o = floor(%g) : f32[1]\n%r = cast(%o) {to = i64} : i64[1]",
       "(H * 2)"},
      {"%f = cast(%h) {to = f32} : f32[1]\n%t = constant {value = f32[] [0.5]} : f32[]\n%r = mul(%f, %t) : "
       "f32[1]",
       NULL},
      {"%f = cast(%h) {to = f32} : f32[1]\n%t = constant {value = f32[] [2]} : f32[]\n%r = div(%f, %t) : "
       "f32[1]",
       NULL},
      {"%c = constant {value = f32[] [nan]} : f32[]\n%r = cast(%c) {to = i64} : i64[]", NULL},
      {"%r = expand(%h) {shape = [3]} : i64[3]", "H H H"},
      {"%r = iota {shape = [4]} : i64[4]", "0 1 2 3"},
      {"%a = reshape(%s) {shape = [2, 2]} : i64[2,2]\n%r = transpose(%a) {perm = [1, 0]} : i64[2,2]",
       "N H 3 8"},
      {"%a = reshape(%s) {shape = [2, 2]} : i64[2,2]\n%r = concat(%a, %a) {axis = 1} : i64[2,4]",
       "N 3 N 3 H 8 H 8"},
      {"%a = reshape(%s) {shape = [2, 2]} : i64[2,2]\n%r = gather(%a, %im) {axis = 1} : i64[2,1]", "3 8"},
      /* The exporter's expand: where(shape == -1, size, shape). */
      {"%g = constant {value = i64[4] [-1, 1, 5, -1]} : i64[4]\n%q = eq(%g, %im) : bool[4]\n"
       "%r = select(%q, %s, %g) : i64[4]",
       "N 1 5 8"},
      {"%q = eq(%s, %im) : bool[4]\n%r = select(%q, %i1, %s) : i64[4]", "N 3 H 8"}, /* an extent is no -1 */
      {"%q = eq(%n, %i1) : bool[]\n%r = select(%q, %i1, %i0) : i64[]", NULL},
      {"%q = lt(%n, %i0) : bool[]\n%r = select(%q, %u, %i0) : i64[2]", "0 0"}, /* u is never chosen */
      {"%q = ge(%s, %s) : bool[4]\n%q2 = not(%q) : bool[4]\n%r = cast(%q2) {to = i64} : i64[4]", "0 0 0 0"},
      {"%r = add(%u, %i0) : i64[2]", NULL},
  };
  for (size_t i = 0; i < TN_COUNT(all); i++)
    check(&all[i]);
}

/* Reached by 2^500 ways, and 5000 deep: given up, at once. */
static void bounded(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_module *m = tn_module_create(ctx, "t", NULL);
  struct tn_build b = tn_build_at_end(m->main);
  struct tn_value *x = tn_const_int(&b, TN_I64, 1), *deep = x;
  for (int i = 0; i < 150; i++)
    x = tn_binary(&b, TN_MAX, x, x);
  for (int i = 0; i < 5000; i++)
    deep = tn_unary(&b, TN_NEG, deep);
  tn_dim dims[64];
  int count;
  assert_false(tn_value_dims(x, dims, &count));
  assert_false(tn_value_dims(deep, dims, &count));
  struct tn_value *many = tn_iota(&b, TN_I64, 1, (tn_dim[]){65}, 0),
                  *fit = tn_iota(&b, TN_I64, 1, (tn_dim[]){64}, 0);
  assert_false(tn_value_dims(many, dims, &count));
  assert_true(tn_value_dims(fit, dims, &count) && count == 64 && dims[63] == 63);
  tn_ctx_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(bounded)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
