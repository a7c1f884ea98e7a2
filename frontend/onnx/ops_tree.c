/* ai.onnx.ml: ensembles of decision trees.
 *
 * All trees are walked at once (tree_walk).  Leaves lead to themselves, so after as many steps as the deepest
 * tree has levels every row stands at a leaf.  The code does not grow with the trees.
 *
 * Nodes are numbered anew: those that branch first, then the leaves, whose weights are the rows of a table. */
#include "frontend/onnx/ml.h"
#include <math.h>
#include <stdlib.h>

enum mode { LEQ, LT, GTE, GT, EQ, NEQ, LEAF };
static const char *const mode_names[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                         "BRANCH_EQ",  "BRANCH_NEQ", "LEAF"};
enum aggregate { AVERAGE, SUM, MIN, MAX };

struct tree_node {
  enum mode mode;
  bool missing_is_true;
  int32_t feature;
  double threshold;
  int64_t yes, no; /* nodes; a leaf: itself */
  int64_t number;  /* the new one */
  int64_t level;   /* length of the longest path that leads to a leaf; -1: not seen, -2: on the way */
};

struct forest {
  struct tn_onnx_node *n;
  enum tn_dtype dtype; /* of thresholds and weights */
  int64_t count, targets;
  struct tree_node *nodes;
  TN_VEC(int64_t) roots;
  int64_t branches, leaves, levels;
  double *weights; /* [leaves, targets] */
  bool *scored;    /* [targets] some leaf has a weight for it */
  bool *given;     /* [leaves, targets] */
};

TN_NORETURN static void leave(struct forest *f) {
  tn_fail_now(module_of(f->n)->ctx);
}

/* ---- structure ------------------------------------------------------------------------------------------- */

/* Sets the level of `at` and of what it leads to, without recursion: trees may be as deep as they have nodes.
 */
static void measure(struct forest *f, int64_t root) {
  TN_VEC(int64_t) path = {0};
  TN_PUSH(f->n->arena, &path, root);
  while (path.count) {
    struct tree_node *node = &f->nodes[path.at[path.count - 1]];
    if (node->mode == LEAF)
      node->level = 0;
    if (node->level >= 0) {
      path.count--;
      continue;
    }
    node->level = -2;
    int64_t next = -1;
    for (int k = 0; k < 2 && next < 0; k++) {
      int64_t child = k ? node->no : node->yes;
      if (f->nodes[child].level == -2) {
        tn_onnx_error(f->n, "its node %lld leads back to itself", (long long)child);
        leave(f);
      }
      if (f->nodes[child].level < 0)
        next = child;
    }
    if (next >= 0) {
      TN_PUSH(f->n->arena, &path, next);
      continue;
    }
    int64_t a = f->nodes[node->yes].level, c = f->nodes[node->no].level;
    node->level = 1 + (a > c ? a : c);
    path.count--;
  }
  if (f->nodes[root].level > f->levels)
    f->levels = f->nodes[root].level;
}

static void number_nodes(struct forest *f) {
  for (size_t i = 0; i < f->roots.count; i++)
    measure(f, f->roots.at[i]);
  for (int64_t i = 0; i < f->count; i++)
    if (f->nodes[i].mode != LEAF)
      f->nodes[i].number = f->branches++;
  for (int64_t i = 0; i < f->count; i++)
    if (f->nodes[i].mode == LEAF)
      f->nodes[i].number = f->branches + f->leaves++;
  if (f->targets < 1 || f->targets > INT32_MAX || f->count > INT32_MAX / 2 ||
      f->leaves > (1 << 28) / f->targets) {
    tn_onnx_error(f->n, "%lld nodes and %lld targets are too many", (long long)f->count, (long long)f->targets);
    leave(f);
  }
  f->weights = TN_NEW_ARRAY(f->n->arena, double, f->leaves * f->targets + 1);
  f->given = TN_NEW_ARRAY(f->n->arena, bool, f->leaves * f->targets + 1);
  f->scored = TN_NEW_ARRAY(f->n->arena, bool, f->targets);
}

static void add_weight(struct forest *f, int64_t node, int64_t target, double weight) {
  if (target < 0 || target >= f->targets) {
    tn_onnx_error(f->n, "a weight is for target %lld; there are %lld", (long long)target,
                  (long long)f->targets);
    leave(f);
  }
  if (f->nodes[node].mode != LEAF)
    return; /* never reached as an end */
  int64_t at = (f->nodes[node].number - f->branches) * f->targets + target;
  f->weights[at] += weight;
  f->given[at] = true;
  f->scored[target] = true;
}

/* ---- walking --------------------------------------------------------------------------------------------- */

static val table_of(struct forest *f, enum tn_dtype dtype, int64_t count, const int32_t *at) {
  return tn_constant_bytes(f->n->b, tn_type_make(dtype, 1, &count), at);
}

/* x [batch, features], to the leaf at which each row ends in each tree: its new number, [batch, trees]. */
static val walk(struct forest *f, val x, val roots) {
  struct tn_build *b = f->n->b;
  int32_t *nodes = TN_NEW_ARRAY(f->n->arena, int32_t, f->count + 1),
          *children = TN_NEW_ARRAY(f->n->arena, int32_t, 2 * f->count + 1);
  void *threshold = tn_calloc(f->n->arena, (size_t)f->count + 1, tn_dtype_size(f->dtype));
  int64_t tests = 0, missing = 0;
  for (int64_t i = 0; i < f->count; i++) {
    const struct tree_node *node = &f->nodes[i];
    int64_t at = node->number;
    children[2 * at] = children[2 * at + 1] = (int32_t)at;
    if (node->mode == LEAF)
      continue;
    tests |= 1 << node->mode;
    missing |= node->missing_is_true;
    nodes[at] = node->feature << TN_TREE_BITS | (int32_t)node->mode << 1 | node->missing_is_true;
    tn_store_float(f->dtype, threshold, at, node->threshold);
    children[2 * at] = (int32_t)f->nodes[node->yes].number;
    children[2 * at + 1] = (int32_t)f->nodes[node->no].number;
  }
  val in[5] = {x, roots, table_of(f, TN_U32, f->count, nodes),
               tn_constant_bytes(b, tn_type_make(f->dtype, 1, &f->count), threshold),
               table_of(f, TN_U32, 2 * f->count, children)};
  struct tn_node *walked = tn_node_make(b, TN_TREE_WALK, 5, in, 1);
  tn_set_int(walked, TN_TREE_WALK_levels, f->levels);
  tn_set_int(walked, TN_TREE_WALK_tests, tests);
  tn_set_int(walked, TN_TREE_WALK_missing, missing);
  if (!tn_finish(b, walked))
    leave(f);
  return walked->out[0];
}

/* What the trees say: [batch, targets]; a target that no reached leaf scores gets 0. */
static val evaluate(struct forest *f, val x, enum aggregate how) {
  struct tn_onnx_node *n = f->n;
  struct tn_build *b = n->b;
  int64_t features = tn_onnx_extent(n, x, 1, "X");
  if (features > INT32_MAX >> TN_TREE_BITS) {
    tn_onnx_error(n, "X has %lld features; at most %d", (long long)features, INT32_MAX >> TN_TREE_BITS);
    leave(f);
  }
  for (int64_t i = 0; i < f->count; i++)
    if (f->nodes[i].mode != LEAF && (f->nodes[i].feature < 0 || f->nodes[i].feature >= features)) {
      tn_onnx_error(n, "a node looks at feature %d of %lld", (int)f->nodes[i].feature, (long long)features);
      leave(f);
    }
  int64_t trees = (int64_t)f->roots.count;
  int32_t *roots = TN_NEW_ARRAY(n->arena, int32_t, trees + 1);
  for (int64_t i = 0; i < trees; i++)
    roots[i] = (int32_t)f->nodes[f->roots.at[i]].number;
  x = tn_cast(b, x, f->dtype);
  val at;
  if (f->levels > 0)
    at = walk(f, x, table_of(f, TN_U32, trees, roots));
  else
    at = tn_expand(b, table_of(f, TN_I32, trees, roots), 2, (tn_dim[]){x->type.dim[0], trees});
  double absent = how == MIN ? (double)INFINITY : how == MAX ? -(double)INFINITY : 0;
  void *weights = tn_calloc(n->arena, (size_t)(f->leaves * f->targets) + 1, tn_dtype_size(f->dtype));
  for (int64_t i = 0; i < f->leaves * f->targets; i++)
    tn_store_float(f->dtype, weights, i, f->given[i] ? f->weights[i] : absent);
  val table = tn_constant_bytes(b, tn_type_make(f->dtype, 2, (tn_dim[]){f->leaves, f->targets}), weights);
  if (f->branches > 0)
    at = sub(b, at, num(b, at, (double)f->branches));
  val each = tn_gather(b, table, at, 0); /* [batch, trees, targets] */
  enum tn_op reduce = how == MIN ? TN_REDUCE_MIN : how == MAX ? TN_REDUCE_MAX : TN_REDUCE_SUM;
  val y = tn_reduce(b, reduce, each, (int64_t[]){1}, 1, false);
  if (how == AVERAGE)
    return quo(b, y, num(b, y, (double)trees));
  if (how == SUM)
    return y;
  return tn_select(b, tn_binary(b, TN_EQ, y, num(b, y, absent)), num(b, y, 0), y);
}

/* ---- TreeEnsembleClassifier, TreeEnsembleRegressor ---------------------------------------------------------
 */

struct place {
  int64_t tree, node, index;
};

static int compare_places(const void *a, const void *c) {
  const struct place *x = a, *y = c;
  if (x->tree != y->tree)
    return x->tree < y->tree ? -1 : 1;
  return x->node < y->node ? -1 : x->node > y->node;
}

static int64_t find_place(struct forest *f, const struct place *places, int64_t tree, int64_t node) {
  struct place key = {tree, node, 0};
  const struct place *at = bsearch(&key, places, (size_t)f->count, sizeof *places, compare_places);
  if (at)
    return at->index;
  tn_onnx_error(f->n, "node %lld of tree %lld is referred to, and is not there", (long long)node,
                (long long)tree);
  leave(f);
}

static const int64_t *need_ints(struct forest *f, const char *name, int64_t count) {
  struct tn_ints ints;
  tn_onnx_ints(f->n, name, &ints);
  if ((int64_t)ints.count == count)
    return ints.at;
  tn_onnx_error(f->n, "attribute %s has %zu elements; %lld are expected", name, ints.count, (long long)count);
  leave(f);
}

/* FLOATS attribute `name`, or the tensor `name`_as_tensor, as doubles; *count is set, 0 when neither is there.
 */
static const double *need_numbers(struct forest *f, const char *name, int64_t *count) {
  struct tn_onnx_node *n = f->n;
  const char *tensor_name = tn_printf(n->arena, "%s_as_tensor", name);
  const struct tn_tensor *tensor = tn_onnx_tensor(n, tensor_name);
  const float *floats = NULL;
  size_t float_count = 0;
  *count = 0;
  if (tensor)
    (void)tn_type_count(&tensor->type, count);
  else if (tn_onnx_floats(n, name, &floats, &float_count))
    *count = (int64_t)float_count;
  double *out = TN_NEW_ARRAY(n->arena, double, *count + 1);
  for (int64_t i = 0; i < *count; i++)
    out[i] = tensor ? tn_tensor_float(tensor, i) : (double)floats[i];
  return out;
}

static enum mode mode_of(struct forest *f, const char *name) {
  for (int i = 0; i <= LEAF; i++)
    if (!strcmp(name, mode_names[i]))
      return (enum mode)i;
  tn_onnx_error(f->n, "a node's mode is '%s', which ONNX has not", name);
  leave(f);
}

/* Reads nodes_* and the weights that are named by `ids` (class_ids, target_ids) and so on. */
static void read_forest(struct forest *f, const char *kind, int64_t targets) {
  struct tn_onnx_node *n = f->n;
  const char *const *modes;
  size_t count;
  struct tn_ints missing;
  tn_onnx_strings(n, "nodes_modes", &modes, &count);
  f->count = (int64_t)count;
  f->targets = targets;
  const int64_t *trees = need_ints(f, "nodes_treeids", f->count),
                *ids = need_ints(f, "nodes_nodeids", f->count),
                *yes = need_ints(f, "nodes_truenodeids", f->count),
                *no = need_ints(f, "nodes_falsenodeids", f->count),
                *features = need_ints(f, "nodes_featureids", f->count);
  tn_onnx_ints(n, "nodes_missing_value_tracks_true", &missing);
  int64_t value_count;
  const double *values = need_numbers(f, "nodes_values", &value_count);
  if (f->count == 0 || value_count != f->count || (missing.count && (int64_t)missing.count != f->count)) {
    tn_onnx_error(n, "its attributes nodes_* have %lld modes, %lld values and %zu missing_value_tracks_true",
                  (long long)f->count, (long long)value_count, missing.count);
    leave(f);
  }
  f->nodes = TN_NEW_ARRAY(n->arena, struct tree_node, f->count);
  struct place *places = TN_NEW_ARRAY(n->arena, struct place, f->count);
  bool *child = TN_NEW_ARRAY(n->arena, bool, f->count);
  for (int64_t i = 0; i < f->count; i++)
    places[i] = (struct place){trees[i], ids[i], i};
  qsort(places, (size_t)f->count, sizeof *places, compare_places);
  for (int64_t i = 0; i < f->count; i++) {
    struct tree_node *node = &f->nodes[i];
    if (i > 0 && compare_places(&places[i - 1], &places[i]) == 0) {
      tn_onnx_error(n, "tree %lld has two nodes %lld", (long long)places[i].tree, (long long)places[i].node);
      leave(f);
    }
    *node = (struct tree_node){
        .mode = mode_of(f, modes[i]), .threshold = values[i], .yes = i, .no = i, .level = -1};
    node->missing_is_true = missing.count && missing.at[i];
    if (node->mode == LEAF)
      continue;
    node->feature = features[i] < 0 || features[i] > INT32_MAX ? -1 : (int32_t)features[i];
    node->yes = find_place(f, places, trees[i], yes[i]);
    node->no = find_place(f, places, trees[i], no[i]);
    child[node->yes] = child[node->no] = true;
  }
  for (int64_t i = 0; i < f->count; i++)
    if (!child[i])
      TN_PUSH(n->arena, &f->roots, i);
  number_nodes(f);
  for (int64_t i = 0; i < f->count; i++)
    if (f->nodes[i].mode != LEAF && f->nodes[i].level < 0) {
      tn_onnx_error(n, "tree %lld has no root", (long long)trees[i]);
      leave(f);
    }

  struct tn_ints target_ids;
  tn_onnx_ints(n, tn_printf(n->arena, "%s_ids", kind), &target_ids);
  int64_t weights = (int64_t)target_ids.count, weight_count;
  const int64_t *at_tree = need_ints(f, tn_printf(n->arena, "%s_treeids", kind), weights);
  const int64_t *at_node = need_ints(f, tn_printf(n->arena, "%s_nodeids", kind), weights);
  const double *weight = need_numbers(f, tn_printf(n->arena, "%s_weights", kind), &weight_count);
  if (weight_count != weights) {
    tn_onnx_error(n, "it has %lld weights for %lld leaves", (long long)weight_count, (long long)weights);
    leave(f);
  }
  for (int64_t i = 0; i < weights; i++)
    add_weight(f, find_place(f, places, at_tree[i], at_node[i]), target_ids.at[i], weight[i]);
}

/* Thresholds and weights are compared and summed as runtimes do: f32, but f64 for an f64 operand. */
static enum tn_dtype forest_dtype(val x) {
  return x->type.dtype == TN_F64 ? TN_F64 : TN_F32;
}

static val base_values(struct forest *f, int64_t *count) {
  const double *base = need_numbers(f, "base_values", count);
  void *data = tn_calloc(f->n->arena, (size_t)*count + 1, tn_dtype_size(f->dtype));
  for (int64_t i = 0; i < *count; i++)
    tn_store_float(f->dtype, data, i, base[i]);
  return *count ? tn_constant_bytes(f->n->b, tn_type_make(f->dtype, 1, count), data) : NULL;
}

bool tn_onnx_op_tree_regressor(struct tn_onnx_node *n) {
  static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  struct tn_build *b = n->b;
  val x = tn_ml_rows(n, tn_onnx_need(n, 0, "X"));
  struct forest f = {.n = n, .dtype = forest_dtype(x)};
  const char *name = tn_onnx_string(n, "aggregate_function", "SUM");
  int how = 0;
  while (how < 4 && strcmp(name, names[how]))
    how++;
  if (how == 4)
    return tn_onnx_error(n, "aggregate_function is '%s'; expected AVERAGE, SUM, MIN or MAX", name);
  read_forest(&f, "target", tn_onnx_int(n, "n_targets", 1));
  int64_t base_count;
  val base = base_values(&f, &base_count), y = evaluate(&f, x, (enum aggregate)how);
  if (base && base_count != f.targets)
    return tn_onnx_error(n, "it has %lld base values for %lld targets", (long long)base_count,
                         (long long)f.targets);
  if (base)
    y = add(b, y, base);
  n->out[0] = tn_ml_post(b, tn_cast(b, y, TN_F32), tn_ml_post_of(n));
  return true;
}

/* Two classes.  With weights for one of them only, its single score decides: against 0.5 when it is a
 * probability (no weight is negative), else against 0.  Class 0's score alone is meant for class 1, and the
 * other one follows from it. */
static void two_classes(struct forest *f, val y, val base, int64_t base_count, enum tn_ml_post post, val *index,
                        val *scores) {
  struct tn_build *b = f->n->b;
  bool positive = true, first_only = !f->scored[1] && base_count < 2, both = f->scored[0] && f->scored[1];
  for (int64_t i = 0; i < f->leaves * f->targets; i++)
    positive = positive && f->weights[i] >= 0;
  if (base && base_count == 1) {
    int64_t at = f->scored[1] ? 1 : 0;
    base = tn_pad(b, base, &at, &(int64_t){1 - at}, NULL);
  }
  if (base)
    y = add(b, y, base);
  if (both || base_count == 2) {
    *index = tn_ml_argmax(f->n, y);
    *scores = tn_ml_post(b, tn_cast(b, y, TN_F32), post);
    return;
  }
  val decides = tn_onnx_cut(b, y, 1, first_only ? 0 : 1, 1);
  val above = tn_binary(b, TN_GT, decides, num(b, decides, positive ? 0.5 : 0));
  *index = tn_cast(b, tn_onnx_squeeze(b, above, 1), TN_I64);
  *scores = first_only ? tn_ml_both_scores(b, tn_cast(b, decides, TN_F32), post, positive)
                       : tn_ml_post(b, tn_cast(b, y, TN_F32), post);
}

bool tn_onnx_op_tree_classifier(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_ml_rows(n, tn_onnx_need(n, 0, "X"));
  struct forest f = {.n = n, .dtype = forest_dtype(x)};
  size_t label_count;
  struct tn_ints labels = tn_ml_labels(n, "classlabels_int64s", "classlabels_strings", &label_count);
  enum tn_ml_post post = tn_ml_post_of(n);
  if (label_count < 2)
    return tn_onnx_error(n, "it has %zu class labels; expected two or more", label_count);
  read_forest(&f, "class", (int64_t)label_count);
  int64_t base_count;
  val base = base_values(&f, &base_count), y = evaluate(&f, x, SUM), index, scores;
  if (base && base_count != f.targets && !(f.targets == 2 && base_count == 1))
    return tn_onnx_error(n, "it has %lld base values for %lld classes", (long long)base_count,
                         (long long)f.targets);
  if (f.targets == 2) {
    two_classes(&f, y, base, base_count, post, &index, &scores);
  } else {
    if (base)
      y = add(b, y, base);
    index = tn_ml_argmax(n, y);
    scores = tn_ml_post(b, tn_cast(b, y, TN_F32), post);
  }
  n->out[0] = labels.count ? tn_ml_pick_label(n, labels, index) : index;
  if (n->out_count > 1)
    n->out[1] = scores;
  return true;
}

/* ---- TreeEnsemble (opset 5) --------------------------------------------------------------------------------
 */

/* A node that tests for membership becomes a row of tests for equality: each leads to the next one where it
 * fails. */
static void expand_members(struct forest *f, const int64_t *member_of, const double *members,
                           int64_t member_count) {
  TN_VEC(struct tree_node) more = {0};
  int64_t next = 0, old = f->count;
  for (int64_t i = 0; i < old; i++) {
    if (member_of[i] == 0)
      continue;
    int64_t start = next;
    while (next < member_count && !isnan(members[next]))
      next++;
    struct tree_node *node = &f->nodes[i];
    int64_t no = node->no;
    node->mode = EQ;
    node->threshold = next > start ? members[start] : (double)NAN;
    for (int64_t k = start + 1; k < next; k++) {
      struct tree_node test = {
          .mode = EQ, .missing_is_true = false, .feature = node->feature, .yes = node->yes};
      test.threshold = members[k];
      test.no = no;
      test.level = -1;
      TN_PUSH(f->n->arena, &more, test);
      int64_t at = old + (int64_t)more.count - 1;
      if (k == start + 1)
        node->no = at;
      else
        more.at[more.count - 2].no = at;
    }
    next++; /* the nan that ends the set */
  }
  struct tree_node *all = TN_NEW_ARRAY(f->n->arena, struct tree_node, old + (int64_t)more.count + 1);
  memcpy(all, f->nodes, (size_t)old * sizeof *all);
  if (more.count)
    memcpy(all + old, more.at, more.count * sizeof *all);
  f->nodes = all;
  f->count = old + (int64_t)more.count;
}

bool tn_onnx_op_tree_ensemble(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_ml_rows(n, tn_onnx_need(n, 0, "X"));
  struct forest f = {.n = n, .dtype = wide_of(x->type.dtype)};
  const struct tn_tensor *modes = tn_onnx_tensor(n, "nodes_modes"), *splits = tn_onnx_tensor(n, "nodes_splits"),
                         *weights = tn_onnx_tensor(n, "leaf_weights"),
                         *members = tn_onnx_tensor(n, "membership_values");
  int64_t count = 0, split_count = 0, leaves = 0, member_count = 0,
          how = tn_onnx_int(n, "aggregate_function", 1), post = tn_onnx_int(n, "post_transform", 0);
  if (!modes || !splits || !weights || !tn_type_count(&modes->type, &count) ||
      !tn_type_count(&splits->type, &split_count) || !tn_type_count(&weights->type, &leaves) || count < 1 ||
      split_count != count || leaves < 1)
    return tn_onnx_error(n, "nodes_modes, nodes_splits and leaf_weights must be there and agree in size");
  if (how < 0 || how > 3 || post < 0 || post > 4)
    return tn_onnx_error(n, "aggregate_function %lld or post_transform %lld is not known", (long long)how,
                         (long long)post);
  const int64_t *features = need_ints(&f, "nodes_featureids", count),
                *yes = need_ints(&f, "nodes_truenodeids", count),
                *no = need_ints(&f, "nodes_falsenodeids", count),
                *yes_leaf = need_ints(&f, "nodes_trueleafs", count),
                *no_leaf = need_ints(&f, "nodes_falseleafs", count),
                *leaf_targets = need_ints(&f, "leaf_targetids", leaves);
  struct tn_ints missing, roots;
  tn_onnx_ints(n, "nodes_missing_value_tracks_true", &missing);
  tn_onnx_ints(n, "tree_roots", &roots);
  f.count = count + leaves; /* leaf i is node count + i */
  f.targets = tn_onnx_int(n, "n_targets", 1);
  f.nodes = TN_NEW_ARRAY(n->arena, struct tree_node, f.count);
  int64_t *member_of = TN_NEW_ARRAY(n->arena, int64_t, f.count);
  for (int64_t i = 0; i < f.count; i++) {
    struct tree_node *node = &f.nodes[i];
    *node = (struct tree_node){.mode = LEAF, .yes = i, .no = i, .level = -1};
    if (i >= count)
      continue;
    int64_t mode = tn_tensor_int(modes, i), yes_most = yes_leaf[i] ? leaves : count,
            no_most = no_leaf[i] ? leaves : count;
    if (mode < 0 || mode > 6 || yes[i] < 0 || yes[i] >= yes_most || no[i] < 0 || no[i] >= no_most)
      return tn_onnx_error(
          n, "node %lld has the mode %lld and leads to %lld and %lld, of %lld nodes and %lld leaves",
          (long long)i, (long long)mode, (long long)yes[i], (long long)no[i], (long long)count,
          (long long)leaves);
    node->mode = mode == 6 ? EQ : (enum mode)mode;
    member_of[i] = mode == 6;
    node->missing_is_true = missing.count == (size_t)count && missing.at[i];
    node->feature = features[i] < 0 || features[i] > INT32_MAX ? -1 : (int32_t)features[i];
    node->threshold = tn_tensor_float(splits, i);
    node->yes = yes[i] + (yes_leaf[i] ? count : 0);
    node->no = no[i] + (no_leaf[i] ? count : 0);
  }
  if (members)
    (void)tn_type_count(&members->type, &member_count);
  double *member = TN_NEW_ARRAY(n->arena, double, member_count + 1);
  for (int64_t i = 0; i < member_count; i++)
    member[i] = tn_tensor_float(members, i);
  expand_members(&f, member_of, member, member_count);
  for (size_t i = 0; i < roots.count; i++) {
    if (roots.at[i] < 0 || roots.at[i] >= count)
      return tn_onnx_error(n, "root %zu is node %lld of %lld", i, (long long)roots.at[i], (long long)count);
    TN_PUSH(n->arena, &f.roots, roots.at[i]);
  }
  if (roots.count == 0)
    return tn_onnx_error(n, "it has no tree_roots");
  number_nodes(&f);
  for (int64_t i = 0; i < leaves; i++)
    add_weight(&f, count + i, leaf_targets[i], tn_tensor_float(weights, i));
  val y = tn_ml_post(b, evaluate(&f, x, (enum aggregate)how), (enum tn_ml_post)post);
  n->out[0] = tn_cast(b, y, x->type.dtype);
  return true;
}
