/* Element access to tensors of any dtype, and the constant behind a value.
 *
 * Conversions are those of the cast op: float to integer truncates and saturates, nan gives 0; integers wrap;
 * anything to bool is x != 0; narrowing floats round once, to nearest even. */
#include "ir/ir.h"
#include <math.h>

/* memcpy: the data of a mapped file need not be aligned. */
#define LOAD(type, data, i) load_##type((const uint8_t *)(data) + (size_t)(i) * sizeof(type))
#define LOADER(type)                           \
  static type load_##type(const uint8_t *at) { \
    type value;                                \
    memcpy(&value, at, sizeof value);          \
    return value;                              \
  }
LOADER(float)
LOADER(double)
LOADER(int8_t)
LOADER(int16_t)
LOADER(int32_t)
LOADER(int64_t)
LOADER(uint8_t)
LOADER(uint16_t)
LOADER(uint32_t)
LOADER(uint64_t)

static int64_t float_to_i64(double value, double low, double high) {
  if (isnan(value))
    return 0;
  if (value <= low)
    return (int64_t)low;
  if (value >= high) /* 2^63 is the first double past INT64_MAX */
    return high >= 9223372036854775808.0 ? INT64_MAX : (int64_t)high;
  return (int64_t)value;
}

static uint64_t float_to_u64(double value) {
  if (isnan(value) || value <= 0)
    return 0;
  return value >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)value;
}

/* One rounding: the step over float goes to odd, which no later rounding mistakes for a tie. */
static uint16_t double_to_bf16(double value) {
  float near = (float)value;
  if ((double)near != value && !isnan(value) && !isinf(near)) {
    if (fabs((double)near) > fabs(value))
      near = nextafterf(near, 0.0f);
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    bits |= 1;
    memcpy(&near, &bits, sizeof bits);
  }
  return tn_float_to_bf16(near);
}

double tn_tensor_float(const struct tn_tensor *tensor, int64_t i) {
  const void *data = tensor->data;
  switch (tensor->type.dtype) {
  case TN_F32:
    return (double)LOAD(float, data, i);
  case TN_F64:
    return LOAD(double, data, i);
  case TN_F16:
    return (double)tn_half_to_float(LOAD(uint16_t, data, i));
  case TN_BF16:
    return (double)tn_bf16_to_float(LOAD(uint16_t, data, i));
  case TN_U64:
    return (double)LOAD(uint64_t, data, i);
  default:
    return (double)tn_tensor_int(tensor, i);
  }
}

int64_t tn_tensor_int(const struct tn_tensor *tensor, int64_t i) {
  const void *data = tensor->data;
  switch (tensor->type.dtype) {
  case TN_I8:
    return LOAD(int8_t, data, i);
  case TN_I16:
    return LOAD(int16_t, data, i);
  case TN_I32:
    return LOAD(int32_t, data, i);
  case TN_I64:
    return LOAD(int64_t, data, i);
  case TN_U8:
    return LOAD(uint8_t, data, i);
  case TN_BOOL:
    return LOAD(uint8_t, data, i) != 0;
  case TN_U16:
    return LOAD(uint16_t, data, i);
  case TN_U32:
    return LOAD(uint32_t, data, i);
  case TN_U64:
    return (int64_t)LOAD(uint64_t, data, i);
  case TN_F32:
  case TN_F64:
  case TN_F16:
  case TN_BF16:
    return float_to_i64(tn_tensor_float(tensor, i), -9223372036854775808.0, 9223372036854775808.0);
  case TN_NONE:
  case TN_DTYPE_COUNT:
    break;
  }
  return 0;
}

static void store_bits(void *data, int64_t i, uint64_t bits, size_t size) {
  memcpy((uint8_t *)data + (size_t)i * size, &bits, size); /* little-endian, as tensors are */
}

void tn_store_float(enum tn_dtype dtype, void *data, int64_t i, double value) {
  float narrow = (float)value;
  switch (dtype) {
  case TN_F32:
    memcpy((uint8_t *)data + (size_t)i * sizeof narrow, &narrow, sizeof narrow);
    return;
  case TN_F64:
    memcpy((uint8_t *)data + (size_t)i * sizeof value, &value, sizeof value);
    return;
  case TN_F16:
    store_bits(data, i, tn_double_to_half(value), 2);
    return;
  case TN_BF16:
    store_bits(data, i, double_to_bf16(value), 2);
    return;
  case TN_I8:
    store_bits(data, i, (uint64_t)float_to_i64(value, INT8_MIN, INT8_MAX), 1);
    return;
  case TN_I16:
    store_bits(data, i, (uint64_t)float_to_i64(value, INT16_MIN, INT16_MAX), 2);
    return;
  case TN_I32:
    store_bits(data, i, (uint64_t)float_to_i64(value, INT32_MIN, INT32_MAX), 4);
    return;
  case TN_I64:
    store_bits(data, i, (uint64_t)float_to_i64(value, -9223372036854775808.0, 9223372036854775808.0), 8);
    return;
  case TN_U8:
    store_bits(data, i, (uint64_t)float_to_i64(value, 0, UINT8_MAX), 1);
    return;
  case TN_U16:
    store_bits(data, i, (uint64_t)float_to_i64(value, 0, UINT16_MAX), 2);
    return;
  case TN_U32:
    store_bits(data, i, (uint64_t)float_to_i64(value, 0, UINT32_MAX), 4);
    return;
  case TN_U64:
    store_bits(data, i, float_to_u64(value), 8);
    return;
  case TN_BOOL:
    store_bits(data, i, value != 0, 1);
    return;
  case TN_NONE:
  case TN_DTYPE_COUNT:
    return;
  }
}

void tn_store_int(enum tn_dtype dtype, void *data, int64_t i, int64_t value) {
  if (dtype == TN_F32) { /* straight: the way over double would round twice */
    float narrow = (float)value;
    memcpy((uint8_t *)data + (size_t)i * sizeof narrow, &narrow, sizeof narrow);
  } else if (dtype == TN_BOOL) {
    store_bits(data, i, value != 0, 1);
  } else if (tn_dtype_is_float(dtype)) {
    /* f16 overflows and bf16's eight digits lie far above the double's rounding of 2^53 and more, except for
     * ties: odd rounding keeps those apart. */
    double wide = (double)value;
    if (dtype == TN_BF16 && (value > (INT64_C(1) << 53) || value < -(INT64_C(1) << 53)))
      wide = (double)((value & ~INT64_C(0x7ff)) | ((value & 0x7ff) != 0 ? 0x400 : 0));
    tn_store_float(dtype, data, i, wide);
  } else {
    store_bits(data, i, (uint64_t)value, tn_dtype_size(dtype));
  }
}

const struct tn_tensor *tn_value_tensor(const struct tn_value *value) {
  if (!value || !value->def || value->def->op != TN_CONSTANT)
    return NULL;
  return tn_get_tensor(value->def, TN_CONSTANT_value);
}

bool tn_value_ints(const struct tn_value *value, tn_arena *arena, struct tn_ints *out) {
  const struct tn_tensor *tensor = tn_value_tensor(value);
  int64_t count;
  if (!tensor || tensor->type.dtype == TN_NONE || !tn_type_count(&tensor->type, &count))
    return false;
  int64_t *at = TN_NEW_ARRAY(arena, int64_t, count > 0 ? count : 1);
  for (int64_t i = 0; i < count; i++)
    at[i] = tn_tensor_int(tensor, i);
  *out = (struct tn_ints){at, (size_t)count};
  return true;
}

bool tn_value_floats(const struct tn_value *value, tn_arena *arena, const double **out, int64_t *count) {
  const struct tn_tensor *tensor = tn_value_tensor(value);
  if (!tensor || tensor->type.dtype == TN_NONE || !tn_type_count(&tensor->type, count))
    return false;
  double *at = TN_NEW_ARRAY(arena, double, *count > 0 ? *count : 1);
  for (int64_t i = 0; i < *count; i++)
    at[i] = tn_tensor_float(tensor, i);
  *out = at;
  return true;
}
