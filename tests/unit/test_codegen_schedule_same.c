/* A schedule changes speed, never meaning: scheduled nests, interpreted, give the bytes that the definitions
 * give, for every family of targets, with weights known (packed) and unknown.  The numbers are small integers,
 * so that sums are exact in any order. */
#include "unit/codegen_random.h"
#include "unit/codegen_schedule.h"

EVAL_TEST(matmuls) {
  static const tn_dim sizes[][3] = {{1, 1, 1},   {1, 64, 33}, {7, 3, 5},   {14, 16, 32}, {15, 40, 35},
                                    {30, 5, 70}, {5, 130, 8}, {64, 9, 17}, {2, 1, 100},  {29, 33, 1}};
  for (size_t k = 0; k < TN_COUNT(sizes); k++) {
    const tn_dim *s = sizes[k];
    struct tn_value *x = small(f, TN_F32, SHAPE(s[0], s[1])), *y = small(f, TN_F32, SHAPE(s[1], s[2]));
    check_same(f, tn_printf(tn_ctx_arena(f->ctx), "matmul %d", (int)k), tn_matmul(&f->b, x, y));
    struct tn_value *in[2] = {small(f, TN_U8, SHAPE(2, s[0], s[1])), small(f, TN_I8, SHAPE(s[1], s[2]))};
    struct tn_node *node = tn_node_make(&f->b, TN_MATMUL, 2, in, 1);
    tn_set_int(node, TN_MATMUL_acc, TN_I32);
    check_same(f, tn_printf(tn_ctx_arena(f->ctx), "integer matmul %d", (int)k), finished(f, node));
  }
  struct tn_value *batch =
      tn_matmul(&f->b, small(f, TN_F16, SHAPE(3, 1, 4, 6)), small(f, TN_F16, SHAPE(2, 6, 5)));
  check_same(f, "batched half matmul", batch);
  struct tn_value *often = /* elements that are read so often are converted beforehand */
      tn_matmul(&f->b, small(f, TN_F16, SHAPE(40, 18)), small(f, TN_F16, SHAPE(18, 37)));
  check_same(f, "half matmul", often);
  /* A short sum is a loop where the registers do not hold its columns for the next tile; else it is none. */
  for (size_t t = 2; t < TN_COUNT(targets); t += 2) {
    struct tn_value *x = small(f, TN_F32, SHAPE(40, 11)), *y = small(f, TN_F32, SHAPE(11, 16));
    struct tn_nest *n = lowered(f, tn_matmul(&f->b, x, y)->def, true);
    tn_schedule(&targets[t], n);
    bool loop = strstr(tn_nest_print(tn_ctx_arena(f->ctx), n), "in 11 unroll 11") == NULL;
    assert_int_equal(loop, targets[t].vector_regs <= 8);
  }
}

EVAL_TEST(convs) {
  static const struct {
    tn_dim x[4], w[4];
    int64_t group, stride[2], dilation[2];
  } cases[] = {
      {{1, 8, 8, 3}, {3, 3, 3, 16}, 1, {2, 2}, {1, 1}},    {{1, 6, 5, 40}, {1, 1, 40, 24}, 1, {1, 1}, {1, 1}},
      {{2, 9, 9, 24}, {3, 3, 1, 24}, 24, {1, 1}, {1, 1}},  {{1, 7, 30, 5}, {3, 2, 5, 7}, 1, {1, 1}, {1, 2}},
      {{1, 7, 5, 4}, {3, 3, 4, 40}, 1, {1, 1}, {1, 1}},    {{2, 12, 4, 3}, {2, 3, 3, 70}, 1, {1, 1}, {1, 1}},
      {{1, 6, 6, 8}, {2, 2, 4, 10}, 2, {1, 2}, {1, 1}},    {{1, 5, 5, 6}, {3, 3, 1, 12}, 6, {1, 1}, {1, 1}},
      {{1, 9, 13, 70}, {3, 3, 1, 70}, 70, {1, 1}, {1, 1}}, {{1, 11, 17, 32}, {5, 5, 1, 32}, 32, {1, 2}, {1, 1}},
      {{1, 25, 5, 16}, {3, 3, 1, 16}, 16, {1, 1}, {1, 1}}, {{1, 9, 20, 16}, {3, 3, 1, 16}, 16, {1, 1}, {1, 2}},
      {{1, 4, 9, 22}, {3, 3, 1, 88}, 22, {1, 1}, {1, 1}},  {{1, 5, 8, 35}, {2, 3, 1, 105}, 35, {1, 2}, {1, 1}},
  };
  for (size_t k = 0; k < TN_COUNT(cases); k++) {
    struct tn_value *in[2] = {small(f, TN_F32, 4, cases[k].x), small(f, TN_F32, 4, cases[k].w)};
    struct tn_node *node = tn_node_make(&f->b, TN_CONV, 2, in, 1);
    tn_set_ints(node, TN_CONV_strides, cases[k].stride, 2);
    tn_set_ints(node, TN_CONV_dilations, cases[k].dilation, 2);
    tn_set_int(node, TN_CONV_group, cases[k].group);
    check_same(f, tn_printf(tn_ctx_arena(f->ctx), "conv %d", (int)k), finished(f, node));
  }
}

EVAL_TEST(reduces) {
  static const tn_dim sizes[][3] = {{3, 5, 7},  {1, 1, 100}, {100, 1, 1}, {4, 33, 16}, {2, 16, 33},
                                    {1, 70, 3}, {2, 5, 56},  {3, 3, 10},  {1, 7, 125}};
  static const enum tn_op ops[] = {TN_REDUCE_SUM, TN_REDUCE_MAX, TN_REDUCE_MIN};
  static const enum tn_dtype dtypes[] = {TN_F32, TN_I8, TN_F64, TN_F16};
  for (size_t k = 0; k < TN_COUNT(sizes); k++)
    for (int axes = 1; axes < 8; axes++)
      for (size_t o = 0; o < TN_COUNT(ops); o++) {
        int64_t list[3];
        size_t count = 0;
        for (int d = 0; d < 3; d++)
          if (axes >> d & 1)
            list[count++] = d;
        struct tn_value *x = small(f, dtypes[(k + (size_t)axes) % 4], 3, sizes[k]);
        check_same(f, tn_printf(tn_ctx_arena(f->ctx), "reduce %d over %d", (int)k, axes),
                   tn_reduce(&f->b, ops[o], x, list, count, false));
      }
}

static struct tn_value *kernel(struct fixture *f, int count, struct tn_value *const *in, enum tn_op anchor,
                               struct tn_value *(*build)(struct tn_build *b, struct tn_value *const *in)) {
  struct tn_node *node = tn_node_make(&f->b, TN_KERNEL, count, in, 1);
  struct tn_graph *region = tn_graph_create(f->module, node);
  struct tn_value *inner[4];
  for (int k = 0; k < count; k++)
    inner[k] = tn_graph_input(region, "inner", in[k]->type);
  struct tn_build b = tn_build_at_end(region);
  b.name = "inner_node";
  tn_graph_output(region, build(&b, inner));
  int at = 0;
  for (const struct tn_node *each = region->first; each; each = each->next, at++)
    if (each->op == anchor)
      tn_set_int(node, TN_KERNEL_anchor, at);
  return finished(f, node);
}

static struct tn_value *dense_relu(struct tn_build *b, struct tn_value *const *in) {
  struct tn_value *sum = tn_binary(b, TN_ADD, tn_matmul(b, in[0], in[1]), in[2]);
  return tn_binary(b, TN_MAX, sum, tn_const_float(b, TN_F32, 0));
}

static struct tn_value *similarity(struct tn_build *b, struct tn_value *const *in) { /* x * transposed y */
  int64_t turn[3] = {0, 2, 1};
  return tn_matmul(b, in[0], tn_transpose(b, in[1], turn));
}

static struct tn_value *rectified_product(struct tn_build *b, struct tn_value *const *in) { /* relu(x) * |y| */
  struct tn_value *x = tn_binary(b, TN_MAX, in[0], tn_const_float(b, TN_F32, 0));
  return tn_matmul(b, x, tn_unary(b, TN_ABS, in[1]));
}

static struct tn_value *padded_conv(struct tn_build *b, struct tn_value *const *in) { /* x, w, residual */
  struct tn_value *args[2] = {
      tn_pad(b, in[0], (const int64_t[]){0, 1, 1, 0}, (const int64_t[]){0, 1, 1, 0}, NULL), in[1]};
  struct tn_node *node = tn_node_make(b, TN_CONV, 2, args, 1);
  tn_set_ints(node, TN_CONV_strides, INTS(1, 1));
  tn_set_ints(node, TN_CONV_dilations, INTS(1, 1));
  if (!tn_finish(b, node))
    tn_fail_now(b->graph->module->ctx);
  return tn_binary(b, TN_ADD, node->out[0], in[2]);
}

static struct tn_value *turned(struct tn_build *b, struct tn_value *const *in) { /* x[a, b, c] + y[c] */
  struct tn_value *sum = tn_binary(b, TN_ADD, in[0], in[1]);
  return tn_unary(b, TN_NEG, tn_transpose(b, sum, (const int64_t[]){2, 0, 1}));
}

static struct tn_value *shuffled(struct tn_build *b, struct tn_value *const *in) { /* channel shuffle */
  const struct tn_type *t = &in[0]->type;
  tn_dim c = t->dim[2];
  struct tn_value *split = tn_reshape(b, in[0], SHAPE(t->dim[0], t->dim[1], 2, c / 2));
  split = tn_transpose(b, split, (const int64_t[]){0, 1, 3, 2});
  return tn_binary(b, TN_ADD, tn_reshape(b, split, SHAPE(t->dim[0] * t->dim[1], c)), in[1]);
}

static struct tn_value *of_bytes(struct fixture *f, enum tn_op op, struct tn_value *x, struct tn_value *w,
                                 int64_t stride, int64_t dilation, int64_t group) {
  struct tn_value *in[2] = {x, w};
  struct tn_node *node = tn_node_make(&f->b, op, 2, in, 1);
  tn_set_int(node, op == TN_CONV ? TN_CONV_acc : TN_MATMUL_acc, TN_I32);
  if (op == TN_CONV) {
    tn_set_ints(node, TN_CONV_strides, INTS(stride, stride));
    tn_set_ints(node, TN_CONV_dilations, INTS(dilation, dilation));
    tn_set_int(node, TN_CONV_group, group);
  }
  return finished(f, node);
}

/* Contractions of bytes are taken by fours, of words by twos: every length modulo 4, both signs, grouped,
 * dilated. */
EVAL_TEST(bytes) {
  static const enum tn_dtype images[] = {TN_U8, TN_I8, TN_I16, TN_I16},
                             weights[] = {TN_I8, TN_I8, TN_I8, TN_I16};
  for (size_t at = 0; at < TN_COUNT(images); at++) {
    enum tn_dtype dtype = images[at], of_weights = weights[at];
    for (int k = 1; k <= 21; k++) {
      struct tn_value *x = bytes_of(f, dtype, SHAPE(5, k), k);
      struct tn_value *w = bytes_of(f, of_weights, SHAPE(k, k == 9 ? 1 : 19), 0);
      check_same(f, tn_printf(tn_ctx_arena(f->ctx), "bytes %d", k), of_bytes(f, TN_MATMUL, x, w, 0, 0, 0));
    }
    struct tn_value *image = bytes_of(f, dtype, SHAPE(1, 6, 7, 12), 1);
    for (int stride = 1; stride < 3; stride++)
      for (int group = 1; group <= 12; group *= group == 1 ? 4 : 3)
        check_same(f, tn_printf(tn_ctx_arena(f->ctx), "conv of bytes in %d groups", group),
                   of_bytes(f, TN_CONV, image, bytes_of(f, of_weights, SHAPE(3, 2, 12 / group, 24), 2), stride,
                            3 - stride, group));
    check_same(f, "conv of one channel",
               of_bytes(f, TN_CONV, bytes_of(f, dtype, SHAPE(2, 6, 9, 1), 0),
                        bytes_of(f, of_weights, SHAPE(5, 5, 1, 18), 0), 1, 1, 1));
  }
}

EVAL_TEST(kernels) {
  static const tn_dim sizes[][3] = {{1, 20, 33}, {17, 8, 16}, {15, 30, 70}, {4, 4, 1}};
  for (size_t k = 0; k < TN_COUNT(sizes); k++) {
    const tn_dim *s = sizes[k];
    struct tn_value *in[3] = {small(f, TN_F32, SHAPE(s[0], s[1])), small(f, TN_F32, SHAPE(s[1], s[2])),
                              small(f, TN_F32, SHAPE(s[2]))};
    check_same(f, "dense and relu", kernel(f, 3, in, TN_MATMUL, dense_relu));
  }
  static const tn_dim products[][3] = {{30, 20, 70}, {64, 40, 33}, {3, 17, 40}, {50, 16, 160}, {25, 64, 20}};
  for (size_t k = 0; k < TN_COUNT(products); k++) {
    const tn_dim *s = products[k];
    struct tn_value *qk[2] = {small(f, TN_F32, SHAPE(2, s[0], s[1])), small(f, TN_F32, SHAPE(2, s[2], s[1]))};
    check_same(f, "similarity", kernel(f, 2, qk, TN_MATMUL, similarity));
    struct tn_value *xy[2] = {small(f, TN_F32, SHAPE(s[0], s[1])), small(f, TN_F32, SHAPE(s[1], s[2]))};
    check_same(f, "product of expressions", kernel(f, 2, xy, TN_MATMUL, rectified_product));
  }
  struct tn_value *conv[3] = {small(f, TN_F32, SHAPE(1, 6, 9, 5)), small(f, TN_F32, SHAPE(3, 3, 5, 18)),
                              small(f, TN_F32, SHAPE(1, 6, 9, 18))};
  check_same(f, "padded conv", kernel(f, 3, conv, TN_CONV, padded_conv));
  struct tn_value *x[2] = {small(f, TN_F32, SHAPE(3, 5, 18)), small(f, TN_F32, SHAPE(18))};
  check_same(f, "turned", kernel(f, 2, x, TN_OP_COUNT, turned));
  check_same(f, "shuffled", kernel(f, 2, x, TN_OP_COUNT, shuffled));
  struct tn_value *bytes[2] = {small(f, TN_I8, SHAPE(7, 33, 64)), small(f, TN_I8, SHAPE(64))};
  check_same(f, "bytes turned", kernel(f, 2, bytes, TN_OP_COUNT, turned));
  check_same(f, "bytes shuffled", kernel(f, 2, bytes, TN_OP_COUNT, shuffled));
}

/* Few columns: lanes along the sum; what follows the sums element by element is in vectors too. */
EVAL_TEST(few_columns) {
  static const tn_dim sizes[][3] = {{1, 70, 7}, {5, 131, 5}, {9, 64, 3}, {1400, 33, 3}, {2, 16, 16}};
  for (size_t k = 0; k < TN_COUNT(sizes); k++) {
    const tn_dim *s = sizes[k];
    struct tn_value *in[3] = {small(f, TN_F32, SHAPE(s[0], s[1])), small(f, TN_F32, SHAPE(s[1], s[2])),
                              small(f, TN_F32, SHAPE(s[2]))};
    check_same(f, "few columns", tn_matmul(&f->b, in[0], in[1]));
    check_same(f, "few columns and relu", kernel(f, 3, in, TN_MATMUL, dense_relu));
  }
  struct tn_value *conv[3] = {small(f, TN_F32, SHAPE(1, 6, 9, 17)), small(f, TN_F32, SHAPE(3, 3, 17, 3)),
                              small(f, TN_F32, SHAPE(1, 6, 9, 3))};
  check_same(f, "conv with few channels", kernel(f, 3, conv, TN_CONV, padded_conv));
  struct tn_value *in[3] = {small(f, TN_F32, SHAPE(5, 130)), small(f, TN_F32, SHAPE(130, 3)),
                            small(f, TN_F32, SHAPE(3))};
  struct tn_nest *n = lowered(f, kernel(f, 3, in, TN_MATMUL, dense_relu)->def, true);
  tn_schedule(&targets[TN_COUNT(targets) - 1], n);
  const char *text = tn_nest_print(tn_ctx_arena(f->ctx), n);
  assert_non_null(strstr(text, " lanes l"));
}

static void check_cut(struct fixture *f, struct tn_node *node, const char *part) {
  struct tn_nest *n = lowered(f, node, true);
  tn_schedule(&targets[1], n);
  const char *text = tn_nest_print(tn_ctx_arena(f->ctx), n);
  if (!strstr(text, part))
    fail_msg("no %s in\n%s", part, text);
}

/* Sums so long that their columns leave the nearer caches are cut; what follows is fetched. */
EVAL_TEST(chunks) {
  static const tn_dim sizes[][3] = {{19, 200, 40}, {30, 149, 60}, {2, 500, 33}, {16, 161, 64}, {6, 300, 40}};
  for (size_t k = 0; k < TN_COUNT(sizes); k++) {
    const tn_dim *s = sizes[k];
    struct tn_value *x = small(f, TN_F32, SHAPE(s[0], s[1])), *y = small(f, TN_F32, SHAPE(s[1], s[2]));
    struct tn_value *product = tn_matmul(&f->b, x, y);
    check_same(f, tn_printf(tn_ctx_arena(f->ctx), "long product %d", (int)k), product);
    struct tn_value *in[3] = {x, y, small(f, TN_F32, SHAPE(s[2]))};
    check_same(f, "long dense and relu", kernel(f, 3, in, TN_MATMUL, dense_relu));
    if (s[0] > 8) /* more than a tile */
      check_cut(f, product->def, "local sums");
    struct tn_nest *n = lowered(f, product->def, true);
    tn_schedule(&targets[1], n);
    if (s[0] <= 8) /* one pass over the columns: rows that are few come as fast as the core asks by itself */
      assert_int_equal(strstr(tn_nest_print(tn_ctx_arena(f->ctx), n), "prefetch") != NULL, s[0] >= 4);
  }
  for (int k = 0; k < 2; k++) {
    static const int64_t strides[][2] = {{1, 1}, {2, 2}};
    struct tn_value *in[2] = {small(f, TN_F32, SHAPE(2, 9, 9, 40)), small(f, TN_F32, SHAPE(3, 3, 40, 20))};
    struct tn_node *node = tn_node_make(&f->b, TN_CONV, 2, in, 1);
    tn_set_ints(node, TN_CONV_strides, strides[k], 2);
    tn_set_ints(node, TN_CONV_dilations, INTS(1, 1));
    tn_set_int(node, TN_CONV_group, 1);
    check_same(f, "long conv", finished(f, node));
    check_cut(f, node, "local sums");
    check_cut(f, node, "prefetch");
  }
  /* Threads share the panels, or where there is one, groups of rows. */
  struct tn_target two = targets[1];
  two.threads = 2;
  for (int k = 0; k < 2; k++) {
    const tn_dim *s = (const tn_dim[][3]){{30, 200, 80}, {70, 800, 8}}[k];
    struct tn_value *x = small(f, TN_F32, SHAPE(s[0], s[1])), *y = small(f, TN_F32, SHAPE(s[1], s[2]));
    struct tn_nest *n = lowered(f, tn_matmul(&f->b, x, y)->def, true);
    tn_schedule(&two, n);
    tn_schedule_parallel(&two, n);
    const char *text = tn_nest_print(tn_ctx_arena(f->ctx), n);
    if (!strstr(text, "local sums") || !strstr(text, k ? "for g" : "for p") || !strstr(text, "parallel"))
      fail_msg("no parallel chunks in\n%s", text);
  }
  struct tn_value *bytes = bytes_of(f, TN_I8, SHAPE(30, 700), 0), *w = bytes_of(f, TN_I8, SHAPE(700, 20), 3);
  check_same(f, "long sum of bytes", of_bytes(f, TN_MATMUL, bytes, w, 0, 0, 0));
}

/* Gathers by tables of all kinds of slopes, with clamped ends or not, and by one that is no formula. */
EVAL_TEST(tables) {
  for (int k = 1; k <= 5; k++)
    for (int p = 1; p <= 4; p++)
      for (int q = -3; q <= 3; q += 2) {
        double table[47];
        for (int i = 0; i < 47; i++) {
          int at = i * p + q, quotient = at < 0 ? -((k - 1 - at) / k) : at / k;
          table[i] = quotient < 0 ? 0 : quotient > 20 ? 20 : quotient;
        }
        struct tn_value *x = small(f, TN_F32, SHAPE(3, 21)), *in[2];
        in[1] = constant(f, TN_I64, SHAPE(47), table);
        check_same(f, tn_printf(tn_ctx_arena(f->ctx), "table (%d i + %d) / %d", p, q, k),
                   tn_gather(&f->b, x, in[1], 1));
        in[0] = small(f, TN_F32, SHAPE(21, 17));
        check_same(f, "table of rows", tn_gather(&f->b, in[0], in[1], 0));
        table[23] = 3; /* no longer */
        check_same(f, "no formula", tn_gather(&f->b, x, constant(f, TN_I64, SHAPE(47), table), 1));
      }
  double twice[64];
  for (int i = 0; i < 64; i++)
    twice[i] = i / 2;
  struct tn_node *node =
      tn_gather(&f->b, small(f, TN_F32, SHAPE(5, 32)), constant(f, TN_I64, SHAPE(64), twice), 1)->def;
  struct tn_nest *n = lowered(f, node, true);
  tn_schedule(&targets[TN_COUNT(targets) - 1], n);
  const char *text = tn_nest_print(tn_ctx_arena(f->ctx), n);
  assert_non_null(strstr(text, "in 2 tile")); /* interleaved */
  assert_null(strstr(text, "div("));
  assert_null(strstr(text, "cast.index"));
}

static struct tn_value *pool(struct fixture *f, struct tn_value *x, int kind, int64_t window, int64_t stride,
                             int64_t pad) {
  struct tn_node *node = tn_node_make(&f->b, TN_POOL, 1, &x, 1);
  tn_set_int(node, TN_POOL_kind, kind);
  tn_set_ints(node, TN_POOL_window, INTS(1, window, window, 1));
  tn_set_ints(node, TN_POOL_strides, INTS(1, stride, stride, 1));
  tn_set_ints(node, TN_POOL_dilations, INTS(1, 1, 1, 1));
  tn_set_ints(node, TN_POOL_before, INTS(0, pad, pad, 0));
  tn_set_ints(node, TN_POOL_after, INTS(0, pad, pad, 0));
  return finished(f, node);
}

/* A kernel by rows: (x - max) and its sum, both kept; the results are three, two of them one a row. */
static struct tn_value *by_rows(struct fixture *f, int rank, const tn_dim *dims, int first,
                                enum tn_dtype dtype) {
  struct tn_value *x = small(f, dtype, rank, dims);
  int64_t axes[TN_MAX_RANK], count = 0;
  for (int d = first; d < rank; d++)
    axes[count++] = d;
  struct tn_node *node = tn_node_make(&f->b, TN_KERNEL, 1, &x, 3);
  struct tn_graph *region = tn_graph_create(f->module, node);
  struct tn_value *inner = tn_graph_input(region, "inner", x->type);
  struct tn_build b = tn_build_at_end(region);
  b.name = "inner_node";
  struct tn_value *most = tn_reduce(&b, TN_REDUCE_MAX, inner, axes, (size_t)count, true);
  struct tn_value *centered = tn_binary(&b, TN_SUB, inner, most);
  struct tn_value *sum = tn_reduce(&b, TN_REDUCE_SUM, centered, axes, (size_t)count, true);
  struct tn_value *twice = tn_binary(&b, TN_ADD, sum, most);
  struct tn_value *y = tn_binary(&b, TN_ADD, tn_binary(&b, TN_MUL, centered, centered), twice);
  tn_graph_output(region, most);
  tn_graph_output(region, y);
  tn_graph_output(region, twice);
  tn_set_int(node, TN_KERNEL_rows, first);
  tn_set_ints(node, TN_KERNEL_kept, INTS(1, 3)); /* centered, twice */
  return finished(f, node);
}

EVAL_TEST(rows) {
  static const tn_dim sizes[][3] = {{3, 5, 7},  {1, 1, 100}, {2, 9, 16}, {4, 3, 33}, {1, 8, 64},
                                    {13, 2, 3}, {1, 1, 10},  {2, 3, 1},  {5, 6, 21}, {2, 9, 12}};
  static const enum tn_dtype dtypes[] = {TN_F32, TN_I32, TN_F64, TN_F16};
  for (size_t k = 0; k < TN_COUNT(sizes); k++)
    for (int first = 0; first < 3; first++)
      check_same(f, tn_printf(tn_ctx_arena(f->ctx), "rows %d from %d", (int)k, first),
                 by_rows(f, 3, sizes[k], first, dtypes[(k + (size_t)first) % 4]));
}

/* Products before and after rows: s = 3 (q k) + mask, of which (s - max) is kept, times v, plus a bias; the
 * result has the heads behind the rows. */
static struct tn_value *products(struct fixture *f, const tn_dim *d, enum tn_dtype dtype, bool moved) {
  tn_dim heads = d[0], rows = d[1], keys = d[2], depth = d[3], width = d[4];
  struct tn_value *in[5] = {small(f, dtype, SHAPE(heads, rows, depth)),
                            small(f, dtype, SHAPE(heads, keys, depth)),
                            small(f, dtype, SHAPE(heads, keys, width)), small(f, dtype, SHAPE(rows, keys)),
                            small(f, dtype, SHAPE(width))};
  struct tn_node *node = tn_node_make(&f->b, TN_KERNEL, 5, in, 1);
  struct tn_graph *region = tn_graph_create(f->module, node);
  struct tn_value *x[5];
  for (int i = 0; i < 5; i++)
    x[i] = tn_graph_input(region, tn_printf(tn_ctx_arena(f->ctx), "x%d", i), in[i]->type);
  struct tn_build b = tn_build_at_end(region);
  b.name = "inner_node";
  struct tn_value *scores = tn_matmul(&b, x[0], tn_transpose(&b, x[1], (const int64_t[]){0, 2, 1}));
  struct tn_value *three = tn_binary(&b, TN_ADD, tn_binary(&b, TN_ADD, scores, scores), scores);
  three = tn_binary(&b, TN_ADD, three, x[3]); /* node 4 */
  struct tn_value *most = tn_reduce(&b, TN_REDUCE_MAX, three, (const int64_t[]){2}, 1, true);
  struct tn_value *centered = tn_binary(&b, TN_SUB, three, most); /* node 6 */
  struct tn_value *least = tn_reduce(&b, TN_REDUCE_MIN, centered, (const int64_t[]){2}, 1, true);
  struct tn_value *kept = tn_binary(&b, TN_SUB, centered, least); /* node 8 */
  struct tn_value *y = tn_binary(&b, TN_ADD, tn_matmul(&b, kept, x[2]), x[4]);
  tn_graph_output(region, moved ? tn_transpose(&b, y, (const int64_t[]){1, 0, 2}) : y);
  tn_set_int(node, TN_KERNEL_rows, 2);
  tn_set_ints(node, TN_KERNEL_kept, INTS(4, 6, 8));
  return finished(f, node);
}

EVAL_TEST(products_by_rows) {
  static const tn_dim sizes[][5] = {{2, 7, 9, 5, 6},    {1, 33, 40, 16, 8}, {3, 1, 20, 8, 8},
                                    {1, 64, 64, 4, 70}, {2, 19, 100, 3, 1}, {1, 5, 1, 4, 4},
                                    {1, 40, 17, 33, 3}, {4, 12, 12, 8, 8},  {2, 7, 7, 4, 4}};
  static const enum tn_dtype dtypes[] = {TN_F32, TN_I32, TN_F64, TN_F16};
  for (size_t k = 0; k < TN_COUNT(sizes); k++)
    for (int i = 0; i < 4; i++)
      check_same(f, tn_printf(tn_ctx_arena(f->ctx), "products %d of %s", (int)k, tn_dtype_name(dtypes[i])),
                 products(f, sizes[k], dtypes[i], (k + (size_t)i) % 2));
}

/* Values repeat, so that the first and the last place of the best one differ. */
/* Short rows in scratch have room for whole vectors: no access to them is under a mask. */
EVAL_TEST(room) {
  for (size_t t = 0; t < TN_COUNT(targets); t++) {
    if (!targets[t].masked || targets[t].vector_bytes < 32)
      continue;
    struct tn_node *node = products(f, (tn_dim[]){4, 12, 12, 8, 8}, TN_F32, false)->def;
    struct tn_nest *n = lowered(f, node, false);
    tn_schedule(&targets[t], n);
    const char *text = tn_nest_print(tn_ctx_arena(f->ctx), n);
    int accesses = 0;
    for (const char *at = strstr(text, "row["); at; at = strstr(at + 1, "row["), accesses++) {
      const char *end = strchr(at, ']'), *mask = strstr(at, " if ");
      if (mask && mask < end)
        fail_msg("%s: a row under a mask\n%s", targets[t].family, text);
    }
    assert_true(accesses > 2);
  }
}

EVAL_TEST(places) {
  static const tn_dim sizes[][3] = {{3, 5, 7}, {1, 1, 100}, {2, 33, 40}, {70, 3, 1}, {1, 20, 16}};
  static const enum tn_dtype dtypes[] = {TN_F32, TN_I8, TN_F64, TN_F16, TN_I64};
  for (size_t k = 0; k < TN_COUNT(sizes); k++)
    for (int mode = 0; mode < 12; mode++) {
      bool largest = mode % 2, last = mode / 2 % 2;
      struct tn_value *x = small(f, dtypes[(k + (size_t)mode) % 5], 3, sizes[k]);
      struct tn_node *node = tn_node_make(&f->b, largest ? TN_ARG_MAX : TN_ARG_MIN, 1, &x, 1);
      tn_set_int(node, largest ? TN_ARG_MAX_axis : TN_ARG_MIN_axis, mode / 4);
      tn_set_int(node, largest ? TN_ARG_MAX_select_last : TN_ARG_MIN_select_last, last);
      check_same(f, tn_printf(tn_ctx_arena(f->ctx), "place of the best, %d, %d", (int)k, mode),
                 finished(f, node));
    }
}

/* A constant read at positions that are themselves loaded must not be packed. */
static struct tn_value *looked_up(struct tn_build *b, struct tn_value *const *in) {
  struct tn_value *third = tn_slice(b, in[1], (const int64_t[]){2}, (const int64_t[]){1}, (const int64_t[]){1});
  return tn_reduce(b, TN_REDUCE_SUM, tn_gather(b, in[0], third, 1), (const int64_t[]){1}, 1, false);
}

EVAL_TEST(gathered) {
  struct tn_value *in[2] = {small(f, TN_F32, SHAPE(9, 5, 17)),
                            constant(f, TN_I64, SHAPE(4), VALUES(3, -1, 1, 3))};
  check_same(f, "a gathered row", kernel(f, 2, in, TN_REDUCE_SUM, looked_up));
}

EVAL_TEST(pools) {
  struct tn_value *x = small(f, TN_F32, SHAPE(1, 9, 9, 20)), *one = small(f, TN_F32, SHAPE(1, 12, 12, 1));
  struct tn_value *bytes = small(f, TN_I8, SHAPE(2, 8, 8, 36)), *image = small(f, TN_F32, SHAPE(1, 19, 79, 1));
  for (int kind = 0; kind < 3; kind++)
    for (int pad = 0; pad < 2; pad++) {
      check_same(f, "pool", pool(f, x, kind, 3, 2, pad));
      check_same(f, "pool of one channel", pool(f, one, kind, 2, 1, pad));
      check_same(f, "pool of bytes", pool(f, bytes, kind, 3, 1, pad));
      for (int stride = 1; stride <= 4; stride++) /* lanes along the image, strided; borders cut off */
        check_same(f, "pool of an image", pool(f, image, kind, 3, stride, pad));
    }
  /* Strided planes: where masks are registers, no column is taken from all planes at once. */
  struct tn_value *pooled = pool(f, small(f, TN_F32, SHAPE(16, 19, 79, 1)), TN_WINDOW_MAX, 3, 2, 1);
  check_same(f, "pool of planes", pooled);
  struct tn_nest *n = lowered(f, pooled->def, false);
  tn_schedule(&targets[TN_COUNT(targets) - 1], n);
  const char *text = tn_nest_print(tn_ctx_arena(f->ctx), n);
  assert_null(strstr(text, "1501*l")); /* 19 * 79 */
  assert_non_null(strstr(text, "2*l"));
}

/* A position that is loaded, or made of a variable that is. */
static bool is_looked_up(const struct tn_expr *index) {
  if (index->loads || (index->kind == TN_EX_VAR && index->var->kind == TN_VAR_VALUE))
    return true;
  for (int i = 0; index->kind == TN_EX_AFFINE && i < index->affine.count; i++)
    if (is_looked_up(index->affine.term[i]))
      return true;
  return false;
}

/* The interpreter runs every loop in order, whatever its kind: so this looks at the kinds.  A store whose
 * position is loaded may hit one element twice; a loop around it that is not in order must move it along. */
static void check_in_order(const struct tn_stmt *list, struct tn_var *const *around, int depth) {
  struct tn_var *vars[16];
  for (int i = 0; i < depth; i++)
    vars[i] = around[i];
  for (const struct tn_stmt *s = list; s; s = s->next) {
    if (s->kind == TN_ST_LOOP) {
      int more = s->loop.kind != TN_LOOP_SERIAL;
      assert_true(depth < 16);
      vars[depth] = s->loop.var;
      check_in_order(s->loop.body, vars, depth + more);
    } else if (s->kind == TN_ST_STORE && is_looked_up(s->store.index)) {
      for (int i = 0; i < depth; i++) {
        int64_t stride = 0;
        if (!tn_ex_stride(s->store.index, vars[i], &stride) || stride == 0)
          fail_msg("updates of one place may run in any order over '%s'", vars[i]->name);
      }
    } else if (s->kind == TN_ST_IF || s->kind == TN_ST_WHILE) {
      check_in_order(s->branch.then, vars, depth);
      check_in_order(s->branch.other, vars, depth);
    }
  }
}

/* Updates of random places, most of them several times over; the last one stays, or they are combined. */
EVAL_TEST(scatters) {
  for (uint64_t seed = 0; seed < 40; seed++) {
    struct random r = {seed * 7919 + 1, &f->b};
    tn_dim x[3] = {pick(&r, 1, 5), pick(&r, 1, 6), pick(&r, 1, 40)}, u[3],
           i[2] = {pick(&r, 1, 30), pick(&r, 1, 3)};
    int axis = (int)pick(&r, 0, 2);
    bool nd = seed % 2;
    for (int d = 0; d < 3; d++)
      u[d] = nd ? (d == 0 ? i[0] : x[d]) : d == axis ? pick(&r, 1, 60) : pick(&r, 1, x[d]);
    int rank = nd ? 1 + 3 - (int)i[1] : 3; /* of the updates */
    for (int d = 1; d < rank && nd; d++)
      u[d] = x[i[1] + d - 1];
    int64_t count = nd ? i[0] * i[1] : u[0] * u[1] * u[2];
    double *places = TN_NEW_ARRAY(tn_ctx_arena(f->ctx), double, count + 1);
    for (int64_t k = 0; k < count; k++) {
      int64_t extent = nd ? x[k % i[1]] : x[axis];
      places[k] = (double)pick(&r, -extent, extent - 1);
    }
    struct tn_value *in[3] = {small(f, TN_I32, 3, x), constant(f, TN_I64, nd ? 2 : 3, nd ? i : u, places),
                              small(f, TN_I32, rank, u)};
    struct tn_node *node = tn_node_make(&f->b, nd ? TN_SCATTER_ND : TN_SCATTER_ELEMENTS, 3, in, 1);
    tn_set_int(node, nd ? TN_SCATTER_ND_reduction : TN_SCATTER_ELEMENTS_reduction, pick(&r, 0, 4));
    if (!nd)
      tn_set_int(node, TN_SCATTER_ELEMENTS_axis, axis);
    struct tn_value *out = finished(f, node);
    check_same(f, tn_printf(tn_ctx_arena(f->ctx), "scatter, seed %d", (int)seed), out);
    for (size_t t = 0; t < TN_COUNT(targets); t++) {
      struct tn_nest *n = lowered(f, node, t % 2);
      tn_schedule(&targets[t], n);
      check_in_order(n->body, NULL, 0);
    }
  }
}

static uint64_t seeds_from, seeds_to = 60;

/* Random chains, on their own and under a reduction. */
EVAL_TEST(chains) {
  (void)f;
  for (uint64_t seed = seeds_from; seed < seeds_to; seed++) {
    struct fixture one;
    fixture_start(&one);
    struct tn_value *x = counting(&one, TN_I32, SHAPE(3, 4, 5), 1);
    struct tn_node *node = tn_node_make(&one.b, TN_KERNEL, 1, &x, 1);
    struct tn_graph *region = tn_graph_create(one.module, node);
    struct tn_value *inner = tn_graph_input(region, "inner", x->type);
    struct tn_build b = tn_build_at_end(region);
    b.name = "inner_node";
    struct tn_value *y = chain(seed * 7919 + 1, &one.b, &b, inner);
    if (seed % 3 == 0) {
      struct random r = {seed, &one.b};
      int64_t axes[TN_MAX_RANK];
      size_t count = 0;
      for (int d = 0; d < y->type.rank; d++)
        if (pick(&r, 0, 1))
          axes[count++] = d;
      y = tn_reduce(&b, seed % 2 ? TN_REDUCE_MAX : TN_REDUCE_SUM, y, axes, count, true);
      int at = 0;
      for (const struct tn_node *each = region->first; each != y->def; each = each->next)
        at++;
      tn_set_int(node, TN_KERNEL_anchor, at);
    }
    tn_graph_output(region, y);
    check_same(&one, tn_printf(tn_ctx_arena(one.ctx), "seed %d", (int)seed), finished(&one, node));
    tn_ctx_destroy(one.ctx);
  }
}

/* test_codegen_schedule_same [FROM TO]: other seeds, by hand. */
int main(int argc, char **argv) {
  if (argc == 3) {
    seeds_from = strtoull(argv[1], NULL, 10);
    seeds_to = strtoull(argv[2], NULL, 10);
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(matmuls), cmocka_unit_test(convs),       cmocka_unit_test(reduces),
      cmocka_unit_test(kernels), cmocka_unit_test(bytes),       cmocka_unit_test(gathered),
      cmocka_unit_test(pools),   cmocka_unit_test(scatters),    cmocka_unit_test(rows),
      cmocka_unit_test(places),  cmocka_unit_test(few_columns), cmocka_unit_test(tables),
      cmocka_unit_test(chunks),  cmocka_unit_test(chains),      cmocka_unit_test(products_by_rows),
      cmocka_unit_test(room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
