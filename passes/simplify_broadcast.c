/* Simplify: what numpy broadcasting makes unnecessary.
 *
 * An elementwise op repeats its operands itself, so an expanded operand, or a constant whose elements repeat
 * along a dim, can be the smaller tensor, as long as the result keeps its shape.  A product does so with its
 * batch dims: keys and values that several heads of attention share need not be repeated for each. */
#include "passes/layout.h"

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

/* ---- products with operands that repeat ------------------------------------------------------------------ */

#define MOST_MOVES 8

/* A value of which, along dim `dim`, each of `groups` slices comes `times` times in a row: once, it is `once`,
 * which has the dims (groups, 1) instead. */
struct repeated {
  struct tn_value *once;
  int dim;
  int64_t groups, times;
};

/* once = a reshape of the value to the dims of `type`, of which `dim` is the one that repeats. */
static void repeat_as(struct tn_build *b, struct repeated *r, struct tn_value *x, const struct tn_type *type,
                      int dim) {
  tn_dim dims[TN_MAX_RANK + 1];
  r->dim = dim;
  for (int d = 0; d <= type->rank; d++)
    dims[d] = d == dim ? r->groups : d == dim + 1 ? 1 : type->dim[d > dim ? d - 1 : d];
  r->once = tn_reshape(b, x, type->rank + 1, dims);
}

/* reshape(expand(x)): the dims before the expanded one and that one become one dim. */
static bool merges_expanded(struct tn_build *b, const struct tn_node *reshape, struct repeated *out) {
  const struct tn_node *expand = tn_def_of(reshape->in[0], TN_EXPAND);
  const struct tn_type *to = &reshape->out[0]->type;
  struct tn_block block[2 * TN_MAX_RANK];
  if (!expand)
    return false;
  const struct tn_type *wide = &expand->out[0]->type, *narrow = &expand->in[0]->type;
  int count = tn_reshape_blocks(wide, to, block), at = -1;
  if (narrow->rank != wide->rank)
    return false;
  for (int d = 0; d < wide->rank; d++)
    if (narrow->dim[d] != wide->dim[d]) {
      if (at >= 0 || !tn_dim_static(wide->dim[d]))
        return false;
      at = d;
    }
  for (int k = 0; k < count; k++) {
    if (at < block[k].from[0] || at >= block[k].from[1])
      continue;
    int dim = tn_only_dim(to, block[k].to);
    for (int d = at + 1; d < block[k].from[1]; d++)
      if (wide->dim[d] != 1)
        return false;
    if (dim < 0 || wide->dim[at] == 0)
      return false;
    *out = (struct repeated){.groups = to->dim[dim] / wide->dim[at], .times = wide->dim[at]};
    repeat_as(b, out, expand->in[0], to, dim);
    return true;
  }
  return false;
}

static bool find_repeated(struct tn_build *b, struct tn_value *x, int moves, struct repeated *out);

static bool through_reshape(struct tn_build *b, const struct tn_node *reshape, int moves,
                            struct repeated *out) {
  const struct tn_type *from = &reshape->in[0]->type, *to = &reshape->out[0]->type;
  struct tn_block block[2 * TN_MAX_RANK];
  int count = tn_reshape_blocks(from, to, block);
  if (!find_repeated(b, reshape->in[0], moves, out))
    return false;
  for (int k = 0; k < count; k++)
    if (tn_only_dim(from, block[k].from) == out->dim) {
      int dim = tn_only_dim(to, block[k].to);
      if (dim >= 0)
        repeat_as(b, out, out->once, to, dim);
      return dim >= 0;
    }
  return false;
}

static bool through_transpose(struct tn_build *b, const struct tn_node *transpose, int moves,
                              struct repeated *out) {
  struct tn_ints perm = tn_get_ints(transpose, TN_TRANSPOSE_perm);
  int64_t moved[TN_MAX_RANK + 1];
  if (!find_repeated(b, transpose->in[0], moves, out))
    return false;
  int dim = out->dim, count = 0;
  for (size_t d = 0; d < perm.count; d++) {
    if (perm.at[d] == dim) {
      out->dim = count;
      moved[count++] = dim;
    }
    moved[count++] = perm.at[d] + (perm.at[d] >= dim);
  }
  out->once = tn_transpose(b, out->once, moved);
  return true;
}

/* Arithmetic with a number. */
static bool through_scale(struct tn_build *b, const struct tn_node *node, int moves, struct repeated *out) {
  int64_t count;
  for (int i = 0; node->in_count == 2 && i < 2; i++) {
    struct tn_value *in[2] = {node->in[0], node->in[1]};
    if (!tn_type_count(&in[1 - i]->type, &count) || count != 1 || in[1 - i]->type.rank > in[i]->type.rank ||
        !find_repeated(b, in[i], moves, out))
      continue;
    in[i] = out->once;
    struct tn_node *copy = tn_node_make(b, node->op, 2, in, 1);
    memcpy(copy->attr, node->attr, sizeof copy->attr);
    if (!tn_finish(b, copy))
      tn_fail_now(b->graph->module->ctx);
    out->once = copy->out[0];
    return true;
  }
  return false;
}

/* Nodes that find nothing are left unused. */
static bool find_repeated(struct tn_build *b, struct tn_value *x, int moves, struct repeated *out) {
  const struct tn_node *def = x->def;
  if (!def || moves == 0 || x->type.quant || x->type.rank == TN_MAX_RANK || !tn_type_static(&x->type))
    return false;
  if (def->op == TN_RESHAPE)
    return merges_expanded(b, def, out) || through_reshape(b, def, moves - 1, out);
  if (def->op == TN_TRANSPOSE)
    return through_transpose(b, def, moves - 1, out);
  return (tn_op_info(def->op)->flags & TN_ELEMENTWISE) && through_scale(b, def, moves - 1, out);
}

/* matmul(x, y) with slices of y that repeat along a batch dim: x with that dim in two, and y broadcast. */
static struct tn_value *share_slices(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0], *y = node->in[1];
  const struct tn_type *type = &node->out[0]->type;
  struct repeated r;
  if (x->type.rank != y->type.rank || x->type.quant || type->quant || type->rank >= TN_MAX_RANK ||
      !find_repeated(b, y, MOST_MOVES, &r) || r.dim >= y->type.rank - 2 ||
      x->type.dim[r.dim] != y->type.dim[r.dim])
    return NULL;
  tn_dim dims[TN_MAX_RANK];
  for (int d = 0; d <= x->type.rank; d++)
    dims[d] = d == r.dim ? r.groups : d == r.dim + 1 ? r.times : x->type.dim[d > r.dim ? d - 1 : d];
  struct tn_value *in[2] = {tn_reshape(b, x, x->type.rank + 1, dims), r.once};
  struct tn_node *product = tn_node_make(b, TN_MATMUL, 2, in, 1);
  memcpy(product->attr, node->attr, sizeof product->attr);
  if (!tn_finish(b, product))
    tn_fail_now(b->graph->module->ctx);
  return tn_reshape(b, product->out[0], type->rank, type->dim);
}

/* ---- the rules ----------------------------------------------------------------------------------------- */

struct tn_value *tn_simplify_broadcast(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  if (node->op == TN_MATMUL)
    return share_slices(b, node);
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
