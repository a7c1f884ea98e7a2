/* Lanes picked from whole vectors: loads whose position is the same for all lanes but for one term, a byte of a
 * table that says which of the next few elements each lane gets (schedule_pick.c). */
#include "codegen/emit.h"

static const struct tn_expr *pick_of(const struct tn_emit *e, const struct tn_expr *index) {
  const struct tn_expr *pick = NULL;
  if (index->kind != TN_EX_AFFINE)
    return NULL;
  for (int i = 0; i < index->affine.count; i++) {
    const struct tn_expr *term = index->affine.term[i];
    if (!tn_ex_uses(term, e->lane))
      continue;
    if (pick || index->affine.coef[i] != 1 || term->kind != TN_EX_OP || term->op.op != TN_CAST ||
        term->op.arg[0]->dtype != TN_U8 || term->lo < 0 || term->hi >= TN_MOST_PICKED * e->lanes)
      return NULL;
    pick = term;
  }
  return pick;
}

/* The elements from `at` on as a vector; those past `count` are not read. */
static LLVMValueRef load_some(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef at, int64_t count) {
  if (count >= e->lanes)
    return tn_emit_load_row(e, x, at, NULL);
  LLVMValueRef *mask = TN_NEW_ARRAY(e->arena, LLVMValueRef, e->lanes);
  for (int i = 0; i < e->lanes; i++)
    mask[i] = LLVMConstInt(LLVMInt1TypeInContext(e->c), i < count, 0);
  return tn_emit_load_row(e, x, at, LLVMConstVector(mask, (unsigned)e->lanes));
}

/* Lane l is lane pick[l] of the vectors one after the other. */
static LLVMValueRef picked(struct tn_emit *e, const LLVMValueRef *from, int count, LLVMValueRef pick) {
  bool wide = e->target->vector_bytes >= 64;
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  if (strncmp(e->target->family, "aarch64", 7) == 0) { /* bytes of up to four registers */
    LLVMTypeRef bytes = LLVMVectorType(LLVMInt8TypeInContext(e->c), 16);
    LLVMValueRef arg[TN_MOST_PICKED + 1], v;
    for (int i = 0; i < count; i++)
      arg[i] = LLVMBuildBitCast(e->b, from[i], bytes, "");
    v = LLVMBuildMul(e->b, pick, tn_emit_splat(e, LLVMConstInt(i32, 0x04040404, 0)), "");
    v = LLVMBuildAdd(e->b, v, tn_emit_splat(e, LLVMConstInt(i32, 0x03020100, 0)), "");
    arg[count] = LLVMBuildBitCast(e->b, v, bytes, "");
    const char *name = tn_printf(e->arena, "llvm.aarch64.neon.tbl%d", count);
    return LLVMBuildBitCast(e->b, tn_emit_call(e, name, &bytes, 1, arg, (unsigned)count + 1),
                            LLVMTypeOf(from[0]), "");
  }
  if (count == 1) { /* by the low bits of `pick`, as the one below */
    const char *name = e->lanes == 16  ? "llvm.x86.avx512.permvar.sf.512"
                       : e->lanes == 8 ? "llvm.x86.avx2.permps"
                                       : "llvm.x86.avx.vpermilvar.ps";
    return tn_emit_call(e, name, NULL, 0, (LLVMValueRef[]){from[0], pick}, 2);
  }
  if (count == 2 && wide) {
    const char *name = e->lanes == 16  ? "llvm.x86.avx512.vpermi2var.ps.512"
                       : e->lanes == 8 ? "llvm.x86.avx512.vpermi2var.ps.256"
                                       : "llvm.x86.avx512.vpermi2var.ps.128";
    return tn_emit_call(e, name, NULL, 0, (LLVMValueRef[]){from[0], pick, from[1]}, 3);
  }
  int half = count <= 2 ? 1 : 2;
  LLVMValueRef end = tn_emit_splat(e, LLVMConstInt(i32, (unsigned)(half * e->lanes), 0));
  LLVMValueRef is_low = LLVMBuildICmp(e->b, LLVMIntULT, pick, end, ""), low = picked(e, from, half, pick);
  return LLVMBuildSelect(e->b, is_low, low, picked(e, from + half, count - half, pick), "");
}

LLVMValueRef tn_emit_load_picked(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  const struct tn_expr *index = x->load.index, *pick = pick_of(e, index);
  const struct tn_buf *buf = x->load.buf;
  if (!pick || !e->target->picks || tn_dtype_size(buf->dtype) != 4 || x->load.bytes || e->lanes < 4 ||
      e->lanes > 16)
    return NULL;
  int vectors = (int)(pick->hi / e->lanes) + 1;
  int64_t whole = (int64_t)vectors * e->lanes, last = index->hi - pick->hi; /* where they begin at most */
  bool fits = last + whole <= buf->count;
  if (!fits && (!e->target->masked || last + pick->hi >= buf->count))
    return NULL;
  int64_t wanted = fits ? whole : pick->hi + 1;
  LLVMValueRef at = tn_emit_index(e, index->affine.base);
  for (int i = 0; i < index->affine.count; i++)
    if (index->affine.term[i] != pick) {
      LLVMValueRef term = tn_emit_expr(e, p, index->affine.term[i]).v;
      if (index->affine.coef[i] != 1)
        term = LLVMBuildNSWMul(e->b, term, tn_emit_index(e, index->affine.coef[i]), "");
      at = LLVMBuildNSWAdd(e->b, at, term, "");
    }
  LLVMTypeRef i32 = tn_emit_widen(e, LLVMInt32TypeInContext(e->c), true),
              f32 = tn_emit_widen(e, LLVMFloatTypeInContext(e->c), true);
  LLVMValueRef number = LLVMBuildZExt(e->b, tn_emit_expr(e, p, pick->op.arg[0]).v, i32, "");
  LLVMValueRef from[TN_MOST_PICKED];
  LLVMTypeRef stored = tn_emit_widen(e, tn_emit_storage(e, x->dtype), true);
  for (int k = 0; k < vectors; k++) {
    LLVMValueRef row = LLVMBuildNSWAdd(e->b, at, tn_emit_index(e, (int64_t)k * e->lanes), "");
    from[k] = LLVMBuildBitCast(e->b, load_some(e, x, row, wanted - (int64_t)k * e->lanes), f32, "");
  }
  return LLVMBuildBitCast(e->b, picked(e, from, vectors, number), stored, "");
}
