/* How dims pass through a reshape. */
#include "passes/layout.h"

/* Walks both shapes at once: a block ends where the products of extents agree.  Dims of extent 1 belong to the
 * block before them; those at the front to the first. */
int tn_reshape_blocks(const struct tn_type *from, const struct tn_type *to, struct tn_block *out) {
  int count = 0, i = 0, j = 0;
  while (i < from->rank || j < to->rank) {
    struct tn_block block = {{i, i}, {j, j}};
    int64_t a = 1, b = 1;
    bool begun = false;
    while (i < from->rank && from->dim[i] == 1)
      i++;
    while (j < to->rank && to->dim[j] == 1)
      j++;
    if (i < from->rank && j < to->rank && from->dim[i] == to->dim[j]) { /* also one and the same symbol */
      i++, j++;
      begun = true;
    }
    while (!begun || a != b) {
      bool left = !begun || a < b;
      if (i == from->rank && j == to->rank && !begun)
        break;
      if (left ? i == from->rank : j == to->rank)
        return -1;
      tn_dim dim = left ? from->dim[i++] : to->dim[j++];
      /* An empty tensor's dims fit together in any way. */
      if (!tn_dim_static(dim) || dim == 0 || !tn_mul_i64(left ? a : b, dim, left ? &a : &b))
        return -1;
      begun = true;
    }
    while (i < from->rank && from->dim[i] == 1)
      i++;
    while (j < to->rank && to->dim[j] == 1)
      j++;
    block.from[1] = i;
    block.to[1] = j;
    out[count++] = block;
  }
  return count;
}
