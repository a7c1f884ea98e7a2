/* Fuse: which node goes to which kernels.
 *
 * Nodes are visited from the last to the first, so that every reader of a result has its place before the node
 * that computes it is considered.  A node joins the groups of its readers when all of them can take it and that
 * costs no more than storing its result; otherwise it becomes the root of a group of its own.  A reduction
 * joins the group of its readers as its anchor when they can be its epilogue.
 *
 * No cycle between groups arises: a node joins only if all its readers are in the groups that it joins. Merging
 * groups into kernels with several results comes after, and is checked on the whole. */
#include "passes/fuse.h"

struct tn_member *tn_fuse_member(struct tn_fuse *f, int group, const struct tn_node *node) {
  struct tn_group *g = f->groups.at[group];
  for (size_t i = 0; i < g->members.count; i++)
    if (g->members.at[i].node == node)
      return &g->members.at[i];
  return NULL;
}

int tn_fuse_position(const struct tn_fuse *f, const struct tn_value *value) {
  return value->id < f->ids ? f->position[value->id] : -1;
}

static bool has(const struct tn_node *node, unsigned flag) {
  return (tn_op_info(node->op)->flags & flag) != 0;
}

static void add_member(struct tn_fuse *f, int group, struct tn_member member, int position) {
  TN_PUSH(f->arena, &f->groups.at[group]->members, member);
  TN_PUSH(f->arena, &f->places[position].at, group);
}

static void start_group(struct tn_fuse *f, struct tn_node *node, int position) {
  struct tn_group *g = TN_NEW(f->arena, struct tn_group);
  int index = (int)f->groups.count;
  bool pointwise = has(node, TN_POINTWISE);
  g->order = position;
  g->rows = -1;
  g->anchor = pointwise ? NULL : node;
  TN_PUSH(f->arena, &f->groups, g);
  TN_PUSH(f->arena, &g->roots, node);
  struct tn_member root = {.node = node, .evals = tn_fuse_elements(f->graph->module, &node->out[0]->type)};
  root.aligned = has(node, TN_ELEMENTWISE);
  add_member(f, index, root, position);
}

/* ---- joining readers ----------------------------------------------------------------------------------- */

/* Every reader of the node's result is a node of this graph that is in a group. */
static bool readers_are_kernels(const struct tn_fuse *f, const struct tn_node *node) {
  const struct tn_value *result = node->out[0];
  if (node->out_count != 1 || tn_value_is_output(result) || result->uses.count == 0)
    return false;
  for (size_t i = 0; i < result->uses.count; i++) {
    const struct tn_node *reader = result->uses.at[i].node;
    int position = reader->out_count > 0 ? tn_fuse_position(f, reader->out[0]) : -1;
    if (position < 0 || f->places[position].at.count == 0)
      return false;
  }
  return true;
}

/* The groups of all readers, each once, lowest first. */
static size_t reader_groups(struct tn_fuse *f, const struct tn_node *node, int **out) {
  TN_VEC(int) groups = {0};
  const struct tn_value *result = node->out[0];
  for (size_t i = 0; i < result->uses.count; i++) {
    const struct tn_places *places = &f->places[tn_fuse_position(f, result->uses.at[i].node->out[0])];
    for (size_t k = 0; k < places->at.count; k++) {
      int group = places->at.at[k];
      size_t at = 0;
      while (at < groups.count && groups.at[at] != group)
        at++;
      if (at == groups.count)
        TN_PUSH(f->arena, &groups, group);
    }
  }
  *out = groups.at;
  return groups.count;
}

/* What the node would be as a member of the group: false when one of its readers there cannot take it. */
static bool as_member(struct tn_fuse *f, int group, struct tn_node *node, struct tn_member *out) {
  struct tn_group *g = f->groups.at[group];
  const struct tn_value *result = node->out[0];
  double in_step = 0, apart = 0; /* evaluations at the readers' own position are one; others add up */
  *out = (struct tn_member){.node = node, .aligned = has(node, TN_ELEMENTWISE)};
  if (g->members.count >= TN_MAX_MEMBERS)
    return false;
  for (size_t i = 0; i < result->uses.count; i++) {
    struct tn_node *reader = result->uses.at[i].node;
    const struct tn_member *m = tn_fuse_member(f, group, reader);
    if (!m)
      continue;
    if (!tn_fuse_takes(reader, result->uses.at[i].index, node, m->strict))
      return false;
    double reads = tn_fuse_reads(reader, result->uses.at[i].index, m->evals);
    bool same = has(reader, TN_ELEMENTWISE) && tn_shape_equal(&result->type, &reader->out[0]->type);
    if (!same)
      apart += reads;
    else if (reads > in_step)
      in_step = reads;
    out->aligned = out->aligned && same && m->aligned;
    out->strict = out->strict || m->strict || tn_fuse_contraction(reader);
    if (m->depth > out->depth)
      out->depth = m->depth;
  }
  out->evals = in_step + apart;
  return true;
}

/* The root of the group is the only thing it computes that is written, so an epilogue suits any pointwise group
 * in which the reduction's readers are aligned with the root. */
static bool join_as_anchor(struct tn_fuse *f, struct tn_node *node, int position) {
  int *groups;
  if (!readers_are_kernels(f, node) || reader_groups(f, node, &groups) != 1)
    return false;
  struct tn_group *g = f->groups.at[groups[0]];
  struct tn_member member;
  if (g->anchor || g->members.count >= TN_MAX_MEMBERS ||
      !tn_shape_equal(&node->out[0]->type, &g->roots.at[0]->out[0]->type))
    return false;
  for (size_t i = 0; i < node->out[0]->uses.count; i++) {
    const struct tn_member *m = tn_fuse_member(f, groups[0], node->out[0]->uses.at[i].node);
    if (!m->aligned)
      return false;
  }
  member = (struct tn_member){.node = node, .evals = tn_fuse_elements(f->graph->module, &node->out[0]->type)};
  g->anchor = node;
  add_member(f, groups[0], member, position);
  return true;
}

static bool join(struct tn_fuse *f, struct tn_node *node, int position) {
  int *groups;
  if (!readers_are_kernels(f, node))
    return false;
  size_t count = reader_groups(f, node, &groups);
  struct tn_member *members = TN_NEW_ARRAY(f->arena, struct tn_member, count);
  bool contractions_only = true, epilogue = tn_fuse_ends_reduction(node);
  int depth = 0;
  for (size_t i = 0; i < count; i++) {
    if (!as_member(f, groups[i], node, &members[i]) || !tn_fuse_affordable(node, members[i].evals))
      return false;
    /* A value that a reduction leaves in a register had better be finished there than by its reader. */
    if (epilogue && (f->groups.at[groups[i]]->anchor || !members[i].aligned))
      return false;
    contractions_only = contractions_only && members[i].strict;
    if (members[i].depth > depth)
      depth = members[i].depth;
  }
  if (count > 1 && (epilogue || !tn_fuse_repeatable(node, depth, contractions_only)))
    return false;
  for (size_t i = 0; i < count; i++) {
    members[i].depth += count > 1;
    add_member(f, groups[i], members[i], position);
  }
  return true;
}

static void place(struct tn_fuse *f, struct tn_node *node, int position) {
  bool placed = node->op == TN_CONSTANT || node->op == TN_IF || node->op == TN_LOOP || node->op == TN_KERNEL;
  if (placed || node->out_count == 0) /* a kernel: of text that was printed after an earlier fuse */
    return;
  if (tn_fuse_inlinable(node) && join(f, node, position))
    return;
  if (node->op == TN_RESHAPE) /* a view */
    return;
  if (has(node, TN_REDUCE | TN_TILES) && join_as_anchor(f, node, position))
    return;
  start_group(f, node, position);
}

/* ---- several results ----------------------------------------------------------------------------------- */

struct search {
  struct tn_fuse *f;
  int from, to; /* groups */
  bool *seen;   /* [count] by node */
  TN_VEC(int) work;
  int budget;
};

static void visit(struct search *s, const struct tn_node *node) {
  /* A node of a graph inside counts as the If or Loop of this graph that holds it. */
  while (node->home != s->f->graph) {
    node = node->home->owner;
    if (!node)
      return;
  }
  int position = node->out_count > 0 ? tn_fuse_position(s->f, node->out[0]) : -1;
  if (position >= 0 && !s->seen[position]) {
    s->seen[position] = true;
    TN_PUSH(s->f->arena, &s->work, position);
  }
}

static void visit_readers(struct search *s, const struct tn_node *node) {
  for (int i = 0; i < node->out_count; i++)
    for (size_t k = 0; k < node->out[i]->uses.count; k++)
      visit(s, node->out[i]->uses.at[k].node);
}

bool tn_fuse_leads_around(struct tn_fuse *f, int from, int to) {
  struct search s = {
      .f = f, .from = from, .to = to, .seen = TN_NEW_ARRAY(f->arena, bool, f->count), .budget = 2000};
  for (size_t i = 0; i < f->groups.at[from]->roots.count; i++)
    visit_readers(&s, f->groups.at[from]->roots.at[i]);
  while (s.work.count > 0) {
    int position = s.work.at[--s.work.count];
    const struct tn_places *places = &f->places[position];
    if (--s.budget < 0)
      return true;
    if (places->at.count == 0) /* a view, an If, a Loop */
      visit_readers(&s, f->nodes[position]);
    for (size_t i = 0; i < places->at.count; i++) {
      int group = places->at.at[i];
      if (group == from || group == to)
        continue; /* the direct edge, or a node repeated in both */
      const struct tn_group *g = f->groups.at[group];
      for (size_t r = 0; r < g->roots.count; r++)
        for (int o = 0; o < g->roots.at[r]->out_count; o++)
          for (size_t k = 0; k < g->roots.at[r]->out[o]->uses.count; k++) {
            struct tn_node *reader = g->roots.at[r]->out[o]->uses.at[k].node;
            if (reader->home == f->graph && reader->out_count > 0 && tn_fuse_member(f, to, reader))
              return true;
            visit(&s, reader);
          }
    }
    if (places->at.count == 0)
      for (int o = 0; o < f->nodes[position]->out_count; o++)
        for (size_t k = 0; k < f->nodes[position]->out[o]->uses.count; k++)
          if (tn_fuse_member(f, to, f->nodes[position]->out[o]->uses.at[k].node))
            return true;
  }
  return false;
}

/* `from` writes what `to` reads element by element, and others read it too: one kernel can write both. */
static bool can_merge(struct tn_fuse *f, int from, int to) {
  struct tn_group *a = f->groups.at[from], *b = f->groups.at[to];
  if (a->merged || b->merged || from == to || a->anchor || b->anchor || a->rows >= 0 || b->rows >= 0 ||
      a->roots.count != 1 || a->members.count + b->members.count > TN_MAX_MEMBERS ||
      !tn_fuse_inlinable(a->roots.at[0]))
    return false;
  const struct tn_value *result = a->roots.at[0]->out[0];
  if (!tn_shape_equal(&result->type, &b->roots.at[0]->out[0]->type))
    return false;
  bool read = false;
  for (size_t i = 0; i < result->uses.count; i++) {
    const struct tn_member *m = tn_fuse_member(f, to, result->uses.at[i].node);
    if (!m)
      continue;
    read = true;
    if (!m->aligned)
      return false;
  }
  return read && !tn_fuse_leads_around(f, from, to);
}

void tn_fuse_merge(struct tn_fuse *f, int from, int to) {
  struct tn_group *a = f->groups.at[from], *b = f->groups.at[to];
  for (size_t i = 0; i < a->members.count; i++) {
    struct tn_node *node = a->members.at[i].node;
    struct tn_places *places = &f->places[tn_fuse_position(f, node->out[0])];
    bool there = tn_fuse_member(f, to, node) != NULL;
    if (!there)
      TN_PUSH(f->arena, &b->members, a->members.at[i]);
    size_t kept = 0;
    for (size_t k = 0; k < places->at.count; k++)
      if (places->at.at[k] != from)
        places->at.at[kept++] = places->at.at[k];
    places->at.count = kept;
    if (!there)
      TN_PUSH(f->arena, &places->at, to);
  }
  for (size_t i = 0; i < a->roots.count; i++)
    TN_PUSH(f->arena, &b->roots, a->roots.at[i]);
  a->merged = true;
}

static void merge_groups(struct tn_fuse *f) {
  for (size_t from = 0; from < f->groups.count; from++) {
    const struct tn_group *a = f->groups.at[from];
    if (a->merged || a->anchor || a->rows >= 0 || a->roots.count != 1)
      continue;
    const struct tn_value *result = a->roots.at[0]->out[0];
    bool merged = false;
    for (size_t i = 0; i < result->uses.count && !merged; i++) {
      const struct tn_node *reader = result->uses.at[i].node;
      int position = reader->out_count > 0 ? tn_fuse_position(f, reader->out[0]) : -1;
      for (size_t k = 0; position >= 0 && k < f->places[position].at.count && !merged; k++) {
        int to = f->places[position].at.at[k];
        if (can_merge(f, (int)from, to)) {
          tn_fuse_merge(f, (int)from, to);
          merged = true;
        }
      }
    }
  }
}

void tn_fuse_form_groups(struct tn_fuse *f) {
  for (int i = f->count - 1; i >= 0; i--) {
    tn_pass_at(f->pass, f->nodes[i]);
    place(f, f->nodes[i], i);
  }
  tn_fuse_merge_rows(f);
  tn_fuse_merge_pools(f);
  merge_groups(f);
}
