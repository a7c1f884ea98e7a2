/* Binding: symbolic dimensions get extents, inputs get values, and every type is inferred anew, so that what
 * does not fit once the numbers are known is reported as at any other time. */
#include "ir/text.h"

#include <inttypes.h>

/* dims: what each symbol of the module stands for now, by its number; symbols made on the way stand for
 * themselves. */
struct binder {
  struct tn_module *module;
  const tn_dim *dims;
  tn_dim count;
};

static tn_dim bound_dim(const struct binder *b, tn_dim dim) {
  return dim >= 0 || -1 - dim >= b->count ? dim : b->dims[-1 - dim];
}

static void bind_type(const struct binder *b, struct tn_type *type) {
  for (int d = 0; d < type->rank; d++)
    type->dim[d] = bound_dim(b, type->dim[d]);
}

static void bind_attrs(const struct binder *b, struct tn_node *node) {
  const struct tn_op_info *info = tn_op_info(node->op);
  for (int i = 0; i < info->attr_count; i++) {
    enum tn_attr_id id = (enum tn_attr_id)(info->first_attr + i);
    if (tn_attr_info(id)->kind != TN_ATTR_INTS || !tn_text_dims(id))
      continue;
    struct tn_ints old = tn_get_ints(node, id);
    int64_t *dims = TN_NEW_ARRAY(b->module->arena, int64_t, old.count + 1);
    for (size_t k = 0; k < old.count; k++)
      dims[k] = bound_dim(b, old.at[k]);
    node->attr[i].ints = (struct tn_ints){dims, old.count};
  }
}

static bool bind_graph(const struct binder *b, struct tn_graph *graph) {
  for (size_t i = 0; i < graph->inputs.count; i++)
    bind_type(b, &graph->inputs.at[i]->type);
  for (struct tn_node *node = graph->first; node; node = node->next) {
    bind_attrs(b, node);
    for (int r = 0; r < node->region_count; r++)
      if (!bind_graph(b, node->region[r]))
        return false;
    if (!tn_infer(node))
      return false;
  }
  return true;
}

bool tn_bind_dims(struct tn_module *module, const struct tn_dim_extent *extents, size_t count) {
  tn_dim known = (tn_dim)module->symbols.count;
  tn_dim *dims = TN_NEW_ARRAY(module->arena, tn_dim, known + 1);
  struct binder b = {module, dims, known};
  for (tn_dim i = 0; i < known; i++) { /* a symbol's parts are older than itself */
    struct tn_symbol s = module->symbols.at[i];
    dims[i] = s.op ? tn_dim_op(module, (char)s.op, bound_dim(&b, s.a), bound_dim(&b, s.b)) : -1 - i;
    for (size_t k = 0; k < count; k++) {
      if (extents[k].symbol != -1 - i)
        continue;
      if (extents[k].extent < s.low || extents[k].extent > s.high) {
        tn_report(module->ctx, TN_ERROR, (struct tn_where){.file = module->file},
                  "dimension '%s' is given as %" PRId64 "; it lies between %" PRId64 " and %" PRId64, s.name,
                  extents[k].extent, s.low, s.high);
        return false;
      }
      dims[i] = extents[k].extent;
    }
  }
  return bind_graph(&b, module->main);
}

void tn_bind_input(struct tn_graph *graph, size_t index, const struct tn_tensor *tensor) {
  struct tn_value *input = graph->inputs.at[index];
  struct tn_build b = {graph, graph->first, input->name, "graph input"};
  struct tn_tensor typed = *tensor;
  typed.type.quant = input->type.quant;
  struct tn_value *constant = tn_constant(&b, &typed);
  tn_replace_value(input, constant);
  graph->inputs.count--;
  memmove(&graph->inputs.at[index], &graph->inputs.at[index + 1],
          (graph->inputs.count - index) * sizeof graph->inputs.at[0]);
}
