/* Results that overlap an operand: random chains of windowed ops give the bytes that they give when every value
 * has a buffer of its own; the arenas that come out are known; a wrong order is seen. */
#include "unit/codegen_random.h"
#include "unit/codegen_schedule.h"
#include "codegen/lower.h"
#include "driver/driver.h"

static bool reach(void *user, struct tn_node *kernel, const struct tn_storage *from,
                  const struct tn_storage *to, int64_t least, struct tn_reach *out) {
  (void)user;
  return tn_kernel_reach(kernel, from, to, least, out);
}

struct chain {
  struct random r;
  struct tn_build b;
};

static struct tn_value *weights(struct chain *c, int rank, const tn_dim *dims) {
  struct tn_type type = tn_type_make(TN_I32, rank, dims);
  int64_t count;
  assert_true(tn_type_count(&type, &count));
  int32_t *w = TN_NEW_ARRAY(c->b.graph->module->arena, int32_t, count);
  for (int64_t i = 0; i < count; i++)
    w[i] = (int32_t)pick(&c->r, -3, 3);
  return tn_constant_bytes(&c->b, type, w);
}

/* Pads by `pad`, then a convolution of window k; group: 1, or the channels. */
static struct tn_value *conv(struct chain *c, struct tn_value *x, int64_t pad, int64_t k, int64_t stride,
                             int64_t group, int64_t m) {
  int64_t around[4] = {0, pad, pad, 0}, strides[2] = {stride, stride}, dilations[2] = {1, 1};
  x = pad ? tn_pad(&c->b, x, around, around, NULL) : x;
  tn_dim dims[4] = {k, k, x->type.dim[3] / group, m};
  struct tn_node *node = tn_node_make(&c->b, TN_CONV, 2, (struct tn_value *[]){x, weights(c, 4, dims)}, 1);
  tn_set_ints(node, TN_CONV_strides, strides, 2);
  tn_set_ints(node, TN_CONV_dilations, dilations, 2);
  tn_set_int(node, TN_CONV_group, group);
  struct tn_value *y = finish_in(&c->b, node);
  return tn_binary(&c->b, TN_MAX, tn_binary(&c->b, TN_ADD, y, weights(c, 1, &m)),
                   tn_const_int(&c->b, TN_I32, -9));
}

static struct tn_value *pool(struct chain *c, struct tn_value *x, int64_t k, int64_t stride) {
  int64_t window[4] = {1, k, k, 1}, strides[4] = {1, stride, stride, 1}, ones[4] = {1, 1, 1, 1}, none[4] = {0};
  struct tn_node *node = tn_node_make(&c->b, TN_POOL, 1, &x, 1);
  tn_set_int(node, TN_POOL_kind, pick(&c->r, 0, 2));
  tn_set_ints(node, TN_POOL_window, window, 4);
  tn_set_ints(node, TN_POOL_strides, strides, 4);
  tn_set_ints(node, TN_POOL_dilations, ones, 4);
  tn_set_ints(node, TN_POOL_before, none, 4);
  tn_set_ints(node, TN_POOL_after, none, 4);
  return finish_in(&c->b, node);
}

/* Each pixel twice, across and down. */
static struct tn_value *enlarged(struct chain *c, struct tn_value *x) {
  const tn_dim *d = x->type.dim;
  tn_dim apart[6] = {d[0], d[1], 1, d[2], 1, d[3]}, twice[6] = {d[0], d[1], 2, d[2], 2, d[3]},
         all[4] = {d[0], 2 * d[1], 2 * d[2], d[3]};
  return tn_reshape(&c->b, tn_expand(&c->b, tn_reshape(&c->b, x, 6, apart), 6, twice), 4, all);
}

static struct tn_module *random_chain(tn_ctx *ctx, uint64_t seed) {
  struct tn_module *m = tn_module_create(ctx, "test", "test");
  struct chain c = {.r = {seed, NULL}, .b = tn_build_at_end(m->main)};
  c.b.name = "node";
  tn_dim dims[4] = {pick(&c.r, 0, 4) ? 1 : 2, pick(&c.r, 5, 14), pick(&c.r, 3, 14), 4 * pick(&c.r, 1, 4)};
  struct tn_value *x = tn_graph_input(m->main, "x", tn_type_make(TN_I32, 4, dims)), *kept = NULL;
  for (int64_t i = pick(&c.r, 3, 9); i > 0; i--) {
    int64_t h = x->type.dim[1], w = x->type.dim[2], channels = x->type.dim[3], kind = pick(&c.r, 0, 9);
    if (kind < 3)
      x = conv(&c, x, 1, 3, pick(&c.r, 1, 2), channels, channels);
    else if (kind < 5)
      x = conv(&c, x, 0, 1, 1, 1, 4 * pick(&c.r, 1, 6));
    else if (kind < 7)
      x = conv(&c, x, pick(&c.r, 0, 1) * 2 + 1, 3, 1, 1, 4 * pick(&c.r, 1, 4));
    else if (kind == 7 && h > 3 && w > 3)
      x = pool(&c, x, pick(&c.r, 2, 3), pick(&c.r, 1, 2));
    else if (kind == 8 && h * w < 100)
      x = enlarged(&c, x);
    else if (kept && tn_shape_equal(&kept->type, &x->type) && kept != x)
      x = tn_binary(&c.b, TN_ADD, x, kept);
    kept = pick(&c.r, 0, 3) ? kept : x;
  }
  tn_graph_output(m->main, conv(&c, x, 0, 1, 1, 1, 4));
  return m;
}

static void count_orders(const struct tn_graph *graph, int *up, int *down) {
  for (const struct tn_node *node = graph->first; node; node = node->next)
    if (node->op == TN_KERNEL) {
      *up += tn_get_int(node, TN_KERNEL_order) > 0;
      *down += tn_get_int(node, TN_KERNEL_order) < 0;
    }
}

struct result {
  uint8_t *bytes;
  size_t size;
  int64_t arena;
  int up, down;
};

static struct result run_chain(tn_ctx *ctx, uint64_t seed, int level, bool near) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct result r = {0};
  struct tn_module *m = random_chain(ctx, seed);
  struct tn_pass_options p = {
      .level = level, .small = seed % 3 != 0, .verify_each = true, .reach = near ? reach : NULL};
  struct tn_target_options t = {.opt = level, .small = seed % 2 != 0, .threads = 1};
  struct tn_codegen *cg = tn_run_passes(m, &p) ? tn_codegen(m, &t, (struct tn_hash){0}) : NULL;
  if (!cg)
    tn_fail_now(ctx);
  count_orders(m->main, &r.up, &r.down);
  int64_t count = count_of(m->main->inputs.at[0]);
  int32_t *x = TN_NEW_ARRAY(arena, int32_t, count);
  for (int64_t i = 0; i < count; i++)
    x[i] = (int32_t)(i * 7919 % 201 - 100);
  r.size = (size_t)count_of(m->main->outputs.at[0]) * 4;
  r.arena = tn_codegen_facts(cg)->arena_bytes;
  r.bytes = tn_alloc_raw(arena, r.size + 64, 64);
  void *memory = tn_alloc_raw(arena, (size_t)r.arena + 64, 64), *out[1] = {r.bytes};
  const void *in[1] = {x};
  memset(memory, 0xC3, (size_t)r.arena);
  tn_run_function *run = tn_codegen_load(cg, NULL);
  assert_non_null(run);
  for (int k = 0; k < 2; k++) /* what one run leaves behind must not matter to the next */
    assert_int_equal(run(in, out, memory), 0);
  return r;
}

struct one_seed {
  tn_ctx *ctx;
  uint64_t seed;
  int64_t *arenas; /* without, with */
  int *up, *down;
};

static bool check_seed(void *user) {
  struct one_seed *s = user;
  struct result want = run_chain(s->ctx, s->seed, 0, true), apart = run_chain(s->ctx, s->seed, 3, false),
                near = run_chain(s->ctx, s->seed, 3, true);
  assert_int_equal(want.up + want.down + apart.up + apart.down, 0);
  assert_int_equal(want.size, near.size);
  if (memcmp(want.bytes, near.bytes, want.size) != 0)
    fail_msg("seed %llu: other bytes where results overlap operands", (unsigned long long)s->seed);
  s->arenas[0] += apart.arena;
  s->arenas[1] += near.arena;
  *s->up += near.up;
  *s->down += near.down;
  return true;
}

static uint64_t seeds_from = 1, seeds_to = 25;

static void chains(void **state) {
  (void)state;
  int64_t arenas[2] = {0};
  int up = 0, down = 0, seeds = (int)(seeds_to - seeds_from) + 1;
  for (uint64_t seed = seeds_from; seed <= seeds_to; seed++) {
    tn_ctx *ctx = tn_ctx_create(NULL);
    struct one_seed s = {ctx, seed, arenas, &up, &down};
    if (!tn_guard(ctx, check_seed, &s)) {
      print_diags(ctx);
      fail_msg("seed %llu cannot be compiled", (unsigned long long)seed);
    }
    tn_ctx_destroy(ctx);
  }
  print_message("upwards %d, downwards %d, arenas %lld -> %lld\n", up, down, (long long)arenas[0],
                (long long)arenas[1]);
  assert_true(up * 4 > seeds && down * 4 > seeds); /* there is something to test */
  assert_true(arenas[1] * 10 < arenas[0] * 9);
}

/* ---- arenas that are known ---------------------------------------------------------------------------------
 */

/* Depthwise and pointwise layers in turn, over one padded plane. */
static bool separable(void *user) {
  tn_ctx *ctx = user;
  struct tn_module *m = tn_module_create(ctx, "test", "test");
  struct chain c = {.r = {1, NULL}, .b = tn_build_at_end(m->main)};
  tn_dim dims[4] = {1, 20, 6, 16};
  struct tn_value *x = tn_graph_input(m->main, "x", tn_type_make(TN_I32, 4, dims));
  x = conv(&c, x, 0, 1, 1, 1, 32);
  for (int i = 0; i < 3; i++)
    x = conv(&c, conv(&c, x, 1, 3, 1, 32, 32), 0, 1, 1, 1, 32);
  tn_graph_output(m->main, x);
  struct tn_pass_options p = {.level = 2, .small = true, .verify_each = true, .reach = reach};
  if (!tn_run_passes(m, &p))
    return false;
  /* The padded plane has 22 x 8 x 32 elements.  The dense one between two of them, 20 x 6 x 32, ends a row
   * behind it: row 19 of it may be written over nothing that row 19 of the result still reads. */
  assert_int_equal(m->arena_bytes, 4 * (22 * 8 * 32 + 6 * 32));
  assert_int_equal(m->arena_low_bound, m->arena_bytes);
  return true;
}

static void known_arena(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  assert_true(tn_guard(ctx, separable, ctx));
  tn_ctx_destroy(ctx);
}

/* ---- orders ------------------------------------------------------------------------------------------------
 */

#define TWICE(order, at)                                                                                  \
  "module \"m\"\nmemory {arena = 512, arena_low_bound = 512, weights = 0}\n"                              \
  "graph(%x: f32[8,4] @input 0) {\n"                                                                      \
  "  %a = kernel(%x) graph(%p: f32[8,4]) {\n    %q = exp(%p) : f32[8,4]\n    return %q\n  } : f32[8,4] "  \
  "@arena+128\n"                                                                                          \
  "  %b = kernel(%a) {order = " order "} graph(%r: f32[8,4]) {\n"                                         \
  "    %s = reshape(%r) {shape = [8, 4, 1]} : f32[8,4,1]\n"                                               \
  "    %t = expand(%s) {shape = [8, 4, 2]} : f32[8,4,2]\n    return %t\n  } : f32[8,4,2] @arena+" at "\n" \
  "  %y = kernel(%b) graph(%u: f32[8,4,2]) {\n    %v = exp(%u) : f32[8,4,2]\n    return %v\n"             \
  "  } : f32[8,4,2] @output 0\n  return %y\n}\n"

/* Row r of %a, 16 bytes from 128 + 16 r on, becomes 32 bytes of %b from `at` + 32 r on. */
static bool holds(tn_ctx *ctx, const char *text) {
  struct tn_module *m = tn_parse(ctx, "order.tir", text, strlen(text));
  if (!m)
    tn_fail_now(ctx);
  return tn_order_holds(tn_lower_placed(tn_ctx_arena(ctx), m->main->first->next));
}

static bool all_orders(void *user) {
  tn_ctx *ctx = user;
  assert_true(holds(ctx, TWICE("1", "256")));
  assert_true(holds(ctx, TWICE("-1", "256")));
  assert_true(holds(ctx, TWICE("-1", "144")));
  assert_false(holds(ctx, TWICE("-1", "128"))); /* row 0 is read and written */
  assert_false(holds(ctx, TWICE("-2", "144")));
  assert_true(holds(ctx, TWICE("-2", "160")));
  assert_false(holds(ctx, TWICE("1", "144")));
  assert_true(holds(ctx, TWICE("1", "0")) == false && holds(ctx, TWICE("-1", "0")) == false);
  assert_false(holds(ctx, TWICE("1", "64")));
  return true;
}

/* Products of a batch, the last one first: each with weights of its own, which are packed in that order. */
static bool ordered_batch(void *user) {
  tn_ctx *ctx = user;
  enum { BATCH = 3, SIDE = 16 };
  struct tn_str text;
  tn_str_init(&text, tn_ctx_arena(ctx));
  tn_str_add(&text, "module \"m\"\nmemory {arena = 6144, arena_low_bound = 6144, weights = 3072}\n"
                    "graph(%%x: f32[3,16,16] @input 0) {\n  %%w = constant {value = f32[3,16,16] hex\"");
  for (int i = 0; i < BATCH * SIDE * SIDE; i++) { /* 1, 2, .. as little-endian floats */
    float number = (float)(i + 1);
    uint8_t bytes[4];
    memcpy(bytes, &number, 4);
    tn_str_add(&text, "%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2], bytes[3]);
  }
  tn_str_add(
      &text,
      "\"} : f32[3,16,16] @weights+0\n"
      "  %%a = kernel(%%x) graph(%%p: f32[3,16,16]) {\n    %%q = exp(%%p) : f32[3,16,16]\n    return %%q\n"
      "  } : f32[3,16,16] @arena+0\n"
      "  %%b = kernel(%%a, %%w) {anchor = 0, order = -1} graph(%%r: f32[3,16,16], %%u: f32[3,16,16]) {\n"
      "    %%v = matmul(%%r, %%u) : f32[3,16,16]\n    return %%v\n  } : f32[3,16,16] @arena+3072\n"
      "  %%y = kernel(%%b) graph(%%s: f32[3,16,16]) {\n    %%t = exp(%%s) : f32[3,16,16]\n"
      "    return %%t\n  } : f32[3,16,16] @output 0\n  return %%y\n}\n");
  struct tn_module *m = tn_parse(ctx, "batch.tir", text.at, text.count);
  if (!m)
    tn_fail_now(ctx);
  struct tn_node *product = m->main->first->next->next;
  struct tn_nest *n = tn_lower_placed(tn_ctx_arena(ctx), product);
  tn_schedule(&targets[TN_COUNT(targets) - 1], n);
  const struct tn_buf *packed = NULL;
  for (size_t i = 0; i < n->bufs.count; i++)
    if (n->bufs.at[i]->param < 0 && n->bufs.at[i]->data)
      packed = n->bufs.at[i];
  assert_non_null(packed);
  assert_int_equal(packed->count, BATCH * SIDE * SIDE);
  assert_true(tn_tensor_float(packed->data, 0) == 2 * SIDE * SIDE + 1); /* the last product's first weight */
  return true;
}

static void guarded(bool (*body)(void *)) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  if (!tn_guard(ctx, body, ctx)) {
    print_diags(ctx);
    fail_msg("not compiled");
  }
  tn_ctx_destroy(ctx);
}

static void orders(void **state) {
  (void)state;
  guarded(all_orders);
}

static void weights_in_order(void **state) {
  (void)state;
  guarded(ordered_batch);
}

/* test_driver_overlap [FROM TO]: other seeds, by hand. */
int main(int argc, char **argv) {
  if (argc == 3) {
    seeds_from = strtoull(argv[1], NULL, 10);
    seeds_to = strtoull(argv[2], NULL, 10);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(chains), cmocka_unit_test(known_arena),
                                     cmocka_unit_test(orders), cmocka_unit_test(weights_in_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
