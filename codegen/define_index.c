/* Ops that index with values: gather*, scatter*.
 *
 * Indices count from the end when negative.  What is still out of range: gather clamps it to the dim, scatter
 * leaves the update out.  (ONNX calls both an error; a kernel has none to raise, and must not leave its
 * buffers.) */
#include "codegen/define.h"

/* ---- tables that are formulas
 *
 * The places that a resize reads, and most other constant tables, are clamp(floor((p i + q) / k)): said so,
 * they need no loads, and the schedule sees their strides. */

#define MOST_QUOTIENT 16

/* t[0 .. count) = max(low, min(high, floor((p i + q) / k))). */
struct steady {
  int64_t k, p, q, low, high;
};

/* The q for which the formula holds, given k and p; false: there is none. */
static bool find_offset(const struct tn_tensor *t, int64_t first, int64_t count, struct steady *s) {
  int64_t least = INT64_MIN, most = INT64_MAX, k = s->k;
  for (int64_t i = 0; i < count; i++) {
    int64_t at = tn_tensor_int(t, first + i), from = k * at - s->p * i, to = from + k - 1;
    if (at < s->high && to < most) /* a value that is no bound is the quotient itself */
      most = to;
    if (at > s->low && from > least)
      least = from;
  }
  /* where it can be, so that nothing has to be clamped */
  int64_t no_low = k * s->low, no_high = k * s->high + k - 1 - s->p * (count - 1);
  s->q = least;
  if (no_low > least)
    s->q = no_low < most ? no_low : most;
  if (s->q > no_high && no_high >= least)
    s->q = no_high;
  return least <= most && s->q >= least && s->q <= most;
}

static bool find_steady(const struct tn_tensor *t, int64_t first, int64_t count, struct steady *s) {
  if (count < 2 || count > 1 << 16)
    return false;
  s->low = s->high = tn_tensor_int(t, first);
  for (int64_t i = 0; i < count; i++) {
    int64_t at = tn_tensor_int(t, first + i);
    if (at < 0 || at > 1 << 24 || (i > 0 && at < tn_tensor_int(t, first + i - 1)))
      return false;
    s->low = at < s->low ? at : s->low;
    s->high = at > s->high ? at : s->high;
  }
  for (s->k = 1; s->k <= MOST_QUOTIENT && 2 * s->k < count; s->k++) {
    int64_t middle = first + (count - s->k) / 2;
    s->p = tn_tensor_int(t, middle + s->k) - tn_tensor_int(t, middle);
    if (s->p > 0 && find_offset(t, first, count, s))
      return true;
  }
  return false;
}

/* The element that the load has of a constant table, as a position; NULL: it is no formula. */
static struct tn_expr *by_formula(struct tn_nest *n, const struct tn_expr *load) {
  struct steady s;
  if (load->kind != TN_EX_LOAD || load->load.guard || !load->load.buf->data || !tn_dtype_is_int(load->dtype))
    return NULL;
  struct tn_expr *i = load->load.index;
  if (i->lo < 0 || i->hi >= load->load.buf->count ||
      !find_steady(load->load.buf->data, i->lo, i->hi - i->lo + 1, &s))
    return NULL;
  struct tn_expr *at = tn_ix_scale(n, tn_ix_offset(n, i, -i->lo), s.p);
  at = tn_ix_div(n, tn_ix_offset(n, at, s.q), s.k);
  return tn_ex_binary(n, TN_MIN, tn_ex_binary(n, TN_MAX, at, tn_ix(n, s.low)), tn_ix(n, s.high));
}

/* A position inside of 0 .. extent-1, extent > 0. */
static struct tn_expr *clamped(struct tn_nest *n, struct tn_expr *index, int64_t extent) {
  struct tn_expr *known = by_formula(n, index), *pos = known ? known : tn_define_index(n, index, extent);
  return tn_ex_binary(n, TN_MIN, tn_ex_binary(n, TN_MAX, pos, tn_ix(n, 0)), tn_ix(n, extent - 1));
}

/* Nothing can be read from an empty operand: what is asked of it is zero. */
static bool is_empty(const struct tn_type *type) {
  int64_t count;
  return tn_type_count(type, &count) && count == 0;
}

static struct tn_expr *gather(struct tn_lower *l, const struct tn_node *node, int result,
                              struct tn_expr *const *idx) {
  const struct tn_type *x = &node->in[0]->type, *indices = &node->in[1]->type;
  if (is_empty(x))
    return tn_define_zero(l->nest, node->out[result]->type.dtype);
  int axis = tn_define_axis(node, TN_GATHER_axis, x->rank);
  struct tn_expr *at[TN_MAX_RANK];
  for (int d = 0; d < x->rank; d++)
    at[d] = d < axis ? idx[d] : d > axis ? idx[d + indices->rank - 1] : NULL;
  at[axis] = clamped(l->nest, tn_element(l, node->in[1], idx + axis), x->dim[axis]);
  return tn_element(l, node->in[0], at);
}
const struct tn_definition tn_define_gather = {.element = gather};

static struct tn_expr *gather_elements(struct tn_lower *l, const struct tn_node *node, int result,
                                       struct tn_expr *const *idx) {
  const struct tn_type *x = &node->in[0]->type;
  if (is_empty(x))
    return tn_define_zero(l->nest, node->out[result]->type.dtype);
  int axis = tn_define_axis(node, TN_GATHER_ELEMENTS_axis, x->rank);
  struct tn_expr *at[TN_MAX_RANK];
  memcpy(at, idx, (size_t)x->rank * sizeof *at);
  at[axis] = clamped(l->nest, tn_element(l, node->in[1], idx), x->dim[axis]);
  return tn_element(l, node->in[0], at);
}
const struct tn_definition tn_define_gather_elements = {.element = gather_elements};

/* x[b..., d...], indices[b..., q..., r] -> out[b..., q..., rest of d after r]. */
static struct tn_expr *gather_nd(struct tn_lower *l, const struct tn_node *node, int result,
                                 struct tn_expr *const *idx) {
  const struct tn_type *x = &node->in[0]->type, *indices = &node->in[1]->type;
  if (is_empty(x))
    return tn_define_zero(l->nest, node->out[result]->type.dtype);
  int batch = (int)tn_get_int(node, TN_GATHER_ND_batch_dims);
  int lead = indices->rank - 1, taken = (int)indices->dim[lead];
  struct tn_expr *at[TN_MAX_RANK], *from[TN_MAX_RANK];
  memcpy(from, idx, (size_t)lead * sizeof *from);
  for (int d = 0; d < x->rank; d++) {
    if (d < batch) {
      at[d] = idx[d];
    } else if (d < batch + taken) {
      from[lead] = tn_ix(l->nest, d - batch);
      at[d] = clamped(l->nest, tn_element(l, node->in[1], from), x->dim[d]);
    } else {
      at[d] = idx[lead + d - batch - taken];
    }
  }
  return tn_element(l, node->in[0], at);
}
const struct tn_definition tn_define_gather_nd = {.element = gather_nd};

/* ---- scatter
 * ------------------------------------------------------------------------------------------------- */

static void copy_data(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_expr *idx[TN_MAX_RANK];
  struct tn_cursor body, *at = tn_define_loops(c, &node->out[0]->type, -1, TN_LOOP_SERIAL, idx, &body);
  tn_result(l, at, node->out[0], idx, tn_element(l, node->in[0], idx), NULL);
}

/* One update: out[at] = out[at] reduced with the update's element, where guard holds.  Updates run one after
 * the other, so that those of one place are combined in order (or the last one stays). */
static void update(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c,
                   struct tn_expr *const *at, struct tn_expr *element, struct tn_expr *guard,
                   int64_t reduction) {
  static const enum tn_op combine[] = {TN_OP_COUNT, TN_ADD, TN_MUL, TN_MAX, TN_MIN};
  struct tn_nest *n = l->nest;
  struct tn_buf *out = tn_result_buf(l, node->out[0]);
  struct tn_expr *where = tn_linear(n, &node->out[0]->type, at);
  if (reduction != 0) {
    enum tn_op op = combine[reduction];
    if (out->dtype == TN_BOOL) /* add: or; mul: and */
      op = op == TN_ADD || op == TN_MAX ? TN_OR : TN_AND;
    element = tn_ex_binary(n, op, tn_ex_load(n, out, where, guard), element);
  }
  tn_st_store(c, out, where, element, guard);
}

static void scatter_elements(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  const struct tn_type *x = &node->out[0]->type;
  int axis = tn_define_axis(node, TN_SCATTER_ELEMENTS_axis, x->rank);
  copy_data(l, node, c);
  struct tn_expr *idx[TN_MAX_RANK], *at[TN_MAX_RANK];
  struct tn_cursor body, *in = tn_define_loops(c, &node->in[2]->type, -1, TN_LOOP_SERIAL, idx, &body);
  memcpy(at, idx, (size_t)x->rank * sizeof *at);
  at[axis] = tn_define_index(n, tn_element(l, node->in[1], idx), x->dim[axis]);
  struct tn_expr *guard = tn_define_inside(n, at[axis], x->dim[axis]);
  update(l, node, in, at, tn_element(l, node->in[2], idx), guard,
         tn_get_int(node, TN_SCATTER_ELEMENTS_reduction));
}
const struct tn_definition tn_define_scatter_elements = {.nest = scatter_elements};

/* out[d...], indices[q..., r], updates[q..., rest of d after r]: for each q its place, then the rest of d
 * there. */
static void scatter_nd(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct tn_nest *n = l->nest;
  const struct tn_type *x = &node->out[0]->type, *indices = &node->in[1]->type;
  int lead = indices->rank - 1, taken = (int)indices->dim[lead];
  copy_data(l, node, c);
  struct tn_type points = *indices, rest = *x;
  points.rank = lead;
  rest.rank = x->rank - taken;
  memmove(rest.dim, x->dim + taken, (size_t)rest.rank * sizeof *rest.dim);
  struct tn_expr *idx[2 * TN_MAX_RANK], *at[TN_MAX_RANK], *from[TN_MAX_RANK], *guard = NULL;
  struct tn_cursor body, inner, inside, *in = tn_define_loops(c, &points, -1, TN_LOOP_SERIAL, idx, &body);
  memcpy(from, idx, (size_t)lead * sizeof *from);
  for (int d = 0; d < taken; d++) {
    from[lead] = tn_ix(n, d);
    at[d] = tn_define_index(n, tn_element(l, node->in[1], from), x->dim[d]);
    if (rest.rank > 0)
      at[d] = tn_st_let(in, "at", at[d]);
    guard = tn_ex_and(n, guard, tn_define_inside(n, at[d], x->dim[d]));
  }
  if (rest.rank > 0 && guard) {
    tn_st_if(in, guard, &inside, NULL);
    in = tn_define_loops(&inside, &rest, -1, TN_LOOP_SERIAL, idx + lead, &inner);
    guard = NULL;
  } else {
    in = tn_define_loops(in, &rest, -1, TN_LOOP_SERIAL, idx + lead, &inner);
  }
  memcpy(at + taken, idx + lead, (size_t)rest.rank * sizeof *at);
  update(l, node, in, at, tn_element(l, node->in[2], idx), guard, tn_get_int(node, TN_SCATTER_ND_reduction));
}
const struct tn_definition tn_define_scatter_nd = {.nest = scatter_nd};
