/* Results that may overlap an operand: which pairs of buffers the arena is given as such.
 *
 * A kernel that is to overlap goes over its rows in order, block by block, which leaves its schedule less
 * choice. So only kernels that make the arena as large as it is are asked for: from the one that runs at the
 * busiest time downwards, until what another one needs is less than what one of them needs still. */
#include "passes/plan.h"

#include <stdlib.h>

/* Points of a block: enough for some register tiles, so that what a tile loads serves all of its rows; where
 * bytes count more than speed, enough for one. */
#define LEAST_POINTS 16
#define LEAST_POINTS_SMALL 4

struct candidate {
  struct tn_plan_pair *pair;
  int64_t live;
};

static int by_live(const void *x, const void *y) {
  const struct candidate *a = x, *b = y;
  if (a->live != b->live)
    return a->live > b->live ? -1 : 1;
  return (a->pair->at > b->pair->at) - (a->pair->at < b->pair->at);
}

/* Most bytes alive at a time at which no pair begins. */
static int64_t most_without(tn_arena *scratch, const int64_t *live, int32_t end,
                            const struct tn_plan_pair *pairs, size_t count) {
  bool *paired = TN_NEW_ARRAY(scratch, bool, (size_t)end + 1);
  int64_t most = 0;
  for (size_t i = 0; i < count; i++)
    paired[pairs[i].at] = true;
  for (int32_t t = 0; t <= end; t++)
    if (!paired[t] && live[t] > most)
      most = live[t];
  return most;
}

bool tn_plan_choose_pairs(struct tn_pass *pass, const struct tn_plan_buffer *buffers, size_t count,
                          struct tn_plan_pair *pairs, size_t pair_count) {
  int32_t end;
  int64_t *live = tn_plan_live(pass->scratch, buffers, count, &end);
  int64_t needed = most_without(pass->scratch, live, end, pairs, pair_count);
  struct candidate *order = TN_NEW_ARRAY(pass->scratch, struct candidate, pair_count + 1);
  for (size_t i = 0; i < pair_count; i++)
    order[i] = (struct candidate){&pairs[i], live[pairs[i].at]};
  if (pair_count > 0) /* qsort takes no NULL */
    qsort(order, pair_count, sizeof *order, by_live);
  bool some = false;
  int64_t least = pass->options->small ? LEAST_POINTS_SMALL : LEAST_POINTS;
  for (size_t i = 0; i < pair_count && order[i].live > needed; i++) {
    struct tn_plan_pair *pair = order[i].pair;
    const struct tn_storage from = {.place = TN_IN_ARENA, .index = (int64_t)pair->from},
                            to = {.place = TN_IN_ARENA, .index = (int64_t)pair->to};
    tn_pass_at(pass, pair->kernel);
    if (!pass->options->reach(pass->options->user, pair->kernel, &from, &to, least, &pair->reach))
      pair->reach.rows = 0;
    int64_t rest = order[i].live - tn_plan_saves(pair, buffers);
    if (rest == order[i].live)
      pair->reach.rows = 0;
    needed = rest > needed ? rest : needed;
    some |= pair->reach.rows > 0;
  }
  return some;
}
