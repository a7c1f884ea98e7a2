/* Requantization has the bits of its definition: quotients by constants for every mantissa of the dividend, and
 * conversions to 8 and 16 bits with ties, odd and even zero points and saturation. */
#include "unit/codegen_random.h"
#include "unit/run_compiled.h"

#include <math.h>

struct job {
  tn_ctx *ctx;
  float scale, by;
  int zero;
  enum tn_dtype to; /* TN_F32: the quotient itself */
  const int32_t *x;
  int64_t count;
  void *out;
};

/* out = to(round(float(x) * scale / by) + zero), at -O3. */
static bool run_job(void *user) {
  struct job *j = user;
  struct tn_module *m = tn_module_create(j->ctx, "test", "test");
  struct tn_build b = tn_build_at_end(m->main);
  b.name = "node";
  struct tn_value *v = tn_graph_input(m->main, "x", tn_type_make(TN_I32, 1, &j->count));
  v = tn_binary(&b, TN_MUL, tn_cast(&b, v, TN_F32), tn_const_float(&b, TN_F32, (double)j->scale));
  v = tn_binary(&b, TN_DIV, v, tn_const_float(&b, TN_F32, (double)j->by));
  if (j->to != TN_F32) {
    v = tn_binary(&b, TN_ADD, tn_unary(&b, TN_ROUND, v), tn_const_float(&b, TN_F32, j->zero));
    v = tn_cast(&b, v, j->to);
  }
  tn_graph_output(m->main, v);
  run_compiled(j->ctx, m, NULL, (const void *[]){j->x}, (void *[]){j->out});
  return true;
}

static void run(struct job *j) {
  j->ctx = tn_ctx_create(NULL);
  if (!tn_guard(j->ctx, run_job, j))
    fail_msg("by %a cannot be compiled", (double)j->by);
  tn_ctx_destroy(j->ctx);
}

#define MANTISSAS (1 << 23)

static void quotients(void **state) {
  (void)state;
  static const float by[] = {3,         0.1f, 0x1.fffffep0f,  0x1.000002p3f,  0.0828150063753128f,
                             0x1.4p-5f, 255,  0x1.91eb86p-7f, 0x1.3e046ep-2f, 0x1.43fbeep4f};
  int32_t *x = test_malloc(MANTISSAS * sizeof *x);
  float *out = test_malloc(MANTISSAS * sizeof *out);
  for (int32_t i = 0; i < MANTISSAS; i++)
    x[i] = i % 2 ? MANTISSAS + i : -MANTISSAS - i;
  for (size_t k = 0; k < TN_COUNT(by); k++) {
    struct job j = {.scale = 1, .by = by[k], .to = TN_F32, .x = x, .count = MANTISSAS, .out = out};
    run(&j);
    for (int32_t i = 0; i < MANTISSAS; i++)
      if (out[i] != (float)x[i] / by[k])
        fail_msg("%d / %a: %a", (int)x[i], (double)by[k], (double)out[i]);
  }
  test_free(x);
  test_free(out);
}

#define INTEGERS 5003

static void conversions(void **state) {
  (void)state;
  static const enum tn_dtype to[] = {TN_I8, TN_U8, TN_I16, TN_U16};
  static const int zeros[] = {0, 3, -128, 127, 128};
  static const float scales[][2] = {{0.5f, 1}, {0.25f, 0.5f}, {0.037f, 0.0828150063753128f}, {1e-3f, 0.7f}};
  static int32_t x[INTEGERS];
  static uint16_t out[INTEGERS];
  for (int i = 0; i < INTEGERS; i++)
    x[i] = i < 4000 ? i - 2000 : (int32_t)((uint32_t)i * 2654435761u);
  for (size_t s = 0; s < TN_COUNT(scales); s++)
    for (size_t t = 0; t < TN_COUNT(to); t++)
      for (size_t z = 0; z < TN_COUNT(zeros); z++) {
        struct job j = {.scale = scales[s][0], .by = scales[s][1], .zero = zeros[z], .to = to[t]};
        j.x = x, j.count = INTEGERS, j.out = out;
        run(&j);
        int bits = (int)tn_dtype_size(to[t]) * 8, low = tn_dtype_is_signed(to[t]) ? -(1 << (bits - 1)) : 0;
        for (int i = 0; i < INTEGERS; i++) {
          float q = rintf((float)x[i] * j.scale / j.by) + (float)j.zero;
          float high = (float)(low + (1 << bits) - 1);
          int want = (int)(q < (float)low ? (float)low : q > high ? high : q);
          int64_t got = tn_scalar_load(to[t], out, i).i;
          if (got != want)
            fail_msg("%d * %g / %g + %d to %s: %d", (int)x[i], (double)j.scale, (double)j.by, j.zero,
                     tn_dtype_name(to[t]), (int)got);
        }
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(quotients), cmocka_unit_test(conversions)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
