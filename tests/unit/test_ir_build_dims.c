/* Dimensions as expressions: one form for what is equal, right values for what is not. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct tn_module *module_in(tn_ctx *ctx) {
  return tn_module_create(ctx, "t", NULL);
}

static void numbers(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_module *m = module_in(ctx);
  int64_t value;
  assert_int_equal(tn_dim_op(m, '+', 3, 4), 7);
  assert_int_equal(tn_dim_op(m, '*', 3, 4), 12);
  assert_int_equal(tn_dim_op(m, '/', 7, 2), 3);
  assert_int_equal(tn_dim_op(m, '/', 7, 0), 0);
  assert_int_equal(tn_dim_op(m, 'M', 7, 2), 7);
  assert_int_equal(tn_dim_op(m, 'm', 7, 2), 2);
  assert_int_equal(tn_dim_op(m, '*', INT64_C(1) << 40, INT64_C(1) << 40), INT64_MAX);
  tn_dim minus = tn_dim_op(m, '-', 3, 4);
  assert_true(minus < 0 && tn_dim_value(m, minus, &value));
  assert_int_equal(value, -1);
  assert_int_equal(minus, tn_dim_int(m, -1));
  assert_string_equal(tn_dim_text(m, minus), "-1");
  assert_int_equal(tn_dim_op(m, '+', minus, 5), 4);
  assert_true(tn_dim_value(m, tn_dim_op(m, '/', tn_dim_int(m, -7), 2), &value) && value == -4);
  assert_true(tn_dim_value(m, tn_dim_op(m, '%', tn_dim_int(m, -7), 2), &value) && value == 1);
  assert_int_equal(tn_dim_op(m, '/', tn_dim_int(m, INT64_MIN), tn_dim_int(m, -1)), INT64_MAX);
  assert_false(tn_dim_value(m, tn_symbol_named(m, "n"), &value));
  tn_ctx_destroy(ctx);
}

static void one_form(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_module *m = module_in(ctx);
  tn_dim n = tn_symbol_named(m, "n"), h = tn_symbol_named(m, "h");
  assert_true(n < 0 && n != h && tn_symbol_named(m, "n") == n);
#define OP(op, a, b) tn_dim_op(m, op, a, b)
  assert_int_equal(OP('+', n, h), OP('+', h, n));
  assert_int_equal(OP('-', OP('+', n, 3), n), 3);
  assert_int_equal(OP('-', n, n), 0);
  assert_int_equal(OP('*', n, 1), n);
  assert_int_equal(OP('*', n, 0), 0);
  assert_int_equal(OP('*', OP('+', n, 1), h), OP('+', OP('*', h, n), h));
  assert_int_equal(OP('/', OP('*', n, h), h), n);
  assert_int_equal(OP('/', OP('*', n, 12), 4), OP('*', n, 3));
  assert_int_equal(OP('/', OP('*', n, 12), n), 12);
  assert_int_equal(OP('/', OP('*', OP('+', n, h), 6), OP('+', n, h)), 6);
  assert_int_equal(OP('/', OP('+', OP('*', n, 4), 3), 4), n);
  assert_int_equal(OP('/', OP('/', n, 2), 3), OP('/', n, 6));
  assert_int_equal(OP('/', OP('*', n, 4), 6), OP('/', OP('*', n, 2), 3));
  assert_int_equal(OP('/', OP('+', n, 5), 2), OP('+', OP('/', OP('+', n, 1), 2), 2));
  assert_int_equal(OP('%', OP('+', OP('*', n, 8), 11), 4), 3);
  assert_int_equal(OP('%', OP('*', n, h), n), 0);
  assert_int_equal(OP('M', n, n), n);
  assert_int_equal(OP('M', n, h), OP('M', h, n));
  assert_int_equal(OP('M', OP('+', n, 1), n), OP('+', n, 1));
  assert_int_equal(OP('m', OP('+', n, 1), n), n);
  assert_int_equal(OP('M', n, 0), n); /* an extent is at least 0 */
  assert_int_equal(OP('M', OP('M', n, 1), 1), OP('M', n, 1));
  assert_string_equal(tn_dim_text(m, OP('-', OP('*', n, 2), 3)), "((n * 2) - 3)");
  assert_string_equal(tn_dim_text(m, OP('M', 4, n)), "max(n, 4)");
  tn_ctx_destroy(ctx);
}

/* The value of a dim with n and h given: an evaluator of its own. */
static int64_t evaluate(const struct tn_module *m, tn_dim dim, int64_t n, int64_t h) {
  int64_t value, a, b;
  if (tn_dim_value(m, dim, &value))
    return value;
  const struct tn_symbol *s = &m->symbols.at[-1 - dim];
  if (!s->op)
    return strcmp(s->name, "n") == 0 ? n : h;
  a = evaluate(m, s->a, n, h);
  b = evaluate(m, s->b, n, h);
  switch (s->op) {
  case '+':
    return a + b;
  case '*':
    return a * b;
  case '/':
    return b ? tn_floor_div(a, b) : 0;
  case '%':
    return b ? tn_floor_mod(a, b) : 0;
  case 'M':
    return a > b ? a : b;
  default:
    return a < b ? a : b;
  }
}

/* Expressions built at random agree with plain arithmetic, and lie within their bounds. */
static void random_expressions(void **state) {
  (void)state;
  uint32_t seed = 12345;
  static const char ops[] = "+-*/%Mm+-*";
  for (int round = 0; round < 300; round++) {
    tn_ctx *ctx = tn_ctx_create(NULL);
    struct tn_module *m = module_in(ctx);
    tn_dim pool[24] = {tn_symbol_named(m, "n"), tn_symbol_named(m, "h"), 1, 2, 3, 5};
    int64_t values[24][2] = {{7, 4}, {9, 10}, {1, 1}, {2, 2}, {3, 3}, {5, 5}};
    for (int i = 6; i < 24; i++) {
      seed = seed * 1664525 + 1013904223;
      char op = ops[(seed >> 8) % (sizeof ops - 1)];
      int x = (int)((seed >> 12) % (unsigned)i), y = (int)((seed >> 20) % (unsigned)i);
      int64_t ignored;
      /* Divisors are positive numbers or symbols. */
      if (op == '/' || op == '%')
        y = (int)((seed >> 20) % 6);
      pool[i] = tn_dim_op(m, op, pool[x], pool[y]);
      for (int k = 0; k < 2; k++) {
        int64_t a = values[x][k], b = values[y][k];
        values[i][k] = op == '+'   ? a + b
                       : op == '-' ? a - b
                       : op == '*' ? a * b
                       : op == '/' ? tn_floor_div(a, b)
                       : op == '%' ? tn_floor_mod(a, b)
                       : op == 'M' ? (a > b ? a : b)
                                   : (a < b ? a : b);
        if (llabs(values[i][k]) > 1000000) { /* far from any overflow */
          pool[i] = 1;
          values[i][0] = values[i][1] = 1;
          break;
        }
        assert_int_equal(evaluate(m, pool[i], values[0][k], values[1][k]), values[i][k]);
        if (!tn_dim_value(m, pool[i], &ignored)) {
          const struct tn_symbol *s = &m->symbols.at[-1 - pool[i]];
          assert_true(s->low <= values[i][k] && values[i][k] <= s->high);
        }
      }
    }
    tn_ctx_destroy(ctx);
  }
}

/* Sums and products that outgrow the one form stay sound and cost no more than their size. */
static void large_expressions(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_module *m = module_in(ctx);
  tn_dim sum = 0, power = tn_symbol_named(m, "s0");
  for (int i = 0; i < 2000; i++)
    sum = tn_dim_op(m, '+', sum, tn_symbol_named(m, tn_printf(m->arena, "s%d", i)));
  for (int i = 0; i < 60; i++)
    power = tn_dim_op(m, '*', tn_dim_op(m, '+', power, 1), power);
  assert_true(strlen(tn_dim_text(m, sum)) <= 400);
  assert_true(strlen(tn_dim_text(m, power)) <= 400);
  assert_int_equal(tn_dim_op(m, '/', tn_dim_op(m, '*', tn_symbol_named(m, "s0"), INT64_MAX), INT64_MAX),
                   tn_symbol_named(m, "s0"));
  assert_true(tn_arena_bytes(m->arena) < 16 << 20);
  tn_ctx_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers),
      cmocka_unit_test(one_form),
      cmocka_unit_test(random_expressions),
      cmocka_unit_test(large_expressions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
