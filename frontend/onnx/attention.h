/* Scaled dot-product attention, as the mappings of ONNX's and com.microsoft's operators share it. */
#ifndef TENON_FRONTEND_ONNX_ATTENTION_H
#define TENON_FRONTEND_ONNX_ATTENTION_H

#include "frontend/onnx/common.h"

/* softmax(cap(scale * q * k^T) + bias) * v.  Query heads are a multiple of key heads, which they share in
 * groups of neighbours. */
struct tn_onnx_attention {
  val q;    /* [batch, heads, rows, size] */
  val k, v; /* [batch, kv heads, columns, size], v's size may differ */
  double scale;
  double softcap;        /* 0: none */
  val bias;              /* broadcasts to [batch, heads, rows, columns]; NULL: none */
  bool rows_may_be_dead; /* a row whose bias is -inf throughout gives zeros */
  enum tn_dtype dtype;   /* of the softmax; TN_NONE: q's, f32 for narrow floats */
  val sink;              /* [1, heads, 1, 1] an extra score of each row that has no value, or NULL */
  /* results: [batch, heads, rows, columns] */
  val scores, capped, biased, weights;
};
/* The whole of it: [batch, heads, rows, v's size]. */
val tn_onnx_attend(struct tn_onnx_node *n, struct tn_onnx_attention *a);
/* The two halves, for operators that do something between: the first sets scores to capped, the second takes
 * weights. */
void tn_onnx_attend_scores(struct tn_onnx_node *n, struct tn_onnx_attention *a);
val tn_onnx_attend_values(struct tn_onnx_node *n, const struct tn_onnx_attention *a);

/* x [batch, seq, heads * size] as [batch, heads, seq, size], and back. */
val tn_onnx_split_heads(struct tn_onnx_node *n, val x, int64_t heads);
val tn_onnx_merge_heads(struct tn_onnx_node *n, val x);

/* Which keys a query sees: bool, [.., rows, columns].  Query i stands at place offset + i; offset: integer, of
 * rank 0 or broadcasting to [batch, 1, 1, 1].  A bound below 0 is none: keys at place - left .. place + right.
 */
val tn_onnx_band(struct tn_onnx_node *n, tn_dim rows, tn_dim columns, val offset, int64_t left, int64_t right);
/* i64 numbers 0 .. extent - 1 along `axis` of `rank` dims; the extent may be a symbol. */
val tn_onnx_places(struct tn_onnx_node *n, tn_dim extent, int axis, int rank);
/* 0 where allowed (bool), else `low`. */
val tn_onnx_mask_bias(struct tn_build *b, val allowed, enum tn_dtype dtype, double low);

/* Rotates the first `size` elements of the last dim of x by angles whose cosines and sines are given, which
 * broadcast to x with size / 2 elements in the last dim.  Pairs are neighbours (interleaved), or the two
 * halves. */
val tn_onnx_rotate(struct tn_onnx_node *n, val x, val cosine, val sine, int64_t size, bool interleaved);

#endif
