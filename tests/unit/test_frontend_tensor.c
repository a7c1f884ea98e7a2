/* TensorProto to tensor: every data type, raw and typed, external files, and what must be refused. */
#include "frontend/onnx/onnx.h"
#include "onnx_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
  tn_ctx *ctx;
  char dir[64];
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  f->ctx = tn_ctx_create(NULL);
  strcpy(f->dir, "/tmp/tenon-tensor-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  *state = f;
  return 0;
}
static int teardown(void **state) {
  struct fixture *f = *state;
  char command[128];
  tn_ctx_destroy(f->ctx);
  snprintf(command, sizeof command, "rm -r %s", f->dir);
  assert_int_equal(system(command), 0);
  free(f);
  return 0;
}

static const char *path_of(const struct fixture *f, const char *name) {
  return tn_printf(tn_ctx_arena(f->ctx), "%s/%s", f->dir, name);
}

static void write_file(const struct fixture *f, const char *name, const void *bytes, size_t size) {
  FILE *file = fopen(path_of(f, name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

static bool read_msg(struct fixture *f, const struct msg *m, struct tn_tensor *out) {
  write_file(f, "t.pb", m->at, m->size);
  const char *name;
  return tn_onnx_read_tensor(f->ctx, path_of(f, "t.pb"), out, &name);
}

/* The message must be refused with a diagnostic that has `word` in it. */
static void refuse(struct fixture *f, const struct msg *m, const char *word) {
  struct tn_tensor t;
  size_t before = tn_diag_count(f->ctx, TN_ERROR), count;
  assert_false(read_msg(f, m, &t));
  assert_true(tn_diag_count(f->ctx, TN_ERROR) > before);
  const struct tn_diag *diags = tn_diags(f->ctx, &count);
  bool found = false;
  for (size_t i = 0; i < count; i++)
    found |= strstr(diags[i].text, word) != NULL;
  if (!found)
    fail_msg("no diagnostic has '%s'; the last is '%s'", word, diags[count - 1].text);
}

static void test_raw_types(void **state) {
  struct fixture *f = *state;
  static const struct {
    int data_type;
    enum tn_dtype dtype;
  } rows[] = {{1, TN_F32},  {2, TN_U8},   {3, TN_I8},   {4, TN_U16},  {5, TN_I16},  {6, TN_I32},  {7, TN_I64},
              {9, TN_BOOL}, {10, TN_F16}, {11, TN_F64}, {12, TN_U32}, {13, TN_U64}, {16, TN_BF16}};
  for (size_t i = 0; i < TN_COUNT(rows); i++) {
    uint8_t raw[6 * 8];
    size_t size = 6 * tn_dtype_size(rows[i].dtype);
    for (size_t k = 0; k < size; k++)
      raw[k] = rows[i].dtype == TN_BOOL ? k % 2 : (uint8_t)(k * 37 + i);
    struct msg m = tensor_msg("w", rows[i].data_type, 2, (int64_t[]){2, 3}, raw, size);
    struct tn_tensor t;
    assert_true(read_msg(f, &m, &t));
    assert_int_equal(t.type.dtype, rows[i].dtype);
    assert_int_equal(t.type.rank, 2);
    assert_int_equal(t.type.dim[1], 3);
    assert_int_equal(t.bytes, size);
    assert_memory_equal(t.data, raw, size);
  }
}

/* A payload large enough to stay in the file, at an odd offset. */
static void test_large_payload(void **state) {
  struct fixture *f = *state;
  float raw[300];
  for (int i = 0; i < 300; i++)
    raw[i] = (float)i / 7;
  for (int typed = 0; typed < 2; typed++) {
    struct msg m = {0};
    put_text(&m, 8, typed ? "odd" : "even");
    put_int(&m, 1, 300);
    put_int(&m, 2, ONNX_FLOAT);
    put_bytes(&m, typed ? 4 : 9, raw, sizeof raw);
    struct tn_tensor t;
    assert_true(read_msg(f, &m, &t));
    assert_int_equal((uintptr_t)t.data % 4, 0);
    assert_memory_equal(t.data, raw, sizeof raw);
  }
}

static void test_typed_fields(void **state) {
  struct fixture *f = *state;
  struct tn_tensor t;
  struct msg m = tensor_msg("a", ONNX_INT8, 1, (int64_t[]){2}, NULL, 0);
  put_int(&m, 5, -3);
  put_int(&m, 5, 100);
  assert_true(read_msg(f, &m, &t));
  assert_int_equal(tn_tensor_int(&t, 0), -3);
  assert_int_equal(tn_tensor_int(&t, 1), 100);
  m = tensor_msg("b", ONNX_INT64, 0, NULL, NULL, 0);
  put_int(&m, 7, -5);
  assert_true(read_msg(f, &m, &t));
  assert_int_equal(t.type.rank, 0);
  assert_int_equal(tn_tensor_int(&t, 0), -5);
  m = tensor_msg("c", 10, 1, (int64_t[]){1}, NULL, 0); /* float16 as bits */
  put_int(&m, 5, 0x3c00);
  assert_true(read_msg(f, &m, &t));
  assert_true(tn_tensor_float(&t, 0) == 1.0);
  m = tensor_msg("d", ONNX_BOOL, 1, (int64_t[]){2}, NULL, 0);
  put_int(&m, 5, 7);
  put_int(&m, 5, 0);
  assert_true(read_msg(f, &m, &t));
  assert_memory_equal(t.data, "\1\0", 2);
  m = tensor_msg("e", 12, 1, (int64_t[]){1}, NULL, 0);
  put_int(&m, 11, 0xfffffffe);
  assert_true(read_msg(f, &m, &t));
  assert_int_equal(tn_tensor_int(&t, 0), 0xfffffffe);
  m = tensor_msg("f", ONNX_FLOAT, 1, (int64_t[]){0}, NULL, 0); /* no elements, no data */
  assert_true(read_msg(f, &m, &t));
  assert_int_equal(t.bytes, 0);
}

static void test_small_types(void **state) {
  struct fixture *f = *state;
  struct tn_tensor t;
  struct msg m = tensor_msg("a", 22, 1, (int64_t[]){3}, "\x8f\x07", 2); /* int4: -1, -8, 7 */
  assert_true(read_msg(f, &m, &t));
  assert_int_equal(t.type.dtype, TN_I8);
  assert_memory_equal(t.data, "\xff\xf8\x07", 3);
  m = tensor_msg("b", 21, 1, (int64_t[]){3}, NULL, 0); /* uint4, two to an int32 */
  put_int(&m, 5, 0x8f);
  put_int(&m, 5, 0x07);
  assert_true(read_msg(f, &m, &t));
  assert_int_equal(t.type.dtype, TN_U8);
  assert_memory_equal(t.data, "\x0f\x08\x07", 3);
  m = tensor_msg("c", 26, 1, (int64_t[]){5}, "\xe4\x03", 2); /* int2: 0, 1, -2, -1, -1 */
  assert_true(read_msg(f, &m, &t));
  assert_memory_equal(t.data, "\0\1\xfe\xff\xff", 5);
  m = tensor_msg("d", ONNX_BOOL, 1, (int64_t[]){3}, "\0\2\xff", 3); /* a bool is 0 or 1 */
  assert_true(read_msg(f, &m, &t));
  assert_memory_equal(t.data, "\0\1\1", 3);
}

static void test_refused(void **state) {
  struct fixture *f = *state;
  float raw[6] = {0};
  struct msg m = tensor_msg("w", ONNX_FLOAT, 2, (int64_t[]){2, 3}, raw, 20);
  refuse(f, &m, "24 bytes");
  m = tensor_msg("w", ONNX_FLOAT, 1, (int64_t[]){-1}, raw, 4);
  refuse(f, &m, "dimension 0 is -1");
  m = tensor_msg("w", ONNX_FLOAT, 3, (int64_t[]){INT64_MAX, INT64_MAX, 2}, raw, 4);
  refuse(f, &m, "too large");
  m = tensor_msg("w", ONNX_FLOAT, 2, (int64_t[]){1ll << 30, 1ll << 30}, raw, 4);
  refuse(f, &m, "bytes");
  m = tensor_msg("w", ONNX_FLOAT, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, raw, 4);
  refuse(f, &m, "9 dimensions");
  m = tensor_msg("w", ONNX_STRING, 1, (int64_t[]){1}, NULL, 0);
  refuse(f, &m, "string");
  m = tensor_msg("w", 17, 1, (int64_t[]){1}, "\1", 1);
  refuse(f, &m, "float8e4m3fn");
  m = tensor_msg("w", 99, 1, (int64_t[]){1}, "\1", 1);
  refuse(f, &m, "undefined");
  m = tensor_msg("w", ONNX_INT64, 1, (int64_t[]){2}, NULL, 0);
  put_int(&m, 7, 1);
  refuse(f, &m, "int64_data holds 1");
  m = tensor_msg("w", ONNX_INT32, 1, (int64_t[]){300}, NULL, 0); /* float_data for integers, large */
  float floats[300] = {0};
  put_bytes(&m, 4, floats, sizeof floats);
  refuse(f, &m, "another type");
  struct msg sequence = {0}, element = tensor_msg("e", ONNX_FLOAT, 1, (int64_t[]){1}, raw, 4);
  put_text(&sequence, 1, "s");
  put_int(&sequence, 2, 1);
  put_msg(&sequence, 3, &element);
  put_msg(&sequence, 3, &element);
  refuse(f, &sequence, "sequence of 2");
  struct msg empty = {0};
  refuse(f, &empty, "empty");
}

static struct msg external_msg(const char *location, const char *offset, const char *length) {
  struct msg m = tensor_msg("w", ONNX_INT32, 1, (int64_t[]){2}, NULL, 0);
  const char *entries[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
  for (int i = 0; i < 3; i++) {
    struct msg entry = {0};
    if (!entries[i][1])
      continue;
    put_text(&entry, 1, entries[i][0]);
    put_text(&entry, 2, entries[i][1]);
    put_msg(&m, 13, &entry);
  }
  put_int(&m, 14, 1);
  return m;
}

static void test_external(void **state) {
  struct fixture *f = *state;
  struct tn_tensor t;
  int32_t data[4] = {10, 20, 30, 40};
  write_file(f, "w.bin", data, sizeof data);
  assert_int_equal(mkdir(path_of(f, "sub"), 0777), 0);
  write_file(f, "sub/w.bin", data, sizeof data);
  struct msg m = external_msg("w.bin", NULL, NULL); /* the file may go on */
  assert_true(read_msg(f, &m, &t));
  assert_memory_equal(t.data, data, 8);
  m = external_msg("sub/w.bin", "4", "8");
  assert_true(read_msg(f, &m, &t));
  assert_memory_equal(t.data, data + 1, 8);
  m = external_msg("w.bin", "1", "8"); /* unaligned: copied */
  assert_true(read_msg(f, &m, &t));
  assert_int_equal((uintptr_t)t.data % 4, 0);
  assert_memory_equal(t.data, (char *)data + 1, 8);
}

static void test_external_refused(void **state) {
  struct fixture *f = *state;
  int32_t data[4] = {10, 20, 30, 40};
  write_file(f, "w.bin", data, sizeof data);
  static const struct {
    const char *location, *offset, *length, *word;
  } rows[] = {
      {"../w.bin", NULL, NULL, "'..'"},
      {"sub/../../w.bin", NULL, NULL, "'..'"},
      {"/etc/passwd", NULL, NULL, "'..'"},
      {"..", NULL, NULL, "'..'"},
      {"", NULL, NULL, "'..'"},
      {"a\\b", NULL, NULL, "'..'"},
      {NULL, NULL, NULL, "no file"},
      {"missing.bin", NULL, NULL, "open"},
      {"w.bin", "17", NULL, "16"},
      {"w.bin", "12", "8", "16"},
      {"w.bin", "0", "12", "has 12"},
      {"w.bin", "x", NULL, "offset 'x'"},
      {"w.bin", "-1", NULL, "offset '-1'"},
      {"w.bin", "12", NULL, "has 4"},
      {"w.bin", "18446744073709551615", "18446744073709551615", "offset"},
  };
  for (size_t i = 0; i < TN_COUNT(rows); i++) {
    struct msg m = external_msg(rows[i].location, rows[i].offset, rows[i].length);
    refuse(f, &m, rows[i].word);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_raw_types, setup, teardown),
      cmocka_unit_test_setup_teardown(test_large_payload, setup, teardown),
      cmocka_unit_test_setup_teardown(test_typed_fields, setup, teardown),
      cmocka_unit_test_setup_teardown(test_small_types, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(test_external, setup, teardown),
      cmocka_unit_test_setup_teardown(test_external_refused, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
