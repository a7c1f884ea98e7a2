/* Models to modules: names, scopes, functions, order, options, and what must be refused by name. */
#include "frontend/onnx/onnx.h"
#include "onnx_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state) {
  *state = tn_ctx_create(NULL);
  return *state == NULL;
}
static int teardown(void **state) {
  tn_ctx_destroy(*state);
  return 0;
}

struct loaded {
  struct tn_module *module;
  struct tn_onnx_outcome outcome;
};

static struct loaded load_with(tn_ctx *ctx, const struct msg *model, const struct tn_onnx_options *options) {
  struct loaded l;
  l.module = tn_onnx_import_bytes(ctx, msg_bytes(model), "m.onnx", options, &l.outcome);
  if (l.module)
    assert_true(tn_verify(l.module, "import"));
  return l;
}
static struct tn_module *load(tn_ctx *ctx, const struct msg *graph) {
  static struct msg model; /* outlives the module's use of it */
  model = model_msg(graph);
  return load_with(ctx, &model, NULL).module;
}

static bool said(tn_ctx *ctx, const char *word) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    if (strstr(tn_diag_format(tn_ctx_arena(ctx), &diags[i]), word))
      return true;
  return false;
}
static void want_said(tn_ctx *ctx, const char *word) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  if (!said(ctx, word))
    fail_msg("no diagnostic has '%s'; the last: %s", word,
             count ? tn_diag_format(tn_ctx_arena(ctx), &diags[count - 1]) : "none");
}
static void refuse(tn_ctx *ctx, const struct msg *graph, const char *word) {
  assert_null(load(ctx, graph));
  want_said(ctx, word);
}

static void add(struct msg *graph, int field, struct msg part) {
  put_msg(graph, field, &part);
}

/* x[batch, 3] -> Identity -> y */
static struct msg plain_graph(void) {
  struct msg g = {0};
  add(&g, GRAPH_NODE, node_msg("", "Identity", "copy", "x", "y"));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "batch,3"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, NULL));
  return g;
}

static void test_interface(void **state) {
  struct msg g = plain_graph();
  add(&g, GRAPH_INPUT, info_msg("unused", ONNX_INT64, "?"));
  struct tn_module *m = load(*state, &g);
  assert_non_null(m);
  assert_int_equal(m->main->inputs.count, 2);
  assert_string_equal(m->main->inputs.at[0]->name, "x");
  assert_string_equal(m->main->inputs.at[1]->name, "unused");
  assert_int_equal(m->main->outputs.count, 1);
  assert_string_equal(m->main->outputs.at[0]->name, "y");
  const struct tn_type *x = &m->main->inputs.at[0]->type;
  assert_int_equal(x->dtype, TN_F32);
  assert_string_equal(tn_dim_text(m, x->dim[0]), "batch");
  assert_int_equal(x->dim[1], 3);
  assert_string_equal(tn_dim_text(m, m->main->inputs.at[1]->type.dim[0]), "unused.0");
}

static void test_initializer_that_is_an_input(void **state) {
  struct msg g = {0};
  float w[2] = {1, 2};
  add(&g, GRAPH_NODE, node_msg("", "Identity", "copy", "w", "y"));
  add(&g, GRAPH_INPUT, info_msg("w", ONNX_FLOAT, "2"));
  add(&g, GRAPH_INITIALIZER, tensor_msg("w", ONNX_FLOAT, 1, (int64_t[]){2}, w, 8));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, "2"));
  struct tn_module *m = load(*state, &g);
  assert_non_null(m);
  assert_int_equal(m->main->inputs.count, 0);
  assert_string_equal(m->main->outputs.at[0]->name, "y");
}

static void test_options(void **state) {
  struct msg g = plain_graph();
  add(&g, GRAPH_INPUT, info_msg("z", ONNX_FLOAT, "batch"));
  static struct msg model;
  model = model_msg(&g);
  const struct tn_onnx_dim dim = {"batch", 4, 4}, range = {"batch", 1, 8}, wrong = {"bacth", 1, 1};
  struct loaded l =
      load_with(*state, &model, &(struct tn_onnx_options){.dim_count = 1, .dims = &dim, .name = "net"});
  assert_non_null(l.module);
  assert_string_equal(l.module->name, "net");
  assert_int_equal(l.module->main->inputs.at[0]->type.dim[0], 4);
  assert_int_equal(l.module->main->inputs.at[1]->type.dim[0], 4);
  l = load_with(*state, &model, &(struct tn_onnx_options){.dim_count = 1, .dims = &range});
  assert_non_null(l.module);
  const struct tn_symbol *s = &l.module->symbols.at[-1 - l.module->main->inputs.at[0]->type.dim[0]];
  assert_int_equal(s->low, 1);
  assert_int_equal(s->high, 8);
  assert_null(load_with(*state, &model, &(struct tn_onnx_options){.dim_count = 1, .dims = &wrong}).module);
  want_said(*state, "'bacth'");

  const struct tn_onnx_shape shape = {"x", 2, {5, 3}}, bad_rank = {"x", 1, {5}}, bad_dim = {"x", 2, {5, 4}},
                             unknown = {"nobody", 1, {1}};
  l = load_with(*state, &model, &(struct tn_onnx_options){.shape_count = 1, .shapes = &shape});
  assert_non_null(l.module);
  assert_int_equal(l.module->main->inputs.at[1]->type.dim[0], 5); /* the symbol is bound for all */
  assert_null(
      load_with(*state, &model, &(struct tn_onnx_options){.shape_count = 1, .shapes = &bad_rank}).module);
  assert_null(
      load_with(*state, &model, &(struct tn_onnx_options){.shape_count = 1, .shapes = &bad_dim}).module);
  want_said(*state, "is 3 in the model");
  assert_null(
      load_with(*state, &model, &(struct tn_onnx_options){.shape_count = 1, .shapes = &unknown}).module);
  want_said(*state, "no input 'nobody'; it has x, z");
  const struct tn_onnx_shape two[] = {{"x", 2, {5, 3}}, {"z", 1, {6}}};
  assert_null(load_with(*state, &model, &(struct tn_onnx_options){.shape_count = 2, .shapes = two}).module);
  want_said(*state, "do not fit together");
}

static void test_bound_input(void **state) {
  struct msg g = plain_graph();
  static struct msg model;
  model = model_msg(&g);
  float data[6] = {1, 2, 3, 4, 5, 6};
  struct tn_tensor t = {tn_type_make(TN_F32, 2, (tn_dim[]){2, 3}), data, sizeof data};
  struct tn_onnx_value value = {"x", &t};
  struct loaded l = load_with(*state, &model, &(struct tn_onnx_options){.value_count = 1, .values = &value});
  assert_non_null(l.module);
  assert_int_equal(l.module->main->inputs.count, 0);
  t.type.dtype = TN_F64;
  assert_null(load_with(*state, &model, &(struct tn_onnx_options){.value_count = 1, .values = &value}).module);
  want_said(*state, "elements of f64");
}

static void test_any_order(void **state) {
  struct msg g = {0};
  add(&g, GRAPH_NODE, node_msg("", "Identity", "last", "b", "y"));
  add(&g, GRAPH_NODE, node_msg("", "Identity", "middle", "a", "b"));
  add(&g, GRAPH_NODE, node_msg("", "Identity", "first", "x", "a"));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, "2"));
  assert_non_null(load(*state, &g));
}

/* The branches name their results as the graph names its own: the program that links the model sees "y". */
static void test_output_name_in_a_branch(void **state) {
  struct msg g = {0}, branch = {0}, node = node_msg("", "If", "choose", "c", "y");
  add(&branch, GRAPH_NODE, node_msg("", "Neg", "inner", "x", "y"));
  add(&branch, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, "2"));
  put_text(&branch, 2, "branch");
  for (int i = 0; i < 2; i++) {
    struct msg a = {0};
    put_text(&a, 1, i ? "else_branch" : "then_branch");
    put_msg(&a, 6, &branch);
    put_int(&a, 20, 5);
    put_msg(&node, 5, &a);
  }
  add(&g, GRAPH_NODE, node);
  add(&g, GRAPH_INPUT, info_msg("c", ONNX_BOOL, ""));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, "2"));
  struct tn_module *m = load(*state, &g);
  assert_non_null(m);
  assert_string_equal(m->main->outputs.at[0]->name, "y");
}

static void test_wrong_graphs(void **state) {
  struct msg g = {0};
  add(&g, GRAPH_NODE, node_msg("", "Identity", "n1", "b", "a"));
  add(&g, GRAPH_NODE, node_msg("", "Identity", "n2", "a", "b"));
  add(&g, GRAPH_OUTPUT, info_msg("b", ONNX_FLOAT, NULL));
  refuse(*state, &g, "cycle");

  g = plain_graph();
  add(&g, GRAPH_NODE, node_msg("", "Identity", "again", "x", "y"));
  refuse(*state, &g, "already taken");

  g = (struct msg){0};
  add(&g, GRAPH_NODE, node_msg("", "Identity", "n", "nowhere", "y"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, NULL));
  refuse(*state, &g, "'nowhere', is not defined");
  want_said(*state, "node 'n' (Identity)");

  g = plain_graph();
  add(&g, GRAPH_OUTPUT, info_msg("w", ONNX_FLOAT, NULL));
  refuse(*state, &g, "nothing in the graph defines it");

  g = (struct msg){0};
  add(&g, GRAPH_NODE, node_msg("", "Identity", "n", "x", "y"));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_INT64, "2"));
  refuse(*state, &g, "declares it as int64");

  g = (struct msg){0};
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, NULL));
  add(&g, GRAPH_OUTPUT, info_msg("x", ONNX_FLOAT, NULL));
  refuse(*state, &g, "--shape x=");

  g = plain_graph();
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2"));
  refuse(*state, &g, "two inputs");

  g = (struct msg){0};
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2"));
  refuse(*state, &g, "no outputs");

  struct msg model = {0};
  put_int(&model, 1, 8);
  assert_null(load_with(*state, &model, NULL).module);
  want_said(*state, "no graph");
  g = plain_graph();
  put_msg(&model, 7, &g);
  assert_null(load_with(*state, &model, NULL).module);
  want_said(*state, "imports no opset");
}

/* All of them at once, with the nodes' names; what is behind one is still looked at. */
static void test_unsupported(void **state) {
  struct msg g = {0};
  add(&g, GRAPH_NODE, node_msg("", "Frobnicate", "f1", "x", "a"));
  add(&g, GRAPH_NODE, node_msg("", "Identity", "between", "a", "b"));
  add(&g, GRAPH_NODE, node_msg("", "Frobnicate", "f2", "b", "c"));
  add(&g, GRAPH_NODE, node_msg("my.domain", "Twist", "t", "c", "y"));
  add(&g, GRAPH_INPUT, info_msg("x", ONNX_FLOAT, "2"));
  add(&g, GRAPH_INPUT, info_msg("s", ONNX_STRING, "2"));
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_FLOAT, NULL));
  static struct msg model;
  model = model_msg(&g);
  struct loaded l = load_with(*state, &model, NULL);
  assert_null(l.module);
  assert_int_equal(l.outcome.gap_count, 4);
  assert_string_equal(l.outcome.gaps[0].node, "s");
  assert_string_equal(l.outcome.gaps[1].node, "f1");
  assert_string_equal(l.outcome.gaps[1].op, "Frobnicate");
  assert_string_equal(l.outcome.gaps[2].node, "f2");
  assert_string_equal(l.outcome.gaps[3].op, "my.domain.Twist");
  want_said(*state, "node 'f1' (Frobnicate)");
  want_said(*state, "and so 1 more: 'f2'");
}

/* A string initializer is refused when a node uses it, not before. */
static void test_unsupported_type(void **state) {
  struct msg g = plain_graph(), s = tensor_msg("s", ONNX_STRING, 1, (int64_t[]){1}, NULL, 0);
  put_text(&s, 6, "word");
  put_msg(&g, GRAPH_INITIALIZER, &s);
  assert_non_null(load(*state, &g));
  add(&g, GRAPH_NODE, node_msg("", "Identity", "user", "s", "t"));
  refuse(*state, &g, "node 'user' (Identity): not supported: its operand 's' is of type string");
}

/* A name defined by two Constant nodes means the later one. */
static void test_constant_twice(void **state) {
  struct msg g = {0};
  for (int i = 1; i <= 2; i++) {
    struct msg node = node_msg("", "Constant", "", "", "c");
    node_attr_int(&node, "value_int", i * 10);
    put_msg(&g, GRAPH_NODE, &node);
  }
  add(&g, GRAPH_OUTPUT, info_msg("c", ONNX_INT64, ""));
  struct tn_module *m = load(*state, &g);
  assert_non_null(m);
  const struct tn_tensor *t = tn_value_tensor(m->main->outputs.at[0]);
  assert_non_null(t);
  assert_int_equal(tn_tensor_int(t, 0), 20);
  want_said(*state, "warning");
}

/* ---- functions ---- */

/* A FunctionProto my.F(p) -> (q) with parameter `value`: q = Constant(value_int = value), or with `inner`:
 * calls it. */
static struct msg function_msg(const char *name, const char *inner) {
  struct msg f = {0}, opset = {0},
             node = node_msg(inner ? "my" : "", inner ? inner : "Constant", "body", "", "q");
  node_attr_ref(&node, inner ? "value" : "value_int", "value", 2);
  put_text(&f, 1, name);
  put_text(&f, 4, "p");
  put_text(&f, 5, "q");
  put_text(&f, 6, "value");
  put_msg(&f, 7, &node);
  put_int(&opset, 2, 17);
  put_msg(&f, 9, &opset);
  opset = (struct msg){0};
  put_text(&opset, 1, "my");
  put_int(&opset, 2, 1);
  put_msg(&f, 9, &opset);
  put_text(&f, 10, "my");
  return f;
}

static struct msg call_model(const struct msg *functions, int count, const char *callee) {
  struct msg g = {0}, call = node_msg("my", callee, "call", "", "y"), opset = {0};
  node_attr_int(&call, "value", 42);
  put_msg(&g, GRAPH_NODE, &call);
  add(&g, GRAPH_OUTPUT, info_msg("y", ONNX_INT64, ""));
  struct msg model = model_msg(&g);
  put_text(&opset, 1, "my");
  put_int(&opset, 2, 1);
  put_msg(&model, 8, &opset);
  for (int i = 0; i < count; i++)
    put_msg(&model, 25, &functions[i]);
  return model;
}

/* Attributes pass through two calls; the result has the user's name. */
static void test_functions(void **state) {
  static struct msg model;
  struct msg functions[] = {function_msg("Outer", "Inner"), function_msg("Inner", NULL)};
  model = call_model(functions, 2, "Outer");
  struct loaded l = load_with(*state, &model, NULL);
  assert_non_null(l.module);
  const struct tn_tensor *t = tn_value_tensor(l.module->main->outputs.at[0]);
  assert_non_null(t);
  assert_int_equal(tn_tensor_int(t, 0), 42);
  assert_string_equal(((const char *)tn_map_get(&l.module->strings, "output.0")), "y");
}

static void test_function_that_calls_itself(void **state) {
  static struct msg model;
  struct msg function = function_msg("F", "F");
  model = call_model(&function, 1, "F");
  assert_null(load_with(*state, &model, NULL).module);
  want_said(*state, "calls itself");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_interface, setup, teardown),
      cmocka_unit_test_setup_teardown(test_initializer_that_is_an_input, setup, teardown),
      cmocka_unit_test_setup_teardown(test_options, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bound_input, setup, teardown),
      cmocka_unit_test_setup_teardown(test_any_order, setup, teardown),
      cmocka_unit_test_setup_teardown(test_output_name_in_a_branch, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_graphs, setup, teardown),
      cmocka_unit_test_setup_teardown(test_unsupported, setup, teardown),
      cmocka_unit_test_setup_teardown(test_unsupported_type, setup, teardown),
      cmocka_unit_test_setup_teardown(test_constant_twice, setup, teardown),
      cmocka_unit_test_setup_teardown(test_functions, setup, teardown),
      cmocka_unit_test_setup_teardown(test_function_that_calls_itself, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
