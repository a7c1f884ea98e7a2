/* Building scheduled bands: segments of the vector axis, blocks of rows. */
#include "codegen/schedule.h"

static int power_of_two_from(int64_t v) {
  int p = 1;
  while (p < v)
    p *= 2;
  return p;
}

int tn_segments(const struct tn_target *t, int64_t extent, int lanes, int vectors, struct tn_segment *segs) {
  int count = 0;
  int64_t block = (int64_t)lanes * vectors, whole = extent / block, start = whole * block,
          rest = extent - start;
  if (whole)
    segs[count++] = (struct tn_segment){0, start, whole, lanes, vectors, false};
  if (rest && (rest % lanes == 0 || (t->masked && lanes > 1))) {
    int across = (int)((rest + lanes - 1) / lanes), width = lanes;
    if (across == 1)
      width = power_of_two_from(rest);
    segs[count++] = (struct tn_segment){start, rest, 1, width, across, rest % width != 0};
    return count;
  }
  /* No masks: ever narrower vectors, one element at last. */
  for (int width = lanes; rest > 0; width /= 2) {
    int64_t n = rest / width;
    if (n == 0)
      continue;
    int across = n <= vectors ? (int)n : 1;
    segs[count++] = (struct tn_segment){start, n * width, n / across, width, across, false};
    start += n / across * across * width;
    rest -= n / across * across * width;
  }
  return count;
}

/* ---- rewriting loads ---------------------------------------------------------------------------------------
 */

struct rewrite {
  struct tn_nest *n;
  const struct tn_var *lane; /* loads over it get the guard */
  struct tn_expr *guard;
  const struct tn_expr *from; /* this load becomes `to` */
  struct tn_expr *to;
  const struct tn_buf *unguarded;
  struct tn_expr **memo;
  int memo_size;
};

static struct tn_expr *rewrite(struct rewrite *r, struct tn_expr *e) {
  if (e == r->from)
    return r->to;
  if (!e->loads)
    return e;
  if (e->id < r->memo_size && r->memo[e->id])
    return r->memo[e->id];
  struct tn_expr *out = e;
  if (e->kind == TN_EX_LOAD) {
    struct tn_expr *guard = e->load.guard ? rewrite(r, e->load.guard) : NULL;
    if (r->guard && tn_ex_uses(e, r->lane) && e->load.buf != r->unguarded)
      guard = tn_ex_and(r->n, guard, r->guard);
    out = tn_ex_load_like(r->n, e, rewrite(r, e->load.index), guard);
  } else if (e->kind == TN_EX_AFFINE) {
    out = tn_ix(r->n, e->affine.base);
    for (int i = 0; i < e->affine.count; i++)
      out = tn_ix_add(r->n, out, tn_ix_scale(r->n, rewrite(r, e->affine.term[i]), e->affine.coef[i]));
  } else if (e->kind == TN_EX_OP) {
    struct tn_expr *arg[3] = {0};
    for (int i = 0; i < e->op.argc; i++)
      arg[i] = rewrite(r, e->op.arg[i]);
    out = tn_ex_op(r->n, e->op.op, e->dtype, e->op.argc, arg, e->op.flags);
  }
  if (e->id < r->memo_size)
    r->memo[e->id] = out;
  return out;
}

static struct rewrite rewriting(struct tn_nest *n) {
  return (struct rewrite){
      .n = n, .memo_size = n->next_id, .memo = TN_NEW_ARRAY(n->arena, struct tn_expr *, n->next_id)};
}

struct tn_expr *tn_replace_load(struct tn_nest *n, struct tn_expr *e, const struct tn_expr *from,
                                struct tn_expr *to) {
  struct rewrite r = rewriting(n);
  r.from = from;
  r.to = to;
  return rewrite(&r, e);
}

struct tn_expr *tn_guard_loads(struct tn_nest *n, struct tn_expr *e, const struct tn_var *lane,
                               struct tn_expr *guard, const struct tn_buf *unguarded) {
  if (!guard)
    return e;
  struct rewrite r = rewriting(n);
  r.lane = lane;
  r.guard = guard;
  r.unguarded = unguarded;
  return rewrite(&r, e);
}

/* ---- the loops of a band -----------------------------------------------------------------------------------
 */

bool tn_var_among(const struct tn_var *v, struct tn_var *const *list, int count) {
  for (int i = 0; i < count; i++)
    if (list[i] == v)
      return true;
  return false;
}

struct tn_cursor tn_enter_loop(struct tn_cursor *at, struct tn_var *var, enum tn_loop_kind kind) {
  return var->extent == 1 ? *at : tn_st_loop(at, var, kind);
}

int tn_unroll_steps(const struct tn_target *t, const struct tn_stmt *r, int64_t tile) {
  int64_t all = 1;
  for (int i = 0; i < r->reduce.count; i++)
    all *= r->reduce.var[i]->extent;
  /* Few registers do not hold what the next tile wants again, and LLVM would keep it in memory of its own. */
  bool few = t->vector_bytes && t->vector_regs <= 8;
  if (all * tile <= (t->small || few ? 40 : 160) || all <= 2)
    return (int)all;
  int64_t inner = r->reduce.var[r->reduce.count - 1]->extent;
  int want = t->small ? 1 : tile >= 6 ? 4 : 8;
  if (inner <= want)
    return (int)inner;
  while (want > 1 && inner % want && inner < 4 * want)
    want /= 2;
  return want;
}

#define MOST_IN_WINDOW 25  /* elements of one that is unrolled for its neighbours' sake */
#define OVERLAPPING_ROWS 4 /* taken together */

void tn_build_band(const struct tn_target *t, const struct tn_band *b, struct tn_cursor *c, struct tn_var *axis,
                   const struct tn_segment *seg, const struct tn_rows *rows) {
  struct tn_nest *n = b->nest;
  struct tn_var *row_axis = rows ? rows->axis : NULL, *inner = rows ? rows->inner : NULL;
  struct tn_var *panel = tn_loop_var(n, "p", seg->whole), *across = tn_loop_var(n, "j", seg->vectors),
                *lane = tn_loop_var(n, "l", seg->lanes);
  struct tn_var *block = tn_loop_var(n, "m", rows ? rows->whole : 1),
                *row = tn_loop_var(n, "i", rows ? rows->rows : 1);

  struct tn_cursor at = *c;
  for (int i = 0; i < b->loops; i++)
    if (b->loop[i] != axis && b->loop[i] != row_axis && b->loop[i] != inner)
      at = tn_enter_loop(&at, b->loop[i], TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, block, TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, panel, TN_LOOP_SERIAL);
  at = tn_enter_loop(&at, row, TN_LOOP_TILE);
  at = tn_enter_loop(&at, across, TN_LOOP_TILE);
  if (inner)
    at = tn_enter_loop(&at, inner, TN_LOOP_TILE);
  at = tn_enter_loop(&at, lane, TN_LOOP_VECTOR);

  struct tn_var *vars[2];
  struct tn_expr *values[2];
  int count = 0;
  struct tn_expr *column = NULL;
  if (axis) {
    column = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, panel), (int64_t)seg->lanes * seg->vectors),
                       tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, across), seg->lanes), tn_ex_var(n, lane)));
    column = tn_ix_offset(n, column, seg->start);
    vars[count] = axis;
    values[count++] = column;
  }
  if (row_axis) {
    struct tn_expr *r = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, block), rows->rows), tn_ex_var(n, row));
    vars[count] = row_axis;
    values[count++] = tn_ix_offset(n, r, rows->start);
  }
  struct tn_expr *guard = seg->masked ? tn_ex_binary(n, TN_LT, column, tn_ix(n, axis->extent)) : NULL;

  if (b->reduce) {
    const struct tn_stmt *r = b->reduce;
    struct tn_expr *term = tn_ex_replace(n, r->reduce.term, count, vars, values);
    struct tn_stmt *copy = tn_st_reduce(&at, r->reduce.acc, r->reduce.combine, r->reduce.init, r->reduce.count,
                                        r->reduce.var, tn_guard_loads(n, term, lane, guard, NULL));
    copy->reduce.unroll = b->whole_windows
                              ? MOST_IN_WINDOW
                              : tn_unroll_steps(t, copy, row->extent * across->extent * tn_extent_of(inner));
  }
  for (const struct tn_stmt *s = b->stores; s; s = s->next) {
    struct tn_expr *value =
        tn_guard_loads(n, tn_ex_replace(n, s->store.value, count, vars, values), lane, guard, NULL);
    struct tn_expr *where = s->store.guard ? tn_ex_replace(n, s->store.guard, count, vars, values) : NULL;
    where = where ? tn_guard_loads(n, where, lane, guard, NULL) : NULL;
    tn_st_store(&at, s->store.buf, tn_ex_replace(n, s->store.index, count, vars, values), value,
                tn_ex_and(n, where, guard));
  }
  tn_st_follow(c);
}

/* ---- a register tile ---------------------------------------------------------------------------------------
 */

struct term_loads {
  struct tn_expr *load[8];
  int count;
  bool *seen;
};

static void find_loads(struct term_loads *l, struct tn_expr *e) {
  if (l->seen[e->id])
    return;
  l->seen[e->id] = true;
  if (e->kind == TN_EX_LOAD && l->count < (int)TN_COUNT(l->load))
    l->load[l->count++] = e;
  if (e->kind == TN_EX_OP)
    for (int i = 0; i < e->op.argc; i++)
      find_loads(l, e->op.arg[i]);
}

/* How many steps of the reduction's loop i the load's windows of neighbouring iterations of v lie apart, where
 * they overlap; else 0. */
static int64_t steps_apart(const struct tn_stmt *r, int i, const struct tn_expr *load, const struct tn_var *v) {
  int64_t along, step;
  if (!tn_ex_stride(load->load.index, v, &along) || !tn_ex_stride(load->load.index, r->reduce.var[i], &step) ||
      step <= 0 || along <= 0 || along % step || along / step >= r->reduce.var[i]->extent)
    return 0;
  return along / step;
}

/* The loop of the reduction that walks along with v in steps so small that windows of neighbouring iterations
 * overlap; -1: none. */
static int overlaps_along(const struct tn_stmt *r, const struct term_loads *l, const struct tn_var *v) {
  for (int i = 0; l->count == 1 && i < r->reduce.count; i++)
    if (steps_apart(r, i, l->load[0], v))
      return i;
  return -1;
}

/* A window over two dims: rows are results whose windows overlap, and the loop along them becomes the outer
 * one, so that what neighbours have in common is combined once (emit_window.c).  NULL: it is none. */
static struct tn_var *overlapping_rows(const struct tn_band *b, const struct term_loads *l,
                                       const struct tn_var *axis) {
  struct tn_stmt *r = b->reduce;
  int64_t stride;
  if (l->count != 1 || !tn_ex_stride(l->load[0]->load.index, axis, &stride) ||
      stride != 1) /* shuffled anyway */
    return NULL;
  if (r->reduce.count != 2 || r->reduce.combine == TN_MUL || r->reduce.init ||
      r->reduce.var[0]->extent * r->reduce.var[1]->extent > MOST_IN_WINDOW)
    return NULL;
  for (int i = b->loops - 1; i >= 0; i--) {
    struct tn_var *v = b->loop[i];
    int at = v != axis && v->extent > 1 ? overlaps_along(r, l, v) : -1;
    if (at < 0)
      continue;
    struct tn_var *along = r->reduce.var[at];
    r->reduce.var[1] = r->reduce.var[1 - at];
    r->reduce.var[0] = along;
    return v;
  }
  return NULL;
}

/* The loop, but `apart`, whose iterations can share what is loaded along the axis; else one that hides latency.
 */
static struct tn_var *choose_rows(const struct tn_band *b, const struct term_loads *l,
                                  const struct tn_var *axis, const struct tn_var *apart, bool *shares) {
  struct tn_var *best = NULL;
  *shares = false;
  for (int i = b->loops - 1; i >= 0; i--) {
    struct tn_var *v = b->loop[i];
    if (v == axis || v == apart)
      continue;
    bool share = false, uses = false;
    for (int k = 0; k < l->count; k++) {
      share |= (!axis || tn_ex_uses(l->load[k], axis)) && !tn_ex_uses(l->load[k], v);
      uses |= tn_ex_uses(l->load[k], v);
    }
    share &= uses;
    if (!best || (share && (!*shares || v->extent > 4 * best->extent))) {
      best = v;
      *shares = share;
    }
  }
  return best;
}

/* How many accumulators stay in registers beside what they are summed from. */
static int accumulators(const struct tn_target *t, enum tn_dtype dtype) {
  if (!t->vector_bytes)
    return tn_dtype_is_float(dtype) && t->vector_regs >= 32 ? 16 : 4;
  /* Integers are converted before they are multiplied, in registers of their own, and neighbouring rows of a
   * window share them. */
  return dtype == TN_I32 ? t->vector_regs / 4 : t->vector_regs * 3 / 4;
}

/* Neighbouring rows that read the same elements: row i reads those from `step` * i on, `taps` of them. */
struct window {
  int64_t step, taps; /* taps 0: nothing is shared */
};

/* The window that rows of a convolution have on the image, when the steps of the sum along it are unrolled. */
static struct window window_of(const struct tn_stmt *r, const struct term_loads *l, const struct tn_var *axis,
                               const struct tn_var *row) {
  int64_t all = 1;
  for (int i = 0; i < r->reduce.count; i++)
    all *= r->reduce.var[i]->extent;
  for (int k = 0; k < l->count && axis && row; k++)
    for (int i = r->reduce.count - 1; i >= (all <= 9 ? 0 : r->reduce.count - 1) && i >= 0; i--) {
      int64_t step = tn_ex_uses(l->load[k], axis) ? steps_apart(r, i, l->load[k], row) : 0;
      if (step)
        return (struct window){step, r->reduce.var[i]->extent};
    }
  return (struct window){0, 0};
}

/* Rows of a tile that has its sums, all that the rows read at a step and the other operand in registers: what
 * does not fit is stored and loaded again. */
static int64_t rows_in_registers(const struct tn_target *t, struct window w, int64_t vectors) {
  int64_t rows = 1;
  while ((rows + 1 + w.step * rows + w.taps + 1) * vectors + 1 <= t->vector_regs)
    rows++;
  return rows;
}

/* ---- channels times a multiplier ------------------------------------------------------------------------- */

#define MOST_BETWEEN 8

/* The loop whose results lie between those of neighbouring lanes of the axis, and fill the gaps: NULL, there is
 * none. */
static struct tn_var *loop_between(const struct tn_band *b, const struct tn_var *axis) {
  struct tn_var *between = NULL;
  int64_t apart, stride;
  for (const struct tn_stmt *s = b->stores; s; s = s->next) {
    if (s->store.guard || !tn_ex_stride(s->store.index, axis, &apart) || apart < 2 || apart > MOST_BETWEEN)
      return NULL;
    for (int i = 0; i < b->loops && !between; i++)
      if (b->loop[i]->extent == apart && tn_ex_stride(s->store.index, b->loop[i], &stride) && stride == 1)
        between = b->loop[i];
    if (!between || between->extent != apart || !tn_ex_stride(s->store.index, between, &stride) || stride != 1)
      return NULL;
  }
  return between;
}

/* Has the term read constants of the axis and the loop `v` from copies that lie along the axis. */
static void pack_along(struct tn_band *b, const struct term_loads *loads, struct tn_var *axis,
                       struct tn_var *v) {
  struct tn_nest *n = b->nest;
  struct tn_stmt *r = b->reduce;
  struct tn_segment all = {.extent = axis->extent, .whole = 1, .lanes = (int)axis->extent, .vectors = 1};
  for (int i = 0; i < loads->count; i++) {
    struct tn_expr *load = loads->load[i];
    struct tn_packed packed;
    if (!load->load.buf->data || load->load.bytes || !tn_ex_uses(load, axis) || !tn_ex_uses(load, v) ||
        !tn_pack(b, load, axis, &all, &packed))
      continue;
    struct tn_expr *at = tn_ex_var(n, axis);
    int64_t stride = axis->extent;
    for (int k = r->reduce.count - 1; k >= 0; k--) {
      at = tn_ix_add(n, at, tn_ix_scale(n, tn_ex_var(n, r->reduce.var[k]), stride));
      stride *= r->reduce.var[k]->extent;
    }
    for (int k = packed.outer_count - 1; k >= 0; k--) {
      at = tn_ix_add(n, at, tn_ix_scale(n, tn_ex_var(n, packed.outer[k]), stride));
      stride *= packed.outer[k]->extent;
    }
    r->reduce.term = tn_replace_load(n, r->reduce.term, load, tn_ex_load(n, packed.buf, at, NULL));
  }
}

/* A convolution of each channel by itself that makes several of it: the tile has all of a channel's results, so
 * that they share what is loaded and are stored interleaved, in whole vectors. */
static bool build_multiplied(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                             struct tn_var *axis, int lanes) {
  struct tn_nest *n = b->nest;
  struct tn_var *between = axis && lanes >= 4 && !t->small ? loop_between(b, axis) : NULL;
  if (!between)
    return false;
  struct term_loads loads = {.seen = TN_NEW_ARRAY(n->arena, bool, n->next_id + 1)};
  find_loads(&loads, b->reduce->reduce.term);
  pack_along(b, &loads, axis, between);
  bool shares;
  int64_t most = accumulators(t, b->reduce->reduce.acc->dtype) / between->extent;
  most = most < 1 ? 1 : most;
  struct tn_rows cut = {.axis = choose_rows(b, &loads, axis, between, &shares), .inner = between};
  int64_t m = tn_extent_of(cut.axis);
  int64_t blocks = (m + most - 1) / most, rows = (m + blocks - 1) / blocks;
  /* Stores that are interleaved cannot be masked. */
  struct tn_target whole = *t;
  whole.masked = false;
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int seg_count = tn_segments(&whole, axis->extent, lanes, 1, segs);
  for (int k = 0; k < seg_count; k++) {
    cut.start = 0;
    cut.whole = m / rows;
    cut.rows = (int)rows;
    tn_build_band(t, b, c, axis, &segs[k], &cut);
    cut.start = m / rows * rows;
    cut.whole = 1;
    cut.rows = (int)(m % rows);
    if (m % rows)
      tn_build_band(t, b, c, axis, &segs[k], &cut);
  }
  return true;
}

void tn_build_tiled_reduction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                              struct tn_var *axis, int lanes) {
  if (tn_build_contraction(t, b, c, axis, lanes) || build_multiplied(t, b, c, axis, lanes))
    return;
  struct tn_nest *n = b->nest;
  struct term_loads loads = {.seen = TN_NEW_ARRAY(n->arena, bool, n->next_id + 1)};
  find_loads(&loads, b->reduce->reduce.term);
  bool shares;
  int64_t columns = axis ? axis->extent : 1, across = (columns + lanes - 1) / lanes;
  int budget = accumulators(t, b->reduce->reduce.acc->dtype), most_vectors = t->vector_bytes ? 2 : 4;
  struct tn_var *row_axis = choose_rows(b, &loads, axis, NULL, &shares);
  struct tn_var *overlapping = !shares && !t->small && axis ? overlapping_rows(b, &loads, axis) : NULL;
  row_axis = overlapping ? overlapping : row_axis;
  int64_t m = row_axis ? row_axis->extent : 1;
  if (!shares && budget > 4)
    budget = 4;
  struct window window = window_of(b->reduce, &loads, axis, shares ? row_axis : NULL);
  if (window.taps && t->vector_bytes) {
    most_vectors = rows_in_registers(t, window, 2) < 4 ? 1 : 2; /* eight sums hide an addition's latency */
    budget = most_vectors * (int)rows_in_registers(t, window, most_vectors);
  }
  int vectors = (int)(across < most_vectors || (!shares && t->masked && across <= 4) ? across : most_vectors);
  if (m < budget / most_vectors) {
    int64_t want = budget / m;
    vectors = (int)(across < want ? across : want < 8 ? want : 8);
    vectors = vectors < 1 ? 1 : vectors;
  }
  if (!shares && vectors > 2 && !(t->masked && across <= 4)) /* up to four: each row in one go */
    vectors = 2;
  if (overlapping) {
    vectors = 1;
    budget = OVERLAPPING_ROWS;
    b->whole_windows = true;
  }
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int seg_count;
  if (axis)
    seg_count = tn_segments(t, columns, lanes, vectors, segs);
  else
    segs[0] = (struct tn_segment){.extent = 1, .lanes = 1, .vectors = 1, .whole = 1}, seg_count = 1;

  for (int k = 0; k < seg_count; k++) {
    int64_t most = budget / segs[k].vectors;
    most = most < 1 ? 1 : most;
    int64_t blocks = (m + most - 1) / most, rows = (m + blocks - 1) / blocks;
    struct tn_rows cut = {row_axis, 0, m / rows, (int)rows, NULL};
    tn_build_band(t, b, c, axis, &segs[k], &cut);
    if (m % rows) {
      struct tn_rows rest = {row_axis, m / rows * rows, 1, (int)(m % rows), NULL};
      tn_build_band(t, b, c, axis, &segs[k], &rest);
    }
  }
}
