/* NumPy's .npy files, versions 1 to 3, as published in numpy.lib.format: a magic, a header that is a Python
 * dictionary, and the elements.  Column-major files are turned into row-major ones. */
#include "driver/driver.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct {
  const char *descr;
  enum tn_dtype dtype;
} kinds[] = {{"f4", TN_F32}, {"f8", TN_F64}, {"f2", TN_F16}, {"i1", TN_I8},  {"i2", TN_I16}, {"i4", TN_I32},
             {"i8", TN_I64}, {"u1", TN_U8},  {"u2", TN_U16}, {"u4", TN_U32}, {"u8", TN_U64}, {"b1", TN_BOOL}};

static bool bad(tn_ctx *ctx, const char *path, const char *what) {
  tn_report(ctx, TN_ERROR, (struct tn_where){.file = path}, "not a NumPy file that can be read: %s", what);
  return false;
}

/* The text after 'key': in the header. */
static const char *find_key(const char *header, const char *key) {
  const char *at = strstr(header, key);
  at = at ? strchr(at, ':') : NULL;
  if (!at)
    return NULL;
  for (at++; *at == ' '; at++)
    ;
  return at;
}

static bool parse_shape(const char *at, struct tn_type *type) {
  if (*at++ != '(')
    return false;
  while (*at != ')') {
    char *end;
    long long n = strtoll(at, &end, 10);
    if (end == at || n < 0 || type->rank == TN_MAX_RANK)
      return false;
    type->dim[type->rank++] = n;
    for (at = end; *at == ' ' || *at == ',' || *at == 'L'; at++)
      ;
  }
  return true;
}

static void to_row_major(const struct tn_type *type, const uint8_t *from, uint8_t *to, int64_t count,
                         size_t size) {
  int64_t at[TN_MAX_RANK] = {0};
  for (int64_t i = 0; i < count; i++) {
    int64_t offset = 0, stride = 1;
    for (int d = 0; d < type->rank; d++) {
      offset += at[d] * stride;
      stride *= type->dim[d];
    }
    memcpy(to + (size_t)i * size, from + (size_t)offset * size, size);
    for (int d = type->rank - 1; d >= 0 && ++at[d] == type->dim[d]; d--)
      at[d] = 0;
  }
}

/* Big-endian elements become little-endian ones; a bool is 0 or 1. */
static void to_canonical(uint8_t *data, int64_t count, enum tn_dtype dtype, bool swap) {
  size_t size = tn_dtype_size(dtype);
  for (int64_t i = 0; i < count && dtype == TN_BOOL; i++)
    data[i] = data[i] != 0;
  for (int64_t i = 0; i < count && swap; i++)
    for (size_t k = 0; k < size / 2; k++) {
      uint8_t *low = data + (size_t)i * size + k, *high = data + (size_t)i * size + size - 1 - k, kept = *low;
      *low = *high;
      *high = kept;
    }
}

bool tn_npy_parse(tn_ctx *ctx, const char *path, struct tn_bytes file, struct tn_tensor *out) {
  if (file.size < 12 || memcmp(file.at, "\x93NUMPY", 6) != 0)
    return bad(ctx, path, "it does not start with NumPy's magic number");
  if (file.at[6] < 1 || file.at[6] > 3)
    return bad(ctx, path, tn_printf(tn_ctx_arena(ctx), "it is of version %d; 1 to 3 are known", file.at[6]));
  bool wide = file.at[6] >= 2;
  size_t start = wide ? 12 : 10;
  size_t length = file.at[8] | (size_t)file.at[9] << 8;
  if (wide)
    length |= (size_t)file.at[10] << 16 | (size_t)file.at[11] << 24;
  if (length > file.size - start)
    return bad(ctx, path, "its header is cut off");
  const char *header = tn_strndup(tn_ctx_arena(ctx), (const char *)file.at + start, length);
  const char *descr = find_key(header, "'descr'"), *order = find_key(header, "'fortran_order'"),
             *shape = find_key(header, "'shape'");
  if (!descr || !order || !shape || *descr != '\'' || strlen(descr) < 5)
    return bad(ctx, path, "its header lacks descr, fortran_order or shape");
  bool fortran = strncmp(order, "True", 4) == 0;
  if (!fortran && strncmp(order, "False", 5) != 0)
    return bad(ctx, path, "its fortran_order is neither True nor False");
  *out = (struct tn_tensor){0};
  for (size_t i = 0; i < TN_COUNT(kinds) && strchr("<>=|", descr[1]); i++)
    if (!strncmp(descr + 2, kinds[i].descr, 2) && descr[4] == '\'')
      out->type.dtype = kinds[i].dtype;
  if (out->type.dtype == TN_NONE)
    return bad(ctx, path, tn_printf(tn_ctx_arena(ctx), "elements of type %.12s are not supported", descr));
  if (!parse_shape(shape, &out->type))
    return bad(ctx, path, "its shape cannot be read, or has more than 8 dimensions");
  int64_t count, bytes;
  if (!tn_type_count(&out->type, &count) || !tn_type_bytes(&out->type, &bytes) ||
      (uint64_t)bytes > file.size - start - length)
    return bad(ctx, path, "it holds fewer elements than its shape says");
  uint8_t *data = tn_alloc_raw(tn_ctx_arena(ctx), (size_t)bytes + 64, 64);
  const uint8_t *from = file.at + start + length;
  if (fortran && out->type.rank > 1)
    to_row_major(&out->type, from, data, count, tn_dtype_size(out->type.dtype));
  else
    memcpy(data, from, (size_t)bytes);
  to_canonical(data, count, out->type.dtype, descr[1] == '>');
  out->data = data;
  out->bytes = (size_t)bytes;
  return true;
}

bool tn_npy_read(tn_ctx *ctx, const char *path, struct tn_tensor *out) {
  struct tn_bytes file;
  return tn_file_map(ctx, path, &file) && tn_npy_parse(ctx, path, file, out);
}

bool tn_npy_write(tn_ctx *ctx, const char *path, const struct tn_tensor *tensor) {
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(ctx));
  const char *descr = NULL;
  struct tn_tensor t = *tensor;
  if (t.type.dtype == TN_BF16) { /* NumPy has no bfloat16: every value is a float32 */
    int64_t count;
    tn_type_count(&t.type, &count);
    float *wide = TN_NEW_ARRAY(tn_ctx_arena(ctx), float, count + 1);
    for (int64_t i = 0; i < count; i++)
      wide[i] = (float)tn_tensor_float(tensor, i);
    t.type.dtype = TN_F32;
    t.data = wide;
    t.bytes = (size_t)count * sizeof *wide;
  }
  for (size_t i = 0; i < TN_COUNT(kinds); i++)
    if (kinds[i].dtype == t.type.dtype)
      descr = kinds[i].descr;
  tn_str_add(&s, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
             tn_dtype_size(t.type.dtype) > 1 ? '<' : '|', descr);
  for (int d = 0; d < t.type.rank; d++)
    tn_str_add(&s, "%" PRId64 ",%s", t.type.dim[d], d + 1 < t.type.rank ? " " : "");
  tn_str_add(&s, "), }");
  while ((10 + s.count + 1) % 64)
    tn_str_add(&s, " ");
  tn_str_add(&s, "\n");
  size_t total = 10 + s.count + t.bytes;
  uint8_t *file = tn_alloc_raw(tn_ctx_arena(ctx), total, 16);
  memcpy(file, "\x93NUMPY\x01\x00", 8);
  file[8] = (uint8_t)s.count;
  file[9] = (uint8_t)(s.count >> 8);
  memcpy(file + 10, s.at, s.count);
  memcpy(file + 10 + s.count, t.data, t.bytes);
  return tn_file_write(ctx, path, file, total);
}
