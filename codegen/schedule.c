/* The schedule: how a nest's loops are ordered, tiled, vectorized and unrolled for a target.
 *
 * A band is a perfect nest of serial loops around stores, or around one reduction and stores.  Each band is
 *  0. given tables of what its lanes read, where constant ones say so (schedule_pick.c); else split by
 * quotients of positions, and cut where the border of a window ends (schedule_peel.c);
 *  1. collapsed: neighbouring loops that every position walks as one become one;
 *  2. given a vector axis: a result loop along which loads and stores are contiguous or uniform, or else the
 *     innermost reduction loop;
 *  3. if it reduces, given a register tile: rows of a loop that reuses what the vector axis loads;
 *  4. split into column and row segments, so that no remainder runs as scalars where the target has masks;
 *     constant operands are packed in the order in which the inner loop reads them (schedule_pack.c).
 * Loops around several bands (kernels by rows) are blocked, and their bands scheduled one by one
 * (schedule_rows.c). Running sums are taken by blocks of lanes (schedule_running.c), walks through tables side
 * by side (schedule_walk.c). Whatever else does not form a band (searches, sorts, scatters) stays as it was
 * defined, but for the bands inside of it. */
#include "codegen/schedule.h"

/* ---- what an axis costs ------------------------------------------------------------------------------------
 */

struct accesses {
  const struct tn_var *var;
  bool *seen;
  double cost; /* scalar memory operations a vector of lanes takes */
  int lanes;
  size_t widest, narrowest; /* bytes of the values computed */
  bool constants_free;      /* constants can be packed */
  int64_t most_masked;      /* tn_most_masked of the target */
  const struct tn_band
      *turns;                 /* not NULL: accesses along another of its loops can be turned in registers ... */
  const struct tn_var *other; /* ... along this one, once there was one */
};

static void note_width(struct accesses *a, enum tn_dtype dtype) {
  if (dtype == TN_INDEX || dtype == TN_BOOL)
    return;
  size_t size = tn_dtype_size(dtype);
  if (dtype == TN_F16 || dtype == TN_BF16)
    size = 4; /* computed as f32 */
  a->widest = size > a->widest ? size : a->widest;
  a->narrowest = size < a->narrowest ? size : a->narrowest;
}

/* The loop along which the access lies when it does not lie along `axis` but could be turned in registers. */
static struct tn_var *lies_along(const struct tn_band *b, const struct tn_var *axis,
                                 const struct tn_expr *index) {
  int64_t stride;
  if (!tn_ex_stride(index, axis, &stride) || stride == 0 || stride == 1 || stride == -1)
    return NULL;
  for (int i = b->loops - 1; i >= 0; i--)
    if (b->loop[i] != axis && b->loop[i]->extent > 1 && tn_ex_stride(index, b->loop[i], &stride) && stride == 1)
      return b->loop[i];
  return NULL;
}

/* each: elements that a load takes at once, see below; 0: one. */
static double access_cost(struct accesses *a, const struct tn_expr *index, const struct tn_expr *guard,
                          int each) {
  int64_t stride;
  if (!tn_ex_stride(index, a->var, &stride))
    return a->lanes * 2.0;
  if (each && stride)
    return stride == each ? 1 : a->lanes * 1.5;
  const struct tn_var *other = a->turns && !guard ? lies_along(a->turns, a->var, index) : NULL;
  if (other && (!a->other || a->other == other)) {
    a->other = other;
    return 5 < a->lanes ? 5 : a->lanes;
  }
  bool masked = guard && tn_ex_uses(guard, a->var);
  if (stride >= 2 && stride <= (masked ? a->most_masked : TN_MOST_APART) && a->lanes >= 4) /* with shuffles */
    return 1.5 * (double)stride;
  return stride == 0 ? 0.5 : stride == 1 ? 1 : stride == -1 ? 2 : a->lanes * 1.5;
}

/* How many elements fill an i32, for a load that takes as many; -1: it takes others; 0: one. */
static int elements_at_once(const struct tn_expr *load) {
  if (!load->load.bytes)
    return 0;
  return load->load.bytes == 4 ? 4 / (int)tn_dtype_size(load->load.buf->dtype) : -1;
}

static void visit(struct accesses *a, const struct tn_expr *e) {
  if (!e || a->seen[e->id])
    return;
  a->seen[e->id] = true;
  note_width(a, e->dtype);
  switch (e->kind) {
  case TN_EX_AFFINE:
    for (int i = 0; i < e->affine.count; i++)
      visit(a, e->affine.term[i]);
    break;
  case TN_EX_LOAD:
    if (!(a->constants_free && e->load.buf->data))
      a->cost += access_cost(a, e->load.index, e->load.guard, elements_at_once(e));
    visit(a, e->load.index);
    visit(a, e->load.guard);
    break;
  case TN_EX_OP:
    for (int i = 0; i < e->op.argc; i++)
      visit(a, e->op.arg[i]);
    break;
  default:
    break;
  }
}

static struct accesses begin(const struct tn_target *t, const struct tn_band *b, const struct tn_var *var) {
  struct accesses a = {.var = var, .narrowest = 8, .most_masked = tn_most_masked(t)};
  a.seen = TN_NEW_ARRAY(b->nest->arena, bool, b->nest->next_id + 1);
  return a;
}

/* Lanes that one register holds of the values that the band computes. */
static int natural_lanes(const struct tn_target *t, const struct tn_band *b) {
  if (!t->vector_bytes)
    return 1;
  struct accesses a = begin(t, b, b->loop[0]);
  if (b->reduce) {
    note_width(&a, b->reduce->reduce.acc->dtype);
  } else {
    struct tn_expr *e;
    for (int i = 0; (e = tn_band_expr(b, i)); i++)
      visit(&a, e);
    for (const struct tn_stmt *s = b->stores; s; s = s->next)
      note_width(&a, s->store.buf->dtype);
  }
  size_t size = a.widest > 4 && a.narrowest <= 4 ? 4 : a.widest ? a.widest : 1;
  if (size == 8 && !t->f64_lanes && t->vector_bytes == 16)
    return 1;
  return t->vector_bytes / (int)size;
}

/* ---- pointwise bands ---------------------------------------------------------------------------------------
 */

static struct tn_var *pointwise_axis(const struct tn_target *t, const struct tn_band *b, int lanes) {
  struct tn_var *best = NULL;
  double best_cost = 1e300;
  for (int i = b->loops - 1; i >= 0; i--) {
    struct accesses a = begin(t, b, b->loop[i]);
    a.lanes = lanes;
    a.turns = b;
    for (const struct tn_stmt *s = b->stores; s; s = s->next)
      a.cost += 1.5 * access_cost(&a, s->store.index, s->store.guard, 0);
    struct tn_expr *e;
    for (int k = 0; (e = tn_band_expr(b, k)); k++)
      visit(&a, e);
    double use = (double)b->loop[i]->extent / (double)tn_round_up(b->loop[i]->extent, lanes);
    double cost = a.cost / use;
    if (cost < best_cost * 0.99) {
      best_cost = cost;
      best = b->loop[i];
    }
  }
  return best;
}

/* The loop along which an access of the band lies that must be turned for lanes along `axis`; NULL: none does.
 */
static struct tn_var *turned_loop(const struct tn_band *b, const struct tn_var *axis, const struct tn_expr *e,
                                  bool *seen) {
  struct tn_var *found = NULL;
  if (!e || seen[e->id] || !e->loads)
    return NULL;
  seen[e->id] = true;
  if (e->kind == TN_EX_LOAD && !e->load.guard)
    found = lies_along(b, axis, e->load.index);
  if (e->kind == TN_EX_OP)
    for (int i = 0; i < e->op.argc && !found; i++)
      found = turned_loop(b, axis, e->op.arg[i], seen);
  return found;
}

#define MOST_TURNED 16

static int power_of_two_to(int64_t most) {
  int p = 1;
  while (p * 2 <= most)
    p *= 2;
  return p;
}

/* Lanes along `axis`, a tile along the loop along which the other accesses lie: the emission turns the block in
 * registers.  What the extents leave over is done in ever smaller blocks, so that every element is done once:
 * the result may have the place of an operand. */
static void schedule_turned(const struct tn_target *t, const struct tn_band *b, struct tn_cursor *c, int lanes,
                            struct tn_var *axis, struct tn_var *other) {
  lanes = lanes < MOST_TURNED ? lanes : MOST_TURNED;
  for (int64_t at = 0; at < axis->extent;) {
    int64_t left = axis->extent - at;
    while (lanes > left)
      lanes /= 2;
    struct tn_segment seg = {at, left / lanes * lanes, left / lanes, lanes, 1, false};
    int rows = other->extent <= 4 ? (int)other->extent : power_of_two_to(other->extent);
    rows = rows < MOST_TURNED ? rows : MOST_TURNED;
    for (int64_t row = 0; row < other->extent;) {
      int64_t rest = other->extent - row;
      rows = rest <= 4 ? (int)rest : rows < rest ? rows : power_of_two_to(rest);
      struct tn_rows cut = {other, row, rest / rows, rows, NULL};
      tn_build_band(t, b, c, axis, &seg, &cut);
      row += rest / rows * rows;
    }
    at += seg.extent;
  }
}

void tn_schedule_pointwise(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c) {
  int lanes = natural_lanes(t, b);
  struct tn_var *axis = lanes > 1 ? pointwise_axis(t, b, lanes) : NULL;
  struct tn_var *other = NULL;
  bool *seen = TN_NEW_ARRAY(b->nest->arena, bool, b->nest->next_id + 1), guarded = false;
  for (const struct tn_stmt *s = b->stores; s && axis && axis->extent > 1; s = s->next) {
    other = other ? other : lies_along(b, axis, s->store.index);
    other = other ? other : turned_loop(b, axis, s->store.value, seen);
    guarded |= s->store.guard != NULL;
  }
  if (other && !guarded) {
    schedule_turned(t, b, c, lanes, axis, other);
    return;
  }
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int count = axis ? tn_segments(t, axis->extent, lanes, 1, segs) : 0;
  if (!axis)
    segs[count++] = (struct tn_segment){.extent = 1, .lanes = 1, .vectors = 1, .whole = 1};
  for (int i = 0; i < count; i++)
    tn_build_band(t, b, c, axis, &segs[i], NULL);
}

/* ---- reductions --------------------------------------------------------------------------------------------
 */

#define MIN_MASKED_SUM 5 /* elements that are quicker combined across one vector than one by one */

struct tn_var *tn_reduction_axis(const struct tn_target *t, struct tn_band *b, int *lanes_of_it,
                                 bool *over_reduction) {
  struct tn_stmt *r = b->reduce;
  int lanes = *lanes_of_it = natural_lanes(t, b);
  struct tn_var *axis = NULL;
  double best = 1e300;
  for (int i = b->loops - 1; i >= 0 && lanes > 0; i--) {
    struct accesses a = begin(t, b, b->loop[i]);
    a.lanes = lanes;
    a.constants_free = true;
    visit(&a, r->reduce.term);
    double use = (double)b->loop[i]->extent / (double)tn_round_up(b->loop[i]->extent, lanes);
    int64_t stride;
    bool rows = b->stores && tn_ex_stride(b->stores->store.index, b->loop[i], &stride) && stride == 1;
    double cost = (a.cost + (rows ? 0 : 0.2)) / use;
    if (cost < best * 0.99) {
      best = cost;
      axis = b->loop[i];
    }
  }
  struct tn_var *inner = r->reduce.count ? r->reduce.var[r->reduce.count - 1] : NULL;
  *over_reduction = false;
  /* Without loops around, the alternative is one element after the other. */
  int64_t least = !b->loops && t->masked && lanes > MIN_MASKED_SUM ? MIN_MASKED_SUM : lanes;
  if (lanes > 1 && inner && inner->extent >= least) {
    struct accesses a = begin(t, b, inner);
    a.lanes = lanes;
    visit(&a, r->reduce.term);
    *over_reduction = !axis || (a.cost < best * 0.7 && !tn_contraction_stages(t, b, axis, lanes));
  }
  return axis;
}

static void schedule_reduction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c) {
  tn_dot_band(t, b);
  tn_half_band(t, b, c);
  int lanes;
  bool over_reduction;
  struct tn_var *axis = tn_reduction_axis(t, b, &lanes, &over_reduction);
  if (over_reduction)
    tn_build_lanes_over_reduction(t, b, c, lanes);
  else if (!tn_build_few_columns(t, b, c, axis, lanes))
    tn_build_tiled_reduction(t, b, c, axis, lanes);
}

void tn_schedule_band(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c) {
  bool picks = !b->reduce && !b->let && b->loops && tn_find_picks(t, b, natural_lanes(t, b));
  if (tn_schedule_quotients(t, b, c, picks) || (!picks && tn_schedule_peeled(t, b, c)))
    return;
  if (b->loops)
    tn_collapse_band(b);
  if (b->let)
    tn_schedule_pooled(t, b, c);
  else if (picks)
    tn_build_picks(t, b, c, natural_lanes(t, b));
  else if (b->reduce)
    schedule_reduction(t, b, c);
  else
    tn_schedule_pointwise(t, b, c);
}

/* ---- products inside of loops over rows ---------------------------------------------------------------- */

double tn_product_cycles(const struct tn_target *t, const struct tn_band *band) {
  struct tn_band b = *band;
  bool over_reduction;
  int lanes;
  struct tn_var *axis = tn_reduction_axis(t, &b, &lanes, &over_reduction);
  double cycles = tn_contraction_cycles(t, &b, axis, lanes);
  for (int i = 0; i < b.loops; i++)
    cycles *= (double)b.loop[i]->extent;
  return cycles;
}

/* The product as a contraction over all its loops: its axis, which is not `row`, and what it loads there. */
static struct tn_expr *product_columns(const struct tn_target *t, struct tn_band *b, const struct tn_var *row,
                                       struct tn_var **axis, bool *stages) {
  struct tn_band columns = *b;
  bool over_reduction;
  int lanes;
  columns.loops = 0;
  for (int i = 0; i < b->loops; i++)
    if (b->loop[i] != row)
      columns.loop[columns.loops++] = b->loop[i];
  *axis = tn_reduction_axis(t, &columns, &lanes, &over_reduction);
  return *axis ? tn_contraction_columns(t, b, *axis, lanes, stages) : NULL;
}

bool tn_product_shares(const struct tn_target *t, const struct tn_band *band, const struct tn_var *row) {
  struct tn_band b = *band;
  struct tn_var *axis;
  bool stages;
  const struct tn_expr *columns = product_columns(t, &b, row, &axis, &stages);
  return columns && !tn_ex_uses(columns, row);
}

int tn_product_around(const struct tn_target *t, const struct tn_band *band, const struct tn_var *row,
                      int most) {
  struct tn_band b = *band;
  struct tn_var *axis;
  bool stages = false;
  const struct tn_expr *columns = product_columns(t, &b, row, &axis, &stages);
  int around = most;
  while (columns && stages && around > 0 && !tn_ex_uses(columns, b.loop[around - 1]))
    around--;
  return stages ? around : 0;
}

void tn_product_copies(const struct tn_target *t, struct tn_band *b, const struct tn_var *row, int around,
                       int filled_count, struct tn_buf *const *filled, struct tn_cursor *c) {
  struct tn_nest *n = b->nest;
  struct tn_var *axis, *loop[2 * TN_MAX_REDUCE];
  bool stages;
  struct tn_expr *columns = product_columns(t, b, row, &axis, &stages);
  if (!columns || !stages)
    return;
  for (int i = 0; i < filled_count; i++)
    if (tn_ex_reads(columns, filled[i]))
      return;
  struct tn_stmt *r = b->reduce;
  int count = 0;
  for (int i = around; i < b->loops; i++)
    if (b->loop[i] != axis && tn_ex_uses(columns, b->loop[i]))
      loop[count++] = b->loop[i];
  for (int i = 0; i < r->reduce.count; i++)
    loop[count++] = r->reduce.var[i];
  loop[count++] = axis;
  if (count > TN_MAX_REDUCE)
    return;
  /* Rows of the copy start in different cache sets. */
  int64_t strides[TN_MAX_REDUCE], line = 64 / (int64_t)tn_dtype_size(columns->dtype), stride = 1;
  struct tn_expr *at = tn_ix(n, 0);
  for (int i = count - 1; i >= 0; i--) {
    strides[i] = stride;
    at = tn_ix_add(n, at, tn_ix_scale(n, tn_ex_var(n, loop[i]), stride));
    stride *= loop[i]->extent;
    if (i == count - 1)
      stride = (tn_round_up(stride, line) / line | 1) * line;
  }
  struct tn_buf *buf = tn_nest_local(n, "columns", columns->dtype, stride);
  tn_copy_operand(t, n, c, buf, columns, count, loop, strides);
  r->reduce.term = tn_replace_load(n, r->reduce.term, columns, tn_ex_load(n, buf, at, NULL));
}

/* ---- buffers that are no longer read -----------------------------------------------------------------------
 */

static void mark(struct tn_nest *n, const struct tn_expr *e, bool *seen, bool *used) {
  if (!e || seen[e->id] || (!e->loads && e->kind != TN_EX_LOAD))
    return;
  seen[e->id] = true;
  if (e->kind == TN_EX_AFFINE)
    for (int i = 0; i < e->affine.count; i++)
      mark(n, e->affine.term[i], seen, used);
  if (e->kind == TN_EX_OP)
    for (int i = 0; i < e->op.argc; i++)
      mark(n, e->op.arg[i], seen, used);
  if (e->kind != TN_EX_LOAD)
    return;
  for (size_t i = 0; i < n->bufs.count; i++)
    used[i] |= n->bufs.at[i] == e->load.buf;
  mark(n, e->load.index, seen, used);
  mark(n, e->load.guard, seen, used);
}

static void mark_list(struct tn_nest *n, const struct tn_stmt *list, bool *seen, bool *used) {
  for (const struct tn_stmt *s = list; s; s = s->next) {
    switch (s->kind) {
    case TN_ST_LOOP:
      mark_list(n, s->loop.body, seen, used);
      break;
    case TN_ST_REDUCE:
      mark(n, s->reduce.init, seen, used);
      mark(n, s->reduce.term, seen, used);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      mark(n, s->let.value, seen, used);
      break;
    case TN_ST_STORE:
      mark(n, s->store.index, seen, used);
      mark(n, s->store.value, seen, used);
      mark(n, s->store.guard, seen, used);
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      mark(n, s->branch.cond, seen, used);
      mark_list(n, s->branch.then, seen, used);
      mark_list(n, s->branch.other, seen, used);
      break;
    }
  }
}

/* Packing leaves the constants it copied behind. */
static void drop_unused(struct tn_nest *n) {
  bool *used = TN_NEW_ARRAY(n->arena, bool, n->bufs.count + 1);
  mark_list(n, n->body, TN_NEW_ARRAY(n->arena, bool, n->next_id + 1), used);
  size_t kept = 0;
  for (size_t i = 0; i < n->bufs.count; i++)
    if (used[i] || n->bufs.at[i]->written)
      n->bufs.at[kept++] = n->bufs.at[i];
  n->bufs.count = kept;
}

/* ---- entry -------------------------------------------------------------------------------------------------
 */

/* A reduction without loops around it takes the stores that end its list along. */
static bool takes_all(const struct tn_stmt *first) {
  const struct tn_stmt *s = first->kind == TN_ST_REDUCE ? first->next : first;
  while (s && s->kind == TN_ST_STORE)
    s = s->next;
  return first->kind == TN_ST_REDUCE && !s;
}

static void schedule_nested(const struct tn_target *t, struct tn_nest *n, struct tn_stmt **list) {
  struct tn_stmt *all = *list;
  *list = NULL;
  struct tn_cursor c = {n, list};
  tn_schedule_list(t, all, &c, 1);
}

/* The lists inside of a statement that is no band. */
static void schedule_inside(const struct tn_target *t, struct tn_nest *n, struct tn_stmt *s) {
  if (s->kind == TN_ST_LOOP)
    schedule_nested(t, n, &s->loop.body);
  if (s->kind != TN_ST_IF && s->kind != TN_ST_WHILE)
    return;
  schedule_nested(t, n, &s->branch.then);
  schedule_nested(t, n, &s->branch.other);
}

void tn_schedule_list(const struct tn_target *t, struct tn_stmt *list, struct tn_cursor *c, int jam) {
  while (list) {
    struct tn_stmt *first = list;
    bool whole = takes_all(first);
    list = whole ? NULL : first->next;
    if (!whole)
      first->next = NULL;
    struct tn_band band;
    struct tn_cursor at = *c;
    if (tn_find_band(c->nest, first, &band)) {
      band.jam = jam;
      tn_schedule_band(t, &band, &at);
    } else if (!tn_schedule_running(t, first, &at) && !tn_schedule_walk(t, first, &at) &&
               !tn_schedule_rows(t, first, &at)) {
      schedule_inside(t, c->nest, first);
      *c->end = first;
    }
    tn_st_follow(c);
  }
}

void tn_schedule(const struct tn_target *target, struct tn_nest *nest) {
  struct tn_stmt *list = nest->body;
  nest->body = NULL;
  struct tn_cursor c = tn_at_body(nest);
  if (nest->in_order) { /* the iterations stay as they are, the rest is inside of them */
    list = list->loop.body;
    c = tn_st_loop(&c, nest->in_order, TN_LOOP_SERIAL);
  }
  tn_schedule_list(target, list, &c, 1);
  drop_unused(nest);
}
