/* A compiled model gives the same bits for any number of threads: random networks, the digits network and
 * official vectors, with every loop shared that may be. */
#include "unit/codegen_attention.h"
#include "driver/driver.h"
#include "runtime/tenon_threads.h"

static const int pool_sizes[] = {1, 2, 3, 4, 7};
static struct tenon_parallel *pools[TN_COUNT(pool_sizes)];
static size_t loops_shared;

/* Counts what a pool is asked for. */
struct counting_pool {
  struct tenon_parallel parallel;
  struct tenon_parallel *real;
};
static void count_and_run(struct tenon_parallel *self, int64_t count, void (*body)(void *, int64_t, int64_t),
                          void *context) {
  struct counting_pool *p = (struct counting_pool *)self;
  loops_shared++;
  p->real->run(p->real, count, body, context);
}

/* Iterations last first, one at a time: what depends on their order shows. */
static void backwards(struct tenon_parallel *self, int64_t count, void (*body)(void *, int64_t, int64_t),
                      void *context) {
  (void)self;
  for (int64_t i = count; i-- > 0;)
    body(context, i, i + 1);
}

static int start_pools(void **state) {
  (void)state;
  for (size_t i = 0; i < TN_COUNT(pools); i++)
    if (!(pools[i] = tenon_threads_create(pool_sizes[i])))
      return -1;
  return 0;
}

static int stop_pools(void **state) {
  (void)state;
  for (size_t i = 0; i < TN_COUNT(pools); i++)
    tenon_threads_destroy(pools[i]);
  return 0;
}

struct run {
  tn_ctx *ctx;
  struct tn_graph *graph;
  const void **in;
  void **out;
  void *arena;
  uint8_t *bytes; /* of all outputs */
  size_t size, arena_size;
};

static struct run prepare(tn_ctx *ctx, struct tn_codegen *cg, struct tn_module *m,
                          const struct tn_tensor *inputs) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct run r = {.ctx = ctx, .graph = m->main};
  r.in = TN_NEW_ARRAY(arena, const void *, m->main->inputs.count + 1);
  r.out = TN_NEW_ARRAY(arena, void *, m->main->outputs.count + 1);
  for (size_t i = 0; i < m->main->inputs.count; i++) {
    int64_t bytes;
    assert_true(tn_type_bytes(&m->main->inputs.at[i]->type, &bytes));
    if (inputs) {
      r.in[i] = inputs[i].data;
      continue;
    }
    int64_t count = count_of(m->main->inputs.at[i]);
    void *data = tn_alloc(arena, (size_t)bytes + 1);
    for (int64_t k = 0; k < count; k++)
      tn_store_float(m->main->inputs.at[i]->type.dtype, data, k, (double)(k * 7919 % 2003) / 701 - 1.4);
    r.in[i] = data;
  }
  for (size_t i = 0; i < m->main->outputs.count; i++) {
    int64_t bytes;
    assert_true(tn_type_bytes(&m->main->outputs.at[i]->type, &bytes));
    r.size += (size_t)tn_round_up(bytes, 64);
  }
  r.bytes = tn_alloc_raw(arena, r.size + 64, 64);
  size_t at = 0;
  for (size_t i = 0; i < m->main->outputs.count; i++) {
    int64_t bytes;
    tn_type_bytes(&m->main->outputs.at[i]->type, &bytes);
    r.out[i] = r.bytes + at;
    at += (size_t)tn_round_up(bytes, 64);
  }
  r.arena_size = (size_t)tn_codegen_facts(cg)->arena_bytes;
  r.arena = tn_alloc_raw(arena, r.arena_size + 64, 64);
  return r;
}

static void clear(struct run *r) {
  memset(r->bytes, 0x5A, r->size);
  memset(r->arena, 0xC3, r->arena_size); /* what threads leave of one run must not matter to the next */
}

static struct tn_codegen *generate(tn_ctx *ctx, struct tn_module *m, int threads) {
  struct tn_target_options t = {.opt = 3, .threads = threads, .fork_ns = 1};
  struct tn_codegen *cg = tn_codegen(m, &t, (struct tn_hash){0});
  if (!cg)
    tn_fail_now(ctx);
  return cg;
}

/* one, many: the same model, compiled for one thread and for several. */
static void check_bits(tn_ctx *ctx, const char *what, struct tn_module *one, struct tn_module *many,
                       int threads, const struct tn_tensor *inputs) {
  struct tn_codegen *cg = generate(ctx, one, 1);
  struct run serial = prepare(ctx, cg, one, inputs);
  clear(&serial);
  tn_run_function *run = tn_codegen_load(cg, NULL);
  assert_non_null(run);
  assert_int_equal(run(serial.in, serial.out, serial.arena), 0);

  cg = generate(ctx, many, threads);
  struct run r = prepare(ctx, cg, many, inputs);
  assert_int_equal(r.size, serial.size);
  tn_parallel_run_function *shared = tn_codegen_load_parallel(cg, NULL);
  assert_non_null(shared);
  struct tenon_parallel reversed = {backwards};
  for (int k = -2; k < (int)TN_COUNT(pools); k++) {
    clear(&r);
    struct counting_pool pool = {{count_and_run}, k < 0 ? &reversed : pools[k]};
    assert_int_equal(shared(r.in, r.out, r.arena, k == -2 ? NULL : &pool.parallel), 0);
    if (memcmp(r.bytes, serial.bytes, r.size) != 0)
      fail_msg("%s: other bits with %s", what,
               k == -2   ? "no parallel-for"
               : k == -1 ? "iterations in reverse"
                         : tn_printf(tn_ctx_arena(ctx), "%d threads", pool_sizes[k]));
  }
}

static void passes(struct tn_module *m) {
  struct tn_pass_options p = {.level = 3};
  if (!tn_run_passes(m, &p))
    tn_fail_now(m->ctx);
}

/* ---- random networks
 * ----------------------------------------------------------------------------------------- */

static struct tn_value *weights(struct tn_build *b, int rank, const tn_dim *dims, uint64_t seed) {
  struct tn_type type = tn_type_make(TN_F32, rank, dims);
  int64_t count;
  assert_true(tn_type_count(&type, &count));
  float *data = TN_NEW_ARRAY(b->graph->module->arena, float, count + 1);
  struct random r = {seed, NULL};
  for (int64_t i = 0; i < count; i++)
    data[i] = (float)pick(&r, -1000, 1000) / 997;
  return tn_constant_bytes(b, type, data);
}

static struct tn_value *one_input(struct tn_build *b, enum tn_op op, struct tn_value *x,
                                  enum tn_attr_id attribute, int64_t value) {
  struct tn_node *node = tn_node_make(b, op, 1, &x, 1);
  tn_set_int(node, attribute, value);
  return finish_in(b, node);
}

static struct tn_value *conv(struct tn_build *b, struct tn_value *x, struct tn_value *w, int64_t group) {
  struct tn_node *node = tn_node_make(b, TN_CONV, 2, (struct tn_value *[]){x, w}, 1);
  tn_set_ints(node, TN_CONV_strides, INTS(1, 1));
  tn_set_ints(node, TN_CONV_dilations, INTS(1, 1));
  tn_set_int(node, TN_CONV_group, group);
  return finish_in(b, node);
}

/* Rows 0, 1, 2, 0, 1, ... of x written over in turn: the last stays. */
static struct tn_value *overwritten(struct tn_build *b, struct tn_value *x, struct tn_value *updates) {
  tn_dim rows = updates->type.dim[0], columns = updates->type.dim[1];
  int64_t *at = TN_NEW_ARRAY(b->graph->module->arena, int64_t, rows *columns);
  for (int64_t i = 0; i < rows * columns; i++)
    at[i] = i / columns % 3 % x->type.dim[0];
  struct tn_value *in[3] = {x, tn_constant_bytes(b, tn_type_make(TN_I64, 2, updates->type.dim), at), updates};
  struct tn_node *node = tn_node_make(b, TN_SCATTER_ELEMENTS, 3, in, 1);
  tn_set_int(node, TN_SCATTER_ELEMENTS_axis, 0);
  return finish_in(b, node);
}

/* Convolutions, a depthwise one, sums over different axes, a softmax, products; running sums and overwritten
 * rows, whose loops are in order. */
static struct tn_module *network(tn_ctx *ctx, uint64_t seed) {
  struct tn_module *m = tn_module_create(ctx, "test", "test");
  struct tn_build build = tn_build_at_end(m->main), *b = &build;
  b->name = "node";
  struct random r = {seed, NULL};
  tn_dim h = pick(&r, 3, 17), w = pick(&r, 3, 40), c = pick(&r, 1, 20), d = pick(&r, 1, 37),
         e = pick(&r, 1, 70);
  struct tn_value *x =
      tn_graph_input(m->main, "x", tn_type_make(TN_F32, 4, (tn_dim[]){pick(&r, 1, 2), h, w, c}));
  struct tn_value *y = tn_pad(b, x, (const int64_t[]){0, 1, 1, 0}, (const int64_t[]){0, 1, 1, 0}, NULL);
  y = conv(b, y, weights(b, SHAPE(3, 3, c, d), seed + 1), 1);
  y = tn_binary(b, TN_MAX, tn_binary(b, TN_ADD, y, weights(b, SHAPE(d), seed + 2)),
                tn_const_float(b, TN_F32, 0));
  struct tn_value *z = conv(b, y, weights(b, SHAPE(2, 2, 1, d), seed + 3), d);
  tn_graph_output(m->main, tn_reduce(b, TN_REDUCE_SUM, z, (const int64_t[]){1, 2}, 2, false));
  z = tn_reshape(b, y, 2, (tn_dim[]){count_of(y) / d, d});
  z = tn_binary(b, TN_ADD, tn_matmul(b, z, weights(b, SHAPE(d, e), seed + 4)), weights(b, SHAPE(e), seed + 5));
  struct tn_value *soft = one_input(b, TN_SOFTMAX, z, TN_SOFTMAX_axis, 1);
  tn_graph_output(m->main, soft);
  tn_graph_output(m->main, tn_matmul(b, tn_transpose(b, soft, (const int64_t[]){1, 0}), z));
  tn_graph_output(m->main, tn_reduce(b, TN_REDUCE_MAX, soft, (const int64_t[]){0}, 1, true));
  tn_graph_output(m->main, one_input(b, TN_SCAN_SUM, z, TN_SCAN_SUM_axis, pick(&r, 0, 1)));
  tn_graph_output(m->main, one_input(b, TN_ARG_MAX, z, TN_ARG_MAX_axis, pick(&r, 0, 1)));
  tn_graph_output(m->main, overwritten(b, z, soft));
  struct tn_value *flat = tn_reshape(b, z, 1, (tn_dim[]){count_of(z)});
  tn_graph_output(m->main, one_input(b, TN_SCAN_SUM, flat, TN_SCAN_SUM_axis, 0));
  passes(m);
  return m;
}

static struct tn_module *moves(tn_ctx *ctx, uint64_t seed) {
  struct tn_module *m = tn_module_create(ctx, "test", "test");
  struct tn_build b = tn_build_at_end(m->main);
  b.name = "node";
  struct random r = {seed, NULL};
  tn_dim dims[3] = {pick(&r, 1, 6), pick(&r, 1, 9), pick(&r, 1, 7)};
  struct tn_value *x = tn_graph_input(m->main, "x", tn_type_make(TN_I32, 3, dims));
  tn_graph_output(m->main, chain(seed, &b, &b, x));
  passes(m);
  return m;
}

static struct tn_module *attention(tn_ctx *ctx, uint64_t seed) {
  struct attention a = random_attention(seed);
  struct tn_module *m = attention_module(ctx, &a);
  passes(m);
  assert_true(attention_is_one_kernel(m));
  return m;
}

struct random_case {
  tn_ctx *ctx;
  struct tn_module *(*make)(tn_ctx *ctx, uint64_t seed);
  uint64_t seed;
  int threads;
};
static bool check_random(void *user) {
  struct random_case *c = user;
  char what[64];
  snprintf(what, sizeof what, "random network %d", (int)c->seed);
  check_bits(c->ctx, what, c->make(c->ctx, c->seed), c->make(c->ctx, c->seed), c->threads, NULL);
  return true;
}

static void guarded(bool (*body)(void *), tn_ctx *ctx, void *user) {
  bool good = tn_guard(ctx, body, user);
  struct fixture f = {.ctx = ctx};
  if (!good)
    fixture_print(&f);
  assert_true(good);
  tn_ctx_destroy(ctx);
}

static void random_networks(void **state) {
  (void)state;
  loops_shared = 0;
  for (uint64_t seed = 0; seed < 12; seed++) {
    struct random_case c = {tn_ctx_create(NULL), network, seed, 2 + (int)seed % 7};
    guarded(check_random, c.ctx, &c);
  }
  assert_true(loops_shared > 12 * TN_COUNT(pools) * 6);
}

static void random_attentions(void **state) {
  (void)state;
  loops_shared = 0;
  for (uint64_t seed = 0; seed < 12; seed++) {
    struct random_case c = {tn_ctx_create(NULL), attention, seed, 2 + (int)seed % 5};
    guarded(check_random, c.ctx, &c);
  }
  assert_true(loops_shared > 12 * TN_COUNT(pools) * 2);
}

static void random_moves(void **state) {
  (void)state;
  loops_shared = 0;
  for (uint64_t seed = 0; seed < 60; seed++) {
    struct random_case c = {tn_ctx_create(NULL), moves, seed, 2 + (int)seed % 3};
    guarded(check_random, c.ctx, &c);
  }
  assert_true(loops_shared > 60);
}

/* ---- models in files
 * ----------------------------------------------------------------------------------------- */

struct file_case {
  tn_ctx *ctx;
  const char *model, *vectors; /* NULL: made up */
};
static bool check_file(void *user) {
  struct file_case *c = user;
  struct tn_options o = {.opt = 3, .threads = 3, .model = c->model};
  TN_VEC(struct tn_tensor) inputs = {0};
  while (c->vectors && tn_vector_exists(c->ctx, c->vectors, "input", (int)inputs.count)) {
    struct tn_tensor t;
    if (!tn_vector_read(c->ctx, c->vectors, "input", (int)inputs.count, &t))
      return false;
    TN_PUSH(tn_ctx_arena(c->ctx), &inputs, t);
  }
  struct tn_given given = {inputs.at, inputs.count};
  struct tn_built one, many;
  if (!tn_load(c->ctx, &o, c->vectors ? &given : NULL, &one) ||
      !tn_load(c->ctx, &o, c->vectors ? &given : NULL, &many))
    return false;
  struct tn_tensor *live = TN_NEW_ARRAY(tn_ctx_arena(c->ctx), struct tn_tensor, inputs.count + 1);
  for (size_t i = 0; i < one.live.count && c->vectors; i++)
    live[i] = inputs.at[one.live.at[i]];
  check_bits(c->ctx, c->model, one.module, many.module, 3, c->vectors ? live : NULL);
  return true;
}

static void digits(void **state) {
  (void)state;
  loops_shared = 0;
  struct file_case c = {tn_ctx_create(NULL), DIGITS, NULL};
  guarded(check_file, c.ctx, &c);
  assert_true(loops_shared >= TN_COUNT(pools));
}

static void official(void **state) {
  (void)state;
  static const char *const cases[] = {
      "test_conv_with_strides_padding",
      "test_convtranspose_dilations",
      "test_basic_convinteger",
      "test_qlinearconv",
      "test_qlinearmatmul_3D",
      "test_averagepool_2d_pads",
      "test_maxpool_2d_dilations",
      "test_gemm_all_attributes",
      "test_matmul_4d",
      "test_softmax_axis_1",
      "test_layer_normalization_3d_axis1_epsilon",
      "test_lstm_with_peepholes",
      "test_cumsum_2d_axis_0",
      "test_instancenorm_epsilon",
      "test_resize_downsample_scales_cubic",
      "test_scatternd_add",
      "test_scatter_elements_with_duplicate_indices",
      "test_reduce_sum_square_keepdims_random",
  };
  loops_shared = 0;
  for (size_t i = 0; i < TN_COUNT(cases); i++) {
    struct file_case c = {.ctx = tn_ctx_create(NULL)};
    tn_arena *arena = tn_ctx_arena(c.ctx);
    c.model = tn_printf(arena, "%s/node/%s/model.onnx", TESTDATA, cases[i]);
    c.vectors = tn_printf(arena, "%s/node/%s/test_data_set_0", TESTDATA, cases[i]);
    FILE *there = fopen(c.model, "rb");
    if (!there) {
      print_message("left out: %s is absent (package libonnx-testdata)\n", c.model);
      tn_ctx_destroy(c.ctx);
      skip();
    }
    fclose(there);
    guarded(check_file, c.ctx, &c);
  }
  assert_true(loops_shared > TN_COUNT(cases));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_networks), cmocka_unit_test(random_attentions), cmocka_unit_test(random_moves),
      cmocka_unit_test(digits),          cmocka_unit_test(official),
  };
  return cmocka_run_group_tests(tests, start_pools, stop_pools);
}
