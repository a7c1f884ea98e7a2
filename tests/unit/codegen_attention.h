/* For tests of attention: softmax(scale * q k^T + mask) v, for any heads, lengths and masks. */
#ifndef TENON_TESTS_CODEGEN_ATTENTION_H
#define TENON_TESTS_CODEGEN_ATTENTION_H

#include "unit/codegen_random.h"

enum attention_mask { MASK_NONE, MASK_ADDED, MASK_ROW, MASK_CAUSAL };
struct attention {
  tn_dim batch, heads, shared; /* heads to each head of k and v */
  tn_dim rows, keys, depth, width;
  tn_dim past; /* of the keys and values come from another input */
  enum attention_mask mask;
  bool hides;  /* the added mask is -inf for the first row and for the first half of every other one */
  bool zeroed; /* weights that are nan are 0 */
  bool moved;  /* q, k, v and the result have the heads behind the rows */
  enum tn_dtype dtype;
};

static inline struct attention random_attention(uint64_t seed) {
  struct random r = {seed * 9176 + 5, NULL};
  struct attention a = {.batch = pick(&r, 1, 2),
                        .heads = pick(&r, 1, 3),
                        .shared = pick(&r, 0, 2) ? 1 : 2,
                        .rows = pick(&r, 0, 3) ? pick(&r, 2, 70) : 1,
                        .keys = pick(&r, 8, 90),
                        .depth = pick(&r, 1, 40),
                        .width = pick(&r, 1, 40),
                        .mask = (enum attention_mask)pick(&r, 0, 3),
                        .moved = pick(&r, 0, 1)};
  a.zeroed = pick(&r, 0, 4) == 0;
  a.past = pick(&r, 0, 2) ? 0 : pick(&r, 1, a.keys - 1);
  a.dtype = pick(&r, 0, 5) ? TN_F32 : TN_F16;
  return a;
}

/* [batch, heads, shared, length, width] of an input; `moved`: the input is [batch, length, heads, shared,
 * width].
 */
static inline struct tn_value *attention_input(const struct attention *a, struct tn_build *b, const char *name,
                                               tn_dim shared, tn_dim length, tn_dim width) {
  tn_dim moved[5] = {a->batch, length, a->heads, shared, width},
         plain[5] = {a->batch, a->heads, shared, length, width};
  struct tn_value *x = tn_graph_input(b->graph, name, tn_type_make(a->dtype, 5, a->moved ? moved : plain));
  return a->moved ? tn_transpose(b, x, (const int64_t[]){0, 2, 3, 1, 4}) : x;
}

static inline struct tn_value *attention_keys(const struct attention *a, struct tn_build *b, const char *name,
                                              const char *past, tn_dim width) {
  struct tn_value *parts[2] = {NULL};
  if (!a->past)
    return attention_input(a, b, name, 1, a->keys, width);
  parts[0] = attention_input(a, b, past, 1, a->past, width);
  parts[1] = attention_input(a, b, name, 1, a->keys - a->past, width);
  return tn_concat(b, 3, 2, parts);
}

static inline struct tn_value *masked(const struct attention *a, struct tn_build *b, struct tn_value *scores) {
  tn_dim dims[4] = {a->batch, 1, a->mask == MASK_ROW ? 1 : a->rows, a->keys}, square[2] = {a->rows, a->keys};
  if (a->mask == MASK_NONE)
    return scores;
  if (a->mask != MASK_CAUSAL)
    return tn_binary(b, TN_ADD, scores,
                     tn_reshape(b, tn_graph_input(b->graph, "mask", tn_type_make(a->dtype, 4, dims)), 5,
                                (tn_dim[]){dims[0], 1, 1, dims[2], dims[3]}));
  struct tn_value *in[3] = {
      tn_binary(b, TN_LE, tn_iota(b, TN_I32, 2, square, 1), tn_iota(b, TN_I32, 2, square, 0)), scores,
      tn_const_float(b, a->dtype, -60000)};
  return finish_in(b, tn_node_make(b, TN_SELECT, 3, in, 1));
}

static inline struct tn_module *attention_module(tn_ctx *ctx, const struct attention *a) {
  struct tn_module *m = tn_module_create(ctx, "attention", "test");
  struct tn_build build = tn_build_at_end(m->main), *b = &build;
  b->name = "node";
  struct tn_value *q = attention_input(a, b, "q", a->shared, a->rows, a->depth);
  struct tn_value *k = attention_keys(a, b, "k", "k_past", a->depth);
  struct tn_value *v = attention_keys(a, b, "v", "v_past", a->width);
  struct tn_value *scores = tn_matmul(b, q, tn_transpose(b, k, (const int64_t[]){0, 1, 2, 4, 3}));
  scores = masked(a, b, tn_binary(b, TN_MUL, scores, tn_const_float(b, a->dtype, 0.375)));
  const int64_t axes[1] = {4};
  struct tn_value *most = tn_reduce(b, TN_REDUCE_MAX, scores, axes, 1, true);
  struct tn_value *raised = tn_unary(b, TN_EXP, tn_binary(b, TN_SUB, scores, most));
  struct tn_value *weights = tn_binary(b, TN_DIV, raised, tn_reduce(b, TN_REDUCE_SUM, raised, axes, 1, true));
  if (a->zeroed) {
    struct tn_node *isnan = tn_node_make(b, TN_ISNAN, 1, &weights, 1);
    weights = tn_select(b, finish_in(b, isnan), tn_const_float(b, a->dtype, 0), weights);
  }
  struct tn_value *y = tn_matmul(b, weights, v);
  tn_graph_output(m->main, a->moved ? tn_transpose(b, y, (const int64_t[]){0, 3, 1, 2, 4}) : y);
  return m;
}

/* Whether the module, after its passes, has a kernel with two products. */
static inline bool attention_is_one_kernel(const struct tn_module *m) {
  for (const struct tn_node *node = m->main->first; node; node = node->next) {
    int products = 0;
    for (const struct tn_node *in = node->op == TN_KERNEL ? node->region[0]->first : NULL; in; in = in->next)
      products += in->op == TN_MATMUL;
    if (products == 2)
      return tn_get_int(node, TN_KERNEL_rows) >= 0;
  }
  return false;
}

static inline bool attention_goes_by_blocks(const struct tn_module *m) {
  for (const struct tn_node *node = m->main->first; node; node = node->next)
    if (node->op == TN_KERNEL && tn_get_int(node, TN_KERNEL_block) > 0)
      return true;
  return false;
}

#endif
