/* Matrix products: MatMul, Gemm, Einsum and their fused forms. */
#include "frontend/onnx/common.h"

/* numpy.matmul: a 1-D left operand is a row, a 1-D right one a column, and that dim leaves the result. */
bool tn_onnx_op_matmul(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B");
  if (x->type.rank == 0 || y->type.rank == 0)
    return tn_onnx_error(n, "an operand has no dimensions");
  bool row = x->type.rank == 1, column = y->type.rank == 1;
  val z = tn_matmul(b, row ? tn_onnx_unsqueeze(b, x, 0) : x, column ? tn_onnx_unsqueeze(b, y, 1) : y);
  if (column)
    z = tn_onnx_squeeze(b, z, z->type.rank - 1);
  if (row)
    z = tn_onnx_squeeze(b, z, z->type.rank - (column ? 1 : 2));
  n->out[0] = z;
  return true;
}

static val matrix_transposed(struct tn_build *b, val x) {
  return tn_onnx_move_dim(b, x, x->type.rank - 1, x->type.rank - 2);
}

/* alpha * A' * B' + beta * C; `activation` of com.microsoft FusedGemm. */
bool tn_onnx_op_gemm(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B"), c = tn_onnx_in(n, 2);
  double alpha = tn_onnx_float(n, "alpha", 1), beta = tn_onnx_float(n, "beta", 1);
  if (x->type.rank != 2 || y->type.rank != 2)
    return tn_onnx_error(n, "expected matrices; found operands of %d and %d dimensions", x->type.rank,
                         y->type.rank);
  if (tn_onnx_int(n, "transA", 0))
    x = matrix_transposed(b, x);
  if (tn_onnx_int(n, "transB", 0))
    y = matrix_transposed(b, y);
  val z = tn_matmul(b, x, y);
  if (alpha != 1)
    z = mul(b, z, num(b, z, alpha));
  if (c && beta != 0)
    z = add(b, z, beta == 1 ? c : mul(b, c, num(b, c, beta)));
  if (n->arg) {
    float params[3] = {(float)tn_onnx_float(n, "activation_alpha", 0),
                       (float)tn_onnx_float(n, "activation_beta", 0)};
    size_t count = tn_onnx_has(n, "activation_beta") ? 2 : tn_onnx_has(n, "activation_alpha") ? 1 : 0;
    z = tn_onnx_activation(n, z, tn_onnx_string(n, "activation", ""), params, count);
  }
  n->out[0] = z;
  return true;
}

/* com.microsoft FusedMatMul and TransposeMatMul: alpha * A' * B' over batches. */
bool tn_onnx_op_fused_matmul(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "A"), y = tn_onnx_need(n, 1, "B");
  double alpha = tn_onnx_float(n, "alpha", 1);
  if (x->type.rank < 2 || y->type.rank < 2)
    return tn_onnx_error(n, "expected operands of 2 dimensions or more; found %d and %d", x->type.rank,
                         y->type.rank);
  /* a matrix's rows may be the first dim, before those of the batch */
  if (tn_onnx_int(n, "transBatchA", 0))
    x = tn_onnx_move_dim(b, x, 0, x->type.rank - 2);
  if (tn_onnx_int(n, "transBatchB", 0))
    y = tn_onnx_move_dim(b, y, 0, y->type.rank - 2);
  if (tn_onnx_int(n, "transA", 0))
    x = matrix_transposed(b, x);
  if (tn_onnx_int(n, "transB", 0))
    y = matrix_transposed(b, y);
  val z = tn_matmul(b, x, y);
  n->out[0] = alpha == 1 ? z : mul(b, z, num(b, z, alpha));
  return true;
}

/* ---- Einsum --------------------------------------------------------------------------------------------- */

enum { MAX_LABELS = 64, ELLIPSIS = 64 /* labels of the dims that "..." stands for: ELLIPSIS + place */ };

/* One term of the equation: labels of `rank` dims (rank < 0: the output, where "..." stands for all `dots`). */
static bool einsum_term(struct tn_onnx_node *n, const char *at, const char *end, int rank, int dots,
                        int64_t *labels, int *count) {
  int named = 0;
  bool open = false;
  for (const char *c = at; c < end; c++)
    if (*c != '.' && *c != ' ')
      named++;
  *count = 0;
  for (const char *c = at; c < end; c++) {
    if (*c == ' ')
      continue;
    if (*c == '.') {
      if (open || end - c < 3 || c[1] != '.' || c[2] != '.')
        return tn_onnx_error(n, "a stray dot in the equation");
      int dims = rank < 0 ? dots : rank - named;
      if (dims < 0 || dims > dots)
        return tn_onnx_error(n, "the equation names %d dimensions of an operand that has %d", named, rank);
      if (*count + dims > TN_MAX_RANK)
        return tn_onnx_unsupported(n, "a term of the equation has more than %d dimensions", TN_MAX_RANK);
      for (int i = 0; i < dims; i++)
        labels[(*count)++] = ELLIPSIS + (dots - dims) + i; /* aligned at the right, as broadcasting is */
      c += 2;
      open = true;
      continue;
    }
    if (*count == TN_MAX_RANK)
      return tn_onnx_unsupported(n, "a term of the equation has more than %d dimensions", TN_MAX_RANK);
    bool upper = *c >= 'A' && *c <= 'Z', lower = *c >= 'a' && *c <= 'z';
    if (!upper && !lower)
      return tn_onnx_error(n, "character '%c' in the equation; expected letters, commas, dots and ->", *c);
    labels[(*count)++] = upper ? *c - 'A' + 26 : *c - 'a';
  }
  if (rank >= 0 && *count != rank)
    return tn_onnx_error(n, "the equation names %d dimensions of an operand that has %d", *count, rank);
  return true;
}

bool tn_onnx_op_einsum(struct tn_onnx_node *n) {
  const char *equation = tn_onnx_string(n, "equation", "");
  const char *arrow = strstr(equation, "->"), *stop = arrow ? arrow : equation + strlen(equation);
  TN_VEC(int64_t) list = {0};
  int seen[ELLIPSIS + TN_MAX_RANK] = {0}, dots = 0, count;
  int64_t labels[TN_MAX_RANK];
  /* the widest "..." */
  const char *at = equation;
  for (int i = 0; i < n->in_count; i++) {
    const char *end = memchr(at, ',', (size_t)(stop - at));
    end = end ? end : stop;
    int named = 0, rank = tn_onnx_need(n, i, "Inputs")->type.rank;
    bool open = false;
    for (const char *c = at; c < end; c++) {
      named += *c != '.' && *c != ' ';
      open = open || *c == '.';
    }
    if (open && rank - named > dots)
      dots = rank - named;
    if (end == stop && i + 1 < n->in_count)
      return tn_onnx_error(n, "the equation has %d terms and the node %d operands", i + 1, n->in_count);
    at = end < stop ? end + 1 : stop;
  }
  at = equation;
  for (int i = 0; i < n->in_count; i++) {
    const char *end = memchr(at, ',', (size_t)(stop - at));
    end = end ? end : stop;
    if (!einsum_term(n, at, end, n->in[i]->type.rank, dots, labels, &count))
      return false;
    TN_PUSH(n->arena, &list, count);
    for (int j = 0; j < count; j++) {
      TN_PUSH(n->arena, &list, labels[j]);
      seen[labels[j]]++;
    }
    at = end < stop ? end + 1 : stop;
  }
  if (at != stop || (stop > equation && stop[-1] == ','))
    return tn_onnx_error(n, "the equation has more terms than the node has operands (%d)", n->in_count);
  if (arrow) {
    if (!einsum_term(n, arrow + 2, arrow + strlen(arrow), -1, dots, labels, &count))
      return false;
  } else { /* the dots, then every letter met once, in alphabetical order (capitals first, as in ASCII) */
    count = 0;
    for (int i = 0; i < dots && count < TN_MAX_RANK; i++)
      labels[count++] = ELLIPSIS + i;
    for (int i = 0; i < 52 && count < TN_MAX_RANK; i++)
      if (seen[(i + 26) % 52] == 1)
        labels[count++] = (i + 26) % 52;
  }
  TN_PUSH(n->arena, &list, count);
  for (int j = 0; j < count; j++)
    TN_PUSH(n->arena, &list, labels[j]);
  struct tn_node *node = tn_node_make(n->b, TN_EINSUM, n->in_count, n->in, 1);
  tn_set_ints(node, TN_EINSUM_labels, list.at, list.count);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* ---- Det ------------------------------------------------------------------------------------------------ */

/* x[..., n, n] by elimination with row exchange, unrolled: each step picks the pivot by selection. */
bool tn_onnx_op_det(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "X");
  int rank = x->type.rank;
  if (rank < 2)
    return tn_onnx_error(n, "expected square matrices; '%s' has %d dimensions", x->name, rank);
  int64_t size = tn_onnx_extent(n, x, rank - 1, "X");
  if (size != tn_onnx_extent(n, x, rank - 2, "X"))
    return tn_onnx_error(n, "expected square matrices; found %lld by %lld", (long long)x->type.dim[rank - 2],
                         (long long)size);
  if (size > 16)
    return tn_onnx_unsupported(n, "matrices of %lld rows; 16 are the most", (long long)size);
  val det = NULL;
  for (int64_t left = size; left > 0; left--) { /* x is [..., left, left] */
    val column = tn_onnx_cut(b, x, rank - 1, 0, 1);
    struct tn_node *arg = tn_node_make(b, TN_ARG_MAX, 1, (val[]){tn_unary(b, TN_ABS, column)}, 1);
    tn_set_int(arg, TN_ARG_MAX_axis, rank - 2);
    if (!tn_finish(b, arg))
      return false;
    val pivot_at = arg->out[0]; /* [..., 1, 1] */
    val row = tn_onnx_iota_along(b, TN_I64, left, rank - 2, rank);
    val is_pivot = tn_binary(b, TN_EQ, row, pivot_at);
    val pivot_row =
        tn_reduce(b, TN_REDUCE_SUM, tn_select(b, is_pivot, x, num(b, x, 0)), (int64_t[]){rank - 2}, 1, true);
    val pivot = tn_onnx_cut(b, pivot_row, rank - 1, 0, 1);
    val moved = tn_binary(b, TN_NE, pivot_at, num(b, pivot_at, 0));
    val signed_pivot = tn_select(b, moved, tn_unary(b, TN_NEG, pivot), pivot);
    det = det ? mul(b, det, signed_pivot) : signed_pivot;
    if (left == 1)
      break;
    /* the first row takes the pivot's place; a zero column leaves the rows as they are, as the product is zero
     */
    val rows = tn_select(b, is_pivot, tn_onnx_cut(b, x, rank - 2, 0, 1), x);
    rows = tn_onnx_cut(b, rows, rank - 2, 1, left - 1);
    val zero = tn_binary(b, TN_EQ, pivot, num(b, pivot, 0));
    val factor = quo(b, tn_onnx_cut(b, rows, rank - 1, 0, 1), tn_select(b, zero, num(b, pivot, 1), pivot));
    rows = sub(b, rows, mul(b, factor, pivot_row));
    x = tn_onnx_cut(b, rows, rank - 1, 1, left - 1);
  }
  if (!det)
    return tn_onnx_unsupported(n, "matrices without elements");
  det = tn_onnx_squeeze(b, det, rank - 1);
  n->out[0] = tn_onnx_squeeze(b, det, rank - 2);
  return true;
}
