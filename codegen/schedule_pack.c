/* Packing constants: the operand that the vector axis walks is stored in the order in which the inner loop
 * reads it - panel by panel, in a panel reduction step by step - so that it streams, and needs no masks. */
#include "codegen/schedule.h"
#include "codegen/strided.h"

static bool of_band(const struct tn_band *b, const struct tn_var *axis, const struct tn_expr *e) {
  const struct tn_stmt *r = b->reduce;
  return e->kind == TN_EX_VAR && (e->var == axis || tn_var_among(e->var, b->loop, b->loops) ||
                                  tn_var_among(e->var, r->reduce.var, r->reduce.count));
}

bool tn_ex_of_band(const struct tn_band *b, const struct tn_var *axis, const struct tn_expr *index) {
  for (int i = 0; index->kind == TN_EX_AFFINE && i < index->affine.count; i++)
    if (!of_band(b, axis, index->affine.term[i]))
      return false;
  return index->kind == TN_EX_AFFINE || index->kind == TN_EX_INT || of_band(b, axis, index);
}

bool tn_pack(struct tn_band *b, struct tn_expr *load, struct tn_var *axis, const struct tn_segment *seg,
             struct tn_packed *out) {
  struct tn_nest *n = b->nest;
  const struct tn_stmt *r = b->reduce;
  const struct tn_expr *index = load->load.index;
  const struct tn_buf *from = load->load.buf;
  *out = (struct tn_packed){.load = load};
  struct tn_strided copy = {.size = tn_dtype_size(from->dtype)};
  struct tn_strided_loop *loop = copy.loop;
  int count = 0;
  int64_t stride, width = (int64_t)seg->lanes * seg->vectors, elements = 1;

  /* Loops in packed order: the one around the band, result loops it depends on, panel, reduction loops, column.
   */
  if (n->in_order && tn_ex_uses(index, n->in_order)) {
    if (!tn_ex_stride(index, n->in_order, &stride))
      return false;
    out->outer[out->outer_count++] = n->in_order;
    loop[count].extent = n->in_order->extent;
    loop[count++].from = stride;
    struct tn_expr *first = tn_ix(n, 0);
    index = tn_ex_replace(n, load->load.index, 1, &n->in_order, &first);
  }
  if (load->load.guard || !tn_ex_of_band(b, axis, index))
    return false;
  for (int i = 0; i < b->loops; i++) {
    if (b->loop[i] == axis || !tn_ex_uses(index, b->loop[i]))
      continue;
    if (!tn_ex_stride(index, b->loop[i], &stride))
      return false;
    out->outer[out->outer_count++] = b->loop[i];
    loop[count].extent = b->loop[i]->extent;
    loop[count++].from = stride;
  }
  int64_t column;
  if (!tn_ex_stride(index, axis, &column))
    return false;
  int panel = count;
  loop[count].extent = seg->whole;
  loop[count++].from = column * width;
  for (int i = 0; i < r->reduce.count; i++) {
    if (!tn_ex_stride(index, r->reduce.var[i], &stride))
      return false;
    loop[count].extent = r->reduce.var[i]->extent;
    loop[count++].from = stride;
  }
  loop[count].extent = width;
  loop[count++].from = column;
  for (int i = count - 1; i >= 0; i--) {
    loop[i].to = elements;
    elements *= loop[i].extent;
  }
  copy.rank = count;
  copy.from = (index->kind == TN_EX_AFFINE ? index->affine.base
               : index->kind == TN_EX_INT  ? index->i
                                           : 0) +
              column * seg->start;

  /* The panels that are full, then the one that is not: zeros follow its columns. */
  int64_t whole = (axis->extent - seg->start) / width, rest = axis->extent - seg->start - whole * width;
  bool full = seg->whole <= whole;
  size_t bytes = (size_t)elements * copy.size;
  uint8_t *to = full ? tn_alloc_raw(n->arena, bytes, 64) : tn_alloc(n->arena, bytes);
  loop[panel].extent = full ? seg->whole : whole;
  tn_copy_strided(&copy, to, from->data->data);
  if (!full) {
    copy.to = loop[panel].to * whole;
    copy.from += loop[panel].from * whole;
    loop[panel].extent = 1;
    loop[count - 1].extent = rest;
    tn_copy_strided(&copy, to, from->data->data);
  }
  int64_t dims[1] = {elements};
  struct tn_tensor *tensor = TN_NEW(n->arena, struct tn_tensor);
  tensor->type = tn_type_make(from->dtype, 1, dims);
  tensor->data = to;
  tensor->bytes = bytes;
  out->buf = tn_nest_local(n, from->name, from->dtype, dims[0]);
  out->buf->data = tensor;
  return true;
}
