/* Building and changing graphs: names, attributes, uses, replacement, removal, copies. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct fixture {
  tn_ctx *ctx;
  struct tn_module *m;
  struct tn_build b;
  struct tn_value *x;
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  f->ctx = tn_ctx_create(NULL);
  f->m = tn_module_create(f->ctx, "t", "t.onnx");
  f->b = tn_build_at_end(f->m->main);
  f->x = tn_graph_input(f->m->main, "x", tn_type_make(TN_F32, 2, (tn_dim[]){2, 3}));
  *state = f;
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  tn_ctx_destroy(f->ctx);
  free(f);
  return 0;
}

static void the_table(void **state) {
  (void)state;
  int attrs = 0;
  for (int op = 0; op < TN_OP_COUNT; op++) {
    const struct tn_op_info *info = tn_op_info((enum tn_op)op);
    enum tn_op parsed;
    assert_true(tn_op_parse(info->name, &parsed));
    assert_int_equal(parsed, op); /* no two ops of one name */
    assert_int_equal(info->first_attr, attrs);
    attrs += info->attr_count;
  }
  assert_int_equal(attrs, TN_ATTR_COUNT);
  assert_int_equal(tn_op_info(TN_CONV)->first_attr, TN_CONV_strides);
  assert_int_equal(tn_op_info(TN_CONV)->attr_count, 4);
  assert_string_equal(tn_attr_info(TN_CONV_group)->name, "group");
  enum tn_op none;
  assert_false(tn_op_parse("no_such_op", &none));
}

static void defaults(void **state) {
  struct fixture *f = *state;
  struct tn_node *conv = tn_node_make(&f->b, TN_CONV, 2, (struct tn_value *[]){f->x, f->x}, 1);
  assert_int_equal(tn_get_int(conv, TN_CONV_group), 1);
  assert_int_equal(tn_get_int(conv, TN_CONV_acc), TN_NONE);
  struct tn_node *norm = tn_node_make(&f->b, TN_LAYER_NORM, 1, &f->x, 1);
  assert_true(tn_get_float(norm, TN_LAYER_NORM_epsilon) == 1e-5);
  assert_int_equal(tn_get_int(norm, TN_LAYER_NORM_axis), -1);
  struct tn_node *iota = tn_node_make(&f->b, TN_IOTA, 0, NULL, 1);
  assert_int_equal(tn_get_int(iota, TN_IOTA_dtype), TN_I64);
  struct tn_node *pad = tn_node_make(&f->b, TN_PAD, 1, &f->x, 1);
  assert_int_equal(tn_get_int(pad, TN_PAD_mode), 0);
  assert_int_equal(tn_get_ints(pad, TN_PAD_interior).count, 0);
}

static bool read_foreign_attr(void *user) {
  struct fixture *f = user;
  struct tn_node *node = tn_node_make(&f->b, TN_NEG, 1, &f->x, 1);
  (void)tn_get_int(node, TN_CONV_group);
  return true;
}

static bool read_wrong_kind(void *user) {
  struct fixture *f = user;
  struct tn_node *node = tn_node_make(&f->b, TN_CONV, 2, (struct tn_value *[]){f->x, f->x}, 1);
  (void)tn_get_float(node, TN_CONV_group);
  return true;
}

static void wrong_attributes(void **state) {
  struct fixture *f = *state;
  assert_false(tn_guard(f->ctx, read_foreign_attr, f));
  assert_false(tn_guard(f->ctx, read_wrong_kind, f));
  assert_int_equal(tn_diag_count(f->ctx, TN_BUG), 2);
}

static void names(void **state) {
  struct fixture *f = *state;
  struct tn_value *a = tn_unary(&f->b, TN_NEG, f->x), *b = tn_unary(&f->b, TN_NEG, f->x);
  assert_string_equal(a->name, "neg");
  assert_string_equal(b->name, "neg.1");
  f->b.name = "layer/conv1";
  struct tn_value *c = tn_unary(&f->b, TN_EXP, a);
  assert_string_equal(c->name, "layer/conv1");
  assert_string_equal(c->def->name, "layer/conv1");
  tn_value_rename(c, "y");
  assert_string_equal(c->name, "y");
  assert_string_equal(tn_unary(&f->b, TN_EXP, a)->name, "layer/conv1"); /* free again */
  tn_value_rename(b, "y");
  assert_string_equal(b->name, "y.1");
  assert_ptr_equal(tn_map_get(&f->m->names, "y"), c);
  tn_value_rename(a, "layer/conv1"); /* the value that was named after its node gives way */
  assert_string_equal(a->name, "layer/conv1");
  assert_string_equal(f->m->main->last->out[0]->name, "layer/conv1.1");
  assert_true(a->id < b->id && b->id < c->id && f->x->id < a->id);
}

static void uses(void **state) {
  struct fixture *f = *state;
  struct tn_node *square = tn_node_make(&f->b, TN_MUL, 2, (struct tn_value *[]){f->x, f->x}, 1);
  assert_int_equal(f->x->uses.count, 0); /* not before it is finished */
  assert_true(tn_finish(&f->b, square));
  assert_int_equal(f->x->uses.count, 2);
  struct tn_value *n = tn_unary(&f->b, TN_NEG, f->x);
  tn_node_set_input(square, 1, n);
  assert_int_equal(f->x->uses.count, 2); /* operand 0, and neg */
  assert_int_equal(n->uses.count, 1);
  assert_int_equal(n->uses.at[0].index, 1);
  struct tn_value *wide = tn_cast(&f->b, f->x, TN_F64);
  struct tn_node *bad = tn_node_make(&f->b, TN_ADD, 2, (struct tn_value *[]){f->x, wide}, 1);
  size_t before = f->x->uses.count;
  assert_false(tn_finish(&f->b, bad));
  assert_int_equal(f->x->uses.count, before);
  assert_ptr_not_equal(f->m->main->last, bad);
  assert_ptr_equal(tn_cast(&f->b, f->x, TN_F32), f->x);
}

static void order(void **state) {
  struct fixture *f = *state;
  struct tn_value *a = tn_unary(&f->b, TN_NEG, f->x), *c = tn_unary(&f->b, TN_EXP, a);
  struct tn_build before = tn_build_before(c->def);
  struct tn_value *b = tn_unary(&before, TN_ABS, a);
  assert_ptr_equal(f->m->main->first, a->def);
  assert_ptr_equal(a->def->next, b->def);
  assert_ptr_equal(b->def->next, c->def);
  assert_ptr_equal(f->m->main->last, c->def);
  tn_node_remove(b->def);
  assert_ptr_equal(a->def->next, c->def);
  assert_ptr_equal(c->def->prev, a->def);
}

static bool remove_used(void *user) {
  tn_node_remove(((struct tn_value *)user)->def);
  return true;
}

static void replace_and_remove(void **state) {
  struct fixture *f = *state;
  f->b.name = "Sqrt_1";
  struct tn_value *y = tn_unary(&f->b, TN_SQRT, f->x);
  tn_value_rename(y, "y");
  struct tn_value *z = tn_binary(&f->b, TN_ADD, y, y);
  tn_graph_output(f->m->main, y);
  tn_graph_output(f->m->main, z);
  tn_graph_output(f->m->main, y);
  assert_true(tn_value_is_output(y));
  assert_false(tn_value_unused(y));
  assert_false(tn_guard(f->ctx, remove_used, y));
  struct tn_build before = tn_build_before(y->def);
  struct tn_value *other = tn_unary(&before, TN_ABS, f->x);
  tn_replace_value(y, other);
  assert_ptr_equal(z->def->in[0], other);
  assert_ptr_equal(z->def->in[1], other);
  assert_int_equal(other->uses.count, 2);
  assert_ptr_equal(f->m->main->outputs.at[0], other);
  assert_ptr_equal(f->m->main->outputs.at[1], z);
  assert_ptr_equal(f->m->main->outputs.at[2], other);
  assert_string_equal(other->name, "y"); /* the user's name goes on */
  assert_true(tn_value_unused(y));
  tn_node_remove(y->def);
  assert_int_equal(f->x->uses.count, 1);
  tn_graph_set_output(f->m->main, 1, other);
  assert_false(tn_value_is_output(z));
  assert_int_equal(other->output_of.count, 3);
}

/* if(p) { x * x } else { -x, then abs }, over the outer x. */
static struct tn_node *make_if(struct fixture *f) {
  struct tn_value *p = tn_graph_input(f->m->main, "p", tn_type_scalar(TN_BOOL));
  struct tn_node *node = tn_node_make(&f->b, TN_IF, 1, &p, 1);
  struct tn_graph *yes = tn_graph_create(f->m, node), *no = tn_graph_create(f->m, node);
  struct tn_build b = tn_build_at_end(yes);
  tn_graph_output(yes, tn_binary(&b, TN_MUL, f->x, f->x));
  b = tn_build_at_end(no);
  tn_graph_output(no, tn_unary(&b, TN_ABS, tn_unary(&b, TN_NEG, f->x)));
  assert_int_equal(node->region_count, 2);
  assert_true(tn_finish(&f->b, node));
  return node;
}

static void regions(void **state) {
  struct fixture *f = *state;
  struct tn_node *node = make_if(f);
  assert_int_equal(f->x->uses.count, 3);
  struct tn_value *outs[1];
  tn_graph_inline(node->region[1], f->m->main, node, NULL, outs);
  assert_int_equal(f->x->uses.count, 4);
  assert_int_equal(outs[0]->def->op, TN_ABS);
  assert_ptr_equal(outs[0]->def->next, node);
  assert_ptr_equal(outs[0]->home, f->m->main);
  tn_replace_value(node->out[0], outs[0]);
  tn_node_remove(node);
  assert_int_equal(f->x->uses.count, 1); /* those within the regions went with it */
}

static void outer_outputs(void **state) {
  struct fixture *f = *state;
  struct tn_value *y = tn_unary(&f->b, TN_NEG, f->x);
  struct tn_node *node = make_if(f);
  tn_graph_set_output(node->region[0], 0, y);
  assert_true(tn_value_is_output(y));
  struct tn_build before = tn_build_before(node);
  struct tn_value *z = tn_unary(&before, TN_ABS, f->x);
  tn_replace_value(y, z);
  assert_ptr_equal(node->region[0]->outputs.at[0], z);
  assert_true(tn_value_unused(y));
}

static void deep_copy(void **state) {
  struct fixture *f = *state;
  struct tn_node *outer = make_if(f);
  tn_graph_output(f->m->main, outer->out[0]);
  /* The whole main graph, inlined after itself with other operands; the inner x follows. */
  struct tn_module *m = tn_module_create(f->ctx, "u", NULL);
  struct tn_value *args[2] = {tn_graph_input(m->main, "a", tn_type_make(TN_F32, 2, (tn_dim[]){5, 3})),
                              tn_graph_input(m->main, "q", tn_type_scalar(TN_BOOL))};
  struct tn_value *outs[1];
  tn_graph_inline(f->m->main, m->main, NULL, args, outs);
  struct tn_node *copy = outs[0]->def;
  assert_int_equal(copy->op, TN_IF);
  assert_int_equal(outs[0]->type.dim[0], 5); /* inferred anew */
  assert_int_equal(copy->region_count, 2);
  assert_ptr_equal(copy->region[0]->first->in[0], args[0]);
  assert_ptr_equal(copy->region[0]->owner, copy);
  assert_ptr_equal(copy->region[1]->outputs.at[0]->home, copy->region[1]);
  assert_int_equal(args[0]->uses.count, 3);
}

static bool build_misfit(void *user) {
  struct fixture *f = user;
  (void)tn_binary(&f->b, TN_ADD, f->x, tn_const_float(&f->b, TN_F64, 1));
  return true;
}

static void shorthands(void **state) {
  struct fixture *f = *state;
  struct tn_value *t = tn_transpose(&f->b, f->x, (int64_t[]){1, 0});
  assert_int_equal(t->type.dim[0], 3);
  struct tn_value *mm = tn_matmul(&f->b, f->x, t);
  assert_int_equal(mm->type.dim[1], 2);
  struct tn_value *s = tn_reduce(&f->b, TN_REDUCE_SUM, mm, (int64_t[]){-1}, 1, false);
  assert_int_equal(s->type.rank, 1);
  assert_int_equal(tn_get_ints(s->def, TN_REDUCE_SUM_axes).at[0], 1); /* brought to >= 0 */
  struct tn_value *p = tn_pad(&f->b, s, (int64_t[]){1}, (int64_t[]){2}, NULL);
  assert_int_equal(p->type.dim[0], 5);
  struct tn_value *c = tn_concat(&f->b, -1, 2, (struct tn_value *[]){p, s});
  assert_int_equal(c->type.dim[0], 7);
  assert_int_equal(tn_get_int(c->def, TN_CONCAT_axis), 0);
  struct tn_value *i = tn_const_i64s(&f->b, (int64_t[]){4, -1}, 2);
  assert_int_equal(tn_gather(&f->b, c, i, 0)->type.dim[0], 2);
  struct tn_value *e = tn_expand(&f->b, tn_const_float(&f->b, TN_F16, 1.5), 2, (tn_dim[]){2, 2});
  assert_int_equal(e->type.dtype, TN_F16);
  assert_int_equal(tn_iota(&f->b, TN_I32, 1, (tn_dim[]){4}, 0)->type.dim[0], 4);
  assert_int_equal(tn_reshape(&f->b, f->x, 1, (tn_dim[]){6})->type.rank, 1);
  struct tn_value *sl = tn_slice(&f->b, f->x, (int64_t[]){1, 2}, (int64_t[]){1, -2}, (int64_t[]){1, 2});
  assert_int_equal(sl->type.dim[1], 2);
  struct tn_value *cond = tn_binary(&f->b, TN_LT, f->x, f->x);
  assert_int_equal(tn_select(&f->b, cond, f->x, tn_const_float(&f->b, TN_F32, 0))->type.rank, 2);

  f->b.name = "Add_7";
  f->b.origin = "Add";
  assert_false(tn_guard(f->ctx, build_misfit, f));
  size_t count;
  const struct tn_diag *diag = tn_diags(f->ctx, &count);
  assert_int_equal(count, 1);
  assert_string_equal(diag->file, "t.onnx");
  assert_string_equal(diag->node, "Add_7");
  assert_string_equal(diag->op, "Add");
  assert_non_null(strstr(diag->text, "'x' is f32[2x3]"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(the_table),     TEST(defaults),  TEST(wrong_attributes),   TEST(names),
      TEST(uses),          TEST(order),     TEST(replace_and_remove), TEST(regions),
      TEST(outer_outputs), TEST(deep_copy), TEST(shorthands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
