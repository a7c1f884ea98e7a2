/* Values that are windows of larger buffers: random networks of pads, concats, slices, sums and products give
 * the bytes that they give when every value has a buffer of its own. */
#include "unit/codegen_random.h"
#include "driver/driver.h"

struct network {
  struct random r;
  struct tn_build b;
  struct tn_value *pool[64]; /* i32[h,w,c] */
  int count;
};

static void put(struct network *n, struct tn_value *x) {
  if (n->count < (int)TN_COUNT(n->pool))
    n->pool[n->count++] = x;
}

static struct tn_value *any(struct network *n) {
  int64_t from = n->count > 6 && pick(&n->r, 0, 3) ? n->count - 6 : 0;
  return n->pool[pick(&n->r, from, n->count - 1)];
}

/* A product with a constant along the last dim, which no reader can take into its own kernel. */
static struct tn_value *product(struct network *n, struct tn_value *x) {
  tn_dim c = x->type.dim[2], d = pick(&n->r, 1, 3) * 4;
  int32_t *w = TN_NEW_ARRAY(n->b.graph->module->arena, int32_t, c *d);
  for (int64_t i = 0; i < c * d; i++)
    w[i] = (int32_t)pick(&n->r, -3, 3);
  return tn_matmul(&n->b, x, tn_constant_bytes(&n->b, tn_type_make(TN_I32, 2, (tn_dim[]){c, d}), w));
}

static struct tn_value *padded(struct network *n, struct tn_value *x) {
  int64_t before[3], after[3];
  for (int d = 0; d < 3; d++) {
    before[d] = d < 2 || pick(&n->r, 0, 3) == 0 ? pick(&n->r, 0, 2) : 0;
    after[d] = d < 2 ? pick(&n->r, 0, 2) : 0;
  }
  return tn_pad(&n->b, x, before, after, pick(&n->r, 0, 1) ? tn_const_int(&n->b, TN_I32, -5) : NULL);
}

static struct tn_value *sliced(struct network *n, struct tn_value *x) {
  int64_t start[3], step[3], size[3];
  for (int d = 0; d < 3; d++) {
    int64_t extent = x->type.dim[d];
    start[d] = d == 2 ? pick(&n->r, 0, (extent - 1) / 4) * 4 : pick(&n->r, 0, extent - 1);
    step[d] = d < 2 ? pick(&n->r, 1, 2) : 1;
    size[d] = (extent - start[d] + step[d] - 1) / step[d];
  }
  return tn_slice(&n->b, x, start, step, size);
}

/* x beside what has its other extents, sometimes twice. */
static struct tn_value *joined(struct network *n, struct tn_value *x) {
  struct tn_value *parts[4] = {x};
  int count = 1, axis = (int)pick(&n->r, 0, 2);
  for (int tries = 0; tries < 8 && count < 4; tries++) {
    struct tn_value *y = any(n);
    bool fits = true;
    for (int d = 0; d < 3; d++)
      fits &= d == axis || y->type.dim[d] == x->type.dim[d];
    if (fits)
      parts[count++] = y;
  }
  return tn_concat(&n->b, axis, count, parts);
}

/* An elementwise sum with another of its shape: may be computed in place. */
static struct tn_value *summed(struct network *n, struct tn_value *x) {
  for (int tries = 0; tries < 8; tries++) {
    struct tn_value *y = any(n);
    if (y != x && tn_shape_equal(&x->type, &y->type))
      return tn_binary(&n->b, TN_ADD, x, y);
  }
  return tn_unary(&n->b, TN_NEG, x);
}

/* The same elements with the first two dims merged, or the last one cut. */
static struct tn_value *reshaped(struct network *n, struct tn_value *x) {
  x = product(n, x);
  tn_dim h = x->type.dim[0], w = x->type.dim[1], c = x->type.dim[2];
  tn_dim merged[3] = {1, h * w, c}, cut[3] = {h, w * (c / 4), 4};
  return tn_reshape(&n->b, x, 3, pick(&n->r, 0, 1) ? cut : merged);
}

static struct tn_module *network(tn_ctx *ctx, uint64_t seed) {
  struct tn_module *m = tn_module_create(ctx, "test", "test");
  struct network n = {.r = {seed, NULL}, .b = tn_build_at_end(m->main)};
  n.b.name = "node";
  for (int i = 0; i < 2; i++) {
    tn_dim dims[3] = {pick(&n.r, 2, 5), pick(&n.r, 2, 5), 4 * pick(&n.r, 1, 3)};
    put(&n, tn_graph_input(m->main, i ? "y" : "x", tn_type_make(TN_I32, 3, dims)));
  }
  int64_t steps = pick(&n.r, 6, 24);
  for (int64_t i = 0; i < steps; i++) {
    struct tn_value *x = any(&n);
    int64_t kind = pick(&n.r, 0, 10);
    if (count_of(x) > 2000)
      kind = 9;
    put(&n, kind < 3    ? product(&n, x)
            : kind < 5  ? padded(&n, x)
            : kind < 7  ? joined(&n, x)
            : kind < 8  ? summed(&n, x)
            : kind < 10 ? sliced(&n, x)
                        : reshaped(&n, x));
  }
  for (int64_t i = pick(&n.r, 1, 3); i > 0; i--) {
    struct tn_value *y = n.pool[n.count - i];
    if (y->def)
      tn_graph_output(m->main, y);
  }
  if (m->main->outputs.count == 0)
    tn_graph_output(m->main, tn_unary(&n.b, TN_NEG, any(&n)));
  return m;
}

static int windows_in(const struct tn_graph *graph) {
  int count = 0;
  for (const struct tn_node *node = graph->first; node; node = node->next)
    for (int i = 0; i < node->out_count; i++)
      count += node->out[i]->storage.window != NULL;
  return count;
}

/* The outputs' bytes, one after the other. */
static uint8_t *run_network(tn_ctx *ctx, uint64_t seed, int level, size_t *size, int *windows) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_module *m = network(ctx, seed);
  struct tn_pass_options p = {.level = level, .verify_each = true};
  struct tn_target_options t = {.opt = level, .threads = 1};
  struct tn_codegen *cg = tn_run_passes(m, &p) ? tn_codegen(m, &t, (struct tn_hash){0}) : NULL;
  if (!cg)
    tn_fail_now(ctx);
  *windows += windows_in(m->main);
  struct tn_graph *g = m->main;
  const void **in = TN_NEW_ARRAY(arena, const void *, g->inputs.count + 1);
  void **out = TN_NEW_ARRAY(arena, void *, g->outputs.count + 1);
  for (size_t i = 0; i < g->inputs.count; i++) {
    int64_t count = count_of(g->inputs.at[i]);
    int32_t *data = TN_NEW_ARRAY(arena, int32_t, count + 1);
    for (int64_t k = 0; k < count; k++)
      data[k] = (int32_t)(k * 7919 % 201 - 100 + (int64_t)i);
    in[i] = data;
  }
  *size = 0;
  for (size_t i = 0; i < g->outputs.count; i++)
    *size += (size_t)count_of(g->outputs.at[i]) * 4;
  uint8_t *bytes = tn_alloc_raw(arena, *size + 64, 64);
  memset(bytes, 0x5A, *size);
  size_t at = 0;
  for (size_t i = 0; i < g->outputs.count; i++) {
    out[i] = bytes + at;
    at += (size_t)count_of(g->outputs.at[i]) * 4;
  }
  size_t need = (size_t)tn_codegen_facts(cg)->arena_bytes;
  uint8_t *memory = tn_alloc_raw(arena, need + 64, 64);
  tn_run_function *run = tn_codegen_load(cg, NULL);
  assert_non_null(run);
  for (int k = 0; k < 2; k++) { /* what one run leaves behind must not matter to the next */
    if (k == 0)
      memset(memory, 0xC3, need);
    assert_int_equal(run(in, out, memory), 0);
  }
  return bytes;
}

struct one_seed {
  tn_ctx *ctx;
  uint64_t seed;
  int windows;
};

static bool check_seed(void *user) {
  struct one_seed *s = user;
  size_t size, found;
  int none = 0;
  uint8_t *want = run_network(s->ctx, s->seed, 0, &size, &none);
  uint8_t *got = run_network(s->ctx, s->seed, 3, &found, &s->windows);
  assert_int_equal(none, 0);
  assert_int_equal(size, found);
  if (memcmp(want, got, size) != 0)
    fail_msg("seed %llu: other bytes with windows", (unsigned long long)s->seed);
  return true;
}

static uint64_t seeds_from = 1, seeds_to = 100;

static void networks(void **state) {
  (void)state;
  int windows = 0;
  for (uint64_t seed = seeds_from; seed <= seeds_to; seed++) {
    tn_ctx *ctx = tn_ctx_create(NULL);
    struct one_seed s = {ctx, seed, 0};
    if (!tn_guard(ctx, check_seed, &s)) {
      print_diags(ctx);
      fail_msg("seed %llu cannot be compiled", (unsigned long long)seed);
    }
    windows += s.windows;
    tn_ctx_destroy(ctx);
  }
  assert_true(windows * 2 > (int)(seeds_to - seeds_from)); /* there is something to test */
}

/* test_driver_windows [FROM TO]: other seeds, by hand. */
int main(int argc, char **argv) {
  if (argc == 3) {
    seeds_from = strtoull(argv[1], NULL, 10);
    seeds_to = strtoull(argv[2], NULL, 10);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(networks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
