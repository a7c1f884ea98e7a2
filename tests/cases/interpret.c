/* A module run by the definitions of its nodes: each node's nest is interpreted, on the values before it.  What
 * an if and a loop do is written here, from ops.def. */
#include "tests/cases/cases.h"

#include "codegen/nest.h"

struct machine {
  tn_ctx *ctx;
  struct tn_map data; /* value name -> struct tn_tensor */
};

static const struct tn_tensor *value_of(struct machine *m, const struct tn_value *v) {
  const struct tn_tensor *constant = tn_value_tensor(v),
                         *found = constant ? constant : tn_map_get(&m->data, v->name);
  if (!found)
    tn_bug(m->ctx, "'%s' has no value when it is read", v->name);
  return found;
}

static void set(struct machine *m, const struct tn_value *v, const void *data) {
  struct tn_tensor *t = TN_NEW(tn_ctx_arena(m->ctx), struct tn_tensor);
  int64_t bytes;
  if (!tn_type_bytes(&v->type, &bytes))
    tn_bug(m->ctx, "'%s' has no known size", v->name);
  *t = (struct tn_tensor){v->type, data, (size_t)bytes};
  tn_map_set(&m->data, v->name, t);
}

static void *room(struct machine *m, const struct tn_value *v) {
  int64_t bytes;
  if (!tn_type_bytes(&v->type, &bytes))
    tn_bug(m->ctx, "'%s' has no known size", v->name);
  return tn_alloc_raw(tn_ctx_arena(m->ctx), (size_t)bytes + 64, 64);
}

static bool run_graph(struct machine *m, const struct tn_graph *graph);

static bool run_node(struct machine *m, struct tn_node *node) {
  tn_arena *arena = tn_ctx_arena(m->ctx);
  struct tn_nest *nest = tn_lower_node(arena, node);
  if (!nest)
    return false;
  for (int i = 0; i < node->out_count; i++)
    set(m, node->out[i], room(m, node->out[i]));
  void **data = TN_NEW_ARRAY(arena, void *, nest->param_count + 1);
  for (size_t i = 0; i < nest->bufs.count; i++) {
    const struct tn_buf *b = nest->bufs.at[i];
    if (b->param >= 0)
      data[b->param] = (void *)(uintptr_t)(b->data ? b->data->data : value_of(m, b->value)->data);
  }
  return tn_interpret(m->ctx, nest, data);
}

static bool run_if(struct machine *m, const struct tn_node *node) {
  const struct tn_graph *taken = node->region[tn_tensor_int(value_of(m, node->in[0]), 0) ? 0 : 1];
  if (!run_graph(m, taken))
    return false;
  for (int i = 0; i < node->out_count; i++)
    set(m, node->out[i], value_of(m, taken->outputs.at[i])->data);
  return true;
}

/* Results: carried values, then what each iteration scanned, one after the other. */
static bool run_loop(struct machine *m, const struct tn_node *node) {
  const struct tn_graph *body = node->region[0];
  int carried = node->in_count - 2;
  int64_t trips = node->in[0] ? tn_tensor_int(value_of(m, node->in[0]), 0) : INT64_MAX;
  bool go = !node->in[1] || tn_tensor_int(value_of(m, node->in[1]), 0);
  const void *now[TN_MAX_RANK];
  char *scanned[TN_MAX_RANK] = {NULL};
  if (carried > TN_MAX_RANK || node->out_count - carried > TN_MAX_RANK)
    tn_bug(m->ctx, "a loop of more values than tests have");
  for (int i = 0; i < carried; i++)
    now[i] = value_of(m, node->in[2 + i])->data;
  for (int i = carried; i < node->out_count; i++)
    scanned[i - carried] = room(m, node->out[i]);
  for (int64_t trip = 0; trip < trips && go; trip++) {
    int64_t *number = room(m, body->inputs.at[0]);
    bool *condition = room(m, body->inputs.at[1]);
    *number = trip;
    *condition = go;
    set(m, body->inputs.at[0], number);
    set(m, body->inputs.at[1], condition);
    for (int i = 0; i < carried; i++)
      set(m, body->inputs.at[2 + i], now[i]);
    if (!run_graph(m, body))
      return false;
    go = tn_tensor_int(value_of(m, body->outputs.at[0]), 0);
    for (int i = 0; i < carried; i++)
      now[i] = value_of(m, body->outputs.at[1 + i])->data;
    for (int i = carried; i < node->out_count; i++) {
      const struct tn_tensor *row = value_of(m, body->outputs.at[1 + i]);
      memcpy(scanned[i - carried] + (size_t)trip * row->bytes, row->data, row->bytes);
    }
  }
  for (int i = 0; i < node->out_count; i++)
    set(m, node->out[i], i < carried ? now[i] : scanned[i - carried]);
  return true;
}

static bool run_graph(struct machine *m, const struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next)
    if (node->op != TN_CONSTANT && !(node->op == TN_IF     ? run_if(m, node)
                                     : node->op == TN_LOOP ? run_loop(m, node)
                                                           : run_node(m, node)))
      return false;
  return true;
}

bool tn_case_interpret(struct tn_module *module, const struct tn_tensor *inputs, struct tn_tensor *outputs) {
  struct machine m = {.ctx = module->ctx};
  tn_map_init(&m.data, tn_ctx_arena(m.ctx));
  for (size_t i = 0; i < module->main->inputs.count; i++)
    set(&m, module->main->inputs.at[i], inputs[i].data);
  if (!run_graph(&m, module->main))
    return false;
  for (size_t i = 0; i < module->main->outputs.count; i++)
    outputs[i] = *value_of(&m, module->main->outputs.at[i]);
  return true;
}
