/* Fuse: groups nodes into kernels.
 *
 * For each graph, innermost first: reshapes get out of the way, nodes are grouped, each group becomes one
 * KERNEL node with a region of copies of its nodes.  Afterwards graphs hold kernels, ifs, loops, constants and
 * reshapes (views) only.
 *
 * In a kernel's region: constants of one element stand beside the nodes, so that code generation sees numbers;
 * larger ones are operands.  The region's nodes are in the order of the graph. */
#include "passes/fuse.h"
#include <stdlib.h>

static bool has(const struct tn_node *node, unsigned flag) {
  return (tn_op_info(node->op)->flags & flag) != 0;
}

/* ---- one kernel ---------------------------------------------------------------------------------------- */

struct making {
  struct tn_fuse *f;
  struct tn_group *group;
  struct tn_build build; /* in the region */
  struct tn_graph *region;
  TN_VEC(struct tn_value *) operands; /* operand i stands in the region as its input i */
  TN_VEC(struct tn_value *) from;     /* members' results and small constants: value -> value in the region */
  TN_VEC(struct tn_value *) to;
};

static int by_position(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

static struct tn_value *in_region(struct making *m, const struct tn_value *value) {
  for (size_t i = 0; i < m->from.count; i++)
    if (m->from.at[i] == value)
      return m->to.at[i];
  return NULL;
}

static bool one_element(const struct tn_value *value) {
  int64_t count;
  return tn_value_tensor(value) && tn_type_count(&value->type, &count) && count == 1;
}

/* Operands of the members that no member computes, each once, in order of first use. */
static void find_operands(struct making *m, struct tn_node *const *nodes, size_t count) {
  for (size_t n = 0; n < count; n++)
    for (int i = 0; i < nodes[n]->in_count; i++) {
      struct tn_value *value = nodes[n]->in[i];
      bool known = !value || one_element(value);
      for (size_t k = 0; k < count && !known; k++)
        known = nodes[k] == value->def;
      for (size_t k = 0; k < m->operands.count && !known; k++)
        known = m->operands.at[k] == value;
      if (!known)
        TN_PUSH(m->f->arena, &m->operands, value);
    }
}

static void stands_for(struct making *m, struct tn_value *from, struct tn_value *to) {
  TN_PUSH(m->f->arena, &m->from, from);
  TN_PUSH(m->f->arena, &m->to, to);
}

static void copy_member(struct making *m, const struct tn_node *node) {
  struct tn_value **in = TN_NEW_ARRAY(m->f->arena, struct tn_value *, node->in_count + 1);
  m->build.name = node->name;
  m->build.origin = node->origin;
  for (int i = 0; i < node->in_count; i++) {
    in[i] = node->in[i] ? in_region(m, node->in[i]) : NULL;
    if (node->in[i] && !in[i]) {
      in[i] = tn_constant(&m->build, tn_value_tensor(node->in[i]));
      stands_for(m, node->in[i], in[i]);
    }
  }
  struct tn_node *copy = tn_node_make(&m->build, node->op, node->in_count, in, node->out_count);
  memcpy(copy->attr, node->attr, sizeof node->attr);
  for (int i = 0; i < node->out_count; i++) {
    copy->out[i]->type.quant = node->out[i]->type.quant;
    stands_for(m, node->out[i], copy->out[i]);
  }
  if (!tn_finish(&m->build, copy))
    tn_fail_now(m->region->module->ctx);
}

static int ordinal_of(const struct tn_graph *region, const struct tn_node *wanted) {
  int ordinal = 0;
  for (const struct tn_node *node = region->first; node && node != wanted; node = node->next)
    ordinal++;
  return ordinal;
}

static void make_kernel(struct tn_fuse *f, struct tn_group *g) {
  size_t count = g->members.count;
  int *positions = TN_NEW_ARRAY(f->arena, int, count);
  struct tn_node **nodes = TN_NEW_ARRAY(f->arena, struct tn_node *, count);
  struct making m = {.f = f, .group = g};
  for (size_t i = 0; i < count; i++)
    positions[i] = tn_fuse_position(f, g->members.at[i].node->out[0]);
  qsort(positions, count, sizeof *positions, by_position);
  for (size_t i = 0; i < count; i++)
    nodes[i] = f->nodes[positions[i]];
  struct tn_node *last = f->nodes[g->order];
  const struct tn_node *namesake = g->anchor ? g->anchor : last;
  for (size_t i = 0; i < count && !g->anchor; i++)
    namesake = nodes[i]->op == TN_MATMUL ? nodes[i] : namesake;
  find_operands(&m, nodes, count);

  int outs = 0;
  for (size_t i = 0; i < g->roots.count; i++)
    outs += g->roots.at[i]->out_count;
  struct tn_build b = {f->graph, last, namesake->name, namesake->origin};
  struct tn_node *kernel = tn_node_make(&b, TN_KERNEL, (int)m.operands.count, m.operands.at, outs);
  m.region = tn_graph_create(f->graph->module, kernel);
  m.build = tn_build_at_end(m.region);
  for (size_t i = 0; i < m.operands.count; i++)
    stands_for(&m, m.operands.at[i], tn_graph_input(m.region, m.operands.at[i]->name, m.operands.at[i]->type));
  for (size_t i = 0; i < count; i++)
    copy_member(&m, nodes[i]);
  outs = 0;
  for (size_t i = 0; i < g->roots.count; i++)
    for (int k = 0; k < g->roots.at[i]->out_count; k++) {
      kernel->out[outs++]->type.quant = g->roots.at[i]->out[k]->type.quant;
      tn_graph_output(m.region, in_region(&m, g->roots.at[i]->out[k]));
    }
  if (g->anchor)
    tn_set_int(kernel, TN_KERNEL_anchor, ordinal_of(m.region, in_region(&m, g->anchor->out[0])->def));
  if (g->pool)
    tn_set_int(kernel, TN_KERNEL_pool, ordinal_of(m.region, in_region(&m, g->pool->out[0])->def));
  if (g->rows >= 0) {
    int64_t *kept = TN_NEW_ARRAY(f->arena, int64_t, g->kept.count);
    for (size_t i = 0; i < g->kept.count; i++)
      kept[i] = ordinal_of(m.region, in_region(&m, g->kept.at[i]->out[0])->def);
    tn_set_int(kernel, TN_KERNEL_rows, g->rows);
    tn_set_ints(kernel, TN_KERNEL_kept, kept, g->kept.count);
  }
  if (g->block > 0) {
    struct tn_node *const part[5] = {g->softmax.max, g->softmax.exp, g->softmax.sum, g->softmax.product,
                                     g->softmax.zero};
    int64_t at[5];
    for (int i = 0; i < 5; i++)
      at[i] = part[i] ? ordinal_of(m.region, in_region(&m, part[i]->out[0])->def) : -1;
    tn_set_int(kernel, TN_KERNEL_block, g->block);
    tn_set_ints(kernel, TN_KERNEL_softmax, at, 5);
  }
  if (!tn_finish(&b, kernel))
    tn_fail_now(f->graph->module->ctx);
  outs = 0;
  for (size_t i = 0; i < g->roots.count; i++)
    for (int k = 0; k < g->roots.at[i]->out_count; k++)
      tn_pass_replace(f->pass, g->roots.at[i]->out[k], kernel->out[outs++]);
  f->pass->changes++;
}

/* ---- order --------------------------------------------------------------------------------------------- */

/* A kernel with several results stands where the last of them stood; what reads the others moves behind it. */
struct sorting {
  struct tn_graph *graph;
  struct tn_node *first, *last;
  bool *done; /* by id of the first result */
};

static void append(struct sorting *s, struct tn_node *node);

static void append_operands(struct sorting *s, const struct tn_node *node) {
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i] && node->in[i]->def && node->in[i]->home == s->graph)
      append(s, node->in[i]->def);
  if (node->op == TN_KERNEL)
    return;
  for (int r = 0; r < node->region_count; r++) {
    for (const struct tn_node *inner = node->region[r]->first; inner; inner = inner->next)
      append_operands(s, inner);
    for (size_t i = 0; i < node->region[r]->outputs.count; i++) {
      struct tn_value *value = node->region[r]->outputs.at[i];
      if (value->def && value->home == s->graph)
        append(s, value->def);
    }
  }
}

/* The list is in order but for a few nodes, so the recursion is shallow. */
static void append(struct sorting *s, struct tn_node *node) {
  if (node->out_count > 0) {
    if (s->done[node->out[0]->id])
      return;
    s->done[node->out[0]->id] = true;
  }
  append_operands(s, node);
  node->prev = s->last;
  *(s->last ? &s->last->next : &s->first) = node;
  s->last = node;
}

static void sort_graph(struct tn_fuse *f) {
  struct sorting s = {.graph = f->graph, .done = TN_NEW_ARRAY(f->arena, bool, f->graph->module->next_id)};
  TN_VEC(struct tn_node *) nodes = {0};
  for (struct tn_node *node = f->graph->first; node; node = node->next)
    TN_PUSH(f->arena, &nodes, node);
  for (size_t i = 0; i < nodes.count; i++)
    append(&s, nodes.at[i]);
  if (s.last)
    s.last->next = NULL;
  f->graph->first = s.first;
  f->graph->last = s.last;
}

/* ---- a graph ------------------------------------------------------------------------------------------- */

static int by_root(const void *a, const void *b) {
  const struct tn_group *x = *(struct tn_group *const *)a, *y = *(struct tn_group *const *)b;
  return (x->order > y->order) - (x->order < y->order);
}

static bool check_node(const struct tn_node *node) {
  if (node->op == TN_SHAPE) {
    tn_node_error(node,
                  "the shape of '%s' is needed at run time, expected it to be known; bind its symbolic "
                  "dimensions with --dim or --shape",
                  node->in[0]->name);
    return false;
  }
  if (has(node, TN_COMPOSITE))
    tn_bug(node->home->module->ctx, "composite op '%s' was not decomposed before fusion",
           tn_op_info(node->op)->name);
  return true;
}

static bool fuse_graph(struct tn_pass *pass, struct tn_graph *graph) {
  bool good = true;
  for (struct tn_node *node = graph->first; node; node = node->next)
    for (int i = 0; i < node->region_count && node->op != TN_KERNEL; i++)
      good = fuse_graph(pass, node->region[i]) && good;
  if (!good)
    return false;
  tn_fuse_sink_reshapes(pass, graph);
  tn_fuse_sink_scales(pass, graph);

  struct tn_fuse f = {.pass = pass, .graph = graph, .arena = pass->scratch, .ids = graph->module->next_id};
  for (struct tn_node *node = graph->first; node; node = node->next) {
    good = check_node(node) && good;
    f.count++;
  }
  if (!good)
    return false;
  f.nodes = TN_NEW_ARRAY(f.arena, struct tn_node *, f.count);
  f.places = TN_NEW_ARRAY(f.arena, struct tn_places, f.count);
  f.position = TN_NEW_ARRAY(f.arena, int, f.ids);
  for (uint32_t i = 0; i < f.ids; i++)
    f.position[i] = -1;
  int at = 0;
  for (struct tn_node *node = graph->first; node; node = node->next, at++) {
    f.nodes[at] = node;
    for (int i = 0; i < node->out_count; i++)
      f.position[node->out[i]->id] = at;
  }
  tn_fuse_form_groups(&f);

  /* Kernels are made from the last to the first: a kernel reads what the nodes before it still define, and
   * their kernels take over their readers. */
  if (f.groups.count > 0) /* qsort takes no NULL */
    qsort(f.groups.at, f.groups.count, sizeof f.groups.at[0], by_root);
  bool several = false;
  for (size_t i = f.groups.count; i-- > 0;)
    if (!f.groups.at[i]->merged) {
      tn_pass_at(pass, f.nodes[f.groups.at[i]->order]);
      make_kernel(&f, f.groups.at[i]);
      several = several || f.groups.at[i]->roots.count > 1;
    }
  for (int i = f.count - 1; i >= 0; i--) {
    struct tn_node *node = f.nodes[i];
    bool unused = f.places[i].at.count > 0;
    for (int k = 0; k < node->out_count; k++)
      unused = unused && tn_value_unused(node->out[k]);
    if (unused)
      tn_node_remove(node);
  }
  if (several)
    sort_graph(&f);
  return true;
}

bool tn_pass_fuse(struct tn_pass *pass, struct tn_module *module) {
  if (!fuse_graph(pass, module->main))
    return false;
  tn_remove_dead(pass, module); /* constants that went into kernels */
  return true;
}
