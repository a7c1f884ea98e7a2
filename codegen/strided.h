/* Copies of boxes of elements from one order into another (strided.c). */
#ifndef TENON_CODEGEN_STRIDED_H
#define TENON_CODEGEN_STRIDED_H

#include "codegen/nest.h"

#define TN_STRIDED_LOOPS 20

/* For all positions p below the extents, with size bytes an element:
 *   to[copy.to + sum p[i] * loop[i].to] = from[copy.from + sum p[i] * loop[i].from] */
struct tn_strided {
  size_t size; /* 1, 2, 4 or 8 */
  int64_t to, from;
  int rank;
  struct tn_strided_loop {
    int64_t extent, to, from;
  } loop[TN_STRIDED_LOOPS];
};
/* No element is written twice; `to` and `from` do not overlap. */
void tn_copy_strided(const struct tn_strided *copy, void *to, const void *from);

/* Whether the loop s, with what is in it, is such a copy between two buffers, within their bounds. */
bool tn_is_strided_copy(const struct tn_stmt *s, struct tn_strided *copy, const struct tn_buf **to,
                        const struct tn_buf **from);

#endif
