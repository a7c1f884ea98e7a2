/* For tests of the schedule: families of targets, and whether a scheduled nest gives the bytes of its
 * definition. */
#ifndef TENON_TESTS_CODEGEN_SCHEDULE_H
#define TENON_TESTS_CODEGEN_SCHEDULE_H

#include "unit/codegen_eval.h"
#include "codegen/internal.h"

static const struct tn_target targets[] = {
    {.family = "scalar",
     .pointer_bits = 32,
     .vector_regs = 32,
     .dot = true,
     .dot_s = true,
     .dot_u = true,
     .dot_w = true,
     .opt = 3,
     .threads = 1},
    {.family = "v128",
     .pointer_bits = 64,
     .vector_bytes = 16,
     .int_vector_bytes = 16,
     .vector_regs = 32,
     .l1_bytes = 2048,
     .l2_bytes = 32768,
     .fma = true,
     .f64 = true,
     .dot_s = true,
     .opt = 3,
     .threads = 1},
    {.family = "v128-masked",
     .pointer_bits = 32,
     .vector_bytes = 16,
     .int_vector_bytes = 16,
     .vector_regs = 8,
     .masked = true,
     .opt = 3,
     .picks = true,
     .threads = 1},
    {.family = "v256",
     .pointer_bits = 64,
     .vector_bytes = 32,
     .int_vector_bytes = 32,
     .vector_regs = 16,
     .l1_bytes = 1024, /* small, so that small cases cut rows into groups */
     .l2_bytes = 4096,
     .fma = true,
     .f64 = true,
     .masked = true,
     .dot_s = true,
     .dot_u = true,
     .dot_w = true,
     .opt = 3,
     .threads = 1},
    {.family = "v512",
     .pointer_bits = 64,
     .vector_bytes = 64,
     .int_vector_bytes = 64,
     .vector_regs = 32,
     .l1_bytes = 32768,
     .l2_bytes = 1 << 20,
     .fma = true,
     .f64 = true,
     .masked = true,
     .dot = true,
     .dot_u = true,
     .dot_w = true,
     .opt = 3,
     .threads = 1},
};

/* Values -6 .. 6. */
static inline struct tn_value *small(struct fixture *f, enum tn_dtype dtype, int rank, const tn_dim *dims) {
  struct tn_type type = tn_type_make(dtype, rank, dims);
  int64_t count;
  assert_true(tn_type_count(&type, &count));
  double *values = TN_NEW_ARRAY(tn_ctx_arena(f->ctx), double, count + 1);
  for (int64_t i = 0; i < count; i++)
    values[i] = (double)(i * 7 % 13 - (dtype == TN_U8 ? 0 : 6));
  return constant(f, dtype, rank, dims, values);
}

/* known: operands stay constants.  Runs the nest; the results' bytes, one after the other. */
static inline uint8_t *run_nest(struct fixture *f, const struct tn_nest *n, const struct tn_node *node,
                                size_t *bytes) {
  tn_arena *arena = tn_ctx_arena(f->ctx);
  void **data = TN_NEW_ARRAY(arena, void *, n->param_count + 1);
  *bytes = 0;
  for (int k = 0; k < node->out_count; k++) {
    int64_t size;
    assert_true(tn_type_bytes(&node->out[k]->type, &size));
    *bytes += (size_t)size;
  }
  uint8_t *out = memset(tn_alloc(arena, *bytes + 1), 0xEE, *bytes + 1), *next = out;
  for (size_t i = 0; i < n->bufs.count; i++) {
    const struct tn_buf *buf = n->bufs.at[i];
    if (buf->param < 0)
      continue;
    const struct tn_tensor *t = buf->value ? tn_value_tensor(buf->value) : NULL;
    t = t ? t : buf->data;
    data[buf->param] = t ? (void *)(uintptr_t)t->data : next;
    if (!t)
      next += (size_t)buf->count * tn_dtype_size(buf->dtype);
  }
  if (!tn_interpret(f->ctx, n, data)) {
    fixture_print(f);
    fail_msg("interpretation failed:\n%s", tn_nest_print(arena, n));
  }
  return out;
}

static inline struct tn_nest *lowered(struct fixture *f, struct tn_node *node, bool known) {
  struct tn_nest *n = tn_lower_node(tn_ctx_arena(f->ctx), node);
  assert_non_null(n);
  for (size_t i = 0; i < n->bufs.count && !known; i++)
    n->bufs.at[i]->data = NULL;
  return n;
}

static inline void check_same(struct fixture *f, const char *name, struct tn_value *result) {
  struct tn_node *node = result->def;
  size_t bytes, found;
  uint8_t *want = run_nest(f, lowered(f, node, true), node, &bytes);
  for (size_t t = 0; t < TN_COUNT(targets); t++)
    for (int known = 0; known < 2; known++) {
      struct tn_nest *n = lowered(f, node, known);
      tn_schedule(&targets[t], n);
      uint8_t *got = run_nest(f, n, node, &found);
      assert_int_equal(bytes, found);
      if (memcmp(want, got, bytes) != 0)
        fail_msg("%s for %s, weights %s: another result\n%s", name, targets[t].family,
                 known ? "known" : "unknown", tn_nest_print(tn_ctx_arena(f->ctx), n));
    }
}

/* Values that take every byte or any word, the outermost ones often. */
static inline struct tn_value *bytes_of(struct fixture *f, enum tn_dtype dtype, int rank, const tn_dim *dims,
                                        int first) {
  struct tn_type type = tn_type_make(dtype, rank, dims);
  int64_t count;
  assert_true(tn_type_count(&type, &count));
  double *values = TN_NEW_ARRAY(tn_ctx_arena(f->ctx), double, count + 1);
  double low = dtype == TN_U8 ? 0 : dtype == TN_I16 ? -32768 : -128;
  int64_t range = dtype == TN_I16 ? 65536 : 256;
  for (int64_t i = 0; i < count; i++) {
    int64_t k = i + first;
    values[i] = low + (double)(k % 3 == 0 ? range - 1 : k % 5 == 0 ? 0 : k * (range / 3 + 4) % range);
  }
  return constant(f, dtype, rank, dims, values);
}

#endif
