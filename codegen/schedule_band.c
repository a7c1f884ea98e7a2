/* Bands: finding them, and making one loop of neighbouring ones that every position walks as one. */
#include "codegen/schedule.h"

bool tn_ex_reads(const struct tn_expr *e, const struct tn_buf *buf) {
  if (!e || !e->loads)
    return false;
  if (e->kind == TN_EX_LOAD)
    return e->load.buf == buf || tn_ex_reads(e->load.index, buf) || tn_ex_reads(e->load.guard, buf);
  if (e->kind == TN_EX_AFFINE)
    for (int i = 0; i < e->affine.count; i++)
      if (tn_ex_reads(e->affine.term[i], buf))
        return true;
  if (e->kind == TN_EX_OP)
    for (int i = 0; i < e->op.argc; i++)
      if (tn_ex_reads(e->op.arg[i], buf))
        return true;
  return false;
}

/* What a loop adds exceeds all that the loops which add less can. */
bool tn_tells_iterations(const struct tn_band *b, const struct tn_expr *index) {
  int64_t stride[TN_MAX_REDUCE];
  for (int i = 0; i < b->loops; i++)
    if (b->loop[i]->extent > 1 && !tn_ex_stride(index, b->loop[i], &stride[i]))
      return false;
  for (int i = 0; i < b->loops; i++) {
    int64_t own = stride[i] < 0 ? -stride[i] : stride[i], less = 0;
    for (int k = 0; k < b->loops; k++) {
      int64_t other = stride[k] < 0 ? -stride[k] : stride[k];
      if (k != i && b->loop[k]->extent > 1 && other <= own)
        less += other * (b->loop[k]->extent - 1);
    }
    if (b->loop[i]->extent > 1 && own <= less)
      return false;
  }
  return true;
}

/* The position is as far from `at`, always, that no iteration of the band has it there. */
static bool lies_outside(const struct tn_band *b, struct tn_expr *index, struct tn_expr *at) {
  int64_t apart, stride, span = 0;
  if (!tn_ex_is_int(tn_ix_sub(b->nest, index, at), &apart))
    return false;
  for (int i = 0; i < b->loops; i++) {
    if (!tn_ex_stride(at, b->loop[i], &stride))
      return false;
    span += (stride < 0 ? -stride : stride) * (b->loop[i]->extent - 1);
  }
  return apart > span || -apart > span;
}

/* e reads what iterations of the band store in the buffer, and not only the element `at` that is their own. */
static bool reads_but(const struct tn_band *b, const struct tn_expr *e, const struct tn_buf *buf,
                      struct tn_expr *at) {
  if (e && e->kind == TN_EX_OP && e->loads) {
    for (int i = 0; i < e->op.argc; i++)
      if (reads_but(b, e->op.arg[i], buf, at))
        return true;
    return false;
  }
  if (e && e->kind == TN_EX_LOAD && e->load.buf == buf && !tn_ex_reads(e->load.index, buf) &&
      (e->load.index == at || lies_outside(b, e->load.index, at)))
    return tn_ex_reads(e->load.guard, buf);
  return tn_ex_reads(e, buf);
}

/* Whether iterations may be reordered: no store goes where data says (two may meet), none is read back, but by
 * the iteration that writes it. */
static bool independent(const struct tn_band *b) {
  for (const struct tn_stmt *s = b->stores; s; s = s->next) {
    if (s->store.index->loads)
      return false;
    for (const struct tn_stmt *r = b->stores; r; r = r->next) {
      if (tn_ex_reads(r->store.guard, s->store.buf) || (r != s && tn_ex_reads(r->store.value, s->store.buf)))
        return false;
      if (b->set && tn_ex_reads(b->set->let.value, s->store.buf))
        return false;
      if (tn_ex_reads(r->store.value, s->store.buf) &&
          (reads_but(b, r->store.value, s->store.buf, s->store.index) ||
           !tn_tells_iterations(b, s->store.index)))
        return false;
    }
    if (b->reduce && tn_ex_reads(b->reduce->reduce.term, s->store.buf))
      return false;
  }
  return true;
}

/* set p = p combined with something else. */
static bool combines(const struct tn_stmt *set) {
  const struct tn_expr *e = set->let.value;
  if (e->kind != TN_EX_OP || e->op.argc != 2 ||
      (e->op.op != TN_ADD && e->op.op != TN_MAX && e->op.op != TN_MIN))
    return false;
  bool first = e->op.arg[0]->kind == TN_EX_VAR && e->op.arg[0]->var == set->let.var;
  const struct tn_expr *p = e->op.arg[!first];
  return p->kind == TN_EX_VAR && p->var == set->let.var && !tn_ex_uses(e->op.arg[first], set->let.var);
}

/* let; loops over a window { reduce, set } */
static bool find_pooled(struct tn_stmt *let, struct tn_band *band) {
  struct tn_stmt *s = let->next;
  if (!let->let.var->is_set || !s || s->kind != TN_ST_LOOP)
    return false;
  for (; s && s->kind == TN_ST_LOOP && band->windows < TN_MAX_REDUCE; s = s->loop.body) {
    if (s->loop.kind != TN_LOOP_SERIAL || (s != let->next && s->next))
      return false;
    band->window[band->windows++] = s->loop.var;
  }
  if (!s || s->kind != TN_ST_REDUCE || !s->next || s->next->kind != TN_ST_SET || s->next->next ||
      s->next->let.var != let->let.var || !combines(s->next))
    return false;
  band->let = let;
  band->reduce = s;
  band->set = s->next;
  return true;
}

bool tn_find_band(struct tn_nest *n, struct tn_stmt *first, struct tn_band *band) {
  *band = (struct tn_band){.nest = n};
  struct tn_stmt *s = first;
  while (s->kind == TN_ST_LOOP) {
    if (s->loop.kind != TN_LOOP_SERIAL || !s->loop.body || band->loops == TN_MAX_REDUCE)
      return false;
    band->loop[band->loops++] = s->loop.var;
    s = s->loop.body;
    if (s->kind == TN_ST_LOOP && s->next)
      return false;
  }
  if (s->kind == TN_ST_LET && !find_pooled(s, band))
    return false;
  if (s->kind == TN_ST_REDUCE)
    band->reduce = s;
  s = band->let ? s->next->next : band->reduce ? s->next : s;
  band->stores = s;
  if (!band->loops && s != first->next) /* statements without a loop around: only a reduction stands alone */
    return false;
  for (; s; s = s->next)
    if (s->kind != TN_ST_STORE)
      return false;
  return (band->stores || band->reduce) && independent(band);
}

static void replace_in_band(struct tn_band *b, int count, struct tn_var *const *vars,
                            struct tn_expr *const *values) {
  if (b->reduce) {
    struct tn_stmt *rest = b->reduce->next;
    b->reduce->next = NULL;
    tn_st_replace(b->nest, b->reduce, count, vars, values);
    b->reduce->next = rest;
  }
  if (b->set)
    tn_st_replace(b->nest, b->set, count, vars, values);
  tn_st_replace(b->nest, b->stores, count, vars, values);
}

/* ---- collapsing --------------------------------------------------------------------------------------------
 */

/* Whether some quotient or remainder of var is left in e. */
static bool splits(const struct tn_expr *e, const struct tn_var *var) {
  if (!e || !tn_ex_uses(e, var))
    return false;
  switch (e->kind) {
  case TN_EX_AFFINE:
    for (int i = 0; i < e->affine.count; i++)
      if (splits(e->affine.term[i], var))
        return true;
    return false;
  case TN_EX_LOAD:
    return splits(e->load.index, var) || splits(e->load.guard, var);
  case TN_EX_OP:
    if (e->dtype == TN_INDEX && (e->op.op == TN_DIV || e->op.op == TN_MOD))
      return true;
    for (int i = 0; i < e->op.argc; i++)
      if (splits(e->op.arg[i], var))
        return true;
    return false;
  default:
    return false;
  }
}

struct tn_expr *tn_band_expr(const struct tn_band *b, int at) {
  if (b->reduce) {
    if (at == 0)
      return b->reduce->reduce.term;
    at--;
  }
  if (b->set) {
    if (at == 0)
      return b->set->let.value;
    at--;
  }
  for (const struct tn_stmt *s = b->stores; s; s = s->next) {
    struct tn_expr *e[3] = {s->store.index, s->store.value, s->store.guard};
    int count = e[2] ? 3 : 2;
    if (at < count)
      return e[at];
    at -= count;
  }
  return NULL;
}

/* a and b (inside a) as one loop, when no expression would have to take it apart again. */
static bool collapse_pair(struct tn_band *band, struct tn_var *a, struct tn_var *b, struct tn_var **merged) {
  struct tn_nest *n = band->nest;
  struct tn_var *v = tn_loop_var(n, a->name, a->extent * b->extent);
  struct tn_var *vars[2] = {a, b};
  struct tn_expr *whole = tn_ex_var(n, v);
  struct tn_expr *values[2] = {tn_ix_div(n, whole, b->extent), tn_ix_mod(n, whole, b->extent)};
  struct tn_expr *e;
  for (int i = 0; (e = tn_band_expr(band, i)); i++)
    if (splits(tn_ex_replace(n, e, 2, vars, values), v))
      return false;
  replace_in_band(band, 2, vars, values);
  *merged = v;
  return true;
}

static int collapse_list(struct tn_band *band, struct tn_var **list, int count) {
  for (int i = count - 2; i >= 0; i--) {
    struct tn_var *merged;
    if (!collapse_pair(band, list[i], list[i + 1], &merged))
      continue;
    list[i] = merged;
    count--;
    memmove(list + i + 1, list + i + 2, (size_t)(count - i - 1) * sizeof *list);
  }
  return count;
}

void tn_collapse_band(struct tn_band *band) {
  band->loops = collapse_list(band, band->loop, band->loops);
  if (band->reduce)
    band->reduce->reduce.count = collapse_list(band, band->reduce->reduce.var, band->reduce->reduce.count);
}
