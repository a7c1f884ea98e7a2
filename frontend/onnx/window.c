/* Sliding windows: the attributes that Conv and the pools share, resolved to explicit numbers.
 *
 * Per spatial dim: out = floor((in + before + after - ((kernel - 1) * dilation + 1)) / stride) + 1, where
 * auto_pad and ceil_mode have gone into before and after. */
#include "frontend/onnx/common.h"

TN_NORETURN static void leave(struct tn_onnx_node *n) {
  tn_fail_now(module_of(n)->ctx);
}

/* auto_pad SAME_*: out = ceil(in / stride); the odd element goes to the end (UPPER) or the beginning (LOWER).
 */
static void pad_same(struct tn_onnx_window *w, int i, int64_t in, int64_t reach, bool upper) {
  int64_t out = (in + w->stride[i] - 1) / w->stride[i];
  int64_t total = (out - 1) * w->stride[i] + reach - in;
  total = total > 0 ? total : 0;
  w->before[i] = upper ? total / 2 : total - total / 2;
  w->pad_after[i] = w->after[i] = total - w->before[i];
  w->out[i] = out;
}

void tn_onnx_window(struct tn_onnx_node *n, val x, const int64_t *kernel, struct tn_onnx_window *w) {
  const char *mode = tn_onnx_string(n, "auto_pad", "NOTSET");
  bool ceil_mode = tn_onnx_int(n, "ceil_mode", 0) != 0;
  int64_t pads[2 * TN_ONNX_MAX_SPATIAL];
  w->spatial = x->type.rank - 2;
  if (w->spatial < 1) {
    tn_onnx_error(n, "expected an operand [n, c, spatial...]; '%s' has %d dimensions", x->name, x->type.rank);
    leave(n);
  }
  tn_onnx_ints_or(n, "strides", w->spatial, 1, w->stride);
  tn_onnx_ints_or(n, "dilations", w->spatial, 1, w->dilation);
  tn_onnx_ints_or(n, "pads", 2 * w->spatial, 0, pads);
  if (kernel)
    memcpy(w->kernel, kernel, (size_t)w->spatial * sizeof *kernel);
  else
    tn_onnx_ints_or(n, "kernel_shape", w->spatial, 0, w->kernel);
  bool upper = !strcmp(mode, "SAME_UPPER"), same = upper || !strcmp(mode, "SAME_LOWER");
  bool valid = !strcmp(mode, "VALID");
  if (!same && !valid && strcmp(mode, "NOTSET") != 0 && *mode) {
    tn_onnx_error(n, "attribute auto_pad is '%s'; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID", mode);
    leave(n);
  }
  for (int i = 0; i < w->spatial; i++) {
    int64_t limit = TN_ONNX_MAX_STEP; /* the kernel may be an operand's */
    if (w->kernel[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || w->kernel[i] > limit ||
        w->stride[i] > limit || w->dilation[i] > limit || pads[i] > limit || pads[i] < -limit ||
        pads[w->spatial + i] > limit || pads[w->spatial + i] < -limit) {
      tn_onnx_error(n, "spatial dimension %d: kernel %lld, stride %lld and dilation %lld must be above 0", i,
                    (long long)w->kernel[i], (long long)w->stride[i], (long long)w->dilation[i]);
      leave(n);
    }
    int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
    tn_dim in = x->type.dim[2 + i];
    if (same) {
      pad_same(w, i, tn_onnx_extent(n, x, 2 + i, "X"), reach, upper);
      continue;
    }
    w->before[i] = valid ? 0 : pads[i];
    w->pad_after[i] = w->after[i] = valid ? 0 : pads[w->spatial + i];
    w->out[i] = -1; /* a symbol */
    if (ceil_mode)
      tn_onnx_extent(n, x, 2 + i, "X");
    if (!tn_dim_static(in))
      continue;
    int64_t room = in + w->before[i] + w->after[i] - reach;
    if (room < (ceil_mode ? 1 - w->stride[i] : 0)) {
      tn_onnx_error(n, "spatial dimension %d: a window of %lld is larger than '%s', %lld with its padding", i,
                    (long long)reach, x->name, (long long)(room + reach));
      leave(n);
    }
    w->out[i] = (room + (ceil_mode ? w->stride[i] - 1 : 0)) / w->stride[i] + 1;
    /* a window that would start in the padding at the end is left out */
    if (ceil_mode && (w->out[i] - 1) * w->stride[i] >= in + w->before[i])
      w->out[i]--;
    /* one window past both ends: what is outside the padding is never read or counted */
    if (room < 0 && w->dilation[i] == 1) {
      w->kernel[i] += room;
    } else if (ceil_mode) {
      int64_t after = (w->out[i] - 1) * w->stride[i] + reach - in - w->before[i];
      w->after[i] = after > 0 ? after : 0;
    }
  }
}
