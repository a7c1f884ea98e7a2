/* The wire: damaged bytes in every place end in a diagnostic that says where, and in nothing else. */
#include "frontend/onnx/onnx.h"
#include "onnx_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Imports a copy that is exactly as large as the bytes.  True when it was a model; else `word` (NULL: any) must
 * be in a diagnostic. */
static bool import_copy(const uint8_t *at, size_t size, const char *word) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  uint8_t *copy = malloc(size ? size : 1);
  if (size)
    memcpy(copy, at, size);
  struct tn_module *module = tn_onnx_import_bytes(ctx, (struct tn_bytes){copy, size}, "m.onnx", NULL, NULL);
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  if (module)
    assert_true(tn_verify(module, "import"));
  else
    assert_true(tn_diag_count(ctx, TN_ERROR) > 0);
  bool found = !word;
  for (size_t i = 0; i < count; i++) {
    assert_int_not_equal(diags[i].severity, TN_BUG);
    found |= word && strstr(diags[i].text, word);
  }
  if (!found)
    fail_msg("no diagnostic has '%s'; the last: %s", word, count ? diags[count - 1].text : "none");
  tn_ctx_destroy(ctx);
  free(copy);
  return module != NULL;
}

static struct msg small_model(void) {
  struct msg g = {0};
  float w[2] = {1, 2};
  struct msg part = node_msg("", "Identity", "copy", "x", "y");
  put_msg(&g, GRAPH_NODE, &part);
  part = node_msg("", "Identity", "weights", "w", "v");
  put_msg(&g, GRAPH_NODE, &part);
  part = tensor_msg("w", ONNX_FLOAT, 1, (int64_t[]){2}, w, 8);
  put_msg(&g, GRAPH_INITIALIZER, &part);
  part = info_msg("x", ONNX_FLOAT, "batch,3");
  put_msg(&g, GRAPH_INPUT, &part);
  part = info_msg("y", ONNX_FLOAT, "batch,3");
  put_msg(&g, GRAPH_OUTPUT, &part);
  part = info_msg("v", ONNX_FLOAT, "2");
  put_msg(&g, GRAPH_OUTPUT, &part);
  return model_msg(&g);
}

static void test_truncated(void **state) {
  (void)state;
  struct msg m = small_model();
  assert_true(import_copy(m.at, m.size, NULL));
  for (size_t size = 0; size < m.size; size++)
    assert_false(import_copy(m.at, size, NULL)); /* the graph comes last, so every cut is in it or before it */
}

static void test_every_bit(void **state) {
  (void)state;
  struct msg m = small_model();
  for (size_t i = 0; i < m.size * 8; i++) {
    m.at[i / 8] ^= (uint8_t)(1 << i % 8);
    import_copy(m.at, m.size, NULL);
    m.at[i / 8] ^= (uint8_t)(1 << i % 8);
  }
}

static void test_damage_is_named(void **state) {
  (void)state;
  struct msg m = {0};
  put_text(&m, 7, "");
  put_int(&m, 7, 1);
  import_copy(m.at, m.size, "'graph' is of the wrong kind at byte 2, in ModelProto");
  m = (struct msg){0};
  put_text(&m, 7, "");
  put_text(&m, 7, "");
  import_copy(m.at, m.size, "'graph' is there twice");
  m = (struct msg){0};
  put_text(&m, 2, "caf\xe9");
  import_copy(m.at, m.size, "'producer_name' is not valid UTF-8");
  m = (struct msg){0};
  put_bytes(&m, 2, "a\0b", 3);
  import_copy(m.at, m.size, "not valid UTF-8");
  m = (struct msg){0};
  put_text(&m, 2, "\xf0\x9f\x8d\x8b \xc3\xa9");
  import_copy(m.at, m.size, "no graph");
  import_copy((const uint8_t *)"\x3a\x20 ", 3, "a field of 32 bytes where 1 are left");
  import_copy((const uint8_t *)"\x3b", 1, "unknown kind");
  import_copy((const uint8_t *)"\x08\xff\xff", 3, "cut short");
  import_copy((const uint8_t *)"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13, "cut short");
  import_copy((const uint8_t *)"\x00\x00", 2, "impossible number");
  import_copy((const uint8_t *)"", 0, "empty");
  import_copy((const uint8_t *)"hello, world", 12, "no ONNX model");
}

/* Graphs in attributes of nodes in graphs ... */
static void test_nesting(void **state) {
  (void)state;
  for (int depth = 10; depth <= 400; depth += 390) {
    struct msg g = {0};
    for (int i = 0; i < depth; i++) {
      struct msg attr = {0}, node = {0}, outer = {0};
      put_text(&attr, 1, "body");
      put_msg(&attr, 6, &g);
      put_msg(&node, 5, &attr);
      put_msg(&outer, GRAPH_NODE, &node);
      g = outer;
    }
    struct msg m = model_msg(&g);
    import_copy(m.at, m.size, depth == 10 ? "not supported" : "nested more than");
  }
}

/* ---- memory that runs out ---- */

struct ration {
  size_t left; /* allocations */
};

static void *resize(void *user, void *old, size_t size) {
  struct ration *ration = user;
  if (size == 0) {
    free(old);
    return NULL;
  }
  if (ration->left == 0)
    return NULL;
  ration->left--;
  return realloc(old, size);
}

struct job {
  tn_ctx *ctx;
  struct msg *model;
};

static bool import_job(void *user) {
  struct job *job = user;
  return tn_onnx_import_bytes(job->ctx, msg_bytes(job->model), "m.onnx", NULL, NULL) != NULL;
}

static void test_out_of_memory(void **state) {
  (void)state;
  struct msg m = small_model();
  bool good = false;
  for (size_t allowed = 0; !good; allowed++) {
    struct ration ration = {allowed};
    struct tn_allocator allocator = {resize, &ration};
    tn_ctx *ctx = tn_ctx_create(&allocator);
    assert_true(allowed < 1000);
    if (!ctx)
      continue;
    struct job job = {ctx, &m};
    good = tn_guard(ctx, import_job, &job);
    if (!good)
      assert_true(tn_diag_count(ctx, TN_ERROR) > 0);
    tn_ctx_destroy(ctx);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_truncated),       cmocka_unit_test(test_every_bit),
      cmocka_unit_test(test_damage_is_named), cmocka_unit_test(test_nesting),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
