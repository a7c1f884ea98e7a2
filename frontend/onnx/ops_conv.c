/* Convolutions.  The IR's are channels-last and without padding; ONNX's operands come channels-first and are
 * transposed on both sides, which the layout pass takes away between neighbours. */
#include "frontend/onnx/common.h"

#include <math.h>

/* [m, c/group, k...] to [k..., c/group, m]; with `swap` [k..., m, c/group]. */
static val weights_last(struct tn_build *b, val w, bool swap) {
  int64_t perm[TN_MAX_RANK];
  int rank = w->type.rank;
  for (int i = 0; i < rank - 2; i++)
    perm[i] = i + 2;
  perm[rank - 2] = swap ? 0 : 1;
  perm[rank - 1] = swap ? 1 : 0;
  return tn_transpose(b, w, perm);
}

/* Checks x[n, c, spatial...] and w of the same rank; reads w's spatial extents. */
static void conv_operands(struct tn_onnx_node *n, val x, val w, int64_t *kernel) {
  int spatial = x->type.rank - 2;
  if (spatial < 1 || w->type.rank != x->type.rank) {
    tn_onnx_error(n, "X has %d dimensions and W %d; expected the same number, 3 or more", x->type.rank,
                  w->type.rank);
    tn_fail_now(module_of(n)->ctx);
  }
  if (spatial > 3) {
    tn_onnx_unsupported(n, "%d spatial dimensions; 3 are the most", spatial);
    tn_fail_now(module_of(n)->ctx);
  }
  for (int i = 0; i < spatial; i++)
    kernel[i] = tn_onnx_extent(n, w, 2 + i, "W");
}

/* No element of the weights is known to be other than finite, so that one times a padding zero is zero. */
static bool all_finite(const struct tn_value *w) {
  if (w->def && w->def->op == TN_DEQUANTIZE)
    w = w->def->in[1]; /* the scale */
  const struct tn_tensor *t = tn_value_tensor(w);
  int64_t count;
  if (!tn_dtype_is_float(w->type.dtype))
    return true;
  if (!t || !tn_type_count(&t->type, &count))
    return false;
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(tn_tensor_float(t, i)))
      return false;
  return true;
}

/* The weights without the kernel's first and last elements that meet padding alone, whatever the output (a
 * dilation larger than the image); the window becomes theirs. */
static val without_padded_taps(struct tn_onnx_node *n, val x, val w, struct tn_onnx_window *window) {
  val all = w;
  for (int i = 0; i < window->spatial; i++) {
    int64_t size = window->kernel[i], step = window->dilation[i], first = 0, last = size - 1;
    int64_t end =
        (window->out[i] - 1) * window->stride[i] - window->before[i]; /* the last output's first element */
    if (!tn_dim_static(x->type.dim[2 + i]))
      continue;
    while (first < last && end + first * step < 0)
      first++;
    while (last > first && last * step - window->before[i] >= x->type.dim[2 + i])
      last--;
    if ((first == 0 && last == size - 1) || !all_finite(all))
      continue;
    w = tn_onnx_cut(n->b, w, 2 + i, first, last - first + 1);
    window->kernel[i] = last - first + 1;
    window->before[i] -= first * step;
    window->after[i] -= (size - 1 - last) * step;
  }
  return w;
}

val tn_onnx_conv(struct tn_onnx_node *n, val x, val w, val bias, enum tn_dtype acc) {
  struct tn_build *b = n->b;
  struct tn_onnx_window window = {0};
  int64_t kernel[3], before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  conv_operands(n, x, w, kernel);
  tn_onnx_window(n, x, kernel, &window);
  w = without_padded_taps(n, x, w, &window);
  x = tn_onnx_channels_last(b, x);
  bool padded = false;
  for (int i = 0; i < window.spatial; i++) {
    before[1 + i] = window.before[i];
    after[1 + i] = window.after[i];
    padded = padded || before[1 + i] || after[1 + i];
  }
  if (padded)
    x = tn_pad(b, x, before, after, NULL);
  struct tn_node *node = tn_node_make(b, TN_CONV, 2, (val[]){x, weights_last(b, w, false)}, 1);
  tn_set_ints(node, TN_CONV_strides, window.stride, (size_t)window.spatial);
  tn_set_ints(node, TN_CONV_dilations, window.dilation, (size_t)window.spatial);
  tn_set_int(node, TN_CONV_group, tn_onnx_int(n, "group", 1));
  tn_set_int(node, TN_CONV_acc, acc);
  if (!tn_finish(b, node))
    tn_fail_now(module_of(n)->ctx);
  val y = node->out[0];
  if (bias)
    y = add(b, y, bias);
  return tn_onnx_channels_first(b, y);
}

bool tn_onnx_op_conv(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X"), w = tn_onnx_need(n, 1, "W");
  n->out[0] = tn_onnx_conv(n, x, w, tn_onnx_same_dtype(n, 2, "B", x), TN_NONE);
  return true;
}

/* com.microsoft FusedConv: activation(conv(X, W, B) + Z). */
bool tn_onnx_op_fused_conv(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "X"), w = tn_onnx_need(n, 1, "W"), z = tn_onnx_in(n, 3);
  const float *params = NULL;
  size_t count = 0;
  tn_onnx_floats(n, "activation_params", &params, &count);
  val y = tn_onnx_conv(n, x, w, tn_onnx_same_dtype(n, 2, "B", x), TN_NONE);
  if (z)
    y = add(n->b, y, z);
  n->out[0] = tn_onnx_activation(n, y, tn_onnx_string(n, "activation", ""), params, count);
  return true;
}

/* ---- transposed ----------------------------------------------------------------------------------------- */

/* Padding from pads, or from auto_pad and output_shape: what the wanted output leaves over is cut off at both
 * ends; what it asks beyond that is filled with zeros at the end. */
static bool transpose_padding(struct tn_onnx_node *n, val x, struct tn_onnx_window *w, int64_t *extra) {
  const char *mode = tn_onnx_string(n, "auto_pad", "NOTSET");
  bool upper = !strcmp(mode, "SAME_UPPER"), same = upper || !strcmp(mode, "SAME_LOWER");
  struct tn_ints want = {0};
  int64_t pads[2 * TN_ONNX_MAX_SPATIAL];
  bool shaped = tn_onnx_ints(n, "output_shape", &want) && want.count > 0;
  size_t skip = want.count == (size_t)w->spatial + 2 ? 2 : 0;
  if (shaped && want.count - skip != (size_t)w->spatial)
    return tn_onnx_error(n, "attribute output_shape has %zu elements; expected %d", want.count, w->spatial);
  tn_onnx_ints_or(n, "strides", w->spatial, 1, w->stride);
  tn_onnx_ints_or(n, "dilations", w->spatial, 1, w->dilation);
  tn_onnx_ints_or(n, "output_padding", w->spatial, 0, extra);
  tn_onnx_ints_or(n, "pads", 2 * w->spatial, 0, pads);
  for (int i = 0; i < w->spatial; i++) {
    w->before[i] = pads[i];
    w->after[i] = pads[w->spatial + i];
    if (!shaped && !same) {
      if (!strcmp(mode, "VALID"))
        w->before[i] = w->after[i] = 0;
      continue;
    }
    int64_t in = tn_onnx_extent(n, x, 2 + i, "X");
    int64_t out = shaped ? want.at[skip + (size_t)i] : in * w->stride[i];
    if (out < 1 || out > (int64_t)1 << 40)
      return tn_onnx_error(n, "output_shape has the element %lld", (long long)out);
    int64_t total = (in - 1) * w->stride[i] + extra[i] + (w->kernel[i] - 1) * w->dilation[i] + 1 - out;
    if (total < 0) {
      extra[i] -= total;
      total = 0;
    }
    w->before[i] = upper ? total / 2 : total - total / 2;
    w->after[i] = total - w->before[i];
  }
  return true;
}

bool tn_onnx_op_conv_transpose(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X"), w = tn_onnx_need(n, 1, "W"), bias = tn_onnx_same_dtype(n, 2, "B", x);
  struct tn_onnx_window window = {.spatial = x->type.rank - 2};
  int64_t extra[TN_ONNX_MAX_SPATIAL];
  size_t spatial = (size_t)window.spatial;
  conv_operands(n, x, w, window.kernel);
  if (!transpose_padding(n, x, &window, extra))
    return false;
  val in[2] = {tn_onnx_channels_last(b, x), weights_last(b, w, true)};
  struct tn_node *node = tn_node_make(b, TN_CONV_TRANSPOSE, 2, in, 1);
  tn_set_ints(node, TN_CONV_TRANSPOSE_strides, window.stride, spatial);
  tn_set_ints(node, TN_CONV_TRANSPOSE_dilations, window.dilation, spatial);
  tn_set_ints(node, TN_CONV_TRANSPOSE_before, window.before, spatial);
  tn_set_ints(node, TN_CONV_TRANSPOSE_after, window.after, spatial);
  tn_set_ints(node, TN_CONV_TRANSPOSE_output_padding, extra, spatial);
  tn_set_int(node, TN_CONV_TRANSPOSE_group, tn_onnx_int(n, "group", 1));
  if (!tn_finish(b, node))
    return false;
  val y = node->out[0];
  if (bias)
    y = add(b, y, bias);
  n->out[0] = tn_onnx_channels_first(b, y);
  return true;
}

/* ---- CausalConvWithState -------------------------------------------------------------------------------- */

/* Each channel of x[n, c, length] convolved with its own kernel w[c, 1, k], looking back only: the k - 1
 * elements before the first are past_state[n, c, k - 1], or zeros.  present_state: the last k - 1 of all. */
bool tn_onnx_op_causal_conv_with_state(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), w = tn_onnx_need(n, 1, "weight");
  val bias = tn_onnx_same_dtype(n, 2, "bias", x), state = tn_onnx_same_dtype(n, 3, "past_state", x);
  const char *activation = tn_onnx_string(n, "activation", "none");
  bool silu = !strcmp(activation, "silu") || !strcmp(activation, "swish");
  const int64_t ones[] = {1};
  if (x->type.rank != 3 || w->type.rank != 3)
    return tn_onnx_error(n, "expected input [n, c, length] and weight [c, 1, k]; found %d and %d dimensions",
                         x->type.rank, w->type.rank);
  if (!silu && strcmp(activation, "none") != 0)
    return tn_onnx_error(n, "attribute activation is '%s'; expected none, silu or swish", activation);
  int64_t channels = tn_onnx_extent(n, x, 1, "input"), back = tn_onnx_extent(n, w, 2, "weight") - 1;
  if (back < 0)
    return tn_onnx_error(n, "weight '%s' has no elements", w->name);
  val all = x;
  if (back > 0) {
    val zeros = state ? NULL : tn_expand(b, num(b, x, 0), 3, (tn_dim[]){x->type.dim[0], channels, back});
    all = tn_concat(b, 2, 2, (val[]){state ? state : zeros, x});
  }
  val in[2] = {tn_onnx_channels_last(b, all), weights_last(b, w, false)};
  struct tn_node *node = tn_node_make(b, TN_CONV, 2, in, 1);
  tn_set_ints(node, TN_CONV_strides, ones, 1);
  tn_set_ints(node, TN_CONV_dilations, ones, 1);
  tn_set_int(node, TN_CONV_group, channels);
  if (!tn_finish(b, node))
    return false;
  val y = bias ? add(b, node->out[0], bias) : node->out[0];
  if (silu)
    y = mul(b, y, tn_unary(b, TN_SIGMOID, y));
  n->out[0] = tn_onnx_channels_first(b, y);
  if (n->out_count > 1 && n->out_used[1])
    n->out[1] = tn_onnx_cut(b, all, 2, tn_onnx_extent(n, all, 2, "input") - back, back);
  return true;
}

/* ---- Col2Im --------------------------------------------------------------------------------------------- */

/* x[n, c * kernel elements, windows] back to an image [n, c, image_shape...]: each kernel element's windows,
 * spread by the stride and moved to its place, are added up. */
bool tn_onnx_op_col2im(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), sum = NULL;
  struct tn_ints image = tn_onnx_const_ints(n, 1, "image_shape"),
                 block = tn_onnx_const_ints(n, 2, "block_shape");
  int spatial = (int)image.count;
  int64_t stride[TN_MAX_RANK], dilation[TN_MAX_RANK], pads[2 * TN_MAX_RANK], elements = 1, windows = 1;
  tn_dim grid[TN_MAX_RANK];
  if (spatial < 1 || spatial > TN_MAX_RANK - 2 || block.count != image.count || x->type.rank != 3)
    return tn_onnx_error(
        n, "expected an operand of 3 dimensions, image_shape and block_shape of one length, 1 to %d",
        TN_MAX_RANK - 2);
  tn_onnx_ints_or(n, "strides", spatial, 1, stride);
  tn_onnx_ints_or(n, "dilations", spatial, 1, dilation);
  tn_onnx_ints_or(n, "pads", 2 * spatial, 0, pads);
  for (int i = 0; i < spatial; i++) {
    if (block.at[i] < 1 || stride[i] < 1 || dilation[i] < 1 || image.at[i] < 1 ||
        block.at[i] > TN_ONNX_MAX_STEP || image.at[i] > INT32_MAX)
      return tn_onnx_error(n, "block_shape, image_shape, strides and dilations must be above 0 and in range");
    int64_t room = image.at[i] + pads[i] + pads[spatial + i] - ((block.at[i] - 1) * dilation[i] + 1);
    if (room < 0)
      return tn_onnx_error(n, "the block is larger than the image in spatial dimension %d", i);
    grid[2 + i] = room / stride[i] + 1;
    if (!tn_mul_i64(elements, block.at[i], &elements) || !tn_mul_i64(windows, grid[2 + i], &windows))
      return tn_onnx_error(n, "the image has too many elements");
  }
  int64_t channels = tn_onnx_extent(n, x, 1, "input");
  if (channels % elements != 0 || tn_onnx_extent(n, x, 2, "input") != windows)
    return tn_onnx_error(n, "'%s' is [n, %lld, %lld]; expected [n, a multiple of %lld, %lld]", x->name,
                         (long long)channels, (long long)x->type.dim[2], (long long)elements,
                         (long long)windows);
  if (elements > 4096)
    return tn_onnx_unsupported(n, "a block of %lld elements; 4096 are the most", (long long)elements);
  grid[0] = x->type.dim[0];
  grid[1] = channels / elements;
  x = tn_reshape(b, x, 4, (tn_dim[]){grid[0], grid[1], elements, windows});
  for (int64_t e = 0; e < elements; e++) {
    int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0}, between[TN_MAX_RANK] = {0}, rest = e;
    for (int i = spatial - 1; i >= 0; i--) {
      before[2 + i] = rest % block.at[i] * dilation[i] - pads[i];
      after[2 + i] = image.at[i] - before[2 + i] - ((grid[2 + i] - 1) * stride[i] + 1);
      between[2 + i] = stride[i] - 1;
      rest /= block.at[i];
    }
    val part = tn_reshape(b, tn_onnx_cut(b, x, 2, e, 1), spatial + 2, grid);
    struct tn_node *node = tn_node_make(b, TN_PAD, 1, &part, 1);
    tn_set_ints(node, TN_PAD_before, before, (size_t)spatial + 2);
    tn_set_ints(node, TN_PAD_after, after, (size_t)spatial + 2);
    tn_set_ints(node, TN_PAD_interior, between, (size_t)spatial + 2);
    if (!tn_finish(b, node))
      return false;
    sum = sum ? add(b, sum, node->out[0]) : node->out[0];
  }
  n->out[0] = sum;
  return true;
}
