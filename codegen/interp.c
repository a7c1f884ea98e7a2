/* Runs a nest: the reference that generated code is held against, and what folds constants.
 *
 * The nest is first turned into tapes, one a statement: its expressions in an order in which operands come
 * first, each with a row of LANES results.  A tape is run for many iterations at a time wherever that cannot be
 * told from one after the other: over the iterations of a perfect nest of loops whose body only declares,
 * reduces and stores, or over those of a reduction.  Everything else runs with one lane.
 *
 * Loops that only copy need no tape (strided.c).  Loop kinds and the schedule of a reduction do not matter
 * here: iterations are done in order, and sums are summed in order.  Every access is checked; scratch starts as
 * garbage. */
#include "codegen/strided.h"

enum { LANES = 256 };

struct row {
  union tn_scalar lane[LANES];
  union tn_scalar apart[8]; /* the first lanes of rows must not share a cache set */
};

struct step {
  const struct tn_expr *e;
  struct row *out;
  struct row *arg[3];  /* operands of an operator; index and guard of a load */
  struct row **term;   /* of a sum of positions */
  const uint8_t *data; /* of a load */
};
struct tape {
  TN_VEC(struct step) steps;
};

struct code {
  const struct tn_stmt *s;
  struct code *next, *body, *other;
  struct code *leaf;  /* of a loop that runs in lanes: the body of its innermost loop */
  struct tape tape;   /* of a reduction: what its loops do not change, and init */
  struct tape inner;  /* of a reduction: the rest */
  struct row *target; /* the variable that is declared or set */
  struct row *value, *index, *guard;
  uint8_t *data; /* of a store */
  /* Loops that run as one: those of a perfect nest in lanes (count > 0), or of a reduction. */
  int count;
  int64_t extent[TN_MAX_REDUCE * 2];
  struct row *var[TN_MAX_REDUCE * 2];
  int64_t total;
  TN_VEC(struct row *) outer; /* variables from around that the lanes read */
  /* Of a loop that is a copy, else NULL: */
  const struct tn_strided *copy;
  uint8_t *to, *from;
};

struct storage {
  uint8_t *data;
  size_t bytes;
};

struct interp {
  tn_ctx *ctx;
  tn_arena *arena;
  const struct tn_nest *nest;
  void *const *data;
  struct storage *storage; /* by number in nest->bufs */
  struct row **row;        /* by expression id */
  struct row **var;        /* by variable id */
  int *stamp;              /* by expression id: the tape it was last put on */
  bool *varies;            /* by expression id: depends on the reduction that is being planned */
  bool *bound;             /* by variable id, while the variables around are sought */
  int tapes;
};

/* ---- planning
 * ------------------------------------------------------------------------------------------------ */

static struct storage *storage_of(struct interp *in, const struct tn_buf *buf) {
  for (size_t i = 0; i < in->nest->bufs.count; i++)
    if (in->nest->bufs.at[i] == buf)
      return &in->storage[i];
  tn_bug(in->ctx, "nest '%s' uses buffer '%s', which is not one of its own", in->nest->name, buf->name);
}

static struct row *var_row(struct interp *in, const struct tn_var *var) {
  if (!in->var[var->id])
    in->var[var->id] = TN_NEW(in->arena, struct row);
  return in->var[var->id];
}

static struct row *expr_row(struct interp *in, const struct tn_expr *e) {
  if (e->kind == TN_EX_VAR)
    return var_row(in, e->var);
  struct row **row = &in->row[e->id];
  if (*row)
    return *row;
  *row = TN_NEW(in->arena, struct row);
  for (int i = 0; i < LANES && e->kind == TN_EX_INT; i++)
    (*row)->lane[i].i = e->i;
  for (int i = 0; i < LANES && e->kind == TN_EX_FLOAT; i++)
    (*row)->lane[i].f = e->f;
  return *row;
}

static bool is_loop_of(const struct tn_stmt *reduce, const struct tn_var *var) {
  for (int k = 0; reduce && k < reduce->reduce.count; k++)
    if (reduce->reduce.var[k] == var)
      return true;
  return reduce && reduce->reduce.lane == var;
}

/* Puts e and what it needs on the tape, once a statement; what depends on the loops of `reduce` (or NULL) goes
 * to its inner tape.  Returns the row of e. */
static struct row *plan_expr(struct interp *in, struct code *c, const struct tn_stmt *reduce,
                             const struct tn_expr *e) {
  if (!e)
    return NULL;
  struct row *out = expr_row(in, e);
  if (in->stamp[e->id] == in->tapes)
    return out;
  in->stamp[e->id] = in->tapes;
  in->varies[e->id] = e->kind == TN_EX_VAR && is_loop_of(reduce, e->var);
  if (e->kind == TN_EX_INT || e->kind == TN_EX_FLOAT || e->kind == TN_EX_VAR)
    return out;
  struct step step = {.e = e, .out = out};
  bool varies = false;
  switch (e->kind) {
  case TN_EX_AFFINE:
    step.term = TN_NEW_ARRAY(in->arena, struct row *, e->affine.count);
    for (int i = 0; i < e->affine.count; i++) {
      step.term[i] = plan_expr(in, c, reduce, e->affine.term[i]);
      varies |= in->varies[e->affine.term[i]->id];
    }
    break;
  case TN_EX_LOAD:
    step.data = storage_of(in, e->load.buf)->data;
    step.arg[0] = plan_expr(in, c, reduce, e->load.index);
    step.arg[1] = plan_expr(in, c, reduce, e->load.guard);
    varies = in->varies[e->load.index->id] || (e->load.guard && in->varies[e->load.guard->id]);
    break;
  default:
    for (int i = 0; i < e->op.argc; i++) {
      step.arg[i] = plan_expr(in, c, reduce, e->op.arg[i]);
      varies |= in->varies[e->op.arg[i]->id];
    }
  }
  in->varies[e->id] = varies;
  struct tape *tape = varies ? &c->inner : &c->tape;
  TN_PUSH(in->arena, &tape->steps, step);
  return out;
}

static bool overlap(struct interp *in, const struct tn_buf *a, const struct tn_buf *b) {
  if (a == b)
    return true;
  struct storage *x = storage_of(in, a), *y = storage_of(in, b);
  return x->data < y->data + y->bytes && y->data < x->data + x->bytes;
}

static bool loads_from(struct interp *in, const struct tape *tape, const struct tn_buf *buf) {
  for (size_t i = 0; i < tape->steps.count; i++)
    if (tape->steps.at[i].e->kind == TN_EX_LOAD && overlap(in, tape->steps.at[i].e->load.buf, buf))
      return true;
  return false;
}

/* Statement by statement over many iterations is the same as iteration by iteration. */
static bool runs_in_lanes(struct interp *in, const struct code *list, int64_t iterations) {
  for (const struct code *c = list; c; c = c->next) {
    if (c->s->kind == TN_ST_REDUCE) {
      if (iterations < 32 && iterations < c->total) /* the reduction itself has more lanes to offer */
        return false;
    } else if (c->s->kind == TN_ST_STORE) {
      for (const struct code *d = list; d; d = d->next) {
        bool both_store = d != c && d->s->kind == TN_ST_STORE && overlap(in, c->s->store.buf, d->s->store.buf);
        if (both_store || loads_from(in, &d->tape, c->s->store.buf) ||
            loads_from(in, &d->inner, c->s->store.buf))
          return false;
      }
    } else if (c->s->kind != TN_ST_LET) {
      return false;
    }
  }
  return true;
}

static void add_outer(struct interp *in, struct code *c, const struct tn_expr *e) {
  if (e->kind != TN_EX_VAR || in->bound[e->var->id])
    return;
  in->bound[e->var->id] = true;
  TN_PUSH(in->arena, &c->outer, var_row(in, e->var));
}

static void add_outer_of(struct interp *in, struct code *c, const struct tape *tape) {
  for (size_t i = 0; i < tape->steps.count; i++) {
    const struct tn_expr *e = tape->steps.at[i].e;
    if (e->kind == TN_EX_AFFINE) {
      for (int k = 0; k < e->affine.count; k++)
        add_outer(in, c, e->affine.term[k]);
    } else if (e->kind == TN_EX_LOAD) {
      add_outer(in, c, e->load.index);
      if (e->load.guard)
        add_outer(in, c, e->load.guard);
    } else {
      for (int k = 0; k < e->op.argc; k++)
        add_outer(in, c, e->op.arg[k]);
    }
  }
}

static void clear_bound(struct interp *in) {
  memset(in->bound, 0, (size_t)in->nest->next_var + 1);
}

static void add_loop(struct interp *in, struct code *c, const struct tn_var *var) {
  if (c->count == (int)TN_COUNT(c->var))
    tn_bug(in->ctx, "nest '%s': more than %d loops in one another", in->nest->name, c->count);
  c->var[c->count] = var_row(in, var);
  c->extent[c->count++] = var->extent;
  if (!tn_mul_i64(c->total, var->extent, &c->total))
    tn_bug(in->ctx, "nest '%s': the number of iterations overflows", in->nest->name);
  in->bound[var->id] = true;
}

static struct code *plan_list(struct interp *in, const struct tn_stmt *list);

static void bind_loops_of(struct interp *in, const struct tn_stmt *reduce) {
  for (int k = 0; k < reduce->reduce.count; k++)
    in->bound[reduce->reduce.var[k]->id] = true;
  if (reduce->reduce.lane)
    in->bound[reduce->reduce.lane->id] = true;
}

static bool plan_copy(struct interp *in, struct code *c) {
  struct tn_strided *copy = TN_NEW(in->arena, struct tn_strided);
  const struct tn_buf *to, *from;
  if (!tn_is_strided_copy(c->s, copy, &to, &from) || overlap(in, to, from))
    return false;
  c->copy = copy;
  c->to = storage_of(in, to)->data;
  c->from = storage_of(in, from)->data;
  return true;
}

/* The whole perfect nest that starts at loop c as one, when its body runs in lanes. */
static void plan_loop(struct interp *in, struct code *c) {
  if (plan_copy(in, c))
    return;
  c->body = plan_list(in, c->s->loop.body);
  const struct tn_stmt *innermost = c->s;
  struct code *leaf = c->body;
  int64_t total = innermost->loop.var->extent;
  while (leaf && !leaf->next && leaf->s->kind == TN_ST_LOOP) {
    innermost = leaf->s;
    leaf = leaf->body;
    if (!tn_mul_i64(total, innermost->loop.var->extent, &total))
      return;
  }
  if (!leaf || !runs_in_lanes(in, leaf, total))
    return;
  clear_bound(in);
  c->total = 1;
  for (const struct tn_stmt *s = c->s;; s = s->loop.body) {
    if (c->count == (int)TN_COUNT(c->var)) { /* the loops within stay as they are */
      c->count = 0;
      return;
    }
    add_loop(in, c, s->loop.var);
    if (s == innermost)
      break;
  }
  c->leaf = leaf;
  for (struct code *d = leaf; d; d = d->next) {
    if (d->s->kind == TN_ST_REDUCE)
      bind_loops_of(in, d->s);
    add_outer_of(in, c, &d->tape);
    add_outer_of(in, c, &d->inner);
    const struct tn_expr *direct[] = {d->s->kind == TN_ST_STORE ? d->s->store.value : NULL,
                                      d->s->kind == TN_ST_STORE ? d->s->store.index : NULL,
                                      d->s->kind == TN_ST_STORE ? d->s->store.guard : NULL,
                                      d->s->kind == TN_ST_LET ? d->s->let.value : NULL,
                                      d->s->kind == TN_ST_REDUCE ? d->s->reduce.term : NULL,
                                      d->s->kind == TN_ST_REDUCE ? d->s->reduce.init : NULL};
    for (size_t k = 0; k < TN_COUNT(direct); k++)
      if (direct[k])
        add_outer(in, c, direct[k]);
    if (d->s->kind == TN_ST_LET)
      in->bound[d->s->let.var->id] = true;
    if (d->s->kind == TN_ST_REDUCE)
      in->bound[d->s->reduce.acc->id] = true;
  }
}

static void plan_reduce(struct interp *in, struct code *c) {
  const struct tn_stmt *s = c->s;
  c->value = plan_expr(in, c, s, s->reduce.term);
  c->index = plan_expr(in, c, s, s->reduce.init);
  c->target = var_row(in, s->reduce.acc);
  c->total = 1;
  clear_bound(in);
  for (int k = 0; k < s->reduce.count; k++)
    add_loop(in, c, s->reduce.var[k]);
  if (s->reduce.lane)
    add_loop(in, c, s->reduce.lane);
  add_outer_of(in, c, &c->tape);
  add_outer_of(in, c, &c->inner);
  add_outer(in, c, s->reduce.term);
}

static struct code *plan_list(struct interp *in, const struct tn_stmt *list) {
  struct code *first = NULL, **end = &first;
  for (const struct tn_stmt *s = list; s; s = s->next) {
    struct code *c = *end = TN_NEW(in->arena, struct code);
    end = &c->next;
    c->s = s;
    in->tapes++;
    switch (s->kind) {
    case TN_ST_LOOP:
      plan_loop(in, c);
      break;
    case TN_ST_REDUCE:
      plan_reduce(in, c);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      c->value = plan_expr(in, c, NULL, s->let.value);
      c->target = var_row(in, s->let.var);
      break;
    case TN_ST_STORE:
      c->data = storage_of(in, s->store.buf)->data;
      c->index = plan_expr(in, c, NULL, s->store.index);
      c->value = plan_expr(in, c, NULL, s->store.value);
      c->guard = plan_expr(in, c, NULL, s->store.guard);
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      c->value = plan_expr(in, c, NULL, s->branch.cond);
      c->body = plan_list(in, s->branch.then);
      c->other = plan_list(in, s->branch.other);
      break;
    }
  }
  return first;
}

/* ---- running
 * ------------------------------------------------------------------------------------------------- */

TN_NORETURN static void out_of_bounds(struct interp *in, const struct tn_buf *buf, int64_t at,
                                      const char *what) {
  tn_bug(in->ctx, "nest '%s' %s buffer '%s' at element %lld; it has %lld", in->nest->name, what, buf->name,
         (long long)at, (long long)buf->count);
}

#define EACH_LANE(read)                       \
  for (int i = 0; i < lanes; i++) {           \
    out[i].i = 0;                             \
    if (guard && !guard->lane[i].i)           \
      continue;                               \
    int64_t at = index[i].i;                  \
    if ((uint64_t)at >= (uint64_t)buf->count) \
      out_of_bounds(in, buf, at, "reads");    \
    read;                                     \
  }

/* The i32 of `bytes` bytes from element `at` on. */
static int32_t load_bytes(struct interp *in, const struct tn_buf *buf, const uint8_t *data, int64_t at,
                          int bytes) {
  int size = (int)tn_dtype_size(buf->dtype), count = bytes / size;
  uint32_t v = 0;
  if (at + count > buf->count)
    out_of_bounds(in, buf, at + count - 1, "reads");
  for (int k = 0; k < count; k++)
    v |= (uint32_t)tn_scalar_wrap(size == 1 ? TN_U8 : TN_U16, tn_scalar_load(buf->dtype, data, at + k).i)
         << (8 * size * k);
  return (int32_t)v;
}

static void load(struct interp *in, const struct step *step, int lanes) {
  const struct tn_buf *buf = step->e->load.buf;
  const uint8_t *data = step->data;
  const union tn_scalar *index = step->arg[0]->lane;
  const struct row *guard = step->arg[1];
  union tn_scalar *out = step->out->lane;
  int bytes = step->e->load.bytes;
  if (bytes) {
    EACH_LANE(out[i].i = load_bytes(in, buf, data, at, bytes))
  } else if (buf->dtype == TN_F32) {
    EACH_LANE(float x; memcpy(&x, data + at * 4, 4); out[i].f = (double)x)
  } else if (buf->dtype == TN_I8) {
    EACH_LANE(out[i].i = (int8_t)data[at])
  } else {
    EACH_LANE(out[i] = tn_scalar_load(buf->dtype, data, at))
  }
}

static void store(struct interp *in, const struct code *c, int lanes) {
  const struct tn_buf *buf = c->s->store.buf;
  for (int i = 0; i < lanes; i++) {
    if (c->guard && !c->guard->lane[i].i)
      continue;
    int64_t at = c->index->lane[i].i;
    if ((uint64_t)at >= (uint64_t)buf->count)
      out_of_bounds(in, buf, at, "writes");
    if (buf->dtype == TN_F32) {
      float x = (float)c->value->lane[i].f;
      memcpy(c->data + at * 4, &x, 4);
    } else {
      tn_scalar_store(buf->dtype, c->data, at, c->value->lane[i]);
    }
  }
}

static void affine(const struct step *step, int lanes) {
  const struct tn_expr *e = step->e;
  union tn_scalar *out = step->out->lane;
  for (int i = 0; i < lanes; i++)
    out[i].i = e->affine.base;
  for (int k = 0; k < e->affine.count; k++) {
    const union tn_scalar *term = step->term[k]->lane;
    int64_t coef = e->affine.coef[k];
    for (int i = 0; i < lanes; i++)
      out[i].i += coef * term[i].i;
  }
}

static void operate(struct interp *in, enum tn_op op, enum tn_dtype dtype, enum tn_dtype from, int flags,
                    int lanes, union tn_scalar *out, const union tn_scalar *const *arg) {
  if (!tn_scalar_lanes(op, dtype, from, flags, lanes, out, arg))
    tn_bug(in->ctx, "nest '%s': there is no scalar operator %s of %s", in->nest->name, tn_op_info(op)->name,
           from == TN_INDEX ? "positions" : tn_dtype_name(from));
}

static void run_tape(struct interp *in, const struct tape *tape, int lanes) {
  for (size_t i = 0; i < tape->steps.count; i++) {
    const struct step *step = &tape->steps.at[i];
    const struct tn_expr *e = step->e;
    if (e->kind == TN_EX_LOAD) {
      load(in, step, lanes);
    } else if (e->kind == TN_EX_AFFINE) {
      affine(step, lanes);
    } else {
      const union tn_scalar *arg[3] = {step->arg[0]->lane, step->arg[1] ? step->arg[1]->lane : NULL,
                                       step->arg[2] ? step->arg[2]->lane : NULL};
      enum tn_dtype from = e->op.arg[e->op.op == TN_SELECT ? 1 : 0]->dtype;
      operate(in, e->op.op, e->dtype, from, e->op.flags, lanes, step->out->lane, arg);
    }
  }
}

static void fill(struct row *row, int from, int to, union tn_scalar value) {
  for (int i = from; i < to; i++)
    row->lane[i] = value;
}

/* What holds for the one lane holds for all of them. */
static void spread_outer(const struct code *c) {
  int lanes = c->total < LANES ? (int)c->total : LANES;
  for (size_t k = 0; k < c->outer.count; k++)
    fill(c->outer.at[k], 1, lanes, c->outer.at[k]->lane[0]);
}

/* Lane i: the values that the loops' variables have in iteration i from `at` on, which is moved on. */
static void fill_loops(const struct code *c, int64_t *at, int lanes) {
  int inner = c->count - 1;
  if (inner < 0)
    return;
  for (int i = 0; i < lanes;) {
    int64_t left = c->extent[inner] - at[inner];
    int run = left < lanes - i ? (int)left : lanes - i;
    for (int k = 0; k < inner; k++)
      fill(c->var[k], i, i + run, (union tn_scalar){.i = at[k]});
    for (int j = 0; j < run; j++)
      c->var[inner]->lane[i + j].i = at[inner] + j;
    i += run;
    at[inner] += run;
    for (int k = inner; k > 0 && at[k] == c->extent[k]; k--) {
      at[k] = 0;
      at[k - 1]++;
    }
  }
}

static void start_reduction(const struct code *c, int lanes) {
  const struct tn_stmt *s = c->s;
  if (c->index)
    memcpy(c->target->lane, c->index->lane, (size_t)lanes * sizeof(union tn_scalar));
  else
    fill(c->target, 0, lanes, tn_scalar_identity(s->reduce.combine, s->reduce.acc->dtype));
}

/* Lanes: the iterations around; the reduction's loops are run one by one. */
static void reduce_across(struct interp *in, const struct code *c, int lanes) {
  enum tn_dtype dtype = c->s->reduce.acc->dtype;
  int64_t at[TN_MAX_REDUCE + 1] = {0};
  const union tn_scalar *arg[3] = {c->target->lane, c->value->lane, NULL};
  run_tape(in, &c->tape, lanes);
  start_reduction(c, lanes);
  for (int64_t done = 0; done < c->total; done++) {
    for (int k = 0; k < c->count; k++)
      fill(c->var[k], 0, lanes, (union tn_scalar){.i = at[k]});
    run_tape(in, &c->inner, lanes);
    operate(in, c->s->reduce.combine, dtype, dtype, 0, lanes, c->target->lane, arg);
    for (int k = c->count - 1; k >= 0 && ++at[k] == c->extent[k] && k > 0; k--)
      at[k] = 0;
  }
}

/* One iteration around; lanes: those of the reduction's loops. */
static void reduce_along(struct interp *in, const struct code *c) {
  enum tn_dtype dtype = c->s->reduce.acc->dtype;
  int64_t at[TN_MAX_REDUCE + 1] = {0};
  int most = c->total < LANES ? (int)c->total : LANES;
  if (most > 0)
    spread_outer(c);
  run_tape(in, &c->tape, most > 0 ? most : 1);
  start_reduction(c, 1);
  for (int64_t done = 0; done < c->total;) {
    int lanes = c->total - done < LANES ? (int)(c->total - done) : LANES;
    fill_loops(c, at, lanes);
    run_tape(in, &c->inner, lanes);
    for (int i = 0; i < lanes; i++) {
      const union tn_scalar *arg[3] = {c->target->lane, &c->value->lane[i], NULL};
      operate(in, c->s->reduce.combine, dtype, dtype, 0, 1, c->target->lane, arg);
    }
    done += lanes;
  }
}

static void run_list(struct interp *in, const struct code *list, int lanes);

static void run_loop(struct interp *in, const struct code *c) {
  if (c->copy) {
    tn_copy_strided(c->copy, c->to, c->from);
    return;
  }
  if (c->count == 0) {
    struct row *var = var_row(in, c->s->loop.var);
    for (int64_t i = 0; i < c->s->loop.var->extent; i++) {
      var->lane[0].i = i;
      run_list(in, c->body, 1);
    }
    return;
  }
  int64_t at[TN_MAX_REDUCE * 2] = {0};
  if (c->total > 0)
    spread_outer(c);
  for (int64_t done = 0; done < c->total;) {
    int lanes = c->total - done < LANES ? (int)(c->total - done) : LANES;
    fill_loops(c, at, lanes);
    run_list(in, c->leaf, lanes);
    done += lanes;
  }
}

static void run_list(struct interp *in, const struct code *list, int lanes) {
  for (const struct code *c = list; c; c = c->next) {
    switch (c->s->kind) {
    case TN_ST_LOOP:
      run_loop(in, c);
      break;
    case TN_ST_REDUCE:
      if (lanes > 1)
        reduce_across(in, c, lanes);
      else
        reduce_along(in, c);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      run_tape(in, &c->tape, lanes);
      memmove(c->target->lane, c->value->lane, (size_t)lanes * sizeof(union tn_scalar));
      break;
    case TN_ST_STORE:
      run_tape(in, &c->tape, lanes);
      store(in, c, lanes);
      break;
    case TN_ST_IF:
      run_tape(in, &c->tape, 1);
      run_list(in, c->value->lane[0].i ? c->body : c->other, 1);
      break;
    case TN_ST_WHILE:
      for (run_tape(in, &c->tape, 1); c->value->lane[0].i; run_tape(in, &c->tape, 1))
        run_list(in, c->body, 1);
      break;
    }
  }
}

/* ---- entry
 * --------------------------------------------------------------------------------------------------- */

static void find_storage(struct interp *in) {
  const struct tn_nest *n = in->nest;
  in->storage = TN_NEW_ARRAY(in->arena, struct storage, n->bufs.count + 1);
  for (size_t i = 0; i < n->bufs.count; i++) {
    const struct tn_buf *buf = n->bufs.at[i];
    struct storage *s = &in->storage[i];
    int64_t bytes;
    if (!tn_mul_i64(buf->count, (int64_t)tn_dtype_size(buf->dtype), &bytes))
      tn_bug(in->ctx, "nest '%s': buffer '%s' is larger than memory", n->name, buf->name);
    s->bytes = (size_t)bytes;
    if (buf->param >= 0 && in->data[buf->param])
      s->data = in->data[buf->param];
    else if (buf->data)
      s->data = (uint8_t *)(uintptr_t)buf->data->data; /* constants are not written */
    else if (buf->param >= 0 && bytes > 0)
      tn_bug(in->ctx, "nest '%s': parameter '%s' was given no storage", n->name, buf->name);
    else
      s->data = memset(tn_alloc_raw(in->arena, s->bytes + 1, 64), 0xA5, s->bytes + 1);
  }
}

static bool interpret(void *user) {
  struct interp *in = user;
  const struct tn_nest *n = in->nest;
  in->row = TN_NEW_ARRAY(in->arena, struct row *, n->next_id + 1);
  in->var = TN_NEW_ARRAY(in->arena, struct row *, n->next_var + 1);
  in->stamp = TN_NEW_ARRAY(in->arena, int, n->next_id + 1);
  in->varies = TN_NEW_ARRAY(in->arena, bool, n->next_id + 1);
  in->bound = TN_NEW_ARRAY(in->arena, bool, n->next_var + 1);
  find_storage(in);
  run_list(in, plan_list(in, n->body), 1);
  return true;
}

bool tn_interpret(tn_ctx *ctx, const struct tn_nest *nest, void *const *data) {
  struct interp in = {.ctx = ctx, .nest = nest, .data = data, .arena = tn_arena_create(ctx)};
  bool good = tn_guard(ctx, interpret, &in);
  tn_arena_destroy(in.arena);
  return good;
}
