/* Fuse: numbers that scale an operand of a product move behind it.
 *
 *   matmul(x * c, y * d)   ->   matmul(x, y) * (c d)
 *
 * A product takes no arithmetic in with its operands, so a scaled operand would be stored by a kernel of its
 * own; scaling the result costs nothing while it is in registers.  Where the scale could be part of the kernel
 * that computes x it stays there.  f32 alone: halves are scaled so that their products stay in range. */
#include "passes/fuse.h"

#define MOST_TIMES 16 /* elements of the result for each of an operand */
#define MOST_MOVES 4  /* from the scale to the product */

/* Nobody computes the value but for moving it: there is no kernel that could scale it. */
static bool only_moved(const struct tn_value *x) {
  return !x->def || (tn_op_info(x->def->op)->flags & TN_MOVE);
}

/* The value without the number that scales it, moved as it is, and that number; NULL: there is none. */
static struct tn_value *unscaled(struct tn_build *b, struct tn_value *value, int moves, double *factor) {
  struct tn_node *def = value->def;
  if (!def || moves == 0 || def->home != b->graph || !tn_value_single_use(value) || value->type.quant)
    return NULL;
  for (int i = 0; def->op == TN_MUL && i < 2; i++) {
    struct tn_value *x = def->in[i];
    if (tn_value_uniform(def->in[1 - i], factor) && tn_shape_equal(&x->type, &value->type) && only_moved(x))
      return x;
  }
  if (def->op != TN_TRANSPOSE && (def->op != TN_RESHAPE || !tn_fuse_unit_reshape(def)))
    return NULL;
  struct tn_value *x = unscaled(b, def->in[0], moves - 1, factor);
  if (!x)
    return NULL;
  return def->op == TN_TRANSPOSE ? tn_transpose(b, x, tn_get_ints(def, TN_TRANSPOSE_perm).at)
                                 : tn_reshape(b, x, value->type.rank, value->type.dim);
}

static void sink_scales(struct tn_pass *pass, struct tn_node *product) {
  const struct tn_type *type = &product->out[0]->type;
  struct tn_build b = tn_build_before(product);
  struct tn_value *in[2];
  double all = 1;
  bool scaled = false;
  if (type->dtype != TN_F32 || type->quant)
    return;
  for (int i = 0; i < 2; i++) {
    double factor, elements = tn_fuse_elements(product->home->module, &product->in[i]->type);
    bool worth = product->in[i]->type.dtype == TN_F32 &&
                 tn_fuse_elements(product->home->module, type) <= MOST_TIMES * elements;
    struct tn_value *x = worth ? unscaled(&b, product->in[i], MOST_MOVES, &factor) : NULL;
    in[i] = x ? x : product->in[i];
    all *= x ? factor : 1;
    scaled |= x != NULL;
  }
  if (!scaled)
    return;
  struct tn_value *y = tn_matmul(&b, in[0], in[1]);
  tn_pass_replace(pass, product->out[0], tn_binary(&b, TN_MUL, y, tn_const_float(&b, TN_F32, all)));
  pass->changes++;
}

void tn_fuse_sink_scales(struct tn_pass *pass, struct tn_graph *graph) {
  size_t before = pass->changes;
  for (struct tn_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    tn_pass_at(pass, node);
    if (node->op == TN_MATMUL)
      sink_scales(pass, node);
  }
  size_t useful = pass->changes;
  if (useful > before)
    tn_remove_dead(pass, graph->module);
  pass->changes = useful;
}
