/* Contractions: sums of products in which the rows of one loop share what the vector axis loads.
 *
 * The inner kernel is a register tile of rows x vectors accumulators: a step of the sum takes one vector of the
 * column operand for each vector and one broadcast of the row operand for each row (Goto and van de Geijn,
 * "Anatomy of high-performance matrix multiplication", 2008).  The tile is the one with the fewest cycles by a
 * model of the core. Rows may come from two loops, so that small images fill a tile with the pixels of several
 * lines.
 *
 * The column operand is packed, at compile time when it is constant; else it is staged: copied panel by panel
 * into scratch, when its own order would read badly.  The row operand is staged when it is an expression that
 * each panel would compute again. */
#include "codegen/schedule.h"

#define MAX_TILE_ROWS 16
#define MAX_TILE_VECTORS 8
#define FAR_CYCLES_A_BYTE 0.005 /* what reading the columns from the second-level cache adds */
#define PAGE_BYTES 4096
#define SCALAR_INTEGERS 10 /* registers for integers on processors without vectors, addresses left out */

/* A stretch of a row loop: `whole` blocks of `rows` iterations from `start`. */
struct cut {
  int64_t start, whole, rows;
};

struct contraction {
  const struct tn_target *t;
  struct tn_nest *n;
  struct tn_band *band;
  struct tn_var *axis;   /* columns */
  struct tn_var *row[2]; /* inner and outer row loop, or NULL */
  int lanes;
  enum tn_op op;                  /* of the term: TN_MUL, TN_DOT_S, TN_DOT_U */
  struct tn_expr *columns, *rows; /* its operands that change with the columns, with the rows */
  bool columns_first;
  int64_t steps; /* of the sum */
  /* the choice */
  int tile_rows[2], tile_vectors;
  bool stage_rows, stage_columns;
  double cycles; /* of all results */
};

static int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* ---- what there is to share --------------------------------------------------------------------------------
 */

/* Whether v can be a row loop: the column operand stays the same over it, the other one does not. */
static bool shares(const struct contraction *k, const struct tn_var *v) {
  return v != k->axis && !tn_ex_uses(k->columns, v) && tn_ex_uses(k->rows, v);
}

static bool split_term(struct contraction *k) {
  const struct tn_stmt *r = k->band->reduce;
  struct tn_expr *term = r->reduce.term;
  if (r->reduce.combine != TN_ADD || term->kind != TN_EX_OP ||
      (term->op.op != TN_MUL && term->op.op != TN_DOT_S && term->op.op != TN_DOT_U))
    return false;
  struct tn_expr *a = term->op.arg[0], *b = term->op.arg[1];
  if (tn_ex_uses(a, k->axis) == tn_ex_uses(b, k->axis))
    return false;
  k->op = term->op.op;
  k->columns_first = tn_ex_uses(a, k->axis);
  k->columns = k->columns_first ? a : b;
  k->rows = k->columns_first ? b : a;
  k->steps = 1;
  for (int i = 0; i < r->reduce.count; i++)
    k->steps *= r->reduce.var[i]->extent;
  return true;
}

static void choose_row_loops(struct contraction *k) {
  const struct tn_band *b = k->band;
  for (int i = b->loops - 1; i >= 0; i--) {
    struct tn_var *v = b->loop[i];
    if (v->extent > 1 && shares(k, v) && (!k->row[0] || v->extent > 4 * k->row[0]->extent))
      k->row[0] = v;
  }
  for (int i = b->loops - 1; i >= 0 && k->row[0]; i--) {
    struct tn_var *v = b->loop[i];
    if (v != k->row[0] && v->extent > 1 && shares(k, v) && !k->row[1])
      k->row[1] = v;
  }
}

static int64_t extent_of(const struct tn_var *v) {
  return v ? v->extent : 1;
}

/* ---- the tile ----------------------------------------------------------------------------------------------
 */

static int cut_rows(int64_t extent, int64_t rows, struct cut *out) {
  int count = 0;
  out[count++] = (struct cut){0, extent / rows, rows};
  if (extent % rows)
    out[count++] = (struct cut){extent / rows * rows, 1, extent % rows};
  return count;
}

/* Cycles of one step of the sum for a tile: the multiply-adds (two a cycle, four cycles until a sum can go on)
 * or the loads (two a cycle), and a little for each load; or, where one instruction is issued after the other,
 * all of them. */
static double step_cycles(const struct contraction *k, int64_t rows, int64_t vectors) {
  const struct tn_target *t = k->t;
  double products = (double)(rows * vectors), loads = (double)(rows + vectors);
  if (!t->vector_bytes || t->vector_regs <= 8)
    return products + loads;
  double step_bytes = (double)(vectors * t->vector_bytes), cycles = 4;
  cycles = products / 2 > cycles ? products / 2 : cycles;
  cycles = loads / 2 > cycles ? loads / 2 : cycles;
  if (step_bytes * (double)k->steps > 0.75 * t->l1_bytes)
    cycles += step_bytes * FAR_CYCLES_A_BYTE;
  return cycles + 0.4 + 0.05 * loads;
}

static double tile_cycles(const struct contraction *k, const int64_t rows[2], int vectors) {
  struct cut outer[2], inner[2];
  int outers = cut_rows(extent_of(k->row[1]), rows[1], outer);
  int inners = cut_rows(extent_of(k->row[0]), rows[0], inner);
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int seg_count = tn_segments(k->t, k->axis->extent, k->lanes, vectors, segs);
  double total = 0;
  for (int o = 0; o < outers; o++)
    for (int i = 0; i < inners; i++)
      for (int s = 0; s < seg_count; s++) {
        int64_t tile = outer[o].rows * inner[i].rows;
        double times = (double)(outer[o].whole * inner[i].whole * segs[s].whole);
        double step = step_cycles(k, tile, segs[s].vectors);
        total += times * (step * (double)k->steps + 8 + 1.5 * (double)(tile * segs[s].vectors));
      }
  return total * (1 + (k->t->small ? 0.05 : 0.01) * outers * inners * seg_count);
}

static void choose_tile(struct contraction *k) {
  double best = 1e300;
  int64_t inner = extent_of(k->row[0]), outer = extent_of(k->row[1]);
  int regs = k->t->vector_regs;
  if (!k->t->vector_bytes && !tn_dtype_is_float(k->band->reduce->reduce.acc->dtype) && regs > SCALAR_INTEGERS)
    regs = SCALAR_INTEGERS; /* the count is of float registers there */
  for (int vectors = 1; vectors <= MAX_TILE_VECTORS && vectors <= ceil_div(k->axis->extent, k->lanes);
       vectors++)
    for (int64_t r0 = 1; r0 <= inner && r0 <= MAX_TILE_ROWS; r0++)
      for (int64_t r1 = 1; r1 <= outer && r0 * r1 <= MAX_TILE_ROWS; r1++) {
        int64_t rows[2] = {r0, r1}, need = r0 * r1 * vectors + vectors + 1;
        if ((r1 > 1 && r0 < inner) || (need > regs && r0 * r1 * vectors > 1))
          continue;
        double cycles = tile_cycles(k, rows, vectors);
        if (need > regs - 4) /* LLVM likes to load the next step early */
          cycles *= 1.03;
        if (cycles < best * 0.999) {
          best = k->cycles = cycles;
          k->tile_rows[0] = (int)r0;
          k->tile_rows[1] = (int)r1;
          k->tile_vectors = vectors;
        }
      }
}

/* ---- staging -----------------------------------------------------------------------------------------------
 */

static bool plain_load(const struct tn_expr *e) {
  return e->kind == TN_EX_LOAD && !e->load.guard;
}

/* One row loop, one loop of the sum. */
static bool one_sum(const struct contraction *k) {
  return k->row[0] && !k->row[1] && k->band->reduce->reduce.count == 1;
}

static void choose_staging(struct contraction *k) {
  const struct tn_stmt *r = k->band->reduce;
  int64_t columns = k->axis->extent, rows = extent_of(k->row[0]) * extent_of(k->row[1]);
  int64_t panels = ceil_div(columns, (int64_t)k->lanes * k->tile_vectors);
  int64_t blocks = ceil_div(rows, (int64_t)k->tile_rows[0] * k->tile_rows[1]);
  if (k->t->small || k->t->vector_bytes < 16 || k->t->vector_regs < 16)
    return; /* scratch is dearer than time */
  k->stage_rows = one_sum(k) && k->steps >= 16 && panels >= 2 && k->rows->loads && !plain_load(k->rows);
  if (!k->columns->loads || blocks < 2)
    return;
  if (!plain_load(k->columns)) {
    k->stage_columns = true;
    return;
  }
  int64_t across, along = 0;
  bool known = tn_ex_stride(k->columns->load.index, k->axis, &across);
  for (int i = 0; i < r->reduce.count && known; i++)
    known = tn_ex_stride(k->columns->load.index, r->reduce.var[i], &along);
  along *= (int64_t)tn_dtype_size(k->columns->dtype); /* of the innermost loop */
  k->stage_columns = !known || across != 1 || (blocks >= 3 && along >= PAGE_BYTES);
}

/* buf[sum of stride * loop] = e for all loops (fresh ones stand for `vars` in e), as fast as a copy. */
static void stage(struct contraction *k, struct tn_cursor *at, struct tn_buf *buf, struct tn_expr *e, int count,
                  struct tn_var *const *vars, const int64_t *strides) {
  struct tn_nest *n = k->n;
  struct tn_band copy = {.nest = n, .loops = count};
  struct tn_expr *fresh[TN_MAX_REDUCE], *where = tn_ix(n, 0);
  for (int i = 0; i < count; i++) {
    copy.loop[i] = tn_loop_var(n, vars[i]->name, vars[i]->extent);
    fresh[i] = tn_ex_var(n, copy.loop[i]);
    where = tn_ix_add(n, where, tn_ix_scale(n, fresh[i], strides[i]));
  }
  struct tn_stmt *store = NULL;
  struct tn_cursor aside = {n, &store};
  tn_st_store(&aside, buf, where, tn_ex_replace(n, e, count, vars, fresh), NULL);
  copy.stores = store;
  tn_schedule_pointwise(k->t, &copy, at);
  while (*at->end)
    at->end = &(*at->end)->next;
}

/* ---- the loops ---------------------------------------------------------------------------------------------
 */

/* One stretch of columns and of rows while its loops are built. */
struct piece {
  const struct tn_segment *seg;
  struct cut cut[2];
  const struct tn_packed *packed;
  int64_t group; /* blocks of rows that all panels are done for before the next ones; 0: all of them */
  int64_t width; /* columns of a panel */
  struct tn_var *panel, *across, *lane, *group_loop, *block[2], *row[2];
  struct tn_expr *in_width;               /* column in its panel */
  struct tn_expr *panel_start, *column;   /* of the axis */
  struct tn_expr *in_group, *group_start; /* row in its group, the group's first row */
  /* what stands for the axis and the row loops in the band's expressions */
  int count;
  struct tn_var *var[3];
  struct tn_expr *value[3];
};

static struct tn_expr *times_plus(struct tn_nest *n, struct tn_var *outer, int64_t factor,
                                  struct tn_expr *inner) {
  return tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, outer), factor), inner);
}

static void stand_for(struct piece *p, struct tn_var *var, struct tn_expr *value) {
  p->var[p->count] = var;
  p->value[p->count++] = value;
}

static struct tn_expr *placed(struct contraction *k, const struct piece *p, struct tn_expr *e) {
  return e ? tn_ex_replace(k->n, e, p->count, p->var, p->value) : NULL;
}

static void open_piece(struct contraction *k, struct piece *p) {
  struct tn_nest *n = k->n;
  const struct tn_segment *seg = p->seg;
  int64_t blocks = p->group ? p->group : p->cut[0].whole;
  p->width = (int64_t)seg->lanes * seg->vectors;
  p->panel = tn_loop_var(n, "p", seg->whole);
  p->across = tn_loop_var(n, "j", seg->vectors);
  p->lane = tn_loop_var(n, "l", seg->lanes);
  p->group_loop = tn_loop_var(n, "g", p->cut[0].whole / blocks);
  p->block[0] = tn_loop_var(n, "m", blocks);
  p->block[1] = tn_loop_var(n, "m", p->cut[1].whole);
  for (int i = 0; i < 2; i++)
    p->row[i] = tn_loop_var(n, "i", p->cut[i].rows);

  p->count = 0;
  p->in_width = times_plus(n, p->across, seg->lanes, tn_ex_var(n, p->lane));
  p->panel_start = times_plus(n, p->panel, p->width, tn_ix(n, seg->start));
  p->column = tn_ix_add(n, p->panel_start, p->in_width);
  stand_for(p, k->axis, p->column);
  p->in_group = times_plus(n, p->block[0], p->cut[0].rows, tn_ex_var(n, p->row[0]));
  p->group_start = times_plus(n, p->group_loop, blocks * p->cut[0].rows, tn_ix(n, p->cut[0].start));
  if (k->row[0])
    stand_for(p, k->row[0], tn_ix_add(n, p->group_start, p->in_group));
  struct tn_expr *outer = times_plus(n, p->block[1], p->cut[1].rows, tn_ex_var(n, p->row[1]));
  if (k->row[1])
    stand_for(p, k->row[1], tn_ix_offset(n, outer, p->cut[1].start));
}

/* Copies the rows of a group; what the tile then reads instead.  Rows start in different cache sets. */
static struct tn_expr *stage_rows(struct contraction *k, const struct piece *p, struct tn_cursor *at) {
  struct tn_nest *n = k->n;
  struct tn_var *step = k->band->reduce->reduce.var[0];
  int64_t pitch = tn_round_up(k->steps, 16) + 16, rows = p->block[0]->extent * p->cut[0].rows;
  struct tn_buf *buf = tn_nest_local(n, "rows", k->rows->dtype, rows * pitch);
  struct tn_var *in = tn_loop_var(n, "i", rows), *loops[2] = {in, step};
  struct tn_expr *row = tn_ix_add(n, p->group_start, tn_ex_var(n, in));
  stage(k, at, buf, tn_ex_replace(n, k->rows, 1, &k->row[0], &row), 2, loops, (int64_t[]){pitch, 1});
  return tn_ex_load(n, buf, tn_ix_add(n, tn_ix_scale(n, p->in_group, pitch), tn_ex_var(n, step)), NULL);
}

/* The place in a packed or staged panel of the current step and lane: the loops of the sum, then the column. */
static struct tn_expr *in_panel(struct contraction *k, const struct piece *p) {
  const struct tn_stmt *r = k->band->reduce;
  struct tn_expr *at = p->in_width;
  int64_t stride = p->width;
  for (int i = r->reduce.count - 1; i >= 0; i--) {
    at = times_plus(k->n, r->reduce.var[i], stride, at);
    stride *= r->reduce.var[i]->extent;
  }
  return at;
}

static struct tn_expr *stage_columns(struct contraction *k, const struct piece *p, struct tn_cursor *at) {
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
  stage(k, at, buf, tn_ex_replace(n, k->columns, 1, &k->axis, &column), count + 1, loops, strides);
  return tn_ex_load(n, buf, in_panel(k, p), NULL);
}

/* The column operand in place, its constant read from where it was packed. */
static struct tn_expr *columns_in_place(struct contraction *k, const struct piece *p, struct tn_expr *guard) {
  struct tn_nest *n = k->n;
  struct tn_expr *e = k->columns;
  if (p->packed) {
    int64_t stride = k->steps * p->width;
    struct tn_expr *at = times_plus(n, p->panel, stride, in_panel(k, p));
    stride *= p->seg->whole;
    for (int i = p->packed->outer_count - 1; i >= 0; i--) {
      at = times_plus(n, p->packed->outer[i], stride, at);
      stride *= p->packed->outer[i]->extent;
    }
    e = tn_replace_load(n, e, p->packed->load, tn_ex_load(n, p->packed->buf, at, NULL));
  }
  return tn_guard_loads(n, placed(k, p, e), p->lane, guard, p->packed ? p->packed->buf : NULL);
}

/* Packed columns that do not stay in the second-level cache. */
static bool big_panels(const struct contraction *k, const struct piece *p) {
  return p->packed &&
         p->packed->buf->count * (int64_t)tn_dtype_size(p->packed->buf->dtype) > k->t->l2_bytes / 4;
}

static void build_piece(struct contraction *k, struct tn_cursor *c, struct piece *p) {
  struct tn_nest *n = k->n;
  struct tn_band *b = k->band;
  const struct tn_stmt *r = b->reduce;
  open_piece(k, p);

  /* Big packed operands are read once: the loops that choose among them, and the panels, are outermost. */
  bool panels_first = big_panels(k, p) && !p->group;
  bool columns_staged = k->stage_columns && !p->packed;
  struct tn_cursor at = *c;
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < b->loops; i++) {
      struct tn_var *v = b->loop[i];
      bool first = panels_first && tn_var_among(v, p->packed->outer, p->packed->outer_count);
      if (v != k->axis && v != k->row[0] && v != k->row[1] && first == (pass == 0))
        at = tn_enter_loop(&at, v, TN_LOOP_SERIAL);
    }
    if (pass == 0 && panels_first)
      at = tn_enter_loop(&at, p->panel, TN_LOOP_SERIAL);
  }
  at = tn_enter_loop(&at, p->group_loop, TN_LOOP_SERIAL);
  struct tn_expr *rows = k->stage_rows ? stage_rows(k, p, &at) : placed(k, p, k->rows);
  bool panels_then = !panels_first && (columns_staged || p->group);
  if (panels_then)
    at = tn_enter_loop(&at, p->panel, TN_LOOP_SERIAL);
  struct tn_expr *columns = columns_staged ? stage_columns(k, p, &at) : NULL;
  at = tn_enter_loop(&at, p->block[1], TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, p->block[0], TN_LOOP_SERIAL);
  if (!panels_first && !panels_then)
    at = tn_enter_loop(&at, p->panel, TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, p->row[1], TN_LOOP_TILE);
  at = tn_enter_loop(&at, p->row[0], TN_LOOP_TILE);
  at = tn_enter_loop(&at, p->across, TN_LOOP_TILE);
  at = tn_enter_loop(&at, p->lane, TN_LOOP_VECTOR);

  struct tn_expr *guard = p->seg->masked ? tn_ex_binary(n, TN_LT, p->column, tn_ix(n, k->axis->extent)) : NULL;
  if (!columns)
    columns = columns_in_place(k, p, guard);
  struct tn_expr *term =
      k->columns_first ? tn_ex_binary(n, k->op, columns, rows) : tn_ex_binary(n, k->op, rows, columns);
  struct tn_stmt *sum =
      tn_st_reduce(&at, r->reduce.acc, TN_ADD, r->reduce.init, r->reduce.count, r->reduce.var, term);
  sum->reduce.unroll = tn_unroll_steps(sum, p->cut[0].rows * p->cut[1].rows * p->seg->vectors);
  for (const struct tn_stmt *s = b->stores; s; s = s->next)
    tn_st_store(&at, s->store.buf, placed(k, p, s->store.index),
                tn_guard_loads(n, placed(k, p, s->store.value), p->lane, guard, NULL),
                tn_ex_and(n, placed(k, p, s->store.guard), guard));
  while (*c->end)
    c->end = &(*c->end)->next;
}

/* The first constant of the column operand that can be packed for the segment. */
static bool pack(struct contraction *k, struct tn_expr *e, const struct tn_segment *seg,
                 struct tn_packed *out) {
  if (e->kind == TN_EX_LOAD)
    return e->load.buf->data && tn_ex_uses(e, k->axis) && tn_pack(k->band, e, k->axis, seg, out);
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc; i++)
    if (pack(k, e->op.arg[i], seg, out))
      return true;
  return false;
}

/* All blocks of the inner row loop, in groups whose rows stay in the second-level cache while the panels pass.
 */
static void build_grouped(struct contraction *k, struct tn_cursor *c, struct piece *p) {
  struct cut all = p->cut[0];
  int64_t bytes = all.rows * (k->steps + 16) * (int64_t)tn_dtype_size(k->rows->dtype);
  int64_t room = k->t->l2_bytes * 3 / 4; /* beside a panel */
  bool grouped = k->stage_rows || (big_panels(k, p) && one_sum(k) && bytes * all.whole > room);
  if (!grouped) {
    build_piece(k, c, p);
    return;
  }
  int64_t most = room / bytes < 1 ? 1 : room / bytes;
  int64_t each = ceil_div(all.whole, ceil_div(all.whole, most));
  p->cut[0].whole = all.whole / each * each;
  p->group = each;
  build_piece(k, c, p);
  int64_t rest = all.whole % each;
  if (rest) {
    p->cut[0] = (struct cut){all.start + (all.whole - rest) * all.rows, rest, all.rows};
    p->group = rest;
    build_piece(k, c, p);
  }
}

static bool open_contraction(struct contraction *k, const struct tn_target *t, struct tn_band *b,
                             struct tn_var *axis, int lanes) {
  *k = (struct contraction){.t = t, .n = b->nest, .band = b, .axis = axis, .lanes = lanes};
  if (!axis || !split_term(k))
    return false;
  choose_row_loops(k);
  choose_tile(k);
  choose_staging(k);
  return true;
}

bool tn_contraction_stages(const struct tn_target *t, struct tn_band *b, struct tn_var *axis, int lanes) {
  struct contraction k;
  return open_contraction(&k, t, b, axis, lanes) && k.stage_columns;
}

double tn_contraction_cycles(const struct tn_target *t, struct tn_band *b, struct tn_var *axis, int lanes) {
  struct contraction k;
  if (!open_contraction(&k, t, b, axis, lanes))
    return 1e300;
  return k.cycles / (double)(axis->extent * extent_of(k.row[0]) * extent_of(k.row[1]));
}

bool tn_build_contraction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                          struct tn_var *axis, int lanes) {
  struct contraction k;
  if (!open_contraction(&k, t, b, axis, lanes))
    return false;
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int seg_count = tn_segments(t, axis->extent, lanes, k.tile_vectors, segs);
  for (int s = 0; s < seg_count; s++) {
    struct tn_packed packed;
    struct piece p = {.seg = &segs[s], .packed = pack(&k, k.columns, &segs[s], &packed) ? &packed : NULL};
    struct cut outer[2], inner[2];
    int outers = cut_rows(extent_of(k.row[1]), k.tile_rows[1], outer);
    int inners = cut_rows(extent_of(k.row[0]), k.tile_rows[0], inner);
    for (int o = 0; o < outers; o++)
      for (int i = 0; i < inners; i++) {
        p.cut[0] = inner[i];
        p.cut[1] = outer[o];
        p.group = 0;
        build_grouped(&k, c, &p);
      }
  }
  return true;
}
