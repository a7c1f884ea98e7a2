/* Decompositions of softmax and of the normalizations.
 *
 * 16-bit floats are computed in f32 and rounded once, at the end.  Divisions by something that is the same for
 * a whole row are multiplications by its reciprocal, which is computed once a row. */
#include "passes/decompose.h"

/* 1 / x */
static struct tn_value *reciprocal(struct tn_build *b, struct tn_value *x) {
  return tn_binary(b, TN_DIV, tn_const_float(b, x->type.dtype, 1.0), x);
}

struct tn_value *tn_decompose_softmax(struct tn_build *b, struct tn_node *node) {
  bool log = node->op == TN_LOG_SOFTMAX;
  struct tn_value *in = node->in[0];
  int64_t axis = tn_axis_of(node, log ? TN_LOG_SOFTMAX_axis : TN_SOFTMAX_axis, in->type.rank);
  struct tn_value *x = tn_cast(b, in, tn_compute_dtype(in->type.dtype));
  struct tn_value *centered = tn_binary(b, TN_SUB, x, tn_reduce(b, TN_REDUCE_MAX, x, &axis, 1, true));
  struct tn_value *e = tn_unary(b, TN_EXP, centered);
  struct tn_value *sum = tn_reduce(b, TN_REDUCE_SUM, e, &axis, 1, true);
  struct tn_value *y = log ? tn_binary(b, TN_SUB, centered, tn_unary(b, TN_LOG, sum))
                           : tn_binary(b, TN_MUL, e, reciprocal(b, sum));
  return tn_cast(b, y, in->type.dtype);
}

/* 1 / (number of elements in dims axis..end of x), as a rank-0 value or, when a dimension is symbolic, computed
 * from the shape. */
static struct tn_value *inverse_count(struct tn_build *b, struct tn_value *x, int axis) {
  int64_t count = 1;
  bool known = true;
  for (int i = axis; i < x->type.rank; i++)
    known = known && tn_dim_static(x->type.dim[i]) && tn_mul_i64(count, x->type.dim[i], &count);
  if (known)
    return tn_const_float(b, x->type.dtype, 1.0 / (double)count);
  struct tn_node *shape = tn_node_make(b, TN_SHAPE, 1, &x, 1);
  tn_set_int(shape, TN_SHAPE_start, axis);
  tn_set_int(shape, TN_SHAPE_end, x->type.rank);
  if (!tn_finish(b, shape))
    tn_fail_now(b->graph->module->ctx);
  int64_t zero = 0;
  struct tn_value *product = tn_reduce(b, TN_REDUCE_PROD, shape->out[0], &zero, 1, false);
  return reciprocal(b, tn_cast(b, product, x->type.dtype));
}

/* The mean over dims axis..end, kept as dims of extent 1. */
static struct tn_value *mean(struct tn_build *b, struct tn_value *x, int axis) {
  int64_t axes[TN_MAX_RANK];
  for (int i = axis; i < x->type.rank; i++)
    axes[i - axis] = i;
  struct tn_value *sum = tn_reduce(b, TN_REDUCE_SUM, x, axes, (size_t)(x->type.rank - axis), true);
  return tn_binary(b, TN_MUL, sum, inverse_count(b, x, axis));
}

/* x / sqrt(mean(x^2) + epsilon) * scale + bias over dims axis..end, then to `to`. */
static struct tn_value *scaled(struct tn_build *b, struct tn_value *x, int axis, double epsilon,
                               struct tn_value *scale, struct tn_value *bias, enum tn_dtype to) {
  enum tn_dtype dtype = x->type.dtype;
  struct tn_value *power = mean(b, tn_binary(b, TN_MUL, x, x), axis);
  struct tn_value *deviation =
      tn_unary(b, TN_SQRT, tn_binary(b, TN_ADD, power, tn_const_float(b, dtype, epsilon)));
  struct tn_value *y = tn_binary(b, TN_MUL, x, reciprocal(b, deviation));
  if (scale)
    y = tn_binary(b, TN_MUL, y, tn_cast(b, scale, dtype));
  if (bias)
    y = tn_binary(b, TN_ADD, y, tn_cast(b, bias, dtype));
  return tn_cast(b, y, to);
}

static struct tn_value *operand(const struct tn_node *node, int i) {
  return i < node->in_count ? node->in[i] : NULL;
}

struct tn_value *tn_decompose_layer_norm(struct tn_build *b, struct tn_node *node) {
  struct tn_value *in = node->in[0];
  int axis = tn_axis_of(node, TN_LAYER_NORM_axis, in->type.rank);
  struct tn_value *x = tn_cast(b, in, tn_compute_dtype(in->type.dtype));
  x = tn_binary(b, TN_SUB, x, mean(b, x, axis));
  return scaled(b, x, axis, tn_get_float(node, TN_LAYER_NORM_epsilon), operand(node, 1), operand(node, 2),
                in->type.dtype);
}

struct tn_value *tn_decompose_rms_norm(struct tn_build *b, struct tn_node *node) {
  struct tn_value *in = node->in[0];
  int axis = tn_axis_of(node, TN_RMS_NORM_axis, in->type.rank);
  struct tn_value *x = tn_cast(b, in, tn_compute_dtype(in->type.dtype));
  return scaled(b, x, axis, tn_get_float(node, TN_RMS_NORM_epsilon), operand(node, 1), NULL, in->type.dtype);
}

/* x * a + c, where a and c depend on parameters alone and fold when those are constants. */
struct tn_value *tn_decompose_batch_norm(struct tn_build *b, struct tn_node *node) {
  struct tn_value *in = node->in[0];
  enum tn_dtype dtype = tn_compute_dtype(in->type.dtype);
  int rank = in->type.rank, axis = tn_axis_of(node, TN_BATCH_NORM_axis, rank);
  struct tn_value *scale = tn_cast(b, node->in[1], dtype), *bias = tn_cast(b, node->in[2], dtype);
  struct tn_value *average = tn_cast(b, node->in[3], dtype), *variance = tn_cast(b, node->in[4], dtype);
  struct tn_value *epsilon = tn_const_float(b, dtype, tn_get_float(node, TN_BATCH_NORM_epsilon));
  struct tn_value *a =
      tn_binary(b, TN_DIV, scale, tn_unary(b, TN_SQRT, tn_binary(b, TN_ADD, variance, epsilon)));
  struct tn_value *c = tn_binary(b, TN_SUB, bias, tn_binary(b, TN_MUL, average, a));
  struct tn_value *x = tn_cast(b, in, dtype);
  struct tn_value *y =
      tn_binary(b, TN_ADD, tn_binary(b, TN_MUL, x, tn_along(b, a, rank, axis)), tn_along(b, c, rank, axis));
  return tn_cast(b, y, in->type.dtype);
}
