/* Decomposition of einsum.
 *
 * Each operand first loses what it alone knows: repeated labels become their diagonal, dims of extent 1 that
 * broadcast against a longer dim of the same label are dropped, and labels that nobody else needs are summed.
 * Then the operands are contracted from left to right.  Two operands become a matmul when they share summed
 * labels (batch labels, then rows, then columns), and a broadcast multiplication when they do not. */
#include "passes/decompose.h"

#define MAX_LABELS 64

/* An operand, its labels as bits and in the order of its dims. */
struct term {
  struct tn_value *value;
  int label[TN_MAX_RANK]; /* one for each dim, all different after `reduce_repeats` */
};

struct einsum {
  struct tn_build *b;
  const struct tn_node *node;
  struct tn_module *module;
  int label_count;
  int64_t name[MAX_LABELS]; /* as in the attribute */
  tn_dim dim[MAX_LABELS];
  int out[TN_MAX_RANK], out_count;
};

TN_NORETURN static void too_large(const struct einsum *e) {
  tn_node_error(e->node,
                "einsum needs an intermediate of more than %d dimensions, or has more than %d labels; "
                "split it into several",
                TN_MAX_RANK, MAX_LABELS);
  tn_fail_now(e->module->ctx);
}

static int label_index(struct einsum *e, int64_t name) {
  for (int i = 0; i < e->label_count; i++)
    if (e->name[i] == name)
      return i;
  if (e->label_count == MAX_LABELS)
    too_large(e);
  e->name[e->label_count] = name;
  e->dim[e->label_count] = 1;
  return e->label_count++;
}

static bool has_label(const struct term *t, int label) {
  for (int i = 0; i < t->value->type.rank; i++)
    if (t->label[i] == label)
      return true;
  return false;
}

static bool in_output(const struct einsum *e, int label) {
  for (int i = 0; i < e->out_count; i++)
    if (e->out[i] == label)
      return true;
  return false;
}

/* Dims i < j of one label become dim i: their diagonal. */
static void take_diagonal(struct einsum *e, struct term *t, int i, int j) {
  int rank = t->value->type.rank;
  tn_dim extent = t->value->type.dim[i], dim[TN_MAX_RANK];
  if (!tn_dim_static(extent) || extent != t->value->type.dim[j]) {
    tn_node_error(e->node,
                  "expected dimensions %d and %d of an operand, which share a label, to have one extent "
                  "known at compile time; bind symbolic dimensions with --dim",
                  i, j);
    tn_fail_now(e->module->ctx);
  }
  int64_t perm[TN_MAX_RANK], start[TN_MAX_RANK] = {0}, step[TN_MAX_RANK], size[TN_MAX_RANK];
  int count = 0, label[TN_MAX_RANK];
  for (int k = 0; k < rank; k++)
    if (k != i && k != j) {
      label[count] = t->label[k];
      perm[count++] = k;
    }
  perm[count] = i;
  perm[count + 1] = j;
  struct tn_value *v = tn_permute(e->b, t->value, perm);
  for (int k = 0; k < count; k++) {
    dim[k] = size[k] = v->type.dim[k];
    step[k] = 1;
    if (!tn_dim_static(size[k])) {
      tn_node_error(e->node, "a label that is repeated within an operand needs the operand's shape at compile "
                             "time; bind symbolic dimensions with --dim");
      tn_fail_now(e->module->ctx);
    }
  }
  dim[count] = extent * extent;
  step[count] = extent + 1;
  size[count] = extent;
  label[count] = t->label[i];
  t->value = tn_slice(e->b, tn_reshape(e->b, v, count + 1, dim), start, step, size);
  memcpy(t->label, label, sizeof label[0] * (size_t)(count + 1));
}

static void reduce_repeats(struct einsum *e, struct term *t) {
  for (bool again = true; again;) {
    again = false;
    for (int i = 0; i < t->value->type.rank && !again; i++)
      for (int j = i + 1; j < t->value->type.rank && !again; j++)
        if (t->label[i] == t->label[j]) {
          take_diagonal(e, t, i, j);
          again = true;
        }
  }
}

/* Drops dims of extent 1 whose label is longer elsewhere. */
static void drop_units(struct einsum *e, struct term *t) {
  tn_dim dim[TN_MAX_RANK];
  int count = 0;
  for (int i = 0; i < t->value->type.rank; i++)
    if (t->value->type.dim[i] != 1 || e->dim[t->label[i]] == 1) {
      t->label[count] = t->label[i];
      dim[count++] = t->value->type.dim[i];
    }
  if (count < t->value->type.rank)
    t->value = tn_reshape(e->b, t->value, count, dim);
}

/* Sums the dims whose label neither the output nor a term of rest[0..count) has. */
static void sum_own(struct einsum *e, struct term *t, const struct term *rest, int count) {
  int64_t axes[TN_MAX_RANK];
  size_t axis_count = 0;
  int kept = 0, label[TN_MAX_RANK];
  for (int i = 0; i < t->value->type.rank; i++) {
    bool needed = in_output(e, t->label[i]);
    for (int k = 0; k < count && !needed; k++)
      needed = has_label(&rest[k], t->label[i]);
    if (needed)
      label[kept++] = t->label[i];
    else
      axes[axis_count++] = i;
  }
  if (axis_count == 0)
    return;
  t->value = tn_reduce(e->b, TN_REDUCE_SUM, t->value, axes, axis_count, false);
  memcpy(t->label, label, sizeof label[0] * (size_t)kept);
}

/* The value with its dims in the order of `label` (count: its rank). */
static struct tn_value *ordered(struct einsum *e, const struct term *t, const int *label, int count) {
  int64_t perm[TN_MAX_RANK];
  for (int i = 0; i < count; i++)
    for (int k = 0; k < count; k++)
      if (t->label[k] == label[i])
        perm[i] = k;
  return tn_permute(e->b, t->value, perm);
}

static tn_dim product(struct einsum *e, const int *label, int count) {
  tn_dim p = 1;
  for (int i = 0; i < count; i++)
    p = tn_dim_op(e->module, '*', p, e->dim[label[i]]);
  return p;
}

struct labels {
  int at[2 * TN_MAX_RANK], count;
};
static void add_label(struct labels *l, int label) {
  l->at[l->count++] = label;
}
static void add_labels(struct labels *l, const struct labels *more) {
  for (int i = 0; i < more->count; i++)
    add_label(l, more->at[i]);
}

/* [batch, rows, columns] of two dims: reshapes t, whose dims are batch..., first..., second... */
static struct tn_value *as_matrices(struct einsum *e, const struct term *t, const struct labels *batch,
                                    const struct labels *first, const struct labels *second) {
  struct labels order = {.count = 0};
  add_labels(&order, batch);
  add_labels(&order, first);
  add_labels(&order, second);
  struct tn_value *v = ordered(e, t, order.at, order.count);
  tn_dim dim[3] = {product(e, batch->at, batch->count), product(e, first->at, first->count),
                   product(e, second->at, second->count)};
  bool batched = batch->count > 0;
  return tn_reshape(e->b, v, batched ? 3 : 2, batched ? dim : dim + 1);
}

/* Multiplies with broadcasting; result labels: a's, then those of b alone. */
static struct term multiply(struct einsum *e, const struct term *a, const struct term *b) {
  struct labels all = {.count = 0};
  struct term result;
  for (int i = 0; i < a->value->type.rank; i++)
    add_label(&all, a->label[i]);
  for (int i = 0; i < b->value->type.rank; i++)
    if (!has_label(a, b->label[i]))
      add_label(&all, b->label[i]);
  if (all.count > TN_MAX_RANK)
    too_large(e);
  tn_dim wide[TN_MAX_RANK];
  struct tn_value *x = a->value, *y;
  for (int i = 0; i < all.count; i++)
    wide[i] = i < x->type.rank ? x->type.dim[i] : 1;
  if (x->type.rank < all.count)
    x = tn_reshape(e->b, x, all.count, wide);
  int order[TN_MAX_RANK] = {0}, count = 0;
  for (int i = 0; i < all.count; i++) {
    wide[i] = has_label(b, all.at[i]) ? e->dim[all.at[i]] : 1;
    if (has_label(b, all.at[i]))
      order[count++] = all.at[i];
  }
  y = ordered(e, b, order, count);
  if (count < all.count)
    y = tn_reshape(e->b, y, all.count, wide);
  result.value = tn_binary(e->b, TN_MUL, x, y);
  memcpy(result.label, all.at, sizeof all.at[0] * (size_t)all.count);
  return result;
}

static struct term contract(struct einsum *e, const struct term *a, const struct term *b,
                            const struct term *rest, int rest_count) {
  struct labels batch = {.count = 0}, sum = {.count = 0}, rows = {.count = 0}, columns = {.count = 0};
  for (int i = 0; i < a->value->type.rank; i++) {
    int label = a->label[i];
    bool needed = in_output(e, label);
    for (int k = 0; k < rest_count && !needed; k++)
      needed = has_label(&rest[k], label);
    add_label(!has_label(b, label) ? &rows : needed ? &batch : &sum, label);
  }
  for (int i = 0; i < b->value->type.rank; i++)
    if (!has_label(a, b->label[i]))
      add_label(&columns, b->label[i]);
  if (sum.count == 0)
    return multiply(e, a, b);
  if (rows.count == 0 && columns.count == 0) { /* dot products: nothing is reused, so no matmul */
    struct term t = multiply(e, a, b);
    sum_own(e, &t, rest, rest_count);
    return t;
  }
  struct tn_value *v =
      tn_matmul(e->b, as_matrices(e, a, &batch, &rows, &sum), as_matrices(e, b, &batch, &sum, &columns));
  struct labels all = {.count = 0};
  add_labels(&all, &batch);
  add_labels(&all, &rows);
  add_labels(&all, &columns);
  if (all.count > TN_MAX_RANK)
    too_large(e);
  struct term result;
  tn_dim dim[TN_MAX_RANK];
  for (int i = 0; i < all.count; i++) {
    result.label[i] = all.at[i];
    dim[i] = e->dim[all.at[i]];
  }
  result.value = tn_reshape(e->b, v, all.count, dim);
  return result;
}

struct tn_value *tn_decompose_einsum(struct tn_build *b, struct tn_node *node) {
  struct einsum e = {.b = b, .node = node, .module = node->home->module};
  struct tn_ints labels = tn_get_ints(node, TN_EINSUM_labels);
  struct term *term = TN_NEW_ARRAY(e.module->arena, struct term, node->in_count);
  size_t at = 0;
  for (int i = 0; i < node->in_count; i++) {
    term[i].value = node->in[i];
    at++; /* the rank, checked by inference */
    for (int k = 0; k < node->in[i]->type.rank; k++) {
      int label = term[i].label[k] = label_index(&e, labels.at[at++]);
      if (node->in[i]->type.dim[k] != 1 && !(e.dim[label] > 1))
        e.dim[label] = node->in[i]->type.dim[k];
    }
  }
  e.out_count = (int)labels.at[at++];
  for (int i = 0; i < e.out_count; i++)
    e.out[i] = label_index(&e, labels.at[at++]);

  for (int i = 0; i < node->in_count; i++) {
    reduce_repeats(&e, &term[i]);
    drop_units(&e, &term[i]);
  }
  for (int i = 0; i < node->in_count; i++) {
    /* The others: those after it as they are, and those before it. */
    struct term *rest = TN_NEW_ARRAY(e.module->arena, struct term, node->in_count);
    int count = 0;
    for (int k = 0; k < node->in_count; k++)
      if (k != i)
        rest[count++] = term[k];
    sum_own(&e, &term[i], rest, count);
  }
  struct term result = term[0];
  for (int i = 1; i < node->in_count; i++)
    result = contract(&e, &result, &term[i], &term[i + 1], node->in_count - i - 1);
  struct tn_value *y = ordered(&e, &result, e.out, e.out_count);
  return y == node->in[0] ? tn_reshape(b, y, y->type.rank, y->type.dim) : y;
}
