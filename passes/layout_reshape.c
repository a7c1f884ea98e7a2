/* How dims, and layouts, pass through a reshape. */
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

int tn_only_dim(const struct tn_type *type, const int range[2]) {
  int only = -1;
  for (int d = range[0]; d < range[1]; d++)
    if (type->dim[d] != 1) {
      if (only >= 0)
        return -1;
      only = d;
    }
  return only;
}

bool tn_layout_through(const struct tn_type *from, const struct tn_type *to, const struct tn_layout *before,
                       struct tn_layout *after) {
  struct tn_block block[2 * TN_MAX_RANK];
  int count = tn_reshape_blocks(from, to, block), at = 0;
  if (count < 0)
    return false;
  *after = tn_layout_identity(to->rank);
  /* Each block must lie in one piece and in its own order; the pieces may be in any order. */
  for (int i = 0; i < before->rank;) {
    int dim = before->at[i], k = 0;
    if (from->dim[dim] == 1) { /* lies nowhere */
      i++;
      continue;
    }
    while (dim >= block[k].from[1])
      k++;
    for (int next = block[k].from[0]; next < block[k].from[1]; next++) {
      if (from->dim[next] == 1)
        continue;
      while (i < before->rank && from->dim[before->at[i]] == 1)
        i++;
      if (i == before->rank || before->at[i] != next)
        return false;
      i++;
    }
    for (int j = block[k].to[0]; j < block[k].to[1]; j++)
      after->at[at++] = (uint8_t)j;
  }
  /* Blocks of nothing but extents of 1. */
  for (int j = 0; j < to->rank; j++) {
    bool placed = false;
    for (int i = 0; i < at && !placed; i++)
      placed = after->at[i] == j;
    if (!placed)
      after->at[at++] = (uint8_t)j;
  }
  return true;
}

struct tn_value *tn_permute(struct tn_build *b, struct tn_value *x, const int64_t *perm) {
  tn_dim dim[TN_MAX_RANK];
  bool same = true, ordered = true;
  int64_t last = -1;
  for (int i = 0; i < x->type.rank; i++) {
    dim[i] = x->type.dim[perm[i]];
    same = same && perm[i] == i;
    if (dim[i] != 1) {
      ordered = ordered && perm[i] > last;
      last = perm[i];
    }
  }
  if (same)
    return x;
  return ordered ? tn_reshape(b, x, x->type.rank, dim) : tn_transpose(b, x, perm);
}
