/* NumPy files: every dtype, version and order, and what is no NumPy file. */
#include "driver/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static int setup(void **state) {
  *state = tn_ctx_create(NULL);
  return *state ? 0 : -1;
}
static int teardown(void **state) {
  tn_ctx_destroy(*state);
  return 0;
}

/* A file of the version with this header text and these elements. */
static struct tn_bytes file_of(tn_ctx *ctx, int version, const char *header, const void *data, size_t bytes) {
  size_t length = strlen(header), start = version == 1 ? 10 : 12;
  uint8_t *at = tn_alloc(tn_ctx_arena(ctx), start + length + bytes + 1);
  memcpy(at, "\x93NUMPY", 6);
  at[6] = (uint8_t)version;
  at[8] = (uint8_t)length;
  at[9] = (uint8_t)(length >> 8);
  memcpy(at + start, header, length);
  if (bytes)
    memcpy(at + start + length, data, bytes);
  return (struct tn_bytes){at, start + length + bytes};
}

static struct tn_tensor parse(tn_ctx *ctx, int version, const char *header, const void *data, size_t bytes) {
  struct tn_tensor t = {0};
  assert_true(tn_npy_parse(ctx, "t.npy", file_of(ctx, version, header, data, bytes), &t));
  assert_int_equal(tn_diag_count(ctx, TN_NOTE), 0);
  return t;
}

static void refuse(tn_ctx *ctx, struct tn_bytes file, const char *why) {
  struct tn_tensor t;
  size_t count;
  assert_false(tn_npy_parse(ctx, "t.npy", file, &t));
  const struct tn_diag *d = tn_diags(ctx, &count);
  assert_int_equal(count, 1);
  assert_int_equal(d[0].severity, TN_ERROR);
  assert_string_equal(d[0].file, "t.npy");
  if (!strstr(d[0].text, why))
    fail_msg("'%s' is not in '%s'", why, d[0].text);
  tn_diag_truncate(ctx, 0);
}

#define HEAD(descr, order, shape) \
  "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }          \n"

static void dtypes(void **state) {
  tn_ctx *ctx = *state;
  static const struct {
    const char *descr;
    enum tn_dtype dtype;
    uint8_t bytes[16]; /* two elements, little-endian */
    double first, second;
  } rows[] = {
      {"<f4", TN_F32, {0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0}, 1.5, -2},
      {"<f8", TN_F64, {0, 0, 0, 0, 0, 0, 0xF8, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0xC0}, 1.5, -2},
      {"<f2", TN_F16, {0, 0x3E, 0, 0xC0}, 1.5, -2},
      {"|i1", TN_I8, {1, 0xFE}, 1, -2},
      {"<i2", TN_I16, {1, 2, 0xFE, 0xFF}, 513, -2},
      {"<i4", TN_I32, {1, 2, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF}, 513, -2},
      {"<i8", TN_I64, {1, 2, 0, 0, 0, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 513, -2},
      {"|u1", TN_U8, {1, 0xFE}, 1, 254},
      {"<u2", TN_U16, {1, 2, 0xFE, 0xFF}, 513, 65534},
      {"<u4", TN_U32, {1, 2, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF}, 513, 4294967294.0},
      {"<u8", TN_U64, {1, 2, 0, 0, 0, 0, 0, 0, 5}, 513, 5},
      {"|b1", TN_BOOL, {1, 0}, 1, 0},
      {"|b1", TN_BOOL, {7, 0x80}, 1, 1}, /* made 1 */
      {"=f4", TN_F32, {0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0}, 1.5, -2},
      {">f4", TN_F32, {0x3F, 0xC0, 0, 0, 0xC0, 0, 0, 0}, 1.5, -2},
      {">f8", TN_F64, {0x3F, 0xF8, 0, 0, 0, 0, 0, 0, 0xC0}, 1.5, -2},
      {">f2", TN_F16, {0x3E, 0, 0xC0, 0}, 1.5, -2},
      {">i4", TN_I32, {0, 0, 2, 1, 0xFF, 0xFF, 0xFF, 0xFE}, 513, -2},
      {">i8", TN_I64, {0, 0, 0, 0, 0, 0, 2, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE}, 513, -2},
      {">u2", TN_U16, {2, 1, 0xFF, 0xFE}, 513, 65534},
  };
  for (size_t i = 0; i < TN_COUNT(rows); i++)
    for (int version = 1; version <= 3; version++) {
      const char *header = tn_printf(
          tn_ctx_arena(ctx), "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }\n", rows[i].descr);
      size_t bytes = 2 * tn_dtype_size(rows[i].dtype);
      struct tn_tensor t = parse(ctx, version, header, rows[i].bytes, bytes);
      assert_int_equal(t.type.dtype, rows[i].dtype);
      assert_int_equal(t.type.rank, 1);
      assert_int_equal(t.bytes, bytes);
      assert_true(tn_tensor_float(&t, 0) == rows[i].first && tn_tensor_float(&t, 1) == rows[i].second);
    }
}

static void shapes_and_orders(void **state) {
  tn_ctx *ctx = *state;
  uint8_t count[24];
  for (int i = 0; i < 24; i++)
    count[i] = (uint8_t)i;
  struct tn_tensor t = parse(ctx, 1, HEAD("|u1", "False", "()"), count + 3, 1);
  assert_true(t.type.rank == 0 && tn_tensor_int(&t, 0) == 3);
  t = parse(ctx, 1, HEAD("|u1", "True", "(4,)"), count, 4);
  assert_true(t.type.rank == 1 && tn_tensor_int(&t, 3) == 3);
  t = parse(ctx, 1, HEAD("|u1", "False", "(0, 7)"), NULL, 0);
  assert_true(t.type.rank == 2 && t.bytes == 0);
  t = parse(ctx, 1, HEAD("|u1", "False", "(2L, 3L)"), count, 6); /* as Python 2 wrote them */
  assert_true(t.type.rank == 2 && t.type.dim[1] == 3);
  t = parse(ctx, 1, HEAD("|u1", "False", "(1,1,1,1,2,1,1,1)"), count, 2);
  assert_int_equal(t.type.rank, 8);
  t = parse(ctx, 2, HEAD("|u1", "True", "(2, 3, 4)"), count,
            24); /* element (a, b, c) is at a + 2 * b + 6 * c */
  for (int a = 0; a < 2; a++)
    for (int b = 0; b < 3; b++)
      for (int c = 0; c < 4; c++)
        assert_int_equal(tn_tensor_int(&t, (a * 3 + b) * 4 + c), a + 2 * b + 6 * c);
  t = parse(ctx, 1, HEAD(">i2", "True", "(2, 2)"), (uint8_t[]){0, 1, 0, 2, 0, 3, 0, 4}, 8);
  for (int i = 0; i < 4; i++)
    assert_int_equal(tn_tensor_int(&t, i), 1 + i / 2 + i % 2 * 2);
  /* Keys in another order, more room, bytes behind the elements. */
  t = parse(ctx, 1, "{'shape':(2,), 'descr':'|u1' , 'fortran_order':  False}\n", count, 10);
  assert_true(t.bytes == 2 && tn_tensor_int(&t, 1) == 1);
}

static void hostile(void **state) {
  tn_ctx *ctx = *state;
  uint8_t data[16] = {0};
#define REFUSE(header, why) refuse(ctx, file_of(ctx, 1, header, data, sizeof data), why)
  REFUSE(HEAD("<c8", "False", "(2,)"), "elements of type '<c8'");
  REFUSE(HEAD("<f4x", "False", "(2,)"), "elements of type");
  REFUSE(HEAD("|O", "False", "(2,)"), "elements of type");
  REFUSE(HEAD("?f4", "False", "(2,)"), "elements of type");
  REFUSE("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }\n", "lacks descr");
  REFUSE("{'fortran_order': False, 'shape': (2,), }\n", "lacks descr");
  REFUSE("{'descr': '<f4', 'shape': (2,), }\n", "lacks descr");
  REFUSE("{'descr': '<f4', 'fortran_order': False}\n", "lacks descr");
  REFUSE("{'shape': (2,), 'fortran_order': False, 'descr': '<f", "lacks descr");
  REFUSE("{'shape': (2,), 'descr': '<f4', 'fortran_order'", "lacks descr");
  REFUSE(HEAD("<f4", "Maybe", "(2,)"), "neither True nor False");
  REFUSE(HEAD("<f4", "False", "2"), "shape");
  REFUSE(HEAD("<f4", "False", "(-1,)"), "shape");
  REFUSE(HEAD("<f4", "False", "(two,)"), "shape");
  REFUSE(HEAD("<f4", "False", "(1,1,1,1,1,1,1,1,1)"), "more than 8");
  REFUSE("{'descr': '<f4', 'fortran_order': False, 'shape': (1,", "shape");
  REFUSE(HEAD("<f4", "False", "(5,)"), "fewer elements");
  REFUSE(HEAD("<f8", "True", "(3,)"), "fewer elements");
  REFUSE(HEAD("<f4", "False", "(4294967296, 4294967296)"), "fewer elements");
  REFUSE(HEAD("<f4", "False", "(9223372036854775807, 4)"), "fewer elements");
  REFUSE(HEAD("<f4", "False", "(99999999999999999999999,)"), "fewer elements");
  refuse(ctx, file_of(ctx, 0, HEAD("<f4", "False", "(2,)"), data, 8), "version 0");
  refuse(ctx, file_of(ctx, 4, HEAD("<f4", "False", "(2,)"), data, 8), "version 4");
  refuse(ctx, (struct tn_bytes){(const uint8_t *)"PK\3\4 an .npz file", 18}, "magic number");
  struct tn_bytes good = file_of(ctx, 1, HEAD("<f4", "False", "(2,)"), data, 8);
  struct tn_tensor t;
  assert_true(tn_npy_parse(ctx, "t.npy", good, &t));
  for (size_t size = 0; size < good.size;
       size++) /* in memory of its own, so that a read past its end shows */ {
    uint8_t *cut = malloc(size ? size : 1);
    memcpy(cut, good.at, size);
    assert_false(tn_npy_parse(ctx, "t.npy", (struct tn_bytes){cut, size}, &t));
    free(cut);
  }
  assert_int_equal(tn_diag_count(ctx, TN_BUG), 0);
}

static void written_files_read_back(void **state) {
  tn_ctx *ctx = *state;
  char path[] = "/tmp/tenon-npy-XXXXXX";
  close(mkstemp(path));
  uint8_t data[6 * 8];
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i % 2);
  for (enum tn_dtype dtype = TN_F32; dtype < TN_DTYPE_COUNT; dtype++) {
    struct tn_type type = tn_type_make(dtype, 2, (tn_dim[]){3, 2});
    struct tn_tensor t = {type, data, 6 * tn_dtype_size(dtype)}, again;
    assert_true(tn_npy_write(ctx, path, &t));
    assert_true(tn_npy_read(ctx, path, &again));
    assert_int_equal(again.type.dtype, dtype == TN_BF16 ? TN_F32 : dtype); /* NumPy has none */
    assert_true(tn_shape_equal(&again.type, &type));
    for (int i = 0; i < 6; i++)
      assert_true(tn_tensor_float(&again, i) == tn_tensor_float(&t, i));
  }
  struct tn_tensor scalar = {tn_type_scalar(TN_F32), data, 4}, again;
  assert_true(tn_npy_write(ctx, path, &scalar) && tn_npy_read(ctx, path, &again));
  assert_int_equal(again.type.rank, 0);
  struct tn_bytes file;
  assert_true(tn_file_map(ctx, path, &file));
  assert_int_equal((file.size - 4) % 64, 0); /* the elements are aligned, as NumPy's are */
  unlink(path);
  assert_false(tn_npy_read(ctx, path, &again));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(dtypes, setup, teardown),
      cmocka_unit_test_setup_teardown(shapes_and_orders, setup, teardown),
      cmocka_unit_test_setup_teardown(hostile, setup, teardown),
      cmocka_unit_test_setup_teardown(written_files_read_back, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
