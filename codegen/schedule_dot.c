/* Contractions of bytes, four at a time, and of 16-bit words, two at a time.
 *
 * A sum of products of 8-bit integers whose innermost loop walks along the image is rewritten so that each step
 * multiplies four of its elements: sum over g of dot(x[4 g .. 4 g + 3], w[g]), where w holds four neighbouring
 * weights in each i32.  The schedule then tiles, vectorizes and packs it as any other contraction; the target
 * adds the products with its instruction (emit_dot.c).  An image of 16-bit integers goes by twos, with weights
 * of 8 or 16 bits.
 *
 *   - Where the loop's extent is no multiple of 4 (2) the last step starts earlier, and the weights of the
 * elements that were counted already are zero; nothing is read that the plain loop does not read.
 *   - Where the instruction wants the other signedness the top bits of the image's bytes are flipped, which
 * adds 128 to them or takes it away, and a constant for each channel is added to the sum.
 *
 * Sums wrap in i32, where the order does not matter: the result has the same bits as the definition's. */
#include "codegen/schedule.h"

struct dot {
  struct tn_expr *x, *w; /* loads: the image, constant weights of i8 */
  int inner;             /* number of the loop that is taken by fours, or twos */
  int64_t extent, groups, width;
  int64_t each; /* elements in an i32: 4 bytes or 2 words */
};

/* The load behind a conversion of a signed integer of 16 bits, or any of 8. */
static struct tn_expr *narrow_load(struct tn_expr *e) {
  if (e->kind != TN_EX_OP || e->op.op != TN_CAST || e->op.arg[0]->kind != TN_EX_LOAD)
    return NULL;
  struct tn_expr *load = e->op.arg[0];
  enum tn_dtype dtype = load->load.buf->dtype;
  return (dtype == TN_I8 || dtype == TN_U8 || dtype == TN_I16) && !load->load.guard ? load : NULL;
}

static bool find_dot(const struct tn_target *t, const struct tn_band *b, struct dot *d) {
  const struct tn_stmt *r = b->reduce;
  struct tn_expr *term = r->reduce.term;
  if (r->reduce.combine != TN_ADD || r->reduce.init || r->reduce.acc->dtype != TN_I32 ||
      term->kind != TN_EX_OP || term->op.op != TN_MUL)
    return false;
  d->x = narrow_load(term->op.arg[0]);
  d->w = narrow_load(term->op.arg[1]);
  if (!d->x || !d->w)
    return false;
  if (d->x->load.buf->data) {
    struct tn_expr *other = d->x;
    d->x = d->w;
    d->w = other;
  }
  enum tn_dtype x = d->x->load.buf->dtype, w = d->w->load.buf->dtype;
  d->each = x == TN_I16 ? 2 : 4;
  if (d->x->load.buf->data || !d->w->load.buf->data || !tn_ex_of_band(b, NULL, d->w->load.index) ||
      !(x == TN_I16 ? t->dot_w && w != TN_U8 : (t->dot_s || t->dot_u) && w == TN_I8))
    return false;
  int64_t stride;
  for (d->inner = r->reduce.count - 1; d->inner >= 0; d->inner--) {
    struct tn_var *v = r->reduce.var[d->inner];
    if (tn_ex_stride(d->x->load.index, v, &stride) && stride == 1 && tn_ex_uses(d->w->load.index, v)) {
      d->extent = v->extent;
      d->width = d->extent < d->each ? d->extent : d->each;
      d->groups = (d->extent + d->each - 1) / d->each;
      return d->extent > 1;
    }
  }
  return false;
}

/* First element of step g. */
static int64_t group_start(const struct dot *d, int64_t g) {
  return g * d->each + d->width <= d->extent ? g * d->each : d->extent - d->width;
}

struct axis {
  struct tn_var *var;
  int64_t extent, stride; /* of the weights as they are stored */
};

/* Walks the weights in the order of the axes, last one fastest: next position; false past the last. */
static bool advance(const struct axis *axis, int count, int64_t *at, int64_t *where) {
  for (int i = count - 1; i >= 0; i--) {
    *where += axis[i].stride;
    if (++at[i] < axis[i].extent)
      return true;
    *where -= axis[i].stride * axis[i].extent;
    at[i] = 0;
  }
  return false;
}

static struct tn_buf *constant(struct tn_nest *n, const char *name, const int32_t *data, int64_t count) {
  struct tn_tensor *tensor = TN_NEW(n->arena, struct tn_tensor);
  tensor->type = tn_type_make(TN_I32, 1, &count);
  tensor->data = data;
  tensor->bytes = (size_t)count * sizeof *data;
  struct tn_buf *buf = tn_nest_local(n, name, TN_I32, count);
  buf->data = tensor;
  return buf;
}

/* A row-major position over the axes from `first` on. */
static struct tn_expr *position(struct tn_nest *n, const struct axis *axis, int first, int count) {
  struct tn_expr *at = tn_ix(n, 0);
  int64_t stride = 1;
  for (int i = count - 1; i >= first; i--) {
    at = tn_ix_add(n, at, tn_ix_scale(n, tn_ex_var(n, axis[i].var), stride));
    stride *= axis[i].extent;
  }
  return at;
}

/* Loops over the weights: those of the reduction, then those of the results, so that channels are neighbours.
 */
static bool weight_axes(const struct tn_band *b, const struct dot *d, struct axis *axis, int *reduced,
                        int *count) {
  const struct tn_stmt *r = b->reduce;
  const struct tn_expr *index = d->w->load.index;
  *count = 0;
  for (int i = 0; i < r->reduce.count; i++)
    axis[(*count)++] = (struct axis){r->reduce.var[i], r->reduce.var[i]->extent, 0};
  *reduced = *count;
  for (int i = 0; i < b->loops; i++)
    if (tn_ex_uses(index, b->loop[i]))
      axis[(*count)++] = (struct axis){b->loop[i], b->loop[i]->extent, 0};
  for (int i = 0; i < *count; i++)
    if (!tn_ex_stride(index, axis[i].var, &axis[i].stride))
      return false;
  return true;
}

void tn_dot_band(const struct tn_target *t, struct tn_band *b) {
  struct tn_nest *n = b->nest;
  struct tn_stmt *r = b->reduce;
  struct dot d;
  struct axis axis[2 * TN_MAX_REDUCE];
  int reduced, count;
  if (!find_dot(t, b, &d) || !weight_axes(b, &d, axis, &reduced, &count))
    return;
  bool words = d.each == 2, x_signed = d.x->load.buf->dtype != TN_U8;
  bool use_signed = words || (x_signed && t->dot_s) || !t->dot_u, flipped = use_signed != x_signed;
  int bits = 32 / (int)d.each;

  /* The weights by fours or twos, and their sum for each channel. */
  int64_t stride = axis[d.inner].stride, total = 1, channels = 1;
  struct tn_var *step = tn_loop_var(n, "g", d.groups);
  axis[d.inner] = (struct axis){step, d.groups, 0};
  for (int i = 0; i < count; i++)
    total *= axis[i].extent;
  for (int i = reduced; i < count; i++)
    channels *= axis[i].extent;
  const struct tn_expr *index = d.w->load.index;
  int64_t where = index->kind == TN_EX_AFFINE ? index->affine.base : index->kind == TN_EX_INT ? index->i : 0;
  int64_t at[2 * TN_MAX_REDUCE] = {0}, e = 0;
  const void *data = d.w->load.buf->data->data;
  int32_t *fours = TN_NEW_ARRAY(n->arena, int32_t, total), *sum = TN_NEW_ARRAY(n->arena, int32_t, channels);
  do {
    int64_t g = at[d.inner], start = group_start(&d, g);
    uint32_t four = 0;
    for (int64_t k = start; k < start + d.width; k++) {
      int64_t w = k < g * d.each ? 0 : tn_scalar_load(d.w->load.buf->dtype, data, where + k * stride).i;
      four |= ((uint32_t)w & (0xFFFFFFFFu >> (32 - bits))) << (bits * (k - start));
      sum[e % channels] += (int32_t)w;
    }
    memcpy(&fours[e++], &four, sizeof four);
  } while (advance(axis, count, at, &where));

  struct tn_var *inner = r->reduce.var[d.inner];
  struct tn_expr *first = tn_ix_scale(n, tn_ex_var(n, step), d.each);
  if (d.groups == 1)
    first = tn_ix(n, 0);
  else if (d.extent % d.each)
    first = tn_ex_binary(n, TN_MIN, first, tn_ix(n, d.extent - d.each));
  struct tn_expr *x = tn_ex_replace(n, d.x->load.index, 1, &inner, &first);
  x = tn_ex_load_bytes(n, d.x->load.buf, x, (int)d.width * bits / 8);
  if (flipped)
    x = tn_ex_binary(n, TN_XOR, x, tn_ex_int(n, TN_I32, (int32_t)0x80808080u));
  struct tn_expr *w = position(n, axis, 0, count);
  if (d.groups == 1) {
    struct tn_expr *none = tn_ix(n, 0);
    w = tn_ex_replace(n, w, 1, &step, &none);
    r->reduce.count--;
    memmove(r->reduce.var + d.inner, r->reduce.var + d.inner + 1,
            (size_t)(r->reduce.count - d.inner) * sizeof *r->reduce.var);
  } else {
    r->reduce.var[d.inner] = step;
  }
  w = tn_ex_load(n, constant(n, d.w->load.buf->name, fours, total), w, NULL);
  r->reduce.term = tn_ex_binary(n, words ? TN_DOT_W : use_signed ? TN_DOT_S : TN_DOT_U, x, w);
  if (!flipped)
    return;
  for (int64_t i = 0; i < channels; i++)
    sum[i] = (int32_t)((uint32_t)sum[i] * (use_signed ? 128u : -128u));
  struct tn_expr *more =
      tn_ex_load(n, constant(n, "shift", sum, channels), position(n, axis, reduced, count), NULL);
  struct tn_expr *all = tn_ex_binary(n, TN_ADD, tn_ex_var(n, r->reduce.acc), more);
  tn_st_replace(n, b->set ? b->set : b->stores, 1, &r->reduce.acc, &all);
}
