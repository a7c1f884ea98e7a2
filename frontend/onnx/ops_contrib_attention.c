/* com.microsoft attention: Attention, MultiHeadAttention, GroupQueryAttention, RotaryEmbedding, as ONNX Runtime
 * defines them.  A masked score gets mask_filter_value added, a finite number: a row that is masked throughout
 * is spread evenly. */
#include "frontend/onnx/attention.h"
#include "frontend/onnx/quant.h"
#include <math.h>

/* The mask operand as bool [.., rows or 1, columns], true where a query may look; NULL when absent.  One
 * dimension: lengths [batch], or ends and starts [2 * batch]. */
static val allowed_by_mask(struct tn_onnx_node *n, val mask, tn_dim batch, tn_dim columns) {
  struct tn_build *b = n->b;
  if (!mask)
    return NULL;
  if (mask->type.rank == 1) {
    val place = tn_onnx_places(n, columns, 1, 2);
    tn_dim twice = tn_dim_op(module_of(n), '*', 2, batch);
    bool starts = mask->type.dim[0] == twice && mask->type.dim[0] != batch;
    if (mask->type.dim[0] != batch && !starts) {
      tn_onnx_unsupported(n, "a mask of %s numbers for a batch of %s",
                          tn_dim_text(module_of(n), mask->type.dim[0]), tn_dim_text(module_of(n), batch));
      tn_fail_now(module_of(n)->ctx);
    }
    mask = tn_cast(b, mask, TN_I64);
    val ends = starts ? tn_onnx_cut(b, mask, 0, 0, tn_onnx_extent(n, mask, 0, "the mask") / 2) : mask;
    val inside = tn_binary(b, TN_LT, place, tn_onnx_unsqueeze(b, ends, 1));
    if (starts) {
      val start = tn_onnx_cut(b, mask, 0, mask->type.dim[0] / 2, mask->type.dim[0] / 2);
      inside = tn_binary(b, TN_AND, inside, tn_binary(b, TN_GE, place, tn_onnx_unsqueeze(b, start, 1)));
    }
    return tn_reshape(b, inside, 4, (tn_dim[]){batch, 1, 1, columns});
  }
  val yes = mask->type.dtype == TN_BOOL ? mask : tn_binary(b, TN_GT, mask, num(b, mask, 0));
  if (mask->type.rank == 2)
    return tn_reshape(b, yes, 4, (tn_dim[]){mask->type.dim[0], 1, 1, mask->type.dim[1]});
  if (mask->type.rank == 3)
    return tn_reshape(b, yes, 4, (tn_dim[]){mask->type.dim[0], 1, mask->type.dim[1], mask->type.dim[2]});
  tn_onnx_unsupported(n, "a mask of %d dimensions", mask->type.rank);
  tn_fail_now(module_of(n)->ctx);
}

/* An i64 scalar of a dimension. */
static val dim_value(struct tn_onnx_node *n, tn_dim dim) {
  if (tn_dim_static(dim))
    return tn_const_int(n->b, TN_I64, dim);
  val ones = tn_expand(n->b, tn_const_int(n->b, TN_I64, 1), 1, &dim);
  return tn_reduce(n->b, TN_REDUCE_SUM, ones, (int64_t[]){0}, 1, false);
}

/* Bias of the scores from the mask, the causal limit and an operand that is added. */
static val score_bias(struct tn_onnx_node *n, const struct tn_onnx_attention *a, val mask, val added,
                      tn_dim past, bool causal) {
  struct tn_build *b = n->b;
  enum tn_dtype dtype = wide_of(a->q->type.dtype);
  double low = tn_onnx_float(n, "mask_filter_value", -10000);
  val allowed = allowed_by_mask(n, mask, a->q->type.dim[0], a->k->type.dim[2]), bias = NULL;
  if (allowed)
    bias = tn_onnx_mask_bias(b, allowed, dtype, low);
  if (added)
    bias = bias ? add(b, bias, tn_cast(b, added, dtype)) : tn_cast(b, added, dtype);
  if (causal && a->q->type.dim[2] != 1) { /* a single query sees all keys, as runtimes have it */
    val band = tn_onnx_band(n, a->q->type.dim[2], a->k->type.dim[2], dim_value(n, past), -1, 0);
    val lowest = tn_onnx_number(b, dtype, -3.4028234663852886e38);
    bias = tn_select(b, band, bias ? bias : tn_onnx_number(b, dtype, 0), lowest);
  }
  return bias;
}

static double default_scale(struct tn_onnx_node *n, val q) {
  double scale = tn_onnx_float(n, "scale", 0);
  return scale != 0 ? scale : 1 / sqrt((double)tn_onnx_extent(n, q, 3, "the query"));
}

static bool no_share_buffer(struct tn_onnx_node *n) {
  return !tn_onnx_int(n, "past_present_share_buffer", 0) && !tn_onnx_int(n, "do_rotary", 0);
}

/* Query, key and value parts of x [batch, seq, sizes[0] + sizes[1] + sizes[2]]. */
static bool split_packed(struct tn_onnx_node *n, val x, int64_t heads, const int64_t *sizes, val *out) {
  int64_t at = 0;
  for (int i = 0; i < 3; i++) {
    out[i] = tn_onnx_split_heads(n, tn_onnx_cut(n->b, x, 2, at, sizes[i]), heads);
    at += sizes[i];
  }
  return true;
}

/* past [2, batch, heads, seq, size] before key and value; results are in a->k, a->v. */
static tn_dim prepend_past(struct tn_onnx_node *n, struct tn_onnx_attention *a, val past_k, val past_v) {
  a->k = tn_concat(n->b, 2, 2, (val[]){past_k, a->k});
  a->v = tn_concat(n->b, 2, 2, (val[]){past_v, a->v});
  return past_k->type.dim[2];
}

/* Attention whose packed projection (input * weights + bias) is given; QAttention computes it in its own way.
 */
static bool attend_packed(struct tn_onnx_node *n, val packed, val mask, val past, val added) {
  struct tn_build *b = n->b;
  int64_t heads = tn_onnx_int(n, "num_heads", 0), width = tn_onnx_extent(n, packed, 2, "the projection");
  int64_t sizes[3] = {width / 3, width / 3, width / 3};
  struct tn_ints given;
  if (tn_onnx_ints(n, "qkv_hidden_sizes", &given) && given.count) {
    if (given.count != 3)
      return tn_onnx_error(n, "qkv_hidden_sizes has %zu elements; expected 3", given.count);
    memcpy(sizes, given.at, sizeof sizes);
  }
  if (heads < 1 || sizes[0] < 1 || sizes[1] < 1 || sizes[2] < 1 || sizes[0] + sizes[1] + sizes[2] != width)
    return tn_onnx_error(
        n,
        "the projection has %lld elements, which do not divide into query, key and value of %lld "
        "heads",
        (long long)width, (long long)heads);
  if (!no_share_buffer(n))
    return tn_onnx_unsupported(n, "past_present_share_buffer and do_rotary");
  struct tn_onnx_attention a = {0};
  val parts[3];
  split_packed(n, packed, heads, sizes, parts);
  a.q = parts[0];
  a.k = parts[1];
  a.v = parts[2];
  tn_dim before = 0;
  if (past) {
    if (past->type.rank != 5)
      return tn_onnx_error(n, "past must have 5 dimensions, and has %d", past->type.rank);
    before = prepend_past(n, &a, tn_onnx_squeeze(b, tn_onnx_cut(b, past, 0, 0, 1), 0),
                          tn_onnx_squeeze(b, tn_onnx_cut(b, past, 0, 1, 1), 0));
  }
  a.scale = default_scale(n, a.q);
  a.bias = score_bias(n, &a, mask, added, before, tn_onnx_int(n, "unidirectional", 0) != 0);
  n->out[0] = tn_onnx_merge_heads(n, tn_onnx_attend(n, &a));
  if (n->out_count > 1) {
    val both[2] = {tn_onnx_unsqueeze(b, a.k, 0), tn_onnx_unsqueeze(b, a.v, 0)};
    n->out[1] = tn_concat(b, 0, 2, both);
  }
  return true;
}

bool tn_onnx_op_ms_attention(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), w = tn_onnx_need(n, 1, "weights"), bias = tn_onnx_in(n, 2);
  if (x->type.rank != 3 || w->type.rank != 2)
    return tn_onnx_error(n, "input and weights must have 3 and 2 dimensions; found %d and %d", x->type.rank,
                         w->type.rank);
  val packed = tn_matmul(b, x, w);
  if (bias)
    packed = add(b, packed, bias);
  return attend_packed(n, packed, tn_onnx_in(n, 3), tn_onnx_in(n, 4), tn_onnx_in(n, 5));
}

/* input, weight, bias, their scales, mask, their zero points, past. */
bool tn_onnx_op_ms_qattention(struct tn_onnx_node *n) {
  val packed = tn_onnx_matmul_scaled(n, (const int[2][3]){{0, 3, 6}, {1, 4, 7}}, 2);
  if (packed->type.rank != 3)
    return tn_onnx_error(n, "input must have 3 dimensions; found %d", packed->type.rank);
  return attend_packed(n, packed, tn_onnx_in(n, 5), tn_onnx_in(n, 8), NULL);
}

/* ---- MultiHeadAttention -------------------------------------------------------------------------------- */

/* Element `index` of dim 3 of x [batch, seq, heads, parts, size] as [batch, heads, seq, size]. */
static val packed_part(struct tn_onnx_node *n, val x, int index) {
  val part = tn_onnx_squeeze(n->b, tn_onnx_cut(n->b, x, 3, index, 1), 3);
  return tn_transpose(n->b, part, (int64_t[]){0, 2, 1, 3});
}

/* x [batch, seq, width] plus elements start .. start + width of the bias. */
static val with_bias(struct tn_onnx_node *n, val x, val bias, int64_t *start) {
  int64_t width = tn_onnx_extent(n, x, 2, "an operand of attention"), at = *start;
  *start += width;
  return bias ? add(n->b, x, tn_onnx_cut(n->b, bias, 0, at, width)) : x;
}

bool tn_onnx_op_ms_multi_head_attention(struct tn_onnx_node *n) {
  val q = tn_onnx_need(n, 0, "query"), k = tn_onnx_in(n, 1), v = tn_onnx_in(n, 2), bias = tn_onnx_in(n, 3);
  val past_k = tn_onnx_in(n, 6), past_v = tn_onnx_in(n, 7);
  int64_t heads = tn_onnx_int(n, "num_heads", 0), start = 0;
  struct tn_onnx_attention a = {0};
  if (tn_onnx_in(n, 8) || tn_onnx_in(n, 9))
    return tn_onnx_unsupported(n, "operands past_sequence_length and cache_indirection");
  if (q->type.rank == 5) {
    if (k || v || bias)
      return tn_onnx_unsupported(n, "a packed query together with key, value or bias");
    a.q = packed_part(n, q, 0);
    a.k = packed_part(n, q, 1);
    a.v = packed_part(n, q, 2);
  } else {
    if (q->type.rank != 3 || !k)
      return tn_onnx_error(n, "query must have 3 dimensions, and key must be there");
    a.q = tn_onnx_split_heads(n, with_bias(n, q, bias, &start), heads);
    if (k->type.rank == 5) {
      a.k = packed_part(n, k, 0);
      a.v = packed_part(n, k, 1);
    } else {
      if (!v)
        return tn_onnx_error(n, "operand 2 (value) is missing");
      a.k = k->type.rank == 4 ? k : tn_onnx_split_heads(n, with_bias(n, k, bias, &start), heads);
      if (k->type.rank == 4)
        start += tn_onnx_extent(n, k, 1, "key") * tn_onnx_extent(n, k, 3, "key");
      a.v = v->type.rank == 4 ? v : tn_onnx_split_heads(n, with_bias(n, v, bias, &start), heads);
    }
  }
  if (!past_k != !past_v)
    return tn_onnx_error(n, "past_key and past_value must be given together");
  tn_dim before = past_k ? prepend_past(n, &a, past_k, past_v) : 0;
  a.scale = default_scale(n, a.q);
  a.bias =
      score_bias(n, &a, tn_onnx_in(n, 4), tn_onnx_in(n, 5), before, tn_onnx_int(n, "unidirectional", 0) != 0);
  n->out[0] = tn_onnx_merge_heads(n, tn_onnx_attend(n, &a));
  if (n->out_count > 1)
    n->out[1] = a.k;
  if (n->out_count > 2)
    n->out[2] = a.v;
  if (n->out_count > 3)
    n->out[3] = tn_cast(n->b, a.scores, a.q->type.dtype);
  return true;
}

/* ---- RotaryEmbedding ----------------------------------------------------------------------------------- */

/* Rows `places` [batch, seq] of the tables for x [batch, heads, seq, size]. */
static val rotated(struct tn_onnx_node *n, val x, val cosine, val sine, val places, bool interleaved) {
  struct tn_build *b = n->b;
  int64_t half = tn_onnx_extent(n, cosine, 1, "cos_cache");
  val c = tn_onnx_unsqueeze(b, tn_gather(b, cosine, places, 0), 1);
  val s = tn_onnx_unsqueeze(b, tn_gather(b, sine, places, 0), 1);
  return tn_onnx_rotate(n, x, tn_cast(b, c, x->type.dtype), tn_cast(b, s, x->type.dtype), 2 * half,
                        interleaved);
}

bool tn_onnx_op_ms_rotary_embedding(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), places = tn_onnx_need(n, 1, "position_ids");
  val cosine = tn_onnx_need(n, 2, "cos_cache"), sine = tn_onnx_need(n, 3, "sin_cache"), y = x;
  bool flat = x->type.rank == 3;
  if ((!flat && x->type.rank != 4) || cosine->type.rank != 2 || sine->type.rank != 2)
    return tn_onnx_error(n, "expected an input of 3 or 4 dimensions and tables of 2; found %d, %d and %d",
                         x->type.rank, cosine->type.rank, sine->type.rank);
  if (tn_onnx_int(n, "is_packed_batching", 0))
    return tn_onnx_unsupported(n, "is_packed_batching");
  if (flat) {
    int64_t heads = tn_onnx_int(n, "num_heads", 0), width = tn_onnx_extent(n, x, 2, "input");
    if (heads == 0)
      heads = width / (2 * tn_onnx_extent(n, cosine, 1, "cos_cache"));
    y = tn_onnx_split_heads(n, x, heads);
  }
  double scale = tn_onnx_float(n, "scale", 1);
  if (places->type.rank == 1) { /* one number: where the first stands */
    tn_dim dims[2] = {y->type.dim[0], y->type.dim[2]};
    places = add(b, tn_onnx_places(n, dims[1], 1, 2), tn_cast(b, tn_onnx_unsqueeze(b, places, 0), TN_I64));
    places = tn_expand(b, places, 2, dims);
  }
  y = rotated(n, y, cosine, sine, places, tn_onnx_int(n, "interleaved", 0) != 0);
  if (scale != 1)
    y = mul(b, y, num(b, y, scale));
  n->out[0] = flat ? tn_onnx_merge_heads(n, y) : y;
  return true;
}

/* ---- GroupQueryAttention ------------------------------------------------------------------------------- */

/* The cache after this step, [batch, heads, total, size]: row t is a new one for from[b] <= t < from[b] + rows,
 * else the past's, as if it was updated in place.  from: [batch, 1, 1, 1]. */
static val updated_cache(struct tn_onnx_node *n, val past, val fresh, val from, tn_dim total) {
  struct tn_build *b = n->b;
  if (!past)
    return fresh;
  tn_dim dims[4] = {fresh->type.dim[0], fresh->type.dim[1], total, fresh->type.dim[3]};
  val all = tn_concat(b, 2, 2, (val[]){past, fresh}), place = tn_onnx_places(n, total, 2, 4);
  val later = sub(b, place, from); /* in 0 .. rows - 1: the number of the new row */
  val is_new = tn_binary(b, TN_GE, later, num(b, later, 0));
  val is_valid = tn_binary(b, TN_LT, later, dim_value(n, fresh->type.dim[2]));
  val at = tn_select(b, is_new, add(b, later, dim_value(n, past->type.dim[2])), place);
  struct tn_node *node = tn_node_make(b, TN_GATHER_ELEMENTS, 2, (val[]){all, tn_expand(b, at, 4, dims)}, 1);
  tn_set_int(node, TN_GATHER_ELEMENTS_axis, 2);
  if (!tn_finish(b, node))
    tn_fail_now(module_of(n)->ctx);
  return tn_select(b, is_valid, node->out[0], num(b, fresh, 0));
}

bool tn_onnx_op_ms_group_query_attention(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val q = tn_onnx_need(n, 0, "query"), k = tn_onnx_in(n, 1), v = tn_onnx_in(n, 2);
  val past_k = tn_onnx_in(n, 3), past_v = tn_onnx_in(n, 4), lens = tn_onnx_need(n, 5, "seqlens_k");
  val cosine = tn_onnx_in(n, 7), sine = tn_onnx_in(n, 8), places = tn_onnx_in(n, 9), added = tn_onnx_in(n, 10);
  int64_t heads = tn_onnx_int(n, "num_heads", 0), kv_heads = tn_onnx_int(n, "kv_num_heads", 0);
  int64_t window = tn_onnx_int(n, "local_window_size", -1);
  struct tn_onnx_attention a = {0};
  if (q->type.rank != 3 || heads < 1 || kv_heads < 1)
    return tn_onnx_error(n, "query must have 3 dimensions (found %d), num_heads and kv_num_heads must be given",
                         q->type.rank);
  if (n->in_count > 12 || strcmp(tn_onnx_string(n, "k_quant_type", "NONE"), "NONE"))
    return tn_onnx_unsupported(n, "a quantized cache");
  if (!past_k != !past_v)
    return tn_onnx_error(n, "past_key and past_value must be given together");
  if (k && v) {
    a.q = tn_onnx_split_heads(n, q, heads);
    a.k = tn_onnx_split_heads(n, k, kv_heads);
    a.v = tn_onnx_split_heads(n, v, kv_heads);
  } else { /* all in one */
    int64_t width = tn_onnx_extent(n, q, 2, "query"), size = width / (heads + 2 * kv_heads);
    if (size * (heads + 2 * kv_heads) != width)
      return tn_onnx_error(n, "a packed query of %lld elements does not divide into %lld and twice %lld heads",
                           (long long)width, (long long)heads, (long long)kv_heads);
    a.q = tn_onnx_split_heads(n, tn_onnx_cut(b, q, 2, 0, heads * size), heads);
    a.k = tn_onnx_split_heads(n, tn_onnx_cut(b, q, 2, heads * size, kv_heads * size), kv_heads);
    a.v = tn_onnx_split_heads(n, tn_onnx_cut(b, q, 2, (heads + kv_heads) * size, kv_heads * size), kv_heads);
  }
  tn_dim batch = q->type.dim[0], rows = q->type.dim[1], past = past_k ? past_k->type.dim[2] : 0;
  if (past == 0)
    past_k = past_v = NULL;
  /* where the first query stands, [batch, 1, 1, 1]: after all keys that are valid but the new ones */
  lens = tn_cast(b, tn_reshape(b, lens, 4, (tn_dim[]){batch, 1, 1, 1}), TN_I64);
  val end = add(b, lens, num(b, lens, 1));
  val from = past_k ? sub(b, end, dim_value(n, rows)) : mul(b, end, num(b, end, 0));
  tn_dim total = tn_dim_op(module_of(n), '+', past, rows);
  const struct tn_tensor *known = tn_onnx_known(n, 6);
  if (known && tn_dim_static(past) && tn_dim_static(rows)) {
    int64_t wanted = tn_tensor_int(known, 0);
    total = wanted > past ? wanted : past; /* a buffer that has the room stays as long as it is */
    if (total > past + rows)
      return tn_onnx_error(n, "total_sequence_length is %lld; there are %lld keys and %lld new ones",
                           (long long)total, (long long)past, (long long)rows);
  }
  if (tn_onnx_int(n, "do_rotary", 0)) {
    if (!cosine || !sine)
      return tn_onnx_error(n, "do_rotary is 1, and cos_cache or sin_cache is missing");
    if (!places)
      places = tn_onnx_squeeze(b, tn_onnx_squeeze(b, add(b, tn_onnx_places(n, rows, 2, 4), from), 3), 1);
    bool interleaved = tn_onnx_int(n, "rotary_interleaved", 0) != 0;
    a.q = rotated(n, a.q, cosine, sine, places, interleaved);
    a.k = rotated(n, a.k, cosine, sine, places, interleaved);
  }
  a.k = updated_cache(n, past_k, a.k, from, total);
  a.v = updated_cache(n, past_v, a.v, from, total);
  a.scale = default_scale(n, a.q);
  a.softcap = tn_onnx_float(n, "softcap", 0);
  enum tn_dtype dtype = wide_of(a.q->type.dtype);
  val band = tn_onnx_band(n, rows, total, from, window > 0 ? window - 1 : -1, 0);
  val none = added ? tn_cast(b, added, dtype) : tn_onnx_number(b, dtype, 0);
  a.bias = tn_select(b, band, none, tn_onnx_number(b, dtype, -3.4028234663852886e38));
  if (tn_onnx_in(n, 11))
    a.sink = tn_reshape(b, tn_onnx_in(n, 11), 4, (tn_dim[]){1, heads, 1, 1});
  else if (tn_onnx_int(n, "smooth_softmax", 0) > 0)
    a.sink = tn_onnx_number(b, dtype, 0);
  n->out[0] = tn_onnx_merge_heads(n, tn_onnx_attend(n, &a));
  if (n->out_count > 1)
    n->out[1] = a.k;
  if (n->out_count > 2)
    n->out[2] = a.v;
  return true;
}
