/* Emission of variables that are set: in loops of single iterations, and in lanes (schedule_running.c). */
#include "codegen/emit.h"

struct tn_val tn_emit_slot(struct tn_emit *e, const struct tn_var *var, bool vec) {
  LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
  LLVMPositionBuilder(e->b, e->entry, LLVMGetFirstInstruction(e->entry));
  LLVMTypeRef type = tn_emit_widen(e, tn_emit_type(e, var->dtype), vec);
  LLVMValueRef slot = LLVMBuildAlloca(e->b, type, var->name);
  LLVMPositionBuilderAtEnd(e->b, here);
  return (struct tn_val){slot, vec};
}

void tn_emit_running(struct tn_emit *e, struct tn_point *p, const struct tn_stmt *st) {
  const struct tn_var *var = st->let.var;
  const struct tn_expr *value = st->let.value, *first = value->op.arg[0];
  enum tn_op combine = value->op.op;
  bool own = first->kind == TN_EX_VAR && first->var == var;
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c), type = tn_emit_type(e, var->dtype);
  struct tn_val slot = p->var[var->id];
  LLVMValueRef so_far = LLVMBuildLoad2(e->b, type, slot.v, "");
  LLVMValueRef terms = tn_emit_widened(e, tn_emit_expr(e, p, value->op.arg[own]));
  LLVMValueRef none = tn_emit_splat(e, tn_emit_identity(e, combine, var->dtype));
  LLVMValueRef *number = TN_NEW_ARRAY(e->arena, LLVMValueRef, e->lanes);
  for (int step = 1; step < e->lanes; step *= 2) {
    for (int i = 0; i < e->lanes; i++)
      number[i] = LLVMConstInt(i32, (unsigned)(i < step ? i : e->lanes + i - step), 0);
    LLVMValueRef before =
        LLVMBuildShuffleVector(e->b, none, terms, LLVMConstVector(number, (unsigned)e->lanes), "");
    terms = tn_emit_combine(e, combine, var->dtype, before, terms);
  }
  LLVMValueRef all = tn_emit_combine(e, combine, var->dtype, tn_emit_splat(e, so_far), terms);
  LLVMValueRef last = LLVMBuildExtractElement(e->b, terms, LLVMConstInt(i32, (unsigned)e->lanes - 1, 0), "");
  int lanes = e->lanes;
  e->lanes = 1;
  LLVMBuildStore(e->b, tn_emit_combine(e, combine, var->dtype, so_far, last), slot.v);
  e->lanes = lanes;
  p->var[var->id] = tn_emit_slot(e, var, true);
  LLVMBuildStore(e->b, all, p->var[var->id].v);
}
