/* Sequences and optionals.  They exist during import only: a sequence is followed as the list of what it holds,
 * so its length and every position in it must be known then. */
#include "frontend/onnx/loop.h"

/* Position of an element, or of the gap before it for an insertion; leaves when outside. */
static size_t position(struct tn_onnx_node *n, int operand, size_t count, bool insertion) {
  int64_t at = tn_onnx_const_int(n, operand, "position"), length = (int64_t)count;
  int64_t last = insertion ? length : length - 1;
  if (at >= -length && at <= last)
    return (size_t)(at < 0 ? at + length : at);
  tn_onnx_error(n, "position %lld is outside of a sequence of %lld elements", (long long)at, (long long)length);
  tn_fail_now(module_of(n)->ctx);
}

static const struct tn_onnx_list *sequence(struct tn_onnx_node *n, int operand) {
  const struct tn_onnx_list *list = tn_onnx_need_list(n, operand, "input_sequence");
  if (!list->optional)
    return list;
  if (list->count == 1 && list->at[0].list)
    return list->at[0].list;
  tn_onnx_error(n, "operand %d must be a sequence, and is an optional%s", operand,
                list->count ? "" : " that holds nothing");
  tn_fail_now(module_of(n)->ctx);
}

static struct tn_onnx_arg tensor(val value) {
  return (struct tn_onnx_arg){value, NULL};
}

bool tn_onnx_op_sequence_construct(struct tn_onnx_node *n) {
  struct tn_onnx_arg *items = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, n->in_count + 1);
  for (int i = 0; i < n->in_count; i++)
    items[i] = tensor(tn_onnx_need(n, i, "inputs"));
  enum tn_dtype dtype = n->in_count ? items[0].value->type.dtype : TN_NONE;
  n->out_list[0] = tn_onnx_list_make(n, false, dtype, (size_t)n->in_count, items);
  return true;
}

bool tn_onnx_op_sequence_empty(struct tn_onnx_node *n) {
  n->out_list[0] = tn_onnx_list_make(n, false, tn_onnx_dtype(n, tn_onnx_int(n, "dtype", 1)), 0, NULL);
  return true;
}

bool tn_onnx_op_sequence_insert(struct tn_onnx_node *n) {
  const struct tn_onnx_list *list = sequence(n, 0);
  val item = tn_onnx_need(n, 1, "tensor");
  size_t at = tn_onnx_in(n, 2) ? position(n, 2, list->count, true) : list->count;
  struct tn_onnx_arg *items = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, list->count + 1);
  for (size_t i = 0; i <= list->count; i++)
    items[i] = i < at ? list->at[i] : i == at ? tensor(item) : list->at[i - 1];
  n->out_list[0] = tn_onnx_list_make(n, false, item->type.dtype, list->count + 1, items);
  return true;
}

bool tn_onnx_op_sequence_erase(struct tn_onnx_node *n) {
  const struct tn_onnx_list *list = sequence(n, 0);
  if (list->count == 0)
    return tn_onnx_error(n, "the sequence is empty, and holds nothing to erase");
  size_t at = tn_onnx_in(n, 1) ? position(n, 1, list->count, false) : list->count - 1;
  struct tn_onnx_arg *items = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, list->count);
  for (size_t i = 0; i + 1 < list->count; i++)
    items[i] = list->at[i < at ? i : i + 1];
  n->out_list[0] = tn_onnx_list_make(n, false, list->dtype, list->count - 1, items);
  return true;
}

bool tn_onnx_op_sequence_at(struct tn_onnx_node *n) {
  const struct tn_onnx_list *list = sequence(n, 0);
  const struct tn_onnx_arg *item = &list->at[position(n, 1, list->count, false)];
  n->out[0] = item->value;
  n->out_list[0] = item->list;
  return true;
}

bool tn_onnx_op_sequence_length(struct tn_onnx_node *n) {
  n->out[0] = tn_const_int(n->b, TN_I64, (int64_t)sequence(n, 0)->count);
  return true;
}

bool tn_onnx_op_split_to_sequence(struct tn_onnx_node *n) {
  val x = tn_onnx_need(n, 0, "input");
  int axis = tn_onnx_axis(n, "axis", 0, x->type.rank);
  int64_t extent = tn_onnx_extent(n, x, axis, "input"), start = 0;
  bool each = !tn_onnx_in(n, 1), keepdims = !each || tn_onnx_int(n, "keepdims", 1) != 0;
  struct tn_ints sizes = {0};
  bool chunks = !each && n->in[1]->type.rank == 0;
  int64_t chunk = 1;
  if (!each) {
    sizes = tn_onnx_const_ints(n, 1, "split");
    if (chunks)
      chunk = sizes.at[0];
  }
  if (chunk < 1)
    return tn_onnx_error(n, "split is %lld; expected pieces of one element or more", (long long)chunk);
  size_t count = each || chunks ? (size_t)((extent + chunk - 1) / chunk) : sizes.count;
  struct tn_onnx_arg *items = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, count + 1);
  for (size_t i = 0; i < count; i++) {
    int64_t size = each || chunks ? (extent - start < chunk ? extent - start : chunk) : sizes.at[i];
    if (size < 0 || size > extent - start)
      return tn_onnx_error(n, "split takes more than the %lld elements of dimension %d", (long long)extent,
                           axis);
    val piece = tn_onnx_cut(n->b, x, axis, start, size);
    items[i] = tensor(keepdims ? piece : tn_onnx_squeeze(n->b, piece, axis));
    start += size;
  }
  if (start != extent)
    return tn_onnx_error(n, "split takes %lld of the %lld elements of dimension %d", (long long)start,
                         (long long)extent, axis);
  n->out_list[0] = tn_onnx_list_make(n, false, x->type.dtype, count, items);
  return true;
}

bool tn_onnx_op_concat_from_sequence(struct tn_onnx_node *n) {
  const struct tn_onnx_list *list = sequence(n, 0);
  bool stack = tn_onnx_int(n, "new_axis", 0) != 0;
  if (list->count == 0)
    return tn_onnx_error(n, "the sequence is empty, and holds nothing to put together");
  val *xs = TN_NEW_ARRAY(n->arena, val, list->count);
  for (size_t i = 0; i < list->count; i++) {
    xs[i] = list->at[i].value;
    if (!xs[i])
      return tn_onnx_error(n, "element %zu of the sequence is no tensor", i);
  }
  int axis = tn_onnx_axis(n, "axis", 0, xs[0]->type.rank + (stack ? 1 : 0));
  n->out[0] = stack              ? tn_onnx_stack(n->b, axis, list->count, xs)
              : list->count == 1 ? xs[0]
                                 : tn_concat(n->b, axis, (int)list->count, xs);
  return true;
}

/* The body runs on element i of every sequence; tensors are the same for all. */
bool tn_onnx_op_sequence_map(struct tn_onnx_node *n) {
  const struct tn_onnx_list *first = sequence(n, 0);
  int in_count, out_count;
  tn_onnx_graph_arity(n, "body", &in_count, &out_count);
  if (in_count != n->in_count || n->out_count > out_count)
    return tn_onnx_error(n, "its body has %d inputs and %d outputs, the node %d and %d", in_count, out_count,
                         n->in_count, n->out_count);
  struct tn_onnx_arg *args = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, in_count);
  struct tn_onnx_arg *outs = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, out_count + 1);
  struct tn_onnx_arg *items = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, first->count * (size_t)out_count + 1);
  for (size_t k = 0; k < first->count; k++) {
    for (int i = 0; i < in_count; i++) {
      const struct tn_onnx_list *list = n->in_list[i];
      if (list && !list->optional && list->count != first->count)
        return tn_onnx_error(n, "its sequences have %zu and %zu elements", first->count, list->count);
      args[i] = list && !list->optional ? list->at[k] : (struct tn_onnx_arg){n->in[i], list};
    }
    tn_onnx_import_graph(n, "body", n->b, in_count, args, out_count, outs);
    for (int i = 0; i < out_count; i++)
      items[(size_t)i * first->count + k] = outs[i];
  }
  for (int i = 0; i < n->out_count; i++) {
    const struct tn_onnx_arg *at = items + (size_t)i * first->count;
    enum tn_dtype dtype = first->count && at->value ? at->value->type.dtype : TN_NONE;
    n->out_list[i] = tn_onnx_list_make(n, false, dtype, first->count, at);
  }
  return true;
}

/* ---- optionals ----------------------------------------------------------------------------------------- */

bool tn_onnx_op_optional(struct tn_onnx_node *n) {
  struct tn_onnx_arg item = {0};
  if (n->in_count > 0)
    item = (struct tn_onnx_arg){n->in[0], n->in_list[0]};
  bool some = item.value || item.list;
  n->out_list[0] =
      tn_onnx_list_make(n, true, item.value ? item.value->type.dtype : TN_NONE, some ? 1 : 0, &item);
  return true;
}

/* A tensor or sequence where an optional may stand counts as one that holds it. */
bool tn_onnx_op_optional_has_element(struct tn_onnx_node *n) {
  bool some =
      n->in_count > 0 && (n->in[0] || (n->in_list[0] && (!n->in_list[0]->optional || n->in_list[0]->count)));
  n->out[0] = tn_constant_bytes(n->b, tn_type_scalar(TN_BOOL), &(uint8_t){some});
  return true;
}

bool tn_onnx_op_optional_get_element(struct tn_onnx_node *n) {
  if (n->in_count == 0)
    return tn_onnx_error(n, "operand 0 (input) is missing");
  struct tn_onnx_arg item = {n->in[0], n->in_list[0]};
  if (item.list && item.list->optional) {
    if (item.list->count == 0)
      return tn_onnx_error(n, "its optional holds nothing");
    item = item.list->at[0];
  }
  n->out[0] = item.value;
  n->out_list[0] = item.list;
  return true;
}
