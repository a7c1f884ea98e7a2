/* Decompositions of quantize and dequantize.
 *
 * Scale and zero point are one for the tensor, one for each element of a dim, or one for each block of elements
 * along a dim (ONNX's three forms); all become a value that broadcasts to the tensor's shape.  Results are
 * exact: one division, one rounding to even, then integer arithmetic that cannot overflow. */
#include "passes/decompose.h"

/* The parameter (scale or zero point) as something that broadcasts to x. */
static struct tn_value *spread(struct tn_build *b, const struct tn_node *node, struct tn_value *parameter,
                               enum tn_attr_id axis_id, enum tn_attr_id block_id) {
  const struct tn_type *type = &node->in[0]->type;
  int64_t block = tn_get_int(node, block_id), count;
  int rank = type->rank;
  if (tn_type_count(&parameter->type, &count) && count == 1) {
    return parameter->type.rank == 0 ? parameter : tn_reshape(b, parameter, 0, NULL);
  }
  int axis = tn_axis_of(node, axis_id, rank);
  if (block <= 0)
    return tn_along(b, parameter, rank, axis);
  if (rank + 1 > TN_MAX_RANK) {
    tn_node_error(node, "block quantization of a tensor of %d dimensions; at most %d are supported", rank,
                  TN_MAX_RANK - 1);
    tn_fail_now(b->graph->module->ctx);
  }
  /* [.., blocks, ..] -> [.., blocks, block, ..] -> [.., blocks * block, ..] -> [.., dim, ..] */
  tn_dim split[TN_MAX_RANK], wide[TN_MAX_RANK], merged[TN_MAX_RANK];
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  for (int i = 0, j = 0; i < rank; i++) {
    split[j] = wide[j] = merged[i] = parameter->type.dim[i];
    j++;
    if (i == axis) {
      split[j] = 1;
      wide[j++] = block;
      merged[i] = tn_dim_op(node->home->module, '*', parameter->type.dim[i], block);
    }
  }
  struct tn_value *v = tn_reshape(b, parameter, rank + 1, split);
  v = tn_reshape(b, tn_expand(b, v, rank + 1, wide), rank, merged);
  if (merged[axis] == type->dim[axis])
    return v;
  if (!tn_dim_static(merged[axis]) || !tn_dim_static(type->dim[axis])) {
    tn_node_error(node,
                  "block quantization along dimension %d needs its extent at compile time; bind it with --dim",
                  axis);
    tn_fail_now(b->graph->module->ctx);
  }
  after[axis] = type->dim[axis] - merged[axis];
  return tn_pad(b, v, before, after, NULL);
}

/* Lowest and highest value of an integer dtype of at most 32 bits. */
static void range_of(enum tn_dtype dtype, int64_t *low, int64_t *high) {
  int bits = (int)tn_dtype_size(dtype) * 8;
  bool is_signed = tn_dtype_is_signed(dtype);
  *low = is_signed ? -((int64_t)1 << (bits - 1)) : 0;
  *high = ((int64_t)1 << (is_signed ? bits - 1 : bits)) - 1;
}

struct tn_value *tn_decompose_quantize(struct tn_build *b, struct tn_node *node) {
  enum tn_dtype to = (enum tn_dtype)tn_get_int(node, TN_QUANTIZE_to);
  if (!tn_dtype_is_int(to) || tn_dtype_size(to) > 4) {
    tn_node_error(node, "quantizing to %s; expected an integer dtype of at most 32 bits", tn_dtype_name(to));
    tn_fail_now(b->graph->module->ctx);
  }
  int64_t low = tn_get_int(node, TN_QUANTIZE_low), high = tn_get_int(node, TN_QUANTIZE_high), lowest, highest;
  range_of(to, &lowest, &highest);
  if (low == high)
    low = lowest, high = highest;
  /* Integers (ONNX allows i32) divide as floats; f32 holds every integer within the range of a result of 8 or
   * 16 bits exactly, and what does not fit saturates. */
  bool wide = tn_dtype_size(to) > 2;
  enum tn_dtype dtype = wide || node->in[0]->type.dtype == TN_F64 ? TN_F64 : TN_F32;
  struct tn_value *scale = spread(b, node, node->in[1], TN_QUANTIZE_axis, TN_QUANTIZE_block);
  struct tn_value *q = tn_binary(b, TN_DIV, tn_cast(b, node->in[0], dtype), tn_cast(b, scale, dtype));
  q = tn_unary(b, TN_ROUND, q);
  if (node->in_count > 2 && node->in[2]) {
    struct tn_value *zero = spread(b, node, node->in[2], TN_QUANTIZE_axis, TN_QUANTIZE_block);
    q = tn_binary(b, TN_ADD, q, tn_cast(b, zero, dtype));
  }
  /* The cast saturates to the dtype's own range. */
  if (low != lowest)
    q = tn_binary(b, TN_MAX, q, tn_const_float(b, dtype, (double)low));
  if (high != highest)
    q = tn_binary(b, TN_MIN, q, tn_const_float(b, dtype, (double)high));
  return tn_cast(b, q, to);
}

struct tn_value *tn_decompose_dequantize(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  enum tn_dtype to = node->in[1]->type.dtype, dtype = tn_compute_dtype(to);
  struct tn_value *scale = spread(b, node, node->in[1], TN_DEQUANTIZE_axis, TN_DEQUANTIZE_block);
  if (node->in_count > 2 && node->in[2]) {
    struct tn_value *zero = spread(b, node, node->in[2], TN_DEQUANTIZE_axis, TN_DEQUANTIZE_block);
    /* The difference of two integers of n bits needs n + 1. */
    enum tn_dtype between = tn_dtype_size(x->type.dtype) > 2 ? TN_I64 : TN_I32;
    x = tn_binary(b, TN_SUB, tn_cast(b, x, between), tn_cast(b, zero, between));
  }
  x = tn_binary(b, TN_MUL, tn_cast(b, x, dtype), tn_cast(b, scale, dtype));
  return tn_cast(b, x, to);
}
