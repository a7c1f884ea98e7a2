/* What a mapping asks of its node: operands, attributes, diagnostics, values known at import. */
#include "frontend/onnx/import.h"

#include <string.h>

TN_NORETURN static void leave(struct tn_onnx_node *n) {
  tn_fail_now(n->im->ctx);
}

/* ---- diagnostics --------------------------------------------------------------------------------------------
 */

bool tn_onnx_error(struct tn_onnx_node *n, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tn_vreport(n->im->ctx, TN_ERROR, tn_import_where(n), format, args);
  va_end(args);
  return false;
}

bool tn_onnx_unsupported(struct tn_onnx_node *n, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tn_import_gap(n->im, n->b->name, n->b->origin, tn_vprintf(n->im->scratch, format, args));
  va_end(args);
  return false;
}

/* ---- operands
 * ------------------------------------------------------------------------------------------------ */

struct tn_value *tn_onnx_need(struct tn_onnx_node *n, int i, const char *what) {
  if (i < n->in_count && n->in[i])
    return n->in[i];
  if (i < n->in_count && n->in_list[i])
    tn_onnx_error(n, "operand %d (%s) must be a tensor, and is %s", i, what,
                  n->in_list[i]->optional ? "an optional" : "a sequence");
  else
    tn_onnx_error(n, "operand %d (%s) is missing", i, what);
  leave(n);
}

const struct tn_onnx_list *tn_onnx_need_list(struct tn_onnx_node *n, int i, const char *what) {
  if (i < n->in_count && n->in_list[i])
    return n->in_list[i];
  tn_onnx_error(n, "operand %d (%s) must be a sequence or an optional, and is %s", i, what,
                i < n->in_count && n->in[i] ? "a tensor" : "missing");
  leave(n);
}

const struct tn_onnx_list *tn_onnx_list_make(struct tn_onnx_node *n, bool optional, enum tn_dtype dtype,
                                             size_t count, const struct tn_onnx_arg *items) {
  struct tn_onnx_list *list = TN_NEW(n->arena, struct tn_onnx_list);
  struct tn_onnx_arg *at = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, count + 1);
  for (size_t i = 0; i < count; i++)
    at[i] = items[i];
  *list = (struct tn_onnx_list){optional, dtype, count, at};
  return list;
}

int64_t tn_onnx_in_data_type(struct tn_onnx_node *n, int i) {
  struct tn_value *value = tn_onnx_in(n, i);
  if (!value)
    return 0;
  uint8_t marked = tn_import_note(n->im, value)->data_type;
  return marked ? marked : tn_onnx_data_type_of(value->type.dtype);
}

void tn_onnx_mark_data_type(struct tn_onnx_node *n, struct tn_value *value, int64_t data_type) {
  tn_import_note(n->im, value)->data_type = tn_onnx_data_type(data_type)->bits < 8 ? (uint8_t)data_type : 0;
}

/* ---- attributes
 * ---------------------------------------------------------------------------------------------- */

static const Onnx__AttributeProto *find(Onnx__AttributeProto *const *attrs, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (attrs[i]->name && strcmp(attrs[i]->name, name) == 0)
      return attrs[i];
  return NULL;
}

const Onnx__AttributeProto *tn_onnx_attr(const struct tn_onnx_attrs *attrs, const char *name) {
  for (;;) {
    const Onnx__AttributeProto *attr = find(attrs->node->attribute, attrs->node->n_attribute, name);
    const struct tn_frame *frame = attrs->frame;
    if (!attr || !attr->ref_attr_name || !*attr->ref_attr_name || !frame)
      return attr;
    name = attr->ref_attr_name; /* a parameter of the function: from the call, else its default */
    if (!find(frame->call->node->attribute, frame->call->node->n_attribute, name))
      return find(frame->function->attribute_proto, frame->function->n_attribute_proto, name);
    attrs = frame->call;
  }
}

static const char *const kind_names[] = {"nothing", "a float",         "an int",         "a string", "a tensor",
                                         "a graph", "floats",          "ints",           "strings",  "tensors",
                                         "graphs",  "a sparse tensor", "sparse tensors", "a type",   "types"};

/* Old models leave the type out. */
static int kind_of(const Onnx__AttributeProto *a) {
  if (a->has_type && a->type != 0)
    return a->type;
  return a->has_f           ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
         : a->has_i         ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT
         : a->has_s         ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING
         : a->t             ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR
         : a->g             ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH
         : a->n_floats      ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS
         : a->n_ints        ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS
         : a->n_strings     ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS
         : a->sparse_tensor ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR
                            : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED;
}

/* The attribute as `kind`, NULL when absent. */
static const Onnx__AttributeProto *attr_of(struct tn_onnx_node *n, const char *name, int kind) {
  const Onnx__AttributeProto *attr = tn_onnx_attr(n->attrs, name);
  if (!attr)
    return NULL;
  int found = kind_of(attr);
  bool empty_list = found == 0 && kind >= ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
  if (found == kind || empty_list)
    return attr;
  tn_onnx_error(n, "its attribute %s must be %s, and is %s", name, kind_names[kind],
                found > 0 && found < (int)TN_COUNT(kind_names) ? kind_names[found] : "of an unknown type");
  leave(n);
}

bool tn_onnx_has(const struct tn_onnx_node *n, const char *name) {
  return tn_onnx_attr(n->attrs, name) != NULL;
}

int64_t tn_onnx_int(struct tn_onnx_node *n, const char *name, int64_t absent) {
  const Onnx__AttributeProto *attr = attr_of(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
  return attr ? attr->i : absent;
}

double tn_onnx_float(struct tn_onnx_node *n, const char *name, double absent) {
  const Onnx__AttributeProto *attr = attr_of(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
  return attr ? (double)attr->f : absent;
}

static const char *text_of(struct tn_onnx_node *n, const char *name, const ProtobufCBinaryData *bytes) {
  if (bytes->len && memchr(bytes->data, 0, bytes->len)) {
    tn_onnx_error(n, "its attribute %s holds a NUL character", name);
    leave(n);
  }
  return tn_strndup(n->arena, bytes->len ? (const char *)bytes->data : "", bytes->len);
}

const char *tn_onnx_string(struct tn_onnx_node *n, const char *name, const char *absent) {
  const Onnx__AttributeProto *attr = attr_of(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
  return attr ? text_of(n, name, &attr->s) : absent;
}

bool tn_onnx_ints(struct tn_onnx_node *n, const char *name, struct tn_ints *out) {
  const Onnx__AttributeProto *attr = attr_of(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
  *out = attr ? (struct tn_ints){attr->ints, attr->n_ints} : (struct tn_ints){0};
  return attr != NULL;
}

bool tn_onnx_floats(struct tn_onnx_node *n, const char *name, const float **out, size_t *count) {
  const Onnx__AttributeProto *attr = attr_of(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
  *out = attr ? attr->floats : NULL;
  *count = attr ? attr->n_floats : 0;
  return attr != NULL;
}

bool tn_onnx_strings(struct tn_onnx_node *n, const char *name, const char *const **out, size_t *count) {
  const Onnx__AttributeProto *attr = attr_of(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
  *count = attr ? attr->n_strings : 0;
  const char **texts = TN_NEW_ARRAY(n->arena, const char *, *count + 1);
  for (size_t i = 0; i < *count; i++)
    texts[i] = text_of(n, name, &attr->strings[i]);
  *out = texts;
  return attr != NULL;
}

const struct tn_tensor *tn_onnx_tensor_typed(struct tn_onnx_node *n, const char *name, int64_t *data_type) {
  const Onnx__AttributeProto *attr = tn_onnx_attr(n->attrs, name);
  bool sparse = attr && kind_of(attr) == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR;
  if (!sparse)
    attr = attr_of(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
  if (!attr)
    return NULL;
  const Onnx__TensorProto *proto = attr->t;
  if (sparse)
    proto = attr->sparse_tensor ? attr->sparse_tensor->values : NULL;
  if (!proto) {
    tn_onnx_error(n, "its attribute %s holds no tensor", name);
    leave(n);
  }
  tn_onnx_dtype(n, proto->data_type);
  struct tn_tensor *tensor = TN_NEW(n->arena, struct tn_tensor);
  struct tn_where where = tn_import_where(n);
  bool good = sparse ? tn_wire_sparse(&n->im->wire, attr->sparse_tensor, where, tensor)
                     : tn_wire_tensor(&n->im->wire, proto, where, tensor);
  if (!good)
    leave(n);
  *data_type = proto->data_type;
  return tensor;
}

const struct tn_tensor *tn_onnx_tensor(struct tn_onnx_node *n, const char *name) {
  int64_t data_type;
  return tn_onnx_tensor_typed(n, name, &data_type);
}

int tn_onnx_check_axis(struct tn_onnx_node *n, const char *what, int64_t axis, int rank) {
  if (axis >= -rank && axis < rank)
    return (int)(axis < 0 ? axis + rank : axis);
  tn_onnx_error(n, "%s is %lld: expected a dimension of a tensor of rank %d, %d to %d", what, (long long)axis,
                rank, -rank, rank - 1);
  leave(n);
}

int tn_onnx_axis(struct tn_onnx_node *n, const char *name, int64_t absent, int rank) {
  return tn_onnx_check_axis(n, name, tn_onnx_int(n, name, absent), rank);
}

enum tn_dtype tn_onnx_dtype(struct tn_onnx_node *n, int64_t data_type) {
  const struct tn_onnx_data_type *type = tn_onnx_data_type(data_type);
  if (type->dtype != TN_NONE)
    return type->dtype;
  if (strcmp(type->name, "undefined") == 0)
    tn_onnx_error(n, "it names the element type %lld, which ONNX has not", (long long)data_type);
  else
    tn_onnx_unsupported(n, "its element type is %s, which Tenon has not", type->name);
  leave(n);
}

/* ---- values known at import
 * ----------------------------------------------------------------------------------- */

const struct tn_tensor *tn_onnx_known(struct tn_onnx_node *n, int i) {
  struct tn_value *value = tn_onnx_in(n, i);
  return value ? tn_import_known(n->im, value) : NULL;
}

static const struct tn_tensor *known_or_leave(struct tn_onnx_node *n, int i, const char *what) {
  tn_onnx_need(n, i, what);
  const struct tn_tensor *tensor = tn_onnx_known(n, i);
  if (!tensor)
    tn_onnx_need_value(n, i, what);
  return tensor;
}

static int64_t count_of(const struct tn_tensor *tensor) {
  int64_t count = 0;
  (void)tn_type_count(&tensor->type, &count); /* constants are static */
  return count;
}

struct tn_ints tn_onnx_const_ints(struct tn_onnx_node *n, int i, const char *what) {
  const struct tn_tensor *tensor = known_or_leave(n, i, what);
  int64_t count = count_of(tensor);
  int64_t *at = TN_NEW_ARRAY(n->arena, int64_t, count + 1);
  for (int64_t k = 0; k < count; k++)
    at[k] = tn_tensor_int(tensor, k);
  return (struct tn_ints){at, (size_t)count};
}

static const struct tn_tensor *known_scalar(struct tn_onnx_node *n, int i, const char *what) {
  const struct tn_tensor *tensor = known_or_leave(n, i, what);
  if (count_of(tensor) == 1)
    return tensor;
  tn_onnx_error(n, "operand %d (%s) must have one element, and has %lld", i, what, (long long)count_of(tensor));
  leave(n);
}

int64_t tn_onnx_const_int(struct tn_onnx_node *n, int i, const char *what) {
  return tn_tensor_int(known_scalar(n, i, what), 0);
}

double tn_onnx_const_float(struct tn_onnx_node *n, int i, const char *what) {
  return tn_tensor_float(known_scalar(n, i, what), 0);
}

int tn_onnx_const_dims(struct tn_onnx_node *n, int i, const char *what, tn_dim out[TN_MAX_RANK]) {
  struct tn_value *value = tn_onnx_need(n, i, what);
  tn_dim dims[64];
  int count;
  if (!tn_value_dims(value, dims, &count)) {
    struct tn_ints ints = tn_onnx_const_ints(n, i, what);
    count = ints.count > 64 ? 64 : (int)ints.count;
    for (int k = 0; k < count; k++)
      dims[k] = tn_dim_int(n->im->module, ints.at[k]);
  }
  if (count > TN_MAX_RANK) {
    tn_onnx_error(n, "operand %d (%s) gives a shape of more than %d dimensions, which Tenon has not", i, what,
                  TN_MAX_RANK);
    leave(n);
  }
  for (int k = 0; k < count; k++)
    out[k] = dims[k];
  return count;
}
