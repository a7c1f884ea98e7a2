/* Resize and Upsample.  Interpolation is separable: axis by axis, each output place is a weighted sum of a few
 * input places, both known at compile time.  So an axis becomes gathers with constant indices times constant
 * weights, or, where many places take part (antialias), a product with a constant matrix. */
#include "frontend/onnx/common.h"

#include <math.h>

enum coordinate {
  HALF_PIXEL,
  HALF_PIXEL_SYMMETRIC,
  PYTORCH_HALF_PIXEL,
  ALIGN_CORNERS,
  ASYMMETRIC,
  TF_HALF_PIXEL,
  TF_CROP
};
enum method { NEAREST, LINEAR, CUBIC };
enum rounding { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_FLOOR, ROUND_CEIL };

struct resize {
  enum coordinate coordinate;
  enum method method;
  enum rounding rounding;
  bool antialias, exclude_outside;
  double cubic_a, extrapolation;
};

/* One axis: `in` places become `out`. */
struct axis {
  int64_t in, out;   /* < 0: a symbol, which stays */
  double scale;      /* out / in before rounding */
  double start, end; /* of the crop, in parts of the whole */
};

static int one_of(struct tn_onnx_node *n, const char *what, const char *name, const char *const *names,
                  int count) {
  for (int i = 0; i < count; i++)
    if (!strcmp(names[i], name))
      return i;
  tn_onnx_unsupported(n, "attribute %s '%s' is not known", what, name);
  tn_fail_now(module_of(n)->ctx);
}

/* Where output place i lies in the input.  Rounded to float, as which scales are given: what should be a whole
 * number then is one. */
static double source_of(const struct resize *r, const struct axis *a, int64_t i) {
  double wide = a->scale * (double)a->in, at = (double)i, in = (double)a->in;
  double half = (at + 0.5) / a->scale - 0.5, x = half;
  switch (r->coordinate) {
  case HALF_PIXEL:
    break;
  case HALF_PIXEL_SYMMETRIC:
    x = in / 2 * (1 - (double)a->out / wide) + half;
    break;
  case PYTORCH_HALF_PIXEL:
    x = wide == 1 ? -0.5 : half;
    break;
  case ALIGN_CORNERS:
    x = wide == 1 ? 0 : at * (in - 1) / (wide - 1);
    break;
  case ASYMMETRIC:
    x = at / a->scale;
    break;
  case TF_HALF_PIXEL:
    x = (at + 0.5) / a->scale;
    break;
  case TF_CROP:
    x = wide == 1 ? (a->end - a->start) * (in - 1) / 2 : at * (a->end - a->start) * (in - 1) / (wide - 1);
    x += a->start * (in - 1);
    break;
  }
  return (double)(float)x;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

static int64_t nearest(enum rounding rounding, double x) {
  switch (rounding) {
  case ROUND_PREFER_FLOOR:
    return (int64_t)ceil(x - 0.5);
  case ROUND_PREFER_CEIL:
    return (int64_t)floor(x + 0.5);
  case ROUND_FLOOR:
    return (int64_t)floor(x);
  default:
    return (int64_t)ceil(x);
  }
}

static double cubic(double a, double x) {
  x = fabs(x);
  if (x <= 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Input places that take part in one output place. */
static int64_t taps_of(const struct resize *r, const struct axis *a) {
  double reach = r->method == LINEAR ? 1 : 2;
  if (r->antialias && a->scale < 1)
    reach = reach / a->scale;
  return 2 - 2 * ((int64_t)floor(-reach) + 1);
}

/* Weights of the places first .. first + taps - 1 (those outside stand for the edge). */
static void weights_of(const struct resize *r, const struct axis *a, double x, int64_t taps, int64_t *first,
                       double *weight) {
  double floor_x = floor(x), shrink = r->antialias && a->scale < 1 ? a->scale : 1, sum = 0;
  *first = (int64_t)floor_x + 1 - taps / 2;
  for (int64_t t = 0; t < taps; t++) {
    double distance = ((double)(*first + t) - x) * shrink;
    bool outside = *first + t < 0 || *first + t >= a->in;
    double w = r->method == CUBIC ? cubic(r->cubic_a, distance) : fabs(distance) < 1 ? 1 - fabs(distance) : 0;
    weight[t] = outside && r->exclude_outside ? 0 : w;
    sum += weight[t];
  }
  for (int64_t t = 0; t < taps; t++)
    weight[t] /= sum;
}

static val nearest_axis(struct tn_onnx_node *n, val x, int d, const struct resize *r, const struct axis *a) {
  int64_t *at = TN_NEW_ARRAY(n->arena, int64_t, a->out + 1);
  for (int64_t i = 0; i < a->out; i++)
    at[i] = clamp(nearest(r->rounding, source_of(r, a, i)), 0, a->in - 1);
  return tn_gather(n->b, x, tn_const_i64s(n->b, at, (size_t)a->out), d);
}

/* At most 4 taps: a gather for each, times its weights. */
static val gathered_axis(struct tn_onnx_node *n, val x, int d, const struct resize *r, const struct axis *a,
                         int64_t taps) {
  struct tn_build *b = n->b;
  int64_t *at = TN_NEW_ARRAY(n->arena, int64_t, a->out *taps + 1), first; /* [taps, out] */
  double *weight = TN_NEW_ARRAY(n->arena, double, taps);
  bool idle[4] = {true, true, true, true}; /* no weight but 0 anywhere */
  char *weights = tn_alloc(n->arena, (size_t)(a->out * taps) * sizeof(double) + 1); /* [taps, out] */
  size_t row = (size_t)a->out * tn_dtype_size(x->type.dtype);
  for (int64_t i = 0; i < a->out; i++) {
    weights_of(r, a, source_of(r, a, i), taps, &first, weight);
    for (int64_t t = 0; t < taps; t++) {
      at[t * a->out + i] = clamp(first + t, 0, a->in - 1);
      tn_store_float(x->type.dtype, weights, t * a->out + i, weight[t]);
      idle[t] = idle[t] && weight[t] == 0;
    }
  }
  val sum = NULL;
  for (int64_t t = 0; t < taps; t++) {
    if (idle[t])
      continue;
    val w = tn_constant_bytes(b, tn_type_make(x->type.dtype, 1, &a->out), weights + (size_t)t * row);
    val part = tn_gather(b, x, tn_const_i64s(b, at + t * a->out, (size_t)a->out), d);
    part = mul(b, part, tn_onnx_along(b, w, d, x->type.rank));
    sum = sum ? add(b, sum, part) : part;
  }
  return sum ? sum : tn_gather(b, x, tn_const_i64s(b, at, 0), d); /* nothing is asked for */
}

/* Many taps: x moved to [..., in] times a matrix [in, out]. */
static val multiplied_axis(struct tn_onnx_node *n, val x, int d, const struct resize *r, const struct axis *a,
                           int64_t taps) {
  struct tn_build *b = n->b;
  int rank = x->type.rank;
  double *weight = TN_NEW_ARRAY(n->arena, double, taps), *sums = TN_NEW_ARRAY(n->arena, double, a->in * a->out);
  char *matrix = tn_alloc(n->arena, (size_t)(a->in * a->out) * sizeof(double) + 1);
  for (int64_t i = 0; i < a->out; i++) {
    int64_t first;
    weights_of(r, a, source_of(r, a, i), taps, &first, weight);
    for (int64_t t = 0; t < taps; t++)
      sums[clamp(first + t, 0, a->in - 1) * a->out + i] += weight[t];
  }
  for (int64_t i = 0; i < a->in * a->out; i++)
    tn_store_float(x->type.dtype, matrix, i, sums[i]);
  val m = tn_constant_bytes(b, tn_type_make(x->type.dtype, 2, (tn_dim[]){a->in, a->out}), matrix);
  x = tn_onnx_move_dim(b, x, d, rank - 1);
  if (rank == 1)
    return tn_onnx_squeeze(b, tn_matmul(b, tn_onnx_unsqueeze(b, x, 0), m), 0);
  return tn_onnx_move_dim(b, tn_matmul(b, x, m), rank - 1, d);
}

/* Places outside the operand take the extrapolation value (tf_crop_and_resize). */
static val extrapolated(struct tn_onnx_node *n, val y, int d, const struct resize *r, const struct axis *a) {
  uint8_t *inside = TN_NEW_ARRAY(n->arena, uint8_t, a->out + 1);
  bool all = true;
  for (int64_t i = 0; i < a->out; i++) {
    double x = source_of(r, a, i);
    inside[i] = x >= 0 && x <= (double)(a->in - 1);
    all = all && inside[i];
  }
  if (all)
    return y;
  val mask = tn_constant_bytes(n->b, tn_type_make(TN_BOOL, 1, &a->out), inside);
  return tn_select(n->b, tn_onnx_along(n->b, mask, d, y->type.rank), y, num(n->b, y, r->extrapolation));
}

static val resize(struct tn_onnx_node *n, val x, const struct resize *r, const struct axis *axes) {
  struct tn_build *b = n->b;
  enum tn_dtype dtype = x->type.dtype;
  bool cropped = r->coordinate == TF_CROP;
  if (r->method != NEAREST)
    x = tn_cast(b, x, tn_dtype_is_float(dtype) ? wide_of(dtype) : TN_F32);
  for (int d = 0; d < x->type.rank; d++) {
    const struct axis *a = &axes[d];
    if (a->out == a->in && a->scale == 1 && (!cropped || (a->start == 0 && a->end == 1)))
      continue;
    if (r->method == NEAREST) {
      x = nearest_axis(n, x, d, r, a);
      continue;
    }
    int64_t taps = taps_of(r, a);
    x = taps <= 4 ? gathered_axis(n, x, d, r, a, taps) : multiplied_axis(n, x, d, r, a, taps);
  }
  for (int d = 0; cropped && d < x->type.rank; d++)
    x = extrapolated(n, x, d, r, &axes[d]);
  return tn_cast(b, x, dtype);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

/* A dim that is a symbol can only stay as it is. */
static void check_axis(struct tn_onnx_node *n, struct axis *a, int d) {
  if (a->in < 0 && a->scale == 1) {
    a->out = a->in;
    return;
  }
  if (a->in < 0)
    tn_onnx_extent(n, n->in[0], d, "X");
  /* the matrix or the tables of indices and weights are made here, and must be of a sensible size */
  bool fits = a->scale > 1e-6 && a->scale < 1e6 && a->out >= 0 && a->in > 0 && a->out < 1 << 24;
  if (fits && (a->scale >= 1 || a->in <= ((int64_t)1 << 28) / (a->out + 1)))
    return;
  tn_onnx_error(n, "dimension %d: %lld elements cannot be resized to %lld by a scale of %g", d,
                (long long)a->in, (long long)a->out, a->scale);
  tn_fail_now(module_of(n)->ctx);
}

/* The scale as given; the output's extent rounded down. */
static void axis_by_scale(struct axis *a, double scale) {
  a->scale = scale;
  float out = floorf((float)scale * (float)a->in);
  a->out = out >= 0 && out < 1e9f ? (int64_t)out : -1;
}

/* Scales of all axes or of those in `order`: operand i or the attribute. */
static bool read_scales(struct tn_onnx_node *n, int i, const int *order, int count, struct axis *axes) {
  const struct tn_tensor *known = tn_onnx_known(n, i);
  int64_t elements;
  if (!known)
    tn_onnx_need_value(n, i, "scales");
  if (!tn_type_count(&known->type, &elements) || elements != count)
    return tn_onnx_error(n, "scales must have %d elements", count);
  for (int k = 0; k < count; k++)
    axis_by_scale(&axes[order[k]], tn_tensor_float(known, k));
  return true;
}

static bool read_sizes(struct tn_onnx_node *n, const int *order, int count, struct axis *axes) {
  static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
  struct tn_ints sizes = tn_onnx_const_ints(n, 3, "sizes");
  int policy = one_of(n, "keep_aspect_ratio_policy", tn_onnx_string(n, "keep_aspect_ratio_policy", "stretch"),
                      policies, 3);
  if (sizes.count != (size_t)count)
    return tn_onnx_error(n, "sizes has %zu elements; expected %d", sizes.count, count);
  double common = 0;
  for (int k = 0; k < count; k++) {
    struct axis *a = &axes[order[k]];
    double ratio = (double)sizes.at[k] / (double)tn_onnx_extent(n, n->in[0], order[k], "X");
    a->out = sizes.at[k];
    a->scale = ratio;
    if (k == 0 || (policy == 1 ? ratio < common : ratio > common))
      common = ratio;
  }
  for (int k = 0; k < count && policy != 0; k++) {
    struct axis *a = &axes[order[k]];
    a->scale = common;
    a->out = common > 0 && common < 1e6 ? (int64_t)floor(common * (double)a->in + 0.5) : -1;
  }
  return true;
}

/* Upsample (opset 7 to 9) and Resize of opset 10: asymmetric coordinates, nearest takes the floor. */
static bool resize_old(struct tn_onnx_node *n, val x, struct axis *axes) {
  static const char *const methods[] = {"nearest", "linear", "bilinear"};
  int order[TN_MAX_RANK], rank = x->type.rank;
  int method = one_of(n, "mode", tn_onnx_string(n, "mode", "nearest"), methods, 3);
  struct resize r = {.coordinate = ASYMMETRIC, .method = method ? LINEAR : NEAREST, .rounding = ROUND_FLOOR};
  const float *scales;
  size_t count;
  for (int i = 0; i < rank; i++)
    order[i] = i;
  if (tn_onnx_floats(n, "scales", &scales, &count)) {
    if (count != (size_t)rank)
      return tn_onnx_error(n, "attribute scales has %zu elements; '%s' has %d dimensions", count, x->name,
                           rank);
    for (int i = 0; i < rank; i++)
      axis_by_scale(&axes[i], (double)scales[i]);
  } else if (!read_scales(n, 1, order, rank, axes)) {
    return false;
  }
  for (int i = 0; i < rank; i++)
    check_axis(n, &axes[i], i);
  n->out[0] = resize(n, x, &r, axes);
  return true;
}

static bool read_crop(struct tn_onnx_node *n, const int *order, int count, struct axis *axes) {
  const struct tn_tensor *roi = tn_onnx_known(n, 1);
  int64_t elements;
  if (!roi)
    tn_onnx_need_value(n, 1, "roi");
  if (!tn_type_count(&roi->type, &elements) || elements != 2 * count)
    return tn_onnx_error(n, "roi must have %d elements", 2 * count);
  for (int k = 0; k < count; k++) {
    axes[order[k]].start = tn_tensor_float(roi, k);
    axes[order[k]].end = tn_tensor_float(roi, count + k);
  }
  return true;
}

/* arg 1: Upsample. */
bool tn_onnx_op_resize(struct tn_onnx_node *n) {
  static const char *const coordinates[] = {"half_pixel",        "half_pixel_symmetric", "pytorch_half_pixel",
                                            "align_corners",     "asymmetric",           "tf_half_pixel_for_nn",
                                            "tf_crop_and_resize"};
  static const char *const methods[] = {"nearest", "linear", "cubic"};
  static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  val x = tn_onnx_need(n, 0, "X");
  struct axis axes[TN_MAX_RANK];
  int order[TN_MAX_RANK], rank = x->type.rank, count = rank;
  struct tn_ints named;
  for (int i = 0; i < rank; i++) {
    order[i] = i;
    axes[i] = (struct axis){.in = x->type.dim[i], .out = x->type.dim[i], .scale = 1, .start = 0, .end = 1};
  }
  if (n->arg == 1 || n->opset < 11)
    return resize_old(n, x, axes);
  struct resize r = {.antialias = tn_onnx_int(n, "antialias", 0) != 0,
                     .exclude_outside = tn_onnx_int(n, "exclude_outside", 0) != 0,
                     .cubic_a = tn_onnx_float(n, "cubic_coeff_a", -0.75),
                     .extrapolation = tn_onnx_float(n, "extrapolation_value", 0)};
  r.coordinate = (enum coordinate)one_of(n, "coordinate_transformation_mode",
                                         tn_onnx_string(n, "coordinate_transformation_mode", "half_pixel"),
                                         coordinates, TN_COUNT(coordinates));
  r.method = (enum method)one_of(n, "mode", tn_onnx_string(n, "mode", "nearest"), methods, TN_COUNT(methods));
  r.rounding = (enum rounding)one_of(n, "nearest_mode", tn_onnx_string(n, "nearest_mode", "round_prefer_floor"),
                                     roundings, TN_COUNT(roundings));
  if (tn_onnx_ints(n, "axes", &named) && named.count > 0) {
    if (named.count > (size_t)rank)
      return tn_onnx_error(n, "axes has %zu elements; '%s' has %d dimensions", named.count, x->name, rank);
    count = (int)named.count;
    for (int k = 0; k < count; k++)
      order[k] = tn_onnx_check_axis(n, "axes", named.at[k], rank);
  }
  /* an operand without elements stands for an absent one */
  int64_t scale_count = 0;
  bool by_scales = tn_onnx_in(n, 2) && tn_type_count(&n->in[2]->type, &scale_count) && scale_count > 0;
  if (!by_scales && !tn_onnx_in(n, 3))
    return tn_onnx_error(n, "neither scales nor sizes is given");
  if (by_scales ? !read_scales(n, 2, order, count, axes) : !read_sizes(n, order, count, axes))
    return false;
  if (r.coordinate == TF_CROP && !read_crop(n, order, count, axes))
    return false;
  for (int i = 0; i < rank; i++)
    check_axis(n, &axes[i], i);
  n->out[0] = resize(n, x, &r, axes);
  return true;
}
