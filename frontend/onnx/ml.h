/* What the mappings of ai.onnx.ml share. */
#ifndef TENON_FRONTEND_ONNX_ML_H
#define TENON_FRONTEND_ONNX_ML_H

#include "frontend/onnx/common.h"

enum tn_ml_post { TN_ML_NONE, TN_ML_SOFTMAX, TN_ML_LOGISTIC, TN_ML_SOFTMAX_ZERO, TN_ML_PROBIT };

/* The attribute post_transform, a string. */
enum tn_ml_post tn_ml_post_of(struct tn_onnx_node *n);
/* x [batch, targets] after the transform. */
val tn_ml_post(struct tn_build *b, val x, enum tn_ml_post post);
/* The one score [batch, 1] of a decision between two classes as the scores of both.  complement: the other's is
 * 1 - x, else -x; with LOGISTIC both are the function of x and -x, whichever. */
val tn_ml_both_scores(struct tn_build *b, val x, enum tn_ml_post post, bool complement);
/* Operand 0 as [batch, features]: one dimension is one row. */
val tn_ml_rows(struct tn_onnx_node *n, val x);
/* Class labels of a classifier, of whichever kind; leaves when labels are strings and result 0 is used. */
struct tn_ints tn_ml_labels(struct tn_onnx_node *n, const char *ints, const char *strings, size_t *count);
/* labels[index] as i64; index: i64 [batch]. */
val tn_ml_pick_label(struct tn_onnx_node *n, struct tn_ints labels, val index);
/* Where the largest of x [batch, classes] is: i64 [batch]; the first of equals. */
val tn_ml_argmax(struct tn_onnx_node *n, val x);
/* FLOATS attribute as a constant of the dtype and shape. */
val tn_ml_floats(struct tn_build *b, enum tn_dtype dtype, int rank, const tn_dim *dims, const float *at);

#endif
