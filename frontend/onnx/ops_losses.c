/* Losses, and the optimizer steps of ai.onnx.preview.training. */
#include "frontend/onnx/common.h"

/* ---- losses --------------------------------------------------------------------------------------------- */

/* -log_prob[n, target, d...] * weight[target], ignored targets left out; reduced as asked.
 * log_prob [n, c, d...], target [n, d...], weight [c] or NULL. */
static bool likelihood_loss(struct tn_onnx_node *n, val log_prob, val target, val weight) {
  struct tn_build *b = n->b;
  const char *reduction = tn_onnx_string(n, "reduction", "mean");
  bool mean = !strcmp(reduction, "mean"), sum = !strcmp(reduction, "sum");
  if (!mean && !sum && strcmp(reduction, "none") != 0)
    return tn_onnx_error(n, "attribute reduction is '%s'; expected none, sum or mean", reduction);
  if (log_prob->type.rank < 2 || target->type.rank != log_prob->type.rank - 1)
    return tn_onnx_error(n, "expected scores [n, c, d...] and target [n, d...]; found %d and %d dimensions",
                         log_prob->type.rank, target->type.rank);
  val at = tn_cast(b, target, TN_I64), kept = NULL;
  if (tn_onnx_has(n, "ignore_index")) {
    kept = tn_binary(b, TN_NE, at, tn_const_int(b, TN_I64, tn_onnx_int(n, "ignore_index", 0)));
    at = tn_select(b, kept, at, tn_const_int(b, TN_I64, 0));
  }
  val in[2] = {log_prob, tn_onnx_unsqueeze(b, at, 1)};
  struct tn_node *node = tn_node_make(b, TN_GATHER_ELEMENTS, 2, in, 1);
  tn_set_int(node, TN_GATHER_ELEMENTS_axis, 1);
  if (!tn_finish(b, node))
    return false;
  val loss = tn_unary(b, TN_NEG, tn_onnx_squeeze(b, node->out[0], 1)), share = NULL;
  if (weight)
    share = tn_gather(b, weight, at, 0);
  if (kept)
    share = share ? tn_select(b, kept, share, num(b, share, 0)) : tn_cast(b, kept, loss->type.dtype);
  if (share)
    loss = mul(b, loss, share);
  if (kept) /* an infinity times zero is no zero */
    loss = tn_select(b, kept, loss, num(b, loss, 0));
  int64_t axes[TN_MAX_RANK];
  size_t rank = (size_t)loss->type.rank;
  for (size_t i = 0; i < rank; i++)
    axes[i] = (int64_t)i;
  if (mean && !share)
    loss = tn_onnx_mean(b, loss, axes, rank, false);
  else if (mean || sum)
    loss = tn_reduce(b, TN_REDUCE_SUM, loss, axes, rank, false);
  if (mean && share)
    loss = quo(b, loss,
               tn_reduce(b, TN_REDUCE_SUM, tn_onnx_expand_like(b, share, &target->type), axes, rank, false));
  n->out[0] = loss;
  return true;
}

bool tn_onnx_op_nll_loss(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input"), target = tn_onnx_need(n, 1, "target");
  return likelihood_loss(n, x, target, tn_onnx_in(n, 2));
}

bool tn_onnx_op_softmax_cross_entropy_loss(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "scores"), target = tn_onnx_need(n, 1, "labels");
  struct tn_node *node = tn_node_make(n->b, TN_LOG_SOFTMAX, 1, &x, 1);
  tn_set_int(node, TN_LOG_SOFTMAX_axis, 1);
  if (x->type.rank < 2)
    return tn_onnx_error(n, "expected scores [n, c, d...]; '%s' has %d dimensions", x->name, x->type.rank);
  if (!tn_finish(n->b, node))
    return false;
  if (n->out_count > 1)
    n->out[1] = node->out[0];
  return likelihood_loss(n, node->out[0], target, tn_onnx_in(n, 2));
}

/* ---- optimizers ----------------------------------------------------------------------------------------- */

/* Operands: rate R, step count T, then for each of `count` tensors X, then G, then each of the states.  Leaves
 * when the numbers do not fit; the results are X, then the states. */
static int optimizer_count(struct tn_onnx_node *n, int states) {
  int count = (n->in_count - 2) / (2 + states);
  if (count < 1 || n->in_count != 2 + count * (2 + states) || n->out_count != count * (1 + states)) {
    tn_onnx_error(
        n, "%d operands and %d results do not fit: expected R, T and %d operands, %d results for each tensor",
        n->in_count, n->out_count, 2 + states, 1 + states);
    tn_fail_now(module_of(n)->ctx);
  }
  for (int i = 0; i < n->in_count; i++)
    tn_onnx_need(n, i, "operand");
  return count;
}

static val scaled(struct tn_build *b, val x, double factor) {
  return mul(b, x, num(b, x, factor));
}

/* g + norm * x */
static val regularized(struct tn_onnx_node *n, val x, val g) {
  return add(n->b, g, scaled(n->b, x, tn_onnx_float(n, "norm_coefficient", 0)));
}

/* V' = alpha V + beta' G, beta' 1 at the first step;  X' = X - R V', or with Nesterov's X - R (G + alpha V').
 */
bool tn_onnx_op_momentum(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  int count = optimizer_count(n, 1);
  double alpha = tn_onnx_float(n, "alpha", 0), beta = tn_onnx_float(n, "beta", 0);
  bool nesterov = !strcmp(tn_onnx_string(n, "mode", "standard"), "nesterov");
  val rate = tn_onnx_scalar(b, n->in[0]), steps = tn_onnx_scalar(b, n->in[1]);
  val later = tn_binary(b, TN_GT, steps, num(b, steps, 0));
  for (int i = 0; i < count; i++) {
    val x = n->in[2 + i], g = regularized(n, x, n->in[2 + count + i]), v = n->in[2 + 2 * count + i];
    val r = tn_cast(b, rate, x->type.dtype);
    val part = mul(b, g, tn_select(b, later, num(b, g, beta), num(b, g, 1)));
    v = add(b, scaled(b, v, alpha), part);
    val step = nesterov ? add(b, g, scaled(b, v, alpha)) : v;
    n->out[i] = sub(b, x, mul(b, r, step));
    n->out[count + i] = v;
  }
  return true;
}

/* H' = H + G^2;  X' = X - r G / (sqrt(H') + epsilon), r = R / (1 + T decay) */
bool tn_onnx_op_adagrad(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  int count = optimizer_count(n, 1);
  double epsilon = tn_onnx_float(n, "epsilon", 0), decay = tn_onnx_float(n, "decay_factor", 0);
  val rate = tn_onnx_scalar(b, n->in[0]);
  val steps = tn_cast(b, tn_onnx_scalar(b, n->in[1]), rate->type.dtype);
  rate = quo(b, rate, add(b, scaled(b, steps, decay), num(b, rate, 1)));
  for (int i = 0; i < count; i++) {
    val x = n->in[2 + i], g = regularized(n, x, n->in[2 + count + i]), h = n->in[2 + 2 * count + i];
    h = add(b, h, mul(b, g, g));
    val root = add(b, tn_unary(b, TN_SQRT, h), num(b, h, epsilon));
    n->out[i] = sub(b, x, quo(b, mul(b, tn_cast(b, rate, x->type.dtype), g), root));
    n->out[count + i] = h;
  }
  return true;
}

/* V' = alpha V + (1 - alpha) G;  H' = beta H + (1 - beta) G^2;  X' = X - r V' / (sqrt(H') + epsilon), where r
 * is R, from the second step on corrected by sqrt(1 - beta^T) / (1 - alpha^T). */
bool tn_onnx_op_adam(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  int count = optimizer_count(n, 2);
  double alpha = tn_onnx_float(n, "alpha", 0.9f), beta = tn_onnx_float(n, "beta", 0.999f);
  double epsilon = tn_onnx_float(n, "epsilon", 0), post = tn_onnx_float(n, "norm_coefficient_post", 0);
  val rate = tn_onnx_scalar(b, n->in[0]), steps = tn_onnx_scalar(b, n->in[1]), one = num(b, rate, 1);
  val t = tn_cast(b, steps, rate->type.dtype);
  val grown = sub(b, one, tn_binary(b, TN_POW, num(b, t, beta), t));
  val shrunk = sub(b, one, tn_binary(b, TN_POW, num(b, t, alpha), t));
  val corrected = quo(b, mul(b, rate, tn_unary(b, TN_SQRT, grown)), shrunk);
  rate = tn_select(b, tn_binary(b, TN_GT, steps, num(b, steps, 0)), corrected, rate);
  for (int i = 0; i < count; i++) {
    val x = n->in[2 + i], g = regularized(n, x, n->in[2 + count + i]);
    val v = n->in[2 + 2 * count + i], h = n->in[2 + 3 * count + i];
    v = add(b, scaled(b, v, alpha), scaled(b, g, 1 - alpha));
    h = add(b, scaled(b, h, beta), scaled(b, mul(b, g, g), 1 - beta));
    val root = add(b, tn_unary(b, TN_SQRT, h), num(b, h, epsilon));
    val y = sub(b, x, quo(b, mul(b, tn_cast(b, rate, x->type.dtype), v), root));
    n->out[i] = post == 0 ? y : scaled(b, y, 1 - post);
    n->out[count + i] = v;
    n->out[2 * count + i] = h;
  }
  return true;
}
