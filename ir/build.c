/* Making modules, graphs, values and nodes.
 *
 * tn_node_make gives a node its home and its results, with ids and unique names; the node stands in no list and
 * uses nothing until tn_finish has inferred its types.  A node that is given up before that leaves no trace but
 * its results' names. */
#include "ir/ir.h"
#include <stdlib.h>

struct tn_module *tn_module_create(tn_ctx *ctx, const char *name, const char *file) {
  tn_arena *arena = tn_arena_create(ctx);
  struct tn_module *module = TN_NEW(arena, struct tn_module);
  module->ctx = ctx;
  module->arena = arena;
  module->name = name ? tn_strdup(arena, name) : NULL;
  module->file = file ? tn_strdup(arena, file) : NULL;
  tn_map_init(&module->names, arena);
  tn_map_init(&module->suffixes, arena);
  tn_map_init(&module->symbol_index, arena);
  tn_map_init(&module->strings, arena);
  module->main = tn_graph_create(module, NULL);
  return module;
}

struct tn_graph *tn_graph_create(struct tn_module *module, struct tn_node *owner) {
  struct tn_graph *graph = TN_NEW(module->arena, struct tn_graph);
  graph->module = module;
  graph->owner = owner;
  if (owner) {
    struct tn_graph **region = TN_NEW_ARRAY(module->arena, struct tn_graph *, owner->region_count + 1);
    for (int i = 0; i < owner->region_count; i++)
      region[i] = owner->region[i];
    region[owner->region_count++] = graph;
    owner->region = region;
  }
  return graph;
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* Takes `hint`, or hint.1, hint.2, ... for the value.  The last number tried is kept for each hint, so that a
 * thousand values of one hint cost no more than a thousand look-ups. */
static void take_name(struct tn_module *module, struct tn_value *value, const char *hint) {
  const char *name = hint;
  if (tn_map_get(&module->names, name)) {
    uintptr_t number = (uintptr_t)tn_map_get(&module->suffixes, hint);
    do
      name = tn_printf(module->arena, "%s.%zu", hint, (size_t)++number);
    while (tn_map_get(&module->names, name));
    tn_map_set(&module->suffixes, tn_strdup(module->arena, hint), (void *)number);
  } else {
    name = tn_strdup(module->arena, hint);
  }
  value->name = name;
  tn_map_set(&module->names, name, value);
}

/* The name is the caller's to give. */
static struct tn_value *value_make(struct tn_graph *home, struct tn_node *def, int def_index) {
  struct tn_module *module = home->module;
  struct tn_value *value = TN_NEW(module->arena, struct tn_value);
  value->def = def;
  value->home = home;
  value->def_index = def_index;
  value->id = module->next_id++;
  return value;
}

/* Takes a name that the user gave.  A value that holds it by chance, made up from a node's name, gives way. */
static void take_user_name(struct tn_module *module, struct tn_value *value, const char *name) {
  struct tn_value *holder = tn_map_get(&module->names, name);
  bool evict = holder && !holder->named;
  if (evict)
    tn_map_set(&module->names, holder->name, NULL);
  take_name(module, value, name);
  value->named = true;
  if (evict)
    take_name(module, holder, name);
}

void tn_value_rename(struct tn_value *value, const char *name) {
  struct tn_module *module = value->home->module;
  const char *old = value->name;
  if (strcmp(old, name) != 0) {
    tn_map_set(&module->names, old, NULL);
    take_user_name(module, value, name);
    if (value->def && value->def->name == old)
      value->def->name = value->name;
  }
  value->named = true;
}

struct tn_value *tn_graph_input(struct tn_graph *graph, const char *name, struct tn_type type) {
  struct tn_value *value = value_make(graph, NULL, (int)graph->inputs.count);
  value->type = type;
  take_user_name(graph->module, value, name && *name ? name : "input");
  TN_PUSH(graph->module->arena, &graph->inputs, value);
  return value;
}

void tn_graph_output(struct tn_graph *graph, struct tn_value *value) {
  TN_PUSH(graph->module->arena, &graph->outputs, value);
  TN_PUSH(graph->module->arena, &value->output_of, graph);
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static void set_default(struct tn_node *node, enum tn_attr_id id) {
  const struct tn_attr_info *info = tn_attr_info(id);
  union tn_attr *slot = tn_attr_slot(node, id);
  enum tn_dtype dtype = TN_NONE;
  if (!info->def)
    return;
  switch (info->kind) {
  case TN_ATTR_INT:
    slot->i = strtoll(info->def, NULL, 10);
    return;
  case TN_ATTR_FLOAT:
    slot->f = strtod(info->def, NULL);
    return;
  case TN_ATTR_DTYPE:
    (void)tn_dtype_parse(info->def, &dtype); /* "none" stays TN_NONE */
    slot->i = dtype;
    return;
  case TN_ATTR_ENUM: {
    size_t length = strlen(info->def);
    for (const char *at = info->values; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL, slot->i++)
      if (strncmp(at, info->def, length) == 0 && (at[length] == '|' || at[length] == '\0'))
        return;
    tn_bug(node->home->module->ctx, "%s: the default '%s' of %s is none of %s", tn_op_info(node->op)->name,
           info->def, info->name, info->values);
  }
  case TN_ATTR_INTS:
  case TN_ATTR_TENSOR:
    return; /* empty */
  }
}

struct tn_node *tn_node_make(struct tn_build *b, enum tn_op op, int in_count, struct tn_value *const *in,
                             int out_count) {
  struct tn_module *module = b->graph->module;
  const struct tn_op_info *info = tn_op_info(op);
  struct tn_node *node = TN_NEW(module->arena, struct tn_node);
  node->op = op;
  node->home = b->graph;
  node->origin = b->origin;
  node->in_count = in_count;
  node->out_count = out_count;
  node->in = TN_NEW_ARRAY(module->arena, struct tn_value *, in_count + 1);
  node->out = TN_NEW_ARRAY(module->arena, struct tn_value *, out_count + 1);
  for (int i = 0; i < in_count; i++)
    node->in[i] = in[i];
  for (int i = 0; i < out_count; i++) {
    node->out[i] = value_make(b->graph, node, i);
    take_name(module, node->out[i], b->name && *b->name ? b->name : info->name);
  }
  node->name = b->name && *b->name ? b->name : out_count ? node->out[0]->name : info->name;
  for (int i = 0; i < info->attr_count; i++)
    set_default(node, (enum tn_attr_id)(info->first_attr + i));
  return node;
}

static void insert(struct tn_build *b, struct tn_node *node) {
  struct tn_graph *graph = b->graph;
  node->next = b->before;
  node->prev = b->before ? b->before->prev : graph->last;
  if (node->prev)
    node->prev->next = node;
  else
    graph->first = node;
  if (node->next)
    node->next->prev = node;
  else
    graph->last = node;
}

bool tn_finish(struct tn_build *b, struct tn_node *node) {
  if (!tn_infer(node))
    return false;
  insert(b, node);
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i])
      TN_PUSH(b->graph->module->arena, &node->in[i]->uses, (struct tn_use){node, i});
  return true;
}

/* ---- attributes ---------------------------------------------------------------------------------------- */

static union tn_attr *slot_of(const struct tn_node *node, enum tn_attr_id id, unsigned kinds) {
  const struct tn_op_info *info = tn_op_info(node->op);
  int i = (int)id - info->first_attr;
  if (i < 0 || i >= info->attr_count)
    tn_bug(node->home->module->ctx, "%s has no attribute %s", info->name, tn_attr_info(id)->name);
  if (!(kinds & (1u << tn_attr_info(id)->kind)))
    tn_bug(node->home->module->ctx, "%s: attribute %s is of another kind", info->name, tn_attr_info(id)->name);
  return (union tn_attr *)&node->attr[i];
}

enum {
  WHOLE = 1u << TN_ATTR_INT | 1u << TN_ATTR_ENUM | 1u << TN_ATTR_DTYPE,
  ANY = WHOLE | 1u << TN_ATTR_FLOAT | 1u << TN_ATTR_INTS | 1u << TN_ATTR_TENSOR
};

union tn_attr *tn_attr_slot(struct tn_node *node, enum tn_attr_id id) {
  return slot_of(node, id, ANY);
}

void tn_set_int(struct tn_node *node, enum tn_attr_id id, int64_t value) {
  slot_of(node, id, WHOLE)->i = value;
}

void tn_set_float(struct tn_node *node, enum tn_attr_id id, double value) {
  slot_of(node, id, 1u << TN_ATTR_FLOAT)->f = value;
}

void tn_set_ints(struct tn_node *node, enum tn_attr_id id, const int64_t *at, size_t count) {
  int64_t *copy = TN_NEW_ARRAY(node->home->module->arena, int64_t, count + 1);
  for (size_t i = 0; i < count; i++)
    copy[i] = at[i];
  slot_of(node, id, 1u << TN_ATTR_INTS)->ints = (struct tn_ints){copy, count};
}

void tn_set_tensor(struct tn_node *node, enum tn_attr_id id, const struct tn_tensor *tensor) {
  slot_of(node, id, 1u << TN_ATTR_TENSOR)->tensor = tensor;
}

int64_t tn_get_int(const struct tn_node *node, enum tn_attr_id id) {
  return slot_of(node, id, WHOLE)->i;
}

double tn_get_float(const struct tn_node *node, enum tn_attr_id id) {
  return slot_of(node, id, 1u << TN_ATTR_FLOAT)->f;
}

struct tn_ints tn_get_ints(const struct tn_node *node, enum tn_attr_id id) {
  return slot_of(node, id, 1u << TN_ATTR_INTS)->ints;
}

const struct tn_tensor *tn_get_tensor(const struct tn_node *node, enum tn_attr_id id) {
  return slot_of(node, id, 1u << TN_ATTR_TENSOR)->tensor;
}

/* ---- diagnostics --------------------------------------------------------------------------------------- */

void tn_node_error(const struct tn_node *node, const char *format, ...) {
  const struct tn_module *module = node->home->module;
  struct tn_where where = {module->file, node->name, node->origin ? node->origin : tn_op_info(node->op)->name};
  va_list args;
  va_start(args, format);
  tn_vreport(module->ctx, TN_ERROR, where, format, args);
  va_end(args);
}
