/* Pools: windows over the spatial dims of [n, c, spatial...], and over all of them (Global*). */
#include "frontend/onnx/common.h"

static val pool(struct tn_onnx_node *n, val x, int kind, const struct tn_onnx_window *w) {
  int64_t window[TN_MAX_RANK] = {1, 1}, stride[TN_MAX_RANK] = {1, 1}, dilation[TN_MAX_RANK] = {1, 1};
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  size_t rank = (size_t)x->type.rank, bytes = (size_t)w->spatial * sizeof(int64_t);
  memcpy(window + 2, w->kernel, bytes);
  memcpy(stride + 2, w->stride, bytes);
  memcpy(dilation + 2, w->dilation, bytes);
  memcpy(before + 2, w->before, bytes);
  memcpy(after + 2, w->after, bytes);
  struct tn_node *node = tn_node_make(n->b, TN_POOL, 1, &x, 1);
  tn_set_int(node, TN_POOL_kind, kind);
  tn_set_ints(node, TN_POOL_window, window, rank);
  tn_set_ints(node, TN_POOL_strides, stride, rank);
  tn_set_ints(node, TN_POOL_dilations, dilation, rank);
  tn_set_ints(node, TN_POOL_before, before, rank);
  tn_set_ints(node, TN_POOL_after, after, rank);
  if (!tn_finish(n->b, node))
    tn_fail_now(module_of(n)->ctx);
  return node->out[0];
}

/* ---- MaxPool -------------------------------------------------------------------------------------------- */

/* Place of each window's first largest element in the flattened operand: the kernel elements one by one, each a
 * strided cut of the padded operand, against the best so far.  storage_order 1 counts the last two dims
 * column-major. */
static bool max_pool_indices(struct tn_onnx_node *n, val x, const struct tn_onnx_window *w) {
  struct tn_build *b = n->b;
  int rank = x->type.rank;
  const int64_t *d = tn_onnx_static_dims(n, x, "X");
  bool columns = tn_onnx_int(n, "storage_order", 0) != 0 && w->spatial > 1;
  val place = NULL;
  int64_t step = 1, elements = 1;
  for (int i = rank - 1; i >= 0; i--) {
    int64_t by = columns && i == rank - 1 ? d[rank - 2] : columns && i == rank - 2 ? 1 : step;
    val at = mul(b, tn_onnx_iota_along(b, TN_I64, d[i], i, rank), tn_const_int(b, TN_I64, by));
    place = place ? add(b, place, at) : at;
    step *= d[i];
  }
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0}, starts[TN_MAX_RANK] = {0},
          steps[TN_MAX_RANK] = {1, 1};
  int64_t sizes[TN_MAX_RANK] = {d[0], d[1]};
  for (int i = 0; i < w->spatial; i++) {
    before[2 + i] = w->before[i];
    after[2 + i] = w->after[i];
    steps[2 + i] = w->stride[i];
    sizes[2 + i] = w->out[i];
    elements *= w->kernel[i];
  }
  if (elements > 1024)
    return tn_onnx_unsupported(n, "output Indices with a window of %lld elements; 1024 are the most",
                               (long long)elements);
  /* padding carries no place, so that it never wins: a mask travels with it */
  val inside = tn_pad(b, tn_expand(b, tn_const_int(b, TN_BOOL, 1), rank, d), before, after, NULL);
  val value = tn_pad(b, x, before, after, NULL), where = tn_pad(b, place, before, after, NULL);
  val best = NULL, best_at = NULL, found = NULL;
  for (int64_t e = 0; e < elements; e++) {
    int64_t rest = e;
    for (int i = w->spatial - 1; i >= 0; i--) {
      starts[2 + i] = rest % w->kernel[i] * w->dilation[i];
      rest /= w->kernel[i];
    }
    val here = tn_slice(b, value, starts, steps, sizes), at = tn_slice(b, where, starts, steps, sizes);
    val in = tn_slice(b, inside, starts, steps, sizes);
    if (!best) {
      best = here;
      best_at = at;
      found = in;
      continue;
    }
    val better = tn_binary(b, TN_OR, tn_binary(b, TN_GT, here, best), tn_unary(b, TN_NOT, found));
    better = tn_binary(b, TN_AND, in, better);
    best = tn_select(b, better, here, best);
    best_at = tn_select(b, better, at, best_at);
    found = tn_binary(b, TN_OR, found, in);
  }
  n->out[1] = best_at;
  return true;
}

bool tn_onnx_op_max_pool(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X");
  struct tn_onnx_window w = {0};
  tn_onnx_window(n, x, NULL, &w);
  n->out[0] = pool(n, x, TN_WINDOW_MAX, &w);
  return n->out_count < 2 || !n->out_used[1] || max_pool_indices(n, x, &w);
}

/* Elements go to the places that MaxPool's Indices name, zeros elsewhere. */
bool tn_onnx_op_max_unpool(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), indices = tn_onnx_need(n, 1, "I");
  const int64_t *d = tn_onnx_static_dims(n, x, "X");
  int rank = x->type.rank, spatial = rank - 2;
  int64_t kernel[TN_MAX_RANK], stride[TN_MAX_RANK], pads[2 * TN_MAX_RANK], given = 1, count = 1;
  tn_dim plain[TN_MAX_RANK], dims[TN_MAX_RANK];
  if (spatial < 1)
    return tn_onnx_error(n, "expected an operand [n, c, spatial...]; '%s' has %d dimensions", x->name, rank);
  tn_onnx_ints_or(n, "kernel_shape", spatial, 1, kernel);
  tn_onnx_ints_or(n, "strides", spatial, 1, stride);
  tn_onnx_ints_or(n, "pads", 2 * spatial, 0, pads);
  for (int i = 0; i < rank; i++) {
    plain[i] = i < 2 ? d[i] : (d[i] - 1) * stride[i - 2] - pads[i - 2] - pads[spatial + i - 2] + kernel[i - 2];
    dims[i] = plain[i];
    count *= d[i];
  }
  if (tn_onnx_in(n, 2)) {
    struct tn_ints shape = tn_onnx_const_ints(n, 2, "output_shape");
    if (shape.count != (size_t)rank)
      return tn_onnx_error(n, "output_shape has %zu elements; expected %d", shape.count, rank);
    memcpy(dims, shape.at, shape.count * sizeof *dims);
  }
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 1 || plain[i] < 1)
      return tn_onnx_error(n, "dimension %d of the output would be %lld", i, (long long)dims[i]);
    if (!tn_mul_i64(given, plain[i], &given))
      return tn_onnx_error(n, "the output has too many elements");
  }
  /* indices count in the plain output; a larger output_shape holds that at its beginning */
  val in[3] = {tn_expand(b, num(b, x, 0), 1, &given), tn_reshape(b, indices, 1, &count),
               tn_reshape(b, x, 1, &count)};
  struct tn_node *node = tn_node_make(b, TN_SCATTER_ELEMENTS, 3, in, 1);
  if (!tn_finish(b, node))
    return false;
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK];
  bool larger = false;
  for (int i = 0; i < rank; i++) {
    after[i] = dims[i] - plain[i];
    larger = larger || after[i];
  }
  val y = tn_reshape(b, node->out[0], rank, plain);
  n->out[0] = larger ? tn_pad(b, y, before, after, NULL) : y;
  return true;
}

/* ---- AveragePool and LpPool ----------------------------------------------------------------------------- */

/* How many elements of dim i the window at each output place covers; true when all are alike. */
static bool window_counts(const struct tn_onnx_window *w, int i, int64_t in, bool with_pads, int64_t *counts) {
  bool uniform = true;
  int64_t low = with_pads ? -w->before[i] : 0, high = with_pads ? in + w->pad_after[i] : in;
  for (int64_t o = 0; o < w->out[i]; o++) {
    counts[o] = 0;
    for (int64_t k = 0; k < w->kernel[i]; k++) {
      int64_t at = o * w->stride[i] + k * w->dilation[i] - w->before[i];
      counts[o] += at >= low && at < high;
    }
    uniform = uniform && counts[o] == counts[0];
  }
  return uniform;
}

/* The divisor, a number or [1, 1, out...]. */
static val average_divisor(struct tn_onnx_node *n, val x, const struct tn_onnx_window *w, bool with_pads) {
  struct tn_build *b = n->b;
  double whole = 1;
  val divisor = NULL;
  for (int i = 0; i < w->spatial; i++) {
    bool padded = w->before[i] || w->after[i];
    if (!padded) {
      whole *= (double)w->kernel[i];
      continue;
    }
    if (w->out[i] > (1 << 26) / w->kernel[i]) {
      tn_onnx_unsupported(n, "spatial dimension %d has %lld windows of %lld elements", i, (long long)w->out[i],
                          (long long)w->kernel[i]);
      tn_fail_now(module_of(n)->ctx);
    }
    int64_t in = tn_onnx_extent(n, x, 2 + i, "X"), *counts = TN_NEW_ARRAY(n->arena, int64_t, w->out[i] + 1);
    if (window_counts(w, i, in, with_pads, counts)) {
      whole *= (double)counts[0];
      continue;
    }
    char *data = tn_alloc(n->arena, (size_t)w->out[i] * tn_dtype_size(x->type.dtype) + 1);
    for (int64_t o = 0; o < w->out[i]; o++)
      tn_store_float(x->type.dtype, data, o, (double)counts[o]);
    val part = tn_constant_bytes(b, tn_type_make(x->type.dtype, 1, &w->out[i]), data);
    part = tn_onnx_along(b, part, 2 + i, x->type.rank);
    divisor = divisor ? mul(b, divisor, part) : part;
  }
  val number = num(b, x, whole);
  return !divisor ? number : whole == 1 ? divisor : mul(b, divisor, number);
}

bool tn_onnx_op_average_pool(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  enum tn_dtype dtype = x->type.dtype;
  struct tn_onnx_window w = {0};
  tn_onnx_window(n, x, NULL, &w);
  x = tn_cast(b, x, wide_of(dtype));
  val divisor = average_divisor(n, x, &w, tn_onnx_int(n, "count_include_pad", 0) != 0);
  n->out[0] = tn_cast(b, quo(b, pool(n, x, TN_WINDOW_SUM, &w), divisor), dtype);
  return true;
}

/* |x|^p before the sum, and the p-th root after it. */
static val p_power(struct tn_build *b, val x, int64_t p) {
  if (p == 2)
    return mul(b, x, x);
  x = tn_unary(b, TN_ABS, x);
  return p == 1 ? x : tn_binary(b, TN_POW, x, num(b, x, (double)p));
}
static val p_root(struct tn_build *b, val x, int64_t p) {
  if (p == 2)
    return tn_unary(b, TN_SQRT, x);
  return p == 1 ? x : tn_binary(b, TN_POW, x, num(b, x, 1.0 / (double)p));
}

bool tn_onnx_op_lp_pool(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  int64_t p = tn_onnx_int(n, "p", 2);
  struct tn_onnx_window w = {0};
  if (p < 1)
    return tn_onnx_error(n, "attribute p is %lld; expected 1 or more", (long long)p);
  tn_onnx_window(n, x, NULL, &w);
  n->out[0] = p_root(b, pool(n, p_power(b, x, p), TN_WINDOW_SUM, &w), p);
  return true;
}

/* ---- global --------------------------------------------------------------------------------------------- */

/* arg 0: average, 1: max, 2: Lp. */
bool tn_onnx_op_global_pool(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  enum tn_dtype dtype = x->type.dtype;
  int64_t axes[TN_MAX_RANK], p = tn_onnx_int(n, "p", 2);
  int count = x->type.rank - 2;
  if (count < 1 || p < 1)
    return tn_onnx_error(
        n, "expected an operand [n, c, spatial...] and p of 1 or more; found %d dimensions and %lld",
        x->type.rank, (long long)p);
  for (int i = 0; i < count; i++)
    axes[i] = 2 + i;
  if (n->arg == 0)
    x = tn_cast(b, tn_onnx_mean(b, tn_cast(b, x, wide_of(dtype)), axes, (size_t)count, true), dtype);
  else if (n->arg == 1)
    x = tn_reduce(b, TN_REDUCE_MAX, x, axes, (size_t)count, true);
  else
    x = p_root(b, tn_reduce(b, TN_REDUCE_SUM, p_power(b, x, p), axes, (size_t)count, true), p);
  n->out[0] = x;
  return true;
}

/* x / ||x||_p along axis; a zero vector stays zero. */
bool tn_onnx_op_lp_normalization(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  int64_t axis = tn_onnx_axis(n, "axis", -1, x->type.rank), p = tn_onnx_int(n, "p", 2);
  if (p < 1)
    return tn_onnx_error(n, "attribute p is %lld; expected 1 or 2", (long long)p);
  val norm = p_root(b, tn_reduce(b, TN_REDUCE_SUM, p_power(b, x, p), &axis, 1, true), p);
  val zero = tn_binary(b, TN_EQ, norm, num(b, norm, 0));
  n->out[0] = quo(b, x, tn_select(b, zero, num(b, norm, 1), norm));
  return true;
}
