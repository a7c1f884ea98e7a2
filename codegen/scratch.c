/* Where kernels' scratch lies: above all that is alive while the kernel runs, which is often below the arena's
 * end.
 *
 * Values of the main graph are alive from the node that makes them to the last one that reads them; what
 * happens inside of an if or a loop happens when that runs.  The plan gave values that share memory the same
 * place, so each one's own range and lifetime say enough.  Kernels inside of ifs and loops have their scratch
 * behind the arena. */
#include "codegen/internal.h"

#include <stdlib.h>

/* Number of the node of the main graph that the node is, or is inside of. */
static int64_t time_of(const struct tn_graph *main, const int64_t *time, const struct tn_node *node) {
  while (node->home != main)
    node = node->home->owner;
  return node->out_count ? time[node->out[0]->id] : INT64_MAX;
}

struct tn_range {
  int64_t begin, end; /* bytes */
  int64_t first, last;
};

struct tn_scratch {
  const struct tn_module *module;
  int64_t *time;                  /* by id of a result of a node of the main graph */
  TN_VEC(struct tn_range) ranges; /* by their begin */
};

/* Behind the value's last byte. */
static int64_t end_of(const struct tn_module *m, const struct tn_value *value) {
  int64_t elements;
  const struct tn_window *window = value->storage.window;
  if (!tn_type_count(&value->type, &elements))
    return m->arena_bytes;
  if (window && elements) {
    elements = window->offset + 1;
    for (int d = 0; d < value->type.rank; d++)
      elements += (value->type.dim[d] - 1) * window->stride[d];
  }
  return value->storage.index + elements * (int64_t)tn_dtype_size(value->type.dtype);
}

static void add_range(tn_arena *arena, struct tn_scratch *s, const struct tn_value *value) {
  const struct tn_graph *main = s->module->main;
  if (value->storage.place != TN_IN_ARENA)
    return;
  struct tn_range r = {value->storage.index, end_of(s->module, value), s->time[value->id], s->time[value->id]};
  for (size_t i = 0; i < value->uses.count; i++) {
    int64_t at = time_of(main, s->time, value->uses.at[i].node);
    r.last = at > r.last ? at : r.last;
  }
  for (size_t i = 0; i < value->output_of.count; i++) {
    const struct tn_graph *graph = value->output_of.at[i];
    int64_t at = graph == main ? INT64_MAX : time_of(main, s->time, graph->owner);
    r.last = at > r.last ? at : r.last;
  }
  TN_PUSH(arena, &s->ranges, r);
}

static int by_begin(const void *x, const void *y) {
  const struct tn_range *a = x, *b = y;
  return (a->begin > b->begin) - (a->begin < b->begin);
}

struct tn_scratch *tn_scratch_create(tn_arena *arena, const struct tn_module *m) {
  struct tn_scratch *s = TN_NEW(arena, struct tn_scratch);
  int64_t now = 0;
  s->module = m;
  s->time = TN_NEW_ARRAY(arena, int64_t, m->next_id + 1);
  for (const struct tn_node *node = m->main->first; node; node = node->next, now++)
    for (int i = 0; i < node->out_count; i++)
      s->time[node->out[i]->id] = now;
  for (const struct tn_node *node = m->main->first; node; node = node->next)
    for (int i = 0; i < node->out_count; i++)
      add_range(arena, s, node->out[i]);
  if (s->ranges.count > 0) /* qsort takes no NULL */
    qsort(s->ranges.at, s->ranges.count, sizeof s->ranges.at[0], by_begin);
  return s;
}

int64_t tn_scratch_place(const struct tn_scratch *s, const struct tn_node *kernel, int64_t bytes) {
  if (kernel->home != s->module->main)
    return tn_round_up(s->module->arena_bytes, 64);
  int64_t at = 0, now = s->time[kernel->out[0]->id];
  for (size_t i = 0; i < s->ranges.count; i++) {
    const struct tn_range *r = &s->ranges.at[i];
    if (r->first <= now && now <= r->last && r->begin < at + bytes && r->end > at)
      at = tn_round_up(r->end, 64);
  }
  return at;
}
