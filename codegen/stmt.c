/* Statements of a nest: building them at a cursor, and replacing variables in a list of them. */
#include "codegen/nest.h"

struct tn_var *tn_loop_var(struct tn_nest *n, const char *name, int64_t extent) {
  struct tn_var *v = TN_NEW(n->arena, struct tn_var);
  v->name = name;
  v->kind = TN_VAR_LOOP;
  v->dtype = TN_INDEX;
  v->extent = extent;
  v->id = n->next_var++;
  return v;
}

struct tn_var *tn_value_var(struct tn_nest *n, const char *name, enum tn_dtype dtype) {
  struct tn_var *v = tn_loop_var(n, name, 0);
  v->kind = TN_VAR_VALUE;
  v->dtype = dtype;
  return v;
}

struct tn_buf *tn_nest_param(struct tn_nest *n, const char *name, enum tn_dtype dtype, int64_t count) {
  struct tn_buf *b = tn_nest_local(n, name, dtype, count);
  b->param = n->param_count++;
  return b;
}

struct tn_buf *tn_nest_local(struct tn_nest *n, const char *name, enum tn_dtype dtype, int64_t count) {
  struct tn_buf *b = TN_NEW(n->arena, struct tn_buf);
  b->name = name;
  b->dtype = dtype;
  b->count = count;
  b->param = -1;
  TN_PUSH(n->arena, &n->bufs, b);
  return b;
}

void tn_st_follow(struct tn_cursor *c) {
  while (*c->end)
    c->end = &(*c->end)->next;
}

struct tn_cursor tn_at_body(struct tn_nest *n) {
  struct tn_cursor c = {n, &n->body};
  tn_st_follow(&c);
  return c;
}

static struct tn_stmt *append(struct tn_cursor *c, enum tn_st kind) {
  struct tn_stmt *s = TN_NEW(c->nest->arena, struct tn_stmt);
  s->kind = kind;
  tn_st_follow(c);
  *c->end = s;
  c->end = &s->next;
  return s;
}

struct tn_cursor tn_st_loop(struct tn_cursor *c, struct tn_var *var, enum tn_loop_kind kind) {
  struct tn_stmt *s = append(c, TN_ST_LOOP);
  s->loop.var = var;
  s->loop.kind = kind;
  return (struct tn_cursor){c->nest, &s->loop.body};
}

struct tn_stmt *tn_st_reduce(struct tn_cursor *c, struct tn_var *acc, enum tn_op combine, struct tn_expr *init,
                             int count, struct tn_var *const *vars, struct tn_expr *term) {
  struct tn_stmt *s = append(c, TN_ST_REDUCE);
  acc->kind = TN_VAR_ACC;
  s->reduce.acc = acc;
  s->reduce.combine = combine;
  s->reduce.init = init;
  if (count > TN_MAX_REDUCE)
    tn_bug(tn_arena_ctx(c->nest->arena), "nest '%s': %d reduction loops, at most %d", c->nest->name, count,
           TN_MAX_REDUCE);
  s->reduce.count = count;
  for (int i = 0; i < count; i++)
    s->reduce.var[i] = vars[i];
  s->reduce.term = term;
  s->reduce.unroll = 1;
  return s;
}

void tn_st_let_again(struct tn_cursor *c, struct tn_var *var, struct tn_expr *value) {
  struct tn_stmt *s = append(c, TN_ST_LET);
  s->let.var = var;
  s->let.value = value;
}

struct tn_expr *tn_st_let(struct tn_cursor *c, const char *name, struct tn_expr *value) {
  struct tn_var *var = tn_value_var(c->nest, name, value->dtype);
  tn_st_let_again(c, var, value);
  return tn_ex_var(c->nest, var);
}

void tn_st_set(struct tn_cursor *c, struct tn_expr *var, struct tn_expr *value) {
  if (var->kind != TN_EX_VAR || var->var->kind != TN_VAR_VALUE || var->dtype != value->dtype)
    tn_bug(tn_arena_ctx(c->nest->arena),
           "nest '%s': SET needs a variable declared by LET, of the value's dtype", c->nest->name);
  struct tn_stmt *s = append(c, TN_ST_SET);
  s->let.var = var->var;
  s->let.var->is_set = true;
  s->let.value = value;
}

void tn_st_store(struct tn_cursor *c, struct tn_buf *buf, struct tn_expr *index, struct tn_expr *value,
                 struct tn_expr *guard) {
  if (value->dtype != buf->dtype)
    tn_bug(tn_arena_ctx(c->nest->arena), "nest '%s': a value of %s stored to buffer '%s' of %s", c->nest->name,
           tn_dtype_name(value->dtype), buf->name, tn_dtype_name(buf->dtype));
  if (guard && tn_ex_is_false(guard))
    return;
  struct tn_stmt *s = append(c, TN_ST_STORE);
  buf->written = true;
  s->store.buf = buf;
  s->store.index = index;
  s->store.value = value;
  s->store.guard = guard && tn_ex_is_true(guard) ? NULL : guard;
}

void tn_st_if(struct tn_cursor *c, struct tn_expr *cond, struct tn_cursor *then, struct tn_cursor *other) {
  struct tn_stmt *s = append(c, TN_ST_IF);
  s->branch.cond = cond;
  *then = (struct tn_cursor){c->nest, &s->branch.then};
  if (other)
    *other = (struct tn_cursor){c->nest, &s->branch.other};
}

struct tn_cursor tn_st_while(struct tn_cursor *c, struct tn_expr *cond) {
  struct tn_stmt *s = append(c, TN_ST_WHILE);
  s->branch.cond = cond;
  return (struct tn_cursor){c->nest, &s->branch.then};
}

void tn_st_replace(struct tn_nest *n, struct tn_stmt *list, int count, struct tn_var *const *vars,
                   struct tn_expr *const *values) {
#define REPLACE(e) \
  if (e)           \
  (e) = tn_ex_replace(n, (e), count, vars, values)
  for (struct tn_stmt *s = list; s; s = s->next) {
    switch (s->kind) {
    case TN_ST_LOOP:
      tn_st_replace(n, s->loop.body, count, vars, values);
      break;
    case TN_ST_REDUCE:
      REPLACE(s->reduce.init);
      REPLACE(s->reduce.term);
      if (s->reduce.prefetch)
        REPLACE(s->reduce.prefetch->index);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      REPLACE(s->let.value);
      break;
    case TN_ST_STORE:
      REPLACE(s->store.index);
      REPLACE(s->store.value);
      REPLACE(s->store.guard);
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      REPLACE(s->branch.cond);
      tn_st_replace(n, s->branch.then, count, vars, values);
      tn_st_replace(n, s->branch.other, count, vars, values);
      break;
    }
  }
#undef REPLACE
}

bool tn_has_parallel(const struct tn_stmt *list) {
  for (const struct tn_stmt *s = list; s; s = s->next) {
    if (s->kind == TN_ST_LOOP && (s->loop.kind == TN_LOOP_PARALLEL || tn_has_parallel(s->loop.body)))
      return true;
    if ((s->kind == TN_ST_IF || s->kind == TN_ST_WHILE) &&
        (tn_has_parallel(s->branch.then) || tn_has_parallel(s->branch.other)))
      return true;
  }
  return false;
}
