/* Simplify: slices, and gathers and scatters with constant indices. */
#include "passes/passes.h"

/* ---- slice --------------------------------------------------------------------------------------------- */

struct slice {
  int rank;
  bool is_static; /* starts and sizes are numbers, no symbols */
  int64_t start[TN_MAX_RANK], step[TN_MAX_RANK], size[TN_MAX_RANK];
};

static struct slice read_slice(const struct tn_node *node) {
  struct tn_ints starts = tn_get_ints(node, TN_SLICE_starts), steps = tn_get_ints(node, TN_SLICE_steps);
  struct tn_ints sizes = tn_get_ints(node, TN_SLICE_sizes);
  struct slice s = {.rank = (int)starts.count, .is_static = true};
  for (int d = 0; d < s.rank; d++) {
    s.start[d] = starts.at[d];
    s.size[d] = sizes.at[d];
    s.is_static &= tn_dim_static(s.start[d]) && tn_dim_static(s.size[d]);
    s.step[d] = s.size[d] == 1 ? 1 : steps.at[d]; /* one element has no step */
  }
  return s;
}

static bool is_whole(const struct slice *s, const struct tn_type *x) {
  for (int d = 0; d < s->rank; d++)
    if (s->start[d] != 0 || s->size[d] != x->dim[d] || s->step[d] != 1)
      return false;
  return true;
}

static bool steps_differ(const struct slice *s, const struct tn_node *node) {
  struct tn_ints steps = tn_get_ints(node, TN_SLICE_steps);
  for (int d = 0; d < s->rank; d++)
    if (s->step[d] != steps.at[d])
      return true;
  return false;
}

/* The part of a concat that lies within one operand. */
static struct tn_value *slice_of_concat(struct tn_build *b, const struct slice *s,
                                        const struct tn_node *concat) {
  int axis = (int)tn_get_int(concat, TN_CONCAT_axis);
  int64_t first = s->start[axis], last = first + s->step[axis] * (s->size[axis] - 1), offset = 0;
  if (!s->is_static || s->size[axis] < 1)
    return NULL;
  for (int i = 0; i < concat->in_count; i++) {
    struct tn_value *x = concat->in[i];
    int64_t extent = x->type.dim[axis];
    if (!tn_dim_static(extent))
      return NULL;
    if (first >= offset && first < offset + extent && last >= offset && last < offset + extent) {
      struct slice inner = *s;
      inner.start[axis] -= offset;
      return is_whole(&inner, &x->type) ? x : tn_slice(b, x, inner.start, inner.step, inner.size);
    }
    offset += extent;
  }
  return NULL;
}

static struct tn_value *simplify_slice(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  struct slice s = read_slice(node);
  if (is_whole(&s, &x->type))
    return x;
  struct tn_node *inner = tn_def_of(x, TN_SLICE);
  if (inner) {
    struct slice first = read_slice(inner);
    if (!s.is_static || !first.is_static)
      return NULL;
    for (int d = 0; d < s.rank; d++) {
      s.start[d] = first.start[d] + s.start[d] * first.step[d];
      s.step[d] *= first.step[d];
    }
    return tn_slice(b, inner->in[0], s.start, s.step, s.size);
  }
  inner = tn_def_of(x, TN_CONCAT);
  struct tn_value *part = inner ? slice_of_concat(b, &s, inner) : NULL;
  if (part)
    return part;
  return steps_differ(&s, node) ? tn_slice(b, x, s.start, s.step, s.size) : NULL;
}

/* ---- gather -------------------------------------------------------------------------------------------- */

/* Constant indices that go up or down in equal steps: a slice and a reshape. */
static struct tn_value *simplify_gather(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  int axis = (int)tn_get_int(node, TN_GATHER_axis);
  struct tn_ints at;
  if (!tn_type_static(&x->type) || !tn_value_tensor(node->in[1]) ||
      !tn_value_ints(node->in[1], pass->scratch, &at) || at.count == 0)
    return NULL;
  int64_t extent = x->type.dim[axis], start = 0, step = 1, last = 0;
  for (size_t i = 0; i < at.count; i++) {
    int64_t index = at.at[i] < 0 ? at.at[i] + extent : at.at[i];
    index = index >= extent ? extent - 1 : index < 0 ? 0 : index; /* as the op says */
    if (i == 0)
      start = index;
    else if (i == 1)
      step = index - start;
    if (i > 0 && (index - last != step || step == 0))
      return NULL;
    last = index;
  }
  int64_t starts[TN_MAX_RANK], steps[TN_MAX_RANK], sizes[TN_MAX_RANK];
  for (int d = 0; d < x->type.rank; d++) {
    starts[d] = d == axis ? start : 0;
    steps[d] = d == axis ? step : 1;
    sizes[d] = d == axis ? (int64_t)at.count : x->type.dim[d];
  }
  struct tn_value *part = extent > 0 ? tn_slice(b, x, starts, steps, sizes) : NULL;
  if (!part || tn_shape_equal(&part->type, type))
    return part;
  return tn_reshape(b, part, type->rank, type->dim);
}

/* ---- scatter ------------------------------------------------------------------------------------------- */

#define LEAST_SHARE 16 /* a smaller part of the operand is written into a copy of it */

struct box {
  int64_t start[TN_MAX_RANK], size[TN_MAX_RANK];
};

/* Whether the constant indices [points, taken] name the places of a box, one after the other. */
static bool find_box(const struct tn_tensor *indices, const struct tn_type *x, int taken, int64_t points,
                     struct box *box) {
  int64_t size = 1;
  for (int d = 0; d < taken; d++) {
    for (int end = 0; end < 2; end++) {
      int64_t at = tn_tensor_int(indices, (end ? points - 1 : 0) * taken + d);
      at += at < 0 ? x->dim[d] : 0;
      if (at < 0 || at >= x->dim[d])
        return false;
      if (end)
        box->size[d] = at - box->start[d] + 1;
      else
        box->start[d] = at;
    }
    if (box->size[d] < 1)
      return false;
    size *= box->size[d]; /* no more than x has */
  }
  if (size != points)
    return false;
  for (int64_t p = 0; p < points; p++) {
    int64_t left = p;
    for (int d = taken - 1; d >= 0; d--) {
      int64_t at = tn_tensor_int(indices, p * taken + d);
      if (at + (at < 0 ? x->dim[d] : 0) != box->start[d] + left % box->size[d])
        return false;
      left /= box->size[d];
    }
  }
  return true;
}

/* Updates that replace a box: what lies around it, concatenated with them, dimension by dimension. */
static struct tn_value *simplify_scatter(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0], *updates = node->in[2];
  const struct tn_type *type = &x->type, *index_type = &node->in[1]->type;
  const struct tn_tensor *indices = tn_value_tensor(node->in[1]);
  int64_t all, count;
  if (!indices || tn_get_int(node, TN_SCATTER_ND_reduction) != 0 || !tn_type_count(type, &all) ||
      !tn_type_count(&updates->type, &count) || count == 0 || count * LEAST_SHARE < all)
    return NULL;
  int taken = (int)index_type->dim[index_type->rank - 1];
  int64_t points = 1;
  for (int d = 0; d < index_type->rank - 1; d++)
    points *= index_type->dim[d];
  struct box box;
  if (taken < 1 || !find_box(indices, type, taken, points, &box))
    return NULL;
  for (int d = taken; d < type->rank; d++) {
    box.start[d] = 0;
    box.size[d] = type->dim[d];
  }
  struct tn_value *out = tn_reshape(b, updates, type->rank, box.size);
  for (int d = type->rank - 1; d >= 0; d--) {
    struct tn_value *part[3];
    int64_t start[TN_MAX_RANK], step[TN_MAX_RANK], size[TN_MAX_RANK], end = box.start[d] + box.size[d];
    int parts = 0;
    for (int k = 0; k < type->rank; k++) { /* the box, but whole in the dimensions that are done */
      start[k] = k > d ? 0 : box.start[k];
      size[k] = k > d ? type->dim[k] : box.size[k];
      step[k] = 1;
    }
    if (box.start[d] > 0) {
      start[d] = 0;
      size[d] = box.start[d];
      part[parts++] = tn_slice(b, x, start, step, size);
    }
    part[parts++] = out;
    if (end < type->dim[d]) {
      start[d] = end;
      size[d] = type->dim[d] - end;
      part[parts++] = tn_slice(b, x, start, step, size);
    }
    if (parts > 1)
      out = tn_concat(b, d, parts, part);
  }
  return out;
}

struct tn_value *tn_simplify_index(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  if (node->out[0]->type.quant || (node->in_count > 0 && node->in[0]->type.quant))
    return NULL;
  switch (node->op) {
  case TN_SLICE:
    return simplify_slice(b, node);
  case TN_GATHER:
    return simplify_gather(pass, b, node);
  case TN_SCATTER_ND:
    return simplify_scatter(b, node);
  default:
    return NULL;
  }
}
