/* Decomposition of conv_transpose into one conv, by phases (sub-pixel convolution).
 *
 * Along one dim, out[o] = sum over i, k with i * s + k = o + before of x[i] * w[k].  Write o + before = q * s +
 * r (the phase r is 0..s-1) and k = j * s + r: then i = q - j, so for each phase the result is a plain
 * convolution over q with every s-th tap of w, reversed.  The phases of all dims become output channels of one
 * conv, and a reshape, transpose, reshape puts them where they belong.  No multiplication by the zeros between
 * the elements of x is done.  A dim of stride 1 has one phase, and keeps its dilation; else a dilated kernel is
 * spread out.
 *
 * The rearrangement of w is made of nodes over w, which fold when w is constant. */
#include "passes/decompose.h"

#define MAX_SPATIAL 3

struct phases {
  struct tn_build *b;
  const struct tn_node *node;
  struct tn_module *module;
  int dims; /* spatial */
  int64_t group, in_channels, out_channels;
  int64_t stride[MAX_SPATIAL], dilation[MAX_SPATIAL]; /* of the conv: dilation 1 where stride > 1 */
  int64_t kernel[MAX_SPATIAL];                        /* taps of w, spread out where stride > 1 */
  int64_t taps[MAX_SPATIAL];                          /* of the conv */
  int64_t first[MAX_SPATIAL];                         /* the first q that is computed */
};

/* Dimensions of a reshape, built from left to right. */
struct dims {
  tn_dim at[TN_MAX_RANK + 4];
  int count;
};
static void add_dim(struct dims *d, tn_dim dim) {
  d->at[d->count++] = dim;
}

static struct tn_value *reshape_to(struct phases *p, struct tn_value *x, const struct dims *d) {
  if (d->count > TN_MAX_RANK) {
    tn_node_error(p->node,
                  "grouped transposed convolution over %d strided dimensions needs %d tensor dimensions, "
                  "at most %d are supported; use one group",
                  p->dims, d->count, TN_MAX_RANK);
    tn_fail_now(p->module->ctx);
  }
  return tn_reshape(p->b, x, d->count, d->at);
}

/* w[K.., c, m/group] with `interior` zeros between taps and zeros at the end up to taps * stride. */
static struct tn_value *spread_taps(struct phases *p, struct tn_value *w, const int64_t *dilation) {
  int rank = w->type.rank;
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0}, interior[TN_MAX_RANK] = {0};
  bool needed = false;
  for (int i = 0; i < p->dims; i++) {
    interior[i] = p->stride[i] > 1 ? dilation[i] - 1 : 0;
    after[i] = p->taps[i] * p->stride[i] - p->kernel[i];
    needed = needed || interior[i] || after[i];
  }
  if (!needed)
    return w;
  struct tn_node *pad = tn_node_make(p->b, TN_PAD, 1, &w, 1);
  tn_set_ints(pad, TN_PAD_before, before, (size_t)rank);
  tn_set_ints(pad, TN_PAD_after, after, (size_t)rank);
  tn_set_ints(pad, TN_PAD_interior, interior, (size_t)rank);
  if (!tn_finish(p->b, pad))
    tn_fail_now(p->module->ctx);
  return pad->out[0];
}

/* w[T*s.., c, m/group] -> [T.. reversed, c/group, group * s.. * m/group] */
static struct tn_value *phase_weights(struct phases *p, struct tn_value *w) {
  int64_t group_in = p->in_channels / p->group, group_out = p->out_channels / p->group;
  struct dims split = {.count = 0}, merged = {.count = 0};
  int64_t perm[TN_MAX_RANK + 4], start[TN_MAX_RANK + 4] = {0}, step[TN_MAX_RANK + 4];
  int tap_at[MAX_SPATIAL], phase_at[MAX_SPATIAL], rank = 0, group_at = -1;
  int64_t phases = 1;
  for (int i = 0; i < p->dims; i++) {
    tap_at[i] = split.count;
    add_dim(&split, p->taps[i]);
    phase_at[i] = p->stride[i] > 1 ? split.count : -1;
    if (p->stride[i] > 1)
      add_dim(&split, p->stride[i]);
    phases *= p->stride[i];
  }
  if (p->group > 1) {
    group_at = split.count;
    add_dim(&split, p->group);
  }
  int in_at = split.count, out_at = in_at + 1;
  add_dim(&split, group_in);
  add_dim(&split, group_out);
  w = reshape_to(p, w, &split);

  for (int i = 0; i < split.count; i++)
    step[i] = 1;
  bool reversed = false;
  for (int i = 0; i < p->dims; i++) {
    step[tap_at[i]] = -1;
    start[tap_at[i]] = p->taps[i] - 1;
    reversed = reversed || p->taps[i] > 1;
  }
  if (reversed)
    w = tn_slice(p->b, w, start, step, split.at);

  for (int i = 0; i < p->dims; i++) {
    perm[rank++] = tap_at[i];
    add_dim(&merged, p->taps[i]);
  }
  perm[rank++] = in_at;
  if (group_at >= 0)
    perm[rank++] = group_at;
  for (int i = 0; i < p->dims; i++)
    if (phase_at[i] >= 0)
      perm[rank++] = phase_at[i];
  perm[rank++] = out_at;
  add_dim(&merged, group_in);
  add_dim(&merged, p->group * phases * group_out);
  return reshape_to(p, tn_permute(p->b, w, perm), &merged);
}

/* y[n, Q.., group * s.. * m/group] -> [n, (Q * s).., m] */
static struct tn_value *interleave(struct phases *p, struct tn_value *y) {
  struct dims split = {.count = 0}, merged = {.count = 0};
  int64_t perm[TN_MAX_RANK + 4];
  int rank = 0, quotient_at[MAX_SPATIAL], phase_at[MAX_SPATIAL], group_at = -1;
  bool strided = false;
  add_dim(&split, y->type.dim[0]);
  add_dim(&merged, y->type.dim[0]);
  for (int i = 0; i < p->dims; i++) {
    quotient_at[i] = split.count;
    add_dim(&split, y->type.dim[1 + i]);
    add_dim(&merged, tn_dim_op(p->module, '*', y->type.dim[1 + i], p->stride[i]));
    strided = strided || p->stride[i] > 1;
  }
  if (!strided)
    return y;
  if (p->group > 1) {
    group_at = split.count;
    add_dim(&split, p->group);
  }
  for (int i = 0; i < p->dims; i++) {
    phase_at[i] = p->stride[i] > 1 ? split.count : -1;
    if (p->stride[i] > 1)
      add_dim(&split, p->stride[i]);
  }
  add_dim(&split, p->out_channels / p->group);
  add_dim(&merged, p->out_channels);
  perm[rank++] = 0;
  for (int i = 0; i < p->dims; i++) {
    perm[rank++] = quotient_at[i];
    if (phase_at[i] >= 0)
      perm[rank++] = phase_at[i];
  }
  if (group_at >= 0)
    perm[rank++] = group_at;
  perm[rank++] = split.count - 1;
  y = reshape_to(p, y, &split);
  return reshape_to(p, tn_permute(p->b, y, perm), &merged);
}

/* x[n, in.., c] with the margins that the conv needs. */
static struct tn_value *margins(struct phases *p, struct tn_value *x, const int64_t *before,
                                const tn_dim *out) {
  int64_t low[TN_MAX_RANK] = {0}, high[TN_MAX_RANK] = {0};
  bool needed = false;
  for (int i = 0; i < p->dims; i++) {
    int64_t reach = (p->taps[i] - 1) * p->dilation[i]; /* x[q - reach .. q] is read for q */
    tn_dim in = x->type.dim[1 + i];
    p->first[i] = 0;
    low[1 + i] = high[1 + i] = reach;
    if (tn_dim_static(in)) {
      p->first[i] = tn_floor_div(before[i], p->stride[i]);
      int64_t last = tn_floor_div(before[i] + (out[i] > 0 ? out[i] - 1 : 0), p->stride[i]);
      low[1 + i] = reach - p->first[i];
      high[1 + i] = last - (in - 1);
    }
    needed = needed || low[1 + i] || high[1 + i];
  }
  return needed ? tn_pad(p->b, x, low, high, NULL) : x;
}

struct tn_value *tn_decompose_conv_transpose(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0], *w = node->in[1];
  struct phases p = {.b = b, .node = node, .module = node->home->module, .dims = x->type.rank - 2};
  const int64_t *stride = tn_get_ints(node, TN_CONV_TRANSPOSE_strides).at;
  const int64_t *dilation = tn_get_ints(node, TN_CONV_TRANSPOSE_dilations).at;
  const int64_t *before = tn_get_ints(node, TN_CONV_TRANSPOSE_before).at;
  const tn_dim *out = &node->out[0]->type.dim[1];
  p.group = tn_get_int(node, TN_CONV_TRANSPOSE_group);
  p.in_channels = w->type.dim[p.dims];
  p.out_channels = p.group * w->type.dim[p.dims + 1];
  if (p.dims < 1 || p.dims > MAX_SPATIAL || !tn_type_static(&w->type)) {
    tn_node_error(node,
                  "expected 1 to %d spatial dimensions and weights of a known shape, found %d spatial "
                  "dimensions; bind symbolic dimensions with --dim",
                  MAX_SPATIAL, p.dims);
    tn_fail_now(p.module->ctx);
  }
  for (int i = 0; i < p.dims; i++) {
    bool strided = stride[i] > 1;
    p.stride[i] = stride[i];
    p.dilation[i] = strided ? 1 : dilation[i];
    p.kernel[i] = strided ? (w->type.dim[i] - 1) * dilation[i] + 1 : w->type.dim[i];
    p.taps[i] = (p.kernel[i] + stride[i] - 1) / stride[i];
  }
  w = phase_weights(&p, spread_taps(&p, w, dilation));
  struct tn_node *conv = tn_node_make(b, TN_CONV, 2, (struct tn_value *[]){margins(&p, x, before, out), w}, 1);
  int64_t one[MAX_SPATIAL] = {1, 1, 1};
  tn_set_ints(conv, TN_CONV_strides, one, (size_t)p.dims);
  tn_set_ints(conv, TN_CONV_dilations, p.dilation, (size_t)p.dims);
  tn_set_int(conv, TN_CONV_group, p.group);
  if (!tn_finish(b, conv))
    tn_fail_now(p.module->ctx);
  struct tn_value *y = interleave(&p, conv->out[0]);

  /* Element o of the result is element o + before - first * stride of y; beyond its end there is nothing but 0.
   */
  int64_t low[TN_MAX_RANK] = {0}, high[TN_MAX_RANK] = {0};
  const int64_t *after = tn_get_ints(node, TN_CONV_TRANSPOSE_after).at;
  const int64_t *extra = tn_get_ints(node, TN_CONV_TRANSPOSE_output_padding).at;
  bool needed = false;
  for (int i = 0; i < p.dims; i++) {
    low[1 + i] = p.first[i] * p.stride[i] - before[i];
    if (tn_dim_static(x->type.dim[1 + i]))
      high[1 + i] = out[i] - (y->type.dim[1 + i] + low[1 + i]);
    else /* y: (in + taps' reach) * stride, out: (in - 1) * stride + kernel' reach + 1 + extra - before - after
          */
      high[1 + i] = (p.kernel[i] - 1) * p.dilation[i] + 1 + extra[i] - after[i] -
                    ((p.taps[i] - 1) * p.dilation[i] + 1) * p.stride[i];
    needed = needed || low[1 + i] || high[1 + i];
  }
  return needed ? tn_pad(b, y, low, high, NULL) : y;
}
