/* Loops cut where a border ends, and by the quotients of positions.
 *
 * A window that hangs over the border of its operand asks at each element whether it lies inside.  Where that
 * is certain for all but a few iterations of a loop, these are done apart, and the rest asks nothing: its loads
 * need no masks, and strided ones can be taken apart by shuffles. */
#include "codegen/schedule.h"

#define MOST_QUOTIENT 16
#define MOST_PEELED 8 /* iterations at both ends of a loop */

/* Iterations [first, end) of a loop. */
struct inside {
  const struct tn_var *loop;
  int64_t first, end;
  bool clamps_only;
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
  if (e->kind == TN_EX_AFFINE)
    for (int i = 0; i < e->affine.count; i++)
      note(in, e->affine.term[i], seen);
  if (e->kind != TN_EX_OP)
    return;
  for (int i = 0; i < e->op.argc; i++)
    note(in, e->op.arg[i], seen);
  int64_t bound;
  if (e->op.argc != 2 || e->op.arg[0]->dtype != TN_INDEX || !tn_ex_is_int(e->op.arg[1], &bound))
    return;
  if (e->op.op == TN_MAX)
    at_least(in, e->op.arg[0], bound);
  else if (e->op.op == TN_MIN)
    at_most(in, e->op.arg[0], bound);
  else if (in->clamps_only)
    return;
  else if (e->op.op == TN_GE || e->op.op == TN_GT)
    at_least(in, e->op.arg[0], bound + (e->op.op == TN_GT));
  else if (e->op.op == TN_LE || e->op.op == TN_LT)
    at_most(in, e->op.arg[0], bound - (e->op.op == TN_LT));
}

int64_t tn_most_masked(const struct tn_target *t) {
  return !t->masked ? 0 : t->vector_regs > 16 ? TN_MOST_APART : 1; /* where masks have registers of their own */
}

/* A load along the loop that masks do for nothing, up to the stride. */
static bool walks_along(const struct tn_expr *e, const struct tn_var *loop, int64_t most, bool *seen) {
  int64_t stride;
  if (seen[e->id] || !e->loads)
    return false;
  seen[e->id] = true;
  if (e->kind == TN_EX_LOAD)
    return tn_ex_stride(e->load.index, loop, &stride) && stride >= 1 && stride <= most;
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc; i++)
    if (walks_along(e->op.arg[i], loop, most, seen))
      return true;
  return false;
}

/* A copy of the list with `at` for the loop. */
static struct tn_stmt *replaced(struct tn_nest *n, const struct tn_stmt *list, struct tn_var *loop,
                                struct tn_expr *at) {
  struct tn_stmt *all = NULL, **end = &all;
  for (const struct tn_stmt *s = list; s; s = s->next, end = &(*end)->next) {
    *end = TN_NEW(n->arena, struct tn_stmt);
    **end = *s;
  }
  *end = NULL;
  tn_st_replace(n, all, 1, &loop, &at);
  return all;
}

struct tn_band tn_with_loops(const struct tn_band *b, int i, struct tn_expr *at, int loops,
                             struct tn_var *const *loop) {
  struct tn_nest *n = b->nest;
  struct tn_band out = *b;
  struct tn_var *old = b->loop[i];
  struct tn_stmt *all = replaced(n, b->reduce ? b->reduce : b->stores, old, at);
  out.reduce = b->reduce ? all : NULL;
  out.set = b->set ? all->next : NULL;
  out.stores = b->set ? replaced(n, b->stores, old, at) : b->reduce ? all->next : all;
  memmove(out.loop + i + loops, out.loop + i + 1, (size_t)(b->loops - i - 1) * sizeof *out.loop);
  for (int k = 0; k < loops; k++)
    out.loop[i + k] = loop[k];
  out.loops = b->loops + loops - 1;
  return out;
}

static void schedule_piece(const struct tn_target *t, struct tn_band piece, struct tn_cursor *c) {
  tn_schedule_band(t, &piece, c);
  tn_st_follow(c);
}

/* The band with `count` iterations of loop `i` from `first` on. */
static void schedule_stretch(const struct tn_target *t, const struct tn_band *b, int i, int64_t first,
                             int64_t count, struct tn_cursor *c) {
  struct tn_nest *n = b->nest;
  struct tn_var *v = tn_loop_var(n, b->loop[i]->name, count);
  struct tn_expr *at = tn_ix_offset(n, count > 1 ? tn_ex_var(n, v) : tn_ix(n, 0), first);
  if (count)
    schedule_piece(t, tn_with_loops(b, i, at, 1, &v), c);
}

/* The largest stride of the stores along the loop; 0: unknown, or some have none. */
static int64_t store_stride(const struct tn_band *b, const struct tn_var *v) {
  int64_t most = 0, stride;
  for (const struct tn_stmt *s = b->stores; s; s = s->next) {
    if (s->store.guard || !tn_ex_stride(s->store.index, v, &stride) || stride < 1)
      return 0;
    most = stride > most ? stride : most;
  }
  return most;
}

/* The divisor of a quotient over the loop; 0: there is none. */
static int64_t quotient_of(const struct tn_expr *e, const struct tn_var *v, bool *seen) {
  int64_t by = 0;
  if (!e || seen[e->id] || !tn_ex_uses(e, v))
    return 0;
  seen[e->id] = true;
  if (e->kind == TN_EX_LOAD)
    return quotient_of(e->load.index, v, seen);
  if (e->kind == TN_EX_AFFINE)
    for (int i = 0; i < e->affine.count && !by; i++)
      by = quotient_of(e->affine.term[i], v, seen);
  if (e->kind == TN_EX_OP) {
    if (e->op.op == TN_DIV && e->dtype == TN_INDEX && tn_ex_is_int(e->op.arg[1], &by))
      return by;
    for (int i = 0; i < e->op.argc && !by; i++)
      by = quotient_of(e->op.arg[i], v, seen);
  }
  return by;
}

static int64_t quotient_in(const struct tn_band *b, const struct tn_var *v) {
  bool *seen = TN_NEW_ARRAY(b->nest->arena, bool, b->nest->next_id + 1);
  int64_t by = 0;
  for (const struct tn_stmt *s = b->stores; s && !by; s = s->next)
    by = quotient_of(s->store.value, v, seen);
  return by;
}

/* The stride of a position where no border clamps it; false: it is not known. */
static bool stride_inside(const struct tn_expr *e, const struct tn_var *v, int64_t *stride) {
  int64_t each;
  if (tn_ex_stride(e, v, stride))
    return true;
  if (e->kind == TN_EX_OP && (e->op.op == TN_MAX || e->op.op == TN_MIN) && tn_ex_is_int(e->op.arg[1], &each))
    return stride_inside(e->op.arg[0], v, stride);
  *stride = 0;
  for (int i = 0; e->kind == TN_EX_AFFINE && i < e->affine.count; i++) {
    if (!stride_inside(e->affine.term[i], v, &each))
      return false;
    *stride += e->affine.coef[i] * each;
  }
  return e->kind == TN_EX_AFFINE;
}

/* All that e loads along the loop lies so close together that shuffles take it apart. */
static bool loads_close(const struct tn_expr *e, const struct tn_var *v) {
  int64_t stride;
  if (e->kind == TN_EX_LOAD)
    return stride_inside(e->load.index, v, &stride) && stride >= 0 && stride <= TN_MOST_APART;
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc; i++)
    if (!loads_close(e->op.arg[i], v))
      return false;
  return true;
}

/* Few lanes are as well loaded plainly, where the split leaves that, as picked. */
static bool better_picked(const struct tn_target *t, const struct tn_band *split, const struct tn_var *v) {
  bool close = t->vector_bytes == 16;
  for (const struct tn_stmt *s = split->stores; s && close; s = s->next)
    close = loads_close(s->store.value, v);
  return !close;
}

bool tn_schedule_quotients(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c, bool picks) {
  struct tn_nest *n = b->nest;
  if (t->small || b->reduce || t->vector_bytes < 16 || b->loops == TN_MAX_REDUCE)
    return false;
  for (int i = 0; i < b->loops; i++) {
    struct tn_var *v = b->loop[i];
    int64_t by = store_stride(b, v) == 1 ? quotient_in(b, v) : 0, whole = by ? v->extent / by : 0;
    if (by < 2 || by > MOST_QUOTIENT || whole < 4)
      continue;
    struct tn_var *loop[2] = {tn_loop_var(n, v->name, whole), tn_loop_var(n, "r", by)};
    struct tn_expr *at = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, loop[0]), by), tn_ex_var(n, loop[1]));
    struct tn_band split = tn_with_loops(b, i, at, 2, loop);
    if (quotient_in(&split, loop[0]) || (picks && better_picked(t, &split, loop[0])))
      continue; /* another divisor, too; or no better for it */
    schedule_piece(t, split, c);
    schedule_stretch(t, b, i, whole * by, v->extent - whole * by, c);
    return true;
  }
  return false;
}

bool tn_schedule_peeled(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c) {
  struct tn_nest *n = b->nest;
  if (t->small || t->vector_bytes < 16)
    return false;
  for (int i = 0; i < b->loops; i++) {
    struct tn_var *v = b->loop[i];
    struct inside in = {.loop = v, .end = v->extent, .clamps_only = !b->reduce};
    bool *seen = TN_NEW_ARRAY(n->arena, bool, n->next_id + 1);
    if (b->reduce)
      note(&in, b->reduce->reduce.term, seen);
    int64_t stride = b->reduce ? 0 : store_stride(b, v);
    for (const struct tn_stmt *s = b->stores; s && stride && stride <= MOST_QUOTIENT; s = s->next)
      note(&in, s->store.value, seen);
    int64_t inner = in.end - in.first;
    if (!in.asked || inner < v->extent - inner || v->extent - inner > MOST_PEELED || inner == v->extent ||
        (b->reduce && walks_along(b->reduce->reduce.term, v, tn_most_masked(t),
                                  TN_NEW_ARRAY(n->arena, bool, n->next_id + 1))))
      continue;
    schedule_stretch(t, b, i, 0, in.first, c);
    schedule_stretch(t, b, i, in.first, inner, c);
    schedule_stretch(t, b, i, in.end, v->extent - in.end, c);
    return true;
  }
  return false;
}
