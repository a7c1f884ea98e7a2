/* Operators whose elements are found by computed or given indices: gathers, scatters, masks, ranges, and those
 * whose result has as many elements as the data say. */
#include "frontend/onnx/common.h"

#include <math.h>

/* ---- gathers -------------------------------------------------------------------------------------------- */

bool tn_onnx_op_gather(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "data"), indices = tn_onnx_need(n, 1, "indices");
  n->out[0] = tn_gather(n->b, x, indices, tn_onnx_axis(n, "axis", 0, x->type.rank));
  return true;
}

bool tn_onnx_op_gather_elements(struct tn_onnx_node *n) {
  val in[2] = {tn_onnx_need(n, 0, "data"), tn_onnx_need(n, 1, "indices")};
  int axis = tn_onnx_axis(n, "axis", 0, in[0]->type.rank);
  struct tn_node *node = tn_node_make(n->b, TN_GATHER_ELEMENTS, 2, in, 1);
  tn_set_int(node, TN_GATHER_ELEMENTS_axis, axis);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

bool tn_onnx_op_gather_nd(struct tn_onnx_node *n) {
  val in[2] = {tn_onnx_need(n, 0, "data"), tn_onnx_need(n, 1, "indices")};
  struct tn_node *node = tn_node_make(n->b, TN_GATHER_ND, 2, in, 1);
  tn_set_int(node, TN_GATHER_ND_batch_dims, tn_onnx_int(n, "batch_dims", 0));
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* ---- scatters ------------------------------------------------------------------------------------------- */

/* The index in the enum `reduction` of TN_SCATTER_*; -1 after a diagnostic. */
static int scatter_reduction(struct tn_onnx_node *n) {
  static const char *const names[] = {"none", "add", "mul", "max", "min"};
  const char *name = tn_onnx_string(n, "reduction", "none");
  for (size_t i = 0; i < TN_COUNT(names); i++)
    if (!strcmp(names[i], name))
      return (int)i;
  tn_onnx_error(n, "attribute reduction is '%s'; expected none, add, mul, max or min", name);
  return -1;
}

bool tn_onnx_op_scatter_elements(struct tn_onnx_node *n) {
  val in[3] = {tn_onnx_need(n, 0, "data"), tn_onnx_need(n, 1, "indices"), tn_onnx_need(n, 2, "updates")};
  int axis = tn_onnx_axis(n, "axis", 0, in[0]->type.rank), reduction = scatter_reduction(n);
  if (reduction < 0)
    return false;
  struct tn_node *node = tn_node_make(n->b, TN_SCATTER_ELEMENTS, 3, in, 1);
  tn_set_int(node, TN_SCATTER_ELEMENTS_axis, axis);
  tn_set_int(node, TN_SCATTER_ELEMENTS_reduction, reduction);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

bool tn_onnx_op_scatter_nd(struct tn_onnx_node *n) {
  val in[3] = {tn_onnx_need(n, 0, "data"), tn_onnx_need(n, 1, "indices"), tn_onnx_need(n, 2, "updates")};
  int reduction = scatter_reduction(n);
  if (reduction < 0)
    return false;
  struct tn_node *node = tn_node_make(n->b, TN_SCATTER_ND, 3, in, 1);
  tn_set_int(node, TN_SCATTER_ND_reduction, reduction);
  if (!tn_finish(n->b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* Writes update [b, .., s, ..] into the cache [b, .., S, ..] from position write_indices[b] of dim `axis` on;
 * circular: positions wrap at S. */
bool tn_onnx_op_tensor_scatter(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val cache = tn_onnx_need(n, 0, "past_cache"), update = tn_onnx_need(n, 1, "update");
  val start = tn_onnx_in(n, 2);
  int rank = cache->type.rank, axis = tn_onnx_axis(n, "axis", -2, rank);
  const char *mode = tn_onnx_string(n, "mode", "linear");
  if (update->type.rank != rank)
    return tn_onnx_error(n, "update has %d dimensions and past_cache %d", update->type.rank, rank);
  int64_t extent = tn_onnx_extent(n, cache, axis, "past_cache");
  val at = tn_onnx_iota_along(b, TN_I64, tn_onnx_extent(n, update, axis, "update"), axis, rank);
  if (start)
    at = add(b, at, tn_onnx_along(b, tn_cast(b, start, TN_I64), 0, rank));
  if (!strcmp(mode, "circular"))
    at = tn_binary(b, TN_MOD, at, num(b, at, (double)extent));
  else if (strcmp(mode, "linear") != 0)
    return tn_onnx_error(n, "attribute mode is '%s'; expected linear or circular", mode);
  val in[3] = {cache, tn_onnx_expand_like(b, at, &update->type), update};
  struct tn_node *node = tn_node_make(b, TN_SCATTER_ELEMENTS, 3, in, 1);
  tn_set_int(node, TN_SCATTER_ELEMENTS_axis, axis);
  if (!tn_finish(b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* ---- masks and ranges ----------------------------------------------------------------------------------- */

bool tn_onnx_op_one_hot(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val indices = tn_onnx_need(n, 0, "indices"), values = tn_onnx_need(n, 2, "values");
  double depth = tn_onnx_const_float(n, 1, "depth");
  int axis = tn_onnx_axis(n, "axis", -1, indices->type.rank + 1), rank = indices->type.rank + 1;
  if (!(depth >= 0 && depth <= INT32_MAX))
    return tn_onnx_error(n, "depth is %g", depth);
  val at = tn_cast(b, indices, TN_I64), zero = num(b, at, 0);
  at = tn_select(b, tn_binary(b, TN_LT, at, zero), add(b, at, num(b, at, depth)), at);
  at = tn_onnx_unsqueeze(b, at, axis);
  val hot = tn_binary(b, TN_EQ, at, tn_onnx_iota_along(b, TN_I64, (int64_t)depth, axis, rank));
  if (values->type.rank != 1 || values->type.dim[0] != 2)
    return tn_onnx_error(n, "values must be [off, on]");
  n->out[0] = tn_select(b, hot, tn_onnx_scalar(b, tn_onnx_cut(b, values, 0, 1, 1)),
                        tn_onnx_scalar(b, tn_onnx_cut(b, values, 0, 0, 1)));
  return true;
}

bool tn_onnx_op_eye_like(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  if (x->type.rank != 2)
    return tn_onnx_error(n, "expected an operand of 2 dimensions; '%s' has %d", x->name, x->type.rank);
  const int64_t *d = tn_onnx_static_dims(n, x, "input");
  enum tn_dtype to = tn_onnx_has(n, "dtype") ? tn_onnx_dtype(n, tn_onnx_int(n, "dtype", 0)) : x->type.dtype;
  val row = tn_onnx_iota_along(b, TN_I64, d[0], 0, 2), column = tn_onnx_iota_along(b, TN_I64, d[1], 1, 2);
  val diagonal = add(b, row, tn_const_int(b, TN_I64, tn_onnx_int(n, "k", 0)));
  n->out[0] = tn_cast(b, tn_binary(b, TN_EQ, diagonal, column), to);
  return true;
}

/* upper keeps column - row >= k, lower column - row <= k */
bool tn_onnx_op_trilu(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), k = tn_onnx_in(n, 1);
  int rank = x->type.rank;
  if (rank < 2)
    return tn_onnx_error(n, "expected an operand of 2 dimensions or more; '%s' has %d", x->name, rank);
  val row = tn_onnx_iota_along(b, TN_I64, tn_onnx_extent(n, x, rank - 2, "input"), 0, 2);
  val column = tn_onnx_iota_along(b, TN_I64, tn_onnx_extent(n, x, rank - 1, "input"), 1, 2);
  val diagonal = k ? add(b, row, tn_onnx_scalar(b, k)) : row;
  bool upper = tn_onnx_int(n, "upper", 1) != 0;
  n->out[0] = tn_select(b, tn_binary(b, upper ? TN_GE : TN_LE, column, diagonal), x, num(b, x, 0));
  return true;
}

/* start, start + delta, ... below limit. */
bool tn_onnx_op_range(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val first = tn_onnx_scalar(b, tn_onnx_need(n, 0, "start")), step = tn_onnx_need(n, 2, "delta");
  enum tn_dtype dtype = first->type.dtype;
  double start = tn_onnx_const_float(n, 0, "start"), limit = tn_onnx_const_float(n, 1, "limit");
  double delta = tn_onnx_const_float(n, 2, "delta");
  if (delta == 0)
    return tn_onnx_error(n, "delta is 0");
  double count = ceil((limit - start) / delta);
  count = count > 0 ? count : 0;
  if (!(count < 1 << 28))
    return tn_onnx_error(n, "a range from %g to %g by %g has too many elements", start, limit, delta);
  if (tn_dtype_is_int(dtype)) {
    val i = tn_onnx_iota_along(b, dtype, (int64_t)count, 0, 1);
    n->out[0] = add(b, mul(b, i, tn_onnx_scalar(b, step)), first);
    return true;
  }
  struct tn_type type = tn_type_make(dtype, 1, &(tn_dim){(tn_dim)count});
  void *data = tn_alloc(n->arena, (size_t)count * tn_dtype_size(dtype) + 1);
  for (int64_t i = 0; i < (int64_t)count; i++)
    tn_store_float(dtype, data, i, start + (double)i * delta);
  n->out[0] = tn_constant_bytes(b, type, data);
  return true;
}

/* Along time_axis, the first sequence_lens[batch] elements backwards, the others as they are. */
bool tn_onnx_op_reverse_sequence(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input"), lens = tn_onnx_need(n, 1, "sequence_lens");
  int rank = x->type.rank, time = tn_onnx_axis(n, "time_axis", 0, rank);
  int batch = tn_onnx_axis(n, "batch_axis", 1, rank);
  if (time == batch || lens->type.rank != 1)
    return tn_onnx_error(n, "expected sequence_lens of one dimension and two different axes");
  val len = tn_onnx_along(b, tn_cast(b, lens, TN_I64), batch, rank);
  val t = tn_onnx_iota_along(b, TN_I64, tn_onnx_extent(n, x, time, "input"), time, rank);
  val back = sub(b, sub(b, len, num(b, len, 1)), t);
  val at = tn_select(b, tn_binary(b, TN_LT, t, len), back, t);
  val in[2] = {x, tn_onnx_expand_like(b, at, &x->type)};
  struct tn_node *node = tn_node_make(b, TN_GATHER_ELEMENTS, 2, in, 1);
  tn_set_int(node, TN_GATHER_ELEMENTS_axis, time);
  if (!tn_finish(b, node))
    return false;
  n->out[0] = node->out[0];
  return true;
}

/* ---- results as large as the data say: only for what is known now --------------------------------------- */

bool tn_onnx_op_compress(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val x = tn_onnx_need(n, 0, "input");
  struct tn_ints keep = tn_onnx_const_ints(n, 1, "condition");
  int axis = 0;
  if (tn_onnx_has(n, "axis"))
    axis = tn_onnx_axis(n, "axis", 0, x->type.rank);
  else
    x = tn_reshape(b, x, 1, (tn_dim[]){tn_onnx_product(module_of(n), x->type.dim, x->type.rank)});
  int64_t *at = TN_NEW_ARRAY(n->arena, int64_t, keep.count + 1);
  size_t count = 0;
  for (size_t i = 0; i < keep.count; i++)
    if (keep.at[i])
      at[count++] = (int64_t)i;
  n->out[0] = tn_gather(b, x, tn_const_i64s(b, at, count), axis);
  return true;
}

bool tn_onnx_op_non_zero(struct tn_onnx_node *n) {
  val v = tn_onnx_need(n, 0, "X");
  const struct tn_tensor *x = tn_onnx_known(n, 0);
  int64_t count, found = 0;
  if (!x)
    tn_onnx_need_value(n, 0, "X");
  if (!tn_type_count(&x->type, &count))
    return tn_onnx_error(n, "the extent of '%s' is not known", v->name);
  int rank = x->type.rank;
  int64_t *at = TN_NEW_ARRAY(n->arena, int64_t, count + 1);
  for (int64_t i = 0; i < count; i++)
    if (tn_tensor_float(x, i) != 0)
      at[found++] = i;
  int64_t *table = TN_NEW_ARRAY(n->arena, int64_t, found *rank + 1); /* [rank, found] */
  for (int64_t j = 0; j < found; j++) {
    int64_t rest = at[j];
    for (int d = rank - 1; d >= 0; d--) {
      table[d * found + j] = rest % x->type.dim[d];
      rest /= x->type.dim[d];
    }
  }
  n->out[0] = tn_constant_bytes(n->b, tn_type_make(TN_I64, 2, (tn_dim[]){rank, found}), table);
  return true;
}

/* Order of two slices of x [pre, d, post] along d. */
static int slice_order(const struct tn_tensor *x, int64_t pre, int64_t d, int64_t post, int64_t i, int64_t j) {
  for (int64_t a = 0; a < pre; a++)
    for (int64_t c = 0; c < post; c++) {
      double p = tn_tensor_float(x, (a * d + i) * post + c), q = tn_tensor_float(x, (a * d + j) * post + c);
      if (p != q)
        return p < q ? -1 : 1;
    }
  return 0;
}

/* Y: the distinct slices; indices of their first place; inverse: which one each slice is; counts. */
bool tn_onnx_op_unique(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  val v = tn_onnx_need(n, 0, "X");
  const struct tn_tensor *x = tn_onnx_known(n, 0);
  if (!x)
    tn_onnx_need_value(n, 0, "X");
  bool flat = !tn_onnx_has(n, "axis"), sorted = tn_onnx_int(n, "sorted", 1) != 0;
  int axis = flat ? 0 : tn_onnx_axis(n, "axis", 0, x->type.rank);
  int64_t pre = 1, post = 1, d = 1;
  for (int i = 0; i < x->type.rank; i++)
    *(flat || i == axis ? &d : i < axis ? &pre : &post) *= x->type.dim[i];
  if ((double)d * (double)d * (double)pre * (double)post > 1 << 30)
    return tn_onnx_unsupported(n, "%lld slices are too many to compare at compile time", (long long)d);
  int64_t *first = TN_NEW_ARRAY(n->arena, int64_t, d + 1), *count = TN_NEW_ARRAY(n->arena, int64_t, d + 1);
  int64_t *inverse = TN_NEW_ARRAY(n->arena, int64_t, d + 1), found = 0;
  for (int64_t i = 0; i < d; i++) {
    int64_t at = 0;
    while (at < found && slice_order(x, pre, d, post, first[at], i) != 0)
      at++;
    if (at == found)
      first[found++] = i;
    inverse[i] = at;
    count[at]++;
  }
  /* insertion sort of the distinct ones; inverse follows through `place` */
  int64_t *order = TN_NEW_ARRAY(n->arena, int64_t, d + 1), *place = TN_NEW_ARRAY(n->arena, int64_t, d + 1);
  for (int64_t i = 0; i < found; i++) {
    int64_t at = i;
    for (; sorted && at > 0 && slice_order(x, pre, d, post, first[order[at - 1]], first[i]) > 0; at--)
      order[at] = order[at - 1];
    order[at] = i;
  }
  int64_t *firsts = TN_NEW_ARRAY(n->arena, int64_t, d + 1), *counts = TN_NEW_ARRAY(n->arena, int64_t, d + 1);
  for (int64_t i = 0; i < found; i++) {
    place[order[i]] = i;
    firsts[i] = first[order[i]];
    counts[i] = count[order[i]];
  }
  for (int64_t i = 0; i < d; i++)
    inverse[i] = place[inverse[i]];
  if (flat)
    v = tn_reshape(b, v, 1, &d);
  n->out[0] = tn_gather(b, v, tn_const_i64s(b, firsts, (size_t)found), axis);
  if (n->out_count > 1)
    n->out[1] = tn_const_i64s(b, firsts, (size_t)found);
  if (n->out_count > 2)
    n->out[2] = tn_const_i64s(b, inverse, (size_t)d);
  if (n->out_count > 3)
    n->out[3] = tn_const_i64s(b, counts, (size_t)found);
  return true;
}

bool tn_onnx_op_data_dependent(struct tn_onnx_node *n) {
  return tn_onnx_unsupported(
      n, "the size of its result depends on the data, and a compiled model's shapes are fixed");
}
