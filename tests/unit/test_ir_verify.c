/* The verifier: a sound module passes, each kind of damage is found and named. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct fixture {
  tn_ctx *ctx;
  struct tn_module *module;
  struct tn_node *c, *a, *b, *branch;
};

static struct fixture make(void) {
  static const char text[] = "module \"m\"\nsymbol N\n"
                             "graph(%x: f32[N,4], %p: bool[]) {\n"
                             "  %c = constant {value = f32[4] [1, 2, 3, 4]} : f32[4]\n"
                             "  %a = add(%x, %c) : f32[N,4]\n"
                             "  %b = reduce_sum(%a) {axes = [1]} : f32[N,1]\n"
                             "  %r = if(%p) graph() {\n"
                             "    %n = neg(%b) : f32[N,1]\n"
                             "    return %n\n"
                             "  } graph() {\n"
                             "    return %b\n"
                             "  } : f32[N,1]\n"
                             "  return %r, %b\n}\n";
  struct fixture f = {.ctx = tn_ctx_create(NULL)};
  f.module = tn_parse(f.ctx, "t", text, sizeof text - 1);
  assert_non_null(f.module);
  assert_true(tn_verify(f.module, "parsing"));
  f.c = f.module->main->first;
  f.a = f.c->next;
  f.b = f.a->next;
  f.branch = f.b->next;
  return f;
}

/* Refused with a TN_BUG that names the pass and holds `what`. */
static void broken(struct fixture f, const char *what) {
  assert_false(tn_verify(f.module, "cut"));
  size_t count;
  const struct tn_diag *diags = tn_diags(f.ctx, &count);
  assert_true(count > 0);
  bool found = false;
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(diags[i].severity, TN_BUG);
    assert_non_null(strstr(diags[i].text, "after cut: "));
    found |= strstr(diags[i].text, what) != NULL;
  }
  if (!found)
    fail_msg("expected '%s', found '%s'", what, diags[0].text);
  tn_ctx_destroy(f.ctx);
}

static void types(void **state) {
  (void)state;
  struct fixture f = make();
  f.a->out[0]->type.dim[1] = 5;
  broken(f, "'a' has type f32[Nx5], its operands give f32[Nx4]");
  f = make();
  f.b->out[0]->type.dtype = TN_F64;
  broken(f, "its operands give f32[Nx1]");
  f = make();
  f.a->out[0]->type.dtype = (enum tn_dtype)99;
  broken(f, "dtype number 99");
  f = make();
  f.a->out[0]->type.rank = 9;
  broken(f, "rank 9");
  f = make();
  f.a->out[0]->type.dim[0] = -1000;
  broken(f, "neither an extent nor a symbol");
  f = make();
  f.c->out[0]->type.quant = &(struct tn_quant){.axis = 3, .count = 1};
  broken(f, "quantized along axis 3");
}

static void definitions(void **state) {
  (void)state;
  struct fixture f = make();
  f.a->in[0] = f.b->out[0]; /* a later value */
  broken(f, "operand 0 of add, 'b', is not defined before it");
  f = make();
  f.b->in[0] = f.branch->region[0]->first->out[0]; /* a value of a graph inside */
  broken(f, "'n', is not defined before it");
  f = make();
  f.module->main->outputs.at[1] = f.branch->region[0]->first->out[0];
  broken(f, "output 1 of the graph, 'n', is not defined");
  f = make();
  f.a->in[0] = NULL;
  broken(f, "cannot be inferred");
}

static void links(void **state) {
  (void)state;
  struct fixture f = make();
  f.b->prev = f.c;
  broken(f, "not linked back");
  f = make();
  f.b->next = f.a; /* a list without an end */
  broken(f, "not linked back");
  f = make();
  f.module->main->last = f.a;
  broken(f, "last node");
  f = make();
  f.b->home = f.branch->region[0];
  broken(f, "does not know its graph");
  f = make();
  f.branch->region[1]->owner = f.a;
  broken(f, "its owner");
  f = make();
  f.b->out[0]->def = f.a;
  broken(f, "does not know its place");
  f = make();
  f.b->out[0]->id = f.a->out[0]->id;
  broken(f, "another value's");
  f = make();
  f.b->out[0]->name = "a";
  broken(f, "belongs to another value");
}

static void uses(void **state) {
  (void)state;
  struct fixture f = make();
  f.b->in[0] = f.module->main->inputs.at[0]; /* not by tn_node_set_input */
  broken(f, "lists");
  f = make();
  f.a->out[0]->uses.count = 0;
  broken(f, "'a' lists 0 uses and has 1");
  f = make();
  f.b->out[0]->output_of.count = 1;
  broken(f, "'b' lists 1 graphs");
}

static void attributes(void **state) {
  (void)state;
  struct fixture f = make();
  struct tn_tensor tensor = *tn_get_tensor(f.c, TN_CONSTANT_value);
  tensor.bytes = 12;
  tn_set_tensor(f.c, TN_CONSTANT_value, &tensor);
  broken(f, "value has 12 bytes");
  f = make();
  tn_set_tensor(f.c, TN_CONSTANT_value, NULL);
  broken(f, "cannot be inferred");
  f = make();
  tn_attr_slot(f.b, TN_REDUCE_SUM_axes)->ints.at = NULL;
  broken(f, "no place for them");
  f = make();
  f.a->op = (enum tn_op)9999;
  broken(f, "no op number 9999");
  f = make();
  f.a->out[0]->storage = (struct tn_storage){.place = TN_IN_ARENA, .index = -4};
  broken(f, "nowhere");
}

static void verifying_changes_nothing(void **state) {
  (void)state;
  struct fixture f = make();
  char *before = tn_print(tn_ctx_arena(f.ctx), f.module);
  assert_true(tn_verify(f.module, NULL));
  assert_string_equal(tn_print(tn_ctx_arena(f.ctx), f.module), before);
  assert_int_equal(tn_diag_count(f.ctx, TN_NOTE), 0);
  tn_ctx_destroy(f.ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(types), cmocka_unit_test(definitions), cmocka_unit_test(links),
      cmocka_unit_test(uses),  cmocka_unit_test(attributes),  cmocka_unit_test(verifying_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
