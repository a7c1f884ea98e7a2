/* What several passes need: walking, replacing, removing the dead, and facts about values. */
#include "passes/passes.h"

/* ---- walking ------------------------------------------------------------------------------------------- */

bool tn_pass_each(struct tn_pass *pass, struct tn_graph *graph,
                  bool (*body)(struct tn_pass *pass, struct tn_node *node)) {
  for (struct tn_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    if (node->op != TN_KERNEL)
      for (int i = 0; i < node->region_count; i++)
        if (!tn_pass_each(pass, node->region[i], body))
          return false;
    tn_pass_at(pass, node);
    if (!body(pass, node))
      return false;
  }
  return true;
}

/* ---- replacing ----------------------------------------------------------------------------------------- */

static bool is_main_output(const struct tn_value *value) {
  const struct tn_graph *main = value->home->module->main;
  for (size_t i = 0; i < main->outputs.count; i++)
    if (main->outputs.at[i] == value)
      return true;
  return false;
}

bool tn_pass_replace(struct tn_pass *pass, struct tn_value *from, struct tn_value *to) {
  struct tn_module *module = from->home->module;
  if (from == to)
    return false;
  if (!tn_type_equal(&from->type, &to->type))
    tn_bug(module->ctx, "pass '%s' replaces '%s' by '%s' of another type", pass->name, from->name, to->name);
  struct tn_graph *main = module->main;
  if (!is_main_output(from)) {
    if (tn_value_unused(from))
      return false;
    tn_replace_value(from, to);
  } else if (to->def && !is_main_output(to)) {
    from->named = true; /* an output's name is the caller's, and wins over any name inside */
    to->named = false;
    tn_replace_value(from, to);
  } else {
    if (from->uses.count == 0)
      return false;
    bool *keep = TN_NEW_ARRAY(pass->scratch, bool, main->outputs.count);
    for (size_t i = 0; i < main->outputs.count; i++)
      keep[i] = main->outputs.at[i] == from;
    tn_replace_value(from, to);
    for (size_t i = 0; i < main->outputs.count; i++)
      if (keep[i])
        tn_graph_set_output(main, i, from);
  }
  pass->changes++;
  return true;
}

/* ---- the dead ------------------------------------------------------------------------------------------ */

struct marking {
  bool *live; /* [module->next_id], by value */
  tn_arena *scratch;
  TN_VEC(struct tn_value *) work;
};

static void mark(struct marking *m, struct tn_value *value) {
  if (value && !m->live[value->id]) {
    m->live[value->id] = true;
    TN_PUSH(m->scratch, &m->work, value);
  }
}

static bool node_live(const struct marking *m, const struct tn_node *node) {
  for (int i = 0; i < node->out_count; i++)
    if (m->live[node->out[i]->id])
      return true;
  return false;
}

static void sweep(struct tn_pass *pass, const struct marking *m, struct tn_graph *graph) {
  for (struct tn_node *node = graph->last, *prev; node; node = prev) {
    prev = node->prev;
    if (!node_live(m, node)) {
      tn_node_remove(node);
      pass->changes++;
      continue;
    }
    if (node->op != TN_KERNEL)
      for (int i = 0; i < node->region_count; i++)
        sweep(pass, m, node->region[i]);
  }
}

void tn_remove_dead(struct tn_pass *pass, struct tn_module *module) {
  struct marking m = {.live = TN_NEW_ARRAY(pass->scratch, bool, module->next_id + 1), .scratch = pass->scratch};
  for (size_t i = 0; i < module->main->outputs.count; i++)
    mark(&m, module->main->outputs.at[i]);
  while (m.work.count > 0) {
    const struct tn_node *node = m.work.at[--m.work.count]->def;
    if (!node)
      continue;
    for (int i = 0; i < node->in_count; i++)
      mark(&m, node->in[i]);
    if (node->op != TN_KERNEL)
      for (int i = 0; i < node->region_count; i++)
        for (size_t k = 0; k < node->region[i]->outputs.count; k++)
          mark(&m, node->region[i]->outputs.at[k]);
  }
  sweep(pass, &m, module->main);
}

/* ---- facts --------------------------------------------------------------------------------------------- */

bool tn_value_single_use(const struct tn_value *value) {
  return value->uses.count == 1 && !tn_value_is_output(value);
}

static bool constant_expr(const struct tn_value *value, int depth) {
  const struct tn_node *node = value->def;
  if (!node || !(tn_op_info(node->op)->flags & TN_PURE) || node->region_count > 0 || depth == 0)
    return false;
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i] && !constant_expr(node->in[i], depth - 1))
      return false;
  return true;
}

bool tn_value_constant_expr(const struct tn_value *value) {
  return constant_expr(value, 16);
}

bool tn_value_uniform(const struct tn_value *value, double *out) {
  while (value->def && (value->def->op == TN_RESHAPE || value->def->op == TN_EXPAND))
    value = value->def->in[0];
  const struct tn_tensor *tensor = tn_value_tensor(value);
  if (!tensor || tensor->bytes == 0)
    return false;
  size_t size = tn_dtype_size(tensor->type.dtype);
  /* All elements equal: the bytes are the same as the bytes one element later. */
  if (memcmp(tensor->data, (const char *)tensor->data + size, tensor->bytes - size) != 0)
    return false;
  if (tn_dtype_is_int(tensor->type.dtype)) {
    const int64_t exact = INT64_C(1) << 53;
    int64_t element = tn_tensor_int(tensor, 0);
    if (element > exact || element < -exact)
      return false;
    *out = (double)element;
  } else {
    *out = tn_tensor_float(tensor, 0);
  }
  return true;
}

/* ---- building ------------------------------------------------------------------------------------------ */

struct tn_value *tn_fit(struct tn_build *b, struct tn_value *x, const struct tn_type *type) {
  if (tn_type_equal(&x->type, type))
    return x;
  if (x->type.dtype != type->dtype || x->type.quant || type->quant)
    return NULL;
  return tn_expand(b, x, type->rank, type->dim);
}

struct tn_value *tn_filled(struct tn_build *b, const struct tn_type *type, int64_t value) {
  return tn_fit(b, tn_const_int(b, type->dtype, value), type);
}
