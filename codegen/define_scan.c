/* Running sums and products along an axis. */
#include "codegen/define.h"

static void cumulative(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  struct tn_value *x = node->in[0];
  bool sum = node->op == TN_SCAN_SUM;
  enum tn_op combine = sum ? TN_ADD : TN_MUL;
  int axis = tn_define_axis(node, sum ? TN_SCAN_SUM_axis : TN_SCAN_PROD_axis, x->type.rank);
  bool exclusive = tn_get_int(node, sum ? TN_SCAN_SUM_exclusive : TN_SCAN_PROD_exclusive) != 0;
  bool reverse = tn_get_int(node, sum ? TN_SCAN_SUM_reverse : TN_SCAN_PROD_reverse) != 0;
  enum tn_dtype acc = tn_define_accumulator(x->type.dtype);
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
