/* Copies that the memory plan cannot do without: see the contract in passes.h.
 *
 * Every output of the main graph must be computed into its own buffer, and no output of a loop's body may be
 * the buffer of another carried value, which is overwritten while the outputs are copied.  Where the model says
 * otherwise, a kernel that copies is put in between. */
#include "passes/plan.h"

struct tn_value *tn_plan_root(struct tn_value *value) {
  while (value->def && (tn_op_info(value->def->op)->flags & TN_VIEW))
    value = value->def->in[0];
  return value;
}

static struct tn_value *copy_kernel(struct tn_graph *graph, struct tn_value *value) {
  struct tn_build b = tn_build_at_end(graph);
  b.name = tn_printf(graph->module->arena, "%s.copy", value->name);
  struct tn_node *kernel = tn_node_make(&b, TN_KERNEL, 1, &value, 1);
  struct tn_graph *region = tn_graph_create(graph->module, kernel);
  struct tn_value *in = tn_graph_input(region, value->name, value->type);
  struct tn_build inside = tn_build_at_end(region);
  inside.name = b.name;
  tn_graph_output(region, tn_reshape(&inside, in, value->type.rank, value->type.dim));
  if (!tn_finish(&b, kernel))
    tn_fail_now(graph->module->ctx);
  kernel->out[0]->type.quant = value->type.quant;
  return kernel->out[0];
}

static void copy_main_outputs(struct tn_pass *pass, struct tn_graph *main) {
  for (size_t i = 0; i < main->outputs.count; i++) {
    struct tn_value *value = main->outputs.at[i], *root = tn_plan_root(value);
    bool taken = !root->def || root->def->op == TN_CONSTANT, listed = !value->def;
    for (size_t k = 0; k < i; k++)
      taken |= tn_plan_root(main->outputs.at[k]) == root;
    if (!taken)
      continue;
    struct tn_value *copy = copy_kernel(main, value);
    tn_graph_set_output(main, i, copy);
    for (size_t k = 0; k < main->outputs.count; k++)
      listed |= main->outputs.at[k] == value;
    if (!listed) { /* the caller knows the output by this name */
      const char *name = value->name;
      tn_value_rename(value, copy->name);
      tn_value_rename(copy, name);
    }
    pass->changes++;
  }
}

static void copy_body_outputs(struct tn_pass *pass, struct tn_graph *body) {
  int carried = (int)body->inputs.count - 2;
  for (int i = 0; i <= carried; i++) {
    struct tn_value *value = body->outputs.at[i], *root = tn_plan_root(value);
    if (root->def || root->home != body || root == body->inputs.at[1 + i])
      continue;
    tn_graph_set_output(body, (size_t)i, copy_kernel(body, value));
    pass->changes++;
  }
}

static void copy_in_graph(struct tn_pass *pass, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next) {
    if (node->op != TN_LOOP && node->op != TN_IF)
      continue;
    tn_pass_at(pass, node);
    for (int i = 0; i < node->region_count; i++) {
      copy_in_graph(pass, node->region[i]);
      if (node->op == TN_LOOP)
        copy_body_outputs(pass, node->region[i]);
    }
  }
}

void tn_plan_copies(struct tn_pass *pass, struct tn_module *module) {
  copy_in_graph(pass, module->main);
  copy_main_outputs(pass, module->main);
}

/* ---- in place ------------------------------------------------------------------------------------------ */

/* As many elements, at run time too. */
static bool same_count(const struct tn_type *a, const struct tn_type *b) {
  int64_t x, y;
  if (tn_type_count(a, &x) && tn_type_count(b, &y))
    return x == y;
  return tn_shape_equal(a, b);
}

static struct tn_node *anchor_of(const struct tn_node *kernel) {
  int64_t ordinal = tn_get_int(kernel, TN_KERNEL_anchor);
  struct tn_node *node = ordinal < 0 ? NULL : kernel->region[0]->first;
  while (node && ordinal-- > 0)
    node = node->next;
  return node;
}

static bool leads_to(const struct tn_value *value, const struct tn_node *node) {
  for (size_t i = 0; i < value->uses.count; i++) {
    const struct tn_node *user = value->uses.at[i].node;
    if (user == node)
      return true;
    for (int k = 0; k < user->out_count; k++)
      if (leads_to(user->out[k], node))
        return true;
  }
  return false;
}

/* Whether a reduction's epilogue reads the operand, element by element of its result, and nothing else does: a
 * sum with a residual.  Each element is stored once, after it is computed. */
static bool read_by_epilogue(const struct tn_node *kernel, int operand) {
  const struct tn_node *anchor = anchor_of(kernel);
  const struct tn_value *value = kernel->region[0]->inputs.at[operand];
  if (!anchor || !(tn_op_info(anchor->op)->flags & TN_REDUCE) ||
      !tn_shape_equal(&value->type, &kernel->out[0]->type) || leads_to(value, anchor))
    return false;
  for (size_t i = 0; i < value->uses.count; i++)
    if (!(tn_op_info(value->uses.at[i].node->op)->flags & TN_ELEMENTWISE))
      return false;
  return true;
}

bool tn_plan_same_elements(const struct tn_node *kernel, int operand) {
  const struct tn_type *out = &kernel->out[0]->type, *in = &kernel->in[operand]->type;
  if (kernel->op != TN_KERNEL || kernel->out_count != 1 ||
      tn_dtype_size(in->dtype) != tn_dtype_size(out->dtype) || !same_count(in, out))
    return false;
  if (read_by_epilogue(kernel, operand))
    return true;
  /* Broadcasting and reshaping never make fewer elements, so with as many at both ends every element of the
   * operand meets the result's element of the same number.  A kernel by rows reads a row as a whole, before it
   * writes that row of its result. */
  unsigned in_step = TN_ELEMENTWISE | TN_VIEW | (tn_get_int(kernel, TN_KERNEL_rows) >= 0 ? TN_REDUCE : 0);
  for (const struct tn_node *node = kernel->region[0]->first; node; node = node->next)
    if ((node->op != TN_CONSTANT && !(tn_op_info(node->op)->flags & in_step)) || node->op == TN_MATMUL)
      return false;
  return true;
}
