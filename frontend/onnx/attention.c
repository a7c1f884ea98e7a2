/* Scaled dot-product attention; see attention.h. */
#include "frontend/onnx/attention.h"
#include <math.h>

val tn_onnx_split_heads(struct tn_onnx_node *n, val x, int64_t heads) {
  int64_t width = tn_onnx_extent(n, x, 2, "an operand of attention");
  if (heads < 1 || width % heads) {
    tn_onnx_error(n, "'%s' has %lld elements in its last dimension, which do not divide into %lld heads",
                  x->name, (long long)width, (long long)heads);
    tn_fail_now(module_of(n)->ctx);
  }
  val four = tn_reshape(n->b, x, 4, (tn_dim[]){x->type.dim[0], x->type.dim[1], heads, width / heads});
  return tn_transpose(n->b, four, (int64_t[]){0, 2, 1, 3});
}

val tn_onnx_merge_heads(struct tn_onnx_node *n, val x) {
  val y = tn_transpose(n->b, x, (int64_t[]){0, 2, 1, 3});
  tn_dim width = tn_dim_op(module_of(n), '*', y->type.dim[2], y->type.dim[3]);
  return tn_reshape(n->b, y, 3, (tn_dim[]){y->type.dim[0], y->type.dim[1], width});
}

/* x [batch, heads, rows, size] as [batch, groups, heads / groups, rows, size], to be multiplied with a key or
 * value that each group shares. */
static val grouped(struct tn_onnx_node *n, val x, val k) {
  tn_dim heads = x->type.dim[1], groups = k->type.dim[1];
  if (heads == groups)
    return x;
  if (!tn_dim_static(heads) || !tn_dim_static(groups) || groups < 1 || heads % groups) {
    tn_onnx_error(n, "%s heads of the query do not divide into groups for %s heads of the key",
                  tn_dim_text(module_of(n), heads), tn_dim_text(module_of(n), groups));
    tn_fail_now(module_of(n)->ctx);
  }
  return tn_reshape(n->b, x, 5,
                    (tn_dim[]){x->type.dim[0], groups, heads / groups, x->type.dim[2], x->type.dim[3]});
}

/* A key or value [batch, groups, rows, size], to be multiplied with x as above, of so many heads. */
static val shared(struct tn_onnx_node *n, val k, tn_dim heads) {
  if (heads == k->type.dim[1])
    return k;
  return tn_reshape(n->b, k, 5, (tn_dim[]){k->type.dim[0], k->type.dim[1], 1, k->type.dim[2], k->type.dim[3]});
}

static val ungrouped(struct tn_onnx_node *n, val x, tn_dim heads, tn_dim rows) {
  if (x->type.rank == 4)
    return x;
  return tn_reshape(n->b, x, 4, (tn_dim[]){x->type.dim[0], heads, rows, x->type.dim[4]});
}

void tn_onnx_attend_scores(struct tn_onnx_node *n, struct tn_onnx_attention *a) {
  struct tn_build *b = n->b;
  if (a->q->type.rank != 4 || a->k->type.rank != 4 || a->v->type.rank != 4) {
    tn_onnx_error(n, "query, key and value must have 4 dimensions here; found %d, %d and %d", a->q->type.rank,
                  a->k->type.rank, a->v->type.rank);
    tn_fail_now(module_of(n)->ctx);
  }
  enum tn_dtype dtype = a->dtype == TN_NONE ? wide_of(a->q->type.dtype) : a->dtype;
  /* Halves are scaled before they are multiplied, so that the scores stay in range; others after, where it
   * costs nothing. */
  bool before = a->scale != 1 && a->q->type.dtype != TN_F32 && a->q->type.dtype != TN_F64;
  val q = before ? mul(b, a->q, num(b, a->q, a->scale)) : a->q;
  val keys = tn_transpose(b, a->k, (int64_t[]){0, 1, 3, 2});
  val scores = tn_matmul(b, grouped(n, q, a->k), shared(n, keys, q->type.dim[1]));
  scores = ungrouped(n, scores, a->q->type.dim[1], a->q->type.dim[2]);
  if (!before && a->scale != 1)
    scores = mul(b, scores, num(b, scores, a->scale));
  a->scores = tn_cast(b, scores, dtype);
  a->capped = a->scores;
  if (a->softcap > 0) {
    val cap = num(b, a->scores, a->softcap);
    a->capped = mul(b, tn_unary(b, TN_TANH, quo(b, a->scores, cap)), cap);
  }
}

/* Softmax over the last dim with one more score, which takes its share and gives nothing. */
static val softmax_with_sink(struct tn_build *b, val x, val sink) {
  const int64_t last[1] = {x->type.rank - 1};
  val most = max2(b, tn_reduce(b, TN_REDUCE_MAX, x, last, 1, true), sink);
  val e = tn_unary(b, TN_EXP, sub(b, x, most));
  val sum = add(b, tn_reduce(b, TN_REDUCE_SUM, e, last, 1, true), tn_unary(b, TN_EXP, sub(b, sink, most)));
  return quo(b, e, sum);
}

val tn_onnx_attend_values(struct tn_onnx_node *n, const struct tn_onnx_attention *a) {
  val weights = grouped(n, tn_cast(n->b, a->weights, a->v->type.dtype), a->k);
  return ungrouped(n, tn_matmul(n->b, weights, shared(n, a->v, a->q->type.dim[1])), a->q->type.dim[1],
                   a->q->type.dim[2]);
}

val tn_onnx_attend(struct tn_onnx_node *n, struct tn_onnx_attention *a) {
  struct tn_build *b = n->b;
  tn_onnx_attend_scores(n, a);
  enum tn_dtype dtype = a->capped->type.dtype;
  val bias = a->bias ? tn_cast(b, a->bias, dtype) : NULL;
  a->biased = bias ? add(b, a->capped, bias) : a->capped;
  if (a->sink) {
    a->weights = softmax_with_sink(b, a->biased, tn_cast(b, a->sink, dtype));
  } else {
    a->weights = tn_unary(b, TN_SOFTMAX, a->biased);
    if (bias && a->rows_may_be_dead) {
      val most = tn_reduce(b, TN_REDUCE_MAX, bias, (int64_t[]){bias->type.rank - 1}, 1, true);
      val dead = tn_binary(b, TN_EQ, most, num(b, most, -(double)INFINITY));
      a->weights = tn_select(b, dead, num(b, a->weights, 0), a->weights);
    }
  }
  return tn_onnx_attend_values(n, a);
}

/* ---- masks --------------------------------------------------------------------------------------------- */

val tn_onnx_places(struct tn_onnx_node *n, tn_dim extent, int axis, int rank) {
  struct tn_build *b = n->b;
  tn_dim dims[TN_MAX_RANK];
  for (int i = 0; i < rank; i++)
    dims[i] = i == axis ? extent : 1;
  if (tn_dim_static(extent))
    return tn_iota(b, TN_I64, rank, dims, axis);
  val ones = tn_expand(b, tn_const_int(b, TN_I64, 1), rank, dims); /* counts with the extent it gets */
  struct tn_node *node = tn_node_make(b, TN_SCAN_SUM, 1, &ones, 1);
  tn_set_int(node, TN_SCAN_SUM_axis, axis);
  tn_set_int(node, TN_SCAN_SUM_exclusive, 1);
  if (!tn_finish(b, node))
    tn_fail_now(module_of(n)->ctx);
  return node->out[0];
}

val tn_onnx_band(struct tn_onnx_node *n, tn_dim rows, tn_dim columns, val offset, int64_t left, int64_t right) {
  struct tn_build *b = n->b;
  int rank = offset->type.rank == 4 ? 4 : 2;
  val place = add(b, tn_onnx_places(n, rows, rank - 2, rank), tn_cast(b, offset, TN_I64));
  val key = tn_onnx_places(n, columns, rank - 1, rank), allowed = NULL;
  if (right >= 0)
    allowed = tn_binary(b, TN_LE, key, right == 0 ? place : add(b, place, num(b, place, (double)right)));
  if (left >= 0) {
    val low = tn_binary(b, TN_GE, key, sub(b, place, num(b, place, (double)left)));
    allowed = allowed ? tn_binary(b, TN_AND, allowed, low) : low;
  }
  return allowed;
}

val tn_onnx_mask_bias(struct tn_build *b, val allowed, enum tn_dtype dtype, double low) {
  return tn_select(b, allowed, tn_onnx_number(b, dtype, 0), tn_onnx_number(b, dtype, low));
}

/* ---- rotary embedding ---------------------------------------------------------------------------------- */

val tn_onnx_rotate(struct tn_onnx_node *n, val x, val cosine, val sine, int64_t size, bool interleaved) {
  struct tn_build *b = n->b;
  int rank = x->type.rank, last = rank - 1;
  int64_t width = tn_onnx_extent(n, x, last, "the rotated operand"), half = size / 2;
  if (size < 2 || size % 2 || size > width || cosine->type.dim[cosine->type.rank - 1] != half) {
    tn_onnx_error(
        n,
        "%lld of %lld elements are to be rotated with tables of %s angles: expected an even number, and "
        "half as many angles",
        (long long)size, (long long)width, tn_dim_text(module_of(n), cosine->type.dim[cosine->type.rank - 1]));
    tn_fail_now(module_of(n)->ctx);
  }
  val part = tn_onnx_cut(b, x, last, 0, size), first, second;
  tn_dim pairs[TN_MAX_RANK];
  if (interleaved) {
    for (int i = 0; i < last; i++)
      pairs[i] = x->type.dim[i];
    pairs[last] = half;
    pairs[rank] = 2;
    val split = tn_reshape(b, part, rank + 1, pairs);
    first = tn_onnx_squeeze(b, tn_onnx_cut(b, split, rank, 0, 1), rank);
    second = tn_onnx_squeeze(b, tn_onnx_cut(b, split, rank, 1, 1), rank);
  } else {
    first = tn_onnx_cut(b, part, last, 0, half);
    second = tn_onnx_cut(b, part, last, half, half);
  }
  val real = sub(b, mul(b, cosine, first), mul(b, sine, second));
  val imaginary = add(b, mul(b, sine, first), mul(b, cosine, second));
  val turned;
  if (interleaved) {
    val both[2] = {tn_onnx_unsqueeze(b, real, rank), tn_onnx_unsqueeze(b, imaginary, rank)};
    turned = tn_reshape(b, tn_concat(b, rank, 2, both), rank, part->type.dim);
  } else {
    turned = tn_concat(b, last, 2, (val[]){real, imaginary});
  }
  if (size == width)
    return turned;
  return tn_concat(b, last, 2, (val[]){turned, tn_onnx_cut(b, x, last, size, width - size)});
}
