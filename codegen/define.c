/* From an op to its definition, and what the definitions share. */
#include "codegen/define.h"

const struct tn_definition tn_define_none = {.element = NULL};

const struct tn_definition *tn_definition_of(enum tn_op op) {
  static const struct tn_definition *const definitions[] = {
#define OP(id, name, min_in, max_in, min_out, max_out, flags, shape, define, doc) &tn_define_##define,
#define ATTR(...)
#include "ir/ops.def"
#undef OP
#undef ATTR
  };
  return definitions[op] == &tn_define_none ? NULL : definitions[op];
}

int tn_define_axis(const struct tn_node *node, enum tn_attr_id id, int rank) {
  int64_t axis = tn_get_int(node, id);
  return (int)(axis < 0 ? axis + rank : axis);
}

void tn_define_fail(const struct tn_node *node, const char *text) {
  tn_node_error(node, "%s", text);
  tn_fail_now(node->home->module->ctx);
}

void tn_define_broadcast(struct tn_nest *n, const struct tn_type *operand, const struct tn_type *result,
                         struct tn_expr *const *idx, struct tn_expr **out) {
  int skip = result->rank - operand->rank;
  for (int d = 0; d < operand->rank; d++)
    out[d] = operand->dim[d] == 1 ? tn_ix(n, 0) : idx[skip + d];
}

enum tn_dtype tn_define_accumulator(enum tn_dtype dtype) {
  return dtype == TN_F16 || dtype == TN_BF16 ? TN_F32 : dtype;
}

struct tn_expr *tn_define_zero(struct tn_nest *n, enum tn_dtype dtype) {
  return tn_dtype_is_float(dtype) ? tn_ex_float(n, dtype, 0) : tn_ex_int(n, dtype, 0);
}

struct tn_expr *tn_define_inside(struct tn_nest *n, struct tn_expr *pos, int64_t extent) {
  return tn_ex_and(n, tn_ex_binary(n, TN_GE, pos, tn_ix(n, 0)), tn_ex_binary(n, TN_LT, pos, tn_ix(n, extent)));
}

struct tn_expr *tn_define_index(struct tn_nest *n, struct tn_expr *index, int64_t extent) {
  bool sign = tn_dtype_is_signed(index->dtype);
  struct tn_expr *pos = tn_ex_cast(n, index, TN_INDEX);
  if (!sign)
    return pos;
  struct tn_expr *negative = tn_ex_binary(n, TN_LT, pos, tn_ix(n, 0));
  return tn_ex_select(n, negative, tn_ix_offset(n, pos, extent), pos);
}

struct tn_expr *tn_define_before(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b, bool largest) {
  struct tn_expr *before = tn_ex_binary(n, largest ? TN_GT : TN_LT, a, b);
  if (!tn_dtype_is_float(a->dtype))
    return before;
  struct tn_expr *large = tn_ex_unary(n, TN_ISNAN, largest ? a : b), *small = largest ? b : a;
  struct tn_expr *number = tn_ex_unary(n, TN_NOT, tn_ex_unary(n, TN_ISNAN, small));
  return tn_ex_binary(n, TN_OR, before, tn_ex_binary(n, TN_AND, large, number));
}

struct tn_cursor *tn_define_loops(struct tn_cursor *c, const struct tn_type *type, int skip,
                                  enum tn_loop_kind kind, struct tn_expr **idx, struct tn_cursor *body) {
  static const char *const names[TN_MAX_RANK] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
  for (int d = 0; d < type->rank; d++) {
    idx[d] = NULL;
    if (d == skip)
      continue;
    struct tn_var *var = tn_loop_var(c->nest, names[d], type->dim[d]);
    idx[d] = tn_ex_var(c->nest, var);
    struct tn_cursor inner = tn_st_loop(c, var, kind);
    *body = inner;
    c = body;
  }
  return c;
}
