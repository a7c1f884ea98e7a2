/* Constant folding.
 *
 * A node whose operands are all constants becomes a constant: views by another type on the same bytes, shape
 * arithmetic by tn_value_dims(), everything else by the evaluate callback, so that an op's meaning stays
 * written once. A branch whose condition is known, and a loop that runs never or once, are replaced by what
 * they would do.
 *
 * What costs nothing inside a kernel but much as stored bytes (expand, iota) is left, unless somebody computes
 * with it at compile time. */
#include "passes/passes.h"

#define LIMIT (INT64_C(64) << 10)
#define COSTLY_LIMIT (INT64_C(16) << 20) /* for what is dear to compute, where speed is asked for */
#define LOOK_AHEAD 64                    /* nodes */
#define FREE_LIMIT (INT64_C(1) << 10)    /* expand and iota up to here become constants at once */

static bool all_constant(const struct tn_node *node) {
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i] && !tn_value_tensor(node->in[i]))
      return false;
  return true;
}

/* The user is computed once this value is a constant: all else that it reads is one, or will be. */
static bool follows(const struct tn_node *user, const struct tn_value *value) {
  bool others = (tn_op_info(user->op)->flags & TN_PURE) && user->region_count == 0;
  for (int k = 0; k < user->in_count && others; k++)
    others = !user->in[k] || user->in[k] == value || tn_value_constant_expr(user->in[k]);
  return others;
}

/* Somebody who would be folded if this value were a constant. */
static bool wanted_constant(const struct tn_value *value) {
  for (size_t i = 0; i < value->uses.count; i++)
    if (follows(value->uses.at[i].node, value))
      return true;
  return false;
}

/* The results, or what can be computed from them at compile time, are dear to compute at each run; *left: nodes
 * that may still be looked at. */
static bool leads_to_costly(const struct tn_node *node, int *left) {
  if (tn_costly(node))
    return true;
  for (int i = 0; i < node->out_count; i++)
    for (size_t k = 0; k < node->out[i]->uses.count && *left > 0; k++) {
      const struct tn_node *user = node->out[i]->uses.at[k].node;
      --*left;
      if (follows(user, node->out[i]) && leads_to_costly(user, left))
        return true;
    }
  return false;
}

/* Whether the results are worth their bytes. */
static bool worth_storing(const struct tn_pass *pass, const struct tn_node *node) {
  int64_t in_bytes = 0, out_bytes = 0;
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i])
      in_bytes += (int64_t)tn_value_tensor(node->in[i])->bytes;
  for (int i = 0; i < node->out_count; i++) {
    int64_t bytes;
    if (!tn_type_bytes(&node->out[i]->type, &bytes))
      return false; /* symbolic */
    out_bytes += bytes;
  }
  int left = LOOK_AHEAD;
  bool grows = (node->op == TN_EXPAND || node->op == TN_IOTA) && out_bytes > FREE_LIMIT && out_bytes > in_bytes;
  if (out_bytes <= LIMIT ? !grows || wanted_constant(node->out[0]) : !grows && out_bytes <= 2 * in_bytes)
    return true;
  return out_bytes > LIMIT && out_bytes <= COSTLY_LIMIT && !pass->options->small &&
         leads_to_costly(node, &left);
}

static struct tn_value *make_constant(struct tn_node *at, const struct tn_tensor *tensor) {
  struct tn_build b = tn_build_before(at);
  return tn_constant(&b, tensor);
}

static void fold_view(struct tn_pass *pass, struct tn_node *node) {
  struct tn_tensor tensor = *tn_value_tensor(node->in[0]);
  tensor.type = node->out[0]->type;
  tn_pass_replace(pass, node->out[0], make_constant(node, &tensor));
}

static bool fold_by_evaluation(struct tn_pass *pass, struct tn_node *node) {
  tn_arena *arena = node->home->module->arena;
  struct tn_tensor *outs = TN_NEW_ARRAY(pass->scratch, struct tn_tensor, node->out_count);
  for (int i = 0; i < node->out_count; i++) {
    int64_t bytes = 0;
    tn_type_bytes(&node->out[i]->type, &bytes);
    outs[i] = (struct tn_tensor){.type = node->out[i]->type,
                                 .data = tn_alloc_raw(arena, bytes > 0 ? (size_t)bytes : 1, TN_PLAN_ALIGN),
                                 .bytes = (size_t)bytes};
  }
  if (!pass->options->evaluate(pass->options->user, node, outs))
    return false;
  for (int i = 0; i < node->out_count; i++)
    tn_pass_replace(pass, node->out[i], make_constant(node, &outs[i]));
  return true;
}

/* Small integer tensors that hold dimensions, known although their operands are not constants. */
static bool fold_dims(struct tn_pass *pass, struct tn_node *node) {
  struct tn_value *value = node->out[0];
  int64_t elements, numbers[64];
  tn_dim dims[64];
  int count = 0;
  if (node->out_count != 1 || !tn_dtype_is_int(value->type.dtype) || value->type.rank > 1 ||
      !tn_type_count(&value->type, &elements) || elements > 64 || !tn_value_dims(value, dims, &count) ||
      count != elements)
    return false;
  for (int i = 0; i < count; i++)
    if (!tn_dim_value(node->home->module, dims[i], &numbers[i]))
      return false;
  size_t size = tn_dtype_size(value->type.dtype);
  void *data = tn_alloc(node->home->module->arena, size * (size_t)count + 1);
  for (int i = 0; i < count; i++)
    tn_store_int(value->type.dtype, data, i, numbers[i]);
  struct tn_tensor tensor = {.type = value->type, .data = data, .bytes = size * (size_t)count};
  tn_pass_replace(pass, value, make_constant(node, &tensor));
  return true;
}

/* ---- control flow -------------------------------------------------------------------------------------- */

static bool constant_int(const struct tn_value *value, int64_t *out) {
  const struct tn_tensor *tensor = value ? tn_value_tensor(value) : NULL;
  if (!tensor || tensor->bytes == 0 || tn_dtype_is_float(tensor->type.dtype))
    return false;
  *out = tn_tensor_int(tensor, 0);
  return true;
}

static bool fold_if(struct tn_pass *pass, struct tn_node *node) {
  int64_t cond;
  if (!constant_int(node->in[0], &cond))
    return false;
  const struct tn_graph *branch = node->region[cond ? 0 : 1];
  for (int i = 0; i < node->out_count; i++)
    if (!tn_type_equal(&branch->outputs.at[i]->type, &node->out[i]->type))
      return false;
  struct tn_value **outs = TN_NEW_ARRAY(pass->scratch, struct tn_value *, node->out_count);
  tn_graph_inline(branch, node->home, node, NULL, outs);
  for (int i = 0; i < node->out_count; i++)
    tn_pass_replace(pass, node->out[i], outs[i]);
  return true;
}

/* A loop that runs `times` (0 or 1) times. */
static bool fold_loop_times(struct tn_pass *pass, struct tn_node *node, int times) {
  const struct tn_graph *body = node->region[0];
  int carried = node->in_count - 2;
  for (int i = 0; i < carried; i++)
    if (!tn_type_equal(&node->in[2 + i]->type, &node->out[i]->type))
      return false;
  for (int i = carried; i < node->out_count; i++)
    if (!tn_type_static(&node->out[i]->type) || node->out[i]->type.dim[0] != times)
      return false;
  struct tn_build b = tn_build_before(node);
  if (times == 0) {
    for (int i = 0; i < node->out_count; i++)
      tn_pass_replace(pass, node->out[i],
                      i < carried ? node->in[2 + i] : tn_constant_bytes(&b, node->out[i]->type, ""));
    return true;
  }
  struct tn_value **args = TN_NEW_ARRAY(pass->scratch, struct tn_value *, body->inputs.count);
  struct tn_value **outs = TN_NEW_ARRAY(pass->scratch, struct tn_value *, body->outputs.count);
  args[0] = tn_const_int(&b, TN_I64, 0);
  args[1] = tn_const_int(&b, TN_BOOL, 1);
  for (int i = 0; i < carried; i++)
    args[2 + i] = node->in[2 + i];
  tn_graph_inline(body, node->home, node, args, outs);
  for (int i = 0; i < node->out_count; i++) {
    struct tn_value *out = outs[1 + i];
    if (i >= carried) {
      struct tn_build after = tn_build_before(node);
      out = tn_reshape(&after, out, node->out[i]->type.rank, node->out[i]->type.dim);
    }
    tn_pass_replace(pass, node->out[i], out);
  }
  return true;
}

static bool fold_loop(struct tn_pass *pass, struct tn_node *node) {
  int64_t trip = -1, cond = 1;
  bool trip_known = constant_int(node->in[0], &trip),
       cond_known = !node->in[1] || constant_int(node->in[1], &cond);
  if ((trip_known && trip <= 0) || (cond_known && cond == 0))
    return fold_loop_times(pass, node, 0);
  return trip_known && trip == 1 && cond_known && fold_loop_times(pass, node, 1);
}

/* ---- the pass ------------------------------------------------------------------------------------------ */

static bool any_used(const struct tn_node *node) {
  for (int i = 0; i < node->out_count; i++)
    if (!tn_value_unused(node->out[i]))
      return true;
  return false;
}

static bool fold_node(struct tn_pass *pass, struct tn_node *node) {
  unsigned flags = tn_op_info(node->op)->flags;
  if (node->op == TN_CONSTANT || node->op == TN_KERNEL || !any_used(node))
    return true;
  if (node->op == TN_IF || node->op == TN_LOOP) {
    bool folded = node->op == TN_IF ? fold_if(pass, node) : fold_loop(pass, node);
    /* At once: what is folded around this one copies what it finds. */
    if (folded && !any_used(node))
      tn_node_remove(node);
    return true;
  }
  if (!(flags & TN_PURE) || (flags & (TN_REGION | TN_COMPOSITE)))
    return true;
  if (fold_dims(pass, node) || !all_constant(node))
    return true;
  if (flags & TN_VIEW) {
    if (tn_type_static(&node->out[0]->type))
      fold_view(pass, node);
    return true;
  }
  if (!pass->options->evaluate || node->op == TN_SHAPE || !worth_storing(pass, node))
    return true;
  return fold_by_evaluation(pass, node);
}

bool tn_pass_fold(struct tn_pass *pass, struct tn_module *module) {
  bool good = tn_pass_each(pass, module->main, fold_node);
  tn_remove_dead(pass, module);
  return good;
}
