/* Simplify: conversions. */
#include "passes/passes.h"

/* Bits of precision and of range: how many bits an integer of the dtype has without its sign, or how many the
 * mantissa of a float has. */
static int mantissa_bits(enum tn_dtype dtype) {
  switch (dtype) {
  case TN_F64:
    return 53;
  case TN_F32:
    return 24;
  case TN_F16:
    return 11;
  case TN_BF16:
    return 8;
  case TN_BOOL:
    return 1;
  default:
    return (int)tn_dtype_size(dtype) * 8 - (tn_dtype_is_signed(dtype) ? 1 : 0);
  }
}

/* Every value of `from` is a value of `to`. */
static bool represents(enum tn_dtype to, enum tn_dtype from) {
  if (to == from || from == TN_BOOL)
    return true;
  if (to == TN_BOOL)
    return false;
  if (tn_dtype_is_float(from))
    return to == TN_F64 || (to == TN_F32 && from != TN_F64);
  if (tn_dtype_is_float(to))
    return mantissa_bits(to) >= mantissa_bits(from); /* the exponents suffice whenever the mantissa does */
  if (tn_dtype_is_signed(from) && !tn_dtype_is_signed(to))
    return false;
  return mantissa_bits(to) >= mantissa_bits(from);
}

static struct tn_value *simplify_cast(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  enum tn_dtype to = node->out[0]->type.dtype;
  if (x->type.dtype == to)
    return x;
  struct tn_node *inner = x->def && x->def->op == TN_CAST ? x->def : NULL;
  if (!inner)
    return NULL;
  enum tn_dtype from = inner->in[0]->type.dtype, middle = x->type.dtype;
  if (!represents(middle, from))
    return NULL;
  /* An integer made of a float saturates, made of an integer it wraps. */
  if (tn_dtype_is_float(middle) && tn_dtype_is_int(to) && !tn_dtype_is_float(from) && !represents(to, from))
    return NULL;
  return tn_cast(b, inner->in[0], to);
}

struct tn_value *tn_simplify_cast(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  (void)pass;
  if (node->out[0]->type.quant || (node->in_count > 0 && node->in[0] && node->in[0]->type.quant))
    return NULL;
  if (node->op == TN_CAST)
    return simplify_cast(b, node);
  if (node->op != TN_BITCAST)
    return NULL;
  struct tn_value *x = node->in[0];
  if (x->type.dtype == node->out[0]->type.dtype)
    return x;
  if (x->def && x->def->op == TN_BITCAST && x->def->in[0]->type.dtype == node->out[0]->type.dtype)
    return x->def->in[0];
  return NULL;
}
