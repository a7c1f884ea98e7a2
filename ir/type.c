/* Dtypes and tensor types.  Dims past the rank are zero. */
#include "ir/ir.h"

static const struct dtype_row {
  const char *name;
  uint8_t size;
  char kind; /* f, i (signed), u, b */
} dtypes[TN_DTYPE_COUNT] = {
    [TN_NONE] = {"none", 0, '-'}, [TN_F32] = {"f32", 4, 'f'},   [TN_F64] = {"f64", 8, 'f'},
    [TN_F16] = {"f16", 2, 'f'},   [TN_BF16] = {"bf16", 2, 'f'}, [TN_I8] = {"i8", 1, 'i'},
    [TN_I16] = {"i16", 2, 'i'},   [TN_I32] = {"i32", 4, 'i'},   [TN_I64] = {"i64", 8, 'i'},
    [TN_U8] = {"u8", 1, 'u'},     [TN_U16] = {"u16", 2, 'u'},   [TN_U32] = {"u32", 4, 'u'},
    [TN_U64] = {"u64", 8, 'u'},   [TN_BOOL] = {"bool", 1, 'b'},
};

const char *tn_dtype_name(enum tn_dtype dtype) {
  return dtypes[dtype].name;
}

bool tn_dtype_parse(const char *name, enum tn_dtype *out) {
  for (int i = 0; i < TN_DTYPE_COUNT; i++)
    if (strcmp(dtypes[i].name, name) == 0) {
      *out = (enum tn_dtype)i;
      return true;
    }
  return false;
}

size_t tn_dtype_size(enum tn_dtype dtype) {
  return dtypes[dtype].size;
}
bool tn_dtype_is_float(enum tn_dtype dtype) {
  return dtypes[dtype].kind == 'f';
}
bool tn_dtype_is_int(enum tn_dtype dtype) {
  return dtypes[dtype].kind == 'i' || dtypes[dtype].kind == 'u';
}
bool tn_dtype_is_signed(enum tn_dtype dtype) {
  return dtypes[dtype].kind == 'i' || dtypes[dtype].kind == 'f';
}

struct tn_type tn_type_make(enum tn_dtype dtype, int rank, const tn_dim *dims) {
  struct tn_type type = {.dtype = dtype, .rank = rank};
  for (int i = 0; i < rank && i < TN_MAX_RANK; i++)
    type.dim[i] = dims[i];
  return type;
}

struct tn_type tn_type_scalar(enum tn_dtype dtype) {
  return (struct tn_type){.dtype = dtype};
}

static bool quant_equal(const struct tn_quant *a, const struct tn_quant *b) {
  if (a == b)
    return true;
  if (!a || !b || a->axis != b->axis || a->count != b->count)
    return false;
  size_t count = (size_t)a->count;
  return memcmp(a->scale, b->scale, count * sizeof *a->scale) == 0 &&
         memcmp(a->zero_point, b->zero_point, count * sizeof *a->zero_point) == 0;
}

bool tn_shape_equal(const struct tn_type *a, const struct tn_type *b) {
  if (a->rank != b->rank)
    return false;
  for (int i = 0; i < a->rank; i++)
    if (a->dim[i] != b->dim[i])
      return false;
  return true;
}

bool tn_type_equal(const struct tn_type *a, const struct tn_type *b) {
  return a->dtype == b->dtype && tn_shape_equal(a, b) && quant_equal(a->quant, b->quant);
}

bool tn_type_static(const struct tn_type *type) {
  for (int i = 0; i < type->rank; i++)
    if (!tn_dim_static(type->dim[i]))
      return false;
  return true;
}

bool tn_type_count(const struct tn_type *type, int64_t *out) {
  int64_t count = 1;
  bool empty = false; /* [huge, huge, 0] has 0 elements, whatever the order */
  if (!tn_type_static(type))
    return false;
  for (int i = 0; i < type->rank; i++)
    empty |= type->dim[i] == 0;
  for (int i = 0; i < type->rank && !empty; i++)
    if (!tn_mul_i64(count, type->dim[i], &count))
      return false;
  *out = empty ? 0 : count;
  return true;
}

bool tn_type_bytes(const struct tn_type *type, int64_t *out) {
  int64_t count;
  return tn_type_count(type, &count) && tn_mul_i64(count, (int64_t)tn_dtype_size(type->dtype), out);
}
