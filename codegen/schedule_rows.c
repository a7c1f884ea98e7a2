/* Loops around several statements: kernels by rows.
 *
 *   for each row { acc = reduction; for the row: scratch = ...; acc = reduction; for the row: result = ... }
 *
 * The loops stay in their order.  A few rows are taken together (a tile), each with a scratch of its own, so
 * that the reductions' latencies overlap; the bands inside are scheduled one by one, with lanes along the row.
 *
 * Where products are among the statements (attention), rows are taken in blocks, and a block goes through the
 * statements one after the other:
 *
 *   copies of what the products read for every row, where their own order reads badly
 *   for each block { for its rows: scores = product; for its rows: softmax; for its rows: result = product }
 *
 * Only the scores of a block are in memory, and a product has enough rows to share what it loads.  Long rows
 * come in blocks of columns themselves (lower_blocks.c); then a block of rows goes through these, one after the
 * other:
 *
 *   for each block { for each block of columns { for its rows: scores; softmax so far; result so far } } */
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

#define MOST_STORED 16

struct stored {
  struct tn_buf *buf[MOST_STORED];
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
  struct tn_var *row;
  struct tn_expr *slot;       /* NULL: only looks */
  int64_t count[MOST_STORED]; /* of stored->buf[i] for one row */
  struct tn_row_room room[MOST_STORED];
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
    tn_st_follow(c);
  }
}

/* ---- rows in tiles ------------------------------------------------------------------------------------- */

/* Notes how much scratch a row takes.  Longer rows start with cache lines, in different cache sets; shorter
 * ones have room for whole vectors, where those would need masks. */
static void count_scratch(const struct tn_target *t, struct move *m) {
  for (int i = 0; i < m->stored->count; i++) {
    const struct tn_buf *buf = m->stored->buf[i];
    int64_t line = 64 / (int64_t)tn_dtype_size(buf->dtype), lanes = line * t->vector_bytes / 64,
            count = buf->count;
    m->count[i] = count >= line                     ? (tn_round_up(count, line) / line | 1) * line
                  : t->masked && count > 1 && lanes ? tn_round_up(count, lanes)
                                                    : count;
    m->room[i] = (struct tn_row_room){buf, count, m->count[i]};
  }
}

/* From now on there is room in scratch for `rows` rows. */
static void give_each_scratch(struct move *m, int64_t rows) {
  for (int i = 0; i < m->stored->count; i++)
    if (m->stored->buf[i]->param < 0)
      m->stored->buf[i]->count = m->count[i] * rows;
}

static struct tn_cursor enter_loops(struct tn_cursor *c, struct tn_var *const *loop, int count) {
  struct tn_cursor at = *c;
  for (int i = 0; i < count; i++)
    at = tn_enter_loop(&at, loop[i], TN_LOOP_SERIAL);
  return at;
}

/* A copy of the list for one row, its scratch `slot` places further. */
static struct tn_stmt *row_list(struct move *m, const struct tn_stmt *list, struct tn_expr *row,
                                struct tn_expr *slot) {
  struct tn_stmt *body = copy_list(m->n->arena, list);
  tn_st_replace(m->n, body, 1, &m->row, &row);
  m->slot = slot;
  move_list(m, body);
  return body;
}

/* The list for `whole` tiles of rows from row `first` on, its scratch `slot` places further; NULL: each row of
 * a tile has one. */
static void build_tiles(const struct tn_target *t, const struct tn_stmt *list, struct move *m,
                        struct tn_expr *first, int64_t whole, int64_t tile, struct tn_expr *slot,
                        struct tn_cursor *c) {
  struct tn_nest *n = m->n;
  struct tn_var *block = tn_loop_var(n, "m", whole), *in_tile = tn_loop_var(n, "i", tile);
  struct tn_cursor at = tn_enter_loop(c, block, TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, in_tile, TN_LOOP_TILE);
  struct tn_expr *place = tile > 1 ? tn_ex_var(n, in_tile) : tn_ix(n, 0);
  struct tn_expr *position = whole > 1 ? tn_ix_scale(n, tn_ex_var(n, block), tile) : tn_ix(n, 0);
  position = tn_ix_add(n, position, place);
  struct tn_stmt *body = row_list(m, list, tn_ix_add(n, position, first), slot ? slot : place);
  tn_schedule_list(t, body, &at, (int)tile);
  tn_st_follow(c);
}

/* ---- rows in blocks ------------------------------------------------------------------------------------ */

#define MOST_BLOCK_ROWS 32
#define MOST_LONG_BLOCK_ROWS 96 /* of rows that come in blocks of columns, which no near cache keeps */
#define FAR_SCRATCH_CYCLES 0.1  /* of a byte of a row that the nearest cache has no room for */
#define FAR_COLUMNS_CYCLES 0.3  /* of a byte that a product reads for all rows from beyond the near caches */

/* A loop over columns around one product, with what ends it. */
static bool is_product(const struct tn_stmt *s) {
  bool looped = s->kind == TN_ST_LOOP;
  while (s && s->kind == TN_ST_LOOP)
    s = s->loop.body && s->loop.body->kind == TN_ST_LOOP && s->loop.body->next ? NULL : s->loop.body;
  return looped && s && s->kind == TN_ST_REDUCE;
}

static bool has_products(const struct tn_stmt *list);

/* A loop over blocks of a row: several statements, products among them, of which each iteration goes on where
 * the one before it ended. */
static bool goes_on(const struct tn_stmt *s) {
  return s->kind == TN_ST_LOOP && !is_product(s) && has_products(s->loop.body);
}

static bool has_products(const struct tn_stmt *list) {
  for (; list; list = list->next)
    if (is_product(list) || goes_on(list))
      return true;
  return false;
}

/* Statements that go through a block together: a product, a loop over blocks of the row, or all up to the next
 * one. */
static struct tn_stmt *part_end(struct tn_stmt *first) {
  struct tn_stmt *last = first;
  bool alone = is_product(first) || goes_on(first);
  while (!alone && last->next && !is_product(last->next) && !goes_on(last->next))
    last = last->next;
  return last;
}

/* Products of the list, with the loops around each. */
#define MOST_PRODUCTS 8

struct products {
  struct {
    struct tn_stmt *stmt;
    struct tn_var *loop[TN_MAX_REDUCE];
    int loops;
  } at[MOST_PRODUCTS];
  int count;
};

static void find_products(struct products *p, struct tn_stmt *list, struct tn_var *const *loop, int loops) {
  for (struct tn_stmt *s = list; s; s = s->next) {
    if (is_product(s) && p->count < MOST_PRODUCTS) {
      p->at[p->count].stmt = s;
      p->at[p->count].loops = loops;
      memcpy(p->at[p->count++].loop, loop, (size_t)loops * sizeof *loop);
    } else if (goes_on(s) && loops < TN_MAX_REDUCE) {
      struct tn_var *inner[TN_MAX_REDUCE];
      memcpy(inner, loop, (size_t)loops * sizeof *loop);
      inner[loops] = s->loop.var;
      find_products(p, s->loop.body, inner, loops + 1);
    }
  }
}

static bool list_uses(const struct tn_stmt *list, const struct tn_var *var) {
  for (const struct tn_stmt *s = list; s; s = s->next) {
    if (s->kind == TN_ST_LOOP && list_uses(s->loop.body, var))
      return true;
    const struct tn_expr *e[3] = {0};
    if (s->kind == TN_ST_REDUCE)
      e[0] = s->reduce.init, e[1] = s->reduce.term;
    if (s->kind == TN_ST_LET)
      e[0] = s->let.value;
    if (s->kind == TN_ST_STORE)
      e[0] = s->store.index, e[1] = s->store.value, e[2] = s->store.guard;
    for (int i = 0; i < 3; i++)
      if (e[i] && tn_ex_uses(e[i], var))
        return true;
  }
  return false;
}

/* Variables of one part are used in no other: parts can be taken apart. */
static bool parts_apart(struct tn_stmt *list) {
  for (struct tn_stmt *first = list; first;) {
    struct tn_stmt *last = part_end(first), *rest = last->next;
    if (goes_on(first) && !parts_apart(first->loop.body))
      return false;
    for (const struct tn_stmt *s = first; s != rest; s = s->next) {
      const struct tn_var *var = s->kind == TN_ST_LET      ? s->let.var
                                 : s->kind == TN_ST_REDUCE ? s->reduce.acc
                                                           : NULL;
      if (var && list_uses(rest, var))
        return false;
    }
    first = rest;
  }
  return true;
}

/* The product as a band in the loops around it, to ask for its cost and prepare its operands. */
static struct tn_band product_band(struct tn_nest *n, struct tn_stmt *product, struct tn_var *const *loop,
                                   int loops) {
  struct tn_band b = {.nest = n, .loops = loops, .ahead = true};
  memcpy(b.loop, loop, (size_t)loops * sizeof *loop);
  struct tn_stmt *s = product;
  for (; s->kind == TN_ST_LOOP; s = s->loop.body)
    if (s->loop.var->extent > 1 && b.loops < TN_MAX_REDUCE)
      b.loop[b.loops++] = s->loop.var;
  b.reduce = s;
  b.stores = s->next;
  return b;
}

/* Cycles of the products for all rows in blocks of `rows`. */
static double blocks_cycles(const struct tn_target *t, struct tn_nest *n, const struct products *p,
                            struct tn_var *row, int64_t rows) {
  int64_t all = row->extent;
  double cycles = 0;
  for (int i = 0; i < p->count; i++) {
    struct tn_band b = product_band(n, p->at[i].stmt, &row, 1);
    row->extent = rows; /* of the block that is asked about */
    cycles += (double)(all / rows) * tn_product_cycles(t, &b);
    row->extent = all % rows;
    cycles += all % rows ? tn_product_cycles(t, &b) : 0;
    row->extent = all;
  }
  return cycles;
}

/* Bytes that the product reads of its column operand for a row. */
static int64_t column_bytes(const struct tn_band *b) {
  int64_t bytes = 4;
  for (int i = 0; i < b->reduce->reduce.count; i++)
    bytes *= b->reduce->reduce.var[i]->extent;
  return bytes * b->loop[b->loops - 1]->extent;
}

/* Rows a block: the fewest cycles, among those whose scratch stays near the core. */
static int64_t choose_block(const struct tn_target *t, struct move *m, struct tn_stmt *list,
                            const struct products *p) {
  int64_t rows = m->row->extent, best = 1, bytes = 0, most = t->small || !t->vector_bytes ? 4 : MOST_BLOCK_ROWS;
  int64_t room = t->l2_bytes / 4, columns = 0;
  bool in_blocks = false;
  if (!m->stored->apart || !parts_apart(list))
    return 1;
  for (int i = 0; i < p->count; i++) {
    struct tn_band b = product_band(m->n, p->at[i].stmt, p->at[i].loop, p->at[i].loops);
    struct tn_var *inner = p->at[i].loop[p->at[i].loops - 1];
    if (inner != m->row) {
      in_blocks = true;
      most = t->small || !t->vector_bytes ? most : MOST_LONG_BLOCK_ROWS;
    }
    columns += column_bytes(&b) * (inner != m->row ? inner->extent : 1);
    if (!tn_product_shares(t, &b, m->row))
      return 1;
  }
  for (int i = 0; i < m->stored->count; i++) {
    const struct tn_buf *buf = m->stored->buf[i];
    int64_t each = buf->param < 0 ? m->count[i] * (int64_t)tn_dtype_size(buf->dtype) : 0;
    bytes += each;
    if (t->threads > 1 && each * most > TN_MOST_OWN_BYTES)
      most = TN_MOST_OWN_BYTES / each > 1 ? TN_MOST_OWN_BYTES / each : 1;
  }
  double least = 1e300;
  for (int64_t k = 1; k <= rows && k <= most; k++) {
    if (k > 4 && k * bytes > room)
      break;
    double cycles = blocks_cycles(t, m->n, p, m->row, k), far = (double)(k * bytes) - t->l1_bytes / 2;
    if (in_blocks) /* a block of the columns is read for so many rows */
      cycles += FAR_COLUMNS_CYCLES * (double)columns * (double)tn_ceil_div(rows, k);
    else if (t->l1_bytes && far > 0)
      cycles += FAR_SCRATCH_CYCLES * far / (double)k * (double)rows;
    if (cycles < least * 0.999) {
      least = cycles;
      best = k;
    }
  }
  return best;
}

/* The statements, in which a row's scratch has the row's number, part by part for `rows` rows from `first` on.
 */
static void build_parts(const struct tn_target *t, struct tn_stmt *list, struct move *m, struct tn_expr *first,
                        int64_t rows, struct tn_cursor *c) {
  struct tn_nest *n = m->n;
  struct tn_expr *slot = tn_ix_scale(n, first, -1); /* in scratch a block starts at 0 */
  for (struct tn_stmt *part = list; part;) {
    struct tn_stmt *last = part_end(part), *rest = last->next;
    last->next = NULL;
    if (goes_on(part)) {
      struct tn_cursor in = tn_enter_loop(c, part->loop.var, TN_LOOP_SERIAL);
      build_parts(t, part->loop.body, m, first, rows, &in);
      tn_st_follow(c);
    } else if (is_product(part)) {
      struct tn_var *in_block = tn_loop_var(n, "i", rows);
      struct tn_expr *i = rows > 1 ? tn_ex_var(n, in_block) : tn_ix(n, 0);
      struct tn_stmt *looped = NULL;
      struct tn_cursor aside = {n, &looped}, in = tn_enter_loop(&aside, in_block, TN_LOOP_SERIAL);
      *in.end = row_list(m, part, tn_ix_add(n, first, i), slot);
      tn_schedule_list(t, looped, c, 1);
    } else {
      int64_t tile = tile_of(t, rows);
      for (int64_t from = 0; from < rows; tile = rows - from) {
        int64_t tiles = (rows - from) / tile;
        build_tiles(t, part, m, tn_ix_offset(n, first, from), tiles, tile, slot, c);
        from += tiles * tile;
      }
    }
    last->next = rest;
    part = rest;
  }
}

/* The same for `whole` blocks of `rows` rows from `start` on, at c. */
static void build_blocks(const struct tn_target *t, struct tn_stmt *list, struct move *m, int64_t start,
                         int64_t whole, int64_t rows, struct tn_cursor *c) {
  struct tn_nest *n = m->n;
  struct tn_var *block = tn_loop_var(n, "b", whole);
  struct tn_cursor at = tn_enter_loop(c, block, TN_LOOP_SERIAL);
  struct tn_expr *first = whole > 1 ? tn_ix_scale(n, tn_ex_var(n, block), rows) : tn_ix(n, 0);
  build_parts(t, list, m, tn_ix_offset(n, first, start), rows, &at);
  tn_st_follow(c);
}

static void build_products(const struct tn_target *t, struct tn_stmt *list, struct move *m,
                           struct tn_var *const *loop, int loops, struct tn_cursor *c) {
  struct tn_expr *row = tn_ex_var(m->n, m->row);
  struct tn_stmt **built = c->end;
  struct products p = {.count = 0};
  count_scratch(t, m);
  list = row_list(m, list, row, row);
  find_products(&p, list, loop, loops);
  for (int i = 0; i < p.count; i++) {
    struct tn_band b = product_band(m->n, p.at[i].stmt, p.at[i].loop, p.at[i].loops);
    tn_half_band(t, &b, c);
  }
  int64_t rows = choose_block(t, m, list, &p), all = m->row->extent;
  /* Copies are made around as many loops as they serve.  Threads share all loops, so they find them made. */
  int around = 0;
  for (int i = 0; i < p.count && t->threads <= 1; i++) {
    struct tn_band b = product_band(m->n, p.at[i].stmt, p.at[i].loop, p.at[i].loops);
    int needs = tn_product_around(t, &b, m->row, loops - 1);
    around = needs > around ? needs : around;
  }
  struct tn_cursor outer = enter_loops(c, loop, around);
  for (int i = 0; i < p.count && rows > 1; i++) {
    struct tn_band b = product_band(m->n, p.at[i].stmt, p.at[i].loop, p.at[i].loops);
    tn_product_copies(t, &b, m->row, around, m->stored->count, m->stored->buf, &outer);
  }
  give_each_scratch(m, rows);
  for (int64_t start = 0; start < all; rows = all - start) {
    int64_t whole = (all - start) / rows;
    struct tn_cursor at = enter_loops(&outer, loop + around, loops - 1 - around);
    build_blocks(t, list, m, start, whole, rows, &at);
    tn_st_follow(&outer);
    start += whole * rows;
  }
  tn_use_row_room(m->n, *built, m->stored->count, m->room);
  tn_st_follow(c);
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
  if (has_products(s)) {
    build_products(t, s, &move, loop, loops, c);
    return true;
  }
  if (axis && stored.apart) {
    build_across(t, s, loop, loops, axis, c);
    return true;
  }
  int64_t tile = stored.apart ? tile_of(t, row->extent) : 1;
  struct tn_stmt **built = c->end;
  count_scratch(t, &move);
  give_each_scratch(&move, tile);
  for (int64_t start = 0; start < row->extent; tile = row->extent - start) {
    int64_t whole = (row->extent - start) / tile;
    struct tn_cursor at = enter_loops(c, loop, loops - 1);
    build_tiles(t, s, &move, tn_ix(n, start), whole, tile, NULL, &at);
    tn_st_follow(c);
    start += whole * tile;
  }
  tn_use_row_room(n, *built, stored.count, move.room);
  return true;
}
