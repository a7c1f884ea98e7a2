/* Normalizations, softmax and dropout. */
#include "frontend/onnx/common.h"

/* ---- softmax -------------------------------------------------------------------------------------------- */

/* Before opset 13 the operand is a matrix, cut at `axis` (default 1), and the operator works on its rows; from
 * 13 on it works along one axis (default the last).  Brings x to the shape in which to work along *axis. */
static val softmax_shape(struct tn_onnx_node *n, val x, int *axis) {
  int rank = x->type.rank;
  if (n->opset >= 13) {
    *axis = tn_onnx_axis(n, "axis", -1, rank);
    return x;
  }
  int cut = tn_onnx_axis(n, "axis", 1, rank);
  bool flat = true; /* already one row a slice */
  for (int i = cut; i < rank - 1; i++)
    flat = flat && x->type.dim[i] == 1;
  if (flat) {
    *axis = rank - 1;
    return x;
  }
  tn_dim dims[2] = {tn_onnx_product(module_of(n), x->type.dim, cut),
                    tn_onnx_product(module_of(n), x->type.dim + cut, rank - cut)};
  *axis = 1;
  return tn_reshape(n->b, x, 2, dims);
}

static val shaped_back(struct tn_build *b, val y, val x) {
  return tn_shape_equal(&y->type, &x->type) ? y : tn_reshape(b, y, x->type.rank, x->type.dim);
}

/* arg: TN_SOFTMAX or TN_LOG_SOFTMAX. */
bool tn_onnx_op_softmax(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  int axis;
  val rows = softmax_shape(n, x, &axis);
  struct tn_node *node = tn_node_make(n->b, (enum tn_op)n->arg, 1, &rows, 1);
  tn_set_int(node, n->arg == TN_SOFTMAX ? TN_SOFTMAX_axis : TN_LOG_SOFTMAX_axis, axis);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = shaped_back(n->b, node->out[0], x);
  return true;
}

/* 1 at the first largest element, else 0. */
bool tn_onnx_op_hardmax(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  int axis;
  val rows = softmax_shape(n, x, &axis);
  struct tn_node *arg = tn_node_make(b, TN_ARG_MAX, 1, &rows, 1);
  tn_set_int(arg, TN_ARG_MAX_axis, axis);
  if (!tn_finish(b, arg))
    return false;
  val place = tn_onnx_iota_along(b, TN_I64, tn_onnx_extent(n, rows, axis, "input"), axis, rows->type.rank);
  val hot = tn_cast(b, tn_binary(b, TN_EQ, place, arg->out[0]), x->type.dtype);
  n->out[0] = shaped_back(b, hot, x);
  return true;
}

/* ---- mean and variance ---------------------------------------------------------------------------------- */

struct moments {
  val centred, mean, variance; /* x - mean; the latter two with reduced dims of 1 */
};
static struct moments moments_of(struct tn_build *b, val x, const int64_t *axes, size_t count) {
  struct moments m;
  m.mean = tn_onnx_mean(b, x, axes, count, true);
  m.centred = sub(b, x, m.mean);
  m.variance = tn_onnx_mean(b, mul(b, m.centred, m.centred), axes, count, true);
  return m;
}
static val inverse_deviation(struct tn_build *b, val variance, double epsilon) {
  return quo(b, num(b, variance, 1), tn_unary(b, TN_SQRT, add(b, variance, num(b, variance, epsilon))));
}

/* layer_norm over dims axis.. of x, computed in f32 or wider; scale, bias: NULL or broadcasting to x. */
static val layer_norm(struct tn_build *b, val x, val scale, val bias, int axis, double epsilon) {
  val in[3] = {x, scale, bias};
  struct tn_node *node = tn_node_make(b, TN_LAYER_NORM, bias ? 3 : scale ? 2 : 1, in, 1);
  tn_set_int(node, TN_LAYER_NORM_axis, axis);
  tn_set_float(node, TN_LAYER_NORM_epsilon, epsilon);
  if (!tn_finish(b, node))
    tn_fail_now(b->graph->module->ctx);
  return node->out[0];
}

/* Per-channel statistics over the batch; running ones move towards them (training_mode). */
static bool batch_norm_training(struct tn_onnx_node *n, val x, const val *params, double epsilon) {
  struct tn_build *b = n->b;
  int64_t axes[TN_MAX_RANK];
  size_t count = 0;
  int rank = x->type.rank;
  enum tn_dtype dtype = x->type.dtype;
  double momentum = tn_onnx_float(n, "momentum", 0.9f);
  for (int i = 0; i < rank; i++)
    if (i != 1)
      axes[count++] = i;
  struct moments m = moments_of(b, tn_cast(b, x, wide_of(dtype)), axes, count);
  val scale = tn_onnx_along(b, tn_cast(b, params[1], wide_of(dtype)), 1, rank);
  val bias = tn_onnx_along(b, tn_cast(b, params[2], wide_of(dtype)), 1, rank);
  val y = mul(b, mul(b, m.centred, inverse_deviation(b, m.variance, epsilon)), scale);
  n->out[0] = tn_cast(b, add(b, y, bias), dtype);
  for (int i = 1; i < n->out_count && i < 3; i++) {
    val running = params[2 + i], now = tn_cast(b, i == 1 ? m.mean : m.variance, running->type.dtype);
    now = tn_reshape(b, now, 1, running->type.dim);
    n->out[i] = add(b, mul(b, running, num(b, running, momentum)), mul(b, now, num(b, now, 1 - momentum)));
  }
  return true;
}

bool tn_onnx_op_batch_normalization(struct tn_onnx_node *n) {
  static const char *const names[] = {"X", "scale", "B", "mean", "var"};
  struct tn_build *b = n->b;
  val in[5];
  for (int i = 0; i < 5; i++)
    in[i] = tn_onnx_need(n, i, names[i]);
  double epsilon = tn_onnx_float(n, "epsilon", 1e-5f);
  enum tn_dtype dtype = in[0]->type.dtype;
  if (in[0]->type.rank < 2)
    return tn_onnx_error(n, "expected an operand [n, c, ...]; '%s' has %d dimensions", in[0]->name,
                         in[0]->type.rank);
  if (n->opset < 9 && tn_onnx_int(n, "spatial", 1) == 0)
    return tn_onnx_unsupported(n, "attribute spatial 0 (statistics for each element)");
  if (n->opset < 7 && tn_onnx_int(n, "is_test", 0) == 0)
    return tn_onnx_unsupported(n, "attribute is_test 0 (training); export the model for inference");
  if (n->opset >= 14 && tn_onnx_int(n, "training_mode", 0) != 0)
    return batch_norm_training(n, in[0], in, epsilon);
  for (int i = 1; i < n->out_count; i++)
    if (n->out_used[i])
      return tn_onnx_unsupported(n, "output %d (statistics of training); export the model for inference", i);
  /* operands may be wider than x (opset 15): all in the widest */
  enum tn_dtype wide = dtype;
  for (int i = 1; i < 5; i++)
    if (tn_dtype_size(in[i]->type.dtype) > tn_dtype_size(wide))
      wide = in[i]->type.dtype;
  for (int i = 0; i < 5; i++)
    in[i] = tn_cast(b, in[i], wide);
  struct tn_node *node = tn_node_make(b, TN_BATCH_NORM, 5, in, 1);
  tn_set_int(node, TN_BATCH_NORM_axis, 1);
  tn_set_float(node, TN_BATCH_NORM_epsilon, epsilon);
  if (!tn_finish(b, node))
    return false;
  n->out[0] = tn_cast(b, node->out[0], dtype);
  return true;
}

/* Per sample and channel, over the spatial dims. */
bool tn_onnx_op_instance_normalization(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), scale = tn_onnx_need(n, 1, "scale"), bias = tn_onnx_need(n, 2, "B");
  int rank = x->type.rank;
  if (rank < 3)
    return tn_onnx_error(n, "expected an operand [n, c, spatial...]; '%s' has %d dimensions", x->name, rank);
  n->out[0] = layer_norm(b, x, tn_onnx_along(b, scale, 1, rank), tn_onnx_along(b, bias, 1, rank), 2,
                         tn_onnx_float(n, "epsilon", 1e-5f));
  return true;
}

/* Over groups of channels and the spatial dims; scale and bias are one a group before opset 21, one a channel
 * after. */
bool tn_onnx_op_group_normalization(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), scale = tn_onnx_need(n, 1, "scale"), bias = tn_onnx_need(n, 2, "bias");
  int rank = x->type.rank;
  int64_t groups = tn_onnx_int(n, "num_groups", 0);
  if (rank < 2)
    return tn_onnx_error(n, "expected an operand [n, c, ...]; '%s' has %d dimensions", x->name, rank);
  int64_t channels = tn_onnx_extent(n, x, 1, "X");
  if (groups < 1 || channels % groups != 0)
    return tn_onnx_error(n, "num_groups %lld does not divide the %lld channels of '%s'", (long long)groups,
                         (long long)channels, x->name);
  double epsilon = tn_onnx_float(n, "epsilon", 1e-5f);
  tn_dim rest = tn_onnx_product(module_of(n), x->type.dim + 2, rank - 2);
  rest = tn_dim_op(module_of(n), '*', rest, channels / groups);
  val rows = tn_reshape(b, x, 3, (tn_dim[]){x->type.dim[0], groups, rest});
  bool per_group = scale->type.rank == 1 && scale->type.dim[0] == groups && groups != channels;
  if (per_group) {
    rows = layer_norm(b, rows, tn_onnx_along(b, scale, 1, 3), tn_onnx_along(b, bias, 1, 3), 2, epsilon);
    n->out[0] = tn_reshape(b, rows, rank, x->type.dim);
    return true;
  }
  val y = tn_reshape(b, layer_norm(b, rows, NULL, NULL, 2, epsilon), rank, x->type.dim);
  y = mul(b, y, tn_onnx_along(b, scale, 1, rank));
  n->out[0] = add(b, y, tn_onnx_along(b, bias, 1, rank));
  return true;
}

/* stash_type says in which dtype to compute; this is f32 or wider in any case.  Mean and InvStdDev on demand.
 */
bool tn_onnx_op_layer_normalization(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), scale = tn_onnx_in(n, 1), bias = tn_onnx_in(n, 2);
  enum tn_dtype dtype = x->type.dtype;
  int rank = x->type.rank, axis = tn_onnx_axis(n, "axis", -1, rank);
  double epsilon = tn_onnx_float(n, "epsilon", 1e-5f);
  scale = scale ? tn_cast(b, scale, dtype) : NULL;
  bias = bias ? tn_cast(b, bias, dtype) : NULL;
  bool stats = false;
  for (int i = 1; i < n->out_count; i++)
    stats = stats || n->out_used[i];
  if (!stats) {
    n->out[0] = layer_norm(b, x, scale, bias, axis, epsilon);
    return true;
  }
  int64_t axes[TN_MAX_RANK];
  for (int i = axis; i < rank; i++)
    axes[i - axis] = i;
  struct moments m = moments_of(b, tn_cast(b, x, wide_of(dtype)), axes, (size_t)(rank - axis));
  val inverse = inverse_deviation(b, m.variance, epsilon);
  val y = tn_cast(b, mul(b, m.centred, inverse), dtype);
  y = scale ? mul(b, y, scale) : y;
  n->out[0] = bias ? add(b, y, bias) : y;
  enum tn_dtype stash = tn_onnx_dtype(n, tn_onnx_int(n, "stash_type", 1));
  if (n->out_count > 1)
    n->out[1] = tn_cast(b, m.mean, stash);
  if (n->out_count > 2)
    n->out[2] = tn_cast(b, inverse, stash);
  return true;
}

/* x / sqrt(mean(x^2) + epsilon) * scale; the result has the scale's dtype. */
bool tn_onnx_op_rms_normalization(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), scale = tn_onnx_need(n, 1, "scale");
  enum tn_dtype dtype = scale->type.dtype;
  bool wider = tn_dtype_size(x->type.dtype) > tn_dtype_size(dtype);
  enum tn_dtype in = wider ? x->type.dtype : dtype;
  val operands[2] = {tn_cast(b, x, in), tn_cast(b, scale, in)};
  struct tn_node *node = tn_node_make(b, TN_RMS_NORM, 2, operands, 1);
  tn_set_int(node, TN_RMS_NORM_axis, tn_onnx_axis(n, "axis", -1, x->type.rank));
  tn_set_float(node, TN_RMS_NORM_epsilon, tn_onnx_float(n, "epsilon", 1e-5f));
  if (!tn_finish(b, node))
    return false;
  n->out[0] = tn_cast(b, node->out[0], dtype);
  return true;
}

/* (x - mean) / (sqrt(variance) + 1e-9) over axes, by default all but the channels. */
bool tn_onnx_op_mean_variance_normalization(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  enum tn_dtype dtype = x->type.dtype;
  int64_t axes[TN_MAX_RANK] = {0, 2, 3};
  int count;
  if (!tn_onnx_axes(n, "axes", -1, x->type.rank, axes, &count)) {
    if (x->type.rank != 4)
      return tn_onnx_error(n, "without axes an operand of 4 dimensions is expected; '%s' has %d", x->name,
                           x->type.rank);
    count = 3;
  }
  struct moments m = moments_of(b, tn_cast(b, x, wide_of(dtype)), axes, (size_t)count);
  val deviation = tn_unary(b, TN_SQRT, m.variance);
  n->out[0] = tn_cast(b, quo(b, m.centred, add(b, deviation, num(b, deviation, 1e-9))), dtype);
  return true;
}

/* x / (bias + alpha / size * sum of squares over `size` channels around)^beta */
bool tn_onnx_op_lrn(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), square;
  enum tn_dtype dtype = x->type.dtype;
  int64_t size = tn_onnx_int(n, "size", 0), ones[TN_MAX_RANK], window[TN_MAX_RANK];
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  size_t rank = (size_t)x->type.rank;
  if (rank < 2 || size < 1)
    return tn_onnx_error(n, "expected an operand [n, c, ...] and a size above 0; found %zu dimensions and %lld",
                         rank, (long long)size);
  for (size_t i = 0; i < rank; i++)
    ones[i] = window[i] = 1;
  window[1] = size;
  before[1] = (size - 1) / 2;
  after[1] = size - 1 - before[1];
  x = tn_cast(b, x, wide_of(dtype));
  square = mul(b, x, x);
  struct tn_node *node = tn_node_make(b, TN_POOL, 1, &square, 1);
  tn_set_int(node, TN_POOL_kind, 2); /* sum */
  tn_set_ints(node, TN_POOL_window, window, rank);
  tn_set_ints(node, TN_POOL_strides, ones, rank);
  tn_set_ints(node, TN_POOL_dilations, ones, rank);
  tn_set_ints(node, TN_POOL_before, before, rank);
  tn_set_ints(node, TN_POOL_after, after, rank);
  if (!tn_finish(b, node))
    return false;
  double alpha = tn_onnx_float(n, "alpha", 1e-4f), beta = tn_onnx_float(n, "beta", 0.75);
  val base = mul(b, node->out[0], num(b, x, alpha / (double)size));
  base = add(b, base, num(b, x, tn_onnx_float(n, "bias", 1)));
  n->out[0] = tn_cast(b, quo(b, x, tn_binary(b, TN_POW, base, num(b, x, beta))), dtype);
  return true;
}

/* ---- dropout -------------------------------------------------------------------------------------------- */

/* Inference: the operand itself; the mask keeps everything. */
bool tn_onnx_op_dropout(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "data");
  if (n->opset >= 12 && tn_onnx_in(n, 2)) {
    bool training = tn_onnx_const_int(n, 2, "training_mode") != 0;
    double ratio = tn_onnx_in(n, 1) ? tn_onnx_const_float(n, 1, "ratio") : 0.5;
    if (training && ratio != 0)
      return tn_onnx_unsupported(
          n, "training_mode is true, and it would drop random elements; export the model for "
             "inference");
  }
  n->out[0] = x;
  if (n->out_count > 1 && n->out_used[1])
    n->out[1] = tn_onnx_full(b, tn_const_int(b, n->opset >= 10 ? TN_BOOL : x->type.dtype, 1), x->type.rank,
                             x->type.dim);
  return true;
}
