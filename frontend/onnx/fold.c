/* Values that are known while the model is imported.
 *
 * A value is known when it is a constant, when it is shape arithmetic over static dimensions, or when the
 * evaluator of the options computes it from such values.  A node whose single result was computed becomes a
 * constant in place, so that whoever holds the value sees it; the results of a node with several are noted
 * beside it.
 *
 * Also here: when a value is not known, which inputs of the model it depends on. */
#include "frontend/onnx/import.h"

#include <string.h>

/* Shape arithmetic as a tensor: i64 or i32, rank 0 or 1. */
static const struct tn_tensor *known_dims(struct tn_import *im, struct tn_value *value) {
  tn_dim dims[64];
  int count;
  enum tn_dtype dtype = value->type.dtype;
  if ((dtype != TN_I64 && dtype != TN_I32) || !tn_type_static(&value->type) ||
      !tn_value_dims(value, dims, &count))
    return NULL;
  int64_t elements, numbers[64];
  if (!tn_type_count(&value->type, &elements) || elements != count)
    return NULL;
  for (int i = 0; i < count; i++)
    if (!tn_dim_value(im->module, dims[i], &numbers[i]))
      return NULL;
  tn_arena *arena = im->module->arena;
  struct tn_tensor *tensor = TN_NEW(arena, struct tn_tensor);
  tensor->type = value->type;
  tensor->bytes = (size_t)count * tn_dtype_size(dtype);
  void *data = tn_alloc(arena, tensor->bytes + 1);
  for (int i = 0; i < count; i++)
    tn_store_int(dtype, data, i, numbers[i]);
  tensor->data = data;
  return tensor;
}

/* What can be said without running a node. */
static const struct tn_tensor *known_already(struct tn_import *im, struct tn_value *value) {
  const struct tn_tensor *tensor = tn_value_tensor(value);
  if (tensor)
    return tensor;
  tensor = tn_import_note(im, value)->known;
  if (!tensor && (tensor = known_dims(im, value)))
    tn_import_note(im, value)->known = tensor;
  return tensor;
}

/* The node must be given its operands as constants. */
static void operands_to_constants(struct tn_import *im, struct tn_node *node) {
  struct tn_build b = tn_build_before(node);
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i] && !tn_value_tensor(node->in[i]))
      tn_node_set_input(node, i, tn_constant(&b, tn_import_note(im, node->in[i])->known));
}

static void become_constant(struct tn_node *node, const struct tn_tensor *tensor) {
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i])
      tn_node_set_input(node, i, NULL);
  node->op = TN_CONSTANT;
  node->in_count = 0;
  memset(node->attr, 0, sizeof node->attr);
  tn_set_tensor(node, TN_CONSTANT_value, tensor);
}

/* Runs a node whose operands are all known. */
static bool run(struct tn_import *im, struct tn_node *node) {
  if (!im->options->evaluate || !(tn_op_info(node->op)->flags & TN_PURE) || node->region_count)
    return false;
  for (int i = 0; i < node->out_count; i++)
    if (!tn_type_static(&node->out[i]->type))
      return false;
  operands_to_constants(im, node);
  struct tn_tensor *outs = TN_NEW_ARRAY(im->module->arena, struct tn_tensor, node->out_count + 1);
  if (!im->options->evaluate(im->options->user, node, outs))
    return false;
  for (int i = 0; i < node->out_count; i++)
    if (!tn_type_equal(&outs[i].type, &node->out[i]->type))
      return false;
  for (int i = 0; i < node->out_count; i++)
    tn_import_note(im, node->out[i])->known = &outs[i];
  if (node->out_count == 1)
    become_constant(node, &outs[0]);
  return true;
}

const struct tn_tensor *tn_import_known(struct tn_import *im, struct tn_value *value) {
  TN_VEC(struct tn_value *) path = {0}; /* each one waits for the next */
  const struct tn_tensor *tensor = known_already(im, value);
  if (tensor || tn_import_note(im, value)->varies)
    return tensor;
  TN_PUSH(im->scratch, &path, value);
  while (path.count > 0) {
    struct tn_value *top = path.at[path.count - 1], *wait = NULL;
    bool varies = !top->def;
    for (int i = 0; !varies && !wait && i < top->def->in_count; i++) {
      struct tn_value *in = top->def->in[i];
      if (!in || known_already(im, in))
        continue;
      varies = tn_import_note(im, in)->varies;
      wait = in;
    }
    if (!varies && wait) {
      TN_PUSH(im->scratch, &path, wait);
      continue;
    }
    if (varies || !run(im, top->def)) { /* and so does all that waits for it */
      for (size_t i = 0; i < path.count; i++)
        tn_import_note(im, path.at[i])->varies = true;
      return NULL;
    }
    path.count--;
  }
  return known_already(im, value);
}

/* ---- what a value depends on
 * ------------------------------------------------------------------------------------ */

static void note_needed(struct tn_import *im, const char *name) {
  for (size_t i = 0; i < im->needed.count; i++)
    if (strcmp(im->needed.at[i], name) == 0)
      return;
  TN_PUSH(im->scratch, &im->needed, tn_strdup(tn_ctx_arena(im->ctx), name));
}

static void add_symbol(struct tn_import *im, struct tn_map *symbols, tn_dim dim) {
  if (dim >= 0)
    return;
  const struct tn_symbol *s = &im->module->symbols.at[-1 - dim];
  if (s->op == 0) {
    tn_map_set(symbols, s->name, im);
    return;
  }
  add_symbol(im, symbols, s->a);
  add_symbol(im, symbols, s->b);
}

static const char *listed(struct tn_import *im, const struct tn_map *names) {
  struct tn_str s;
  tn_str_init(&s, im->module->arena);
  for (size_t i = 0; i < names->count; i++)
    tn_str_add(&s, "%s'%s'", i ? ", " : "", names->entries[i].key);
  return s.at;
}

void tn_onnx_need_value(struct tn_onnx_node *n, int i, const char *what) {
  struct tn_import *im = n->im;
  struct tn_map inputs, symbols, seen;
  TN_VEC(struct tn_value *) queue = {0};
  tn_map_init(&inputs, im->scratch);
  tn_map_init(&symbols, im->scratch);
  tn_map_init(&seen, im->scratch);
  TN_PUSH(im->scratch, &queue, tn_onnx_need(n, i, what));
  for (size_t k = 0; k < queue.count; k++) {
    struct tn_value *value = queue.at[k];
    if (!value || tn_map_has(&seen, value->name) || known_already(im, value))
      continue;
    tn_map_set(&seen, value->name, im);
    const struct tn_node *from = value->def ? value->def : value->home->owner;
    if (!from)
      tn_map_set(&inputs, value->name, im);
    else if (from->op == TN_SHAPE)
      for (int d = 0; d < from->in[0]->type.rank; d++)
        add_symbol(im, &symbols, from->in[0]->type.dim[d]);
    else
      for (int j = 0; j < from->in_count; j++)
        TN_PUSH(im->scratch, &queue, from->in[j]);
  }
  const char *subject = tn_printf(im->scratch, "operand %d (%s, '%s') must be known when the model is compiled",
                                  i, what, n->in[i]->name);
  for (size_t k = 0; k < inputs.count; k++)
    note_needed(im, inputs.entries[k].key);
  if (inputs.count)
    tn_onnx_error(
        n, "%s, and depends on the value of graph input %s: give it at compile time (--bind %s=FILE.npy)",
        subject, listed(im, &inputs), inputs.entries[0].key);
  else if (symbols.count)
    tn_onnx_error(n, "%s, and depends on the symbolic dimension %s: bind it (--dim %s=N)", subject,
                  listed(im, &symbols), symbols.entries[0].key);
  else
    tn_onnx_error(n, "%s, and is computed in a way that cannot be followed at compile time", subject);
  tn_fail_now(im->ctx);
}
