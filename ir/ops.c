/* The op and attribute tables, generated from ops.def. */
#include "ir/ir.h"

/* clang-format off */

/* Number of the first attribute of each op: the second enumerator takes back the step of the first. */
enum {
#define OP(id, ...) FIRST_##id, BACK_##id = FIRST_##id - 1,
#define ATTR(op, name, ...) SLOT_##op##_##name,
#include "ir/ops.def"
#undef OP
#undef ATTR
};

/* How many attributes each op has: the size of struct attrs_<op>, less one. */
struct attrs_before {
  char none;
#define OP(id, ...) }; struct attrs_##id { char none;
#define ATTR(op, name, ...) char name##_;
#include "ir/ops.def"
#undef OP
#undef ATTR
};

#define OP(id, ...) _Static_assert(sizeof(struct attrs_##id) - 1 <= TN_MAX_ATTRS, "too many attributes: " #id);
#define ATTR(...)
#include "ir/ops.def"
#undef OP
#undef ATTR

static const struct tn_op_info op_table[TN_OP_COUNT] = {
#define OP(id, name, min_in, max_in, min_out, max_out, flags, shape, define, doc)                              \
  {#name, min_in, max_in, min_out, max_out, flags, doc, FIRST_##id, (int)sizeof(struct attrs_##id) - 1},
#define ATTR(...)
#include "ir/ops.def"
#undef OP
#undef ATTR
};

static const struct tn_attr_info attr_table[TN_ATTR_COUNT] = {
#define OP(...)
#define ATTR(op, name, kind, def, values) {#name, TN_ATTR_##kind, def, values},
#include "ir/ops.def"
#undef OP
#undef ATTR
};
/* clang-format on */

const struct tn_op_info *tn_op_info(enum tn_op op) {
  return &op_table[op];
}

const struct tn_attr_info *tn_attr_info(enum tn_attr_id id) {
  return &attr_table[id];
}

bool tn_op_parse(const char *name, enum tn_op *out) {
  for (int op = 0; op < TN_OP_COUNT; op++)
    if (strcmp(op_table[op].name, name) == 0) {
      *out = (enum tn_op)op;
      return true;
    }
  return false;
}
