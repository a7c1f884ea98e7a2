/* Operands whose values must be known at import: computed, bound by the user, or asked for by name. */
#include "frontend/onnx/onnx.h"
#include "onnx_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static int setup(void **state) {
  *state = tn_ctx_create(NULL);
  return *state == NULL;
}
static int teardown(void **state) {
  tn_ctx_destroy(*state);
  return 0;
}

static void add(struct msg *graph, int field, struct msg part) {
  put_msg(graph, field, &part);
}

static bool said(tn_ctx *ctx, const char *word) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    if (strstr(diags[i].text, word))
      return true;
  return false;
}

/* y = Reshape(x[2,3], s) with s an input: its value decides the shape of y. */
static struct msg reshape_graph(void) {
  struct msg g = {0};
  add(&g, GRAPH_NODE, node_msg("", "Identity", "hand", "s", "t"));
  add(&g, GRAPH_NODE, node_msg("", "Reshape", "r", "x,t", "y"));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2,3"));
  add(&g, GRAPH_INPUT, info_msg("s", ONNX_INT64, "n"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, NULL));
  return g;
}

static void test_needed_input(void **state) {
  struct msg g = reshape_graph();
  static struct msg model;
  model = model_msg(&g);
  struct tn_onnx_outcome outcome;
  assert_null(tn_onnx_import_bytes(*state, msg_bytes(&model), NULL, NULL, &outcome));
  assert_int_equal(outcome.gap_count, 0);
  assert_int_equal(outcome.needed_count, 1);
  assert_string_equal(outcome.needed[0], "s");
  assert_true(said(*state, "--bind s=FILE.npy"));

  int64_t dims[2] = {3, 2};
  struct tn_tensor s = {tn_type_make(TN_I64, 1, (tn_dim[]){2}), dims, sizeof dims};
  struct tn_onnx_value value = {"s", &s};
  struct tn_onnx_options options = {.value_count = 1, .values = &value};
  struct tn_module *m = tn_onnx_import_bytes(*state, msg_bytes(&model), NULL, &options, &outcome);
  assert_non_null(m);
  assert_int_equal(m->main->inputs.count, 1);
  assert_int_equal(m->main->outputs.at[0]->type.rank, 2);
  assert_int_equal(m->main->outputs.at[0]->type.dim[0], 3);
}

/* Knows floor and cast. */
static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  const struct tn_tensor *in = tn_value_tensor(node->in[0]);
  assert_non_null(in);
  ++*(int *)user;
  if (node->op != TN_FLOOR && node->op != TN_CAST)
    return false;
  static double room[8];
  int64_t count;
  assert_true(tn_type_count(&node->out[0]->type, &count));
  for (int64_t i = 0; i < count; i++)
    tn_store_float(node->out[0]->type.dtype, room + 4 * (node->op == TN_CAST), i,
                   (double)(int64_t)tn_tensor_float(in, i));
  outs[0] = (struct tn_tensor){node->out[0]->type, room + 4 * (node->op == TN_CAST),
                               (size_t)count * tn_dtype_size(node->out[0]->type.dtype)};
  return true;
}

/* y = Reshape(x, cast(floor(c))), used twice: each node is computed once. */
static void test_evaluated(void **state) {
  struct msg g = {0}, cast = node_msg("", "Cast", "c", "f", "s");
  float c[2] = {3.5f, 2.25f};
  node_attr_int(&cast, "to", ONNX_INT64);
  add(&g, GRAPH_INITIALIZER, tensor_msg("c", ONNX_FLOAT, 1, (int64_t[]){2}, c, 8));
  add(&g, GRAPH_NODE, node_msg("", "Floor", "fl", "c", "f"));
  put_msg(&g, GRAPH_NODE, &cast);
  add(&g, GRAPH_NODE, node_msg("", "Reshape", "r", "x,s", "y"));
  add(&g, GRAPH_NODE, node_msg("", "Reshape", "r2", "x,s", "z"));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2,3"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, NULL));
  add(&g, GRAPH_OUTPUT, info_msg("z", ONNX_FLOAT, NULL));
  static struct msg model;
  model = model_msg(&g);
  assert_null(tn_onnx_import_bytes(*state, msg_bytes(&model), NULL, NULL, NULL));
  assert_true(said(*state, "must be known when the model is compiled"));
  int calls = 0;
  struct tn_onnx_options options = {.evaluate = evaluate, .user = &calls};
  struct tn_module *m = tn_onnx_import_bytes(*state, msg_bytes(&model), NULL, &options, NULL);
  assert_non_null(m);
  assert_true(tn_verify(m, "import"));
  assert_int_equal(m->main->outputs.at[0]->type.dim[0], 3);
  assert_int_equal(m->main->outputs.at[1]->type.dim[1], 2);
  assert_int_equal(calls, 2);
}

/* A dimension that is not bound is asked for by name. */
static void test_needed_dim(void **state) {
  struct msg g = {0};
  add(&g, GRAPH_NODE, node_msg("", "Shape", "sh", "x", "s"));
  add(&g, GRAPH_NODE, node_msg("", "Squeeze", "sq", "s", "n"));
  int64_t zero = 0, one = 1;
  add(&g, GRAPH_INITIALIZER, tensor_msg("zero", ONNX_INT64, 0, NULL, &zero, 8));
  add(&g, GRAPH_INITIALIZER, tensor_msg("one", ONNX_INT64, 0, NULL, &one, 8));
  add(&g, GRAPH_NODE, node_msg("", "Range", "ra", "n,zero,one", "y"));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "batch"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_INT64, NULL));
  static struct msg model;
  model = model_msg(&g);
  struct tn_onnx_outcome outcome;
  assert_null(tn_onnx_import_bytes(*state, msg_bytes(&model), NULL, NULL, &outcome));
  assert_int_equal(outcome.needed_count, 0);
  assert_true(said(*state, "batch"));
  struct tn_onnx_dim dim = {"batch", 0, 0};
  struct tn_onnx_options options = {.dim_count = 1, .dims = &dim};
  assert_non_null(tn_onnx_import_bytes(*state, msg_bytes(&model), NULL, &options, &outcome));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_needed_input, setup, teardown),
      cmocka_unit_test_setup_teardown(test_evaluated, setup, teardown),
      cmocka_unit_test_setup_teardown(test_needed_dim, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
