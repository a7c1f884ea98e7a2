/* Random chains of moves and elementwise ops, fused into one kernel, give what the ops give one by one.  It is
 * the index arithmetic that is under test: every access of the interpreter is checked. */
#include "unit/codegen_random.h"

/* The constant that the value is, each op evaluated on its own. */
static struct tn_value *one_by_one(struct fixture *f, struct tn_value *v) {
  if (v->def->op == TN_CONSTANT)
    return v;
  for (int i = 0; i < v->def->in_count; i++)
    tn_node_set_input(v->def, i, one_by_one(f, v->def->in[i]));
  struct tn_tensor t = evaluated(f, v);
  return tn_constant_bytes(&f->b, t.type, t.data);
}

static void check_seed(struct fixture *f, uint64_t seed) {
  struct tn_value *x = counting(f, TN_I32, SHAPE(3, 4, 5), 1);
  struct tn_node *node = tn_node_make(&f->b, TN_KERNEL, 1, &x, 1);
  struct tn_graph *region = tn_graph_create(f->module, node);
  struct tn_value *input = tn_graph_input(region, "inner", x->type);
  struct tn_build b = tn_build_at_end(region);
  b.name = "inner_node";
  tn_graph_output(region, chain(seed, &f->b, &b, input));
  struct tn_tensor fused = evaluated(f, finished(f, node));
  const struct tn_tensor *want = tn_value_tensor(one_by_one(f, chain(seed, &f->b, &f->b, x)));
  assert_int_equal(fused.bytes, want->bytes);
  if (memcmp(fused.data, want->data, want->bytes) != 0)
    fail_msg("seed %llu: fused and unfused results differ", (unsigned long long)seed);
}

static uint64_t seeds_from, seeds_to = 250;

EVAL_TEST(fused) {
  (void)f;
  for (uint64_t seed = seeds_from; seed < seeds_to; seed++) {
    struct fixture one;
    fixture_start(&one);
    check_seed(&one, seed * 7919 + 1);
    tn_ctx_destroy(one.ctx);
  }
}

/* test_codegen_define_fused [FROM TO]: more seeds, by hand. */
int main(int argc, char **argv) {
  if (argc == 3) {
    seeds_from = strtoull(argv[1], NULL, 10);
    seeds_to = strtoull(argv[2], NULL, 10);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(fused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
