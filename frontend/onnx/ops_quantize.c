/* ONNX's quantized operators.  QuantizeLinear and DequantizeLinear are ops of the IR; integer products are
 * integer contractions with an i32 result, the zero points taken off the operands before. */
#include "frontend/onnx/quant.h"

/* Tensor types of fewer than 8 bits: their range, false for the others. */
static bool narrow_range(int64_t data_type, int64_t *low, int64_t *high) {
  static const struct {
    int64_t type, low, high;
  } rows[] = {{21, 0, 15}, {22, -8, 7}, {25, 0, 3}, {26, -2, 1}}; /* uint4, int4, uint2, int2 */
  for (size_t i = 0; i < TN_COUNT(rows); i++)
    if (rows[i].type == data_type) {
      *low = rows[i].low;
      *high = rows[i].high;
      return true;
    }
  return false;
}

val tn_onnx_quantize(struct tn_onnx_node *n, val x, val scale, val zero, struct tn_onnx_quant how) {
  if (how.block == 0) {
    scale = tn_onnx_scalar(n->b, scale);
    zero = zero ? tn_onnx_scalar(n->b, zero) : NULL;
  }
  val in[3] = {x, scale, zero};
  struct tn_node *node = tn_node_make(n->b, TN_QUANTIZE, zero ? 3 : 2, in, 1);
  int64_t low, high;
  tn_set_int(node, TN_QUANTIZE_to, how.to);
  tn_set_int(node, TN_QUANTIZE_axis, how.axis);
  tn_set_int(node, TN_QUANTIZE_block, how.block);
  if (narrow_range(how.data_type, &low, &high)) {
    tn_set_int(node, TN_QUANTIZE_low, low);
    tn_set_int(node, TN_QUANTIZE_high, high);
  }
  if (!tn_finish(n->b, node))
    tn_fail_now(module_of(n)->ctx);
  if (how.data_type)
    tn_onnx_mark_data_type(n, node->out[0], how.data_type);
  return node->out[0];
}

val tn_onnx_dequantize(struct tn_onnx_node *n, val x, val scale, val zero, int axis, int64_t block) {
  if (block == 0) {
    scale = tn_onnx_scalar(n->b, scale);
    zero = zero ? tn_onnx_scalar(n->b, zero) : NULL;
  }
  val in[3] = {x, scale, zero};
  struct tn_node *node = tn_node_make(n->b, TN_DEQUANTIZE, zero ? 3 : 2, in, 1);
  tn_set_int(node, TN_DEQUANTIZE_axis, axis);
  tn_set_int(node, TN_DEQUANTIZE_block, block);
  if (!tn_finish(n->b, node))
    tn_fail_now(module_of(n)->ctx);
  return node->out[0];
}

/* A scale of one element is for the whole tensor, whatever axis says. */
static int scale_axis(struct tn_onnx_node *n, val x, val scale) {
  int64_t axis = tn_onnx_int(n, "axis", 1);
  int64_t count;
  bool whole = tn_type_count(&scale->type, &count) && count == 1 && tn_onnx_int(n, "block_size", 0) == 0;
  return whole ? 0 : tn_onnx_check_axis(n, "axis", axis, x->type.rank);
}

bool tn_onnx_op_quantize_linear(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "x"), scale = tn_onnx_need(n, 1, "y_scale"), zero = tn_onnx_in(n, 2);
  struct tn_onnx_quant how = {.to = TN_U8, .data_type = 2, .axis = scale_axis(n, x, scale)};
  int64_t output = tn_onnx_int(n, "output_dtype", 0);
  how.block = tn_onnx_int(n, "block_size", 0);
  if (zero) {
    how.to = zero->type.dtype;
    how.data_type = tn_onnx_in_data_type(n, 2);
  } else if (output) {
    how.to = tn_onnx_dtype(n, output);
    how.data_type = output;
  }
  int64_t precision = tn_onnx_int(n, "precision", 0);
  enum tn_dtype in = precision ? tn_onnx_dtype(n, precision) : scale->type.dtype;
  if (tn_dtype_is_float(x->type.dtype) || precision)
    x = tn_cast(n->b, x, in);
  n->out[0] = tn_onnx_quantize(n, x, tn_cast(n->b, scale, in), zero, how);
  return true;
}

bool tn_onnx_op_dequantize_linear(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "x"), scale = tn_onnx_need(n, 1, "x_scale"), zero = tn_onnx_in(n, 2);
  int64_t output = tn_onnx_int(n, "output_dtype", 0);
  int axis = scale_axis(n, x, scale);
  val y = tn_onnx_dequantize(n, x, scale, zero, axis, tn_onnx_int(n, "block_size", 0));
  n->out[0] = output ? tn_cast(n->b, y, tn_onnx_dtype(n, output)) : y;
  return true;
}

val tn_onnx_quantize_by_range(struct tn_onnx_node *n, val x, val *scale, val *point) {
  struct tn_build *b = n->b;
  val zero = num(b, x, 0);
  int64_t axes[TN_MAX_RANK];
  size_t rank = (size_t)x->type.rank;
  for (size_t i = 0; i < rank; i++)
    axes[i] = (int64_t)i;
  val high = max2(b, rank ? tn_reduce(b, TN_REDUCE_MAX, x, axes, rank, false) : x, zero);
  val low = min2(b, rank ? tn_reduce(b, TN_REDUCE_MIN, x, axes, rank, false) : x, zero);
  val step = quo(b, sub(b, high, low), num(b, x, 255));
  /* all zeros: any scale does */
  *scale = tn_select(b, tn_binary(b, TN_EQ, step, zero), num(b, x, 1), step);
  val place = tn_unary(b, TN_ROUND, tn_onnx_clip(b, quo(b, sub(b, zero, low), *scale), 0, 255));
  *point = tn_cast(b, place, TN_U8);
  return tn_onnx_quantize(n, x, *scale, *point, (struct tn_onnx_quant){.to = TN_U8});
}

bool tn_onnx_op_dynamic_quantize_linear(struct tn_onnx_node *n) {
  val scale, point;
  n->out[0] = tn_onnx_quantize_by_range(n, tn_onnx_need(n, 0, "x"), &scale, &point);
  if (n->out_count > 1)
    n->out[1] = scale;
  if (n->out_count > 2)
    n->out[2] = point;
  return true;
}

/* ---- integer products ----------------------------------------------------------------------------------- */

bool tn_onnx_known_zero(struct tn_onnx_node *n, int i) {
  const struct tn_tensor *tensor = tn_onnx_known(n, i);
  int64_t count;
  if (!tensor || !tn_type_count(&tensor->type, &count))
    return false;
  for (int64_t k = 0; k < count; k++)
    if (tn_tensor_int(tensor, k) != 0)
      return false;
  return true;
}

val tn_onnx_centred(struct tn_onnx_node *n, val x, int zero_operand, int axis) {
  struct tn_build *b = n->b;
  val zero = tn_onnx_in(n, zero_operand);
  if (!zero || tn_onnx_known_zero(n, zero_operand))
    return x;
  zero = tn_onnx_along(b, tn_onnx_scalar(b, zero), axis, x->type.rank);
  return sub(b, tn_cast(b, x, TN_I32), tn_cast(b, zero, TN_I32));
}

val tn_onnx_matmul_i32(struct tn_onnx_node *n, val x, val y) {
  struct tn_build *b = n->b;
  bool row = x->type.rank == 1, column = y->type.rank == 1;
  val in[2] = {row ? tn_onnx_unsqueeze(b, x, 0) : x, column ? tn_onnx_unsqueeze(b, y, 1) : y};
  struct tn_node *node = tn_node_make(b, TN_MATMUL, 2, in, 1);
  tn_set_int(node, TN_MATMUL_acc, TN_I32);
  if (!tn_finish(b, node))
    tn_fail_now(module_of(n)->ctx);
  val z = node->out[0];
  if (column)
    z = tn_onnx_squeeze(b, z, z->type.rank - 1);
  return row ? tn_onnx_squeeze(b, z, z->type.rank - (column ? 1 : 2)) : z;
}

val tn_onnx_requantize(struct tn_onnx_node *n, val x, int scale_operand, int zero_operand) {
  val scale = tn_onnx_need(n, scale_operand, "the result's scale"), zero = tn_onnx_in(n, zero_operand);
  struct tn_onnx_quant how = {.to = zero ? zero->type.dtype : TN_U8};
  how.data_type = zero ? tn_onnx_in_data_type(n, zero_operand) : 0;
  return tn_onnx_quantize(n, x, tn_cast(n->b, scale, x->type.dtype), zero, how);
}

val tn_onnx_real(struct tn_onnx_node *n, int first, int axis) {
  val x = tn_onnx_need(n, first, "a quantized operand"),
      scale = tn_onnx_need(n, first + 1, "an operand's scale");
  return tn_onnx_dequantize(n, x, scale, tn_onnx_in(n, first + 2), axis, 0);
}

bool tn_onnx_op_matmul_integer(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B");
  x = tn_onnx_centred(n, x, 2, x->type.rank > 1 ? x->type.rank - 2 : 0);
  y = tn_onnx_centred(n, y, 3, y->type.rank - 1);
  n->out[0] = tn_onnx_matmul_i32(n, x, y);
  return true;
}

bool tn_onnx_op_conv_integer(struct tn_onnx_node *n) {
  val x = tn_onnx_centred(n, tn_onnx_need(n, 0, "x"), 2, 1);
  val w = tn_onnx_centred(n, tn_onnx_need(n, 1, "w"), 3, 0);
  n->out[0] = tn_onnx_conv(n, x, w, NULL, TN_I32);
  return true;
}

/* The product of two scales, in f32, a vector of them along `axis`. */
static val joint_scale(struct tn_onnx_node *n, int x_scale, int y_scale, int axis, int rank) {
  struct tn_build *b = n->b;
  val p = tn_cast(b, tn_onnx_scalar(b, tn_onnx_need(n, x_scale, "the first scale")), TN_F32);
  val q = tn_cast(b, tn_onnx_scalar(b, tn_onnx_need(n, y_scale, "the second scale")), TN_F32);
  return mul(b, tn_onnx_along(b, p, rank > 1 ? rank - 2 : 0, rank), tn_onnx_along(b, q, axis, rank));
}

/* x, its scale and zero, w, its scale and zero, y's scale and zero, bias (i32, of scale x * w). */
bool tn_onnx_op_qlinear_conv(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_centred(n, tn_onnx_need(n, 0, "x"), 2, 1),
      w = tn_onnx_centred(n, tn_onnx_need(n, 3, "w"), 5, 0);
  val sum = tn_onnx_conv(n, x, w, tn_onnx_in(n, 8), TN_I32);
  val y = mul(b, tn_cast(b, sum, TN_F32), joint_scale(n, 1, 4, 1, sum->type.rank));
  n->out[0] = tn_onnx_requantize(n, y, 6, 7);
  return true;
}

bool tn_onnx_op_qlinear_matmul(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "a"), w = tn_onnx_need(n, 3, "b");
  x = tn_onnx_centred(n, x, 2, x->type.rank > 1 ? x->type.rank - 2 : 0);
  w = tn_onnx_centred(n, w, 5, w->type.rank - 1);
  val sum = tn_onnx_matmul_i32(n, x, w);
  val y = mul(b, tn_cast(b, sum, TN_F32), joint_scale(n, 1, 4, sum->type.rank - 1, sum->type.rank));
  n->out[0] = tn_onnx_requantize(n, y, 6, 7);
  return true;
}
