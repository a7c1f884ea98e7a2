/* Values that are windows of larger ones.
 *
 * A pad that copies its operand into its middle, a concat that copies its operands side by side, and a slice
 * that copies a part of its operand need no copies when the smaller value is stored within the larger one: its
 * kernel stores with the larger one's strides, and whatever reads it loads so.  Code generation then leaves out
 * every store of an element to where it is already: of a pad the border remains, of a concat or a slice
 * nothing.
 *
 * Two windows of one buffer may meet only where one is read from the other (a slice of a slice, an operand and
 * its pad); what a concat's operands write is side by side.  The buffer lives as long as any of its windows,
 * which the plan sees to by making one group of them. */
#include "passes/plan.h"

/* Shorter rows are stored and loaded faster as they were than in pieces. */
#define LEAST_ROW_BYTES 16

/* The kernel's one op that is no constant, NULL when there are several. */
static const struct tn_node *only_op(const struct tn_node *kernel) {
  const struct tn_node *only = NULL;
  for (const struct tn_node *node = kernel->region[0]->first; node; node = node->next) {
    if (node->op == TN_CONSTANT)
      continue;
    if (only)
      return NULL;
    only = node;
  }
  return only;
}

/* The kernel's operand that stands behind operand `index` of a node of its region; NULL: computed inside. */
static struct tn_value *outer_operand(const struct tn_node *kernel, const struct tn_node *node, int index) {
  const struct tn_graph *region = kernel->region[0];
  for (size_t i = 0; i < region->inputs.count; i++)
    if (region->inputs.at[i] == node->in[index])
      return kernel->in[i];
  return NULL;
}

/* Written by loops that store each element once, through its position. */
static bool stores_anywhere(const struct tn_node *kernel) {
  int64_t anchor = tn_get_int(kernel, TN_KERNEL_anchor);
  const struct tn_node *node = kernel->region[0]->first;
  if (anchor < 0)
    return true;
  while (node && anchor-- > 0)
    node = node->next;
  return node && (tn_op_info(node->op)->flags & TN_REDUCE);
}

static bool read_by_kernels_alone(const struct tn_value *value) {
  if (value->output_of.count > 0)
    return false;
  for (size_t i = 0; i < value->uses.count; i++)
    if (value->uses.at[i].node->op != TN_KERNEL)
      return false;
  return true;
}

static bool may_be_window(const struct tn_graph *graph, const struct tn_value *value,
                          const struct tn_placing *placing) {
  return value->def && value->def->op == TN_KERNEL && value->home == graph && !placing[value->id].parent &&
         read_by_kernels_alone(value) && stores_anywhere(value->def) && tn_type_static(&value->type);
}

/* Its buffer holds it alone and for as long as it is read: no loop overwrites it, no branch shares it. */
static bool may_be_parent(const struct tn_graph *graph, const struct tn_value *value) {
  if (value->home != graph || !tn_type_static(&value->type))
    return false;
  return graph->owner ? value->def && value->def->op == TN_KERNEL && value->output_of.count == 0
                      : !value->def || value->def->op == TN_KERNEL;
}

/* Bytes that lie in one piece of a box of the parent. */
static int64_t row_bytes(const struct tn_value *child, const struct tn_value *parent, const int64_t *step) {
  int64_t bytes = (int64_t)tn_dtype_size(child->type.dtype);
  for (int d = child->type.rank - 1; d >= 0; d--) {
    if (step[d] != 1 && child->type.dim[d] != 1)
      break;
    bytes *= child->type.dim[d];
    if (child->type.dim[d] != parent->type.dim[d])
      break;
  }
  return bytes;
}

static size_t place(struct tn_placing *placing, struct tn_value *child, struct tn_value *parent,
                    const int64_t *start, const int64_t *step) {
  struct tn_placing *p = &placing[child->id];
  int64_t count;
  if (child == parent || !tn_type_count(&child->type, &count) || count == 0 ||
      row_bytes(child, parent, step) < LEAST_ROW_BYTES)
    return 0;
  p->parent = parent;
  for (int d = 0; d < child->type.rank; d++) {
    p->start[d] = start[d];
    p->step[d] = step[d];
  }
  return 1;
}

static const int64_t ones[TN_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};

static size_t place_in_pad(struct tn_graph *graph, struct tn_node *kernel, const struct tn_node *pad,
                           struct tn_placing *placing) {
  struct tn_value *operand = outer_operand(kernel, pad, 0);
  struct tn_ints before = tn_get_ints(pad, TN_PAD_before), after = tn_get_ints(pad, TN_PAD_after),
                 interior = tn_get_ints(pad, TN_PAD_interior);
  for (size_t d = 0; d < before.count; d++)
    if (before.at[d] < 0 || after.at[d] < 0 || (d < interior.count && interior.at[d] != 0))
      return 0;
  if (!operand || tn_get_int(pad, TN_PAD_mode) != 0 || !may_be_window(graph, operand, placing))
    return 0;
  return place(placing, operand, kernel->out[0], before.at, ones);
}

static size_t place_in_concat(struct tn_graph *graph, struct tn_node *kernel, const struct tn_node *concat,
                              struct tn_placing *placing) {
  int64_t axis = tn_get_int(concat, TN_CONCAT_axis), start[TN_MAX_RANK] = {0};
  size_t placed = 0;
  axis = axis < 0 ? axis + kernel->out[0]->type.rank : axis;
  for (int i = 0; i < concat->in_count; i++) {
    struct tn_value *operand = outer_operand(kernel, concat, i);
    if (operand && may_be_window(graph, operand, placing))
      placed += place(placing, operand, kernel->out[0], start, ones);
    start[axis] += concat->in[i]->type.dim[axis];
  }
  return placed;
}

static size_t place_slice(struct tn_graph *graph, struct tn_node *kernel, const struct tn_node *slice,
                          struct tn_placing *placing) {
  struct tn_value *operand = outer_operand(kernel, slice, 0);
  struct tn_ints steps = tn_get_ints(slice, TN_SLICE_steps);
  for (size_t d = 0; d < steps.count; d++)
    if (steps.at[d] <= 0)
      return 0;
  if (!operand || !may_be_parent(graph, operand) || !may_be_window(graph, kernel->out[0], placing))
    return 0;
  return place(placing, kernel->out[0], operand, tn_get_ints(slice, TN_SLICE_starts).at, steps.at);
}

size_t tn_plan_placings(struct tn_pass *pass, struct tn_graph *graph, enum tn_placings which,
                        struct tn_placing *placing) {
  size_t placed = 0;
  if (which == TN_PLACE_NONE)
    return 0;
  for (struct tn_node *node = graph->first; node; node = node->next) {
    tn_pass_at(pass, node);
    if (node->op == TN_LOOP || node->op == TN_IF)
      for (int i = 0; i < node->region_count; i++)
        placed += tn_plan_placings(pass, node->region[i], which, placing);
    const struct tn_node *op = node->op == TN_KERNEL && node->out_count == 1 ? only_op(node) : NULL;
    if (!op || !may_be_parent(graph, node->out[0]))
      continue;
    if (op->op == TN_PAD)
      placed += place_in_pad(graph, node, op, placing);
    if (op->op == TN_CONCAT && which == TN_PLACE_ALL)
      placed += place_in_concat(graph, node, op, placing);
    if (op->op == TN_SLICE && which == TN_PLACE_ALL)
      placed += place_slice(graph, node, op, placing);
  }
  return placed;
}

const struct tn_window *tn_plan_window(tn_arena *arena, const struct tn_placing *placing,
                                       const struct tn_value *value) {
  const struct tn_placing *p = &placing[value->id];
  if (!p->parent)
    return NULL;
  const struct tn_window *outer = tn_plan_window(arena, placing, p->parent);
  struct tn_window *window = TN_NEW(arena, struct tn_window);
  int64_t dense = 1;
  window->offset = outer ? outer->offset : 0;
  for (int d = value->type.rank - 1; d >= 0; d--) {
    int64_t stride = outer ? outer->stride[d] : dense;
    window->offset += p->start[d] * stride;
    window->stride[d] = p->step[d] * stride;
    dense *= p->parent->type.dim[d];
  }
  return window;
}
