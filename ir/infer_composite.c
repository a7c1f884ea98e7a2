/* Shape rules of composite ops. */
#include "ir/shape.h"
#include <inttypes.h>

/* Operand i, where present, must broadcast to operand 0 and have its dtype. */
static bool fits_first(const struct tn_node *node, int i) {
  struct tn_type type;
  const struct tn_type *x = tn_in_type(node, 0);
  if (i >= node->in_count || !node->in[i])
    return true;
  if (!tn_shape_want_same_dtype(node, 0, i) || !tn_shape_broadcast(node, 0, x, i, tn_in_type(node, i), &type))
    return false;
  bool larger = type.rank != x->rank;
  for (int d = 0; d < x->rank && !larger; d++)
    larger = x->dim[d] >= 0 && type.dim[d] >= 0 && type.dim[d] != x->dim[d];
  if (larger)
    tn_node_error(node, "operand '%s' (%s) must broadcast to '%s' (%s)", tn_in_name(node, i),
                  tn_shape_say(node, tn_in_type(node, i)), tn_in_name(node, 0), tn_shape_say(node, x));
  return !larger;
}

/* rms_norm too. */
bool tn_shape_layer_norm(struct tn_node *node) {
  enum tn_attr_id id = node->op == TN_LAYER_NORM ? TN_LAYER_NORM_axis : TN_RMS_NORM_axis;
  int axis;
  return tn_shape_want_float(node, 0) && tn_shape_axis(node, id, tn_in_type(node, 0)->rank, &axis) &&
         fits_first(node, 1) && fits_first(node, 2) && tn_shape_result(node, 0, tn_in_type(node, 0));
}

bool tn_shape_batch_norm(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0);
  int axis;
  if (!tn_shape_want_float(node, 0) || !tn_shape_axis(node, TN_BATCH_NORM_axis, x->rank, &axis))
    return false;
  for (int i = 1; i < node->in_count; i++) {
    tn_dim ignored;
    if (!tn_shape_want_same_dtype(node, 0, i) || !tn_shape_want_rank(node, i, 1))
      return false;
    if (!tn_dim_same(x->dim[axis], tn_in_type(node, i)->dim[0], &ignored)) {
      tn_node_error(node, "operand '%s' (%s) must have an element for each of dim %d of '%s' (%s)",
                    tn_in_name(node, i), tn_shape_say(node, tn_in_type(node, i)), axis, tn_in_name(node, 0),
                    tn_shape_say(node, x));
      return false;
    }
  }
  return tn_shape_result(node, 0, x);
}

/* ---- quantization -------------------------------------------------------------------------------------- */

static int64_t blocks_of(int64_t dim, int64_t block) {
  return dim / block + (dim % block != 0);
}

/* Scale (operand 1) and zero point (operand 2): rank 0 or [1] for the whole tensor, [c] along axis, or, with a
 * block size, the shape of x but for blocks along axis. */
static bool check_scales(struct tn_node *node, enum tn_attr_id axis_id, enum tn_attr_id block_id) {
  const struct tn_type *x = tn_in_type(node, 0), *scale = tn_in_type(node, 1);
  int64_t block = tn_get_int(node, block_id);
  int axis;
  tn_dim ignored;
  bool fits;
  if (node->in_count > 2 && node->in[2] && !tn_shape_equal(scale, tn_in_type(node, 2))) {
    tn_node_error(node, "zero point '%s' (%s) must have the shape of the scale '%s' (%s)", tn_in_name(node, 2),
                  tn_shape_say(node, tn_in_type(node, 2)), tn_in_name(node, 1), tn_shape_say(node, scale));
    return false;
  }
  if (block < 0) {
    tn_node_error(node, "block must be 0 (none) or the block size, found %" PRId64, block);
    return false;
  }
  if (block == 0 && (scale->rank == 0 || (scale->rank == 1 && scale->dim[0] == 1)))
    return true;
  if (!tn_shape_axis(node, axis_id, x->rank, &axis))
    return false;
  if (block == 0) {
    fits = scale->rank == 1 && tn_dim_same(scale->dim[0], x->dim[axis], &ignored);
  } else {
    fits = scale->rank == x->rank;
    for (int d = 0; d < x->rank && fits; d++) {
      tn_dim want = d == axis && x->dim[d] >= 0 ? blocks_of(x->dim[d], block) : x->dim[d];
      fits = (d == axis && want < 0) || tn_dim_same(want, scale->dim[d], &ignored);
    }
  }
  if (!fits)
    tn_node_error(
        node,
        "scale '%s' (%s) must be a scalar, hold an element for each of dim %d of '%s' (%s), or one for each "
        "block of %" PRId64,
        tn_in_name(node, 1), tn_shape_say(node, scale), axis, tn_in_name(node, 0), tn_shape_say(node, x),
        block);
  return fits;
}

bool tn_shape_quantize(struct tn_node *node) {
  struct tn_type type = *tn_in_type(node, 0);
  enum tn_dtype to = (enum tn_dtype)tn_get_int(node, TN_QUANTIZE_to);
  int64_t low = tn_get_int(node, TN_QUANTIZE_low), high = tn_get_int(node, TN_QUANTIZE_high);
  if (!tn_shape_want(node, 0, tn_dtype_is_float(type.dtype) || type.dtype == TN_I32,
                     "of a float dtype or i32") ||
      !tn_shape_want_float(node, 1))
    return false;
  if (!tn_dtype_is_int(to)) {
    tn_node_error(node, "attribute to must be an integer dtype, found %s", tn_dtype_name(to));
    return false;
  }
  if (node->in_count > 2 && node->in[2] && !tn_shape_want_dtype(node, 2, to))
    return false;
  if (low > high) {
    tn_node_error(node, "low must not be above high, found %" PRId64 " and %" PRId64, low, high);
    return false;
  }
  if (!check_scales(node, TN_QUANTIZE_axis, TN_QUANTIZE_block))
    return false;
  type.dtype = to;
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_dequantize(struct tn_node *node) {
  struct tn_type type = *tn_in_type(node, 0);
  if (!tn_shape_want_int(node, 0) || !tn_shape_want_float(node, 1) ||
      (node->in_count > 2 && node->in[2] && !tn_shape_want_same_dtype(node, 0, 2)) ||
      !check_scales(node, TN_DEQUANTIZE_axis, TN_DEQUANTIZE_block))
    return false;
  type.dtype = tn_in_type(node, 1)->dtype;
  return tn_shape_result(node, 0, &type);
}

/* ---- convolution transposed ---------------------------------------------------------------------------- */

bool tn_shape_conv_transpose(struct tn_node *node) {
  const struct tn_type *x = tn_in_type(node, 0), *w = tn_in_type(node, 1);
  struct tn_module *module = tn_node_module(node);
  struct tn_type type = {.dtype = x->dtype, .rank = x->rank};
  int spatial = x->rank - 2;
  int64_t group = tn_get_int(node, TN_CONV_TRANSPOSE_group);
  const int64_t *strides, *dilations, *before, *after, *extra;
  tn_dim ignored;
  if (!tn_shape_want_numeric(node, 0) || !tn_shape_want_same_dtype(node, 0, 1) ||
      !tn_shape_want(node, 0, spatial >= 1 && spatial <= 3, "[n, spatial..., c] with 1 to 3 spatial dims") ||
      !tn_shape_want_rank(node, 1, x->rank) ||
      !tn_shape_ints(node, TN_CONV_TRANSPOSE_strides, spatial, 1, &strides) ||
      !tn_shape_ints(node, TN_CONV_TRANSPOSE_dilations, spatial, 1, &dilations) ||
      !tn_shape_ints(node, TN_CONV_TRANSPOSE_before, spatial, INT64_MIN, &before) ||
      !tn_shape_ints(node, TN_CONV_TRANSPOSE_after, spatial, INT64_MIN, &after) ||
      !tn_shape_ints(node, TN_CONV_TRANSPOSE_output_padding, spatial, 0, &extra))
    return false;
  tn_dim c = x->dim[spatial + 1];
  if (group < 1 || group > TN_MAX_TENSOR_BYTES || !tn_dim_same(c, w->dim[spatial], &ignored) ||
      (c >= 0 && c % group != 0)) {
    tn_node_error(
        node,
        "group %" PRId64 " does not fit: '%s' (%s) and '%s' (%s) must have equally many channels, last and "
        "last but one, a multiple of group",
        group, tn_in_name(node, 0), tn_shape_say(node, x), tn_in_name(node, 1), tn_shape_say(node, w));
    return false;
  }
  type.dim[0] = x->dim[0];
  type.dim[spatial + 1] = tn_dim_mul(module, w->dim[spatial + 1], group);
  for (int d = 0; d < spatial; d++) {
    tn_dim k = w->dim[d], out = tn_dim_mul(module, tn_dim_add(module, x->dim[d + 1], -1), strides[d]);
    int64_t reach, value;
    if (k <= 0 || !tn_mul_i64(k - 1, dilations[d], &reach) || reach > TN_MAX_TENSOR_BYTES) {
      tn_node_error(node, "kernel dim %d of '%s' (%s) must be static, at least 1 and of representable reach", d,
                    tn_in_name(node, 1), tn_shape_say(node, w));
      return false;
    }
    out = tn_dim_add(module, out, reach + 1 + extra[d] - before[d] - after[d]);
    if (tn_dim_value(module, out, &value) && value < 0) {
      tn_node_error(node, "spatial dim %d: the result would have %" PRId64 " elements; less must be cut off", d,
                    value);
      return false;
    }
    type.dim[d + 1] = out;
  }
  return tn_shape_result(node, 0, &type);
}

/* ---- einsum -------------------------------------------------------------------------------------------- */

/* One group of labels: a rank, then that many labels. */
struct label_group {
  int rank;
  const int64_t *label;
};

static bool next_group(struct tn_ints *rest, struct label_group *out) {
  if (rest->count == 0 || rest->at[0] < 0 || rest->at[0] > TN_MAX_RANK || (size_t)rest->at[0] >= rest->count)
    return false;
  *out = (struct label_group){(int)rest->at[0], rest->at + 1};
  rest->at += 1 + out->rank;
  rest->count -= 1 + (size_t)out->rank;
  return true;
}

/* Joins the dims of one label over all operands; *found says whether any has it. */
static bool label_dim(const struct tn_node *node, int64_t label, tn_dim *dim, bool *found) {
  struct tn_ints rest = tn_get_ints(node, TN_EINSUM_labels);
  struct label_group group;
  *found = false;
  *dim = 1;
  for (int i = 0; i < node->in_count && next_group(&rest, &group); i++)
    for (int d = 0; d < group.rank; d++) {
      tn_dim own = tn_in_type(node, i)->dim[d];
      if (group.label[d] != label)
        continue;
      *found = true;
      if (!tn_dim_broadcast(tn_node_module(node), *dim, own, dim)) {
        tn_node_error(node, "label %" PRId64 ": dim %d of '%s' (%s) is %s, an earlier one is %s", label, d,
                      tn_in_name(node, i), tn_shape_say(node, tn_in_type(node, i)), tn_shape_say_dim(node, own),
                      tn_shape_say_dim(node, *dim));
        return false;
      }
    }
  return true;
}

bool tn_shape_einsum(struct tn_node *node) {
  struct tn_ints rest = tn_get_ints(node, TN_EINSUM_labels);
  struct tn_type type = {.dtype = tn_in_type(node, 0)->dtype};
  struct label_group group;
  tn_dim dim;
  bool found;
  if (!tn_shape_want_numeric(node, 0))
    return false;
  for (int i = 0; i < node->in_count; i++) {
    if (!tn_shape_want_same_dtype(node, 0, i))
      return false;
    if (!next_group(&rest, &group) || group.rank != tn_in_type(node, i)->rank) {
      tn_node_error(node, "labels must hold the rank of operand '%s' (%s) and a label for each of its dims",
                    tn_in_name(node, i), tn_shape_say(node, tn_in_type(node, i)));
      return false;
    }
    for (int d = 0; d < group.rank; d++)
      if (!label_dim(node, group.label[d], &dim, &found))
        return false;
  }
  if (!next_group(&rest, &group) || rest.count != 0) {
    tn_node_error(node, "labels must end in the rank of the result and a label for each of its dims");
    return false;
  }
  type.rank = group.rank;
  for (int d = 0; d < group.rank; d++) {
    if (!label_dim(node, group.label[d], &type.dim[d], &found))
      return false;
    for (int e = 0; e < d; e++)
      found = found && group.label[e] != group.label[d];
    if (!found) {
      tn_node_error(node, "label %" PRId64 " of the result must be that of an operand and not repeat",
                    group.label[d]);
      return false;
    }
  }
  return tn_shape_result(node, 0, &type);
}
