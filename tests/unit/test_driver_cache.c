/* The compile cache and a model whose weights are in a file beside it: other weights are another object. */
#include "driver/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "unit/onnx_writer.h"

enum { COUNT = 81 };

static char folder[] = "/tmp/tenon-cache-XXXXXX";
static const char *path_of(char *room, const char *name) {
  sprintf(room, "%s/%s", folder, name);
  return room;
}

static void write_file(const char *name, const void *bytes, size_t size) {
  char path[256];
  FILE *f = fopen(path_of(path, name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

static void write_weights(float value) {
  float weights[COUNT];
  for (int i = 0; i < COUNT; i++)
    weights[i] = value + (float)i;
  write_file("w.bin", weights, sizeof weights);
}

/* y = x + w */
static void write_model(void) {
  struct msg w = tensor_msg("w", 1, 2, (int64_t[]){9, 9}, NULL, 0), entry = {0}, graph = {0};
  put_text(&entry, 1, "location");
  put_text(&entry, 2, "w.bin");
  put_msg(&w, 13, &entry);
  put_int(&w, 14, 1);
  struct msg node = node_msg("", "Add", "sum", "x,w", "y"), x = info_msg("x", 1, "9,9"),
             y = info_msg("y", 1, "9,9");
  put_msg(&graph, GRAPH_NODE, &node);
  put_msg(&graph, GRAPH_INITIALIZER, &w);
  put_msg(&graph, GRAPH_INPUT, &x);
  put_msg(&graph, GRAPH_OUTPUT, &y);
  struct msg model = model_msg(&graph);
  struct tn_bytes bytes = msg_bytes(&model);
  write_file("model.onnx", bytes.at, bytes.size);
}

/* Builds as `run` does, and runs: y[0] where x is 0. */
static bool build_and_run(void *user) {
  tn_ctx *ctx = user;
  char model[256], cache[256];
  struct tn_options o = {.command = TN_RUN, .opt = 3, .threads = 1};
  o.model = path_of(model, "model.onnx");
  o.cache = path_of(cache, "kept");
  struct tn_built built;
  struct tn_program program;
  if (!tn_build_model(ctx, &o, NULL, tn_cache_open(ctx, &o), false, &built) ||
      !tn_program_load(ctx, &o, built.cg, NULL, &program))
    return false;
  float x[COUNT] = {0}, *y = tn_alloc(tn_ctx_arena(ctx), COUNT * sizeof *y);
  void *arena = tn_alloc_raw(tn_ctx_arena(ctx), (size_t)tn_codegen_facts(built.cg)->arena_bytes + 64, 64);
  assert_int_equal(tn_program_run(&program, (const void *[]){x}, (void *[]){y}, arena), 0);
  for (int i = 1; i < COUNT; i++)
    assert_true(y[i] == y[0] + (float)i);
  tn_report(ctx, TN_NOTE, (struct tn_where){0}, "%g", (double)y[0]);
  return true;
}

static void runs_with(float value) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  bool good = tn_guard(ctx, build_and_run, ctx);
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count && !good; i++)
    print_error("%s\n", tn_diag_format(tn_ctx_arena(ctx), &diags[i]));
  assert_true(good);
  assert_int_equal(count, 1);
  assert_true(strtof(diags[0].text, NULL) == value);
  tn_ctx_destroy(ctx);
}

static int entries(void) {
  char command[300];
  int count = -1;
  snprintf(command, sizeof command, "ls %s/kept/*.tno | wc -l", folder);
  FILE *f = popen(command, "r");
  assert_int_equal(fscanf(f, "%d", &count), 1);
  pclose(f);
  return count;
}

static void external_weights(void **state) {
  (void)state;
  assert_non_null(mkdtemp(folder));
  write_model();
  write_weights(1);
  runs_with(1);
  runs_with(1);
  assert_int_equal(entries(), 1);
  write_weights(5); /* as long, and the model's own file is what it was */
  runs_with(5);
  assert_int_equal(entries(), 2);
  write_weights(1);
  runs_with(1);
  assert_int_equal(entries(), 2);
  char command[300];
  snprintf(command, sizeof command, "rm -r %s", folder);
  assert_int_equal(system(command), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(external_weights)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
