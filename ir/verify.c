/* Checks the invariants of ir.h, after a pass, so that the pass which broke one is named.
 *
 * The structure is checked first (lists, homes, definitions before uses, use lists, names); only when it holds
 * are the types compared with what tn_infer() gives, as inference walks that structure. */
#include "ir/shape.h"

#include <inttypes.h>

enum { MAX_REPORTS = 20 };

struct verifier {
  const struct tn_module *module;
  const char *after;
  tn_arena *scratch;
  uint8_t *visible;  /* per value id: defined, and in this graph or one around the present one */
  uint8_t *seen;     /* per value id: defined anywhere */
  uint32_t *uses;    /* per value id: operand slots that name it */
  uint32_t *outputs; /* per value id: times it is a graph's output */
  int reports;
};

static void TN_PRINTF(3, 4) broken(struct verifier *v, const struct tn_node *node, const char *format, ...) {
  if (v->reports++ >= MAX_REPORTS)
    return;
  va_list args;
  va_start(args, format);
  const char *text = tn_vprintf(v->scratch, format, args);
  va_end(args);
  struct tn_where where = {.file = v->module->file};
  if (node) {
    where.node = node->name;
    where.op = node->origin                       ? node->origin
               : (unsigned)node->op < TN_OP_COUNT ? tn_op_info(node->op)->name
                                                  : "?";
  }
  tn_report(v->module->ctx, TN_BUG, where, "%s%s%s%s", v->after ? "after " : "", v->after ? v->after : "",
            v->after ? ": " : "", text);
}

/* ---- values -------------------------------------------------------------------------------------------- */

static void check_window(struct verifier *v, const struct tn_node *def, const struct tn_value *value) {
  const struct tn_window *window = value->storage.window;
  if (!window)
    return;
  if (value->storage.place == TN_NOWHERE || value->storage.place == TN_IN_WEIGHTS || window->offset < 0)
    broken(v, def, "'%s' is a window of no buffer", value->name);
  for (int d = 0; d < value->type.rank; d++)
    if (window->stride[d] <= 0)
      broken(v, def, "the window of '%s' has stride %" PRId64 " for dim %d", value->name, window->stride[d], d);
}

static void check_type(struct verifier *v, const struct tn_node *node, const char *name,
                       const struct tn_type *type) {
  if (type->dtype <= TN_NONE || type->dtype >= TN_DTYPE_COUNT || type->rank < 0 || type->rank > TN_MAX_RANK) {
    broken(v, node, "'%s' has dtype number %d and rank %d, which no tensor has", name, (int)type->dtype,
           type->rank);
    return;
  }
  for (int i = 0; i < type->rank; i++)
    if (!tn_dim_valid(v->module, type->dim[i]))
      broken(v, node, "dim %d of '%s' is %" PRId64 ", neither an extent nor a symbol of the module", i, name,
             type->dim[i]);
  const struct tn_quant *quant = type->quant;
  if (!quant)
    return;
  bool axis = quant->axis >= 0 && quant->axis < type->rank;
  if (quant->axis != -1 && !axis)
    broken(v, node, "'%s' is quantized along axis %d, its rank is %d", name, quant->axis, type->rank);
  else if (!quant->scale || !quant->zero_point || quant->count != (axis ? type->dim[quant->axis] : 1))
    broken(v, node, "'%s' is quantized with %" PRId64 " scales, which does not fit its axis", name,
           quant->count);
}

/* A value as it is defined, an input or a node's result. */
static void check_value(struct verifier *v, const struct tn_value *value, const struct tn_graph *home,
                        const struct tn_node *def, int index) {
  const struct tn_module *module = v->module;
  if (!value->name || value->home != home || value->def != def || value->def_index != index) {
    broken(v, def, "result or input %d ('%s') does not know its place", index, value->name ? value->name : "");
    return;
  }
  if (value->id >= module->next_id || v->seen[value->id]) {
    broken(v, def, "'%s' has id %u, which is %s", value->name, value->id,
           value->id >= module->next_id ? "not given out yet" : "another value's");
    return;
  }
  v->seen[value->id] = 1;
  v->visible[value->id] = 1;
  if (tn_map_get(&module->names, value->name) != value)
    broken(v, def, "the name '%s' belongs to another value in the module's names", value->name);
  if ((unsigned)value->storage.place > TN_IN_WEIGHTS || value->storage.index < 0)
    broken(v, def, "'%s' is stored at place %d, %" PRId64 ", which is nowhere", value->name,
           (int)value->storage.place, value->storage.index);
  check_window(v, def, value);
  check_type(v, def, value->name, &value->type);
}

static bool is_visible(const struct verifier *v, const struct tn_value *value) {
  return value->id < v->module->next_id && v->visible[value->id];
}

/* ---- structure ----------------------------------------------------------------------------------------- */

static void check_operands(struct verifier *v, const struct tn_node *node) {
  const struct tn_op_info *info = tn_op_info(node->op);
  for (int i = 0; i < node->in_count; i++) {
    const struct tn_value *value = node->in[i];
    if (!value)
      continue; /* whether it may be absent is tn_infer's to say */
    if (!is_visible(v, value)) {
      broken(v, node, "operand %d of %s, '%s', is not defined before it in this graph or one around it", i,
             info->name, value->name ? value->name : "");
      continue;
    }
    v->uses[value->id]++;
  }
}

static void check_graph(struct verifier *v, const struct tn_graph *graph, const struct tn_node *owner);

static void check_node(struct verifier *v, const struct tn_node *node, const struct tn_graph *graph) {
  if ((unsigned)node->op >= TN_OP_COUNT) {
    broken(v, node, "there is no op number %d", (int)node->op);
    return;
  }
  if (node->home != graph)
    broken(v, node, "the node does not know its graph");
  if (node->region_count && !(tn_op_info(node->op)->flags & TN_REGION))
    broken(v, node, "%s holds %d graphs, it may hold none", tn_op_info(node->op)->name, node->region_count);
  check_operands(v, node);
  for (int i = 0; i < node->region_count; i++)
    check_graph(v, node->region[i], node);
  for (int i = 0; i < node->out_count; i++)
    check_value(v, node->out[i], graph, node, i);
}

static void leave_value(struct verifier *v, const struct tn_value *value) {
  if (value->id < v->module->next_id)
    v->visible[value->id] = 0;
}

static void check_graph(struct verifier *v, const struct tn_graph *graph, const struct tn_node *owner) {
  if (graph->module != v->module || graph->owner != owner)
    broken(v, owner, "a graph does not know its module or its owner");
  for (size_t i = 0; i < graph->inputs.count; i++)
    check_value(v, graph->inputs.at[i], graph, NULL, (int)i);
  const struct tn_node *prev = NULL;
  for (const struct tn_node *node = graph->first; node; prev = node, node = node->next) {
    if (node->prev != prev) {
      broken(v, node, "the list of nodes is not linked back");
      break; /* it may have no end */
    }
    check_node(v, node, graph);
  }
  if (graph->last != prev)
    broken(v, prev, "the graph's last node is another one");
  for (size_t i = 0; i < graph->outputs.count; i++) {
    const struct tn_value *value = graph->outputs.at[i];
    if (!value || !is_visible(v, value))
      broken(v, owner, "output %zu of the graph, '%s', is not defined in it or around it", i,
             value && value->name ? value->name : "");
    else
      v->outputs[value->id]++;
  }
  for (size_t i = 0; i < graph->inputs.count; i++)
    leave_value(v, graph->inputs.at[i]);
  for (const struct tn_node *node = prev; node; node = node->prev) /* as far as the links are sound */
    for (int i = 0; i < node->out_count; i++)
      leave_value(v, node->out[i]);
}

/* ---- uses, types --------------------------------------------------------------------------------------- */

static void check_counts(struct verifier *v, const struct tn_value *value) {
  for (size_t i = 0; i < value->uses.count; i++) {
    struct tn_use use = value->uses.at[i];
    if (!use.node || use.index < 0 || use.index >= use.node->in_count || use.node->in[use.index] != value) {
      broken(v, value->def, "'%s' lists a use that is none", value->name);
      return;
    }
  }
  if (value->uses.count != v->uses[value->id])
    broken(v, value->def, "'%s' lists %zu uses and has %u; a node that was removed still uses it", value->name,
           value->uses.count, v->uses[value->id]);
  if (value->output_of.count != v->outputs[value->id])
    broken(v, value->def, "'%s' lists %zu graphs as their output and is one %u times", value->name,
           value->output_of.count, v->outputs[value->id]);
}

/* What inference takes for granted: attributes' elements are where they are said to be. */
static bool check_attrs(struct verifier *v, const struct tn_node *node) {
  int before = v->reports;
  const struct tn_op_info *info = tn_op_info(node->op);
  for (int i = 0; i < info->attr_count; i++) {
    const struct tn_attr_info *attr = tn_attr_info((enum tn_attr_id)(info->first_attr + i));
    if (attr->kind == TN_ATTR_INTS && node->attr[i].ints.count && !node->attr[i].ints.at)
      broken(v, node, "attribute %s has %zu elements and no place for them", attr->name,
             node->attr[i].ints.count);
    const struct tn_tensor *tensor = attr->kind == TN_ATTR_TENSOR ? node->attr[i].tensor : NULL;
    int64_t bytes;
    if (!tensor)
      continue;
    check_type(v, node, attr->name, &tensor->type);
    if (v->reports == before &&
        (!tn_type_bytes(&tensor->type, &bytes) || (size_t)bytes != tensor->bytes || (bytes && !tensor->data)))
      broken(v, node, "attribute %s has %zu bytes, its type has another number", attr->name, tensor->bytes);
  }
  return v->reports == before;
}

/* tn_infer() writes the types that it finds; what stood there is put back. */
static void check_inferred(struct verifier *v, struct tn_node *node) {
  tn_ctx *ctx = v->module->ctx;
  size_t before;
  (void)tn_diags(ctx, &before);
  struct tn_type *types = TN_NEW_ARRAY(v->scratch, struct tn_type, node->out_count);
  union tn_attr attrs[TN_MAX_ATTRS];
  memcpy(attrs, node->attr, sizeof attrs);
  for (int i = 0; i < node->out_count; i++)
    types[i] = node->out[i]->type;
  bool fits = tn_infer(node);
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  const char *why = count > before ? tn_strdup(v->scratch, diags[count - 1].text) : "it does not say why";
  tn_diag_truncate(ctx, before);
  if (!fits)
    broken(v, node, "the node's types cannot be inferred: %s", why);
  for (int i = 0; i < node->out_count; i++) {
    struct tn_type *type = &node->out[i]->type;
    if (fits && (type->dtype != types[i].dtype || !tn_shape_equal(type, &types[i])))
      broken(v, node, "'%s' has type %s, its operands give %s", node->out[i]->name,
             tn_shape_say(node, &types[i]), tn_shape_say(node, type));
    *type = types[i];
  }
  memcpy(node->attr, attrs, sizeof attrs);
}

static void check_types(struct verifier *v, const struct tn_graph *graph) {
  for (size_t i = 0; i < graph->inputs.count; i++)
    check_counts(v, graph->inputs.at[i]);
  for (struct tn_node *node = graph->first; node; node = node->next) {
    for (int i = 0; i < node->out_count; i++)
      check_counts(v, node->out[i]);
    for (int i = 0; i < node->region_count; i++)
      check_types(v, node->region[i]);
    if (check_attrs(v, node))
      check_inferred(v, node);
  }
}

/* ---- entry --------------------------------------------------------------------------------------------- */

static bool verify(void *user) {
  struct verifier *v = user;
  const struct tn_module *module = v->module;
  v->scratch = tn_arena_create(module->ctx);
  v->visible = TN_NEW_ARRAY(v->scratch, uint8_t, module->next_id);
  v->seen = TN_NEW_ARRAY(v->scratch, uint8_t, module->next_id);
  v->uses = TN_NEW_ARRAY(v->scratch, uint32_t, module->next_id);
  v->outputs = TN_NEW_ARRAY(v->scratch, uint32_t, module->next_id);
  check_graph(v, module->main, NULL);
  if (v->reports == 0)
    check_types(v, module->main);
  return v->reports == 0;
}

bool tn_verify(const struct tn_module *module, const char *after) {
  struct verifier v = {.module = module, .after = after};
  bool good = tn_guard(module->ctx, verify, &v);
  if (v.reports > MAX_REPORTS)
    tn_report(module->ctx, TN_BUG, (struct tn_where){.file = module->file}, "%d more violations",
              v.reports - MAX_REPORTS);
  tn_arena_destroy(v.scratch);
  return good;
}
