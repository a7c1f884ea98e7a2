/* The arena: buffers with lifetimes, placed at offsets so that those alive together do not overlap.
 *
 * Finding the smallest arena is NP-hard; best fit in a good order comes close.  Buffers are placed one after
 * the other, each into the smallest gap that holds it among the buffers already placed that live at some common
 * time.  Several orders are tried, and the smallest arena is kept; the first of equals, so that the result
 * depends on nothing else. */
#include "passes/passes.h"

#include <stdlib.h>

struct item {
  int64_t bytes;
  int32_t first, last;
  uint32_t index;
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

/* offsets: by item->index. */
static int64_t place(struct item *items, size_t count, order compare, const struct item **placed,
                     int64_t *offsets) {
  qsort(items, count, sizeof *items, compare);
  int64_t peak = 0;
  for (size_t i = 0; i < count; i++) {
    int64_t offset = best_fit(&items[i], placed, offsets, i);
    size_t at = i;
    for (; at > 0 && offsets[placed[at - 1]->index] > offset; at--)
      placed[at] = placed[at - 1];
    placed[at] = &items[i];
    offsets[items[i].index] = offset;
    if (offset + items[i].bytes > peak)
      peak = offset + items[i].bytes;
  }
  return peak;
}

static int64_t busiest(tn_arena *scratch, const struct item *items, size_t count) {
  int32_t end = 0;
  for (size_t i = 0; i < count; i++)
    end = items[i].last > end ? items[i].last : end;
  int64_t *change = TN_NEW_ARRAY(scratch, int64_t, (size_t)end + 2), live = 0, most = 0;
  for (size_t i = 0; i < count; i++) {
    change[items[i].first] += items[i].bytes;
    change[items[i].last + 1] -= items[i].bytes;
  }
  for (int32_t t = 0; t <= end; t++) {
    live += change[t];
    most = live > most ? live : most;
  }
  return most;
}

int64_t tn_plan_arena(tn_arena *scratch, struct tn_plan_buffer *buffers, size_t count, int64_t *low_bound) {
  static const order orders[] = {by_size, by_area, by_duration, by_start};
  struct item *items = TN_NEW_ARRAY(scratch, struct item, count);
  for (size_t i = 0; i < count; i++)
    items[i] = (struct item){tn_round_up(buffers[i].bytes, TN_PLAN_ALIGN), buffers[i].first, buffers[i].last,
                             (uint32_t)i};
  *low_bound = count ? busiest(scratch, items, count) : 0;
  const struct item **placed = TN_NEW_ARRAY(scratch, const struct item *, count);
  int64_t *offsets = TN_NEW_ARRAY(scratch, int64_t, count), best = INT64_MAX;
  for (size_t k = 0; k < TN_COUNT(orders) && best > *low_bound; k++) {
    int64_t peak = place(items, count, orders[k], placed, offsets);
    if (peak >= best)
      continue;
    best = peak;
    for (size_t i = 0; i < count; i++)
      buffers[i].offset = offsets[i];
  }
  return count ? best : 0;
}
