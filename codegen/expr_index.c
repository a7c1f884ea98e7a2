/* Positions of a nest, and what is asked of and replaced in expressions.
 *
 * Positions (dtype TN_INDEX) are kept as base + sum coef * term with the terms sorted by id, where a term is a
 * loop variable or an opaque expression (a quotient, a remainder, a minimum, a loaded index).  Quotients and
 * remainders by constants are resolved with the bounds that every position carries, so that the chains of
 * linearize and split that reshapes make fall back to plain variables. */
#include "codegen/expr.h"

#include <stdlib.h>

#define MAX_TERMS 64

static int64_t clamp_bound(int64_t v) {
  return v > TN_EX_BOUND ? TN_EX_BOUND : v < -TN_EX_BOUND ? -TN_EX_BOUND : v;
}

static int64_t bound_times(int64_t a, int64_t b) {
  int64_t v;
  return tn_mul_i64(a, b, &v) ? clamp_bound(v) : (a < 0) == (b < 0) ? TN_EX_BOUND : -TN_EX_BOUND;
}

/* ---- affine positions --------------------------------------------------------------------------------------
 */

struct sum {
  int64_t base;
  int count;
  int64_t coef[MAX_TERMS];
  struct tn_expr *term[MAX_TERMS];
};

static void sum_add_term(struct tn_nest *n, struct sum *s, struct tn_expr *term, int64_t coef) {
  int at = 0;
  while (at < s->count && s->term[at]->id < term->id)
    at++;
  if (at < s->count && s->term[at] == term) {
    s->coef[at] += coef;
    if (s->coef[at] == 0) {
      s->count--;
      memmove(s->coef + at, s->coef + at + 1, (size_t)(s->count - at) * sizeof *s->coef);
      memmove(s->term + at, s->term + at + 1, (size_t)(s->count - at) * sizeof *s->term);
    }
    return;
  }
  if (s->count == MAX_TERMS)
    tn_bug(tn_arena_ctx(n->arena), "nest '%s': a position with more than %d terms", n->name, MAX_TERMS);
  memmove(s->coef + at + 1, s->coef + at, (size_t)(s->count - at) * sizeof *s->coef);
  memmove(s->term + at + 1, s->term + at, (size_t)(s->count - at) * sizeof *s->term);
  s->coef[at] = coef;
  s->term[at] = term;
  s->count++;
}

static void sum_add(struct tn_nest *n, struct sum *s, struct tn_expr *e, int64_t factor) {
  if (e->kind == TN_EX_INT) {
    s->base += e->i * factor;
  } else if (e->kind == TN_EX_AFFINE) {
    s->base += e->affine.base * factor;
    for (int i = 0; i < e->affine.count; i++)
      sum_add_term(n, s, e->affine.term[i], e->affine.coef[i] * factor);
  } else {
    sum_add_term(n, s, e, factor);
  }
}

static bool is_index_op(const struct tn_expr *e, enum tn_op op) {
  return e->kind == TN_EX_OP && e->dtype == TN_INDEX && e->op.op == op;
}

/* c*n*(x / n) + c*(x % n) is c*x. */
static bool rejoin_quotient(struct tn_nest *n, struct sum *s) {
  for (int i = 0; i < s->count; i++) {
    if (!is_index_op(s->term[i], TN_DIV))
      continue;
    struct tn_expr *x = s->term[i]->op.arg[0], *by = s->term[i]->op.arg[1];
    for (int j = 0; j < s->count; j++) {
      if (!is_index_op(s->term[j], TN_MOD) || s->term[j]->op.arg[0] != x || s->term[j]->op.arg[1] != by ||
          s->coef[i] != s->coef[j] * by->i)
        continue;
      int64_t c = s->coef[j];
      struct tn_expr *quotient = s->term[i], *rest = s->term[j];
      sum_add_term(n, s, quotient, -c * by->i);
      sum_add_term(n, s, rest, -c);
      sum_add(n, s, x, c);
      return true;
    }
  }
  return false;
}

static void sum_bounds(const struct sum *s, int64_t *lo, int64_t *hi) {
  int64_t low = clamp_bound(s->base), high = low;
  for (int i = 0; i < s->count; i++) {
    int64_t a = bound_times(s->coef[i], s->term[i]->lo), b = bound_times(s->coef[i], s->term[i]->hi);
    low = clamp_bound(low + (a < b ? a : b));
    high = clamp_bound(high + (a < b ? b : a));
  }
  *lo = low;
  *hi = high;
}

static struct tn_expr *sum_expr(struct tn_nest *n, struct sum *s) {
  while (rejoin_quotient(n, s))
    ;
  if (s->count == 0)
    return tn_ix(n, s->base);
  if (s->count == 1 && s->base == 0 && s->coef[0] == 1)
    return s->term[0];
  struct tn_expr e = {.kind = TN_EX_AFFINE, .dtype = TN_INDEX};
  e.affine.base = s->base;
  e.affine.count = s->count;
  e.affine.coef = s->coef;
  e.affine.term = s->term;
  for (int i = 0; i < s->count; i++) {
    e.uses |= s->term[i]->uses;
    e.loads |= s->term[i]->loads;
  }
  sum_bounds(s, &e.lo, &e.hi);
  return tn_ex_intern(n, &e);
}

struct tn_expr *tn_ix_add(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b) {
  struct sum s = {0};
  sum_add(n, &s, a, 1);
  sum_add(n, &s, b, 1);
  return sum_expr(n, &s);
}

struct tn_expr *tn_ix_sub(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b) {
  struct sum s = {0};
  sum_add(n, &s, a, 1);
  sum_add(n, &s, b, -1);
  return sum_expr(n, &s);
}

struct tn_expr *tn_ix_scale(struct tn_nest *n, struct tn_expr *a, int64_t factor) {
  struct sum s = {0};
  if (factor != 0)
    sum_add(n, &s, a, factor);
  return sum_expr(n, &s);
}

struct tn_expr *tn_ix_offset(struct tn_nest *n, struct tn_expr *a, int64_t offset) {
  struct sum s = {0};
  sum_add(n, &s, a, 1);
  s.base += offset;
  return sum_expr(n, &s);
}

static struct tn_expr *opaque(struct tn_nest *n, enum tn_op op, struct tn_expr *a, int64_t by, int64_t lo,
                              int64_t hi) {
  struct tn_expr e = {
      .kind = TN_EX_OP, .dtype = TN_INDEX, .uses = a->uses, .loads = a->loads, .lo = lo, .hi = hi};
  e.op.op = op;
  e.op.argc = 2;
  e.op.arg[0] = a;
  e.op.arg[1] = tn_ix(n, by);
  return tn_ex_intern(n, &e);
}

/* Splits e into by * whole + rest, moving into `whole` every term that `by` divides. */
static void split_multiples(struct tn_nest *n, struct tn_expr *e, int64_t by, struct sum *whole,
                            struct sum *rest) {
  struct sum all = {0};
  sum_add(n, &all, e, 1);
  for (int i = 0; i < all.count; i++) {
    if (all.coef[i] % by == 0)
      sum_add_term(n, whole, all.term[i], all.coef[i] / by);
    else
      sum_add_term(n, rest, all.term[i], all.coef[i]);
  }
  whole->base = tn_floor_div(all.base, by);
  rest->base = tn_floor_mod(all.base, by);
}

struct tn_expr *tn_ix_div(struct tn_nest *n, struct tn_expr *a, int64_t by) {
  if (by == 1)
    return a;
  struct sum whole = {0}, rest = {0};
  split_multiples(n, a, by, &whole, &rest);
  int64_t lo, hi;
  sum_bounds(&rest, &lo, &hi);
  if (tn_floor_div(lo, by) == tn_floor_div(hi, by)) {
    whole.base += tn_floor_div(lo, by);
    return sum_expr(n, &whole);
  }
  /* floor((g*x + b) / (g*m)) = floor((x + floor(b/g)) / m) */
  int64_t g = by;
  for (int i = 0; i < rest.count; i++)
    g = tn_gcd(g, rest.coef[i]);
  if (g > 1) {
    for (int i = 0; i < rest.count; i++)
      rest.coef[i] /= g;
    rest.base = tn_floor_div(rest.base, g);
    sum_add(n, &whole, tn_ix_div(n, sum_expr(n, &rest), by / g), 1);
    return sum_expr(n, &whole);
  }
  struct tn_expr *x = sum_expr(n, &rest);
  if (is_index_op(x, TN_DIV) && x->op.arg[1]->i <= TN_EX_BOUND / by) {
    sum_add(n, &whole, tn_ix_div(n, x->op.arg[0], x->op.arg[1]->i * by), 1);
    return sum_expr(n, &whole);
  }
  sum_add(n, &whole, opaque(n, TN_DIV, x, by, tn_floor_div(x->lo, by), tn_floor_div(x->hi, by)), 1);
  return sum_expr(n, &whole);
}

struct tn_expr *tn_ix_mod(struct tn_nest *n, struct tn_expr *a, int64_t by) {
  if (by == 1)
    return tn_ix(n, 0);
  struct sum whole = {0}, rest = {0};
  split_multiples(n, a, by, &whole, &rest);
  int64_t lo, hi;
  sum_bounds(&rest, &lo, &hi);
  int64_t q = tn_floor_div(lo, by);
  if (q == tn_floor_div(hi, by)) {
    rest.base -= q * by;
    return sum_expr(n, &rest);
  }
  int64_t g = by;
  for (int i = 0; i < rest.count; i++)
    g = tn_gcd(g, rest.coef[i]);
  if (g > 1) { /* (g*x + b) mod (g*m) = g * ((x + b/g) mod m) + b mod g */
    for (int i = 0; i < rest.count; i++)
      rest.coef[i] /= g;
    int64_t left = tn_floor_mod(rest.base, g);
    rest.base = tn_floor_div(rest.base, g);
    return tn_ix_offset(n, tn_ix_scale(n, tn_ix_mod(n, sum_expr(n, &rest), by / g), g), left);
  }
  return opaque(n, TN_MOD, sum_expr(n, &rest), by, 0, by - 1);
}

/* ---- questions and rewriting -------------------------------------------------------------------------------
 */

bool tn_ex_uses(const struct tn_expr *e, const struct tn_var *var) {
  if (!((e->uses >> (var->id % 64)) & 1))
    return false;
  bool uses = false;
  switch (e->kind) {
  case TN_EX_VAR:
    return e->var == var;
  case TN_EX_AFFINE:
    for (int i = 0; i < e->affine.count && !uses; i++)
      uses = tn_ex_uses(e->affine.term[i], var);
    return uses;
  case TN_EX_LOAD:
    return tn_ex_uses(e->load.index, var) || (e->load.guard && tn_ex_uses(e->load.guard, var));
  case TN_EX_OP:
    for (int i = 0; i < e->op.argc && !uses; i++)
      uses = tn_ex_uses(e->op.arg[i], var);
    return uses;
  default:
    return false;
  }
}

bool tn_ex_stride(const struct tn_expr *e, const struct tn_var *var, int64_t *stride) {
  *stride = 0;
  if (!tn_ex_uses(e, var))
    return true;
  if (e->kind == TN_EX_VAR) {
    *stride = e->var == var;
    return true;
  }
  if (e->kind != TN_EX_AFFINE)
    return false;
  int64_t total = 0;
  for (int i = 0; i < e->affine.count; i++) {
    int64_t one;
    if (!tn_ex_stride(e->affine.term[i], var, &one))
      return false;
    total += one * e->affine.coef[i];
  }
  *stride = total;
  return true;
}

struct replacement {
  struct tn_nest *n;
  int count;
  struct tn_var *const *vars;
  struct tn_expr *const *values;
  uint64_t mask;
  struct tn_expr **memo; /* by expression id */
  int memo_size;
};

static struct tn_expr *replace(struct replacement *r, struct tn_expr *e) {
  if (!(e->uses & r->mask))
    return e;
  bool keep = e->id < r->memo_size;
  if (keep && r->memo[e->id])
    return r->memo[e->id];
  struct tn_expr *out = e;
  switch (e->kind) {
  case TN_EX_INT:
  case TN_EX_FLOAT:
    break;
  case TN_EX_VAR:
    for (int i = 0; i < r->count; i++)
      if (e->var == r->vars[i])
        out = r->values[i];
    break;
  case TN_EX_AFFINE: {
    struct sum s = {.base = e->affine.base};
    for (int i = 0; i < e->affine.count; i++)
      sum_add(r->n, &s, replace(r, e->affine.term[i]), e->affine.coef[i]);
    out = sum_expr(r->n, &s);
    break;
  }
  case TN_EX_LOAD:
    out = tn_ex_load_like(r->n, e, replace(r, e->load.index), e->load.guard ? replace(r, e->load.guard) : NULL);
    break;
  case TN_EX_OP: {
    struct tn_expr *arg[3] = {0};
    for (int i = 0; i < e->op.argc; i++)
      arg[i] = replace(r, e->op.arg[i]);
    out = tn_ex_op(r->n, e->op.op, e->dtype, e->op.argc, arg, e->op.flags);
    break;
  }
  }
  if (keep)
    r->memo[e->id] = out;
  return out;
}

/* A whole statement list is replaced with one memo: see tn_st_replace. */
struct tn_expr *tn_ex_replace(struct tn_nest *n, struct tn_expr *e, int count, struct tn_var *const *vars,
                              struct tn_expr *const *values) {
  struct replacement r = {.n = n, .count = count, .vars = vars, .values = values, .memo_size = n->next_id};
  for (int i = 0; i < count; i++)
    r.mask |= (uint64_t)1 << (vars[i]->id % 64);
  if (!(e->uses & r.mask))
    return e;
  r.memo = TN_NEW_ARRAY(n->arena, struct tn_expr *, r.memo_size);
  return replace(&r, e);
}
