/* Shape rules of ops with regions.  The regions' nodes have their types before the owner is inferred. */
#include "ir/shape.h"
#include <inttypes.h>

static bool want_regions(const struct tn_node *node, int count) {
  if (node->region_count == count)
    return true;
  tn_node_error(node, "%s needs %d region%s, found %d", tn_op_info(node->op)->name, count,
                count == 1 ? "" : "s", node->region_count);
  return false;
}

static bool want_count(const struct tn_node *node, const char *what, size_t wanted, size_t found) {
  if (wanted != found)
    tn_node_error(node, "%s must be %zu, found %zu", what, wanted, found);
  return wanted == found;
}

static bool same_plain_type(const struct tn_type *a, const struct tn_type *b) {
  return a->dtype == b->dtype && tn_shape_equal(a, b);
}

bool tn_shape_if(struct tn_node *node) {
  if (!tn_shape_want_dtype(node, 0, TN_BOOL) || !tn_shape_want_rank(node, 0, 0) || !want_regions(node, 2))
    return false;
  const struct tn_graph *yes = node->region[0], *no = node->region[1];
  size_t count = (size_t)node->out_count;
  if (!want_count(node, "inputs of the then branch", 0, yes->inputs.count) ||
      !want_count(node, "inputs of the else branch", 0, no->inputs.count) ||
      !want_count(node, "outputs of the then branch", count, yes->outputs.count) ||
      !want_count(node, "outputs of the else branch", count, no->outputs.count))
    return false;
  for (int i = 0; i < node->out_count; i++) {
    const struct tn_value *a = yes->outputs.at[i], *b = no->outputs.at[i];
    if (!same_plain_type(&a->type, &b->type)) {
      tn_node_error(node,
                    "output %d is '%s' (%s) in the then branch and '%s' (%s) in the else branch; both must be "
                    "of one type",
                    i, a->name, tn_shape_say(node, &a->type), b->name, tn_shape_say(node, &b->type));
      return false;
    }
    if (!tn_shape_result(node, i, &a->type))
      return false;
  }
  return true;
}

/* A carried value starts as operand i, which must be what the region takes: its dims may be known better. */
static bool starts_as(const struct tn_node *node, int i, const struct tn_value *input) {
  const struct tn_type *x = tn_in_type(node, i);
  bool fits = x->dtype == input->type.dtype && x->rank == input->type.rank;
  for (int d = 0; d < x->rank && fits; d++)
    fits = input->type.dim[d] < 0 || x->dim[d] == input->type.dim[d];
  if (!fits)
    tn_node_error(node, "operand '%s' (%s) does not fit the region's input '%s' (%s)", tn_in_name(node, i),
                  tn_shape_say(node, x), input->name, tn_shape_say(node, &input->type));
  return fits;
}

static bool want_scalar(const struct tn_node *node, const struct tn_value *value, const char *what,
                        enum tn_dtype dtype) {
  if (value->type.dtype == dtype && value->type.rank == 0)
    return true;
  tn_node_error(node, "%s '%s' must be a scalar of %s, found %s", what, value->name, tn_dtype_name(dtype),
                tn_shape_say(node, &value->type));
  return false;
}

bool tn_shape_loop(struct tn_node *node) {
  int64_t trip = tn_get_int(node, TN_LOOP_trip);
  int carried = node->in_count - 2, scanned = node->out_count - carried;
  if (!want_regions(node, 1))
    return false;
  const struct tn_graph *body = node->region[0];
  if (scanned < 0) {
    tn_node_error(node, "a loop that carries %d values gives at least as many results, found %d", carried,
                  node->out_count);
    return false;
  }
  if (!want_scalar(node, node->in[0], "the trip count", TN_I64) ||
      !want_scalar(node, node->in[1], "the condition", TN_BOOL) ||
      !want_count(node, "inputs of the body (iteration, condition, carried...)", (size_t)node->in_count,
                  body->inputs.count) ||
      !want_count(node, "outputs of the body (condition, carried..., scanned...)", (size_t)node->out_count + 1,
                  body->outputs.count) ||
      !want_scalar(node, body->inputs.at[0], "the body's iteration number", TN_I64) ||
      !want_scalar(node, body->inputs.at[1], "the body's condition input", TN_BOOL) ||
      !want_scalar(node, body->outputs.at[0], "the body's condition output", TN_BOOL))
    return false;
  for (int i = 0; i < carried; i++) {
    const struct tn_value *input = body->inputs.at[i + 2], *output = body->outputs.at[i + 1];
    if (!starts_as(node, i + 2, input))
      return false;
    if (!same_plain_type(&input->type, &output->type)) {
      tn_node_error(
          node, "carried value %d changes its type from %s ('%s') to %s ('%s'); a loop's values keep theirs", i,
          tn_shape_say(node, &input->type), input->name, tn_shape_say(node, &output->type), output->name);
      return false;
    }
    if (!tn_shape_result(node, i, &input->type))
      return false;
  }
  if (scanned > 0 && trip < 0) {
    tn_node_error(node, "a loop with scanned results ('%s') needs a trip count known at compile time",
                  node->out[carried]->name);
    return false;
  }
  for (int i = carried; i < node->out_count; i++) {
    const struct tn_type *each = &body->outputs.at[i + 1]->type;
    struct tn_type type = {.dtype = each->dtype, .rank = each->rank + 1, .dim = {trip}};
    if (type.rank <= TN_MAX_RANK)
      for (int d = 0; d < each->rank; d++)
        type.dim[d + 1] = each->dim[d];
    if (!tn_shape_result(node, i, &type))
      return false;
  }
  return true;
}

bool tn_shape_kernel(struct tn_node *node) {
  if (!want_regions(node, 1))
    return false;
  const struct tn_graph *body = node->region[0];
  if (!want_count(node, "inputs of the kernel's region", (size_t)node->in_count, body->inputs.count) ||
      !want_count(node, "outputs of the kernel's region", (size_t)node->out_count, body->outputs.count))
    return false;
  for (int i = 0; i < node->in_count; i++)
    if (!starts_as(node, i, body->inputs.at[i]))
      return false;
  for (int i = 0; i < node->out_count; i++)
    if (!tn_shape_result(node, i, &body->outputs.at[i]->type))
      return false;
  return true;
}
