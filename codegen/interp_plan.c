/* Turns a nest into tapes, and finds what can run in lanes: see interp.c. */
#include "codegen/interp.h"

static struct tn_interp_buf *storage_of(struct tn_interp *in, const struct tn_buf *buf) {
  for (size_t i = 0; i < in->nest->bufs.count; i++)
    if (in->nest->bufs.at[i] == buf)
      return &in->storage[i];
  tn_bug(in->ctx, "nest '%s' uses buffer '%s', which is not one of its own", in->nest->name, buf->name);
}

struct tn_row *tn_interp_var(struct tn_interp *in, const struct tn_var *var) {
  if (!in->var[var->id])
    in->var[var->id] = TN_NEW(in->arena, struct tn_row);
  return in->var[var->id];
}

static struct tn_row *expr_row(struct tn_interp *in, const struct tn_expr *e) {
  if (e->kind == TN_EX_VAR)
    return tn_interp_var(in, e->var);
  struct tn_row **row = &in->row[e->id];
  if (*row)
    return *row;
  *row = TN_NEW(in->arena, struct tn_row);
  for (int i = 0; i < TN_INTERP_LANES && e->kind == TN_EX_INT; i++)
    (*row)->lane[i].i = e->i;
  for (int i = 0; i < TN_INTERP_LANES && e->kind == TN_EX_FLOAT; i++)
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
static struct tn_row *plan_expr(struct tn_interp *in, struct tn_code *c, const struct tn_stmt *reduce,
                                const struct tn_expr *e) {
  if (!e)
    return NULL;
  struct tn_row *out = expr_row(in, e);
  if (in->stamp[e->id] == in->tapes)
    return out;
  in->stamp[e->id] = in->tapes;
  in->varies[e->id] = e->kind == TN_EX_VAR && is_loop_of(reduce, e->var);
  if (e->kind == TN_EX_INT || e->kind == TN_EX_FLOAT || e->kind == TN_EX_VAR)
    return out;
  struct tn_step step = {.e = e, .out = out};
  bool varies = false;
  switch (e->kind) {
  case TN_EX_AFFINE:
    step.term = TN_NEW_ARRAY(in->arena, struct tn_row *, e->affine.count);
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
  struct tn_tape *tape = varies ? &c->inner : &c->tape;
  TN_PUSH(in->arena, &tape->steps, step);
  return out;
}

static bool overlap(struct tn_interp *in, const struct tn_buf *a, const struct tn_buf *b) {
  if (a == b)
    return true;
  struct tn_interp_buf *x = storage_of(in, a), *y = storage_of(in, b);
  return x->data < y->data + y->bytes && y->data < x->data + x->bytes;
}

static bool loads_from(struct tn_interp *in, const struct tn_tape *tape, const struct tn_buf *buf) {
  for (size_t i = 0; i < tape->steps.count; i++)
    if (tape->steps.at[i].e->kind == TN_EX_LOAD && overlap(in, tape->steps.at[i].e->load.buf, buf))
      return true;
  return false;
}

/* Statement by statement over many iterations is the same as iteration by iteration. */
static bool runs_in_lanes(struct tn_interp *in, const struct tn_code *list, int64_t iterations) {
  for (const struct tn_code *c = list; c; c = c->next) {
    if (c->s->kind == TN_ST_REDUCE) {
      if (iterations < 32 && iterations < c->total) /* the reduction itself has more lanes to offer */
        return false;
    } else if (c->s->kind == TN_ST_STORE) {
      for (const struct tn_code *d = list; d; d = d->next) {
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

static void add_outer(struct tn_interp *in, struct tn_code *c, const struct tn_expr *e) {
  if (e->kind != TN_EX_VAR || in->bound[e->var->id])
    return;
  in->bound[e->var->id] = true;
  TN_PUSH(in->arena, &c->outer, tn_interp_var(in, e->var));
}

static void add_outer_of(struct tn_interp *in, struct tn_code *c, const struct tn_tape *tape) {
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

static void clear_bound(struct tn_interp *in) {
  memset(in->bound, 0, (size_t)in->nest->next_var + 1);
}

static void add_loop(struct tn_interp *in, struct tn_code *c, const struct tn_var *var) {
  if (c->count == (int)TN_COUNT(c->var))
    tn_bug(in->ctx, "nest '%s': more than %d loops in one another", in->nest->name, c->count);
  c->var[c->count] = tn_interp_var(in, var);
  c->extent[c->count++] = var->extent;
  if (!tn_mul_i64(c->total, var->extent, &c->total))
    tn_bug(in->ctx, "nest '%s': the number of iterations overflows", in->nest->name);
  in->bound[var->id] = true;
}

static void bind_loops_of(struct tn_interp *in, const struct tn_stmt *reduce) {
  for (int k = 0; k < reduce->reduce.count; k++)
    in->bound[reduce->reduce.var[k]->id] = true;
  if (reduce->reduce.lane)
    in->bound[reduce->reduce.lane->id] = true;
}

static bool plan_copy(struct tn_interp *in, struct tn_code *c) {
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
static void plan_loop(struct tn_interp *in, struct tn_code *c) {
  if (plan_copy(in, c))
    return;
  c->body = tn_interp_plan(in, c->s->loop.body);
  const struct tn_stmt *innermost = c->s;
  struct tn_code *leaf = c->body;
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
  for (struct tn_code *d = leaf; d; d = d->next) {
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

static void plan_reduce(struct tn_interp *in, struct tn_code *c) {
  const struct tn_stmt *s = c->s;
  c->value = plan_expr(in, c, s, s->reduce.term);
  c->index = plan_expr(in, c, s, s->reduce.init);
  c->target = tn_interp_var(in, s->reduce.acc);
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

struct tn_code *tn_interp_plan(struct tn_interp *in, const struct tn_stmt *list) {
  struct tn_code *first = NULL, **end = &first;
  for (const struct tn_stmt *s = list; s; s = s->next) {
    struct tn_code *c = *end = TN_NEW(in->arena, struct tn_code);
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
      c->target = tn_interp_var(in, s->let.var);
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
      c->body = tn_interp_plan(in, s->branch.then);
      c->other = tn_interp_plan(in, s->branch.other);
      break;
    }
  }
  return first;
}
