/* Text form: what is printed reads back as the same module, and prints as the same text. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static int setup(void **state) {
  *state = tn_ctx_create(NULL);
  return *state ? 0 : -1;
}
static int teardown(void **state) {
  tn_ctx_destroy(*state);
  return 0;
}

static void print_diags(tn_ctx *ctx) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    print_message("%s\n", tn_diag_format(tn_ctx_arena(ctx), &diags[i]));
}

static struct tn_module *read(tn_ctx *ctx, const char *text) {
  struct tn_module *module = tn_parse(ctx, "t.tir", text, strlen(text));
  if (!module || !tn_verify(module, "parsing")) {
    print_diags(ctx);
    fail_msg("the text was not read:\n%s", text);
  }
  return module;
}

/* The text is already as the printer writes it. */
static struct tn_module *keeps(tn_ctx *ctx, const char *text) {
  struct tn_module *module = read(ctx, text);
  assert_string_equal(tn_print(tn_ctx_arena(ctx), module), text);
  return module;
}

static void whole_module(void **state) {
  struct tn_module *module =
      keeps(*state, "module \"digits\"\n"
                    "symbol N = 1..64\n"
                    "memory {arena = 4096, arena_low_bound = 4000, weights = 256}\n"
                    "meta \"producer\" = \"py\\\"torch\\n\"\n"
                    "graph(%x: f32[N,8,8,3] @input 0, %w: f32[3,3,3,4]) {\n"
                    "  %c = constant {value = f32[4] [1.5, nan, -inf, 1e-07]} : f32[4] @weights+0\n"
                    "  %h = conv(%x, %w) {strides = [1, 1], dilations = [1, 1]} : f32[N,6,6,4] @arena+128 "
                    "loc(\"Conv_0\", \"Conv\")\n"
                    "  %\"a b:0\" = add(%h, %c) : f32[N,6,6,4] loc(_, \"Add\")\n"
                    "  %v, %i = topk(%\"a b:0\") {axis = 3, k = 2} : f32[N,6,6,2] @output 0, i64[N,6,6,2]\n"
                    "  return %v, %i\n"
                    "}\n");
  assert_string_equal(module->name, "digits");
  assert_string_equal(module->file, "t.tir");
  assert_int_equal(module->symbols.at[0].high, 64);
  assert_int_equal(module->arena_bytes, 4096);
  assert_string_equal(tn_map_get(&module->strings, "producer"), "py\"torch\n");
  const struct tn_node *conv = module->main->first->next;
  assert_string_equal(conv->name, "Conv_0");
  assert_string_equal(conv->origin, "Conv");
  assert_int_equal(conv->out[0]->storage.place, TN_IN_ARENA);
  assert_int_equal(conv->out[0]->storage.index, 128);
  assert_int_equal(tn_get_int(conv, TN_CONV_group), 1);
  assert_string_equal(conv->next->name, "a b:0");
  assert_string_equal(tn_print_node(tn_ctx_arena(*state), conv->next),
                      "%\"a b:0\" = add(%h, %c) : f32[N,6,6,4] loc(_, \"Add\")");
}

static void constants_keep_their_bits(void **state) {
  keeps(*state, "module \"\"\n"
                "graph() {\n"
                "  %a = constant {value = f32[] [0.1]} : f32[]\n"
                "  %b = constant {value = f64[3] [0.1, -0, 5e-324]} : f64[3]\n"
                "  %c = constant {value = f16[3] [65504, 5.9604645e-08, nan]} : f16[3]\n"
                "  %d = constant {value = bf16[2] [3.3895314e+38, -1]} : bf16[2]\n"
                "  %e = constant {value = i8[2,2] [-128, 127, 0, 1]} : i8[2,2]\n"
                "  %f = constant {value = u64[2] [18446744073709551615, 0]} : u64[2]\n"
                "  %g = constant {value = i64[2] [-9223372036854775808, 9223372036854775807]} : i64[2]\n"
                "  %h = constant {value = bool[2] [true, false]} : bool[2]\n"
                "  %i = constant {value = f32[0,5] []} : f32[0,5]\n"
                "  %j = constant {value = f32[1] hex\"0100c07f\"} : f32[1]\n"
                "  %k = constant {value = bool[2] hex\"0201\"} : bool[2]\n"
                "  %l = constant {value = u8[65] "
                "hex\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526272829"
                "2a2b2c2d2e2f303132333435363738393a3b3c3d3e3fff\"} : u8[65]\n"
                "  %m = constant {value = i8[2] quant(0, [0.5, 0.25], [-3, 4]) [1, 2]} : i8[2] quant(0, [0.5, "
                "0.25], [-3, 4])\n"
                "  return %a\n"
                "}\n");
}

/* All 16-bit floats, 64 a constant. */
static void halves_survive(void **state) {
  tn_ctx *ctx = *state;
  for (int which = 0; which < 2; which++) {
    struct tn_module *module = tn_module_create(ctx, "h", NULL);
    struct tn_build b = tn_build_at_end(module->main);
    for (uint32_t first = 0; first < 65536; first += 64) {
      uint16_t bits[64];
      for (uint32_t i = 0; i < 64; i++)
        bits[i] = (uint16_t)(first + i);
      tn_constant_bytes(&b, tn_type_make(which ? TN_F16 : TN_BF16, 1, (tn_dim[]){64}), bits);
    }
    const char *text = tn_print(tn_ctx_arena(ctx), module);
    struct tn_module *back = read(ctx, text);
    uint32_t first = 0;
    for (const struct tn_node *node = back->main->first; node; node = node->next, first += 64) {
      const struct tn_tensor *tensor = tn_get_tensor(node, TN_CONSTANT_value);
      for (uint32_t i = 0; i < 64; i++) {
        uint16_t bits;
        memcpy(&bits, (const char *)tensor->data + 2 * i, 2);
        assert_int_equal(bits, first + i);
      }
    }
    assert_int_equal(first, 65536);
    assert_string_equal(tn_print(tn_ctx_arena(ctx), back), text);
  }
}

static void attributes_of_each_kind(void **state) {
  keeps(*state, "module \"m\"\n"
                "graph(%x: f32[2,4], %s: f32[4], %i: i64[2,4]) {\n"
                "  %a = layer_norm(%x, _, %s) {axis = 1} : f32[2,4]\n"
                "  %b = layer_norm(%x) {axis = 1, epsilon = 0.001} : f32[2,4]\n"
                "  %c = cast(%x) {to = f16} : f16[2,4]\n"
                "  %d = pad(%x) {before = [1, 0], after = [-1, 2], mode = edge} : f32[2,6]\n"
                "  %e = scatter_elements(%x, %i, %x) {axis = 1, reduction = max} : f32[2,4]\n"
                "  %f = iota {shape = [3, 2], axis = 1} : i64[3,2]\n"
                "  %g = iota {shape = [1], dtype = f32} : f32[1]\n"
                "  return %a, %b, %c\n"
                "}\n");
}

static void symbols(void **state) {
  tn_ctx *ctx = *state;
  const char *text = "module \"m\"\n"
                     "symbol \"batch size\" = 2..\n"
                     "symbol N\n"
                     "symbol \"max\"\n"
                     "symbol (\"batch size\" / 2)\n"
                     "symbol ((\"batch size\" / 2) + N)\n"
                     "symbol (N - 1)\n"
                     "symbol max((N * 3), \"max\")\n"
                     "graph(%x: f32[((\"batch size\" / 2) + N),(N - 1)], %y: u8[max((N * 3), \"max\")]) {\n"
                     "  %r = reshape(%x) {shape = [((\"batch size\" / 2) + N), 1, (N - 1)]} : "
                     "f32[((\"batch size\" / 2) + N),1,(N - 1)]\n"
                     "  return %r\n"
                     "}\n";
  struct tn_module *module = read(ctx, text);
  const char *printed = tn_print(tn_ctx_arena(ctx), module);
  assert_string_equal(tn_print(tn_ctx_arena(ctx), read(ctx, printed)), printed);
  assert_non_null(strstr(printed, "symbol \"batch size\" = 2..\n"));
  assert_non_null(strstr(printed, "symbol N\n"));
}

/* An expression whose text would have thousands of characters. */
static void long_expressions_have_labels(void **state) {
  tn_ctx *ctx = *state;
  struct tn_module *module = tn_module_create(ctx, "m", NULL);
  tn_dim dim = tn_symbol_named(module, "A");
  for (int i = 0; i < 40; i++) {
    tn_dim other = tn_symbol_named(module, tn_printf(tn_ctx_arena(ctx), "a_rather_long_name_%d", i));
    dim = tn_dim_op(module, 'M', tn_dim_op(module, '*', dim, other), tn_dim_op(module, '/', dim, 3 + i));
  }
  struct tn_value *x = tn_graph_input(module->main, "x", tn_type_make(TN_F32, 2, (tn_dim[]){dim, 4}));
  struct tn_build b = tn_build_at_end(module->main);
  tn_graph_output(module->main, tn_unary(&b, TN_NEG, x));
  const char *text = tn_print(tn_ctx_arena(ctx), module);
  assert_non_null(strstr(text, "symbol $0 = "));
  assert_true(strlen(text) < 100000);
  assert_true(strlen(tn_print_node(tn_ctx_arena(ctx), module->main->first)) < 1000);
  assert_string_equal(tn_print(tn_ctx_arena(ctx), read(ctx, text)), text);
}

static void regions(void **state) {
  struct tn_module *module =
      keeps(*state, "module \"m\"\n"
                    "graph(%p: bool[], %x: f32[3], %n: i64[]) {\n"
                    "  %r = if(%p) graph() {\n"
                    "    %a = neg(%x) : f32[3]\n"
                    "    return %a\n"
                    "  } graph() {\n"
                    "    %b = if(%p) graph() {\n"
                    "      return %x\n"
                    "    } graph() {\n"
                    "      %c = abs(%x) : f32[3]\n"
                    "      return %c\n"
                    "    } : f32[3] loc(\"inner\", \"If\")\n"
                    "    return %b\n"
                    "  } : f32[3]\n"
                    "  %l, %s = loop(%n, %p, %r) {trip = 4} graph(%i: i64[], %go: bool[], %v: f32[3]) {\n"
                    "    %w = add(%v, %x) : f32[3]\n"
                    "    return %go, %w, %v\n"
                    "  } : f32[3], f32[4,3]\n"
                    "  if(%p) graph() {\n"
                    "    return\n"
                    "  } graph() {\n"
                    "    return\n"
                    "  } loc(\"if\")\n"
                    "  return %l, %s, %l\n"
                    "}\n");
  assert_int_equal(module->main->outputs.count, 3);
  assert_int_equal(module->main->first->region_count, 2);
}

/* Names as hostile as a front end may bring them. */
static void names_of_any_bytes(void **state) {
  tn_ctx *ctx = *state;
  const char *names[] = {"",
                         "a",
                         "a b",
                         "x:0",
                         "\"quoted\\\"",
                         "\n\t\x01\x7f",
                         "gr\xc3\xbc\xc3\x9f",
                         "\xff\xfe",
                         "_",
                         "%x",
                         "// no comment",
                         "0",
                         "-1",
                         "conv/bias.1",
                         "add",
                         "neg.1",
                         "neg"};
  struct tn_module *module = tn_module_create(ctx, "a\"b", NULL);
  struct tn_value *values[TN_COUNT(names)];
  struct tn_build b = tn_build_at_end(module->main);
  struct tn_value *x = tn_graph_input(module->main, "in", tn_type_scalar(TN_F32));
  for (size_t i = 0; i < TN_COUNT(names); i++) {
    b.name = names[i];
    b.origin = names[i];
    values[i] = tn_unary(&b, TN_NEG, x);
    tn_value_rename(values[i], names[i]);
    tn_graph_output(module->main, values[i]);
  }
  const char *text = tn_print(tn_ctx_arena(ctx), module);
  struct tn_module *back = read(ctx, text);
  for (size_t i = 0; i < TN_COUNT(names); i++) {
    assert_string_equal(back->main->outputs.at[i]->name, values[i]->name);
    assert_string_equal(back->main->outputs.at[i]->def->origin, names[i]);
    assert_string_equal(back->main->outputs.at[i]->def->name, values[i]->def->name);
  }
  assert_string_equal(tn_print(tn_ctx_arena(ctx), back), text);
}

static void blanks_and_comments(void **state) {
  tn_ctx *ctx = *state;
  struct tn_module *module =
      read(ctx, "// RUN: nothing\n\tmodule\"m\"symbol N=1..2 // two\n"
                "graph( %x :f32 [ N , 2 ]@ input 0){%y=neg( %x ){ }:f32[N,2]return %y}//");
  assert_string_equal(tn_print(tn_ctx_arena(ctx), module), "module \"m\"\nsymbol N = 1..2\n"
                                                           "graph(%x: f32[N,2] @input 0) {\n"
                                                           "  %y = neg(%x) : f32[N,2]\n  return %y\n}\n");
}

static void brief_leaves_out_long_constants(void **state) {
  tn_ctx *ctx = *state;
  struct tn_module *module = tn_module_create(ctx, "m", NULL);
  struct tn_build b = tn_build_at_end(module->main);
  static const uint8_t bytes[1000];
  tn_constant_bytes(&b, tn_type_make(TN_U8, 1, (tn_dim[]){1000}), bytes);
  const char *text = tn_print_brief(tn_ctx_arena(ctx), module);
  assert_non_null(strstr(text, "{value = u8[1000] ...} : u8[1000]"));
  assert_null(tn_parse(ctx, "t.tir", text, strlen(text)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(whole_module, setup, teardown),
      cmocka_unit_test_setup_teardown(constants_keep_their_bits, setup, teardown),
      cmocka_unit_test_setup_teardown(halves_survive, setup, teardown),
      cmocka_unit_test_setup_teardown(attributes_of_each_kind, setup, teardown),
      cmocka_unit_test_setup_teardown(symbols, setup, teardown),
      cmocka_unit_test_setup_teardown(long_expressions_have_labels, setup, teardown),
      cmocka_unit_test_setup_teardown(regions, setup, teardown),
      cmocka_unit_test_setup_teardown(names_of_any_bytes, setup, teardown),
      cmocka_unit_test_setup_teardown(blanks_and_comments, setup, teardown),
      cmocka_unit_test_setup_teardown(brief_leaves_out_long_constants, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
