/* For tests of definitions: a module with constants, and what a value of it evaluates to. */
#ifndef TENON_TESTS_CODEGEN_EVAL_H
#define TENON_TESTS_CODEGEN_EVAL_H

#include "codegen/nest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct fixture {
  tn_ctx *ctx;
  struct tn_module *module;
  struct tn_build b;
};

static inline void fixture_start(struct fixture *f) {
  f->ctx = tn_ctx_create(NULL);
  f->module = tn_module_create(f->ctx, "test", "test");
  f->b = tn_build_at_end(f->module->main);
  f->b.name = "node";
  f->b.origin = "Op";
}

static inline void fixture_print(struct fixture *f) {
  size_t count;
  const struct tn_diag *diags = tn_diags(f->ctx, &count);
  for (size_t i = 0; i < count; i++)
    fprintf(stderr, "%s\n", tn_diag_format(tn_ctx_arena(f->ctx), &diags[i]));
}

/* Runs a test's body inside of a guard: what builders report fails the test. */
#define EVAL_TEST(name)                              \
  static void name##_body(struct fixture *f);        \
  static bool name##_guarded(void *user) {           \
    name##_body(user);                               \
    return true;                                     \
  }                                                  \
  static void name(void **state) {                   \
    (void)state;                                     \
    struct fixture f;                                \
    fixture_start(&f);                               \
    bool good = tn_guard(f.ctx, name##_guarded, &f); \
    if (!good)                                       \
      fixture_print(&f);                             \
    assert_true(good);                               \
    tn_ctx_destroy(f.ctx);                           \
  }                                                  \
  static void name##_body(struct fixture *f)

#define SHAPE(...)                                                      \
  (int)(sizeof((tn_dim[]){__VA_ARGS__}) / sizeof(tn_dim)), (tn_dim[]) { \
    __VA_ARGS__                                                         \
  }
#define VALUES(...)  \
  (const double[]) { \
    __VA_ARGS__      \
  }
#define INTS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

/* What was reported, for a test that is about to fail. */
static inline void print_diags(tn_ctx *ctx) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    print_error("%s\n", tn_diag_format(tn_ctx_arena(ctx), &diags[i]));
}

static inline struct tn_value *constant(struct fixture *f, enum tn_dtype dtype, int rank, const tn_dim *dims,
                                        const double *values) {
  struct tn_type type = tn_type_make(dtype, rank, dims);
  int64_t count;
  assert_true(tn_type_count(&type, &count));
  void *data = tn_alloc(tn_ctx_arena(f->ctx), (size_t)count * 8 + 1);
  for (int64_t i = 0; i < count; i++)
    tn_store_float(dtype, data, i, values[i]);
  return tn_constant_bytes(&f->b, type, data);
}

/* 0, 1, 2, ... plus `first`. */
static inline struct tn_value *counting(struct fixture *f, enum tn_dtype dtype, int rank, const tn_dim *dims,
                                        double first) {
  struct tn_type type = tn_type_make(dtype, rank, dims);
  int64_t count;
  assert_true(tn_type_count(&type, &count));
  double *values = TN_NEW_ARRAY(tn_ctx_arena(f->ctx), double, count + 1);
  for (int64_t i = 0; i < count; i++)
    values[i] = first + (double)i;
  return constant(f, dtype, rank, dims, values);
}

static inline struct tn_value *finished(struct fixture *f, struct tn_node *node) {
  if (!tn_finish(&f->b, node))
    tn_fail_now(f->ctx);
  return node->out[0];
}

static inline void evaluate_node(struct fixture *f, struct tn_node *node, struct tn_tensor *outs) {
  if (!tn_evaluate_node(tn_ctx_arena(f->ctx), node, outs)) {
    fixture_print(f);
    fail_msg("evaluation failed");
  }
}

/* Result `result` of the node is `values`, and no other number of them. */
static inline void check_tensor(struct fixture *f, const struct tn_tensor *t, size_t count,
                                const double *values, double tolerance) {
  int64_t found;
  (void)f;
  assert_true(tn_type_count(&t->type, &found));
  assert_int_equal(found, (int64_t)count);
  for (size_t i = 0; i < count; i++) {
    double x = tn_tensor_float(t, (int64_t)i), want = values[i];
    bool same = isnan(want) ? isnan(x) != 0 : x == want || fabs(x - want) <= tolerance * (1 + fabs(want));
    if (!same)
      fail_msg("element %zu: expected %.17g, found %.17g", i, want, x);
  }
}

static inline struct tn_tensor evaluated(struct fixture *f, struct tn_value *v) {
  struct tn_tensor outs[4] = {{.data = NULL}};
  evaluate_node(f, v->def, outs);
  return outs[v->def_index];
}

#define CHECK(f, v, ...)                                   \
  do {                                                     \
    const double want_[] = {__VA_ARGS__};                  \
    struct tn_tensor found_ = evaluated((f), (v));         \
    check_tensor((f), &found_, TN_COUNT(want_), want_, 0); \
  } while (0)
#define CHECK_NEAR(f, v, ...)                                 \
  do {                                                        \
    const double want_[] = {__VA_ARGS__};                     \
    struct tn_tensor found_ = evaluated((f), (v));            \
    check_tensor((f), &found_, TN_COUNT(want_), want_, 1e-6); \
  } while (0)

#endif
