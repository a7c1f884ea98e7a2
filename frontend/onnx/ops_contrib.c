/* com.microsoft operators that ONNX Runtime's optimizers put into models: fused normalizations and embeddings,
 * activations with biases, layouts with channels last. */
#include "frontend/onnx/common.h"

/* ---- normalizations ------------------------------------------------------------------------------------ */

/* Layer norm (bias may be NULL) or, with rms, root-mean-square norm over the last dim. */
static val normalized(struct tn_onnx_node *n, val x, val scale, val bias, bool rms, double epsilon) {
  val in[3] = {x, scale, bias};
  struct tn_node *node = tn_node_make(n->b, rms ? TN_RMS_NORM : TN_LAYER_NORM, rms ? 2 : 3, in, 1);
  tn_set_int(node, rms ? TN_RMS_NORM_axis : TN_LAYER_NORM_axis, -1);
  tn_set_float(node, rms ? TN_RMS_NORM_epsilon : TN_LAYER_NORM_epsilon, epsilon);
  if (!tn_finish(n->b, node))
    tn_fail_now(module_of(n)->ctx);
  return node->out[0];
}

/* The sum of input, skip and bias, which is result 3, and its norm. */
bool tn_onnx_op_skip_norm(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  bool rms = n->arg == 1;
  val x = tn_onnx_need(n, 0, "input"), skip = tn_onnx_need(n, 1, "skip"), gamma = tn_onnx_need(n, 2, "gamma");
  val beta = rms ? NULL : tn_onnx_in(n, 3), bias = tn_onnx_in(n, rms ? 3 : 4);
  val sum = add(b, x, skip);
  if (bias)
    sum = add(b, sum, bias);
  n->out[0] = normalized(n, sum, gamma, beta, rms, tn_onnx_float(n, "epsilon", rms ? 1e-6 : 1e-12));
  if (n->out_count > 3)
    n->out[3] = sum;
  return true;
}

bool tn_onnx_op_embed_layer_norm(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val ids = tn_onnx_need(n, 0, "input_ids"), segments = tn_onnx_in(n, 1);
  val words = tn_onnx_need(n, 2, "word_embedding"), places = tn_onnx_need(n, 3, "position_embedding");
  val kinds = tn_onnx_in(n, 4), mask = tn_onnx_in(n, 7), position = tn_onnx_in(n, 8);
  if (ids->type.rank != 2 || words->type.rank != 2 || places->type.rank != 2)
    return tn_onnx_error(n, "input_ids and the embeddings must have 2 dimensions; found %d, %d and %d",
                         ids->type.rank, words->type.rank, places->type.rank);
  val sum = tn_gather(b, words, ids, 0);
  sum = add(b, sum,
            position ? tn_gather(b, places, position, 0)
                     : tn_onnx_cut(b, places, 0, 0, tn_onnx_extent(n, ids, 1, "input_ids")));
  if (segments && kinds)
    sum = add(b, sum, tn_gather(b, kinds, segments, 0));
  n->out[0] = normalized(n, sum, tn_onnx_need(n, 5, "gamma"), tn_onnx_need(n, 6, "beta"), false,
                         tn_onnx_float(n, "epsilon", 1e-12));
  if (n->out_count > 1) /* how many tokens the mask keeps */
    n->out[1] = mask ? tn_reduce(b, TN_REDUCE_SUM, tn_cast(b, mask, TN_I32), (int64_t[]){1}, 1, false)
                     : tn_onnx_full(b, tn_const_int(b, TN_I32, 0), 1, ids->type.dim);
  if (n->out_count > 2)
    n->out[2] = sum;
  return true;
}

/* GroupNorm and SkipGroupNorm: x [batch, spatial.., channels] (channels_last 1, the default). */
bool tn_onnx_op_ms_group_norm(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  bool skip = n->arg == 1;
  val x = tn_onnx_need(n, 0, "X"), gamma = tn_onnx_need(n, 1, "gamma"), beta = tn_onnx_need(n, 2, "beta");
  int64_t groups = tn_onnx_int(n, "groups", 0);
  bool last = tn_onnx_int(n, "channels_last", 1) != 0;
  if (x->type.rank < 3)
    return tn_onnx_error(n, "X must have 3 dimensions or more, and has %d", x->type.rank);
  if (!last)
    x = tn_onnx_channels_last(b, x);
  if (skip) {
    val other = tn_onnx_need(n, 3, "skip"), bias = tn_onnx_in(n, 4);
    if (!last)
      other = tn_onnx_channels_last(b, other);
    x = add(b, x,
            other->type.rank == 2
                ? tn_reshape(b, other, 4, (tn_dim[]){other->type.dim[0], 1, 1, other->type.dim[1]})
                : other);
    if (bias)
      x = add(b, x, bias);
  }
  int rank = x->type.rank;
  int64_t channels = tn_onnx_extent(n, x, rank - 1, "X");
  if (groups < 1 || channels % groups)
    return tn_onnx_error(n, "%lld channels do not divide into %lld groups", (long long)channels,
                         (long long)groups);
  tn_dim area = tn_onnx_product(module_of(n), x->type.dim + 1, rank - 2);
  const int64_t axes[2] = {1, 3};
  val y = tn_reshape(b, x, 4, (tn_dim[]){x->type.dim[0], area, groups, channels / groups});
  y = tn_cast(b, y, wide_of(x->type.dtype));
  val centred = sub(b, y, tn_onnx_mean(b, y, axes, 2, true));
  val variance = tn_onnx_mean(b, mul(b, centred, centred), axes, 2, true);
  double epsilon = tn_onnx_float(n, "epsilon", 1e-5);
  y = quo(b, centred, tn_unary(b, TN_SQRT, add(b, variance, num(b, variance, epsilon))));
  y = tn_reshape(b, y, rank, x->type.dim);
  y = add(b, mul(b, y, tn_cast(b, gamma, y->type.dtype)), tn_cast(b, beta, y->type.dtype));
  if (tn_onnx_int(n, "activation", 0))
    y = mul(b, y, tn_unary(b, TN_SIGMOID, y));
  y = tn_cast(b, y, x->type.dtype);
  n->out[0] = last ? y : tn_onnx_channels_first(b, y);
  if (n->out_count > 1)
    n->out[1] = last ? x : tn_onnx_channels_first(b, x);
  return true;
}

/* ---- elementwise with biases --------------------------------------------------------------------------- */

/* X + bias + skip */
bool tn_onnx_op_bias_add(struct tn_onnx_node *n) {
  val sum = add(n->b, tn_onnx_need(n, 0, "X"), tn_onnx_need(n, 1, "bias"));
  n->out[0] = add(n->b, sum, tn_onnx_need(n, 2, "skip"));
  return true;
}

/* Softmax of data + bias over dims axis.. */
bool tn_onnx_op_bias_softmax(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "data");
  int axis = tn_onnx_axis(n, "axis", 1, x->type.rank);
  val sum = add(b, x, tn_onnx_need(n, 1, "bias"));
  tn_dim dims[2] = {tn_onnx_product(module_of(n), sum->type.dim, axis),
                    tn_onnx_product(module_of(n), sum->type.dim + axis, sum->type.rank - axis)};
  struct tn_type type = sum->type;
  n->out[0] = tn_reshape(b, tn_unary(b, TN_SOFTMAX, tn_reshape(b, sum, 2, dims)), type.rank, type.dim);
  return true;
}

/* The two halves of X + bias: the first times the gelu of the second. */
bool tn_onnx_op_bias_split_gelu(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = add(b, tn_onnx_need(n, 0, "X"), tn_onnx_need(n, 1, "bias"));
  int last = x->type.rank - 1;
  int64_t half = tn_onnx_extent(n, x, last, "X") / 2;
  n->out[0] =
      mul(b, tn_onnx_cut(b, x, last, 0, half), tn_onnx_gelu(b, tn_onnx_cut(b, x, last, half, half), false));
  return true;
}

bool tn_onnx_op_bias_dropout(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  const struct tn_tensor *training = tn_onnx_known(n, 4);
  if (tn_onnx_in(n, 4) && (!training || tn_tensor_int(training, 0)))
    return tn_onnx_unsupported(n, "training_mode: it would drop random elements");
  val x = add(b, tn_onnx_need(n, 0, "data"), tn_onnx_need(n, 1, "bias"));
  n->out[0] = tn_onnx_in(n, 2) ? add(b, x, tn_onnx_in(n, 2)) : x;
  return true;
}

bool tn_onnx_op_gemm_fast_gelu(struct tn_onnx_node *n) {
  val y = tn_matmul(n->b, tn_onnx_need(n, 0, "X"), tn_onnx_need(n, 1, "W"));
  n->out[0] = tn_onnx_gelu(n->b, tn_onnx_in(n, 2) ? add(n->b, y, tn_onnx_in(n, 2)) : y, true);
  return true;
}

/* Pairs of real and imaginary part in the last dim; arg 1: the second factor conjugated. */
bool tn_onnx_op_complex_mul(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B");
  int xl = x->type.rank - 1, yl = y->type.rank - 1;
  if (xl < 0 || yl < 0 || x->type.dim[xl] != 2 || y->type.dim[yl] != 2)
    return tn_onnx_error(n, "the last dimension of both operands must be 2, a real and an imaginary part");
  val xr = tn_onnx_cut(b, x, xl, 0, 1), xi = tn_onnx_cut(b, x, xl, 1, 1);
  val yr = tn_onnx_cut(b, y, yl, 0, 1), yi = tn_onnx_cut(b, y, yl, 1, 1);
  if (n->arg)
    yi = tn_unary(b, TN_NEG, yi);
  val re = sub(b, mul(b, xr, yr), mul(b, xi, yi)), im = add(b, mul(b, xr, yi), mul(b, xi, yr));
  n->out[0] = tn_concat(b, re->type.rank - 1, 2, (val[]){re, im});
  return true;
}

/* ---- others -------------------------------------------------------------------------------------------- */

bool tn_onnx_op_expand_dims(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  int axis = tn_onnx_check_axis(n, "axis", tn_onnx_const_int(n, 1, "axis"), x->type.rank + 1);
  n->out[0] = tn_onnx_unsqueeze(n->b, x, axis);
  return true;
}

/* Distances between the rows of A [m, k] and B [n, k]. */
bool tn_onnx_op_cdist(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B");
  const char *metric = tn_onnx_string(n, "metric", "sqeuclidean");
  bool root = !strcmp(metric, "euclidean");
  if (x->type.rank != 2 || y->type.rank != 2)
    return tn_onnx_error(n, "expected matrices; found operands of %d and %d dimensions", x->type.rank,
                         y->type.rank);
  if (!root && strcmp(metric, "sqeuclidean"))
    return tn_onnx_unsupported(n, "metric '%s'", metric);
  val d = sub(b, tn_onnx_unsqueeze(b, x, 1), tn_onnx_unsqueeze(b, y, 0));
  val sum = tn_reduce(b, TN_REDUCE_SUM, mul(b, d, d), (int64_t[]){2}, 1, false);
  n->out[0] = root ? tn_unary(b, TN_SQRT, sum) : sum;
  return true;
}
