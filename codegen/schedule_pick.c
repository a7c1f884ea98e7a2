/* Elements picked from neighbours: the columns of a resized or reflected image, a gather by a constant table.
 *
 * Where every lane's element is known and those of one vector lie close together, they are loaded as whole
 * vectors and picked in registers, by an instruction that takes a number for each lane: the position becomes
 * start[block] + pick[lane], both tables, which emission recognizes (emit_pick.c).  The picks, and what else
 * depends on the column alone, serve several rows at once. */
#include "codegen/schedule.h"

#define MOST_COLUMNS (1 << 14)
#define MOST_LOADS 8
#define ROWS_AT_ONCE 2

/* A load whose element changes with the axis as a table says. */
struct picked {
  struct tn_expr *load;
  int64_t *at; /* what the position's terms with the axis come to, by iteration */
};

struct picks {
  struct tn_nest *n;
  struct tn_var *axis;
  int lanes;
  struct picked load[MOST_LOADS];
  int count;
  bool fits, needed;
  bool *seen;
};

/* The integer that e is in iteration i of the axis; false: it depends on something else. */
static bool value_at(const struct picks *p, const struct tn_expr *e, int64_t i, int64_t *out) {
  union tn_scalar value[3], result;
  switch (e->kind) {
  case TN_EX_INT:
    *out = e->i;
    return true;
  case TN_EX_VAR:
    *out = i;
    return e->var == p->axis;
  case TN_EX_AFFINE:
    *out = e->affine.base;
    for (int k = 0; k < e->affine.count; k++) {
      if (!value_at(p, e->affine.term[k], i, &value[0].i))
        return false;
      *out += e->affine.coef[k] * value[0].i;
    }
    return true;
  case TN_EX_LOAD:
    if (!e->load.buf->data || e->load.guard || e->load.bytes || tn_dtype_is_float(e->dtype) ||
        !value_at(p, e->load.index, i, &value[0].i) || value[0].i < 0 || value[0].i >= e->load.buf->count)
      return false;
    *out = tn_tensor_int(e->load.buf->data, value[0].i);
    return true;
  case TN_EX_OP:
    for (int k = 0; k < e->op.argc; k++)
      if (tn_dtype_is_float(e->op.arg[k]->dtype) || !value_at(p, e->op.arg[k], i, &value[k].i))
        return false;
    if (!tn_scalar_op(e->op.op, e->dtype, e->op.arg[e->op.op == TN_SELECT]->dtype, e->op.flags, value,
                      e->op.argc, &result))
      return false;
    *out = result.i;
    return true;
  default:
    return false;
  }
}

/* Iterations of one vector read from elements that TN_MOST_PICKED vectors hold. */
static bool lie_close(const struct picks *p, const int64_t *at) {
  for (int64_t first = 0; first < p->axis->extent; first += p->lanes) {
    int64_t low = at[first], high = low;
    for (int64_t i = first; i < first + p->lanes && i < p->axis->extent; i++) {
      low = at[i] < low ? at[i] : low;
      high = at[i] > high ? at[i] : high;
    }
    if (high - low >= TN_MOST_PICKED * p->lanes)
      return false;
  }
  return true;
}

/* More than bounds on a sum of loop variables, which cutting the loop (schedule_peel.c) does away with. */
static bool needs_table(const struct tn_expr *e) {
  if (e->kind == TN_EX_AFFINE)
    for (int i = 0; i < e->affine.count; i++)
      if (needs_table(e->affine.term[i]))
        return true;
  if (e->kind != TN_EX_OP)
    return e->kind == TN_EX_LOAD;
  return (e->op.op != TN_MIN && e->op.op != TN_MAX) || needs_table(e->op.arg[0]) || needs_table(e->op.arg[1]);
}

static struct tn_expr *only_axis(const struct picks *p, const struct tn_expr *index, bool with) {
  struct tn_nest *n = p->n;
  struct tn_expr *sum = tn_ix(n, with || index->kind != TN_EX_AFFINE ? 0 : index->affine.base);
  if (index->kind != TN_EX_AFFINE)
    return with ? tn_ix_add(n, sum, (struct tn_expr *)index) : sum;
  for (int i = 0; i < index->affine.count; i++)
    if (tn_ex_uses(index->affine.term[i], p->axis) == with)
      sum = tn_ix_add(n, sum, tn_ix_scale(n, index->affine.term[i], index->affine.coef[i]));
  return sum;
}

static void find_picked(struct picks *p, struct tn_expr *e) {
  int64_t stride;
  if (!e || !p->fits || p->seen[e->id] || !tn_ex_uses(e, p->axis))
    return;
  p->seen[e->id] = true;
  if (e->kind == TN_EX_OP)
    for (int i = 0; i < e->op.argc; i++)
      find_picked(p, e->op.arg[i]);
  if (e->kind != TN_EX_LOAD)
    return;
  if (e->load.guard && tn_ex_uses(e->load.guard, p->axis))
    p->fits = false;
  if (tn_ex_stride(e->load.index, p->axis, &stride)) {
    p->fits &= stride == 0 || stride == 1;
    return;
  }
  struct tn_expr *own = only_axis(p, e->load.index, true);
  p->needed |= needs_table(own);
  p->fits &= tn_dtype_size(e->load.buf->dtype) == 4 && !e->load.bytes && p->count < MOST_LOADS;
  if (!p->fits)
    return;
  int64_t *at = TN_NEW_ARRAY(p->n->arena, int64_t, p->axis->extent);
  for (int64_t i = 0; i < p->axis->extent && p->fits; i++)
    p->fits = value_at(p, own, i, &at[i]);
  for (int64_t i = 1; i < p->axis->extent && p->fits; i++)
    p->needed |= at[i] < at[i - 1]; /* a reflection */
  p->fits = p->fits && lie_close(p, at);
  p->load[p->count++] = (struct picked){e, at};
}

static struct tn_buf *table(struct tn_nest *n, const char *name, enum tn_dtype dtype, const int64_t *at,
                            int64_t count) {
  struct tn_tensor *tensor = TN_NEW(n->arena, struct tn_tensor);
  tensor->type = tn_type_make(dtype, 1, &count);
  tensor->bytes = (size_t)count * tn_dtype_size(dtype);
  void *data = tn_alloc_raw(n->arena, tensor->bytes, 64);
  for (int64_t i = 0; i < count; i++)
    tn_store_int(dtype, data, i, at[i]);
  tensor->data = data;
  struct tn_buf *buf = tn_nest_local(n, name, dtype, count);
  buf->data = tensor;
  return buf;
}

/* The load at start[block] + pick[iteration]. */
static struct tn_expr *by_tables(const struct picks *p, const struct picked *one) {
  struct tn_nest *n = p->n;
  struct tn_expr *load = one->load, *column = tn_ex_var(n, p->axis);
  int64_t extent = p->axis->extent, blocks = (extent + p->lanes - 1) / p->lanes, least = one->at[0],
          most = least;
  int64_t *start = TN_NEW_ARRAY(n->arena, int64_t, blocks), *pick = TN_NEW_ARRAY(n->arena, int64_t, extent),
          span = 0;
  for (int64_t i = 0; i < extent; i++) {
    least = one->at[i] < least ? one->at[i] : least;
    most = one->at[i] > most ? one->at[i] : most;
    int64_t *low = &start[i / p->lanes];
    *low = i % p->lanes == 0 || one->at[i] < *low ? one->at[i] : *low;
  }
  for (int64_t i = 0; i < extent; i++)
    span = one->at[i] - start[i / p->lanes] > span ? one->at[i] - start[i / p->lanes] : span;
  /* Whole vectors that end where the row does, where it is as long. */
  int64_t window = (span / p->lanes + 1) * p->lanes;
  for (int64_t k = 0; k < blocks; k++)
    if (start[k] > most - window + 1)
      start[k] = most - window + 1 > least ? most - window + 1 : least;
  for (int64_t i = 0; i < extent; i++)
    pick[i] = one->at[i] - start[i / p->lanes];
  struct tn_expr *first =
      tn_ex_load(n, table(n, "start", TN_I32, start, blocks), tn_ix_div(n, column, p->lanes), NULL);
  struct tn_expr *which = tn_ex_load(n, table(n, "pick", TN_U8, pick, extent), column, NULL);
  struct tn_expr *index = only_axis(p, load->load.index, false);
  index = tn_ix_add(n, index, tn_ex_cast(n, first, TN_INDEX));
  index = tn_ix_add(n, index, tn_ex_cast(n, which, TN_INDEX));
  return tn_ex_load_like(n, load, index, load->load.guard);
}

/* The loop along which all stores lie; NULL: there is none. */
static struct tn_var *stored_along(const struct tn_band *b) {
  for (int i = b->loops - 1; i >= 0; i--) {
    bool all = b->loop[i]->extent > 1;
    int64_t stride;
    for (const struct tn_stmt *s = b->stores; s && all; s = s->next)
      all = tn_ex_stride(s->store.index, b->loop[i], &stride) && stride == 1 && !s->store.guard;
    if (all)
      return b->loop[i];
  }
  return NULL;
}

bool tn_find_picks(const struct tn_target *t, const struct tn_band *b, int lanes) {
  struct tn_var *axis = stored_along(b);
  struct picks p = {.n = b->nest, .axis = axis, .lanes = lanes, .fits = true};
  if (b->reduce || !axis || !t->picks || lanes * 4 != t->vector_bytes || axis->extent < lanes ||
      axis->extent > MOST_COLUMNS)
    return false;
  p.seen = TN_NEW_ARRAY(b->nest->arena, bool, b->nest->next_id + 1);
  for (const struct tn_stmt *s = b->stores; s && p.fits; s = s->next)
    find_picked(&p, s->store.value);
  return p.fits && p.needed;
}

void tn_build_picks(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c, int lanes) {
  struct tn_nest *n = b->nest;
  struct picks p = {.n = n, .axis = stored_along(b), .lanes = lanes, .fits = true};
  p.seen = TN_NEW_ARRAY(n->arena, bool, n->next_id + 1);
  for (const struct tn_stmt *s = b->stores; s; s = s->next)
    find_picked(&p, s->store.value);
  for (int i = 0; i < p.count; i++) {
    struct tn_expr *to = by_tables(&p, &p.load[i]);
    for (struct tn_stmt *s = b->stores; s; s = s->next)
      s->store.value = tn_replace_load(n, s->store.value, p.load[i].load, to);
  }
  struct tn_rows cut = {0};
  for (int i = b->loops - 1; i >= 0 && !cut.axis; i--)
    cut.axis = b->loop[i] != p.axis && b->loop[i]->extent > 1 ? b->loop[i] : NULL;
  struct tn_segment segs[TN_MAX_SEGMENTS];
  int count = tn_segments(t, p.axis->extent, lanes, 1, segs);
  if (count > 1 && t->masked) { /* one pass over the results, all vectors masked as only the last one must be */
    segs[0] = (struct tn_segment){0, p.axis->extent, (p.axis->extent + lanes - 1) / lanes, lanes, 1, true};
    count = 1;
  }
  for (int k = 0; k < count; k++)
    for (int64_t start = 0, rows = ROWS_AT_ONCE, m = tn_extent_of(cut.axis); start < m;
         start += cut.whole * cut.rows) {
      rows = m - start < rows ? m - start : rows;
      cut.start = start;
      cut.rows = (int)rows;
      cut.whole = (m - start) / rows;
      tn_build_band(t, b, c, p.axis, &segs[k], &cut);
    }
}
