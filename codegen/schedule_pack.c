/* Packing constants: the operand that the vector axis walks is stored in the order in which the inner loop
 * reads it - panel by panel, in a panel reduction step by step - so that it streams, and needs no masks. */
#include "codegen/schedule.h"

bool tn_ex_of_loops(const struct tn_expr *index) {
  for (int i = 0; index->kind == TN_EX_AFFINE && i < index->affine.count; i++)
    if (index->affine.term[i]->kind != TN_EX_VAR)
      return false;
  return index->kind == TN_EX_AFFINE || index->kind == TN_EX_VAR || index->kind == TN_EX_INT;
}

bool tn_pack(struct tn_band *b, struct tn_expr *load, struct tn_var *axis, const struct tn_segment *seg,
             struct tn_packed *out) {
  struct tn_nest *n = b->nest;
  const struct tn_stmt *r = b->reduce;
  const struct tn_expr *index = load->load.index;
  const struct tn_buf *from = load->load.buf;
  *out = (struct tn_packed){.load = load};
  if (load->load.guard || !tn_ex_of_loops(index))
    return false;

  /* Loops in packed order: result loops it depends on, panel, reduction loops, column. */
  struct {
    int64_t extent, stride;
  } loop[2 * TN_MAX_REDUCE + 2];
  int count = 0;
  int64_t stride, width = (int64_t)seg->lanes * seg->vectors, elements = 1;
  for (int i = 0; i < b->loops; i++) {
    if (b->loop[i] == axis || !tn_ex_uses(index, b->loop[i]))
      continue;
    if (!tn_ex_stride(index, b->loop[i], &stride))
      return false;
    out->outer[out->outer_count++] = b->loop[i];
    loop[count].extent = b->loop[i]->extent;
    loop[count++].stride = stride;
  }
  int64_t column;
  if (!tn_ex_stride(index, axis, &column))
    return false;
  int panel = count;
  loop[count].extent = seg->whole;
  loop[count++].stride = column * width;
  for (int i = 0; i < r->reduce.count; i++) {
    if (!tn_ex_stride(index, r->reduce.var[i], &stride))
      return false;
    loop[count].extent = r->reduce.var[i]->extent;
    loop[count++].stride = stride;
  }
  for (int i = 0; i < count; i++)
    elements *= loop[i].extent;
  int64_t base = index->kind == TN_EX_AFFINE ? index->affine.base : index->kind == TN_EX_INT ? index->i : 0;

  size_t size = tn_dtype_size(from->dtype);
  uint8_t *to = tn_alloc(n->arena, (size_t)(elements * width) * size);
  const uint8_t *data = from->data->data;
  int64_t at[2 * TN_MAX_REDUCE + 2] = {0}, where = base + column * seg->start;
  for (int64_t e = 0; e < elements; e++) {
    int64_t first = seg->start + at[panel] * width; /* column number of the row's first */
    int64_t valid = axis->extent - first < width ? axis->extent - first : width;
    uint8_t *row = to + (size_t)(e * width) * size;
    for (int64_t k = 0; k < valid; k++)
      memcpy(row + (size_t)k * size, data + (size_t)(where + k * column) * size, size);
    for (int i = count - 1; i >= 0; i--) { /* next position, innermost loop first */
      where += loop[i].stride;
      if (++at[i] < loop[i].extent)
        break;
      where -= loop[i].stride * loop[i].extent;
      at[i] = 0;
    }
  }
  int64_t dims[1] = {elements * width};
  struct tn_tensor *tensor = TN_NEW(n->arena, struct tn_tensor);
  tensor->type = tn_type_make(from->dtype, 1, dims);
  tensor->data = to;
  tensor->bytes = (size_t)dims[0] * size;
  out->buf = tn_nest_local(n, from->name, from->dtype, dims[0]);
  out->buf->data = tensor;
  return true;
}
