/* Layout: chooses the order of dims in which each value is stored.
 *
 * The front end surrounds every convolution, which is channels-last, with transposes.  Most ops do not care
 * about the order of dims, as long as their operands and results have the same.  So the values of a graph fall
 * into components that must share a layout, and between components stand edges: transposes and reshapes, which
 * say how the layouts on their sides relate, and ops that work in the model's order alone.  An edge costs the
 * bytes that must be transposed because the layouts on its sides do not fit.  The pass looks for layouts of
 * components that make the sum of these costs small, starting from the model's own; it then rewrites the graph.
 *
 * The search: a component takes the layout, of those that make some edge of it free, which is the cheapest; and
 * once no single change helps, a change is tried together with what its neighbours answer to it. */
#include "passes/layout.h"

/* A transpose costs a kernel, however small. */
#define KERNEL_COST 64.0
/* A contraction packs its operands, so that a transpose of one is mostly absorbed. */
#define MATMUL_SHARE 0.25
/* Of two equal places for the last transpose the later one is better: what is elementwise before it can be the
 * epilogue of a reduction. */
#define LATE_SHARE 0.98
#define MAX_CANDIDATES 12
#define MAX_FOLLOWERS 24
#define SWEEPS 8

enum edge_kind {
  EDGE_DEFINED,   /* a: of a value that is defined in the model's order */
  EDGE_USED,      /* a: of a value that is used in the model's order */
  EDGE_TRANSPOSE, /* a: operand, b: result */
  EDGE_RESHAPE,   /* a: operand, b: result */
  EDGE_DROP,      /* a: operand, b: result */
  EDGE_BROADCAST  /* a: operand, b: result of an elementwise node that repeats the operand */
};

struct edge {
  enum edge_kind kind;
  int a, b; /* components; b -1: none, a -1: a value of another graph */
  struct tn_node *node;
  struct tn_value *value; /* the operand, or the value itself */
  double share;           /* of the cost */
};

struct choice {
  struct tn_layouts *l;
  TN_VEC(struct edge) edges;
  TN_VEC(int) * incident; /* [components]: edges */
  int count;              /* components */
};

struct candidates {
  struct tn_layout at[MAX_CANDIDATES];
  int count;
};

/* ---- costs --------------------------------------------------------------------------------------------- */

struct tn_layout tn_layout_of(const struct tn_layouts *l, const struct tn_value *value) {
  int component = value->id < l->ids ? l->component[value->id] : -1;
  return component < 0 ? tn_layout_identity(value->type.rank) : l->layout[component];
}

bool tn_layout_fixed_def(const struct tn_value *value) {
  return !value->def || tn_layout_role(value->def) == TN_ROLE_FIXED;
}

double tn_layout_move_cost(const struct tn_layouts *l, const struct tn_type *type, const struct tn_layout *from,
                           const struct tn_layout *to) {
  double bytes = (double)tn_dtype_size(type->dtype);
  if (tn_layout_same_bytes(type, from, to))
    return 0;
  for (int i = 0; i < type->rank; i++) {
    tn_dim dim = type->dim[i];
    if (!tn_dim_static(dim)) {
      int64_t high = l->graph->module->symbols.at[-1 - dim].high;
      dim = high > 1024 ? 1024 : high;
    }
    bytes *= (double)dim;
  }
  return bytes + KERNEL_COST;
}

struct tn_type tn_layout_widen_type(const struct tn_type *type, int rank) {
  struct tn_type wide = *type;
  wide.rank = rank;
  for (int i = 0; i < rank; i++)
    wide.dim[i] = i < rank - type->rank ? 1 : type->dim[i - (rank - type->rank)];
  return wide;
}

struct tn_layout tn_layout_widen(const struct tn_layout *layout, int rank) {
  struct tn_layout wide = tn_layout_identity(rank);
  int more = rank - layout->rank;
  for (int i = 0; i < layout->rank; i++)
    wide.at[more + i] = (uint8_t)(more + layout->at[i]);
  return wide;
}

/* While the graph is rewritten, values already have the types of what is stored. */
static const struct tn_type *meant(const struct tn_layouts *l, const struct tn_value *value) {
  return value->id < l->ids && l->component[value->id] >= 0 ? &l->meant[value->id] : &value->type;
}

double tn_layout_reshape_plan(const struct tn_layouts *l, const struct tn_node *reshape,
                              struct tn_layout *operand, struct tn_layout *result) {
  const struct tn_type *from = meant(l, reshape->in[0]), *to = meant(l, reshape->out[0]);
  struct tn_layout a = tn_layout_of(l, reshape->in[0]), b = tn_layout_of(l, reshape->out[0]), other;
  struct tn_layout same_a = tn_layout_identity(from->rank), same_b = tn_layout_identity(to->rank);
  *operand = same_a;
  *result = same_b;
  double best = tn_layout_move_cost(l, from, &a, &same_a) + tn_layout_move_cost(l, to, &same_b, &b);
  if (tn_layout_through(from, to, &a, &other)) {
    double cost = tn_layout_move_cost(l, to, &other, &b);
    if (cost < best) {
      best = cost;
      *operand = a;
      *result = other;
    }
  }
  if (tn_layout_through(to, from, &b, &other)) {
    double cost = tn_layout_move_cost(l, from, &a, &other);
    if (cost < best) {
      best = cost;
      *operand = other;
      *result = b;
    }
  }
  return best;
}

static double edge_cost(const struct choice *c, const struct edge *e) {
  const struct tn_layouts *l = c->l;
  const struct tn_type *type = &e->value->type;
  struct tn_layout same = tn_layout_identity(type->rank);
  struct tn_layout a = e->a < 0 ? same : l->layout[e->a], b, x, y;
  switch (e->kind) {
  case EDGE_DEFINED:
  case EDGE_USED:
    return e->share * tn_layout_move_cost(l, type, &same, &a);
  case EDGE_TRANSPOSE:
    x = tn_layout_of_perm(e->node);
    x = tn_layout_compose(&x, &l->layout[e->b]);
    return tn_layout_move_cost(l, type, &a, &x);
  case EDGE_RESHAPE:
    return tn_layout_reshape_plan(l, e->node, &x, &y);
  case EDGE_DROP:
    x = tn_layout_drop(e->node, &a);
    return tn_layout_move_cost(l, &e->node->out[0]->type, &x, &l->layout[e->b]);
  case EDGE_BROADCAST:
    b = l->layout[e->b];
    a = tn_layout_widen(&a, b.rank);
    struct tn_type wide = tn_layout_widen_type(type, b.rank);
    return tn_layout_move_cost(l, &wide, &a, &b);
  }
  return 0;
}

static double component_cost(const struct choice *c, int component) {
  double cost = 0;
  for (size_t i = 0; i < c->incident[component].count; i++)
    cost += edge_cost(c, &c->edges.at[c->incident[component].at[i]]);
  return cost;
}

/* ---- candidates ---------------------------------------------------------------------------------------- */

static void add_candidate(struct candidates *list, const struct tn_layout *layout) {
  for (int i = 0; i < list->count; i++)
    if (tn_layout_equal(&list->at[i], layout))
      return;
  if (list->count < MAX_CANDIDATES)
    list->at[list->count++] = *layout;
}

/* The order that the layout gives to the last `rank` dims. */
static struct tn_layout narrow(const struct tn_layout *layout, int rank) {
  struct tn_layout out = {.rank = 0};
  for (int i = 0; i < layout->rank; i++)
    if (layout->at[i] >= layout->rank - rank)
      out.at[out.rank++] = (uint8_t)(layout->at[i] - (layout->rank - rank));
  return out;
}

/* Layouts of the component that make the edge free, as the other side is now. */
static void edge_candidates(const struct choice *c, const struct edge *e, int component,
                            struct candidates *list) {
  const struct tn_layouts *l = c->l;
  struct tn_layout x, perm;
  int rank = l->layout[component].rank;
  bool is_a = e->a == component;
  struct tn_layout other = e->kind == EDGE_DEFINED || e->kind == EDGE_USED ? tn_layout_identity(rank)
                           : is_a                                          ? l->layout[e->b]
                           : e->a < 0 ? tn_layout_identity(e->value->type.rank)
                                      : l->layout[e->a];
  switch (e->kind) {
  case EDGE_DEFINED:
  case EDGE_USED:
    add_candidate(list, &other);
    return;
  case EDGE_TRANSPOSE:
    perm = tn_layout_of_perm(e->node);
    if (!is_a)
      perm = tn_layout_inverse(&perm);
    x = tn_layout_compose(&perm, &other);
    add_candidate(list, &x);
    return;
  case EDGE_RESHAPE: {
    const struct tn_type *from = &e->node->in[0]->type, *to = &e->node->out[0]->type;
    if (tn_layout_through(is_a ? to : from, is_a ? from : to, &other, &x))
      add_candidate(list, &x);
    return;
  }
  case EDGE_DROP:
    x = tn_layout_drop(e->node, &other);
    if (!is_a)
      add_candidate(list, &x);
    return;
  case EDGE_BROADCAST:
    if (is_a)
      x = narrow(&other, rank);
    else
      x = tn_layout_widen(&other, rank);
    if (is_a || other.rank == rank)
      add_candidate(list, &x);
    return;
  }
}

static void component_candidates(const struct choice *c, int component, struct candidates *list) {
  list->count = 0;
  add_candidate(list, &c->l->layout[component]); /* as it is, first: a tie changes nothing */
  for (size_t i = 0; i < c->incident[component].count && list->count < MAX_CANDIDATES; i++)
    edge_candidates(c, &c->edges.at[c->incident[component].at[i]], component, list);
}

/* ---- search -------------------------------------------------------------------------------------------- */

#define LESS(a, b) ((a) < (b) - 1e-6)

/* Gives the component its cheapest layout.  Returns whether that is another one than before. */
static bool improve(struct choice *c, int component) {
  struct candidates list;
  struct tn_layout *layout = &c->l->layout[component];
  component_candidates(c, component, &list);
  int best = 0;
  double best_cost = component_cost(c, component);
  for (int i = 1; i < list.count && best_cost > 0; i++) {
    *layout = list.at[i];
    double cost = component_cost(c, component);
    if (LESS(cost, best_cost)) {
      best = i;
      best_cost = cost;
    }
  }
  *layout = list.at[best];
  return best != 0;
}

struct trial {
  struct choice *c;
  int component[MAX_FOLLOWERS]; /* changed so far */
  struct tn_layout before[MAX_FOLLOWERS];
  int count;
  double gain; /* what the changes save in all */
};

static void change(struct trial *t, int component, const struct tn_layout *layout) {
  t->component[t->count] = component;
  t->before[t->count++] = t->c->l->layout[component];
  t->gain += component_cost(t->c, component);
  t->c->l->layout[component] = *layout;
  t->gain -= component_cost(t->c, component);
}

/* The other end of the edge, when it has not answered yet; else -1. */
static int follower(const struct trial *t, const struct edge *e, int component) {
  int other = e->a == component ? e->b : e->a;
  for (int i = 0; i < t->count; i++)
    if (t->component[i] == other)
      return -1;
  return other;
}

/* The component changes, then each neighbour takes the layout that makes the edge between them free when that
 * costs nothing elsewhere, then their neighbours.  Kept when all of it together saves something. */
static bool improve_with_followers(struct choice *c, int component, const struct tn_layout *layout) {
  struct trial t = {.c = c};
  change(&t, component, layout);
  for (int done = 0; done < t.count; done++)
    for (size_t i = 0; i < c->incident[t.component[done]].count && t.count < MAX_FOLLOWERS; i++) {
      const struct edge *e = &c->edges.at[c->incident[t.component[done]].at[i]];
      int other = follower(&t, e, t.component[done]);
      struct candidates list = {.count = 0};
      if (other < 0 || edge_cost(c, e) <= 0)
        continue;
      edge_candidates(c, e, other, &list);
      if (list.count == 0 || tn_layout_equal(&list.at[0], &c->l->layout[other]))
        continue;
      struct tn_layout old = c->l->layout[other];
      double cost = component_cost(c, other);
      c->l->layout[other] = list.at[0];
      bool worse = LESS(cost, component_cost(c, other));
      c->l->layout[other] = old;
      if (!worse)
        change(&t, other, &list.at[0]);
    }
  if (t.gain > 1e-6)
    return true;
  while (t.count-- > 0)
    c->l->layout[t.component[t.count]] = t.before[t.count];
  return false;
}

static bool search_further(struct choice *c) {
  bool changed = false;
  for (int i = 0; i < c->count; i++) {
    struct candidates list;
    if (component_cost(c, i) <= 0)
      continue;
    component_candidates(c, i, &list);
    for (int k = 1; k < list.count; k++)
      if (improve_with_followers(c, i, &list.at[k])) {
        changed = true;
        break;
      }
  }
  return changed;
}

static bool search(struct choice *c) {
  for (int sweep = 0; sweep < SWEEPS; sweep++) {
    bool changed = true;
    for (int round = 0; round < SWEEPS && changed; round++) {
      changed = false;
      for (int i = 0; i < c->count; i++)
        changed = improve(c, i) || changed;
    }
    if (!search_further(c))
      break;
  }
  for (int i = 0; i < c->count; i++)
    if (!tn_layout_is_identity(&c->l->layout[i]))
      return true;
  return false;
}

/* ---- components and edges ------------------------------------------------------------------------------ */

static int root_of(int *parent, int i) {
  while (parent[i] != i)
    i = parent[i] = parent[parent[i]];
  return i;
}

/* Values that take part: defined in this graph, and no constants (which are rearranged at compile time). */
static bool takes_part(const struct tn_layouts *l, const struct tn_value *value) {
  return value && value->home == l->graph && !tn_def_of(value, TN_CONSTANT) && value->type.rank > 0;
}

/* The operand shares the result's component: it has its dims.  One that is repeated keeps its own. */
static bool shares(const struct tn_node *node, const struct tn_value *operand) {
  if (operand->type.rank != node->out[0]->type.rank)
    return false;
  if ((tn_op_info(node->op)->flags & TN_ELEMENTWISE) || node->op == TN_EXPAND)
    return tn_shape_equal(&operand->type, &node->out[0]->type);
  return true;
}

static void add_edge(struct choice *c, enum edge_kind kind, struct tn_node *node, struct tn_value *value,
                     const struct tn_value *result, double share) {
  struct tn_layouts *l = c->l;
  struct edge e = {.kind = kind, .node = node, .value = value, .share = share};
  e.a = takes_part(l, value) ? l->component[value->id] : -1;
  e.b = result ? l->component[result->id] : -1;
  if (e.a < 0 && e.b < 0)
    return;
  int index = (int)c->edges.count;
  TN_PUSH(l->arena, &c->edges, e);
  if (e.a >= 0)
    TN_PUSH(l->arena, &c->incident[e.a], index);
  if (e.b >= 0 && e.b != e.a)
    TN_PUSH(l->arena, &c->incident[e.b], index);
}

/* Where the value is needed in the model's order: the largest share, since one transposed copy serves all. */
static void add_value_edges(struct choice *c, struct tn_value *value) {
  double share = 0;
  if (!takes_part(c->l, value))
    return;
  if (tn_layout_fixed_def(value)) {
    add_edge(c, EDGE_DEFINED, value->def, value, NULL, 1);
    return; /* it is there in the model's order */
  }
  for (size_t i = 0; i < value->uses.count; i++) {
    const struct tn_node *user = value->uses.at[i].node;
    if (user->home != c->l->graph || !tn_layout_carries(user, value->uses.at[i].index))
      share = 1;
    else if (tn_layout_role(user) == TN_ROLE_FIXED && share < 1)
      share = user->op == TN_MATMUL ? MATMUL_SHARE : 1;
  }
  if (tn_value_is_output(value) && share < LATE_SHARE)
    share = LATE_SHARE;
  if (share > 0)
    add_edge(c, EDGE_USED, NULL, value, NULL, share);
}

static void add_node_edges(struct choice *c, struct tn_node *node) {
  struct tn_value *result = node->out_count > 0 ? node->out[0] : NULL;
  bool takes = result && takes_part(c->l, result);
  for (int i = 0; i < node->out_count; i++)
    add_value_edges(c, node->out[i]);
  if (!takes)
    return;
  switch (tn_layout_role(node)) {
  case TN_ROLE_FIXED:
    return;
  case TN_ROLE_TRANSPOSE:
    add_edge(c, EDGE_TRANSPOSE, node, node->in[0], result, 1);
    return;
  case TN_ROLE_RESHAPE:
    add_edge(c, EDGE_RESHAPE, node, node->in[0], result, 1);
    return;
  case TN_ROLE_DROP:
    add_edge(c, EDGE_DROP, node, node->in[0], result, 1);
    return;
  case TN_ROLE_SAME:
    for (int i = 0; i < node->in_count; i++) {
      struct tn_value *operand = node->in[i];
      if (operand && tn_layout_carries(node, i) && !tn_def_of(operand, TN_CONSTANT) && operand->type.rank > 0 &&
          !(takes_part(c->l, operand) && shares(node, operand)))
        add_edge(c, EDGE_BROADCAST, node, operand, result, 1);
    }
    return;
  }
}

/* Gives the value the number of its component, the next one when it is the first value of it. */
static void number_value(struct tn_layouts *l, int *parent, int *number, const struct tn_value *value,
                         int *count) {
  if (!takes_part(l, value))
    return;
  int root = root_of(parent, (int)value->id);
  if (number[root] < 0) {
    l->layout[*count] = tn_layout_identity(value->type.rank);
    number[root] = (*count)++;
  }
  l->component[value->id] = number[root];
  l->meant[value->id] = value->type;
}

static void find_components(struct tn_layouts *l, struct choice *c) {
  int *parent = TN_NEW_ARRAY(l->arena, int, l->ids);
  for (uint32_t i = 0; i < l->ids; i++)
    parent[i] = (int)i;
  for (struct tn_node *node = l->graph->first; node; node = node->next) {
    if (node->op == TN_CONSTANT || tn_layout_role(node) != TN_ROLE_SAME)
      continue;
    int first = (int)node->out[0]->id;
    for (int i = 1; i < node->out_count; i++)
      parent[root_of(parent, (int)node->out[i]->id)] = root_of(parent, first);
    for (int i = 0; i < node->in_count; i++)
      if (takes_part(l, node->in[i]) && tn_layout_carries(node, i) && shares(node, node->in[i]))
        parent[root_of(parent, (int)node->in[i]->id)] = root_of(parent, first);
  }
  /* Numbers in order of definition, so that the search is the same for the same model. */
  int *number = TN_NEW_ARRAY(l->arena, int, l->ids);
  l->component = TN_NEW_ARRAY(l->arena, int, l->ids);
  l->layout = TN_NEW_ARRAY(l->arena, struct tn_layout, l->ids);
  l->meant = TN_NEW_ARRAY(l->arena, struct tn_type, l->ids);
  for (uint32_t i = 0; i < l->ids; i++)
    number[i] = l->component[i] = -1;
  for (size_t i = 0; i < l->graph->inputs.count; i++)
    number_value(l, parent, number, l->graph->inputs.at[i], &c->count);
  for (struct tn_node *node = l->graph->first; node; node = node->next)
    for (int i = 0; i < node->out_count; i++)
      number_value(l, parent, number, node->out[i], &c->count);
}

/* ---- the pass ------------------------------------------------------------------------------------------ */

static void layout_graph(struct tn_pass *pass, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next)
    for (int i = 0; i < node->region_count; i++)
      layout_graph(pass, node->region[i]);
  struct tn_layouts l = {.pass = pass, .graph = graph, .arena = pass->scratch, .ids = graph->module->next_id};
  struct choice c = {.l = &l};
  find_components(&l, &c);
  c.incident = tn_calloc(l.arena, (size_t)c.count + 1, sizeof *c.incident);
  for (size_t i = 0; i < graph->inputs.count; i++)
    add_value_edges(&c, graph->inputs.at[i]);
  for (struct tn_node *node = graph->first; node; node = node->next)
    add_node_edges(&c, node);
  if (search(&c))
    tn_layout_rewrite(&l);
}

bool tn_pass_layout(struct tn_pass *pass, struct tn_module *module) {
  layout_graph(pass, module->main);
  return true;
}
