/* Simplify: logic, comparisons and select. */
#include "passes/passes.h"

/* A uniform constant with no bit set (ones: with every bit set; for bool: true). */
static bool all_bits(const struct tn_value *x, bool ones) {
  double c;
  if (!tn_value_uniform(x, &c))
    return false;
  if (!ones)
    return c == 0;
  enum tn_dtype dtype = x->type.dtype;
  if (dtype == TN_BOOL)
    return c != 0;
  if (tn_dtype_is_signed(dtype))
    return c == -1;
  size_t bits = 8 * tn_dtype_size(dtype);
  return bits <= 32 && c == (double)((UINT64_C(1) << bits) - 1);
}

static struct tn_value *simplify_bits(struct tn_build *b, struct tn_node *node) {
  const struct tn_type *type = &node->out[0]->type;
  if (node->in[0] == node->in[1])
    return node->op == TN_XOR ? tn_filled(b, &node->out[0]->type, 0) : node->in[0];
  for (int side = 0; side < 2; side++) {
    struct tn_value *x = node->in[side], *c = node->in[1 - side];
    bool zeros = all_bits(c, false), ones = all_bits(c, true);
    if ((zeros && node->op != TN_AND) || (ones && node->op == TN_AND))
      return tn_fit(b, x, type);
    if ((zeros && node->op == TN_AND) || (ones && node->op == TN_OR))
      return tn_fit(b, c, type);
    if (ones && node->op == TN_XOR)
      return tn_fit(b, tn_unary(b, TN_NOT, x), type);
  }
  return NULL;
}

static struct tn_value *simplify_not(struct tn_build *b, struct tn_node *node) {
  struct tn_node *inner = node->in[0]->def;
  if (!inner)
    return NULL;
  if (inner->op == TN_NOT)
    return inner->in[0];
  if (node->out[0]->type.dtype != TN_BOOL)
    return NULL;
  if (inner->op == TN_EQ || inner->op == TN_NE)
    return tn_binary(b, inner->op == TN_EQ ? TN_NE : TN_EQ, inner->in[0], inner->in[1]);
  /* With a NaN both x < y and x >= y are false, so the ordered ones turn round for the others only. */
  if ((inner->op == TN_LT || inner->op == TN_LE || inner->op == TN_GT || inner->op == TN_GE) &&
      !tn_dtype_is_float(inner->in[0]->type.dtype)) {
    enum tn_op turned = inner->op == TN_LT   ? TN_GE
                        : inner->op == TN_LE ? TN_GT
                        : inner->op == TN_GT ? TN_LE
                                             : TN_LT;
    return tn_binary(b, turned, inner->in[0], inner->in[1]);
  }
  return NULL;
}

static struct tn_value *simplify_select(struct tn_build *b, struct tn_node *node) {
  struct tn_value *cond = node->in[0], *x = node->in[1], *y = node->in[2];
  const struct tn_type *type = &node->out[0]->type;
  double c;
  if (x == y)
    return tn_fit(b, x, type);
  if (tn_value_uniform(cond, &c))
    return tn_fit(b, c != 0 ? x : y, type);
  struct tn_node *inner = tn_def_of(cond, TN_NOT);
  if (inner)
    return tn_select(b, inner->in[0], y, x);
  inner = tn_def_of(x, TN_SELECT);
  if (inner && inner->in[0] == cond && tn_shape_equal(&x->type, &inner->in[1]->type))
    return tn_fit(b, tn_select(b, cond, inner->in[1], y), type);
  inner = tn_def_of(y, TN_SELECT);
  if (inner && inner->in[0] == cond && tn_shape_equal(&y->type, &inner->in[2]->type))
    return tn_fit(b, tn_select(b, cond, x, inner->in[2]), type);
  if (type->dtype == TN_BOOL) {
    if (all_bits(x, true) && all_bits(y, false))
      return tn_fit(b, cond, type);
    if (all_bits(x, false) && all_bits(y, true))
      return tn_fit(b, tn_unary(b, TN_NOT, cond), type);
  }
  return NULL;
}

struct tn_value *tn_simplify_logic(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  (void)pass;
  double c;
  switch (node->op) {
  case TN_AND:
  case TN_OR:
  case TN_XOR:
    return simplify_bits(b, node);
  case TN_SHL:
  case TN_SHR:
    return tn_value_uniform(node->in[1], &c) && c == 0 ? tn_fit(b, node->in[0], &node->out[0]->type) : NULL;
  case TN_NOT:
    return simplify_not(b, node);
  case TN_SELECT:
    return simplify_select(b, node);
  case TN_EQ:
  case TN_LE:
  case TN_GE:
  case TN_NE:
  case TN_LT:
  case TN_GT:
    if (node->in[0] != node->in[1] || tn_dtype_is_float(node->in[0]->type.dtype))
      return NULL;
    return tn_filled(b, &node->out[0]->type, node->op == TN_EQ || node->op == TN_LE || node->op == TN_GE);
  default:
    return NULL;
  }
}
