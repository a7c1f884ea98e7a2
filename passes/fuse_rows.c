/* Fuse: kernels that go over the rows of a tensor once.
 *
 * A softmax is a largest element, a difference and its exponential, a sum and a product: four kernels, each a
 * sweep over memory.  When all of them are about the same rows (the positions of the first dims; the last dims
 * are what is reduced), one kernel does everything for a row while it is in the nearest cache.
 *
 * Groups are merged along their edges: a reduction over rows with what it reads or what reads it.  What a
 * merged group wrote for others inside alone is kept for the length of a row; decisions about what is stored
 * and what is computed again are those that formed the groups.
 */
#include "passes/fuse.h"

/* Longer rows leave the nearest caches, and one sweep is as good as another, but for attention. */
#define MAX_ROW_BYTES (64 * 1024)
/* Shorter rows leave lanes empty; a kernel across rows fills them.  Unless all of it is so little that calling
 * several kernels costs more. */
#define MIN_ROW 8
#define FEW_ELEMENTS 256

/* A reduction over the last dims, which it keeps as 1: the first of them; else -1. */
int tn_fuse_reduced_from(const struct tn_node *node) {
  if (!(tn_op_info(node->op)->flags & TN_REDUCE) || node->op == TN_MATMUL || node->op == TN_CONV ||
      node->op == TN_POOL || node->attr[0].ints.count == 0)
    return -1;
  const struct tn_type *x = &node->in[0]->type;
  struct tn_ints axes = node->attr[0].ints;
  int first = x->rank - (int)axes.count;
  bool dims[TN_MAX_RANK] = {false};
  for (size_t i = 0; i < axes.count; i++)
    dims[axes.at[i] < 0 ? axes.at[i] + x->rank : axes.at[i]] = true;
  for (int d = 0; d < x->rank; d++)
    if (dims[d] != (d >= first))
      return -1;
  return node->out[0]->type.rank == x->rank && tn_type_static(x) ? first : -1;
}

/* type is that of whole rows, or of one element a row. */
static bool fits(const struct tn_type *type, const struct tn_row_shape *s, bool *reduced) {
  bool whole = type->rank == s->whole->rank, one = whole;
  for (int d = 0; d < type->rank && (whole || one); d++) {
    whole = whole && type->dim[d] == s->whole->dim[d];
    one = one && type->dim[d] == (d < s->first ? s->whole->dim[d] : 1);
  }
  *reduced = one && !whole;
  return whole || one;
}

/* Lanes along the row find its elements side by side, or the same one. */
static bool along_rows(const struct tn_node *node) {
  if (tn_op_info(node->op)->flags & TN_ELEMENTWISE)
    return true;
  switch (node->op) {
  case TN_EXPAND:
  case TN_CONSTANT:
  case TN_IOTA:
    return true;
  case TN_RESHAPE:
    return tn_fuse_unit_reshape(node);
  case TN_SLICE: {
    struct tn_ints steps = tn_get_ints(node, TN_SLICE_steps);
    return steps.count > 0 && steps.at[steps.count - 1] == 1;
  }
  case TN_GATHER: {
    int64_t axis = tn_get_int(node, TN_GATHER_axis);
    int rank = node->in[0]->type.rank;
    return (axis < 0 ? axis + rank : axis) < rank - 1;
  }
  default:
    return tn_fuse_reduced_from(node) >= 0;
  }
}

/* The rows that the group is about; false when it cannot be part of a kernel by rows. */
bool tn_fuse_rows_of(const struct tn_group *g, struct tn_row_shape *out) {
  for (size_t i = 0; i < g->members.count; i++)
    if (!along_rows(g->members.at[i].node))
      return false;
  *out = (struct tn_row_shape){&g->roots.at[0]->out[0]->type, -1};
  if (g->rows >= 0 || g->anchor) {
    for (size_t i = 0; i < g->members.count; i++) {
      const struct tn_node *node = g->members.at[i].node;
      if (tn_fuse_reduced_from(node) >= 0)
        *out = (struct tn_row_shape){&node->in[0]->type, tn_fuse_reduced_from(node)};
    }
    return out->first >= 0;
  }
  return g->roots.count == 1 && tn_type_static(out->whole);
}

/* All that is made of value in the group, up to its roots, needs of a row only this row. */
bool tn_fuse_stays_in_rows(const struct tn_fuse *f, int group, const struct tn_value *value,
                           const struct tn_row_shape *s, bool *seen) {
  bool reduced;
  if (!fits(&value->type, s, &reduced))
    return false;
  for (size_t i = 0; i < value->uses.count; i++) {
    const struct tn_node *reader = value->uses.at[i].node;
    struct tn_member *m = tn_fuse_member((struct tn_fuse *)f, group, reader);
    if (!m)
      continue;
    bool *known = &seen[m - f->groups.at[group]->members.at];
    if (*known)
      continue;
    *known = true;
    bool rows = (tn_op_info(reader->op)->flags & TN_ELEMENTWISE) ||
                (tn_fuse_reduced_from(reader) == s->first && !reduced);
    if (!rows || !tn_fuse_stays_in_rows(f, group, reader->out[0], s, seen))
      return false;
  }
  return true;
}

/* may_be_long: of attention, which takes a row in blocks. */
static bool worth_it(const struct tn_module *module, const struct tn_row_shape *s, bool may_be_long) {
  double row = 1;
  for (int d = s->first; d < s->whole->rank; d++)
    row *= (double)s->whole->dim[d];
  double bytes = row * (double)tn_dtype_size(s->whole->dtype), all = tn_fuse_elements(module, s->whole);
  return (may_be_long || bytes <= MAX_ROW_BYTES) && all > 0 && (row >= MIN_ROW || all <= FEW_ELEMENTS);
}

static bool can_merge(struct tn_fuse *f, int from, int to, struct tn_row_shape *out) {
  const struct tn_group *a = f->groups.at[from], *b = f->groups.at[to];
  struct tn_row_shape x, y;
  if (from == to || a->merged || b->merged || a->members.count + b->members.count > TN_MAX_MEMBERS ||
      !tn_fuse_rows_of(a, &x) || !tn_fuse_rows_of(b, &y) || (x.first < 0 && y.first < 0))
    return false;
  *out = x.first < 0 ? y : x;
  if (x.first >= 0 && y.first >= 0 && (x.first != y.first || !tn_shape_equal(x.whole, y.whole)))
    return false;
  bool *seen = TN_NEW_ARRAY(f->arena, bool, b->members.count);
  bool reduced;
  for (size_t i = 0; i < b->roots.count; i++)
    if (!fits(&b->roots.at[i]->out[0]->type, out, &reduced))
      return false;
  for (size_t i = 0; i < a->roots.count; i++)
    if (a->roots.at[i]->out_count != 1 || !tn_fuse_stays_in_rows(f, to, a->roots.at[i]->out[0], out, seen))
      return false;
  return worth_it(f->graph->module, out, tn_fuse_only_attention(a, b)) && !tn_fuse_leads_around(f, from, to);
}

/* Roots that only the group itself reads are no longer written; those that it reads are kept for the row. */
static void settle_roots(struct tn_fuse *f, int group) {
  struct tn_group *g = f->groups.at[group];
  size_t left = 0;
  for (size_t i = 0; i < g->roots.count; i++) {
    struct tn_node *root = g->roots.at[i];
    const struct tn_value *result = root->out[0];
    bool inside = false, outside = tn_value_is_output(result) || result->uses.count == 0, known = false;
    for (size_t k = 0; k < result->uses.count; k++) {
      const struct tn_node *reader = result->uses.at[k].node;
      int position =
          reader->home == f->graph && reader->out_count > 0 ? tn_fuse_position(f, reader->out[0]) : -1;
      bool here = position >= 0 && tn_fuse_member(f, group, reader);
      inside |= here;
      outside |= !here || f->places[position].at.count > 1;
    }
    for (size_t k = 0; k < g->kept.count; k++)
      known |= g->kept.at[k] == root;
    if (inside && !known)
      TN_PUSH(f->arena, &g->kept, root);
    if (outside)
      g->roots.at[left++] = root;
  }
  g->roots.count = left;
}

void tn_fuse_merge_by_rows(struct tn_fuse *f, int from, int to, const struct tn_row_shape *s) {
  struct tn_group *a = f->groups.at[from], *b = f->groups.at[to];
  tn_fuse_merge(f, from, to);
  for (size_t i = 0; i < a->kept.count; i++)
    TN_PUSH(f->arena, &b->kept, a->kept.at[i]);
  b->rows = s->first;
  b->anchor = NULL;
  settle_roots(f, to);
}

/* Merges the group with one that reads a root of it. */
static bool merge_into_reader(struct tn_fuse *f, int from) {
  const struct tn_group *a = f->groups.at[from];
  for (size_t r = 0; r < a->roots.count; r++) {
    const struct tn_node *root = a->roots.at[r];
    for (size_t i = 0; i < root->out[0]->uses.count; i++) {
      const struct tn_node *reader = root->out[0]->uses.at[i].node;
      if (reader->home != f->graph || reader->out_count == 0)
        continue;
      const struct tn_places *places = &f->places[tn_fuse_position(f, reader->out[0])];
      for (size_t k = 0; k < places->at.count; k++) {
        struct tn_row_shape s;
        int to = places->at.at[k];
        if (can_merge(f, from, to, &s)) {
          tn_fuse_merge_by_rows(f, from, to, &s);
          return true;
        }
      }
    }
  }
  return false;
}

void tn_fuse_merge_rows(struct tn_fuse *f) {
  for (bool again = true; again;) {
    again = false;
    for (size_t from = 0; from < f->groups.count; from++)
      if (!f->groups.at[from]->merged)
        again |= merge_into_reader(f, (int)from);
  }
  for (size_t i = 0; i < f->groups.count; i++)
    tn_fuse_merge_products(f, (int)i);
}
