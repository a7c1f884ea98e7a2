/* Shorthand builders: a node in one call.  Each returns the (first) result, or leaves to the guard after the
 * diagnostic that inference recorded. */
#include "ir/ir.h"

static struct tn_value *finish(struct tn_build *b, struct tn_node *node) {
  if (!tn_finish(b, node))
    tn_fail_now(b->graph->module->ctx);
  return node->out[0];
}

static struct tn_node *make1(struct tn_build *b, enum tn_op op, struct tn_value *x) {
  return tn_node_make(b, op, 1, (struct tn_value *[]){x}, 1);
}

/* ---- constants ----------------------------------------------------------------------------------------- */

struct tn_value *tn_constant(struct tn_build *b, const struct tn_tensor *tensor) {
  struct tn_node *node = tn_node_make(b, TN_CONSTANT, 0, NULL, 1);
  struct tn_tensor *kept = TN_NEW(b->graph->module->arena, struct tn_tensor);
  *kept = *tensor;
  tn_set_tensor(node, TN_CONSTANT_value, kept);
  return finish(b, node);
}

struct tn_value *tn_constant_bytes(struct tn_build *b, struct tn_type type, const void *data) {
  tn_arena *arena = b->graph->module->arena;
  struct tn_tensor *tensor = TN_NEW(arena, struct tn_tensor);
  struct tn_node *node = tn_node_make(b, TN_CONSTANT, 0, NULL, 1);
  int64_t bytes;
  if (!tn_type_bytes(&type, &bytes)) {
    tn_node_error(node, "a constant needs a static type of representable size");
    tn_fail_now(b->graph->module->ctx);
  }
  void *copy = tn_alloc(arena, bytes > 0 ? (size_t)bytes : 1);
  if (bytes > 0)
    memcpy(copy, data, (size_t)bytes);
  *tensor = (struct tn_tensor){.type = type, .data = copy, .bytes = (size_t)bytes};
  tn_set_tensor(node, TN_CONSTANT_value, tensor);
  return finish(b, node);
}

struct tn_value *tn_const_float(struct tn_build *b, enum tn_dtype dtype, double value) {
  uint64_t bits = 0;
  tn_store_float(dtype, &bits, 0, value);
  return tn_constant_bytes(b, tn_type_scalar(dtype), &bits);
}

struct tn_value *tn_const_int(struct tn_build *b, enum tn_dtype dtype, int64_t value) {
  uint64_t bits = 0;
  tn_store_int(dtype, &bits, 0, value);
  return tn_constant_bytes(b, tn_type_scalar(dtype), &bits);
}

struct tn_value *tn_const_i64s(struct tn_build *b, const int64_t *at, size_t count) {
  return tn_constant_bytes(b, tn_type_make(TN_I64, 1, (tn_dim[]){(tn_dim)count}), at);
}

struct tn_value *tn_iota(struct tn_build *b, enum tn_dtype dtype, int rank, const tn_dim *dims, int axis) {
  struct tn_node *node = tn_node_make(b, TN_IOTA, 0, NULL, 1);
  tn_set_ints(node, TN_IOTA_shape, dims, (size_t)rank);
  tn_set_int(node, TN_IOTA_axis, axis);
  tn_set_int(node, TN_IOTA_dtype, dtype);
  return finish(b, node);
}

/* ---- elementwise --------------------------------------------------------------------------------------- */

struct tn_value *tn_unary(struct tn_build *b, enum tn_op op, struct tn_value *x) {
  return finish(b, make1(b, op, x));
}

struct tn_value *tn_binary(struct tn_build *b, enum tn_op op, struct tn_value *x, struct tn_value *y) {
  return finish(b, tn_node_make(b, op, 2, (struct tn_value *[]){x, y}, 1));
}

struct tn_value *tn_select(struct tn_build *b, struct tn_value *cond, struct tn_value *x, struct tn_value *y) {
  return finish(b, tn_node_make(b, TN_SELECT, 3, (struct tn_value *[]){cond, x, y}, 1));
}

struct tn_value *tn_cast(struct tn_build *b, struct tn_value *x, enum tn_dtype to) {
  if (x->type.dtype == to)
    return x;
  struct tn_node *node = make1(b, TN_CAST, x);
  tn_set_int(node, TN_CAST_to, to);
  return finish(b, node);
}

/* ---- moves --------------------------------------------------------------------------------------------- */

struct tn_value *tn_reshape(struct tn_build *b, struct tn_value *x, int rank, const tn_dim *dims) {
  struct tn_node *node = make1(b, TN_RESHAPE, x);
  tn_set_ints(node, TN_RESHAPE_shape, dims, (size_t)rank);
  return finish(b, node);
}

struct tn_value *tn_transpose(struct tn_build *b, struct tn_value *x, const int64_t *perm) {
  struct tn_node *node = make1(b, TN_TRANSPOSE, x);
  tn_set_ints(node, TN_TRANSPOSE_perm, perm, (size_t)x->type.rank);
  return finish(b, node);
}

struct tn_value *tn_expand(struct tn_build *b, struct tn_value *x, int rank, const tn_dim *dims) {
  struct tn_node *node = make1(b, TN_EXPAND, x);
  tn_set_ints(node, TN_EXPAND_shape, dims, (size_t)rank);
  return finish(b, node);
}

struct tn_value *tn_slice(struct tn_build *b, struct tn_value *x, const int64_t *starts, const int64_t *steps,
                          const int64_t *sizes) {
  struct tn_node *node = make1(b, TN_SLICE, x);
  size_t rank = (size_t)x->type.rank;
  tn_set_ints(node, TN_SLICE_starts, starts, rank);
  tn_set_ints(node, TN_SLICE_steps, steps, rank);
  tn_set_ints(node, TN_SLICE_sizes, sizes, rank);
  return finish(b, node);
}

struct tn_value *tn_pad(struct tn_build *b, struct tn_value *x, const int64_t *before, const int64_t *after,
                        struct tn_value *value) {
  struct tn_node *node = tn_node_make(b, TN_PAD, value ? 2 : 1, (struct tn_value *[]){x, value}, 1);
  size_t rank = (size_t)x->type.rank;
  tn_set_ints(node, TN_PAD_before, before, rank);
  tn_set_ints(node, TN_PAD_after, after, rank);
  return finish(b, node);
}

struct tn_value *tn_concat(struct tn_build *b, int axis, int count, struct tn_value *const *xs) {
  struct tn_node *node = tn_node_make(b, TN_CONCAT, count, xs, 1);
  tn_set_int(node, TN_CONCAT_axis, axis);
  return finish(b, node);
}

struct tn_value *tn_gather(struct tn_build *b, struct tn_value *x, struct tn_value *indices, int axis) {
  struct tn_node *node = tn_node_make(b, TN_GATHER, 2, (struct tn_value *[]){x, indices}, 1);
  tn_set_int(node, TN_GATHER_axis, axis);
  return finish(b, node);
}

/* ---- reductions, contractions -------------------------------------------------------------------------- */

struct tn_value *tn_reduce(struct tn_build *b, enum tn_op op, struct tn_value *x, const int64_t *axes,
                           size_t axis_count, bool keepdims) {
  enum tn_attr_id first = (enum tn_attr_id)tn_op_info(op)->first_attr;
  struct tn_node *node = make1(b, op, x);
  _Static_assert(TN_REDUCE_SUM_keepdims == TN_REDUCE_SUM_axes + 1 &&
                     TN_REDUCE_MAX_keepdims == TN_REDUCE_MAX_axes + 1 &&
                     TN_REDUCE_MIN_keepdims == TN_REDUCE_MIN_axes + 1 &&
                     TN_REDUCE_PROD_keepdims == TN_REDUCE_PROD_axes + 1,
                 "the attributes of reductions come in one order");
  if (!(tn_op_info(op)->flags & TN_REDUCE) || strcmp(tn_attr_info(first)->name, "axes") != 0)
    tn_bug(b->graph->module->ctx, "tn_reduce: %s is no reduction over axes", tn_op_info(op)->name);
  tn_set_ints(node, first, axes, axis_count);
  tn_set_int(node, first + 1, keepdims);
  return finish(b, node);
}

struct tn_value *tn_matmul(struct tn_build *b, struct tn_value *x, struct tn_value *y) {
  return tn_binary(b, TN_MATMUL, x, y);
}
