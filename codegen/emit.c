/* Emission of statements: a nest becomes one LLVM function.
 *
 * Tile loops are unrolled and jammed: every statement of their bodies is emitted once for each point
 * (combination of tile iterations) before the next statement is.  A reduction inside is one loop for all points
 * together, with an accumulator in SSA form for each: that is how a register tile comes about. */
#include "codegen/emit.h"
#include "codegen/internal.h"

struct points {
  struct tn_point *at;
  int count;
};

static void emit_list(struct tn_emit *e, struct points *pts, const struct tn_stmt *list);

static struct tn_point new_point(struct tn_emit *e, const struct tn_point *from) {
  struct tn_point p;
  p.var = TN_NEW_ARRAY(e->arena, struct tn_val, e->nest->next_var + 1);
  p.memo = TN_NEW_ARRAY(e->arena, struct tn_val, e->nest->next_id + 1);
  p.stamp = TN_NEW_ARRAY(e->arena, int, e->nest->next_id + 1);
  if (from)
    memcpy(p.var, from->var, (size_t)(e->nest->next_var + 1) * sizeof *p.var);
  return p;
}

static uint64_t bit_of(const struct tn_var *v) {
  return (uint64_t)1 << (v->id % 64);
}

void tn_emit_set(struct tn_emit *e, struct tn_point *at, int count, const struct tn_var *v, struct tn_val val) {
  e->first.var[v->id] = val;
  for (int i = 0; i < count; i++)
    at[i].var[v->id] = val;
}

static void set_everywhere(struct tn_emit *e, struct points *pts, const struct tn_var *v, struct tn_val val) {
  tn_emit_set(e, pts->at, pts->count, v, val);
}

static LLVMBasicBlockRef new_block(struct tn_emit *e, const char *name) {
  return LLVMAppendBasicBlockInContext(e->c, e->function, name);
}

static void enter(struct tn_emit *e, LLVMBasicBlockRef block) {
  LLVMPositionBuilderAtEnd(e->b, block);
  e->stamp++;
}

/* ---- counted loops -----------------------------------------------------------------------------------------
 */

/* A loop with values carried around it: open, emit the body, close with the values of the next trip. */
struct counted {
  LLVMBasicBlockRef before, body, after;
  LLVMValueRef counter;
  LLVMValueRef *carried; /* phis; after close: still the values of the last trip */
  int count;
};

static void open_counted(struct tn_emit *e, struct counted *l, LLVMValueRef *init, int count) {
  l->before = LLVMGetInsertBlock(e->b);
  l->body = new_block(e, "loop");
  l->after = new_block(e, "done");
  LLVMBuildBr(e->b, l->body);
  enter(e, l->body);
  l->counter = LLVMBuildPhi(e->b, tn_emit_type(e, TN_INDEX), "i");
  l->count = count;
  l->carried = TN_NEW_ARRAY(e->arena, LLVMValueRef, count);
  for (int i = 0; i < count; i++) {
    l->carried[i] = LLVMBuildPhi(e->b, LLVMTypeOf(init[i]), "");
    LLVMAddIncoming(l->carried[i], &init[i], &l->before, 1);
  }
  LLVMValueRef zero = tn_emit_index(e, 0);
  LLVMAddIncoming(l->counter, &zero, &l->before, 1);
}

/* Ends the body; `next` become the carried values, `trips` >= 1. */
static void close_counted(struct tn_emit *e, struct counted *l, LLVMValueRef *next, int64_t trips) {
  LLVMBasicBlockRef end = LLVMGetInsertBlock(e->b);
  LLVMValueRef more = LLVMBuildNSWAdd(e->b, l->counter, tn_emit_index(e, 1), "");
  LLVMAddIncoming(l->counter, &more, &end, 1);
  for (int i = 0; i < l->count; i++)
    LLVMAddIncoming(l->carried[i], &next[i], &end, 1);
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntULT, more, tn_emit_index(e, trips), ""), l->body, l->after);
  enter(e, l->after);
}

/* ---- reductions --------------------------------------------------------------------------------------------
 */

struct reduction {
  const struct tn_stmt *st;
  struct points *pts;
  LLVMValueRef *acc; /* current accumulator of point i, chain k at [i * chains + k] */
  int chains;        /* independent accumulators a point, to hide latency */
  int64_t step;      /* of a trip through the innermost loop; -1: outside of it */
  struct tn_steps steps;
};

/* An i32 that was an integer of at most 16 bits, and fits in as many with a sign. */
static bool is_word(const struct tn_expr *x) {
  if (x->kind != TN_EX_OP || x->op.op != TN_CAST)
    return false;
  enum tn_dtype from = x->op.arg[0]->dtype;
  return from == TN_I8 || from == TN_U8 || from == TN_I16;
}

/* Products of such integers are cheaper as words on x86 and in NEON, whose products of i32 take twice the time.
 */
static bool by_words(const struct tn_emit *e, const struct tn_stmt *st) {
  const struct tn_expr *term = st->reduce.term;
  return st->reduce.combine == TN_ADD && st->reduce.acc->dtype == TN_I32 && term->kind == TN_EX_OP &&
         term->op.op == TN_MUL && is_word(term->op.arg[0]) && is_word(term->op.arg[1]) &&
         tn_emit_has_words(e, e->lanes);
}

static bool reads_constant(const struct tn_expr *x) {
  const struct tn_expr *from = x->op.arg[0];
  return from->kind == TN_EX_LOAD && from->load.buf->data;
}

/* acc + a * b; the upper words of one are cleared: of what the lanes share, or of weights, which rows share.
 * (An instruction that multiplies one word of each leaves the clearing out.) */
static LLVMValueRef add_words(struct tn_emit *e, const struct tn_expr *term, LLVMValueRef acc, struct tn_val a,
                              struct tn_val b) {
  bool swap = b.vec && (!a.vec || reads_constant(term->op.arg[0]));
  struct tn_val low = swap ? a : b, other = swap ? b : a;
  LLVMTypeRef type = LLVMTypeOf(low.v);
  LLVMValueRef mask = LLVMConstInt(LLVMInt32TypeInContext(e->c), 0xFFFF, 0);
  if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
    mask = tn_emit_splat(e, mask);
  low.v = LLVMBuildAnd(e->b, low.v, mask, "");
  return tn_emit_words(e, acc, tn_emit_widened(e, other), tn_emit_widened(e, low));
}

/* acc = acc combined with the term at the current loop variables, all points, into chain k. */
static void reduce_step(struct tn_emit *e, struct reduction *r, int chain) {
  const struct tn_stmt *st = r->st;
  const struct tn_expr *term = st->reduce.term;
  enum tn_dtype dtype = st->reduce.acc->dtype;
  bool fused = st->reduce.combine == TN_ADD && tn_dtype_is_float(dtype) && term->kind == TN_EX_OP &&
               term->op.op == TN_MUL && (dtype == TN_F32 || dtype == TN_F64);
  bool dot = st->reduce.combine == TN_ADD && term->kind == TN_EX_OP &&
             (term->op.op == TN_DOT_S || term->op.op == TN_DOT_U || term->op.op == TN_DOT_W);
  e->stamp++;
  if (r->steps.factor && r->step >= 0)
    tn_emit_step(e, &r->steps, r->pts->at, r->pts->count, r->step);
  for (int i = 0; i < r->pts->count; i++) {
    struct tn_point *p = &r->pts->at[i];
    LLVMValueRef *acc = &r->acc[i * r->chains + chain];
    bool vec = LLVMGetTypeKind(LLVMTypeOf(*acc)) == LLVMVectorTypeKind;
    if (vec && by_words(e, st)) {
      *acc = add_words(e, term, *acc, tn_emit_expr(e, p, term->op.arg[0]), tn_emit_expr(e, p, term->op.arg[1]));
    } else if (fused || dot) {
      struct tn_val a = tn_emit_expr(e, p, term->op.arg[0]), b = tn_emit_expr(e, p, term->op.arg[1]);
      LLVMValueRef x = vec ? tn_emit_widened(e, a) : a.v, y = vec ? tn_emit_widened(e, b) : b.v;
      *acc = dot ? tn_emit_dot(e, term->op.op, *acc, x, y) : tn_emit_muladd(e, x, y, *acc);
    } else {
      struct tn_val t = tn_emit_expr(e, p, term);
      *acc = tn_emit_combine(e, st->reduce.combine, dtype, *acc, vec ? tn_emit_widened(e, t) : t.v);
    }
  }
}

/* Keeps LLVM's scheduler from hoisting the loads of the next step over this one's arithmetic: with a tile that
 * fills the register file each value that lives a step longer is a spill.  An empty piece of assembly orders
 * the loads around it and is no instruction. */
static void separate_steps(struct tn_emit *e, const struct reduction *r) {
  if (r->pts->count * r->chains * 2 < e->target->vector_regs)
    return;
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->c), NULL, 0, 0);
  LLVMValueRef barrier = LLVMGetInlineAsm(type, "", 0, "", 0, 1, 0, LLVMInlineAsmDialectATT, 0);
  LLVMBuildCall2(e->b, type, barrier, NULL, 0, "");
}

static void prefetch(struct tn_emit *e, const struct reduction *r) {
  const struct tn_prefetch *hint = r->st->reduce.prefetch;
  if (!hint || r->step < 0 || r->step % hint->every)
    return;
  LLVMTypeRef pointer = LLVMPointerTypeInContext(e->c, 0), i32 = LLVMInt32TypeInContext(e->c);
  LLVMValueRef read = LLVMConstInt(i32, 0, 0), second_level = LLVMConstInt(i32, 2, 0),
               data = LLVMConstInt(i32, 1, 0);
  LLVMValueRef index = tn_emit_expr(e, &r->pts->at[0], hint->index).v;
  for (int line = 0; line < hint->lines; line++) {
    int64_t offset = line * (TN_CACHE_LINE / (int64_t)tn_dtype_size(hint->buf->dtype));
    LLVMValueRef at = tn_emit_address(e, hint->buf, LLVMBuildAdd(e->b, index, tn_emit_index(e, offset), ""));
    tn_emit_call(e, "llvm.prefetch", &pointer, 1, (LLVMValueRef[]){at, read, second_level, data}, 4);
  }
}

static void reduce_level(struct tn_emit *e, struct reduction *r, int level);

/* One value of the level's variable: everything inside it. */
static void reduce_at(struct tn_emit *e, struct reduction *r, int level, LLVMValueRef value, int chain) {
  set_everywhere(e, r->pts, r->st->reduce.var[level], (struct tn_val){value, false});
  e->stamp++;
  if (level + 1 == r->st->reduce.count) {
    prefetch(e, r);
    reduce_step(e, r, chain);
  } else {
    reduce_level(e, r, level + 1);
  }
}

static void reduce_level(struct tn_emit *e, struct reduction *r, int level) {
  const struct tn_stmt *st = r->st;
  bool innermost = level + 1 == st->reduce.count;
  int64_t extent = st->reduce.var[level]->extent, inside = 1;
  for (int k = level + 1; k < st->reduce.count; k++)
    inside *= st->reduce.var[k]->extent;
  if (inside * extent <= st->reduce.unroll) {
    for (int64_t i = 0; i < extent; i++)
      reduce_at(e, r, level, tn_emit_index(e, i), (int)(i % r->chains));
    return;
  }
  int64_t step = innermost && st->reduce.unroll > 1 ? st->reduce.unroll : 1;
  int64_t trips = extent / step;
  int accs = r->pts->count * r->chains;
  if (trips > 0) {
    struct counted loop;
    open_counted(e, &loop, r->acc, accs);
    memcpy(r->acc, loop.carried, (size_t)accs * sizeof *r->acc);
    if (innermost && r->chains == 1)
      tn_emit_find_steps(e, &r->steps, st, step, r->pts->count);
    LLVMValueRef first = loop.counter;
    if (step != 1)
      first = LLVMBuildNSWMul(e->b, first, tn_emit_index(e, step), "");
    for (int64_t i = 0; i < step; i++) {
      LLVMValueRef at = i ? LLVMBuildNSWAdd(e->b, first, tn_emit_index(e, i), "") : first;
      if (i)
        separate_steps(e, r);
      r->step = innermost ? i : -1;
      reduce_at(e, r, level, at, (int)(i % r->chains));
    }
    r->step = -1;
    close_counted(e, &loop, r->acc, trips);
  }
  for (int64_t i = trips * step; i < extent; i++)
    reduce_at(e, r, level, tn_emit_index(e, i), (int)(i % r->chains));
}

/* Vectors whose lanes are being combined: groups of `group` lanes, that start every `pitch` lanes. */
struct folding {
  int lanes, group, pitch;
};

/* Lanes at + 0 .. half-1 of each group of x, then of y (NULL: none). */
static LLVMValueRef half_groups(struct tn_emit *e, const struct folding *f, LLVMValueRef x, LLVMValueRef y,
                                int at) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  int both = y ? 2 : 1, count = 0;
  LLVMValueRef *number = TN_NEW_ARRAY(e->arena, LLVMValueRef, f->lanes);
  for (int first = 0; first < both * f->lanes; first += f->pitch)
    for (int k = 0; k < f->group / 2; k++)
      number[count++] = LLVMConstInt(i32, (unsigned)(first + at + k), 0);
  return LLVMBuildShuffleVector(e->b, x, y ? y : LLVMGetPoison(LLVMTypeOf(x)),
                                LLVMConstVector(number, (unsigned)count), "");
}

/* The lanes from `by` on, where there are any. */
static LLVMValueRef moved_down(struct tn_emit *e, LLVMValueRef x, int lanes, int by) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  LLVMValueRef *number = TN_NEW_ARRAY(e->arena, LLVMValueRef, lanes);
  for (int i = 0; i < lanes; i++)
    number[i] = i + by < lanes ? LLVMConstInt(i32, (unsigned)(i + by), 0) : LLVMGetPoison(i32);
  return LLVMBuildShuffleVector(e->b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(number, (unsigned)lanes),
                                "");
}

/* The lanes of each of `count` vectors (a power of two) combined into a scalar, halves against halves.  The
 * halves of two vectors go into one, so that the further they are combined, the more vectors are at once.  No
 * vector becomes smaller than the smallest registers. */
static void across_lanes(struct tn_emit *e, enum tn_op combine, enum tn_dtype dtype, LLVMValueRef *v, int count,
                         int lanes) {
  struct folding f = {lanes, lanes, lanes};
  int before = e->lanes, left = count, least = tn_dtype_size(dtype) < 4 ? 1 : 16 / (int)tn_dtype_size(dtype);
  for (; f.group > 1; f.group /= 2) {
    bool pairs = left > 1, keep = !pairs && f.lanes <= least;
    left = pairs ? left / 2 : 1;
    e->lanes = pairs || keep ? f.lanes : f.lanes / 2; /* constants that the combine makes have this width */
    for (int i = 0; i < left; i++) {
      LLVMValueRef x = pairs ? v[2 * i] : v[i], y = pairs ? v[2 * i + 1] : NULL;
      LLVMValueRef low = keep ? x : half_groups(e, &f, x, y, 0),
                   high = keep ? moved_down(e, x, f.lanes, f.group / 2) : half_groups(e, &f, x, y, f.group / 2);
      v[i] = tn_emit_combine(e, combine, dtype, low, high);
    }
    f.lanes = e->lanes;
    f.pitch = keep ? f.pitch : f.group / 2;
  }
  e->lanes = before;
  LLVMValueRef all = v[0];
  for (int i = 0; i < count; i++)
    v[i] = LLVMBuildExtractElement(e->b, all,
                                   LLVMConstInt(LLVMInt32TypeInContext(e->c), (unsigned)(i * f.pitch), 0), "");
}

static void emit_reduce(struct tn_emit *e, struct points *pts, const struct tn_stmt *st) {
  enum tn_dtype dtype = st->reduce.acc->dtype;
  enum tn_op combine = st->reduce.combine;
  bool own_lanes = st->reduce.lane;
  struct reduction r = {.st = st, .pts = pts, .chains = 1, .step = -1};
  bool no_loop = st->reduce.count == 1 && st->reduce.var[0]->extent <= st->reduce.unroll;
  if (own_lanes && st->reduce.unroll > 1 && !(no_loop && pts->count >= 4))
    r.chains = st->reduce.unroll < 4 ? st->reduce.unroll : 4;
  if (own_lanes && e->lane)
    tn_bug(tn_arena_ctx(e->arena), "kernel '%s': a reduction over lanes inside a vector loop", e->nest->name);
  if (own_lanes) {
    e->lane = st->reduce.lane;
    e->lanes = (int)e->lane->extent;
  }
  bool vec = e->lane && (own_lanes || tn_ex_uses(st->reduce.term, e->lane));
  LLVMValueRef identity = tn_emit_identity(e, combine, dtype);
  int accs = pts->count * r.chains;
  r.acc = TN_NEW_ARRAY(e->arena, LLVMValueRef, accs);
  for (int i = 0; i < accs; i++)
    r.acc[i] = vec ? tn_emit_splat(e, identity) : identity;
  if (!own_lanes && st->reduce.init)
    for (int i = 0; i < pts->count; i++) {
      struct tn_val init = tn_emit_expr(e, &pts->at[i], st->reduce.init);
      vec |= init.vec;
      r.acc[i * r.chains] = vec ? tn_emit_widened(e, init) : init.v;
    }
  int64_t trips = 1;
  for (int i = 0; i < st->reduce.count; i++)
    trips *= st->reduce.var[i]->extent;
  if (tn_emit_is_window(st, vec) && r.chains == 1)
    tn_emit_window(e, pts->at, pts->count, st, r.acc);
  else if (st->reduce.count == 0)
    reduce_step(e, &r, 0);
  else if (trips > 0)
    reduce_level(e, &r, 0);

  for (int i = 0; i < pts->count; i++) {
    LLVMValueRef v = r.acc[i * r.chains];
    for (int k = 1; k < r.chains; k++)
      v = tn_emit_combine(e, combine, dtype, v, r.acc[i * r.chains + k]);
    r.acc[i] = v;
  }
  for (int i = 0, some; i < pts->count && own_lanes; i += some) {
    for (some = 1; some * 2 <= pts->count - i && some * 2 <= e->lanes;)
      some *= 2;
    across_lanes(e, combine, dtype, r.acc + i, some, e->lanes);
  }
  if (own_lanes) {
    e->lane = NULL;
    e->lanes = 1;
  }
  e->stamp++;
  for (int i = 0; i < pts->count && own_lanes && st->reduce.init; i++)
    r.acc[i] = tn_emit_combine(e, combine, dtype, tn_emit_expr(e, &pts->at[i], st->reduce.init).v, r.acc[i]);
  for (int i = 0; i < pts->count; i++)
    pts->at[i].var[st->reduce.acc->id] = (struct tn_val){r.acc[i], vec && !own_lanes};
  if (pts->count > 1)
    e->tiled |= bit_of(st->reduce.acc);
  else
    e->first.var[st->reduce.acc->id] = pts->at[0].var[st->reduce.acc->id];
}

/* ---- statements --------------------------------------------------------------------------------------------
 */

/* The body of a loop over lanes; afterwards the variables from around that are set in it are scalars again. */
static void emit_lanes(struct tn_emit *e, struct points *pts, const struct tn_stmt *body) {
  int count = 0;
  for (const struct tn_stmt *s = body; s; s = s->next)
    count += s->kind == TN_ST_SET;
  struct tn_val *slot = TN_NEW_ARRAY(e->arena, struct tn_val, count * pts->count + 1);
  int k = 0;
  for (const struct tn_stmt *s = body; s; s = s->next)
    for (int i = 0; i < pts->count && s->kind == TN_ST_SET; i++)
      slot[k++] = pts->at[i].var[s->let.var->id];
  emit_list(e, pts, body);
  k = 0;
  for (const struct tn_stmt *s = body; s; s = s->next)
    for (int i = 0; i < pts->count && s->kind == TN_ST_SET; i++)
      pts->at[i].var[s->let.var->id] = slot[k++];
}

static void emit_loop(struct tn_emit *e, struct points *pts, const struct tn_stmt *st) {
  struct tn_var *var = st->loop.var;
  if (var->extent == 0)
    return;
  switch (st->loop.kind) {
  case TN_LOOP_PARALLEL:
    if (e->parallel) {
      tn_emit_parallel(e, st);
      e->stamp++; /* what follows may read what was stored */
      return;
    } /* fallthrough */
  case TN_LOOP_SERIAL: {
    struct counted loop;
    open_counted(e, &loop, NULL, 0);
    set_everywhere(e, pts, var, (struct tn_val){loop.counter, false});
    emit_list(e, pts, st->loop.body);
    close_counted(e, &loop, NULL, var->extent);
    return;
  }
  case TN_LOOP_VECTOR:
    if (e->lane)
      tn_bug(tn_arena_ctx(e->arena), "kernel '%s': a vector loop inside another", e->nest->name);
    e->lane = var;
    e->lanes = (int)var->extent;
    e->stamp++;
    emit_lanes(e, pts, st->loop.body);
    e->lane = NULL;
    e->lanes = 1;
    e->stamp++;
    return;
  case TN_LOOP_TILE: {
    struct points inner = {.count = pts->count * (int)var->extent};
    inner.at = TN_NEW_ARRAY(e->arena, struct tn_point, inner.count);
    /* Inside of lanes the points around stay neighbours: vectors of a row, which share what the row loads. */
    bool around = e->lane;
    for (int i = 0; i < inner.count; i++) {
      inner.at[i] = new_point(e, &pts->at[around ? i % pts->count : i / var->extent]);
      inner.at[i].var[var->id] =
          (struct tn_val){tn_emit_index(e, around ? i / pts->count : i % var->extent), false};
    }
    uint64_t before = e->tiled;
    const struct tn_var *outer_tile = e->tile;
    struct tn_point *outer_points = e->tile_points;
    if (!around)
      e->tile = var;
    e->tile_points = inner.at;
    if (inner.count > 1)
      e->tiled |= bit_of(var);
    else
      e->first.var[var->id] = inner.at[0].var[var->id];
    e->stamp++;
    emit_list(e, &inner, st->loop.body);
    e->tiled = before;
    e->tile = outer_tile;
    e->tile_points = outer_points;
    e->stamp++;
    return;
  }
  }
}

static void emit_let(struct tn_emit *e, struct points *pts, const struct tn_stmt *st) {
  const struct tn_var *var = st->let.var;
  for (int i = 0; i < pts->count; i++) {
    if (st->kind == TN_ST_SET && e->lane && !pts->at[i].var[var->id].vec) {
      tn_emit_running(e, &pts->at[i], st);
      continue;
    }
    struct tn_val v = tn_emit_expr(e, &pts->at[i], st->let.value);
    if (var->is_set) {
      if (st->kind == TN_ST_LET)
        pts->at[i].var[var->id] = tn_emit_slot(e, var, e->lane != NULL);
      struct tn_val slot = pts->at[i].var[var->id];
      LLVMBuildStore(e->b, slot.vec ? tn_emit_widened(e, v) : v.v, slot.v);
    } else {
      pts->at[i].var[var->id] = v;
    }
  }
  if (pts->count > 1 || var->is_set) /* iterations of a tile loop inside may set it one after the other */
    e->tiled |= bit_of(var);
  else
    e->first.var[var->id] = pts->at[0].var[var->id];
  e->stamp++;
}

static void emit_branch(struct tn_emit *e, struct points *pts, const struct tn_stmt *st) {
  const struct tn_var *tile = e->tile;
  e->tile = NULL; /* the points part ways */
  for (int i = 0; i < pts->count; i++) {
    struct points one = {&pts->at[i], 1};
    LLVMBasicBlockRef test = st->kind == TN_ST_WHILE ? new_block(e, "while") : NULL;
    if (test) {
      LLVMBuildBr(e->b, test);
      enter(e, test);
    }
    LLVMBasicBlockRef then = new_block(e, "then"), after = new_block(e, "after");
    LLVMBasicBlockRef other = st->branch.other ? new_block(e, "else") : after;
    LLVMBuildCondBr(e->b, tn_emit_expr(e, one.at, st->branch.cond).v, then, other);
    enter(e, then);
    emit_list(e, &one, st->branch.then);
    LLVMBuildBr(e->b, test ? test : after);
    if (st->branch.other) {
      enter(e, other);
      emit_list(e, &one, st->branch.other);
      LLVMBuildBr(e->b, after);
    }
    enter(e, after);
  }
  e->tile = tile;
}

static void emit_stores(struct tn_emit *e, struct points *pts, const struct tn_stmt *st) {
  bool tiles = e->tile && pts->at == e->tile_points;
  for (int i = 0; i < pts->count;) {
    if (tiles && i % e->tile->extent == 0 && tn_emit_store_block(e, &pts->at[i], st)) {
      i += (int)e->tile->extent;
      continue;
    }
    tn_emit_store(e, &pts->at[i++], st);
  }
}

static void emit_list(struct tn_emit *e, struct points *pts, const struct tn_stmt *list) {
  for (const struct tn_stmt *st = list; st; st = st->next) {
    switch (st->kind) {
    case TN_ST_LOOP:
      emit_loop(e, pts, st);
      break;
    case TN_ST_REDUCE:
      emit_reduce(e, pts, st);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      emit_let(e, pts, st);
      break;
    case TN_ST_STORE:
      emit_stores(e, pts, st);
      e->stamp++; /* what follows may read what was stored */
      break;
    case TN_ST_IF:
    case TN_ST_WHILE:
      emit_branch(e, pts, st);
      break;
    }
  }
}

void tn_emit_buffers(struct tn_emit *e, LLVMValueRef function) {
  static const char *const attributes[] = {"noalias", "readonly"};
  const struct tn_nest *nest = e->nest;
  e->buffer = TN_NEW_ARRAY(e->arena, LLVMValueRef, nest->bufs.count + 1);
  for (unsigned i = 0; i < nest->bufs.count; i++) {
    const struct tn_buf *buf = nest->bufs.at[i];
    e->buffer[i] = LLVMGetParam(function, i);
    LLVMSetValueName2(e->buffer[i], buf->name, strlen(buf->name));
    for (int k = 0; k < 2; k++) {
      if (k == 0 ? !e->noalias[i] : buf->written || buf->param < 0)
        continue;
      unsigned id = LLVMGetEnumAttributeKindForName(attributes[k], strlen(attributes[k]));
      LLVMAddAttributeAtIndex(function, i + 1, LLVMCreateEnumAttribute(e->c, id, 0));
    }
  }
}

void tn_emit_iteration(struct tn_emit *e, int count, struct tn_var *const *vars, const LLVMValueRef *values,
                       const struct tn_stmt *list) {
  e->first = new_point(e, NULL);
  struct tn_point only = new_point(e, NULL);
  struct points pts = {&only, 1};
  for (int i = 0; i < count; i++)
    set_everywhere(e, &pts, vars[i], (struct tn_val){values[i], false});
  emit_list(e, &pts, list);
}

LLVMValueRef tn_emit_nest(tn_arena *arena, const struct tn_target *target, LLVMModuleRef module,
                          const struct tn_nest *nest, const char *symbol, const bool *noalias) {
  struct tn_emit e = {.arena = arena,
                      .target = target,
                      .nest = nest,
                      .module = module,
                      .lanes = 1,
                      .stamp = 1,
                      .noalias = noalias};
  e.c = LLVMGetModuleContext(module);
  unsigned count = (unsigned)nest->bufs.count;
  LLVMTypeRef pointer = LLVMPointerTypeInContext(e.c, 0);
  bool parallel = target->threads > 1 && tn_has_parallel(nest->body);
  LLVMTypeRef *types = TN_NEW_ARRAY(arena, LLVMTypeRef, count + 1);
  for (unsigned i = 0; i <= count; i++)
    types[i] = pointer;
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e.c), types, count + parallel, 0);
  e.function = LLVMAddFunction(module, symbol, type);
  tn_emit_buffers(&e, e.function);
  e.parallel = parallel ? LLVMGetParam(e.function, count) : NULL;
  e.b = tn_llvm_builder(arena, e.c);
  e.math = (struct tn_math){
      .b = e.b,
      .module = module,
      .c = e.c,
      .hw_fma = target->fma,
      .hw_round = target->round,
      .picks = target->picks && target->vector_bytes >= 32 ? (unsigned)target->vector_bytes / 4 : 0,
      .soft_f32 = !target->f32,
      .soft_f64 = !target->f64};
  e.entry = LLVMAppendBasicBlockInContext(e.c, e.function, "entry");
  LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(e.c, e.function, "start");
  LLVMPositionBuilderAtEnd(e.b, e.entry);
  LLVMBuildBr(e.b, start);
  LLVMPositionBuilderAtEnd(e.b, start);
  tn_emit_iteration(&e, 0, NULL, NULL, nest->body);
  LLVMBuildRetVoid(e.b);
  return e.function;
}
