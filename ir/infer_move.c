/* Shape rules of the moves: reshape to scatter. */
#include "ir/shape.h"
#include <inttypes.h>

/* The number of elements as a dim: an extent, or an expression of symbols. */
static tn_dim count_of(struct tn_module *module, int rank, const tn_dim *dims) {
  tn_dim count = 1;
  for (int d = 0; d < rank; d++)
    count = tn_dim_op(module, '*', count, dims[d]);
  return count;
}

bool tn_shape_reshape(struct tn_node *node) {
  struct tn_module *module = tn_node_module(node);
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_type type = {.dtype = x->dtype};
  int64_t before, after;
  if (!tn_shape_dims(node, TN_RESHAPE_shape, &type.rank, type.dim))
    return false;
  tn_dim from = count_of(module, x->rank, x->dim), to = count_of(module, type.rank, type.dim);
  if (tn_dim_value(module, from, &before) && tn_dim_value(module, to, &after) && before != after) {
    tn_node_error(node, "operand '%s' (%s) has %" PRId64 " elements, the new shape %s has %" PRId64,
                  tn_in_name(node, 0), tn_shape_say(node, x), before, tn_shape_say(node, &type), after);
    return false;
  }
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_transpose(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_type type = {.dtype = x->dtype, .rank = x->rank};
  const int64_t *perm;
  unsigned seen = 0;
  if (!tn_shape_ints(node, TN_TRANSPOSE_perm, x->rank, 0, &perm))
    return false;
  for (int d = 0; d < x->rank; d++) {
    if (perm[d] >= x->rank || (seen & 1u << perm[d])) {
      tn_node_error(node, "perm must hold each of 0..%d once, found %" PRId64 "%s", x->rank - 1, perm[d],
                    perm[d] < x->rank ? " twice" : "");
      return false;
    }
    seen |= 1u << perm[d];
    type.dim[d] = x->dim[perm[d]];
  }
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_expand(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_type type = {.dtype = x->dtype};
  if (!tn_shape_dims(node, TN_EXPAND_shape, &type.rank, type.dim))
    return false;
  bool fits = type.rank >= x->rank;
  for (int d = 0; d < x->rank && fits; d++) {
    tn_dim have = x->dim[d], want = type.dim[type.rank - x->rank + d];
    fits = have == 1 || have < 0 || want < 0 || have == want;
  }
  if (!fits) {
    tn_node_error(node, "operand '%s' (%s) cannot be expanded to %s: each dim must be equal or 1",
                  tn_in_name(node, 0), tn_shape_say(node, x), tn_shape_say(node, &type));
    return false;
  }
  return tn_shape_result(node, 0, &type);
}

/* starts and sizes may be symbols: x[::-1] of a dynamic dim starts at dim - 1. */
bool tn_shape_slice(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_type type = {.dtype = x->dtype};
  int start_count;
  tn_dim start[TN_MAX_RANK];
  const int64_t *step;
  if (!tn_shape_dims(node, TN_SLICE_sizes, &type.rank, type.dim) ||
      !tn_shape_dims(node, TN_SLICE_starts, &start_count, start) ||
      !tn_shape_ints(node, TN_SLICE_steps, x->rank, INT64_MIN, &step))
    return false;
  if (type.rank != x->rank || start_count != x->rank) {
    tn_node_error(node,
                  "starts and sizes must have an element for each of the %d dims of '%s', found %d and %d",
                  x->rank, tn_in_name(node, 0), start_count, type.rank);
    return false;
  }
  for (int d = 0; d < x->rank; d++) {
    int64_t last;
    if (step[d] == 0) {
      tn_node_error(node, "steps[%d] is 0; a slice needs a step forward or backward", d);
      return false;
    }
    if (start[d] < 0 || type.dim[d] <= 0 || x->dim[d] < 0) /* symbolic, or nothing is read */
      continue;
    bool fits = tn_mul_i64(type.dim[d] - 1, step[d], &last) && tn_add_i64(last, start[d], &last);
    if (!fits || start[d] >= x->dim[d] || last < 0 || last >= x->dim[d]) {
      tn_node_error(
          node, "dim %d of '%s' (%s): %" PRId64 " elements from %" PRId64 " by %" PRId64 " leave its bounds", d,
          tn_in_name(node, 0), tn_shape_say(node, x), type.dim[d], start[d], step[d]);
      return false;
    }
  }
  return tn_shape_result(node, 0, &type);
}

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP }; /* order of PAD's mode in ops.def */

/* One dim of pad; false when it cannot be. */
static bool padded_dim(struct tn_module *module, tn_dim x, int64_t before, int64_t after, int64_t interior,
                       int64_t mode, tn_dim *out) {
  int64_t low = before < after ? before : after, high = before > after ? before : after, value;
  tn_dim inner = x;
  if (interior > 0) {
    tn_dim gaps = tn_dim_op(module, 'M', tn_dim_add(module, x, -1), 0);
    inner = tn_dim_op(module, '+', x, tn_dim_mul(module, gaps, interior));
  }
  *out = tn_dim_add(module, inner, before + after);
  if (mode != PAD_CONSTANT && x >= 0) {
    if (mode == PAD_REFLECT ? high > 0 && high > x - 1 : high > 0 && x == 0)
      return false;
  }
  /* A crop may not take more than there is, from either side. */
  if (low < 0 && tn_dim_value(module, inner, &value) && -low > value)
    return false;
  return !tn_dim_value(module, *out, &value) || value >= 0;
}

bool tn_shape_pad(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_type type = *x;
  const int64_t *before, *after, *interior = NULL;
  int64_t mode = tn_get_int(node, TN_PAD_mode);
  if (!tn_shape_ints(node, TN_PAD_before, x->rank, INT64_MIN, &before) ||
      !tn_shape_ints(node, TN_PAD_after, x->rank, INT64_MIN, &after) ||
      (tn_get_ints(node, TN_PAD_interior).count &&
       !tn_shape_ints(node, TN_PAD_interior, x->rank, 0, &interior)))
    return false;
  if (node->in_count > 1 && node->in[1]) {
    if (!tn_shape_want_same_dtype(node, 0, 1) || !tn_shape_want_rank(node, 1, 0))
      return false;
    if (mode != PAD_CONSTANT) {
      tn_node_error(node, "a fill value ('%s') goes with mode constant alone", tn_in_name(node, 1));
      return false;
    }
  }
  for (int d = 0; d < x->rank; d++) {
    int64_t gap = interior ? interior[d] : 0;
    if (gap != 0 && mode != PAD_CONSTANT) {
      tn_node_error(node, "interior padding goes with mode constant alone");
      return false;
    }
    if (!padded_dim(tn_node_module(node), x->dim[d], before[d], after[d], gap, mode, &type.dim[d])) {
      tn_node_error(node,
                    "dim %d of '%s' (%s) cannot be padded by %" PRId64 " before and %" PRId64
                    " after: a crop takes more than there is, or the mode has too few elements to repeat",
                    d, tn_in_name(node, 0), tn_shape_say(node, x), before[d], after[d]);
      return false;
    }
  }
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_concat(struct tn_node *node) {
  struct tn_type type = *tn_in_type(node, 0);
  int axis;
  if (!tn_shape_axis(node, TN_CONCAT_axis, type.rank, &axis))
    return false;
  for (int i = 1; i < node->in_count; i++) {
    const struct tn_type *x = tn_in_type(node, i);
    if (!tn_shape_want_same_dtype(node, 0, i) || !tn_shape_want_rank(node, i, type.rank))
      return false;
    for (int d = 0; d < type.rank; d++)
      if (d == axis) {
        type.dim[d] = tn_dim_op(tn_node_module(node), '+', type.dim[d], x->dim[d]);
      } else if (!tn_dim_same(type.dim[d], x->dim[d], &type.dim[d])) {
        tn_node_error(node, "operands '%s' (%s) and '%s' (%s) differ in dim %d; all but dim %d must be equal",
                      tn_in_name(node, 0), tn_shape_say(node, tn_in_type(node, 0)), tn_in_name(node, i),
                      tn_shape_say(node, x), d, axis);
        return false;
      }
  }
  return tn_shape_result(node, 0, &type);
}

/* ---- gathers ------------------------------------------------------------------------------------------- */

static bool may_have_elements(const struct tn_type *type) {
  for (int d = 0; d < type->rank; d++)
    if (type->dim[d] == 0)
      return false;
  return true;
}

/* No index is right in an empty dim. */
static bool want_nonempty(const struct tn_node *node, int axis) {
  const struct tn_type *x = tn_in_type(node, 0), *indices = tn_in_type(node, 1);
  if (x->dim[axis] != 0 || !may_have_elements(indices))
    return true;
  tn_node_error(node, "dim %d of '%s' (%s) is empty; no index of '%s' (%s) can be within it", axis,
                tn_in_name(node, 0), tn_shape_say(node, x), tn_in_name(node, 1), tn_shape_say(node, indices));
  return false;
}

static bool want_room(const struct tn_node *node, int rank) {
  if (rank <= TN_MAX_RANK)
    return true;
  tn_node_error(node, "the result of '%s' (%s) and '%s' (%s) would have rank %d; at most %d is supported",
                tn_in_name(node, 0), tn_shape_say(node, tn_in_type(node, 0)), tn_in_name(node, 1),
                tn_shape_say(node, tn_in_type(node, 1)), rank, TN_MAX_RANK);
  return false;
}

bool tn_shape_gather(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0), *indices = tn_in_type(node, 1);
  struct tn_type type = {.dtype = x->dtype};
  int axis;
  if (!tn_shape_want_int(node, 1) || !tn_shape_axis(node, TN_GATHER_axis, x->rank, &axis) ||
      !want_nonempty(node, axis) || !want_room(node, x->rank - 1 + indices->rank))
    return false;
  for (int d = 0; d < axis; d++)
    type.dim[type.rank++] = x->dim[d];
  for (int d = 0; d < indices->rank; d++)
    type.dim[type.rank++] = indices->dim[d];
  for (int d = axis + 1; d < x->rank; d++)
    type.dim[type.rank++] = x->dim[d];
  return tn_shape_result(node, 0, &type);
}

/* gather_elements and scatter_elements: indices reach no further than the operand, but along the axis. */
static bool check_elements(struct tn_node *node, enum tn_attr_id id) {
  const struct tn_type *x = tn_in_type(node, 0), *indices = tn_in_type(node, 1);
  int axis;
  if (!tn_shape_want_int(node, 1) || !tn_shape_want_rank(node, 1, x->rank) ||
      !tn_shape_axis(node, id, x->rank, &axis) || !want_nonempty(node, axis))
    return false;
  for (int d = 0; d < x->rank; d++)
    if (d != axis && x->dim[d] >= 0 && indices->dim[d] > x->dim[d] && may_have_elements(indices)) {
      tn_node_error(node, "dim %d of the indices '%s' (%s) is larger than that of '%s' (%s)", d,
                    tn_in_name(node, 1), tn_shape_say(node, indices), tn_in_name(node, 0),
                    tn_shape_say(node, x));
      return false;
    }
  return true;
}

bool tn_shape_gather_elements(struct tn_node *node) {
  if (!check_elements(node, TN_GATHER_ELEMENTS_axis))
    return false;
  struct tn_type type = *tn_in_type(node, 1);
  type.dtype = tn_in_type(node, 0)->dtype;
  return tn_shape_result(node, 0, &type);
}

/* The static extent of the last dim of the indices of the ...ND ops: how many dims of the data one index names.
 */
static bool index_depth(const struct tn_node *node, int batch, int *depth) {
  const struct tn_type *x = tn_in_type(node, 0), *indices = tn_in_type(node, 1);
  if (!tn_shape_want_int(node, 1) ||
      !tn_shape_want(node, 1, indices->rank > batch, "of a rank above batch_dims and at least 1"))
    return false;
  tn_dim last = indices->dim[indices->rank - 1];
  if (last < 0 || last > x->rank - batch) {
    tn_node_error(
        node, "the last dim of the indices '%s' (%s) must be static and at most %d, the dims of '%s' (%s)%s",
        tn_in_name(node, 1), tn_shape_say(node, indices), x->rank - batch, tn_in_name(node, 0),
        tn_shape_say(node, x), batch ? " after batch_dims" : "");
    return false;
  }
  *depth = (int)last;
  for (int d = batch; d < batch + *depth; d++)
    if (!want_nonempty(node, d))
      return false;
  return true;
}

bool tn_shape_gather_nd(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0), *indices = tn_in_type(node, 1);
  struct tn_type type = {.dtype = x->dtype};
  int64_t batch = tn_get_int(node, TN_GATHER_ND_batch_dims);
  int depth;
  if (batch < 0 || batch > x->rank || batch >= indices->rank) {
    tn_node_error(node, "batch_dims must be below the ranks of '%s' (%s) and '%s' (%s), found %" PRId64,
                  tn_in_name(node, 0), tn_shape_say(node, x), tn_in_name(node, 1), tn_shape_say(node, indices),
                  batch);
    return false;
  }
  if (!index_depth(node, (int)batch, &depth) ||
      !want_room(node, indices->rank - 1 + x->rank - (int)batch - depth))
    return false;
  for (int d = 0; d < indices->rank - 1; d++) {
    type.dim[type.rank++] = indices->dim[d];
    if (d < batch && !tn_dim_same(indices->dim[d], x->dim[d], &type.dim[d])) {
      tn_node_error(node, "'%s' (%s) and '%s' (%s) differ in batch dim %d", tn_in_name(node, 0),
                    tn_shape_say(node, x), tn_in_name(node, 1), tn_shape_say(node, indices), d);
      return false;
    }
  }
  for (int d = (int)batch + depth; d < x->rank; d++)
    type.dim[type.rank++] = x->dim[d];
  return tn_shape_result(node, 0, &type);
}

/* ---- scatters ------------------------------------------------------------------------------------------ */

static bool check_updates(const struct tn_node *node, const struct tn_type *wanted, int64_t reduction) {
  const struct tn_type *updates = tn_in_type(node, 2);
  bool fits = updates->rank == wanted->rank;
  tn_dim ignored;
  if (!tn_shape_want_same_dtype(node, 0, 2))
    return false;
  for (int d = 0; d < wanted->rank && fits; d++)
    fits = tn_dim_same(updates->dim[d], wanted->dim[d], &ignored);
  if (!fits) {
    tn_node_error(node, "the updates '%s' (%s) must have the shape of %s that data and indices ask for",
                  tn_in_name(node, 2), tn_shape_say(node, updates), tn_shape_say(node, wanted));
    return false;
  }
  return reduction == 0 || tn_shape_want_numeric(node, 0);
}

bool tn_shape_scatter_elements(struct tn_node *node) {
  if (!check_elements(node, TN_SCATTER_ELEMENTS_axis))
    return false;
  struct tn_type wanted = *tn_in_type(node, 1);
  wanted.dtype = tn_in_type(node, 0)->dtype;
  return check_updates(node, &wanted, tn_get_int(node, TN_SCATTER_ELEMENTS_reduction)) &&
         tn_shape_result(node, 0, tn_in_type(node, 0));
}

bool tn_shape_scatter_nd(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0), *indices = tn_in_type(node, 1);
  struct tn_type wanted = {.dtype = x->dtype};
  int depth;
  if (!index_depth(node, 0, &depth) || !want_room(node, indices->rank - 1 + x->rank - depth))
    return false;
  for (int d = 0; d < indices->rank - 1; d++)
    wanted.dim[wanted.rank++] = indices->dim[d];
  for (int d = depth; d < x->rank; d++)
    wanted.dim[wanted.rank++] = x->dim[d];
  return check_updates(node, &wanted, tn_get_int(node, TN_SCATTER_ND_reduction)) && tn_shape_result(node, 0, x);
}
