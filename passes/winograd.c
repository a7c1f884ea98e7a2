/* 3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications.
 *
 *     conv(x, w)  ->  winograd_output(matmul(winograd_input(x), U)),  U = G w G^T for each pair of channels
 *
 * computed when the module is compiled (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
 * 2015).  The weights take four times their bytes and the tiles take room in the arena, so it is done only
 * where the caller allows it and where a model of the time, arithmetic and bytes, says that it is well faster.
 * Errors stay near 1e-6 of the largest element; sums that must be exact (of integers in floats) are left alone.
 */
#include "passes/passes.h"

#include <math.h>

#define TILE 36
#define LEAST_CHANNELS 16 /* fewer do not fill a vector */

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

static bool all_integers(const float *w, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (w[i] != rintf(w[i]))
      return false;
  return true;
}

static bool fits(const struct tn_node *conv, struct sizes *s) {
  if (conv->op != TN_CONV || tn_value_unused(conv->out[0]) || tn_get_int(conv, TN_CONV_group) != 1)
    return false;
  const struct tn_type *x = &conv->in[0]->type, *w = &conv->in[1]->type, *y = &conv->out[0]->type;
  const struct tn_tensor *weights = tn_value_tensor(conv->in[1]);
  if (x->rank != 4 || x->dtype != TN_F32 || y->dtype != TN_F32 || y->quant || !weights || !tn_type_static(x) ||
      w->dim[0] != 3 || w->dim[1] != 3)
    return false;
  struct tn_ints strides = tn_get_ints(conv, TN_CONV_strides), dilations = tn_get_ints(conv, TN_CONV_dilations);
  for (int d = 0; d < 2; d++)
    if (strides.at[d] != 1 || dilations.at[d] != 1)
      return false;
  *s = (struct sizes){.n = y->dim[0], .h = y->dim[1], .w = y->dim[2], .c = x->dim[3], .m = y->dim[3]};
  s->down = (s->h + 3) / 4;
  s->across = (s->w + 3) / 4;
  return s->c >= LEAST_CHANNELS && s->m >= LEAST_CHANNELS && s->n > 0 && pays(s) &&
         !all_integers(weights->data, 9 * s->c * s->m);
}

/* U[k, c, m] = sum_ij G[k/6][i] G[k%6][j] w[i, j, c, m], in double, rounded once. */
static struct tn_value *transform_weights(struct tn_build *b, const float *w, const struct sizes *s) {
  int64_t pairs = s->c * s->m;
  struct tn_type type = tn_type_make(TN_F32, 3, (tn_dim[]){TILE, s->c, s->m});
  float *u = tn_alloc_raw(b->graph->module->arena, (size_t)(TILE * pairs) * sizeof *u, TN_PLAN_ALIGN);
  for (int64_t p = 0; p < pairs; p++)
    for (int k = 0; k < 6; k++)
      for (int q = 0; q < 6; q++) {
        double sum = 0;
        for (int i = 0; i < 3; i++)
          for (int j = 0; j < 3; j++)
            sum += weight_transform[k][i] * weight_transform[q][j] * (double)w[(i * 3 + j) * pairs + p];
        u[(k * 6 + q) * pairs + p] = (float)sum;
      }
  return tn_constant(b,
                     &(struct tn_tensor){.type = type, .data = u, .bytes = (size_t)(TILE * pairs) * sizeof *u});
}

/* x with zeros after it so that whole tiles cover it; a pad before it does both. */
static struct tn_value *whole_tiles(struct tn_build *b, struct tn_value *x, const struct sizes *s) {
  int64_t before[4] = {0},
          after[4] = {0, 4 * s->down + 2 - x->type.dim[1], 4 * s->across + 2 - x->type.dim[2], 0};
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

static bool rewrite(struct tn_pass *pass, struct tn_node *node) {
  struct sizes s;
  if (!fits(node, &s))
    return true;
  struct tn_build b = tn_build_before(node);
  struct tn_value *x = whole_tiles(&b, node->in[0], &s);
  struct tn_node *in = tn_node_make(&b, TN_WINOGRAD_INPUT, 1, &x, 1);
  if (!tn_finish(&b, in))
    return false;
  struct tn_value *u = transform_weights(&b, tn_value_tensor(node->in[1])->data, &s);
  struct tn_value *products = tn_matmul(&b, in->out[0], u);
  struct tn_node *out = tn_node_make(&b, TN_WINOGRAD_OUTPUT, 1, &products, 1);
  tn_set_ints(out, TN_WINOGRAD_OUTPUT_shape, (int64_t[]){s.n, s.h, s.w}, 3);
  if (!tn_finish(&b, out))
    return false;
  tn_pass_replace(pass, node->out[0], out->out[0]);
  return true;
}

bool tn_pass_winograd(struct tn_pass *pass, struct tn_module *module) {
  if (!pass->options->roomy || pass->options->small)
    return true;
  bool good = tn_pass_each(pass, module->main, rewrite);
  tn_remove_dead(pass, module);
  return good;
}
