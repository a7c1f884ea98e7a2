/* Fuse: a pool becomes part of the convolution before it.
 *
 * Where a pool's windows do not overlap, each result of the convolution goes into one window: it can be
 * combined while it is in a register, and the tensor that is pooled need not be anywhere.  What stands between
 * the two element by element goes along. */
#include "passes/fuse.h"

/* Windows that do not overlap and lie inside of the operand, over dims between the first and the last. */
static bool whole_windows(const struct tn_node *pool) {
  const struct tn_type *in = &pool->in[0]->type, *out = &pool->out[0]->type;
  struct tn_ints window = tn_get_ints(pool, TN_POOL_window), strides = tn_get_ints(pool, TN_POOL_strides);
  struct tn_ints dilations = tn_get_ints(pool, TN_POOL_dilations), before = tn_get_ints(pool, TN_POOL_before);
  if (!tn_type_static(in) || !tn_type_static(out))
    return false;
  int64_t elements = 1;
  for (int d = 0; d < in->rank; d++) {
    bool inner = d > 0 && d + 1 < in->rank;
    if (window.at[d] > strides.at[d] || (!inner && (window.at[d] > 1 || strides.at[d] > 1)) ||
        before.at[d] != 0 || (window.at[d] > 1 && dilations.at[d] != 1) ||
        (out->dim[d] - 1) * strides.at[d] + window.at[d] > in->dim[d])
      return false;
    elements *= window.at[d];
  }
  return elements > 1;
}

/* All that reads the value is the pool, or of the group alone, of the same shape, and only so reaches the pool.
 */
static bool leads_to_pool(struct tn_fuse *f, int group, const struct tn_value *value,
                          const struct tn_node *pool) {
  bool only = value->uses.count > 0 && !tn_value_is_output(value);
  for (size_t i = 0; i < value->uses.count && only; i++) {
    const struct tn_node *reader = value->uses.at[i].node;
    if (reader == pool)
      continue;
    only = reader->home == f->graph && tn_fuse_member(f, group, reader) &&
           f->places[tn_fuse_position(f, reader->out[0])].at.count == 1 &&
           (tn_op_info(reader->op)->flags & TN_ELEMENTWISE) &&
           tn_shape_equal(&reader->out[0]->type, &value->type) && leads_to_pool(f, group, reader->out[0], pool);
  }
  return only;
}

/* The group makes what the pool may take: by a convolution, or tiles that hold whole windows. */
static bool convolves(const struct tn_group *g, const struct tn_node *pool) {
  if (g->merged || g->pool || g->rows >= 0 || !g->anchor || g->roots.count != 1)
    return false;
  struct tn_ints strides = tn_get_ints(pool, TN_POOL_strides);
  for (size_t d = 0; d < strides.count && g->anchor->op == TN_WINOGRAD_OUTPUT; d++)
    if (TN_WINOGRAD_STEP % strides.at[d])
      return false;
  return g->anchor->op == TN_CONV || g->anchor->op == TN_WINOGRAD_OUTPUT;
}

/* The group of the convolution that the pool's group reads element by element up to the pool; -1: none. */
static int convolution_before(struct tn_fuse *f, int group) {
  const struct tn_group *g = f->groups.at[group];
  for (size_t i = 0; i < g->members.count; i++)
    for (int k = 0; k < g->members.at[i].node->in_count; k++) {
      const struct tn_value *value = g->members.at[i].node->in[k];
      int at = value && value->def && value->home == f->graph ? tn_fuse_position(f, value) : -1;
      if (at < 0 || f->places[at].at.count != 1)
        continue;
      int from = f->places[at].at.at[0];
      if (from != group && convolves(f->groups.at[from], g->anchor) &&
          f->groups.at[from]->roots.at[0] == value->def &&
          tn_shape_equal(&value->type, &g->anchor->in[0]->type) && leads_to_pool(f, group, value, g->anchor))
        return from;
    }
  return -1;
}

void tn_fuse_merge_pools(struct tn_fuse *f) {
  for (int group = 0; group < (int)f->groups.count; group++) {
    struct tn_group *g = f->groups.at[group];
    if (g->merged || g->rows >= 0 || !g->anchor || g->anchor->op != TN_POOL || g->roots.count != 1 ||
        !whole_windows(g->anchor))
      continue;
    int from = convolution_before(f, group);
    if (from < 0 || f->groups.at[from]->members.count + g->members.count > TN_MAX_MEMBERS)
      continue;
    struct tn_node *root = g->roots.at[0];
    tn_fuse_merge(f, from, group);
    g->roots.count = 0;
    TN_PUSH(f->arena, &g->roots, root);
    g->pool = g->anchor;
    g->anchor = f->groups.at[from]->anchor;
  }
}
