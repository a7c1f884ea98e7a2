/* Long sums in two steps.
 *
 * A running float sum loses what is small beside it: over a million elements the error of one accumulator
 * reaches per cents.  A sum over several dims with many elements becomes a sum over the inner ones and then one
 * over the outer ones, which shortens the chains of additions to about the square root of their number.
 * Instance norms and global averages of large images need it; it also gives the outer step something to do in
 * parallel.
 *
 * Meant to run late: which dims are inner is the layout's choice. */
#include "passes/passes.h"

#define LONG_SUM 4096 /* elements; below, the error is no larger than elsewhere */

/* How many of the axes, from the last, the first step takes, so that the longer of the two chains is shortest.
 */
static size_t inner_axes(const struct tn_type *x, struct tn_ints axes) {
  double whole = 1, inner = 1, longest;
  size_t best = 0;
  for (size_t i = 0; i < axes.count; i++)
    whole *= (double)x->dim[axes.at[i]];
  longest = whole;
  if (whole < LONG_SUM)
    return 0;
  for (size_t count = 1; count < axes.count; count++) {
    inner *= (double)x->dim[axes.at[axes.count - count]];
    double longer = inner * inner > whole ? inner : whole / inner;
    if (longer < longest) {
      longest = longer;
      best = count;
    }
  }
  return best;
}

static bool split(struct tn_pass *pass, struct tn_node *node) {
  if (node->op != TN_REDUCE_SUM || !tn_dtype_is_float(node->out[0]->type.dtype) || node->out[0]->type.quant ||
      !tn_type_static(&node->in[0]->type) || tn_value_unused(node->out[0]))
    return true;
  struct tn_ints axes = tn_get_ints(node, TN_REDUCE_SUM_axes);
  const struct tn_type *type = &node->out[0]->type;
  size_t inner = inner_axes(&node->in[0]->type, axes), outer = axes.count - inner;
  if (inner == 0)
    return true;
  struct tn_build b = tn_build_before(node);
  struct tn_value *sum = tn_reduce(&b, TN_REDUCE_SUM, node->in[0], axes.at + outer, inner, true);
  sum = tn_reduce(&b, TN_REDUCE_SUM, sum, axes.at, outer, true);
  if (!tn_shape_equal(&sum->type, type))
    sum = tn_reshape(&b, sum, type->rank, type->dim);
  tn_pass_replace(pass, node->out[0], sum);
  return true;
}

bool tn_pass_split_sum(struct tn_pass *pass, struct tn_module *module) {
  bool good = tn_pass_each(pass, module->main, split);
  tn_remove_dead(pass, module);
  return good;
}
