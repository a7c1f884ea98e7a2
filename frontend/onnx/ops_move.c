/* Operators on shapes: constants, reshaping, cutting and joining.  Elements move; none is computed. */
#include "frontend/onnx/common.h"

/* ---- sources -------------------------------------------------------------------------------------------- */

bool tn_onnx_op_constant_of_shape(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  tn_dim dims[TN_MAX_RANK];
  const struct tn_tensor *value = tn_onnx_tensor(n, "value");
  int rank = tn_onnx_const_dims(n, 0, "input", dims);
  val number = value ? tn_onnx_scalar(b, tn_constant(b, value)) : tn_const_float(b, TN_F32, 0);
  if (number->type.rank != 0)
    return tn_onnx_error(n, "attribute value must have one element; it has %d dimensions", number->type.rank);
  n->out[0] = tn_onnx_full(b, number, rank, dims);
  return true;
}

bool tn_onnx_op_shape(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "data");
  int64_t rank = x->type.rank;
  int64_t start = tn_onnx_int(n, "start", 0), end = tn_onnx_int(n, "end", rank);
  start = start < 0 ? start + rank : start;
  end = end < 0 ? end + rank : end;
  start = start < 0 ? 0 : start > rank ? rank : start;
  end = end < start ? start : end > rank ? rank : end;
  bool known = true;
  for (int64_t i = start; i < end; i++)
    known = known && tn_dim_static(x->type.dim[i]);
  if (known) {
    n->out[0] = tn_const_i64s(n->b, x->type.dim + start, (size_t)(end - start));
    return true;
  }
  struct tn_node *node = tn_node_make(n->b, TN_SHAPE, 1, &x, 1);
  tn_set_int(node, TN_SHAPE_start, start);
  tn_set_int(node, TN_SHAPE_end, end);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

bool tn_onnx_op_size(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "data");
  int64_t count;
  if (tn_type_count(&x->type, &count)) {
    n->out[0] = tn_const_int(b, TN_I64, count);
    return true;
  }
  struct tn_node *node = tn_node_make(b, TN_SHAPE, 1, &x, 1);
  tn_set_int(node, TN_SHAPE_end, x->type.rank);
  if (!tn_finish(b, node))
    return false;
  n->out[0] = tn_reduce(b, TN_REDUCE_PROD, node->out[0], &(int64_t){0}, 1, false);
  return true;
}

/* ---- the same elements in another shape ----------------------------------------------------------------- */

/* 0 copies a dim of the operand (unless allowzero), -1 takes what is left. */
bool tn_onnx_op_reshape(struct tn_onnx_node *n) {
  struct tn_module *module = module_of(n);
  val x = tn_onnx_need(n, 0, "data");
  tn_dim dims[TN_MAX_RANK], rest = 1;
  int rank = tn_onnx_const_dims(n, 1, "shape", dims), open = -1;
  bool allow_zero = tn_onnx_int(n, "allowzero", 0) != 0;
  for (int i = 0; i < rank; i++) {
    int64_t number;
    bool is_number = tn_dim_value(module, dims[i], &number);
    if (is_number && number == -1) {
      if (open >= 0)
        return tn_onnx_error(n, "shape has -1 at both %d and %d; one at most can be left open", open, i);
      open = i;
      continue;
    }
    if (is_number && number < 0)
      return tn_onnx_error(n, "shape has the extent %lld", (long long)number);
    if (is_number && number == 0 && !allow_zero) {
      if (i >= x->type.rank)
        return tn_onnx_error(n, "shape copies dimension %d, and '%s' has %d dimensions", i, x->name,
                             x->type.rank);
      dims[i] = x->type.dim[i];
    }
    rest = tn_dim_op(module, '*', rest, dims[i]);
  }
  if (open >= 0) {
    tn_dim all = tn_onnx_product(module, x->type.dim, x->type.rank);
    if (rest == 0)
      return tn_onnx_error(n, "-1 in shape cannot be resolved beside a dimension of 0");
    if (tn_dim_static(all) && tn_dim_static(rest) && all % rest != 0)
      return tn_onnx_error(n, "'%s' has %lld elements, which the given dimensions (%lld) do not divide",
                           x->name, (long long)all, (long long)rest);
    dims[open] = tn_dim_op(module, '/', all, rest);
  }
  n->out[0] = tn_reshape(n->b, x, rank, dims);
  return true;
}

bool tn_onnx_op_flatten(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  int64_t axis = tn_onnx_int(n, "axis", 1);
  int rank = x->type.rank;
  if (axis < -rank || axis > rank)
    return tn_onnx_error(n, "attribute axis is %lld; '%s' has %d dimensions", (long long)axis, x->name, rank);
  int cut = (int)(axis < 0 ? axis + rank : axis);
  tn_dim dims[2] = {tn_onnx_product(module_of(n), x->type.dim, cut),
                    tn_onnx_product(module_of(n), x->type.dim + cut, rank - cut)};
  n->out[0] = tn_reshape(n->b, x, 2, dims);
  return true;
}

bool tn_onnx_op_squeeze(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "data");
  int64_t axes[TN_MAX_RANK];
  int count, rank = 0, next = 0;
  tn_dim dims[TN_MAX_RANK];
  bool named = tn_onnx_axes(n, "axes", n->opset >= 13 ? 1 : -1, x->type.rank, axes, &count);
  for (int i = 0; i < x->type.rank; i++) {
    tn_dim dim = x->type.dim[i];
    bool drop = named ? next < count && axes[next] == i : dim == 1;
    if (drop && named) {
      next++;
      if (tn_dim_static(dim) && dim != 1)
        return tn_onnx_error(n, "dimension %d of '%s' is %lld and cannot be squeezed", i, x->name,
                             (long long)dim);
    }
    if (!drop)
      dims[rank++] = dim;
  }
  n->out[0] = rank == x->type.rank ? x : tn_reshape(n->b, x, rank, dims);
  return true;
}

bool tn_onnx_op_unsqueeze(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "data");
  struct tn_ints given;
  if (n->opset >= 13)
    given = tn_onnx_const_ints(n, 1, "axes");
  else if (!tn_onnx_ints(n, "axes", &given))
    return tn_onnx_error(n, "attribute axes is missing");
  int rank = x->type.rank + (int)given.count, next = 0;
  bool fresh[TN_MAX_RANK] = {false};
  tn_dim dims[TN_MAX_RANK];
  if (given.count > TN_MAX_RANK || rank > TN_MAX_RANK)
    return tn_onnx_unsupported(n, "the result would have %d dimensions; %d are the most", rank, TN_MAX_RANK);
  for (size_t i = 0; i < given.count; i++) {
    int axis = tn_onnx_check_axis(n, "axes", given.at[i], rank);
    if (fresh[axis])
      return tn_onnx_error(n, "axes names dimension %d twice", axis);
    fresh[axis] = true;
  }
  for (int i = 0; i < rank; i++)
    dims[i] = fresh[i] ? 1 : x->type.dim[next++];
  n->out[0] = given.count == 0 ? x : tn_reshape(n->b, x, rank, dims);
  return true;
}

bool tn_onnx_op_transpose(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "data");
  int64_t perm[TN_MAX_RANK];
  tn_onnx_ints_or(n, "perm", x->type.rank, -1, perm);
  if (!tn_onnx_has(n, "perm"))
    for (int i = 0; i < x->type.rank; i++)
      perm[i] = x->type.rank - 1 - i;
  n->out[0] = tn_transpose(n->b, x, perm);
  return true;
}

/* ---- repeating ------------------------------------------------------------------------------------------ */

bool tn_onnx_op_expand(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  tn_dim shape[TN_MAX_RANK], dims[TN_MAX_RANK];
  int rank = tn_onnx_const_dims(n, 1, "shape", shape);
  rank = tn_onnx_broadcast(n, x->type.rank, x->type.dim, rank, shape, dims);
  struct tn_type to = tn_type_make(x->type.dtype, rank, dims);
  n->out[0] = tn_onnx_expand_like(n->b, x, &to);
  return true;
}

/* Axis by axis: [pre, d, post] -> [pre, repeat, d, post], broadcast, and back. */
bool tn_onnx_op_tile(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  struct tn_module *module = module_of(n);
  val x = tn_onnx_need(n, 0, "input");
  tn_dim repeats[TN_MAX_RANK], dims[TN_MAX_RANK];
  int count = tn_onnx_const_dims(n, 1, "repeats", repeats), rank = x->type.rank;
  if (count != rank)
    return tn_onnx_error(n, "repeats has %d elements; '%s' has %d dimensions", count, x->name, rank);
  for (int i = 0; i < rank; i++) {
    if (repeats[i] == 1)
      continue;
    memcpy(dims, x->type.dim, sizeof dims);
    if (dims[i] == 1) {
      dims[i] = repeats[i];
      x = tn_expand(b, x, rank, dims);
      continue;
    }
    tn_dim pre = tn_onnx_product(module, dims, i), post = tn_onnx_product(module, dims + i + 1, rank - i - 1);
    x = tn_reshape(b, x, 4, (tn_dim[]){pre, 1, dims[i], post});
    x = tn_expand(b, x, 4, (tn_dim[]){pre, repeats[i], dims[i], post});
    dims[i] = tn_dim_op(module, '*', dims[i], repeats[i]);
    x = tn_reshape(b, x, rank, dims);
  }
  n->out[0] = x;
  return true;
}

/* ---- joining and cutting -------------------------------------------------------------------------------- */

bool tn_onnx_op_concat(struct tn_onnx_node *n) {
  val first = tn_onnx_need(n, 0, "inputs");
  if (!tn_onnx_has(n, "axis"))
    return tn_onnx_error(n, "attribute axis is missing");
  int axis = tn_onnx_axis(n, "axis", 0, first->type.rank);
  for (int i = 1; i < n->in_count; i++)
    tn_onnx_need(n, i, "inputs");
  n->out[0] = n->in_count == 1 ? first : tn_concat(n->b, axis, n->in_count, n->in);
  return true;
}

bool tn_onnx_op_split(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  int axis = tn_onnx_axis(n, "axis", 0, x->type.rank);
  int64_t extent = tn_onnx_extent(n, x, axis, "input"), start = 0;
  struct tn_ints split = {0};
  if (n->opset >= 13 && tn_onnx_in(n, 1))
    split = tn_onnx_const_ints(n, 1, "split");
  else if (n->opset < 13)
    tn_onnx_ints(n, "split", &split);
  if (split.count > 0 && split.count != (size_t)n->out_count)
    return tn_onnx_error(n, "split has %zu parts and the node %d outputs", split.count, n->out_count);
  /* equal parts; the last one smaller when the extent does not divide (opset 18) */
  int64_t part = (extent + n->out_count - 1) / n->out_count;
  if (split.count == 0 && extent % n->out_count != 0 && n->opset < 18)
    return tn_onnx_error(n, "dimension %d of '%s' is %lld, which %d equal parts do not fill", axis, x->name,
                         (long long)extent, n->out_count);
  for (int i = 0; i < n->out_count; i++) {
    int64_t left = extent - start, size = split.count > 0 ? split.at[i] : part < left ? part : left;
    if (size < 0 || size > left)
      return tn_onnx_error(n, "the parts do not fit dimension %d of '%s', which is %lld", axis, x->name,
                           (long long)extent);
    n->out[i] = tn_onnx_cut(n->b, x, axis, start, size);
    start += size;
  }
  if (start != extent)
    return tn_onnx_error(n, "the parts add up to %lld; dimension %d of '%s' is %lld", (long long)start, axis,
                         x->name, (long long)extent);
  return true;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

/* One dim: brings start, end and step to a start inside the dim and a count. */
static void slice_dim(int64_t extent, int64_t start, int64_t end, int64_t step, int64_t *first,
                      int64_t *count) {
  if (step == INT64_MIN)
    step++;
  if (start < 0)
    start = start < -extent ? (step > 0 ? 0 : -1) : start + extent;
  if (end < 0)
    end = end < -extent ? -1 : end + extent;
  if (step > 0) {
    *first = clamp(start, 0, extent);
    end = clamp(end, 0, extent);
    *count = end > *first ? (end - *first - 1) / step + 1 : 0;
  } else {
    *first = clamp(start, -1, extent - 1);
    end = clamp(end, -1, extent - 1);
    *count = *first > end ? (*first - end - 1) / -step + 1 : 0;
  }
  if (*count == 0)
    *first = 0;
}

/* Exporters write "to the end" as one of several large numbers. */
enum { FAR_END = 100000000 };

/* starts, ends and axes are attributes before opset 10, operands (and steps) after. */
bool tn_onnx_op_slice(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "data");
  struct tn_ints starts = {0}, axes = {0}, steps = {0};
  int64_t first[TN_MAX_RANK], step[TN_MAX_RANK], size[TN_MAX_RANK];
  tn_dim ends[TN_MAX_RANK];
  size_t end_count = 0;
  if (n->opset >= 10) {
    starts = tn_onnx_const_ints(n, 1, "starts");
    end_count = (size_t)tn_onnx_const_dims(n, 2, "ends", ends);
    if (tn_onnx_in(n, 3))
      axes = tn_onnx_const_ints(n, 3, "axes");
    if (tn_onnx_in(n, 4))
      steps = tn_onnx_const_ints(n, 4, "steps");
  } else {
    struct tn_ints given;
    if (!tn_onnx_ints(n, "starts", &starts) || !tn_onnx_ints(n, "ends", &given))
      return tn_onnx_error(n, "attributes starts and ends are needed");
    tn_onnx_ints(n, "axes", &axes);
    end_count = given.count;
    for (size_t i = 0; i < end_count && i < TN_MAX_RANK; i++)
      ends[i] = given.at[i];
  }
  if (starts.count > (size_t)x->type.rank || end_count != starts.count ||
      (axes.count && axes.count != starts.count) || (steps.count && steps.count != starts.count))
    return tn_onnx_error(
        n, "starts, ends, axes and steps must be of one length, at most %d; found %zu, %zu, %zu, %zu",
        x->type.rank, starts.count, end_count, axes.count, steps.count);
  for (int i = 0; i < x->type.rank; i++) {
    first[i] = 0;
    step[i] = 1;
    size[i] = x->type.dim[i];
  }
  bool whole = true;
  for (size_t i = 0; i < starts.count; i++) {
    int axis = axes.count ? tn_onnx_check_axis(n, "axes", axes.at[i], x->type.rank) : (int)i;
    int64_t by = steps.count ? steps.at[i] : 1, end = ends[i];
    if (by == 0)
      return tn_onnx_error(n, "the step of dimension %d is 0", axis);
    bool end_known = n->opset < 10 || tn_dim_value(module_of(n), ends[i], &end);
    tn_dim extent = x->type.dim[axis];
    if (!tn_dim_static(extent) || !end_known) {
      /* what can be said of a symbol: all of it, or a part from the front; a symbolic bound is taken to be
       * inside */
      bool all = end_known ? end >= FAR_END : ends[i] == extent;
      if (starts.at[i] < 0 || by != 1 || (end_known && end < -FAR_END))
        tn_onnx_extent(n, x, axis, "data");
      if (all && starts.at[i] == 0)
        continue;
      tn_dim stop = all ? extent : ends[i];
      if (end_known && !all)
        stop =
            end >= 0 ? tn_dim_op(module_of(n), 'm', extent, end) : tn_dim_op(module_of(n), '-', extent, -end);
      first[axis] = starts.at[i];
      size[axis] = tn_dim_op(module_of(n), '-', stop, starts.at[i]);
      whole = false;
      continue;
    }
    slice_dim(extent, starts.at[i], end, by, &first[axis], &size[axis]);
    step[axis] = by;
    whole = whole && first[axis] == 0 && by == 1 && size[axis] == extent;
  }
  n->out[0] = whole ? x : tn_slice(n->b, x, first, step, size);
  return true;
}

/* ---- padding -------------------------------------------------------------------------------------------- */

/* Pad: pads and value are attributes before opset 11, operands after (axes from 18, wrap from 19). */
bool tn_onnx_op_pad(struct tn_onnx_node *n) {
  static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "data"), value = NULL;
  int rank = x->type.rank;
  struct tn_ints pads, axes = {0};
  if (n->opset >= 11) {
    pads = tn_onnx_const_ints(n, 1, "pads");
    value = tn_onnx_same_dtype(n, 2, "constant_value", x);
    if (tn_onnx_in(n, 3))
      axes = tn_onnx_const_ints(n, 3, "axes");
  } else {
    if (!tn_onnx_ints(n, "pads", &pads))
      return tn_onnx_error(n, "attribute pads is missing");
    double number = tn_onnx_float(n, "value", 0);
    value = number == 0 ? NULL : num(b, x, number);
  }
  bool named = n->opset >= 11 && tn_onnx_in(n, 3);
  size_t count = named ? axes.count : (size_t)rank;
  if (pads.count != 2 * count)
    return tn_onnx_error(n, "pads has %zu elements; expected %zu, two for each padded dimension", pads.count,
                         2 * count);
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  for (size_t i = 0; i < count; i++) {
    int axis = named ? tn_onnx_check_axis(n, "axes", axes.at[i], rank) : (int)i;
    before[axis] = pads.at[i];
    after[axis] = pads.at[i + count];
  }
  const char *name = tn_onnx_string(n, "mode", "constant");
  size_t mode = 0;
  while (mode < TN_COUNT(modes) && strcmp(modes[mode], name) != 0)
    mode++;
  if (mode == TN_COUNT(modes))
    return tn_onnx_error(n, "attribute mode is '%s'; expected constant, reflect, edge or wrap", name);
  bool any = false;
  for (int i = 0; i < rank; i++)
    any = any || before[i] || after[i];
  if (!any) {
    n->out[0] = x;
    return true;
  }
  if (mode == 0) {
    n->out[0] = tn_pad(b, x, before, after, value ? tn_onnx_scalar(b, value) : NULL);
    return true;
  }
  struct tn_node *node = tn_node_make(b, TN_PAD, 1, &x, 1);
  tn_set_ints(node, TN_PAD_before, before, (size_t)rank);
  tn_set_ints(node, TN_PAD_after, after, (size_t)rank);
  tn_set_int(node, TN_PAD_mode, (int64_t)mode);
  if (!tn_finish(b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* Crops or zero-pads the axes to the wanted extents, both sides alike; the odd element is on the far side. */
bool tn_onnx_op_center_crop_pad(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input_data");
  struct tn_ints shape = tn_onnx_const_ints(n, 1, "shape"), axes = {0};
  bool named = tn_onnx_ints(n, "axes", &axes);
  int64_t before[TN_MAX_RANK] = {0}, after[TN_MAX_RANK] = {0};
  if (shape.count != (named ? axes.count : (size_t)x->type.rank))
    return tn_onnx_error(n, "shape has %zu elements, one for each axis is needed", shape.count);
  for (size_t i = 0; i < shape.count; i++) {
    int axis = named ? tn_onnx_check_axis(n, "axes", axes.at[i], x->type.rank) : (int)i;
    if (shape.at[i] < 0 || shape.at[i] > (int64_t)1 << 40)
      return tn_onnx_error(n, "shape has the element %lld", (long long)shape.at[i]);
    int64_t more = shape.at[i] - tn_onnx_extent(n, x, axis, "input_data");
    before[axis] = more / 2; /* towards zero: a crop starts at |more| / 2 */
    after[axis] = more - before[axis];
  }
  n->out[0] = tn_pad(n->b, x, before, after, NULL);
  return true;
}

/* The removed experimental Crop: border [left, top, right, bottom] of x[n, c, h, w], or `scale` [height,
 * width]. */
bool tn_onnx_op_crop(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  struct tn_ints border, scale;
  if (x->type.rank != 4 || !tn_onnx_ints(n, "border", &border) || border.count != 4)
    return tn_onnx_error(n, "expected an operand of 4 dimensions and border [left, top, right, bottom]");
  int64_t height = tn_onnx_extent(n, x, 2, "input"), width = tn_onnx_extent(n, x, 3, "input");
  for (int i = 0; i < 4; i++)
    if (border.at[i] < 0 || border.at[i] > TN_ONNX_MAX_STEP)
      return tn_onnx_error(n, "attribute border has the element %lld", (long long)border.at[i]);
  int64_t h = height - border.at[1] - border.at[3], w = width - border.at[0] - border.at[2];
  if (tn_onnx_ints(n, "scale", &scale) && scale.count == 2) {
    h = scale.at[0];
    w = scale.at[1];
  }
  bool inside = h >= 0 && h <= height && w >= 0 && w <= width && border.at[0] >= 0 && border.at[1] >= 0;
  if (!inside || border.at[1] > height - h || border.at[0] > width - w)
    return tn_onnx_error(n, "the border does not fit '%s', which is %lld by %lld", x->name, (long long)height,
                         (long long)width);
  x = tn_onnx_cut(n->b, x, 2, border.at[1], h);
  n->out[0] = tn_onnx_cut(n->b, x, 3, border.at[0], w);
  return true;
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

bool tn_onnx_op_depth_to_space(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  int64_t block = tn_onnx_int(n, "blocksize", 0);
  const char *mode = tn_onnx_string(n, "mode", "DCR");
  bool crd = !strcmp(mode, "CRD");
  if (x->type.rank != 4 || block < 1 || block > 65536)
    return tn_onnx_error(n, "expected an operand of 4 dimensions and a blocksize above 0; found %d and %lld",
                         x->type.rank, (long long)block);
  if (!crd && strcmp(mode, "DCR") != 0)
    return tn_onnx_error(n, "attribute mode is '%s'; expected DCR or CRD", mode);
  int64_t channels = tn_onnx_extent(n, x, 1, "input");
  if (channels % (block * block) != 0)
    return tn_onnx_error(n, "%lld channels are not a multiple of the block's %lld", (long long)channels,
                         (long long)(block * block));
  tn_dim batch = x->type.dim[0], h = x->type.dim[2], w = x->type.dim[3], c = channels / (block * block);
  tn_dim dcr_dims[] = {batch, block, block, c, h, w}, crd_dims[] = {batch, c, block, block, h, w};
  const int64_t dcr_perm[] = {0, 3, 4, 1, 5, 2}, crd_perm[] = {0, 1, 4, 2, 5, 3};
  x = tn_reshape(b, x, 6, crd ? crd_dims : dcr_dims);
  x = tn_transpose(b, x, crd ? crd_perm : dcr_perm);
  tn_dim out[] = {batch, c, tn_dim_op(module_of(n), '*', h, block), tn_dim_op(module_of(n), '*', w, block)};
  n->out[0] = tn_reshape(b, x, 4, out);
  return true;
}

bool tn_onnx_op_space_to_depth(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  int64_t block = tn_onnx_int(n, "blocksize", 0);
  if (x->type.rank != 4 || block < 1 || block > 65536)
    return tn_onnx_error(n, "expected an operand of 4 dimensions and a blocksize above 0; found %d and %lld",
                         x->type.rank, (long long)block);
  const int64_t *d = tn_onnx_static_dims(n, x, "input");
  tn_dim batch = d[0], c = d[1], h = d[2], w = d[3];
  if (h % block != 0 || w % block != 0)
    return tn_onnx_error(n, "%lld by %lld is not a multiple of blocksize %lld", (long long)h, (long long)w,
                         (long long)block);
  x = tn_reshape(b, x, 6, (tn_dim[]){batch, c, h / block, block, w / block, block});
  x = tn_transpose(b, x, (int64_t[]){0, 3, 5, 1, 2, 4});
  n->out[0] = tn_reshape(b, x, 4, (tn_dim[]){batch, c * block * block, h / block, w / block});
  return true;
}
