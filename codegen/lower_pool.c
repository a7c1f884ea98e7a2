/* Lowering of a kernel that pools what its anchor makes: see "pooled" in passes/fuse.h.
 *
 *   for each result of the pool
 *     let p = identity
 *     for the window: { acc = sum of the convolution; set p = p combined with what is made of acc }
 *     result = what is made of p
 *
 * An anchor with a nest of its own (Winograd's) stores tiles that hold whole windows: their elements are
 * combined as they come. */
#include "codegen/define.h"
#include "codegen/lower.h"

void tn_lower_pool(struct tn_lower *l, const struct tn_node *anchor, const struct tn_node *pool, int count,
                   struct tn_value *const *outs) {
  struct tn_nest *n = l->nest;
  const struct tn_definition *conv = tn_definition_of(anchor->op);
  struct tn_ints window = tn_get_ints(pool, TN_POOL_window), strides = tn_get_ints(pool, TN_POOL_strides);
  struct tn_reduction sum = {0}, pooled = {0};
  conv->reduce.shape(anchor, &sum);
  tn_definition_of(TN_POOL)->reduce.shape(pool, &pooled);
  /* The convolution's domain begins with the result's dims but for the last one, which no window spans. */
  int spatial = pool->out[0]->type.rank - 1;
  memcpy(sum.domain, pool->out[0]->type.dim, (size_t)spatial * sizeof *sum.domain);

  struct tn_cursor c = tn_at_body(n);
  struct tn_expr *to[TN_MAX_REDUCE], *from[TN_MAX_REDUCE], *idx[TN_MAX_RANK];
  struct tn_cursor in = tn_loops_over(&c, sum.domain_rank, sum.domain, to);
  struct tn_expr *all = tn_st_let(&in, "pool", tn_ex_identity(n, pooled.combine, pooled.acc));
  struct tn_cursor inner = in;
  memcpy(from, to, sizeof from);
  for (int d = 0; d < spatial; d++) {
    from[d] = tn_ix_scale(n, to[d], strides.at[d]);
    if (window.at[d] == 1)
      continue;
    struct tn_var *v = tn_loop_var(n, "w", window.at[d]);
    inner = tn_st_loop(&inner, v, TN_LOOP_SERIAL);
    from[d] = tn_ix_add(n, from[d], tn_ex_var(n, v));
  }
  struct tn_expr *acc =
      tn_ex_cast(l->nest, tn_lower_sum(l, &inner, anchor, &sum, from, NULL), anchor->out[0]->type.dtype);
  conv->reduce.at(l, anchor, from, idx);
  struct tn_expr *element = tn_element_over(l, pool->in[0], idx, anchor->out[0], acc);
  tn_st_set(&inner, all, tn_ex_binary(n, pooled.combine, all, tn_ex_cast(n, element, pooled.acc)));

  conv->reduce.at(l, anchor, to, idx);
  struct tn_expr *result = tn_ex_cast(n, all, pool->out[0]->type.dtype);
  for (int k = 0; k < count; k++)
    tn_result(l, &in, outs[k], idx, tn_element_over(l, outs[k], idx, pool->out[0], result), NULL);
}

/* The window of the result at `at`, as far as its elements are known. */
struct tn_window_part {
  struct tn_window_part *next;
  struct tn_expr *at[TN_MAX_RANK];
  struct tn_expr *value;
  int64_t missing;
};

static struct tn_window_part *part_at(struct tn_lower *l, struct tn_window_part **parts,
                                      const struct tn_node *pool, struct tn_expr *const *at) {
  int rank = pool->out[0]->type.rank;
  struct tn_window_part *p = *parts;
  while (p && memcmp(p->at, at, (size_t)rank * sizeof *at) != 0)
    p = p->next;
  if (p)
    return p;
  p = TN_NEW(l->nest->arena, struct tn_window_part);
  memcpy(p->at, at, (size_t)rank * sizeof *at);
  p->missing = 1;
  for (int d = 0; d < rank; d++)
    p->missing *= tn_get_ints(pool, TN_POOL_window).at[d];
  p->next = *parts;
  *parts = p;
  return p;
}

void tn_pool_element(struct tn_lower *l, struct tn_cursor *c, struct tn_window_part **parts,
                     const struct tn_node *pool, const struct tn_value *head, struct tn_expr *const *idx,
                     struct tn_expr *element, int count, struct tn_value *const *outs) {
  struct tn_nest *n = l->nest;
  struct tn_ints window = tn_get_ints(pool, TN_POOL_window), strides = tn_get_ints(pool, TN_POOL_strides);
  const struct tn_type *out = &pool->out[0]->type;
  struct tn_reduction pooled = {0};
  struct tn_expr *at[TN_MAX_RANK], *guard = NULL;
  tn_definition_of(TN_POOL)->reduce.shape(pool, &pooled);
  for (int d = 0; d < out->rank; d++) {
    int64_t in_window;
    if (!tn_ex_is_int(tn_ix_mod(n, idx[d], strides.at[d]), &in_window))
      tn_bug(tn_arena_ctx(n->arena), "kernel '%s': its tiles do not hold whole windows", n->name);
    if (in_window >= window.at[d])
      return; /* between the windows */
    at[d] = tn_ix_div(n, idx[d], strides.at[d]);
    guard = tn_ex_and(n, guard, tn_define_inside(n, at[d], out->dim[d]));
  }
  struct tn_expr *before = l->guard;
  l->guard = tn_ex_and(n, before, guard);
  element = tn_ex_cast(n, tn_element_over(l, pool->in[0], idx, head, element), pooled.acc);
  struct tn_window_part *part = part_at(l, parts, pool, at);
  part->value = part->value ? tn_ex_binary(n, pooled.combine, part->value, element) : element;
  if (--part->missing == 0) {
    struct tn_expr *result = tn_ex_cast(n, part->value, out->dtype);
    for (int k = 0; k < count; k++)
      tn_result(l, c, outs[k], part->at, tn_element_over(l, outs[k], part->at, pool->out[0], result),
                guard && !tn_ex_is_true(guard) ? guard : NULL);
  }
  l->guard = before;
}
