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

/* The mapping of a float operator for the node's attributes with other operands; leaves its result. */
static val by_mapping(struct tn_onnx_node *n, tn_onnx_map *map, int opset, int arg, int count, val *in) {
  struct tn_onnx_node inner = *n;
  val y = NULL;
  inner.opset = opset;
  inner.arg = arg;
  inner.in_count = count;
  inner.in = in;
  inner.in_list = TN_NEW_ARRAY(n->arena, const struct tn_onnx_list *, count);
  inner.out_count = 1;
  inner.out = &y;
  inner.out_list = TN_NEW_ARRAY(n->arena, const struct tn_onnx_list *, 1);
  inner.out_used = &(bool){true};
  if (!map(&inner))
    tn_fail_now(module_of(n)->ctx);
  return y;
}

/* X, scale, zero, result's scale, zero.  The attribute opset says which Softmax of ai.onnx it is. */
bool tn_onnx_op_qlinear_softmax(struct tn_onnx_node *n) {
  val x = tn_onnx_real(n, 0, 0);
  int opset = tn_onnx_has(n, "axis") ? (int)tn_onnx_int(n, "opset", 13) : 13; /* the axis is -1 when absent */
  val y = by_mapping(n, tn_onnx_op_softmax, opset, TN_SOFTMAX, 1, &x);
  n->out[0] = tn_onnx_requantize(n, y, 3, 4);
  return true;
}

bool tn_onnx_op_qlinear_average_pool(struct tn_onnx_node *n) {
  bool last = tn_onnx_int(n, "channels_last", 0) != 0;
  val x = tn_onnx_real(n, 0, 0);
  x = last ? tn_onnx_channels_first(n->b, x) : x;
  val y = by_mapping(n, tn_onnx_op_average_pool, 11, 0, 1, &x);
  n->out[0] = tn_onnx_requantize(n, last ? tn_onnx_channels_last(n->b, y) : y, 3, 4);
  return true;
}

/* Condition, X, scale, zero, Y, scale, zero, result's scale, zero. */
bool tn_onnx_op_qlinear_where(struct tn_onnx_node *n) {
  val in[3] = {tn_onnx_need(n, 0, "condition"), tn_onnx_real(n, 1, 0), tn_onnx_real(n, 4, 0)};
  n->out[0] = tn_onnx_requantize(n, tn_select(n->b, in[0], in[1], in[2]), 7, 8);
  return true;
}

/* ids, segments, five quantized tables, mask, then the tables' scales and their zero points. */
bool tn_onnx_op_qembed_layer_norm(struct tn_onnx_node *n) {
  enum { TABLES = 5, FIRST = 2, SCALES = 8, ZEROS = SCALES + TABLES };
  val in[8] = {tn_onnx_in(n, 0), tn_onnx_in(n, 1)};
  for (int i = 0; i < TABLES; i++)
    if (tn_onnx_in(n, FIRST + i))
      in[FIRST + i] = tn_onnx_dequantize(n, tn_onnx_in(n, FIRST + i), tn_onnx_need(n, SCALES + i, "a scale"),
                                         tn_onnx_in(n, ZEROS + i), 0, 0);
  val mask = tn_onnx_in(n, 7), ids = tn_onnx_need(n, 0, "input_ids");
  n->out[0] = by_mapping(n, tn_onnx_op_embed_layer_norm, n->opset, 0, 7, in);
  if (n->out_count > 1) /* how many tokens the mask keeps */
    n->out[1] = mask ? tn_reduce(n->b, TN_REDUCE_SUM, tn_cast(n->b, mask, TN_I32), (int64_t[]){1}, 1, false)
                     : tn_onnx_full(n->b, tn_const_int(n->b, TN_I32, 0), 1, ids->type.dim);
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

val tn_onnx_matmul_scaled(struct tn_onnx_node *n, const int (*at)[3], int bias_at) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, at[0][0], "the first operand"), w = tn_onnx_need(n, at[1][0], "the second operand");
  val bias = tn_onnx_in(n, bias_at);
  x = tn_onnx_centred(n, x, at[0][2], x->type.rank > 1 ? x->type.rank - 2 : 0);
  w = tn_onnx_centred(n, w, at[1][2], w->type.rank - 1);
  val scale = mul(b, tn_onnx_scalar(b, tn_onnx_need(n, at[0][1], "the first scale")),
                  tn_onnx_scalar(b, tn_onnx_need(n, at[1][1], "the second scale")));
  val y = mul(b, tn_cast(b, tn_onnx_matmul_i32(n, x, w), scale->type.dtype), scale);
  return bias ? add(b, y, bias) : y;
}

/* A, B, a_scale, b_scale, a_zero, b_zero, bias. */
bool tn_onnx_op_matmul_integer_to_float(struct tn_onnx_node *n) {
  n->out[0] = tn_onnx_matmul_scaled(n, (const int[2][3]){{0, 2, 4}, {1, 3, 5}}, 6);
  return true;
}

val tn_onnx_matmul_by_range(struct tn_onnx_node *n, val x, val w, val w_scale) {
  struct tn_build *b = n->b;
  val scale, zero;
  x = tn_onnx_quantize_by_range(n, x, &scale, &zero);
  x = sub(b, tn_cast(b, x, TN_I32), tn_cast(b, zero, TN_I32));
  scale = mul(b, scale, w_scale);
  return mul(b, tn_cast(b, tn_onnx_matmul_i32(n, x, w), scale->type.dtype), scale);
}

/* A (float), B, b_scale, b_zero, bias: A is quantized by the range that it has in this run. */
bool tn_onnx_op_dynamic_quantize_matmul(struct tn_onnx_node *n) {
  val w = tn_onnx_need(n, 1, "B"), bias = tn_onnx_in(n, 4);
  w = tn_onnx_centred(n, w, 3, w->type.rank - 1);
  val y = tn_onnx_matmul_by_range(n, tn_onnx_need(n, 0, "A"), w,
                                  tn_onnx_scalar(n->b, tn_onnx_need(n, 2, "b_scale")));
  n->out[0] = bias ? add(n->b, y, bias) : y;
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

/* ---- GatherBlockQuantized ------------------------------------------------------------------------------- */

/* Numbers of `bits` bits packed along the last dim, low bits first, each in a byte. */
static val unpacked(struct tn_onnx_node *n, int operand, const char *what, int64_t bits, int64_t last) {
  const struct tn_tensor *t = tn_onnx_known(n, operand);
  if (!t)
    tn_onnx_need_value(n, operand, what);
  struct tn_type type = t->type;
  int64_t in = type.rank ? type.dim[type.rank - 1] : 0, rows = in ? (int64_t)t->bytes / in : 0;
  if ((last * bits + 7) / 8 != in) {
    tn_onnx_error(n, "%s has %lld bytes a row; expected %lld numbers of %lld bits", what, (long long)in,
                  (long long)last, (long long)bits);
    tn_fail_now(module_of(n)->ctx);
  }
  uint8_t *to = tn_alloc(n->arena, (size_t)(rows * last) + 1);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < last; i++)
      to[r * last + i] = (uint8_t)packed((const uint8_t *)t->data + r * in, i, bits);
  type.dim[type.rank - 1] = last;
  return tn_constant_bytes(n->b, type, to);
}

/* data, indices, scales, zero points: rows of a table that is stored in blocks along quantize_axis, a scale and
 * a zero point a block.  Rows are picked before they are dequantized. */
bool tn_onnx_op_gather_block_quantized(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val data = tn_onnx_need(n, 0, "data"), at = tn_onnx_need(n, 1, "indices"),
      scale = tn_onnx_need(n, 2, "scales");
  val zero = tn_onnx_in(n, 3);
  int rank = data->type.rank;
  int64_t block = tn_onnx_int(n, "block_size", 128), bits = tn_onnx_int(n, "bits", 4),
          of = tn_onnx_in_data_type(n, 0);
  if (rank < 1 || scale->type.rank != rank || (zero && zero->type.rank != rank))
    return tn_onnx_error(n, "data, scales and zero_points must have as many dimensions; found %d and %d", rank,
                         scale->type.rank);
  int gather = tn_onnx_axis(n, "gather_axis", 0, rank), quantize = tn_onnx_axis(n, "quantize_axis", 1, rank);
  bool bytes = of != 21 && of != 22; /* uint4 and int4 come unpacked */
  if (gather == quantize)
    return tn_onnx_unsupported(n, "gather_axis and quantize_axis are the same");
  if (data->type.dtype != TN_U8 && data->type.dtype != TN_I8)
    return tn_onnx_unsupported(n, "data of type %s", tn_dtype_name(data->type.dtype));
  if (block < 16 || (bytes && bits != 2 && bits != 4 && bits != 8))
    return tn_onnx_error(n, "block_size is %lld and bits %lld; expected 16 or more, and 2, 4 or 8",
                         (long long)block, (long long)bits);
  if (bytes && bits < 8) {
    int64_t last = tn_onnx_extent(n, data, rank - 1, "data") * 8 / bits;
    data = unpacked(n, 0, "data", bits, last);
    if (zero)
      zero = unpacked(n, 3, "zero_points", bits, tn_onnx_extent(n, scale, rank - 1, "scales"));
  }
  if (!zero && bytes) {
    tn_dim one[TN_MAX_RANK];
    memcpy(one, scale->type.dim, sizeof one);
    zero = tn_onnx_full(b, tn_const_int(b, data->type.dtype, (int64_t)1 << (bits - 1)), rank, one);
  }
  data = tn_gather(b, data, at, gather);
  scale = tn_gather(b, scale, at, gather);
  zero = zero ? tn_gather(b, zero, at, gather) : NULL;
  int axis = quantize > gather ? quantize + at->type.rank - 1 : quantize;
  n->out[0] = tn_onnx_dequantize(n, data, scale, zero, axis, block);
  return true;
}
