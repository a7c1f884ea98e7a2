/* Expressions of a nest: built hash-consed and simplified. */
#include "codegen/expr.h"

#include <stdlib.h>

#define MOST_BOUNDED (1 << 14) /* elements of a table that are looked through for the bounds of positions */

/* ---- hash consing ---------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9E3779B97F4A7C15u + (h << 6) + (h >> 2);
  return h * 0xFF51AFD7ED558CCDu;
}

static uint64_t expr_hash(const struct tn_expr *e) {
  uint64_t h = mix((uint64_t)e->kind * 31 + (uint64_t)e->dtype, 7);
  switch (e->kind) {
  case TN_EX_INT:
    return mix(h, (uint64_t)e->i);
  case TN_EX_FLOAT: {
    uint64_t bits;
    memcpy(&bits, &e->f, sizeof bits);
    return mix(h, bits);
  }
  case TN_EX_VAR:
    return mix(h, (uint64_t)e->var->id);
  case TN_EX_AFFINE:
    h = mix(h, (uint64_t)e->affine.base);
    for (int i = 0; i < e->affine.count; i++)
      h = mix(mix(h, (uint64_t)e->affine.coef[i]), (uint64_t)e->affine.term[i]->id);
    return h;
  case TN_EX_LOAD:
    h = mix(mix(h, (uint64_t)(uintptr_t)e->load.buf), (uint64_t)e->load.index->id);
    h = mix(h, (uint64_t)e->load.bytes);
    return e->load.guard ? mix(h, (uint64_t)e->load.guard->id + 1) : h;
  case TN_EX_OP:
    h = mix(mix(h, (uint64_t)e->op.op), (uint64_t)e->op.flags);
    for (int i = 0; i < e->op.argc; i++)
      h = mix(h, (uint64_t)e->op.arg[i]->id);
    return h;
  }
  return h;
}

static bool expr_same(const struct tn_expr *a, const struct tn_expr *b) {
  if (a->kind != b->kind || a->dtype != b->dtype)
    return false;
  switch (a->kind) {
  case TN_EX_INT:
    return a->i == b->i;
  case TN_EX_FLOAT:
    return memcmp(&a->f, &b->f, sizeof a->f) == 0;
  case TN_EX_VAR:
    return a->var == b->var;
  case TN_EX_AFFINE:
    if (a->affine.base != b->affine.base || a->affine.count != b->affine.count)
      return false;
    for (int i = 0; i < a->affine.count; i++)
      if (a->affine.coef[i] != b->affine.coef[i] || a->affine.term[i] != b->affine.term[i])
        return false;
    return true;
  case TN_EX_LOAD:
    return a->load.buf == b->load.buf && a->load.index == b->load.index && a->load.guard == b->load.guard &&
           a->load.bytes == b->load.bytes;
  case TN_EX_OP:
    if (a->op.op != b->op.op || a->op.argc != b->op.argc || a->op.flags != b->op.flags)
      return false;
    for (int i = 0; i < a->op.argc; i++)
      if (a->op.arg[i] != b->op.arg[i])
        return false;
    return true;
  }
  return false;
}

static void table_insert(struct tn_nest *n, struct tn_expr *e) {
  size_t at = (size_t)expr_hash(e) & (n->table_size - 1);
  while (n->table[at])
    at = (at + 1) & (n->table_size - 1);
  n->table[at] = e;
}

struct tn_expr *tn_ex_intern(struct tn_nest *n, const struct tn_expr *probe) {
  if ((n->table_count + 1) * 2 > n->table_size) {
    struct tn_expr **old = n->table;
    size_t old_size = n->table_size;
    n->table_size = old_size ? old_size * 2 : 256;
    n->table = TN_NEW_ARRAY(n->arena, struct tn_expr *, n->table_size);
    for (size_t i = 0; i < old_size; i++)
      if (old[i])
        table_insert(n, old[i]);
  }
  size_t at = (size_t)expr_hash(probe) & (n->table_size - 1);
  for (; n->table[at]; at = (at + 1) & (n->table_size - 1))
    if (expr_same(n->table[at], probe))
      return n->table[at];
  struct tn_expr *e = TN_NEW(n->arena, struct tn_expr);
  *e = *probe;
  e->id = n->next_id++;
  if (e->kind == TN_EX_AFFINE) {
    size_t count = (size_t)probe->affine.count;
    int64_t *coef = TN_NEW_ARRAY(n->arena, int64_t, count);
    struct tn_expr **term = TN_NEW_ARRAY(n->arena, struct tn_expr *, count);
    memcpy(coef, probe->affine.coef, count * sizeof *coef);
    memcpy(term, probe->affine.term, count * sizeof *term);
    e->affine.coef = coef;
    e->affine.term = term;
  }
  n->table[at] = e;
  n->table_count++;
  return e;
}

/* ---- leaves ------------------------------------------------------------------------------------------------
 */

struct tn_nest *tn_nest_create(tn_arena *arena, const char *name) {
  struct tn_nest *n = TN_NEW(arena, struct tn_nest);
  n->arena = arena;
  n->name = name;
  return n;
}

static int64_t wrap_int(enum tn_dtype dtype, int64_t v) {
  switch (dtype) {
  case TN_I8:
    return (int8_t)v;
  case TN_I16:
    return (int16_t)v;
  case TN_I32:
    return (int32_t)v;
  case TN_U8:
    return (uint8_t)v;
  case TN_U16:
    return (uint16_t)v;
  case TN_U32:
    return (uint32_t)v;
  case TN_BOOL:
    return v != 0;
  default:
    return v;
  }
}

struct tn_expr *tn_ex_int(struct tn_nest *n, enum tn_dtype dtype, int64_t value) {
  value = wrap_int(dtype, value);
  struct tn_expr e = {.kind = TN_EX_INT, .dtype = dtype, .i = value, .lo = value, .hi = value};
  return tn_ex_intern(n, &e);
}

struct tn_expr *tn_ix(struct tn_nest *n, int64_t value) {
  return tn_ex_int(n, TN_INDEX, value);
}

struct tn_expr *tn_ex_float(struct tn_nest *n, enum tn_dtype dtype, double value) {
  struct tn_expr e = {.kind = TN_EX_FLOAT, .dtype = dtype, .f = value};
  if (dtype == TN_F32)
    e.f = (double)(float)value;
  return tn_ex_intern(n, &e);
}

struct tn_expr *tn_ex_const(struct tn_nest *n, const struct tn_tensor *tensor, int64_t element) {
  enum tn_dtype dtype = tensor->type.dtype;
  return tn_dtype_is_float(dtype) ? tn_ex_float(n, dtype, tn_tensor_float(tensor, element))
                                  : tn_ex_int(n, dtype, tn_tensor_int(tensor, element));
}

struct tn_expr *tn_ex_var(struct tn_nest *n, struct tn_var *var) {
  if (var->kind == TN_VAR_LOOP && var->extent == 1)
    return tn_ix(n, 0);
  struct tn_expr e = {
      .kind = TN_EX_VAR, .dtype = var->dtype, .var = var, .uses = (uint64_t)1 << (var->id % 64)};
  e.lo = var->kind == TN_VAR_LOOP ? 0 : -TN_EX_BOUND;
  e.hi = var->kind == TN_VAR_LOOP ? (var->extent > 0 ? var->extent - 1 : 0) : TN_EX_BOUND;
  return tn_ex_intern(n, &e);
}

static struct tn_expr *make_load(struct tn_nest *n, struct tn_buf *buf, struct tn_expr *index,
                                 struct tn_expr *guard, int bytes) {
  enum tn_dtype dtype = bytes ? TN_I32 : buf->dtype;
  if (guard && tn_ex_is_true(guard))
    guard = NULL;
  if (guard && tn_ex_is_false(guard))
    return tn_dtype_is_float(dtype) ? tn_ex_float(n, dtype, 0) : tn_ex_int(n, dtype, 0);
  struct tn_expr e = {.kind = TN_EX_LOAD, .dtype = dtype, .loads = true};
  e.load.buf = buf;
  e.load.index = index;
  e.load.guard = guard;
  e.load.bytes = bytes;
  e.uses = index->uses | (guard ? guard->uses : 0);
  return tn_ex_intern(n, &e);
}

struct tn_expr *tn_ex_load(struct tn_nest *n, struct tn_buf *buf, struct tn_expr *index,
                           struct tn_expr *guard) {
  return make_load(n, buf, index, guard, 0);
}

struct tn_expr *tn_ex_load_bytes(struct tn_nest *n, struct tn_buf *buf, struct tn_expr *index, int bytes) {
  return make_load(n, buf, index, NULL, bytes);
}

struct tn_expr *tn_ex_load_like(struct tn_nest *n, const struct tn_expr *like, struct tn_expr *index,
                                struct tn_expr *guard) {
  return make_load(n, like->load.buf, index, guard, like->load.bytes);
}

/* ---- operators ---------------------------------------------------------------------------------------------
 */

bool tn_ex_is_int(const struct tn_expr *e, int64_t *value) {
  if (e->kind != TN_EX_INT)
    return false;
  *value = e->i;
  return true;
}

bool tn_ex_is_true(const struct tn_expr *e) {
  return e->kind == TN_EX_INT && e->dtype == TN_BOOL && e->i == 1;
}
bool tn_ex_is_false(const struct tn_expr *e) {
  return e->kind == TN_EX_INT && e->dtype == TN_BOOL && e->i == 0;
}

static bool is_compare(enum tn_op op) {
  return op == TN_EQ || op == TN_NE || op == TN_LT || op == TN_LE || op == TN_GT || op == TN_GE;
}

/* What the bounds of two positions say about their comparison: 1, 0, or -1 for nothing. */
static int compare_bounds(enum tn_op op, int64_t lo, int64_t hi) { /* of a - b */
  switch (op) {
  case TN_LT:
    return hi < 0 ? 1 : lo >= 0 ? 0 : -1;
  case TN_LE:
    return hi <= 0 ? 1 : lo > 0 ? 0 : -1;
  case TN_GT:
    return lo > 0 ? 1 : hi <= 0 ? 0 : -1;
  case TN_GE:
    return lo >= 0 ? 1 : hi < 0 ? 0 : -1;
  case TN_EQ:
    return lo == 0 && hi == 0 ? 1 : lo > 0 || hi < 0 ? 0 : -1;
  case TN_NE:
    return lo == 0 && hi == 0 ? 0 : lo > 0 || hi < 0 ? 1 : -1;
  default:
    return -1;
  }
}

/* A simpler expression with the same value, or NULL. */
static struct tn_expr *simplify_op(struct tn_nest *n, enum tn_op op, enum tn_dtype dtype,
                                   struct tn_expr *const *arg) {
  struct tn_expr *a = arg[0], *b = arg[1];
  switch (op) {
  case TN_AND:
    if (dtype != TN_BOOL)
      return NULL;
    return tn_ex_is_true(a) || a == b ? b
           : tn_ex_is_true(b)         ? a
           : tn_ex_is_false(a)        ? a
           : tn_ex_is_false(b)        ? b
                                      : NULL;
  case TN_OR:
    if (dtype != TN_BOOL)
      return NULL;
    return tn_ex_is_false(a) || a == b ? b
           : tn_ex_is_false(b)         ? a
           : tn_ex_is_true(a)          ? a
           : tn_ex_is_true(b)          ? b
                                       : NULL;
  case TN_SELECT:
    return tn_ex_is_true(a) || b == arg[2] ? b : tn_ex_is_false(a) ? arg[2] : NULL;
  case TN_CAST:
    if (a->dtype == dtype)
      return a;
    if (a->kind == TN_EX_INT && dtype != TN_BOOL && !tn_dtype_is_float(dtype) && a->dtype != TN_U64)
      return tn_ex_int(n, dtype, a->i);
    if (a->kind == TN_EX_INT && (dtype == TN_F32 || dtype == TN_F64) && a->dtype != TN_U64)
      return tn_ex_float(n, dtype, dtype == TN_F32 ? (double)(float)a->i : (double)a->i);
    return NULL;
  case TN_MIN:
    if (dtype != TN_INDEX)
      return NULL;
    return a->hi <= b->lo || a == b ? a : b->hi <= a->lo ? b : NULL;
  case TN_MAX:
    if (dtype != TN_INDEX)
      return NULL;
    return a->lo >= b->hi || a == b ? a : b->lo >= a->hi ? b : NULL;
  default:
    if (is_compare(op) && a->dtype == TN_INDEX) {
      struct tn_expr *d = tn_ix_sub(n, a, b);
      int known = compare_bounds(op, d->lo, d->hi);
      return known < 0 ? NULL : tn_ex_int(n, TN_BOOL, known);
    }
    return NULL;
  }
}

/* Bounds of what a load of a constant table of bytes or of i32 can give; false: nothing is known. */
static bool bounds_of_table(const struct tn_expr *load, int64_t *lo, int64_t *hi) {
  if (load->kind != TN_EX_LOAD || !load->load.buf->data || load->load.bytes ||
      (load->dtype != TN_U8 && load->dtype != TN_I32) || load->load.buf->count > MOST_BOUNDED)
    return false;
  *lo = *hi = load->load.guard ? 0 : tn_tensor_int(load->load.buf->data, 0);
  for (int64_t i = 0; i < load->load.buf->count; i++) {
    int64_t v = tn_tensor_int(load->load.buf->data, i);
    *lo = v < *lo ? v : *lo;
    *hi = v > *hi ? v : *hi;
  }
  return true;
}

struct tn_expr *tn_ex_op(struct tn_nest *n, enum tn_op op, enum tn_dtype dtype, int argc,
                         struct tn_expr *const *arg, int flags) {
  if (dtype == TN_INDEX && op != TN_CAST && arg[0]->dtype == TN_INDEX) {
    int64_t v;
    if (op == TN_ADD)
      return tn_ix_add(n, arg[0], arg[1]);
    if (op == TN_SUB)
      return tn_ix_sub(n, arg[0], arg[1]);
    if (op == TN_NEG)
      return tn_ix_scale(n, arg[0], -1);
    if (op == TN_MUL && tn_ex_is_int(arg[1], &v))
      return tn_ix_scale(n, arg[0], v);
    if (op == TN_MUL && tn_ex_is_int(arg[0], &v))
      return tn_ix_scale(n, arg[1], v);
    if (op == TN_DIV && tn_ex_is_int(arg[1], &v) && v > 0)
      return tn_ix_div(n, arg[0], v);
    if (op == TN_MOD && tn_ex_is_int(arg[1], &v) && v > 0)
      return tn_ix_mod(n, arg[0], v);
  }
  struct tn_expr *args[3] = {arg[0], argc > 1 ? arg[1] : NULL, argc > 2 ? arg[2] : NULL};
  struct tn_expr *simple = simplify_op(n, op, dtype, args);
  if (simple)
    return simple;
  struct tn_expr e = {.kind = TN_EX_OP, .dtype = dtype};
  e.op.op = op;
  e.op.argc = argc;
  e.op.flags = flags;
  for (int i = 0; i < argc; i++) {
    e.op.arg[i] = arg[i];
    e.uses |= arg[i]->uses;
    e.loads |= arg[i]->loads;
  }
  if (dtype == TN_INDEX) {
    e.lo = -TN_EX_BOUND;
    e.hi = TN_EX_BOUND;
    if (op == TN_MIN || op == TN_MAX) {
      bool min = op == TN_MIN;
      e.lo = (args[0]->lo < args[1]->lo) == min ? args[0]->lo : args[1]->lo;
      e.hi = (args[0]->hi < args[1]->hi) == min ? args[0]->hi : args[1]->hi;
    } else if (op == TN_SELECT) {
      e.lo = args[1]->lo < args[2]->lo ? args[1]->lo : args[2]->lo;
      e.hi = args[1]->hi > args[2]->hi ? args[1]->hi : args[2]->hi;
    } else if (op == TN_CAST && bounds_of_table(args[0], &e.lo, &e.hi)) {
      /* known */
    } else if (op == TN_CAST && args[0]->dtype != TN_I64 && args[0]->dtype != TN_U64 &&
               args[0]->dtype != TN_U32) {
      e.lo = tn_dtype_is_signed(args[0]->dtype) ? INT32_MIN : 0;
      e.hi = INT32_MAX;
    }
  }
  return tn_ex_intern(n, &e);
}

struct tn_expr *tn_ex_unary(struct tn_nest *n, enum tn_op op, struct tn_expr *a) {
  bool predicate = op == TN_ISNAN || op == TN_ISINF;
  struct tn_expr *arg[3] = {a};
  return tn_ex_op(n, op, predicate ? TN_BOOL : a->dtype, 1, arg, op == TN_ISINF ? 3 : 0);
}

struct tn_expr *tn_ex_binary(struct tn_nest *n, enum tn_op op, struct tn_expr *a, struct tn_expr *b) {
  struct tn_expr *arg[3] = {a, b};
  return tn_ex_op(n, op, is_compare(op) ? TN_BOOL : a->dtype, 2, arg, 0);
}

struct tn_expr *tn_ex_select(struct tn_nest *n, struct tn_expr *cond, struct tn_expr *a, struct tn_expr *b) {
  struct tn_expr *arg[3] = {cond, a, b};
  return tn_ex_op(n, TN_SELECT, a->dtype, 3, arg, 0);
}

struct tn_expr *tn_ex_cast(struct tn_nest *n, struct tn_expr *a, enum tn_dtype to) {
  struct tn_expr *arg[3] = {a};
  return tn_ex_op(n, TN_CAST, to, 1, arg, 0);
}

struct tn_expr *tn_ex_and(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b) {
  return !a ? b : !b ? a : tn_ex_binary(n, TN_AND, a, b);
}
