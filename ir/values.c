/* Shapes by value: the elements of a small tensor as dims, followed through the arithmetic that exporters write
 * around Shape.  Nothing is stored; a budget bounds the work, as a value may be reached by exponentially many
 * ways.
 *
 * Elements are whole numbers or expressions of symbols; a float tensor takes part as long as its elements are
 * whole, since older exporters scale shapes in floats.  Bools are 0 and 1. */
#include "ir/ir.h"
#include <math.h>

enum { MAX_ELEMENTS = 64, MAX_NESTING = 200, MAX_VISITS = 4000 };

struct elements {
  int count;
  tn_dim at[MAX_ELEMENTS]; /* row-major, shape of the value's type */
};
struct walk {
  struct tn_module *module;
  int depth, visits;
};

static bool follow(struct walk *w, const struct tn_value *value, struct elements *out);

/* ---- indices ------------------------------------------------------------------------------------------- */

/* Element number of `type` -> index, and back. */
static void unravel(const struct tn_type *type, int64_t i, int64_t *index) {
  for (int d = type->rank - 1; d >= 0; d--) {
    index[d] = type->dim[d] ? i % type->dim[d] : 0;
    i = type->dim[d] ? i / type->dim[d] : 0;
  }
}

static int ravel(const struct tn_type *type, const int64_t *index) {
  int64_t i = 0;
  for (int d = 0; d < type->rank; d++)
    i = i * type->dim[d] + index[d];
  return (int)i;
}

/* The element of `type` that broadcasts to element i of `to`. */
static int broadcast_element(const struct tn_type *type, const struct tn_type *to, int i) {
  int64_t index[TN_MAX_RANK];
  unravel(to, i, index);
  int skip = to->rank - type->rank;
  for (int d = 0; d < type->rank; d++)
    index[d] = type->dim[d] == 1 ? 0 : index[d + skip];
  return ravel(type, index);
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

static void bounds(const struct walk *w, tn_dim dim, int64_t *low, int64_t *high) {
  *low = *high = dim;
  if (dim < 0) {
    *low = w->module->symbols.at[-1 - dim].low;
    *high = w->module->symbols.at[-1 - dim].high;
  }
}

/* Division that truncates, as the div op's does; true quotients of floats must be whole. */
static bool divide(struct walk *w, bool whole, tn_dim a, tn_dim b, tn_dim *out) {
  int64_t x, y, low_a, low_b, ignored;
  if (tn_dim_value(w->module, a, &x) && tn_dim_value(w->module, b, &y)) {
    if (y == 0 ? whole : (x == INT64_MIN && y == -1) || (whole && x % y != 0))
      return false;
    *out = y == 0 ? 0 : tn_dim_int(w->module, x / y);
    return true;
  }
  bounds(w, a, &low_a, &ignored);
  bounds(w, b, &low_b, &ignored);
  *out = tn_dim_op(w->module, '/', a, b);
  if (whole) /* known to be whole when it multiplies back */
    return tn_dim_op(w->module, '*', *out, b) == a;
  return low_a >= 0 && low_b >= 0; /* there truncating is rounding down */
}

static bool compare(struct walk *w, enum tn_op op, tn_dim a, tn_dim b, tn_dim *out) {
  int64_t low, high;
  bounds(w, tn_dim_op(w->module, '-', a, b), &low, &high);
  switch (op) {
  case TN_EQ:
  case TN_NE:
    *out = (low == 0 && high == 0) == (op == TN_EQ);
    return (low == 0 && high == 0) || low > 0 || high < 0;
  case TN_LT:
  case TN_GE:
    *out = (high < 0) == (op == TN_LT);
    return high < 0 || low >= 0;
  default: /* TN_LE, TN_GT */
    *out = (high <= 0) == (op == TN_LE);
    return high <= 0 || low > 0;
  }
}

static bool combine(struct walk *w, enum tn_op op, bool is_float, tn_dim a, tn_dim b, tn_dim *out) {
  switch (op) {
  case TN_ADD:
  case TN_REDUCE_SUM:
    *out = tn_dim_op(w->module, '+', a, b);
    return true;
  case TN_SUB:
    *out = tn_dim_op(w->module, '-', a, b);
    return true;
  case TN_MUL:
  case TN_REDUCE_PROD:
    *out = tn_dim_op(w->module, '*', a, b);
    return true;
  case TN_MAX:
  case TN_REDUCE_MAX:
    *out = tn_dim_op(w->module, 'M', a, b);
    return true;
  case TN_MIN:
  case TN_REDUCE_MIN:
    *out = tn_dim_op(w->module, 'm', a, b);
    return true;
  case TN_MOD:
    *out = tn_dim_op(w->module, '%', a, b);
    return !is_float;
  case TN_DIV:
    return divide(w, is_float, a, b, out);
  case TN_AND:
    *out = a && b;
    return (a == 0 || a == 1) && (b == 0 || b == 1);
  case TN_OR:
    *out = a || b;
    return (a == 0 || a == 1) && (b == 0 || b == 1);
  default:
    return compare(w, op, a, b, out);
  }
}

/* ---- ops ----------------------------------------------------------------------------------------------- */

static bool constant(struct walk *w, const struct tn_tensor *tensor, struct elements *out) {
  bool is_float = tn_dtype_is_float(tensor->type.dtype);
  for (int i = 0; i < out->count; i++) {
    double value = is_float ? tn_tensor_float(tensor, i) : 0;
    if (value != trunc(value) || fabs(value) > 9007199254740992.0) /* nan is not equal to itself */
      return false;
    out->at[i] = tn_dim_int(w->module, tn_tensor_int(tensor, i));
  }
  return true;
}

static bool binary(struct walk *w, const struct tn_node *node, struct elements *out) {
  struct elements x, y;
  bool is_float = tn_dtype_is_float(node->in[0]->type.dtype);
  if (!follow(w, node->in[0], &x) || !follow(w, node->in[1], &y))
    return false;
  for (int i = 0; i < out->count; i++) {
    tn_dim a = x.at[broadcast_element(&node->in[0]->type, &node->out[0]->type, i)];
    tn_dim b = y.at[broadcast_element(&node->in[1]->type, &node->out[0]->type, i)];
    if (!combine(w, node->op, is_float, a, b, &out->at[i]))
      return false;
  }
  return true;
}

/* An extent is taken to fit 32 bits and more. */
static bool cast_keeps(struct walk *w, enum tn_dtype to, tn_dim dim) {
  int64_t value;
  if (!tn_dim_value(w->module, dim, &value))
    return tn_dtype_size(to) >= 4;
  struct tn_tensor one = {.type = tn_type_scalar(to), .data = &value, .bytes = sizeof value};
  int64_t before = value;
  tn_store_int(to, &value, 0, value);
  return tn_tensor_int(&one, 0) == before;
}

static bool unary(struct walk *w, const struct tn_node *node, struct elements *out) {
  enum tn_dtype to = node->out[0]->type.dtype;
  if (!follow(w, node->in[0], out))
    return false;
  for (int i = 0; i < out->count; i++) {
    int64_t low, high;
    bounds(w, out->at[i], &low, &high);
    if (node->op == TN_NEG) {
      out->at[i] = tn_dim_op(w->module, '-', 0, out->at[i]);
    } else if (node->op == TN_ABS) {
      if (low < 0 && high > 0)
        return false;
      out->at[i] = low >= 0 ? out->at[i] : tn_dim_op(w->module, '-', 0, out->at[i]);
    } else if (node->op == TN_NOT) {
      if (to != TN_BOOL || out->at[i] < 0)
        return false;
      out->at[i] = out->at[i] == 0;
    } else if (node->op == TN_CAST && to == TN_BOOL) {
      if (low <= 0 && high >= 0 && low != high)
        return false;
      out->at[i] = low != 0 || high != 0;
    } else if (node->op == TN_CAST && tn_dtype_is_int(to) && !cast_keeps(w, to, out->at[i])) {
      return false;
    } /* casts to floats and roundings leave whole numbers as they are */
  }
  return true;
}

static bool choose(struct walk *w, const struct tn_node *node, struct elements *out) {
  struct elements cond, x, y;
  bool any_x = false, any_y = false;
  if (!follow(w, node->in[0], &cond))
    return false;
  for (int i = 0; i < cond.count; i++) {
    if (cond.at[i] < 0)
      return false;
    any_x |= cond.at[i] != 0;
    any_y |= cond.at[i] == 0;
  }
  /* Only what is chosen need be known. */
  if ((any_x && !follow(w, node->in[1], &x)) || (any_y && !follow(w, node->in[2], &y)))
    return false;
  for (int i = 0; i < out->count; i++) {
    bool take_x = cond.at[broadcast_element(&node->in[0]->type, &node->out[0]->type, i)] != 0;
    const struct tn_type *type = &node->in[take_x ? 1 : 2]->type;
    int from = broadcast_element(type, &node->out[0]->type, i);
    out->at[i] = take_x ? x.at[from] : y.at[from];
  }
  return true;
}

static bool gather(struct walk *w, const struct tn_node *node, struct elements *out) {
  const struct tn_type *x_type = &node->in[0]->type, *index_type = &node->in[1]->type;
  int axis = (int)tn_get_int(node, TN_GATHER_axis);
  struct elements x, indices;
  if (!follow(w, node->in[0], &x) || !follow(w, node->in[1], &indices))
    return false;
  for (int i = 0; i < out->count; i++) {
    int64_t at[TN_MAX_RANK] = {0}, from[TN_MAX_RANK] = {0}, position;
    unravel(&node->out[0]->type, i, at);
    if (!tn_dim_value(w->module, indices.at[ravel(index_type, at + axis)], &position))
      return false;
    position += position < 0 ? x_type->dim[axis] : 0;
    if (position < 0 || position >= x_type->dim[axis])
      return false;
    for (int d = 0; d < x_type->rank; d++)
      from[d] = d < axis ? at[d] : d == axis ? position : at[d - 1 + index_type->rank];
    out->at[i] = x.at[ravel(x_type, from)];
  }
  return true;
}

static bool slice(struct walk *w, const struct tn_node *node, struct elements *out) {
  struct tn_ints starts = tn_get_ints(node, TN_SLICE_starts), steps = tn_get_ints(node, TN_SLICE_steps);
  const struct tn_type *type = &node->in[0]->type;
  struct elements x;
  for (size_t d = 0; d < starts.count; d++)
    if (starts.at[d] < 0)
      return false;
  if (!follow(w, node->in[0], &x))
    return false;
  for (int i = 0; i < out->count; i++) {
    int64_t at[TN_MAX_RANK];
    unravel(&node->out[0]->type, i, at);
    for (int d = 0; d < type->rank; d++)
      at[d] = starts.at[d] + at[d] * steps.at[d];
    out->at[i] = x.at[ravel(type, at)];
  }
  return true;
}

static bool transpose(struct walk *w, const struct tn_node *node, struct elements *out) {
  struct tn_ints perm = tn_get_ints(node, TN_TRANSPOSE_perm);
  struct elements x;
  if (!follow(w, node->in[0], &x))
    return false;
  for (int i = 0; i < out->count; i++) {
    int64_t at[TN_MAX_RANK], from[TN_MAX_RANK];
    unravel(&node->out[0]->type, i, at);
    for (size_t d = 0; d < perm.count; d++)
      from[perm.at[d]] = at[d];
    out->at[i] = x.at[ravel(&node->in[0]->type, from)];
  }
  return true;
}

static bool expand(struct walk *w, const struct tn_node *node, struct elements *out) {
  struct elements x;
  if (!follow(w, node->in[0], &x))
    return false;
  for (int i = 0; i < out->count; i++)
    out->at[i] = x.at[broadcast_element(&node->in[0]->type, &node->out[0]->type, i)];
  return true;
}

static bool concat(struct walk *w, const struct tn_node *node, struct elements *out) {
  int axis = (int)tn_get_int(node, TN_CONCAT_axis);
  int64_t before = 0;
  for (int k = 0; k < node->in_count; k++) {
    const struct tn_type *type = &node->in[k]->type;
    struct elements x;
    if (!follow(w, node->in[k], &x))
      return false;
    for (int i = 0; i < x.count; i++) {
      int64_t at[TN_MAX_RANK];
      unravel(type, i, at);
      at[axis] += before;
      out->at[ravel(&node->out[0]->type, at)] = x.at[i];
    }
    before += type->dim[axis];
  }
  return true;
}

static bool reduce(struct walk *w, const struct tn_node *node, struct elements *out) {
  enum tn_attr_id axes_id = (enum tn_attr_id)tn_op_info(node->op)->first_attr;
  struct tn_ints axes = tn_get_ints(node, axes_id);
  const struct tn_type *type = &node->in[0]->type;
  struct tn_type kept = *type; /* the result's shape with keepdims */
  struct elements x;
  bool started[MAX_ELEMENTS] = {false};
  if (!follow(w, node->in[0], &x))
    return false;
  for (size_t i = 0; i < axes.count; i++)
    kept.dim[axes.at[i]] = 1;
  for (int i = 0; i < x.count; i++) {
    int to = broadcast_element(&kept, type, i);
    if (!started[to])
      out->at[to] = x.at[i];
    else if (!combine(w, node->op, false, out->at[to], x.at[i], &out->at[to]))
      return false;
    started[to] = true;
  }
  for (int i = 0; i < out->count; i++)
    if (!started[i]) { /* of nothing */
      if (node->op != TN_REDUCE_SUM && node->op != TN_REDUCE_PROD)
        return false;
      out->at[i] = node->op == TN_REDUCE_PROD;
    }
  return true;
}

/* out->count is set. */
static bool follow_node(struct walk *w, const struct tn_node *node, struct elements *out) {
  switch (node->op) {
  case TN_CONSTANT:
    return constant(w, tn_get_tensor(node, TN_CONSTANT_value), out);
  case TN_SHAPE:
    for (int i = 0; i < out->count; i++)
      out->at[i] = node->in[0]->type.dim[tn_get_int(node, TN_SHAPE_start) + i];
    return true;
  case TN_IOTA:
    for (int i = 0; i < out->count; i++) {
      int64_t at[TN_MAX_RANK];
      unravel(&node->out[0]->type, i, at);
      out->at[i] = at[tn_get_int(node, TN_IOTA_axis)];
    }
    return true;
  case TN_RESHAPE:
    return follow(w, node->in[0], out);
  case TN_CAST:
  case TN_NEG:
  case TN_ABS:
  case TN_FLOOR:
  case TN_CEIL:
  case TN_ROUND:
  case TN_TRUNC:
  case TN_NOT:
    return unary(w, node, out);
  case TN_ADD:
  case TN_SUB:
  case TN_MUL:
  case TN_DIV:
  case TN_MOD:
  case TN_MAX:
  case TN_MIN:
  case TN_AND:
  case TN_OR:
  case TN_EQ:
  case TN_NE:
  case TN_LT:
  case TN_LE:
  case TN_GT:
  case TN_GE:
    return binary(w, node, out);
  case TN_SELECT:
    return choose(w, node, out);
  case TN_GATHER:
    return gather(w, node, out);
  case TN_SLICE:
    return slice(w, node, out);
  case TN_TRANSPOSE:
    return transpose(w, node, out);
  case TN_EXPAND:
    return expand(w, node, out);
  case TN_CONCAT:
    return concat(w, node, out);
  case TN_REDUCE_SUM:
  case TN_REDUCE_PROD:
  case TN_REDUCE_MAX:
  case TN_REDUCE_MIN:
    return reduce(w, node, out);
  default:
    return false;
  }
}

static bool follow(struct walk *w, const struct tn_value *value, struct elements *out) {
  int64_t count;
  if (!value->def || value->type.dtype == TN_NONE || !tn_type_count(&value->type, &count) ||
      count > MAX_ELEMENTS || w->depth >= MAX_NESTING || w->visits >= MAX_VISITS)
    return false;
  out->count = (int)count;
  w->visits++;
  w->depth++;
  bool known = follow_node(w, value->def, out);
  w->depth--;
  return known;
}

bool tn_value_dims(const struct tn_value *value, tn_dim *out, int *count) {
  struct walk w = {.module = value->home->module};
  struct elements elements;
  if (!follow(&w, value, &elements))
    return false;
  *count = elements.count;
  memcpy(out, elements.at, (size_t)elements.count * sizeof *out);
  return true;
}
