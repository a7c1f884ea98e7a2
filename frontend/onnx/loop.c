/* Loops of tensor IR; see loop.h. */
#include "frontend/onnx/loop.h"

void tn_onnx_loop_open(struct tn_onnx_node *n, val trip, val cond, int carried, val *initial, int scanned,
                       struct tn_onnx_loop *loop, val *inside) {
  int count = 2 + carried;
  val *in = TN_NEW_ARRAY(n->arena, val, count);
  in[0] = trip;
  in[1] = cond;
  for (int i = 0; i < carried; i++)
    in[2 + i] = initial[i];
  loop->node = tn_node_make(n->b, TN_LOOP, count, in, carried + scanned);
  loop->body = tn_graph_create(module_of(n), loop->node);
  loop->iteration =
      tn_graph_input(loop->body, tn_printf(n->arena, "%s.iteration", n->b->name), tn_type_scalar(TN_I64));
  loop->cond =
      tn_graph_input(loop->body, tn_printf(n->arena, "%s.going_on", n->b->name), tn_type_scalar(TN_BOOL));
  for (int i = 0; i < carried; i++) {
    struct tn_type type = initial[i]->type;
    type.quant = NULL;
    inside[i] = tn_graph_input(loop->body, tn_printf(n->arena, "%s.carried", n->b->name), type);
  }
  loop->b = tn_build_at_end(loop->body);
  loop->b.name = n->b->name;
  loop->b.origin = n->b->origin;
}

void tn_onnx_loop_count(struct tn_onnx_node *n, int64_t trip, int carried, val *initial, int scanned,
                        struct tn_onnx_loop *loop, val *inside) {
  val yes = tn_constant_bytes(n->b, tn_type_scalar(TN_BOOL), &(uint8_t){1});
  tn_onnx_loop_open(n, tn_const_int(n->b, TN_I64, trip), yes, carried, initial, scanned, loop, inside);
}

void tn_onnx_loop_close(struct tn_onnx_node *n, struct tn_onnx_loop *loop, int64_t trip, val cond, int carried,
                        val *next, int scanned, val *scans, val *results) {
  tn_graph_output(loop->body, cond ? cond : loop->cond);
  for (int i = 0; i < carried; i++)
    tn_graph_output(loop->body, next[i]);
  for (int i = 0; i < scanned; i++)
    tn_graph_output(loop->body, scans[i]);
  tn_set_int(loop->node, TN_LOOP_trip, trip);
  if (!tn_finish(n->b, loop->node))
    tn_fail_now(module_of(n)->ctx);
  for (int i = 0; i < carried + scanned; i++)
    results[i] = loop->node->out[i];
}

val tn_onnx_element(struct tn_build *b, val x, val at, int axis) {
  return tn_gather(b, x, at, axis);
}

val tn_onnx_stack(struct tn_build *b, int axis, size_t count, val *xs) {
  val *rows = TN_NEW_ARRAY(b->graph->module->arena, val, count + 1);
  for (size_t i = 0; i < count; i++)
    rows[i] = tn_onnx_unsqueeze(b, xs[i], axis);
  return count == 1 ? rows[0] : tn_concat(b, axis, (int)count, rows);
}

val tn_onnx_reverse(struct tn_onnx_node *n, val x, int axis) {
  int64_t starts[TN_MAX_RANK], steps[TN_MAX_RANK], sizes[TN_MAX_RANK];
  for (int i = 0; i < x->type.rank; i++) {
    starts[i] = i == axis ? tn_onnx_extent(n, x, i, "a reversed tensor") - 1 : 0;
    steps[i] = i == axis ? -1 : 1;
    sizes[i] = x->type.dim[i];
  }
  return tn_slice(n->b, x, starts, steps, sizes);
}

/* ---- regions that come to nothing ---------------------------------------------------------------------- */

static bool is_inserted(const struct tn_node *node) {
  return node->prev || node->next || node->home->first == node;
}

/* The node is in a graph that is being built: `graph`, one around it, or a region in one of them. */
static bool is_alive(const struct tn_node *node, const struct tn_graph *graph) {
  while (is_inserted(node)) {
    for (const struct tn_graph *g = graph; g; g = g->owner ? g->owner->home : NULL)
      if (node->home == g)
        return true;
    if (!node->home->owner)
      return false;
    node = node->home->owner;
  }
  return false;
}

static void keep_live_uses(struct tn_value *value, const struct tn_graph *graph) {
  size_t kept = 0;
  for (size_t i = 0; i < value->uses.count; i++)
    if (is_alive(value->uses.at[i].node, graph))
      value->uses.at[kept++] = value->uses.at[i];
  value->uses.count = kept;
  kept = 0;
  for (size_t i = 0; i < value->output_of.count; i++) {
    struct tn_graph *owner = value->output_of.at[i];
    if (!owner->owner || is_alive(owner->owner, graph))
      value->output_of.at[kept++] = owner;
  }
  value->output_of.count = kept;
}

static void free_names(struct tn_graph *graph) {
  struct tn_map *names = &graph->module->names;
  for (struct tn_node *node = graph->first; node; node = node->next) {
    for (int i = 0; i < node->out_count; i++)
      if (tn_map_get(names, node->out[i]->name) == node->out[i])
        tn_map_set(names, node->out[i]->name, NULL);
    for (int r = 0; r < node->region_count; r++)
      free_names(node->region[r]);
  }
  for (size_t i = 0; i < graph->inputs.count; i++)
    if (tn_map_get(names, graph->inputs.at[i]->name) == graph->inputs.at[i])
      tn_map_set(names, graph->inputs.at[i]->name, NULL);
}

void tn_onnx_abandon(struct tn_onnx_node *n, struct tn_graph *region) {
  free_names(region);
  for (struct tn_graph *g = n->b->graph; g; g = g->owner ? g->owner->home : NULL) {
    for (size_t i = 0; i < g->inputs.count; i++)
      keep_live_uses(g->inputs.at[i], n->b->graph);
    for (struct tn_node *node = g->first; node; node = node->next)
      for (int i = 0; i < node->out_count; i++)
        keep_live_uses(node->out[i], n->b->graph);
  }
}
