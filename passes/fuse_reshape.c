/* Fuse: reshapes move behind elementwise nodes.
 *
 *   y = matmul(..); r = reshape(y); z = add(r, bias)   ->   y = matmul(..); s = add(y, bias'); z = reshape(s)
 *
 * A reshape between kernels is free, and one between a reduction and its epilogue keeps them apart.  It moves
 * only when what it reads could take the elementwise node in: a result of a reduction or of elementwise nodes
 * that nobody else needs in its first shape. */
#include "passes/fuse.h"
#include "passes/layout.h"

static bool has(const struct tn_node *node, unsigned flag) {
  return (tn_op_info(node->op)->flags & flag) != 0;
}

/* All readers are elementwise and give a result of the value's shape; or the one reshape `but`. */
static bool only_aligned_readers(const struct tn_value *value, const struct tn_node *but) {
  if (tn_value_is_output(value))
    return false;
  for (size_t i = 0; i < value->uses.count; i++) {
    const struct tn_node *reader = value->uses.at[i].node;
    if (reader == but)
      continue;
    if (!has(reader, TN_ELEMENTWISE) || reader->home != value->home ||
        !tn_shape_equal(&reader->out[0]->type, &value->type))
      return false;
  }
  return true;
}

/* The reshape among the node's operands that had better come after it. */
static struct tn_node *reshape_to_sink(const struct tn_node *node) {
  for (int i = 0; i < node->in_count; i++) {
    struct tn_node *reshape = tn_def_of(node->in[i], TN_RESHAPE);
    if (!reshape || reshape->home != node->home || !tn_shape_equal(&node->in[i]->type, &node->out[0]->type))
      continue;
    const struct tn_node *source = reshape->in[0]->def;
    if (source && source->home == node->home && has(source, TN_REDUCE | TN_TILES | TN_ELEMENTWISE) &&
        only_aligned_readers(reshape->in[0], reshape) && only_aligned_readers(reshape->out[0], NULL))
      return reshape;
  }
  return NULL;
}

/* The shape of an operand that broadcasts to the reshape's result, so that it broadcasts to the reshape's
 * operand instead.  False when the operand varies along a part of a block. */
static bool shape_before(const struct tn_node *reshape, const struct tn_type *operand, struct tn_type *out) {
  const struct tn_type *before = &reshape->in[0]->type, *after = &reshape->out[0]->type;
  struct tn_block block[2 * TN_MAX_RANK];
  int count = tn_reshape_blocks(before, after, block);
  int missing = after->rank - operand->rank;
  *out = *operand;
  out->rank = before->rank;
  for (int k = 0; k < count; k++) {
    bool one = true, all = true;
    for (int j = block[k].to[0]; j < block[k].to[1]; j++) {
      tn_dim dim = j < missing ? 1 : operand->dim[j - missing];
      one = one && dim == 1;
      all = all && dim == after->dim[j];
    }
    if (!one && !all)
      return false;
    for (int i = block[k].from[0]; i < block[k].from[1]; i++)
      out->dim[i] = all ? before->dim[i] : 1;
  }
  return count >= 0;
}

/* The operand in its shape before the reshape; nodes and constants are made at b.  NULL: not possible. */
static struct tn_value *operand_before(struct tn_build *b, const struct tn_node *reshape,
                                       struct tn_value *operand) {
  const struct tn_type *before = &reshape->in[0]->type;
  struct tn_node *other = tn_def_of(operand, TN_RESHAPE);
  const struct tn_tensor *tensor = tn_value_tensor(operand);
  struct tn_type type;
  int64_t count;
  if (other && tn_shape_equal(&operand->type, &reshape->out[0]->type) &&
      tn_shape_equal(&other->in[0]->type, before))
    return other->in[0];
  if (tn_type_count(&operand->type, &count) && count == 1) {
    type = operand->type;
    type.rank = 0;
  } else if (tn_shape_equal(&operand->type, &reshape->out[0]->type)) {
    type = *before;
    type.dtype = operand->type.dtype;
  } else if (!shape_before(reshape, &operand->type, &type)) {
    return NULL;
  }
  if (tn_shape_equal(&type, &operand->type))
    return operand;
  if (tensor) {
    struct tn_tensor copy = *tensor;
    copy.type = type;
    return tn_constant(b, &copy);
  }
  return tn_reshape(b, operand, type.rank, type.dim);
}

/* Whether operand_before() has an answer. */
static bool can_move(const struct tn_node *reshape, const struct tn_value *operand) {
  struct tn_type type;
  int64_t count;
  return operand->type.quant == NULL && ((tn_type_count(&operand->type, &count) && count == 1) ||
                                         tn_shape_equal(&operand->type, &reshape->out[0]->type) ||
                                         shape_before(reshape, &operand->type, &type));
}

static bool sink(struct tn_pass *pass, struct tn_node *node) {
  struct tn_node *reshape = reshape_to_sink(node);
  struct tn_value *in[3];
  if (!reshape || node->in_count > (int)TN_COUNT(in) || node->out[0]->type.quant)
    return false;
  for (int i = 0; i < node->in_count; i++)
    if (!can_move(reshape, node->in[i]))
      return false;
  struct tn_build b = tn_build_before(node);
  for (int i = 0; i < node->in_count; i++)
    in[i] = operand_before(&b, reshape, node->in[i]);
  struct tn_node *moved = tn_node_make(&b, node->op, node->in_count, in, 1);
  memcpy(moved->attr, node->attr, sizeof node->attr);
  if (!tn_finish(&b, moved))
    tn_fail_now(node->home->module->ctx);
  const struct tn_type *type = &node->out[0]->type;
  tn_pass_replace(pass, node->out[0], tn_reshape(&b, moved->out[0], type->rank, type->dim));
  tn_node_remove(node);
  if (tn_value_unused(reshape->out[0]))
    tn_node_remove(reshape);
  return true;
}

void tn_fuse_sink_reshapes(struct tn_pass *pass, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    tn_pass_at(pass, node);
    if (has(node, TN_ELEMENTWISE) && sink(pass, node))
      pass->changes++;
  }
}
