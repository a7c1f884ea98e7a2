/* The loops of a contraction: groups of rows, panels of columns, chunks of the sum, tiles.
 *
 * The order is that of Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", 2008),
 * turned to packed columns: a panel's chunk stays in the nearer caches while the rows of a group, which stay in
 * the second-level one, pass over it.  What follows the chunk is fetched meanwhile. */
#include "codegen/schedule.h"

/* A part of the sum: `count` chunks of `steps` steps, from `start`. */
struct part {
  int64_t start, count, steps;
};

/* A panel of columns, or several, and a stretch of rows while their loops are built. */
struct piece {
  const struct tn_segment *seg;
  const struct tn_packed *packed;
  bool panels_first, panels_then; /* panels are outside of the other loops; outside of those over rows */
  int64_t width;                  /* columns of a panel */
  int64_t chunk_steps;            /* of the sum; all of them: it is not cut */
  /* The stretch, in cuts of the inner and the outer row loop; of the outer one there may be several groups
   * alike. */
  struct tn_cut cut[2][2];
  int cuts[2];
  int64_t groups, group_rows;
  /* loops and positions */
  struct tn_var *panel, *across, *lane, *group, *block[2], *row[2];
  struct tn_expr *in_width;             /* column in its panel */
  struct tn_expr *panel_start, *column; /* of the axis */
  struct tn_expr *in_group[2];          /* rows of the stretch */
  struct tn_buf *rows, *columns;        /* staged operands */
  struct tn_var *chunk, *in_chunk;
  struct tn_expr *chunk_start, *step; /* of all steps of the sum */
  /* what stands for the axis, the loops of the sum and the row loops in the band's expressions */
  int count;
  struct tn_var *var[3 + TN_MAX_REDUCE];
  struct tn_expr *value[3 + TN_MAX_REDUCE];
};

static struct tn_expr *times_plus(struct tn_nest *n, struct tn_var *outer, int64_t factor,
                                  struct tn_expr *inner) {
  return tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, outer), factor), inner);
}

static void stand_for(struct piece *p, struct tn_var *var, struct tn_expr *value) {
  p->var[p->count] = var;
  p->value[p->count++] = value;
}

static struct tn_expr *placed(struct tn_contraction *k, const struct piece *p, struct tn_expr *e) {
  return e ? tn_ex_replace(k->n, e, p->count, p->var, p->value) : NULL;
}

/* ---- rows --------------------------------------------------------------------------------------------------
 */

/* The outer one of the row loops. */
static int outer_of(const struct tn_contraction *k) {
  return k->row[1] ? 1 : 0;
}

static int64_t rows_of(const struct tn_cut *cut, int count) {
  int64_t rows = 0;
  for (int i = 0; i < count; i++)
    rows += cut[i].whole * cut[i].rows;
  return rows;
}

/* Rows of a group, of both loops and a pool's window. */
static int64_t group_rows(const struct tn_contraction *k, const struct piece *p) {
  return p->group_rows * (outer_of(k) ? tn_extent_of(k->row[0]) : 1) * k->window;
}

static int64_t tiles_of_group(const struct piece *p) {
  int64_t tiles[2] = {0, 0};
  for (int i = 0; i < 2; i++)
    for (int c = 0; c < p->cuts[i]; c++)
      tiles[i] += p->cut[i][c].whole;
  return tiles[0] * tiles[1] / p->groups;
}

/* The loops and positions of one cut of each row loop. */
static void open_cut(struct tn_contraction *k, struct piece *p, int inner, int outer) {
  struct tn_nest *n = k->n;
  for (int i = 0; i < 2; i++) {
    const struct tn_cut *cut = &p->cut[i][i ? outer : inner];
    int64_t base = p->cut[i][0].start, blocks = i == outer_of(k) ? cut->whole / p->groups : cut->whole;
    p->block[i] = tn_loop_var(n, "m", blocks);
    p->row[i] = tn_loop_var(n, "i", cut->rows);
    p->in_group[i] = times_plus(n, p->block[i], cut->rows, tn_ex_var(n, p->row[i]));
    p->in_group[i] = tn_ix_offset(n, p->in_group[i], cut->start - base);
    struct tn_expr *row = tn_ix_offset(n, p->in_group[i], base);
    if (i == outer_of(k))
      row = times_plus(n, p->group, p->group_rows, row);
    if (k->row[i])
      stand_for(p, k->row[i], row);
  }
}

/* ---- the sum -----------------------------------------------------------------------------------------------
 */

static void open_part(struct tn_contraction *k, struct piece *p, const struct part *part) {
  struct tn_nest *n = k->n;
  const struct tn_stmt *r = k->band->reduce;
  p->chunk = tn_loop_var(n, "c", part->count);
  p->chunk_start = times_plus(n, p->chunk, part->steps, tn_ix(n, part->start));
  p->count = 1; /* the axis stays */
  if (part->count == 1 && part->steps == k->steps) {
    p->in_chunk = NULL; /* its own loops */
    p->step = tn_ix(n, 0);
    for (int i = 0; i < r->reduce.count; i++) {
      p->step = tn_ix_scale(n, p->step, r->reduce.var[i]->extent);
      p->step = tn_ix_add(n, p->step, tn_ex_var(n, r->reduce.var[i]));
    }
    return;
  }
  p->in_chunk = tn_loop_var(n, "s", part->steps);
  p->step = tn_ix_add(n, p->chunk_start, tn_ex_var(n, p->in_chunk));
  struct tn_expr *before = p->chunk_start;
  for (int i = r->reduce.count - 1; i >= 0; i--) {
    int64_t extent = r->reduce.var[i]->extent;
    struct tn_expr *at = i ? tn_ix_mod(n, before, extent) : before;
    before = tn_ix_div(n, before, extent);
    if (i == r->reduce.count - 1) /* a chunk stays in one turn of the innermost loop */
      at = tn_ix_add(n, at, tn_ex_var(n, p->in_chunk));
    stand_for(p, r->reduce.var[i], at);
  }
}

/* Bytes of the columns that stay in the nearer caches while the rows of a group pass over them.  A part of the
 * second-level one is enough: a core that adds up a tile takes some ten bytes a cycle from there, and a sum in
 * one go neither waits nor comes back.  A panel that is the only one leaves that cache to itself and its rows,
 * which come from afar and come best in long runs. */
static int64_t chunk_bytes(const struct tn_contraction *k, const struct tn_segment *seg) {
  bool only = seg->whole == 1 && seg->extent == k->axis->extent;
  int64_t near = (int64_t)k->t->l1_bytes * 3 / 4, far = k->t->l2_bytes / (only ? 2 : 8);
  return far > near ? far : near;
}

/* Steps of the sum whose columns stay; all of them when the sum fits, or cannot be cut. */
static int64_t chunk_steps(const struct tn_contraction *k, const struct tn_segment *seg, int64_t width) {
  const struct tn_stmt *r = k->band->reduce;
  int64_t most = chunk_bytes(k, seg) / (width * (int64_t)tn_dtype_size(k->columns->dtype));
  if (k->steps * 3 <= most * 4 || r->reduce.init || most < 16)
    return k->steps;
  int64_t inner = r->reduce.var[r->reduce.count - 1]->extent, parts = tn_ceil_div(inner, most);
  if (inner == k->steps)
    return tn_round_up(tn_ceil_div(inner, parts), 4);
  while (inner % parts)
    parts++;
  return inner / parts * 4 >= most ? inner / parts : k->steps;
}

/* ---- operands ----------------------------------------------------------------------------------------------
 */

static void copy_operand(const struct tn_target *t, struct tn_nest *n, struct tn_cursor *at, struct tn_buf *buf,
                         int64_t start, struct tn_expr *e, int count, struct tn_var *const *vars,
                         const int64_t *strides) {
  struct tn_band copy = {.nest = n, .loops = count};
  struct tn_expr *fresh[TN_MAX_REDUCE], *where = tn_ix(n, start);
  for (int i = 0; i < count; i++) {
    copy.loop[i] = tn_loop_var(n, vars[i]->name, vars[i]->extent);
    fresh[i] = tn_ex_var(n, copy.loop[i]);
    where = tn_ix_add(n, where, tn_ix_scale(n, fresh[i], strides[i]));
  }
  struct tn_stmt *store = NULL;
  struct tn_cursor aside = {n, &store};
  tn_st_store(&aside, buf, where, tn_ex_replace(n, e, count, vars, fresh), NULL);
  copy.stores = store;
  tn_schedule_pointwise(t, &copy, at);
  tn_st_follow(at);
}

void tn_copy_operand(const struct tn_target *t, struct tn_nest *n, struct tn_cursor *at, struct tn_buf *buf,
                     struct tn_expr *e, int count, struct tn_var *const *vars, const int64_t *strides) {
  copy_operand(t, n, at, buf, 0, e, count, vars, strides);
}

/* Rows start in different cache sets. */
static int64_t pitch_of(const struct tn_contraction *k) {
  return tn_round_up(k->steps, 16) + 16;
}

/* Copies the rows of a group. */
static struct tn_buf *stage_rows(struct tn_contraction *k, const struct piece *p, struct tn_cursor *at) {
  struct tn_nest *n = k->n;
  struct tn_var *step = k->band->reduce->reduce.var[0], *in = tn_loop_var(n, "i", p->group_rows);
  struct tn_buf *buf = tn_nest_local(n, "rows", k->rows->dtype, p->group_rows * pitch_of(k));
  struct tn_expr *row = tn_ix_offset(n, tn_ex_var(n, in), p->cut[0][0].start);
  row = times_plus(n, p->group, p->group_rows, row);
  struct tn_var *loops[] = {in, step};
  tn_copy_operand(k->t, n, at, buf, tn_ex_replace(n, k->rows, 1, &k->row[0], &row), 2, loops,
                  (int64_t[]){pitch_of(k), 1});
  return buf;
}

/* Copies a panel of columns, as a packed one is ordered: the loops of the sum, then the column. */
static struct tn_buf *stage_columns(struct tn_contraction *k, const struct piece *p, struct tn_cursor *at) {
  struct tn_nest *n = k->n;
  const struct tn_stmt *r = k->band->reduce;
  struct tn_buf *buf = tn_nest_local(n, "columns", k->columns->dtype, k->steps * p->width);
  struct tn_var *in = tn_loop_var(n, "j", p->seg->masked ? p->seg->extent : p->width),
                *loops[TN_MAX_REDUCE + 1];
  int64_t strides[TN_MAX_REDUCE + 1], stride = p->width;
  int count = r->reduce.count;
  for (int i = count - 1; i >= 0; i--) {
    loops[i] = r->reduce.var[i];
    strides[i] = stride;
    stride *= loops[i]->extent;
  }
  loops[count] = in;
  strides[count] = 1;
  struct tn_expr *column = tn_ix_add(n, p->panel_start, tn_ex_var(n, in));
  tn_copy_operand(k->t, n, at, buf, tn_ex_replace(n, k->columns, 1, &k->axis, &column), count + 1, loops,
                  strides);
  int64_t rest = p->width - in->extent;
  if (rest > 0 &&
      tn_dtype_is_float(buf->dtype)) { /* what lies there may be subnormal, and cost a hundred cycles a step */
    struct tn_var *all[2] = {tn_loop_var(n, "k", k->steps), tn_loop_var(n, "j", rest)};
    copy_operand(k->t, n, at, buf, in->extent, tn_ex_float(n, buf->dtype, 0), 2, all, (int64_t[]){p->width, 1});
  }
  return buf;
}

static struct tn_expr *rows_in_place(struct tn_contraction *k, const struct piece *p) {
  struct tn_nest *n = k->n;
  if (!p->rows)
    return placed(k, p, k->rows);
  return tn_ex_load(n, p->rows, tn_ix_add(n, tn_ix_scale(n, p->in_group[0], pitch_of(k)), p->step), NULL);
}

/* Where the current panel starts in the packed operand: what chooses among panels, then the panel. */
static struct tn_expr *packed_panel(struct tn_contraction *k, const struct piece *p) {
  int64_t stride = k->steps * p->width;
  struct tn_expr *at = tn_ix_scale(k->n, tn_ex_var(k->n, p->panel), stride);
  stride *= p->seg->whole;
  for (int i = p->packed->outer_count - 1; i >= 0; i--) {
    at = times_plus(k->n, p->packed->outer[i], stride, at);
    stride *= p->packed->outer[i]->extent;
  }
  return at;
}

static struct tn_expr *columns_in_place(struct tn_contraction *k, const struct piece *p,
                                        struct tn_expr *guard) {
  struct tn_nest *n = k->n;
  struct tn_expr *in_panel = tn_ix_add(n, tn_ix_scale(n, p->step, p->width), p->in_width), *e = k->columns;
  if (p->columns)
    return tn_ex_load(n, p->columns, in_panel, NULL);
  if (p->packed) {
    struct tn_expr *load = tn_ex_load(n, p->packed->buf, tn_ix_add(n, packed_panel(k, p), in_panel), NULL);
    e = tn_replace_load(n, e, p->packed->load, load);
  }
  return tn_guard_loads(n, placed(k, p, e), p->lane, guard, p->packed ? p->packed->buf : NULL);
}

/* Packed columns that do not stay in the second-level cache. */
static bool big_panels(const struct tn_contraction *k, const struct piece *p) {
  return p->packed &&
         p->packed->buf->count * (int64_t)tn_dtype_size(p->packed->buf->dtype) > k->t->l2_bytes / 4;
}

/* Processors that see a stream by themselves lose it where a page ends.  Beside the products of
 * fewer rows the hints cost more than they save. */
#define AHEAD_BYTES (2 * TN_PAGE_BYTES)
#define AHEAD_ROWS 4

/* One tile passes over the panel: it asks for what it will read itself a little later. */
static struct tn_prefetch *own_panel(struct tn_contraction *k, const struct piece *p, int64_t line) {
  struct tn_nest *n = k->n;
  if (k->tile_rows[0] * k->tile_rows[1] < AHEAD_ROWS)
    return NULL;
  struct tn_prefetch *hint = TN_NEW(n->arena, struct tn_prefetch);
  hint->buf = p->packed->buf;
  hint->lines = (int)tn_ceil_div(p->width, line);
  hint->every = p->width < line ? (int)(line / p->width) : 1;
  hint->index = tn_ix_add(n, packed_panel(k, p), tn_ix_scale(n, p->step, p->width));
  hint->index = tn_ix_offset(n, hint->index, AHEAD_BYTES / TN_CACHE_LINE * line);
  return hint;
}

/* While the rows of a group pass over a chunk, each tile asks for its share of what follows it; tile: its
 * number. */
static struct tn_prefetch *next_chunk(struct tn_contraction *k, const struct piece *p, const struct part *part,
                                      struct tn_expr *tile, int unroll) {
  struct tn_nest *n = k->n;
  struct tn_buf *buf = p->packed->buf;
  int64_t line = TN_CACHE_LINE / (int64_t)tn_dtype_size(buf->dtype), chunk = part->steps * p->width;
  if (tiles_of_group(p) == 1)
    return k->t->l2_bytes ? own_panel(k, p, line) : NULL;
  if (!k->t->l2_bytes || chunk == buf->count) /* without caches nothing comes earlier */
    return NULL;
  int64_t share = tn_ceil_div(tn_ceil_div(chunk, line), tiles_of_group(p));
  struct tn_prefetch *hint = TN_NEW(n->arena, struct tn_prefetch);
  hint->buf = buf;
  hint->lines = (int)tn_ceil_div(share, part->steps);
  hint->every = 1;
  while (hint->every * 2 <= unroll && share * hint->every * 2 <= part->steps)
    hint->every *= 2;
  struct tn_expr *step = tn_ix_sub(n, p->step, p->chunk_start);
  hint->index = tn_ix_add(n, packed_panel(k, p), tn_ix_scale(n, p->chunk_start, p->width));
  hint->index = tn_ix_add(n, hint->index, tn_ix_scale(n, tile, share * line));
  hint->index = tn_ix_add(n, hint->index, tn_ix_scale(n, step, hint->lines * line / hint->every));
  hint->index = tn_ix_offset(n, hint->index, chunk);
  return hint;
}

/* ---- building ----------------------------------------------------------------------------------------------
 */

/* What is known of the sums before a part, and where those after it go; NULL: nothing, the band's stores. */
struct waiting {
  struct tn_buf *from, *to;
};

/* Place of a tile's sums among those of its group that wait. */
static struct tn_expr *place_of(const struct tn_contraction *k, const struct piece *p) {
  struct tn_nest *n = k->n;
  int64_t inner_rows = outer_of(k) ? tn_extent_of(k->row[0]) : 1;
  struct tn_expr *place = tn_ix_add(n, tn_ix_scale(n, p->in_group[1], inner_rows), p->in_group[0]);
  for (int i = 0; i < k->band->windows; i++) {
    const struct tn_var *v = k->band->window[i];
    place = tn_ix_add(n, tn_ix_scale(n, place, v->extent), tn_ex_var(n, k->band->window[i]));
  }
  return tn_ix_add(n, tn_ix_scale(n, place, p->width), p->in_width);
}

/* All tiles of one cut, over one part of the sum; *tiles: how many came before. */
static void build_tiles(struct tn_contraction *k, struct piece *p, struct tn_cursor at, const struct part *part,
                        struct waiting w, int64_t *tiles) {
  struct tn_nest *n = k->n;
  const struct tn_stmt *r = k->band->reduce;
  at = tn_enter_loop(&at, p->block[1], TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, p->block[0], TN_LOOP_SERIAL);
  if (!p->panels_first && !p->panels_then)
    at = tn_enter_loop(&at, p->panel, TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, p->row[1], TN_LOOP_TILE);
  at = tn_enter_loop(&at, p->row[0], TN_LOOP_TILE);
  at = tn_enter_loop(&at, p->across, TN_LOOP_TILE);
  at = tn_enter_loop(&at, p->lane, TN_LOOP_VECTOR);

  struct tn_expr *guard = p->seg->masked ? tn_ex_binary(n, TN_LT, p->column, tn_ix(n, k->axis->extent)) : NULL;
  struct tn_expr *columns = columns_in_place(k, p, guard), *rows = rows_in_place(k, p);
  struct tn_expr *term =
      k->columns_first ? tn_ex_binary(n, k->op, columns, rows) : tn_ex_binary(n, k->op, rows, columns);
  struct tn_expr *place = place_of(k, p);
  const struct tn_stmt *let = w.to ? NULL : k->band->let;
  if (let)
    tn_st_let_again(&at, let->let.var, let->let.value);
  struct tn_cursor sums = at;
  for (int i = 0; i < k->band->windows; i++)
    sums = tn_enter_loop(&sums, k->band->window[i], k->window_in_tile ? TN_LOOP_TILE : TN_LOOP_SERIAL);
  struct tn_expr *so_far = w.from ? tn_ex_load(n, w.from, place, NULL) : r->reduce.init;
  struct tn_stmt *sum = tn_st_reduce(&sums, r->reduce.acc, TN_ADD, so_far, p->in_chunk ? 1 : r->reduce.count,
                                     p->in_chunk ? &p->in_chunk : r->reduce.var, term);
  int64_t jam = p->row[0]->extent * p->row[1]->extent * p->seg->vectors * (k->window_in_tile ? k->window : 1);
  sum->reduce.unroll = tn_unroll_steps(k->t, sum, jam);
  if (big_panels(k, p) && (p->panels_first || p->panels_then)) {
    struct tn_expr *tile = times_plus(n, p->block[1], p->block[0]->extent, tn_ex_var(n, p->block[0]));
    sum->reduce.prefetch = next_chunk(k, p, part, tn_ix_offset(n, tile, *tiles), sum->reduce.unroll);
    *tiles += p->block[0]->extent * p->block[1]->extent;
  }
  if (w.to)
    tn_st_store(&sums, w.to, place, tn_ex_var(n, r->reduce.acc), NULL);
  if (let)
    tn_st_set(&sums, tn_ex_var(n, let->let.var),
              tn_guard_loads(n, placed(k, p, k->band->set->let.value), p->lane, guard, NULL));
  for (const struct tn_stmt *s = w.to ? NULL : k->band->stores; s; s = s->next)
    tn_st_store(&at, s->store.buf, placed(k, p, s->store.index),
                tn_guard_loads(n, placed(k, p, s->store.value), p->lane, guard, NULL),
                tn_ex_and(n, placed(k, p, s->store.guard), guard));
}

static void build_part(struct tn_contraction *k, struct piece *p, struct tn_cursor *c, const struct part *part,
                       struct waiting w) {
  open_part(k, p, part);
  struct tn_cursor at = tn_enter_loop(c, p->chunk, TN_LOOP_SERIAL);
  int count = p->count;
  int64_t tiles = 0;
  for (int outer = 0; outer < p->cuts[1]; outer++)
    for (int inner = 0; inner < p->cuts[0]; inner++) {
      p->count = count;
      open_cut(k, p, inner, outer);
      build_tiles(k, p, at, part, w, &tiles);
      tn_st_follow(&at);
    }
  tn_st_follow(c);
}

/* The sum, whole or in parts: the sums so far wait in a buffer, zero at first. */
static void build_sum(struct tn_contraction *k, struct piece *p, struct tn_cursor *at) {
  struct tn_nest *n = k->n;
  int64_t steps = p->chunk_steps, before = steps < k->steps ? (k->steps - 1) / steps : 0;
  if (before == 0) {
    build_part(k, p, at, &(struct part){0, 1, k->steps}, (struct waiting){NULL, NULL});
    return;
  }
  enum tn_dtype dtype = k->band->reduce->reduce.acc->dtype;
  struct tn_buf *sums = tn_nest_local(n, "sums", dtype, group_rows(k, p) * p->width);
  bool several = before > 1;
  if (several) {
    struct tn_var *all = tn_loop_var(n, "i", sums->count);
    tn_copy_operand(k->t, n, at, sums, tn_ex_identity(n, TN_ADD, dtype), 1, &all, (int64_t[]){1});
  }
  build_part(k, p, at, &(struct part){0, before, steps}, (struct waiting){several ? sums : NULL, sums});
  build_part(k, p, at, &(struct part){before * steps, 1, k->steps - before * steps},
             (struct waiting){sums, NULL});
}

static void build_piece(struct tn_contraction *k, struct tn_cursor *c, struct piece *p) {
  struct tn_nest *n = k->n;
  struct tn_band *b = k->band;
  const struct tn_segment *seg = p->seg;
  p->group_rows = rows_of(p->cut[outer_of(k)], p->cuts[outer_of(k)]) / p->groups;
  p->panel = tn_loop_var(n, "p", seg->whole);
  p->across = tn_loop_var(n, "j", seg->vectors);
  p->lane = tn_loop_var(n, "l", seg->lanes);
  p->group = tn_loop_var(n, "g", p->groups);
  p->in_width = times_plus(n, p->across, seg->lanes, tn_ex_var(n, p->lane));
  p->panel_start = times_plus(n, p->panel, p->width, tn_ix(n, seg->start));
  p->column = tn_ix_add(n, p->panel_start, p->in_width);
  p->count = 0;
  stand_for(p, k->axis, p->column);

  struct tn_cursor at = *c;
  for (int pass = 0; pass < 2; pass++) { /* first the loops that choose among panels, where those are first */
    for (int i = 0; i < b->loops; i++) {
      struct tn_var *v = b->loop[i];
      bool first = p->panels_first && tn_var_among(v, p->packed->outer, p->packed->outer_count);
      if (v != k->axis && v != k->row[0] && v != k->row[1] && first == (pass == 0))
        at = tn_enter_loop(&at, v, TN_LOOP_SERIAL);
    }
    if (pass == 0 && p->panels_first)
      at = tn_enter_loop(&at, p->panel, TN_LOOP_SERIAL);
  }
  at = tn_enter_loop(&at, p->group, TN_LOOP_SERIAL);
  p->rows = k->stage_rows ? stage_rows(k, p, &at) : NULL;
  if (p->panels_then)
    at = tn_enter_loop(&at, p->panel, TN_LOOP_SERIAL);
  p->columns = k->stage_columns && !p->packed ? stage_columns(k, p, &at) : NULL;
  build_sum(k, p, &at);
  tn_st_follow(c);
}

/* Columns in place: a panel that stays in the nearest cache while all rows pass, where all columns would not,
 * saves reading them again for every tile of rows; the rows are read for every panel then. */
static bool panel_stays(const struct tn_contraction *k, const struct piece *p) {
  double near = 0.75 * k->t->l1_bytes, step = (double)(k->steps * (int64_t)tn_dtype_size(k->columns->dtype));
  double panels = (double)p->seg->whole, panel = step * (double)p->width;
  double rows = step * (double)(tn_extent_of(k->row[0]) * tn_extent_of(k->row[1]) * k->window);
  return !p->packed && panel <= near && panel * panels > near &&
         panel * panels + rows * panels < panel * panels * (double)tiles_of_group(p) + rows;
}

#define SUMS_BYTES (32 * 1024) /* that wait, at most */

/* Elements of the row operand that one iteration of the outer row loop reads: its share of the buffer, where
 * the windows of rows overlap. */
static int64_t row_elements(const struct tn_contraction *k) {
  int o = outer_of(k);
  if (k->rows->kind != TN_EX_LOAD || k->stage_rows)
    return pitch_of(k);
  int64_t share = tn_ceil_div(k->rows->load.buf->count, tn_extent_of(k->row[o]));
  int64_t apart = k->steps * (o ? tn_extent_of(k->row[0]) : 1) * k->window;
  return share < apart ? share : apart;
}

/* Blocks of the outer row loop that make a group: their rows stay in the second-level cache beside a panel. */
static int64_t blocks_of_group(const struct tn_contraction *k, const struct piece *p) {
  int o = outer_of(k);
  int64_t rows = p->cut[o][0].rows, bytes = rows * row_elements(k) * (int64_t)tn_dtype_size(k->rows->dtype);
  int64_t most = k->t->l2_bytes * 3 / 4 / bytes;
  if (p->chunk_steps < k->steps) {
    int64_t sums = rows * (o ? tn_extent_of(k->row[0]) : 1) * k->window * p->width;
    int64_t fit = SUMS_BYTES / (sums * (int64_t)tn_dtype_size(k->band->reduce->reduce.acc->dtype));
    most = fit < most ? fit : most;
  }
  return most < 1 ? 1 : most;
}

void tn_build_panels(struct tn_contraction *k, struct tn_cursor *c, const struct tn_segment *seg,
                     const struct tn_packed *packed) {
  struct piece p = {.seg = seg, .packed = packed, .groups = 1, .chunk_steps = k->steps};
  p.width = (int64_t)seg->lanes * seg->vectors;
  for (int i = 0; i < 2; i++)
    p.cuts[i] = tn_cut_rows(tn_extent_of(k->row[i]), k->tile_rows[i], p.cut[i]);
  int o = outer_of(k);
  int64_t column_bytes = k->steps * p.width * seg->whole * (int64_t)tn_dtype_size(k->columns->dtype);
  bool streams = (packed || k->stage_columns) && tiles_of_group(&p) > 1 && k->t->l1_bytes &&
                 column_bytes * 4 > k->t->l1_bytes * 3;
  if (streams)
    p.chunk_steps = chunk_steps(k, seg, p.width);
  struct tn_cut all = p.cut[o][0];
  int64_t each = all.whole, groups = 0; /* alike; the last one takes what is left */
  if (streams || k->stage_rows) {
    int64_t shares = k->t->threads > 1 ? tn_ceil_div(TN_RANGES_A_THREAD * k->t->threads, seg->whole) : 1;
    int64_t fit = tn_ceil_div(all.whole, blocks_of_group(k, &p)),
            wanted = shares < all.whole ? shares : all.whole;
    each = tn_ceil_div(all.whole, fit > wanted ? fit : wanted);
    groups = shares > 1 ? all.whole / each : (all.whole - 1) / each; /* threads share those that are alike */
  }
  p.panels_first = groups == 0 && !k->stage_rows && big_panels(k, &p);
  p.panels_then =
      !p.panels_first && (streams || k->stage_rows || (k->stage_columns && !packed) || panel_stays(k, &p));
  int cuts = p.cuts[o];
  if (groups) {
    p.groups = groups;
    p.cuts[o] = 1;
    p.cut[o][0] = (struct tn_cut){all.start, groups * each, all.rows};
    build_piece(k, c, &p);
  }
  p.groups = 1;
  p.cuts[o] = cuts;
  p.cut[o][0] = (struct tn_cut){all.start + groups * each * all.rows, all.whole - groups * each, all.rows};
  if (p.cut[o][0].whole == 0) { /* only the narrower blocks are left */
    p.cut[o][0] = p.cut[o][1];
    p.cuts[o]--;
  }
  if (p.cuts[o])
    build_piece(k, c, &p);
}
