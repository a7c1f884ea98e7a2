/* Scales and shifts after a contraction go into its weights and its bias.
 *
 * A convolution or matrix product with constant weights is linear, so conv(x, w) * c = conv(x, w * c) when c
 * has one factor for each output channel, and (y + b) * c = y * c + b * c.  That takes a batch norm, which has
 * become a multiplication and an addition, out of the model.  Results change by rounding only.
 *
 * Between the contraction and the scale there may be transposes and additions of constants: the chain.  The
 * rules move one step at a time: a scale moves up the chain through transposes and additions until it meets the
 * contraction; additions of constants merge.  What is rounded to integers next keeps its scale.  The constants
 * become expressions of constants, which fold computes afterwards.
 */
#include "passes/passes.h"

#define MAX_CHAIN 8

static bool is_float_node(const struct tn_node *node) {
  return tn_dtype_is_float(node->out[0]->type.dtype) && !node->out[0]->type.quant;
}

/* Which operand of a contraction holds weights; -1: none. */
static int weights_of(const struct tn_node *node) {
  enum tn_attr_id acc = node->op == TN_CONV ? TN_CONV_acc : TN_MATMUL_acc;
  if ((node->op == TN_CONV || node->op == TN_MATMUL) && tn_get_int(node, acc) != TN_NONE)
    return -1; /* accumulates integers exactly: they stay integers (passes/quantized.c) */
  if (node->op == TN_CONV)
    return tn_value_constant_expr(node->in[1]) ? 1 : -1;
  if (node->op != TN_MATMUL)
    return -1;
  return tn_value_constant_expr(node->in[1]) ? 1 : tn_value_constant_expr(node->in[0]) ? 0 : -1;
}

/* A contraction with constant weights, or a chain that leads to one, for this user only. */
static bool leads_to_contraction(const struct tn_value *value) {
  for (int i = 0; i < MAX_CHAIN; i++) {
    const struct tn_node *node = value->def;
    if (!node || !tn_value_single_use(value) || !is_float_node(node))
      return false;
    if (weights_of(node) >= 0)
      return !tn_value_constant_expr(value);
    if (node->op == TN_TRANSPOSE)
      value = node->in[0];
    else if (node->op == TN_ADD && tn_value_constant_expr(node->in[1]))
      value = node->in[0];
    else if (node->op == TN_ADD && tn_value_constant_expr(node->in[0]))
      value = node->in[1];
    else
      return false;
  }
  return false;
}

/* The constant operand of a commuting node, and which operand the other is. */
static bool split(const struct tn_node *node, int *variable) {
  for (int i = 0; i < 2; i++)
    if (tn_value_constant_expr(node->in[1 - i]) && !tn_value_constant_expr(node->in[i])) {
      *variable = i;
      return true;
    }
  return false;
}

/* Expands nothing: the constant keeps the result's shape as it was without it. */
static bool keeps_shape(const struct tn_node *node, int variable) {
  return tn_type_equal(&node->in[variable]->type, &node->out[0]->type);
}

/* c with leading dims of one element up to `rank`. */
static struct tn_value *with_rank(struct tn_build *b, struct tn_value *c, int rank) {
  tn_dim dims[TN_MAX_RANK];
  if (c->type.rank == rank)
    return c;
  for (int d = 0; d < rank; d++)
    dims[d] = d < rank - c->type.rank ? 1 : c->type.dim[d - (rank - c->type.rank)];
  return tn_reshape(b, c, rank, dims);
}

/* ---- rules --------------------------------------------------------------------------------------------- */

/* op(transpose(x), c) -> transpose(op(x, transposed c)). */
static struct tn_value *above_transpose(struct tn_build *b, struct tn_node *node, struct tn_value *x,
                                        struct tn_value *c) {
  struct tn_ints perm = tn_get_ints(x->def, TN_TRANSPOSE_perm);
  int64_t inverse[TN_MAX_RANK];
  for (size_t i = 0; i < perm.count; i++)
    inverse[perm.at[i]] = (int64_t)i;
  int64_t count;
  if (!tn_type_count(&c->type, &count) || count != 1)
    c = tn_transpose(b, with_rank(b, c, (int)perm.count), inverse);
  return tn_transpose(b, tn_binary(b, node->op, x->def->in[0], c), perm.at);
}

/* The factor for the weights of a contraction, when c has at most one element for each output channel: rank 1,
 * or one element.  NULL: c differs along another dim. */
static struct tn_value *channel_factor(struct tn_build *b, const struct tn_node *contraction,
                                       struct tn_value *c) {
  int rank = contraction->out[0]->type.rank, weights = weights_of(contraction);
  /* The dim of the result that walks the weights' output channels. */
  int channel = contraction->op == TN_MATMUL && weights == 0 ? rank - 2 : rank - 1;
  if (contraction->in[weights]->type.rank > 2 && contraction->op == TN_MATMUL)
    return NULL;
  for (int d = 0; d < c->type.rank; d++)
    if (d + (rank - c->type.rank) != channel && c->type.dim[d] != 1)
      return NULL;
  int own = channel - (rank - c->type.rank);
  tn_dim extent = own < 0 ? 1 : c->type.dim[own];
  if (weights == 0) /* w[m, k]: a factor for each row */
    return tn_reshape(b, c, 2, (tn_dim[]){extent, 1});
  return tn_reshape(b, c, 1, &extent);
}

static struct tn_value *into_weights(struct tn_build *b, struct tn_node *node, struct tn_node *contraction,
                                     struct tn_value *c) {
  int weights = weights_of(contraction);
  struct tn_value *factor = channel_factor(b, contraction, c), *in[2];
  if (!factor || factor->type.dtype != contraction->in[weights]->type.dtype)
    return NULL;
  in[weights] = tn_binary(b, node->op, contraction->in[weights], factor);
  in[1 - weights] = contraction->in[1 - weights];
  struct tn_build at = {b->graph, b->before, contraction->name, contraction->origin};
  struct tn_node *copy = tn_node_make(&at, contraction->op, 2, in, 1);
  memcpy(copy->attr, contraction->attr, sizeof copy->attr);
  if (!tn_finish(&at, copy))
    tn_fail_now(b->graph->module->ctx);
  return copy->out[0];
}

/* Rounded to integers next: a quantization, whose results must not depend on how the scale is applied. */
static bool is_rounded(const struct tn_value *value) {
  for (size_t i = 0; i < value->uses.count; i++)
    if (value->uses.at[i].node->op == TN_ROUND)
      return true;
  return false;
}

/* x * c or x / c, c constant. */
static struct tn_value *fold_scale(struct tn_build *b, struct tn_node *node) {
  int variable = 0;
  if (node->op == TN_DIV ? !tn_value_constant_expr(node->in[1]) : !split(node, &variable))
    return NULL;
  struct tn_value *x = node->in[variable], *c = node->in[1 - variable];
  if (!keeps_shape(node, variable) || is_rounded(node->out[0]) || !leads_to_contraction(x))
    return NULL;
  struct tn_node *def = x->def;
  if (weights_of(def) >= 0)
    return into_weights(b, node, def, c);
  if (def->op == TN_TRANSPOSE)
    return above_transpose(b, node, x, c);
  if (!split(def, &variable) || !keeps_shape(def, variable))
    return NULL;
  struct tn_value *scaled = tn_binary(b, node->op, def->in[variable], c);
  return tn_binary(b, TN_ADD, scaled, tn_binary(b, node->op, def->in[1 - variable], c));
}

/* x + c, c constant: after an addition they merge, after a transpose it moves up, so that the next scale or
 * addition finds it beside the contraction. */
static struct tn_value *fold_shift(struct tn_build *b, struct tn_node *node) {
  int variable = 0;
  if (!split(node, &variable))
    return NULL;
  struct tn_value *x = node->in[variable], *c = node->in[1 - variable];
  if (!keeps_shape(node, variable) || !leads_to_contraction(x))
    return NULL;
  if (x->def->op == TN_TRANSPOSE)
    return above_transpose(b, node, x, c);
  if (x->def->op != TN_ADD || !split(x->def, &variable))
    return NULL;
  struct tn_value *sum = tn_binary(b, TN_ADD, x->def->in[1 - variable], c);
  return tn_binary(b, TN_ADD, x->def->in[variable], sum);
}

/* x - c is x + -c. */
static struct tn_value *shift_of_sub(struct tn_build *b, struct tn_node *node) {
  if (!tn_value_constant_expr(node->in[1]) || !keeps_shape(node, 0) || !leads_to_contraction(node->in[0]))
    return NULL;
  return tn_binary(b, TN_ADD, node->in[0], tn_unary(b, TN_NEG, node->in[1]));
}

static bool fold_node(struct tn_pass *pass, struct tn_node *node) {
  if ((node->op != TN_MUL && node->op != TN_DIV && node->op != TN_ADD && node->op != TN_SUB) ||
      !is_float_node(node) || tn_value_unused(node->out[0]))
    return true;
  struct tn_build b = tn_build_before(node);
  struct tn_value *to = node->op == TN_ADD   ? fold_shift(&b, node)
                        : node->op == TN_SUB ? shift_of_sub(&b, node)
                                             : fold_scale(&b, node);
  if (to && tn_type_equal(&to->type, &node->out[0]->type))
    tn_pass_replace(pass, node->out[0], to);
  return true;
}

bool tn_pass_fold_affine(struct tn_pass *pass, struct tn_module *module) {
  for (size_t before = pass->changes + 1; before != pass->changes;) {
    before = pass->changes;
    if (!tn_pass_each(pass, module->main, fold_node))
      return false;
    if (pass->changes == before)
      break;
    size_t useful = pass->changes;
    tn_remove_dead(pass, module);
    pass->changes = useful;
  }
  return true;
}
