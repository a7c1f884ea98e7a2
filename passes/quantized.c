/* Contractions of quantized tensors accumulate integers.
 *
 * conv(dequantize(x, sx, zx), dequantize(w, sw, zw)) + dequantize(b, sx * sw) has the integer meaning
 * (sum (x - zx) * (w - zw) + b) * sx * sw.  Computed as written, every product is rounded and the result
 * depends on the order of the sum; a later rounding to integers then differs by a step between targets.  This
 * pass takes the scales out: the contraction multiplies integers and its result is i32 (i64 for 16-bit
 * tensors), exact in any order.  A bound on the sum proves that it does not wrap; where it might, the node
 * stays as it is.
 *
 * The operands stay as they are stored where that is possible, for processors have instructions that multiply
 * bytes: with constant weights
 *     sum (x - zx) * w = sum x * w - zx * (sum w),
 * whose last sum is a constant for each output channel; x is then padded with zx instead of 0.  The zero point
 * of constant weights is taken off them.  Integer contractions that the model already has (ConvInteger) get the
 * same form.  Anything else multiplies differences x - zx of 16 bits. */
#include "passes/passes.h"

#include <math.h>

/* A stored integer tensor seen through moves that neither create values nor mix channels. */
struct source {
  struct tn_node *node;    /* TN_DEQUANTIZE, or what made x - zero of i32 */
  struct tn_value *stored; /* of 8 or 16 bits */
  struct tn_value *zero;   /* same dtype; NULL: none */
  struct tn_value *zeros;  /* else one of i32 for each element of the last dim; NULL: none */
  struct tn_node *move[8]; /* from the contraction back to it */
  int moves;
};

static bool zero_pad(const struct tn_node *node) {
  double fill = 0;
  if (tn_get_int(node, TN_PAD_mode) != 0)
    return node->op == TN_PAD; /* reflect, edge, wrap: copies */
  return node->in_count < 2 || !node->in[1] || (tn_value_uniform(node->in[1], &fill) && fill == 0);
}

static bool is_stored(const struct tn_value *v) {
  return tn_dtype_is_int(v->type.dtype) && tn_dtype_size(v->type.dtype) <= 2;
}

static bool one_element(const struct tn_value *v) {
  int64_t count;
  return tn_type_count(&v->type, &count) && count == 1;
}

static bool along_last(const struct tn_value *v) {
  for (int d = 0; d < v->type.rank - 1; d++)
    if (v->type.dim[d] != 1)
      return false;
  return true;
}

/* z of x - z as a value of x's own dtype: what was converted, or a constant. */
static struct tn_value *zero_of(struct tn_build *b, struct tn_value *z, enum tn_dtype dtype) {
  double number;
  if (!one_element(z))
    return NULL;
  if (tn_value_uniform(z, &number)) {
    bool is_signed = tn_dtype_is_signed(dtype);
    double low = is_signed ? -ldexp(1, (int)tn_dtype_size(dtype) * 8 - 1) : 0;
    if (number < low || number >= low + ldexp(1, (int)tn_dtype_size(dtype) * 8))
      return NULL;
    return tn_const_int(b, dtype, (int64_t)number);
  }
  struct tn_node *cast = tn_def_of(z, TN_CAST);
  return cast && cast->in[0]->type.dtype == dtype ? cast->in[0] : NULL;
}

/* The constant less `zero`, in i8, or in i16 where that does not fit; NULL: neither does. */
static struct tn_value *narrowed(struct tn_build *b, const struct tn_tensor *t, int64_t zero) {
  int64_t count, low = 0, high = 0;
  tn_type_count(&t->type, &count);
  for (int64_t i = 0; i < count; i++) {
    int64_t v = tn_tensor_int(t, i) - zero;
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  if (low < -32768 || high > 32767)
    return NULL;
  struct tn_type type = t->type;
  type.dtype = low < -128 || high > 127 ? TN_I16 : TN_I8;
  type.quant = NULL;
  uint8_t *data = TN_NEW_ARRAY(b->graph->module->arena, uint8_t, count *(int64_t)tn_dtype_size(type.dtype));
  for (int64_t i = 0; i < count; i++)
    tn_store_int(type.dtype, data, i, tn_tensor_int(t, i) - zero);
  return tn_constant_bytes(b, type, data);
}

/* The integers behind an operand of a contraction.  New constants go through b. */
static bool find_source(struct tn_build *b, struct tn_value *v, struct source *s) {
  *s = (struct source){0};
  for (; v->def && s->moves < (int)TN_COUNT(s->move); v = v->def->in[0]) {
    struct tn_node *n = v->def, *inner;
    s->node = n;
    switch (n->op) {
    case TN_DEQUANTIZE:
      s->stored = n->in[0];
      s->zero = n->in_count > 2 ? n->in[2] : NULL;
      return is_stored(s->stored);
    case TN_CAST:
      s->stored = n->in[0];
      return n->out[0]->type.dtype == TN_I32 && is_stored(s->stored);
    case TN_SUB:
      inner = tn_def_of(n->in[0], TN_CAST);
      if (!inner || !is_stored(inner->in[0]) || n->out[0]->type.dtype != TN_I32 ||
          !tn_type_equal(&n->in[0]->type, &n->out[0]->type))
        return false;
      s->stored = inner->in[0];
      s->zero = zero_of(b, n->in[1], s->stored->type.dtype);
      if (!s->zero && along_last(n->in[1]))
        s->zeros = n->in[1];
      return s->zero || s->zeros;
    case TN_PAD:
      if (!zero_pad(n))
        return false;
      break;
    case TN_TRANSPOSE:
    case TN_RESHAPE:
    case TN_SLICE:
      break;
    default:
      s->stored = v;
      if (n->op == TN_CONSTANT && v->type.dtype == TN_I32) /* as folding leaves weights less their zero point */
        s->stored = narrowed(b, tn_value_tensor(v), 0);
      return s->stored && is_stored(s->stored);
    }
    s->move[s->moves++] = n;
  }
  s->stored = v;
  return is_stored(v);
}

static bool scalar_scale(const struct tn_node *dequantize, double *scale) {
  return tn_value_uniform(dequantize->in[1], scale) && *scale > 0 && isfinite(*scale);
}

/* The zero point where it is one number known now, NAN otherwise. */
static double zero_point(const struct source *s) {
  double z = 0;
  if (s->zero && !tn_value_uniform(s->zero, &z))
    return NAN;
  return z;
}

/* Whether the dequantization's channels end as the last dim, its moves being transposes. */
static bool channels_last(const struct source *s) {
  int rank = s->node->out[0]->type.rank;
  int64_t axis = tn_get_int(s->node, TN_DEQUANTIZE_axis);
  axis = axis < 0 ? axis + rank : axis;
  for (int i = s->moves - 1; i >= 0; i--) {
    if (s->move[i]->op != TN_TRANSPOSE)
      return false;
    struct tn_ints perm = tn_get_ints(s->move[i], TN_TRANSPOSE_perm);
    int64_t at = 0;
    while (perm.at[at] != axis)
      at++;
    axis = at;
  }
  return axis == rank - 1;
}

/* The weights' scales, one or one a channel. */
static bool weight_scales(tn_arena *arena, const struct source *w, const double **scale, int64_t *count) {
  if (tn_get_int(w->node, TN_DEQUANTIZE_block) != 0 || !tn_value_floats(w->node->in[1], arena, scale, count))
    return false;
  for (int64_t i = 0; i < *count; i++)
    if (!((*scale)[i] > 0) || !isfinite((*scale)[i]))
      return false;
  return *count == 1 || channels_last(w);
}

/* The value moved as the source was; pads that filled with 0 fill with `zero` (NULL: 0). */
static struct tn_value *moved(struct tn_build *b, const struct source *s, struct tn_value *v,
                              struct tn_value *zero) {
  for (int i = s->moves - 1; i >= 0; i--) {
    struct tn_value *in[2] = {v, zero};
    bool fills = s->move[i]->op == TN_PAD && zero && tn_get_int(s->move[i], TN_PAD_mode) == 0;
    struct tn_node *m = tn_node_make(b, s->move[i]->op, fills ? 2 : 1, in, 1);
    memcpy(m->attr, s->move[i]->attr, sizeof m->attr);
    if (!tn_finish(b, m))
      tn_fail_now(b->graph->module->ctx);
    v = m->out[0];
  }
  return v;
}

/* x - zero in `dtype`, moved. */
static struct tn_value *centred(struct tn_build *b, const struct source *s, enum tn_dtype dtype) {
  struct tn_value *v = s->stored, *zero = s->zero;
  if (zero && one_element(zero)) {
    zero = tn_cast(b, tn_reshape(b, zero, 0, NULL), dtype);
    return moved(b, s, tn_binary(b, TN_SUB, tn_cast(b, v, dtype), zero), NULL);
  }
  if (!zero)
    return moved(b, s, tn_cast(b, v, dtype), NULL);
  /* One a channel, or a block: as a dequantization by 1. */
  int64_t count;
  tn_type_count(&zero->type, &count);
  float *one = TN_NEW_ARRAY(b->graph->module->arena, float, count);
  for (int64_t i = 0; i < count; i++)
    one[i] = 1;
  struct tn_type type = zero->type;
  type.dtype = TN_F32;
  struct tn_value *in[3] = {v, tn_constant_bytes(b, type, one), zero};
  struct tn_node *d = tn_node_make(b, TN_DEQUANTIZE, 3, in, 1);
  memcpy(d->attr, s->node->attr, sizeof d->attr);
  if (!tn_finish(b, d))
    tn_fail_now(b->graph->module->ctx);
  return moved(b, s, tn_cast(b, d->out[0], dtype), NULL);
}

/* Constant weights less their zero point, in i8, or in i16 where they do not fit: NULL when they do not either.
 */
static struct tn_value *narrow_weights(struct tn_build *b, const struct source *w) {
  const struct tn_tensor *t = tn_value_tensor(w->stored);
  double zero = zero_point(w);
  if (!t || isnan(zero))
    return NULL;
  return zero == 0 && t->type.dtype == TN_I8 ? w->stored : narrowed(b, t, (int64_t)zero);
}

/* The largest magnitude of a stored integer less any zero point of its dtype. */
static double magnitude(const struct source *s) {
  return ldexp(1, (int)tn_dtype_size(s->stored->type.dtype) * 8) - 1;
}

/* The dim of the stored weights that their moves, all of them transposes, bring last: the output channels'. -1:
 * none. */
static int channel_axis(const struct source *w, int rank) {
  int axis = rank - 1;
  for (int i = 0; i < w->moves; i++) {
    if (w->move[i]->op != TN_TRANSPOSE)
      return -1;
    axis = (int)tn_get_ints(w->move[i], TN_TRANSPOSE_perm).at[axis];
  }
  return axis;
}

/* No sum of magnitudes of weights for one output channel can pass this. */
static double weight_bound(const struct tn_node *node, const struct source *w) {
  const struct tn_type *wt = &node->in[1]->type;
  double terms = 1, zero = zero_point(w), largest = 0;
  for (int d = node->op == TN_CONV ? 0 : wt->rank - 2; d < wt->rank - 1; d++)
    terms *= (double)wt->dim[d];
  const struct tn_tensor *t = tn_value_tensor(w->stored);
  if (!t || isnan(zero) || (node->op == TN_MATMUL && wt->rank != 2))
    return terms * magnitude(w);
  int axis = channel_axis(w, wt->rank);
  if (axis < 0)
    return terms * magnitude(w);
  int64_t inner = 1, channels = t->type.dim[axis], count;
  for (int d = axis + 1; d < t->type.rank; d++)
    inner *= t->type.dim[d];
  tn_type_count(&t->type, &count);
  for (int64_t c = 0; c < channels; c++) {
    double sum = 0;
    for (int64_t outer = 0; outer < count / (inner * channels); outer++)
      for (int64_t i = 0; i < inner; i++)
        sum += fabs((double)tn_tensor_int(t, (outer * channels + c) * inner + i) - zero);
    largest = sum > largest ? sum : largest;
  }
  return largest;
}

static struct tn_value *contraction(struct tn_build *b, const struct tn_node *node, struct tn_value *x,
                                    struct tn_value *w, enum tn_dtype acc) {
  struct tn_value *in[2] = {x, w};
  struct tn_node *sum = tn_node_make(b, node->op, 2, in, 1);
  memcpy(sum->attr, node->attr, sizeof sum->attr);
  tn_set_int(sum, node->op == TN_CONV ? TN_CONV_acc : TN_MATMUL_acc, acc);
  if (!tn_finish(b, sum))
    tn_fail_now(b->graph->module->ctx);
  return sum->out[0];
}

/* sum over the terms of each output channel of the constant weights: [channels], or [..., 1, channels]. */
static struct tn_value *weight_sum(struct tn_build *b, const struct tn_node *node, const struct source *w,
                                   struct tn_value *narrow, struct tn_value *moved_weights) {
  const struct tn_tensor *t = tn_value_tensor(narrow);
  int axis = channel_axis(w, node->in[1]->type.rank);
  if (axis >= 0 &&
      (node->op == TN_CONV || node->in[1]->type.rank == 2)) { /* here: folding large ones costs memory */
    int64_t inner = 1, channels = t->type.dim[axis], count;
    for (int d = axis + 1; d < t->type.rank; d++)
      inner *= t->type.dim[d];
    tn_type_count(&t->type, &count);
    int32_t *sum = TN_NEW_ARRAY(b->graph->module->arena, int32_t, channels);
    for (int64_t i = 0; i < count; i++)
      sum[i / inner % channels] += (int32_t)tn_tensor_int(t, i);
    return tn_constant_bytes(b, tn_type_make(TN_I32, 1, &channels), sum);
  }
  int64_t axes[TN_MAX_RANK];
  size_t count = 0;
  int rank = moved_weights->type.rank;
  for (int d = node->op == TN_CONV ? 0 : rank - 2; d < rank - 1; d++)
    axes[count++] = d;
  bool keep = node->op == TN_MATMUL && rank > 2;
  return tn_reduce(b, TN_REDUCE_SUM, tn_cast(b, moved_weights, TN_I32), axes, count, keep);
}

/* The image as the contraction reads it: bytes and i16 as they are stored, u16 less 32768, bytes as i16 where
 * `wide`, and the zero point that goes with that (NULL: none).  False when the zero point is not one number, or
 * of u16 known at run time alone. */
static bool image(struct tn_build *b, const struct source *x, bool wide, struct tn_value **stored,
                  struct tn_value **zero) {
  *stored = x->stored;
  *zero = x->zero ? tn_reshape(b, x->zero, 0, NULL) : NULL;
  if (wide && tn_dtype_size(x->stored->type.dtype) == 1) {
    *stored = tn_cast(b, x->stored, TN_I16);
    *zero = *zero ? tn_cast(b, *zero, TN_I16) : NULL;
  }
  if (x->stored->type.dtype != TN_U16)
    return true;
  double z = zero_point(x);
  if (isnan(z))
    return false;
  struct tn_value *middle = tn_const_int(b, TN_I32, 32768);
  *stored = tn_cast(b, tn_binary(b, TN_SUB, tn_cast(b, x->stored, TN_I32), middle), TN_I16);
  *zero = tn_const_int(b, TN_I16, (int64_t)z - 32768);
  return true;
}

/* sum (x - zx) * (w - zw), and what is to be added to it (NULL: nothing).  `largest`: what else will be added
 * in the same dtype.  roomy: an image may take twice its bytes, so that words are multiplied with weights of 16
 * bits.  NULL when it may wrap. */
static struct tn_value *integer_sum(struct tn_build *b, bool roomy, struct tn_node *node,
                                    const struct source *x, const struct source *w, double largest,
                                    struct tn_value **more) {
  double bound = magnitude(x) * weight_bound(node, w);
  /* A bias of an 8-bit model wraps as it does elsewhere. */
  if (tn_dtype_size(x->stored->type.dtype) > 1)
    bound += largest;
  bool small = bound < ldexp(1, 31);
  if (!small && (bound >= ldexp(1, 62) || node->out[0]->type.dtype == TN_I32))
    return NULL;
  enum tn_dtype acc = small ? TN_I32 : TN_I64;
  *more = NULL;
  struct tn_value *narrow = small ? narrow_weights(b, w) : NULL, *stored, *zero;
  if (!narrow || (x->zero && !one_element(x->zero)) ||
      !image(b, x, roomy && narrow->type.dtype == TN_I16, &stored, &zero)) {
    enum tn_dtype wide = magnitude(x) + magnitude(w) < 1024 ? TN_I16 : TN_I32;
    return contraction(b, node, centred(b, x, wide), centred(b, w, wide), acc);
  }
  struct tn_value *weights = moved(b, w, narrow, NULL);
  double z = 0;
  bool none = !zero || (tn_value_uniform(zero, &z) && z == 0);
  if (none)
    return contraction(b, node, moved(b, x, stored, NULL), weights, acc);
  struct tn_value *shift = tn_binary(b, TN_MUL, weight_sum(b, node, w, narrow, weights), tn_cast(b, zero, acc));
  *more = tn_unary(b, TN_NEG, shift);
  return contraction(b, node, moved(b, x, stored, zero), weights, acc);
}

/* The addition of a bias in the accumulator's own scale, when that is what the only user of the contraction is.
 */
static struct tn_node *integer_bias(const struct tn_node *node, const float *scale, int64_t scales,
                                    tn_arena *arena, struct tn_value **bias, double *largest) {
  if (!tn_value_single_use(node->out[0]))
    return NULL;
  struct tn_node *add = node->out[0]->uses.at[0].node;
  if (add->op != TN_ADD || !tn_type_equal(&add->out[0]->type, &node->out[0]->type))
    return NULL;
  struct tn_value *other = add->in[add->in[0] == node->out[0]];
  struct tn_node *d = other->def;
  double zero = 0;
  if (!d || d->op != TN_DEQUANTIZE || other->type.rank > 1 ||
      (d->in_count > 2 && d->in[2] && (!tn_value_uniform(d->in[2], &zero) || zero != 0)))
    return NULL;
  const double *bias_scale;
  int64_t count;
  const struct tn_tensor *t = tn_value_tensor(d->in[0]);
  if (!t || !tn_value_floats(d->in[1], arena, &bias_scale, &count) ||
      (count != 1 && count != scales && scales != 1))
    return NULL;
  for (int64_t i = 0; i < (count > scales ? count : scales); i++) {
    double want = scale[scales == 1 ? 0 : i], have = bias_scale[count == 1 ? 0 : i];
    if (!(fabs(have - want) <= 1e-5 * want))
      return NULL;
  }
  tn_type_count(&t->type, &count);
  for (int64_t i = 0; i < count; i++)
    *largest = fmax(*largest, fabs((double)tn_tensor_int(t, i)));
  *bias = d->in[0];
  return add;
}

static bool is_contraction(const struct tn_node *node) {
  return (node->op == TN_CONV || node->op == TN_MATMUL) && tn_type_static(&node->out[0]->type) &&
         tn_type_static(&node->in[1]->type);
}

static bool take_scales_out(struct tn_pass *pass, struct tn_node *node) {
  struct source x, w;
  double x_scale;
  const double *w_scale;
  int64_t scales;
  if (!is_contraction(node) || node->out[0]->type.dtype != TN_F32)
    return true;
  struct tn_build b = tn_build_before(node);
  if (!find_source(&b, node->in[0], &x) || !find_source(&b, node->in[1], &w) || x.node->op != TN_DEQUANTIZE ||
      w.node->op != TN_DEQUANTIZE || !scalar_scale(x.node, &x_scale) || (x.zero && !one_element(x.zero)) ||
      !weight_scales(pass->scratch, &w, &w_scale, &scales))
    return true;
  float *scale = TN_NEW_ARRAY(pass->scratch, float, scales);
  for (int64_t i = 0; i < scales; i++)
    scale[i] = (float)x_scale * (float)w_scale[i];

  struct tn_value *bias = NULL, *more;
  double largest = 0;
  struct tn_node *last = integer_bias(node, scale, scales, pass->scratch, &bias, &largest);
  if (!last)
    last = node;
  b = tn_build_before(last);
  struct tn_value *v = integer_sum(&b, pass->options->roomy, node, &x, &w, largest, &more);
  if (!v)
    return true;
  if (bias)
    bias = tn_cast(&b, bias, v->type.dtype);
  if (bias && more)
    bias = tn_binary(&b, TN_ADD, bias, more);
  if (bias || more)
    v = tn_binary(&b, TN_ADD, v, bias ? bias : more);
  struct tn_type type = tn_type_make(TN_F32, scales > 1, &scales);
  v = tn_binary(&b, TN_MUL, tn_cast(&b, v, TN_F32), tn_constant_bytes(&b, type, scale));
  pass->changes++;
  tn_pass_replace(pass, last->out[0], v);
  return true;
}

/* Weights that come at run time, more of them than of the image: they are multiplied as they are stored, and
 * their zero points with the sum of each row,  sum (x - zx) * (w - zw) = sum (x - zx) * w - zw * sum (x - zx).
 */
static struct tn_value *runtime_weights(struct tn_build *b, struct tn_node *node, const struct source *x,
                                        const struct source *w, struct tn_value **more) {
  const struct tn_type *xt = &node->in[0]->type;
  if (node->op != TN_MATMUL || w->moves || tn_dtype_size(w->stored->type.dtype) > 1 ||
      (w->zero && !one_element(w->zero)))
    return NULL;
  struct tn_value *rows = centred(b, x, TN_I16), *zero = w->zeros;
  if (w->zero)
    zero = tn_cast(b, tn_reshape(b, w->zero, 0, NULL), TN_I32);
  if (zero) {
    int64_t last = xt->rank - 1;
    struct tn_value *sum = tn_reduce(b, TN_REDUCE_SUM, tn_cast(b, rows, TN_I32), &last, 1, true);
    *more = tn_unary(b, TN_NEG, tn_binary(b, TN_MUL, sum, zero));
  }
  return contraction(b, node, rows, w->stored, TN_I32);
}

/* A contraction of integers that the model has as such. */
static bool keep_bytes(struct tn_pass *pass, struct tn_node *node) {
  struct source x, w;
  if (!is_contraction(node) || node->out[0]->type.dtype != TN_I32)
    return true;
  struct tn_build b = tn_build_before(node);
  if (!find_source(&b, node->in[0], &x) || !find_source(&b, node->in[1], &w) ||
      (!x.zero && !w.zero && !w.zeros && node->in[0] == x.stored && node->in[1] == w.stored) || x.zeros ||
      tn_dtype_size(x.stored->type.dtype) > 1)
    return true;
  struct tn_value *more = NULL, *v = NULL;
  if (!w.zeros && narrow_weights(&b, &w))
    v = integer_sum(&b, pass->options->roomy, node, &x, &w, 0, &more);
  else
    v = runtime_weights(&b, node, &x, &w, &more);
  if (!v)
    return true;
  pass->changes++;
  tn_pass_replace(pass, node->out[0], more ? tn_binary(&b, TN_ADD, v, more) : v);
  return true;
}

/* A sum of dequantized values, as in a global average: in f64 it is exact, so that a mean that falls between
 * two steps rounds the same way in every order of summation. */
static bool sum_in_double(struct tn_pass *pass, struct tn_node *node) {
  struct source x;
  if (node->op != TN_REDUCE_SUM || node->out[0]->type.dtype != TN_F32)
    return true;
  struct tn_build b = tn_build_before(node);
  if (!find_source(&b, node->in[0], &x) || x.node->op != TN_DEQUANTIZE)
    return true;
  struct tn_ints axes = tn_get_ints(node, TN_REDUCE_SUM_axes);
  struct tn_value *wide = tn_cast(&b, node->in[0], TN_F64);
  wide = tn_reduce(&b, TN_REDUCE_SUM, wide, axes.at, axes.count, tn_get_int(node, TN_REDUCE_SUM_keepdims) != 0);
  pass->changes++;
  tn_pass_replace(pass, node->out[0], tn_cast(&b, wide, TN_F32));
  return true;
}

static bool make_exact(struct tn_pass *pass, struct tn_node *node) {
  return take_scales_out(pass, node) && keep_bytes(pass, node) && sum_in_double(pass, node);
}

bool tn_pass_quantized(struct tn_pass *pass, struct tn_module *module) {
  if (!tn_pass_each(pass, module->main, make_exact))
    return false;
  tn_remove_dead(pass, module);
  return true;
}
