/* Lowering of attention whose rows come in blocks: the attributes `block` and `softmax` of a kernel by rows.
 *
 *   for each row
 *     most = lowest; sum = 0; total = 0
 *     for each block of the row's elements
 *       for the block: { acc = product; scores = x }
 *       let m = max(most, largest of scores)
 *       scale = exp(most - m); most = m
 *       for the block: scores = exp(scores - m)
 *       sum = sum * scale + sum of scores
 *       for the result: { acc = product of scores; total = total * scale + acc }
 *     for the result: y = total / sum
 *
 * (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao et al., "FlashAttention",
 * 2022.)  The lowest finite number stands for the largest element of no elements, so that blocks of nothing
 * but -inf weigh nothing; a row of nothing else gives NaN, as 0 / 0 does.  Where the model makes weights that
 * are NaN zero, such a row's total, of weights that are zero, is its result, and that of a row with a NaN is
 * zero. */
#include "codegen/define.h"
#include "codegen/lower.h"

#include <float.h>

struct blocks {
  struct tn_lower *l;
  int first;            /* the row's dim */
  struct tn_expr **row; /* positions of those before */
  struct tn_value *x;   /* what the softmax is of */
  struct tn_node *max, *product;
  bool zeroed; /* weights that are nan are 0 */
  struct tn_buf *scores, *weights, *most, *sum, *scale, *total;
};

static struct tn_node *node_at(const struct tn_node *kernel, int64_t ordinal) {
  struct tn_node *node = kernel->region[0]->first;
  while (node && ordinal-- > 0)
    node = node->next;
  if (!node)
    tn_bug(kernel->home->module->ctx, "kernel '%s': a part of its softmax is not a node of its region",
           kernel->name);
  return node;
}

static struct tn_expr *zero(struct blocks *b, struct tn_buf *buf) {
  return tn_ex_float(b->l->nest, buf->dtype, 0);
}

/* The only element that the buffer has for a row. */
static struct tn_expr *load(struct blocks *b, struct tn_buf *buf) {
  return tn_ex_load(b->l->nest, buf, tn_ix(b->l->nest, 0), NULL);
}

static void store(struct blocks *b, struct tn_cursor *c, struct tn_buf *buf, struct tn_expr *value) {
  tn_st_store(c, buf, tn_ix(b->l->nest, 0), value, NULL);
}

/* A serial loop, its position in *at. */
static struct tn_cursor loop(struct tn_cursor *c, int64_t extent, struct tn_expr **at) {
  struct tn_nest *n = c->nest;
  *at = tn_ix(n, 0);
  if (extent == 1)
    return *c;
  struct tn_var *v = tn_loop_var(n, "i", extent);
  *at = tn_ex_var(n, v);
  return tn_st_loop(c, v, TN_LOOP_SERIAL);
}

static struct tn_expr *combine(struct blocks *b, struct tn_cursor *c, enum tn_op op, int64_t count) {
  struct tn_nest *n = b->l->nest;
  struct tn_var *v = tn_loop_var(n, "r", count), *acc = tn_value_var(n, "acc", b->scores->dtype);
  struct tn_expr *at = count > 1 ? tn_ex_var(n, v) : tn_ix(n, 0);
  tn_st_reduce(c, acc, op, NULL, count > 1, &v, tn_ex_load(n, b->scores, at, NULL));
  return tn_ex_var(n, acc);
}

/* Elements `start` to start + count of the row. */
static void lower_block(struct blocks *b, struct tn_cursor *c, struct tn_expr *start, int64_t count) {
  struct tn_lower *l = b->l;
  struct tn_nest *n = l->nest;
  struct tn_expr *idx[TN_MAX_RANK], *at;
  memcpy(idx, b->row, (size_t)b->first * sizeof *idx);
  struct tn_cursor in = loop(c, count, &at);
  idx[b->first] = tn_ix_add(n, start, at);
  const struct tn_node *before = tn_row_product(l, b->x);
  struct tn_expr *element = tn_row_reduce(l, &in, before, idx);
  tn_st_store(&in, b->scores, at, tn_element_over(l, b->x, idx, before->out[0], element), NULL);
  tn_st_follow(c);

  struct tn_expr *most =
      tn_st_let(c, "m", tn_ex_binary(n, TN_MAX, load(b, b->most), combine(b, c, TN_MAX, count)));
  store(b, c, b->scale, tn_ex_unary(n, TN_EXP, tn_ex_binary(n, TN_SUB, load(b, b->most), most)));
  store(b, c, b->most, most);
  in = loop(c, count, &at);
  struct tn_expr *weight = tn_ex_load(n, b->scores, at, NULL);
  weight = tn_ex_unary(n, TN_EXP, tn_ex_binary(n, TN_SUB, weight, most));
  tn_st_store(&in, b->scores, at, weight, NULL);
  tn_st_follow(c);
  struct tn_expr *sum = combine(b, c, TN_ADD, count);
  store(b, c, b->sum,
        tn_ex_binary(n, TN_ADD, tn_ex_binary(n, TN_MUL, load(b, b->sum), load(b, b->scale)), sum));
  if (b->weights != b->scores) {
    in = loop(c, count, &at);
    weight = tn_ex_cast(n, tn_ex_load(n, b->scores, at, NULL), b->weights->dtype);
    tn_st_store(&in, b->weights, at, weight, NULL);
    tn_st_follow(c);
  }

  tn_stage(l, b->product->in[0], b->first, b->row, NULL, b->weights, start);
  struct tn_reduction r = {0};
  tn_definition_of(b->product->op)->reduce.shape(b->product, &r);
  r.extent[0] = count;
  in = loop(c, b->total->count, &at);
  idx[b->first] = at;
  sum = tn_lower_sum(l, &in, b->product, &r, idx, start);
  struct tn_expr *total = tn_ex_binary(n, TN_MUL, tn_ex_load(n, b->total, at, NULL),
                                       tn_ex_cast(n, load(b, b->scale), b->total->dtype));
  tn_st_store(&in, b->total, at, tn_ex_binary(n, TN_ADD, total, sum), NULL);
  tn_st_follow(c);
}

/* The result's row: what ends the product, over total / sum; a transpose is the place where it goes. */
static void store_result(struct blocks *b, struct tn_cursor *c, struct tn_value *out) {
  struct tn_lower *l = b->l;
  struct tn_nest *n = l->nest;
  struct tn_expr *idx[TN_MAX_RANK], *to[TN_MAX_RANK];
  struct tn_expr *one = tn_ex_float(n, b->sum->dtype, 1), *sum = load(b, b->sum);
  struct tn_expr *share = tn_ex_binary(n, TN_DIV, one, sum);
  if (b->zeroed)
    share = tn_ex_select(n, tn_ex_binary(n, TN_EQ, sum, zero(b, b->sum)), one, share);
  share = tn_st_let(c, "k", share);
  const struct tn_node *move = out->def->op == TN_TRANSPOSE ? out->def : NULL;
  struct tn_value *value = move ? move->in[0] : out;
  memcpy(idx, b->row, (size_t)b->first * sizeof *idx);
  struct tn_cursor in = loop(c, b->total->count, &idx[b->first]);
  struct tn_expr *element = tn_ex_binary(n, TN_MUL, tn_ex_load(n, b->total, idx[b->first], NULL),
                                         tn_ex_cast(n, share, b->total->dtype));
  if (b->zeroed)
    element = tn_ex_select(n, tn_ex_unary(n, TN_ISNAN, sum), zero(b, b->total), element);
  element = tn_ex_cast(n, element, b->product->out[0]->type.dtype);
  element = tn_element_over(l, value, idx, b->product->out[0], element);
  for (int d = 0; d < value->type.rank; d++)
    to[d] = idx[move ? tn_get_ints(move, TN_TRANSPOSE_perm).at[d] : d];
  tn_result(l, &in, out, to, element, NULL);
  tn_st_follow(c);
}

void tn_lower_blocks(struct tn_lower *l, struct tn_node *kernel, struct tn_cursor *c, int first,
                     struct tn_expr **row) {
  struct tn_nest *n = l->nest;
  struct tn_ints parts = tn_get_ints(kernel, TN_KERNEL_softmax);
  struct tn_graph *region = kernel->region[0];
  if (parts.count != 5 || region->outputs.count != 1)
    tn_bug(kernel->home->module->ctx, "kernel '%s' goes by blocks and is no attention", kernel->name);
  struct blocks b = {.l = l, .first = first, .row = row};
  b.max = node_at(kernel, parts.at[0]);
  b.product = node_at(kernel, parts.at[3]);
  b.x = b.max->in[0];
  b.zeroed = parts.at[4] >= 0;
  enum tn_dtype dtype = b.x->type.dtype, weights = b.product->in[0]->type.dtype;
  int64_t length = b.x->type.dim[first], block = tn_get_int(kernel, TN_KERNEL_block);
  /* What is left over is a block of its own, unless it is so little that it had better go with the last one. */
  int64_t whole = length / block, last = length % block;
  if (whole > 0 && last > 0 && last < block / 2) {
    whole--;
    last += block;
  }
  b.scores = tn_nest_local(n, "scores", dtype, whole && block > last ? block : last);
  b.weights = weights == dtype ? b.scores : tn_nest_local(n, "weights", weights, b.scores->count);
  b.most = tn_nest_local(n, "most", dtype, 1);
  b.sum = tn_nest_local(n, "sum", dtype, 1);
  b.scale = tn_nest_local(n, "scale", dtype, 1);
  const struct tn_type *out = &b.product->out[0]->type;
  b.total = tn_nest_local(n, "total", tn_define_accumulator(out->dtype), out->dim[first]);

  struct tn_expr *at;
  store(&b, c, b.most, tn_ex_float(n, dtype, dtype == TN_F64 ? -DBL_MAX : -(double)FLT_MAX));
  store(&b, c, b.sum, zero(&b, b.sum));
  struct tn_cursor in = loop(c, b.total->count, &at);
  tn_st_store(&in, b.total, at, zero(&b, b.total), NULL);
  tn_st_follow(c);
  if (whole) {
    in = loop(c, whole, &at);
    lower_block(&b, &in, tn_ix_scale(n, at, block), block);
    tn_st_follow(c);
  }
  if (last)
    lower_block(&b, c, tn_ix(n, whole * block), last);
  store_result(&b, c, region->outputs.at[0]);
}
