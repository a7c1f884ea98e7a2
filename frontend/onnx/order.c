/* The order in which a list of nodes is imported: every node after those whose results it needs.
 *
 * ONNX demands that order of the file, and exporters do not always keep it.  A list that is in order stays as
 * it is. What a node needs are its operands and the names that the graphs in its attributes take from outside.
 *
 * Some exporters define a name twice, by two Constant nodes; the later one is then meant. */
#include "frontend/onnx/import.h"

#include <string.h>

struct order {
  struct tn_import *im;
  Onnx__NodeProto *const *nodes;
  size_t count;
  struct tn_map makers; /* name -> index + 1 of the node that defines it */
  uint8_t *state;       /* 0: not seen; 1: on the path; 2: placed or dropped */
  size_t *out, placed;
  TN_VEC(struct visit) path;
};
struct visit {
  size_t node, needs_count, next;
  const char **needs;
};

typedef TN_VEC(const char *) names;

static void mark(struct tn_map *defined, const char *name) {
  if (name && *name)
    tn_map_set(defined, name, defined);
}

/* The names that the node takes from the graph it stands in. */
static void needs_of(struct tn_import *im, const Onnx__NodeProto *node, names *out, int depth) {
  for (size_t i = 0; i < node->n_input; i++)
    if (*node->input[i])
      TN_PUSH(im->scratch, out, node->input[i]);
  for (size_t a = 0; a < node->n_attribute && depth < TN_ONNX_MAX_NESTING; a++) {
    const Onnx__GraphProto *graph = node->attribute[a]->g;
    if (!graph)
      continue;
    struct tn_map defined;
    names inner = {0};
    tn_map_init(&defined, im->scratch);
    for (size_t i = 0; i < graph->n_initializer; i++)
      mark(&defined, graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_sparse_initializer; i++)
      mark(&defined, graph->sparse_initializer[i]->values ? graph->sparse_initializer[i]->values->name : NULL);
    for (size_t i = 0; i < graph->n_input; i++)
      mark(&defined, graph->input[i]->name);
    for (size_t i = 0; i < graph->n_node; i++) {
      for (size_t o = 0; o < graph->node[i]->n_output; o++)
        mark(&defined, graph->node[i]->output[o]);
      needs_of(im, graph->node[i], &inner, depth + 1);
    }
    for (size_t i = 0; i < graph->n_output; i++)
      if (graph->output[i]->name)
        TN_PUSH(im->scratch, &inner, graph->output[i]->name);
    for (size_t i = 0; i < inner.count; i++)
      if (!tn_map_has(&defined, inner.at[i]))
        TN_PUSH(im->scratch, out, inner.at[i]);
  }
}

static bool is_constant(const Onnx__NodeProto *node) {
  return node->op_type && strcmp(node->op_type, "Constant") == 0;
}

static struct tn_where where_of(const struct tn_import *im, const Onnx__NodeProto *node) {
  tn_arena *arena = tn_ctx_arena(im->ctx);
  const char *name = node->name && *node->name ? node->name : node->n_output ? node->output[0] : "";
  return (struct tn_where){im->wire.path, tn_strdup(arena, name),
                           tn_strdup(arena, node->op_type ? node->op_type : "")};
}

/* Who defines which name. */
static void find_makers(struct order *o) {
  size_t twice = 0;
  const char *first = NULL;
  for (size_t i = 0; i < o->count; i++) {
    const Onnx__NodeProto *node = o->nodes[i];
    for (size_t k = 0; k < node->n_output; k++) {
      const char *name = node->output[k];
      if (!*name)
        continue;
      uintptr_t before = (uintptr_t)tn_map_get(&o->makers, name);
      const struct tn_binding *binding = tn_map_get(&o->im->scope->names, name);
      bool initializer = binding && (binding->tensor || binding->sparse);
      if (is_constant(node) && (before ? is_constant(o->nodes[before - 1]) : initializer)) {
        if (before)
          o->state[before - 1] = 2;
        first = first ? first : name;
        twice++;
      } else if (before || binding) {
        tn_report(o->im->ctx, TN_ERROR, where_of(o->im, node),
                  "its result '%s' has a name that is already taken in this graph; names must be unique", name);
      }
      tn_map_set(&o->makers, name, (void *)(i + 1));
    }
  }
  if (twice)
    tn_report(o->im->ctx, TN_WARNING, (struct tn_where){o->im->wire.path, NULL, "Constant"},
              "the model defines %zu constants twice (the first is '%s'); the later definition is used", twice,
              first);
}

static void enter(struct order *o, size_t node) {
  names needs = {0};
  needs_of(o->im, o->nodes[node], &needs, 0);
  o->state[node] = 1;
  TN_PUSH(o->im->scratch, &o->path, (struct visit){node, needs.count, 0, needs.at});
}

static void visit(struct order *o, size_t node) {
  enter(o, node);
  while (o->path.count) {
    struct visit *top = &o->path.at[o->path.count - 1];
    if (top->next == top->needs_count) {
      o->state[top->node] = 2;
      o->out[o->placed++] = top->node;
      o->path.count--;
      continue;
    }
    const char *name = top->needs[top->next++];
    uintptr_t maker = (uintptr_t)tn_map_get(&o->makers, name);
    if (!maker || o->state[maker - 1] == 2)
      continue;
    if (o->state[maker - 1] == 1)
      tn_report(o->im->ctx, TN_ERROR, where_of(o->im, o->nodes[top->node]),
                "it needs '%s', which is computed from its own result: the graph has a cycle", name);
    else
      enter(o, maker - 1);
  }
}

size_t tn_import_order(struct tn_import *im, Onnx__NodeProto *const *nodes, size_t count, size_t *out) {
  struct order o = {.im = im, .nodes = nodes, .count = count, .out = out};
  tn_map_init(&o.makers, im->scratch);
  o.state = TN_NEW_ARRAY(im->scratch, uint8_t, count + 1);
  find_makers(&o);
  for (size_t i = 0; i < count; i++)
    if (o.state[i] == 0)
      visit(&o, i);
  return o.placed;
}
