/* What the operator mappings share; see common.h. */
#include "frontend/onnx/common.h"

val tn_onnx_number(struct tn_build *b, enum tn_dtype dtype, double value) {
  if (tn_dtype_is_float(dtype))
    return tn_const_float(b, dtype, value);
  bool fits = value > -9.2e18 && value < 9.2e18; /* false for a nan too */
  return tn_const_int(b, dtype, fits ? (int64_t)value : value > 0 ? INT64_MAX : value < 0 ? INT64_MIN : 0);
}

val tn_onnx_full(struct tn_build *b, val number, int rank, const tn_dim *dims) {
  return rank == 0 ? number : tn_expand(b, number, rank, dims);
}

/* ---- shapes --------------------------------------------------------------------------------------------- */

val tn_onnx_unsqueeze(struct tn_build *b, val x, int axis) {
  if (x->type.rank == TN_MAX_RANK) {
    tn_report(b->graph->module->ctx, TN_ERROR, (struct tn_where){b->graph->module->file, b->name, b->origin},
              "'%s' has %d dimensions, and the operator needs one more than the %d that a tensor may have",
              x->name, x->type.rank, TN_MAX_RANK);
    tn_fail_now(b->graph->module->ctx);
  }
  tn_dim dims[TN_MAX_RANK];
  int rank = 0;
  for (int i = 0; i <= x->type.rank; i++) {
    if (i == axis)
      dims[rank++] = 1;
    if (i < x->type.rank)
      dims[rank++] = x->type.dim[i];
  }
  return tn_reshape(b, x, rank, dims);
}

val tn_onnx_squeeze(struct tn_build *b, val x, int axis) {
  tn_dim dims[TN_MAX_RANK];
  int rank = 0;
  for (int i = 0; i < x->type.rank; i++)
    if (i != axis)
      dims[rank++] = x->type.dim[i];
  return tn_reshape(b, x, rank, dims);
}

val tn_onnx_rank_after(struct tn_build *b, val x, int rank) {
  tn_dim dims[TN_MAX_RANK];
  if (x->type.rank >= rank)
    return x;
  for (int i = 0; i < rank; i++)
    dims[i] = i < x->type.rank ? x->type.dim[i] : 1;
  return tn_reshape(b, x, rank, dims);
}

val tn_onnx_rank_before(struct tn_build *b, val x, int rank) {
  tn_dim dims[TN_MAX_RANK];
  int more = rank - x->type.rank;
  if (more <= 0)
    return x;
  for (int i = 0; i < rank; i++)
    dims[i] = i < more ? 1 : x->type.dim[i - more];
  return tn_reshape(b, x, rank, dims);
}

val tn_onnx_along(struct tn_build *b, val x, int axis, int rank) {
  tn_dim dims[TN_MAX_RANK];
  if (x->type.rank != 1 || axis >= rank || rank > TN_MAX_RANK)
    return x;
  for (int i = 0; i < rank; i++)
    dims[i] = i == axis ? x->type.dim[0] : 1;
  return rank == 1 ? x : tn_reshape(b, x, rank, dims);
}

val tn_onnx_scalar(struct tn_build *b, val x) {
  int64_t count;
  if (x->type.rank == 0 || !tn_type_count(&x->type, &count) || count != 1)
    return x;
  return tn_reshape(b, x, 0, x->type.dim);
}

tn_dim tn_onnx_product(struct tn_module *module, const tn_dim *dims, int count) {
  tn_dim product = 1;
  for (int i = 0; i < count; i++)
    product = tn_dim_op(module, '*', product, dims[i]);
  return product;
}

int64_t tn_onnx_extent(struct tn_onnx_node *n, val x, int axis, const char *what) {
  tn_dim dim = x->type.dim[axis];
  if (tn_dim_static(dim))
    return dim;
  const char *text = tn_dim_text(module_of(n), dim);
  tn_onnx_unsupported(
      n,
      "dimension %d of %s ('%s') is %s, and the operator needs its extent at compile time; give it "
      "with --dim or --shape",
      axis, what, x->name, text);
  tn_fail_now(module_of(n)->ctx);
}

const int64_t *tn_onnx_static_dims(struct tn_onnx_node *n, val x, const char *what) {
  for (int i = 0; i < x->type.rank; i++)
    tn_onnx_extent(n, x, i, what);
  return x->type.dim;
}

int tn_onnx_broadcast(struct tn_onnx_node *n, int x_rank, const tn_dim *x, int y_rank, const tn_dim *y,
                      tn_dim *out) {
  int rank = x_rank > y_rank ? x_rank : y_rank;
  for (int i = 0; i < rank; i++) {
    tn_dim a = i < rank - x_rank ? 1 : x[i - (rank - x_rank)];
    tn_dim c = i < rank - y_rank ? 1 : y[i - (rank - y_rank)];
    if (a != c && a != 1 && c != 1 && tn_dim_static(a) && tn_dim_static(c)) {
      tn_onnx_error(n, "the shapes do not broadcast: %lld and %lld in dimension %d", (long long)a, (long long)c,
                    i);
      tn_fail_now(module_of(n)->ctx);
    }
    if (a == 1)
      out[i] = c;
    else if (c == 1 || tn_dim_static(a))
      out[i] = a;
    else
      out[i] = tn_dim_static(c) || a == c ? c : tn_dim_op(module_of(n), 'M', a, c);
  }
  return rank;
}

val tn_onnx_expand_like(struct tn_build *b, val x, const struct tn_type *type) {
  return tn_shape_equal(&x->type, type) ? x : tn_expand(b, x, type->rank, type->dim);
}

val tn_onnx_cut(struct tn_build *b, val x, int axis, int64_t start, int64_t count) {
  int64_t starts[TN_MAX_RANK], steps[TN_MAX_RANK], sizes[TN_MAX_RANK];
  if (start == 0 && x->type.dim[axis] == count)
    return x;
  for (int i = 0; i < x->type.rank; i++) {
    starts[i] = i == axis ? start : 0;
    steps[i] = 1;
    sizes[i] = i == axis ? count : x->type.dim[i];
  }
  return tn_slice(b, x, starts, steps, sizes);
}

val tn_onnx_move_dim(struct tn_build *b, val x, int from, int to) {
  int64_t perm[TN_MAX_RANK];
  if (from == to)
    return x;
  for (int i = 0, next = 0; i < x->type.rank; i++) {
    if (next == from)
      next++;
    perm[i] = i == to ? from : next++;
  }
  return tn_transpose(b, x, perm);
}

val tn_onnx_channels_last(struct tn_build *b, val x) {
  return tn_onnx_move_dim(b, x, 1, x->type.rank - 1);
}
val tn_onnx_channels_first(struct tn_build *b, val x) {
  return tn_onnx_move_dim(b, x, x->type.rank - 1, 1);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

bool tn_onnx_axes(struct tn_onnx_node *n, const char *name, int index, int rank, int64_t *axes, int *count) {
  struct tn_ints given = {0};
  bool seen[TN_MAX_RANK] = {false};
  *count = 0;
  if (index >= 0 && tn_onnx_in(n, index))
    given = tn_onnx_const_ints(n, index, name);
  else if (!tn_onnx_ints(n, name, &given))
    return false;
  for (size_t i = 0; i < given.count; i++) {
    int axis = tn_onnx_check_axis(n, name, given.at[i], rank);
    if (seen[axis]) {
      tn_onnx_error(n, "%s names dimension %d twice", name, axis);
      tn_fail_now(module_of(n)->ctx);
    }
    seen[axis] = true;
  }
  for (int i = 0; i < rank; i++)
    if (seen[i])
      axes[(*count)++] = i;
  return true;
}

void tn_onnx_ints_or(struct tn_onnx_node *n, const char *name, int count, int64_t absent, int64_t *out) {
  struct tn_ints given;
  if (!tn_onnx_ints(n, name, &given) || given.count == 0) {
    for (int i = 0; i < count; i++)
      out[i] = absent;
    return;
  }
  if (given.count != (size_t)count) {
    tn_onnx_error(n, "attribute %s has %zu elements; %d are expected", name, given.count, count);
    tn_fail_now(module_of(n)->ctx);
  }
  for (int i = 0; i < count; i++) {
    out[i] = given.at[i];
    if (out[i] < -TN_ONNX_MAX_STEP || out[i] > TN_ONNX_MAX_STEP) {
      tn_onnx_unsupported(n, "attribute %s has the element %lld; %d is the most", name, (long long)out[i],
                          TN_ONNX_MAX_STEP);
      tn_fail_now(module_of(n)->ctx);
    }
  }
}

val tn_onnx_same_dtype(struct tn_onnx_node *n, int i, const char *what, val x) {
  val v = tn_onnx_in(n, i);
  if (v && v->type.dtype != x->type.dtype) {
    tn_onnx_error(n, "%s is of type %s; expected %s, as '%s' is", what, tn_dtype_name(v->type.dtype),
                  tn_dtype_name(x->type.dtype), x->name);
    tn_fail_now(module_of(n)->ctx);
  }
  return v;
}

/* ---- composed ------------------------------------------------------------------------------------------- */

val tn_onnx_mean(struct tn_build *b, val x, const int64_t *axes, size_t count, bool keepdims) {
  tn_dim dims[TN_MAX_RANK];
  for (size_t i = 0; i < count; i++)
    dims[i] = x->type.dim[axes[i]];
  tn_dim elements = tn_onnx_product(b->graph->module, dims, (int)count);
  val sum = tn_reduce(b, TN_REDUCE_SUM, x, axes, count, keepdims);
  if (tn_dim_static(elements))
    return quo(b, sum, num(b, sum, (double)elements));
  /* counts with what the operand has: the sum of a one for each element */
  val ones = tn_expand(b, num(b, x, 1), x->type.rank, x->type.dim);
  return quo(b, sum, tn_reduce(b, TN_REDUCE_SUM, ones, axes, count, keepdims));
}

val tn_onnx_iota_along(struct tn_build *b, enum tn_dtype dtype, int64_t extent, int axis, int rank) {
  tn_dim dims[TN_MAX_RANK];
  for (int i = 0; i < rank; i++)
    dims[i] = i == axis ? extent : 1;
  return tn_iota(b, dtype, rank, dims, axis);
}

val tn_onnx_gelu(struct tn_build *b, val x, bool tanh_form) {
  val inner;
  if (tanh_form) {
    val cube = mul(b, mul(b, x, x), x);
    val sum = add(b, x, mul(b, cube, num(b, x, 0.044715)));
    inner = tn_unary(b, TN_TANH, mul(b, sum, num(b, x, 0.79788456080286535588)));
  } else {
    inner = tn_unary(b, TN_ERF, mul(b, x, num(b, x, 0.70710678118654752440)));
  }
  return mul(b, mul(b, x, num(b, x, 0.5)), add(b, inner, num(b, x, 1)));
}

val tn_onnx_clip(struct tn_build *b, val x, double low, double high) {
  return min2(b, max2(b, x, num(b, x, low)), num(b, x, high));
}

val tn_onnx_leaky_relu(struct tn_build *b, val x, double alpha) {
  val positive = tn_binary(b, TN_GE, x, num(b, x, 0));
  return tn_select(b, positive, x, mul(b, x, num(b, x, alpha)));
}

val tn_onnx_activation(struct tn_onnx_node *n, val x, const char *name, const float *params, size_t count) {
  struct tn_build *b = n->b;
  double p0 = count > 0 ? params[0] : 0, p1 = count > 1 ? params[1] : 0;
  if (!strcmp(name, "Relu"))
    return max2(b, x, num(b, x, 0));
  if (!strcmp(name, "Sigmoid"))
    return tn_unary(b, TN_SIGMOID, x);
  if (!strcmp(name, "Tanh"))
    return tn_unary(b, TN_TANH, x);
  if (!strcmp(name, "LeakyRelu"))
    return tn_onnx_leaky_relu(b, x, count > 0 ? p0 : 0.01);
  if (!strcmp(name, "HardSigmoid")) {
    val line = add(b, mul(b, x, num(b, x, count > 0 ? p0 : 0.2)), num(b, x, count > 1 ? p1 : 0.5));
    return tn_onnx_clip(b, line, 0, 1);
  }
  if (!strcmp(name, "HardSwish")) {
    val line = add(b, mul(b, x, num(b, x, 1.0 / 6)), num(b, x, 0.5));
    return mul(b, x, tn_onnx_clip(b, line, 0, 1));
  }
  if (!strcmp(name, "Clip") && count == 2)
    return tn_onnx_clip(b, x, p0, p1);
  if (!strcmp(name, "Gelu"))
    return tn_onnx_gelu(b, x, false);
  if (!strcmp(name, "") || !strcmp(name, "Identity"))
    return x;
  tn_onnx_unsupported(n, "activation '%s' with %zu parameters is not known", name, count);
  tn_fail_now(module_of(n)->ctx);
}
