/* TensorProto to tensor: every data type that Tenon holds, raw and typed fields, external files, sparse
 * tensors.
 *
 * Elements of fewer than 8 bits are unpacked to a byte each.  Data is used where it lies - in the mapped model
 * or in a mapped external file - when it is aligned for its type and needs no conversion; else it is copied
 * once. */
#include "frontend/onnx/wire.h"

#include <string.h>

static const struct tn_onnx_data_type data_types[] = {
    {"undefined", TN_NONE, 0},
    {"float", TN_F32, 32},
    {"uint8", TN_U8, 8},
    {"int8", TN_I8, 8},
    {"uint16", TN_U16, 16},
    {"int16", TN_I16, 16},
    {"int32", TN_I32, 32},
    {"int64", TN_I64, 64},
    {"string", TN_NONE, 0},
    {"bool", TN_BOOL, 8},
    {"float16", TN_F16, 16},
    {"double", TN_F64, 64},
    {"uint32", TN_U32, 32},
    {"uint64", TN_U64, 64},
    {"complex64", TN_NONE, 64},
    {"complex128", TN_NONE, 128},
    {"bfloat16", TN_BF16, 16},
    {"float8e4m3fn", TN_NONE, 8},
    {"float8e4m3fnuz", TN_NONE, 8},
    {"float8e5m2", TN_NONE, 8},
    {"float8e5m2fnuz", TN_NONE, 8},
    {"uint4", TN_U8, 4},
    {"int4", TN_I8, 4},
    {"float4e2m1", TN_NONE, 4},
    {"float8e8m0", TN_NONE, 8},
    {"uint2", TN_U8, 2},
    {"int2", TN_I8, 2},
};

const struct tn_onnx_data_type *tn_onnx_data_type(int64_t number) {
  return &data_types[number > 0 && number < (int64_t)TN_COUNT(data_types) ? number : 0];
}

int tn_onnx_data_type_of(enum tn_dtype dtype) {
  for (int i = 1; i < (int)TN_COUNT(data_types); i++)
    if (data_types[i].dtype == dtype && data_types[i].bits == (int)tn_dtype_size(dtype) * 8)
      return i;
  return 0;
}

/* A few bytes of a sparse tensor must not ask for all the memory there is. */
#define MAX_DENSE_BYTES ((size_t)1 << 31)

#define FAIL(...) return (tn_report(wire->ctx, TN_ERROR, where, __VA_ARGS__), false)

/* ---- external data ---- */

/* Names a file within the model's folder or below: relative, and no step upwards. */
static bool location_safe(const char *location) {
  if (!*location || *location == '/' || strchr(location, '\\') || strchr(location, ':'))
    return false;
  for (const char *part = location; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
    if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
      return false;
  return true;
}

static bool parse_size(const char *text, uint64_t *out) {
  uint64_t value = 0;
  if (!*text)
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || value > (UINT64_MAX - 9) / 10)
      return false;
    value = value * 10 + (uint64_t)(*text - '0');
  }
  *out = value;
  return true;
}

static bool external_bytes(struct tn_wire *wire, const Onnx__TensorProto *proto, struct tn_where where,
                           struct tn_bytes *out, bool *exact) {
  const char *location = NULL, *length_text = NULL;
  uint64_t offset = 0, length = 0;
  for (size_t i = 0; i < proto->n_external_data; i++) {
    const char *key = proto->external_data[i]->key, *value = proto->external_data[i]->value;
    if (!key || !value)
      FAIL("its external data has an entry without key or value");
    if (strcmp(key, "location") == 0)
      location = value;
    else if (strcmp(key, "offset") == 0 && !parse_size(value, &offset))
      FAIL("its external data has offset '%s': expected a number of bytes", value);
    else if (strcmp(key, "length") == 0 && !parse_size(length_text = value, &length))
      FAIL("its external data has length '%s': expected a number of bytes", value);
  }
  if (!location)
    FAIL("its data is external, but no file is named");
  if (!location_safe(location))
    FAIL("its data is in '%s': external data must be in the model's folder or below it, named by a relative "
         "path "
         "without '..'",
         location);
  if (!wire->path)
    FAIL("its data is in the external file '%s', which a model in memory cannot name", location);
  struct tn_bytes *file = tn_map_get(&wire->external, location);
  if (!file) {
    file = TN_NEW(wire->arena, struct tn_bytes);
    if (!tn_file_map(wire->ctx, tn_path_beside(wire->arena, wire->path, location), file)) {
      tn_report(wire->ctx, TN_NOTE, where, "its data is in that file");
      return false;
    }
    tn_map_set(&wire->external, location, file);
  }
  if (offset > file->size || (length_text && length > file->size - offset))
    FAIL("its data is at bytes %llu to %llu of '%s', which has %zu", (unsigned long long)offset,
         (unsigned long long)(offset + length), location, file->size);
  *exact = length_text != NULL;
  *out = (struct tn_bytes){file->at + offset, length_text ? (size_t)length : file->size - (size_t)offset};
  return true;
}

/* ---- elements ---- */

/* Raw data as it lies in memory or a file; false when the tensor has none (typed fields instead).  *exact: the
 * size must be the tensor's (it need not when an external file gives no length). */
static bool raw_bytes(struct tn_wire *wire, const Onnx__TensorProto *proto, struct tn_where where, bool *found,
                      struct tn_bytes *out, bool *exact) {
  *found = *exact = true;
  if (proto->has_data_location && proto->data_location == 1) {
    return external_bytes(wire, proto, where, out, exact);
  }
  if (proto->has_mapped_field) {
    bool same = proto->mapped_field == TN_WIRE_RAW_DATA ||
                (proto->mapped_field == TN_WIRE_FLOAT_DATA &&
                 proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) ||
                (proto->mapped_field == TN_WIRE_DOUBLE_DATA &&
                 proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE);
    if (!same)
      FAIL("its elements are %s, but its data is stored as another type",
           tn_onnx_data_type(proto->data_type)->name);
    *out = (struct tn_bytes){wire->bytes.at + proto->mapped_offset, (size_t)proto->mapped_size};
    return true;
  }
  if (proto->has_raw_data) {
    *out = (struct tn_bytes){proto->raw_data.data, proto->raw_data.len};
    return true;
  }
  *found = false;
  return true;
}

/* Packed elements of 2 or 4 bits, low bits first, to a byte each. */
static void unpack(const uint8_t *from, int bits, bool is_signed, int64_t count, uint8_t *to) {
  int per_byte = 8 / bits;
  for (int64_t i = 0; i < count; i++) {
    unsigned value = (unsigned)from[i / per_byte] >> (int)(i % per_byte) * bits & ((1u << bits) - 1);
    if (is_signed && value >> (bits - 1))
      value |= 0xffu << bits;
    to[i] = (uint8_t)value;
  }
}

/* The typed field that holds the elements of the data type, as its count and where each int32 or so is
 * narrowed. */
static bool typed_elements(struct tn_wire *wire, const Onnx__TensorProto *proto, struct tn_where where,
                           int64_t count, struct tn_tensor *out) {
  const struct tn_onnx_data_type *type = tn_onnx_data_type(proto->data_type);
  enum tn_dtype dtype = type->dtype;
  int64_t wanted = type->bits < 8 ? (count * type->bits + 7) / 8 : count, found;
  const char *field;
  if (dtype == TN_F32)
    found = (int64_t)proto->n_float_data, field = "float_data";
  else if (dtype == TN_F64)
    found = (int64_t)proto->n_double_data, field = "double_data";
  else if (dtype == TN_I64)
    found = (int64_t)proto->n_int64_data, field = "int64_data";
  else if (dtype == TN_U64 || dtype == TN_U32)
    found = (int64_t)proto->n_uint64_data, field = "uint64_data";
  else
    found = (int64_t)proto->n_int32_data, field = "int32_data";
  if (found != wanted)
    FAIL("its shape needs %lld elements of %s, but %s holds %lld", (long long)wanted, type->name, field,
         (long long)found);
  uint8_t *data = tn_alloc(wire->keep, out->bytes ? out->bytes : 1);
  out->data = data;
  if (dtype == TN_F32 || dtype == TN_F64 || dtype == TN_I64 || dtype == TN_U64) {
    const void *from = dtype == TN_F32   ? (const void *)proto->float_data
                       : dtype == TN_F64 ? (const void *)proto->double_data
                       : dtype == TN_I64 ? (const void *)proto->int64_data
                                         : (const void *)proto->uint64_data;
    if (out->bytes)
      memcpy(data, from, out->bytes);
  } else if (dtype == TN_U32) {
    for (int64_t i = 0; i < count; i++)
      tn_store_int(dtype, data, i, (int64_t)proto->uint64_data[i]);
  } else if (dtype == TN_F16 || dtype == TN_BF16) { /* the bits, as an integer */
    for (int64_t i = 0; i < count; i++)
      tn_store_int(TN_U16, data, i, proto->int32_data[i]);
  } else if (type->bits < 8) { /* a byte of packed elements each */
    uint8_t *packed = tn_alloc(wire->arena, (size_t)wanted + 1);
    for (int64_t i = 0; i < wanted; i++)
      packed[i] = (uint8_t)proto->int32_data[i];
    unpack(packed, type->bits, dtype == TN_I8, count, data);
  } else if (dtype == TN_BOOL) {
    for (int64_t i = 0; i < count; i++)
      data[i] = proto->int32_data[i] != 0;
  } else {
    for (int64_t i = 0; i < count; i++)
      tn_store_int(dtype, data, i, proto->int32_data[i]);
  }
  return true;
}

#define FORGET ((size_t)1 << 16) /* copies of the file and of its data at a time would be memory for nothing */

static bool raw_elements(struct tn_wire *wire, const Onnx__TensorProto *proto, struct tn_where where,
                         struct tn_bytes raw, bool exact, int64_t count, struct tn_tensor *out) {
  const struct tn_onnx_data_type *type = tn_onnx_data_type(proto->data_type);
  size_t wanted = type->bits < 8 ? ((size_t)count * (size_t)type->bits + 7) / 8 : out->bytes;
  if (raw.size < wanted || (exact && raw.size != wanted))
    FAIL("its shape needs %zu bytes of %s, but it has %zu", wanted, type->name, raw.size);
  if (type->bits < 8) {
    uint8_t *data = tn_alloc(wire->keep, out->bytes ? out->bytes : 1);
    unpack(raw.at, type->bits, type->dtype == TN_I8, count, data);
    out->data = data;
    return true;
  }
  bool canonical = true; /* a bool is 0 or 1 */
  for (size_t i = 0; type->dtype == TN_BOOL && i < wanted; i++)
    canonical &= raw.at[i] < 2;
  bool in_place = raw.at >= wire->bytes.at && raw.at < wire->bytes.at + wire->bytes.size;
  bool external = proto->has_data_location && proto->data_location == 1;
  bool aligned = (uintptr_t)raw.at % tn_dtype_size(type->dtype) == 0;
  if (canonical && aligned && (in_place || external)) {
    out->data = raw.at;
    return true;
  }
  uint8_t *data = tn_alloc_raw(wire->keep, wanted ? wanted : 1, 64);
  if (wanted)
    memcpy(data, raw.at, wanted);
  if (wanted >= FORGET)
    tn_file_forget(wire->ctx, (struct tn_bytes){raw.at, wanted});
  for (size_t i = 0; !canonical && i < wanted; i++)
    data[i] = data[i] != 0;
  out->data = data;
  return true;
}

static bool shape_of(struct tn_wire *wire, const int64_t *dims, size_t rank, enum tn_dtype dtype,
                     struct tn_where where, struct tn_tensor *out, int64_t *count) {
  if (rank > TN_MAX_RANK)
    FAIL("it has %zu dimensions; Tenon holds at most %d", rank, TN_MAX_RANK);
  for (size_t i = 0; i < rank; i++)
    if (dims[i] < 0)
      FAIL("its dimension %zu is %lld", i, (long long)dims[i]);
  out->type = tn_type_make(dtype, (int)rank, dims);
  int64_t bytes;
  if (!tn_type_count(&out->type, count) || !tn_type_bytes(&out->type, &bytes) || (uint64_t)bytes > SIZE_MAX / 8)
    FAIL("its shape is too large to be true");
  out->bytes = (size_t)bytes;
  return true;
}

bool tn_wire_tensor(struct tn_wire *wire, const Onnx__TensorProto *proto, struct tn_where where,
                    struct tn_tensor *out) {
  const struct tn_onnx_data_type *type = tn_onnx_data_type(proto->data_type);
  int64_t count;
  *out = (struct tn_tensor){0};
  if (type->dtype == TN_NONE)
    FAIL("its elements are of type %s (%d), which Tenon does not support", type->name, (int)proto->data_type);
  if (proto->segment)
    FAIL("it is stored in segments, which Tenon does not support");
  if (!shape_of(wire, proto->dims, proto->n_dims, type->dtype, where, out, &count))
    return false;
  bool found, exact;
  struct tn_bytes raw = {0};
  if (!raw_bytes(wire, proto, where, &found, &raw, &exact))
    return false;
  return found ? raw_elements(wire, proto, where, raw, exact, count, out)
               : typed_elements(wire, proto, where, count, out);
}

/* COO: `values` [n]; `indices` i64 [n], positions in row-major order, or [n, rank], coordinates.  Zero
 * elsewhere. */
bool tn_wire_sparse(struct tn_wire *wire, const Onnx__SparseTensorProto *proto, struct tn_where where,
                    struct tn_tensor *out) {
  struct tn_tensor values, indices;
  int64_t count;
  *out = (struct tn_tensor){0};
  if (!proto->values || !proto->indices)
    FAIL("a sparse tensor without values or indices");
  if (!tn_wire_tensor(wire, proto->values, where, &values) ||
      !tn_wire_tensor(wire, proto->indices, where, &indices) ||
      !shape_of(wire, proto->dims, proto->n_dims, values.type.dtype, where, out, &count))
    return false;
  if (out->bytes > MAX_DENSE_BYTES)
    FAIL("a sparse tensor that takes %zu bytes when dense, which is too much", out->bytes);
  int rank = out->type.rank;
  bool linear = indices.type.rank == 1;
  if (values.type.rank != 1 || indices.type.dtype != TN_I64 || indices.type.rank < 1 || indices.type.rank > 2 ||
      indices.type.dim[0] != values.type.dim[0] || (!linear && indices.type.dim[1] != rank))
    FAIL("a sparse tensor of rank %d needs values [n] and int64 indices [n] or [n, %d]", rank, rank);
  size_t size = tn_dtype_size(values.type.dtype);
  uint8_t *data = tn_alloc(wire->keep, out->bytes ? out->bytes : 1);
  const int64_t *at = indices.data;
  for (int64_t i = 0; i < values.type.dim[0]; i++) {
    int64_t position = linear ? at[i] : 0;
    for (int d = 0; !linear && d < rank; d++) {
      int64_t index = at[i * rank + d];
      if (index < 0 || index >= out->type.dim[d])
        FAIL("a sparse tensor's index %lld is outside dimension %d of extent %lld", (long long)index, d,
             (long long)out->type.dim[d]);
      position = position * out->type.dim[d] + index;
    }
    if (position < 0 || position >= count)
      FAIL("a sparse tensor's index %lld is outside its %lld elements", (long long)position, (long long)count);
    memcpy(data + (size_t)position * size, (const uint8_t *)values.data + (size_t)i * size, size);
  }
  out->data = data;
  return true;
}
