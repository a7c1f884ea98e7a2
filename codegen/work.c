/* The work that a nest does, counted on its definition, before any schedule: arithmetic operations, and the
 * bytes of each parameter that are touched, each once.  A Winograd or a blocked schedule has the same counts:
 * they are what the operator asks for, and what limits are held against.
 *
 * Bytes: an access touches no more elements than its buffer has, than its index has values, or than the loops
 * around that its index depends on have iterations; so a gather counts the rows that it takes and a slice what
 * it keeps. */
#include "codegen/nest.h"

struct counter {
  struct tn_nest *nest;
  bool *seen;                       /* by expression id, in one statement */
  TN_VEC(const struct tn_var *) in; /* loops around */
  int64_t *read, *written;          /* elements, by buffer of nest->bufs */
};

/* a * b, the largest number where that is too large. */
static int64_t times(int64_t a, int64_t b) {
  int64_t product;
  return tn_mul_i64(a, b, &product) ? product : INT64_MAX;
}

static void count_access(struct counter *c, int64_t *elements, const struct tn_buf *buf,
                         const struct tn_expr *index) {
  int64_t on = 1, all = 1, most = buf->count;
  uint64_t others = index->uses; /* values that no loop here has: any loop may decide them */
  for (size_t i = 0; i < c->in.count; i++) {
    uint64_t bit = (uint64_t)1 << (c->in.at[i]->id % 64);
    all = times(all, c->in.at[i]->extent);
    on = index->uses & bit ? times(on, c->in.at[i]->extent) : on;
    others &= ~bit;
  }
  int64_t touched = others ? all : on;
  if (index->hi - index->lo < most)
    most = index->hi - index->lo + 1;
  touched = touched < most ? touched : most;
  for (size_t i = 0; i < c->nest->bufs.count; i++)
    if (c->nest->bufs.at[i] == buf)
      elements[i] = elements[i] + touched < buf->count ? elements[i] + touched : buf->count;
}

/* Operations of one evaluation: each distinct operator counts once a point. */
static int64_t count_expr(struct counter *c, const struct tn_expr *e) {
  if (!e || c->seen[e->id])
    return 0;
  c->seen[e->id] = true;
  int64_t ops = 0;
  if (e->kind == TN_EX_OP) {
    ops = e->dtype != TN_INDEX && e->op.op != TN_CAST && e->op.op != TN_SELECT && e->dtype != TN_BOOL;
    for (int i = 0; i < e->op.argc; i++)
      ops += count_expr(c, e->op.arg[i]);
  } else if (e->kind == TN_EX_LOAD) {
    ops += count_expr(c, e->load.index) + count_expr(c, e->load.guard);
    count_access(c, c->read, e->load.buf, e->load.index);
  } else if (e->kind == TN_EX_AFFINE) {
    for (int i = 0; i < e->affine.count; i++)
      ops += count_expr(c, e->affine.term[i]);
  }
  return ops;
}

static void enter(struct counter *c, const struct tn_var *var) {
  TN_PUSH(c->nest->arena, &c->in, var);
}

static int64_t count_list(struct counter *c, const struct tn_stmt *list) {
  int64_t total = 0;
  for (const struct tn_stmt *s = list; s; s = s->next) {
    int64_t trips = 1;
    size_t depth = c->in.count;
    memset(c->seen, 0, (size_t)c->nest->next_id);
    switch (s->kind) {
    case TN_ST_LOOP:
      enter(c, s->loop.var);
      total += s->loop.var->extent * count_list(c, s->loop.body);
      break;
    case TN_ST_REDUCE:
      total += count_expr(c, s->reduce.init);
      for (int i = 0; i < s->reduce.count; i++) {
        trips *= s->reduce.var[i]->extent;
        enter(c, s->reduce.var[i]);
      }
      total += trips * (1 + count_expr(c, s->reduce.term));
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      total += count_expr(c, s->let.value);
      break;
    case TN_ST_STORE:
      total += count_expr(c, s->store.value) + count_expr(c, s->store.index) + count_expr(c, s->store.guard);
      count_access(c, c->written, s->store.buf, s->store.index);
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      count_expr(c, s->branch.cond);
      total += count_list(c, s->branch.then) + count_list(c, s->branch.other);
      break;
    }
    c->in.count = depth;
  }
  return total;
}

void tn_count_work(struct tn_nest *n) {
  size_t bufs = n->bufs.count;
  struct counter c = {.nest = n,
                      .seen = TN_NEW_ARRAY(n->arena, bool, n->next_id + 1),
                      .read = TN_NEW_ARRAY(n->arena, int64_t, bufs + 1),
                      .written = TN_NEW_ARRAY(n->arena, int64_t, bufs + 1)};
  n->flops = count_list(&c, n->body);
  for (size_t i = 0; i < bufs; i++) {
    const struct tn_buf *buf = n->bufs.at[i];
    int64_t size = (int64_t)tn_dtype_size(buf->dtype);
    if (buf->param < 0)
      continue;
    n->bytes += (c.read[i] + c.written[i]) * size;
    n->bytes_written += c.written[i] * size;
    n->bytes_constant += buf->data ? c.read[i] * size : 0;
  }
}
