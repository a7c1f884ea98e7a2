/* Operators that combine along dims: Reduce*, ArgMax and ArgMin, running sums, TopK. */
#include "frontend/onnx/common.h"

/* What a Reduce* operator does before, in and after the sum. */
enum { PLAIN = 0, MEAN, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };

/* Axes: an attribute, or operand 1 from the opset on that n->arg's upper part says; without any: all of them,
 * or none with noop_with_empty_axes, where the elementwise part stays. */
static void reduce_axes(struct tn_onnx_node *n, const struct tn_value *x, int operand_since, int64_t *axes,
                        int *count) {
  bool named = tn_onnx_axes(n, "axes", n->opset >= operand_since ? 1 : -1, x->type.rank, axes, count);
  if ((named && *count > 0) || (n->opset >= operand_since && tn_onnx_int(n, "noop_with_empty_axes", 0) != 0))
    return;
  *count = x->type.rank;
  for (int i = 0; i < *count; i++)
    axes[i] = i;
}

static val reduce(struct tn_onnx_node *n, int operand_since, enum tn_op op, int kind) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "data");
  int64_t axes[TN_MAX_RANK];
  int count;
  reduce_axes(n, x, operand_since, axes, &count);
  bool keep = tn_onnx_int(n, "keepdims", 1) != 0;
  size_t many = (size_t)count;
  enum tn_dtype dtype = x->type.dtype;
  if (dtype == TN_BOOL) { /* Max and Min of bools */
    val r = tn_reduce(b, op, tn_cast(b, x, TN_U8), axes, many, keep);
    return tn_cast(b, r, TN_BOOL);
  }
  if (kind == PLAIN && (op == TN_REDUCE_MAX || op == TN_REDUCE_MIN))
    return count == 0 ? x : tn_reduce(b, op, x, axes, many, keep);
  /* integers under a root, a logarithm or an exponential go through double */
  bool through_float = kind == L2 || kind == LOG_SUM || kind == LOG_SUM_EXP;
  x = tn_cast(b, x, through_float && !tn_dtype_is_float(dtype) ? TN_F64 : wide_of(dtype));
  val y;
  if (kind == MEAN) {
    y = tn_onnx_mean(b, x, axes, many, keep);
  } else if (kind == LOG_SUM_EXP) {
    /* the largest taken out, unless it is an infinity */
    val top = tn_reduce(b, TN_REDUCE_MAX, x, axes, many, true);
    val zero = num(b, x, 0);
    top = tn_select(b, tn_binary(b, TN_EQ, sub(b, top, top), zero), top, zero);
    val sum = tn_reduce(b, TN_REDUCE_SUM, tn_unary(b, TN_EXP, sub(b, x, top)), axes, many, keep);
    tn_dim dims[TN_MAX_RANK];
    memcpy(dims, sum->type.dim, sizeof dims);
    y = add(b, tn_unary(b, TN_LOG, sum), keep ? top : tn_reshape(b, top, sum->type.rank, dims));
  } else {
    if (kind == L1)
      x = tn_dtype_is_signed(x->type.dtype) ? tn_unary(b, TN_ABS, x) : x;
    if (kind == L2 || kind == SUM_SQUARE)
      x = mul(b, x, x);
    y = count == 0 ? x : tn_reduce(b, op, x, axes, many, keep);
    if (kind == L2)
      y = tn_unary(b, TN_SQRT, y);
    if (kind == LOG_SUM)
      y = tn_unary(b, TN_LOG, y);
  }
  return tn_cast(b, y, dtype);
}

/* ReduceMax, ReduceMin, ReduceProd, ReduceSum; arg: the op. */
bool tn_onnx_op_reduce(struct tn_onnx_node *n) {
  n->out[0] = reduce(n, n->arg == TN_REDUCE_SUM ? 13 : 18, (enum tn_op)n->arg, PLAIN);
  return true;
}
bool tn_onnx_op_reduce_mean(struct tn_onnx_node *n) {
  n->out[0] = reduce(n, 18, TN_REDUCE_SUM, MEAN);
  return true;
}
bool tn_onnx_op_reduce_l1(struct tn_onnx_node *n) {
  n->out[0] = reduce(n, 18, TN_REDUCE_SUM, L1);
  return true;
}
bool tn_onnx_op_reduce_l2(struct tn_onnx_node *n) {
  n->out[0] = reduce(n, 18, TN_REDUCE_SUM, L2);
  return true;
}
bool tn_onnx_op_reduce_log_sum(struct tn_onnx_node *n) {
  n->out[0] = reduce(n, 18, TN_REDUCE_SUM, LOG_SUM);
  return true;
}
bool tn_onnx_op_reduce_log_sum_exp(struct tn_onnx_node *n) {
  n->out[0] = reduce(n, 18, TN_REDUCE_SUM, LOG_SUM_EXP);
  return true;
}
bool tn_onnx_op_reduce_sum_square(struct tn_onnx_node *n) {
  n->out[0] = reduce(n, 18, TN_REDUCE_SUM, SUM_SQUARE);
  return true;
}

/* ---- positions ------------------------------------------------------------------------------------------ */

/* arg: TN_ARG_MAX or TN_ARG_MIN. */
bool tn_onnx_op_arg_reduce(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "data");
  bool largest = n->arg == TN_ARG_MAX;
  struct tn_node *node = tn_node_make(n->b, (enum tn_op)n->arg, 1, &x, 1);
  tn_set_int(node, largest ? TN_ARG_MAX_axis : TN_ARG_MIN_axis, tn_onnx_axis(n, "axis", 0, x->type.rank));
  tn_set_int(node, largest ? TN_ARG_MAX_keepdims : TN_ARG_MIN_keepdims, tn_onnx_int(n, "keepdims", 1) != 0);
  tn_set_int(node, largest ? TN_ARG_MAX_select_last : TN_ARG_MIN_select_last,
             tn_onnx_int(n, "select_last_index", 0) != 0);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* k is an attribute before opset 10; largest and the smallest from 11. */
bool tn_onnx_op_topk(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  int64_t k = n->opset >= 10 ? tn_onnx_const_int(n, 1, "K") : tn_onnx_int(n, "k", -1);
  int axis = tn_onnx_axis(n, "axis", -1, x->type.rank);
  if (k < 0 || (tn_dim_static(x->type.dim[axis]) && k > x->type.dim[axis]))
    return tn_onnx_error(n, "K is %lld; dimension %d of '%s' has %s elements", (long long)k, axis, x->name,
                         tn_dim_text(module_of(n), x->type.dim[axis]));
  struct tn_node *node = tn_node_make(n->b, TN_TOPK, 1, &x, 2);
  tn_set_int(node, TN_TOPK_axis, axis);
  tn_set_int(node, TN_TOPK_k, k);
  tn_set_int(node, TN_TOPK_largest, tn_onnx_int(n, "largest", 1) != 0);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  if (n->out_count > 1)
    n->out[1] = node->out[1];
  return true;
}

/* ---- running -------------------------------------------------------------------------------------------- */

/* Each element moved on by one place along the axis, or back; the identity of the sum or product comes in. */
static val moved_on(struct tn_onnx_node *n, val x, int axis, bool back, bool sum) {
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  enum tn_dtype dtype = x->type.dtype;
  before[axis] = back ? -1 : 1;
  after[axis] = back ? 1 : -1;
  val one = tn_dtype_is_float(dtype) ? tn_const_float(n->b, dtype, 1) : tn_const_int(n->b, dtype, 1);
  return tn_pad(n->b, x, before, after, sum ? NULL : one);
}

/* CumSum, CumProd; arg: TN_SCAN_SUM or TN_SCAN_PROD.  What leaves an element's own out is that of the elements
 * moved on by one, whose running sum goes in lanes. */
bool tn_onnx_op_cumulative(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "x");
  bool sum = n->arg == TN_SCAN_SUM;
  int axis = tn_onnx_check_axis(n, "axis", tn_onnx_const_int(n, 1, "axis"), x->type.rank);
  bool exclusive = tn_onnx_int(n, "exclusive", 0) != 0, reverse = tn_onnx_int(n, "reverse", 0) != 0;
  if (exclusive && tn_dim_static(x->type.dim[axis]) && x->type.dim[axis] > 1) {
    x = moved_on(n, x, axis, reverse, sum);
    exclusive = false;
  }
  struct tn_node *node = tn_node_make(n->b, (enum tn_op)n->arg, 1, &x, 1);
  tn_set_int(node, sum ? TN_SCAN_SUM_axis : TN_SCAN_PROD_axis, axis);
  tn_set_int(node, sum ? TN_SCAN_SUM_exclusive : TN_SCAN_PROD_exclusive, exclusive);
  tn_set_int(node, sum ? TN_SCAN_SUM_reverse : TN_SCAN_PROD_reverse, reverse);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}
