/* Shape rules: what tn_infer() dispatches to, and what the rules share.  Private to ir/.
 *
 * A rule sets the types of all results of its node, or reports and returns false.  It may bring attributes to
 * their one form (axes to >= 0, reduction axes ascending) and must not depend on the results' present types.
 * Rules run on hostile input: they trust nothing of the attributes. */
#ifndef TENON_IR_SHAPE_H
#define TENON_IR_SHAPE_H

#include "ir/ir.h"

/* A rule for each name in the `shape` column; a forgotten one is a link error. */
#define OP(id, name, min_in, max_in, min_out, max_out, flags, shape, ...) \
  bool tn_shape_##shape(struct tn_node *node);
#define ATTR(...)
#include "ir/ops.def"
#undef OP
#undef ATTR

/* No static tensor is larger, nor is the product of a type's static dims. */
#define TN_MAX_TENSOR_BYTES ((int64_t)1 << 40)

static inline const struct tn_type *tn_in_type(const struct tn_node *node, int i) {
  return &node->in[i]->type;
}
static inline const char *tn_in_name(const struct tn_node *node, int i) {
  return node->in[i]->name;
}
static inline struct tn_module *tn_node_module(const struct tn_node *node) {
  return node->home->module;
}

/* "f32[2x3]", for messages. */
const char *tn_shape_say(const struct tn_node *node, const struct tn_type *type);
const char *tn_shape_say_dim(const struct tn_node *node, tn_dim dim);

/* Checks the type (rank, extents, symbols, bytes) and makes it the type of result i. */
bool tn_shape_result(struct tn_node *node, int i, const struct tn_type *type);

/* Operand classes. */
bool tn_shape_want(const struct tn_node *node, int i, bool fits, const char *wanted); /* reports unless fits */
bool tn_shape_want_float(const struct tn_node *node, int i);
bool tn_shape_want_int(const struct tn_node *node, int i);
bool tn_shape_want_numeric(const struct tn_node *node, int i); /* not bool */
bool tn_shape_want_dtype(const struct tn_node *node, int i, enum tn_dtype dtype);
bool tn_shape_want_same_dtype(const struct tn_node *node, int i, int j);
bool tn_shape_want_rank(const struct tn_node *node, int i, int rank);

/* Reads an axis attribute, -rank .. rank-1, and stores it back as >= 0. */
bool tn_shape_axis(struct tn_node *node, enum tn_attr_id id, int rank, int *axis);
/* Reads an INTS attribute that must have `count` elements, each >= low. */
bool tn_shape_ints(const struct tn_node *node, enum tn_attr_id id, int count, int64_t low, const int64_t **out);
/* Reads an INTS attribute of dims (static or symbols of the module), any number up to TN_MAX_RANK. */
bool tn_shape_dims(const struct tn_node *node, enum tn_attr_id id, int *rank, tn_dim *dims);
bool tn_dim_valid(const struct tn_module *module, tn_dim dim); /* an extent, or a symbol that can be one */

/* Two dims that must be equal: false when both are static and differ; a static one is believed. */
bool tn_dim_same(tn_dim a, tn_dim b, tn_dim *out);
/* Numpy's rule for one dim.  1 gives way; a symbol is taken to equal a static dim other than 1; of two
 * different symbols the larger is the result (right when they are equal or one of them is 1). */
bool tn_dim_broadcast(struct tn_module *module, tn_dim a, tn_dim b, tn_dim *out);
/* Dims of x and y broadcast; reports on operands i and j. */
bool tn_shape_broadcast(const struct tn_node *node, int i, const struct tn_type *x, int j,
                        const struct tn_type *y, struct tn_type *out);
/* A sum, difference ... of dims; false on a static result below zero. */
tn_dim tn_dim_add(struct tn_module *module, tn_dim a, int64_t b);
tn_dim tn_dim_mul(struct tn_module *module, tn_dim a, int64_t b);
/* floor((in - window) / stride) + 1, window and stride >= 1.  False when `in` is static and below window. */
bool tn_dim_windows(struct tn_module *module, tn_dim in, int64_t window, int64_t stride, tn_dim *out);

#endif
