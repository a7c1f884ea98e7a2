/* Which loops are shared between threads: the last step of a schedule, and one that moves nothing.
 *
 * Candidates are the outermost loops of the nest.  One is made parallel when
 *  1. its iterations are independent, as can be read off its statements: what they store lies in different
 * places for different iterations, nothing is read from where another iteration stores, and no variable from
 * around it is set or used;
 *  2. its work is worth the few microseconds that waking and joining threads takes.
 * A loop with few iterations is taken together with the loop that is all its body, and so on inwards: the
 * iterations of all are one range.
 *
 * Sums are never shared, so the number of threads cannot change a result's bits. */
#include "codegen/schedule.h"

#include <stdlib.h>

#define MAX_ACCESSES 256
#define MAX_DIGITS 64

struct access {
  const struct tn_buf *buf;
  struct tn_expr *index;
  const struct tn_expr *guard;
  bool store;
};

/* What the iterations of the loops `var` do. */
struct scan {
  struct tn_nest *n;
  struct tn_var *var[TN_MAX_REDUCE];
  int count;
  struct access access[MAX_ACCESSES];
  int accesses;
  bool *seen;     /* by expression */
  bool *declared; /* by variable: inside */
  bool dependent;
  bool branches;              /* there are ifs or whiles */
  const struct scan *outside; /* all other statements of the nest */
};

static void add_access(struct scan *s, const struct tn_buf *buf, struct tn_expr *index,
                       const struct tn_expr *guard, bool store) {
  if (s->accesses == MAX_ACCESSES)
    s->dependent = true;
  else
    s->access[s->accesses++] = (struct access){buf, index, guard, store};
}

static void scan_expr(struct scan *s, const struct tn_expr *e) {
  if (!e || s->seen[e->id])
    return;
  s->seen[e->id] = true;
  switch (e->kind) {
  case TN_EX_VAR:
    s->dependent |= !s->declared[e->var->id];
    break;
  case TN_EX_AFFINE:
    for (int i = 0; i < e->affine.count; i++)
      scan_expr(s, e->affine.term[i]);
    break;
  case TN_EX_LOAD:
    if (!e->load.buf->data)
      add_access(s, e->load.buf, e->load.index, e->load.guard, false);
    scan_expr(s, e->load.index);
    scan_expr(s, e->load.guard);
    break;
  case TN_EX_OP:
    for (int i = 0; i < e->op.argc; i++)
      scan_expr(s, e->op.arg[i]);
    break;
  default:
    break;
  }
}

static void scan_list(struct scan *s, const struct tn_stmt *list) {
  for (const struct tn_stmt *st = list; st; st = st->next) {
    switch (st->kind) {
    case TN_ST_LOOP:
      s->declared[st->loop.var->id] = true;
      scan_list(s, st->loop.body);
      break;
    case TN_ST_REDUCE:
      scan_expr(s, st->reduce.init);
      for (int i = 0; i < st->reduce.count; i++)
        s->declared[st->reduce.var[i]->id] = true;
      if (st->reduce.lane)
        s->declared[st->reduce.lane->id] = true;
      scan_expr(s, st->reduce.term);
      s->declared[st->reduce.acc->id] = true;
      break;
    case TN_ST_LET:
      s->declared[st->let.var->id] = true;
      scan_expr(s, st->let.value);
      break;
    case TN_ST_SET:
      s->dependent |= !s->declared[st->let.var->id];
      scan_expr(s, st->let.value);
      break;
    case TN_ST_STORE:
      add_access(s, st->store.buf, st->store.index, st->store.guard, true);
      scan_expr(s, st->store.index);
      scan_expr(s, st->store.value);
      scan_expr(s, st->store.guard);
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      s->branches = true;
      scan_expr(s, st->branch.cond);
      scan_list(s, st->branch.then);
      scan_list(s, st->branch.other);
      break;
    }
  }
}

/* ---- different places for different iterations
 * ---------------------------------------------------------------
 *
 * A position is a number whose digits are loop variables: base + sum coef * digit.  Where each coef exceeds
 * what all smaller ones can add up to, the position tells every digit, so two iterations never meet. */

struct digits {
  int64_t coef[MAX_DIGITS], extent[MAX_DIGITS];
  int count;
};

static bool add_digit(struct digits *d, int64_t coef, int64_t extent) {
  if (extent <= 1 || coef == 0)
    return true;
  if (d->count == MAX_DIGITS)
    return false;
  d->coef[d->count] = coef < 0 ? -coef : coef;
  d->extent[d->count++] = extent;
  return true;
}

/* Sorts the digits by their coefs. */
static bool tell_apart(struct digits *d) {
  for (int i = 1; i < d->count; i++)
    for (int k = i; k > 0 && d->coef[k] < d->coef[k - 1]; k--) {
      int64_t coef = d->coef[k], extent = d->extent[k];
      d->coef[k] = d->coef[k - 1], d->extent[k] = d->extent[k - 1];
      d->coef[k - 1] = coef, d->extent[k - 1] = extent;
    }
  int64_t span = 0, most;
  for (int i = 0; i < d->count; i++) {
    if (d->coef[i] <= span || !tn_mul_i64(d->coef[i], d->extent[i] - 1, &most) ||
        !tn_add_i64(span, most, &span))
      return false;
  }
  return true;
}

/* coef of a loop variable that is a term of its own; 0 when it is none. */
static int64_t coef_of(const struct tn_expr *index, const struct tn_var *var) {
  if (index->kind == TN_EX_VAR)
    return index->var == var;
  for (int i = 0; index->kind == TN_EX_AFFINE && i < index->affine.count; i++)
    if (index->affine.term[i]->kind == TN_EX_VAR && index->affine.term[i]->var == var)
      return index->affine.coef[i];
  return 0;
}

static bool add_digits(struct digits *d, const struct tn_expr *index) {
  if (index->kind == TN_EX_INT)
    return true;
  if (index->kind != TN_EX_AFFINE)
    return add_digit(d, 1, index->hi - index->lo + 1);
  for (int i = 0; i < index->affine.count; i++) {
    const struct tn_expr *t = index->affine.term[i];
    if (!add_digit(d, index->affine.coef[i], t->hi - t->lo + 1))
      return false;
  }
  return true;
}

static bool has_all(const struct scan *s, const struct tn_expr *a, const struct tn_expr *b) {
  for (int i = 0; i < s->count; i++)
    if (!coef_of(a, s->var[i]) && !(b && coef_of(b, s->var[i])))
      return false;
  return true;
}

/* The conjuncts `position < constant` of a guard: *position and *limit of number `k`; false past the last. */
static bool limit_of(const struct tn_expr *guard, int *k, struct tn_expr **position, int64_t *limit) {
  if (!guard || guard->kind != TN_EX_OP)
    return false;
  if (guard->op.op == TN_AND)
    return limit_of(guard->op.arg[0], k, position, limit) || limit_of(guard->op.arg[1], k, position, limit);
  if (guard->op.op != TN_LT || guard->op.arg[0]->dtype != TN_INDEX || !tn_ex_is_int(guard->op.arg[1], limit))
    return false;
  *position = guard->op.arg[0];
  return (*k)-- == 0;
}

/* Whether one access never has the same position in two iterations. */
static bool apart(const struct scan *s, const struct access *a) {
  struct digits d = {.count = 0};
  if (has_all(s, a->index, NULL) && add_digits(&d, a->index) && tell_apart(&d))
    return true;
  /* Lanes past an axis' end do not store: what the guard bounds is one digit. */
  struct tn_expr *part;
  int64_t limit;
  for (int number = 0;; number++) {
    int k = number;
    if (!limit_of(a->guard, &k, &part, &limit))
      return false;
    struct tn_expr *rest = tn_ix_sub(s->n, a->index, part);
    struct digits whole = {.count = 0}, inner = {.count = 0};
    int64_t hi = part->hi < limit - 1 ? part->hi : limit - 1;
    if (has_all(s, rest, part) && add_digits(&whole, rest) && add_digit(&whole, 1, hi - part->lo + 1) &&
        tell_apart(&whole) && add_digits(&inner, part) && tell_apart(&inner))
      return true;
  }
}

static bool same_place(const struct tn_buf *a, const struct tn_buf *b) {
  return a == b || (a->value && b->value && a->value->storage.place != TN_NOWHERE &&
                    a->value->storage.place == b->value->storage.place &&
                    a->value->storage.index == b->value->storage.index);
}

/* Whether iterations keep to ranges of their own in the place of access `first`: all accesses there go the same
 * steps from iteration to iteration, wide enough for what they touch in one. */
static bool ranges_apart(const struct scan *s, const struct access *first) {
  int64_t lo = INT64_MAX, hi = INT64_MIN;
  struct digits d = {.count = 0};
  for (int i = 0; i < s->accesses; i++) {
    const struct access *a = &s->access[i];
    if (!same_place(a->buf, first->buf))
      continue;
    if (tn_dtype_size(a->buf->dtype) != tn_dtype_size(first->buf->dtype))
      return false;
    struct tn_expr *rest = a->index;
    for (int k = 0; k < s->count; k++) {
      int64_t coef = coef_of(first->index, s->var[k]);
      rest = tn_ix_sub(s->n, rest, tn_ix_scale(s->n, tn_ex_var(s->n, s->var[k]), coef));
    }
    for (int k = 0; k < s->count; k++)
      if (tn_ex_uses(rest, s->var[k]))
        return false;
    lo = rest->lo < lo ? rest->lo : lo;
    hi = rest->hi > hi ? rest->hi : hi;
  }
  for (int k = 0; k < s->count; k++) {
    int64_t coef = coef_of(first->index, s->var[k]);
    if (!coef || !add_digit(&d, coef, s->var[k]->extent))
      return false;
  }
  return add_digit(&d, 1, hi - lo + 1) && tell_apart(&d);
}

/* Whether the iterations keep to columns of their own: modulo a row, all positions in the place of access
 * `first` are start + coef * iteration + less than coef.  (The accesses may be of different rows.) */
static bool columns_apart(const struct scan *s, const struct access *first) {
  int64_t coef = coef_of(first->index, s->var[0]), width, row = 0, lo = INT64_MAX, hi = INT64_MIN;
  if (s->count != 1 || coef <= 0 || !tn_mul_i64(coef, s->var[0]->extent, &width))
    return false;
  for (int pass = 0; pass < 2; pass++) /* the row's length, then what lies in a row */
    for (int i = 0; i < s->accesses; i++) {
      const struct access *a = &s->access[i];
      if (!same_place(a->buf, first->buf))
        continue;
      const struct tn_expr *e = a->index;
      if (e->kind != TN_EX_AFFINE || coef_of(e, s->var[0]) != coef ||
          tn_dtype_size(a->buf->dtype) != tn_dtype_size(first->buf->dtype))
        return false;
      int64_t from = row ? e->affine.base % row : 0, to = from;
      for (int k = 0; k < e->affine.count; k++) {
        const struct tn_expr *t = e->affine.term[k];
        int64_t c = e->affine.coef[k];
        if (t->kind == TN_EX_VAR && t->var == s->var[0])
          continue;
        if (tn_ex_uses(t, s->var[0]) || c < 0 || t->lo < 0)
          return false;
        if (c >= width)
          row = pass == 0 ? tn_gcd(c, row) : row;
        else
          from += c * t->lo, to += c * t->hi;
      }
      lo = pass && from < lo ? from : lo;
      hi = pass && to > hi ? to : hi;
    }
  return row >= width && hi - lo < coef && hi - lo + width - coef < row;
}

/* ---- scratch --------------------------------------------------------------------------------------------
 *
 * A local buffer that every iteration fills anew.  All accesses are inside of the loop and the same for each
 * iteration, so an iteration reads only what it wrote itself: as the first one does, before which there is
 * nothing. Threads then need one each. */

static bool uses_any(const struct scan *s, const struct tn_expr *e) {
  for (int i = 0; i < s->count && e; i++)
    if (tn_ex_uses(e, s->var[i]))
      return true;
  return e && e->loads;
}

static bool is_scratch(const struct scan *s, const struct tn_buf *buf) {
  if (buf->param >= 0 || buf->data || s->branches ||
      buf->count * (int64_t)tn_dtype_size(buf->dtype) > TN_MOST_OWN_BYTES)
    return false;
  for (int i = 0; i < s->accesses; i++)
    if (s->access[i].buf == buf && (uses_any(s, s->access[i].index) || uses_any(s, s->access[i].guard)))
      return false;
  for (int i = 0; i < s->outside->accesses; i++)
    if (s->outside->access[i].buf == buf)
      return false;
  return s->outside->accesses < MAX_ACCESSES;
}

static bool independent(struct scan *s, const struct tn_stmt *body) {
  scan_list(s, body);
  for (int i = 0; i < s->accesses && !s->dependent; i++) {
    const struct access *a = &s->access[i];
    if (!a->store || is_scratch(s, a->buf))
      continue;
    bool one_index = true;
    for (int k = 0; k < s->accesses; k++) {
      const struct access *b = &s->access[k];
      if (same_place(a->buf, b->buf))
        one_index &= a->index == b->index && tn_dtype_size(a->buf->dtype) == tn_dtype_size(b->buf->dtype);
    }
    s->dependent = !(one_index && apart(s, a)) && !ranges_apart(s, a) && !columns_apart(s, a);
  }
  return !s->dependent;
}

/* ---- what a loop costs: nanoseconds, roughly ------------------------------------------------------------ */

/* Of a vector register; loads and stores count in part.  Of a byte that is still near the core, or not. */
static const double operation_ns = 0.08, near_ns = 0.015, far_ns = 0.05, near_bytes = 1 << 20;

struct cost {
  const struct tn_nest *n;
  const struct tn_target *target;
  int *seen; /* by expression: number of the statement that counted it */
  int statement;
  const struct tn_var *lane;
  double trips;    /* of all loops around */
  double *touched; /* by buffer: bytes that loads and stores move */
};

static double memory_cost(struct cost *c, const struct tn_buf *buf, const struct tn_expr *index) {
  int64_t stride = 0, lanes = c->lane ? c->lane->extent : 1;
  bool known = !c->lane || tn_ex_stride(index, c->lane, &stride);
  for (size_t i = 0; i < c->n->bufs.count; i++)
    if (c->n->bufs.at[i] == buf)
      c->touched[i] +=
          c->trips * (double)(known && stride == 0 ? 1 : lanes) * (double)tn_dtype_size(buf->dtype);
  return !known || stride > 1 || stride < -1 ? (double)lanes : 0.5;
}

static double expr_cost(struct cost *c, const struct tn_expr *e) {
  if (!e || c->seen[e->id] == c->statement || e->dtype == TN_INDEX)
    return 0;
  c->seen[e->id] = c->statement;
  if (e->kind == TN_EX_LOAD)
    return memory_cost(c, e->load.buf, e->load.index);
  if (e->kind != TN_EX_OP)
    return 0;
  double sum = 1;
  switch (e->op.op) {
  case TN_DIV:
  case TN_SQRT:
    sum = 4;
    break;
  case TN_EXP:
  case TN_LOG:
  case TN_TANH:
  case TN_SOFTPLUS:
  case TN_SIGMOID:
  case TN_ERF:
  case TN_SIN:
  case TN_COS:
  case TN_POW:
    sum = 20;
    break;
  default:
    break;
  }
  for (int i = 0; i < e->op.argc; i++)
    sum += expr_cost(c, e->op.arg[i]);
  return sum;
}

static double list_cost(struct cost *c, const struct tn_stmt *list);

/* Operations of one statement, all its trips. */
static double statement_cost(struct cost *c, const struct tn_stmt *st) {
  const struct tn_var *lane = c->lane;
  double trips = c->trips, cost = 0;
  c->statement++;
  switch (st->kind) {
  case TN_ST_LOOP:
    if (st->loop.kind == TN_LOOP_VECTOR) {
      int registers = c->target->vector_bytes ? (int)st->loop.var->extent * 4 / c->target->vector_bytes : 1;
      c->lane = st->loop.var;
      cost = list_cost(c, st->loop.body) * (registers > 1 ? registers : 1);
    } else {
      c->trips *= (double)st->loop.var->extent;
      cost = list_cost(c, st->loop.body);
    }
    break;
  case TN_ST_REDUCE:
    c->lane = st->reduce.lane ? st->reduce.lane : lane;
    for (int i = 0; i < st->reduce.count; i++)
      c->trips *= (double)st->reduce.var[i]->extent;
    cost = c->trips * (1 + expr_cost(c, st->reduce.term));
    break;
  case TN_ST_LET:
  case TN_ST_SET:
    cost = trips * (0.5 + expr_cost(c, st->let.value));
    break;
  case TN_ST_STORE:
    cost = trips * (expr_cost(c, st->store.value) + 2 * memory_cost(c, st->store.buf, st->store.index));
    break;
  case TN_ST_IF:
    cost = trips + list_cost(c, st->branch.then) + list_cost(c, st->branch.other);
    break;
  case TN_ST_WHILE: /* unknown trips */
    c->trips *= 8;
    cost = trips + list_cost(c, st->branch.then);
    break;
  }
  c->lane = lane;
  c->trips = trips;
  return cost;
}

static double list_cost(struct cost *c, const struct tn_stmt *list) {
  double sum = 0;
  for (const struct tn_stmt *st = list; st; st = st->next)
    sum += statement_cost(c, st);
  return sum;
}

/* Of one statement of the nest's own list. */
static double cost_of(const struct tn_target *target, const struct tn_nest *n, const struct tn_stmt *st) {
  tn_arena *scratch = tn_arena_create(tn_arena_ctx(n->arena));
  struct cost c = {.n = n, .target = target, .seen = TN_NEW_ARRAY(scratch, int, n->next_id + 1), .trips = 1};
  c.touched = TN_NEW_ARRAY(scratch, double, n->bufs.count + 1);
  double cost = statement_cost(&c, st) * operation_ns, bytes = 0;
  for (size_t i = 0; i < n->bufs.count; i++) {
    double all = (double)n->bufs.at[i]->count * (double)tn_dtype_size(n->bufs.at[i]->dtype);
    bytes += c.touched[i] < all ? c.touched[i] : all;
  }
  tn_arena_destroy(scratch);
  double moving = bytes * near_ns + (bytes > near_bytes ? (bytes - near_bytes) * far_ns : 0);
  return cost > moving ? cost : moving;
}

/* ---- the choice ----------------------------------------------------------------------------------------- */

enum {
  ITERATION_NS = 50 /* least, where two loops are taken as one and their positions have to be divided out */
};

static void make_serial(struct tn_stmt *list) {
  for (struct tn_stmt *s = list; s; s = s->next) {
    if (s->kind == TN_ST_LOOP) {
      if (s->loop.kind == TN_LOOP_PARALLEL)
        s->loop.kind = TN_LOOP_SERIAL;
      make_serial(s->loop.body);
    } else if (s->kind == TN_ST_IF || s->kind == TN_ST_WHILE) {
      make_serial(s->branch.then);
      make_serial(s->branch.other);
    }
  }
}

static struct scan *new_scan(struct tn_nest *n) {
  struct scan *s = TN_NEW(n->arena, struct scan);
  s->n = n;
  s->seen = TN_NEW_ARRAY(n->arena, bool, n->next_id + 1);
  s->declared = TN_NEW_ARRAY(n->arena, bool, n->next_var + 1);
  return s;
}

/* Scratch buffers of the loops are marked when their iterations are independent. */
static bool iterations_independent(struct tn_nest *n, struct tn_var *const *vars, int count,
                                   const struct tn_stmt *body, const struct scan *outside) {
  struct scan *s = new_scan(n);
  s->count = count;
  s->outside = outside;
  for (int i = 0; i < count; i++) {
    s->var[i] = vars[i];
    s->declared[vars[i]->id] = true;
  }
  if (!independent(s, body))
    return false;
  for (size_t i = 0; i < n->bufs.count; i++)
    for (int k = 0; k < s->accesses; k++)
      if (s->access[k].buf == n->bufs.at[i] && s->access[k].store)
        n->bufs.at[i]->own |= is_scratch(s, n->bufs.at[i]);
  return true;
}

/* What the nest does beside `loop`. */
static const struct scan *scan_outside(struct tn_nest *n, struct tn_stmt *loop) {
  struct scan *s = new_scan(n);
  struct tn_stmt *body = loop->loop.body;
  loop->loop.body = NULL;
  scan_list(s, n->body);
  loop->loop.body = body;
  return s;
}

void tn_schedule_parallel(const struct tn_target *target, struct tn_nest *n) {
  make_serial(n->body);
  for (struct tn_stmt *first = n->body; first; first = first->next) {
    if (first->kind != TN_ST_LOOP || first->loop.kind != TN_LOOP_SERIAL)
      continue;
    struct tn_var *vars[TN_MAX_REDUCE];
    int count = 0;
    int64_t extent = 1;
    double whole = cost_of(target, n, first);
    if (whole < target->fork_ns)
      continue;
    const struct scan *outside = scan_outside(n, first);
    for (struct tn_stmt *s = first;
         s && s->kind == TN_ST_LOOP && s->loop.kind == TN_LOOP_SERIAL && count < TN_MAX_REDUCE;
         s = s->loop.body && !s->loop.body->next ? s->loop.body : NULL) {
      int64_t all;
      if (!tn_mul_i64(extent, s->loop.var->extent, &all) ||
          (count && whole / (double)all < (double)ITERATION_NS && target->fork_ns > ITERATION_NS))
        break;
      vars[count] = s->loop.var;
      if (!iterations_independent(n, vars, count + 1, s->loop.body, outside))
        break;
      count++;
      extent = all;
      s->loop.kind = TN_LOOP_PARALLEL;
      if (extent >= (int64_t)TN_RANGES_A_THREAD * target->threads)
        break;
    }
    if (extent == 1)
      make_serial(first->loop.body), first->loop.kind = TN_LOOP_SERIAL;
  }
}
