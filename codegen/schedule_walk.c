/* Walks: loops whose iterations go their own way through memory for a known number of steps, each with
 * variables of its own, and store where they end.
 *
 *   for i { let at = ...; for steps { let ...; set at = table[...] }; out[i] = at }
 *
 * Such iterations wait for memory at each step.  Where lanes can be gathered they go in lanes, some vectors at
 * once; elsewhere some iterations at once: their waits overlap. */
#include "codegen/schedule.h"

#define VECTORS 4 /* that go together */
#define LEAST_LANES 16

/* Only declares, sets what it declared, and loops over the same. */
static bool goes_straight(const struct tn_stmt *list, uint64_t *declared, bool *sets) {
  for (const struct tn_stmt *s = list; s; s = s->next) {
    if (s->kind == TN_ST_LOOP) {
      if (s->loop.kind != TN_LOOP_SERIAL || !goes_straight(s->loop.body, declared, sets))
        return false;
    } else if (s->kind == TN_ST_LET) {
      *declared |= (uint64_t)1 << (s->let.var->id % 64);
    } else if (s->kind == TN_ST_SET) {
      *sets = true;
      if (!(*declared >> (s->let.var->id % 64) & 1))
        return false;
    } else if (s->kind != TN_ST_STORE) {
      return false;
    }
  }
  return true;
}

static bool reads(const struct tn_stmt *list, const struct tn_buf *buf) {
  for (const struct tn_stmt *s = list; s; s = s->next) {
    if (s->kind == TN_ST_LOOP && reads(s->loop.body, buf))
      return true;
    if ((s->kind == TN_ST_LET || s->kind == TN_ST_SET) && tn_ex_reads(s->let.value, buf))
      return true;
    if (s->kind == TN_ST_STORE && tn_ex_reads(s->store.value, buf))
      return true;
  }
  return false;
}

static size_t widest(const struct tn_stmt *list) {
  size_t most = 4;
  for (const struct tn_stmt *s = list; s; s = s->next) {
    size_t size = s->kind == TN_ST_LOOP                                   ? widest(s->loop.body)
                  : s->kind == TN_ST_LET && s->let.var->dtype != TN_INDEX ? tn_dtype_size(s->let.var->dtype)
                                                                          : 0;
    most = size > most ? size : most;
  }
  return most;
}

/* The loops and, in *band, what is in the innermost one; false: no walk. */
static bool find_walk(struct tn_nest *n, struct tn_stmt *first, struct tn_band *band) {
  *band = (struct tn_band){.nest = n};
  struct tn_stmt *s = first;
  for (;
       s && s->kind == TN_ST_LOOP && !s->next && s->loop.kind == TN_LOOP_SERIAL && band->loops < TN_MAX_REDUCE;
       s = s->loop.body)
    band->loop[band->loops++] = s->loop.var;
  uint64_t declared = 0;
  bool sets = false;
  if (!band->loops || !s || !goes_straight(s, &declared, &sets) || !sets)
    return false;
  band->stores = s;
  for (const struct tn_stmt *st = s; st; st = st->next) {
    for (const struct tn_stmt *in = st->kind == TN_ST_LOOP ? st->loop.body : NULL; in; in = in->next)
      if (in->kind == TN_ST_STORE)
        return false;
    if (st->kind == TN_ST_STORE && (st->store.index->loads || st->store.guard || reads(s, st->store.buf) ||
                                    !tn_tells_iterations(band, st->store.index)))
      return false;
  }
  return true;
}

void tn_copy_body(struct tn_cursor *c, const struct tn_stmt *body, struct tn_var *r, struct tn_expr *at,
                  const struct tn_var *lane, struct tn_expr *guard) {
  struct tn_nest *n = c->nest;
#define AT(e) tn_guard_loads(n, tn_ex_replace(n, e, 1, &r, &at), lane, guard, NULL)
  for (const struct tn_stmt *s = body; s; s = s->next) {
    if (s->kind == TN_ST_LOOP) {
      struct tn_cursor inner = tn_st_loop(c, s->loop.var, s->loop.kind);
      tn_copy_body(&inner, s->loop.body, r, at, lane, guard);
    } else if (s->kind == TN_ST_LET) {
      tn_st_let_again(c, s->let.var, AT(s->let.value));
    } else if (s->kind == TN_ST_SET) {
      tn_st_set(c, tn_ex_var(n, s->let.var), AT(s->let.value));
    } else {
      tn_st_store(c, s->store.buf, tn_ex_replace(n, s->store.index, 1, &r, &at), AT(s->store.value), guard);
    }
  }
#undef AT
}

/* The loop along which what is stored lies; else the innermost one. */
static struct tn_var *axis_of(const struct tn_band *b) {
  int64_t stride;
  for (const struct tn_stmt *s = b->stores; s; s = s->next)
    for (int i = b->loops - 1; i >= 0 && s->kind == TN_ST_STORE; i--)
      if (b->loop[i]->extent > 1 && tn_ex_stride(s->store.index, b->loop[i], &stride) && stride == 1)
        return b->loop[i];
  return b->loop[b->loops - 1];
}

bool tn_schedule_walk(const struct tn_target *t, struct tn_stmt *first, struct tn_cursor *c) {
  struct tn_nest *n = c->nest;
  struct tn_band b;
  if (!find_walk(n, first, &b))
    return false;
  struct tn_var *axis = axis_of(&b);
  int lanes = t->gathers ? t->vector_bytes / (int)widest(b.stores) : 1;
  lanes = lanes < LEAST_LANES ? 1 : lanes;
  int one_by_one = t->pointer_bits == 64 ? 8 : 4; /* registers for positions */
  int together = t->small || !t->l1_bytes ? 1 : lanes > 1 ? VECTORS : one_by_one;
  if (lanes > 1 && axis->extent < (int64_t)lanes * together)
    together = (int)((axis->extent + lanes - 1) / lanes);
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int count = tn_segments(t, axis->extent, lanes, together, segs);
  for (int k = 0; k < count; k++) {
    const struct tn_segment *seg = &segs[k];
    struct tn_var *panel = tn_loop_var(n, "p", seg->whole), *across = tn_loop_var(n, "j", seg->vectors),
                  *lane = tn_loop_var(n, "l", seg->lanes);
    struct tn_cursor at = *c;
    for (int i = 0; i < b.loops; i++)
      if (b.loop[i] != axis)
        at = tn_enter_loop(&at, b.loop[i], TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, panel, TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, across, TN_LOOP_TILE);
    at = tn_enter_loop(&at, lane, TN_LOOP_VECTOR);
    struct tn_expr *vector =
        tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, panel), seg->vectors), tn_ex_var(n, across));
    struct tn_expr *where = tn_ix_add(n, tn_ix_scale(n, vector, seg->lanes), tn_ex_var(n, lane));
    where = tn_ix_offset(n, where, seg->start);
    struct tn_expr *guard =
        seg->masked ? tn_ex_binary(n, TN_LT, where, tn_ix(n, seg->start + seg->extent)) : NULL;
    tn_copy_body(&at, b.stores, axis, where, lane, guard);
    tn_st_follow(c);
  }
  return true;
}
