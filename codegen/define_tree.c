/* tree_walk: where each row ends in each tree of an ensemble. */
#include "codegen/define.h"

/* Whether the load is of a constant whose elements, shifted, are all in 0 .. extent-1. */
static bool stays_inside(const struct tn_expr *load, int shift, int64_t extent) {
  const struct tn_tensor *t = load->kind == TN_EX_LOAD ? load->load.buf->data : NULL;
  for (int64_t i = 0; t && i < load->load.buf->count; i++) {
    int64_t at = tn_tensor_int(t, i) >> shift;
    if (at < 0 || at >= extent)
      return false;
  }
  return t;
}

/* A position that a table gave, kept inside unless the table is known to. */
static struct tn_expr *position(struct tn_nest *n, struct tn_expr *at, int64_t extent, bool inside) {
  at = tn_ex_cast(n, at, TN_INDEX);
  return inside ? at : tn_ex_binary(n, TN_MIN, at, tn_ix(n, extent - 1));
}

static struct tn_expr *bits(struct tn_nest *n, struct tn_expr *e, int from, int count) {
  if (from)
    e = tn_ex_binary(n, TN_SHR, e, tn_ex_int(n, TN_U32, from));
  return tn_ex_binary(n, TN_AND, e, tn_ex_int(n, TN_U32, ((int64_t)1 << count) - 1));
}

/* Whether the node's test holds for x: a comparison, one of those in use, or it holds for nans. */
static struct tn_expr *test(struct tn_nest *n, const struct tn_node *node, struct tn_expr *packed,
                            struct tn_expr *x, struct tn_expr *threshold) {
  static const enum tn_op compare[] = {TN_LE, TN_LT, TN_GE, TN_GT, TN_EQ, TN_NE};
  int64_t used = tn_get_int(node, TN_TREE_WALK_tests);
  struct tn_expr *holds = NULL, *which = bits(n, packed, 1, 3);
  for (int m = 0; m < 6; m++) {
    if (!(used >> m & 1))
      continue;
    struct tn_expr *one = tn_ex_binary(n, compare[m], x, threshold);
    struct tn_expr *chosen = tn_ex_binary(n, TN_EQ, which, tn_ex_int(n, TN_U32, m));
    holds = holds ? tn_ex_select(n, chosen, one, holds) : one;
  }
  if (tn_get_int(node, TN_TREE_WALK_missing)) {
    struct tn_expr *follows = tn_ex_binary(n, TN_NE, bits(n, packed, 0, 1), tn_ex_int(n, TN_U32, 0));
    holds = tn_ex_binary(n, TN_OR, holds, tn_ex_binary(n, TN_AND, tn_ex_unary(n, TN_ISNAN, x), follows));
  }
  return holds;
}

static void tree_walk(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  struct tn_value *x = node->in[0], *roots = node->in[1], *nodes = node->in[2], *thresholds = node->in[3],
                  *children = node->in[4];
  int64_t count = nodes->type.dim[0], features = x->type.dim[1];
  struct tn_expr *idx[TN_MAX_RANK];
  struct tn_cursor body, *in = tn_define_loops(c, &node->out[0]->type, -1, TN_LOOP_SERIAL, idx, &body);
  struct tn_expr *root = tn_element(l, roots, &idx[1]), *zero = tn_ix(n, 0);
  struct tn_expr *at = tn_st_let(in, "at", root);
  bool known = stays_inside(root, 0, count) && stays_inside(tn_element(l, children, &zero), 0, count);
  bool feature_known = stays_inside(tn_element(l, nodes, &zero), TN_TREE_BITS, features);
  struct tn_var *level = tn_loop_var(n, "level", tn_get_int(node, TN_TREE_WALK_levels));
  struct tn_cursor step = tn_st_loop(in, level, TN_LOOP_SERIAL);
  struct tn_expr *where = position(n, at, count, known);
  struct tn_expr *packed = tn_st_let(&step, "node", tn_element(l, nodes, &where));
  struct tn_expr *feature = tn_ex_binary(n, TN_SHR, packed, tn_ex_int(n, TN_U32, TN_TREE_BITS));
  struct tn_expr *from[2] = {idx[0], position(n, feature, features, feature_known)};
  struct tn_expr *found = tn_st_let(&step, "x", tn_element(l, x, from));
  struct tn_expr *holds = test(n, node, packed, found, tn_element(l, thresholds, &where));
  struct tn_expr *child = tn_ix_scale(n, where, 2);
  child = tn_ix_add(n, child, tn_ex_cast(n, tn_ex_unary(n, TN_NOT, holds), TN_INDEX));
  tn_st_set(&step, at, tn_element(l, children, &child));
  tn_result(l, in, node->out[0], idx, tn_ex_cast(n, at, TN_I32), NULL);
}
const struct tn_definition tn_define_tree_walk = {.nest = tree_walk};
