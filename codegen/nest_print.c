/* The text of a nest, and its key.
 *
 *   nest conv1(x: f32[3072], w: f32[864], out y: f32[32768]) flops 1769472
 *     for i0 in 30 parallel
 *       for i1 in 32 vector
 *         acc = add over r0 in 3, r1 in 3 unroll 9 : x[32*i0 + r0 + 1] * w[r1]
 *         y[32*i0 + i1] = max(acc, 0)
 */
#include "codegen/nest.h"

#include <inttypes.h>

struct printer {
  struct tn_str s;
  bool key; /* names left out */
};

static void print_var(struct printer *p, const struct tn_var *v) {
  if (p->key)
    tn_str_add(&p->s, "v%d", v->id);
  else
    tn_str_add(&p->s, "%s%d", v->name, v->id);
}

static void print_buf(struct printer *p, const struct tn_nest *n, const struct tn_buf *b) {
  if (!p->key) {
    tn_str_add(&p->s, "%s", b->name);
    return;
  }
  for (size_t i = 0; i < n->bufs.count; i++)
    if (n->bufs.at[i] == b)
      tn_str_add(&p->s, "b%zu", i);
}

static const char *type_name(enum tn_dtype dtype) {
  return dtype == TN_INDEX ? "index" : tn_dtype_name(dtype);
}

static void print_expr(struct printer *p, const struct tn_nest *n, const struct tn_expr *e) {
  struct tn_str *s = &p->s;
  switch (e->kind) {
  case TN_EX_INT:
    tn_str_add(s, "%" PRId64, e->i);
    if (e->dtype != TN_INDEX)
      tn_str_add(s, ":%s", type_name(e->dtype));
    break;
  case TN_EX_FLOAT:
    tn_str_add(s, "%s:%s", tn_double_text(s->arena, e->f), type_name(e->dtype));
    break;
  case TN_EX_VAR:
    print_var(p, e->var);
    break;
  case TN_EX_AFFINE:
    tn_str_add(s, "(");
    for (int i = 0; i < e->affine.count; i++) {
      tn_str_add(s, i ? " + " : "");
      if (e->affine.coef[i] != 1)
        tn_str_add(s, "%" PRId64 "*", e->affine.coef[i]);
      print_expr(p, n, e->affine.term[i]);
    }
    if (e->affine.base)
      tn_str_add(s, " + %" PRId64, e->affine.base);
    tn_str_add(s, ")");
    break;
  case TN_EX_LOAD:
    print_buf(p, n, e->load.buf);
    tn_str_add(s, "[");
    print_expr(p, n, e->load.index);
    if (e->load.bytes)
      tn_str_add(s, " : %d", e->load.bytes);
    if (e->load.guard) {
      tn_str_add(s, " if ");
      print_expr(p, n, e->load.guard);
    }
    tn_str_add(s, "]");
    break;
  case TN_EX_OP:
    tn_str_add(s, "%s", tn_op_info(e->op.op)->name);
    if (e->op.op == TN_CAST || e->op.op == TN_BITCAST)
      tn_str_add(s, ".%s", type_name(e->dtype));
    if (e->op.flags)
      tn_str_add(s, ".%d", e->op.flags);
    tn_str_add(s, "(");
    for (int i = 0; i < e->op.argc; i++) {
      tn_str_add(s, i ? ", " : "");
      print_expr(p, n, e->op.arg[i]);
    }
    tn_str_add(s, ")");
    break;
  }
}

static const char *const loop_suffix[] = {"", " parallel", " tile", " vector"};

static void print_list(struct printer *p, const struct tn_nest *n, const struct tn_stmt *list, int depth) {
  struct tn_str *s = &p->s;
  for (const struct tn_stmt *st = list; st; st = st->next) {
    tn_str_add(s, "%*s", depth * 2, "");
    switch (st->kind) {
    case TN_ST_LOOP:
      tn_str_add(s, "for ");
      print_var(p, st->loop.var);
      tn_str_add(s, " in %" PRId64 "%s\n", st->loop.var->extent, loop_suffix[st->loop.kind]);
      print_list(p, n, st->loop.body, depth + 1);
      continue;
    case TN_ST_REDUCE:
      print_var(p, st->reduce.acc);
      tn_str_add(s, ":%s = %s", type_name(st->reduce.acc->dtype), tn_op_info(st->reduce.combine)->name);
      if (st->reduce.init) {
        tn_str_add(s, " from ");
        print_expr(p, n, st->reduce.init);
      }
      for (int i = 0; i < st->reduce.count; i++) {
        tn_str_add(s, i ? ", " : " over ");
        print_var(p, st->reduce.var[i]);
        tn_str_add(s, " in %" PRId64, st->reduce.var[i]->extent);
      }
      if (st->reduce.lane) {
        tn_str_add(s, " lanes ");
        print_var(p, st->reduce.lane);
        tn_str_add(s, " in %" PRId64, st->reduce.lane->extent);
      }
      if (st->reduce.unroll > 1)
        tn_str_add(s, " unroll %d", st->reduce.unroll);
      tn_str_add(s, " : ");
      print_expr(p, n, st->reduce.term);
      if (st->reduce.prefetch) {
        tn_str_add(s, " prefetch %d every %d ", st->reduce.prefetch->lines, st->reduce.prefetch->every);
        print_buf(p, n, st->reduce.prefetch->buf);
        tn_str_add(s, "[");
        print_expr(p, n, st->reduce.prefetch->index);
        tn_str_add(s, "]");
      }
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      if (st->kind == TN_ST_LET)
        tn_str_add(s, "let ");
      print_var(p, st->let.var);
      if (st->kind == TN_ST_LET)
        tn_str_add(s, ":%s", type_name(st->let.var->dtype));
      tn_str_add(s, " = ");
      print_expr(p, n, st->let.value);
      break;
    case TN_ST_STORE:
      print_buf(p, n, st->store.buf);
      tn_str_add(s, "[");
      print_expr(p, n, st->store.index);
      tn_str_add(s, "] = ");
      print_expr(p, n, st->store.value);
      if (st->store.guard) {
        tn_str_add(s, " if ");
        print_expr(p, n, st->store.guard);
      }
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      tn_str_add(s, st->kind == TN_ST_IF ? "if " : "while ");
      print_expr(p, n, st->branch.cond);
      tn_str_add(s, "\n");
      print_list(p, n, st->branch.then, depth + 1);
      if (st->branch.other) {
        tn_str_add(s, "%*selse\n", depth * 2, "");
        print_list(p, n, st->branch.other, depth + 1);
      }
      continue;
    }
    tn_str_add(s, "\n");
  }
}

static void print_nest(struct printer *p, const struct tn_nest *n) {
  struct tn_str *s = &p->s;
  tn_str_add(s, "nest %s(", p->key ? "" : n->name);
  for (size_t i = 0; i < n->bufs.count; i++) {
    const struct tn_buf *b = n->bufs.at[i];
    tn_str_add(s, "%s%s", i ? ", " : "", b->param < 0 ? "local " : b->written ? "out " : "");
    print_buf(p, n, b);
    tn_str_add(s, ": %s[%" PRId64 "]", tn_dtype_name(b->dtype), b->count);
  }
  tn_str_add(s, ")");
  if (!p->key)
    tn_str_add(s, " flops %" PRId64, n->flops);
  tn_str_add(s, "\n");
  print_list(p, n, n->body, 1);
}

char *tn_nest_print(tn_arena *arena, const struct tn_nest *nest) {
  struct printer p = {.key = false};
  tn_str_init(&p.s, arena);
  print_nest(&p, nest);
  return p.s.at;
}

struct tn_hash tn_nest_key(tn_arena *arena, const struct tn_nest *nest) {
  struct printer p = {.key = true};
  tn_str_init(&p.s, arena);
  print_nest(&p, nest);
  return tn_hash_bytes(p.s.at, p.s.count);
}
