/* Contractions of 16-bit floats on processors that multiply f32: operands that are read many times are
 * converted once, not where they are multiplied.
 *
 * Constant weights become f32 constants, an image is copied to f32 scratch in front of the loops; both take
 * twice the bytes, so this is for large machines, and where each element is read often.  The values are the
 * same. */
#include "codegen/schedule.h"

#define OFTEN 12 /* reads of an element that make its conversion beforehand pay */

/* The load that a factor converts to f32; NULL: it is something else. */
static struct tn_expr *half_load(struct tn_expr *e) {
  if (e->kind != TN_EX_OP || e->op.op != TN_CAST || e->dtype != TN_F32 || e->op.arg[0]->kind != TN_EX_LOAD)
    return NULL;
  struct tn_expr *load = e->op.arg[0];
  return (load->dtype == TN_F16 || load->dtype == TN_BF16) && !load->load.guard ? load : NULL;
}

static struct tn_buf *widened_constant(struct tn_nest *n, const struct tn_buf *from) {
  struct tn_tensor *t = TN_NEW(n->arena, struct tn_tensor);
  float *data = TN_NEW_ARRAY(n->arena, float, from->count);
  for (int64_t i = 0; i < from->count; i++)
    data[i] = (float)tn_tensor_float(from->data, i);
  t->type = tn_type_make(TN_F32, 1, &from->count);
  t->data = data;
  t->bytes = (size_t)from->count * sizeof *data;
  struct tn_buf *buf = tn_nest_local(n, from->name, TN_F32, from->count);
  buf->data = t;
  return buf;
}

static struct tn_buf *widened_copy(const struct tn_target *t, struct tn_nest *n, struct tn_buf *from,
                                   struct tn_cursor *c) {
  struct tn_buf *buf = tn_nest_local(n, "wide", TN_F32, from->count);
  struct tn_band copy = {.nest = n, .loops = 1, .loop = {tn_loop_var(n, "i", from->count)}};
  struct tn_expr *i = tn_ex_var(n, copy.loop[0]);
  struct tn_stmt *store = NULL;
  struct tn_cursor aside = {n, &store};
  tn_st_store(&aside, buf, i, tn_ex_cast(n, tn_ex_load(n, from, i, NULL), TN_F32), NULL);
  copy.stores = store;
  tn_schedule_pointwise(t, &copy, c);
  tn_st_follow(c);
  return buf;
}

void tn_half_band(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c) {
  struct tn_nest *n = b->nest;
  struct tn_stmt *r = b->reduce;
  struct tn_expr *term = r->reduce.term;
  if (t->small || t->vector_bytes < 32 || term->kind != TN_EX_OP || term->op.op != TN_MUL)
    return;
  double products = 1;
  for (int i = 0; i < b->loops; i++)
    products *= (double)b->loop[i]->extent;
  for (int i = 0; i < r->reduce.count; i++)
    products *= (double)r->reduce.var[i]->extent;
  struct tn_expr *factor[2];
  for (int k = 0; k < 2; k++) {
    factor[k] = term->op.arg[k];
    struct tn_expr *load = half_load(factor[k]);
    if (!load || products < OFTEN * (double)load->load.buf->count)
      continue;
    struct tn_buf *from = load->load.buf;
    if (b->ahead && from->param < 0 && !from->data)
      continue;
    struct tn_buf *wide = from->data ? widened_constant(n, from) : widened_copy(t, n, from, c);
    factor[k] = tn_ex_load(n, wide, load->load.index, NULL);
  }
  r->reduce.term = tn_ex_binary(n, TN_MUL, factor[0], factor[1]);
}
