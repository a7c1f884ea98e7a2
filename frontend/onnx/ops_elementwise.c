/* Elementwise operators: one output element from the input elements at the same place (numpy broadcasting). */
#include "frontend/onnx/common.h"

/* ---- straight to one op; n->arg is its enum tn_op ------------------------------------------------------- */

bool tn_onnx_op_unary(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  enum tn_op op = (enum tn_op)n->arg;
  bool fixed = !tn_dtype_is_float(x->type.dtype);
  /* the identity on what has no sign or no fraction */
  bool whole = op == TN_CEIL || op == TN_FLOOR || op == TN_ROUND;
  if (fixed && (whole || (op == TN_ABS && !tn_dtype_is_signed(x->type.dtype))))
    n->out[0] = x;
  else
    n->out[0] = tn_unary(n->b, op, x);
  return true;
}

/* Before opset 7 attribute `broadcast` said that B's dims are those of A from `axis` on, by default the last
 * ones. */
static val placed_at_axis(struct tn_onnx_node *n, val x, val y) {
  tn_dim dims[TN_MAX_RANK];
  if (n->opset >= 7 || !tn_onnx_int(n, "broadcast", 0) || !tn_onnx_has(n, "axis"))
    return y;
  int axis = tn_onnx_axis(n, "axis", 0, x->type.rank);
  if (axis + y->type.rank > x->type.rank) {
    tn_onnx_error(n, "'%s' has %d dimensions, which do not fit into the %d of '%s' from axis %d on", y->name,
                  y->type.rank, x->type.rank, x->name, axis);
    tn_fail_now(module_of(n)->ctx);
  }
  for (int i = 0; i < x->type.rank - axis; i++)
    dims[i] = i < y->type.rank ? y->type.dim[i] : 1;
  return tn_reshape(n->b, y, x->type.rank - axis, dims);
}

bool tn_onnx_op_binary(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B");
  n->out[0] = tn_binary(n->b, (enum tn_op)n->arg, x, placed_at_axis(n, x, y));
  return true;
}

/* Sum, Max, Min, Mean of any number of operands; arg: the op that joins two. */
bool tn_onnx_op_variadic(struct tn_onnx_node *n) {
  val all = tn_onnx_need(n, 0, "data_0");
  for (int i = 1; i < n->in_count; i++)
    all = tn_binary(n->b, (enum tn_op)n->arg, all, tn_onnx_need(n, i, "data"));
  if (!strcmp(n->op, "Mean"))
    all = quo(n->b, all, num(n->b, all, n->in_count));
  n->out[0] = all;
  return true;
}

bool tn_onnx_op_where(struct tn_onnx_node *n) {
  n->out[0] =
      tn_select(n->b, tn_onnx_need(n, 0, "condition"), tn_onnx_need(n, 1, "X"), tn_onnx_need(n, 2, "Y"));
  return true;
}

/* ---- binary with a twist -------------------------------------------------------------------------------- */

bool tn_onnx_op_mod(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B");
  bool truncated = tn_onnx_int(n, "fmod", 0) != 0 || tn_dtype_is_float(x->type.dtype);
  n->out[0] = tn_binary(n->b, truncated ? TN_FMOD : TN_MOD, x, y);
  return true;
}

bool tn_onnx_op_bit_shift(struct tn_onnx_node *n) {
  const char *direction = tn_onnx_string(n, "direction", "");
  bool left = !strcmp(direction, "LEFT");
  if (!left && strcmp(direction, "RIGHT") != 0)
    return tn_onnx_error(n, "attribute direction is '%s'; expected LEFT or RIGHT", direction);
  n->out[0] = tn_binary(n->b, left ? TN_SHL : TN_SHR, tn_onnx_need(n, 0, "X"), tn_onnx_need(n, 1, "Y"));
  return true;
}

/* The result has the base's dtype; base and exponent may differ.  With an integer on either side and a base
 * that is no float, computed in double and brought back. */
bool tn_onnx_op_pow(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), y = placed_at_axis(n, x, tn_onnx_need(n, 1, "Y"));
  enum tn_dtype base = x->type.dtype;
  enum tn_dtype in = tn_dtype_is_float(base) ? base : TN_F64;
  n->out[0] = tn_cast(b, tn_binary(b, TN_POW, tn_cast(b, x, in), tn_cast(b, y, in)), base);
  return true;
}

/* ---- conversions ---------------------------------------------------------------------------------------- */

/* Types of 2 and 4 bits are held in a byte: the low bits of the whole number, sign-extended. */
static val cast_to(struct tn_onnx_node *n, val x, enum tn_dtype dtype, int64_t data_type) {
  struct tn_build *b = n->b;
  int bits = data_type == 21 || data_type == 22 ? 4 : data_type == 25 || data_type == 26 ? 2 : 0;
  if (bits == 0)
    return tn_cast(b, x, dtype);
  bool is_signed = tn_dtype_is_signed(dtype);
  val shift = tn_const_int(b, is_signed ? TN_I32 : TN_U32, 32 - bits);
  val low = tn_cast(b, tn_cast(b, x, TN_I32), is_signed ? TN_I32 : TN_U32);
  low = tn_binary(b, TN_SHR, tn_binary(b, TN_SHL, low, shift), shift);
  val y = tn_cast(b, low, dtype);
  tn_onnx_mark_data_type(n, y, data_type);
  return y;
}

bool tn_onnx_op_cast(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  int64_t to = tn_onnx_int(n, "to", 0);
  n->out[0] = cast_to(n, x, tn_onnx_dtype(n, to), to);
  return true;
}

bool tn_onnx_op_cast_like(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  n->out[0] = cast_to(n, x, tn_onnx_need(n, 1, "target_type")->type.dtype, tn_onnx_in_data_type(n, 1));
  return true;
}

bool tn_onnx_op_bit_cast(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  enum tn_dtype to = tn_onnx_dtype(n, tn_onnx_int(n, "to", 0));
  if (tn_dtype_size(to) != tn_dtype_size(x->type.dtype))
    return tn_onnx_error(n, "'%s' is of type %s, which has not the size of %s", x->name,
                         tn_dtype_name(x->type.dtype), tn_dtype_name(to));
  struct tn_node *node = tn_node_make(n->b, TN_BITCAST, 1, &x, 1);
  tn_set_int(node, TN_BITCAST_to, to);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

bool tn_onnx_op_is_inf(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  struct tn_node *node = tn_node_make(n->b, TN_ISINF, 1, &x, 1);
  tn_set_int(node, TN_ISINF_positive, tn_onnx_int(n, "detect_positive", 1) != 0);
  tn_set_int(node, TN_ISINF_negative, tn_onnx_int(n, "detect_negative", 1) != 0);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* ---- clipping ------------------------------------------------------------------------------------------- */

/* Bounds are attributes before opset 11, operands after; where both bind, the upper one has the last word. */
bool tn_onnx_op_clip(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), low = NULL, high = NULL;
  if (n->opset >= 11) {
    low = tn_onnx_same_dtype(n, 1, "min", x);
    high = tn_onnx_same_dtype(n, 2, "max", x);
  } else {
    if (tn_onnx_has(n, "min"))
      low = num(b, x, tn_onnx_float(n, "min", 0));
    if (tn_onnx_has(n, "max"))
      high = num(b, x, tn_onnx_float(n, "max", 0));
  }
  if (low)
    x = max2(b, x, tn_onnx_scalar(b, low));
  if (high)
    x = min2(b, x, tn_onnx_scalar(b, high));
  n->out[0] = x;
  return true;
}

/* ---- activations ---------------------------------------------------------------------------------------- */

/* f16 and bf16 are computed in f32, so that an activation of several steps is rounded once. */
static val wide_in(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  return tn_cast(n->b, x, wide_of(x->type.dtype));
}
static bool wide_out(struct tn_onnx_node *n, val y) {
  n->out[0] = tn_cast(n->b, y, n->in[0]->type.dtype);
  return true;
}

bool tn_onnx_op_relu(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  n->out[0] = max2(n->b, x, num(n->b, x, 0));
  return true;
}

bool tn_onnx_op_leaky_relu(struct tn_onnx_node *n) {
  n->out[0] = tn_onnx_leaky_relu(n->b, tn_onnx_need(n, 0, "X"), tn_onnx_float(n, "alpha", 0.01f));
  return true;
}

bool tn_onnx_op_prelu(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), slope = tn_onnx_need(n, 1, "slope");
  if (n->opset < 7 && slope->type.rank == 1 && x->type.rank > 2) { /* one for each channel */
    tn_dim dims[TN_MAX_RANK] = {slope->type.dim[0]};
    for (int i = 1; i < x->type.rank - 1; i++)
      dims[i] = 1;
    slope = tn_reshape(b, slope, x->type.rank - 1, dims);
  }
  n->out[0] = tn_select(b, tn_binary(b, TN_LT, x, num(b, x, 0)), mul(b, x, slope), x);
  return true;
}

/* alpha * (exp(x) - 1) below zero */
bool tn_onnx_op_elu(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = wide_in(n);
  val low = mul(b, sub(b, tn_unary(b, TN_EXP, x), num(b, x, 1)), num(b, x, tn_onnx_float(n, "alpha", 1)));
  return wide_out(n, tn_select(b, tn_binary(b, TN_LT, x, num(b, x, 0)), low, x));
}

bool tn_onnx_op_selu(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = wide_in(n);
  val alpha = num(b, x, tn_onnx_float(n, "alpha", 1.67326319217681884765625));
  val gamma = num(b, x, tn_onnx_float(n, "gamma", 1.05070102214813232421875));
  val low = mul(b, alpha, sub(b, tn_unary(b, TN_EXP, x), num(b, x, 1)));
  return wide_out(n, mul(b, gamma, tn_select(b, tn_binary(b, TN_LE, x, num(b, x, 0)), low, x)));
}

/* max(0, x) + min(0, alpha * (exp(x / alpha) - 1)) */
bool tn_onnx_op_celu(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = wide_in(n), zero = num(b, x, 0), alpha = num(b, x, tn_onnx_float(n, "alpha", 1));
  val low = mul(b, alpha, sub(b, tn_unary(b, TN_EXP, quo(b, x, alpha)), num(b, x, 1)));
  return wide_out(n, add(b, max2(b, x, zero), min2(b, low, zero)));
}

bool tn_onnx_op_gelu(struct tn_onnx_node *n) {
  const char *form = tn_onnx_string(n, "approximate", "none");
  bool tanh_form = !strcmp(form, "tanh");
  if (!tanh_form && strcmp(form, "none") != 0)
    return tn_onnx_error(n, "attribute approximate is '%s'; expected none or tanh", form);
  return wide_out(n, tn_onnx_gelu(n->b, wide_in(n), tanh_form));
}

/* com.microsoft FastGelu and BiasGelu: gelu(x + bias); arg 1: the tanh form. */
bool tn_onnx_op_bias_gelu(struct tn_onnx_node *n) {
  val x = wide_in(n), bias = tn_onnx_in(n, 1);
  x = bias ? add(n->b, x, tn_cast(n->b, bias, x->type.dtype)) : x;
  return wide_out(n, tn_onnx_gelu(n->b, x, n->arg != 0));
}

/* com.microsoft QuickGelu (default 1.702) and ONNX's Swish (default 1): x * sigmoid(alpha * x). */
bool tn_onnx_op_swish(struct tn_onnx_node *n) {
  val x = wide_in(n);
  double alpha = tn_onnx_float(n, "alpha", n->arg ? 1.702 : 1.0);
  val inner = alpha == 1.0 ? x : mul(n->b, x, num(n->b, x, alpha));
  return wide_out(n, mul(n->b, x, tn_unary(n->b, TN_SIGMOID, inner)));
}

/* swish(A) * B */
bool tn_onnx_op_swiglu(struct tn_onnx_node *n) {
  val x = wide_in(n), y = tn_cast(n->b, tn_onnx_need(n, 1, "B"), x->type.dtype);
  double alpha = tn_onnx_float(n, "alpha", 1);
  val inner = alpha == 1.0 ? x : mul(n->b, x, num(n->b, x, alpha));
  return wide_out(n, mul(n->b, mul(n->b, x, tn_unary(n->b, TN_SIGMOID, inner)), y));
}

/* x * tanh(log(1 + e^x)), of which the hyperbolic tangent is k / (k + 2), k = e^x (e^x + 2); from 20 on it is 1
 * in every float dtype, and e^x is kept from overflowing. */
bool tn_onnx_op_mish(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = wide_in(n), e = tn_unary(b, TN_EXP, tn_binary(b, TN_MIN, x, num(b, x, 20)));
  val k = mul(b, e, add(b, e, num(b, x, 2)));
  return wide_out(n, mul(b, x, quo(b, k, add(b, k, num(b, x, 2)))));
}

bool tn_onnx_op_softsign(struct tn_onnx_node *n) {
  val x = wide_in(n);
  return wide_out(n, quo(n->b, x, add(n->b, tn_unary(n->b, TN_ABS, x), num(n->b, x, 1))));
}

bool tn_onnx_op_hard_sigmoid(struct tn_onnx_node *n) {
  float params[2] = {(float)tn_onnx_float(n, "alpha", 0.2f), (float)tn_onnx_float(n, "beta", 0.5)};
  return wide_out(n, tn_onnx_activation(n, wide_in(n), "HardSigmoid", params, 2));
}

bool tn_onnx_op_hard_swish(struct tn_onnx_node *n) {
  return wide_out(n, tn_onnx_activation(n, wide_in(n), "HardSwish", NULL, 0));
}

bool tn_onnx_op_thresholded_relu(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  val above = tn_binary(b, TN_GT, x, num(b, x, tn_onnx_float(n, "alpha", 1)));
  n->out[0] = tn_select(b, above, x, num(b, x, 0));
  return true;
}

/* x < -lambd: x + bias;  x > lambd: x - bias;  else 0 */
bool tn_onnx_op_shrink(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  double lambd = tn_onnx_float(n, "lambd", 0.5);
  val bias = num(b, x, tn_onnx_float(n, "bias", 0));
  val above = tn_select(b, tn_binary(b, TN_GT, x, num(b, x, lambd)), sub(b, x, bias), num(b, x, 0));
  n->out[0] = tn_select(b, tn_binary(b, TN_LT, x, num(b, x, -lambd)), add(b, x, bias), above);
  return true;
}

bool tn_onnx_op_reciprocal(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  n->out[0] = quo(n->b, num(n->b, x, 1), x);
  return true;
}

/* ---- removed experimental operators, still met in models ------------------------------------------------ */

bool tn_onnx_op_affine(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  n->out[0] =
      add(b, mul(b, x, num(b, x, tn_onnx_float(n, "alpha", 1))), num(b, x, tn_onnx_float(n, "beta", 0)));
  return true;
}

/* x[n, c, h, w] * scale + bias[c] */
bool tn_onnx_op_image_scaler(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  const float *bias;
  size_t count;
  val y = mul(b, x, num(b, x, tn_onnx_float(n, "scale", 1)));
  if (tn_onnx_floats(n, "bias", &bias, &count) && count > 0) {
    struct tn_type type = tn_type_make(TN_F32, 1, &(tn_dim){(tn_dim)count});
    val c = tn_cast(b, tn_constant_bytes(b, type, bias), x->type.dtype);
    y = add(b, y, tn_onnx_along(b, c, 1, x->type.rank));
  }
  n->out[0] = y;
  return true;
}

/* alpha * tanh(beta * x) */
bool tn_onnx_op_scaled_tanh(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  val inner = tn_unary(b, TN_TANH, mul(b, x, num(b, x, tn_onnx_float(n, "beta", 1))));
  n->out[0] = mul(b, inner, num(b, x, tn_onnx_float(n, "alpha", 1)));
  return true;
}

/* alpha * log(exp(beta * x) + 1) */
bool tn_onnx_op_parametric_softplus(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  val inner = tn_unary(b, TN_SOFTPLUS, mul(b, x, num(b, x, tn_onnx_float(n, "beta", 1))));
  n->out[0] = mul(b, inner, num(b, x, tn_onnx_float(n, "alpha", 1)));
  return true;
}

/* ---- what cannot be compiled ---------------------------------------------------------------------------- */

bool tn_onnx_op_random(struct tn_onnx_node *n) {
  return tn_onnx_unsupported(
      n, "it draws random numbers, and a compiled model gives the same result each time; draw "
         "them outside and pass them as an input");
}
