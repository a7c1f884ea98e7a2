/* Constant folding: a node on constants is lowered to its nest, and the nest interpreted. */
#include "codegen/nest.h"

struct evaluation {
  tn_arena *arena;
  struct tn_node *node;
  struct tn_tensor *outs;
};

static int result_number(const struct tn_node *node, const struct tn_value *value) {
  for (int i = 0; i < node->out_count; i++)
    if (node->out[i] == value)
      return i;
  return -1;
}

static bool evaluate(void *user) {
  struct evaluation *e = user;
  tn_ctx *ctx = tn_arena_ctx(e->arena);
  const struct tn_node *node = e->node;
  for (int i = 0; i < node->out_count; i++) {
    int64_t bytes;
    if (!tn_type_bytes(&node->out[i]->type, &bytes)) {
      tn_node_error(node, "its result '%s' must have a known size to be computed now; bind its dimensions",
                    node->out[i]->name);
      return false;
    }
    const void *room = e->outs[i].data;
    e->outs[i] = (struct tn_tensor){.type = node->out[i]->type, .data = room, .bytes = (size_t)bytes};
    if (!room)
      e->outs[i].data = tn_alloc_raw(e->arena, (size_t)bytes + 1, 64);
  }
  struct tn_nest *nest = tn_lower_node(e->arena, e->node);
  if (!nest)
    return false;
  void **data = TN_NEW_ARRAY(e->arena, void *, nest->param_count + 1);
  for (size_t i = 0; i < nest->bufs.count; i++) {
    const struct tn_buf *buf = nest->bufs.at[i];
    if (buf->param < 0)
      continue;
    int result = result_number(node, buf->value);
    const struct tn_tensor *constant = buf->data ? buf->data : tn_value_tensor(buf->value);
    if (result < 0 && !constant) {
      tn_node_error(node, "its operand '%s' must be a constant for it to be computed now", buf->name);
      return false;
    }
    /* Operands are only read. */
    data[buf->param] = (void *)(uintptr_t)(result >= 0 ? e->outs[result].data : constant->data);
  }
  return tn_interpret(ctx, nest, data);
}

bool tn_evaluate_node(tn_arena *arena, struct tn_node *node, struct tn_tensor *outs) {
  struct evaluation e = {arena, node, outs};
  return tn_guard(tn_arena_ctx(arena), evaluate, &e);
}
