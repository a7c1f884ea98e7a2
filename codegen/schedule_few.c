/* Sums of products with few columns: their lanes lie along the sum.
 *
 * A contraction's lanes are columns, and three or seven of them leave most of a vector empty.  Where both
 * operands can be read along the innermost loop of the sum, that loop takes the lanes instead: each of rows x
 * columns accumulators is a vector, a step takes one vector for each row and one for each column, and the lanes
 * are added up at the end.  A constant column operand is packed column by column.  The choice is by the same
 * model of the core as the other's (schedule_contract.c), in cycles.
 *
 * What is computed from the sums element by element would run as scalars behind the additions across lanes;
 * where it is more than the sum itself, the sums of a stretch of rows go to scratch, and a pointwise band takes
 * them from there. */
#include "codegen/schedule.h"

#define MOST_COLUMNS 16
#define MOST_ROWS 8
#define STRETCH 4096 /* sums in scratch: they stay in the first-level cache */

struct few {
  const struct tn_target *t;
  struct tn_nest *n;
  struct tn_band *band;
  struct tn_var *column, *row, *inner; /* row: NULL when there is one */
  struct tn_expr *columns, *rows;      /* the operands */
  bool columns_first;
  int lanes;
  int64_t outer_steps; /* of the sum, without its inner loop */
  int tile_rows, tile_columns;
};

static bool along(const struct tn_expr *load, const struct tn_var *inner) {
  int64_t stride;
  return load->kind == TN_EX_LOAD && !load->load.guard && !load->load.bytes &&
         tn_ex_stride(load->load.index, inner, &stride) && stride == 1;
}

static bool find_few(struct few *k) {
  const struct tn_stmt *r = k->band->reduce;
  const struct tn_expr *term = r->reduce.term;
  if (r->reduce.combine != TN_ADD || term->kind != TN_EX_OP || term->op.op != TN_MUL ||
      !tn_dtype_is_float(r->reduce.acc->dtype) || !r->reduce.count || k->column->extent > MOST_COLUMNS)
    return false;
  struct tn_expr *a = term->op.arg[0], *b = term->op.arg[1];
  if (tn_ex_uses(a, k->column) == tn_ex_uses(b, k->column))
    return false;
  k->columns_first = tn_ex_uses(a, k->column);
  k->columns = k->columns_first ? a : b;
  k->rows = k->columns_first ? b : a;
  k->inner = r->reduce.var[r->reduce.count - 1];
  if (k->inner->extent < k->lanes || !along(k->rows, k->inner) || k->columns->kind != TN_EX_LOAD ||
      k->columns->load.guard || k->columns->load.bytes)
    return false;
  if (!along(k->columns, k->inner) &&
      !(k->columns->load.buf->data && tn_ex_of_band(k->band, NULL, k->columns->load.index)))
    return false;
  k->outer_steps = 1;
  for (int i = 0; i + 1 < r->reduce.count; i++)
    k->outer_steps *= r->reduce.var[i]->extent;
  for (int i = k->band->loops - 1; i >= 0 && !k->row; i--) {
    struct tn_var *v = k->band->loop[i];
    if (v != k->column && v->extent > 1 && !tn_ex_uses(k->columns, v) && tn_ex_uses(k->rows, v))
      k->row = v;
  }
  return true;
}

/* ---- the tile ------------------------------------------------------------------------------------------ */

/* Cycles for each result: multiply-adds and loads go two a cycle, a sum can go on after four; adding up the
 * lanes takes an addition and a shuffle for each halving. */
static double tile_cycles(const struct few *k, int64_t rows, int64_t columns) {
  int64_t m = k->row ? k->row->extent : 1, n = k->column->extent, halvings = 0;
  for (int lanes = k->lanes; lanes > 1; lanes /= 2)
    halvings++;
  int64_t steps = k->outer_steps * ((k->inner->extent + k->lanes - 1) / k->lanes);
  int64_t blocks = (m + rows - 1) / rows * ((n + columns - 1) / columns);
  double products = (double)(rows * columns), loads = (double)(rows + columns), cycles = 4;
  if (k->t->vector_regs <= 8) {
    cycles = products + loads;
  } else {
    cycles = products / 2 > cycles ? products / 2 : cycles;
    cycles = loads / 2 > cycles ? loads / 2 : cycles;
    cycles += 0.4 + 0.05 * loads;
  }
  return (double)blocks * (cycles * (double)steps + 8 + products * (double)(halvings + 1)) / (double)(m * n);
}

/* The best tile's cycles. */
static double choose_tile(struct few *k) {
  double best = 1e300;
  int64_t m = k->row ? k->row->extent : 1, n = k->column->extent;
  for (int64_t rows = 1; rows <= m && rows <= MOST_ROWS; rows++)
    for (int64_t columns = 1; columns <= n; columns++) {
      if (rows * columns + columns + 1 > k->t->vector_regs && rows * columns > 1)
        continue;
      double cycles = tile_cycles(k, rows, columns);
      if (cycles < best * 0.999) {
        best = cycles;
        k->tile_rows = (int)rows;
        k->tile_columns = (int)columns;
      }
    }
  return best;
}

/* ---- the loops ----------------------------------------------------------------------------------------- */

/* The column operand, read from a copy that holds each column's weights one after the other. */
static bool pack(struct few *k) {
  const struct tn_stmt *r = k->band->reduce;
  struct tn_stmt none = *r;
  struct tn_band order = {.nest = k->n, .reduce = &none};
  struct tn_packed packed;
  struct tn_segment all = {
      .extent = k->inner->extent, .whole = 1, .lanes = (int)k->inner->extent, .vectors = 1};
  none.reduce.count = 0;
  if (k->inner->extent > INT32_MAX || k->band->loops + r->reduce.count > TN_MAX_REDUCE)
    return false;
  for (int i = 0; i < k->band->loops; i++)
    order.loop[order.loops++] = k->band->loop[i];
  for (int i = 0; i + 1 < r->reduce.count; i++)
    order.loop[order.loops++] = r->reduce.var[i];
  if (!tn_pack(&order, k->columns, k->inner, &all, &packed))
    return false;
  struct tn_expr *at = tn_ex_var(k->n, k->inner);
  int64_t stride = k->inner->extent;
  for (int i = packed.outer_count - 1; i >= 0; i--) {
    at = tn_ix_add(k->n, at, tn_ix_scale(k->n, tn_ex_var(k->n, packed.outer[i]), stride));
    stride *= packed.outer[i]->extent;
  }
  k->columns = tn_ex_load(k->n, packed.buf, at, NULL);
  return true;
}

/* `rows` x `columns` results at a time, of the rows from `first` on and `count` of them, of the columns from
 * `column` on; the sums to `scratch`, or what is made of them to its place. */
struct piece {
  int64_t first, count, column, columns;
  int rows, across;
};

static void build_piece(struct few *k, struct tn_cursor at, const struct piece *p, struct tn_expr *stretch,
                        struct tn_buf *scratch) {
  struct tn_nest *n = k->n;
  const struct tn_stmt *r = k->band->reduce;
  struct tn_var *block = tn_loop_var(n, "m", p->count / p->rows), *row = tn_loop_var(n, "i", p->rows),
                *panel = tn_loop_var(n, "p", p->columns / p->across), *across = tn_loop_var(n, "j", p->across);
  at = tn_enter_loop(&at, block, TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, panel, TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, row, TN_LOOP_TILE);
  at = tn_enter_loop(&at, across, TN_LOOP_TILE);
  struct tn_expr *in_stretch = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, block), p->rows), tn_ex_var(n, row));
  in_stretch = tn_ix_offset(n, in_stretch, p->first);
  struct tn_expr *value[2] = {
      tn_ix_offset(n, tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, panel), p->across), tn_ex_var(n, across)),
                   p->column),
      tn_ix_add(n, stretch, in_stretch)};
  struct tn_var *var[2] = {k->column, k->row};
  int count = k->row ? 2 : 1;
  struct tn_expr *a = k->columns_first ? k->columns : k->rows, *b = k->columns_first ? k->rows : k->columns;
  struct tn_expr *term = tn_ex_replace(n, tn_ex_binary(n, TN_MUL, a, b), count, var, value);
  tn_reduce_in_lanes(k->t, &at, r, term, k->lanes, p->rows * p->across);
  if (scratch) {
    struct tn_expr *place = tn_ix_add(n, tn_ix_scale(n, in_stretch, k->column->extent), value[0]);
    tn_st_store(&at, scratch, place, tn_ex_var(n, r->reduce.acc), NULL);
    return;
  }
  for (const struct tn_stmt *s = k->band->stores; s; s = s->next)
    tn_st_store(&at, s->store.buf, tn_ex_replace(n, s->store.index, count, var, value),
                tn_ex_replace(n, s->store.value, count, var, value),
                s->store.guard ? tn_ex_replace(n, s->store.guard, count, var, value) : NULL);
}

/* All columns of `rows` rows, which begin at `stretch`. */
static void build_rows(struct few *k, struct tn_cursor *at, struct tn_expr *stretch, int64_t rows,
                       struct tn_buf *scratch) {
  int64_t n = k->column->extent, tall = rows / k->tile_rows * k->tile_rows;
  int64_t wide = n / k->tile_columns * k->tile_columns;
  for (int y = 0; y < 2; y++)
    for (int x = 0; x < 2; x++) {
      struct piece p = {.first = y ? tall : 0,
                        .count = y ? rows - tall : tall,
                        .column = x ? wide : 0,
                        .columns = x ? n - wide : wide};
      p.rows = y ? (int)p.count : k->tile_rows;
      p.across = x ? (int)p.columns : k->tile_columns;
      if (p.count && p.columns)
        build_piece(k, *at, &p, stretch, scratch);
      tn_st_follow(at);
    }
}

/* The stores of `rows` rows from `stretch` on, their sums read from scratch. */
static void build_stores(struct few *k, struct tn_cursor *at, struct tn_expr *stretch, int64_t rows,
                         struct tn_buf *scratch) {
  struct tn_nest *n = k->n;
  struct tn_band out = {.nest = n};
  struct tn_var *row = tn_loop_var(n, "i", rows), *column = tn_loop_var(n, "j", k->column->extent);
  if (rows > 1)
    out.loop[out.loops++] = row;
  out.loop[out.loops++] = column;
  struct tn_expr *in = tn_ex_var(n, row);
  struct tn_expr *place = tn_ix_add(n, tn_ix_scale(n, in, column->extent), tn_ex_var(n, column));
  struct tn_var *var[3] = {k->band->reduce->reduce.acc, k->column, k->row};
  struct tn_expr *value[3] = {tn_ex_load(n, scratch, place, NULL), tn_ex_var(n, column),
                              tn_ix_add(n, stretch, in)};
  int count = k->row ? 3 : 2;
  struct tn_cursor aside = {n, &out.stores};
  for (const struct tn_stmt *s = k->band->stores; s; s = s->next)
    tn_st_store(&aside, s->store.buf, tn_ex_replace(n, s->store.index, count, var, value),
                tn_ex_replace(n, s->store.value, count, var, value),
                s->store.guard ? tn_ex_replace(n, s->store.guard, count, var, value) : NULL);
  tn_schedule_band(k->t, &out, at);
  tn_st_follow(at);
}

static bool stores_only_sums(const struct tn_band *b) {
  for (const struct tn_stmt *s = b->stores; s; s = s->next)
    if (s->store.value->kind != TN_EX_VAR)
      return false;
  return true;
}

bool tn_build_few_columns(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                          struct tn_var *axis, int lanes) {
  struct tn_nest *n = b->nest;
  struct few k = {.t = t, .n = n, .band = b, .column = axis, .lanes = lanes};
  if (!axis || lanes < 2 || t->small || !find_few(&k) ||
      choose_tile(&k) > 0.8 * tn_contraction_cycles(t, b, axis, lanes))
    return false;
  if (!along(k.columns, k.inner) && !pack(&k))
    return false;
  int64_t m = k.row ? k.row->extent : 1, most = STRETCH / axis->extent, stretch = m < most ? m : most;
  struct tn_buf *scratch = NULL;
  if (!stores_only_sums(b))
    scratch = tn_nest_local(n, "sums", b->reduce->reduce.acc->dtype, stretch * axis->extent);
  else
    stretch = m;
  for (int64_t first = 0; first < m; stretch = m - first) {
    int64_t whole = (m - first) / stretch;
    struct tn_cursor at = *c;
    for (int i = 0; i < b->loops; i++)
      if (b->loop[i] != axis && b->loop[i] != k.row)
        at = tn_enter_loop(&at, b->loop[i], TN_LOOP_SERIAL);
    struct tn_var *outer = tn_loop_var(n, "g", whole);
    at = tn_enter_loop(&at, outer, TN_LOOP_SERIAL);
    struct tn_expr *start = tn_ix_offset(n, tn_ix_scale(n, tn_ex_var(n, outer), stretch), first);
    build_rows(&k, &at, start, stretch, scratch);
    if (scratch)
      build_stores(&k, &at, start, stretch, scratch);
    tn_st_follow(c);
    first += whole * stretch;
  }
  return true;
}
