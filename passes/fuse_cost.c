/* Fuse: what things cost.  Every judgement of the pass is here; the rest is bookkeeping.
 *
 * The rules weigh memory traffic against arithmetic done again.  A store and a load of an element cost about as
 * much as ten simple vector operations once data leaves the nearest cache, so simple arithmetic is done again
 * rather than stored; functions such as exp are computed once for each element. */
#include "passes/fuse.h"

/* Symbolic dimensions without a bound are taken to be long. */
#define LONG_DIM 1024
/* Up to so many elements, repeating simple arithmetic is cheaper than another kernel. */
#define FEW_ELEMENTS 512
/* So many simple nodes in a row may be computed again in each of several kernels. */
#define REPEAT_DEPTH 4

double tn_fuse_elements(const struct tn_module *module, const struct tn_type *type) {
  double count = 1;
  for (int i = 0; i < type->rank; i++) {
    tn_dim dim = type->dim[i];
    if (!tn_dim_static(dim)) {
      int64_t high = module->symbols.at[-1 - dim].high;
      dim = high == INT64_MAX ? LONG_DIM : high;
    }
    count *= (double)dim;
  }
  return count;
}

double tn_fuse_bytes(const struct tn_module *module, const struct tn_type *type) {
  return tn_fuse_elements(module, type) * (double)tn_dtype_size(type->dtype);
}

static double elements_of(const struct tn_value *value) {
  return tn_fuse_elements(value->home->module, &value->type);
}
static double bytes_of(const struct tn_value *value) {
  return tn_fuse_bytes(value->home->module, &value->type);
}
static bool has(const struct tn_node *node, unsigned flag) {
  return (tn_op_info(node->op)->flags & flag) != 0;
}

/* ---- kinds of nodes ------------------------------------------------------------------------------------ */

bool tn_fuse_unit_reshape(const struct tn_node *node) {
  const struct tn_type *a = &node->in[0]->type, *b = &node->out[0]->type;
  int i = 0, j = 0;
  while (i < a->rank || j < b->rank) {
    if (i < a->rank && a->dim[i] == 1)
      i++;
    else if (j < b->rank && b->dim[j] == 1)
      j++;
    else if (i < a->rank && j < b->rank && a->dim[i] == b->dim[j])
      i++, j++;
    else
      return false;
  }
  return true;
}

/* A pad that only crops is a slice: no position lies outside the operand. */
static bool crops(const struct tn_node *node) {
  struct tn_ints before = tn_get_ints(node, TN_PAD_before), after = tn_get_ints(node, TN_PAD_after);
  struct tn_ints interior = tn_get_ints(node, TN_PAD_interior);
  for (size_t i = 0; i < before.count; i++)
    if (before.at[i] > 0 || after.at[i] > 0 || (i < interior.count && interior.at[i] != 0))
      return false;
  return true;
}

/* Code generation writes a concat operand by operand, and a pad border by border: neither has a single
 * expression that a reader could use. */
bool tn_fuse_inlinable(const struct tn_node *node) {
  if (!has(node, TN_POINTWISE) || node->op == TN_CONCAT)
    return false;
  if (node->op == TN_PAD)
    return crops(node);
  return node->op != TN_RESHAPE || tn_fuse_unit_reshape(node);
}

/* Windows that overlap read an element several times. */
static double window_reads(const struct tn_node *pool) {
  struct tn_ints window = tn_get_ints(pool, TN_POOL_window);
  double reads = 1;
  for (size_t i = 0; i < window.count; i++)
    reads *= (double)window.at[i];
  return reads;
}

bool tn_fuse_contraction(const struct tn_node *node) {
  return node->op == TN_MATMUL || node->op == TN_CONV;
}

enum cost { FREE, SIMPLE, COSTLY };

/* A gather by a constant table of what lies outermost, as a resize makes of lines: rows stay together. */
static bool picks_rows(const struct tn_node *gather) {
  const struct tn_type *x = &gather->in[0]->type;
  int64_t axis = tn_get_int(gather, TN_GATHER_axis), inner = x->rank - 1;
  while (inner > 0 && x->dim[inner] == 1)
    inner--;
  return tn_value_tensor(gather->in[1]) && (axis < 0 ? axis + x->rank : axis) < inner;
}

/* Free: the position changes, and nothing is computed. */
static enum cost cost_of(const struct tn_node *node) {
  switch (node->op) {
  case TN_GATHER:
    return picks_rows(node) ? FREE : COSTLY;
  case TN_RESHAPE:
  case TN_TRANSPOSE:
  case TN_EXPAND:
  case TN_SLICE:
  case TN_PAD: /* one that crops */
  case TN_IOTA:
    return FREE;
  case TN_NEG:
  case TN_ABS:
  case TN_SIGN:
  case TN_CEIL:
  case TN_FLOOR:
  case TN_TRUNC:
  case TN_ROUND:
  case TN_NOT:
  case TN_ISNAN:
  case TN_ISINF:
  case TN_CAST:
  case TN_BITCAST:
  case TN_ADD:
  case TN_SUB:
  case TN_MUL:
  case TN_MAX:
  case TN_MIN:
  case TN_AND:
  case TN_OR:
  case TN_XOR:
  case TN_SHL:
  case TN_SHR:
  case TN_EQ:
  case TN_NE:
  case TN_LT:
  case TN_LE:
  case TN_GT:
  case TN_GE:
  case TN_SELECT:
    return SIMPLE;
  default: /* functions, division, and moves that load an index first */
    return COSTLY;
  }
}

bool tn_costly(const struct tn_node *node) {
  return cost_of(node) == COSTLY && !(tn_op_info(node->op)->flags & TN_MOVE);
}

/* ---- reading operands ---------------------------------------------------------------------------------- */

double tn_fuse_reads(const struct tn_node *reader, int index, double evals) {
  double operand = elements_of(reader->in[index]), result = elements_of(reader->out[0]);
  switch (reader->op) {
  case TN_CONCAT: /* each result element comes from one operand */
  case TN_PAD:
    return result > 0 ? evals * operand / result : 0;
  case TN_POOL:
    return result * window_reads(reader);
  case TN_ARG_MAX: /* once for the best element, once for its position */
  case TN_ARG_MIN:
    return 2 * operand;
  case TN_MATMUL: /* every element once for each row or column of the other operand */
  case TN_CONV:
    return result * operand;
  default:
    break;
  }
  /* Reductions and scans go through their operand once. */
  return has(reader, TN_POINTWISE) ? evals : operand;
}

/* Addressing that costs a contraction nothing: batch dims in any order, the last two in place or exchanged, so
 * that one of them is still contiguous. */
static bool keeps_matrix(const struct tn_node *move) {
  const struct tn_type *type = &move->out[0]->type;
  int rank = type->rank;
  switch (move->op) {
  case TN_RESHAPE:
    return tn_fuse_unit_reshape(move);
  case TN_TRANSPOSE: {
    const int64_t *perm = tn_get_ints(move, TN_TRANSPOSE_perm).at;
    int contiguous = rank - 1; /* the operand's innermost dim of more than one element */
    while (contiguous > 0 && move->in[0]->type.dim[contiguous] == 1)
      contiguous--;
    return rank >= 2 && (perm[rank - 1] == contiguous || perm[rank - 2] == contiguous);
  }
  case TN_SLICE: {
    const int64_t *step = tn_get_ints(move, TN_SLICE_steps).at;
    return rank >= 2 && step[rank - 1] == 1 && step[rank - 2] == 1;
  }
  case TN_EXPAND: {
    const struct tn_type *from = &move->in[0]->type;
    return rank >= 2 && from->rank >= 2 && from->dim[from->rank - 1] == type->dim[rank - 1] &&
           from->dim[from->rank - 2] == type->dim[rank - 2];
  }
  default:
    return false;
  }
}

bool tn_fuse_takes(const struct tn_node *reader, int index, const struct tn_node *producer, bool strict) {
  if (strict || reader->op == TN_MATMUL)
    return keeps_matrix(producer);
  switch (reader->op) {
  case TN_CONV: /* its window walks over the operand as it lies in memory */
    return producer->op == TN_RESHAPE && tn_fuse_unit_reshape(producer);
  case TN_TOPK: /* compares elements again and again */
  case TN_TREE_WALK:
  case TN_SCATTER_ND:
  case TN_WINOGRAD_INPUT: /* reads each element up to four times */
  case TN_WINOGRAD_OUTPUT:
    return false;
  case TN_SCATTER_ELEMENTS: /* data is copied once; indices and updates are read in step */
    return index == 0;
  default:
    return true;
  }
}

/* ---- computing again ----------------------------------------------------------------------------------- */

bool tn_fuse_affordable(const struct tn_node *node, double evals) {
  double elements = elements_of(node->out[0]);
  enum cost cost = cost_of(node);
  return cost == FREE || evals <= elements * 1.001 || (cost == SIMPLE && evals <= FEW_ELEMENTS);
}

bool tn_fuse_repeatable(const struct tn_node *node, int depth, bool contractions_only) {
  enum cost cost = cost_of(node);
  /* Reading a transposed tensor is slow unless the reader packs it anyway: transpose once. */
  if (node->op == TN_TRANSPOSE)
    return contractions_only;
  if (cost == FREE)
    return true;
  if (cost != SIMPLE || depth >= REPEAT_DEPTH)
    return false;
  /* Stored, it costs a write and a read for each kernel; repeated, the reads of its operands. */
  double own = bytes_of(node->out[0]), operands = 0;
  for (int i = 0; i < node->in_count; i++)
    operands += bytes_of(node->in[i]);
  return operands <= own * 1.5;
}

static bool ends_reduction(const struct tn_node *node, int depth) {
  const struct tn_value *result = node->out[0];
  for (int i = 0; i < node->in_count; i++) {
    const struct tn_value *operand = node->in[i];
    const struct tn_node *def = operand->def;
    if (!def || def->home != node->home || !tn_shape_equal(&operand->type, &result->type))
      continue;
    /* All readers must be able to sit in the same epilogue. */
    bool alone = !tn_value_is_output(operand);
    for (size_t k = 0; k < operand->uses.count && alone; k++) {
      const struct tn_node *user = operand->uses.at[k].node;
      alone = has(user, TN_ELEMENTWISE) && user->home == node->home &&
              tn_shape_equal(&user->out[0]->type, &result->type);
    }
    if (!alone)
      continue;
    if (has(def, TN_REDUCE | TN_TILES))
      return true;
    if (depth > 0 && has(def, TN_ELEMENTWISE) && ends_reduction(def, depth - 1))
      return true;
  }
  return false;
}

/* The operand of the result's shape when there is one such; NULL: none or several. */
static const struct tn_value *only_operand(const struct tn_node *node) {
  const struct tn_value *only = NULL;
  for (int i = 0; i < node->in_count; i++) {
    if (!tn_shape_equal(&node->in[i]->type, &node->out[0]->type) || node->in[i]->def == NULL ||
        node->in[i]->def->op == TN_CONSTANT)
      continue;
    if (only && only != node->in[i])
      return NULL;
    only = node->in[i];
  }
  return only;
}

/* Simple arithmetic on a value of fewer bytes, as when bytes are dequantized. */
static bool widens(const struct tn_node *node) {
  const size_t size = tn_dtype_size(node->out[0]->type.dtype);
  for (int depth = 0; depth < 8 && has(node, TN_ELEMENTWISE) && cost_of(node) == SIMPLE; depth++) {
    const struct tn_value *operand = only_operand(node);
    if (!operand)
      return false;
    if (tn_dtype_size(operand->type.dtype) < size)
      return true;
    node = operand->def;
  }
  return false;
}

bool tn_fuse_ends_reduction(const struct tn_node *node) {
  return has(node, TN_ELEMENTWISE) && ends_reduction(node, 8) && !widens(node);
}
