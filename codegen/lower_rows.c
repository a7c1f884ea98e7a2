/* Lowering of a kernel by rows: see "by rows" in passes/fuse.h.
 *
 *   for each row
 *     acc = reduction over the row
 *     let k = kept, one element a row
 *     for the row: scratch = kept, a row of elements
 *     ...
 *     for the row: results */
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

static void reduce_row(struct tn_lower *l, struct tn_cursor *c, const struct tn_node *node, int first,
                       struct tn_expr *const *idx) {
  struct tn_nest *n = l->nest;
  const struct tn_definition *d = tn_definition_of(node->op);
  struct tn_reduction r = {0};
  d->reduce.shape(node, &r);
  struct tn_expr *over[TN_MAX_REDUCE], *at[TN_MAX_RANK];
  struct tn_var *vars[TN_MAX_REDUCE];
  int count = 0;
  for (int k = 0; k < r.count; k++) {
    over[k] = tn_ix(n, 0);
    if (r.extent[k] == 1)
      continue;
    vars[count] = tn_loop_var(n, "r", r.extent[k]);
    over[k] = tn_ex_var(n, vars[count++]);
  }
  for (int k = 0; k < first; k++)
    at[k] = idx[k];
  struct tn_var *acc = tn_value_var(n, "acc", r.acc);
  tn_st_reduce(c, acc, r.combine, NULL, count, vars, d->reduce.term(l, node, at, over));
  tn_stage(l, node->out[0], first, idx, tn_ex_cast(n, tn_ex_var(n, acc), node->out[0]->type.dtype), NULL);
}

static bool one_a_row(const struct tn_type *type, int first) {
  for (int d = first; d < type->rank; d++)
    if (type->dim[d] != 1)
      return false;
  return true;
}

static void keep(struct tn_lower *l, struct tn_cursor *c, struct tn_value *value, int first,
                 struct tn_expr *const *row) {
  struct tn_nest *n = l->nest;
  const struct tn_type *type = &value->type;
  struct tn_expr *idx[TN_MAX_RANK];
  memcpy(idx, row, (size_t)first * sizeof *idx);
  if (one_a_row(type, first)) {
    loops(c, type, first, type->rank, idx);
    tn_stage(l, value, first, row, tn_st_let(c, "k", tn_element(l, value, idx)), NULL);
    return;
  }
  int64_t count = 1;
  for (int d = first; d < type->rank; d++)
    count *= type->dim[d];
  struct tn_buf *buf = tn_nest_local(n, "row", type->dtype, count);
  struct tn_cursor in = loops(c, type, first, type->rank, idx);
  tn_st_store(&in, buf, tn_row_position(n, type, first, idx), tn_element(l, value, idx), NULL);
  tn_stage(l, value, first, row, NULL, buf);
}

/* Results: those of one shape in one loop. */
static void store_results(struct tn_lower *l, struct tn_cursor *c, int count, struct tn_value *const *outs,
                          int first, struct tn_expr *const *row, bool whole) {
  struct tn_expr *idx[TN_MAX_RANK];
  struct tn_cursor in = *c;
  bool open = false;
  memcpy(idx, row, (size_t)first * sizeof *idx);
  for (int i = 0; i < count; i++) {
    const struct tn_type *type = &outs[i]->type;
    if (one_a_row(type, first) == whole)
      continue;
    if (!open)
      in = loops(c, type, first, type->rank, idx);
    open = true;
    tn_result(l, &in, outs[i], idx, tn_element(l, outs[i], idx), NULL);
  }
}

void tn_lower_rows(struct tn_lower *l, struct tn_node *kernel) {
  struct tn_graph *region = kernel->region[0];
  int first = (int)tn_get_int(kernel, TN_KERNEL_rows), ordinal = 0;
  struct tn_ints kept = tn_get_ints(kernel, TN_KERNEL_kept);
  const struct tn_type *rows = NULL;
  for (const struct tn_node *node = region->first; node && !rows; node = node->next)
    if (tn_op_info(node->op)->flags & TN_REDUCE)
      rows = &node->in[0]->type;
  if (!rows)
    tn_bug(kernel->home->module->ctx, "kernel '%s' goes by rows and reduces none", kernel->name);
  struct tn_cursor c = tn_at_body(l->nest);
  struct tn_expr **row = TN_NEW_ARRAY(l->nest->arena, struct tn_expr *, TN_MAX_RANK);
  struct tn_cursor in = loops(&c, rows, 0, first, row);
  for (struct tn_node *node = region->first; node; node = node->next, ordinal++) {
    if (tn_op_info(node->op)->flags & TN_REDUCE)
      reduce_row(l, &in, node, first, row);
    for (size_t i = 0; i < kept.count; i++)
      if (kept.at[i] == ordinal && !(tn_op_info(node->op)->flags & TN_REDUCE))
        keep(l, &in, node->out[0], first, row);
  }
  store_results(l, &in, (int)region->outputs.count, region->outputs.at, first, row, false);
  store_results(l, &in, (int)region->outputs.count, region->outputs.at, first, row, true);
}
