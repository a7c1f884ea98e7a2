/* Transposes in registers: compiled with and without a schedule, kernels give the same bytes, whatever the
 * extents leave over, for elements of every size. */
#include "unit/codegen_eval.h"
#include "codegen/codegen.h"

static const char *cpu; /* NULL: this one */

static uint8_t *run_text(tn_ctx *ctx, const char *text, int opt, size_t *size) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_module *m = tn_parse(ctx, "turn.tir", text, strlen(text));
  if (!m)
    tn_fail_now(ctx);
  struct tn_target_options options = {.opt = opt, .threads = 1, .cpu = cpu};
  struct tn_codegen *cg = tn_codegen(m, &options, (struct tn_hash){0});
  if (!cg)
    tn_fail_now(ctx);
  int64_t in_bytes = 0, out_bytes = 0;
  assert_true(tn_type_bytes(&m->main->inputs.at[0]->type, &in_bytes));
  assert_true(tn_type_bytes(&m->main->outputs.at[0]->type, &out_bytes));
  uint8_t *in = tn_alloc(arena, (size_t)in_bytes), *out = tn_alloc(arena, (size_t)out_bytes + 64);
  size_t element = tn_dtype_size(m->main->inputs.at[0]->type.dtype);
  bool is_bool = m->main->inputs.at[0]->type.dtype == TN_BOOL;
  for (int64_t i = 0; i < in_bytes; i++) /* no NaN: the high bytes stay small */
    in[i] = (uint8_t)(is_bool                              ? i % 3 == 0
                      : (size_t)i % element + 1 == element ? 0x3C + i / (int64_t)element % 7
                                                           : i * 7 + i / 253);
  memset(out, 0xA5, (size_t)out_bytes + 64);
  tn_run_function *run = tn_codegen_load(cg, NULL);
  assert_non_null(run);
  const void *ins[] = {in};
  void *outs[] = {out};
  size_t arena_bytes = (size_t)m->arena_bytes;
  assert_int_equal(run(ins, outs, tn_alloc_raw(arena, arena_bytes + 64, 64)), 0);
  for (int64_t i = out_bytes; i < out_bytes + 64; i++)
    assert_int_equal(out[i], 0xA5);
  *size = (size_t)out_bytes;
  return out;
}

static void check_text(tn_ctx *ctx, const char *text) {
  size_t size, found;
  uint8_t *want = run_text(ctx, text, 0, &size), *got = run_text(ctx, text, 3, &found);
  assert_int_equal(size, found);
  for (size_t i = 0; i < size; i++)
    if (want[i] != got[i])
      fail_msg("byte %zu is %d, expected %d, of\n%s", i, got[i], want[i], text);
}

static const int extents[][2] = {{64, 48}, {49, 3},  {3, 49},  {50, 2}, {2, 33}, {4, 100}, {100, 4}, {7, 31},
                                 {31, 7},  {17, 19}, {16, 16}, {5, 37}, {37, 6}, {8, 64},  {64, 8}};

EVAL_TEST(transposes) {
  static const char *const dtypes[] = {"f32", "f16", "u8", "f64", "bool", "i64", "bf16"};
  for (size_t d = 0; d < TN_COUNT(dtypes); d++)
    for (size_t k = 0; k < TN_COUNT(extents); k += d ? 3 : 1) {
      int a = extents[k][0], b = extents[k][1];
      const char *t = dtypes[d];
      check_text(f->ctx, tn_printf(tn_ctx_arena(f->ctx),
                                   "module \"m\"\ngraph(%%x: %s[2,%d,%d] @input 0) {\n"
                                   "  %%y = kernel(%%x) graph(%%z: %s[2,%d,%d]) {\n"
                                   "    %%t = transpose(%%z) {perm = [0, 2, 1]} : %s[2,%d,%d]\n"
                                   "    return %%t\n  } : %s[2,%d,%d] @output 0\n  return %%y\n}\n",
                                   t, a, b, t, a, b, t, b, a, t, b, a));
    }
}

/* Rows of a slice are further apart than they are long; so are those of a concat's operand.  A value that is
 * read both ways. */
EVAL_TEST(slices_and_sums) {
  for (size_t k = 0; k < TN_COUNT(extents); k++) {
    int a = extents[k][0], b = extents[k][1];
    check_text(
        f->ctx,
        tn_printf(tn_ctx_arena(f->ctx),
                  "module \"m\"\ngraph(%%x: f32[%d,%d] @input 0) {\n"
                  "  %%y = kernel(%%x) graph(%%z: f32[%d,%d]) {\n"
                  "    %%s = slice(%%z) {starts = [0, 1], steps = [1, 1], sizes = [%d, %d]} : f32[%d,%d]\n"
                  "    %%t = transpose(%%s) {perm = [1, 0]} : f32[%d,%d]\n"
                  "    %%n = neg(%%t) : f32[%d,%d]\n"
                  "    return %%n\n  } : f32[%d,%d] @output 0\n  return %%y\n}\n",
                  a, b + 3, a, b + 3, a, b, a, b, b, a, b, a, b, a));
    check_text(f->ctx, tn_printf(tn_ctx_arena(f->ctx),
                                 "module \"m\"\ngraph(%%x: f32[%d,%d] @input 0) {\n"
                                 "  %%y = kernel(%%x) graph(%%z: f32[%d,%d]) {\n"
                                 "    %%t = transpose(%%z) {perm = [1, 0]} : f32[%d,%d]\n"
                                 "    %%c = concat(%%t, %%t) {axis = 1} : f32[%d,%d]\n"
                                 "    return %%c\n  } : f32[%d,%d] @output 0\n  return %%y\n}\n",
                                 a, b, a, b, b, a, b, 2 * a, b, 2 * a));
    check_text(f->ctx, tn_printf(tn_ctx_arena(f->ctx),
                                 "module \"m\"\ngraph(%%x: f32[%d,%d] @input 0) {\n"
                                 "  %%y = kernel(%%x) graph(%%z: f32[%d,%d]) {\n"
                                 "    %%t = transpose(%%z) {perm = [1, 0]} : f32[%d,%d]\n"
                                 "    %%r = reshape(%%z) {shape = [%d, %d]} : f32[%d,%d]\n"
                                 "    %%c = add(%%t, %%r) : f32[%d,%d]\n"
                                 "    return %%c\n  } : f32[%d,%d] @output 0\n  return %%y\n}\n",
                                 a, b, a, b, b, a, b, a, b, a, b, a, b, a));
  }
}

/* The result has the operand's place, and both lie across the lanes: each element is done once. */
EVAL_TEST(in_place) {
  for (size_t k = 0; k < TN_COUNT(extents); k++) {
    int a = extents[k][0], b = extents[k][1];
    check_text(f->ctx, tn_printf(tn_ctx_arena(f->ctx),
                                 "module \"m\"\nmemory {arena = 65536, arena_low_bound = 65536, weights = "
                                 "0}\ngraph(%%x: f32[%d,%d] @input 0) {\n"
                                 "  %%h = kernel(%%x) {anchor = 0} graph(%%z: f32[%d,%d]) {\n"
                                 "    %%m = reduce_max(%%z) {axes = [1], keepdims = 1} : f32[%d,1]\n"
                                 "    return %%m\n  } : f32[%d,1] @arena+0\n"
                                 "  %%g = kernel(%%x) graph(%%u: f32[%d,%d]) {\n"
                                 "    %%v = neg(%%u) : f32[%d,%d]\n"
                                 "    return %%v\n  } : f32[%d,%d] @output 0\n"
                                 "  %%y = kernel(%%g, %%h) graph(%%p: f32[%d,%d], %%q: f32[%d,1]) {\n"
                                 "    %%r = sub(%%p, %%q) : f32[%d,%d]\n"
                                 "    return %%r\n  } : f32[%d,%d] @output 0\n  return %%y\n}\n",
                                 a, b, a, b, a, a, a, b, a, b, a, b, a, b, a, a, b, a, b));
  }
}

/* Every second to fifth element, up to the last one of the operand. */
EVAL_TEST(steps) {
  static const char *const dtypes[] = {"f32", "f16", "u8", "i64"};
  for (size_t d = 0; d < TN_COUNT(dtypes); d++)
    for (int step = 2; step <= 5; step++) {
      int sizes[] = {16, 37, 67}, count = sizes[step % 3], from = (count - 1) * step + 1;
      const char *t = dtypes[d];
      check_text(
          f->ctx,
          tn_printf(tn_ctx_arena(f->ctx),
                    "module \"m\"\ngraph(%%x: %s[3,%d] @input 0) {\n"
                    "  %%y = kernel(%%x) graph(%%z: %s[3,%d]) {\n"
                    "    %%t = slice(%%z) {starts = [0, 0], steps = [1, %d], sizes = [3, %d]} : %s[3,%d]\n"
                    "    return %%t\n  } : %s[3,%d] @output 0\n  return %%y\n}\n",
                    t, from, t, from, step, count, t, count, t, count));
    }
}

/* Windows over planes: borders cut off, lanes that are strided and masked, lanes along the window. */
static void check_windows(tn_ctx *ctx) {
  static const int sizes[][2] = {{31, 67}, {11, 37}, {9, 130}, {40, 5}};
  for (int k = 1; k <= 5; k++)
    for (int stride = 1 + k % 2; stride <= 5; stride += 2) {
      int h = sizes[(k + stride) % 4][0], w = sizes[(k + stride) % 4][1], pad = k / 2;
      int rows = (h + 2 * pad - k) / stride + 1, columns = (w + 2 * pad - k) / stride + 1;
      check_text(
          ctx,
          tn_printf(tn_ctx_arena(ctx),
                    "module \"m\"\ngraph(%%x: f32[14,%d,%d] @input 0) {\n"
                    "  %%y = kernel(%%x) {anchor = 0} graph(%%z: f32[14,%d,%d]) {\n"
                    "    %%p = pool(%%z) {kind = max, window = [1, %d, %d], strides = [1, %d, %d], dilations "
                    "= [1, 1, 1], before = [0, %d, %d], after = [0, %d, %d]} : f32[14,%d,%d]\n"
                    "    return %%p\n  } : f32[14,%d,%d] @output 0\n  return %%y\n}\n",
                    h, w, h, w, k, k, stride, stride, pad, pad, pad, pad, rows, columns, rows, columns));
    }
}

EVAL_TEST(windows) {
  check_windows(f->ctx);
#ifdef __x86_64__
  const char *before = cpu;
  cpu = "x86-64"; /* narrow vectors, no masks */
  check_windows(f->ctx);
  cpu = before;
#endif
}

/* test_codegen_turn [CPU]: code of another processor that this one can run, by hand. */
int main(int argc, char **argv) {
  cpu = argc > 1 ? argv[1] : NULL;
  static const struct CMUnitTest tests[] = {cmocka_unit_test(transposes), cmocka_unit_test(slices_and_sums),
                                            cmocka_unit_test(in_place), cmocka_unit_test(steps),
                                            cmocka_unit_test(windows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
