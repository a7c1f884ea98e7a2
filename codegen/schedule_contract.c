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
#define SCALAR_INTEGERS 10      /* registers for integers on processors without vectors, addresses left out */

/* ---- what there is to share --------------------------------------------------------------------------------
 */

/* Whether v can be a row loop: the column operand stays the same over it, the other one does not. */
static bool shares(const struct tn_contraction *k, const struct tn_var *v) {
  return v != k->axis && !tn_ex_uses(k->columns, v) && tn_ex_uses(k->rows, v);
}

static bool split_term(struct tn_contraction *k) {
  const struct tn_stmt *r = k->band->reduce;
  struct tn_expr *term = r->reduce.term;
  if (r->reduce.combine != TN_ADD || term->kind != TN_EX_OP ||
      (term->op.op != TN_MUL && term->op.op != TN_DOT_S && term->op.op != TN_DOT_U && term->op.op != TN_DOT_W))
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

static void choose_row_loops(struct tn_contraction *k) {
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

/* ---- the tile ----------------------------------------------------------------------------------------------
 */

int64_t tn_extent_of(const struct tn_var *v) {
  return v ? v->extent : 1;
}

int tn_cut_rows(int64_t extent, int64_t rows, struct tn_cut *out) {
  int count = 0;
  out[count++] = (struct tn_cut){0, extent / rows, rows};
  if (extent % rows)
    out[count++] = (struct tn_cut){extent / rows * rows, 1, extent % rows};
  return count;
}

/* Cycles of one step of the sum for a tile: the multiply-adds (two a cycle, four cycles until a sum can go on)
 * or the loads (two a cycle), and a little for each load; or, where one instruction is issued after the other,
 * all of them. */
static double step_cycles(const struct tn_contraction *k, int64_t rows, int64_t vectors) {
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

/* window: elements of a pool's window in the tile; the others come one after the other, into registers that the
 * sums push out. */
static double tile_cycles(const struct tn_contraction *k, const int64_t rows[2], int64_t window, int vectors) {
  struct tn_cut outer[2], inner[2];
  int outers = tn_cut_rows(tn_extent_of(k->row[1]), rows[1], outer);
  int inners = tn_cut_rows(tn_extent_of(k->row[0]), rows[0], inner);
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int seg_count = tn_segments(k->t, k->axis->extent, k->lanes, vectors, segs);
  double total = 0;
  for (int o = 0; o < outers; o++)
    for (int i = 0; i < inners; i++)
      for (int s = 0; s < seg_count; s++) {
        int64_t tile = outer[o].rows * inner[i].rows * window;
        double times = (double)(outer[o].whole * inner[i].whole * segs[s].whole * (k->window / window));
        double step = step_cycles(k, tile, segs[s].vectors), end = window < k->window ? 3 : 1.5;
        total += times * (step * (double)k->steps + 8 + end * (double)(tile * segs[s].vectors));
      }
  return total * (1 + (k->t->small ? 0.05 : 0.01) * outers * inners * seg_count);
}

static void choose_tile(struct tn_contraction *k) {
  double best = 1e300;
  int64_t inner = tn_extent_of(k->row[0]), outer = tn_extent_of(k->row[1]), window = k->window;
  int regs = k->t->vector_regs;
  bool by_lanes = k->t->by_lanes && k->band->reduce->reduce.acc->dtype == TN_F32 && !k->t->small;
  if (!k->t->vector_bytes && !tn_dtype_is_float(k->band->reduce->reduce.acc->dtype) && regs > SCALAR_INTEGERS)
    regs = SCALAR_INTEGERS; /* the count is of float registers there */
  int64_t across = tn_ceil_div(k->axis->extent, k->lanes);
  for (int64_t in = 1; in <= window; in += window - 1 + (window == 1))
    for (int vectors = 1; vectors <= MAX_TILE_VECTORS && vectors <= across; vectors++)
      for (int64_t r0 = 1; r0 <= inner && r0 * in <= MAX_TILE_ROWS; r0++)
        for (int64_t r1 = 1; r1 <= outer && r0 * r1 * in <= MAX_TILE_ROWS; r1++) {
          int64_t rows[2] = {r0, r1}, sums = r0 * r1 * in * vectors, need = sums + vectors + 1;
          if (by_lanes) /* each row's factor is in a register */
            need += r0 * r1 * in - 1;
          if ((r1 > 1 && r0 < inner) || (need > regs && sums > 1))
            continue;
          double cycles = tile_cycles(k, rows, in, vectors);
          if (need > regs - 4) /* LLVM likes to load the next step early */
            cycles *= 1.03;
          if (cycles < best * 0.999) {
            best = k->cycles = cycles;
            k->tile_rows[0] = (int)r0;
            k->tile_rows[1] = (int)r1;
            k->tile_vectors = vectors;
            k->window_in_tile = in > 1;
          }
        }
}

/* ---- staging -----------------------------------------------------------------------------------------------
 */

static bool plain_load(const struct tn_expr *e) {
  return e->kind == TN_EX_LOAD && !e->load.guard;
}

/* A load, or one that widens integers, which costs nothing more and leaves narrow factors to be seen (emit.c).
 */
static bool cheap_load(const struct tn_expr *e) {
  bool widens = e->kind == TN_EX_OP && e->op.op == TN_CAST && tn_dtype_is_int(e->dtype) &&
                tn_dtype_is_int(e->op.arg[0]->dtype);
  return plain_load(widens ? e->op.arg[0] : e);
}

/* One row loop, one loop of the sum. */
static bool one_sum(const struct tn_contraction *k) {
  return k->row[0] && !k->row[1] && k->band->reduce->reduce.count == 1;
}

static void choose_staging(struct tn_contraction *k) {
  const struct tn_stmt *r = k->band->reduce;
  int64_t columns = k->axis->extent, rows = tn_extent_of(k->row[0]) * tn_extent_of(k->row[1]);
  int64_t panels = tn_ceil_div(columns, (int64_t)k->lanes * k->tile_vectors);
  int64_t blocks = tn_ceil_div(rows, (int64_t)k->tile_rows[0] * k->tile_rows[1]);
  if (k->t->small || k->t->vector_bytes < 16 || k->t->vector_regs < 16)
    return; /* scratch is dearer than time */
  k->stage_rows =
      one_sum(k) && k->window == 1 && k->steps >= 16 && panels >= 2 && k->rows->loads && !cheap_load(k->rows);
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
  k->stage_columns = !known || across != 1 || (blocks >= 3 && along >= TN_PAGE_BYTES);
}

/* ---- building ----------------------------------------------------------------------------------------------
 */

/* The first constant of the column operand that can be packed for the segment. */
static bool pack(struct tn_contraction *k, struct tn_expr *e, const struct tn_segment *seg,
                 struct tn_packed *out) {
  if (e->kind == TN_EX_LOAD)
    return e->load.buf->data && tn_ex_uses(e, k->axis) && tn_pack(k->band, e, k->axis, seg, out);
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc; i++)
    if (pack(k, e->op.arg[i], seg, out))
      return true;
  return false;
}

static bool open_contraction(struct tn_contraction *k, const struct tn_target *t, struct tn_band *b,
                             struct tn_var *axis, int lanes) {
  *k = (struct tn_contraction){.t = t, .n = b->nest, .band = b, .axis = axis, .lanes = lanes, .window = 1};
  if (!axis || !split_term(k))
    return false;
  for (int i = 0; i < b->windows; i++) {
    k->window *= b->window[i]->extent;
    if (tn_ex_uses(k->columns, b->window[i])) /* the pool's lanes would lie along what it combines */
      return false;
  }
  choose_row_loops(k);
  choose_tile(k);
  choose_staging(k);
  return true;
}

bool tn_contraction_stages(const struct tn_target *t, struct tn_band *b, struct tn_var *axis, int lanes) {
  struct tn_contraction k;
  return open_contraction(&k, t, b, axis, lanes) && k.stage_columns;
}

struct tn_expr *tn_contraction_columns(const struct tn_target *t, struct tn_band *b, struct tn_var *axis,
                                       int lanes, bool *stages) {
  struct tn_contraction k;
  if (!open_contraction(&k, t, b, axis, lanes))
    return NULL;
  *stages = k.stage_columns;
  return k.columns;
}

double tn_contraction_cycles(const struct tn_target *t, struct tn_band *b, struct tn_var *axis, int lanes) {
  struct tn_contraction k;
  if (!open_contraction(&k, t, b, axis, lanes))
    return 1e300;
  return k.cycles / (double)(axis->extent * tn_extent_of(k.row[0]) * tn_extent_of(k.row[1]) * k.window);
}

bool tn_build_contraction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                          struct tn_var *axis, int lanes) {
  struct tn_contraction k;
  if (!open_contraction(&k, t, b, axis, lanes))
    return false;
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int seg_count = tn_segments(t, axis->extent, lanes, k.tile_vectors, segs);
  for (int s = 0; s < seg_count; s++) {
    struct tn_packed packed;
    bool is_packed = pack(&k, k.columns, &segs[s], &packed);
    tn_build_panels(&k, c, &segs[s], is_packed ? &packed : NULL);
  }
  return true;
}
