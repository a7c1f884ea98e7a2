/* Reductions over their own lanes: the innermost loop of the reduction is the vector axis, and the lanes are
 * combined at its end.  Several results at once, or several accumulators, hide the latency of the additions. */
#include "codegen/schedule.h"

/* Lanes that hold so few elements are not worth a second combination across them. */
#define FEW_IN_TAIL 2
/* Up to so many steps a masked last one is done like the others, and the lanes are combined once. */
#define FEW_STEPS 8

void tn_reduce_in_lanes(const struct tn_target *t, struct tn_cursor *at, const struct tn_stmt *r,
                        struct tn_expr *term, int lanes, int jam) {
  struct tn_nest *n = at->nest;
  struct tn_var *acc = r->reduce.acc, *over[TN_MAX_REDUCE];
  int kept = r->reduce.count - 1;
  struct tn_var *inner = r->reduce.var[kept];
  int64_t steps = inner->extent / lanes, rest = inner->extent % lanes;
  for (int i = 0; i < kept; i++)
    over[i] = r->reduce.var[i];
  struct tn_expr *so_far = r->reduce.init;
  if (t->masked && steps && steps < FEW_STEPS && rest && kept == 0) {
    struct tn_var *step = tn_loop_var(n, "r", steps + 1), *lane = tn_loop_var(n, "l", lanes);
    struct tn_expr *position = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, step), lanes), tn_ex_var(n, lane));
    struct tn_expr *guard = tn_ex_binary(n, TN_LT, position, tn_ix(n, inner->extent));
    term = tn_guard_loads(n, tn_ex_replace(n, term, 1, &inner, &position), lane, guard, NULL);
    term = tn_ex_select(n, guard, term, tn_ex_identity(n, r->reduce.combine, acc->dtype));
    struct tn_stmt *all = tn_st_reduce(at, acc, r->reduce.combine, so_far, 1, &step, term);
    all->reduce.lane = lane;
    all->reduce.unroll = (int)steps + 1;
    return;
  }
  if (steps) {
    struct tn_var *step = tn_loop_var(n, "r", steps), *lane = tn_loop_var(n, "l", lanes);
    struct tn_expr *at_lane = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, step), lanes), tn_ex_var(n, lane));
    int loops = kept;
    if (steps > 1)
      over[loops++] = step;
    else
      at_lane = tn_ex_var(n, lane);
    struct tn_var *sum = rest ? tn_value_var(n, "acc", acc->dtype) : acc;
    struct tn_stmt *main = tn_st_reduce(at, sum, r->reduce.combine, so_far, loops, over,
                                        tn_ex_replace(n, term, 1, &inner, &at_lane));
    main->reduce.lane = lane;
    main->reduce.unroll = steps < 4 || jam >= 8 ? 1 : jam >= 4 ? 2 : 4;
    so_far = tn_ex_var(n, sum);
  }
  if (!rest)
    return;
  int width = 1;
  while (width < rest)
    width *= 2;
  if (t->masked && rest > FEW_IN_TAIL) {
    struct tn_var *lane = tn_loop_var(n, "l", width);
    struct tn_expr *position = tn_ix_offset(n, tn_ex_var(n, lane), steps * lanes), *guard = NULL;
    if (rest < width)
      guard = tn_ex_binary(n, TN_LT, position, tn_ix(n, inner->extent));
    term = tn_guard_loads(n, tn_ex_replace(n, term, 1, &inner, &position), lane, guard, NULL);
    if (guard)
      term = tn_ex_select(n, guard, term, tn_ex_identity(n, r->reduce.combine, acc->dtype));
    tn_st_reduce(at, acc, r->reduce.combine, so_far, kept, over, term)->reduce.lane = lane;
    return;
  }
  struct tn_var *tail = tn_loop_var(n, "r", rest);
  struct tn_expr *position = tn_ix_offset(n, rest > 1 ? tn_ex_var(n, tail) : tn_ix(n, 0), steps * lanes);
  int loops = kept;
  if (rest > 1)
    over[loops++] = tail;
  tn_st_reduce(at, acc, r->reduce.combine, so_far, loops, over, tn_ex_replace(n, term, 1, &inner, &position));
}

void tn_build_lanes_over_reduction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                                   int lanes) {
  struct tn_nest *n = b->nest;
  struct tn_stmt *r = b->reduce;
  struct tn_var *row_axis = b->loops ? b->loop[b->loops - 1] : NULL;
  int64_t extent = row_axis ? row_axis->extent : 1, tile = extent < 4 ? extent : 4;
  for (int64_t start = 0; start < extent; tile = extent - start) {
    int64_t blocks = (extent - start) / tile;
    struct tn_cursor at = *c;
    for (int i = 0; i + 1 < b->loops; i++)
      at = tn_enter_loop(&at, b->loop[i], TN_LOOP_SERIAL);
    struct tn_var *block = tn_loop_var(n, "m", blocks), *row = tn_loop_var(n, "i", tile);
    at = tn_enter_loop(&at, block, TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, row, TN_LOOP_TILE);
    struct tn_expr *position = tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, block), tile), tn_ex_var(n, row));
    position = tn_ix_offset(n, position, start);
    int count = row_axis ? 1 : 0;
    tn_reduce_in_lanes(t, &at, r, tn_ex_replace(n, r->reduce.term, count, &row_axis, &position), lanes,
                       (int)tile * (b->jam > 1 ? b->jam : 1));
    for (const struct tn_stmt *s = b->stores; s; s = s->next)
      tn_st_store(&at, s->store.buf, tn_ex_replace(n, s->store.index, count, &row_axis, &position),
                  tn_ex_replace(n, s->store.value, count, &row_axis, &position),
                  s->store.guard ? tn_ex_replace(n, s->store.guard, count, &row_axis, &position) : NULL);
    tn_st_follow(c);
    start += blocks * tile;
  }
}
