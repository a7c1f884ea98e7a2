/* Copies of boxes of elements from one order into another, in blocks: what transposes, slices and reversals of
 * constants are, and what packing is. */
#include "codegen/strided.h"

#include <stdlib.h>

/* Elements a side of a block: the lines that it reads and writes stay in the nearest cache, even when they fall
 * into few of its sets. */
enum { BLOCK = 16 };

/* ---- the copy -----------------------------------------------------------------------------------------------
 */

/* Leaves out loops of one iteration, sorts the rest by where they write, merges those that are one loop. */
static void normalize(struct tn_strided *c) {
  int rank = 0;
  for (int i = 0; i < c->rank; i++) {
    struct tn_strided_loop l = c->loop[i];
    int at = rank;
    if (l.extent == 1)
      continue;
    for (; at > 0 && llabs(c->loop[at - 1].to) < llabs(l.to); at--)
      c->loop[at] = c->loop[at - 1];
    c->loop[at] = l;
    rank++;
  }
  c->rank = rank;
  for (int i = rank - 1; i > 0; i--) {
    struct tn_strided_loop *outer = &c->loop[i - 1], *inner = &c->loop[i];
    if (outer->to != inner->extent * inner->to || outer->from != inner->extent * inner->from)
      continue;
    *outer = (struct tn_strided_loop){outer->extent * inner->extent, inner->to, inner->from};
    memmove(inner, inner + 1, (size_t)(c->rank - i - 1) * sizeof *inner);
    c->rank--;
  }
}

/* Two loops, the second the one that writes one after the other.  Elements may lie anywhere: those of a mapped
 * file do.
 */
#define COPY_PLANE(size)                                                                                    \
  static void copy_plane_##size(const struct tn_strided_loop *a, const struct tn_strided_loop *b, char *to, \
                                const char *from) {                                                         \
    for (int64_t j0 = 0; j0 < b->extent; j0 += BLOCK)                                                       \
      for (int64_t i0 = 0; i0 < a->extent; i0 += BLOCK) {                                                   \
        int64_t i1 = a->extent - i0 < BLOCK ? a->extent : i0 + BLOCK;                                       \
        int64_t j1 = b->extent - j0 < BLOCK ? b->extent : j0 + BLOCK;                                       \
        for (int64_t i = i0; i < i1; i++)                                                                   \
          for (int64_t j = j0; j < j1; j++)                                                                 \
            memcpy(to + (i * a->to + j * b->to) * size, from + (i * a->from + j * b->from) * size, size);   \
      }                                                                                                     \
  }
COPY_PLANE(1)
COPY_PLANE(2)
COPY_PLANE(4)
COPY_PLANE(8)

static void copy_plane(int64_t size, const struct tn_strided_loop *a, const struct tn_strided_loop *b, char *to,
                       const char *from) {
  if (b->to == 1 && b->from == 1)
    for (int64_t i = 0; i < a->extent; i++)
      memcpy(to + i * a->to * size, from + i * a->from * size, (size_t)(b->extent * size));
  else
    (size == 1   ? copy_plane_1
     : size == 2 ? copy_plane_2
     : size == 4 ? copy_plane_4
                 : copy_plane_8)(a, b, to, from);
}

void tn_copy_strided(const struct tn_strided *copy, void *to, const void *from) {
  struct tn_strided c = *copy;
  int64_t total = 1, at[TN_STRIDED_LOOPS] = {0}, size = (int64_t)c.size;
  for (int i = 0; i < c.rank; i++)
    total *= c.loop[i].extent;
  if (!total)
    return;
  normalize(&c);
  /* The plane: the loop that writes one after the other, and of the rest the one that reads so. */
  struct tn_strided_loop once = {1, 0, 0}, a = once, b = once;
  if (c.rank > 0)
    b = c.loop[--c.rank];
  if (c.rank > 0) {
    int least = 0;
    for (int i = 1; i < c.rank; i++)
      if (llabs(c.loop[i].from) <= llabs(c.loop[least].from))
        least = i;
    a = c.loop[least];
    memmove(&c.loop[least], &c.loop[least + 1], (size_t)(c.rank - least - 1) * sizeof a);
    c.rank--;
  }
  char *t = (char *)to + copy->to * size;
  const char *f = (const char *)from + copy->from * size;
  for (int64_t n = total / a.extent / b.extent; n > 0; n--) {
    copy_plane(size, &a, &b, t, f);
    for (int i = c.rank - 1; i >= 0; i--) {
      t += c.loop[i].to * size;
      f += c.loop[i].from * size;
      if (++at[i] < c.loop[i].extent)
        break;
      t -= c.loop[i].to * size * c.loop[i].extent;
      f -= c.loop[i].from * size * c.loop[i].extent;
      at[i] = 0;
    }
  }
}

/* ---- nests that are one -------------------------------------------------------------------------------------
 */

/* The position as base and strides; false when it is none of loops alone, or leaves the buffer. */
static bool position(const struct tn_expr *e, struct tn_var *const *var, struct tn_strided *c, bool to,
                     const struct tn_buf *buf) {
  int64_t base = 0, low, high;
  if (e->kind == TN_EX_INT)
    base = e->i;
  else if (e->kind == TN_EX_AFFINE)
    base = e->affine.base;
  else if (e->kind != TN_EX_VAR)
    return false;
  for (int i = 0; i < (e->kind == TN_EX_VAR ? 1 : e->kind == TN_EX_AFFINE ? e->affine.count : 0); i++) {
    const struct tn_expr *term = e->kind == TN_EX_VAR ? e : e->affine.term[i];
    bool known = false;
    for (int k = 0; k < c->rank && term->kind == TN_EX_VAR; k++)
      known |= term->var == var[k];
    if (!known)
      return false;
  }
  low = high = base;
  for (int i = 0; i < c->rank; i++) {
    int64_t stride;
    if (!tn_ex_stride(e, var[i], &stride))
      return false;
    *(to ? &c->loop[i].to : &c->loop[i].from) = stride;
    *(stride < 0 ? &low : &high) += stride * (c->loop[i].extent - 1);
  }
  *(to ? &c->to : &c->from) = base;
  return low >= 0 && high < buf->count;
}

/* No two positions are written to the same element: each stride goes beyond all that the smaller ones reach. */
static bool writes_once(const struct tn_strided *c) {
  for (int i = 0; i < c->rank; i++) {
    int64_t reach = 0;
    for (int k = 0; k < c->rank; k++)
      if (k != i && c->loop[k].extent > 1 && llabs(c->loop[k].to) <= llabs(c->loop[i].to))
        reach += llabs(c->loop[k].to) * (c->loop[k].extent - 1);
    if (c->loop[i].extent > 1 && reach >= llabs(c->loop[i].to))
      return false;
  }
  return true;
}

bool tn_is_strided_copy(const struct tn_stmt *s, struct tn_strided *c, const struct tn_buf **to,
                        const struct tn_buf **from) {
  struct tn_var *var[TN_STRIDED_LOOPS];
  c->rank = 0;
  for (bool outermost = true; s && s->kind == TN_ST_LOOP && (outermost || !s->next); s = s->loop.body) {
    outermost = false;
    if (c->rank == TN_STRIDED_LOOPS || s->loop.var->extent < 1)
      return false;
    var[c->rank] = s->loop.var;
    c->loop[c->rank++].extent = s->loop.var->extent;
  }
  if (!s || s->next || s->kind != TN_ST_STORE || s->store.guard)
    return false;
  const struct tn_expr *value = s->store.value;
  if (value->kind != TN_EX_LOAD || value->load.guard || value->load.bytes)
    return false;
  *to = s->store.buf;
  *from = value->load.buf;
  c->size = tn_dtype_size((*to)->dtype);
  /* A truth value is stored as 0 or 1, whatever is read. */
  return (*to)->dtype == (*from)->dtype && (*to)->dtype != TN_BOOL &&
         position(s->store.index, var, c, true, *to) && position(value->load.index, var, c, false, *from) &&
         writes_once(c);
}
