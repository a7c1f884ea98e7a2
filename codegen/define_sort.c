/* topk: the k best along an axis, best first, ties in order of position.
 *
 * A few: insertion into the result, which is kept sorted; an element that is not among the best so far costs
 * one comparison.  Many: a heap of the k best so far, with the worst of them on top; the time is that of extent
 * steps when few elements enter it, of extent * log2(k) at worst. */
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

/* The heap: entries 0 .. k-1 of an element and its position, the worst first; of equal elements the later
 * position is the worse.  With positions every two entries differ, so the order does not depend on the heap's
 * making. */
struct heap {
  struct tn_buf *value, *position;
};

static struct tn_expr *worse(struct topk *t, struct tn_expr *value, struct tn_expr *position,
                             struct tn_expr *than, struct tn_expr *than_position) {
  struct tn_nest *n = t->n;
  struct tn_expr *equal = tn_ex_unary(n, TN_NOT, tn_define_before(n, value, than, t->largest));
  struct tn_expr *later = tn_ex_binary(n, TN_AND, equal, tn_ex_binary(n, TN_GT, position, than_position));
  return tn_ex_binary(n, TN_OR, tn_define_before(n, than, value, t->largest), later);
}

/* Entry (value, position) comes to `from`, and sinks below the worse ones among the first `size`. */
static void sink(struct topk *t, struct tn_cursor *c, struct heap *h, struct tn_expr *value,
                 struct tn_expr *position, struct tn_expr *from, struct tn_expr *size) {
  struct tn_nest *n = t->n;
  struct tn_expr *hole = tn_st_let(c, "hole", from);
  struct tn_expr *child = tn_st_let(c, "child", tn_ix_offset(n, tn_ix_scale(n, from, 2), 1));
  struct tn_cursor body = tn_st_while(c, tn_ex_binary(n, TN_LT, child, size)), yes, no;
  struct tn_expr *next = tn_ix_offset(n, child, 1), *two = tn_ex_binary(n, TN_LT, next, size);
  struct tn_expr *right = worse(t, tn_ex_load(n, h->value, next, two), tn_ex_load(n, h->position, next, two),
                                tn_ex_load(n, h->value, child, NULL), tn_ex_load(n, h->position, child, NULL));
  tn_st_set(&body, child, tn_ix_add(n, child, tn_ex_cast(n, tn_ex_and(n, two, right), TN_INDEX)));
  struct tn_expr *up = tn_st_let(&body, "up", tn_ex_load(n, h->value, child, NULL));
  struct tn_expr *up_position = tn_st_let(&body, "up_position", tn_ex_load(n, h->position, child, NULL));
  tn_st_if(&body, worse(t, up, up_position, value, position), &yes, &no);
  tn_st_store(&yes, h->value, hole, up, NULL);
  tn_st_store(&yes, h->position, hole, up_position, NULL);
  tn_st_set(&yes, hole, child);
  tn_st_set(&yes, child, tn_ix_offset(n, tn_ix_scale(n, child, 2), 1));
  tn_st_set(&no, child, size); /* done */
  tn_st_store(c, h->value, hole, value, NULL);
  tn_st_store(c, h->position, hole, position, NULL);
}

static void heap_select(struct topk *t, struct tn_cursor *c, struct heap *h) {
  struct tn_nest *n = t->n;
  enum tn_dtype dtype = h->position->dtype;
  struct tn_expr *k = tn_ix(n, t->k);

  struct tn_var *var = tn_loop_var(n, "q", t->k); /* the first k, last one first: entry k-1-q sinks */
  struct tn_cursor in = tn_st_loop(c, var, TN_LOOP_SERIAL);
  struct tn_expr *from = tn_ix_sub(n, tn_ix(n, t->k - 1), tn_ex_var(n, var));
  struct tn_expr *value = tn_st_let(&in, "x", operand_at(t, from));
  sink(t, &in, h, value, tn_ex_cast(n, from, dtype), from, k);

  if (t->extent > t->k) { /* each other one that is better than the worst takes its place */
    var = tn_loop_var(n, "r", t->extent - t->k);
    in = tn_st_loop(c, var, TN_LOOP_SERIAL);
    struct tn_expr *r = tn_ix_offset(n, tn_ex_var(n, var), t->k), *worst;
    value = tn_st_let(&in, "x", operand_at(t, r));
    worst = tn_ex_load(n, h->value, tn_ix(n, 0), NULL);
    struct tn_cursor yes;
    tn_st_if(&in, tn_define_before(n, value, worst, t->largest), &yes, NULL);
    sink(t, &yes, h, value, tn_ex_cast(n, r, dtype), tn_ix(n, 0), k);
  }

  var = tn_loop_var(n, "q", t->k); /* the worst goes to the end of the results, the heap's last entry sinks */
  in = tn_st_loop(c, var, TN_LOOP_SERIAL);
  struct tn_expr *last = tn_ix_sub(n, tn_ix(n, t->k - 1), tn_ex_var(n, var));
  value = tn_st_let(&in, "worst", tn_ex_load(n, h->value, tn_ix(n, 0), NULL));
  struct tn_expr *position = tn_st_let(&in, "where", tn_ex_load(n, h->position, tn_ix(n, 0), NULL));
  t->at[t->axis] = last;
  tn_result(t->l, &in, t->values, t->at, value, NULL);
  tn_result(t->l, &in, t->indices, t->at, tn_ex_cast(n, position, t->indices->type.dtype), NULL);
  value = tn_st_let(&in, "x", tn_ex_load(n, h->value, last, NULL));
  position = tn_st_let(&in, "position", tn_ex_load(n, h->position, last, NULL));
  sink(t, &in, h, value, position, tn_ix(n, 0), last);
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
  struct heap h = {tn_nest_local(t.n, "heap", t.x->type.dtype, t.k),
                   tn_nest_local(t.n, "heap_position", position, t.k)};
  heap_select(&t, in, &h);
}
const struct tn_definition tn_define_topk = {.nest = topk};
