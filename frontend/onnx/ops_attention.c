/* Attention of the default domain: Attention, FlexAttention, LinearAttention, RotaryEmbedding. */
#include "frontend/onnx/attention.h"
#include "frontend/onnx/loop.h"
#include <math.h>

/* Operand `i` as [batch, heads, seq, size]: rank 3 is split by the attribute `heads`. */
static val four_dims(struct tn_onnx_node *n, int i, const char *what, const char *heads) {
  val x = tn_onnx_need(n, i, what);
  if (x->type.rank == 4)
    return x;
  if (x->type.rank != 3 || !tn_onnx_has(n, heads)) {
    tn_onnx_error(n, "%s, '%s', must have 4 dimensions, or 3 and attribute %s; it has %d", what, x->name, heads,
                  x->type.rank);
    tn_fail_now(module_of(n)->ctx);
  }
  return tn_onnx_split_heads(n, x, tn_onnx_int(n, heads, 0));
}

/* The mask padded to `columns` in its last dim with what masks. */
static val padded_mask(struct tn_onnx_node *n, val mask, tn_dim columns) {
  struct tn_build *b = n->b;
  int last = mask->type.rank - 1;
  if (last < 0 || mask->type.dim[last] == columns)
    return mask;
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  if (!tn_dim_static(columns) || !tn_dim_static(mask->type.dim[last])) {
    tn_onnx_error(n, "attn_mask has %s columns, the keys are %s: give these dimensions with --dim or --shape",
                  tn_dim_text(module_of(n), mask->type.dim[last]), tn_dim_text(module_of(n), columns));
    tn_fail_now(module_of(n)->ctx);
  }
  after[last] = columns - mask->type.dim[last];
  if (after[last] < 0) {
    tn_onnx_error(n, "attn_mask has %lld columns for %lld keys", (long long)mask->type.dim[last],
                  (long long)columns);
    tn_fail_now(module_of(n)->ctx);
  }
  bool logical = mask->type.dtype == TN_BOOL;
  val fill =
      logical ? tn_constant_bytes(b, tn_type_scalar(TN_BOOL), &(uint8_t){0}) : num(b, mask, -(double)INFINITY);
  return tn_pad(b, mask, before, after, fill);
}

static val both(struct tn_build *b, val x, val y) {
  return !x ? y : !y ? x : tn_binary(b, TN_AND, x, y);
}

/* What is added to the scores, NULL for nothing. */
static val attention_bias(struct tn_onnx_node *n, const struct tn_onnx_attention *a, tn_dim past) {
  struct tn_build *b = n->b;
  enum tn_dtype dtype = wide_of(a->q->type.dtype);
  tn_dim rows = a->q->type.dim[2], columns = a->k->type.dim[2];
  int64_t left = tn_onnx_int(n, "left_window_size", -1), right = tn_onnx_int(n, "right_window_size", -1);
  if (tn_onnx_int(n, "is_causal", 0))
    right = 0;
  val mask = tn_onnx_in(n, 3), lens = tn_onnx_in(n, 6), allowed = NULL, bias = NULL;
  if (mask) {
    mask = padded_mask(n, mask, columns);
    if (mask->type.dtype == TN_BOOL)
      allowed = mask;
    else
      bias = tn_cast(b, mask, dtype);
  }
  if (lens) /* [batch, 1, 1, 1] */
    lens = tn_cast(b, tn_onnx_rank_after(b, lens, 4), TN_I64);
  if (left >= 0 || right >= 0) {
    val offset;
    if (lens)
      offset = sub(b, lens, num(b, lens, (double)tn_onnx_extent(n, a->q, 2, "the query")));
    else if (tn_dim_static(past))
      offset = tn_const_int(b, TN_I64, past);
    else { /* as many as the keys that are there already */
      val ones = tn_expand(b, tn_const_int(b, TN_I64, 1), 1, &past);
      offset = tn_reduce(b, TN_REDUCE_SUM, ones, (int64_t[]){0}, 1, false);
    }
    allowed = both(b, allowed, tn_onnx_band(n, rows, columns, offset, left, right));
  }
  if (lens)
    allowed = both(b, allowed, tn_binary(b, TN_LT, tn_onnx_places(n, columns, 3, 4), lens));
  if (!allowed)
    return bias;
  if (!bias)
    return tn_onnx_mask_bias(b, allowed, dtype, -(double)INFINITY);
  return tn_select(b, allowed, bias, num(b, bias, -(double)INFINITY));
}

bool tn_onnx_op_attention(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  struct tn_onnx_attention a = {0};
  bool flat = tn_onnx_need(n, 0, "Q")->type.rank == 3;
  a.q = four_dims(n, 0, "Q", "q_num_heads");
  a.k = four_dims(n, 1, "K", "kv_num_heads");
  a.v = four_dims(n, 2, "V", "kv_num_heads");
  val past_key = tn_onnx_in(n, 4), past_value = tn_onnx_in(n, 5);
  if (!past_key != !past_value)
    return tn_onnx_error(n, "past_key and past_value must be given together");
  tn_dim past = 0;
  if (past_key) {
    if (past_key->type.rank != 4 || past_value->type.rank != 4)
      return tn_onnx_error(n, "past_key and past_value must have 4 dimensions; found %d and %d",
                           past_key->type.rank, past_value->type.rank);
    past = past_key->type.dim[2];
    a.k = tn_concat(b, 2, 2, (val[]){past_key, a.k});
    a.v = tn_concat(b, 2, 2, (val[]){past_value, a.v});
  }
  a.scale = tn_onnx_float(n, "scale", 0);
  if (a.scale == 0) /* also what exporters write for "not given" */
    a.scale = 1 / sqrt((double)tn_onnx_extent(n, a.q, 3, "Q"));
  a.softcap = tn_onnx_float(n, "softcap", 0);
  if (tn_onnx_has(n, "softmax_precision"))
    a.dtype = tn_onnx_dtype(n, tn_onnx_int(n, "softmax_precision", 1));
  a.rows_may_be_dead = true;
  a.bias = attention_bias(n, &a, past);
  val y = tn_onnx_attend(n, &a);
  n->out[0] = flat ? tn_onnx_merge_heads(n, y) : y;
  if (n->out_count > 1)
    n->out[1] = a.k;
  if (n->out_count > 2)
    n->out[2] = a.v;
  if (n->out_count > 3) {
    int64_t mode = tn_onnx_int(n, "qk_matmul_output_mode", 0);
    val what[4] = {a.scores, a.capped, a.biased, a.weights};
    if (mode < 0 || mode > 3)
      return tn_onnx_error(n, "qk_matmul_output_mode is %lld; expected 0 to 3", (long long)mode);
    n->out[3] = tn_cast(b, what[mode], a.q->type.dtype);
  }
  return true;
}

/* ---- FlexAttention ------------------------------------------------------------------------------------- */

/* x after the graph attribute `name`, when the node has it. */
static val modified(struct tn_onnx_node *n, const char *name, val x) {
  struct tn_onnx_arg in = {x, NULL}, out = {0};
  if (!tn_onnx_has(n, name))
    return x;
  tn_onnx_import_graph(n, name, n->b, 1, &in, 1, &out);
  if (out.value && out.value->type.dtype == x->type.dtype && out.value->type.rank == x->type.rank)
    return out.value;
  tn_onnx_error(n, "its graph %s must give a tensor of the shape and type that it gets", name);
  tn_fail_now(module_of(n)->ctx);
}

bool tn_onnx_op_flex_attention(struct tn_onnx_node *n) {
  struct tn_onnx_attention a = {0};
  a.q = tn_onnx_need(n, 0, "Q");
  a.k = tn_onnx_need(n, 1, "K");
  a.v = tn_onnx_need(n, 2, "V");
  if (a.q->type.rank != 4)
    return tn_onnx_error(n, "Q must have 4 dimensions; found %d", a.q->type.rank);
  a.scale = tn_onnx_float(n, "scale", 1 / sqrt((double)tn_onnx_extent(n, a.q, 3, "Q")));
  a.dtype = a.q->type.dtype == TN_F64 ? TN_F64 : TN_F32;
  if (tn_onnx_has(n, "softmax_precision"))
    a.dtype = tn_onnx_dtype(n, tn_onnx_int(n, "softmax_precision", 1));
  tn_onnx_attend_scores(n, &a);
  a.weights = tn_unary(n->b, TN_SOFTMAX, modified(n, "score_mod", a.scores));
  a.weights = modified(n, "prob_mod", a.weights);
  n->out[0] = tn_cast(n->b, tn_onnx_attend_values(n, &a), a.q->type.dtype);
  return true;
}

/* ---- LinearAttention ----------------------------------------------------------------------------------- */

struct linear {
  struct tn_onnx_node *n;
  int64_t heads, kv_heads;
  double scale;
  bool gated, delta;
  /* time first: q [T, B, kv, heads / kv, dk], k [T, B, kv, 1, dk], v [T, B, kv, 1, dv], decay [T, B, kv, 1 or
   * dk, 1], beta [T, B, 1 or kv, 1, 1] */
  val q, k, v, decay, beta;
};

/* One token: the state [B, kv, dk, dv] in and out; returns [B, kv, heads / kv, dv]. */
static val linear_step(const struct linear *l, struct tn_build *b, val at, val *state) {
  val s = *state, k = tn_onnx_element(b, l->k, at, 0), v = tn_onnx_element(b, l->v, at, 0);
  if (l->gated)
    s = mul(b, tn_unary(b, TN_EXP, tn_onnx_element(b, l->decay, at, 0)), s);
  if (l->delta)
    v = mul(b, tn_onnx_element(b, l->beta, at, 0), sub(b, v, tn_matmul(b, k, s)));
  s = add(b, s, mul(b, tn_transpose(b, k, (int64_t[]){0, 1, 3, 2}), v));
  *state = s;
  val o = tn_matmul(b, tn_onnx_element(b, l->q, at, 0), s);
  return mul(b, o, num(b, o, l->scale));
}

/* x [B, T, heads * size] as [T, B, groups, heads / groups, size] in the wide dtype. */
static val time_first(struct tn_onnx_node *n, val x, const char *what, int64_t heads, int64_t groups) {
  struct tn_build *b = n->b;
  if (x->type.rank != 3) {
    tn_onnx_error(n, "%s, '%s', must have 3 dimensions, and has %d", what, x->name, x->type.rank);
    tn_fail_now(module_of(n)->ctx);
  }
  int64_t width = tn_onnx_extent(n, x, 2, what);
  if (heads < 1 || groups < 1 || heads % groups || width % heads) {
    tn_onnx_error(n, "%s, '%s', has %lld elements in its last dimension, which do not divide into %lld heads",
                  what, x->name, (long long)width, (long long)heads);
    tn_fail_now(module_of(n)->ctx);
  }
  x = tn_cast(b, tn_transpose(b, x, (int64_t[]){1, 0, 2}), wide_of(x->type.dtype));
  return tn_reshape(b, x, 5, (tn_dim[]){x->type.dim[0], x->type.dim[1], groups, heads / groups, width / heads});
}

bool tn_onnx_op_linear_attention(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val q = tn_onnx_need(n, 0, "query"), k = tn_onnx_need(n, 1, "key"), v = tn_onnx_need(n, 2, "value");
  const char *rule = tn_onnx_string(n, "update_rule", "gated_delta");
  struct linear l = {
      .n = n, .heads = tn_onnx_int(n, "q_num_heads", 0), .kv_heads = tn_onnx_int(n, "kv_num_heads", 0)};
  l.gated = !strcmp(rule, "gated") || !strcmp(rule, "gated_delta");
  l.delta = !strcmp(rule, "delta") || !strcmp(rule, "gated_delta");
  if (!l.gated && !l.delta && strcmp(rule, "linear"))
    return tn_onnx_error(n, "update_rule is '%s'; expected linear, gated, delta or gated_delta", rule);
  l.q = time_first(n, q, "query", l.heads, l.kv_heads);
  l.k = time_first(n, k, "key", l.kv_heads, l.kv_heads);
  l.v = time_first(n, v, "value", l.kv_heads, l.kv_heads);
  int64_t steps = tn_onnx_extent(n, l.q, 0, "query"), key_size = l.k->type.dim[4],
          value_size = l.v->type.dim[4];
  tn_dim batch = l.q->type.dim[1];
  l.scale = tn_onnx_float(n, "scale", 0);
  if (l.scale == 0)
    l.scale = 1 / sqrt((double)l.q->type.dim[4]);
  if (l.gated) {
    val decay = time_first(n, tn_onnx_need(n, 4, "decay"), "decay", l.kv_heads, l.kv_heads);
    l.decay = tn_transpose(b, decay, (int64_t[]){0, 1, 2, 4, 3});
  }
  if (l.delta) {
    val beta = tn_onnx_need(n, 5, "beta");
    int64_t each = beta->type.rank == 3 && beta->type.dim[2] == 1 ? 1 : l.kv_heads;
    l.beta = time_first(n, beta, "beta", each, each);
  }
  tn_dim state_dims[4] = {batch, l.kv_heads, key_size, value_size};
  val state = tn_onnx_in(n, 3);
  enum tn_dtype state_dtype = state ? state->type.dtype : q->type.dtype;
  state = state ? tn_cast(b, state, l.q->type.dtype) : tn_onnx_full(b, num(b, l.q, 0), 4, state_dims);

  val o; /* [T, B, kv, heads / kv, dv] */
  if (steps == 1) {
    o = tn_onnx_unsqueeze(b, linear_step(&l, b, tn_const_int(b, TN_I64, 0), &state), 0);
  } else {
    struct tn_onnx_loop loop;
    val inside, results[2];
    tn_onnx_loop_count(n, steps, 1, &state, 1, &loop, &inside);
    val row = linear_step(&l, &loop.b, loop.iteration, &inside);
    tn_onnx_loop_close(n, &loop, steps, NULL, 1, &inside, 1, &row, results);
    state = results[0];
    o = results[1];
  }
  o = tn_reshape(b, o, 3, (tn_dim[]){steps, batch, l.heads * value_size});
  n->out[0] = tn_cast(b, tn_transpose(b, o, (int64_t[]){1, 0, 2}), q->type.dtype);
  if (n->out_count > 1)
    n->out[1] = tn_cast(b, state, state_dtype);
  return true;
}

/* ---- RotaryEmbedding ----------------------------------------------------------------------------------- */

bool tn_onnx_op_rotary_embedding(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), cosine = tn_onnx_need(n, 1, "cos_cache"),
      sine = tn_onnx_need(n, 2, "sin_cache");
  val places = tn_onnx_in(n, 3);
  bool flat = x->type.rank == 3;
  if (!flat && x->type.rank != 4)
    return tn_onnx_error(n, "X must have 3 or 4 dimensions; found %d", x->type.rank);
  val y = x;
  if (flat) { /* [batch, seq, heads, size] */
    int64_t heads = tn_onnx_int(n, "num_heads", 0), width = tn_onnx_extent(n, x, 2, "X");
    if (heads < 1 || width % heads)
      return tn_onnx_error(
          n,
          "X of 3 dimensions needs num_heads, which must divide its last dimension (%lld); found "
          "%lld",
          (long long)width, (long long)heads);
    y = tn_reshape(b, x, 4, (tn_dim[]){x->type.dim[0], x->type.dim[1], heads, width / heads});
  }
  if (places) { /* [batch, seq] rows of the tables */
    cosine = tn_gather(b, cosine, places, 0);
    sine = tn_gather(b, sine, places, 0);
  }
  if (cosine->type.rank != 3 || sine->type.rank != 3)
    return tn_onnx_error(n, "the tables must have %d dimensions; found %d and %d", places ? 2 : 3,
                         tn_onnx_in(n, 1)->type.rank, tn_onnx_in(n, 2)->type.rank);
  int64_t size = tn_onnx_int(n, "rotary_embedding_dim", 0);
  y = tn_onnx_rotate(n, y, tn_onnx_unsqueeze(b, cosine, flat ? 2 : 1), tn_onnx_unsqueeze(b, sine, flat ? 2 : 1),
                     size ? size : tn_onnx_extent(n, y, 3, "X"), tn_onnx_int(n, "interleaved", 0) != 0);
  n->out[0] = flat ? tn_reshape(b, y, 3, x->type.dim) : y;
  return true;
}
