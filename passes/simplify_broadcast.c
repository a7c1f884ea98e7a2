/* Simplify: what numpy broadcasting makes unnecessary.
 *
 * An elementwise op repeats its operands itself, so an expanded operand, or a constant whose elements repeat
 * along a dim, can be the smaller tensor, as long as the result keeps its shape. */
#include "passes/passes.h"

#define MAX_COMPRESS (INT64_C(1) << 20) /* elements; larger constants are real weights */

/* Dim d of x in a result of the given rank, 1 where x has none. */
static tn_dim dim_at(const struct tn_type *x, int rank, int d) {
  int own = d - (rank - x->rank);
  return own < 0 ? 1 : x->dim[own];
}

/* Whether the result keeps its shape when operand `index` has the type `with`. */
static bool shape_kept(const struct tn_node *node, int index, const struct tn_type *with) {
  const struct tn_type *out = &node->out[0]->type;
  int rank = 0;
  for (int i = 0; i < node->in_count; i++) {
    const struct tn_type *type = i == index ? with : &node->in[i]->type;
    rank = type->rank > rank ? type->rank : rank;
  }
  if (rank != out->rank) /* dims of one element count too */
    return false;
  for (int d = 0; d < out->rank; d++) {
    bool reached = false;
    for (int i = 0; i < node->in_count; i++)
      reached |= dim_at(i == index ? with : &node->in[i]->type, out->rank, d) == out->dim[d];
    if (!reached)
      return false;
  }
  return true;
}

static void exchange(struct tn_pass *pass, struct tn_node *node, int index, struct tn_value *value) {
  tn_node_set_input(node, index, value);
  pass->changes++;
}

/* ---- constants that repeat ----------------------------------------------------------------------------- */

/* All slices along dim d are the same bytes. */
static bool repeats(const struct tn_tensor *tensor, int d) {
  size_t inner = tn_dtype_size(tensor->type.dtype);
  for (int k = d + 1; k < tensor->type.rank; k++)
    inner *= (size_t)tensor->type.dim[k];
  size_t block = inner * (size_t)tensor->type.dim[d];
  const char *data = tensor->data;
  for (size_t at = 0; at < tensor->bytes; at += block)
    if (memcmp(data + at, data + at + inner, block - inner) != 0)
      return false;
  return true;
}

/* The tensor with only the first slice along dim d. */
static struct tn_tensor first_slice(tn_arena *arena, const struct tn_tensor *tensor, int d) {
  struct tn_tensor out = *tensor;
  out.type.dim[d] = 1;
  out.bytes = tensor->bytes / (size_t)tensor->type.dim[d];
  size_t inner = tn_dtype_size(tensor->type.dtype);
  for (int k = d + 1; k < tensor->type.rank; k++)
    inner *= (size_t)tensor->type.dim[k];
  size_t block = inner * (size_t)tensor->type.dim[d];
  char *data = tn_alloc_raw(arena, out.bytes, TN_PLAN_ALIGN);
  for (size_t i = 0; i * block < tensor->bytes; i++)
    memcpy(data + i * inner, (const char *)tensor->data + i * block, inner);
  out.data = data;
  return out;
}

static void compress_operand(struct tn_pass *pass, struct tn_build *b, struct tn_node *node, int index) {
  const struct tn_tensor *tensor = tn_value_tensor(node->in[index]);
  int64_t count;
  if (!tensor || tensor->type.quant || !tn_type_count(&tensor->type, &count) || count < 2 ||
      count > MAX_COMPRESS)
    return;
  struct tn_tensor small = *tensor;
  for (int d = 0; d < small.type.rank; d++) {
    struct tn_type with = small.type;
    with.dim[d] = 1;
    if (small.type.dim[d] > 1 && shape_kept(node, index, &with) && repeats(&small, d))
      small = first_slice(b->graph->module->arena, &small, d);
  }
  if (small.bytes == tensor->bytes)
    return;
  exchange(pass, node, index, tn_constant(b, &small));
}

/* ---- the rules ----------------------------------------------------------------------------------------- */

struct tn_value *tn_simplify_broadcast(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  if (!(tn_op_info(node->op)->flags & TN_ELEMENTWISE))
    return NULL;
  const struct tn_type *out = &node->out[0]->type;
  if (node->in_count == 1) { /* compute before repeating */
    struct tn_node *expand = node->in[0]->def;
    if (!expand || expand->op != TN_EXPAND || out->quant || node->in[0]->type.quant ||
        !tn_value_single_use(node->in[0]))
      return NULL;
    struct tn_node *copy = tn_node_make(b, node->op, 1, expand->in, 1);
    memcpy(copy->attr, node->attr, sizeof copy->attr);
    if (!tn_finish(b, copy))
      tn_fail_now(b->graph->module->ctx);
    return tn_expand(b, copy->out[0], out->rank, out->dim);
  }
  for (int i = 0; i < node->in_count; i++) {
    struct tn_node *expand = node->in[i]->def;
    if (expand && expand->op == TN_EXPAND && shape_kept(node, i, &expand->in[0]->type))
      exchange(pass, node, i, expand->in[0]);
    else if (expand && expand->op == TN_CONSTANT)
      compress_operand(pass, b, node, i);
  }
  return NULL;
}
