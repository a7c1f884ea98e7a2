/* Changing a graph: uses, replacement, removal, deep copies.
 *
 * A value's `uses` hold one entry for each operand slot of an inserted node, and `output_of` one for each place
 * in a graph's outputs, so that replacing a value costs what it is used and no more. */
#include "ir/ir.h"

struct tn_build tn_build_before(struct tn_node *node) {
  return (struct tn_build){node->home, node, node->name, node->origin};
}

struct tn_build tn_build_at_end(struct tn_graph *graph) {
  return (struct tn_build){graph, NULL, NULL, NULL};
}

/* ---- uses ---------------------------------------------------------------------------------------------- */

static bool is_inserted(const struct tn_node *node) {
  return node->prev || node->next || node->home->first == node;
}

/* Order of uses is order of insertion and means nothing, but it is kept: the same input gives the same output.
 */
static void drop_use(struct tn_value *value, const struct tn_node *node, int index) {
  for (size_t i = 0; i < value->uses.count; i++)
    if (value->uses.at[i].node == node && value->uses.at[i].index == index) {
      value->uses.count--;
      memmove(&value->uses.at[i], &value->uses.at[i + 1], (value->uses.count - i) * sizeof value->uses.at[0]);
      return;
    }
  tn_bug(value->home->module->ctx, "value '%s': its use as operand %d of node '%s' is not on record",
         value->name, index, node->name);
}

static void drop_output(struct tn_value *value, const struct tn_graph *graph) {
  for (size_t i = 0; i < value->output_of.count; i++)
    if (value->output_of.at[i] == graph) {
      value->output_of.count--;
      memmove(&value->output_of.at[i], &value->output_of.at[i + 1],
              (value->output_of.count - i) * sizeof value->output_of.at[0]);
      return;
    }
  tn_bug(value->home->module->ctx, "value '%s': its use as a graph output is not on record", value->name);
}

void tn_node_set_input(struct tn_node *node, int index, struct tn_value *value) {
  struct tn_value *old = node->in[index];
  node->in[index] = value;
  if (old == value || !is_inserted(node))
    return;
  if (old)
    drop_use(old, node, index);
  if (value)
    TN_PUSH(node->home->module->arena, &value->uses, (struct tn_use){node, index});
}

void tn_graph_set_output(struct tn_graph *graph, size_t index, struct tn_value *value) {
  drop_output(graph->outputs.at[index], graph);
  graph->outputs.at[index] = value;
  TN_PUSH(graph->module->arena, &value->output_of, graph);
}

bool tn_value_is_output(const struct tn_value *value) {
  return value->output_of.count != 0;
}

bool tn_value_unused(const struct tn_value *value) {
  return value->uses.count == 0 && value->output_of.count == 0;
}

/* ---- replacing, removing ------------------------------------------------------------------------------- */

/* The user knows the result by the old value's name; a name made up gives way to it. */
static void hand_on_name(struct tn_value *from, struct tn_value *to) {
  if (!from->named || to->named)
    return;
  struct tn_map *names = &from->home->module->names;
  const char *name = from->name;
  from->name = to->name;
  to->name = name;
  from->named = false;
  to->named = true;
  tn_map_set(names, from->name, from);
  tn_map_set(names, to->name, to);
}

void tn_replace_value(struct tn_value *from, struct tn_value *to) {
  tn_arena *arena = from->home->module->arena;
  if (from == to)
    return;
  for (size_t i = 0; i < from->uses.count; i++) {
    struct tn_use use = from->uses.at[i];
    use.node->in[use.index] = to;
    TN_PUSH(arena, &to->uses, use);
  }
  from->uses.count = 0;
  for (size_t i = 0; i < from->output_of.count; i++) {
    struct tn_graph *graph = from->output_of.at[i];
    size_t place = 0;
    while (place < graph->outputs.count && graph->outputs.at[place] != from)
      place++;
    if (place == graph->outputs.count)
      tn_bug(graph->module->ctx, "value '%s' is on record as a graph output and is none", from->name);
    graph->outputs.at[place] = to;
    TN_PUSH(arena, &to->output_of, graph);
  }
  from->output_of.count = 0;
  hand_on_name(from, to);
}

/* Gives up what the node and everything in its regions uses.  Regions nest as deep as the model's text, whose
 * reader limits it. */
static void drop_operands(struct tn_node *node) {
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i])
      drop_use(node->in[i], node, i);
  for (int r = 0; r < node->region_count; r++) {
    struct tn_graph *graph = node->region[r];
    for (size_t i = 0; i < graph->outputs.count; i++)
      drop_output(graph->outputs.at[i], graph);
    for (struct tn_node *inner = graph->last; inner; inner = inner->prev)
      drop_operands(inner);
  }
}

void tn_node_remove(struct tn_node *node) {
  struct tn_graph *graph = node->home;
  for (int i = 0; i < node->out_count; i++)
    if (!tn_value_unused(node->out[i]))
      tn_bug(graph->module->ctx, "node '%s' is removed while '%s' is in use", node->name, node->out[i]->name);
  drop_operands(node);
  *(node->prev ? &node->prev->next : &graph->first) = node->next;
  *(node->next ? &node->next->prev : &graph->last) = node->prev;
  node->prev = node->next = NULL;
  for (int i = 0; i < node->out_count; i++)
    if (tn_map_get(&graph->module->names, node->out[i]->name) == node->out[i])
      tn_map_set(&graph->module->names, node->out[i]->name, NULL); /* free to take again */
}

/* ---- copying ------------------------------------------------------------------------------------------- */

/* Source value -> copy: open addressing on the values' ids. */
struct copies {
  tn_arena *arena;
  const struct tn_value **from;
  struct tn_value **to;
  size_t count, cap; /* cap: 0 or a power of two, at least twice count */
};

static size_t copies_slot(const struct copies *map, const struct tn_value *value) {
  size_t i = (value->id * UINT32_C(2654435769)) & (map->cap - 1);
  while (map->from[i] && map->from[i] != value)
    i = (i + 1) & (map->cap - 1);
  return i;
}

static void copies_set(struct copies *map, const struct tn_value *from, struct tn_value *to) {
  if (2 * (map->count + 1) > map->cap) {
    struct copies old = *map;
    map->cap = old.cap ? 2 * old.cap : 64;
    map->from = TN_NEW_ARRAY(map->arena, const struct tn_value *, map->cap);
    map->to = TN_NEW_ARRAY(map->arena, struct tn_value *, map->cap);
    for (size_t i = 0; i < old.cap; i++)
      if (old.from[i]) {
        size_t slot = copies_slot(map, old.from[i]);
        map->from[slot] = old.from[i];
        map->to[slot] = old.to[i];
      }
  }
  size_t slot = copies_slot(map, from);
  map->count += map->from[slot] == NULL;
  map->from[slot] = from;
  map->to[slot] = to;
}

/* A value of a graph around the copied one stands for itself. */
static struct tn_value *copies_get(const struct copies *map, struct tn_value *value) {
  if (!value || map->cap == 0)
    return value;
  size_t slot = copies_slot(map, value);
  return map->from[slot] ? map->to[slot] : value;
}

static void copy_nodes(struct copies *map, const struct tn_graph *source, struct tn_graph *into,
                       struct tn_node *before);

static void copy_region(struct copies *map, const struct tn_graph *source, struct tn_node *owner) {
  struct tn_graph *graph = tn_graph_create(owner->home->module, owner);
  for (size_t i = 0; i < source->inputs.count; i++) {
    const struct tn_value *input = source->inputs.at[i];
    copies_set(map, input, tn_graph_input(graph, input->name, input->type));
  }
  copy_nodes(map, source, graph, NULL);
  for (size_t i = 0; i < source->outputs.count; i++)
    tn_graph_output(graph, copies_get(map, source->outputs.at[i]));
}

static void copy_nodes(struct copies *map, const struct tn_graph *source, struct tn_graph *into,
                       struct tn_node *before) {
  for (const struct tn_node *node = source->first; node; node = node->next) {
    struct tn_build b = {into, before, node->name, node->origin};
    struct tn_value **in = TN_NEW_ARRAY(map->arena, struct tn_value *, node->in_count + 1);
    for (int i = 0; i < node->in_count; i++)
      in[i] = copies_get(map, node->in[i]);
    struct tn_node *copy = tn_node_make(&b, node->op, node->in_count, in, node->out_count);
    memcpy(copy->attr, node->attr, sizeof copy->attr); /* what they point at is never changed */
    for (int i = 0; i < node->out_count; i++) {
      bool named = node->out[i]->named;
      tn_value_rename(copy->out[i], node->out[i]->name);
      copy->out[i]->named = named;
      copy->out[i]->type.quant = node->out[i]->type.quant;
      copies_set(map, node->out[i], copy->out[i]);
    }
    for (int r = 0; r < node->region_count; r++)
      copy_region(map, node->region[r], copy);
    if (!tn_finish(&b, copy))
      tn_fail_now(into->module->ctx);
  }
}

void tn_graph_inline(const struct tn_graph *source, struct tn_graph *into, struct tn_node *before,
                     struct tn_value *const *args, struct tn_value **outs) {
  struct copies map = {.arena = tn_arena_create(into->module->ctx)};
  for (size_t i = 0; i < source->inputs.count; i++)
    copies_set(&map, source->inputs.at[i], args[i]);
  copy_nodes(&map, source, into, before);
  for (size_t i = 0; i < source->outputs.count; i++)
    outs[i] = copies_get(&map, source->outputs.at[i]);
  tn_arena_destroy(map.arena);
}
