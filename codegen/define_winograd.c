/* The two transforms of a 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): six points 0, 1, -1, 2,
 * -2 and infinity (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.3). */
#include "codegen/define.h"

#define POINTS 6 /* a dim of an input tile */
#define STEP 4   /* a dim of an output tile */

static const int8_t input_transform[POINTS][POINTS] = {
    {4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
    {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1},
};
static const int8_t output_transform[STEP][POINTS] = {
    {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};

/* sum of factor[k] * x[k * stride], small powers of two and small integers: products are few and exact sums are
 * kept in one order. */
static struct tn_expr *weighted(struct tn_nest *n, const int8_t *factor, struct tn_expr *const *x, int stride) {
  struct tn_expr *sum = NULL;
  for (int k = 0; k < POINTS; k++) {
    if (!factor[k])
      continue;
    struct tn_expr *term = x[k * stride];
    if (factor[k] != 1 && factor[k] != -1)
      term =
          tn_ex_binary(n, TN_MUL, term, tn_ex_float(n, TN_F32, factor[k] < 0 && sum ? -factor[k] : factor[k]));
    else if (factor[k] < 0 && !sum)
      term = tn_ex_unary(n, TN_NEG, term);
    sum = !sum ? term : tn_ex_binary(n, factor[k] < 0 ? TN_SUB : TN_ADD, sum, term);
  }
  return sum;
}

/* out[rows x rows] = T d T^t of d[POINTS x POINTS]: first down the columns, then along the rows. */
static void transform(struct tn_nest *n, const int8_t (*t)[POINTS], int rows, struct tn_expr *const *d,
                      struct tn_expr **out) {
  struct tn_expr *down[POINTS * POINTS];
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < POINTS; k++)
      down[i * POINTS + k] = weighted(n, t[i], d + k, POINTS);
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < rows; k++)
      out[i * rows + k] = weighted(n, t[k], down + i * POINTS, 1);
}

/* Loops over images, tiles down and across, and channels: their positions in at; the cursor in the innermost.
 */
static struct tn_cursor *tile_loops(struct tn_cursor *c, const int64_t sizes[4], struct tn_expr **at,
                                    struct tn_cursor *body) {
  struct tn_type tiles = tn_type_make(TN_F32, 4, sizes);
  return tn_define_loops(c, &tiles, -1, TN_LOOP_SERIAL, at, body);
}

static struct tn_expr *tile_number(struct tn_nest *n, const int64_t sizes[4], struct tn_expr *const *at) {
  struct tn_expr *down = tn_ix_add(n, tn_ix_scale(n, at[0], sizes[1]), at[1]);
  return tn_ix_add(n, tn_ix_scale(n, down, sizes[2]), at[2]);
}

static void winograd_input(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  const struct tn_type *x = &node->in[0]->type;
  int64_t sizes[4] = {x->dim[0], x->dim[1] / STEP, x->dim[2] / STEP, x->dim[3]};
  struct tn_expr *at[4], *d[POINTS * POINTS], *out[POINTS * POINTS];
  struct tn_cursor body, *in = tile_loops(c, sizes, at, &body);
  for (int i = 0; i < POINTS; i++)
    for (int k = 0; k < POINTS; k++) {
      struct tn_expr *down = tn_ix_offset(n, tn_ix_scale(n, at[1], STEP), i);
      struct tn_expr *across = tn_ix_offset(n, tn_ix_scale(n, at[2], STEP), k);
      d[i * POINTS + k] = tn_element(l, node->in[0], (struct tn_expr *[]){at[0], down, across, at[3]});
    }
  transform(n, input_transform, POINTS, d, out);
  for (int k = 0; k < POINTS * POINTS; k++)
    tn_result(l, in, node->out[0], (struct tn_expr *[]){tn_ix(n, k), tile_number(n, sizes, at), at[3]}, out[k],
              NULL);
}
const struct tn_definition tn_define_winograd_input = {.nest = winograd_input};

static void winograd_output(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  const struct tn_type *y = &node->out[0]->type;
  int64_t sizes[4] = {y->dim[0], (y->dim[1] + STEP - 1) / STEP, (y->dim[2] + STEP - 1) / STEP, y->dim[3]};
  struct tn_expr *at[4], *d[POINTS * POINTS], *out[STEP * STEP];
  struct tn_cursor body, *in = tile_loops(c, sizes, at, &body);
  for (int k = 0; k < POINTS * POINTS; k++)
    d[k] = tn_element(l, node->in[0], (struct tn_expr *[]){tn_ix(n, k), tile_number(n, sizes, at), at[3]});
  transform(n, output_transform, STEP, d, out);
  for (int i = 0; i < STEP; i++)
    for (int k = 0; k < STEP; k++) {
      struct tn_expr *down = tn_ix_offset(n, tn_ix_scale(n, at[1], STEP), i);
      struct tn_expr *across = tn_ix_offset(n, tn_ix_scale(n, at[2], STEP), k);
      struct tn_expr *guard =
          tn_ex_and(n, tn_define_inside(n, down, y->dim[1]), tn_define_inside(n, across, y->dim[2]));
      tn_result(l, in, node->out[0], (struct tn_expr *[]){at[0], down, across, at[3]}, out[i * STEP + k],
                tn_ex_is_true(guard) ? NULL : guard);
    }
}
const struct tn_definition tn_define_winograd_output = {.nest = winograd_output};
