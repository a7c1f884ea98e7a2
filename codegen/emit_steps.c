/* A sum's factor that all lanes share, several steps at a time.
 *
 * Where such a factor lies along the steps of the sum, a register holds several of them.  That is one load for
 * all, and NEON multiplies by a lane of a register; a load to all lanes has no offset there. */
#include "codegen/emit.h"

void tn_emit_find_steps(struct tn_emit *e, struct tn_steps *out, const struct tn_stmt *st, int64_t trip,
                        int points) {
  const struct tn_expr *term = st->reduce.term;
  int64_t stride;
  *out = (struct tn_steps){0};
  if (!e->target->by_lanes || !e->lane || e->lanes != 4 || trip % e->lanes || st->reduce.combine != TN_ADD ||
      term->kind != TN_EX_OP || term->op.op != TN_MUL)
    return;
  for (int i = 0; i < 2 && !out->factor; i++) {
    const struct tn_expr *x = term->op.arg[i];
    if (x->kind == TN_EX_LOAD && !x->load.guard && x->dtype == TN_F32 && x->load.buf->dtype == TN_F32 &&
        !tn_ex_uses(x, e->lane) && tn_ex_stride(x->load.index, st->reduce.var[st->reduce.count - 1], &stride) &&
        stride == 1)
      out->factor = x;
  }
  if (out->factor)
    out->held = TN_NEW_ARRAY(e->arena, LLVMValueRef, points);
}

void tn_emit_step(struct tn_emit *e, struct tn_steps *steps, struct tn_point *at, int count, int64_t step) {
  const struct tn_expr *x = steps->factor;
  bool tiled = x->uses & e->tiled;
  LLVMTypeRef type = tn_emit_widen(e, tn_emit_type(e, TN_F32), true);
  LLVMValueRef number = LLVMConstInt(LLVMInt32TypeInContext(e->c), (unsigned)(step % e->lanes), 0);
  for (int i = 0; i < (tiled ? count : 1); i++) {
    struct tn_point *p = tiled ? &at[i] : &e->first;
    if (step % e->lanes == 0) {
      LLVMValueRef first = tn_emit_address(e, x->load.buf, tn_emit_expr(e, p, x->load.index).v);
      steps->held[i] = LLVMBuildLoad2(e->b, type, first, "");
      LLVMSetAlignment(steps->held[i], (unsigned)tn_dtype_size(TN_F32));
    }
    LLVMValueRef held = steps->held[i],
                 v = LLVMBuildShuffleVector(e->b, held, LLVMGetPoison(type), tn_emit_splat(e, number), "");
    p->memo[x->id] = (struct tn_val){v, true};
    p->stamp[x->id] = e->stamp;
  }
}
