/* Reductions over dims: reduce_sum, reduce_prod, reduce_max, reduce_min; arg_max, arg_min. */
#include "codegen/define.h"

static bool is_reduced(const struct tn_node *node, int dim) {
  struct tn_ints axes = node->attr[0].ints; /* `axes`, the first attribute of each of them */
  for (size_t k = 0; k < axes.count; k++)
    if (axes.at[k] == dim || axes.at[k] + node->in[0]->type.rank == dim)
      return true;
  return false;
}

/* Largest and smallest of bools are their or and and. */
static enum tn_op combine_of(enum tn_op op, enum tn_dtype dtype) {
  switch ((int)op) {
  case TN_REDUCE_PROD:
    return TN_MUL;
  case TN_REDUCE_MAX:
    return dtype == TN_BOOL ? TN_OR : TN_MAX;
  case TN_REDUCE_MIN:
    return dtype == TN_BOOL ? TN_AND : TN_MIN;
  default:
    return TN_ADD;
  }
}

/* Domain: the dims kept; reduction: the others; both in the operand's order. */
static void reduce_shape(const struct tn_node *node, struct tn_reduction *r) {
  const struct tn_type *x = &node->in[0]->type;
  r->combine = combine_of(node->op, x->dtype);
  r->acc = tn_define_accumulator(x->dtype);
  for (int d = 0; d < x->rank; d++) {
    if (is_reduced(node, d))
      r->extent[r->count++] = x->dim[d];
    else
      r->domain[r->domain_rank++] = x->dim[d];
  }
}

static void reduce_at(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                      struct tn_expr **idx) {
  int rank = node->in[0]->type.rank, kept = 0, out = 0;
  bool keepdims = node->out[0]->type.rank == rank;
  for (int d = 0; d < rank; d++) {
    if (!is_reduced(node, d))
      idx[out++] = i[kept++];
    else if (keepdims)
      idx[out++] = tn_ix(l->nest, 0);
  }
}

static struct tn_expr *reduce_term(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                                   struct tn_expr *const *r) {
  const struct tn_type *x = &node->in[0]->type;
  struct tn_expr *at[TN_MAX_RANK];
  for (int d = 0; d < x->rank; d++)
    at[d] = is_reduced(node, d) ? *r++ : *i++;
  return tn_ex_cast(l->nest, tn_element(l, node->in[0], at), tn_define_accumulator(x->dtype));
}
const struct tn_definition tn_define_reduce = {
    .reduce = {.shape = reduce_shape, .at = reduce_at, .term = reduce_term}};

/* The best element, then the position nearest to the wanted end where it is found: two reductions, which lanes
 * can share, where one that carries both could not.  The best is nan as soon as one element is; then nans are
 * looked for. */
static void arg_reduce(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  struct tn_value *x = node->in[0], *out = node->out[0];
  bool largest = node->op == TN_ARG_MAX;
  int axis = tn_define_axis(node, largest ? TN_ARG_MAX_axis : TN_ARG_MIN_axis, x->type.rank);
  bool last = tn_get_int(node, largest ? TN_ARG_MAX_select_last : TN_ARG_MIN_select_last) != 0;
  int64_t extent = x->type.dim[axis];
  if (extent == 0)
    tn_define_fail(node, "the dimension to search is empty, so no position is the best");
  struct tn_expr *at[TN_MAX_RANK], *idx[TN_MAX_RANK];
  struct tn_cursor body, *in = tn_define_loops(c, &x->type, axis, TN_LOOP_SERIAL, at, &body);
  enum tn_op combine = largest ? TN_MAX : TN_MIN;
  if (x->type.dtype == TN_BOOL)
    combine = largest ? TN_OR : TN_AND;
  struct tn_var *acc = tn_value_var(n, "best", x->type.dtype), *var = tn_loop_var(n, "r", extent);
  at[axis] = tn_ex_var(n, var);
  tn_st_reduce(in, acc, combine, NULL, extent > 1, &var, tn_element(l, x, at));
  struct tn_expr *best = tn_ex_var(n, acc);
  var = tn_loop_var(n, "r", extent);
  at[axis] = tn_ex_var(n, var);
  struct tn_expr *element = tn_element(l, x, at), *found = tn_ex_binary(n, TN_EQ, element, best);
  if (tn_dtype_is_float(x->type.dtype)) {
    struct tn_expr *nans =
        tn_ex_binary(n, TN_AND, tn_ex_unary(n, TN_ISNAN, element), tn_ex_unary(n, TN_ISNAN, best));
    found = tn_ex_binary(n, TN_OR, found, nans);
  }
  enum tn_dtype position = extent <= INT32_MAX ? TN_I32 : TN_I64;
  struct tn_var *where = tn_value_var(n, "where", position);
  struct tn_expr *none = tn_ex_int(n, position, last ? -1 : extent - 1);
  tn_st_reduce(in, where, last ? TN_MAX : TN_MIN, NULL, extent > 1, &var,
               tn_ex_select(n, found, tn_ex_cast(n, at[axis], position), none));
  bool keepdims = out->type.rank == x->type.rank;
  int rank = 0;
  for (int d = 0; d < x->type.rank; d++) {
    if (d != axis)
      idx[rank++] = at[d];
    else if (keepdims)
      idx[rank++] = tn_ix(n, 0);
  }
  tn_result(l, in, out, idx, tn_ex_cast(n, tn_ex_var(n, where), out->type.dtype), NULL);
}
const struct tn_definition tn_define_arg_reduce = {.nest = arg_reduce};
