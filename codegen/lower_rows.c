/* Lowering of a kernel by rows: see "by rows" in passes/fuse.h.
 *
 *   for each row
 *     acc = reduction over the row
 *     let k = kept, one element a row
 *     for the row: scratch = kept, a row of elements
 *     for the row: { acc = product of the row's; scratch = kept that ends it }
 *     ...
 *     for the row: results
 *
 * Or, in blocks of the row: lower_blocks.c. */
#include "codegen/define.h"
#include "codegen/lower.h"

/* Loops over dims from .. to-1; idx receives their positions. */
static struct tn_cursor loops(struct tn_cursor *c, const struct tn_type *type, int from, int to,
                              struct tn_expr **idx) {
  struct tn_cursor in = *c;
  for (int d = from; d < to; d++) {
    idx[d] = tn_ix(c->nest, 0);
    if (type->dim[d] == 1)
      continue;
    struct tn_var *v = tn_loop_var(c->nest, "i", type->dim[d]);
    idx[d] = tn_ex_var(c->nest, v);
    in = tn_st_loop(&in, v, TN_LOOP_SERIAL);
  }
  return in;
}

struct tn_expr *tn_row_reduce(struct tn_lower *l, struct tn_cursor *c, const struct tn_node *node,
                              struct tn_expr *const *i) {
  struct tn_reduction r = {0};
  tn_definition_of(node->op)->reduce.shape(node, &r);
  return tn_ex_cast(l->nest, tn_lower_sum(l, c, node, &r, i, NULL), node->out[0]->type.dtype);
}

struct tn_node *tn_row_product(struct tn_lower *l, const struct tn_value *value) {
  struct tn_node *def = value->def;
  if (!def || def->op == TN_MATMUL)
    return def;
  struct tn_node *found = NULL;
  for (int i = 0; i < def->in_count && !found; i++)
    if (def->in[i] && def->in[i]->home == value->home && !tn_is_staged(l, def->in[i]))
      found = tn_row_product(l, def->in[i]);
  return found;
}

/* Element idx of a value in the loops over its row; a product that it ends is computed at c. */
static struct tn_expr *row_element(struct tn_lower *l, struct tn_cursor *c, struct tn_value *value,
                                   struct tn_expr *const *idx) {
  const struct tn_node *product = tn_row_product(l, value);
  if (!product)
    return tn_element(l, value, idx);
  return tn_element_over(l, value, idx, product->out[0], tn_row_reduce(l, c, product, idx));
}

static bool one_a_row(const struct tn_type *type, int first) {
  for (int d = first; d < type->rank; d++)
    if (type->dim[d] != 1)
      return false;
  return true;
}

/* The value is read to compute `node`, through nothing but what is computed with it. */
static bool reaches(struct tn_lower *l, const struct tn_node *node, const struct tn_value *value,
                    const struct tn_value *but) {
  for (int i = 0; i < node->in_count; i++) {
    const struct tn_value *in = node->in[i];
    if (in == value)
      return true;
    if (in && in != but && in->def && in->home == value->home && !tn_is_staged(l, in) &&
        reaches(l, in->def, value, but))
      return true;
  }
  return false;
}

/* All that e loads of the buffer is its element `at`. */
static bool reads_only(const struct tn_expr *e, const struct tn_buf *buf, const struct tn_expr *at) {
  if (!e || !e->loads)
    return true;
  if (e->kind == TN_EX_LOAD)
    return (e->load.buf != buf || e->load.index == at) && reads_only(e->load.index, buf, at) &&
           reads_only(e->load.guard, buf, at);
  bool only = e->kind == TN_EX_OP;
  for (int i = 0; i < (only ? e->op.argc : 0); i++)
    only = only && reads_only(e->op.arg[i], buf, at);
  return only;
}

/* A result of the kernel is the value, or is computed from it through nothing that is kept or `but`. */
static bool result_reads(struct tn_lower *l, const struct tn_value *value, const struct tn_value *but) {
  const struct tn_graph *region = value->home;
  for (size_t i = 0; i < region->outputs.count; i++) {
    const struct tn_value *out = region->outputs.at[i];
    if (out == value || (out != but && out->def && !tn_is_staged(l, out) && reaches(l, out->def, value, but)))
      return true;
  }
  return false;
}

/* A row that is kept and that nobody reads once `value`, whose element at `at` is e, is there: its place serves
 * for it.  NULL: none. */
static struct tn_buf *row_to_overwrite(struct tn_lower *l, const struct tn_value *value,
                                       const struct tn_expr *e, const struct tn_expr *at) {
  for (const struct tn_node *node = value->home->first; node != value->def; node = node->next) {
    const struct tn_value *old = node->out[0];
    struct tn_buf *buf = tn_staged_in(l, old);
    bool last = buf && buf->dtype == value->type.dtype && tn_shape_equal(&old->type, &value->type) &&
                reaches(l, value->def, old, NULL) && reads_only(e, buf, at) && !result_reads(l, old, value);
    for (const struct tn_node *later = value->def->next; later && last; later = later->next)
      last = !reaches(l, later, old, value);
    if (last)
      return buf;
  }
  return NULL;
}

static void keep(struct tn_lower *l, struct tn_cursor *c, struct tn_value *value, int first,
                 struct tn_expr *const *row) {
  struct tn_nest *n = l->nest;
  const struct tn_type *type = &value->type;
  struct tn_expr *idx[TN_MAX_RANK];
  memcpy(idx, row, (size_t)first * sizeof *idx);
  if (one_a_row(type, first)) {
    loops(c, type, first, type->rank, idx);
    tn_stage(l, value, first, row, tn_st_let(c, "k", row_element(l, c, value, idx)), NULL, NULL);
    return;
  }
  int64_t count = 1;
  for (int d = first; d < type->rank; d++)
    count *= type->dim[d];
  struct tn_cursor in = loops(c, type, first, type->rank, idx);
  struct tn_expr *element = row_element(l, &in, value, idx), *at = tn_row_position(n, type, first, idx);
  struct tn_buf *buf = row_to_overwrite(l, value, element, at);
  if (!buf)
    buf = tn_nest_local(n, "row", type->dtype, count);
  tn_st_store(&in, buf, at, element, NULL);
  tn_stage(l, value, first, row, NULL, buf, NULL);
}

/* Results of a product, each in loops of its own; a transpose at the end is the place where they go. */
static void store_products(struct tn_lower *l, struct tn_cursor *c, int count, struct tn_value *const *outs,
                           int first, struct tn_expr *const *row) {
  struct tn_expr *idx[TN_MAX_RANK], *to[TN_MAX_RANK];
  memcpy(idx, row, (size_t)first * sizeof *idx);
  for (int i = 0; i < count; i++) {
    struct tn_value *value = outs[i];
    if (!tn_row_product(l, value))
      continue;
    const struct tn_node *move = value->def->op == TN_TRANSPOSE ? value->def : NULL;
    value = move ? move->in[0] : value;
    struct tn_cursor in = loops(c, &value->type, first, value->type.rank, idx);
    struct tn_expr *element = row_element(l, &in, value, idx);
    for (int d = 0; d < value->type.rank; d++)
      to[d] = idx[move ? tn_get_ints(move, TN_TRANSPOSE_perm).at[d] : d];
    tn_result(l, &in, outs[i], to, element, NULL);
  }
}

/* Other results: those of one shape in one loop. */
static void store_results(struct tn_lower *l, struct tn_cursor *c, int count, struct tn_value *const *outs,
                          int first, struct tn_expr *const *row, bool whole) {
  struct tn_expr *idx[TN_MAX_RANK];
  struct tn_cursor in = *c;
  bool open = false;
  memcpy(idx, row, (size_t)first * sizeof *idx);
  for (int i = 0; i < count; i++) {
    const struct tn_type *type = &outs[i]->type;
    if (one_a_row(type, first) == whole || tn_row_product(l, outs[i]))
      continue;
    if (!open)
      in = loops(c, type, first, type->rank, idx);
    open = true;
    tn_result(l, &in, outs[i], idx, tn_element(l, outs[i], idx), NULL);
  }
}

/* One that leaves an element a row; a product leaves a row. */
static bool reduces_row(const struct tn_node *node) {
  return (tn_op_info(node->op)->flags & TN_REDUCE) && node->op != TN_MATMUL;
}

void tn_lower_rows(struct tn_lower *l, struct tn_node *kernel) {
  struct tn_graph *region = kernel->region[0];
  int first = (int)tn_get_int(kernel, TN_KERNEL_rows), ordinal = 0;
  struct tn_ints kept = tn_get_ints(kernel, TN_KERNEL_kept);
  const struct tn_type *rows = NULL;
  for (const struct tn_node *node = region->first; node && !rows; node = node->next)
    if (reduces_row(node))
      rows = &node->in[0]->type;
  if (!rows)
    tn_bug(kernel->home->module->ctx, "kernel '%s' goes by rows and reduces none", kernel->name);
  struct tn_cursor c = tn_at_body(l->nest);
  struct tn_expr **row = TN_NEW_ARRAY(l->nest->arena, struct tn_expr *, TN_MAX_RANK);
  struct tn_cursor in = loops(&c, rows, 0, first, row);
  if (tn_get_int(kernel, TN_KERNEL_block) > 0) {
    tn_lower_blocks(l, kernel, &in, first, row);
    return;
  }
  for (struct tn_node *node = region->first; node; node = node->next, ordinal++) {
    if (reduces_row(node))
      tn_stage(l, node->out[0], first, row, tn_row_reduce(l, &in, node, row), NULL, NULL);
    for (size_t i = 0; i < kept.count; i++)
      if (kept.at[i] == ordinal && !reduces_row(node))
        keep(l, &in, node->out[0], first, row);
  }
  store_products(l, &in, (int)region->outputs.count, region->outputs.at, first, row);
  store_results(l, &in, (int)region->outputs.count, region->outputs.at, first, row, false);
  store_results(l, &in, (int)region->outputs.count, region->outputs.at, first, row, true);
}
