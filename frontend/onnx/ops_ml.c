/* ai.onnx.ml: features (Scaler, Imputer, OneHotEncoder, ...) and linear models.  Trees are in ops_tree.c,
 * support vectors in ops_svm.c. */
#include "frontend/onnx/ml.h"
#include <math.h>
#include <stdio.h>

/* ---- shared -------------------------------------------------------------------------------------------- */

val tn_ml_floats(struct tn_build *b, enum tn_dtype dtype, int rank, const tn_dim *dims, const float *at) {
  val x = tn_constant_bytes(b, tn_type_make(TN_F32, rank, dims), at);
  return tn_cast(b, x, dtype);
}

val tn_ml_rows(struct tn_onnx_node *n, val x) {
  if (x->type.rank == 1)
    return tn_onnx_unsqueeze(n->b, x, 0);
  if (x->type.rank == 2)
    return x;
  tn_onnx_error(n, "'%s' must have the shape [batch, features] or [features], and has %d dimensions", x->name,
                x->type.rank);
  tn_fail_now(module_of(n)->ctx);
}

enum tn_ml_post tn_ml_post_of(struct tn_onnx_node *n) {
  static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  const char *name = tn_onnx_string(n, "post_transform", "NONE");
  for (size_t i = 0; i < TN_COUNT(names); i++)
    if (!strcmp(name, names[i]))
      return (enum tn_ml_post)i;
  tn_onnx_error(n, "post_transform is '%s'; expected NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT", name);
  tn_fail_now(module_of(n)->ctx);
}

/* sqrt(2) * erfinv(2x - 1), by the approximation that runtimes use (Winitzki's, a = 0.147). */
static val probit(struct tn_build *b, val x) {
  val y = sub(b, mul(b, x, num(b, x, 2)), num(b, x, 1)), one = num(b, y, 1);
  val log = tn_unary(b, TN_LOG, mul(b, sub(b, one, y), add(b, one, y)));
  val v = add(b, num(b, y, 2 / (3.14159 * 0.147)), mul(b, log, num(b, y, 0.5)));
  val v2 = mul(b, log, num(b, y, 1 / 0.147));
  val root = tn_unary(b, TN_SQRT, sub(b, tn_unary(b, TN_SQRT, sub(b, mul(b, v, v), v2)), v));
  val sign = tn_select(b, tn_binary(b, TN_LT, y, num(b, y, 0)), num(b, y, -1), one);
  return mul(b, mul(b, sign, root), num(b, y, 1.41421356));
}

/* Softmax in which a score of zero stays (nearly) zero. */
static val softmax_zero(struct tn_build *b, val x) {
  const int64_t last[1] = {x->type.rank - 1};
  val most = tn_reduce(b, TN_REDUCE_MAX, x, last, 1, true);
  val zero = tn_binary(b, TN_LE, tn_unary(b, TN_ABS, x), num(b, x, 1e-7));
  val e = tn_unary(b, TN_EXP, sub(b, x, most));
  val small = mul(b, x, tn_unary(b, TN_EXP, tn_unary(b, TN_NEG, most)));
  val sum = tn_reduce(b, TN_REDUCE_SUM, tn_select(b, zero, num(b, x, 0), e), last, 1, true);
  return quo(b, tn_select(b, zero, small, e), sum);
}

val tn_ml_post(struct tn_build *b, val x, enum tn_ml_post post) {
  switch (post) {
  case TN_ML_SOFTMAX:
    return tn_unary(b, TN_SOFTMAX, x);
  case TN_ML_LOGISTIC:
    return tn_unary(b, TN_SIGMOID, x);
  case TN_ML_SOFTMAX_ZERO:
    return softmax_zero(b, x);
  case TN_ML_PROBIT:
    return probit(b, x);
  case TN_ML_NONE:
    break;
  }
  return x;
}

val tn_ml_both_scores(struct tn_build *b, val x, enum tn_ml_post post, bool complement) {
  val other;
  if (post == TN_ML_PROBIT) {
    x = probit(b, x);
    other = tn_unary(b, TN_NEG, x);
  } else if (post == TN_ML_LOGISTIC) {
    other = tn_unary(b, TN_SIGMOID, tn_unary(b, TN_NEG, x));
    x = tn_unary(b, TN_SIGMOID, x);
  } else {
    other = complement ? sub(b, num(b, x, 1), x) : tn_unary(b, TN_NEG, x);
  }
  return tn_concat(b, 1, 2, (val[]){other, x});
}

struct tn_ints tn_ml_labels(struct tn_onnx_node *n, const char *ints, const char *strings, size_t *count) {
  struct tn_ints labels = {0};
  const char *const *texts;
  size_t texts_count;
  tn_onnx_ints(n, ints, &labels);
  tn_onnx_strings(n, strings, &texts, &texts_count);
  *count = labels.count ? labels.count : texts_count;
  if (labels.count == 0 && texts_count > 0 && n->out_count > 0 && n->out_used[0]) {
    tn_onnx_unsupported(
        n, "its class labels are strings, which Tenon has not; export the model with integer labels, "
           "or without the label as an output");
    tn_fail_now(module_of(n)->ctx);
  }
  return labels;
}

val tn_ml_pick_label(struct tn_onnx_node *n, struct tn_ints labels, val index) {
  bool same = true;
  for (size_t i = 0; i < labels.count; i++)
    same = same && labels.at[i] == (int64_t)i;
  return same ? index : tn_gather(n->b, tn_const_i64s(n->b, labels.at, labels.count), index, 0);
}

val tn_ml_argmax(struct tn_onnx_node *n, val x) {
  struct tn_node *node = tn_node_make(n->b, TN_ARG_MAX, 1, &x, 1);
  tn_set_int(node, TN_ARG_MAX_axis, 1);
  tn_set_int(node, TN_ARG_MAX_keepdims, 0);
  if (!tn_finish(n->b, node))
    tn_fail_now(module_of(n)->ctx);
  return node->out[0];
}

/* ---- features ------------------------------------------------------------------------------------------ */

/* A FLOATS attribute of one element or one for each feature; leaves when it is neither. */
static val per_feature(struct tn_onnx_node *n, const char *name, val x, enum tn_dtype dtype) {
  const float *at;
  size_t count;
  if (!tn_onnx_floats(n, name, &at, &count) || count == 0)
    return NULL;
  tn_dim dim = (tn_dim)count, features = x->type.rank ? x->type.dim[x->type.rank - 1] : 1;
  if (count != 1 && features != dim) {
    tn_onnx_error(n, "attribute %s has %zu elements; expected 1 or one for each of the %s features", name,
                  count, tn_dim_text(module_of(n), features));
    tn_fail_now(module_of(n)->ctx);
  }
  return count == 1 ? tn_onnx_number(n->b, dtype, (double)at[0]) : tn_ml_floats(n->b, dtype, 1, &dim, at);
}

bool tn_onnx_op_scaler(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_cast(b, tn_onnx_need(n, 0, "X"), TN_F32);
  val offset = per_feature(n, "offset", x, TN_F32), scale = per_feature(n, "scale", x, TN_F32);
  if (offset)
    x = sub(b, x, offset);
  n->out[0] = scale ? mul(b, x, scale) : x;
  return true;
}

bool tn_onnx_op_imputer(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), fill, hit;
  if (tn_dtype_is_float(x->type.dtype)) {
    double replaced = tn_onnx_float(n, "replaced_value_float", 0);
    fill = per_feature(n, "imputed_value_floats", x, x->type.dtype);
    hit = isnan(replaced) ? tn_unary(b, TN_ISNAN, x) : tn_binary(b, TN_EQ, x, num(b, x, replaced));
  } else {
    struct tn_ints ints;
    tn_onnx_ints(n, "imputed_value_int64s", &ints);
    fill = ints.count == 0   ? NULL
           : ints.count == 1 ? tn_const_int(b, TN_I64, ints.at[0])
                             : tn_const_i64s(b, ints.at, ints.count);
    if (fill)
      fill = tn_cast(b, fill, x->type.dtype);
    hit = tn_binary(b, TN_EQ, x, tn_const_int(b, x->type.dtype, tn_onnx_int(n, "replaced_value_int64", 0)));
  }
  if (!fill)
    return tn_onnx_error(n, "it has no imputed_value for elements of type %s", tn_dtype_name(x->type.dtype));
  n->out[0] = tn_select(b, hit, fill, x);
  return true;
}

bool tn_onnx_op_normalizer(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_cast(b, tn_onnx_need(n, 0, "X"), TN_F32);
  const char *norm = tn_onnx_string(n, "norm", "MAX");
  if (x->type.rank < 1)
    return tn_onnx_error(n, "X has no dimensions");
  const int64_t last[1] = {x->type.rank - 1};
  val length;
  if (!strcmp(norm, "MAX"))
    length = tn_reduce(b, TN_REDUCE_MAX, x, last, 1, true);
  else if (!strcmp(norm, "L1"))
    length = tn_reduce(b, TN_REDUCE_SUM, tn_unary(b, TN_ABS, x), last, 1, true);
  else if (!strcmp(norm, "L2"))
    length = tn_unary(b, TN_SQRT, tn_reduce(b, TN_REDUCE_SUM, mul(b, x, x), last, 1, true));
  else
    return tn_onnx_error(n, "norm is '%s'; expected MAX, L1 or L2", norm);
  val none = tn_binary(b, TN_EQ, length, num(b, length, 0));
  n->out[0] = quo(b, x, tn_select(b, none, num(b, length, 1), length));
  return true;
}

bool tn_onnx_op_binarizer(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  val above = tn_binary(n->b, TN_GT, x, num(n->b, x, tn_onnx_float(n, "threshold", 0)));
  n->out[0] = tn_cast(n->b, above, x->type.dtype);
  return true;
}

bool tn_onnx_op_feature_vectorizer(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  struct tn_ints widths;
  tn_onnx_ints(n, "inputdimensions", &widths);
  if (n->in_count < 1 || (widths.count && widths.count != (size_t)n->in_count))
    return tn_onnx_error(n, "inputdimensions has %zu elements for %d operands", widths.count, n->in_count);
  val *xs = TN_NEW_ARRAY(n->arena, val, n->in_count);
  for (int i = 0; i < n->in_count; i++) {
    val x = tn_onnx_need(n, i, "X");
    if (x->type.rank > 2) {
      tn_dim rest = tn_onnx_product(module_of(n), x->type.dim + 1, x->type.rank - 1);
      x = tn_reshape(b, x, 2, (tn_dim[]){x->type.dim[0], rest});
    }
    x = tn_cast(b, tn_ml_rows(n, x->type.rank == 0 ? tn_onnx_unsqueeze(b, x, 0) : x), TN_F32);
    if (widths.count) { /* the width asked for: cut, or filled up with zeros */
      int64_t have = tn_onnx_extent(n, x, 1, "X");
      if (have != widths.at[i])
        x = tn_pad(b, x, (int64_t[]){0, 0}, (int64_t[]){0, widths.at[i] - have}, NULL);
    }
    xs[i] = x;
  }
  n->out[0] = n->in_count == 1 ? xs[0] : tn_concat(b, 1, n->in_count, xs);
  return true;
}

bool tn_onnx_op_array_feature_extractor(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), at = tn_onnx_need(n, 1, "Y");
  if (x->type.rank < 1)
    return tn_onnx_error(n, "X has no dimensions");
  tn_dim count = tn_onnx_product(module_of(n), at->type.dim, at->type.rank);
  if (at->type.rank != 1)
    at = tn_reshape(b, at, 1, &count);
  val y = tn_gather(b, x, at, x->type.rank - 1);
  n->out[0] = x->type.rank == 1 ? tn_onnx_unsqueeze(b, y, 0) : y;
  return true;
}

bool tn_onnx_op_one_hot_encoder(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  struct tn_ints cats;
  if (!tn_onnx_ints(n, "cats_int64s", &cats) || cats.count == 0)
    return tn_onnx_unsupported(n, "its categories are strings, which Tenon has not");
  val at = tn_onnx_unsqueeze(b, tn_cast(b, x, TN_I64), x->type.rank);
  n->out[0] = tn_cast(b, tn_binary(b, TN_EQ, at, tn_const_i64s(b, cats.at, cats.count)), TN_F32);
  return true;
}

bool tn_onnx_op_ml_strings(struct tn_onnx_node *n) {
  return tn_onnx_unsupported(n, "it works on strings, which Tenon has not");
}

bool tn_onnx_op_ml_maps(struct tn_onnx_node *n) {
  return tn_onnx_unsupported(n, "it works on maps, which Tenon has not; give it a tensor instead");
}

/* The map's keys are the same for every row and known to whoever has the model: what varies are the scores,
 * which the result stands for. */
bool tn_onnx_op_zip_map(struct tn_onnx_node *n) {
  n->out[0] = tn_onnx_need(n, 0, "X");
  tn_report(module_of(n)->ctx, TN_NOTE, (struct tn_where){module_of(n)->file, n->b->name, n->b->origin},
            "its maps become the tensor of their values [batch, classes], in the order of the class labels");
  return true;
}

/* ---- LabelEncoder -------------------------------------------------------------------------------------- */

/* Keys or values, whichever attribute has them, as a rank-1 constant; NULL after a diagnostic. */
static val encoder_list(struct tn_onnx_node *n, const char *what) {
  char tensor_name[32], ints_name[32], floats_name[32], strings_name[32];
  (void)snprintf(tensor_name, sizeof tensor_name, "%s_tensor", what);
  (void)snprintf(ints_name, sizeof ints_name, "%s_int64s", what);
  (void)snprintf(floats_name, sizeof floats_name, "%s_floats", what);
  (void)snprintf(strings_name, sizeof strings_name, "%s_strings", what);
  struct tn_ints ints;
  const float *floats;
  size_t count;
  if (tn_onnx_has(n, tensor_name))
    return tn_constant(n->b, tn_onnx_tensor(n, tensor_name));
  if (tn_onnx_ints(n, ints_name, &ints) && ints.count)
    return tn_const_i64s(n->b, ints.at, ints.count);
  if (tn_onnx_floats(n, floats_name, &floats, &count) && count) {
    tn_dim dim = (tn_dim)count;
    return tn_ml_floats(n->b, TN_F32, 1, &dim, floats);
  }
  if (tn_onnx_has(n, strings_name) || n->opset < 2)
    tn_onnx_unsupported(n, "its %s are strings, which Tenon has not", what);
  else
    tn_onnx_error(n, "it has no %s", what);
  return NULL;
}

bool tn_onnx_op_label_encoder(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), keys = encoder_list(n, "keys");
  if (!keys)
    return false;
  val values = encoder_list(n, "values");
  if (!values)
    return false;
  if (keys->type.rank != 1 || values->type.rank != 1 || keys->type.dim[0] != values->type.dim[0])
    return tn_onnx_error(n, "it must have as many keys as values, both with one dimension");
  if (keys->type.dtype != x->type.dtype)
    return tn_onnx_error(n, "its keys are of type %s, and its operand of type %s",
                         tn_dtype_name(keys->type.dtype), tn_dtype_name(x->type.dtype));
  enum tn_dtype dtype = values->type.dtype;
  val absent;
  if (tn_onnx_has(n, "default_tensor"))
    absent = tn_onnx_scalar(b, tn_constant(b, tn_onnx_tensor(n, "default_tensor")));
  else if (tn_dtype_is_float(dtype))
    absent = tn_onnx_number(b, dtype, tn_onnx_float(n, "default_float", -0.0));
  else
    absent = tn_const_int(b, dtype, tn_onnx_int(n, "default_int64", -1));
  int last = x->type.rank;
  val each = tn_onnx_unsqueeze(b, x, last);
  val hit = tn_binary(b, TN_EQ, each, keys);
  if (tn_dtype_is_float(x->type.dtype)) /* a nan is found too */
    hit = tn_binary(b, TN_OR, hit,
                    tn_binary(b, TN_AND, tn_unary(b, TN_ISNAN, each), tn_unary(b, TN_ISNAN, keys)));
  hit = tn_cast(b, hit, TN_I32);
  struct tn_node *first = tn_node_make(b, TN_ARG_MAX, 1, &hit, 1);
  tn_set_int(first, TN_ARG_MAX_axis, last);
  tn_set_int(first, TN_ARG_MAX_keepdims, 0);
  if (!tn_finish(b, first))
    return false;
  val any = tn_cast(b, tn_reduce(b, TN_REDUCE_MAX, hit, (int64_t[]){last}, 1, false), TN_BOOL);
  n->out[0] = tn_select(b, any, tn_gather(b, values, first->out[0], 0), absent);
  return true;
}

/* ---- linear models ------------------------------------------------------------------------------------- */

/* x * coefficients^T + intercepts: [batch, targets]. */
static val linear(struct tn_onnx_node *n, val x, int64_t targets) {
  struct tn_build *b = n->b;
  const float *coefficients, *intercepts;
  size_t count, intercept_count;
  tn_onnx_floats(n, "coefficients", &coefficients, &count);
  tn_onnx_floats(n, "intercepts", &intercepts, &intercept_count);
  int64_t features = tn_onnx_extent(n, x, 1, "X");
  if (targets < 1 || features < 1 || (int64_t)count / targets != features || (int64_t)count % targets ||
      (intercept_count && (int64_t)intercept_count != targets)) {
    tn_onnx_error(n, "it has %zu coefficients and %zu intercepts for %lld targets of %lld features", count,
                  intercept_count, (long long)targets, (long long)features);
    tn_fail_now(module_of(n)->ctx);
  }
  val w = tn_ml_floats(b, TN_F32, 2, (tn_dim[]){targets, features}, coefficients);
  val y = tn_matmul(b, tn_cast(b, x, TN_F32), tn_transpose(b, w, (int64_t[]){1, 0}));
  return intercept_count ? add(b, y, tn_ml_floats(b, TN_F32, 1, &targets, intercepts)) : y;
}

bool tn_onnx_op_linear_regressor(struct tn_onnx_node *n) {
  val x = tn_ml_rows(n, tn_onnx_need(n, 0, "X"));
  n->out[0] = tn_ml_post(n->b, linear(n, x, tn_onnx_int(n, "targets", 1)), tn_ml_post_of(n));
  return true;
}

bool tn_onnx_op_linear_classifier(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_ml_rows(n, tn_onnx_need(n, 0, "X"));
  size_t label_count, intercepts;
  const float *at;
  struct tn_ints labels = tn_ml_labels(n, "classlabels_ints", "classlabels_strings", &label_count);
  tn_onnx_floats(n, "intercepts", &at, &intercepts);
  int64_t targets = intercepts ? (int64_t)intercepts : (int64_t)label_count;
  enum tn_ml_post post = tn_ml_post_of(n);
  val scores = linear(n, x, targets), index;
  if (targets == 1) { /* one score decides between two classes */
    val above = tn_binary(b, TN_GT, tn_onnx_squeeze(b, scores, 1), num(b, scores, 0));
    index = tn_cast(b, above, TN_I64);
  } else {
    index = tn_ml_argmax(n, scores);
  }
  if (labels.count && (targets == 1 ? labels.count != 2 : (int64_t)labels.count != targets))
    return tn_onnx_error(n, "it has %zu class labels for %lld scores", labels.count, (long long)targets);
  n->out[0] = labels.count ? tn_ml_pick_label(n, labels, index) : index;
  if (n->out_count > 1)
    n->out[1] = targets == 1 && label_count == 2 ? tn_ml_both_scores(b, scores, post, true)
                                                 : tn_ml_post(b, scores, post);
  return true;
}
