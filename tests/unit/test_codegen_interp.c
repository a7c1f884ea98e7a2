/* The interpreter on nests made by hand: every kind of statement, lanes and single iterations, and what it
 * refuses. */
#include "unit/codegen_eval.h"

struct nest {
  tn_ctx *ctx;
  struct tn_nest *n;
  struct tn_cursor c;
};

static struct nest make(void) {
  struct nest t = {.ctx = tn_ctx_create(NULL)};
  t.n = tn_nest_create(tn_ctx_arena(t.ctx), "kernel");
  t.c = tn_at_body(t.n);
  return t;
}

static struct tn_expr *ix(struct nest *t, int64_t value) {
  return tn_ix(t->n, value);
}

static void run(struct nest *t, void *const *data) {
  bool good = tn_interpret(t->ctx, t->n, data);
  size_t count;
  const struct tn_diag *diags = tn_diags(t->ctx, &count);
  for (size_t i = 0; i < count; i++)
    fprintf(stderr, "%s\n", tn_diag_format(tn_ctx_arena(t->ctx), &diags[i]));
  assert_true(good);
  tn_ctx_destroy(t->ctx);
}

/* Copies in another order, of a part, backwards: out[i, j, k] = x[k + 1, J - j, 2 * i], the rest stays. */
static void copies(void **state) {
  (void)state;
  enum { I = 19, J = 3, K = 37, ROOM = 50, COUNT = (K + 2) * (J + 1) * 2 * I };
  const enum tn_dtype dtypes[] = {TN_U8, TN_F16, TN_F32, TN_I64};
  for (size_t d = 0; d < TN_COUNT(dtypes); d++) {
    struct nest t = make();
    size_t size = tn_dtype_size(dtypes[d]);
    struct tn_buf *x = tn_nest_param(t.n, "x", dtypes[d], COUNT),
                  *out = tn_nest_param(t.n, "out", dtypes[d], I * J * ROOM);
    struct tn_var *v[3] = {tn_loop_var(t.n, "i", I), tn_loop_var(t.n, "j", J), tn_loop_var(t.n, "k", K)};
    struct tn_expr *e[3];
    struct tn_cursor in = t.c;
    for (int k = 0; k < 3; k++) {
      in = tn_st_loop(&in, v[k], TN_LOOP_SERIAL);
      e[k] = tn_ex_var(t.n, v[k]);
    }
    struct tn_type to = tn_type_make(TN_I32, 3, (tn_dim[]){I, J, ROOM}),
                   from = tn_type_make(TN_I32, 3, (tn_dim[]){K + 2, J + 1, 2 * I});
    struct tn_expr *back[3] = {tn_ix_add(t.n, e[2], ix(&t, 1)),
                               tn_ix_add(t.n, ix(&t, J), tn_ix_scale(t.n, e[1], -1)),
                               tn_ix_scale(t.n, e[0], 2)};
    tn_st_store(&in, out, tn_linear(t.n, &to, e), tn_ex_load(t.n, x, tn_linear(t.n, &from, back), NULL), NULL);
    uint8_t *a = malloc(COUNT * size), *b = malloc(I * J * ROOM * size), *c = malloc(I * J * ROOM * size);
    for (size_t i = 0; i < COUNT * size; i++)
      a[i] = (uint8_t)(i * 7 + i / 251);
    if (dtypes[d] == TN_F16) /* no NaN, whose bits arithmetic may change */
      for (size_t i = 1; i < COUNT * size; i += 2)
        a[i] &= 0x3f;
    memset(b, 0xEE, I * J * ROOM * size);
    memset(c, 0xEE, I * J * ROOM * size);
    for (size_t i = 0; i < I; i++)
      for (size_t j = 0; j < J; j++)
        for (size_t k = 0; k < K; k++)
          memcpy(c + ((i * J + j) * ROOM + k) * size, a + (((k + 1) * (J + 1) + J - j) * 2 * I + 2 * i) * size,
                 size);
    run(&t, (void *const[]){a, b});
    assert_memory_equal(b, c, I * J * ROOM * size);
    free(a);
    free(b);
    free(c);
  }
}

/* What reads beyond its buffer, and what writes an element twice, is no such copy. */
static void no_copies(void **state) {
  (void)state;
  for (int overlapping = 0; overlapping < 2; overlapping++) {
    struct nest t = make();
    struct tn_buf *x = tn_nest_param(t.n, "x", TN_F32, 64), *out = tn_nest_param(t.n, "out", TN_F32, 64);
    struct tn_var *i = tn_loop_var(t.n, "i", 8), *j = tn_loop_var(t.n, "j", 8);
    struct tn_cursor outer = tn_st_loop(&t.c, i, TN_LOOP_SERIAL), in = tn_st_loop(&outer, j, TN_LOOP_SERIAL);
    struct tn_expr *a = tn_ex_var(t.n, i), *b = tn_ex_var(t.n, j);
    struct tn_expr *to = overlapping ? tn_ix_add(t.n, a, b) : tn_ix_add(t.n, tn_ix_scale(t.n, a, 8), b);
    struct tn_expr *from =
        tn_ix_add(t.n, tn_ix_scale(t.n, b, 8), overlapping ? a : tn_ix_add(t.n, a, ix(&t, 1)));
    tn_st_store(&in, out, to, tn_ex_load(t.n, x, from, NULL), NULL);
    float data[64], result[64];
    for (int k = 0; k < 64; k++)
      data[k] = (float)k;
    bool good = tn_interpret(t.ctx, t.n, (void *const[]){data, result});
    assert_int_equal(good, overlapping);
    for (int k = 0; k < 15 && overlapping; k++) /* the last iteration of all that write here */
      assert_true(result[k] == (float)(k < 8 ? k : 8 * (k - 7) + 7));
    tn_ctx_destroy(t.ctx);
  }
}

/* Which variables an expression has is exact, however many there are in the nest. */
static void variables(void **state) {
  (void)state;
  enum { COUNT = 200 };
  struct nest t = make();
  struct tn_var *v[COUNT];
  for (int i = 0; i < COUNT; i++)
    v[i] = tn_loop_var(t.n, "i", 3);
  struct tn_buf *x = tn_nest_param(t.n, "x", TN_F32, 100);
  struct tn_expr *sum = tn_ix_add(t.n, tn_ix_scale(t.n, tn_ex_var(t.n, v[5]), 4), tn_ex_var(t.n, v[70]));
  struct tn_expr *load = tn_ex_load(t.n, x, sum, tn_ex_binary(t.n, TN_LT, tn_ex_var(t.n, v[9]), ix(&t, 2)));
  struct tn_expr *e = tn_ex_unary(t.n, TN_EXP, load);
  for (int i = 0; i < COUNT; i++)
    assert_int_equal(tn_ex_uses(e, v[i]), i == 5 || i == 70 || i == 9);
  tn_ctx_destroy(t.ctx);
}

/* More iterations than lanes, in loops whose extents divide nothing evenly: out[i, j, k] = x[k, j, i] + j. */
static void lanes(void **state) {
  (void)state;
  enum { I = 7, J = 5, K = 23 };
  struct nest t = make();
  struct tn_buf *x = tn_nest_param(t.n, "x", TN_I32, I * J * K),
                *out = tn_nest_param(t.n, "out", TN_I32, I * J * K);
  struct tn_var *v[3] = {tn_loop_var(t.n, "i", I), tn_loop_var(t.n, "j", J), tn_loop_var(t.n, "k", K)};
  struct tn_expr *e[3];
  struct tn_cursor in = t.c;
  for (int d = 0; d < 3; d++) {
    in = tn_st_loop(&in, v[d], d == 2 ? TN_LOOP_VECTOR : TN_LOOP_TILE);
    e[d] = tn_ex_var(t.n, v[d]);
  }
  struct tn_type to = tn_type_make(TN_I32, 3, (tn_dim[]){I, J, K}),
                 from = tn_type_make(TN_I32, 3, (tn_dim[]){K, J, I});
  struct tn_expr *back[3] = {e[2], e[1], e[0]};
  struct tn_expr *j = tn_st_let(&in, "j32", tn_ex_cast(t.n, e[1], TN_I32));
  struct tn_expr *element = tn_ex_load(t.n, x, tn_linear(t.n, &from, back), NULL);
  tn_st_store(&in, out, tn_linear(t.n, &to, e), tn_ex_binary(t.n, TN_ADD, element, j), NULL);
  static int32_t a[I * J * K], b[I * J * K];
  for (int i = 0; i < I * J * K; i++)
    a[i] = i * 3;
  run(&t, (void *const[]){a, b});
  for (int i = 0; i < I; i++)
    for (int q = 0; q < J; q++)
      for (int k = 0; k < K; k++)
        assert_int_equal(b[(i * J + q) * K + k], a[(k * J + q) * I + i] + q);
}

/* out[i] = 10 + sum over r, s of x[(r * S + s) % I + i]: few rows (lanes along the sum) and many (across). */
static void reductions(void **state) {
  (void)state;
  enum { R = 9, S = 41 };
  static const int rows[] = {1, 3, 300};
  for (size_t c = 0; c < TN_COUNT(rows); c++)
    for (int with_lane = 0; with_lane < 2; with_lane++) {
      int count = rows[c];
      struct nest t = make();
      struct tn_buf *x = tn_nest_param(t.n, "x", TN_F32, 2 * count),
                    *out = tn_nest_param(t.n, "out", TN_F32, count);
      struct tn_var *i = tn_loop_var(t.n, "i", count),
                    *r[2] = {tn_loop_var(t.n, "r", R), tn_loop_var(t.n, "s", S)};
      struct tn_cursor in = tn_st_loop(&t.c, i, TN_LOOP_PARALLEL);
      struct tn_expr *place = tn_ix_add(t.n, tn_ix_scale(t.n, tn_ex_var(t.n, r[0]), S), tn_ex_var(t.n, r[1]));
      struct tn_expr *at = tn_ix_add(t.n, tn_ix_mod(t.n, place, count), tn_ex_var(t.n, i));
      struct tn_var *acc = tn_value_var(t.n, "acc", TN_F32);
      struct tn_stmt *reduce = tn_st_reduce(&in, acc, TN_ADD, tn_ex_float(t.n, TN_F32, 10), with_lane ? 1 : 2,
                                            r, tn_ex_load(t.n, x, at, NULL));
      if (with_lane)
        reduce->reduce.lane = r[1];
      tn_st_store(&in, out, tn_ex_var(t.n, i), tn_ex_var(t.n, acc), NULL);
      float a[600], b[300];
      for (int k = 0; k < 2 * count; k++)
        a[k] = (float)(k % 17);
      run(&t, (void *const[]){a, b});
      for (int k = 0; k < count; k++) {
        float sum = 10;
        for (int q = 0; q < R * S; q++)
          sum += a[q % count + k];
        assert_true(b[k] == sum);
      }
    }
}

/* Collatz lengths by WHILE, IF and SET. */
static void control(void **state) {
  (void)state;
  enum { N = 30 };
  struct nest t = make();
  struct tn_buf *out = tn_nest_param(t.n, "out", TN_I64, N);
  struct tn_var *i = tn_loop_var(t.n, "i", N);
  struct tn_cursor in = tn_st_loop(&t.c, i, TN_LOOP_SERIAL), yes, no;
  struct tn_expr *one = tn_ex_int(t.n, TN_I64, 1), *two = tn_ex_int(t.n, TN_I64, 2),
                 *three = tn_ex_int(t.n, TN_I64, 3);
  struct tn_expr *x = tn_st_let(&in, "x", tn_ex_cast(t.n, tn_ix_offset(t.n, tn_ex_var(t.n, i), 1), TN_I64));
  struct tn_expr *steps = tn_st_let(&in, "steps", tn_ex_int(t.n, TN_I64, 0));
  struct tn_cursor body = tn_st_while(&in, tn_ex_binary(t.n, TN_NE, x, one));
  struct tn_expr *odd = tn_ex_binary(t.n, TN_EQ, tn_ex_binary(t.n, TN_MOD, x, two), one);
  tn_st_if(&body, odd, &yes, &no);
  tn_st_set(&yes, x, tn_ex_binary(t.n, TN_ADD, tn_ex_binary(t.n, TN_MUL, x, three), one));
  tn_st_set(&no, x, tn_ex_binary(t.n, TN_DIV, x, two));
  tn_st_set(&body, steps, tn_ex_binary(t.n, TN_ADD, steps, one));
  tn_st_store(&in, out, tn_ex_var(t.n, i), steps, NULL);
  int64_t found[N];
  run(&t, (void *const[]){found});
  for (int k = 0; k < N; k++) {
    int64_t value = k + 1, count = 0;
    for (; value != 1; count++)
      value = value % 2 ? 3 * value + 1 : value / 2;
    assert_int_equal(found[k], count);
  }
}

/* What a body writes and reads again must be done iteration by iteration: fibonacci numbers in place. */
static void in_order(void **state) {
  (void)state;
  enum { N = 40 };
  struct nest t = make();
  struct tn_buf *x = tn_nest_param(t.n, "x", TN_I64, N), *same = tn_nest_param(t.n, "same", TN_I64, N);
  struct tn_var *i = tn_loop_var(t.n, "i", N - 2);
  struct tn_expr *at = tn_ex_var(t.n, i);
  struct tn_cursor in = tn_st_loop(&t.c, i, TN_LOOP_SERIAL);
  struct tn_expr *sum = tn_ex_binary(t.n, TN_ADD, tn_ex_load(t.n, x, at, NULL),
                                     tn_ex_load(t.n, x, tn_ix_offset(t.n, at, 1), NULL));
  tn_st_store(&in, same, tn_ix_offset(t.n, at, 2), sum, NULL);
  int64_t a[N] = {0, 1};
  run(&t, (void *const[]){a, a}); /* two names for one buffer */
  for (int k = 2; k < N; k++)
    assert_true(a[k] == a[k - 1] + a[k - 2]);
}

/* A scratch row carries values between two loops; guards keep accesses inside. */
static void scratch_and_guards(void **state) {
  (void)state;
  enum { N = 10 };
  struct nest t = make();
  struct tn_buf *x = tn_nest_param(t.n, "x", TN_F16, N), *out = tn_nest_param(t.n, "out", TN_F32, N);
  struct tn_buf *row = tn_nest_local(t.n, "row", TN_F64, N);
  struct tn_var *i = tn_loop_var(t.n, "i", N), *j = tn_loop_var(t.n, "j", N + 5);
  struct tn_cursor first = tn_st_loop(&t.c, i, TN_LOOP_SERIAL), second;
  struct tn_expr *shifted = tn_ix_offset(t.n, tn_ex_var(t.n, i), 3);
  struct tn_expr *inside = tn_ex_binary(t.n, TN_LT, shifted, ix(&t, N));
  tn_st_store(&first, row, tn_ex_var(t.n, i), tn_ex_cast(t.n, tn_ex_load(t.n, x, shifted, inside), TN_F64),
              NULL);
  second = tn_st_loop(&t.c, j, TN_LOOP_SERIAL);
  struct tn_expr *at = tn_ex_var(t.n, j), *fits = tn_ex_binary(t.n, TN_LT, at, ix(&t, N));
  tn_st_store(&second, out, at, tn_ex_cast(t.n, tn_ex_load(t.n, row, at, fits), TN_F32), fits);
  uint16_t a[N];
  float b[N];
  for (int k = 0; k < N; k++)
    a[k] = tn_float_to_half((float)k + 0.5f);
  run(&t, (void *const[]){a, b});
  for (int k = 0; k < N; k++)
    assert_true(b[k] == (k + 3 < N ? (float)k + 3.5f : 0));
}

/* A read and a write outside of their buffer are bugs that name it. */
static void bounds(void **state) {
  (void)state;
  for (int writes = 0; writes < 2; writes++) {
    struct nest t = make();
    struct tn_buf *x = tn_nest_param(t.n, "source", TN_F32, 4), *out = tn_nest_param(t.n, "target", TN_F32, 4);
    struct tn_var *i = tn_loop_var(t.n, "i", 4);
    struct tn_cursor in = tn_st_loop(&t.c, i, TN_LOOP_SERIAL);
    struct tn_expr *at = tn_ex_var(t.n, i), *over = tn_ix_offset(t.n, at, 1);
    tn_st_store(&in, out, writes ? over : at, tn_ex_load(t.n, x, writes ? at : over, NULL), NULL);
    float a[5] = {0}, b[5] = {0};
    assert_false(tn_interpret(t.ctx, t.n, (void *const[]){a, b}));
    size_t count;
    const struct tn_diag *diag = tn_diags(t.ctx, &count);
    assert_int_equal(count, 1);
    assert_int_equal(diag->severity, TN_BUG);
    assert_non_null(strstr(diag->text, writes ? "writes buffer 'target' at element 4"
                                              : "reads buffer 'source' at element 4"));
    tn_ctx_destroy(t.ctx);
  }
}

/* The arithmetic itself, at its edges. */
static void scalars(void **state) {
  (void)state;
  union tn_scalar a[2] = {{.f = 0.0}, {.f = -0.0}}, r;
  assert_true(tn_scalar_op(TN_MAX, TN_F32, TN_F32, 0, a, 2, &r) && !signbit(r.f));
  assert_true(tn_scalar_op(TN_MIN, TN_F32, TN_F32, 0, a, 2, &r) && signbit(r.f));
  assert_false(tn_scalar_op(TN_AND, TN_F32, TN_F32, 0, a, 2, &r));
  assert_false(tn_scalar_op(TN_EXP, TN_I32, TN_I32, 0, a, 1, &r));
  union tn_scalar i[2] = {{.i = INT64_MIN}, {.i = -1}};
  assert_true(tn_scalar_op(TN_DIV, TN_I64, TN_I64, 0, i, 2, &r) && r.i == INT64_MIN);
  assert_true(tn_scalar_op(TN_FMOD, TN_I64, TN_I64, 0, i, 2, &r) && r.i == 0);
  assert_true(tn_scalar_op(TN_CAST, TN_F32, TN_U64, 0, i, 1, &r) && r.f == 9223372036854775808.0);
  union tn_scalar p[2] = {{.i = -7}, {.i = 2}};
  assert_true(tn_scalar_op(TN_DIV, TN_INDEX, TN_INDEX, 0, p, 2, &r) && r.i == -4);
  assert_true(tn_scalar_op(TN_DIV, TN_I32, TN_I32, 0, p, 2, &r) && r.i == -3);
  for (int d = TN_F32; d < TN_DTYPE_COUNT; d++) {
    static const enum tn_op ops[] = {TN_ADD, TN_MUL, TN_MAX, TN_MIN};
    enum tn_dtype dtype = (enum tn_dtype)d;
    for (size_t k = 0; k < TN_COUNT(ops); k++) {
      union tn_scalar in[2] = {tn_scalar_identity(ops[k], dtype)};
      if (tn_dtype_is_float(dtype))
        in[1].f = -1.5;
      else
        in[1].i = 1;
      assert_true(tn_scalar_op(ops[k], dtype, dtype, 0, in, 2, &r));
      assert_true(tn_dtype_is_float(dtype) ? r.f == -1.5 : r.i == 1);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(variables),  cmocka_unit_test(lanes),
      cmocka_unit_test(copies),     cmocka_unit_test(no_copies),
      cmocka_unit_test(reductions), cmocka_unit_test(control),
      cmocka_unit_test(in_order),   cmocka_unit_test(scratch_and_guards),
      cmocka_unit_test(bounds),     cmocka_unit_test(scalars),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
