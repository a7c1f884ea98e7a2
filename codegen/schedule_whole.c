/* Rows of scratch in whole vectors.
 *
 * A kernel by rows keeps rows in scratch that it stores and loads again at once.  Under masks a load cannot
 * take what a store still holds, and LLVM cannot keep it in a register; where each row has room for whole
 * vectors both can.  So the masks of accesses to such rows go: what lies behind a row's end is anything, and
 * only lanes that nobody looks at read it. */
#include "codegen/schedule.h"

struct whole {
  struct tn_nest *n;
  const struct tn_row_room *room;
  int count;
  struct tn_expr **memo;
  int memo_size;
};

/* e is a multiple of `by`, whatever its variables are. */
static bool is_multiple(const struct tn_expr *e, int64_t by) {
  int64_t value;
  if (tn_ex_is_int(e, &value))
    return value % by == 0;
  bool multiple = e->kind == TN_EX_AFFINE && e->affine.base % by == 0;
  for (int i = 0; multiple && i < e->affine.count; i++)
    multiple = e->affine.coef[i] % by == 0;
  return multiple;
}

/* The access to a row's element `column` under the guard column < elements stays in the row's room without it.
 */
static bool has_room(const struct whole *w, const struct tn_buf *buf, struct tn_expr *index,
                     const struct tn_expr *guard) {
  int64_t end;
  if (!guard || guard->kind != TN_EX_OP || guard->op.op != TN_LT || guard->op.arg[0]->dtype != TN_INDEX ||
      !tn_ex_is_int(guard->op.arg[1], &end))
    return false;
  struct tn_expr *column = guard->op.arg[0];
  for (int i = 0; i < w->count; i++) {
    const struct tn_row_room *r = &w->room[i];
    if (r->buf == buf && r->elements == end && column->lo >= 0 && column->hi < r->pitch)
      return is_multiple(tn_ix_sub(w->n, index, column), r->pitch);
  }
  return false;
}

static struct tn_expr *rewrite(struct whole *w, struct tn_expr *e) {
  if (!e || !e->loads)
    return e;
  if (e->id < w->memo_size && w->memo[e->id])
    return w->memo[e->id];
  struct tn_expr *out = e;
  if (e->kind == TN_EX_LOAD) {
    bool free = has_room(w, e->load.buf, e->load.index, e->load.guard);
    out = tn_ex_load_like(w->n, e, rewrite(w, e->load.index), free ? NULL : rewrite(w, e->load.guard));
  } else if (e->kind == TN_EX_OP) {
    struct tn_expr *arg[3] = {0};
    for (int i = 0; i < e->op.argc; i++)
      arg[i] = rewrite(w, e->op.arg[i]);
    out = tn_ex_op(w->n, e->op.op, e->dtype, e->op.argc, arg, e->op.flags);
  }
  if (e->id < w->memo_size)
    w->memo[e->id] = out;
  return out;
}

static void rewrite_list(struct whole *w, struct tn_stmt *list) {
  for (struct tn_stmt *s = list; s; s = s->next) {
    switch (s->kind) {
    case TN_ST_LOOP:
      rewrite_list(w, s->loop.body);
      break;
    case TN_ST_REDUCE:
      s->reduce.init = rewrite(w, s->reduce.init);
      s->reduce.term = rewrite(w, s->reduce.term);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      s->let.value = rewrite(w, s->let.value);
      break;
    case TN_ST_STORE:
      s->store.value = rewrite(w, s->store.value);
      if (has_room(w, s->store.buf, s->store.index, s->store.guard))
        s->store.guard = NULL;
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      rewrite_list(w, s->branch.then);
      rewrite_list(w, s->branch.other);
      break;
    }
  }
}

void tn_use_row_room(struct tn_nest *n, struct tn_stmt *list, int count, const struct tn_row_room *room) {
  struct whole w = {.n = n, .room = room, .count = count, .memo_size = n->next_id};
  w.memo = TN_NEW_ARRAY(n->arena, struct tn_expr *, n->next_id);
  rewrite_list(&w, list);
}
