/* 3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications.
 *
 *     conv(x, w)  ->  winograd_output(matmul(winograd_input(x), U)),  U = G w G^T for each pair of channels
 *
 * computed when the module is compiled (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
 * 2015).  The weights take four times their bytes and the tiles take room in the arena, so it is done only
 * where the caller allows it and where a model of the time, arithmetic and bytes, says that it is well faster.
 * Errors stay near 1e-6 of the largest element, halves are transformed as float32; sums that must be exact (of
 * integers in floats) are left alone.
 */
#include "passes/passes.h"

#include <math.h>

#define TILE 36
#define LEAST_CHANNELS 16     /* fewer do not fill a vector */
#define BLOCK_BYTES (1 << 20) /* tiles of a block, in and out: half of a second-level cache */
#define BLOCK_TILES 56        /* at least, and more of large weights, which each block reads again: */
#define WEIGHTS_A_TILE 21000  /* bytes of weights that a tile of the block is worth */
#define MOST_FOLLOWERS 16

struct sizes {
  int64_t n, h, w, c, m; /* images, result, channels in and out */
  int64_t down, across;  /* tiles */
};

static const double weight_transform[6][3] = {{0.25, 0, 0},
                                              {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                              {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                              {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                              {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                              {0, 0, 1}};

/* Nanoseconds of a core with 200 GFLOP/s that reads weights at 15 and writes and reads tiles at 40 GB/s. */
static bool pays(const struct sizes *s) {
  double tiles = (double)(s->n * s->down * s->across), pairs = (double)(s->c * s->m);
  double direct = 2 * 9 * pairs * (double)(s->n * s->h * s->w) / 200;
  double products = 2 * TILE * pairs * tiles / 200, weights = 4 * TILE * pairs / 15;
  double tile_bytes = 2 * 4 * TILE * tiles * (double)(s->c + s->m) / 40;
  return products + weights + tile_bytes < 0.75 * direct;
}

static bool all_integers(const struct tn_tensor *w, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (tn_tensor_float(w, i) != rint(tn_tensor_float(w, i)))
      return false;
  return true;
}

/* Halves too: tiles are float32, and only the results are rounded. */
static bool good_dtype(enum tn_dtype dtype) {
  return dtype == TN_F32 || dtype == TN_F16 || dtype == TN_BF16;
}

static bool fits(const struct tn_node *conv, struct sizes *s) {
  if (conv->op != TN_CONV || tn_value_unused(conv->out[0]) || tn_get_int(conv, TN_CONV_group) != 1)
    return false;
  const struct tn_type *x = &conv->in[0]->type, *w = &conv->in[1]->type, *y = &conv->out[0]->type;
  const struct tn_tensor *weights = tn_value_tensor(conv->in[1]);
  if (x->rank != 4 || !good_dtype(x->dtype) || y->dtype != x->dtype || y->quant || !weights ||
      !good_dtype(w->dtype) || !tn_type_static(x) || w->dim[0] != 3 || w->dim[1] != 3)
    return false;
  struct tn_ints strides = tn_get_ints(conv, TN_CONV_strides), dilations = tn_get_ints(conv, TN_CONV_dilations);
  for (int d = 0; d < 2; d++)
    if (strides.at[d] != 1 || dilations.at[d] != 1)
      return false;
  *s = (struct sizes){.n = y->dim[0], .h = y->dim[1], .w = y->dim[2], .c = x->dim[3], .m = y->dim[3]};
  s->down = tn_ceil_div(s->h, TN_WINOGRAD_STEP);
  s->across = tn_ceil_div(s->w, TN_WINOGRAD_STEP);
  return s->c >= LEAST_CHANNELS && s->m >= LEAST_CHANNELS && s->n > 0 && pays(s) &&
         !all_integers(weights, 9 * s->c * s->m);
}

/* U[k, c, m] = sum_ij G[k/6][i] G[k%6][j] w[i, j, c, m], in double, rounded once. */
static struct tn_value *transform_weights(struct tn_build *b, const struct tn_tensor *w,
                                          const struct sizes *s) {
  int64_t pairs = s->c * s->m;
  struct tn_type type = tn_type_make(TN_F32, 3, (tn_dim[]){TILE, s->c, s->m});
  float *u = tn_alloc_raw(b->graph->module->arena, (size_t)(TILE * pairs) * sizeof *u, TN_PLAN_ALIGN);
  for (int64_t p = 0; p < pairs; p++)
    for (int k = 0; k < 6; k++)
      for (int q = 0; q < 6; q++) {
        double sum = 0;
        for (int i = 0; i < 3; i++)
          for (int j = 0; j < 3; j++)
            sum +=
                weight_transform[k][i] * weight_transform[q][j] * tn_tensor_float(w, (i * 3 + j) * pairs + p);
        u[(k * 6 + q) * pairs + p] = (float)sum;
      }
  return tn_constant(b,
                     &(struct tn_tensor){.type = type, .data = u, .bytes = (size_t)(TILE * pairs) * sizeof *u});
}

/* x with zeros after it so that whole tiles cover it; a pad before it does both. */
static struct tn_value *whole_tiles(struct tn_build *b, struct tn_value *x, const struct sizes *s) {
  int64_t before[4] = {0}, after[4] = {0, TN_WINOGRAD_STEP * s->down + 2 - x->type.dim[1],
                                       TN_WINOGRAD_STEP * s->across + 2 - x->type.dim[2], 0};
  if (!after[1] && !after[2])
    return x;
  const struct tn_node *pad = x->def;
  if (pad && pad->op == TN_PAD && pad->in_count == 1 && tn_get_int(pad, TN_PAD_mode) == 0 &&
      tn_get_ints(pad, TN_PAD_interior).count == 0) {
    for (int d = 0; d < 4; d++) {
      before[d] = tn_get_ints(pad, TN_PAD_before).at[d];
      after[d] += tn_get_ints(pad, TN_PAD_after).at[d];
    }
    x = pad->in[0];
  }
  return tn_pad(b, x, before, after, NULL);
}

/* ---- blocks ------------------------------------------------------------------------------------------------
 *
 * A large image is taken in blocks of rows of tiles, each through both transforms and the product: the tiles of
 * a block stay near the core, and all blocks have the same place in the arena.  What follows element by element
 * is done with a block, so that it rides in its output transform; the blocks' results are a concat, in place.
 */

/* Rows of tiles a block. */
static int64_t block_rows(const struct sizes *s) {
  int64_t weights = 4 * TILE * s->c * s->m, tiles = tn_ceil_div(weights, WEIGHTS_A_TILE);
  tiles = tiles > BLOCK_TILES ? tiles : BLOCK_TILES;
  int64_t in_row = s->n * s->across, row_bytes = 4 * TILE * in_row * (s->c + s->m);
  int64_t near = BLOCK_BYTES / row_bytes, enough = tn_ceil_div(tiles, in_row);
  int64_t rows = near > enough ? near : enough, blocks = rows > 0 ? tn_ceil_div(s->down, rows) : s->down;
  return tn_ceil_div(s->down, blocks);
}

/* Nodes that are done block by block: the convolution, then what follows it element by element, then perhaps a
 * pool. */
struct followers {
  struct tn_node *at[1 + MOST_FOLLOWERS];
  int count;
};

/* The number of the node that makes the value; -1: none of them. */
static int follower_of(const struct followers *f, const struct tn_value *value) {
  for (int i = 0; i < f->count; i++)
    if (f->at[i]->out[0] == value)
      return i;
  return -1;
}

/* Rows of [n, h, w, c] need the same rows of the operand, or all of it. */
static bool goes_by_rows(const struct tn_type *operand, int64_t rows) {
  return operand->rank < 3 || operand->dim[operand->rank - 3] == 1 || operand->dim[operand->rank - 3] == rows;
}

static bool may_follow(const struct followers *f, const struct tn_node *node) {
  const struct tn_type *y = &f->at[0]->out[0]->type;
  if (f->count > MOST_FOLLOWERS || !(tn_op_info(node->op)->flags & TN_ELEMENTWISE) || node->out_count != 1 ||
      node->out[0]->type.dtype != y->dtype || node->out[0]->type.quant ||
      !tn_shape_equal(&node->out[0]->type, y))
    return false;
  for (int i = 0; i < node->in_count; i++)
    if (!node->in[i] || !goes_by_rows(&node->in[i]->type, y->dim[1]))
      return false;
  return true;
}

/* A pool whose windows neither overlap nor cross from one block to the next, of the last of which `rows` are
 * left. */
static bool may_pool(const struct followers *f, const struct tn_node *node, int64_t rows) {
  const struct tn_type *y = &f->at[0]->out[0]->type;
  if (f->count > MOST_FOLLOWERS || node->op != TN_POOL || !tn_shape_equal(&node->in[0]->type, y))
    return false;
  int64_t window = tn_get_ints(node, TN_POOL_window).at[1], stride = tn_get_ints(node, TN_POOL_strides).at[1];
  return window <= stride && TN_WINOGRAD_STEP % stride == 0 && window <= rows &&
         tn_get_ints(node, TN_POOL_window).at[0] == 1 && tn_get_ints(node, TN_POOL_dilations).at[1] == 1 &&
         tn_get_ints(node, TN_POOL_before).at[1] == 0 && tn_get_ints(node, TN_POOL_after).at[1] == 0;
}

/* Nobody else reads the results but the last one. */
static bool last_leaves(const struct followers *f) {
  for (int i = 0; i + 1 < f->count; i++) {
    const struct tn_value *value = f->at[i]->out[0];
    if (value->output_of.count > 0)
      return false;
    for (size_t k = 0; k < value->uses.count; k++)
      if (follower_of(f, value->uses.at[k].node->out[0]) < 0)
        return false;
  }
  return true;
}

static void find_followers(struct tn_node *conv, int64_t last_rows, struct followers *f) {
  int left = 4 * MOST_FOLLOWERS, good = 1;
  *f = (struct followers){{conv}, 1};
  for (struct tn_node *node = conv->next; node && left > 0; node = node->next, left--) {
    bool reads = false;
    for (int i = 0; i < node->in_count; i++)
      reads |= node->in[i] && follower_of(f, node->in[i]) >= 0;
    if (!reads || !(may_follow(f, node) || may_pool(f, node, last_rows)))
      continue;
    f->at[f->count++] = node;
    good = last_leaves(f) ? f->count : good;
  }
  f->count = good;
}

/* Rows first to first + count of a value of [n, h, w, c], or of what is broadcast to that. */
static struct tn_value *rows_of(struct tn_build *b, struct tn_value *x, int64_t first, int64_t count) {
  int64_t starts[TN_MAX_RANK] = {0}, steps[TN_MAX_RANK], sizes[TN_MAX_RANK];
  if (x->type.rank < 3 || x->type.dim[x->type.rank - 3] == 1 || x->type.dim[x->type.rank - 3] == count)
    return x;
  for (int d = 0; d < x->type.rank; d++) {
    steps[d] = 1;
    sizes[d] = x->type.dim[d];
  }
  starts[x->type.rank - 3] = first;
  sizes[x->type.rank - 3] = count;
  return tn_slice(b, x, starts, steps, sizes);
}

/* What the followers make of the convolution's rows. */
static struct tn_value *follow(tn_arena *scratch, struct tn_build *b, const struct followers *f,
                               struct tn_value *rows, int64_t first, int64_t count) {
  struct tn_value *made[1 + MOST_FOLLOWERS] = {rows};
  for (int k = 1; k < f->count; k++) {
    const struct tn_node *node = f->at[k];
    struct tn_value **in = TN_NEW_ARRAY(scratch, struct tn_value *, node->in_count);
    for (int i = 0; i < node->in_count; i++) {
      int from = follower_of(f, node->in[i]);
      in[i] = from >= 0 ? made[from] : rows_of(b, node->in[i], first, count);
    }
    struct tn_node *copy = tn_node_make(b, node->op, node->in_count, in, 1);
    memcpy(copy->attr, node->attr, sizeof node->attr);
    if (!tn_finish(b, copy))
      tn_fail_now(b->graph->module->ctx);
    made[k] = copy->out[0];
  }
  return made[f->count - 1];
}

static struct tn_value *transformed(struct tn_build *b, struct tn_value *x, struct tn_value *u,
                                    const struct sizes *s) {
  enum tn_dtype dtype = x->type.dtype;
  x = tn_cast(b, x, TN_F32);
  struct tn_node *in = tn_node_make(b, TN_WINOGRAD_INPUT, 1, &x, 1);
  if (!tn_finish(b, in))
    tn_fail_now(b->graph->module->ctx);
  struct tn_value *products = tn_matmul(b, in->out[0], u);
  struct tn_node *out = tn_node_make(b, TN_WINOGRAD_OUTPUT, 1, &products, 1);
  tn_set_ints(out, TN_WINOGRAD_OUTPUT_shape, (int64_t[]){s->n, s->h, s->w}, 3);
  if (!tn_finish(b, out))
    tn_fail_now(b->graph->module->ctx);
  return tn_cast(b, out->out[0], dtype);
}

static bool rewrite(struct tn_pass *pass, struct tn_node *node) {
  struct sizes s;
  if (!fits(node, &s))
    return true;
  int64_t rows = block_rows(&s), blocks = tn_ceil_div(s.down, rows);
  struct followers f = {{node}, 1};
  if (blocks > 1)
    find_followers(node, s.h - TN_WINOGRAD_STEP * (blocks - 1) * rows, &f);
  struct tn_node *last = f.at[f.count - 1];
  struct tn_build b = tn_build_before(last); /* everything that the followers read is there */
  b.name = node->name;
  b.origin = node->origin;
  struct tn_value *x = whole_tiles(&b, node->in[0], &s);
  struct tn_value *u = transform_weights(&b, tn_value_tensor(node->in[1]), &s);
  struct tn_value **part = TN_NEW_ARRAY(pass->scratch, struct tn_value *, blocks);
  for (int64_t k = 0; k < blocks; k++) {
    int64_t first = k * rows, count = first + rows < s.down ? rows : s.down - first;
    struct sizes block = s;
    block.h =
        TN_WINOGRAD_STEP * (first + count) < s.h ? TN_WINOGRAD_STEP * count : s.h - TN_WINOGRAD_STEP * first;
    struct tn_value *y =
        transformed(&b, rows_of(&b, x, TN_WINOGRAD_STEP * first, TN_WINOGRAD_STEP * count + 2), u, &block);
    part[k] = follow(pass->scratch, &b, &f, y, TN_WINOGRAD_STEP * first, block.h);
  }
  tn_pass_replace(pass, last->out[0], blocks > 1 ? tn_concat(&b, 1, (int)blocks, part) : part[0]);
  return true;
}

bool tn_pass_winograd(struct tn_pass *pass, struct tn_module *module) {
  if (!pass->options->roomy || pass->options->small)
    return true;
  bool good = tn_pass_each(pass, module->main, rewrite);
  tn_remove_dead(pass, module);
  return good;
}
