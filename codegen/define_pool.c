/* Windows: pool combines the elements of a window over every dim.  Domain: the result's dims; reduction: the
 * window's dims of more than one element.  Positions outside of the operand give the combine's identity. */
#include "codegen/define.h"

static enum tn_op combine_of(const struct tn_node *node) {
  switch (tn_get_int(node, TN_POOL_kind)) {
  case TN_WINDOW_MAX:
    return TN_MAX;
  case TN_WINDOW_MIN:
    return TN_MIN;
  default:
    return TN_ADD;
  }
}

static void pool_shape(const struct tn_node *node, struct tn_reduction *r) {
  const struct tn_type *out = &node->out[0]->type;
  struct tn_ints window = tn_get_ints(node, TN_POOL_window);
  r->combine = combine_of(node);
  r->acc = tn_define_accumulator(out->dtype);
  r->domain_rank = out->rank;
  memcpy(r->domain, out->dim, (size_t)out->rank * sizeof *r->domain);
  for (int d = 0; d < out->rank; d++)
    if (window.at[d] > 1)
      r->extent[r->count++] = window.at[d];
}

static void pool_at(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                    struct tn_expr **idx) {
  (void)l;
  memcpy(idx, i, (size_t)node->out[0]->type.rank * sizeof(struct tn_expr *));
}

static struct tn_expr *pool_term(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                                 struct tn_expr *const *r) {
  struct tn_nest *n = l->nest;
  struct tn_value *x = node->in[0];
  struct tn_ints window = tn_get_ints(node, TN_POOL_window), strides = tn_get_ints(node, TN_POOL_strides);
  struct tn_ints dilations = tn_get_ints(node, TN_POOL_dilations), before = tn_get_ints(node, TN_POOL_before);
  enum tn_dtype acc = tn_define_accumulator(x->type.dtype);
  struct tn_expr *at[TN_MAX_RANK], *guard = NULL;
  for (int d = 0; d < x->type.rank; d++) {
    at[d] = tn_ix_offset(n, tn_ix_scale(n, i[d], strides.at[d]), -before.at[d]);
    if (window.at[d] > 1)
      at[d] = tn_ix_add(n, at[d], tn_ix_scale(n, *r++, dilations.at[d]));
    guard = tn_ex_and(n, guard, tn_define_inside(n, at[d], x->type.dim[d]));
  }
  if (!guard || tn_ex_is_true(guard))
    return tn_ex_cast(n, tn_element(l, x, at), acc);
  struct tn_expr *outside = tn_ex_identity(n, combine_of(node), acc);
  if (tn_ex_is_false(guard))
    return outside;
  return tn_ex_select(n, guard, tn_ex_cast(n, tn_element_guarded(l, x, at, guard), acc), outside);
}
const struct tn_definition tn_define_pool = {.reduce = {.shape = pool_shape, .at = pool_at, .term = pool_term}};
