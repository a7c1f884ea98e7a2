/* Contractions of dequantized tensors accumulate exactly.
 *
 * conv(dequantize(x, sx, zx), dequantize(w, sw, zw)) + dequantize(b, sx * sw) has the integer meaning
 * (sum (x - zx) * (w - zw) + b) * sx * sw.  Computed as written, every product is rounded and the result
 * depends on the order of the sum; a later rounding to integers then differs by a step between targets.  This
 * pass takes the scales out of the contraction: its operands become the integers x - zx and w - zw, held in
 * f32.  The sum is exact, in any order, as long as no partial sum passes 2^24, which the weights themselves
 * prove; where they do not prove it the node is left as it is.
 *
 * Such a contraction has its `acc` attribute set to f32: scales must not be folded back into its weights. */
#include "passes/passes.h"

#include <math.h>

#define EXACT ((double)(1 << 24)) /* integers up to here are floats */

/* A dequantization seen through moves that neither create values nor mix channels. */
struct source {
  struct tn_node *node;    /* TN_DEQUANTIZE */
  struct tn_node *move[8]; /* from the contraction back to it */
  int moves;
};

static bool zero_pad(const struct tn_node *node) {
  double fill = 0;
  if (tn_get_int(node, TN_PAD_mode) != 0)
    return node->op == TN_PAD; /* reflect, edge, wrap: copies */
  return node->in_count < 2 || !node->in[1] || (tn_value_uniform(node->in[1], &fill) && fill == 0);
}

static bool find_source(struct tn_value *v, struct source *s) {
  *s = (struct source){0};
  while (v->def && s->moves < (int)TN_COUNT(s->move)) {
    struct tn_node *n = v->def;
    if (n->op == TN_DEQUANTIZE) {
      s->node = n;
      return n->in[0]->type.dtype == TN_I8 || n->in[0]->type.dtype == TN_U8;
    }
    bool moves =
        n->op == TN_TRANSPOSE || n->op == TN_RESHAPE || n->op == TN_SLICE || (n->op == TN_PAD && zero_pad(n));
    if (!moves)
      return false;
    s->move[s->moves++] = n;
    v = n->in[0];
  }
  return false;
}

static bool scalar_scale(const struct tn_node *dequantize, double *scale) {
  return tn_value_uniform(dequantize->in[1], scale) && *scale > 0 && isfinite(*scale);
}

static double zero_point(const struct tn_node *dequantize) {
  double z = 0;
  if (dequantize->in_count > 2 && dequantize->in[2] && !tn_value_uniform(dequantize->in[2], &z))
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

/* No sum of terms can pass this: for constant weights the largest sum of magnitudes over one output channel,
 * bounded by all of them where channels are not told apart. */
static double sum_bound(const struct tn_node *node, const struct source *x, const struct source *w) {
  double z = zero_point(x->node), terms = 1;
  bool is_signed = x->node->in[0]->type.dtype == TN_I8;
  double most = is_signed ? fmax(fabs(-128 - z), fabs(127 - z)) : fmax(fabs(z), fabs(255 - z));
  const struct tn_type *wt = &node->in[1]->type;
  int first = node->op == TN_CONV ? 0 : wt->rank - 2;
  for (int d = first; d < wt->rank - 1; d++)
    terms *= (double)wt->dim[d];
  const struct tn_tensor *t = tn_value_tensor(w->node->in[0]);
  double zw = zero_point(w->node);
  if (!t || isnan(zw) || (node->op == TN_MATMUL && wt->rank != 2))
    return terms * most * 255;
  /* Per output channel: its dim in the stored weights is the one that the transposes bring last. */
  int axis = wt->rank - 1;
  for (int i = 0; i < w->moves; i++) {
    if (w->move[i]->op != TN_TRANSPOSE)
      return terms * most * 255;
    axis = (int)tn_get_ints(w->move[i], TN_TRANSPOSE_perm).at[axis];
  }
  int64_t inner = 1, channels = t->type.dim[axis], count;
  for (int d = axis + 1; d < t->type.rank; d++)
    inner *= t->type.dim[d];
  tn_type_count(&t->type, &count);
  double largest = 0;
  for (int64_t c = 0; c < channels; c++) {
    double sum = 0;
    for (int64_t outer = 0; outer < count / (inner * channels); outer++)
      for (int64_t i = 0; i < inner; i++)
        sum += fabs((double)tn_tensor_int(t, (outer * channels + c) * inner + i) - zw);
    largest = sum > largest ? sum : largest;
  }
  return largest * most;
}

/* The integers of a source: dequantized with scale 1, moved as before. */
static struct tn_value *integers(struct tn_build *b, const struct source *s) {
  struct tn_value *in[3] = {s->node->in[0], tn_const_float(b, TN_F32, 1), NULL};
  int count = 2;
  if (s->node->in_count > 2 && s->node->in[2])
    in[count++] = s->node->in[2];
  int64_t zero_points = 1;
  if (count > 2)
    tn_type_count(&in[2]->type, &zero_points);
  if (zero_points > 1) { /* one a channel: the scales keep that shape */
    float *one = TN_NEW_ARRAY(b->graph->module->arena, float, zero_points);
    for (int64_t i = 0; i < zero_points; i++)
      one[i] = 1;
    struct tn_type type = in[2]->type;
    type.dtype = TN_F32;
    in[1] = tn_constant_bytes(b, type, one);
  }
  struct tn_node *d = tn_node_make(b, TN_DEQUANTIZE, count, in, 1);
  tn_set_int(d, TN_DEQUANTIZE_axis, tn_get_int(s->node, TN_DEQUANTIZE_axis));
  if (!tn_finish(b, d))
    tn_fail_now(b->graph->module->ctx);
  struct tn_value *v = d->out[0];
  for (int i = s->moves - 1; i >= 0; i--) {
    struct tn_node *m = tn_node_make(b, s->move[i]->op, 1, &v, 1);
    memcpy(m->attr, s->move[i]->attr, sizeof m->attr);
    if (!tn_finish(b, m))
      tn_fail_now(b->graph->module->ctx);
    v = m->out[0];
  }
  return v;
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
  if (!d || d->op != TN_DEQUANTIZE || other->type.rank > 1 || !isfinite(zero_point(d)) || zero_point(d) != 0)
    return NULL;
  const double *bias_scale;
  int64_t count, elements;
  const struct tn_tensor *t = tn_value_tensor(d->in[0]);
  if (!t || !tn_value_floats(d->in[1], arena, &bias_scale, &count) ||
      (count != 1 && count != scales && scales != 1))
    return NULL;
  for (int64_t i = 0; i < (count > scales ? count : scales); i++) {
    double want = scale[scales == 1 ? 0 : i], have = bias_scale[count == 1 ? 0 : i];
    if (!(fabs(have - want) <= 1e-5 * want))
      return NULL;
  }
  tn_type_count(&t->type, &elements);
  for (int64_t i = 0; i < elements; i++)
    *largest = fmax(*largest, fabs((double)tn_tensor_int(t, i)));
  *bias = d->in[0];
  return add;
}

static bool take_scales_out(struct tn_pass *pass, struct tn_node *node) {
  bool conv = node->op == TN_CONV;
  enum tn_attr_id acc = conv ? TN_CONV_acc : TN_MATMUL_acc;
  struct source x, w;
  double x_scale;
  const double *w_scale;
  int64_t scales;
  if ((!conv && node->op != TN_MATMUL) || node->out[0]->type.dtype != TN_F32 ||
      tn_get_int(node, acc) != TN_NONE || !tn_type_static(&node->out[0]->type))
    return true;
  if (!find_source(node->in[0], &x) || !find_source(node->in[1], &w) || !scalar_scale(x.node, &x_scale) ||
      isnan(zero_point(x.node)) || !weight_scales(pass->scratch, &w, &w_scale, &scales))
    return true;
  double bound = sum_bound(node, &x, &w), bias_bound = 0;
  if (bound >= EXACT)
    return true;
  float *scale = TN_NEW_ARRAY(pass->scratch, float, scales);
  for (int64_t i = 0; i < scales; i++)
    scale[i] = (float)x_scale * (float)w_scale[i];

  struct tn_value *bias = NULL;
  struct tn_node *last = integer_bias(node, scale, scales, pass->scratch, &bias, &bias_bound);
  if (!last || bound + bias_bound >= EXACT) {
    last = node;
    bias = NULL;
  }
  struct tn_build b = tn_build_before(last);
  struct tn_value *in[2] = {integers(&b, &x), integers(&b, &w)};
  struct tn_node *sum = tn_node_make(&b, node->op, 2, in, 1);
  memcpy(sum->attr, node->attr, sizeof sum->attr);
  tn_set_int(sum, acc, TN_F32);
  if (!tn_finish(&b, sum))
    return false;
  struct tn_value *v = sum->out[0];
  if (bias)
    v = tn_binary(&b, TN_ADD, v, tn_cast(&b, bias, TN_F32));
  struct tn_type type = tn_type_make(TN_F32, scales > 1, &scales);
  v = tn_binary(&b, TN_MUL, v, tn_constant_bytes(&b, type, scale));
  pass->changes++;
  tn_pass_replace(pass, last->out[0], v);
  return true;
}

/* A sum of dequantized values, as in a global average: in f64 it is exact, so that a mean that falls between
 * two steps rounds the same way in every order of summation. */
static bool sum_in_double(struct tn_pass *pass, struct tn_node *node) {
  struct source x;
  if (node->op != TN_REDUCE_SUM || node->out[0]->type.dtype != TN_F32 || !find_source(node->in[0], &x))
    return true;
  struct tn_build b = tn_build_before(node);
  struct tn_ints axes = tn_get_ints(node, TN_REDUCE_SUM_axes);
  struct tn_value *wide = tn_cast(&b, node->in[0], TN_F64);
  wide = tn_reduce(&b, TN_REDUCE_SUM, wide, axes.at, axes.count, tn_get_int(node, TN_REDUCE_SUM_keepdims) != 0);
  pass->changes++;
  tn_pass_replace(pass, node->out[0], tn_cast(&b, wide, TN_F32));
  return true;
}

static bool make_exact(struct tn_pass *pass, struct tn_node *node) {
  return take_scales_out(pass, node) && sum_in_double(pass, node);
}

bool tn_pass_quantized(struct tn_pass *pass, struct tn_module *module) {
  if (!tn_pass_each(pass, module->main, make_exact))
    return false;
  tn_remove_dead(pass, module);
  return true;
}
