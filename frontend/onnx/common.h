/* Short builders that the operator mappings (ops_*.c) share, so that a mapping reads as the formula of ONNX's
 * text.
 *
 * They leave to the guard on failure, as the builders of ir.h do.  Those with `n` report against the node's
 * operand; those with `b` are plain compositions. */
#ifndef TENON_FRONTEND_ONNX_COMMON_H
#define TENON_FRONTEND_ONNX_COMMON_H

#include "frontend/onnx/map.h"

typedef struct tn_value *val;

/* ---- formulas ------------------------------------------------------------------------------------------- */

static inline val add(struct tn_build *b, val x, val y) {
  return tn_binary(b, TN_ADD, x, y);
}
static inline val sub(struct tn_build *b, val x, val y) {
  return tn_binary(b, TN_SUB, x, y);
}
static inline val mul(struct tn_build *b, val x, val y) {
  return tn_binary(b, TN_MUL, x, y);
}
static inline val quo(struct tn_build *b, val x, val y) {
  return tn_binary(b, TN_DIV, x, y);
}
static inline val max2(struct tn_build *b, val x, val y) {
  return tn_binary(b, TN_MAX, x, y);
}
static inline val min2(struct tn_build *b, val x, val y) {
  return tn_binary(b, TN_MIN, x, y);
}

/* A rank-0 constant of the dtype, float or integer. */
val tn_onnx_number(struct tn_build *b, enum tn_dtype dtype, double value);
/* The same in the dtype of x. */
static inline val num(struct tn_build *b, val x, double value) {
  return tn_onnx_number(b, x->type.dtype, value);
}
/* All-true (or any value) constant of a shape. */
val tn_onnx_full(struct tn_build *b, val number, int rank, const tn_dim *dims);

/* ---- shapes --------------------------------------------------------------------------------------------- */

static inline struct tn_module *module_of(const struct tn_onnx_node *n) {
  return n->b->graph->module;
}

/* x in `rank` dims: the same elements, given dims. */
val tn_onnx_unsqueeze(struct tn_build *b, val x, int axis); /* axis in 0..rank */
val tn_onnx_squeeze(struct tn_build *b, val x, int axis);
/* Appends or prepends dims of 1 up to `rank`. */
val tn_onnx_rank_after(struct tn_build *b, val x, int rank);
val tn_onnx_rank_before(struct tn_build *b, val x, int rank);
/* A rank-1 operand [c] as [1, .., c, .., 1] of the given rank; any other operand of rank <= `rank` as it is. */
val tn_onnx_along(struct tn_build *b, val x, int axis, int rank);
/* A one-element operand as rank 0; others as they are. */
val tn_onnx_scalar(struct tn_build *b, val x);
/* dims[0] * .. * dims[count - 1], symbols included. */
tn_dim tn_onnx_product(struct tn_module *module, const tn_dim *dims, int count);
/* The dims of x, all of them numbers; leaves when one is a symbol (the error says how to bind it). */
const int64_t *tn_onnx_static_dims(struct tn_onnx_node *n, val x, const char *what);
int64_t tn_onnx_extent(struct tn_onnx_node *n, val x, int axis, const char *what);
/* out: numpy's broadcast of the two shapes; returns the rank. */
int tn_onnx_broadcast(struct tn_onnx_node *n, int x_rank, const tn_dim *x, int y_rank, const tn_dim *y,
                      tn_dim *out);
/* x broadcast to the type's shape. */
val tn_onnx_expand_like(struct tn_build *b, val x, const struct tn_type *type);
/* Elements start .. start + count of one dim. */
val tn_onnx_cut(struct tn_build *b, val x, int axis, int64_t start, int64_t count);
/* Moves dim `from` to place `to`, keeping the order of the others. */
val tn_onnx_move_dim(struct tn_build *b, val x, int from, int to);
/* [n, c, spatial...] to [n, spatial..., c] and back. */
val tn_onnx_channels_last(struct tn_build *b, val x);
val tn_onnx_channels_first(struct tn_build *b, val x);

/* ---- reading -------------------------------------------------------------------------------------------- */

/* Axes from the attribute `name`, or from operand `index` when that is >= 0 and present: each brought to
 * 0..rank-1, ascending, checked to be distinct.  Returns false when neither is there. */
bool tn_onnx_axes(struct tn_onnx_node *n, const char *name, int index, int rank, int64_t *axes, int *count);
/* Strides, pads and the like are kept so small that products with an extent stay in range. */
enum { TN_ONNX_MAX_STEP = 1 << 22 };
/* The INTS attribute, which must have `count` elements, none beyond TN_ONNX_MAX_STEP; all `absent` when it is
 * not there. */
void tn_onnx_ints_or(struct tn_onnx_node *n, const char *name, int count, int64_t absent, int64_t *out);
/* Operand i, NULL when absent; leaves unless its dtype is that of x. */
val tn_onnx_same_dtype(struct tn_onnx_node *n, int i, const char *what, val x);

/* ---- composed ------------------------------------------------------------------------------------------- */

/* f16 and bf16 to f32: where ONNX asks for the sum or the statistics of many elements. */
static inline enum tn_dtype wide_of(enum tn_dtype dtype) {
  return dtype == TN_F16 || dtype == TN_BF16 ? TN_F32 : dtype;
}
val tn_onnx_mean(struct tn_build *b, val x, const int64_t *axes, size_t count, bool keepdims);
val tn_onnx_iota_along(struct tn_build *b, enum tn_dtype dtype, int64_t extent, int axis, int rank);
/* One-operand functions that several operators share (activation of a fused operator, an op of its own). */
val tn_onnx_gelu(struct tn_build *b, val x, bool tanh_form);
val tn_onnx_clip(struct tn_build *b, val x, double low, double high);
val tn_onnx_leaky_relu(struct tn_build *b, val x, double alpha);
/* The activation that a fused operator names ("Relu", "LeakyRelu", "Clip", "HardSigmoid", ...) with its
 * parameters. */
val tn_onnx_activation(struct tn_onnx_node *n, val x, const char *name, const float *params, size_t count);

/* ---- windows (Conv, pools, Col2Im) ---------------------------------------------------------------------- */

enum { TN_ONNX_MAX_SPATIAL = 6 };
/* A sliding window over the spatial dims, all attributes resolved: what auto_pad and ceil_mode ask is in
 * `after` and `out`. */
struct tn_onnx_window {
  int spatial;
  int64_t kernel[TN_ONNX_MAX_SPATIAL], stride[TN_ONNX_MAX_SPATIAL], dilation[TN_ONNX_MAX_SPATIAL];
  int64_t before[TN_ONNX_MAX_SPATIAL], after[TN_ONNX_MAX_SPATIAL];
  int64_t pad_after[TN_ONNX_MAX_SPATIAL]; /* as asked: `after` may reach further with ceil_mode */
  int64_t out[TN_ONNX_MAX_SPATIAL];
};
/* Reads strides, dilations, pads, auto_pad, kernel_shape (or the given kernel) and ceil_mode for x[n, c,
 * spatial...]. */
void tn_onnx_window(struct tn_onnx_node *n, val x, const int64_t *kernel, struct tn_onnx_window *w);
/* Convolution of x[n, c, spatial...] with w[m, c/group, k...]; bias [m] or NULL; result [n, m, spatial...].
 * acc: TN_NONE or the integer result dtype. */
val tn_onnx_conv(struct tn_onnx_node *n, val x, val w, val bias, enum tn_dtype acc);

#endif
