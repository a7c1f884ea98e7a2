/* The arena: buffers with lifetimes, placed at offsets so that those alive together do not overlap.
 *
 * Finding the smallest arena is NP-hard; best fit in a good order comes close.  Buffers are placed one after
 * the other, each into the smallest gap that holds it among the buffers already placed that live at some common
 * time.  Several orders are tried, and the smallest arena is kept; the first of equals, so that the result
 * depends on nothing else. */
#include "passes/plan.h"

#include <stdlib.h>

struct item {
  int64_t bytes;
  int32_t first, last;
  uint32_t index;
  bool paired; /* some pair is about it */
};

typedef int (*order)(const void *x, const void *y);

static int by_place(const struct item *a, const struct item *b) {
  if (a->first != b->first)
    return a->first < b->first ? -1 : 1;
  return (a->index > b->index) - (a->index < b->index);
}

static int by_size(const void *x, const void *y) {
  const struct item *a = x, *b = y;
  if (a->bytes != b->bytes)
    return a->bytes > b->bytes ? -1 : 1;
  return by_place(a, b);
}

static int by_start(const void *x, const void *y) {
  const struct item *a = x, *b = y;
  if (a->first != b->first)
    return a->first < b->first ? -1 : 1;
  return by_size(x, y);
}

static int by_duration(const void *x, const void *y) {
  const struct item *a = x, *b = y;
  if (a->last - a->first != b->last - b->first)
    return a->last - a->first > b->last - b->first ? -1 : 1;
  return by_size(x, y);
}

static int by_area(const void *x, const void *y) {
  const struct item *a = x, *b = y;
  double left = (double)a->bytes * (a->last - a->first + 1),
         right = (double)b->bytes * (b->last - b->first + 1);
  if (left != right)
    return left > right ? -1 : 1;
  return by_size(x, y);
}

/* Offset of the smallest gap that holds the item; the lowest of equals, the end when there is none.
 * placed: by ascending offset. */
static int64_t best_fit(const struct item *item, const struct item *const *placed, const int64_t *offsets,
                        size_t count) {
  int64_t best = -1, best_gap = INT64_MAX, end = 0;
  for (size_t i = 0; i < count; i++) {
    const struct item *other = placed[i];
    if (other->last < item->first || other->first > item->last)
      continue;
    int64_t offset = offsets[other->index], gap = offset - end;
    if (gap >= item->bytes && gap < best_gap) {
      best = end;
      best_gap = gap;
    }
    if (offset + other->bytes > end)
      end = offset + other->bytes;
  }
  return best >= 0 ? best : end;
}

/* Where an item must not begin because of another one: lo < offset < hi. */
struct barred {
  int64_t lo, hi;
};

struct placing {
  const struct item **placed; /* [count], by ascending offset */
  int64_t *offsets;           /* [count], by item->index */
  size_t count;
  const struct tn_plan_pair *pairs;
  size_t pair_count;
  struct barred *barred; /* [count] */
};

static struct barred barred_by(const struct placing *p, const struct item *item, const struct item *other) {
  int64_t at = p->offsets[other->index];
  struct barred b = {at - item->bytes, at + other->bytes};
  for (size_t i = 0; i < p->pair_count && item->paired && other->paired; i++) {
    const struct tn_plan_pair *pair = &p->pairs[i];
    int64_t below = tn_round_up(pair->reach.below, TN_PLAN_ALIGN),
            above = tn_round_up(pair->reach.above, TN_PLAN_ALIGN);
    bool starts = pair->from == other->index && pair->to == item->index; /* the item is the result */
    if (pair->reach.rows == 0 || (!starts && (pair->to != other->index || pair->from != item->index)))
      continue;
    int64_t lo = at - (starts ? below : above), hi = at + (starts ? above : below);
    b.lo = lo > b.lo ? lo : b.lo;
    b.hi = hi < b.hi ? hi : b.hi;
  }
  return b;
}

/* best_fit for an item that may overlap others. */
static int64_t best_overlap(struct placing *p, const struct item *item, size_t count) {
  size_t barred = 0;
  for (size_t i = 0; i < count; i++) {
    const struct item *other = p->placed[i];
    if (other->last < item->first || other->first > item->last)
      continue;
    struct barred b = barred_by(p, item, other);
    size_t at = barred;
    if (b.hi - b.lo < 2)
      continue;
    for (; at > 0 && p->barred[at - 1].lo > b.lo; at--)
      p->barred[at] = p->barred[at - 1];
    p->barred[at] = b;
    barred++;
  }
  int64_t best = -1, best_gap = INT64_MAX, end = 0;
  for (size_t i = 0; i < barred; i++) {
    int64_t gap = p->barred[i].lo - end;
    if (gap >= 0 && gap < best_gap) {
      best = end;
      best_gap = gap;
    }
    end = p->barred[i].hi > end ? p->barred[i].hi : end;
  }
  return best >= 0 ? best : end;
}

static int64_t place(struct placing *p, const struct item *items) {
  int64_t peak = 0;
  for (size_t i = 0; i < p->count; i++) {
    int64_t offset =
        items[i].paired ? best_overlap(p, &items[i], i) : best_fit(&items[i], p->placed, p->offsets, i);
    size_t at = i;
    for (; at > 0 && p->offsets[p->placed[at - 1]->index] > offset; at--)
      p->placed[at] = p->placed[at - 1];
    p->placed[at] = &items[i];
    p->offsets[items[i].index] = offset;
    if (offset + items[i].bytes > peak)
      peak = offset + items[i].bytes;
  }
  return peak;
}

int64_t tn_plan_saves(const struct tn_plan_pair *pair, const struct tn_plan_buffer *buffers) {
  int64_t from = tn_round_up(buffers[pair->from].bytes, TN_PLAN_ALIGN),
          to = tn_round_up(buffers[pair->to].bytes, TN_PLAN_ALIGN);
  int64_t up = tn_round_up(pair->reach.below, TN_PLAN_ALIGN) + from,
          down = tn_round_up(pair->reach.above, TN_PLAN_ALIGN) + to;
  int64_t span = up < down ? up : down, most = from > to ? from : to;
  span = span > most ? span : most;
  return pair->reach.rows > 0 && span < from + to ? from + to - span : 0;
}

int64_t *tn_plan_live(tn_arena *scratch, const struct tn_plan_buffer *buffers, size_t count, int32_t *end) {
  *end = 0;
  for (size_t i = 0; i < count; i++)
    *end = buffers[i].last > *end ? buffers[i].last : *end;
  int64_t *live = TN_NEW_ARRAY(scratch, int64_t, (size_t)*end + 2);
  for (size_t i = 0; i < count; i++) {
    live[buffers[i].first] += tn_round_up(buffers[i].bytes, TN_PLAN_ALIGN);
    live[buffers[i].last + 1] -= tn_round_up(buffers[i].bytes, TN_PLAN_ALIGN);
  }
  for (int32_t t = 1; t <= *end; t++)
    live[t] += live[t - 1];
  return live;
}

static int64_t busiest(tn_arena *scratch, const struct tn_plan_buffer *buffers, size_t count,
                       const struct tn_plan_pair *pairs, size_t pair_count) {
  int32_t end;
  int64_t *live = tn_plan_live(scratch, buffers, count, &end), most = 0;
  for (size_t i = 0; i < pair_count; i++)
    live[pairs[i].at] -= tn_plan_saves(&pairs[i], buffers);
  for (int32_t t = 0; t <= end; t++)
    most = live[t] > most ? live[t] : most;
  return most;
}

/* ---- search -------------------------------------------------------------------------------------------- */

#define SEARCH_STEPS (INT64_C(1) << 26) /* looks at a placed buffer; about a tenth of a second */
#define SEARCH_ROUNDS 4000

static uint32_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*state >> 33);
}

static bool meet(const struct item *a, const struct item *b) {
  return a->first <= b->last && b->first <= a->last;
}

/* Changes the order: a buffer that reaches the peak moves before one that it meets and that stood before it.
 * False: there is none. */
static bool mend(struct item *items, size_t count, const int64_t *offsets, int64_t peak, uint64_t *random) {
  size_t top = count, seen = 0, to = count;
  for (size_t i = 0; i < count; i++)
    if (offsets[items[i].index] + items[i].bytes == peak && next_random(random) % ++seen == 0)
      top = i;
  seen = 0;
  for (size_t i = 0; i < top; i++)
    if (meet(&items[i], &items[top]) && next_random(random) % ++seen == 0)
      to = i;
  if (to >= top)
    return false;
  struct item moved = items[top];
  memmove(&items[to + 1], &items[to], (top - to) * sizeof *items);
  items[to] = moved;
  return true;
}

/* From the order in `items`, whose peak is `best`.  Leaves the offsets of the best order found in `kept`. */
static int64_t search(tn_arena *scratch, struct placing *p, struct item *items, int64_t best, int64_t bound,
                      int64_t *kept) {
  struct item *trial = TN_NEW_ARRAY(scratch, struct item, p->count);
  int64_t rounds = SEARCH_STEPS / (int64_t)(p->count * p->count + 1), current = best;
  uint64_t random = 1;
  rounds = rounds < SEARCH_ROUNDS ? rounds : SEARCH_ROUNDS;
  place(p, items);
  for (int64_t round = 0; round < rounds && best > bound; round++) {
    memcpy(trial, items, p->count * sizeof *items);
    if (!mend(trial, p->count, p->offsets, current, &random))
      break;
    int64_t peak = place(p, trial);
    /* A little worse is taken now and then, to get out of a dead end. */
    if (peak > current && next_random(&random) % 64 != 0) {
      place(p, items);
      continue;
    }
    memcpy(items, trial, p->count * sizeof *items);
    current = peak;
    if (peak < best) {
      best = peak;
      memcpy(kept, p->offsets, p->count * sizeof *kept);
    }
  }
  return best;
}

int64_t tn_plan_arena(tn_arena *scratch, struct tn_plan_buffer *buffers, size_t count,
                      const struct tn_plan_pair *pairs, size_t pair_count, int64_t *low_bound) {
  static const order orders[] = {by_size, by_area, by_duration, by_start};
  struct item *items = TN_NEW_ARRAY(scratch, struct item, count),
              *first = TN_NEW_ARRAY(scratch, struct item, count);
  for (size_t i = 0; i < count; i++)
    items[i] = (struct item){tn_round_up(buffers[i].bytes, TN_PLAN_ALIGN), buffers[i].first, buffers[i].last,
                             (uint32_t)i, false};
  for (size_t i = 0; i < pair_count; i++)
    if (pairs[i].reach.rows != 0)
      items[pairs[i].from].paired = items[pairs[i].to].paired = true;
  *low_bound = count ? busiest(scratch, buffers, count, pairs, pair_count) : 0;
  struct placing p = {.placed = TN_NEW_ARRAY(scratch, const struct item *, count),
                      .offsets = TN_NEW_ARRAY(scratch, int64_t, count),
                      .count = count,
                      .pairs = pairs,
                      .pair_count = pair_count,
                      .barred = TN_NEW_ARRAY(scratch, struct barred, count + 1)};
  int64_t *kept = TN_NEW_ARRAY(scratch, int64_t, count), best = count ? INT64_MAX : 0;
  for (size_t k = 0; k < TN_COUNT(orders) && best > *low_bound; k++) {
    qsort(items, count, sizeof *items, orders[k]);
    int64_t peak = place(&p, items);
    if (peak >= best)
      continue;
    best = peak;
    memcpy(kept, p.offsets, count * sizeof *kept);
    memcpy(first, items, count * sizeof *items);
  }
  if (best > *low_bound)
    best = search(scratch, &p, first, best, *low_bound, kept);
  for (size_t i = 0; i < count; i++)
    buffers[i].offset = kept[i];
  return best;
}
