/* Simplify: arithmetic with neutral constants, signs, chains of constants, powers.
 *
 * Floating point is exact here: x + 0.0 turns -0 into +0, so it goes only where x cannot be -0; x - 0.0 and x
 * * 1.0 go always.  Float sums and products are not reassociated. */
#include "passes/passes.h"

#include <math.h>

/* ---- signs --------------------------------------------------------------------------------------------- */

static bool moves_only(const struct tn_node *node) {
  return node->op == TN_RESHAPE || node->op == TN_TRANSPOSE || node->op == TN_EXPAND || node->op == TN_SLICE ||
         node->op == TN_GATHER;
}

static bool constant_without_minus(const struct tn_tensor *tensor, bool zero_only) {
  int64_t count;
  if (!tn_type_count(&tensor->type, &count) || count > 4096)
    return false;
  for (int64_t i = 0; i < count; i++) {
    double element = tn_tensor_float(tensor, i);
    if (signbit(element) && (!zero_only || element == 0))
      return false;
  }
  return true;
}

/* Every element is >= +0 or a NaN. */
static bool non_negative(const struct tn_value *x, int depth) {
  const struct tn_node *node = x->def;
  if (!node || depth == 0 || !tn_dtype_is_float(x->type.dtype))
    return false;
  if (moves_only(node))
    return non_negative(node->in[0], depth - 1);
  double c;
  switch (node->op) {
  case TN_ABS:
  case TN_EXP:
  case TN_SOFTPLUS:
  case TN_SIGMOID:
    return true;
  case TN_CONSTANT:
    return constant_without_minus(tn_value_tensor(x), false);
  case TN_CAST:
    if (tn_dtype_is_float(node->in[0]->type.dtype))
      return non_negative(node->in[0], depth - 1);
    return !tn_dtype_is_signed(node->in[0]->type.dtype);
  case TN_MUL:
    if (node->in[0] == node->in[1])
      return true;
    return non_negative(node->in[0], depth - 1) && non_negative(node->in[1], depth - 1);
  case TN_ADD:
  case TN_DIV:
    return non_negative(node->in[0], depth - 1) && non_negative(node->in[1], depth - 1);
  case TN_MAX: /* which zero max(-0, +0) gives is open, hence > 0 */
    return (tn_value_uniform(node->in[0], &c) && c > 0) || (tn_value_uniform(node->in[1], &c) && c > 0);
  case TN_POOL: /* beside the operand there is nothing but zeros */
    return tn_get_int(node, TN_POOL_kind) == TN_WINDOW_SUM && non_negative(node->in[0], depth - 1);
  case TN_SQRT:
  case TN_REDUCE_SUM:
    return non_negative(node->in[0], depth - 1);
  default:
    return false;
  }
}

/* No element is -0.  Sums start from +0, so they never give it. */
static bool never_minus_zero(const struct tn_value *x, int depth) {
  const struct tn_node *node = x->def;
  if (!node || depth == 0 || !tn_dtype_is_float(x->type.dtype))
    return false;
  if (moves_only(node))
    return never_minus_zero(node->in[0], depth - 1);
  switch (node->op) {
  case TN_CONSTANT:
    return constant_without_minus(tn_value_tensor(x), true);
  case TN_CAST:
    return !tn_dtype_is_float(node->in[0]->type.dtype);
  case TN_ADD: /* -0 only from -0 + -0 */
    return never_minus_zero(node->in[0], depth - 1) || never_minus_zero(node->in[1], depth - 1);
  case TN_SUB: /* -0 only from -0 - +0 */
    return never_minus_zero(node->in[0], depth - 1);
  case TN_MATMUL:
  case TN_CONV:
  case TN_REDUCE_SUM:
    return true;
  default:
    return non_negative(x, depth);
  }
}

#define SIGN_DEPTH 6

/* ---- rules --------------------------------------------------------------------------------------------- */

/* (x op c1) op c2 is x op (c1 op c2): for integers, and for max and min of anything. */
static struct tn_value *merge_constants(struct tn_build *b, struct tn_node *node) {
  enum tn_op op = node->op;
  bool exact = op == TN_MAX || op == TN_MIN || !tn_dtype_is_float(node->out[0]->type.dtype);
  if (!exact)
    return NULL;
  for (int side = 0; side < 2; side++) {
    struct tn_value *outer = node->in[1 - side];
    struct tn_node *inner = tn_def_of(node->in[side], op);
    if (!inner || !tn_value_constant_expr(outer))
      continue;
    for (int k = 0; k < 2; k++)
      if (tn_value_constant_expr(inner->in[1 - k]) && !tn_value_constant_expr(inner->in[k]))
        return tn_fit(b, tn_binary(b, op, inner->in[k], tn_binary(b, op, inner->in[1 - k], outer)),
                      &node->out[0]->type);
  }
  return NULL;
}

static struct tn_value *simplify_add(struct tn_build *b, struct tn_node *node) {
  bool is_float = tn_dtype_is_float(node->out[0]->type.dtype);
  double c;
  for (int side = 0; side < 2; side++) {
    struct tn_value *x = node->in[side], *y = node->in[1 - side];
    if (tn_value_uniform(y, &c) && c == 0 && (!is_float || signbit(c) || never_minus_zero(x, SIGN_DEPTH)))
      return tn_fit(b, x, &node->out[0]->type);
    struct tn_node *negated = tn_def_of(y, TN_NEG);
    if (negated)
      return tn_binary(b, TN_SUB, x, negated->in[0]);
  }
  return merge_constants(b, node);
}

static struct tn_value *simplify_sub(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0], *y = node->in[1];
  const struct tn_type *type = &node->out[0]->type;
  bool is_float = tn_dtype_is_float(type->dtype);
  double c;
  if (tn_value_uniform(y, &c) && c == 0 && (!is_float || !signbit(c)))
    return tn_fit(b, x, type);
  if (tn_value_uniform(x, &c) && c == 0 && tn_dtype_is_signed(type->dtype) && (!is_float || signbit(c)))
    return tn_fit(b, tn_unary(b, TN_NEG, y), type);
  if (x == y && tn_dtype_is_int(type->dtype))
    return tn_filled(b, &node->out[0]->type, 0);
  struct tn_node *negated = tn_def_of(y, TN_NEG);
  return negated ? tn_binary(b, TN_ADD, x, negated->in[0]) : NULL;
}

static struct tn_value *simplify_mul(struct tn_build *b, struct tn_node *node) {
  const struct tn_type *type = &node->out[0]->type;
  double c;
  for (int side = 0; side < 2; side++) {
    struct tn_value *x = node->in[side];
    if (!tn_value_uniform(node->in[1 - side], &c))
      continue;
    if (c == 1)
      return tn_fit(b, x, type);
    if (c == -1 && tn_dtype_is_signed(type->dtype))
      return tn_fit(b, tn_unary(b, TN_NEG, x), type);
    if (c == 0 && tn_dtype_is_int(type->dtype))
      return tn_filled(b, &node->out[0]->type, 0);
  }
  struct tn_node *left = tn_def_of(node->in[0], TN_NEG), *right = tn_def_of(node->in[1], TN_NEG);
  if (left && right)
    return tn_binary(b, TN_MUL, left->in[0], right->in[0]);
  return merge_constants(b, node);
}

/* Whether 1/c is exact and normal in the dtype, so that dividing by c is multiplying by 1/c, rounding included.
 */
static bool reciprocal_exact(enum tn_dtype dtype, double c) {
  int exponent;
  if (!isfinite(c) || fabs(frexp(c, &exponent)) != 0.5)
    return false;
  int room = dtype == TN_F16 ? 13 : dtype == TN_F64 ? 1020 : 124;
  return exponent > -room && exponent < room;
}

static struct tn_value *simplify_div(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0], *y = node->in[1];
  const struct tn_type *type = &node->out[0]->type;
  double c;
  if (tn_value_uniform(y, &c)) {
    if (c == 1)
      return tn_fit(b, x, type);
    if (tn_dtype_is_float(type->dtype) && reciprocal_exact(type->dtype, c))
      return tn_fit(b, tn_binary(b, TN_MUL, x, tn_const_float(b, type->dtype, 1 / c)), type);
  }
  struct tn_node *left = tn_def_of(x, TN_NEG), *right = tn_def_of(y, TN_NEG);
  return left && right ? tn_binary(b, TN_DIV, left->in[0], right->in[0]) : NULL;
}

/* x to the power of c, a multiple of a quarter, by square roots: two units of the last place at most.  For x
 * that is never negative: a root of -inf is no number, a power of it is.  NULL for other powers. */
static struct tn_value *power_of_quarters(struct tn_build *b, struct tn_value *x, double c) {
  double size = fabs(c);
  if (size != 0.25 && size != 0.5 && size != 0.75 && size != 1.5)
    return NULL;
  struct tn_value *y = tn_unary(b, TN_SQRT, x);
  if (size == 0.25)
    y = tn_unary(b, TN_SQRT, y);
  else if (size != 0.5)
    y = tn_binary(b, TN_MUL, size == 1.5 ? x : tn_unary(b, TN_SQRT, y), y);
  return c > 0 ? y : tn_binary(b, TN_DIV, tn_const_float(b, x->type.dtype, 1), y);
}

static struct tn_value *simplify_pow(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  bool is_float = tn_dtype_is_float(type->dtype);
  double c;
  if (!tn_value_uniform(node->in[1], &c))
    return NULL;
  struct tn_value *to = NULL;
  if (c == 0)
    return is_float ? tn_fit(b, tn_const_float(b, type->dtype, 1), type) : tn_filled(b, &node->out[0]->type, 1);
  if (c == 1)
    to = x;
  else if (c == 2)
    to = tn_binary(b, TN_MUL, x, x);
  else if (c == 3) /* two roundings: within what pow itself is given */
    to = tn_binary(b, TN_MUL, tn_binary(b, TN_MUL, x, x), x);
  else if (c == 4) {
    struct tn_value *square = tn_binary(b, TN_MUL, x, x);
    to = tn_binary(b, TN_MUL, square, square);
  } else if (c == -1 && is_float)
    to = tn_binary(b, TN_DIV, tn_const_float(b, type->dtype, 1), x);
  else if (is_float && non_negative(x, SIGN_DEPTH))
    to = power_of_quarters(b, x, c);
  return to ? tn_fit(b, to, type) : NULL;
}

/* The constant that max (min) never changes anything with. */
static bool is_extreme(enum tn_dtype dtype, double c, bool lowest) {
  if (tn_dtype_is_float(dtype))
    return isinf(c) && signbit(c) == lowest;
  int bits = (int)tn_dtype_size(dtype) * 8;
  if (!tn_dtype_is_int(dtype) || bits > 32)
    return false;
  if (tn_dtype_is_signed(dtype))
    return c == (lowest ? -ldexp(1, bits - 1) : ldexp(1, bits - 1) - 1);
  return c == (lowest ? 0 : ldexp(1, bits) - 1);
}

static struct tn_value *simplify_max_min(struct tn_build *b, struct tn_node *node) {
  const struct tn_type *type = &node->out[0]->type;
  double c;
  if (node->in[0] == node->in[1])
    return node->in[0];
  for (int side = 0; side < 2; side++) {
    struct tn_value *x = node->in[side];
    if (!tn_value_uniform(node->in[1 - side], &c))
      continue;
    if (is_extreme(type->dtype, c, node->op == TN_MAX))
      return tn_fit(b, x, type);
    if (node->op == TN_MAX && c <= 0 && non_negative(x, SIGN_DEPTH))
      return tn_fit(b, x, type);
  }
  return merge_constants(b, node);
}

static bool is_integral(const struct tn_value *x) {
  const struct tn_node *node = x->def;
  if (!node)
    return false;
  return node->op == TN_CEIL || node->op == TN_FLOOR || node->op == TN_TRUNC || node->op == TN_ROUND ||
         (node->op == TN_CAST && !tn_dtype_is_float(node->in[0]->type.dtype));
}

struct tn_value *tn_simplify_arith(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  (void)pass;
  struct tn_node *inner;
  switch (node->op) {
  case TN_ADD:
    return simplify_add(b, node);
  case TN_SUB:
    return simplify_sub(b, node);
  case TN_MUL:
    return simplify_mul(b, node);
  case TN_DIV:
    return simplify_div(b, node);
  case TN_POW:
    return simplify_pow(b, node);
  case TN_MAX:
  case TN_MIN:
    return simplify_max_min(b, node);
  case TN_NEG:
    inner = tn_def_of(node->in[0], TN_NEG);
    if (inner)
      return inner->in[0];
    inner = tn_def_of(node->in[0], TN_SUB); /* -(x - y): for floats the zero would change its sign */
    if (inner && tn_dtype_is_int(node->out[0]->type.dtype))
      return tn_binary(b, TN_SUB, inner->in[1], inner->in[0]);
    return NULL;
  case TN_ABS:
    inner = tn_def_of(node->in[0], TN_NEG);
    if (inner)
      return tn_unary(b, TN_ABS, inner->in[0]);
    if (tn_def_of(node->in[0], TN_ABS) || non_negative(node->in[0], SIGN_DEPTH))
      return node->in[0];
    return NULL;
  case TN_CEIL:
  case TN_FLOOR:
  case TN_TRUNC:
  case TN_ROUND:
    return is_integral(node->in[0]) ? node->in[0] : NULL;
  default:
    return NULL;
  }
}
