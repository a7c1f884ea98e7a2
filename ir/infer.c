/* Type inference: the dispatch, and what the shape rules share. */
#include "ir/shape.h"
#include <inttypes.h>

typedef bool (*shape_rule)(struct tn_node *node);

static const shape_rule rules[TN_OP_COUNT] = {
#define OP(id, name, min_in, max_in, min_out, max_out, flags, shape, ...) tn_shape_##shape,
#define ATTR(...)
#include "ir/ops.def"
#undef OP
#undef ATTR
};

static bool check_counts(const struct tn_node *node) {
  const struct tn_op_info *info = tn_op_info(node->op);
  if (node->in_count < info->min_in || (info->max_in >= 0 && node->in_count > info->max_in)) {
    tn_node_error(node, "%s takes %d%s operands, found %d", info->name, info->min_in,
                  info->max_in < 0              ? " or more"
                  : info->max_in > info->min_in ? tn_printf(tn_node_module(node)->arena, " to %d", info->max_in)
                                                : "",
                  node->in_count);
    return false;
  }
  if (node->out_count < info->min_out || (info->max_out >= 0 && node->out_count > info->max_out)) {
    tn_node_error(node, "%s gives at least %d results, found %d", info->name, info->min_out, node->out_count);
    return false;
  }
  for (int i = 0; i < node->in_count; i++) {
    bool optional = i >= info->min_in && info->max_in >= 0;
    if (!node->in[i] && !optional) {
      tn_node_error(node, "operand %d of %s is required and is absent", i, info->name);
      return false;
    }
    if (node->in[i] && node->in[i]->type.dtype == TN_NONE) {
      tn_node_error(node, "operand '%s' has no type yet: it must be defined before it is used",
                    tn_in_name(node, i));
      return false;
    }
  }
  return true;
}

static int enum_size(const char *values) {
  int count = 1;
  for (const char *at = values; *at; at++)
    count += *at == '|';
  return count;
}

/* Enums and dtypes within their domain; the rules do the rest. */
static bool check_attrs(const struct tn_node *node) {
  const struct tn_op_info *info = tn_op_info(node->op);
  for (int i = 0; i < info->attr_count; i++) {
    const struct tn_attr_info *attr = tn_attr_info((enum tn_attr_id)(info->first_attr + i));
    int64_t value = node->attr[i].i;
    if (attr->kind == TN_ATTR_ENUM && (value < 0 || value >= enum_size(attr->values))) {
      tn_node_error(node, "attribute %s must be one of %s, found number %" PRId64, attr->name, attr->values,
                    value);
      return false;
    }
    if (attr->kind == TN_ATTR_DTYPE &&
        (value < (attr->def ? TN_NONE : TN_NONE + 1) || value >= TN_DTYPE_COUNT)) {
      tn_node_error(node, "attribute %s must be a dtype, found number %" PRId64, attr->name, value);
      return false;
    }
    if (attr->kind == TN_ATTR_TENSOR && !attr->def && !node->attr[i].tensor) {
      tn_node_error(node, "attribute %s must be a tensor and is not set", attr->name);
      return false;
    }
  }
  return true;
}

bool tn_infer(struct tn_node *node) {
  return check_counts(node) && check_attrs(node) && rules[node->op](node);
}

/* ---- text ---------------------------------------------------------------------------------------------- */

const char *tn_shape_say_dim(const struct tn_node *node, tn_dim dim) {
  return tn_dim_text(tn_node_module(node), dim);
}

const char *tn_shape_say(const struct tn_node *node, const struct tn_type *type) {
  struct tn_str s;
  tn_str_init(&s, tn_node_module(node)->arena);
  tn_str_add(&s, "%s[", tn_dtype_name(type->dtype));
  for (int d = 0; d < type->rank; d++)
    tn_str_add(&s, "%s%s", d ? "x" : "", tn_shape_say_dim(node, type->dim[d]));
  tn_str_add(&s, "]");
  return s.at;
}

/* ---- results ------------------------------------------------------------------------------------------- */

bool tn_dim_valid(const struct tn_module *module, tn_dim dim) {
  if (dim >= 0)
    return true;
  return dim >= -(tn_dim)module->symbols.count && module->symbols.at[-1 - dim].high >= 0;
}

bool tn_shape_result(struct tn_node *node, int i, const struct tn_type *type) {
  const char *name = node->out[i]->name;
  if (type->rank < 0 || type->rank > TN_MAX_RANK) {
    tn_node_error(node, "result '%s' would have rank %d; at most %d is supported", name, type->rank,
                  TN_MAX_RANK);
    return false;
  }
  bool fits = true;
  int64_t bytes = (int64_t)tn_dtype_size(type->dtype);
  for (int d = 0; d < type->rank; d++) {
    if (!tn_dim_valid(tn_node_module(node), type->dim[d])) {
      tn_node_error(node, "dim %d of result '%s' is neither an extent nor a known symbol (found %" PRId64 ")",
                    d, name, type->dim[d]);
      return false;
    }
    if (type->dim[d] > 0) /* an empty tensor's other dims count: strides are made of them */
      fits = fits && tn_mul_i64(bytes, type->dim[d], &bytes) && bytes <= TN_MAX_TENSOR_BYTES;
  }
  if (!fits) {
    tn_node_error(node, "result '%s' of type %s would take more than 2^40 bytes", name,
                  tn_shape_say(node, type));
    return false;
  }
  const struct tn_quant *quant = node->out[i]->type.quant; /* set by passes, not inferred */
  node->out[i]->type = *type;
  node->out[i]->type.quant = quant;
  return true;
}

/* ---- operand classes ----------------------------------------------------------------------------------- */

bool tn_shape_want(const struct tn_node *node, int i, bool fits, const char *wanted) {
  if (!fits)
    tn_node_error(node, "operand '%s' must be %s, found %s", tn_in_name(node, i), wanted,
                  tn_shape_say(node, tn_in_type(node, i)));
  return fits;
}

bool tn_shape_want_float(const struct tn_node *node, int i) {
  return tn_shape_want(node, i, tn_dtype_is_float(tn_in_type(node, i)->dtype), "of a float dtype (cast it)");
}

bool tn_shape_want_int(const struct tn_node *node, int i) {
  return tn_shape_want(node, i, tn_dtype_is_int(tn_in_type(node, i)->dtype), "of an integer dtype (cast it)");
}

bool tn_shape_want_numeric(const struct tn_node *node, int i) {
  return tn_shape_want(node, i, tn_in_type(node, i)->dtype != TN_BOOL, "numeric, not bool (cast it)");
}

bool tn_shape_want_dtype(const struct tn_node *node, int i, enum tn_dtype dtype) {
  if (tn_in_type(node, i)->dtype == dtype)
    return true;
  tn_node_error(node, "operand '%s' must be of dtype %s, found %s", tn_in_name(node, i), tn_dtype_name(dtype),
                tn_shape_say(node, tn_in_type(node, i)));
  return false;
}

bool tn_shape_want_same_dtype(const struct tn_node *node, int i, int j) {
  if (tn_in_type(node, i)->dtype == tn_in_type(node, j)->dtype)
    return true;
  tn_node_error(node, "operands must be of one dtype: '%s' is %s, '%s' is %s; cast one of them",
                tn_in_name(node, i), tn_shape_say(node, tn_in_type(node, i)), tn_in_name(node, j),
                tn_shape_say(node, tn_in_type(node, j)));
  return false;
}

bool tn_shape_want_rank(const struct tn_node *node, int i, int rank) {
  if (tn_in_type(node, i)->rank == rank)
    return true;
  tn_node_error(node, "operand '%s' must have rank %d, found %s", tn_in_name(node, i), rank,
                tn_shape_say(node, tn_in_type(node, i)));
  return false;
}

/* ---- attributes ---------------------------------------------------------------------------------------- */

bool tn_shape_axis(struct tn_node *node, enum tn_attr_id id, int rank, int *axis) {
  int64_t value = tn_get_int(node, id);
  if (value < -rank || value >= rank) {
    tn_node_error(node, "attribute %s must be in %d..%d for rank %d, found %" PRId64, tn_attr_info(id)->name,
                  -rank, rank - 1, rank, value);
    return false;
  }
  *axis = (int)(value < 0 ? value + rank : value);
  tn_set_int(node, id, *axis);
  return true;
}

bool tn_shape_ints(const struct tn_node *node, enum tn_attr_id id, int count, int64_t low,
                   const int64_t **out) {
  struct tn_ints ints = tn_get_ints(node, id);
  if (ints.count != (size_t)count) {
    tn_node_error(node, "attribute %s must have %d elements, found %zu", tn_attr_info(id)->name, count,
                  ints.count);
    return false;
  }
  for (size_t i = 0; i < ints.count; i++)
    if (ints.at[i] < low || ints.at[i] > TN_MAX_TENSOR_BYTES || ints.at[i] < -TN_MAX_TENSOR_BYTES) {
      tn_node_error(
          node, "attribute %s[%zu] must be at least %" PRId64 " and at most 2^40 in size, found %" PRId64,
          tn_attr_info(id)->name, i, low < -TN_MAX_TENSOR_BYTES ? -TN_MAX_TENSOR_BYTES : low, ints.at[i]);
      return false;
    }
  *out = ints.at;
  return true;
}

bool tn_shape_dims(const struct tn_node *node, enum tn_attr_id id, int *rank, tn_dim *dims) {
  struct tn_ints ints = tn_get_ints(node, id);
  if (ints.count > TN_MAX_RANK) {
    tn_node_error(node, "attribute %s has %zu dims; rank is at most %d", tn_attr_info(id)->name, ints.count,
                  TN_MAX_RANK);
    return false;
  }
  *rank = (int)ints.count;
  for (size_t i = 0; i < ints.count; i++) {
    if (!tn_dim_valid(tn_node_module(node), ints.at[i])) {
      tn_node_error(node, "attribute %s[%zu] is neither an extent nor a known symbol (found %" PRId64 ")",
                    tn_attr_info(id)->name, i, ints.at[i]);
      return false;
    }
    dims[i] = ints.at[i];
  }
  return true;
}

/* ---- dims ---------------------------------------------------------------------------------------------- */

bool tn_dim_same(tn_dim a, tn_dim b, tn_dim *out) {
  *out = a >= 0 ? a : b >= 0 ? b : a > b ? a : b; /* of two symbols the older */
  return a < 0 || b < 0 || a == b;
}

bool tn_dim_broadcast(struct tn_module *module, tn_dim a, tn_dim b, tn_dim *out) {
  if (a == 1 || b == 1)
    *out = a == 1 ? b : a;
  else if (a < 0 && b < 0)
    *out = a == b ? a : tn_dim_op(module, 'M', a, b);
  else
    return tn_dim_same(a, b, out);
  return true;
}

bool tn_shape_broadcast(const struct tn_node *node, int i, const struct tn_type *x, int j,
                        const struct tn_type *y, struct tn_type *out) {
  int rank = x->rank > y->rank ? x->rank : y->rank;
  struct tn_type r = {.dtype = x->dtype, .rank = rank};
  for (int d = 0; d < rank; d++) {
    int dx = d - (rank - x->rank), dy = d - (rank - y->rank);
    if (!tn_dim_broadcast(tn_node_module(node), dx < 0 ? 1 : x->dim[dx], dy < 0 ? 1 : y->dim[dy], &r.dim[d])) {
      tn_node_error(
          node, "shapes of '%s' (%s) and '%s' (%s) do not broadcast: %s against %s; dims must be equal or 1",
          tn_in_name(node, i), tn_shape_say(node, x), tn_in_name(node, j), tn_shape_say(node, y),
          tn_shape_say_dim(node, x->dim[dx]), tn_shape_say_dim(node, y->dim[dy]));
      return false;
    }
  }
  *out = r;
  return true;
}

tn_dim tn_dim_add(struct tn_module *module, tn_dim a, int64_t b) {
  return tn_dim_op(module, '+', a, tn_dim_int(module, b));
}

tn_dim tn_dim_mul(struct tn_module *module, tn_dim a, int64_t b) {
  return tn_dim_op(module, '*', a, tn_dim_int(module, b));
}

bool tn_dim_windows(struct tn_module *module, tn_dim in, int64_t window, int64_t stride, tn_dim *out) {
  *out = tn_dim_add(module, tn_dim_op(module, '/', tn_dim_add(module, in, -window), stride), 1);
  int64_t value;
  return !tn_dim_value(module, in, &value) || value >= window;
}
