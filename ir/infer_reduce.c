/* Shape rules of reductions, running sums, top-k and contractions. */
#include "ir/shape.h"
#include <inttypes.h>

/* The type with dim `axis` reduced to 1, or gone. */
static struct tn_type without(struct tn_type type, int axis, bool keepdims) {
  if (keepdims) {
    type.dim[axis] = 1;
    return type;
  }
  for (int d = axis; d + 1 < type.rank; d++)
    type.dim[d] = type.dim[d + 1];
  type.dim[--type.rank] = 0;
  return type;
}

/* The attributes of the four reductions come in one order: axes, keepdims. */
bool tn_shape_reduce(struct tn_node *node) {
  enum tn_attr_id axes_id = (enum tn_attr_id)tn_op_info(node->op)->first_attr;
  struct tn_ints axes = tn_get_ints(node, axes_id);
  bool keepdims = tn_get_int(node, axes_id + 1) != 0, in_form = true;
  struct tn_type type = *tn_in_type(node, 0);
  int64_t sorted[TN_MAX_RANK], rank = type.rank;
  unsigned seen = 0;
  size_t count = 0;
  if ((node->op == TN_REDUCE_SUM || node->op == TN_REDUCE_PROD) && !tn_shape_want_numeric(node, 0))
    return false;
  for (size_t i = 0; i < axes.count; i++) {
    int64_t axis = axes.at[i] < 0 && axes.at[i] >= -rank ? axes.at[i] + rank : axes.at[i];
    if (axis < 0 || axis >= rank || (seen & 1u << axis)) {
      tn_node_error(node,
                    "axes[%zu] of '%s' (%s) must be in %" PRId64 "..%" PRId64 " and not repeat, found %" PRId64,
                    i, tn_in_name(node, 0), tn_shape_say(node, &type), -rank, rank - 1, axes.at[i]);
      return false;
    }
    seen |= 1u << axis;
  }
  for (int d = 0; d < rank; d++)
    if (seen & 1u << d) {
      in_form = in_form && axes.at[count] == d;
      sorted[count++] = d;
    }
  if (!in_form)
    tn_set_ints(node, axes_id, sorted, count);
  for (int d = (int)rank - 1; d >= 0; d--)
    if (seen & 1u << d)
      type = without(type, d, keepdims);
  return tn_shape_result(node, 0, &type);
}

/* arg_max and arg_min share the order axis, keepdims, select_last. */
bool tn_shape_arg_reduce(struct tn_node *node) {
  enum tn_attr_id axis_id = (enum tn_attr_id)tn_op_info(node->op)->first_attr;
  const struct tn_type *x = tn_in_type(node, 0);
  int axis;
  if (!tn_shape_want_numeric(node, 0) || !tn_shape_axis(node, axis_id, x->rank, &axis))
    return false;
  if (x->dim[axis] == 0) {
    tn_node_error(node, "dim %d of '%s' (%s) is empty: it has no largest or smallest element", axis,
                  tn_in_name(node, 0), tn_shape_say(node, x));
    return false;
  }
  struct tn_type type = without(*x, axis, tn_get_int(node, axis_id + 1) != 0);
  type.dtype = TN_I64;
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_cumulative(struct tn_node *node) {
  enum tn_attr_id axis_id = node->op == TN_SCAN_SUM ? TN_SCAN_SUM_axis : TN_SCAN_PROD_axis;
  int axis;
  return tn_shape_want_numeric(node, 0) && tn_shape_axis(node, axis_id, tn_in_type(node, 0)->rank, &axis) &&
         tn_shape_result(node, 0, tn_in_type(node, 0));
}

bool tn_shape_topk(struct tn_node *node) {
  struct tn_type type = *tn_in_type(node, 0);
  int64_t k = tn_get_int(node, TN_TOPK_k);
  int axis;
  if (!tn_shape_want_numeric(node, 0) || !tn_shape_axis(node, TN_TOPK_axis, type.rank, &axis))
    return false;
  if (k < 0 || (type.dim[axis] >= 0 && k > type.dim[axis])) {
    tn_node_error(node, "k must be in 0..%s, the size of dim %d of '%s' (%s), found %" PRId64,
                  tn_shape_say_dim(node, type.dim[axis]), axis, tn_in_name(node, 0), tn_shape_say(node, &type),
                  k);
    return false;
  }
  type.dim[axis] = k;
  if (!tn_shape_result(node, 0, &type))
    return false;
  type.dtype = TN_I64;
  return tn_shape_result(node, 1, &type);
}

bool tn_shape_tree_walk(struct tn_node *node) {
  const struct tn_type *nodes = tn_in_type(node, 2);
  if (!tn_shape_want_float(node, 0) || !tn_shape_want_rank(node, 0, 2) ||
      !tn_shape_want_same_dtype(node, 0, 3) || !tn_shape_want_rank(node, 3, 1))
    return false;
  for (int i = 1; i < 5; i++)
    if (i != 3 && (!tn_shape_want_dtype(node, i, TN_U32) || !tn_shape_want_rank(node, i, 1)))
      return false;
  int64_t count = nodes->dim[0], levels = tn_get_int(node, TN_TREE_WALK_levels);
  if (!tn_shape_want(node, 0, tn_in_type(node, 0)->dim[1] >= 1, "of one known number of features or more") ||
      !tn_shape_want(node, 2, count >= 1 && count <= INT32_MAX / 2, "of 1 to 2^30 nodes") ||
      !tn_shape_want(node, 3, tn_in_type(node, 3)->dim[0] == count, "as long as the nodes") ||
      !tn_shape_want(node, 4, tn_in_type(node, 4)->dim[0] == 2 * count, "twice as long as the nodes"))
    return false;
  int64_t tests = tn_get_int(node, TN_TREE_WALK_tests);
  if (levels < 0 || levels > INT32_MAX || tests < 1 || tests > 63) {
    tn_node_error(node, "levels must not be negative and tests be in 1..63, found %" PRId64 " and %" PRId64,
                  levels, tests);
    return false;
  }
  struct tn_type type =
      tn_type_make(TN_I32, 2, (tn_dim[]){tn_in_type(node, 0)->dim[0], tn_in_type(node, 1)->dim[0]});
  return tn_shape_result(node, 0, &type);
}

/* ---- contractions -------------------------------------------------------------------------------------- */

/* The result dtype of a contraction of operands 0 and 1. */
static bool contracted_dtype(const struct tn_node *node, enum tn_attr_id acc_id, enum tn_dtype *out) {
  enum tn_dtype x = tn_in_type(node, 0)->dtype, y = tn_in_type(node, 1)->dtype;
  enum tn_dtype acc = (enum tn_dtype)tn_get_int(node, acc_id);
  if (!tn_shape_want_numeric(node, 0) || !tn_shape_want_numeric(node, 1))
    return false;
  bool floats = tn_dtype_is_float(x) || tn_dtype_is_float(y);
  if ((floats || acc == TN_NONE) && !tn_shape_want_same_dtype(node, 0, 1))
    return false;
  *out = acc == TN_NONE ? x : acc;
  if (acc != TN_NONE && (floats ? !tn_dtype_is_float(acc) : !tn_dtype_is_int(acc))) {
    tn_node_error(node, "operands %s and %s accumulate in %s, not in %s", tn_dtype_name(x), tn_dtype_name(y),
                  floats ? "a float dtype" : "an integer dtype", tn_dtype_name(acc));
    return false;
  }
  return true;
}

bool tn_shape_matmul(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0), *y = tn_in_type(node, 1);
  struct tn_type type;
  enum tn_dtype dtype;
  tn_dim ignored;
  if (!contracted_dtype(node, TN_MATMUL_acc, &dtype) ||
      !tn_shape_want(node, 0, x->rank >= 2, "of rank 2 or more (reshape it)") ||
      !tn_shape_want(node, 1, y->rank >= 2, "of rank 2 or more (reshape it)"))
    return false;
  tn_dim m = x->dim[x->rank - 2], k = x->dim[x->rank - 1], n = y->dim[y->rank - 1];
  if (!tn_dim_same(k, y->dim[y->rank - 2], &ignored)) {
    tn_node_error(node, "'%s' (%s) has %s columns, '%s' (%s) has %s rows; they must be equal",
                  tn_in_name(node, 0), tn_shape_say(node, x), tn_shape_say_dim(node, k), tn_in_name(node, 1),
                  tn_shape_say(node, y), tn_shape_say_dim(node, y->dim[y->rank - 2]));
    return false;
  }
  struct tn_type x_batch = *x, y_batch = *y;
  x_batch.rank -= 2;
  y_batch.rank -= 2;
  if (!tn_shape_broadcast(node, 0, &x_batch, 1, &y_batch, &type))
    return false;
  type.dtype = dtype;
  type.dim[type.rank++] = m;
  type.dim[type.rank++] = n;
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_conv(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0), *w = tn_in_type(node, 1);
  struct tn_module *module = tn_node_module(node);
  struct tn_type type = {.rank = x->rank};
  int spatial = x->rank - 2;
  int64_t group = tn_get_int(node, TN_CONV_group);
  const int64_t *strides, *dilations;
  if (!contracted_dtype(node, TN_CONV_acc, &type.dtype) ||
      !tn_shape_want(node, 0, spatial >= 1 && spatial <= 3, "[n, spatial..., c] with 1 to 3 spatial dims") ||
      !tn_shape_want_rank(node, 1, x->rank) || !tn_shape_ints(node, TN_CONV_strides, spatial, 1, &strides) ||
      !tn_shape_ints(node, TN_CONV_dilations, spatial, 1, &dilations))
    return false;
  tn_dim c = x->dim[spatial + 1], each = w->dim[spatial], m = w->dim[spatial + 1];
  int64_t channels;
  bool fits = group >= 1 && (m < 0 || m % group == 0);
  if (fits && each >= 0 && c >= 0)
    fits = tn_mul_i64(each, group, &channels) && channels == c;
  if (!fits) {
    tn_node_error(
        node,
        "group %" PRId64 " does not fit: '%s' (%s) must have group x (channels of '%s' (%s), last but one), "
        "and the filters, last, must be a multiple of group",
        group, tn_in_name(node, 0), tn_shape_say(node, x), tn_in_name(node, 1), tn_shape_say(node, w));
    return false;
  }
  type.dim[0] = x->dim[0];
  type.dim[spatial + 1] = m;
  for (int d = 0; d < spatial; d++) {
    tn_dim k = w->dim[d];
    if (k <= 0) {
      tn_node_error(node, "kernel dim %d of '%s' (%s) must be static and at least 1", d, tn_in_name(node, 1),
                    tn_shape_say(node, w));
      return false;
    }
    int64_t window;
    if (!tn_mul_i64(k - 1, dilations[d], &window) || window >= INT64_MAX / 2 ||
        !tn_dim_windows(module, x->dim[d + 1], window + 1, strides[d], &type.dim[d + 1])) {
      tn_node_error(
          node, "spatial dim %d: the kernel of '%s' (%s), dilated by %" PRId64 ", is larger than '%s' (%s)", d,
          tn_in_name(node, 1), tn_shape_say(node, w), dilations[d], tn_in_name(node, 0), tn_shape_say(node, x));
      return false;
    }
  }
  return tn_shape_result(node, 0, &type);
}

/* Winograd's tiles are of static images: the pass that makes them chooses sizes by the number of tiles. */
bool tn_shape_winograd_input(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_type type = {.dtype = x->dtype, .rank = 3, .dim = {36}};
  if (!tn_shape_want_dtype(node, 0, TN_F32) || !tn_shape_want_rank(node, 0, 4) ||
      !tn_shape_want(node, 0, tn_type_static(x) && x->dim[1] % 4 == 2 && x->dim[2] % 4 == 2,
                     "static, [n, 4*a + 2, 4*b + 2, c]"))
    return false;
  if (!tn_mul_i64(x->dim[0], x->dim[1] / 4 * (x->dim[2] / 4), &type.dim[1]))
    type.dim[1] = INT64_MAX;
  type.dim[2] = x->dim[3];
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_winograd_output(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_ints shape = tn_get_ints(node, TN_WINOGRAD_OUTPUT_shape);
  const int64_t *to;
  if (!tn_shape_want_dtype(node, 0, TN_F32) || !tn_shape_want_rank(node, 0, 3) ||
      !tn_shape_ints(node, TN_WINOGRAD_OUTPUT_shape, 3, 1, &to))
    return false;
  int64_t tiles = -1, limit = INT64_C(1) << 40;
  if (to[0] <= limit && to[1] <= limit && to[2] <= limit &&
      (!tn_mul_i64((to[1] + 3) / 4, (to[2] + 3) / 4, &tiles) || !tn_mul_i64(tiles, shape.at[0], &tiles)))
    tiles = -1;
  if (!tn_shape_want(node, 0, x->dim[0] == 36 && x->dim[1] == tiles, "[36, tiles of the shape, m]"))
    return false;
  struct tn_type type = {.dtype = x->dtype, .rank = 4, .dim = {to[0], to[1], to[2], x->dim[2]}};
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_pool(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  struct tn_module *module = tn_node_module(node);
  struct tn_type type = *x;
  const int64_t *window, *strides, *dilations, *before, *after;
  if (!tn_shape_want_numeric(node, 0) || !tn_shape_ints(node, TN_POOL_window, x->rank, 1, &window) ||
      !tn_shape_ints(node, TN_POOL_strides, x->rank, 1, &strides) ||
      !tn_shape_ints(node, TN_POOL_dilations, x->rank, 1, &dilations) ||
      !tn_shape_ints(node, TN_POOL_before, x->rank, 0, &before) ||
      !tn_shape_ints(node, TN_POOL_after, x->rank, 0, &after))
    return false;
  for (int d = 0; d < x->rank; d++) {
    int64_t reach;
    tn_dim padded = tn_dim_add(module, x->dim[d], before[d] + after[d]);
    if (!tn_mul_i64(window[d] - 1, dilations[d], &reach) || reach >= INT64_MAX / 2 ||
        !tn_dim_windows(module, padded, reach + 1, strides[d], &type.dim[d])) {
      tn_node_error(node,
                    "dim %d: a window of %" PRId64 ", dilated by %" PRId64
                    ", is larger than '%s' (%s) with %" PRId64 " and %" PRId64 " of padding",
                    d, window[d], dilations[d], tn_in_name(node, 0), tn_shape_say(node, x), before[d],
                    after[d]);
      return false;
    }
  }
  return tn_shape_result(node, 0, &type);
}
