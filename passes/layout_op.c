/* Layouts as permutations, and which ops work in any of them. */
#include "passes/layout.h"

/* ---- permutations -------------------------------------------------------------------------------------- */

struct tn_layout tn_layout_identity(int rank) {
  struct tn_layout layout = {.rank = rank};
  for (int i = 0; i < rank; i++)
    layout.at[i] = (uint8_t)i;
  return layout;
}

bool tn_layout_equal(const struct tn_layout *a, const struct tn_layout *b) {
  return a->rank == b->rank && memcmp(a->at, b->at, (size_t)a->rank) == 0;
}

bool tn_layout_is_identity(const struct tn_layout *layout) {
  for (int i = 0; i < layout->rank; i++)
    if (layout->at[i] != i)
      return false;
  return true;
}

struct tn_layout tn_layout_compose(const struct tn_layout *first, const struct tn_layout *second) {
  struct tn_layout layout = {.rank = second->rank};
  for (int i = 0; i < second->rank; i++)
    layout.at[i] = first->at[second->at[i]];
  return layout;
}

struct tn_layout tn_layout_inverse(const struct tn_layout *layout) {
  struct tn_layout inverse = {.rank = layout->rank};
  for (int i = 0; i < layout->rank; i++)
    inverse.at[layout->at[i]] = (uint8_t)i;
  return inverse;
}

struct tn_layout tn_layout_of_perm(const struct tn_node *transpose) {
  struct tn_ints perm = tn_get_ints(transpose, TN_TRANSPOSE_perm);
  struct tn_layout layout = {.rank = (int)perm.count};
  for (size_t i = 0; i < perm.count; i++)
    layout.at[i] = (uint8_t)perm.at[i];
  return layout;
}

bool tn_layout_same_bytes(const struct tn_type *type, const struct tn_layout *a, const struct tn_layout *b) {
  for (int i = 0, j = 0;; i++, j++) {
    while (i < a->rank && type->dim[a->at[i]] == 1)
      i++;
    while (j < b->rank && type->dim[b->at[j]] == 1)
      j++;
    if (i == a->rank || j == b->rank)
      return i == a->rank && j == b->rank;
    if (a->at[i] != b->at[j])
      return false;
  }
}

/* ---- ops ----------------------------------------------------------------------------------------------- */

/* One row an op that has dims in its attributes; elementwise ops have none. */
static const struct {
  enum tn_op op;
  int axis, axes, keepdims; /* attributes, -1: none */
  int each[5];              /* attributes with an element for each dim of the result, ended by -1 */
} table[] = {
    {TN_IOTA, TN_IOTA_axis, -1, -1, {TN_IOTA_shape, -1}},
    {TN_EXPAND, -1, -1, -1, {TN_EXPAND_shape, -1}},
    {TN_SLICE, -1, -1, -1, {TN_SLICE_starts, TN_SLICE_steps, TN_SLICE_sizes, -1}},
    {TN_PAD, -1, -1, -1, {TN_PAD_before, TN_PAD_after, TN_PAD_interior, -1}},
    {TN_CONCAT, TN_CONCAT_axis, -1, -1, {-1}},
    {TN_GATHER, TN_GATHER_axis, -1, -1, {-1}},
    {TN_GATHER_ELEMENTS, TN_GATHER_ELEMENTS_axis, -1, -1, {-1}},
    {TN_REDUCE_SUM, -1, TN_REDUCE_SUM_axes, TN_REDUCE_SUM_keepdims, {-1}},
    {TN_REDUCE_PROD, -1, TN_REDUCE_PROD_axes, TN_REDUCE_PROD_keepdims, {-1}},
    {TN_REDUCE_MAX, -1, TN_REDUCE_MAX_axes, TN_REDUCE_MAX_keepdims, {-1}},
    {TN_REDUCE_MIN, -1, TN_REDUCE_MIN_axes, TN_REDUCE_MIN_keepdims, {-1}},
    {TN_ARG_MAX, TN_ARG_MAX_axis, -1, TN_ARG_MAX_keepdims, {-1}},
    {TN_ARG_MIN, TN_ARG_MIN_axis, -1, TN_ARG_MIN_keepdims, {-1}},
    {TN_SCAN_SUM, TN_SCAN_SUM_axis, -1, -1, {-1}},
    {TN_SCAN_PROD, TN_SCAN_PROD_axis, -1, -1, {-1}},
    {TN_TOPK, TN_TOPK_axis, -1, -1, {-1}},
    {TN_POOL, -1, -1, -1, {TN_POOL_window, TN_POOL_strides, TN_POOL_dilations, TN_POOL_before, TN_POOL_after}},
};

static int row_of(enum tn_op op) {
  for (size_t i = 0; i < TN_COUNT(table); i++)
    if (table[i].op == op)
      return (int)i;
  return -1;
}

enum tn_layout_role tn_layout_role(const struct tn_node *node) {
  int row = row_of(node->op);
  if (node->op == TN_TRANSPOSE)
    return TN_ROLE_TRANSPOSE;
  if (node->op == TN_RESHAPE)
    return TN_ROLE_RESHAPE;
  if (tn_op_info(node->op)->flags & TN_ELEMENTWISE)
    return TN_ROLE_SAME;
  if (row < 0)
    return TN_ROLE_FIXED;
  if (node->op == TN_GATHER)
    return node->in[1]->type.rank == 1   ? TN_ROLE_SAME
           : node->in[1]->type.rank == 0 ? TN_ROLE_DROP
                                         : TN_ROLE_FIXED;
  if (table[row].keepdims >= 0 && !tn_get_int(node, (enum tn_attr_id)table[row].keepdims))
    return TN_ROLE_DROP;
  return TN_ROLE_SAME;
}

bool tn_layout_carries(const struct tn_node *node, int index) {
  if (node->op == TN_GATHER || node->op == TN_PAD)
    return index == 0;
  return true;
}

/* ---- attributes ---------------------------------------------------------------------------------------- */

static int64_t axis_in(const struct tn_layout *inverse, int64_t axis) {
  return inverse->at[axis < 0 ? axis + inverse->rank : axis];
}

/* Whether dim `dim` of operand 0 is missing in the result. */
static bool dropped(const struct tn_node *node, int row, int dim) {
  int rank = node->in[0]->type.rank;
  if (table[row].axis >= 0) {
    int64_t axis = tn_get_int(node, (enum tn_attr_id)table[row].axis);
    return dim == (axis < 0 ? axis + rank : axis);
  }
  struct tn_ints axes = tn_get_ints(node, (enum tn_attr_id)table[row].axes);
  for (size_t i = 0; i < axes.count; i++)
    if (dim == (axes.at[i] < 0 ? axes.at[i] + rank : axes.at[i]))
      return true;
  return false;
}

struct tn_layout tn_layout_drop(const struct tn_node *node, const struct tn_layout *operand) {
  struct tn_layout layout = {.rank = 0};
  int row = row_of(node->op), number[TN_MAX_RANK] = {0};
  for (int dim = 0, next = 0; dim < operand->rank; dim++)
    number[dim] = dropped(node, row, dim) ? -1 : next++;
  for (int i = 0; i < operand->rank; i++)
    if (number[operand->at[i]] >= 0)
      layout.at[layout.rank++] = (uint8_t)number[operand->at[i]];
  return layout;
}

void tn_layout_set_quant(struct tn_value *value, const struct tn_layout *layout) {
  if (!value->type.quant || value->type.quant->axis < 0 || value->type.quant->axis >= layout->rank)
    return;
  struct tn_layout inverse = tn_layout_inverse(layout);
  struct tn_quant *quant = TN_NEW(value->home->module->arena, struct tn_quant);
  *quant = *value->type.quant;
  quant->axis = inverse.at[quant->axis];
  value->type.quant = quant;
}

static void permute_ints(struct tn_node *node, enum tn_attr_id id, const struct tn_layout *layout) {
  struct tn_ints ints = tn_get_ints(node, id);
  int64_t moved[TN_MAX_RANK];
  if (ints.count != (size_t)layout->rank)
    return; /* left out: the default for every dim */
  for (int i = 0; i < layout->rank; i++)
    moved[i] = ints.at[layout->at[i]];
  tn_set_ints(node, id, moved, ints.count);
}

void tn_layout_set_attrs(struct tn_node *node, const struct tn_layout *layout) {
  struct tn_layout inverse = tn_layout_inverse(layout), result = *layout;
  int row = row_of(node->op);
  if (tn_layout_role(node) == TN_ROLE_DROP)
    result = tn_layout_drop(node, layout);
  for (int i = 0; i < node->out_count; i++)
    tn_layout_set_quant(node->out[i], &result);
  if (row < 0)
    return;
  for (size_t i = 0; i < TN_COUNT(table[row].each) && table[row].each[i] >= 0; i++)
    permute_ints(node, (enum tn_attr_id)table[row].each[i], layout);
  if (table[row].axis >= 0) {
    enum tn_attr_id id = (enum tn_attr_id)table[row].axis;
    tn_set_int(node, id, axis_in(&inverse, tn_get_int(node, id)));
  }
  if (table[row].axes >= 0) {
    enum tn_attr_id id = (enum tn_attr_id)table[row].axes;
    int64_t axes[TN_MAX_RANK];
    size_t count = 0;
    for (int i = 0; i < layout->rank; i++) /* ascending */
      if (dropped(node, row, layout->at[i]))
        axes[count++] = i;
    tn_set_ints(node, id, axes, count);
  }
}
