/* Random graphs of integers: what the passes and code generation make of them gives the bytes that the
 * definitions of their nodes give, one by one. */
#include "unit/codegen_random.h"

#include "codegen/codegen.h"
#include "driver/driver.h"
#include "tests/cases/cases.h"

enum { POOL = 40 };
struct pool {
  struct tn_value *at[POOL];
  int count;
};

static struct tn_value *any(struct random *r, const struct pool *p) {
  int64_t i = pick(r, 0, p->count - 1), k = pick(r, 0, p->count - 1);
  return p->at[i > k ? i : k]; /* newer ones more often, for depth */
}

static struct tn_value *random_reduce(struct random *r, struct tn_build *b, struct tn_value *x) {
  static const enum tn_op ops[] = {TN_REDUCE_SUM, TN_REDUCE_MAX, TN_REDUCE_MIN};
  int64_t axes[TN_MAX_RANK];
  size_t count = 0;
  for (int d = 0; d < x->type.rank; d++)
    if (pick(r, 0, 2) == 0)
      axes[count++] = d;
  return tn_reduce(b, ops[pick(r, 0, 2)], x, axes, count, pick(r, 0, 1));
}

/* x as a matrix, times one of two others made of it. */
static struct tn_value *random_product(struct random *r, struct tn_build *b, struct tn_value *x) {
  int64_t count = count_of(x), rows = pick(r, 1, 9);
  while (count % rows)
    rows--;
  struct tn_value *m = tn_reshape(b, x, SHAPE(rows, count / rows));
  return tn_matmul(b, m, tn_transpose(b, m, (const int64_t[]){1, 0}));
}

/* Channels last, as the front end makes it: transposes around, a pad before. */
static struct tn_value *random_conv(struct random *r, struct tn_build *b, struct tn_value *x) {
  int64_t count = count_of(x), c = pick(r, 1, 4), h = pick(r, 1, 6), out = pick(r, 1, 9);
  while (count % c)
    c--;
  while (count / c % h)
    h--;
  int64_t w = count / c / h, kh = pick(r, 1, 3), kw = pick(r, 1, 3);
  struct tn_value *image = tn_reshape(b, x, SHAPE(1, c, h, w));
  image = tn_transpose(b, image, (const int64_t[]){0, 2, 3, 1});
  image = tn_pad(b, image, (const int64_t[]){0, kh - 1, kw - 1, 0}, (const int64_t[]){0, 0, 0, 0}, NULL);
  int64_t size = kh * kw * c * out;
  int32_t *weights = TN_NEW_ARRAY(b->graph->module->arena, int32_t, size);
  for (int64_t i = 0; i < size; i++)
    weights[i] = (int32_t)pick(r, -3, 3);
  struct tn_value *in[2] = {image,
                            tn_constant_bytes(b, tn_type_make(TN_I32, 4, (tn_dim[]){kh, kw, c, out}), weights)};
  struct tn_node *node = tn_node_make(b, TN_CONV, 2, in, 1);
  tn_set_ints(node, TN_CONV_strides, INTS(pick(r, 1, 2), 1));
  tn_set_ints(node, TN_CONV_dilations, INTS(1, 1));
  struct tn_value *y = finish_in(b, node);
  return tn_transpose(b, y, (const int64_t[]){0, 3, 1, 2});
}

/* Two values of one shape joined: the second is found by its count, and reshaped. */
static struct tn_value *random_join(struct random *r, struct tn_build *b, const struct pool *p,
                                    struct tn_value *x) {
  static const enum tn_op ops[] = {TN_ADD, TN_SUB, TN_MUL, TN_MAX};
  for (int i = 0; i < p->count; i++) {
    struct tn_value *y = p->at[(i + (int)pick(r, 0, p->count - 1)) % p->count];
    if (y != x && count_of(y) == count_of(x))
      return tn_binary(b, ops[pick(r, 0, 3)], x, tn_reshape(b, y, x->type.rank, x->type.dim));
  }
  return tn_binary(b, TN_ADD, x, x);
}

static struct tn_value *random_node(struct random *r, struct tn_build *b, const struct pool *p) {
  struct tn_value *x = any(r, p);
  switch (pick(r, 0, 9)) {
  case 0:
    return random_reduce(r, b, x);
  case 1:
    return random_product(r, b, x);
  case 2:
    return random_conv(r, b, x);
  case 3:
  case 4:
    return random_join(r, b, p, x);
  default:
    return random_step(r, b, x);
  }
}

static struct tn_module *random_module(tn_ctx *ctx, uint64_t seed) {
  struct tn_module *m = tn_module_create(ctx, "random", "random");
  struct tn_build b = tn_build_at_end(m->main);
  struct random r = {seed * 7919 + 1, &b};
  struct pool p = {.count = 0};
  b.name = "node";
  p.at[p.count++] = tn_graph_input(m->main, "x", tn_type_make(TN_I32, 3, (tn_dim[]){3, 4, 5}));
  p.at[p.count++] = tn_graph_input(m->main, "y", tn_type_make(TN_I32, 2, (tn_dim[]){6, 10}));
  for (int64_t n = pick(&r, 3, POOL - 4); n > 0; n--) {
    struct tn_value *v = random_node(&r, &b, &p);
    if (count_of(v) > 0 && count_of(v) <= 2 * MAX_COUNT && v->type.rank > 0 && v->type.rank <= 5)
      p.at[p.count++] = v;
  }
  tn_graph_output(m->main, p.at[p.count - 1]);
  if (p.count > 4 && pick(&r, 0, 1))
    tn_graph_output(m->main, p.at[p.count - 3]);
  return m;
}

struct job {
  tn_ctx *ctx;
  uint64_t seed;
};

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

static bool check_seed(void *user) {
  struct job *job = user;
  tn_ctx *ctx = job->ctx;
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_tensor inputs[2], wanted[2];
  int32_t data[2][60];
  struct tn_module *m = random_module(ctx, job->seed);
  for (int i = 0; i < 2; i++) {
    for (int k = 0; k < 60; k++)
      data[i][k] = (k * 7 + i) % 13 - 6;
    inputs[i] = (struct tn_tensor){m->main->inputs.at[i]->type, data[i], sizeof data[i]};
  }
  if (!tn_case_interpret(m, inputs, wanted))
    return false;
  for (int level = 0; level <= 3; level += 3) {
    struct tn_module *again = random_module(ctx, job->seed);
    const char *text = tn_print(arena, again);
    struct tn_pass_options passes = {.level = level, .verify_each = true, .evaluate = evaluate};
    struct tn_target_options target = {.opt = level, .threads = 1};
    struct tn_codegen *cg =
        tn_run_passes(again, &passes) ? tn_codegen(again, &target, (struct tn_hash){0}) : NULL;
    tn_run_function *run = cg ? tn_codegen_load(cg, NULL) : NULL;
    if (!run)
      return false;
    void *out[2], *memory = tn_alloc_raw(arena, (size_t)tn_codegen_facts(cg)->arena_bytes + 64, 64);
    memset(memory, 0xA5, (size_t)tn_codegen_facts(cg)->arena_bytes);
    for (size_t i = 0; i < again->main->outputs.count; i++)
      out[i] = tn_alloc_raw(arena, wanted[i].bytes + 64, 64);
    const void *in[2] = {data[0], data[1]};
    assert_int_equal(run(in, out, memory), 0);
    for (size_t i = 0; i < again->main->outputs.count; i++)
      if (memcmp(out[i], wanted[i].data, wanted[i].bytes) != 0)
        fail_msg("seed %d: output %d with -O%d differs from the definitions\n%s\n%s", (int)job->seed, (int)i,
                 level, text, tn_print(arena, again));
  }
  return true;
}

static uint64_t seeds_from, seeds_to = 60;

static void graphs(void **state) {
  (void)state;
  for (uint64_t seed = seeds_from; seed < seeds_to; seed++) {
    struct job job = {tn_ctx_create(NULL), seed};
    size_t count;
    if (!tn_guard(job.ctx, check_seed, &job)) {
      const struct tn_diag *diags = tn_diags(job.ctx, &count);
      fail_msg("seed %d: %s", (int)seed,
               count ? tn_diag_format(tn_ctx_arena(job.ctx), &diags[0]) : "failed in silence");
    }
    tn_ctx_destroy(job.ctx);
  }
}

/* test_driver_random [FROM TO]: other seeds, by hand. */
int main(int argc, char **argv) {
  if (argc == 3) {
    seeds_from = strtoull(argv[1], NULL, 10);
    seeds_to = strtoull(argv[2], NULL, 10);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(graphs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
