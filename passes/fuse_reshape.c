/* Fuse: reshapes move behind elementwise nodes, and behind reductions of dims that they leave alone.
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

static bool is_reduction(const struct tn_node *node) {
  return node->op == TN_REDUCE_MAX || node->op == TN_REDUCE_MIN || node->op == TN_REDUCE_SUM;
}

/* The axes of a reduction of the reshape's result before the reshape.  False when that takes one of them apart,
 * or puts it together with others, or the reduction drops dims. */
static bool axes_before(const struct tn_node *reshape, const struct tn_node *reduction, int64_t *axes) {
  const struct tn_type *after = &reshape->out[0]->type;
  struct tn_block block[2 * TN_MAX_RANK];
  int count = tn_reshape_blocks(&reshape->in[0]->type, after, block);
  struct tn_ints of = reduction->attr[0].ints;
  if (reduction->out[0]->type.rank != after->rank || reduction->out[0]->type.quant || of.count == 0)
    return false;
  for (size_t i = 0; i < of.count; i++) {
    int64_t axis = of.at[i] < 0 ? of.at[i] + after->rank : of.at[i];
    bool alone = false;
    for (int k = 0; k < count && !alone; k++) {
      axes[i] = block[k].from[0];
      alone = block[k].to[0] == axis && block[k].to[1] == axis + 1 && block[k].from[1] == axes[i] + 1;
    }
    if (!alone)
      return false;
  }
  return true;
}

/* All readers are elementwise and give a result of the value's shape, or are reductions; or the one reshape
 * `but`. of: the reshape that the value is the result of, when those are to move before it. */
static bool only_aligned_readers(const struct tn_value *value, const struct tn_node *but,
                                 const struct tn_node *of) {
  int64_t axes[TN_MAX_RANK];
  if (tn_value_is_output(value))
    return false;
  for (size_t i = 0; i < value->uses.count; i++) {
    const struct tn_node *reader = value->uses.at[i].node;
    if (reader == but ||
        (is_reduction(reader) && reader->home == value->home && (!of || axes_before(of, reader, axes))))
      continue;
    if (!has(reader, TN_ELEMENTWISE) || reader->home != value->home ||
        !tn_shape_equal(&reader->out[0]->type, &value->type))
      return false;
  }
  return true;
}

/* The reshape can come after the readers of its result. */
static bool may_sink(const struct tn_node *reshape, const struct tn_graph *home) {
  const struct tn_node *source = reshape->in[0]->def;
  return reshape->home == home && source && source->home == home &&
         has(source, TN_REDUCE | TN_TILES | TN_ELEMENTWISE) &&
         only_aligned_readers(reshape->in[0], reshape, NULL) &&
         only_aligned_readers(reshape->out[0], NULL, reshape);
}

/* The reshape among the node's operands that had better come after it. */
static struct tn_node *reshape_to_sink(const struct tn_node *node) {
  for (int i = 0; i < node->in_count; i++) {
    struct tn_node *reshape = tn_def_of(node->in[i], TN_RESHAPE);
    if (reshape && tn_shape_equal(&node->in[i]->type, &node->out[0]->type) && may_sink(reshape, node->home))
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
  if (other && tn_shape_equal(&type, &other->in[0]->type))
    return other->in[0];
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

/* `moved`, reshaped, takes the node's place; reshapes that nobody reads any more go. */
static void replace(struct tn_pass *pass, struct tn_build *b, struct tn_node *node, struct tn_value *moved) {
  const struct tn_type *type = &node->out[0]->type;
  struct tn_value *in[3] = {NULL};
  int count = node->in_count;
  memcpy(in, node->in, (size_t)count * sizeof *in);
  tn_pass_replace(pass, node->out[0], tn_reshape(b, moved, type->rank, type->dim));
  tn_node_remove(node);
  for (int i = 0; i < count; i++) {
    bool again = false;
    for (int k = 0; k < i; k++)
      again |= in[k] == in[i];
    if (!again && tn_def_of(in[i], TN_RESHAPE) && tn_value_unused(in[i]))
      tn_node_remove(in[i]->def);
  }
  pass->changes++;
}

static void sink(struct tn_pass *pass, struct tn_node *node) {
  struct tn_node *reshape = reshape_to_sink(node);
  struct tn_value *in[3];
  if (!reshape || node->in_count > (int)TN_COUNT(in) || node->out[0]->type.quant)
    return;
  for (int i = 0; i < node->in_count; i++)
    if (!can_move(reshape, node->in[i]))
      return;
  struct tn_build b = tn_build_before(node);
  for (int i = 0; i < node->in_count; i++)
    in[i] = operand_before(&b, reshape, node->in[i]);
  struct tn_node *moved = tn_node_make(&b, node->op, node->in_count, in, 1);
  memcpy(moved->attr, node->attr, sizeof node->attr);
  if (!tn_finish(&b, moved))
    tn_fail_now(node->home->module->ctx);
  replace(pass, &b, node, moved->out[0]);
}

static void sink_below(struct tn_pass *pass, struct tn_node *reduction) {
  struct tn_node *reshape = tn_def_of(reduction->in[0], TN_RESHAPE);
  int64_t axes[TN_MAX_RANK];
  if (!reshape || !may_sink(reshape, reduction->home) || !axes_before(reshape, reduction, axes))
    return;
  struct tn_build b = tn_build_before(reduction);
  replace(pass, &b, reduction,
          tn_reduce(&b, reduction->op, reshape->in[0], axes, reduction->attr[0].ints.count, true));
}

/* transpose(reshape(x)) -> reshape(transpose(x)), where the reshape only puts dims together: a product that x
 * is the result of can then write its rows where the transpose puts them. */
static void sink_behind(struct tn_pass *pass, struct tn_node *transpose) {
  struct tn_node *reshape = tn_def_of(transpose->in[0], TN_RESHAPE);
  struct tn_block block[2 * TN_MAX_RANK];
  int64_t moved[TN_MAX_RANK];
  if (!reshape || transpose->out[0]->type.quant || !tn_value_single_use(reshape->out[0]) ||
      !tn_value_single_use(reshape->in[0]) || !reshape->in[0]->def ||
      reshape->in[0]->def->home != transpose->home ||
      !has(reshape->in[0]->def, TN_REDUCE | TN_TILES | TN_ELEMENTWISE))
    return;
  const struct tn_type *before = &reshape->in[0]->type, *after = &reshape->out[0]->type;
  struct tn_ints perm = tn_get_ints(transpose, TN_TRANSPOSE_perm);
  int blocks = tn_reshape_blocks(before, after, block), count = 0;
  for (size_t d = 0; d < perm.count; d++)
    for (int k = 0; k < blocks; k++)
      for (int i = block[k].from[0]; tn_only_dim(after, block[k].to) == perm.at[d] && i < block[k].from[1]; i++)
        moved[count++] = i;
  if (count != before->rank)
    return;
  struct tn_build b = tn_build_before(transpose);
  replace(pass, &b, transpose, tn_transpose(&b, reshape->in[0], moved));
}

/* A slice of a dim that a reshape then takes apart is one of the first of the parts: *dims, of all of x, and
 * what the slice takes of them.  False when parts would be cut. */
static bool slice_of_parts(const struct tn_node *slice, const struct tn_node *reshape, tn_dim *dims,
                           int64_t *starts, int64_t *sizes) {
  const struct tn_type *x = &slice->in[0]->type, *from = &slice->out[0]->type, *to = &reshape->out[0]->type;
  struct tn_ints start = tn_get_ints(slice, TN_SLICE_starts), step = tn_get_ints(slice, TN_SLICE_steps);
  struct tn_block block[2 * TN_MAX_RANK];
  int count = tn_reshape_blocks(from, to, block);
  if (!tn_type_static(x) || !tn_type_static(to) || count < 0)
    return false;
  for (int d = 0; d < to->rank; d++) {
    dims[d] = sizes[d] = to->dim[d];
    starts[d] = 0;
  }
  for (int k = 0; k < count; k++)
    for (int d = block[k].from[0]; d < block[k].from[1]; d++) {
      int first = block[k].to[0];
      int64_t parts = 1;
      if (from->dim[d] == x->dim[d] && step.at[d] == 1)
        continue;
      while (first < block[k].to[1] && to->dim[first] == 1)
        first++;
      for (int i = first + 1; i < block[k].to[1]; i++)
        parts *= to->dim[i];
      if (step.at[d] != 1 || start.at[d] < 0 || tn_only_dim(from, block[k].from) != d ||
          tn_only_dim(x, block[k].from) != d || first == block[k].to[1] || x->dim[d] % parts ||
          start.at[d] % parts)
        return false;
      dims[first] = x->dim[d] / parts;
      starts[first] = start.at[d] / parts;
    }
  return true;
}

/* reshape(slice(x)) -> slice(reshape(x)): a slice is read where it lies.  Returns the reshape that is there
 * then. */
static struct tn_node *sink_slice(struct tn_pass *pass, struct tn_node *reshape) {
  struct tn_node *slice = tn_def_of(reshape->in[0], TN_SLICE);
  int64_t starts[TN_MAX_RANK], sizes[TN_MAX_RANK], steps[TN_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
  tn_dim dims[TN_MAX_RANK];
  const struct tn_type *to = &reshape->out[0]->type;
  if (!slice || slice->home != reshape->home || to->quant || slice->out[0]->type.quant ||
      !tn_value_single_use(slice->out[0]) || tn_value_is_output(reshape->out[0]) ||
      !slice_of_parts(slice, reshape, dims, starts, sizes))
    return reshape;
  struct tn_build b = tn_build_before(reshape);
  struct tn_value *whole = tn_reshape(&b, slice->in[0], to->rank, dims);
  tn_pass_replace(pass, reshape->out[0], tn_slice(&b, whole, starts, steps, sizes));
  tn_node_remove(reshape);
  tn_node_remove(slice);
  pass->changes++;
  return whole->def;
}

/* reshape(reshape(x)) -> reshape(x), or x. */
static void join(struct tn_pass *pass, struct tn_node *reshape) {
  struct tn_node *first = tn_def_of(reshape->in[0], TN_RESHAPE);
  if (!first || reshape->out[0]->type.quant || first->out[0]->type.quant)
    return;
  struct tn_value *x = first->in[0];
  if (!tn_type_equal(&x->type, &reshape->out[0]->type))
    tn_node_set_input(reshape, 0, x);
  else if (tn_pass_replace(pass, reshape->out[0], x) && tn_value_unused(reshape->out[0]))
    tn_node_remove(reshape);
  if (tn_value_unused(first->out[0]))
    tn_node_remove(first);
  pass->changes++;
}

void tn_fuse_sink_reshapes(struct tn_pass *pass, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    tn_pass_at(pass, node);
    if (has(node, TN_ELEMENTWISE))
      sink(pass, node);
    else if (is_reduction(node))
      sink_below(pass, node);
    else if (node->op == TN_TRANSPOSE)
      sink_behind(pass, node);
    else if (node->op == TN_RESHAPE)
      join(pass, sink_slice(pass, node));
  }
}
