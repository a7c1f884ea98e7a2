/* com.microsoft's quantized operators: the float operator between dequantize and quantize, integer products
 * with scales, and products with packed weights of 2, 4 or 8 bits. */
#include "frontend/onnx/quant.h"

/* QLinearAdd, QLinearMul; arg: the op.  A, scale, zero, B, scale, zero, result's scale, zero. */
bool tn_onnx_op_qlinear_binary(struct tn_onnx_node *n) {
  val y = tn_binary(n->b, (enum tn_op)n->arg, tn_onnx_real(n, 0, 0), tn_onnx_real(n, 3, 0));
  n->out[0] = tn_onnx_requantize(n, y, 6, 7);
  return true;
}

/* QLinearSigmoid, QLinearLeakyRelu; arg 1: the latter.  X, scale, zero, result's scale, zero. */
bool tn_onnx_op_qlinear_unary(struct tn_onnx_node *n) {
  val x = tn_onnx_real(n, 0, 0);
  val y =
      n->arg ? tn_onnx_leaky_relu(n->b, x, tn_onnx_float(n, "alpha", 0.01f)) : tn_unary(n->b, TN_SIGMOID, x);
  n->out[0] = tn_onnx_requantize(n, y, 3, 4);
  return true;
}

bool tn_onnx_op_qlinear_global_average_pool(struct tn_onnx_node *n) {
  val x = tn_onnx_real(n, 0, 0);
  int64_t axes[TN_MAX_RANK], first = tn_onnx_int(n, "channels_last", 0) ? 1 : 2;
  int count = x->type.rank - 2;
  if (count < 1)
    return tn_onnx_error(n, "expected an operand with spatial dimensions; found %d dimensions", x->type.rank);
  for (int i = 0; i < count; i++)
    axes[i] = first + i;
  n->out[0] = tn_onnx_requantize(n, tn_onnx_mean(n->b, x, axes, (size_t)count, true), 3, 4);
  return true;
}

/* Result's scale and zero, then X, scale, zero for each operand. */
bool tn_onnx_op_qlinear_concat(struct tn_onnx_node *n) {
  int count = (n->in_count - 2) / 3;
  if (count < 1 || n->in_count != 2 + 3 * count)
    return tn_onnx_error(n, "%d operands; expected a scale, a zero point and three for each tensor",
                         n->in_count);
  val *xs = TN_NEW_ARRAY(n->arena, val, count);
  for (int i = 0; i < count; i++)
    xs[i] = tn_onnx_real(n, 2 + 3 * i, 0);
  int axis = tn_onnx_axis(n, "axis", 0, xs[0]->type.rank);
  n->out[0] = tn_onnx_requantize(n, count == 1 ? xs[0] : tn_concat(n->b, axis, count, xs), 0, 1);
  return true;
}

/* A, scale, zero, B, scale, zero, C (i32), result's scale and zero, which may be absent: then the result is
 * float. */
bool tn_onnx_op_qgemm(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), w = tn_onnx_need(n, 3, "B"), c = tn_onnx_in(n, 6);
  bool turned = tn_onnx_int(n, "transB", 0) != 0;
  double alpha = tn_onnx_float(n, "alpha", 1);
  if (x->type.rank != 2 || w->type.rank != 2)
    return tn_onnx_error(n, "expected matrices; found operands of %d and %d dimensions", x->type.rank,
                         w->type.rank);
  x = tn_onnx_centred(n, x, 2, 0);
  w = tn_onnx_centred(n, w, 5, turned ? 0 : 1);
  val sum = tn_onnx_matmul_i32(n, tn_onnx_int(n, "transA", 0) ? tn_onnx_move_dim(b, x, 1, 0) : x,
                               turned ? tn_onnx_move_dim(b, w, 1, 0) : w);
  if (c)
    sum = add(b, sum, c);
  val scale = mul(b, tn_onnx_scalar(b, tn_onnx_need(n, 1, "a_scale")),
                  tn_onnx_scalar(b, tn_onnx_need(n, 4, "b_scale")));
  scale = alpha == 1 ? scale : mul(b, scale, num(b, scale, alpha));
  val y = mul(b, tn_cast(b, sum, TN_F32), scale);
  n->out[0] = tn_onnx_in(n, 7) ? tn_onnx_requantize(n, y, 7, 8) : y;
  return true;
}

/* A, B, a_scale, b_scale, a_zero, b_zero, bias. */
bool tn_onnx_op_matmul_integer_to_float(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), w = tn_onnx_need(n, 1, "B"), bias = tn_onnx_in(n, 6);
  x = tn_onnx_centred(n, x, 4, x->type.rank > 1 ? x->type.rank - 2 : 0);
  w = tn_onnx_centred(n, w, 5, w->type.rank - 1);
  val scale = mul(b, tn_onnx_scalar(b, tn_onnx_need(n, 2, "a_scale")),
                  tn_onnx_scalar(b, tn_onnx_need(n, 3, "b_scale")));
  val y = mul(b, tn_cast(b, tn_onnx_matmul_i32(n, x, w), scale->type.dtype), scale);
  n->out[0] = bias ? add(b, y, bias) : y;
  return true;
}

/* A (float), B, b_scale, b_zero, bias: A is quantized by the range that it has in this run. */
bool tn_onnx_op_dynamic_quantize_matmul(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val scale, zero, w = tn_onnx_need(n, 1, "B"), bias = tn_onnx_in(n, 4);
  val x = tn_onnx_quantize_by_range(n, tn_onnx_need(n, 0, "A"), &scale, &zero);
  x = sub(b, tn_cast(b, x, TN_I32), tn_cast(b, zero, TN_I32));
  w = tn_onnx_centred(n, w, 3, w->type.rank - 1);
  scale = mul(b, scale, tn_onnx_scalar(b, tn_onnx_need(n, 2, "b_scale")));
  val y = mul(b, tn_cast(b, tn_onnx_matmul_i32(n, x, w), scale->type.dtype), scale);
  n->out[0] = bias ? add(b, y, bias) : y;
  return true;
}

/* ---- MatMulNBits ---------------------------------------------------------------------------------------- */

/* Element j of a row of packed numbers, low bits first. */
static int64_t packed(const uint8_t *row, int64_t j, int64_t bits) {
  return row[j * bits / 8] >> (j * bits % 8) & ((1 << bits) - 1);
}

/* A [.., K] times the transpose of a matrix [N, K] that is stored in blocks of `block_size` elements of `bits`
 * bits, a scale and a zero point a block.  Unpacked here to a dequantize of [K, N]. */
bool tn_onnx_op_matmul_nbits(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), scale = tn_onnx_need(n, 2, "scales"), bias = tn_onnx_in(n, 5);
  const struct tn_tensor *w = tn_onnx_known(n, 1), *zero = tn_onnx_in(n, 3) ? tn_onnx_known(n, 3) : NULL;
  int64_t rows = tn_onnx_int(n, "N", 0), columns = tn_onnx_int(n, "K", 0), bits = tn_onnx_int(n, "bits", 4);
  int64_t block = tn_onnx_int(n, "block_size", 0);
  if (rows < 1 || columns < 1 || rows > 1 << 24 || columns > 1 << 24 || block < 16 || block > 1 << 24)
    return tn_onnx_error(n, "N %lld, K %lld and block_size %lld must be above 0, the last 16 or more",
                         (long long)rows, (long long)columns, (long long)block);
  if (bits != 2 && bits != 4 && bits != 8)
    return tn_onnx_unsupported(n, "bits %lld; 2, 4 and 8 are known", (long long)bits);
  if (tn_onnx_in(n, 4))
    return tn_onnx_unsupported(n, "operand g_idx (a block index for each row)");
  if (!w)
    tn_onnx_need_value(n, 1, "B");
  if (tn_onnx_in(n, 3) && !zero)
    tn_onnx_need_value(n, 3, "zero_points");
  if (zero && zero->type.dtype != TN_U8)
    return tn_onnx_unsupported(n, "zero_points of type %s; u8 is known", tn_dtype_name(zero->type.dtype));
  int64_t blocks = (columns + block - 1) / block, blob = block * bits / 8, zero_row = (blocks * bits + 7) / 8;
  if (w->bytes != (size_t)(rows * blocks * blob) || (zero && zero->bytes != (size_t)(rows * zero_row)))
    return tn_onnx_error(n, "B has %zu bytes; expected %lld for N %lld, K %lld, block_size %lld and %lld bits",
                         w->bytes, (long long)(rows * blocks * blob), (long long)rows, (long long)columns,
                         (long long)block, (long long)bits);
  /* less the zero point where the difference fits i8; else u8 with zero points of its own */
  bool centred = bits < 8;
  const uint8_t *from = w->data, *zeros = zero ? zero->data : NULL;
  uint8_t *to = tn_alloc(n->arena, (size_t)(rows * columns));     /* [K, N] */
  uint8_t *zero_to = tn_alloc(n->arena, (size_t)(rows * blocks)); /* [blocks, N] */
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) {
      int64_t k = c / block, point = zeros ? packed(zeros + r * zero_row, k, bits) : (int64_t)1 << (bits - 1);
      int64_t q = packed(from + (r * blocks + k) * blob, c % block, bits);
      to[c * rows + r] = (uint8_t)(centred ? q - point : q);
      zero_to[k * rows + r] = (uint8_t)point;
    }
  val stored = tn_constant_bytes(b, tn_type_make(centred ? TN_I8 : TN_U8, 2, (tn_dim[]){columns, rows}), to);
  val points = centred ? NULL : tn_constant_bytes(b, tn_type_make(TN_U8, 2, (tn_dim[]){blocks, rows}), zero_to);
  scale = tn_transpose(b, tn_reshape(b, scale, 2, (tn_dim[]){rows, blocks}), (int64_t[]){1, 0});
  val real = tn_onnx_dequantize(n, stored, scale, points, 0, block);
  val y = tn_matmul(b, x, tn_cast(b, real, x->type.dtype));
  n->out[0] = bias ? add(b, y, bias) : y;
  return true;
}
