/* ai.onnx.ml: support vector machines, as LIBSVM trains them.
 *
 * A classifier of several classes decides between each pair of them (i, j), i < j, in the order (0, 1), (0, 2),
 * ..; the kernels of a class's own vectors weigh with row j - 1 of the coefficients, those of the other's with
 * row i, so that all decisions together are one product with a matrix [vectors, pairs] that is known now. */
#include "frontend/onnx/loop.h"
#include "frontend/onnx/ml.h"

enum { MAX_CLASSES = 1024 };

/* The attribute, which must have `count` elements; leaves when it has not. */
static const float *floats_of(struct tn_onnx_node *n, const char *name, size_t count) {
  const float *at;
  size_t have;
  tn_onnx_floats(n, name, &at, &have);
  if (have != count) {
    tn_onnx_error(n, "attribute %s has %zu elements; expected %zu", name, have, count);
    tn_fail_now(module_of(n)->ctx);
  }
  return at;
}

/* x to the power of `degree` for a degree that libraries give by default; else by pow. */
static val power(struct tn_build *b, val x, double degree) {
  if (degree == 1)
    return x;
  if (degree == 2)
    return mul(b, x, x);
  if (degree == 3)
    return mul(b, mul(b, x, x), x);
  return tn_binary(b, TN_POW, x, num(b, x, degree));
}

/* The kernel of each row of x [batch, features] with each of the vectors: [batch, vectors]. */
static val kernel_of(struct tn_onnx_node *n, val x, const float *vectors, int64_t count, int64_t features,
                     const char *type) {
  struct tn_build *b = n->b;
  const float *params;
  size_t param_count;
  tn_onnx_floats(n, "kernel_params", &params, &param_count);
  bool linear = !strcmp(type, "LINEAR"), radial = !strcmp(type, "RBF"), poly = !strcmp(type, "POLY");
  if (!linear && !radial && !poly && strcmp(type, "SIGMOID") != 0) {
    tn_onnx_error(n, "kernel_type is '%s'; expected LINEAR, POLY, RBF or SIGMOID", type);
    tn_fail_now(module_of(n)->ctx);
  }
  if (!linear && param_count != 3) {
    tn_onnx_error(n, "kernel_params has %zu elements; expected gamma, coef0 and degree", param_count);
    tn_fail_now(module_of(n)->ctx);
  }
  val v = tn_ml_floats(b, TN_F32, 2, (tn_dim[]){count, features}, vectors);
  v = tn_transpose(b, v, (int64_t[]){1, 0});
  if (radial) {
    val d = sub(b, tn_onnx_unsqueeze(b, x, 2), v);
    val sum = tn_reduce(b, TN_REDUCE_SUM, mul(b, d, d), (int64_t[]){1}, 1, false);
    return tn_unary(b, TN_EXP, mul(b, sum, num(b, sum, -(double)params[0])));
  }
  val dot = tn_matmul(b, x, v);
  if (linear)
    return dot;
  dot = add(b, mul(b, dot, num(b, dot, (double)params[0])), num(b, dot, (double)params[1]));
  return poly ? power(b, dot, (double)params[2]) : tn_unary(b, TN_TANH, dot);
}

/* Operand 0 as f32 [batch, features], whose features must be as many as `expected`. */
static val rows_of(struct tn_onnx_node *n, int64_t expected) {
  val x = tn_cast(n->b, tn_ml_rows(n, tn_onnx_need(n, 0, "X")), TN_F32);
  int64_t features = tn_onnx_extent(n, x, 1, "X");
  if (features != expected || features < 1) {
    tn_onnx_error(n, "X has %lld features; the model has vectors of %lld", (long long)features,
                  (long long)expected);
    tn_fail_now(module_of(n)->ctx);
  }
  return x;
}

bool tn_onnx_op_svm_regressor(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  const float *vectors, *coefficients;
  size_t vector_size, size;
  tn_onnx_floats(n, "support_vectors", &vectors, &vector_size);
  tn_onnx_floats(n, "coefficients", &coefficients, &size);
  int64_t count = tn_onnx_int(n, "n_supports", 0);
  const float *rho = floats_of(n, "rho", 1);
  if (count < 0 || size == 0 || (count > 0 && (size != (size_t)count || vector_size % size != 0)))
    return tn_onnx_error(n, "it has %zu coefficients and support_vectors of %zu elements for n_supports %lld",
                         size, vector_size, (long long)count);
  int64_t features = count ? (int64_t)vector_size / count : (int64_t)size;
  val x = rows_of(n, features), y;
  if (count) {
    val k = kernel_of(n, x, vectors, count, features, tn_onnx_string(n, "kernel_type", "LINEAR"));
    y = tn_matmul(b, k, tn_ml_floats(b, TN_F32, 2, (tn_dim[]){count, 1}, coefficients));
  } else {
    y = kernel_of(n, x, coefficients, 1, features, "LINEAR");
  }
  y = add(b, y, num(b, y, (double)rho[0]));
  if (tn_onnx_int(n, "one_class", 0))
    y = tn_select(b, tn_binary(b, TN_GT, y, num(b, y, 0)), num(b, y, 1), num(b, y, -1));
  n->out[0] = y;
  return true;
}

/* ---- probabilities of the classes -------------------------------------------------------------------------
 */

/* The classes' probabilities p [batch, classes] from r [batch, pairs], the probability that the first class of
 * a pair is meant when one of them is: the minimum of sum over i != j of (r_ji p_i - r_ij p_j)^2, i.e. p Q p,
 * by the iteration of T.-F. Wu, C.-J. Lin and R. C. Weng, "Probability estimates for multi-class classification
 * by pairwise coupling" (2004), algorithm 2, which stops early: results depend on where.  A row that has
 * stopped stays. */
static val couple(struct tn_onnx_node *n, val r, int64_t classes) {
  struct tn_build *b = n->b;
  tn_dim batch = r->type.dim[0];
  int64_t pairs = classes * (classes - 1) / 2;
  const int64_t last[1] = {1}, last2[1] = {2};
  /* r_ji at [j][i]: of r, of 1 - r, or zero on the diagonal */
  int64_t *place = TN_NEW_ARRAY(n->arena, int64_t, classes *classes);
  float *eye = TN_NEW_ARRAY(n->arena, float, classes *classes);
  for (int64_t i = 0, pair = 0; i < classes; i++) {
    place[i * classes + i] = 2 * pairs;
    eye[i * classes + i] = 1;
    for (int64_t j = i + 1; j < classes; j++, pair++) {
      place[i * classes + j] = pairs + pair; /* at [i][j]: r_ji */
      place[j * classes + i] = pair;
    }
  }
  val zero = tn_onnx_full(b, num(b, r, 0), 2, (tn_dim[]){batch, 1});
  val all = tn_concat(b, 1, 3, (val[]){r, sub(b, num(b, r, 1), r), zero});
  val t = tn_gather(b, all, tn_const_i64s(b, place, (size_t)(classes * classes)), 1);
  t = tn_reshape(b, t, 3, (tn_dim[]){batch, classes, classes}); /* [i][j]: r_ji */
  val diagonal = tn_reduce(b, TN_REDUCE_SUM, mul(b, t, t), last2, 1, false);
  val cross = mul(b, t, tn_transpose(b, t, (int64_t[]){0, 2, 1}));
  val unit = tn_ml_floats(b, TN_F32, 2, (tn_dim[]){classes, classes}, eye);
  val q = sub(b, mul(b, tn_onnx_unsqueeze(b, diagonal, 2), unit), cross);

  val start = tn_onnx_full(b, num(b, r, 1.0 / (double)classes), 2, (tn_dim[]){batch, classes}), p, result;
  struct tn_onnx_loop outer, inner;
  tn_onnx_loop_open(n, tn_const_int(b, TN_I64, 100),
                    tn_constant_bytes(b, tn_type_scalar(TN_BOOL), &(uint8_t){1}), 1, &start, 0, &outer, &p);
  struct tn_build *o = &outer.b;
  val qp = tn_reduce(o, TN_REDUCE_SUM, mul(o, q, tn_onnx_unsqueeze(o, p, 1)), last2, 1, false);
  val pqp = tn_reduce(o, TN_REDUCE_SUM, mul(o, p, qp), last, 1, true);
  val error = tn_reduce(o, TN_REDUCE_MAX, tn_unary(o, TN_ABS, sub(o, qp, pqp)), last, 1, true);
  val going = tn_binary(o, TN_GE, error, num(o, error, (double)(0.005F / (float)classes)));

  /* each class's probability in turn, then all are scaled to sum to one again */
  val carried[3] = {p, qp, pqp}, next[3], ends[3];
  struct tn_build *home = n->b;
  n->b = o;
  tn_onnx_loop_count(n, classes, 3, carried, 0, &inner, next);
  struct tn_build *s = &inner.b;
  val row = tn_onnx_element(s, q, inner.iteration, 1); /* [batch, classes] */
  val one = tn_onnx_element(s, unit, inner.iteration, 0);
  val own = tn_onnx_unsqueeze(s, tn_onnx_element(s, diagonal, inner.iteration, 1), 1);
  val qp_own = tn_onnx_unsqueeze(s, tn_onnx_element(s, next[1], inner.iteration, 1), 1);
  val step = quo(s, sub(s, next[2], qp_own), own), whole = add(s, step, num(s, step, 1));
  val change = mul(s, step, add(s, mul(s, step, own), mul(s, qp_own, num(s, step, 2))));
  ends[0] = quo(s, add(s, next[0], mul(s, step, one)), whole);
  ends[1] = quo(s, add(s, next[1], mul(s, step, row)), whole);
  ends[2] = quo(s, quo(s, add(s, next[2], change), whole), whole);
  tn_onnx_loop_close(n, &inner, classes, NULL, 3, ends, 0, NULL, next);
  n->b = home;

  val after = tn_select(o, going, next[0], p);
  val any = tn_reduce(o, TN_REDUCE_MAX, tn_cast(o, going, TN_I32), (int64_t[]){0, 1}, 2, false);
  tn_onnx_loop_close(n, &outer, -1, tn_cast(o, any, TN_BOOL), 1, &after, 0, NULL, &result);
  return result;
}

/* ---- SVMClassifier ----------------------------------------------------------------------------------------
 */

/* What decides between pairs of classes. */
struct pairs {
  int64_t classes, pairs, vectors;
  struct tn_ints per_class;
  const float *coefficients; /* [classes - 1, vectors] */
};

/* [vectors, pairs] from the coefficients; see the top. */
static val pair_weights(struct tn_onnx_node *n, const struct pairs *p) {
  float *w = TN_NEW_ARRAY(n->arena, float, p->vectors * p->pairs);
  int64_t *start = TN_NEW_ARRAY(n->arena, int64_t, p->classes + 1);
  for (int64_t i = 0; i < p->classes; i++)
    start[i + 1] = start[i] + p->per_class.at[i];
  for (int64_t i = 0, pair = 0; i < p->classes; i++)
    for (int64_t j = i + 1; j < p->classes; j++, pair++) {
      for (int64_t m = start[i]; m < start[i + 1]; m++)
        w[m * p->pairs + pair] = p->coefficients[(j - 1) * p->vectors + m];
      for (int64_t m = start[j]; m < start[j + 1]; m++)
        w[m * p->pairs + pair] = p->coefficients[i * p->vectors + m];
    }
  return tn_ml_floats(n->b, TN_F32, 2, (tn_dim[]){p->vectors, p->pairs}, w);
}

/* The class that wins the most of the decisions [batch, pairs], the first of equals: i64 [batch]. */
static val most_votes(struct tn_onnx_node *n, val decisions, const struct pairs *p) {
  struct tn_build *b = n->b;
  /* a vote for the first class is one less for the second, which has had all of its own to begin with */
  float *w = TN_NEW_ARRAY(n->arena, float, p->pairs * p->classes),
        *before = TN_NEW_ARRAY(n->arena, float, p->classes);
  for (int64_t i = 0, pair = 0; i < p->classes; i++)
    for (int64_t j = i + 1; j < p->classes; j++, pair++) {
      w[pair * p->classes + i] = 1;
      w[pair * p->classes + j] = -1;
      before[j] += 1;
    }
  val first = tn_cast(b, tn_binary(b, TN_GT, decisions, num(b, decisions, 0)), TN_F32);
  val votes = tn_matmul(b, first, tn_ml_floats(b, TN_F32, 2, (tn_dim[]){p->pairs, p->classes}, w));
  return tn_ml_argmax(n, add(b, votes, tn_ml_floats(b, TN_F32, 1, (tn_dim[]){p->classes}, before)));
}

/* One score a class, by LIBLINEAR. */
static bool linear_classes(struct tn_onnx_node *n, struct tn_ints labels, int64_t classes) {
  struct tn_build *b = n->b;
  const float *coefficients, *rho;
  size_t size, rho_count, proba;
  tn_onnx_floats(n, "coefficients", &coefficients, &size);
  tn_onnx_floats(n, "rho", &rho, &rho_count);
  tn_onnx_floats(n, "prob_a", &(const float *){NULL}, &proba);
  if (size == 0 || size % (size_t)classes != 0 || rho_count < 1)
    return tn_onnx_error(n, "it has %zu coefficients and %zu rho for %lld classes", size, rho_count,
                         (long long)classes);
  int64_t features = (int64_t)size / classes;
  val scores = kernel_of(n, rows_of(n, features), coefficients, classes, features, "LINEAR");
  scores = add(b, scores, num(b, scores, (double)rho[0]));
  val index = tn_ml_argmax(n, scores);
  if (classes == 2 && !proba) { /* the larger score alone decides for the second class */
    bool positive = true;
    for (size_t i = 0; i < size; i++)
      positive = positive && coefficients[i] >= 0;
    val most = tn_reduce(b, TN_REDUCE_MAX, scores, (int64_t[]){1}, 1, false);
    val second =
        positive ? tn_binary(b, TN_GE, most, num(b, most, 0.5)) : tn_binary(b, TN_GT, most, num(b, most, 0));
    index = tn_select(b, second, tn_const_int(b, TN_I64, 1), index);
  }
  n->out[0] = labels.count ? tn_ml_pick_label(n, labels, index) : index;
  if (n->out_count > 1)
    n->out[1] = classes > 1 ? tn_ml_post(b, scores, tn_ml_post_of(n)) : scores;
  return true;
}

bool tn_onnx_op_svm_classifier(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  size_t label_count, vector_size, proba;
  const float *vectors;
  struct tn_ints labels = tn_ml_labels(n, "classlabels_ints", "classlabels_strings", &label_count);
  struct pairs p = {.classes = (int64_t)label_count};
  tn_onnx_ints(n, "vectors_per_class", &p.per_class);
  tn_onnx_floats(n, "support_vectors", &vectors, &vector_size);
  tn_onnx_floats(n, "prob_a", &(const float *){NULL}, &proba);
  if (p.classes < 1 || p.classes > MAX_CLASSES)
    return tn_onnx_error(n, "it has %lld class labels; expected 1 to %d", (long long)p.classes, MAX_CLASSES);
  for (size_t i = 0; i < p.per_class.count; i++) {
    if (p.per_class.at[i] < 0 || p.per_class.at[i] > (int64_t)vector_size)
      return tn_onnx_error(n, "vectors_per_class has the element %lld", (long long)p.per_class.at[i]);
    p.vectors += p.per_class.at[i];
  }
  if (p.vectors == 0)
    return linear_classes(n, labels, p.classes);
  if (p.classes < 2 || p.per_class.count != label_count || vector_size % (size_t)p.vectors != 0)
    return tn_onnx_error(n, "it has %zu class labels, %zu vectors_per_class and %zu elements of %lld vectors",
                         label_count, p.per_class.count, vector_size, (long long)p.vectors);
  p.pairs = p.classes * (p.classes - 1) / 2;
  p.coefficients = floats_of(n, "coefficients", (size_t)((p.classes - 1) * p.vectors));
  int64_t features = (int64_t)vector_size / p.vectors;
  tn_dim pairs = p.pairs;
  val x = rows_of(n, features);
  val k = kernel_of(n, x, vectors, p.vectors, features, tn_onnx_string(n, "kernel_type", "LINEAR"));
  val rho = tn_ml_floats(b, TN_F32, 1, &pairs, floats_of(n, "rho", (size_t)p.pairs));
  val scores = add(b, tn_matmul(b, k, pair_weights(n, &p)), rho);
  val index = most_votes(n, scores, &p);
  n->out[0] = labels.count ? tn_ml_pick_label(n, labels, index) : index;
  if (n->out_count < 2)
    return true;
  enum tn_ml_post post = tn_ml_post_of(n);
  if (proba) {
    val slope = tn_ml_floats(b, TN_F32, 1, &pairs, floats_of(n, "prob_a", (size_t)p.pairs));
    val offset = tn_ml_floats(b, TN_F32, 1, &pairs, floats_of(n, "prob_b", (size_t)p.pairs));
    val r = tn_unary(b, TN_SIGMOID, tn_unary(b, TN_NEG, add(b, mul(b, scores, slope), offset)));
    n->out[1] = tn_ml_post(b, couple(n, tn_onnx_clip(b, r, 1e-7, 1 - 1e-7), p.classes), post);
  } else if (p.pairs == 1) {
    n->out[1] = post == TN_ML_PROBIT ? tn_ml_both_scores(b, scores, post, true)
                                     : tn_ml_both_scores(b, scores, TN_ML_NONE, post != TN_ML_NONE);
  } else {
    n->out[1] = tn_ml_post(b, scores, post);
  }
  return true;
}
