/* Emission of windows: reductions of which no loop is left.
 *
 * The terms of the innermost loop are combined by themselves: neighbouring windows have such parts in common,
 * which LLVM then computes once.  Largest and smallest floats are found by comparisons that pass over nans, and
 * whether there is one is asked of two terms at once. */
#include "codegen/emit.h"

struct part {
  LLVMValueRef v;       /* so far */
  LLVMValueRef ordered; /* no nan is in it; NULL: not asked yet */
  LLVMValueRef odd;     /* a term that is not asked about yet */
};

static void ask(struct tn_emit *e, struct part *p, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef ordered = LLVMBuildFCmp(e->b, LLVMRealORD, a, b, "");
  p->ordered = p->ordered ? LLVMBuildAnd(e->b, p->ordered, ordered, "") : ordered;
}

/* asks: `v` is a term of floats whose largest or smallest one is wanted. */
static void add_to_part(struct tn_emit *e, const struct tn_stmt *st, struct part *p, LLVMValueRef v,
                        bool asks) {
  if (asks && p->odd)
    ask(e, p, p->odd, v);
  p->odd = asks && !p->odd ? v : NULL;
  if (!p->v)
    p->v = v;
  else if (asks)
    p->v = tn_emit_extreme(e, st->reduce.combine == TN_MAX, p->v, v);
  else
    p->v = tn_emit_combine(e, st->reduce.combine, st->reduce.acc->dtype, p->v, v);
}

bool tn_emit_is_window(const struct tn_stmt *st, bool vec) {
  const struct tn_expr *term = st->reduce.term;
  int64_t trips = 1;
  for (int i = 0; i < st->reduce.count; i++)
    trips *= st->reduce.var[i]->extent;
  bool sum = st->reduce.combine == TN_ADD && !(term->kind == TN_EX_OP && term->op.op != TN_SELECT);
  return vec && !st->reduce.lane && !st->reduce.init && trips > 1 && trips <= st->reduce.unroll &&
         (sum || st->reduce.combine == TN_MAX || st->reduce.combine == TN_MIN);
}

void tn_emit_window(struct tn_emit *e, struct tn_point *at, int count, const struct tn_stmt *st,
                    LLVMValueRef *acc) {
  enum tn_dtype dtype = st->reduce.acc->dtype;
  bool asks = st->reduce.combine != TN_ADD && tn_dtype_is_float(dtype);
  int64_t inner = st->reduce.var[st->reduce.count - 1]->extent, trips = 1;
  struct part *all = TN_NEW_ARRAY(e->arena, struct part, count), *part = NULL;
  for (int k = 0; k < st->reduce.count; k++)
    trips *= st->reduce.var[k]->extent;
  for (int i = 0; i < count && !asks; i++)
    all[i].v = acc[i];
  for (int64_t trip = 0; trip < trips; trip++) {
    int64_t rest = trip;
    for (int k = st->reduce.count - 1; k >= 0; k--) {
      int64_t extent = st->reduce.var[k]->extent;
      tn_emit_set(e, at, count, st->reduce.var[k], (struct tn_val){tn_emit_index(e, rest % extent), false});
      rest /= extent;
    }
    e->stamp++;
    if (trip % inner == 0)
      part = TN_NEW_ARRAY(e->arena, struct part, count);
    for (int i = 0; i < count; i++) {
      add_to_part(e, st, &part[i], tn_emit_widened(e, tn_emit_expr(e, &at[i], st->reduce.term)), asks);
      if (trip % inner != inner - 1)
        continue;
      if (part[i].odd)
        ask(e, &part[i], part[i].odd, part[i].odd);
      if (asks)
        all[i].ordered =
            all[i].ordered ? LLVMBuildAnd(e->b, all[i].ordered, part[i].ordered, "") : part[i].ordered;
      if (all[i].v && asks)
        all[i].v = tn_emit_extreme(e, st->reduce.combine == TN_MAX, all[i].v, part[i].v);
      else
        all[i].v = all[i].v ? tn_emit_combine(e, st->reduce.combine, dtype, all[i].v, part[i].v) : part[i].v;
    }
  }
  for (int i = 0; i < count; i++) {
    acc[i] = all[i].v;
    if (asks)
      acc[i] = LLVMBuildSelect(e->b, all[i].ordered, acc[i],
                               tn_emit_splat(e, LLVMConstReal(tn_emit_type(e, dtype), __builtin_nan(""))), "");
  }
}
