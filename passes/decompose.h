/* Decompositions: what each composite op means in core ops.
 *
 * A decomposition gets a cursor before the node and returns the value that stands for its only result, of the
 * same type.  It leaves to the guard after a diagnostic when the node asks for what cannot be expressed. */
#ifndef TENON_PASSES_DECOMPOSE_H
#define TENON_PASSES_DECOMPOSE_H

#include "passes/layout.h" /* tn_permute */

typedef struct tn_value *tn_decomposition(struct tn_build *b, struct tn_node *node);

tn_decomposition tn_decompose_softmax; /* and log_softmax */
tn_decomposition tn_decompose_layer_norm;
tn_decomposition tn_decompose_rms_norm;
tn_decomposition tn_decompose_batch_norm;
tn_decomposition tn_decompose_quantize;
tn_decomposition tn_decompose_dequantize;
tn_decomposition tn_decompose_conv_transpose;
tn_decomposition tn_decompose_einsum;

/* The dtype in which a composite float op is computed: f32 for the 16-bit ones. */
enum tn_dtype tn_compute_dtype(enum tn_dtype dtype);
/* A rank-1 value laid along dim `axis` of `rank` dims: [c] -> [1, .., c, .., 1]. */
struct tn_value *tn_along(struct tn_build *b, struct tn_value *x, int rank, int axis);
/* An axis attribute that may count from the end, as 0..rank-1; leaves with an error when it is outside. */
int tn_axis_of(const struct tn_node *node, enum tn_attr_id id, int rank);

#endif
