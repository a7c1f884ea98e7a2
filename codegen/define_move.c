/* Moves by position alone: reshape, transpose, expand, slice, pad, concat. */
#include "codegen/define.h"

/* Both shapes fall into the finest groups of neighbouring dims that hold equally many elements; a position is
 * linearized and split within its group, so that dims which a reshape leaves alone keep their plain position.
 * Unit dims are in no group. */
static struct tn_expr *reshape(struct tn_lower *l, const struct tn_node *node, int result,
                               struct tn_expr *const *idx) {
  struct tn_nest *n = l->nest;
  const struct tn_type *to = &node->out[result]->type, *from = &node->in[0]->type;
  struct tn_expr *at[TN_MAX_RANK];
  int64_t count;
  if (!tn_type_count(from, &count) || count == 0)
    return tn_define_zero(n, to->dtype); /* no position of an empty tensor is asked for */
  int i = 0, o = 0;
  while (i < from->rank || o < to->rank) {
    int first_i = i;
    int64_t size_i = 1, size_o = 1;
    struct tn_expr *linear = tn_ix(n, 0);
    while (i < from->rank || o < to->rank) {
      if (size_i <= size_o && i < from->rank && (size_i < size_o || size_i == 1)) {
        size_i *= from->dim[i++];
      } else if (o < to->rank) {
        linear = tn_ix_add(n, tn_ix_scale(n, linear, to->dim[o]), idx[o]);
        size_o *= to->dim[o++];
      } else {
        size_i *= from->dim[i++];
      }
      if (size_i == size_o && size_i > 1)
        break;
    }
    int64_t left = size_i; /* elements of the dims from d on; the first needs no remainder */
    for (int d = first_i; d < i; d++) {
      int64_t stride = left / from->dim[d];
      struct tn_expr *part = left == size_i ? linear : tn_ix_mod(n, linear, left);
      at[d] = from->dim[d] == 1 ? tn_ix(n, 0) : tn_ix_div(n, part, stride);
      left = stride;
    }
  }
  return tn_element(l, node->in[0], at);
}
const struct tn_definition tn_define_reshape = {.element = reshape};

static struct tn_expr *transpose(struct tn_lower *l, const struct tn_node *node, int result,
                                 struct tn_expr *const *idx) {
  struct tn_ints perm = tn_get_ints(node, TN_TRANSPOSE_perm);
  struct tn_expr *at[TN_MAX_RANK];
  for (int d = 0; d < node->out[result]->type.rank; d++)
    at[perm.at[d]] = idx[d];
  return tn_element(l, node->in[0], at);
}
const struct tn_definition tn_define_transpose = {.element = transpose};

static struct tn_expr *expand(struct tn_lower *l, const struct tn_node *node, int result,
                              struct tn_expr *const *idx) {
  struct tn_expr *at[TN_MAX_RANK];
  tn_define_broadcast(l->nest, &node->in[0]->type, &node->out[result]->type, idx, at);
  return tn_element(l, node->in[0], at);
}
const struct tn_definition tn_define_expand = {.element = expand};

static struct tn_expr *slice(struct tn_lower *l, const struct tn_node *node, int result,
                             struct tn_expr *const *idx) {
  struct tn_ints starts = tn_get_ints(node, TN_SLICE_starts), steps = tn_get_ints(node, TN_SLICE_steps);
  struct tn_expr *at[TN_MAX_RANK];
  for (int d = 0; d < node->out[result]->type.rank; d++)
    at[d] = tn_ix_offset(l->nest, tn_ix_scale(l->nest, idx[d], steps.at[d]), starts.at[d]);
  return tn_element(l, node->in[0], at);
}
const struct tn_definition tn_define_slice = {.element = slice};

/* ---- pad
 * ----------------------------------------------------------------------------------------------------- */

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* Position in a dim of `extent` elements that position p, which may lie before or after it, mirrors or copies.
 */
static struct tn_expr *folded(struct tn_nest *n, int64_t mode, struct tn_expr *p, int64_t extent) {
  if (p->lo >= 0 && p->hi < extent)
    return p;
  if (extent == 1)
    return tn_ix(n, 0);
  struct tn_expr *first = tn_ix(n, 0), *last = tn_ix(n, extent - 1);
  if (mode == PAD_EDGE)
    return tn_ex_binary(n, TN_MIN, tn_ex_binary(n, TN_MAX, p, first), last);
  if (mode == PAD_WRAP)
    return tn_ix_mod(n, p, extent);
  int64_t period = 2 * (extent - 1);
  if (p->lo < -(extent - 1) || p->hi > period) /* reflects more than once */
    p = tn_ix_mod(n, p, period);
  if (p->lo < 0)
    p = tn_ex_binary(n, TN_MAX, p, tn_ix_scale(n, p, -1));
  if (p->hi >= extent)
    p = tn_ex_binary(n, TN_MIN, p, tn_ix_sub(n, tn_ix(n, period), p));
  return p;
}

static struct tn_expr *pad(struct tn_lower *l, const struct tn_node *node, int result,
                           struct tn_expr *const *idx) {
  struct tn_nest *n = l->nest;
  struct tn_value *x = node->in[0];
  struct tn_ints before = tn_get_ints(node, TN_PAD_before), interior = tn_get_ints(node, TN_PAD_interior);
  int64_t mode = tn_get_int(node, TN_PAD_mode);
  const struct tn_type *to = &node->out[result]->type;
  struct tn_expr *at[TN_MAX_RANK], *guard = NULL;
  for (int d = 0; d < to->rank; d++) {
    int64_t extent = x->type.dim[d], gap = interior.count ? interior.at[d] : 0;
    struct tn_expr *p = tn_ix_offset(n, idx[d], -before.at[d]);
    if (mode != PAD_CONSTANT) {
      if (gap != 0)
        tn_define_fail(node, "interior padding goes with mode constant only");
      if (extent == 0)
        return tn_define_zero(n, to->dtype); /* nothing to copy: the result is empty as well */
      at[d] = folded(n, mode, p, extent);
      continue;
    }
    if (gap > 0) {
      struct tn_expr *rest = tn_ix_mod(n, p, gap + 1);
      guard = tn_ex_and(n, guard, tn_ex_binary(n, TN_EQ, rest, tn_ix(n, 0)));
      p = tn_ix_div(n, p, gap + 1);
    }
    guard = tn_ex_and(n, guard, tn_define_inside(n, p, extent));
    at[d] = p;
  }
  if (!guard || tn_ex_is_true(guard))
    return tn_element(l, x, at);
  struct tn_expr *fill =
      node->in_count > 1 && node->in[1] ? tn_element(l, node->in[1], NULL) : tn_define_zero(n, to->dtype);
  if (tn_ex_is_false(guard))
    return fill;
  return tn_ex_select(n, guard, tn_element_guarded(l, x, at, guard), fill);
}
const struct tn_definition tn_define_pad = {.element = pad};

/* A chain of selects by the position along the axis; each operand is read only where it is the one. */
static struct tn_expr *concat(struct tn_lower *l, const struct tn_node *node, int result,
                              struct tn_expr *const *idx) {
  struct tn_nest *n = l->nest;
  const struct tn_type *to = &node->out[result]->type;
  int axis = tn_define_axis(node, TN_CONCAT_axis, to->rank);
  struct tn_expr *at[TN_MAX_RANK], *out = NULL;
  memcpy(at, idx, (size_t)to->rank * sizeof *at);
  int64_t end = to->dim[axis];
  for (int k = node->in_count - 1; k >= 0; k--) {
    int64_t extent = node->in[k]->type.dim[axis], start = end - extent;
    struct tn_expr *from_start = tn_ex_binary(n, TN_GE, idx[axis], tn_ix(n, start));
    struct tn_expr *before_end = tn_ex_binary(n, TN_LT, idx[axis], tn_ix(n, end));
    struct tn_expr *here = tn_ex_and(n, from_start, before_end);
    end = start;
    if (extent == 0 || tn_ex_is_false(here))
      continue;
    at[axis] = tn_ix_offset(n, idx[axis], -start);
    struct tn_expr *element =
        tn_ex_is_true(here) ? tn_element(l, node->in[k], at) : tn_element_guarded(l, node->in[k], at, here);
    out = out ? tn_ex_select(n, before_end, element, out) : element;
  }
  return out ? out : tn_define_zero(n, to->dtype);
}
const struct tn_definition tn_define_concat = {.element = concat};
