/* Running sums, products and extremes: loops that combine a variable from around with a term and store what it
 * is so far.
 *
 *   for r { let x = ...; set total = total + x; out[r] = total }
 *
 * Blocks of lanes take the place of single iterations.  Emission combines the lanes before each one in
 * log2(lanes) steps (Hillis and Steele, Data parallel algorithms, 1986) and then all of them with the variable,
 * so that only one addition a block waits for the one before it.  Sums of floats are in another order than one
 * after the other; that order depends on the extent and the target's lanes alone. */
#include "codegen/schedule.h"

#define LEAST_LANES 4
#define FEW_REGISTERS 8 /* such cores (Helium) move lanes through scalar registers */

static bool is_running(enum tn_op op) {
  return op == TN_ADD || op == TN_MUL || op == TN_MAX || op == TN_MIN;
}

/* The term in `set v = v combined with term`; NULL: it is something else. */
static struct tn_expr *term_of(const struct tn_stmt *set) {
  const struct tn_expr *e = set->let.value;
  if (e->kind != TN_EX_OP || e->op.argc != 2 || !is_running(e->op.op))
    return NULL;
  for (int i = 0; i < 2; i++) {
    struct tn_expr *v = e->op.arg[i], *term = e->op.arg[!i];
    if (v->kind == TN_EX_VAR && v->var == set->let.var && !tn_ex_uses(term, set->let.var))
      return term;
  }
  return NULL;
}

static bool reads_stored(const struct tn_stmt *list, const struct tn_expr *e) {
  for (const struct tn_stmt *s = list; s; s = s->next)
    if (s->kind == TN_ST_STORE && tn_ex_reads(e, s->store.buf))
      return true;
  return false;
}

/* The one SET of the loop's body, where lanes may take its place; NULL: they may not. */
static const struct tn_stmt *running_set(const struct tn_stmt *loop) {
  const struct tn_stmt *body = loop->loop.body, *set = NULL;
  for (const struct tn_stmt *s = body; s; s = s->next) {
    int64_t stride;
    switch (s->kind) {
    case TN_ST_LET:
      if (set || s->let.var->is_set || reads_stored(body, s->let.value))
        return NULL;
      break;
    case TN_ST_SET:
      if (set || !term_of(s) || reads_stored(body, s->let.value))
        return NULL;
      set = s;
      break;
    case TN_ST_STORE:
      if (!set || s->store.guard || s->store.index->loads || reads_stored(body, s->store.value) ||
          !tn_ex_stride(s->store.index, loop->loop.var, &stride) || (stride != 1 && stride != -1))
        return NULL;
      break;
    default:
      return NULL;
    }
  }
  if (!set)
    return NULL;
  for (const struct tn_stmt *s = body; s != set; s = s->next)
    if (tn_ex_uses(s->let.value, set->let.var))
      return NULL;
  return set;
}

bool tn_schedule_running(const struct tn_target *t, struct tn_stmt *loop, struct tn_cursor *c) {
  const struct tn_stmt *set =
      loop->kind == TN_ST_LOOP && loop->loop.kind == TN_LOOP_SERIAL ? running_set(loop) : NULL;
  if (!set || t->vector_regs <= FEW_REGISTERS)
    return false;
  enum tn_dtype dtype = set->let.var->dtype;
  int64_t size = (int64_t)tn_dtype_size(dtype), extent = loop->loop.var->extent, done = 0;
  int lanes = dtype == TN_INDEX || size < 4 || (size == 8 && !t->f64_lanes) ? 1 : t->vector_bytes / (int)size;
  if (lanes < LEAST_LANES || extent < LEAST_LANES)
    return false;
  struct tn_nest *n = c->nest;
  for (; done < extent; lanes /= 2) { /* what is left over: ever fewer lanes, one element at last */
    int64_t blocks = (extent - done) / (lanes = lanes < LEAST_LANES ? 1 : lanes);
    if (!blocks)
      continue;
    struct tn_var *block = tn_loop_var(n, "p", blocks), *lane = tn_loop_var(n, "l", lanes);
    struct tn_cursor at = tn_enter_loop(c, block, TN_LOOP_SERIAL);
    at = tn_enter_loop(&at, lane, TN_LOOP_VECTOR);
    struct tn_expr *position = tn_ix_offset(n, tn_ix_scale(n, tn_ex_var(n, block), lanes), done);
    tn_copy_body(&at, loop->loop.body, loop->loop.var, tn_ix_add(n, position, tn_ex_var(n, lane)), lane, NULL);
    done += blocks * lanes;
  }
  return true;
}
