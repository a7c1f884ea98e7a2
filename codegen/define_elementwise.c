/* Elementwise ops and iota: out[i] = op(x[i], ...), operands broadcast as numpy does. */
#include "codegen/define.h"

static struct tn_expr *elementwise(struct tn_lower *l, const struct tn_node *node, int result,
                                   struct tn_expr *const *idx) {
  const struct tn_type *type = &node->out[result]->type;
  struct tn_expr *arg[3] = {NULL, NULL, NULL};
  for (int k = 0; k < node->in_count; k++) {
    struct tn_expr *at[TN_MAX_RANK];
    tn_define_broadcast(l->nest, &node->in[k]->type, type, idx, at);
    arg[k] = tn_element(l, node->in[k], at);
  }
  if (node->op == TN_CAST)
    return tn_ex_cast(l->nest, arg[0], type->dtype);
  int flags = 0;
  if (node->op == TN_ISINF)
    flags = (tn_get_int(node, TN_ISINF_positive) ? 1 : 0) | (tn_get_int(node, TN_ISINF_negative) ? 2 : 0);
  return tn_ex_op(l->nest, node->op, type->dtype, node->in_count, arg, flags);
}
const struct tn_definition tn_define_elementwise = {.element = elementwise};

static struct tn_expr *iota(struct tn_lower *l, const struct tn_node *node, int result,
                            struct tn_expr *const *idx) {
  const struct tn_type *type = &node->out[result]->type;
  if (type->rank == 0)
    return tn_define_zero(l->nest, type->dtype);
  return tn_ex_cast(l->nest, idx[tn_define_axis(node, TN_IOTA_axis, type->rank)], type->dtype);
}
const struct tn_definition tn_define_iota = {.element = iota};
