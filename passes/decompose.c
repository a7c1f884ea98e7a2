/* Decompose: replaces every composite op by core ops.
 *
 * One table row an op; an op that ops.def flags as composite and that has no row here is a bug, found before
 * the first node is looked at.  Afterwards no composite op is left in any graph. */
#include "passes/decompose.h"

static const struct {
  enum tn_op op;
  tn_decomposition *run;
} table[] = {
    {TN_SOFTMAX, tn_decompose_softmax},       {TN_LOG_SOFTMAX, tn_decompose_softmax},
    {TN_LAYER_NORM, tn_decompose_layer_norm}, {TN_RMS_NORM, tn_decompose_rms_norm},
    {TN_BATCH_NORM, tn_decompose_batch_norm}, {TN_QUANTIZE, tn_decompose_quantize},
    {TN_DEQUANTIZE, tn_decompose_dequantize}, {TN_CONV_TRANSPOSE, tn_decompose_conv_transpose},
    {TN_EINSUM, tn_decompose_einsum},
};

static tn_decomposition *decomposition_of(enum tn_op op) {
  for (size_t i = 0; i < TN_COUNT(table); i++)
    if (table[i].op == op)
      return table[i].run;
  return NULL;
}

enum tn_dtype tn_compute_dtype(enum tn_dtype dtype) {
  return dtype == TN_F64 ? TN_F64 : TN_F32;
}

struct tn_value *tn_along(struct tn_build *b, struct tn_value *x, int rank, int axis) {
  tn_dim dim[TN_MAX_RANK];
  for (int i = 0; i < rank; i++)
    dim[i] = 1;
  dim[axis] = x->type.dim[0];
  return rank == 1 ? x : tn_reshape(b, x, rank, dim);
}

int tn_axis_of(const struct tn_node *node, enum tn_attr_id id, int rank) {
  int64_t axis = tn_get_int(node, id);
  if (axis < 0)
    axis += rank;
  if (axis < 0 || axis >= rank) {
    tn_node_error(node, "expected an axis within the operand's %d dimensions, found %lld; correct the axis",
                  rank, (long long)tn_get_int(node, id));
    tn_fail_now(node->home->module->ctx);
  }
  return (int)axis;
}

static bool decompose_node(struct tn_pass *pass, struct tn_node *node) {
  tn_decomposition *run = decomposition_of(node->op);
  if (!run)
    return true;
  struct tn_build b = tn_build_before(node);
  struct tn_value *result = run(&b, node);
  if (!tn_shape_equal(&result->type, &node->out[0]->type) || result->type.dtype != node->out[0]->type.dtype)
    tn_bug(node->home->module->ctx, "the decomposition of '%s' (%s) changed its type", node->name,
           tn_op_info(node->op)->name);
  tn_pass_replace(pass, node->out[0], result);
  /* An output that could not move (its replacement is a graph input) still needs a core op: a reshape to the
   * same shape, which is a view. */
  if (!tn_value_unused(node->out[0]))
    tn_pass_replace(pass, node->out[0], tn_reshape(&b, result, result->type.rank, result->type.dim));
  tn_node_remove(node);
  pass->changes++;
  return true;
}

bool tn_pass_decompose(struct tn_pass *pass, struct tn_module *module) {
  for (int op = 0; op < TN_OP_COUNT; op++)
    if ((tn_op_info((enum tn_op)op)->flags & TN_COMPOSITE) && !decomposition_of((enum tn_op)op))
      tn_bug(module->ctx, "composite op '%s' has no decomposition; add a row to passes/decompose.c",
             tn_op_info((enum tn_op)op)->name);
  return tn_pass_each(pass, module->main, decompose_node);
}
