/* Constant folding, common subexpressions, dead code, scales into weights, and the runner. */
#include "pass_check.h"

/* Enough to see folding at work: element by element, operands of one shape. */
static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  int *count = user;
  int64_t elements;
  if (count)
    ++*count;
  if ((node->op != TN_ADD && node->op != TN_MUL) || !tn_type_count(&outs[0].type, &elements)) {
    tn_node_error(node, "this test computes sums and products only");
    return false;
  }
  const struct tn_tensor *x = tn_value_tensor(node->in[0]), *y = tn_value_tensor(node->in[1]);
  for (int64_t i = 0; i < elements; i++) {
    double a = tn_tensor_float(x, i), b = tn_tensor_float(y, i);
    tn_store_float(outs[0].type.dtype, (void *)(uintptr_t)outs[0].data, i, node->op == TN_ADD ? a + b : a * b);
  }
  return true;
}

static const struct tn_pass_options options = {.level = 1, .verify_each = true, .evaluate = evaluate};

static void folds(void **state, const char *before, const char *after) {
  becomes(*state, "fold", &options, before, after);
}

static void constants_are_computed(void **state) {
  folds(state,
        "graph(%x: f32[2]) {\n"
        "  %a = constant {value = f32[2] [1, 2]} : f32[2]\n"
        "  %b = constant {value = f32[2] [3, 4]} : f32[2]\n"
        "  %c = add(%a, %b) : f32[2]\n"
        "  %d = mul(%c, %b) : f32[2]\n"
        "  %y = mul(%x, %d) : f32[2]\n"
        "  return %y\n}\n",
        "graph(%x: f32[2]) {\n"
        "  %d = constant {value = f32[2] [12, 24]} : f32[2]\n"
        "  %y = mul(%x, %d) : f32[2]\n"
        "  return %y\n}\n");
}

static void views_share_their_bytes(void **state) {
  struct tn_module *module = read_module(*state, "graph(%x: f32[2,1]) {\n"
                                                 "  %a = constant {value = f32[2] [1, 2]} : f32[2]\n"
                                                 "  %b = reshape(%a) {shape = [2, 1]} : f32[2,1]\n"
                                                 "  %y = mul(%x, %b) : f32[2,1]\n"
                                                 "  return %y\n}\n");
  const void *data = tn_value_tensor(module->main->first->out[0])->data;
  assert_true(tn_run_pass(module, "fold", &options));
  assert_int_equal(module->main->first->op, TN_CONSTANT);
  assert_ptr_equal(tn_value_tensor(module->main->first->out[0])->data, data);
  assert_ptr_equal(module->main->first->next, module->main->last);
}

static void shapes_are_known(void **state) {
  folds(state,
        "symbol N = 1..8\n"
        "graph(%x: f32[N,3,4], %v: i64[2]) {\n"
        "  %s = shape(%x) {start = 1, end = 3} : i64[2]\n"
        "  %y = mul(%v, %s) : i64[2]\n"
        "  return %y\n}\n",
        "graph(%x: f32[N,3,4], %v: i64[2]) {\n"
        "  %s = constant {value = i64[2] [3, 4]} : i64[2]\n"
        "  %y = mul(%v, %s) : i64[2]\n"
        "  return %y\n}\n");
}

static void what_grows_is_left(void **state) {
  const char *text = "graph(%x: f32[1000000]) {\n"
                     "  %a = constant {value = f32[] [1.5]} : f32[]\n"
                     "  %b = expand(%a) {shape = [1000000]} : f32[1000000]\n"
                     "  %y = mul(%x, %b) : f32[1000000]\n"
                     "  return %y\n}\n";
  folds(state, text, text);
}

static void a_failing_evaluation_names_the_pass(void **state) {
  struct tn_module *module = read_module(*state, "graph() {\n"
                                                 "  %a = constant {value = f32[2] [1, 2]} : f32[2]\n"
                                                 "  %y = exp(%a) : f32[2]\n"
                                                 "  return %y\n}\n");
  assert_false(tn_run_pass(module, "fold", &options));
  size_t count;
  const struct tn_diag *diags = tn_diags(*state, &count);
  assert_int_equal(count, 2);
  assert_int_equal(diags[0].severity, TN_ERROR);
  assert_int_equal(diags[1].severity, TN_NOTE);
  assert_string_equal(diags[1].node, "y");
  assert_non_null(strstr(diags[1].text, "fold"));
}

static void branches_that_are_known(void **state) {
  folds(state,
        "graph(%x: f32[2]) {\n"
        "  %c = constant {value = bool[] [false]} : bool[]\n"
        "  %y = if(%c) graph() {\n"
        "    %a = exp(%x) : f32[2]\n"
        "    return %a\n"
        "  } graph() {\n"
        "    %b = neg(%x) : f32[2]\n"
        "    return %b\n"
        "  } : f32[2]\n"
        "  return %y\n}\n",
        "graph(%x: f32[2]) {\n"
        "  %y = neg(%x) : f32[2]\n"
        "  return %y\n}\n");
}

#define LOOP(trip)                                                                             \
  "graph(%x: f32[2]) {\n"                                                                      \
  "  %n = constant {value = i64[] [" trip "]} : i64[]\n"                                       \
  "  %t = constant {value = bool[] [true]} : bool[]\n"                                         \
  "  %h, %s = loop(%n, %t, %x) {trip = " trip "} graph(%i: i64[], %c: bool[], %a: f32[2]) {\n" \
  "    %b = neg(%a) : f32[2]\n"                                                                \
  "    return %c, %b, %a\n"                                                                    \
  "  } : f32[2], f32[" trip ",2]\n"                                                            \
  "  %y = exp(%h) : f32[2]\n"                                                                  \
  "  %z = exp(%s) : f32[" trip ",2]\n"                                                         \
  "  return %y, %z\n}\n"

static void loops_that_hardly_run(void **state) {
  folds(state, LOOP("1"),
        "graph(%x: f32[2]) {\n"
        "  %b.2 = neg(%x) : f32[2]\n"
        "  %s = reshape(%x) {shape = [1, 2]} : f32[1,2]\n"
        "  %y = exp(%b.2) : f32[2]\n"
        "  %z = exp(%s) : f32[1,2]\n"
        "  return %y, %z\n}\n");
  folds(state, LOOP("2"), LOOP("2"));
}

static void a_loop_that_never_runs(void **state) {
  struct tn_module *module = read_module(*state, LOOP("0"));
  struct tn_pass_options without = {.verify_each = true};
  assert_true(tn_run_pass(module, "fold", &without));
  assert_string_equal(graph_text(module), "graph(%x: f32[2]) {\n"
                                          "  %s = constant {value = f32[0,2] []} : f32[0,2]\n"
                                          "  %y = exp(%x) : f32[2]\n"
                                          "  %z = exp(%s) : f32[0,2]\n"
                                          "  return %y, %z\n}\n");
}

static void equal_things_once(void **state) {
  becomes(*state, "cse", &options,
          "graph(%x: f32[2], %p: bool[]) {\n"
          "  %a = constant {value = f32[2] [1, 2]} : f32[2]\n"
          "  %b = constant {value = f32[2] [1, 2]} : f32[2]\n"
          "  %c = add(%x, %a) : f32[2]\n"
          "  %d = add(%b, %x) : f32[2]\n"
          "  %e = sub(%a, %x) : f32[2]\n"
          "  %f = sub(%x, %b) : f32[2]\n"
          "  %g = if(%p) graph() {\n"
          "    %h = add(%x, %b) : f32[2]\n"
          "    %i = exp(%h) : f32[2]\n"
          "    return %i\n"
          "  } graph() {\n"
          "    %j = exp(%d) : f32[2]\n"
          "    return %j\n"
          "  } : f32[2]\n"
          "  %y = mul(%c, %d) : f32[2]\n"
          "  return %y, %e, %f, %g\n}\n",
          "graph(%x: f32[2], %p: bool[]) {\n"
          "  %a = constant {value = f32[2] [1, 2]} : f32[2]\n"
          "  %c = add(%x, %a) : f32[2]\n"
          "  %e = sub(%a, %x) : f32[2]\n"
          "  %f = sub(%x, %a) : f32[2]\n"
          "  %g = if(%p) graph() {\n"
          "    %i = exp(%c) : f32[2]\n"
          "    return %i\n"
          "  } graph() {\n"
          "    %j = exp(%c) : f32[2]\n"
          "    return %j\n"
          "  } : f32[2]\n"
          "  %y = mul(%c, %c) : f32[2]\n"
          "  return %y, %e, %f, %g\n}\n");
}

static void equal_outputs_stay_two(void **state) {
  const char *text = "graph(%x: f32[2]) {\n"
                     "  %a = exp(%x) : f32[2]\n"
                     "  %b = exp(%x) : f32[2]\n"
                     "  return %a, %b\n}\n";
  becomes(*state, "cse", &options, text, text);
}

static void dead_nodes_go(void **state) {
  becomes(*state, "dce", &options,
          "graph(%x: f32[2], %n: i64[], %t: bool[]) {\n"
          "  %a = exp(%x) : f32[2]\n"
          "  %b = neg(%a) : f32[2]\n"
          "  %l = loop(%n, %t, %b) graph(%i: i64[], %c: bool[], %h: f32[2]) {\n"
          "    %d = add(%h, %a) : f32[2]\n"
          "    return %c, %d\n"
          "  } : f32[2]\n"
          "  %k = loop(%n, %t, %x) graph(%i2: i64[], %c2: bool[], %h2: f32[2]) {\n"
          "    %e = exp(%h2) : f32[2]\n"
          "    %f = neg(%h2) : f32[2]\n"
          "    return %c2, %f\n"
          "  } : f32[2]\n"
          "  return %k\n}\n",
          "graph(%x: f32[2], %n: i64[], %t: bool[]) {\n"
          "  %k = loop(%n, %t, %x) graph(%i2: i64[], %c2: bool[], %h2: f32[2]) {\n"
          "    %f = neg(%h2) : f32[2]\n"
          "    return %c2, %f\n"
          "  } : f32[2]\n"
          "  return %k\n}\n");
}

static void a_batch_norm_goes_into_the_weights(void **state) {
  struct tn_module *module =
      after_pass(*state, "fold-affine", &options,
                 "graph(%x: f32[1,3,3,2]) {\n"
                 "  %w = constant {value = f32[1,1,2,2] [1, 2, 3, 4]} : f32[1,1,2,2]\n"
                 "  %b = constant {value = f32[2] [5, 6]} : f32[2]\n"
                 "  %s = constant {value = f32[2,1,1] [7, 8]} : f32[2,1,1]\n"
                 "  %t = constant {value = f32[2,1,1] [9, 3]} : f32[2,1,1]\n"
                 "  %c = conv(%x, %w) {strides = [1, 1], dilations = [1, 1]} : f32[1,3,3,2]\n"
                 "  %d = add(%c, %b) : f32[1,3,3,2]\n"
                 "  %e = transpose(%d) {perm = [0, 3, 1, 2]} : f32[1,2,3,3]\n"
                 "  %f = mul(%e, %s) : f32[1,2,3,3]\n"
                 "  %g = sub(%f, %t) : f32[1,2,3,3]\n"
                 "  %y = exp(%g) : f32[1,2,3,3]\n"
                 "  return %y\n}\n");
  /* exp(transpose(add(conv(x, w'), b'))) */
  const struct tn_node *exp = module->main->outputs.at[0]->def, *transpose = exp->in[0]->def;
  assert_int_equal(transpose->op, TN_TRANSPOSE);
  const struct tn_node *add = transpose->in[0]->def, *conv = add->in[0]->def;
  assert_int_equal(add->op, TN_ADD);
  assert_true(tn_value_constant_expr(add->in[1]));
  assert_int_equal(conv->op, TN_CONV);
  assert_string_equal(conv->in[0]->name, "x");
  assert_string_equal(conv->name, "c");
  assert_int_equal(conv->in[1]->def->op, TN_MUL);
  assert_true(tn_value_constant_expr(conv->in[1]));
}

static void a_scale_per_pixel_stays(void **state) {
  const char *text = "graph(%x: f32[1,1,3,2]) {\n"
                     "  %w = constant {value = f32[1,1,2,2] [1, 2, 3, 4]} : f32[1,1,2,2]\n"
                     "  %s = constant {value = f32[1,1,3,1] [1, 2, 3]} : f32[1,1,3,1]\n"
                     "  %c = conv(%x, %w) {strides = [1, 1], dilations = [1, 1]} : f32[1,1,3,2]\n"
                     "  %y = mul(%c, %s) : f32[1,1,3,2]\n"
                     "  return %y\n}\n";
  becomes(*state, "fold-affine", &options, text, text);
}

static void a_quantization_keeps_its_scale(void **state) {
  const char *text = "graph(%x: f32[3,2]) {\n"
                     "  %w = constant {value = f32[2,2] [1, 2, 3, 4]} : f32[2,2]\n"
                     "  %s = constant {value = f32[] [0.3]} : f32[]\n"
                     "  %c = matmul(%x, %w) : f32[3,2]\n"
                     "  %q = div(%c, %s) : f32[3,2]\n"
                     "  %y = round(%q) : f32[3,2]\n"
                     "  return %y\n}\n";
  becomes(*state, "fold-affine", &options, text, text);
}

static void a_contraction_read_twice_stays(void **state) {
  const char *text = "graph(%x: f32[3,2]) {\n"
                     "  %w = constant {value = f32[2,2] [1, 2, 3, 4]} : f32[2,2]\n"
                     "  %s = constant {value = f32[2] [1, 2]} : f32[2]\n"
                     "  %c = matmul(%x, %w) : f32[3,2]\n"
                     "  %y = mul(%c, %s) : f32[3,2]\n"
                     "  return %y, %c\n}\n";
  becomes(*state, "fold-affine", &options, text, text);
}

static void a_long_sum_takes_two_steps(void **state) {
  becomes(*state, "split-sum", &options,
          "graph(%x: f32[1,800,600,3]) {\n"
          "  %y = reduce_sum(%x) {axes = [1, 2], keepdims = 0} : f32[1,3]\n"
          "  return %y\n}\n",
          "graph(%x: f32[1,800,600,3]) {\n"
          "  %y.1 = reduce_sum(%x) {axes = [2]} : f32[1,800,1,3]\n"
          "  %y.2 = reduce_sum(%y.1) {axes = [1]} : f32[1,1,1,3]\n"
          "  %y = reshape(%y.2) {shape = [1, 3]} : f32[1,3]\n"
          "  return %y\n}\n");
  const char *short_sum = "graph(%x: f32[1,50,60,3], %n: i64[800,600]) {\n"
                          "  %y = reduce_sum(%x) {axes = [1, 2]} : f32[1,1,1,3]\n"
                          "  %m = reduce_sum(%n) {axes = [0, 1]} : i64[1,1]\n" /* exact in any order */
                          "  return %y, %m\n}\n";
  becomes(*state, "split-sum", &options, short_sum, short_sum);
}

/* ---- the runner ---------------------------------------------------------------------------------------- */

struct seen {
  tn_arena *arena;
  struct tn_str printed, timed;
};

static void on_print(void *user, const char *pass, const char *text) {
  struct seen *seen = user;
  assert_non_null(strstr(text, "graph("));
  tn_str_add(&seen->printed, "%s ", pass);
}
static void on_timed(void *user, const char *pass, double seconds, size_t changes) {
  struct seen *seen = user;
  assert_true(seconds >= 0 && changes < 100);
  tn_str_add(&seen->timed, "%s ", pass);
}

static const char *small_graph = "graph(%x: f32[2]) {\n"
                                 "  %a = exp(%x) : f32[2]\n"
                                 "  %y = neg(%x) : f32[2]\n"
                                 "  return %y\n}\n";

static void runner_stops_prints_and_times(void **state) {
  struct seen seen;
  tn_str_init(&seen.printed, tn_ctx_arena(*state));
  tn_str_init(&seen.timed, tn_ctx_arena(*state));
  struct tn_pass_options o = {.level = 2,
                              .verify_each = true,
                              .print_after = (const char *const[]){"simplify"},
                              .print_after_count = 1,
                              .disable = (const char *const[]){"cse"},
                              .disable_count = 1,
                              .stop_after = "simplify.2",
                              .user = &seen,
                              .print = on_print,
                              .timed = on_timed};
  struct tn_module *module = read_module(*state, small_graph);
  assert_true(tn_run_passes(module, &o));
  assert_string_equal(seen.printed.at, "simplify simplify.2 ");
  assert_non_null(strstr(seen.timed.at, "fold "));
  assert_null(strstr(seen.timed.at, "cse "));
  assert_string_equal(seen.timed.at + strlen(seen.timed.at) - strlen("simplify.2 "), "simplify.2 ");
}

static void refused(void **state, const struct tn_pass_options *o, const char *wanted) {
  struct tn_module *module = read_module(*state, small_graph);
  assert_false(tn_run_passes(module, o));
  size_t count;
  const struct tn_diag *diags = tn_diags(*state, &count);
  assert_int_equal(count, 1);
  assert_int_equal(diags[0].severity, TN_ERROR);
  if (!strstr(diags[0].text, wanted))
    fail_msg("expected '%s' in '%s'", wanted, diags[0].text);
}

static void runner_refuses_unknown_names(void **state) {
  struct tn_pass_options o = {.stop_after = "simplfy"};
  refused(state, &o, "there is no pass 'simplfy'; the passes are dce, simplify,");
}

static void runner_refuses_a_run_that_is_not_there(void **state) {
  struct tn_pass_options o = {.stop_after = "dce.77"};
  refused(state, &o, "there is no pass 'dce.77'");
}

static void runner_refuses_to_drop_what_is_needed(void **state) {
  struct tn_pass_options o = {.disable = (const char *const[]){"decompose"}, .disable_count = 1};
  refused(state, &o, "needs that no composite op is left");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(constants_are_computed),
      TEST(views_share_their_bytes),
      TEST(shapes_are_known),
      TEST(what_grows_is_left),
      TEST(a_failing_evaluation_names_the_pass),
      TEST(branches_that_are_known),
      TEST(loops_that_hardly_run),
      TEST(a_loop_that_never_runs),
      TEST(equal_things_once),
      TEST(equal_outputs_stay_two),
      TEST(dead_nodes_go),
      TEST(a_batch_norm_goes_into_the_weights),
      TEST(a_scale_per_pixel_stays),
      TEST(a_quantization_keeps_its_scale),
      TEST(a_contraction_read_twice_stays),
      TEST(a_long_sum_takes_two_steps),
      TEST(runner_stops_prints_and_times),
      TEST(runner_refuses_unknown_names),
      TEST(runner_refuses_a_run_that_is_not_there),
      TEST(runner_refuses_to_drop_what_is_needed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
