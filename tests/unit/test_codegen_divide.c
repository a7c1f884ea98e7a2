/* Quotients and remainders of integers in lanes: those of C, without a trap: extremes, zeros and -1 as
 * divisors, and random numbers of every size, alone and among numbers that need another way. */
#include "unit/codegen_random.h"
#include "codegen/codegen.h"

#include <inttypes.h>

enum { COUNT = 1237 };

static const char *cpu; /* NULL: this one */

static const enum tn_dtype dtypes[] = {TN_I8, TN_U8, TN_I16, TN_U16, TN_I32, TN_U32, TN_I64, TN_U64};
static const char *const ops[] = {"div", "fmod", "mod"};

/* A number of up to `bits` bits, or an extreme. */
static int64_t number(struct random *r, enum tn_dtype dtype, int bits) {
  int width = (int)tn_dtype_size(dtype) * 8;
  uint64_t any = (uint64_t)pick(r, 0, INT32_MAX) << 42 ^ (uint64_t)pick(r, 0, INT32_MAX) << 21 ^
                 (uint64_t)pick(r, 0, INT32_MAX);
  int64_t shift = pick(r, 64 - (bits < width ? bits : width), 63);
  switch (pick(r, 0, 15)) {
  case 0:
    return 0;
  case 1:
    return tn_dtype_is_signed(dtype) ? -1 : 1;
  case 2: /* the least, or the largest power of two */
    return tn_dtype_is_signed(dtype) ? (int64_t)(~(uint64_t)0 << ((bits < width ? bits : width) - 1))
                                     : (int64_t)((uint64_t)1 << ((bits < width ? bits : width) - 1));
  default:
    return tn_dtype_is_signed(dtype) ? (int64_t)any >> shift : (int64_t)(any >> shift);
  }
}

static int64_t load(enum tn_dtype dtype, const void *data, int64_t i) {
  const struct tn_tensor tensor = {.type = tn_type_make(dtype, 1, (tn_dim[]){COUNT}), .data = data};
  return tn_tensor_int(&tensor, i);
}

static uint64_t expected(enum tn_dtype dtype, int op, const void *x, const void *y, int64_t i) {
  if (tn_dtype_is_signed(dtype)) {
    int64_t a = load(dtype, x, i), b = load(dtype, y, i);
    if (b == 0)
      return 0;
    if (b == -1)
      return op == 0 ? 0 - (uint64_t)a : 0;
    int64_t r = a % b;
    return (uint64_t)(op == 0 ? a / b : op == 2 && r != 0 && (r < 0) != (b < 0) ? r + b : r);
  }
  uint64_t a = (uint64_t)load(dtype, x, i), b = (uint64_t)load(dtype, y, i);
  return b == 0 ? 0 : op == 0 ? a / b : a % b;
}

static void check_numbers(struct fixture *f, const char *of, enum tn_dtype dtype, int op, int bits,
                          int one_in) {
  tn_arena *arena = tn_ctx_arena(f->ctx);
  const char *t = tn_dtype_name(dtype);
  const char *text = tn_printf(arena,
                               "module \"m\"\ngraph(%%x: %s[%d] @input 0, %%y: %s[%d] @input 1) {\n"
                               "  %%r = kernel(%%x, %%y) graph(%%a: %s[%d], %%b: %s[%d]) {\n"
                               "    %%q = %s(%%a, %%b) : %s[%d]\n"
                               "    return %%q\n  } : %s[%d] @output 0\n  return %%r\n}\n",
                               t, COUNT, t, COUNT, t, COUNT, t, COUNT, ops[op], t, COUNT, t, COUNT);
  struct tn_module *m = tn_parse(f->ctx, "divide.tir", text, strlen(text));
  if (!m)
    tn_fail_now(f->ctx);
  struct tn_target_options options = {.opt = 3, .threads = 1, .cpu = of};
  struct tn_codegen *cg = tn_codegen(m, &options, (struct tn_hash){0});
  if (!cg)
    tn_fail_now(f->ctx);
  tn_run_function *run = tn_codegen_load(cg, NULL);
  assert_non_null(run);
  static int64_t x[COUNT], y[COUNT], out[COUNT];
  struct random r = {(uint64_t)(dtype * 7 + bits), NULL};
  for (int64_t i = 0; i < COUNT; i++) {
    int most = pick(&r, 1, one_in) == 1 ? 64 : bits;
    tn_store_int(dtype, x, i, number(&r, dtype, most));
    tn_store_int(dtype, y, i, number(&r, dtype, most));
  }
  const void *ins[] = {x, y};
  void *outs[] = {out};
  assert_int_equal(run(ins, outs, tn_alloc_raw(arena, (size_t)m->arena_bytes + 64, 64)), 0);
  for (int64_t i = 0; i < COUNT; i++) {
    int64_t want[1];
    tn_store_int(dtype, want, 0, (int64_t)expected(dtype, op, x, y, i));
    if (load(dtype, out, i) != load(dtype, want, 0))
      fail_msg("%s of %s %" PRId64 " and %" PRId64 " is %" PRId64 ", expected %" PRId64 " (%s)", ops[op], t,
               load(dtype, x, i), load(dtype, y, i), load(dtype, out, i), load(dtype, want, 0),
               of ? of : "this processor");
  }
}

EVAL_TEST(divisions) {
#if defined(__x86_64__)
  const char *const cpus[] = {cpu, "x86-64", "nehalem"};
#else
  const char *const cpus[] = {cpu};
#endif
  for (size_t c = 0; c < TN_COUNT(cpus); c++)
    for (size_t d = 0; d < TN_COUNT(dtypes); d++)
      for (int op = 0; op < 3; op++) {
        check_numbers(f, cpus[c], dtypes[d], op, 64, 1);
        if (tn_dtype_size(dtypes[d]) == 8) { /* all near, then some far */
          check_numbers(f, cpus[c], dtypes[d], op, tn_dtype_is_signed(dtypes[d]) ? 52 : 51, 1 << 30);
          check_numbers(f, cpus[c], dtypes[d], op, 40, 50);
        }
      }
}

int main(int argc, char **argv) {
  cpu = argc > 1 ? argv[1] : NULL;
  const struct CMUnitTest tests[] = {cmocka_unit_test(divisions)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
