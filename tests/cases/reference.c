/* Plain references for cases whose numbers are too many to write: libm in double, and loops that follow the
 * formula in ops.def.  Nothing of the compiler's own arithmetic is used. */
#include "tests/cases/cases.h"

#include <math.h>

struct job {
  tn_ctx *ctx;
  const struct tn_node *node;
  const struct tn_tensor *const *in;
  const struct tn_tensor *out;
};

/* ---- positions ------------------------------------------------------------------------------------------ */

static int64_t elements(const struct tn_type *t) {
  int64_t count = 1;
  for (int i = 0; i < t->rank; i++)
    count *= t->dim[i];
  return count;
}

static void unflatten(const struct tn_type *t, int64_t at, int64_t *idx) {
  for (int i = t->rank; i-- > 0;) {
    idx[i] = at % t->dim[i];
    at /= t->dim[i];
  }
}

/* Element idx (of a value of `rank` dims) of x, broadcast. */
static double at(const struct tn_tensor *x, const int64_t *idx, int rank) {
  int64_t flat = 0;
  for (int i = 0; i < x->type.rank; i++) {
    int64_t k = x->type.dim[i] == 1 ? 0 : idx[rank - x->type.rank + i];
    flat = flat * x->type.dim[i] + k;
  }
  return tn_tensor_float(x, flat);
}

static void put(const struct job *j, int64_t i, double value) {
  if (tn_dtype_is_float(j->out->type.dtype))
    tn_store_float(j->out->type.dtype, (void *)(uintptr_t)j->out->data, i, value);
  else
    tn_store_int(j->out->type.dtype, (void *)(uintptr_t)j->out->data, i, (int64_t)value);
}

/* ---- elementwise ---------------------------------------------------------------------------------------- */

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double softplus(double x) {
  return log1p(exp(x));
}
static double sign(double x) {
  return x > 0 ? 1 : x < 0 ? -1 : x;
}
static const struct {
  enum tn_op op;
  double (*of)(double x);
} unary[] = {
    {TN_ABS, fabs},    {TN_SIGN, sign},       {TN_CEIL, ceil},         {TN_FLOOR, floor}, {TN_TRUNC, trunc},
    {TN_ROUND, rint},  {TN_SQRT, sqrt},       {TN_EXP, exp},           {TN_LOG, log},     {TN_SIN, sin},
    {TN_COS, cos},     {TN_TAN, tan},         {TN_ASIN, asin},         {TN_ACOS, acos},   {TN_ATAN, atan},
    {TN_SINH, sinh},   {TN_COSH, cosh},       {TN_TANH, tanh},         {TN_ASINH, asinh}, {TN_ACOSH, acosh},
    {TN_ATANH, atanh}, {TN_SIGMOID, sigmoid}, {TN_SOFTPLUS, softplus}, {TN_ERF, erf},
};

static double larger(double x, double y) {
  return isnan(x) || isnan(y) ? (double)NAN : x > y ? x : y;
}
static double smaller(double x, double y) {
  return isnan(x) || isnan(y) ? (double)NAN : x < y ? x : y;
}
static double sum(double x, double y) {
  return x + y;
}
static double difference(double x, double y) {
  return x - y;
}
static double product(double x, double y) {
  return x * y;
}
static double quotient(double x, double y) {
  return x / y;
}
static const struct {
  enum tn_op op;
  double (*of)(double x, double y);
} binary[] = {{TN_ADD, sum}, {TN_SUB, difference}, {TN_MUL, product}, {TN_DIV, quotient},
              {TN_POW, pow}, {TN_FMOD, fmod},      {TN_MAX, larger},  {TN_MIN, smaller}};

static bool elementwise(const struct job *j) {
  int64_t idx[TN_MAX_RANK], count = elements(&j->out->type);
  int rank = j->out->type.rank;
  for (size_t k = 0; k < TN_COUNT(unary); k++)
    if (unary[k].op == j->node->op) {
      for (int64_t i = 0; i < count; i++)
        put(j, i, unary[k].of(tn_tensor_float(j->in[0], i)));
      return true;
    }
  for (size_t k = 0; k < TN_COUNT(binary); k++)
    if (binary[k].op == j->node->op) {
      for (int64_t i = 0; i < count; i++) {
        unflatten(&j->out->type, i, idx);
        put(j, i, binary[k].of(at(j->in[0], idx, rank), at(j->in[1], idx, rank)));
      }
      return true;
    }
  return false;
}

/* ---- sums over dims ------------------------------------------------------------------------------------- */

/* which[d]: dim d of x is reduced; keeps them as 1 or drops them. */
static void reduce(const struct job *j, const struct tn_type *x, const bool *which, double *into, double start,
                   double (*combine)(double a, double b), double (*term)(const struct job *j, int64_t i)) {
  int64_t idx[TN_MAX_RANK], kept = 1;
  for (int d = 0; d < x->rank; d++)
    kept *= which[d] ? 1 : x->dim[d];
  for (int64_t i = 0; i < kept; i++)
    into[i] = start;
  for (int64_t i = 0, count = elements(x); i < count; i++) {
    int64_t to = 0;
    unflatten(x, i, idx);
    for (int d = 0; d < x->rank; d++)
      if (!which[d])
        to = to * x->dim[d] + idx[d];
    into[to] = combine(into[to], term(j, i));
  }
}

static double operand(const struct job *j, int64_t i) {
  return tn_tensor_float(j->in[0], i);
}

static bool reductions(const struct job *j) {
  static const struct {
    enum tn_op op;
    enum tn_attr_id axes;
    double start;
    double (*combine)(double a, double b);
  } rows[] = {{TN_REDUCE_SUM, TN_REDUCE_SUM_axes, 0, sum},
              {TN_REDUCE_PROD, TN_REDUCE_PROD_axes, 1, product},
              {TN_REDUCE_MAX, TN_REDUCE_MAX_axes, -(double)INFINITY, larger},
              {TN_REDUCE_MIN, TN_REDUCE_MIN_axes, (double)INFINITY, smaller}};
  for (size_t r = 0; r < TN_COUNT(rows); r++) {
    if (rows[r].op != j->node->op)
      continue;
    bool which[TN_MAX_RANK] = {false};
    struct tn_ints axes = tn_get_ints(j->node, rows[r].axes);
    for (size_t i = 0; i < axes.count; i++)
      which[axes.at[i] < 0 ? axes.at[i] + j->in[0]->type.rank : axes.at[i]] = true;
    int64_t count = elements(&j->out->type);
    double *into = TN_NEW_ARRAY(tn_ctx_arena(j->ctx), double, count + 1);
    reduce(j, &j->in[0]->type, which, into, rows[r].start, rows[r].combine, operand);
    for (int64_t i = 0; i < count; i++)
      put(j, i, into[i]);
    return true;
  }
  return false;
}

/* Softmax, log-softmax and the norms: every row of dims axis..last, or along one axis. */
static bool rows_of(const struct job *j) {
  enum tn_op op = j->node->op;
  bool soft = op == TN_SOFTMAX, log_soft = op == TN_LOG_SOFTMAX, layer = op == TN_LAYER_NORM;
  if (!soft && !log_soft && !layer && op != TN_RMS_NORM)
    return false;
  const struct tn_type *x = &j->in[0]->type;
  int64_t axis = tn_get_int(j->node, soft       ? TN_SOFTMAX_axis
                                     : log_soft ? TN_LOG_SOFTMAX_axis
                                     : layer    ? TN_LAYER_NORM_axis
                                                : TN_RMS_NORM_axis);
  axis += axis < 0 ? x->rank : 0;
  int64_t inner = 1, length = 1, idx[TN_MAX_RANK], count = elements(x);
  for (int d = (int)axis; d < x->rank; d++)
    (soft || log_soft) && d > axis ? (inner *= x->dim[d]) : (length *= x->dim[d]);
  for (int64_t row = 0; row < count / length; row++) {
    int64_t start = row / inner * inner * length + row % inner;
    double most = -(double)INFINITY, total = 0, mean = 0, square = 0;
    for (int64_t i = 0; i < length; i++)
      most = larger(most, operand(j, start + i * inner));
    for (int64_t i = 0; i < length; i++) {
      total += exp(operand(j, start + i * inner) - most);
      mean += layer ? operand(j, start + i * inner) / (double)length : 0;
    }
    for (int64_t i = 0; i < length; i++)
      square += pow(operand(j, start + i * inner) - mean, 2) / (double)length;
    double epsilon =
        soft || log_soft ? 0 : tn_get_float(j->node, layer ? TN_LAYER_NORM_epsilon : TN_RMS_NORM_epsilon);
    for (int64_t i = 0; i < length; i++) {
      int64_t k = start + i * inner;
      double v = operand(j, k);
      unflatten(x, k, idx);
      if (soft || log_soft)
        v = soft ? exp(v - most) / total : v - most - log(total);
      else
        v = (v - mean) / sqrt(square + epsilon);
      if (!soft && !log_soft && j->node->in_count > 1 && j->in[1])
        v *= at(j->in[1], idx, x->rank);
      if (layer && j->node->in_count > 2 && j->in[2])
        v += at(j->in[2], idx, x->rank);
      put(j, k, v);
    }
  }
  return true;
}

/* ---- contractions and windows --------------------------------------------------------------------------- */

static bool matmul(const struct job *j) {
  int rank = j->out->type.rank;
  int64_t idx[TN_MAX_RANK], a[TN_MAX_RANK], b[TN_MAX_RANK], depth = j->in[0]->type.dim[j->in[0]->type.rank - 1];
  if (j->node->op != TN_MATMUL)
    return false;
  for (int64_t i = 0, count = elements(&j->out->type); i < count; i++) {
    double total = 0;
    unflatten(&j->out->type, i, idx);
    memcpy(a, idx, sizeof a);
    memcpy(b, idx, sizeof b);
    for (int64_t k = 0; k < depth; k++) {
      a[rank - 1] = b[rank - 2] = k;
      total += at(j->in[0], a, rank) * at(j->in[1], b, rank);
    }
    put(j, i, total);
  }
  return true;
}

/* The next position in a box; false after the last. */
static bool step(int64_t *idx, const int64_t *extent, int rank) {
  for (int d = rank; d-- > 0; idx[d] = 0)
    if (++idx[d] < extent[d])
      return true;
  return false;
}

/* x[n, spatial.., c], w[spatial.., c/group, m]: out[n, o.., m] += x[n, o * stride + k * dilation, c] * w[k, c,
 * m]. */
static bool conv(const struct job *j) {
  if (j->node->op != TN_CONV)
    return false;
  const struct tn_type *x = &j->in[0]->type, *w = &j->in[1]->type, *o = &j->out->type;
  struct tn_ints strides = tn_get_ints(j->node, TN_CONV_strides),
                 dilations = tn_get_ints(j->node, TN_CONV_dilations);
  int rank = x->rank, spatial = rank - 2;
  int64_t idx[TN_MAX_RANK], from[TN_MAX_RANK],
      per_group = o->dim[rank - 1] / tn_get_int(j->node, TN_CONV_group);
  for (int64_t i = 0, count = elements(o); i < count; i++) {
    int64_t k[TN_MAX_RANK] = {0}; /* taps, then the channel within the group */
    double total = 0;
    unflatten(o, i, idx);
    do {
      int64_t flat = 0;
      from[0] = idx[0];
      for (int d = 0; d < spatial; d++)
        from[1 + d] = idx[1 + d] * strides.at[d] + k[d] * dilations.at[d];
      from[rank - 1] = idx[rank - 1] / per_group * w->dim[spatial] + k[spatial];
      for (int d = 0; d <= spatial; d++)
        flat = flat * w->dim[d] + k[d];
      total += at(j->in[0], from, rank) * tn_tensor_float(j->in[1], flat * w->dim[spatial + 1] + idx[rank - 1]);
    } while (step(k, w->dim, spatial + 1));
    put(j, i, total);
  }
  return true;
}

/* The same formula scattered: out[n, i * stride + k * dilation - before, m] += x[n, i, c] * w[k, c, m in its
 * group]. */
static bool conv_transpose(const struct job *j) {
  if (j->node->op != TN_CONV_TRANSPOSE)
    return false;
  const struct tn_type *x = &j->in[0]->type, *w = &j->in[1]->type, *o = &j->out->type;
  struct tn_ints strides = tn_get_ints(j->node, TN_CONV_TRANSPOSE_strides);
  struct tn_ints dilations = tn_get_ints(j->node, TN_CONV_TRANSPOSE_dilations);
  struct tn_ints before = tn_get_ints(j->node, TN_CONV_TRANSPOSE_before);
  int rank = x->rank, spatial = rank - 2;
  int64_t idx[TN_MAX_RANK], group = tn_get_int(j->node, TN_CONV_TRANSPOSE_group),
                            in_group = x->dim[rank - 1] / group;
  double *into = TN_NEW_ARRAY(tn_ctx_arena(j->ctx), double, elements(o) + 1);
  for (int64_t i = 0, count = elements(x); i < count; i++) {
    int64_t k[TN_MAX_RANK] = {0}, extent[TN_MAX_RANK];
    unflatten(x, i, idx);
    for (int d = 0; d < spatial; d++)
      extent[d] = w->dim[d];
    extent[spatial] = w->dim[spatial + 1];
    do {
      int64_t to = idx[0], flat = 0;
      bool inside = true;
      for (int d = 0; d < spatial; d++) {
        int64_t at_d = idx[1 + d] * strides.at[d] + k[d] * dilations.at[d] - before.at[d];
        inside = inside && at_d >= 0 && at_d < o->dim[1 + d];
        to = to * o->dim[1 + d] + at_d;
        flat = flat * w->dim[d] + k[d];
      }
      to = to * o->dim[rank - 1] + idx[rank - 1] / in_group * w->dim[spatial + 1] + k[spatial];
      flat = (flat * w->dim[spatial] + idx[rank - 1]) * w->dim[spatial + 1] + k[spatial];
      if (inside)
        into[to] += operand(j, i) * tn_tensor_float(j->in[1], flat);
    } while (step(k, extent, spatial + 1));
  }
  for (int64_t i = 0, count = elements(o); i < count; i++)
    put(j, i, into[i]);
  return true;
}

static bool pool(const struct job *j) {
  if (j->node->op != TN_POOL)
    return false;
  const struct tn_type *x = &j->in[0]->type, *o = &j->out->type;
  struct tn_ints window = tn_get_ints(j->node, TN_POOL_window), strides = tn_get_ints(j->node, TN_POOL_strides);
  struct tn_ints dilations = tn_get_ints(j->node, TN_POOL_dilations),
                 before = tn_get_ints(j->node, TN_POOL_before);
  int64_t kind = tn_get_int(j->node, TN_POOL_kind), idx[TN_MAX_RANK], from[TN_MAX_RANK];
  double start = kind == 0 ? -(double)INFINITY : kind == 1 ? (double)INFINITY : 0;
  for (int64_t i = 0, count = elements(o); i < count; i++) {
    int64_t k[TN_MAX_RANK] = {0};
    double total = start;
    unflatten(o, i, idx);
    do {
      bool inside = true;
      for (int d = 0; d < x->rank; d++) {
        from[d] = idx[d] * strides.at[d] + k[d] * dilations.at[d] - before.at[d];
        inside = inside && from[d] >= 0 && from[d] < x->dim[d];
      }
      if (inside)
        total = (kind == 0 ? larger : kind == 1 ? smaller : sum)(total, at(j->in[0], from, x->rank));
    } while (step(k, window.at, x->rank));
    put(j, i, total);
  }
  return true;
}

/* In the order of the updates; a place outside is left out. */
static bool scatter(const struct job *j) {
  if (j->node->op != TN_SCATTER_ELEMENTS)
    return false;
  const struct tn_type *o = &j->out->type, *u = &j->in[2]->type;
  int64_t axis = tn_get_int(j->node, TN_SCATTER_ELEMENTS_axis), idx[TN_MAX_RANK];
  int64_t how = tn_get_int(j->node, TN_SCATTER_ELEMENTS_reduction); /* none, add, mul, max, min */
  double (*const combine[])(double a, double b) = {NULL, sum, product, larger, smaller};
  axis += axis < 0 ? o->rank : 0;
  for (int64_t i = 0; i < elements(o); i++)
    put(j, i, operand(j, i));
  for (int64_t i = 0; i < elements(u); i++) {
    int64_t to = 0, k = tn_tensor_int(j->in[1], i);
    unflatten(u, i, idx);
    idx[axis] = k < 0 ? k + o->dim[axis] : k;
    if (idx[axis] < 0 || idx[axis] >= o->dim[axis])
      continue;
    for (int d = 0; d < o->rank; d++)
      to = to * o->dim[d] + idx[d];
    double update = tn_tensor_float(j->in[2], i);
    put(j, to, how ? combine[how](tn_tensor_float(j->out, to), update) : update);
  }
  return true;
}

/* Every assignment of the labels: one product, added where the output's labels say. */
static bool einsum(const struct job *j) {
  if (j->node->op != TN_EINSUM)
    return false;
  struct tn_ints labels = tn_get_ints(j->node, TN_EINSUM_labels);
  int64_t name[64], extent[64], k[64] = {0};
  int count = 0, operands = j->node->in_count;
  const int64_t *of[17]; /* rank, labels */
  const int64_t *p = labels.at;
  for (int i = 0; i <= operands; p += 1 + *p, i++) {
    of[i] = p;
    for (int64_t d = 1; d <= *p && i < operands; d++) {
      int known = 0;
      while (known < count && name[known] != p[d])
        known++;
      if (known == count)
        name[count++] = p[d];
      extent[known] =
          j->in[i]->type.dim[d - 1] > 1 || known == count - 1 ? j->in[i]->type.dim[d - 1] : extent[known];
    }
  }
  double *into = TN_NEW_ARRAY(tn_ctx_arena(j->ctx), double, elements(&j->out->type) + 1);
  do {
    double term = 1;
    int64_t to = 0;
    for (int i = 0; i <= operands; i++) {
      int64_t flat = 0;
      for (int64_t d = 1; d <= *of[i]; d++) {
        int at_label = 0;
        while (name[at_label] != of[i][d])
          at_label++;
        const struct tn_type *t = i < operands ? &j->in[i]->type : &j->out->type;
        flat = flat * t->dim[d - 1] + (t->dim[d - 1] == 1 ? 0 : k[at_label]);
      }
      if (i < operands)
        term *= tn_tensor_float(j->in[i], flat);
      else
        to = flat;
    }
    into[to] += term;
  } while (step(k, extent, count));
  for (int64_t i = 0; i < elements(&j->out->type); i++)
    put(j, i, into[i]);
  return true;
}

bool tn_reference(tn_ctx *ctx, const struct tn_node *node, const struct tn_tensor *const *in,
                  const struct tn_tensor *out) {
  struct job j = {ctx, node, in, out};
  return elementwise(&j) || reductions(&j) || rows_of(&j) || matmul(&j) || conv(&j) || conv_transpose(&j) ||
         pool(&j) || einsum(&j) || scatter(&j);
}
