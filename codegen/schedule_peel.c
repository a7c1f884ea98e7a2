/* Loops cut where a border ends.
 *
 * A window that hangs over the border of its operand asks at each element whether it lies inside.  Where that
 * is certain for all but a few iterations of a loop, these are done apart, and the rest asks nothing: its loads
 * need no masks, and strided ones can be taken apart by shuffles. */
#include "codegen/schedule.h"

#define MOST_PEELED 8 /* iterations at both ends of a loop */

/* Iterations [first, end) of a loop. */
struct inside {
  const struct tn_var *loop;
  int64_t first, end;
  bool asked; /* some comparison is settled there that is open elsewhere */
};

/* Narrows the range to where `e` >= low (<= high) holds whatever the other variables are. */
static void at_least(struct inside *in, const struct tn_expr *e, int64_t low) {
  int64_t c;
  if (!tn_ex_stride(e, in->loop, &c) || c <= 0 || e->lo >= low)
    return;
  int64_t first = -tn_floor_div(-(low - e->lo), c); /* e->lo is at iteration 0 */
  in->first = first > in->first ? first : in->first;
  in->asked = true;
}

static void at_most(struct inside *in, const struct tn_expr *e, int64_t high) {
  int64_t c;
  if (!tn_ex_stride(e, in->loop, &c) || c <= 0 || e->hi <= high)
    return;
  int64_t end = in->loop->extent - -tn_floor_div(-(e->hi - high), c); /* e->hi is at the last iteration */
  in->end = end < in->end ? end : in->end;
  in->asked = true;
}

static void note(struct inside *in, const struct tn_expr *e, bool *seen) {
  if (!e || seen[e->id] || !tn_ex_uses(e, in->loop))
    return;
  seen[e->id] = true;
  if (e->kind == TN_EX_LOAD) {
    note(in, e->load.index, seen);
    note(in, e->load.guard, seen);
    return;
  }
  if (e->kind != TN_EX_OP)
    return;
  for (int i = 0; i < e->op.argc; i++)
    note(in, e->op.arg[i], seen);
  int64_t bound;
  if (e->op.argc != 2 || e->op.arg[0]->dtype != TN_INDEX || !tn_ex_is_int(e->op.arg[1], &bound))
    return;
  if (e->op.op == TN_GE || e->op.op == TN_GT)
    at_least(in, e->op.arg[0], bound + (e->op.op == TN_GT));
  else if (e->op.op == TN_LE || e->op.op == TN_LT)
    at_most(in, e->op.arg[0], bound - (e->op.op == TN_LT));
}

/* A contiguous load along the loop, which masks do for nothing where there are any. */
static bool walks_along(const struct tn_expr *e, const struct tn_var *loop, bool *seen) {
  int64_t stride;
  if (seen[e->id] || !e->loads)
    return false;
  seen[e->id] = true;
  if (e->kind == TN_EX_LOAD)
    return tn_ex_stride(e->load.index, loop, &stride) && stride == 1;
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc; i++)
    if (walks_along(e->op.arg[i], loop, seen))
      return true;
  return false;
}

/* The band with `count` iterations of loop `i` from `first` on. */
static struct tn_band stretch(const struct tn_band *b, int i, int64_t first, int64_t count) {
  struct tn_nest *n = b->nest;
  struct tn_band out = *b;
  out.reduce = TN_NEW(n->arena, struct tn_stmt);
  *out.reduce = *b->reduce;
  struct tn_stmt **end = &out.reduce->next;
  for (const struct tn_stmt *s = b->stores; s; s = s->next, end = &(*end)->next) {
    *end = TN_NEW(n->arena, struct tn_stmt);
    **end = *s;
  }
  *end = NULL;
  struct tn_var *old = b->loop[i];
  out.loop[i] = tn_loop_var(n, old->name, count);
  struct tn_expr *at = tn_ix_offset(n, count > 1 ? tn_ex_var(n, out.loop[i]) : tn_ix(n, 0), first);
  tn_st_replace(n, out.reduce, 1, &old, &at);
  out.stores = out.reduce->next;
  return out;
}

bool tn_schedule_peeled(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c) {
  struct tn_nest *n = b->nest;
  if (t->small || !b->reduce || t->vector_bytes < 16)
    return false;
  for (int i = 0; i < b->loops; i++) {
    struct tn_var *v = b->loop[i];
    struct inside in = {.loop = v, .end = v->extent};
    note(&in, b->reduce->reduce.term, TN_NEW_ARRAY(n->arena, bool, n->next_id + 1));
    int64_t inner = in.end - in.first;
    if (!in.asked || inner < v->extent - inner || v->extent - inner > MOST_PEELED || inner == v->extent ||
        (t->masked && walks_along(b->reduce->reduce.term, v, TN_NEW_ARRAY(n->arena, bool, n->next_id + 1))))
      continue;
    int64_t cut[4] = {0, in.first, in.end, v->extent};
    for (int k = 0; k < 3; k++)
      if (cut[k + 1] > cut[k]) {
        struct tn_band piece = stretch(b, i, cut[k], cut[k + 1] - cut[k]);
        tn_schedule_band(t, &piece, c);
        while (*c->end)
          c->end = &(*c->end)->next;
      }
    return true;
  }
  return false;
}
