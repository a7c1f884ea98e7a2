/* topk: the k best along an axis, best first, ties in order of position.
 *
 * A few: insertion into the result, which is kept sorted; an element that is not among the best so far costs
 * one comparison.  Many: a bottom-up merge sort of the positions, in scratch, of which the first k are taken;
 * the time is that of extent * log2(extent) steps whatever the data. */
#include "codegen/define.h"

#define INSERTION_LIMIT 32

struct topk {
  struct tn_lower *l;
  struct tn_nest *n;
  struct tn_value *x, *values, *indices;
  int axis;
  int64_t extent, k;
  bool largest;
  struct tn_expr *at[TN_MAX_RANK]; /* position in the operand; at[axis] is set as needed */
};

static struct tn_expr *operand_at(struct topk *t, struct tn_expr *pos) {
  t->at[t->axis] = pos;
  return tn_element(t->l, t->x, t->at);
}

/* Where entry `pos` of the row lies in both results. */
static struct tn_expr *result_at(struct topk *t, struct tn_expr *pos) {
  t->at[t->axis] = pos;
  return tn_linear(t->n, &t->values->type, t->at);
}

/* for r: p = entries so far; while p > 0 and x[r] before best[p-1]: move that one up, p--; best[p] = x[r] */
static void insertion(struct topk *t, struct tn_cursor *c) {
  struct tn_nest *n = t->n;
  struct tn_buf *values = tn_result_buf(t->l, t->values), *indices = tn_result_buf(t->l, t->indices);
  struct tn_expr *zero = tn_ix(n, 0), *k = tn_ix(n, t->k);
  struct tn_var *var = tn_loop_var(n, "r", t->extent);
  struct tn_expr *r = tn_ex_var(n, var);
  struct tn_cursor loop = tn_st_loop(c, var, TN_LOOP_SERIAL);
  struct tn_expr *x = tn_st_let(&loop, "x", operand_at(t, r));
  struct tn_expr *p = tn_st_let(&loop, "p", tn_ex_binary(n, TN_MIN, r, k));
  struct tn_expr *some = tn_ex_binary(n, TN_GT, p, zero), *previous = result_at(t, tn_ix_offset(n, p, -1));
  struct tn_expr *beaten = tn_define_before(n, x, tn_ex_load(n, values, previous, some), t->largest);
  struct tn_cursor body = tn_st_while(&loop, tn_ex_and(n, some, beaten));
  struct tn_expr *room = tn_ex_binary(n, TN_LT, p, k), *here = result_at(t, p);
  tn_st_store(&body, values, here, tn_ex_load(n, values, previous, some), room);
  tn_st_store(&body, indices, here, tn_ex_load(n, indices, previous, some), room);
  tn_st_set(&body, p, tn_ix_offset(n, p, -1));
  tn_st_store(&loop, values, here, x, room);
  tn_st_store(&loop, indices, here, tn_ex_cast(n, r, indices->dtype), room);
}

/* order holds two rows of positions: each round merges neighbouring runs of `width` from one into the other. */
static void merge_sort(struct topk *t, struct tn_cursor *c, struct tn_buf *row, struct tn_buf *order) {
  struct tn_nest *n = t->n;
  int64_t extent = t->extent;
  int rounds = 0;
  while (((int64_t)1 << rounds) < extent)
    rounds++;
  struct tn_var *fill = tn_loop_var(n, "r", extent);
  struct tn_expr *r = tn_ex_var(n, fill);
  struct tn_cursor filling = tn_st_loop(c, fill, TN_LOOP_SERIAL);
  tn_st_store(&filling, row, r, operand_at(t, r), NULL);
  tn_st_store(&filling, order, r, tn_ex_cast(n, r, order->dtype), NULL);

  struct tn_expr *end = tn_ix(n, extent);
  struct tn_expr *from = tn_st_let(c, "from", tn_ix(n, 0)), *width = tn_st_let(c, "width", tn_ix(n, 1));
  struct tn_cursor round = tn_st_loop(c, tn_loop_var(n, "round", rounds), TN_LOOP_SERIAL);
  struct tn_expr *into = tn_st_let(&round, "into", tn_ix_sub(n, end, from));
  struct tn_expr *start = tn_st_let(&round, "start", tn_ix(n, 0));
  struct tn_cursor pair = tn_st_while(&round, tn_ex_binary(n, TN_LT, start, end));
  struct tn_expr *middle = tn_st_let(&pair, "middle", tn_ex_binary(n, TN_MIN, tn_ix_add(n, start, width), end));
  struct tn_expr *stop = tn_st_let(&pair, "stop", tn_ex_binary(n, TN_MIN, tn_ix_add(n, middle, width), end));
  struct tn_expr *i = tn_st_let(&pair, "i", start), *j = tn_st_let(&pair, "j", middle);
  struct tn_cursor merge = tn_st_while(&pair, tn_ex_binary(n, TN_LT, start, stop)); /* start: the next place */
  struct tn_expr *left = tn_ex_binary(n, TN_LT, i, middle), *right = tn_ex_binary(n, TN_LT, j, stop);
  struct tn_expr *a = tn_st_let(&merge, "a", tn_ex_load(n, order, tn_ix_add(n, from, i), left));
  struct tn_expr *b = tn_st_let(&merge, "b", tn_ex_load(n, order, tn_ix_add(n, from, j), right));
  struct tn_expr *value_a = tn_ex_load(n, row, tn_ex_cast(n, a, TN_INDEX), left);
  struct tn_expr *value_b = tn_ex_load(n, row, tn_ex_cast(n, b, TN_INDEX), right);
  struct tn_expr *later = tn_ex_and(n, right, tn_define_before(n, value_b, value_a, t->largest));
  struct tn_expr *no_left = tn_ex_unary(n, TN_NOT, left);
  struct tn_expr *take_b = tn_st_let(&merge, "take_b", tn_ex_binary(n, TN_OR, no_left, later));
  struct tn_expr *step = tn_ex_cast(n, take_b, TN_INDEX);
  tn_st_store(&merge, order, tn_ix_add(n, into, start), tn_ex_select(n, take_b, b, a), NULL);
  tn_st_set(&merge, i, tn_ix_offset(n, tn_ix_sub(n, i, step), 1));
  tn_st_set(&merge, j, tn_ix_add(n, j, step));
  tn_st_set(&merge, start, tn_ix_offset(n, start, 1));
  tn_st_set(&round, from, into);
  tn_st_set(&round, width, tn_ix_scale(n, width, 2));

  struct tn_var *var = tn_loop_var(n, "q", t->k);
  struct tn_expr *q = tn_ex_var(n, var);
  struct tn_cursor taking = tn_st_loop(c, var, TN_LOOP_SERIAL);
  struct tn_expr *best = tn_st_let(&taking, "best", tn_ex_load(n, order, tn_ix_add(n, from, q), NULL));
  struct tn_expr *value = tn_ex_load(n, row, tn_ex_cast(n, best, TN_INDEX), NULL);
  t->at[t->axis] = q;
  tn_result(t->l, &taking, t->values, t->at, value, NULL);
  tn_result(t->l, &taking, t->indices, t->at, tn_ex_cast(n, best, t->indices->type.dtype), NULL);
}

static void topk(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct topk t = {.l = l, .n = l->nest, .x = node->in[0], .values = node->out[0], .indices = node->out[1]};
  t.axis = tn_define_axis(node, TN_TOPK_axis, t.x->type.rank);
  t.extent = t.x->type.dim[t.axis];
  t.k = tn_get_int(node, TN_TOPK_k);
  t.largest = tn_get_int(node, TN_TOPK_largest) != 0;
  if (t.k == 0 || t.extent == 0)
    return; /* the results are empty */
  struct tn_cursor body, *in = tn_define_loops(c, &t.x->type, t.axis, TN_LOOP_SERIAL, t.at, &body);
  if (t.k <= INSERTION_LIMIT) {
    insertion(&t, in);
    return;
  }
  enum tn_dtype position = t.extent <= INT32_MAX ? TN_I32 : TN_I64;
  struct tn_buf *row = tn_nest_local(t.n, "row", t.x->type.dtype, t.extent);
  struct tn_buf *order = tn_nest_local(t.n, "order", position, 2 * t.extent);
  merge_sort(&t, in, row, order);
}
const struct tn_definition tn_define_topk = {.nest = topk};
