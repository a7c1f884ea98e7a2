/* Signal processing: DFT, STFT, MelWeightMatrix and the windows.
 *
 * A transform of a short or prime length is one product with its matrix, whose rows and columns interleave real
 * and imaginary parts as the tensors do.  A longer one is split into two shorter ones with a turn of the
 * elements between them (Cooley and Tukey), until all are short. */
#include "frontend/onnx/common.h"
#include <math.h>

static const double pi = 3.14159265358979323846;

enum { SHORT = 64, LONGEST_MATRIX = 2048 };

/* ---- windows ------------------------------------------------------------------------------------------- */

bool tn_onnx_op_window(struct tn_onnx_node *n) {
  static const double weights[3][3] = {{0.5, 0.5, 0}, {25.0 / 46, 21.0 / 46, 0}, {0.42, 0.5, 0.08}};
  int64_t size = tn_onnx_const_int(n, 0, "size");
  enum tn_dtype dtype = tn_onnx_dtype(n, tn_onnx_int(n, "output_datatype", 1));
  double period = (double)(tn_onnx_int(n, "periodic", 1) ? size : size - 1);
  const double *w = weights[n->arg];
  if (size < 0 || size > INT32_MAX)
    return tn_onnx_error(n, "size is %lld; expected the length of a window", (long long)size);
  void *data = tn_calloc(n->arena, (size_t)size + 1, tn_dtype_size(dtype));
  for (int64_t i = 0; i < size; i++) {
    double at = size == 1 ? 0 : 2 * pi * (double)i / period;
    double value = w[0] - w[1] * cos(at) + w[2] * cos(2 * at);
    if (tn_dtype_is_float(dtype))
      tn_store_float(dtype, data, i, value);
    else
      tn_store_int(dtype, data, i, (int64_t)value);
  }
  n->out[0] = tn_constant_bytes(n->b, tn_type_make(dtype, 1, &size), data);
  return true;
}

bool tn_onnx_op_mel_weight_matrix(struct tn_onnx_node *n) {
  int64_t bins = tn_onnx_const_int(n, 0, "num_mel_bins"), length = tn_onnx_const_int(n, 1, "dft_length");
  int64_t rate = tn_onnx_const_int(n, 2, "sample_rate");
  double low = tn_onnx_const_float(n, 3, "lower_edge_hertz"),
         high = tn_onnx_const_float(n, 4, "upper_edge_hertz");
  enum tn_dtype dtype = tn_onnx_dtype(n, tn_onnx_int(n, "output_datatype", 1));
  if (bins < 1 || bins > 1 << 16 || length < 1 || length > 1 << 24 || rate < 1 || !tn_dtype_is_float(dtype))
    return tn_onnx_error(n, "num_mel_bins %lld, dft_length %lld and sample_rate %lld make no matrix of %s",
                         (long long)bins, (long long)length, (long long)rate, tn_dtype_name(dtype));
  int64_t rows = length / 2 + 1;
  double low_mel = 2595 * log10(1 + low / 700), high_mel = 2595 * log10(1 + high / 700);
  double step = (high_mel - low_mel) / (double)(bins + 2);
  int64_t *edge =
      TN_NEW_ARRAY(n->arena, int64_t, bins + 2); /* bins of the spectrum where triangles start and end */
  for (int64_t i = 0; i < bins + 2; i++) {
    double hertz = 700 * (pow(10, (low_mel + (double)i * step) / 2595) - 1);
    double at = floor((double)(length + 1) * hertz / (double)rate);
    if (!(at >= 0 && at < (double)rows))
      return tn_onnx_error(n, "the edges %g and %g Hz leave the spectrum of %lld bins at %lld Hz", low, high,
                           (long long)rows, (long long)rate);
    edge[i] = (int64_t)at;
  }
  void *data = tn_calloc(n->arena, (size_t)(rows * bins), tn_dtype_size(dtype));
  for (int64_t i = 0; i < bins; i++) {
    int64_t left = edge[i], centre = edge[i + 1], right = edge[i + 2];
    if (left == centre)
      tn_store_float(dtype, data, centre * bins + i, 1);
    else
      for (int64_t j = left; j <= centre; j++)
        tn_store_float(dtype, data, j * bins + i, (double)(j - left) / (double)(centre - left));
    for (int64_t j = centre; j < right; j++)
      tn_store_float(dtype, data, j * bins + i, (double)(right - j) / (double)(right - centre));
  }
  n->out[0] = tn_constant_bytes(n->b, tn_type_make(dtype, 2, (tn_dim[]){rows, bins}), data);
  return true;
}

/* ---- transforms ---------------------------------------------------------------------------------------- */

struct dft {
  struct tn_onnx_node *n;
  double sign; /* of the exponent: -1 forward, 1 inverse */
  enum tn_dtype dtype;
};

/* exp(sign * 2 pi i * a * c / length) */
static void turn(const struct dft *d, int64_t a, int64_t c, int64_t length, double *re, double *im) {
  double angle = 2 * pi * (double)(a * c % length) / (double)length;
  *re = cos(angle);
  *im = d->sign * sin(angle);
}

/* x [batch, length, parts], parts 1 (real) or 2, to [batch, bins, out parts]: the first `bins` results. */
static val short_dft(const struct dft *d, val x, int64_t bins, int64_t out_parts) {
  struct tn_build *b = d->n->b;
  int64_t length = x->type.dim[1], parts = x->type.dim[2], rows = length * parts, columns = bins * out_parts;
  void *data = tn_calloc(d->n->arena, (size_t)(rows * columns) + 1, tn_dtype_size(d->dtype));
  for (int64_t i = 0; i < length; i++)
    for (int64_t k = 0; k < bins; k++) {
      double re, im;
      turn(d, i, k, length, &re, &im);
      for (int64_t part = 0; part < parts; part++) {
        int64_t at = (i * parts + part) * columns + k * out_parts;
        tn_store_float(d->dtype, data, at, part ? -im : re);
        if (out_parts == 2)
          tn_store_float(d->dtype, data, at + 1, part ? re : im);
      }
    }
  val matrix = tn_constant_bytes(b, tn_type_make(d->dtype, 2, (tn_dim[]){rows, columns}), data);
  val y = tn_matmul(b, tn_reshape(b, x, 2, (tn_dim[]){x->type.dim[0], rows}), matrix);
  return tn_reshape(b, y, 3, (tn_dim[]){x->type.dim[0], bins, out_parts});
}

/* The largest divisor up to the square root; 1 for a prime. */
static int64_t divisor(int64_t length) {
  int64_t best = 1;
  for (int64_t i = 2; i * i <= length; i++)
    if (length % i == 0)
      best = i;
  return best;
}

/* x [batch, rows, columns, 2] with element (i, k) turned by exp(sign * 2 pi i * i * k / (rows * columns)). */
static val twiddle(const struct dft *d, val x) {
  struct tn_build *b = d->n->b;
  int64_t rows = x->type.dim[1], columns = x->type.dim[2];
  size_t count = (size_t)(rows * columns * 2);
  void *straight = tn_calloc(d->n->arena, count, tn_dtype_size(d->dtype));
  void *crossed = tn_calloc(d->n->arena, count, tn_dtype_size(d->dtype));
  for (int64_t i = 0; i < rows; i++)
    for (int64_t k = 0; k < columns; k++) {
      double re, im;
      int64_t at = (i * columns + k) * 2;
      turn(d, i, k, rows * columns, &re, &im);
      tn_store_float(d->dtype, straight, at, re);
      tn_store_float(d->dtype, straight, at + 1, re);
      tn_store_float(d->dtype, crossed, at, -im);
      tn_store_float(d->dtype, crossed, at + 1, im);
    }
  struct tn_type type = tn_type_make(d->dtype, 3, (tn_dim[]){rows, columns, 2});
  val swapped = tn_slice(b, x, (int64_t[]){0, 0, 0, 1}, (int64_t[]){1, 1, 1, -1},
                         (int64_t[]){x->type.dim[0], rows, columns, 2});
  return add(b, mul(b, x, tn_constant_bytes(b, type, straight)),
             mul(b, swapped, tn_constant_bytes(b, type, crossed)));
}

/* x [batch, length, parts] to [batch, bins, out parts]. */
static val transform(const struct dft *d, val x, int64_t bins, int64_t out_parts) {
  struct tn_build *b = d->n->b;
  int64_t length = x->type.dim[1], parts = x->type.dim[2], rows = divisor(length), columns = length / rows;
  tn_dim batch = x->type.dim[0];
  if (length <= SHORT || (rows == 1 && length <= LONGEST_MATRIX))
    return short_dft(d, x, bins, out_parts);
  if (rows == 1) {
    tn_onnx_unsupported(d->n, "a transform of prime length %lld; up to %d are possible", (long long)length,
                        LONGEST_MATRIX);
    tn_fail_now(module_of(d->n)->ctx);
  }
  struct tn_module *module = module_of(d->n);
  /* element columns * i + k is at (i, k): transform over i */
  val y = tn_reshape(b, x, 4, (tn_dim[]){batch, rows, columns, parts});
  y = tn_transpose(b, y, (int64_t[]){0, 2, 1, 3});
  y = tn_reshape(b, y, 3, (tn_dim[]){tn_dim_op(module, '*', batch, columns), rows, parts});
  y = transform(d, y, rows, 2);
  y = twiddle(d, tn_reshape(b, y, 4, (tn_dim[]){batch, columns, rows, 2}));
  /* then over k */
  y = tn_transpose(b, y, (int64_t[]){0, 2, 1, 3});
  y = tn_reshape(b, y, 3, (tn_dim[]){tn_dim_op(module, '*', batch, rows), columns, 2});
  y = transform(d, y, columns, out_parts);
  y = tn_reshape(b, y, 4, (tn_dim[]){batch, rows, columns, out_parts});
  y = tn_transpose(b, y, (int64_t[]){0, 2, 1, 3});
  y = tn_reshape(b, y, 3, (tn_dim[]){batch, length, out_parts});
  return tn_onnx_cut(b, y, 1, 0, bins);
}

/* The transform of dim `axis` of x [.., length, .., parts]. */
static val transform_axis(struct tn_onnx_node *n, val x, int axis, bool inverse, int64_t bins,
                          int64_t out_parts) {
  struct tn_build *b = n->b;
  enum tn_dtype dtype = x->type.dtype;
  struct dft d = {n, inverse ? 1 : -1, wide_of(dtype)};
  int rank = x->type.rank, last = rank - 2;
  int64_t length = x->type.dim[axis];
  if (!tn_dtype_is_float(dtype)) {
    tn_onnx_error(n, "the signal '%s' is of type %s; expected a float", x->name, tn_dtype_name(dtype));
    tn_fail_now(module_of(n)->ctx);
  }
  val moved = tn_cast(b, tn_onnx_move_dim(b, x, axis, last), d.dtype);
  tn_dim dims[TN_MAX_RANK];
  memcpy(dims, moved->type.dim, sizeof dims);
  tn_dim batch = tn_onnx_product(module_of(n), dims, last);
  val y = tn_reshape(b, moved, 3, (tn_dim[]){batch, length, dims[rank - 1]});
  y = transform(&d, y, bins, out_parts);
  if (inverse)
    y = mul(b, y, num(b, y, 1 / (double)length));
  dims[last] = bins;
  dims[rank - 1] = out_parts;
  return tn_onnx_move_dim(b, tn_cast(b, tn_reshape(b, y, rank, dims), dtype), last, axis);
}

/* Dim `axis` brought to an extent: zeros at the end, or the end cut off. */
static val resized(struct tn_onnx_node *n, val x, int axis, int64_t extent) {
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  after[axis] = extent - tn_onnx_extent(n, x, axis, "the signal");
  return after[axis] ? tn_pad(n->b, x, before, after, NULL) : x;
}

/* A one-sided spectrum [.., length / 2 + 1, .., 2] as the whole: the other half is its conjugate, reversed. */
static val two_sided(struct tn_onnx_node *n, val x, int axis, int64_t length) {
  struct tn_build *b = n->b;
  int64_t more = length - x->type.dim[axis], starts[TN_MAX_RANK], steps[TN_MAX_RANK], sizes[TN_MAX_RANK];
  if (more == 0)
    return x;
  for (int i = 0; i < x->type.rank; i++) {
    starts[i] = i == axis ? more : 0;
    steps[i] = i == axis ? -1 : 1;
    sizes[i] = i == axis ? more : x->type.dim[i];
  }
  void *signs = tn_calloc(n->arena, 2, tn_dtype_size(x->type.dtype));
  tn_store_float(x->type.dtype, signs, 0, 1);
  tn_store_float(x->type.dtype, signs, 1, -1);
  val conjugate = tn_constant_bytes(b, tn_type_make(x->type.dtype, 1, (tn_dim[]){2}), signs);
  val other = mul(b, tn_slice(b, x, starts, steps, sizes), conjugate);
  return tn_concat(b, axis, 2, (val[]){x, other});
}

bool tn_onnx_op_dft(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  int rank = x->type.rank, axis;
  bool inverse = tn_onnx_int(n, "inverse", 0) != 0, onesided = tn_onnx_int(n, "onesided", 0) != 0;
  if (n->opset < 20)
    axis = tn_onnx_axis(n, "axis", 1, rank);
  else
    axis = tn_onnx_check_axis(n, "axis", tn_onnx_in(n, 2) ? tn_onnx_const_int(n, 2, "axis") : -2, rank);
  if (rank < 2 || axis == rank - 1)
    return tn_onnx_error(n, "axis is the last dimension, which holds real and imaginary parts");
  int64_t parts = tn_onnx_extent(n, x, rank - 1, "input"), found = tn_onnx_extent(n, x, axis, "input");
  if (parts != 1 && parts != 2)
    return tn_onnx_error(n, "the last dimension of the input must be 1 (real) or 2 (complex), and is %lld",
                         (long long)parts);
  bool to_real = inverse && onesided;
  int64_t length = to_real ? 2 * (found - 1) : found;
  if (tn_onnx_in(n, 1))
    length = tn_onnx_const_int(n, 1, "dft_length");
  if (length < 1 || length > 1 << 24)
    return tn_onnx_error(n, "the length of the transform is %lld; expected 1 to %d", (long long)length,
                         1 << 24);
  if (onesided && !inverse && parts == 2)
    return tn_onnx_error(n, "onesided is 1, and the input is complex; expected a real one");
  if (to_real && parts == 1)
    return tn_onnx_error(n, "onesided and inverse are 1, and the input is real; expected a complex one");
  x = resized(n, x, axis, to_real ? length / 2 + 1 : length);
  if (to_real)
    x = two_sided(n, x, axis, length);
  n->out[0] =
      transform_axis(n, x, axis, inverse, onesided && !inverse ? length / 2 + 1 : length, to_real ? 1 : 2);
  return true;
}

bool tn_onnx_op_stft(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "signal"), window = tn_onnx_same_dtype(n, 2, "window", x);
  if (x->type.rank == 2)
    x = tn_onnx_unsqueeze(b, x, 2);
  if (x->type.rank != 3 || (window && window->type.rank != 1))
    return tn_onnx_error(n, "the signal must have 3 dimensions and the window 1; found %d and %d", x->type.rank,
                         window ? window->type.rank : 1);
  int64_t step = tn_onnx_const_int(n, 1, "frame_step"), have = tn_onnx_extent(n, x, 1, "signal"), length = have;
  int64_t parts = tn_onnx_extent(n, x, 2, "signal");
  if (tn_onnx_in(n, 3))
    length = tn_onnx_const_int(n, 3, "frame_length");
  else if (window)
    length = tn_onnx_extent(n, window, 0, "window");
  bool onesided = tn_onnx_int(n, "onesided", 1) != 0;
  if (step < 1 || length < 1 || length > have || (parts != 1 && parts != 2))
    return tn_onnx_error(n, "frames of %lld elements by steps of %lld do not fit a signal of %lld (%lld parts)",
                         (long long)length, (long long)step, (long long)have, (long long)parts);
  if (onesided && parts == 2)
    return tn_onnx_error(n, "onesided is 1, and the signal is complex; expected a real one");
  if (window && tn_onnx_extent(n, window, 0, "window") != length)
    return tn_onnx_error(n, "the window has %lld elements, and frame_length is %lld",
                         (long long)window->type.dim[0], (long long)length);
  int64_t frames = (have - length) / step + 1;
  val start = tn_onnx_iota_along(b, TN_I64, frames, 0, 2);
  val at = add(b, mul(b, start, num(b, start, (double)step)), tn_onnx_iota_along(b, TN_I64, length, 1, 2));
  val y = tn_gather(b, x, at, 1); /* [batch, frames, length, parts] */
  if (window)
    y = mul(b, y, tn_onnx_unsqueeze(b, window, 1));
  n->out[0] = transform_axis(n, y, 2, false, onesided ? length / 2 + 1 : length, 2);
  return true;
}
