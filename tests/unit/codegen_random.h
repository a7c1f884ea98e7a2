/* For tests of fused kernels: random chains of moves and elementwise ops of i32. */
#ifndef TENON_TESTS_CODEGEN_RANDOM_H
#define TENON_TESTS_CODEGEN_RANDOM_H

#include "unit/codegen_eval.h"

#define MAX_COUNT 400

struct random {
  uint64_t state;
  struct tn_build *outside; /* where constants go */
};

static inline int64_t pick(struct random *r, int64_t low, int64_t high) { /* both included */
  r->state = r->state * 6364136223846793005u + 1442695040888963407u;
  return low + (int64_t)((r->state >> 33) % (uint64_t)(high - low + 1));
}

static inline int64_t count_of(const struct tn_value *x) {
  int64_t count = 0;
  assert_true(tn_type_count(&x->type, &count));
  return count;
}

static inline struct tn_value *finish_in(struct tn_build *b, struct tn_node *node) {
  if (!tn_finish(b, node))
    tn_fail_now(b->graph->module->ctx);
  return node->out[0];
}

static inline struct tn_value *random_reshape(struct random *r, struct tn_build *b, struct tn_value *x) {
  tn_dim dims[TN_MAX_RANK];
  int64_t left = count_of(x);
  int rank = 0;
  while (rank < 4) {
    int64_t factor = pick(r, 1, left < 12 ? left : 12);
    while (left % factor)
      factor--;
    dims[rank++] = factor;
    left /= factor;
  }
  dims[rank++] = left;
  return tn_reshape(b, x, rank, dims);
}

static inline struct tn_value *random_transpose(struct random *r, struct tn_build *b, struct tn_value *x) {
  int64_t perm[TN_MAX_RANK];
  for (int d = 0; d < x->type.rank; d++) {
    int at = (int)pick(r, 0, d);
    perm[d] = perm[at];
    perm[at] = d;
  }
  return tn_transpose(b, x, perm);
}

static inline struct tn_value *random_slice(struct random *r, struct tn_build *b, struct tn_value *x) {
  int64_t starts[TN_MAX_RANK], steps[TN_MAX_RANK], sizes[TN_MAX_RANK];
  for (int d = 0; d < x->type.rank; d++) {
    int64_t first = pick(r, 0, x->type.dim[d] - 1), last = pick(r, 0, x->type.dim[d] - 1), step = pick(r, 1, 2);
    starts[d] = first;
    steps[d] = first <= last ? step : -step;
    sizes[d] = (first <= last ? last - first : first - last) / step + 1;
  }
  return tn_slice(b, x, starts, steps, sizes);
}

static inline struct tn_value *random_pad(struct random *r, struct tn_build *b, struct tn_value *x) {
  int64_t before[TN_MAX_RANK], after[TN_MAX_RANK], interior[TN_MAX_RANK];
  int64_t mode = pick(r, 0, 6), count = 1;
  mode = mode > 3 ? 0 : mode;
  for (int d = 0; d < x->type.rank; d++) {
    int64_t extent = x->type.dim[d], most = mode == 1 && extent <= 2 ? extent - 1 : 2;
    before[d] = pick(r, extent > 2 ? -1 : 0, most);
    after[d] = pick(r, extent > 2 ? -1 : 0, most);
    interior[d] = mode == 0 && pick(r, 0, 5) == 0 ? pick(r, 1, 2) : 0;
    count *= extent + before[d] + after[d] + (extent - 1) * interior[d];
  }
  if (count > MAX_COUNT || count == 0)
    return x;
  struct tn_value *in[2] = {x, tn_const_int(b, TN_I32, -77)};
  struct tn_node *node = tn_node_make(b, TN_PAD, mode == 0 ? 2 : 1, in, 1);
  tn_set_ints(node, TN_PAD_before, before, (size_t)x->type.rank);
  tn_set_ints(node, TN_PAD_after, after, (size_t)x->type.rank);
  if (mode == 0)
    tn_set_ints(node, TN_PAD_interior, interior, (size_t)x->type.rank);
  tn_set_int(node, TN_PAD_mode, mode);
  return finish_in(b, node);
}

static inline struct tn_value *random_gather(struct random *r, struct tn_build *b, struct tn_value *x) {
  int axis = (int)pick(r, 0, x->type.rank - 1);
  int64_t extent = x->type.dim[axis], indices[6], count = pick(r, 1, 6);
  if (count_of(x) / extent * count > MAX_COUNT)
    return x;
  for (int64_t i = 0; i < count; i++)
    indices[i] = pick(r, -extent, extent - 1);
  return tn_gather(b, x, tn_const_i64s(r->outside, indices, (size_t)count), axis);
}

static inline struct tn_value *random_arithmetic(struct random *r, struct tn_build *b, struct tn_value *x) {
  tn_dim dims[TN_MAX_RANK];
  for (int d = 0; d < x->type.rank; d++)
    dims[d] = x->type.dim[d];
  struct tn_value *other = tn_iota(b, TN_I32, x->type.rank, dims, (int)pick(r, 0, x->type.rank - 1));
  switch (pick(r, 0, 3)) {
  case 0:
    return tn_binary(b, TN_ADD, x, other);
  case 1:
    return tn_binary(b, TN_SUB, tn_binary(b, TN_MUL, x, tn_const_int(b, TN_I32, 3)), other);
  case 2:
    return tn_select(b, tn_binary(b, TN_LT, x, tn_const_int(b, TN_I32, 50)), x, other);
  default:
    return tn_unary(b, TN_NEG, x);
  }
}

static inline struct tn_value *random_step(struct random *r, struct tn_build *b, struct tn_value *x) {
  switch (pick(r, 0, 7)) {
  case 0:
    return random_reshape(r, b, x);
  case 1:
    return random_transpose(r, b, x);
  case 2:
    return count_of(x) > 30 ? random_slice(r, b, x) : x;
  case 3:
    return random_pad(r, b, x);
  case 4:
    return random_gather(r, b, x);
  case 5:
    return random_arithmetic(r, b, x);
  case 6:
    return random_reshape(r, b, x);
  default: {
    if (count_of(x) * 2 > MAX_COUNT)
      return x;
    struct tn_value *parts[2] = {x, tn_unary(b, TN_NEG, x)};
    return tn_concat(b, (int)pick(r, 0, x->type.rank - 1), 2, parts);
  }
  }
}

static inline struct tn_value *chain(uint64_t seed, struct tn_build *outside, struct tn_build *b,
                                     struct tn_value *x) {
  struct random r = {seed, outside};
  int64_t steps = pick(&r, 1, 7);
  struct tn_value *y = x;
  for (int64_t i = 0; i < steps; i++)
    y = random_step(&r, b, y);
  return y == x ? tn_unary(b, TN_NEG, y) : y;
}

#endif
