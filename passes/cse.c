/* Common subexpressions: two nodes with the same op, operands and attributes compute the same value once.
 *
 * Constants are compared by content.  The table is scoped: a node in a region may be replaced by one of the
 * graphs around it, never the other way round.  Kernels are left alone. */
#include "passes/passes.h"

struct entry {
  struct tn_node *node;
  uint64_t hash;
  size_t next; /* index + 1 in entries; 0: none */
};

struct table {
  struct tn_pass *pass;
  TN_VEC(struct entry) entries;
  size_t *heads; /* [head_count], a power of two; index + 1 in entries */
  size_t head_count;
};

/* ---- attributes ---------------------------------------------------------------------------------------- */

static const struct tn_attr_info *attr_of(const struct tn_node *node, int slot) {
  return tn_attr_info((enum tn_attr_id)(tn_op_info(node->op)->first_attr + slot));
}

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + UINT64_C(0x9e3779b97f4a7c15) + (hash << 6) + (hash >> 2);
  return hash * UINT64_C(0xff51afd7ed558ccd);
}

static uint64_t tensor_hash(const struct tn_tensor *tensor) {
  return mix(tn_hash_bytes(tensor->data, tensor->bytes).low, (uint64_t)tensor->type.dtype);
}

static uint64_t attr_hash(uint64_t hash, enum tn_attr_kind kind, const union tn_attr *attr) {
  switch (kind) {
  case TN_ATTR_INTS:
    for (size_t i = 0; i < attr->ints.count; i++)
      hash = mix(hash, (uint64_t)attr->ints.at[i]);
    return mix(hash, attr->ints.count);
  case TN_ATTR_TENSOR:
    return attr->tensor ? mix(hash, tensor_hash(attr->tensor)) : hash;
  case TN_ATTR_FLOAT: {
    uint64_t bits;
    memcpy(&bits, &attr->f, sizeof bits);
    return mix(hash, bits);
  }
  case TN_ATTR_INT:
  case TN_ATTR_ENUM:
  case TN_ATTR_DTYPE:
    return mix(hash, (uint64_t)attr->i);
  }
  return hash;
}

static bool tensor_equal(const struct tn_tensor *a, const struct tn_tensor *b) {
  if (a == b)
    return true;
  return a && b && a->bytes == b->bytes && tn_type_equal(&a->type, &b->type) &&
         (a->data == b->data || memcmp(a->data, b->data, a->bytes) == 0);
}

static bool attr_equal(enum tn_attr_kind kind, const union tn_attr *a, const union tn_attr *b) {
  switch (kind) {
  case TN_ATTR_INTS:
    return a->ints.count == b->ints.count &&
           (a->ints.count == 0 || memcmp(a->ints.at, b->ints.at, a->ints.count * sizeof *a->ints.at) == 0);
  case TN_ATTR_TENSOR:
    return tensor_equal(a->tensor, b->tensor);
  case TN_ATTR_FLOAT:
    return memcmp(&a->f, &b->f, sizeof a->f) == 0;
  case TN_ATTR_INT:
  case TN_ATTR_ENUM:
  case TN_ATTR_DTYPE:
    return a->i == b->i;
  }
  return false;
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

/* The operand at position i, with the two operands of a commuting op in a fixed order. */
static const struct tn_value *operand(const struct tn_node *node, int i) {
  if (node->in_count == 2 && (tn_op_info(node->op)->flags & TN_COMMUTES) && node->in[0]->id > node->in[1]->id)
    return node->in[1 - i];
  return node->in[i];
}

static uint64_t node_hash(const struct tn_node *node) {
  uint64_t hash = mix(0, (uint64_t)node->op);
  for (int i = 0; i < node->in_count; i++) {
    const struct tn_value *value = operand(node, i);
    hash = mix(hash, value ? value->id + UINT64_C(1) : 0);
  }
  for (int i = 0; i < tn_op_info(node->op)->attr_count; i++)
    hash = attr_hash(hash, attr_of(node, i)->kind, &node->attr[i]);
  return hash;
}

static bool node_equal(const struct tn_node *a, const struct tn_node *b) {
  if (a->op != b->op || a->in_count != b->in_count || a->out_count != b->out_count)
    return false;
  for (int i = 0; i < a->in_count; i++)
    if (operand(a, i) != operand(b, i))
      return false;
  for (int i = 0; i < tn_op_info(a->op)->attr_count; i++)
    if (!attr_equal(attr_of(a, i)->kind, &a->attr[i], &b->attr[i]))
      return false;
  for (int i = 0; i < a->out_count; i++)
    if (!tn_type_equal(&a->out[i]->type, &b->out[i]->type))
      return false;
  return true;
}

static struct tn_node *find(const struct table *table, const struct tn_node *node, uint64_t hash) {
  for (size_t i = table->heads[hash & (table->head_count - 1)]; i; i = table->entries.at[i - 1].next)
    if (table->entries.at[i - 1].hash == hash && node_equal(table->entries.at[i - 1].node, node))
      return table->entries.at[i - 1].node;
  return NULL;
}

static void walk(struct table *table, struct tn_graph *graph) {
  size_t scope = table->entries.count;
  for (struct tn_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    tn_pass_at(table->pass, node);
    if (node->op == TN_KERNEL)
      continue;
    for (int i = 0; i < node->region_count; i++)
      walk(table, node->region[i]);
    if (!(tn_op_info(node->op)->flags & TN_PURE) || node->region_count > 0)
      continue;
    uint64_t hash = node_hash(node);
    struct tn_node *same = find(table, node, hash);
    if (same) {
      for (int i = 0; i < node->out_count; i++)
        tn_pass_replace(table->pass, node->out[i], same->out[i]);
      continue;
    }
    size_t *head = &table->heads[hash & (table->head_count - 1)];
    TN_PUSH(table->pass->scratch, &table->entries, (struct entry){node, hash, *head});
    *head = table->entries.count;
  }
  while (table->entries.count > scope) {
    const struct entry *last = &table->entries.at[--table->entries.count];
    table->heads[last->hash & (table->head_count - 1)] = last->next;
  }
}

bool tn_pass_cse(struct tn_pass *pass, struct tn_module *module) {
  struct table table = {.pass = pass, .head_count = 256};
  while (table.head_count < module->next_id)
    table.head_count *= 2;
  table.heads = TN_NEW_ARRAY(pass->scratch, size_t, table.head_count);
  walk(&table, module->main);
  tn_remove_dead(pass, module);
  return true;
}
