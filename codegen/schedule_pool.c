/* Pools of what a sum makes: let p; for a window { acc = sum; set p = p combined with what is made of acc };
 * stores.
 *
 * Where the sum is a contraction whose columns are no windows, its register tile holds whole windows, or goes
 * through them while the combined values wait; either way nothing of what is pooled is stored
 * (schedule_contract.c and schedule_panels.c choose and build).
 *
 * Else, or where that tile is the slower one by the model of the core (few results of the pool beside long
 * windows), the band becomes two: the sums' results go to scratch, and the pool takes them from there,
 * row by row of results or by parts of rows, so that the scratch stays near the core and threads may each have
 * one. */
#include "codegen/schedule.h"

#define SCRATCH_BYTES (16 * 1024)      /* of a block of results: beside its operands in the first-level cache */
#define SMALL_SCRATCH_BYTES (2 * 1024) /* where memory is dearer than time */
#define SCRATCH_CYCLES 2.5             /* to store a vector of what is pooled, and to load it again */

/* The band as two, for the loops from `outer` on. */
struct two_bands {
  struct tn_band sums, pool;
  struct tn_buf *scratch;
};

/* A load of the term that goes along with the window; NULL: there is none. */
static const struct tn_expr *load_along(const struct tn_expr *e, const struct tn_var *window) {
  const struct tn_expr *found = NULL;
  if (e->kind == TN_EX_LOAD)
    return tn_ex_uses(e->load.index, window) ? e : NULL;
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc && !found; i++)
    found = load_along(e->op.arg[i], window);
  return found;
}

/* The loop over results that walks along the same dim as window `w`: it has the least stride that is not less.
 */
static int loop_along(const struct tn_band *b, int w) {
  const struct tn_expr *load = load_along(b->reduce->reduce.term, b->window[w]);
  int64_t own, stride, least = INT64_MAX;
  int found = -1;
  for (int i = 0; load && tn_ex_stride(load->load.index, b->window[w], &own) && i < b->loops; i++)
    if (tn_ex_stride(load->load.index, b->loop[i], &stride) && stride >= own && stride < least) {
      least = stride;
      found = i;
    }
  return found;
}

/* What is combined. */
static struct tn_expr *pooled_value(const struct tn_band *b) {
  const struct tn_expr *value = b->set->let.value;
  return value->op.arg[value->op.arg[0]->kind == TN_EX_VAR && value->op.arg[0]->var == b->let->let.var];
}

/* Loops of the sums: each window behind the loop over results along it, so that the two may become one. */
static void split(const struct tn_band *b, int outer, struct two_bands *out) {
  struct tn_nest *n = b->nest;
  struct tn_stmt *sum = TN_NEW(n->arena, struct tn_stmt), *store = NULL, *pooled = NULL;
  struct tn_expr *value = pooled_value(b), *place = tn_ix(n, 0);
  *out = (struct two_bands){.sums = {.nest = n, .reduce = sum}, .pool = {.nest = n}};
  int count = 0;
  for (int i = outer - 1; i < b->loops; i++) {
    if (i >= outer)
      out->sums.loop[count++] = b->loop[i];
    for (int w = 0; w < b->windows; w++) {
      int along = loop_along(b, w);
      if (i == (along < outer ? outer - 1 : along))
        out->sums.loop[count++] = b->window[w];
    }
  }
  out->sums.loops = count;
  int64_t elements = 1;
  for (int i = count - 1; i >= 0; i--) {
    place = tn_ix_add(n, place, tn_ix_scale(n, tn_ex_var(n, out->sums.loop[i]), elements));
    elements *= out->sums.loop[i]->extent;
  }
  out->scratch = tn_nest_local(n, "pooled", value->dtype, elements);
  struct tn_cursor aside = {n, &store};
  tn_st_store(&aside, out->scratch, place, value, NULL);
  *sum = *b->reduce;
  sum->next = out->sums.stores = store;

  struct tn_var *acc = tn_value_var(n, "acc", value->dtype), *old = b->let->let.var;
  struct tn_cursor at = {n, &pooled};
  tn_st_reduce(&at, acc, b->set->let.value->op.op, NULL, b->windows, b->window,
               tn_ex_load(n, out->scratch, place, NULL));
  struct tn_expr *result = tn_ex_var(n, acc);
  for (const struct tn_stmt *s = b->stores; s; s = s->next)
    tn_st_store(&at, s->store.buf, s->store.index, tn_ex_replace(n, s->store.value, 1, &old, &result),
                s->store.guard);
  out->pool.reduce = pooled;
  out->pool.stores = pooled->next;
  for (int i = outer; i < b->loops; i++)
    out->pool.loop[out->pool.loops++] = b->loop[i];
}

/* The loops before the last one along a window are around the two bands, and so are blocks of that one. */
static int loops_around(const struct tn_band *b) {
  int around = 0;
  for (int w = 0; w < b->windows; w++) {
    int along = loop_along(b, w);
    around = along > around ? along : around;
  }
  return around;
}

/* Iterations of the loop that make a block: their scratch stays near the core.  All of them where one has more.
 */
static int64_t block_of(const struct tn_target *t, const struct tn_band *b, int around) {
  int64_t each = (int64_t)tn_dtype_size(pooled_value(b)->dtype), all = b->loop[around]->extent;
  for (int w = 0; w < b->windows; w++)
    each *= b->window[w]->extent;
  for (int i = around + 1; i < b->loops; i++)
    each *= b->loop[i]->extent;
  int64_t most = (t->small ? SMALL_SCRATCH_BYTES : SCRATCH_BYTES) / each;
  return most < 1 || most >= all ? all : tn_ceil_div(all, tn_ceil_div(all, most));
}

static void build_two(const struct tn_target *t, const struct tn_band *b, struct tn_cursor *c) {
  struct tn_nest *n = b->nest;
  int around = loops_around(b);
  int64_t all = b->loop[around]->extent, size = block_of(t, b, around);
  for (int64_t start = 0; start < all; size = all - start) {
    struct two_bands two;
    struct tn_var *block = tn_loop_var(n, "m", (all - start) / size), *in = tn_loop_var(n, "i", size);
    struct tn_expr *at = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, block), size), tn_ex_var(n, in));
    struct tn_band piece = tn_with_loops(b, around, tn_ix_offset(n, at, start), 1, &in);
    struct tn_cursor inner = *c;
    for (int i = 0; i < around; i++)
      inner = tn_enter_loop(&inner, b->loop[i], TN_LOOP_SERIAL);
    inner = tn_enter_loop(&inner, block, TN_LOOP_SERIAL);
    split(&piece, around, &two);
    tn_schedule_band(t, &two.sums, &inner);
    tn_st_follow(&inner);
    tn_schedule_band(t, &two.pool, &inner);
    tn_st_follow(c);
    start += block->extent * size;
  }
}

/* Cycles of a sum, when the band is a contraction over its best axis; huge when it is none. */
static double sum_cycles(const struct tn_target *t, struct tn_band *b, struct tn_var **axis, int *lanes) {
  bool over_reduction;
  *axis = tn_reduction_axis(t, b, lanes, &over_reduction);
  return over_reduction ? 1e300 : tn_contraction_cycles(t, b, *axis, *lanes);
}

void tn_schedule_pooled(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c) {
  struct two_bands two;
  struct tn_var *axis;
  struct tn_band pooled = *b;
  struct tn_stmt sum = *b->reduce, set = *b->set;
  int lanes;
  /* As bytes by fours where it will be; on copies, for the sums by themselves want to be asked, too. */
  pooled.reduce = &sum;
  pooled.set = &set;
  tn_dot_band(t, &pooled);
  double in_tile = sum_cycles(t, &pooled, &axis, &lanes);
  split(b, 0, &two);
  struct tn_var *other_axis;
  int other_lanes;
  tn_dot_band(t, &two.sums);
  double apart = sum_cycles(t, &two.sums, &other_axis, &other_lanes) + SCRATCH_CYCLES / other_lanes;
  two.scratch->written = false; /* it was only asked about */
  if (in_tile > apart || in_tile >= 1e300) {
    build_two(t, b, c);
    return;
  }
  tn_half_band(t, &pooled, c);
  tn_build_contraction(t, &pooled, c, axis, lanes);
}
