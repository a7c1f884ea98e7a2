/* Values that are windows of larger ones.
 *
 * A pad that copies its operand into its middle, a concat that puts operands side by side, and a slice
 * that copies a part of its operand need no copies when the smaller value is stored within the larger one: its
 * kernel stores with the larger one's strides, and whatever reads it loads so.  Code generation then leaves out
 * every store of an element to where it is already: of a pad the border remains, of a concat or a slice
 * nothing.
 *
 * A reshape outside of kernels is a view: what it views lies where the view does, seen with other dims.  That
 * works where the dims that it merges follow one another in the buffer.
 *
 * Two windows of one buffer may meet only where one is read from the other (a slice of a slice, an operand and
 * its pad); what a concat's operands write is side by side.  The buffer lives as long as any of its windows,
 * which the plan sees to by making one group of them. */
#include "passes/layout.h"
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
  return node && (tn_op_info(node->op)->flags & (TN_REDUCE | TN_TILES));
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

bool tn_plan_may_take_window(const struct tn_value *value, const struct tn_placing *placing) {
  if (!may_be_window(value->home, value, placing))
    return false;
  for (size_t i = 0; i < value->uses.count; i++) { /* what lies in it counts by its strides */
    const struct tn_node *reader = value->uses.at[i].node;
    for (int k = 0; k < reader->out_count; k++)
      if (placing[reader->out[k]->id].parent == value)
        return false;
  }
  return true;
}

/* The kernel's result behind a view that nothing else views and that can lie where the view is to lie; NULL:
 * none. */
static struct tn_value *viewed(const struct tn_graph *graph, const struct tn_value *view,
                               const struct tn_placing *placing) {
  struct tn_value *value = view->def && view->def->op == TN_RESHAPE ? view->def->in[0] : NULL;
  if (!value || !value->def || value->def->op != TN_KERNEL || value->home != graph || view->home != graph ||
      placing[value->id].parent || placing[view->id].parent || value->output_of.count > 0 ||
      !read_by_kernels_alone(view) || !stores_anywhere(value->def) || !tn_type_static(&value->type))
    return NULL;
  for (size_t i = 0; i < value->uses.count; i++)
    if (value->uses.at[i].node->op != TN_KERNEL && value->uses.at[i].node != view->def)
      return NULL;
  return value;
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

static size_t place(struct tn_graph *graph, struct tn_placing *placing, struct tn_value *child,
                    struct tn_value *parent, const int64_t *start, const int64_t *step) {
  struct tn_placing *p = &placing[child->id];
  struct tn_value *behind = viewed(graph, child, placing);
  int64_t count;
  if (!behind && !may_be_window(graph, child, placing))
    return 0;
  if (child == parent || !tn_type_count(&child->type, &count) || count == 0 ||
      row_bytes(child, parent, step) < LEAST_ROW_BYTES)
    return 0;
  p->parent = parent;
  for (int d = 0; d < child->type.rank; d++) {
    p->start[d] = start[d];
    p->step[d] = step[d];
  }
  if (behind)
    placing[behind->id] = (struct tn_placing){.parent = child, .reshaped = true};
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
  if (!operand || tn_get_int(pad, TN_PAD_mode) != 0)
    return 0;
  return place(graph, placing, operand, kernel->out[0], before.at, ones);
}

static size_t place_in_concat(struct tn_graph *graph, struct tn_node *kernel, const struct tn_node *concat,
                              struct tn_placing *placing) {
  int64_t axis = tn_get_int(concat, TN_CONCAT_axis), start[TN_MAX_RANK] = {0};
  size_t placed = 0;
  axis = axis < 0 ? axis + kernel->out[0]->type.rank : axis;
  for (int i = 0; i < concat->in_count; i++) {
    struct tn_value *operand = outer_operand(kernel, concat, i);
    if (operand)
      placed += place(graph, placing, operand, kernel->out[0], start, ones);
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
  if (!operand || !may_be_parent(graph, operand))
    return 0;
  return place(graph, placing, kernel->out[0], operand, tn_get_ints(slice, TN_SLICE_starts).at, steps.at);
}

static size_t place_in_graph(struct tn_pass *pass, struct tn_graph *graph, enum tn_placings which,
                             struct tn_placing *placing) {
  size_t placed = 0;
  for (struct tn_node *node = graph->first; node; node = node->next) {
    tn_pass_at(pass, node);
    if (node->op == TN_LOOP || node->op == TN_IF)
      for (int i = 0; i < node->region_count; i++)
        placed += place_in_graph(pass, node->region[i], which, placing);
    if (node->op != TN_KERNEL || node->out_count != 1 || !may_be_parent(graph, node->out[0]))
      continue;
    const struct tn_node *op = only_op(node), *last = node->region[0]->outputs.at[0]->def;
    if (op && op->op == TN_PAD)
      placed += place_in_pad(graph, node, op, placing);
    if (last && last->op == TN_CONCAT && which == TN_PLACE_ALL) /* others may be computed into their places */
      placed += place_in_concat(graph, node, last, placing);
    if (op && op->op == TN_SLICE && which == TN_PLACE_ALL)
      placed += place_slice(graph, node, op, placing);
  }
  return placed;
}

/* The window of a value of type `from` of which a value of type `to` with the window `as` is a view.  False
 * when no strides tell it: dims that the view merges or cuts do not follow one another in the buffer. */
static bool window_behind(const struct tn_type *from, const struct tn_type *to, const struct tn_window *as,
                          struct tn_window *out) {
  struct tn_block block[2 * TN_MAX_RANK];
  int count = tn_reshape_blocks(from, to, block);
  out->offset = as->offset;
  for (int b = 0; b < count; b++) {
    int64_t inner = 1, follows = 0; /* stride of the block's innermost element; what the next dim's must be */
    for (int d = block[b].to[1] - 1; d >= block[b].to[0]; d--) {
      if (to->dim[d] == 1)
        continue;
      if (follows && as->stride[d] != follows)
        return false;
      if (!follows)
        inner = as->stride[d];
      follows = as->stride[d] * to->dim[d];
    }
    for (int d = block[b].from[1] - 1; d >= block[b].from[0]; d--) {
      out->stride[d] = inner;
      inner *= from->dim[d];
    }
  }
  return count >= 0;
}

/* False when the value's place cannot be told by strides. */
static bool find_window(tn_arena *arena, const struct tn_placing *placing, const struct tn_value *value,
                        const struct tn_window **out) {
  const struct tn_placing *p = &placing[value->id];
  const struct tn_window *outer = NULL;
  *out = NULL;
  if (!p->parent)
    return true;
  if (!find_window(arena, placing, p->parent, &outer))
    return false;
  struct tn_window *window = TN_NEW(arena, struct tn_window);
  *out = window;
  if (p->reshaped)
    return outer && window_behind(&value->type, &p->parent->type, outer, window);
  int64_t dense = 1;
  window->offset = outer ? outer->offset : 0;
  for (int d = value->type.rank - 1; d >= 0; d--) {
    int64_t stride = outer ? outer->stride[d] : dense;
    window->offset += p->start[d] * stride;
    window->stride[d] = p->step[d] * stride;
    dense *= p->parent->type.dim[d];
  }
  return true;
}

const struct tn_window *tn_plan_window(tn_arena *arena, const struct tn_placing *placing,
                                       const struct tn_value *value) {
  const struct tn_window *window;
  if (!find_window(arena, placing, value, &window))
    tn_bug(value->home->module->ctx, "plan: the window of '%s' has no strides", value->name);
  return window;
}

/* Takes back where strides cannot tell the place of what a view stands for.  Returns how many. */
static size_t take_back(struct tn_pass *pass, struct tn_graph *graph, struct tn_placing *placing) {
  size_t count = 0;
  for (struct tn_node *node = graph->first; node; node = node->next) {
    if (node->op == TN_LOOP || node->op == TN_IF)
      for (int i = 0; i < node->region_count; i++)
        count += take_back(pass, node->region[i], placing);
    for (int i = 0; i < node->out_count; i++) {
      struct tn_placing *p = &placing[node->out[i]->id];
      const struct tn_window *window;
      if (!p->reshaped || find_window(pass->scratch, placing, node->out[i], &window))
        continue;
      placing[p->parent->id].parent = NULL;
      *p = (struct tn_placing){.parent = NULL};
      count++;
    }
  }
  return count;
}

size_t tn_plan_placings(struct tn_pass *pass, struct tn_graph *graph, enum tn_placings which,
                        struct tn_placing *placing) {
  if (which == TN_PLACE_NONE)
    return 0;
  size_t placed = place_in_graph(pass, graph, which, placing), taken;
  while ((taken = take_back(pass, graph, placing)) > 0) /* what lay in what was taken back lies elsewhere now */
    placed -= taken;
  return placed;
}
