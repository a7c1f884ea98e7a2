/* Quantized arithmetic that the mappings of ONNX's and com.microsoft's quantized operators share. */
#ifndef TENON_FRONTEND_ONNX_QUANT_H
#define TENON_FRONTEND_ONNX_QUANT_H

#include "frontend/onnx/common.h"

/* How to quantize: axis and block are looked at when the scale is no scalar. */
struct tn_onnx_quant {
  enum tn_dtype to;
  int64_t data_type; /* TensorProto.DataType: types of 2 and 4 bits are held in a byte */
  int axis;
  int64_t block;
};
/* saturate(round(x / scale) + zero), zero NULL for none. */
val tn_onnx_quantize(struct tn_onnx_node *n, val x, val scale, val zero, struct tn_onnx_quant how);
/* (x - zero) * scale. */
val tn_onnx_dequantize(struct tn_onnx_node *n, val x, val scale, val zero, int axis, int64_t block);
/* u8 by the range of the data, which is made to hold 0; its scale and zero point, rank 0. */
val tn_onnx_quantize_by_range(struct tn_onnx_node *n, val x, val *scale, val *zero);
/* Operand i is known, and 0 throughout. */
bool tn_onnx_known_zero(struct tn_onnx_node *n, int i);
/* x - zero in i32; x itself where zero is absent or known to be 0.  A vector of zero points lies along `axis`.
 */
val tn_onnx_centred(struct tn_onnx_node *n, val x, int zero_operand, int axis);
/* The quantization of result scale and zero point operands (both scalars). */
val tn_onnx_requantize(struct tn_onnx_node *n, val x, int scale_operand, int zero_operand);
/* Operands first, first + 1, first + 2 (stored, scale, zero point) as a float tensor. */
val tn_onnx_real(struct tn_onnx_node *n, int first, int axis);
/* matmul with an i32 result; the operands' dtypes may differ. */
val tn_onnx_matmul_i32(struct tn_onnx_node *n, val x, val y);
/* (x - zero) * (w - zero) in i32, times both scales, plus the operand `bias_at` if it is there.  at: operands
 * of x and of w, of their scales, of their zero points. */
val tn_onnx_matmul_scaled(struct tn_onnx_node *n, const int (*at)[3], int bias_at);
/* Float x, quantized by its range, times a quantized w less its zero point; w's scale: of rank 0 or one a
 * column. */
val tn_onnx_matmul_by_range(struct tn_onnx_node *n, val x, val w, val w_scale);

#endif
