/* Simplify: reductions and windows that combine nothing, and paddings that a window makes itself. */
#include "passes/passes.h"

#include <math.h>

/* ---- reductions over axes ------------------------------------------------------------------------------ */

static bool is_axis_reduction(enum tn_op op) {
  return op == TN_REDUCE_SUM || op == TN_REDUCE_PROD || op == TN_REDUCE_MAX || op == TN_REDUCE_MIN;
}

static struct tn_ints axes_of(const struct tn_node *node) {
  return tn_get_ints(node, (enum tn_attr_id)tn_op_info(node->op)->first_attr);
}

static bool keeps_dims(const struct tn_node *node) {
  return tn_get_int(node, (enum tn_attr_id)(tn_op_info(node->op)->first_attr + 1)) != 0;
}

static struct tn_value *simplify_axes(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  struct tn_ints axes = axes_of(node);
  bool single = true; /* one element each: nothing to combine */
  for (size_t i = 0; i < axes.count; i++)
    single &= x->type.dim[axes.at[i]] == 1;
  if (single)
    return tn_shape_equal(&x->type, type) ? x : tn_reshape(b, x, type->rank, type->dim);
  /* The largest of the largest; sums would round in another order. */
  struct tn_node *inner = tn_def_of(x, node->op);
  if ((node->op != TN_REDUCE_MAX && node->op != TN_REDUCE_MIN) || !inner || !keeps_dims(inner) ||
      !keeps_dims(node) || !tn_value_single_use(x))
    return NULL;
  bool reduced[TN_MAX_RANK] = {false};
  for (int side = 0; side < 2; side++) {
    axes = axes_of(side ? inner : node);
    for (size_t i = 0; i < axes.count; i++)
      reduced[axes.at[i]] = true;
  }
  int64_t both[TN_MAX_RANK];
  size_t count = 0;
  for (int d = 0; d < x->type.rank; d++)
    if (reduced[d])
      both[count++] = d;
  return tn_reduce(b, node->op, inner->in[0], both, count, true);
}

/* ---- pool ---------------------------------------------------------------------------------------------- */

static enum tn_op reduction_of(enum tn_pool_kind kind) {
  return kind == TN_WINDOW_MAX ? TN_REDUCE_MAX : kind == TN_WINDOW_MIN ? TN_REDUCE_MIN : TN_REDUCE_SUM;
}

/* The fill that changes nothing for this window: what the positions outside count as. */
static bool fill_is_neutral(const struct tn_node *pad, enum tn_pool_kind kind) {
  double fill;
  if (!tn_pad_fills_with(pad, &fill))
    return false;
  if (kind == TN_WINDOW_SUM)
    return fill == 0;
  return tn_dtype_is_float(pad->out[0]->type.dtype) && isinf(fill) && signbit(fill) == (kind == TN_WINDOW_MAX);
}

static bool all_are(struct tn_ints ints, int64_t low, int64_t high) {
  for (size_t i = 0; i < ints.count; i++)
    if (ints.at[i] < low || ints.at[i] > high)
      return false;
  return true;
}

/* Pads that a pool may take over: they only grow, with a neutral fill. */
static struct tn_value *pool_with_pad(struct tn_build *b, struct tn_node *node, const struct tn_node *pad) {
  struct tn_ints more_before = tn_get_ints(pad, TN_PAD_before), more_after = tn_get_ints(pad, TN_PAD_after);
  if (!all_are(tn_get_ints(pad, TN_PAD_interior), 0, 0) || !all_are(more_before, 0, INT64_MAX) ||
      !all_are(more_after, 0, INT64_MAX) ||
      !fill_is_neutral(pad, (enum tn_pool_kind)tn_get_int(node, TN_POOL_kind)))
    return NULL;
  int64_t before[TN_MAX_RANK], after[TN_MAX_RANK];
  for (size_t d = 0; d < more_before.count; d++) {
    before[d] = tn_get_ints(node, TN_POOL_before).at[d] + more_before.at[d];
    after[d] = tn_get_ints(node, TN_POOL_after).at[d] + more_after.at[d];
  }
  struct tn_node *pool = tn_node_make(b, TN_POOL, 1, (struct tn_value *[]){pad->in[0]}, 1);
  memcpy(pool->attr, node->attr, sizeof pool->attr);
  tn_set_ints(pool, TN_POOL_before, before, more_before.count);
  tn_set_ints(pool, TN_POOL_after, after, more_before.count);
  if (!tn_finish(b, pool))
    tn_fail_now(b->graph->module->ctx);
  return pool->out[0];
}

static struct tn_value *simplify_pool(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  struct tn_ints window = tn_get_ints(node, TN_POOL_window), strides = tn_get_ints(node, TN_POOL_strides);
  struct tn_ints before = tn_get_ints(node, TN_POOL_before), after = tn_get_ints(node, TN_POOL_after);
  struct tn_node *pad = tn_def_of(x, TN_PAD);
  if (pad && tn_get_int(pad, TN_PAD_mode) == 0) {
    struct tn_value *pool = pool_with_pad(b, node, pad);
    if (pool)
      return pool;
  }
  if (!all_are(before, 0, 0) || !all_are(after, 0, 0) || !tn_type_static(&x->type))
    return NULL;
  if (all_are(window, 1, 1)) {
    int64_t starts[TN_MAX_RANK] = {0};
    return all_are(strides, 1, 1) ? x : tn_slice(b, x, starts, strides.at, type->dim);
  }
  /* A window as large as the tensor in every dim where it is larger than one element: a reduction. */
  struct tn_ints dilations = tn_get_ints(node, TN_POOL_dilations);
  int64_t axes[TN_MAX_RANK];
  size_t count = 0;
  for (int d = 0; d < type->rank; d++) {
    if (window.at[d] == 1 && strides.at[d] == 1)
      continue;
    if (window.at[d] != x->type.dim[d] || type->dim[d] != 1 || (dilations.at[d] != 1 && window.at[d] != 1))
      return NULL;
    axes[count++] = d;
  }
  return tn_reduce(b, reduction_of((enum tn_pool_kind)tn_get_int(node, TN_POOL_kind)), x, axes, count, true);
}

struct tn_value *tn_simplify_reduce(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  (void)pass;
  if (node->out[0]->type.quant || (node->in_count > 0 && node->in[0] && node->in[0]->type.quant))
    return NULL;
  if (is_axis_reduction(node->op))
    return simplify_axes(b, node);
  if (node->op == TN_POOL)
    return simplify_pool(b, node);
  if ((node->op == TN_ARG_MAX && node->in[0]->type.dim[tn_get_int(node, TN_ARG_MAX_axis)] == 1) ||
      (node->op == TN_ARG_MIN && node->in[0]->type.dim[tn_get_int(node, TN_ARG_MIN_axis)] == 1))
    return tn_fit(b, tn_const_int(b, TN_I64, 0), &node->out[0]->type);
  return NULL;
}
