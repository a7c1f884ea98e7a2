/* Loops around several statements: kernels by rows.
 *
 *   for each row { acc = reduction; for the row: scratch = ...; acc = reduction; for the row: result = ... }
 *
 * The loops stay in their order.  A few rows are taken together (a tile), each with a scratch of its own, so
 * that the reductions' latencies overlap; the bands inside are scheduled one by one, with lanes along the row.
 */
#include "codegen/schedule.h"

/* ---- what the statements do ---------------------------------------------------------------------------- */

static bool simple_list(const struct tn_stmt *list) {
  for (const struct tn_stmt *s = list; s; s = s->next) {
    if (s->kind == TN_ST_SET || s->kind == TN_ST_IF || s->kind == TN_ST_WHILE)
      return false;
    if (s->kind == TN_ST_LET && s->let.var->is_set)
      return false;
    if (s->kind == TN_ST_LOOP && (s->loop.kind != TN_LOOP_SERIAL || !simple_list(s->loop.body)))
      return false;
  }
  return true;
}

struct stored {
  struct tn_buf *buf[16];
  int count;
  bool apart; /* rows do not meet: what is stored outside of scratch is not read, scratch has a place a row at
                 most */
};

static void note_stores(struct stored *s, const struct tn_stmt *list, const struct tn_var *row) {
  for (const struct tn_stmt *st = list; st; st = st->next) {
    if (st->kind == TN_ST_LOOP)
      note_stores(s, st->loop.body, row);
    if (st->kind != TN_ST_STORE)
      continue;
    bool scratch = st->store.buf->param < 0, known = false;
    s->apart &= !st->store.index->loads && !(scratch && tn_ex_uses(st->store.index, row));
    for (int i = 0; i < s->count; i++)
      known |= s->buf[i] == st->store.buf;
    if (!known && s->count == (int)TN_COUNT(s->buf))
      s->apart = false;
    else if (!known)
      s->buf[s->count++] = st->store.buf;
  }
}

/* Loads: none of what is stored, scratch apart, which is moved to the row's own. */
struct move {
  struct tn_nest *n;
  struct stored *stored;
  const struct tn_var *row;
  struct tn_expr *slot; /* NULL: only looks */
  const int64_t *count; /* of stored->buf[i] for one row */
};

static struct tn_expr *move_expr(struct move *m, struct tn_expr *e) {
  if (!e || !e->loads)
    return e;
  if (e->kind == TN_EX_LOAD) {
    struct tn_expr *index = move_expr(m, e->load.index), *guard = move_expr(m, e->load.guard);
    for (int i = 0; i < m->stored->count; i++) {
      if (m->stored->buf[i] != e->load.buf)
        continue;
      m->stored->apart &= e->load.buf->param < 0 && !tn_ex_uses(index, m->row);
      if (m->slot)
        index = tn_ix_add(m->n, index, tn_ix_scale(m->n, m->slot, m->count[i]));
    }
    return m->slot ? tn_ex_load_like(m->n, e, index, guard) : e;
  }
  if (e->kind == TN_EX_AFFINE) {
    struct tn_expr *sum = tn_ix(m->n, e->affine.base);
    for (int i = 0; i < e->affine.count; i++)
      sum = tn_ix_add(m->n, sum, tn_ix_scale(m->n, move_expr(m, e->affine.term[i]), e->affine.coef[i]));
    return m->slot ? sum : e;
  }
  if (e->kind != TN_EX_OP)
    return e;
  struct tn_expr *arg[3] = {0};
  for (int i = 0; i < e->op.argc; i++)
    arg[i] = move_expr(m, e->op.arg[i]);
  return m->slot ? tn_ex_op(m->n, e->op.op, e->dtype, e->op.argc, arg, e->op.flags) : e;
}

static void move_list(struct move *m, struct tn_stmt *list) {
  for (struct tn_stmt *s = list; s; s = s->next) {
    switch (s->kind) {
    case TN_ST_LOOP:
      move_list(m, s->loop.body);
      break;
    case TN_ST_REDUCE:
      s->reduce.init = move_expr(m, s->reduce.init);
      s->reduce.term = move_expr(m, s->reduce.term);
      break;
    case TN_ST_LET:
      s->let.value = move_expr(m, s->let.value);
      break;
    case TN_ST_STORE:
      s->store.index = move_expr(m, s->store.index);
      s->store.value = move_expr(m, s->store.value);
      s->store.guard = move_expr(m, s->store.guard);
      for (int i = 0; i < m->stored->count && m->slot; i++)
        if (m->stored->buf[i] == s->store.buf && s->store.buf->param < 0)
          s->store.index = tn_ix_add(m->n, s->store.index, tn_ix_scale(m->n, m->slot, m->count[i]));
      break;
    default:
      break;
    }
  }
}

static struct tn_stmt *copy_list(tn_arena *arena, const struct tn_stmt *list) {
  struct tn_stmt *first = NULL, **end = &first;
  for (const struct tn_stmt *s = list; s; s = s->next) {
    struct tn_stmt *copy = TN_NEW(arena, struct tn_stmt);
    *copy = *s;
    copy->next = NULL;
    if (s->kind == TN_ST_LOOP)
      copy->loop.body = copy_list(arena, s->loop.body);
    *end = copy;
    end = &copy->next;
  }
  return first;
}

/* Rows taken together. */
static int64_t tile_of(const struct tn_target *t, int64_t rows) {
  int64_t most = t->small || !t->vector_bytes ? 1 : t->vector_regs >= 32 ? 4 : 2;
  if (rows < most)
    return rows;
  for (int64_t tile = most; tile > 1; tile--)
    if (rows % tile == 0)
      return tile;
  return most;
}

/* ---- lanes across rows --------------------------------------------------------------------------------- */

/* The first load of the term; NULL: it has none. */
static const struct tn_expr *first_load(const struct tn_expr *e) {
  if (e->kind == TN_EX_LOAD)
    return e;
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc; i++) {
    const struct tn_expr *load = e->op.arg[i]->loads ? first_load(e->op.arg[i]) : NULL;
    if (load)
      return load;
  }
  return NULL;
}

/* The loop along which what the reductions read is contiguous, when it is not so along the reductions; NULL:
 * none. */
static struct tn_var *axis_across(const struct tn_target *t, const struct tn_stmt *list,
                                  struct tn_var *const *loop, int loops) {
  struct tn_var *axis = NULL;
  for (const struct tn_stmt *s = list; s; s = s->next) {
    int64_t stride;
    if (s->kind == TN_ST_LOOP || (s->kind == TN_ST_STORE && s->store.buf->param < 0))
      return NULL;
    if (s->kind != TN_ST_REDUCE || !s->reduce.count)
      continue;
    const struct tn_expr *load = first_load(s->reduce.term);
    if (!load || (tn_ex_stride(load->load.index, s->reduce.var[s->reduce.count - 1], &stride) && stride == 1))
      return NULL;
    for (int i = loops - 1; i >= 0 && !axis; i--)
      if (tn_ex_stride(load->load.index, loop[i], &stride) && stride == 1)
        axis = loop[i];
  }
  return t->vector_bytes ? axis : NULL;
}

static void build_across(const struct tn_target *t, struct tn_stmt *list, struct tn_var *const *loop, int loops,
                         struct tn_var *axis, struct tn_cursor *c) {
  struct tn_nest *n = c->nest;
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int count = tn_segments(t, axis->extent, t->vector_bytes / 4, 2, segs);
  for (int k = 0; k < count; k++) {
    const struct tn_segment *seg = &segs[k];
    struct tn_var *panel = tn_loop_var(n, "p", seg->whole), *across = tn_loop_var(n, "j", seg->vectors),
                  *lane = tn_loop_var(n, "l", seg->lanes);
    struct tn_cursor at = *c;
    for (int i = 0; i < loops; i++)
      if (loop[i] != axis)
        at = tn_enter_loop(&at, loop[i], TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, panel, TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, across, TN_LOOP_TILE);
    at = tn_enter_loop(&at, lane, TN_LOOP_VECTOR);
    struct tn_expr *column =
        tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, panel), (int64_t)seg->lanes * seg->vectors),
                  tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, across), seg->lanes), tn_ex_var(n, lane)));
    column = tn_ix_offset(n, column, seg->start);
    struct tn_expr *guard = seg->masked ? tn_ex_binary(n, TN_LT, column, tn_ix(n, axis->extent)) : NULL;
    struct tn_stmt *body = copy_list(n->arena, list);
    tn_st_replace(n, body, 1, &axis, &column);
    for (struct tn_stmt *s = body; s; s = s->next) {
      if (s->kind == TN_ST_REDUCE) {
        s->reduce.term = tn_guard_loads(n, s->reduce.term, lane, guard, NULL);
        s->reduce.unroll = 4;
      } else if (s->kind == TN_ST_LET) {
        s->let.value = tn_guard_loads(n, s->let.value, lane, guard, NULL);
      } else {
        s->store.value = tn_guard_loads(n, s->store.value, lane, guard, NULL);
        s->store.guard = tn_ex_and(n, s->store.guard, guard);
      }
    }
    *at.end = body;
    while (*c->end)
      c->end = &(*c->end)->next;
  }
}

/* ---- entry --------------------------------------------------------------------------------------------- */

bool tn_schedule_rows(const struct tn_target *t, struct tn_stmt *first, struct tn_cursor *c) {
  struct tn_nest *n = c->nest;
  struct tn_var *loop[TN_MAX_REDUCE];
  struct tn_stmt *s = first;
  int loops = 0;
  for (; s && s->kind == TN_ST_LOOP && !s->next && loops < TN_MAX_REDUCE; s = s->loop.body) {
    if (s->loop.kind != TN_LOOP_SERIAL)
      return false;
    if (s->loop.var->extent != 1)
      loop[loops++] = s->loop.var;
  }
  if (s == first || !s || !s->next || !simple_list(s))
    return false;
  if (!loops) {
    tn_schedule_list(t, s, c, 1);
    return true;
  }
  struct tn_var *row = loop[loops - 1], *axis = axis_across(t, s, loop, loops);
  struct stored stored = {.apart = true};
  note_stores(&stored, s, row);
  struct move move = {.n = n, .stored = &stored, .row = row};
  move_list(&move, s);
  if (axis && stored.apart) {
    build_across(t, s, loop, loops, axis, c);
    return true;
  }
  int64_t tile = stored.apart ? tile_of(t, row->extent) : 1, counts[TN_COUNT(stored.buf)] = {0};
  for (int i = 0; i < stored.count; i++) {
    counts[i] = stored.buf[i]->count;
    if (stored.buf[i]->param < 0)
      stored.buf[i]->count *= tile;
  }
  for (int64_t start = 0; start < row->extent; tile = row->extent - start) {
    int64_t blocks = (row->extent - start) / tile;
    struct tn_stmt *body = copy_list(n->arena, s);
    struct tn_var *block = tn_loop_var(n, "m", blocks), *slot = tn_loop_var(n, "i", tile);
    struct tn_cursor at = *c;
    for (int i = 0; i + 1 < loops; i++)
      at = tn_enter_loop(&at, loop[i], TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, block, TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, slot, TN_LOOP_TILE);
    struct tn_expr *place = tile > 1 ? tn_ex_var(n, slot) : tn_ix(n, 0);
    struct tn_expr *position = blocks > 1 ? tn_ix_scale(n, tn_ex_var(n, block), tile) : tn_ix(n, 0);
    position = tn_ix_offset(n, tn_ix_add(n, position, place), start);
    tn_st_replace(n, body, 1, &row, &position);
    move.slot = place;
    move.count = counts;
    move_list(&move, body);
    tn_schedule_list(t, body, &at, (int)tile);
    while (*c->end)
      c->end = &(*c->end)->next;
    start += blocks * tile;
  }
  return true;
}
