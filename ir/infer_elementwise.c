/* Shape rules of sources and elementwise ops. */
#include "ir/shape.h"
#include <inttypes.h>

/* ---- sources ------------------------------------------------------------------------------------------- */

bool tn_shape_constant(struct tn_node *node) {
  const struct tn_tensor *tensor = tn_get_tensor(node, TN_CONSTANT_value);
  int64_t bytes;
  if (tensor->type.dtype <= TN_NONE || tensor->type.dtype >= TN_DTYPE_COUNT || tensor->type.rank < 0 ||
      tensor->type.rank > TN_MAX_RANK || !tn_type_bytes(&tensor->type, &bytes)) {
    tn_node_error(node, "the constant's type must be static and of a known dtype");
    return false;
  }
  if (tensor->bytes != (size_t)bytes || (bytes > 0 && !tensor->data)) {
    tn_node_error(node, "the constant of type %s needs %" PRId64 " bytes, found %zu",
                  tn_shape_say(node, &tensor->type), bytes, tensor->data ? tensor->bytes : 0);
    return false;
  }
  if (tensor->type.quant)
    node->out[0]->type.quant = tensor->type.quant;
  return tn_shape_result(node, 0, &tensor->type);
}

bool tn_shape_iota(struct tn_node *node) {
  struct tn_type type = {.dtype = (enum tn_dtype)tn_get_int(node, TN_IOTA_dtype)};
  int axis;
  if (!tn_shape_dims(node, TN_IOTA_shape, &type.rank, type.dim))
    return false;
  if (type.dtype == TN_NONE || type.dtype == TN_BOOL) {
    tn_node_error(node, "iota counts in a numeric dtype, found %s", tn_dtype_name(type.dtype));
    return false;
  }
  return tn_shape_axis(node, TN_IOTA_axis, type.rank, &axis) && tn_shape_result(node, 0, &type);
}

static int64_t clamp(int64_t x, int64_t high) {
  return x < 0 ? 0 : x > high ? high : x;
}

bool tn_shape_shape(struct tn_node *node) {
  int64_t rank = tn_in_type(node, 0)->rank;
  int64_t start = tn_get_int(node, TN_SHAPE_start), end = tn_get_int(node, TN_SHAPE_end);
  start = clamp(start < 0 ? start + rank : start, rank);
  end = clamp(end < 0 ? end + rank : end, rank);
  tn_set_int(node, TN_SHAPE_start, start);
  tn_set_int(node, TN_SHAPE_end, end);
  struct tn_type type = tn_type_make(TN_I64, 1, (tn_dim[]){end > start ? end - start : 0});
  return tn_shape_result(node, 0, &type);
}

/* ---- one operand --------------------------------------------------------------------------------------- */

static bool like_operand(struct tn_node *node, int i, enum tn_dtype dtype) {
  struct tn_type type = *tn_in_type(node, i);
  type.dtype = dtype;
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_unary(struct tn_node *node) {
  return tn_shape_want_numeric(node, 0) && like_operand(node, 0, tn_in_type(node, 0)->dtype);
}

/* softmax and log_softmax too. */
bool tn_shape_unary_float(struct tn_node *node) {
  int axis, rank = tn_in_type(node, 0)->rank;
  if (node->op == TN_SOFTMAX && !tn_shape_axis(node, TN_SOFTMAX_axis, rank, &axis))
    return false;
  if (node->op == TN_LOG_SOFTMAX && !tn_shape_axis(node, TN_LOG_SOFTMAX_axis, rank, &axis))
    return false;
  return tn_shape_want_float(node, 0) && like_operand(node, 0, tn_in_type(node, 0)->dtype);
}

static bool want_bits(const struct tn_node *node, int i) {
  enum tn_dtype dtype = tn_in_type(node, i)->dtype;
  return tn_shape_want(node, i, dtype == TN_BOOL || tn_dtype_is_int(dtype),
                       "bool or of an integer dtype (cast it)");
}

bool tn_shape_unary_bits(struct tn_node *node) {
  return want_bits(node, 0) && like_operand(node, 0, tn_in_type(node, 0)->dtype);
}

bool tn_shape_predicate(struct tn_node *node) {
  return tn_shape_want_float(node, 0) && like_operand(node, 0, TN_BOOL);
}

bool tn_shape_cast(struct tn_node *node) {
  return like_operand(node, 0, (enum tn_dtype)tn_get_int(node, TN_CAST_to));
}

bool tn_shape_bitcast(struct tn_node *node) {
  enum tn_dtype to = (enum tn_dtype)tn_get_int(node, TN_BITCAST_to);
  if (tn_dtype_size(to) != tn_dtype_size(tn_in_type(node, 0)->dtype)) {
    tn_node_error(node, "operand '%s' (%s) cannot be read as %s: elements must be of one size",
                  tn_in_name(node, 0), tn_shape_say(node, tn_in_type(node, 0)), tn_dtype_name(to));
    return false;
  }
  return like_operand(node, 0, to);
}

/* ---- two operands -------------------------------------------------------------------------------------- */

static bool two(struct tn_node *node, enum tn_dtype dtype) {
  struct tn_type type;
  if (!tn_shape_want_same_dtype(node, 0, 1) ||
      !tn_shape_broadcast(node, 0, tn_in_type(node, 0), 1, tn_in_type(node, 1), &type))
    return false;
  type.dtype = dtype;
  return tn_shape_result(node, 0, &type);
}

bool tn_shape_binary(struct tn_node *node) {
  return tn_shape_want_numeric(node, 0) && two(node, tn_in_type(node, 0)->dtype);
}

bool tn_shape_binary_bits(struct tn_node *node) {
  return want_bits(node, 0) && two(node, tn_in_type(node, 0)->dtype);
}

bool tn_shape_binary_int(struct tn_node *node) {
  return tn_shape_want_int(node, 0) && two(node, tn_in_type(node, 0)->dtype);
}

bool tn_shape_compare(struct tn_node *node) {
  bool order = node->op != TN_EQ && node->op != TN_NE;
  return (!order || tn_shape_want_numeric(node, 0)) && two(node, TN_BOOL);
}

bool tn_shape_select(struct tn_node *node) {
  struct tn_type type;
  if (!tn_shape_want_dtype(node, 0, TN_BOOL) || !tn_shape_want_same_dtype(node, 1, 2) ||
      !tn_shape_broadcast(node, 1, tn_in_type(node, 1), 2, tn_in_type(node, 2), &type) ||
      !tn_shape_broadcast(node, 1, &type, 0, tn_in_type(node, 0), &type))
    return false;
  return tn_shape_result(node, 0, &type);
}
