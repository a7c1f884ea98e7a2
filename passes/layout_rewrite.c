/* Makes a graph compute in the layouts that were chosen for it.
 *
 * Nodes are visited in order and changed in place: a node that works in any layout gets its attributes
 * permuted, and its results then have the permuted type.  Transposes of the model become the conversion, if
 * any, that is left of them.  Where a value is needed in another layout than its own, a transpose is made, once
 * for each layout, before the first node that needs it. */
#include "passes/layout.h"

/* A value as it can be had: stored in `layout`, as `as`. */
struct form {
  struct tn_layout layout;
  struct tn_value *as;
};
struct forms {
  TN_VEC(struct form) at;
};

struct rewrite {
  struct tn_layouts *l;
  struct forms *forms;  /* [ids]: the first is the value as its definition gives it */
  struct tn_node *node; /* conversions go before it; NULL: at the end */
};

static bool known(const struct rewrite *r, const struct tn_value *value) {
  return value->id < r->l->ids && r->l->component[value->id] >= 0;
}

static void add_form(struct rewrite *r, const struct tn_value *value, const struct tn_layout *layout,
                     struct tn_value *as) {
  TN_PUSH(r->l->arena, &r->forms[value->id].at, (struct form){*layout, as});
}

static struct tn_build cursor(const struct rewrite *r, const struct tn_value *value) {
  struct tn_build b = {r->l->graph, r->node, value->name, value->def ? value->def->origin : NULL};
  return b;
}

/* x, stored in `from`, as stored in `to`. */
static struct tn_value *convert(struct tn_build *b, struct tn_value *x, const struct tn_layout *from,
                                const struct tn_layout *to) {
  struct tn_layout inverse = tn_layout_inverse(from), move = tn_layout_compose(&inverse, to);
  int64_t perm[TN_MAX_RANK];
  for (int i = 0; i < move.rank; i++)
    perm[i] = move.at[i];
  struct tn_value *y = tn_permute(b, x, perm);
  if (y != x) {
    y->type.quant = x->type.quant;
    tn_layout_set_quant(y, &move);
  }
  return y;
}

/* The value stored in the layout. */
static struct tn_value *want(struct rewrite *r, struct tn_value *value, const struct tn_layout *layout) {
  struct tn_build b = cursor(r, value);
  struct tn_layout same = tn_layout_identity(value->type.rank);
  if (!known(r, value)) /* constants are rearranged when they are folded; outer values here, each time */
    return convert(&b, value, &same, layout);
  struct forms *forms = &r->forms[value->id];
  if (forms->at.count == 0)
    add_form(r, value, &same, value);
  for (size_t i = 0; i < forms->at.count; i++)
    if (tn_layout_equal(&forms->at.at[i].layout, layout))
      return forms->at.at[i].as;
  struct form base = forms->at.at[0];
  struct tn_value *as = convert(&b, base.as, &base.layout, layout);
  add_form(r, value, layout, as);
  return as;
}

static struct tn_value *want_meant(struct rewrite *r, struct tn_value *value) {
  struct tn_layout same = tn_layout_identity(value->type.rank);
  return known(r, value) ? want(r, value, &same) : value;
}

static void infer(struct tn_node *node) {
  if (!tn_infer(node))
    tn_fail_now(node->home->module->ctx);
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static void rewrite_uses_inside(struct rewrite *r, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next) {
    for (int i = 0; i < node->in_count; i++)
      if (node->in[i] && node->in[i]->home == r->l->graph)
        tn_node_set_input(node, i, want_meant(r, node->in[i]));
    for (int i = 0; i < node->region_count; i++)
      rewrite_uses_inside(r, node->region[i]);
  }
  for (size_t i = 0; i < graph->outputs.count; i++)
    if (graph->outputs.at[i]->home == r->l->graph) {
      struct tn_value *value = want_meant(r, graph->outputs.at[i]);
      if (value != graph->outputs.at[i])
        tn_graph_set_output(graph, i, value);
    }
}

static void rewrite_fixed(struct rewrite *r, struct tn_node *node) {
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i])
      tn_node_set_input(node, i, want_meant(r, node->in[i]));
  for (int i = 0; i < node->region_count; i++)
    rewrite_uses_inside(r, node->region[i]);
}

/* An operand that is broadcast to the node's result, which is stored in `layout`. */
static struct tn_value *broadcast_operand(struct rewrite *r, struct tn_value *operand,
                                          const struct tn_layout *layout) {
  int rank = operand->type.rank;
  bool one = true;
  for (int i = 0; i < rank; i++)
    one = one && operand->type.dim[i] == 1;
  if (rank == layout->rank)
    return want(r, operand, layout);
  if (one || tn_layout_is_identity(layout))
    return want_meant(r, operand);
  struct tn_layout own = tn_layout_of(r->l, operand);
  struct tn_value *value = want(r, operand, &own);
  struct tn_type wide = tn_layout_widen_type(&value->type, layout->rank);
  struct tn_build b = cursor(r, operand);
  value = tn_reshape(&b, value, wide.rank, wide.dim);
  own = tn_layout_widen(&own, layout->rank);
  return convert(&b, value, &own, layout);
}

static void rewrite_same(struct rewrite *r, struct tn_node *node) {
  struct tn_layout layout = tn_layout_of(r->l, node->out[0]);
  struct tn_value **in = TN_NEW_ARRAY(r->l->arena, struct tn_value *, node->in_count + 1);
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i])
      in[i] =
          tn_layout_carries(node, i) ? broadcast_operand(r, node->in[i], &layout) : want_meant(r, node->in[i]);
  for (int i = 0; i < node->in_count; i++)
    tn_node_set_input(node, i, in[i]);
  if (!tn_layout_is_identity(&layout)) {
    tn_layout_set_attrs(node, &layout);
    infer(node);
  }
  for (int i = 0; i < node->out_count; i++)
    if (known(r, node->out[i]))
      add_form(r, node->out[i], &layout, node->out[i]);
}

/* The node's result comes out in the layout `got`. */
static void result_comes_as(struct rewrite *r, struct tn_node *node, const struct tn_layout *got) {
  struct tn_value *result = node->out[0];
  struct tn_layout layout = tn_layout_of(r->l, result);
  if (!known(r, result))
    return;
  if (!tn_layout_equal(got, &layout)) {
    struct tn_build b = {node->home, node->next, node->name, node->origin};
    add_form(r, result, &layout, convert(&b, result, got, &layout));
  }
  add_form(r, result, got, result);
}

static void rewrite_drop(struct rewrite *r, struct tn_node *node) {
  struct tn_layout operand = tn_layout_of(r->l, node->in[0]), got = tn_layout_drop(node, &operand);
  tn_node_set_input(node, 0, want(r, node->in[0], &operand));
  for (int i = 1; i < node->in_count; i++)
    tn_node_set_input(node, i, want_meant(r, node->in[i]));
  if (!tn_layout_is_identity(&operand)) {
    tn_layout_set_attrs(node, &operand);
    infer(node);
  }
  result_comes_as(r, node, &got);
}

static void rewrite_reshape(struct rewrite *r, struct tn_node *node) {
  struct tn_layout operand, got;
  struct tn_type type = node->out[0]->type;
  tn_dim dim[TN_MAX_RANK];
  (void)tn_layout_reshape_plan(r->l, node, &operand, &got);
  tn_node_set_input(node, 0, want(r, node->in[0], &operand));
  if (!tn_layout_is_identity(&got)) {
    for (int i = 0; i < type.rank; i++)
      dim[i] = type.dim[got.at[i]];
    tn_set_ints(node, TN_RESHAPE_shape, dim, (size_t)type.rank);
    infer(node);
  }
  result_comes_as(r, node, &got);
}

/* Nothing is left to do but to have the operand in the right layout.  The node stays only when that is what it
 * does already. */
static void rewrite_transpose(struct rewrite *r, struct tn_node *node) {
  struct tn_value *operand = node->in[0], *result = node->out[0];
  struct tn_layout perm = tn_layout_of_perm(node), layout = tn_layout_of(r->l, result);
  struct tn_layout needed = tn_layout_compose(&perm, &layout), same = tn_layout_identity(perm.rank);
  bool meant =
      !known(r, operand) || r->forms[operand->id].at.count == 0 || r->forms[operand->id].at.at[0].as == operand;
  struct tn_layout first =
      known(r, operand) && r->forms[operand->id].at.count > 0 ? r->forms[operand->id].at.at[0].layout : same;
  if (tn_layout_is_identity(&layout) && meant && tn_layout_is_identity(&first)) {
    if (known(r, operand)) {
      (void)want_meant(r, operand);
      add_form(r, operand, &needed, result);
    }
    if (known(r, result))
      add_form(r, result, &layout, result);
    return;
  }
  struct tn_value *as = want(r, operand, &needed);
  if (known(r, result))
    add_form(r, result, &layout, as);
}

/* ---- outputs ------------------------------------------------------------------------------------------- */

static bool is_output_of(const struct tn_value *value, const struct tn_graph *graph) {
  for (size_t i = 0; i < value->output_of.count; i++)
    if (value->output_of.at[i] == graph)
      return true;
  return false;
}

/* The main graph's outputs keep their names. */
static void take_name(struct tn_value *from, struct tn_value *to) {
  const char *name = from->name;
  tn_value_rename(from, tn_printf(from->home->module->arena, "%s.moved", name));
  from->named = false;
  tn_value_rename(to, name);
}

static void rewrite_outputs(struct rewrite *r) {
  struct tn_graph *graph = r->l->graph;
  r->node = NULL;
  for (size_t i = 0; i < graph->outputs.count; i++) {
    struct tn_value *value = graph->outputs.at[i];
    if (!known(r, value))
      continue;
    struct tn_value *as = want_meant(r, value);
    if (as == value)
      continue;
    if (!as->def || is_output_of(as, graph)) { /* it has a name already */
      struct tn_build b = cursor(r, value);
      as = tn_reshape(&b, as, as->type.rank, as->type.dim);
    }
    as->type.quant = r->l->meant[value->id].quant;
    for (size_t k = i; k < graph->outputs.count; k++)
      if (graph->outputs.at[k] == value)
        tn_graph_set_output(graph, k, as);
    if (!graph->owner)
      take_name(value, as);
  }
}

void tn_layout_rewrite(struct tn_layouts *l) {
  struct rewrite r = {.l = l, .forms = TN_NEW_ARRAY(l->arena, struct forms, l->ids)};
  for (struct tn_node *node = l->graph->first, *next; node; node = next) {
    next = node->next;
    r.node = node;
    tn_pass_at(l->pass, node);
    if (node->op == TN_CONSTANT)
      continue;
    switch (tn_layout_role(node)) {
    case TN_ROLE_FIXED:
      rewrite_fixed(&r, node);
      break;
    case TN_ROLE_SAME:
      rewrite_same(&r, node);
      break;
    case TN_ROLE_DROP:
      rewrite_drop(&r, node);
      break;
    case TN_ROLE_TRANSPOSE:
      rewrite_transpose(&r, node);
      break;
    case TN_ROLE_RESHAPE:
      rewrite_reshape(&r, node);
      break;
    }
    l->pass->changes++;
  }
  rewrite_outputs(&r);
  /* Transposes of the model that are no more. */
  for (struct tn_node *node = l->graph->last, *prev; node; node = prev) {
    prev = node->prev;
    if (node->op == TN_TRANSPOSE && tn_value_unused(node->out[0]))
      tn_node_remove(node);
  }
}
