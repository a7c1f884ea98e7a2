/* Contractions: matmul and conv.  Operands are converted to the accumulator's dtype before they are multiplied.
 */
#include "codegen/define.h"

static enum tn_dtype accumulator(const struct tn_node *node) {
  return tn_define_accumulator(node->out[0]->type.dtype);
}

static struct tn_expr *product(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *x,
                               struct tn_expr *const *y) {
  enum tn_dtype acc = accumulator(node);
  struct tn_expr *a = tn_ex_cast(l->nest, tn_element(l, node->in[0], x), acc);
  struct tn_expr *b = tn_ex_cast(l->nest, tn_element(l, node->in[1], y), acc);
  return tn_ex_binary(l->nest, TN_MUL, a, b);
}

/* ---- matmul: x[..., m, k] * y[..., k, n]; domain [batch..., m, n], the result's dims; reduction [k]
 * ----------- */

static void matmul_shape(const struct tn_node *node, struct tn_reduction *r) {
  const struct tn_type *out = &node->out[0]->type, *x = &node->in[0]->type;
  r->combine = TN_ADD;
  r->acc = accumulator(node);
  r->domain_rank = out->rank;
  memcpy(r->domain, out->dim, (size_t)out->rank * sizeof *r->domain);
  r->count = 1;
  r->extent[0] = x->dim[x->rank - 1];
}

static void matmul_at(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                      struct tn_expr **idx) {
  (void)l;
  memcpy(idx, i, (size_t)node->out[0]->type.rank * sizeof(struct tn_expr *));
}

static struct tn_expr *matmul_term(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                                   struct tn_expr *const *r) {
  const struct tn_type *out = &node->out[0]->type;
  struct tn_expr *at[2][TN_MAX_RANK];
  for (int k = 0; k < 2; k++) {
    tn_define_broadcast(l->nest, &node->in[k]->type, out, i, at[k]);
    int rank = node->in[k]->type.rank;
    at[k][rank - 2] = k == 0 ? i[out->rank - 2] : r[0];
    at[k][rank - 1] = k == 0 ? r[0] : i[out->rank - 1];
  }
  return product(l, node, at[0], at[1]);
}
const struct tn_definition tn_define_matmul = {
    .reduce = {.shape = matmul_shape, .at = matmul_at, .term = matmul_term}};

/* ---- conv: x[n, spatial..., c], w[spatial..., c/group, m] -> [n, spatial..., m]
 * --------------------------------
 *
 * Domain [n, spatial..., group, m/group]; with one group its dim is left out, with several groups of one result
 * channel each (depthwise) the m/group dim is, so that the innermost dim is the one of many channels.
 * Reduction [kernel spatial..., c/group]. */

struct conv {
  int spatial;
  int64_t group, c, m; /* channels of one group, in and out */
};

static struct conv conv_of(const struct tn_node *node) {
  const struct tn_type *w = &node->in[1]->type;
  struct conv v = {.spatial = w->rank - 2, .group = tn_get_int(node, TN_CONV_group), .c = w->dim[w->rank - 2]};
  v.m = w->dim[w->rank - 1] / v.group;
  return v;
}

static void conv_shape(const struct tn_node *node, struct tn_reduction *r) {
  const struct tn_type *out = &node->out[0]->type, *w = &node->in[1]->type;
  struct conv v = conv_of(node);
  r->combine = TN_ADD;
  r->acc = accumulator(node);
  for (int d = 0; d <= v.spatial; d++)
    r->domain[r->domain_rank++] = out->dim[d];
  if (v.group > 1)
    r->domain[r->domain_rank++] = v.group;
  if (v.group == 1 || v.m > 1)
    r->domain[r->domain_rank++] = v.m;
  for (int d = 0; d <= v.spatial; d++)
    r->extent[r->count++] = w->dim[d];
}

/* Group and channel in the group of a domain point. */
static void conv_channel(struct tn_nest *n, struct conv v, struct tn_expr *const *i, struct tn_expr **group,
                         struct tn_expr **channel) {
  int next = v.spatial + 1;
  *group = v.group > 1 ? i[next++] : tn_ix(n, 0);
  *channel = v.group == 1 || v.m > 1 ? i[next] : tn_ix(n, 0);
}

static void conv_at(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                    struct tn_expr **idx) {
  struct conv v = conv_of(node);
  struct tn_expr *group, *channel;
  conv_channel(l->nest, v, i, &group, &channel);
  memcpy(idx, i, (size_t)(v.spatial + 1) * sizeof *idx);
  idx[v.spatial + 1] = tn_ix_add(l->nest, tn_ix_scale(l->nest, group, v.m), channel);
}

static struct tn_expr *conv_term(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                                 struct tn_expr *const *r) {
  struct tn_nest *n = l->nest;
  struct conv v = conv_of(node);
  struct tn_ints strides = tn_get_ints(node, TN_CONV_strides), dilations = tn_get_ints(node, TN_CONV_dilations);
  struct tn_expr *x[TN_MAX_RANK], *w[TN_MAX_RANK], *group, *channel;
  conv_channel(n, v, i, &group, &channel);
  x[0] = i[0];
  for (int d = 0; d < v.spatial; d++) {
    x[1 + d] = tn_ix_add(n, tn_ix_scale(n, i[1 + d], strides.at[d]), tn_ix_scale(n, r[d], dilations.at[d]));
    w[d] = r[d];
  }
  x[v.spatial + 1] = tn_ix_add(n, tn_ix_scale(n, group, v.c), r[v.spatial]);
  w[v.spatial] = r[v.spatial];
  w[v.spatial + 1] = tn_ix_add(n, tn_ix_scale(n, group, v.m), channel);
  return product(l, node, x, w);
}
const struct tn_definition tn_define_conv = {.reduce = {.shape = conv_shape, .at = conv_at, .term = conv_term}};
