/* Fuse: attention.
 *
 * The scores of a row come from a product, a softmax goes over the row, and the row is multiplied again.  All
 * three become one kernel by rows, so that the matrix of scores is never whole in memory.
 *
 * Long rows are not whole in memory either: the softmax goes on while the row comes, block by block, with the
 * largest element and the sum so far (Milakov and Gimelshein, "Online normalizer calculation for softmax",
 * 2018; Dao et al., "FlashAttention", 2022). */
#include "passes/fuse.h"

#define LEAST_LONG_ROW 1024 /* elements: shorter rows stay near the core beside their product's operand */
#define BLOCK 128           /* elements of a long row at a time, about */
#define MOST_STEPS 16       /* elementwise nodes from a product to its softmax */

/* ---- the softmax ---------------------------------------------------------------------------------------- */

/* The value's reader that is not `but`, when there is one more reader at most, and it has this op. */
static struct tn_node *other_reader(const struct tn_value *value, const struct tn_node *but, enum tn_op op) {
  struct tn_node *found = NULL;
  if (tn_value_is_output(value) || value->uses.count != (but ? 2 : 1))
    return NULL;
  for (size_t i = 0; i < value->uses.count; i++)
    if (value->uses.at[i].node != but)
      found = value->uses.at[i].node;
  return found && found->op == op && found->home == value->home ? found : NULL;
}

static bool is_one(const struct tn_value *value) {
  double one;
  return tn_value_uniform(value, &one) && one == 1;
}

/* exp / sum, or exp * (1 / sum); NULL: neither. */
static struct tn_node *weights_of(const struct tn_node *exp, const struct tn_node *sum) {
  const struct tn_value *e = exp->out[0], *s = sum->out[0];
  struct tn_node *divide = other_reader(s, NULL, TN_DIV);
  if (!divide || divide->in[1] != s)
    return NULL;
  if (divide->in[0] == e)
    return divide;
  struct tn_node *multiply = is_one(divide->in[0]) ? other_reader(divide->out[0], NULL, TN_MUL) : NULL;
  return multiply && (multiply->in[0] == e || multiply->in[1] == e) ? multiply : NULL;
}

/* select(isnan(weights), 0, weights), where nothing else reads them: rows of which nothing is seen become zero.
 * NULL: no such. */
static struct tn_node *zeroed(const struct tn_value *weights) {
  struct tn_node *isnan = NULL;
  for (size_t i = 0; i < weights->uses.count; i++)
    if (weights->uses.at[i].node->op == TN_ISNAN)
      isnan = weights->uses.at[i].node;
  struct tn_node *select = isnan ? other_reader(weights, isnan, TN_SELECT) : NULL;
  double zero;
  bool is_zeroed = select && other_reader(isnan->out[0], NULL, TN_SELECT) == select &&
                   select->in[0] == isnan->out[0] && select->in[2] == weights &&
                   tn_value_uniform(select->in[1], &zero) && zero == 0;
  return is_zeroed ? select : NULL;
}

/* The value is a product's result, or elementwise of that. */
static bool comes_from_product(const struct tn_value *value, int steps) {
  const struct tn_node *def = value->def;
  if (!def || steps == 0)
    return false;
  if (def->op == TN_MATMUL)
    return true;
  if (!(tn_op_info(def->op)->flags & TN_ELEMENTWISE))
    return false;
  for (int i = 0; i < def->in_count; i++)
    if (tn_shape_equal(&def->in[i]->type, &value->type) && comes_from_product(def->in[i], steps - 1))
      return true;
  return false;
}

/* The softmax of which `max` finds the largest element, between two products. */
static bool find_softmax(struct tn_node *max, struct tn_softmax *out) {
  const struct tn_value *x = max->in[0];
  enum tn_dtype dtype = x->type.dtype;
  int last = x->type.rank - 1;
  struct tn_node *sub = other_reader(x, max, TN_SUB);
  if (max->op != TN_REDUCE_MAX || (dtype != TN_F32 && dtype != TN_F64) || tn_fuse_reduced_from(max) != last ||
      !sub || sub->in[0] != x || other_reader(max->out[0], NULL, TN_SUB) != sub)
    return false;
  struct tn_node *exp = other_reader(sub->out[0], NULL, TN_EXP), *sum = NULL;
  for (size_t i = 0; exp && i < exp->out[0]->uses.count; i++)
    if (exp->out[0]->uses.at[i].node->op == TN_REDUCE_SUM)
      sum = exp->out[0]->uses.at[i].node;
  struct tn_node *weights = sum && tn_fuse_reduced_from(sum) == last ? weights_of(exp, sum) : NULL;
  if (!weights || other_reader(exp->out[0], sum, weights->op) != weights)
    return false;
  struct tn_node *zero = zeroed(weights->out[0]);
  const struct tn_value *value = zero ? zero->out[0] : weights->out[0];
  for (const struct tn_node *cast; (cast = other_reader(value, NULL, TN_CAST));)
    value = cast->out[0];
  struct tn_node *product = other_reader(value, NULL, TN_MATMUL);
  *out = (struct tn_softmax){max, exp, sum, product, zero};
  return product && product->in[0] == value && product->in[1] != value && comes_from_product(x, MOST_STEPS);
}

/* The largest element that the sum's terms are taken relative to; NULL: no such. */
static struct tn_node *max_of(const struct tn_node *sum) {
  const struct tn_node *exp = tn_def_of(sum->in[0], TN_EXP), *sub = exp ? tn_def_of(exp->in[0], TN_SUB) : NULL;
  return sub ? tn_def_of(sub->in[1], TN_REDUCE_MAX) : NULL;
}

/* Counts the group's reductions over rows; false when one is no part of a softmax between products. */
static bool only_softmax(const struct tn_group *g, int *reductions, struct tn_softmax *found) {
  for (size_t i = 0; i < g->members.count; i++) {
    struct tn_node *node = g->members.at[i].node;
    if (tn_fuse_reduced_from(node) < 0)
      continue;
    struct tn_node *max = node->op == TN_REDUCE_SUM ? max_of(node) : node;
    if (!max || !find_softmax(max, found) || (node != max && node != found->sum))
      return false;
    (*reductions)++;
  }
  return true;
}

bool tn_fuse_only_attention(const struct tn_group *a, const struct tn_group *b) {
  struct tn_softmax found;
  int reductions = 0;
  return only_softmax(a, &reductions, &found) && only_softmax(b, &reductions, &found) && reductions > 0;
}

/* ---- the products --------------------------------------------------------------------------------------- */

/* The group that computes a node of this graph, when it is the only one, and a product with one result. */
static int product_group(const struct tn_fuse *f, const struct tn_node *node) {
  int position = node && node->home == f->graph ? tn_fuse_position(f, node->out[0]) : -1;
  if (position < 0 || f->places[position].at.count != 1)
    return -1;
  int group = f->places[position].at.at[0];
  const struct tn_group *g = f->groups.at[group];
  bool product = !g->merged && g->anchor && g->anchor->op == TN_MATMUL && g->roots.count == 1;
  return product ? group : -1;
}

/* Only members of the group read the value, and no other group repeats one of them. */
static bool read_inside(struct tn_fuse *f, int group, const struct tn_value *value) {
  bool inside = !tn_value_is_output(value);
  for (size_t i = 0; i < value->uses.count && inside; i++) {
    const struct tn_node *reader = value->uses.at[i].node;
    inside = reader->home == f->graph && tn_fuse_member(f, group, reader) &&
             f->places[tn_fuse_position(f, reader->out[0])].at.count == 1;
  }
  return inside;
}

/* The product whose result, all of it, the group by rows reads element by element; -1: none. */
static int product_before(struct tn_fuse *f, int group, const struct tn_row_shape *s) {
  const struct tn_group *g = f->groups.at[group];
  for (size_t i = 0; i < g->members.count; i++)
    for (int k = 0; k < g->members.at[i].node->in_count; k++) {
      const struct tn_value *value = g->members.at[i].node->in[k];
      int from = value ? product_group(f, value->def) : -1;
      if (from >= 0 && from != group && f->groups.at[from]->roots.at[0] == value->def &&
          tn_shape_equal(&value->type, s->whole) &&
          tn_shape_equal(&f->groups.at[from]->anchor->out[0]->type, s->whole) && read_inside(f, group, value) &&
          tn_fuse_stays_in_rows(f, group, value, s, TN_NEW_ARRAY(f->arena, bool, g->members.count)))
        return from;
    }
  return -1;
}

/* The product whose rows are the rows that the group writes; -1: none. */
static int product_after(struct tn_fuse *f, int group, const struct tn_row_shape *s) {
  const struct tn_group *g = f->groups.at[group];
  const struct tn_value *result = g->roots.at[0]->out[0];
  if (g->roots.count != 1 || !tn_shape_equal(&result->type, s->whole) || result->uses.count != 1 ||
      tn_value_is_output(result) || result->uses.at[0].index != 0)
    return -1;
  const struct tn_node *product = result->uses.at[0].node;
  int to = product_group(f, product);
  if (to < 0 || f->groups.at[to]->anchor != product)
    return -1;
  const struct tn_type *out = &product->out[0]->type;
  bool rows = out->rank == s->whole->rank && tn_type_static(out);
  for (int d = 0; d < s->first && rows; d++)
    rows = out->dim[d] == s->whole->dim[d];
  return rows ? to : -1;
}

/* The group that does nothing but to change the order of the product's dims, the last one staying last: rows
 * are written where it puts them.  -1: none. */
static int move_after(const struct tn_fuse *f, int product) {
  const struct tn_value *result = f->groups.at[product]->roots.at[0]->out[0];
  const struct tn_node *move = result->uses.count == 1 ? result->uses.at[0].node : NULL;
  if (!move || move->op != TN_TRANSPOSE || move->home != f->graph || tn_value_is_output(result))
    return -1;
  const struct tn_places *places = &f->places[tn_fuse_position(f, move->out[0])];
  int rank = result->type.rank;
  if (places->at.count != 1 || tn_get_ints(move, TN_TRANSPOSE_perm).at[rank - 1] != rank - 1)
    return -1;
  const struct tn_group *g = f->groups.at[places->at.at[0]];
  return !g->merged && g->members.count == 1 && !g->anchor && g->rows < 0 ? places->at.at[0] : -1;
}

/* Has the kernel take its rows in blocks where they are long. */
static void choose_block(const struct tn_fuse *f, struct tn_group *g, const struct tn_row_shape *s,
                         struct tn_node *product) {
  int64_t row = s->whole->dim[s->first];
  int reductions = 0;
  if (row < LEAST_LONG_ROW || tn_fuse_elements(f->graph->module, s->whole) <= (double)row ||
      !only_softmax(g, &reductions, &g->softmax) || reductions != 2 || g->softmax.product != product)
    return;
  int64_t blocks = tn_ceil_div(row, BLOCK);
  g->block = tn_round_up(tn_ceil_div(row, blocks), 16);
}

/* Nothing leads around: nobody else reads the scores, nor the rows. */
void tn_fuse_merge_products(struct tn_fuse *f, int group) {
  struct tn_group *g = f->groups.at[group];
  struct tn_row_shape s;
  if (g->merged || g->rows < 0 || !tn_fuse_rows_of(g, &s) || s.first != s.whole->rank - 1)
    return;
  int from = product_before(f, group, &s), to = product_after(f, group, &s);
  if (from < 0 || to < 0 || from == to ||
      f->groups.at[from]->members.count + g->members.count + f->groups.at[to]->members.count > TN_MAX_MEMBERS)
    return;
  int move = move_after(f, to);
  choose_block(f, g, &s, f->groups.at[to]->anchor);
  struct tn_softmax softmax = g->softmax;
  int64_t block = g->block;
  tn_fuse_merge_by_rows(f, from, group, &s);
  tn_fuse_merge_by_rows(f, group, to, &s);
  g = f->groups.at[to];
  if (move >= 0) {
    struct tn_node *root = f->groups.at[move]->roots.at[0];
    g = f->groups.at[move];
    tn_fuse_merge(f, to, move);
    g->rows = s.first;
    g->kept = f->groups.at[to]->kept;
    g->roots.count = 0;
    TN_PUSH(f->arena, &g->roots, root);
  }
  g->softmax = softmax;
  g->block = block;
}
