/* Operators that read an image between its elements: GridSample, RoiAlign, MaxRoiPool, AffineGrid, DeformConv.
 *
 * Sampling is a sum over taps: the image's spatial dims are flattened to one, each tap's place becomes an index
 * into it, and a gather along that dim is weighted.  With several channels they come last, so that what a place
 * has of them is read at once.  Coordinates are computed in f32, or f64 where they come so. */
#include "frontend/onnx/loop.h"

#include <math.h>

enum padding { PAD_ZEROS, PAD_BORDER, PAD_REFLECTION };

static val clamp(struct tn_build *b, val x, double low, double high) {
  return tn_onnx_clip(b, x, low, high);
}
static val plus(struct tn_build *b, val x, double y) {
  return y == 0 ? x : add(b, x, num(b, x, y));
}
static val times(struct tn_build *b, val x, double y) {
  return y == 1 ? x : mul(b, x, num(b, x, y));
}

/* x mirrored at low and high until it lies between them. */
static val reflect(struct tn_build *b, val x, double low, double high) {
  double range = high - low;
  if (range <= 0)
    return tn_onnx_expand_like(b, num(b, x, low), &x->type);
  val t = times(b, plus(b, x, -low), 1 / (2 * range));
  t = times(b, sub(b, t, tn_unary(b, TN_FLOOR, t)), 2 * range);
  val folded = min2(b, t, sub(b, num(b, t, 2 * range), t));
  return plus(b, folded, low);
}

/* A tap along one dim: whole places as floats [n, p]; inside: bool, NULL when padding lets none be outside. */
struct tap {
  val at, weight, inside; /* weight NULL: 1 */
};

/* An image whose spatial dims are one: [n, s, c] when channels are last, else [n, c, s]. */
struct image {
  val pixels;
  bool last;
};

/* x [n, c, spatial...] to be read at `places` places: whether turning it pays. */
static struct image image_of(struct tn_build *b, val x, int64_t places) {
  enum { FEW_CHANNELS = 8, READS = 8 }; /* turning an element costs a part of what reading one does */
  const tn_dim *d = x->type.dim;
  int64_t pixels = 1;
  for (int i = 2; i < x->type.rank; i++)
    pixels *= d[i];
  struct image image = {.last = d[1] >= FEW_CHANNELS && places * READS >= pixels};
  image.pixels = image.last ? tn_reshape(b, tn_onnx_channels_last(b, x), 3, (tn_dim[]){d[0], pixels, d[1]})
                            : tn_reshape(b, x, 3, (tn_dim[]){d[0], d[1], pixels});
  return image;
}

/* What is one for all channels, [n, p], beside samples. */
static val for_channels(struct tn_build *b, const struct image *image, val x) {
  return tn_onnx_unsqueeze(b, x, image->last ? 2 : 1);
}

/* Samples [n, p, c] or [n, c, p] as [dims[0], c, dims[1], ..], where p is the product of the dims behind n. */
static val unfold(struct tn_build *b, const struct image *image, val y, int rank, const tn_dim *dims) {
  tn_dim to[TN_MAX_RANK] = {dims[0], y->type.dim[1]};
  for (int i = 1; i < rank; i++)
    to[image->last ? i : 1 + i] = dims[i];
  if (image->last)
    to[rank] = y->type.dim[2];
  y = tn_reshape(b, y, rank + 1, to);
  return image->last ? tn_onnx_channels_first(b, y) : y;
}

/* The gather: an image at place [n, p] gives [n, c, p], or [n, p, c]. */
static val gather_at(struct tn_onnx_node *n, const struct image *image, val place) {
  int axis = image->last ? 1 : 2;
  struct tn_type type = image->pixels->type;
  type.dtype = place->type.dtype;
  type.dim[axis] = place->type.dim[1];
  val in[2] = {image->pixels, tn_onnx_expand_like(n->b, for_channels(n->b, image, place), &type)};
  struct tn_node *node = tn_node_make(n->b, TN_GATHER_ELEMENTS, 2, in, 1);
  tn_set_int(node, TN_GATHER_ELEMENTS_axis, axis);
  if (!tn_finish(n->b, node))
    tn_fail_now(module_of(n)->ctx);
  return node->out[0];
}

/* Sums over all combinations of taps; taps[d][t] for `count` taps of each of the spatial dims with `extent`. */
static val sample(struct tn_onnx_node *n, const struct image *image, int spatial, const int64_t *extent,
                  int count, struct tap taps[3][4]) {
  struct tn_build *b = n->b;
  int all = 1;
  val sum = NULL;
  for (int d = 0; d < spatial; d++)
    all *= count;
  for (int i = 0; i < all; i++) {
    val place = NULL, weight = NULL, inside = NULL;
    for (int d = 0, rest = i; d < spatial; d++, rest /= count) {
      const struct tap *t = &taps[d][rest % count];
      val at = tn_cast(b, t->at, TN_I32);
      place = place ? add(b, mul(b, place, num(b, place, (double)extent[d])), at) : at;
      if (t->weight)
        weight = weight ? mul(b, weight, t->weight) : t->weight;
      if (t->inside)
        inside = inside ? tn_binary(b, TN_AND, inside, t->inside) : t->inside;
    }
    val part = gather_at(n, image, place);
    if (inside)
      part = tn_select(b, for_channels(b, image, inside), part, num(b, part, 0));
    if (weight)
      part = mul(b, part, for_channels(b, image, tn_cast(b, weight, part->type.dtype)));
    sum = sum ? add(b, sum, part) : part;
  }
  return sum;
}

/* A whole place brought into 0 .. extent - 1 as the padding says. */
static struct tap tap_at(struct tn_build *b, val at, int64_t extent, enum padding padding, bool align) {
  struct tap t = {0};
  double last = (double)(extent - 1);
  if (padding == PAD_REFLECTION) /* whole again: mirroring divides by the range */
    at = tn_unary(b, TN_ROUND, align ? reflect(b, at, 0, last) : reflect(b, at, -0.5, last + 0.5));
  t.at = clamp(b, at, 0, last);
  if (padding == PAD_ZEROS)
    t.inside = tn_binary(b, TN_EQ, t.at, at);
  return t;
}

/* Cubic convolution, a = -0.75; tap 0 .. 3 at distances 1 + f, f, 1 - f, 2 - f. */
static val cubic_weight(struct tn_build *b, val f, int tap) {
  const double a = -0.75;
  val x = tap == 0 ? plus(b, f, 1) : tap == 1 ? f : sub(b, num(b, f, tap == 2 ? 1 : 2), f);
  if (tap == 1 || tap == 2)
    return plus(b, mul(b, mul(b, plus(b, times(b, x, a + 2), -(a + 3)), x), x), 1);
  val y = plus(b, times(b, x, a), -5 * a);
  return plus(b, mul(b, plus(b, mul(b, y, x), 8 * a), x), -4 * a);
}

bool tn_onnx_op_grid_sample(struct tn_onnx_node *n) {
  static const char *const paddings[] = {"zeros", "border", "reflection"};
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), grid = tn_onnx_need(n, 1, "grid");
  const char *mode = tn_onnx_string(n, "mode", "linear"), *pad = tn_onnx_string(n, "padding_mode", "zeros");
  bool align = tn_onnx_int(n, "align_corners", 0) != 0, near = !strcmp(mode, "nearest");
  bool cubic = !strcmp(mode, "cubic") || !strcmp(mode, "bicubic");
  int spatial = x->type.rank - 2, rank = x->type.rank;
  enum padding padding = PAD_ZEROS;
  while (padding < 3 && strcmp(paddings[padding], pad) != 0)
    padding++;
  if (padding == 3)
    return tn_onnx_error(n, "attribute padding_mode is '%s'; expected zeros, border or reflection", pad);
  if (!near && !cubic && strcmp(mode, "linear") != 0 && strcmp(mode, "bilinear") != 0)
    return tn_onnx_error(n, "attribute mode is '%s'; expected linear, nearest or cubic", mode);
  if (spatial < 1 || spatial > 3 || grid->type.rank != rank || grid->type.dim[rank - 1] != spatial)
    return tn_onnx_error(n, "expected X [n, c, 1 to 3 spatial...] and grid [n, spatial..., %d]", spatial);
  const int64_t *d = tn_onnx_static_dims(n, x, "X"), *g = tn_onnx_static_dims(n, grid, "grid");
  int64_t points = tn_onnx_product(module_of(n), g + 1, spatial);
  if (tn_onnx_product(module_of(n), d + 2, spatial) > INT32_MAX)
    return tn_onnx_unsupported(n, "images of more than 2^31 - 1 elements a channel");
  enum tn_dtype dtype = x->type.dtype;
  struct image image = image_of(b, x, points);
  image.pixels = tn_cast(b, image.pixels, tn_dtype_is_float(dtype) ? wide_of(dtype) : TN_F32);
  grid = tn_reshape(b, tn_cast(b, grid, wide_of(grid->type.dtype)), 3, (tn_dim[]){d[0], points, spatial});
  struct tap taps[3][4] = {{{0}}};
  int count = near ? 1 : cubic ? 4 : 2;
  for (int i = 0; i < spatial; i++) {
    double extent = (double)d[2 + i];
    /* coordinates come last dim first, -1 to 1 from edge to edge; what is outside is padded tap by tap, so that
     * cubic convolution meets an edge that goes on */
    val at = tn_onnx_squeeze(b, tn_onnx_cut(b, grid, 2, spatial - 1 - i, 1), 2);
    at = align ? times(b, plus(b, at, 1), (extent - 1) / 2)
               : times(b, plus(b, times(b, plus(b, at, 1), extent), -1), 0.5);
    if (near) {
      taps[i][0] = tap_at(b, tn_unary(b, TN_ROUND, at), d[2 + i], padding, align);
      continue;
    }
    val low = tn_unary(b, TN_FLOOR, at), part = sub(b, at, low);
    for (int t = 0; t < count; t++) {
      taps[i][t] = tap_at(b, plus(b, low, t - (cubic ? 1 : 0)), d[2 + i], padding, align);
      taps[i][t].weight = cubic ? cubic_weight(b, part, t) : t ? part : sub(b, num(b, part, 1), part);
    }
  }
  val y = tn_cast(b, sample(n, &image, spatial, d + 2, count, taps), dtype);
  n->out[0] = unfold(b, &image, y, 1 + spatial, g);
  return true;
}

/* ---- AffineGrid ----------------------------------------------------------------------------------------- */

/* theta [n, s, s + 1] times the homogeneous coordinates of the output's places. */
bool tn_onnx_op_affine_grid(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val theta = tn_onnx_need(n, 0, "theta");
  struct tn_ints size = tn_onnx_const_ints(n, 1, "size");
  bool align = tn_onnx_int(n, "align_corners", 0) != 0;
  int spatial = (int)size.count - 2;
  int64_t points = 1;
  if (spatial < 2 || spatial > 3 || theta->type.rank != 3)
    return tn_onnx_error(n, "expected theta [n, s, s + 1] and size [n, c, s dims], s 2 or 3");
  for (int i = 0; i < spatial; i++) {
    if (size.at[2 + i] < 1 || size.at[2 + i] > 1 << 20 || (points *= size.at[2 + i]) > 1 << 24)
      return tn_onnx_error(n, "size %lld is out of range", (long long)size.at[2 + i]);
  }
  enum tn_dtype dtype = theta->type.dtype;
  char *data = tn_alloc(n->arena, (size_t)(points * (spatial + 1)) * sizeof(double)); /* [s + 1, points] */
  for (int64_t p = 0; p < points; p++) {
    int64_t rest = p;
    for (int i = spatial - 1; i >= 0; i--) { /* the last dim's coordinate is the first row */
      double extent = (double)size.at[2 + i], at = (double)(rest % size.at[2 + i]);
      double place = align ? (extent > 1 ? -1 + 2 * at / (extent - 1) : -1) : -1 + (2 * at + 1) / extent;
      tn_store_float(dtype, data, (spatial - 1 - i) * points + p, place);
      rest /= size.at[2 + i];
    }
    tn_store_float(dtype, data, spatial * points + p, 1);
  }
  val places = tn_constant_bytes(b, tn_type_make(dtype, 2, (tn_dim[]){spatial + 1, points}), data);
  val grid = tn_transpose(b, tn_matmul(b, theta, places), (int64_t[]){0, 2, 1});
  tn_dim dims[TN_MAX_RANK] = {theta->type.dim[0]};
  for (int i = 0; i < spatial; i++)
    dims[1 + i] = size.at[2 + i];
  dims[1 + spatial] = spatial;
  n->out[0] = tn_reshape(b, grid, spatial + 2, dims);
  return true;
}

/* ---- RoiAlign ------------------------------------------------------------------------------------------- */

/* What the node asks for. */
struct roi {
  int64_t out[2], ratio; /* height, width; samples of a bin along a dim, 0: as many as there are pixels */
  int64_t extent[2];
  double scale;
  bool half, largest;
};

/* Where regions [r, 4] begin along a dim (0: height) and the length of their bins: [r, 1] both. */
static void roi_bins_along(struct tn_build *b, const struct roi *roi, val rois, int dim, val *start, val *bin) {
  double offset = roi->half ? 0.5 : 0;
  *start = plus(b, times(b, tn_onnx_cut(b, rois, 1, 1 - dim, 1), roi->scale), -offset);
  val length = sub(b, plus(b, times(b, tn_onnx_cut(b, rois, 1, 3 - dim, 1), roi->scale), -offset), *start);
  if (!roi->half)
    length = max2(b, length, num(b, length, 1));
  *bin = times(b, length, 1 / (double)roi->out[dim]);
}

/* Low and high tap at coordinate `at`; beyond a pixel outside there is nothing. */
static void roi_taps(struct tn_build *b, val at, int64_t extent, struct tap taps[2]) {
  val near = tn_binary(b, TN_AND, tn_binary(b, TN_GE, at, num(b, at, -1)),
                       tn_binary(b, TN_LE, at, num(b, at, (double)extent)));
  double last = (double)(extent - 1);
  at = clamp(b, at, 0, last);
  taps[0].at = tn_unary(b, TN_FLOOR, at);
  taps[1].at = min2(b, plus(b, taps[0].at, 1), num(b, at, last));
  taps[1].weight = sub(b, at, taps[0].at);
  taps[0].weight = sub(b, num(b, at, 1), taps[1].weight);
  taps[0].inside = taps[1].inside = near;
}

/* [r, h] and [r, w] to [r, h * w], joined by op. */
static val outer(struct tn_build *b, enum tn_op op, val y, val x) {
  val z = tn_binary(b, op, tn_onnx_unsqueeze(b, y, 2), tn_onnx_unsqueeze(b, x, 1));
  return tn_reshape(b, z, 2, (tn_dim[]){y->type.dim[0], y->type.dim[1] * x->type.dim[1]});
}

/* The images [r, ..] at rows y [r, h] and columns x [r, w]: four taps each, added up, or the largest of them.
 */
static val roi_samples(struct tn_onnx_node *n, const struct roi *roi, const struct image *image, val y, val x) {
  struct tn_build *b = n->b;
  struct tap ys[2], xs[2];
  roi_taps(b, y, roi->extent[0], ys);
  roi_taps(b, x, roi->extent[1], xs);
  val all = NULL, inside = outer(b, TN_AND, ys[0].inside, xs[0].inside);
  for (int i = 0; i < 4; i++) {
    const struct tap *v = &ys[i / 2], *h = &xs[i % 2];
    val place = outer(b, TN_ADD, mul(b, tn_cast(b, v->at, TN_I32), tn_const_int(b, TN_I32, roi->extent[1])),
                      tn_cast(b, h->at, TN_I32));
    val weight = outer(b, TN_MUL, v->weight, h->weight);
    weight = tn_select(b, inside, weight, num(b, weight, 0));
    val part = gather_at(n, image, place);
    part = mul(b, part, for_channels(b, image, tn_cast(b, weight, part->type.dtype)));
    all = all ? (roi->largest ? max2(b, all, part) : add(b, all, part)) : part;
  }
  return all;
}

/* Coordinates of a fixed number of samples along a dim: [r, out * ratio]. */
static val roi_places(struct tn_onnx_node *n, const struct roi *roi, val rois, int dim) {
  struct tn_build *b = n->b;
  int64_t count = roi->out[dim] * roi->ratio;
  char *data = tn_alloc(n->arena, (size_t)count * sizeof(double) + 1);
  for (int64_t i = 0; i < count; i++)
    tn_store_float(rois->type.dtype, data, i,
                   (double)(i / roi->ratio) + ((double)(i % roi->ratio) + 0.5) / (double)roi->ratio);
  val parts = tn_constant_bytes(b, tn_type_make(rois->type.dtype, 2, (tn_dim[]){1, count}), data), start, bin;
  roi_bins_along(b, roi, rois, dim, &start, &bin);
  return add(b, start, mul(b, bin, parts));
}

/* The same number of samples for all regions. */
static val roi_fixed(struct tn_onnx_node *n, const struct roi *roi, struct image *image, val rois, val batch) {
  struct tn_build *b = n->b;
  image->pixels = tn_gather(b, image->pixels, batch, 0);
  val all = roi_samples(n, roi, image, roi_places(n, roi, rois, 0), roi_places(n, roi, rois, 1));
  const tn_dim dims[] = {rois->type.dim[0], roi->out[0], roi->ratio, roi->out[1], roi->ratio};
  val bins = unfold(b, image, all, 5, dims); /* [r, c, h, ratio, w, ratio] */
  const int64_t axes[2] = {3, 5};
  return roi->largest ? tn_reduce(b, TN_REDUCE_MAX, bins, axes, 2, false)
                      : tn_onnx_mean(b, bins, axes, 2, false);
}

/* As many samples as a region's bins have pixels: a loop over regions around one over the samples of a bin. */
static val roi_adaptive(struct tn_onnx_node *n, const struct roi *roi, struct image *image, val rois,
                        val batch) {
  struct tn_build *home = n->b;
  int64_t regions = tn_onnx_extent(n, rois, 0, "rois"), places = roi->out[0] * roi->out[1];
  struct tn_onnx_loop each, samples;
  val result, sum, inside, start[2], bin[2], count[2], at[2];
  tn_onnx_loop_count(n, regions, 0, NULL, 1, &each, NULL);
  struct tn_build *b = n->b = &each.b;
  val one = tn_onnx_unsqueeze(b, tn_onnx_element(b, rois, each.iteration, 0), 0);
  struct image own = {
      tn_onnx_unsqueeze(b, tn_gather(b, image->pixels, tn_gather(b, batch, each.iteration, 0), 0), 0),
      image->last};
  val trip = NULL;
  for (int i = 0; i < 2; i++) {
    roi_bins_along(b, roi, one, i, &start[i], &bin[i]);
    count[i] = max2(b, tn_unary(b, TN_CEIL, bin[i]), num(b, bin[i], 0)); /* [1, 1] */
    trip = trip ? mul(b, trip, count[i]) : count[i];
  }
  struct tn_type type = own.pixels->type;
  type.dim[own.last ? 1 : 2] = places;
  val initial = tn_onnx_full(b, tn_onnx_number(b, type.dtype, roi->largest ? -INFINITY : 0), 3, type.dim);
  tn_onnx_loop_open(n, tn_onnx_scalar(b, tn_cast(b, trip, TN_I64)),
                    tn_constant_bytes(b, tn_type_scalar(TN_BOOL), &(uint8_t){1}), 1, &initial, 0, &samples,
                    &inside);
  struct tn_build *s = n->b = &samples.b;
  val number = tn_cast(s, samples.iteration, bin[0]->type.dtype),
      row = tn_unary(s, TN_FLOOR, quo(s, number, count[1]));
  val which[2] = {row, sub(s, number, mul(s, row, count[1]))};
  for (int i = 0; i < 2; i++) {
    val part = quo(s, plus(s, which[i], 0.5), count[i]);
    val bins = tn_onnx_iota_along(s, part->type.dtype, roi->out[i], 1, 2);
    at[i] = add(s, start[i], mul(s, bin[i], add(s, bins, part)));
  }
  val found = roi_samples(n, roi, &own, at[0], at[1]);
  val next = roi->largest ? max2(s, inside, found) : add(s, inside, found);
  n->b = b;
  tn_onnx_loop_close(n, &samples, -1, NULL, 1, &next, 0, NULL, &sum);
  val none = tn_binary(b, TN_EQ, trip, num(b, trip, 0)); /* [1, 1] */
  if (roi->largest)
    sum = tn_select(b, none, num(b, sum, 0), sum);
  else
    sum = quo(b, sum, tn_cast(b, max2(b, trip, num(b, trip, 1)), type.dtype));
  val scan = tn_onnx_squeeze(b, sum, 0);
  n->b = home;
  tn_onnx_loop_close(n, &each, regions, NULL, 0, NULL, 1, &scan, &result);
  return unfold(home, image, result, 3, (tn_dim[]){regions, roi->out[0], roi->out[1]});
}

bool tn_onnx_op_roi_align(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), rois = tn_onnx_need(n, 1, "rois"),
      batch = tn_onnx_need(n, 2, "batch_indices");
  const char *mode = tn_onnx_string(n, "mode", "avg");
  const char *origin =
      tn_onnx_string(n, "coordinate_transformation_mode", n->opset >= 16 ? "half_pixel" : "output_half_pixel");
  struct roi roi = {.out = {tn_onnx_int(n, "output_height", 1), tn_onnx_int(n, "output_width", 1)},
                    .ratio = tn_onnx_int(n, "sampling_ratio", 0),
                    .scale = tn_onnx_float(n, "spatial_scale", 1),
                    .half = !strcmp(origin, "half_pixel"),
                    .largest = !strcmp(mode, "max")};
  if (!roi.largest && strcmp(mode, "avg") != 0)
    return tn_onnx_error(n, "attribute mode is '%s'; expected avg or max", mode);
  if (x->type.rank != 4 || rois->type.rank != 2 || rois->type.dim[1] != 4 || batch->type.rank != 1 ||
      roi.out[0] < 1 || roi.out[1] < 1 || roi.ratio < 0 || roi.ratio > 64 || roi.out[0] > 4096 ||
      roi.out[1] > 4096)
    return tn_onnx_error(
        n, "expected X [n, c, h, w], rois [r, 4], batch_indices [r], an output of 1 to 4096 by as "
           "many and a sampling_ratio of 0 to 64");
  const int64_t *d = tn_onnx_static_dims(n, x, "X");
  memcpy(roi.extent, d + 2, sizeof roi.extent);
  rois = tn_cast(b, rois, wide_of(rois->type.dtype));
  int64_t places = roi.out[0] * roi.out[1] * (roi.ratio ? roi.ratio * roi.ratio : 1);
  if (tn_dim_static(rois->type.dim[0]))
    places *= rois->type.dim[0];
  struct image image = image_of(b, x, places);
  n->out[0] = roi.ratio ? roi_fixed(n, &roi, &image, rois, batch) : roi_adaptive(n, &roi, &image, rois, batch);
  return true;
}

/* ---- MaxRoiPool ----------------------------------------------------------------------------------------- */

/* Which of the `extent` places belong to which of the `out` bins of a region: bool [r, out, extent].  Bin p is
 * floor(p * length / out) .. ceil((p + 1) * length / out) - 1 from the region's start on. */
static val roi_bins(struct tn_onnx_node *n, val rois, int first, int64_t out, int64_t extent) {
  struct tn_build *b = n->b;
  double scale = tn_onnx_float(n, "spatial_scale", 1);
  val start = tn_unary(b, TN_FLOOR, plus(b, times(b, tn_onnx_cut(b, rois, 1, first, 1), scale), 0.5));
  val end = tn_unary(b, TN_FLOOR, plus(b, times(b, tn_onnx_cut(b, rois, 1, first + 2, 1), scale), 0.5));
  val length = plus(b, sub(b, end, start), 1);
  length = max2(b, length, num(b, length, 1));
  val bin = tn_onnx_iota_along(b, rois->type.dtype, out, 1, 2),
      size = quo(b, length, num(b, length, (double)out));
  val low = add(b, tn_unary(b, TN_FLOOR, mul(b, bin, size)), start);
  val high = add(b, tn_unary(b, TN_CEIL, mul(b, plus(b, bin, 1), size)), start);
  val at = tn_onnx_iota_along(b, rois->type.dtype, extent, 2, 3);
  return tn_binary(b, TN_AND, tn_binary(b, TN_GE, at, tn_onnx_unsqueeze(b, low, 2)),
                   tn_binary(b, TN_LT, at, tn_onnx_unsqueeze(b, high, 2)));
}

/* The largest element of each bin of each region (batch, x1, y1, x2, y2), 0 for a bin without elements: first
 * along the columns of a bin's rows, then along the rest. */
bool tn_onnx_op_max_roi_pool(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), rois = tn_onnx_need(n, 1, "rois");
  int64_t shape[2];
  tn_onnx_ints_or(n, "pooled_shape", 2, 0, shape);
  if (x->type.rank != 4 || rois->type.rank != 2 || rois->type.dim[1] != 5 || shape[0] < 1 || shape[1] < 1)
    return tn_onnx_error(n, "expected X [n, c, h, w], rois [r, 5] and a pooled_shape of at least 1 by 1");
  const int64_t *d = tn_onnx_static_dims(n, x, "X");
  rois = tn_cast(b, rois, wide_of(rois->type.dtype));
  val batch = tn_cast(b, tn_onnx_squeeze(b, tn_onnx_cut(b, rois, 1, 0, 1), 1), TN_I64);
  val image = tn_gather(b, x, batch, 0), low = num(b, x, -INFINITY); /* [r, c, h, w] */
  val rows = roi_bins(n, rois, 2, shape[0], d[2]), columns = roi_bins(n, rois, 1, shape[1], d[3]);
  rows = tn_onnx_unsqueeze(b, tn_onnx_unsqueeze(b, rows, 1), 4);       /* [r, 1, out, h, 1] */
  columns = tn_onnx_unsqueeze(b, tn_onnx_unsqueeze(b, columns, 1), 1); /* [r, 1, 1, out, w] */
  val best = tn_select(b, rows, tn_onnx_unsqueeze(b, image, 2), low);
  best = tn_reduce(b, TN_REDUCE_MAX, best, (int64_t[]){3}, 1, false); /* [r, c, out, w] */
  best = tn_select(b, columns, tn_onnx_unsqueeze(b, best, 3), low);
  best = tn_reduce(b, TN_REDUCE_MAX, best, (int64_t[]){4}, 1, false);
  n->out[0] = tn_select(b, tn_binary(b, TN_EQ, best, low), num(b, best, 0), best);
  return true;
}

/* ---- DeformConv ----------------------------------------------------------------------------------------- */

/* A convolution whose kernel elements are displaced by `offset` (bilinear, zeros outside) and weighted by
 * `mask`: the displaced elements side by side [n, c, kernel, out], then a product with the weights a group. */
bool tn_onnx_op_deform_conv(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), w = tn_onnx_need(n, 1, "W"), offset = tn_onnx_need(n, 2, "offset");
  val bias = tn_onnx_in(n, 3), mask = tn_onnx_in(n, 4);
  int64_t group = tn_onnx_int(n, "group", 1), parts = tn_onnx_int(n, "offset_group", 1);
  struct tn_onnx_window win = {0};
  if (x->type.rank != 4 || w->type.rank != 4 || offset->type.rank != 4)
    return tn_onnx_unsupported(n, "operands of other than 4 dimensions");
  const int64_t *d = tn_onnx_static_dims(n, x, "X"), *k = tn_onnx_static_dims(n, w, "W") + 2;
  tn_onnx_window(n, x, k, &win);
  int64_t kernel = k[0] * k[1], out = win.out[0] * win.out[1], m = w->type.dim[0];
  if (group < 1 || parts < 1 || d[1] % group || d[1] % parts || m % group || w->type.dim[1] != d[1] / group ||
      offset->type.dim[1] != parts * kernel * 2 || offset->type.dim[2] != win.out[0] ||
      offset->type.dim[3] != win.out[1])
    return tn_onnx_error(n, "group %lld, offset_group %lld, W and offset do not fit X", (long long)group,
                         (long long)parts);
  if (kernel > (1 << 26) / (out + 1))
    return tn_onnx_unsupported(n, "%lld windows of %lld elements", (long long)out, (long long)kernel);
  /* [n * parts, kernel * out] coordinates */
  val place[2];
  val all = tn_reshape(b, offset, 4, (tn_dim[]){d[0] * parts, kernel, 2, out});
  for (int i = 0; i < 2; i++) {
    char *data = tn_alloc(n->arena, (size_t)(kernel * out) * sizeof(double));
    for (int64_t e = 0; e < kernel; e++)
      for (int64_t o = 0; o < out; o++) {
        int64_t at = i ? o % win.out[1] : o / win.out[1], tap = i ? e % k[1] : e / k[1];
        tn_store_float(offset->type.dtype, data, e * out + o,
                       (double)(at * win.stride[i] - win.before[i] + tap * win.dilation[i]));
      }
    val base = tn_constant_bytes(b, tn_type_make(offset->type.dtype, 3, (tn_dim[]){1, kernel, out}), data);
    val moved = add(b, tn_onnx_squeeze(b, tn_onnx_cut(b, all, 2, i, 1), 2), base);
    moved = tn_cast(b, moved, wide_of(moved->type.dtype));
    place[i] = tn_reshape(b, moved, 2, (tn_dim[]){d[0] * parts, kernel * out});
  }
  struct tap taps[3][4] = {{{0}}};
  for (int i = 0; i < 2; i++) {
    val low = tn_unary(b, TN_FLOOR, place[i]), part = sub(b, place[i], low);
    for (int t = 0; t < 2; t++) {
      taps[i][t] = tap_at(b, plus(b, low, t), d[2 + i], PAD_ZEROS, false);
      taps[i][t].weight = t ? part : sub(b, num(b, part, 1), part);
    }
  }
  struct image image = {.pixels = tn_reshape(b, x, 3, (tn_dim[]){d[0] * parts, d[1] / parts, d[2] * d[3]})};
  val columns = sample(n, &image, 2, d + 2, 2, taps); /* [n * parts, c / parts, kernel * out] */
  if (mask)
    columns = mul(b, columns, tn_reshape(b, mask, 3, (tn_dim[]){d[0] * parts, 1, kernel * out}));
  columns = tn_reshape(b, columns, 4, (tn_dim[]){d[0], group, d[1] / group * kernel, out});
  val rows = tn_reshape(b, w, 4, (tn_dim[]){1, group, m / group, d[1] / group * kernel});
  val y = tn_reshape(b, tn_matmul(b, rows, columns), 4, (tn_dim[]){d[0], m, win.out[0], win.out[1]});
  n->out[0] = bias ? add(b, y, tn_onnx_along(b, bias, 1, 4)) : y;
  return true;
}
