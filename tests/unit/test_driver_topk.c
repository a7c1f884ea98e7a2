/* topk as compiled, for this processor and for some with fewer vectors, against a plain sort: every way of
 * selecting, with ties, nans, infinities, zeros of both signs, data in order, every width of element. */
#include "unit/run_compiled.h"

enum data { FEW_VALUES, RANDOM, RISING, FALLING, EQUAL, EXTREME, DATA_COUNT };

struct job {
  tn_ctx *ctx;
  enum tn_dtype dtype;
  int64_t rows, n, behind, k;
  bool largest;
  const char *cpu;
  const void *x;
  double *values; /* what was found */
  int64_t *indices;
};

/* The k best of x[rows, n, behind] along n. */
static bool run_job(void *user) {
  struct job *j = user;
  struct tn_module *m = tn_module_create(j->ctx, "test", "test");
  struct tn_build b = tn_build_at_end(m->main);
  b.name = "node";
  struct tn_value *x =
      tn_graph_input(m->main, "x", tn_type_make(j->dtype, 3, (tn_dim[]){j->rows, j->n, j->behind}));
  struct tn_node *node = tn_node_make(&b, TN_TOPK, 1, &x, 2);
  tn_set_int(node, TN_TOPK_axis, 1);
  tn_set_int(node, TN_TOPK_k, j->k);
  tn_set_int(node, TN_TOPK_largest, j->largest);
  if (!tn_finish(&b, node))
    tn_fail_now(j->ctx);
  tn_graph_output(m->main, node->out[0]);
  tn_graph_output(m->main, node->out[1]);
  int64_t count = j->rows * j->k * j->behind;
  void *values = tn_alloc(tn_ctx_arena(j->ctx), (size_t)count * 8 + 1);
  run_compiled(j->ctx, m, j->cpu, (const void *[]){j->x}, (void *[]){values, j->indices});
  struct tn_tensor found = {.type = tn_type_make(j->dtype, 1, &count), .data = values};
  for (int64_t i = 0; i < count; i++)
    j->values[i] = tn_tensor_float(&found, i);
  return true;
}

static const double *sorting; /* of qsort */
static bool sorting_largest;

static int by_order(const void *a, const void *b) {
  int64_t i = *(const int64_t *)a, k = *(const int64_t *)b;
  double x = sorting[i], y = sorting[k];
  int order = isnan(x) || isnan(y) ? (isnan(x) != 0) - (isnan(y) != 0) : (x > y) - (x < y);
  return order ? (sorting_largest ? -order : order) : (i > k) - (i < k);
}

static double element(enum data data, enum tn_dtype dtype, int64_t i, uint32_t *seed) {
  bool is_float = tn_dtype_is_float(dtype), sign = tn_dtype_is_signed(dtype);
  *seed = *seed * 1664525u + 1013904223u;
  double noise = (double)(*seed >> 8) / (1 << 24), most = is_float || tn_dtype_size(dtype) > 1 ? 30000 : 127;
  static const double special[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1, -1, 6e4, -6e4, 0x1p-14};
  switch (data) {
  case FEW_VALUES:
    return floor(noise * 7) - (sign ? 3 : 0);
  case RISING:
    return floor((double)i * 0.25);
  case FALLING:
    return floor(most - (double)i * 0.5 > 0 ? most - (double)i * 0.5 : 0);
  case EQUAL:
    return 5;
  case EXTREME:
    if (is_float)
      return special[(*seed >> 16) % 10];
    return noise < 0.4 ? most : noise < 0.8 && sign ? -most - 1 : floor(noise * 100);
  default:
    return is_float ? (noise - 0.3) * 100 : floor(noise * most) - (sign ? floor(most / 2) : 0);
  }
}

static void check(enum tn_dtype dtype, int64_t rows, int64_t n, int64_t behind, int64_t k, bool largest,
                  enum data data, const char *cpu) {
  int64_t count = rows * n * behind, results = rows * k * behind;
  struct job j = {.ctx = tn_ctx_create(NULL),
                  .dtype = dtype,
                  .rows = rows,
                  .n = n,
                  .behind = behind,
                  .k = k,
                  .largest = largest,
                  .cpu = cpu};
  tn_arena *arena = tn_ctx_arena(j.ctx);
  void *x = tn_alloc(arena, (size_t)count * 8 + 1);
  double *row = TN_NEW_ARRAY(arena, double, n + 1);
  int64_t *order = TN_NEW_ARRAY(arena, int64_t, n + 1);
  uint32_t seed = (uint32_t)(n * 31 + k);
  for (int64_t i = 0; i < count; i++)
    tn_store_float(dtype, x, i, element(data, dtype, i / behind % n, &seed));
  j.x = x;
  j.values = TN_NEW_ARRAY(arena, double, results + 1);
  j.indices = TN_NEW_ARRAY(arena, int64_t, results + 1);
  if (!tn_guard(j.ctx, run_job, &j)) {
    print_diags(j.ctx);
    fail_msg("the %d best of %d cannot be compiled", (int)k, (int)n);
  }
  struct tn_tensor all = {.type = tn_type_make(dtype, 1, &count), .data = x};
  for (int64_t o = 0; o < rows * behind; o++) {
    int64_t first = o / behind * n * behind + o % behind, at = o / behind * k * behind + o % behind;
    for (int64_t i = 0; i < n; i++) {
      row[i] = tn_tensor_float(&all, first + i * behind);
      order[i] = i;
    }
    sorting = row;
    sorting_largest = largest;
    qsort(order, (size_t)n, sizeof *order, by_order);
    for (int64_t q = 0; q < k; q++, at += behind) {
      double want = row[order[q]], got = j.values[at];
      bool same = isnan(want) ? isnan(got) != 0 : want == got && !signbit(want) == !signbit(got);
      if (j.indices[at] != order[q] || !same)
        fail_msg("%s, %s, data %d, the %d %s of %d, row %d: number %d is %g at %d, should be %g at %d",
                 tn_dtype_name(dtype), cpu ? cpu : "this processor", (int)data, (int)k,
                 largest ? "largest" : "smallest", (int)n, (int)o, (int)q, got, (int)j.indices[at], want,
                 (int)order[q]);
    }
  }
  tn_ctx_destroy(j.ctx);
}

static const char *const cpus[] = {NULL, "haswell", "x86-64"};

static int cpu_count(void) { /* the others are x86's */
#ifdef __x86_64__
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 3 : 1;
#else
  return 1;
#endif
}

/* Every way of selecting: by rank or bits of groups, by bits of all, by insertion, by digits; blocks with a
 * rest. */
static void sizes(void **state) {
  (void)state;
  static const int64_t cases[][2] = {{1, 1},     {17, 1},   {1000, 1},  {10, 3},    {5, 5},      {128, 32},
                                     {129, 2},   {200, 7},  {300, 32},  {1000, 10}, {64, 33},    {66, 33},
                                     {100, 100}, {500, 40}, {700, 200}, {2500, 33}, {3001, 120}, {2048, 2048}};
  for (size_t c = 0; c < TN_COUNT(cases); c++)
    for (int cpu = 0; cpu < cpu_count(); cpu++)
      check(TN_F32, 2, cases[c][0], 1, cases[c][1], ((int)c + cpu) % 2 != 0,
            (c / 2 + (size_t)cpu) % 2 ? RANDOM : FEW_VALUES, cpus[cpu]);
}

static void kinds_of_data(void **state) {
  (void)state;
  static const int64_t cases[][2] = {{90, 9}, {1000, 9}, {600, 100}, {1500, 60}, {60, 60}, {40, 1}};
  for (size_t c = 0; c < TN_COUNT(cases); c++)
    for (int data = 0; data < DATA_COUNT; data++)
      check(TN_F32, 1, cases[c][0], 1, cases[c][1], ((int)c + data / 2) % 2 != 0, (enum data)data, NULL);
}

static void dtypes(void **state) {
  (void)state;
  static const enum tn_dtype all[] = {TN_F16, TN_BF16, TN_F64, TN_I8,  TN_U8, TN_I16,
                                      TN_U16, TN_I32,  TN_U32, TN_I64, TN_U64};
  static const int64_t cases[][2] = {{300, 5}, {700, 50}, {33, 33}, {20, 1}};
  for (size_t d = 0; d < TN_COUNT(all); d++)
    for (size_t c = 0; c < TN_COUNT(cases); c++)
      check(all[d], 1, cases[c][0], 1, cases[c][1], (c + d) % 2, c % 2 ? EXTREME : RANDOM,
            cpus[c % 2 ? 0 : cpu_count() / 2]);
}

static void other_axes(void **state) {
  (void)state;
  check(TN_F32, 2, 300, 5, 4, true, RANDOM, NULL);
  check(TN_F32, 3, 150, 3, 40, false, EXTREME, NULL);
  check(TN_F32, 1, 9, 7, 1, true, FEW_VALUES, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(kinds_of_data),
                                     cmocka_unit_test(dtypes), cmocka_unit_test(other_axes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
