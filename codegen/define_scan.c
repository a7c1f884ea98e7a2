/* Running sums and products along an axis. */
#include "codegen/define.h"

#define FEW_BEHIND 4

/* Many elements lie behind the axis: each step adds all of them to those of the step before, so that lanes can
 * lie along them. */
static void by_steps(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c, enum tn_op combine,
                     int axis, bool reverse) {
  struct tn_nest *n = l->nest;
  struct tn_value *x = node->in[0], *out = node->out[0];
  int rank = x->type.rank;
  int64_t extent = x->type.dim[axis];
  struct tn_type before = x->type, behind = x->type;
  before.rank = axis;
  behind.rank = rank - axis - 1;
  memmove(behind.dim, x->type.dim + axis + 1, (size_t)behind.rank * sizeof *behind.dim);
  for (int first = 1; first >= 0; first--) {
    struct tn_expr *at[TN_MAX_RANK], *previous[TN_MAX_RANK];
    struct tn_cursor outer, loop, inner, *in = tn_define_loops(c, &before, -1, TN_LOOP_PARALLEL, at, &outer);
    struct tn_expr *step = tn_ix(n, 0);
    if (!first) {
      struct tn_var *var = tn_loop_var(n, "r", extent - 1);
      step = tn_ix_offset(n, tn_ex_var(n, var), 1);
      loop = tn_st_loop(in, var, TN_LOOP_SERIAL);
      in = &loop;
    }
    at[axis] = reverse ? tn_ix_sub(n, tn_ix(n, extent - 1), step) : step;
    in = tn_define_loops(in, &behind, -1, TN_LOOP_SERIAL, at + axis + 1, &inner);
    struct tn_expr *element = tn_element(l, x, at);
    if (!first) {
      memcpy(previous, at, (size_t)rank * sizeof *at);
      previous[axis] = tn_ix_offset(n, at[axis], reverse ? 1 : -1);
      struct tn_expr *so_far = tn_ex_load(n, tn_result_buf(l, out), tn_linear(n, &out->type, previous), NULL);
      element = tn_ex_binary(n, combine, so_far, element);
    }
    tn_result(l, in, out, at, element, NULL);
    if (extent < 2)
      return;
  }
}

static void cumulative(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  struct tn_value *x = node->in[0];
  bool sum = node->op == TN_SCAN_SUM;
  enum tn_op combine = sum ? TN_ADD : TN_MUL;
  int axis = tn_define_axis(node, sum ? TN_SCAN_SUM_axis : TN_SCAN_PROD_axis, x->type.rank);
  bool exclusive = tn_get_int(node, sum ? TN_SCAN_SUM_exclusive : TN_SCAN_PROD_exclusive) != 0;
  bool reverse = tn_get_int(node, sum ? TN_SCAN_SUM_reverse : TN_SCAN_PROD_reverse) != 0;
  enum tn_dtype acc = tn_define_accumulator(x->type.dtype);
  int64_t behind = 1, all;
  for (int d = axis + 1; d < x->type.rank; d++)
    behind *= x->type.dim[d];
  if (!exclusive && acc == x->type.dtype && behind >= FEW_BEHIND && tn_type_count(&x->type, &all) && all > 0) {
    by_steps(l, node, c, combine, axis, reverse);
    return;
  }
  struct tn_expr *at[TN_MAX_RANK];
  struct tn_cursor body, *in = tn_define_loops(c, &x->type, axis, TN_LOOP_PARALLEL, at, &body);
  struct tn_expr *total = tn_st_let(in, "total", tn_ex_identity(n, combine, acc));
  struct tn_var *var = tn_loop_var(n, "r", x->type.dim[axis]);
  struct tn_expr *step = tn_ex_var(n, var);
  at[axis] = reverse ? tn_ix_sub(n, tn_ix(n, x->type.dim[axis] - 1), step) : step;
  struct tn_cursor loop = tn_st_loop(in, var, TN_LOOP_SERIAL);
  /* Read before the store: the result may take the operand's place. */
  struct tn_expr *element = tn_st_let(&loop, "x", tn_ex_cast(n, tn_element(l, x, at), acc));
  struct tn_expr *next = tn_ex_binary(n, combine, total, element);
  if (exclusive) {
    tn_result(l, &loop, node->out[0], at, tn_ex_cast(n, total, x->type.dtype), NULL);
    tn_st_set(&loop, total, next);
  } else {
    tn_st_set(&loop, total, next);
    tn_result(l, &loop, node->out[0], at, tn_ex_cast(n, total, x->type.dtype), NULL);
  }
}
const struct tn_definition tn_define_cumulative = {.nest = cumulative};
