/* Emission of parallel loops: a range of iterations as a function of its own, handed to the program's
 * parallel-for.
 *
 *     kernel(buffers..., parallel):           slice(buffers..., begin, end):     body(context, begin, end):
 *       parallel ? parallel->run(parallel,      for i in begin .. end              slice(context's buffers...,
 *         count, body, context)                   the loop's body                        begin, end)
 *       : slice(buffers..., 0, count)
 *
 * The context is an array of the kernel's buffers on its stack.  The slice takes them as arguments, so that
 * what is known of them (no two overlap, some are only read) stays known inside. */
#include "codegen/emit.h"
#include "codegen/internal.h"

struct range {
  struct tn_var *var[TN_MAX_REDUCE]; /* of loops that are nothing but one another's body, outermost first */
  int count;
  int64_t extent; /* of all together */
  const struct tn_stmt *body;
};

static struct range range_of(const struct tn_stmt *st) {
  struct range r = {.count = 1, .var = {st->loop.var}, .extent = st->loop.var->extent, .body = st->loop.body};
  while (r.body && r.body->kind == TN_ST_LOOP && r.body->loop.kind == TN_LOOP_PARALLEL && !r.body->next &&
         r.body->loop.var->extent > 0 && r.count < TN_MAX_REDUCE) {
    r.var[r.count++] = r.body->loop.var;
    r.extent *= r.body->loop.var->extent;
    r.body = r.body->loop.body;
  }
  return r;
}

static LLVMValueRef add_function(struct tn_emit *e, const char *what, LLVMTypeRef *params, unsigned count) {
  size_t length;
  const char *kernel = LLVMGetValueName2(e->function, &length);
  const char *name = tn_printf(e->arena, "%s_%s%d", kernel, what, e->parallel_count);
  LLVMValueRef f =
      LLVMAddFunction(e->module, name, LLVMFunctionType(LLVMVoidTypeInContext(e->c), params, count, 0));
  LLVMSetLinkage(f, LLVMInternalLinkage);
  return f;
}

static LLVMValueRef emit_slice(const struct tn_emit *kernel, const struct range *r) {
  struct tn_emit e = *kernel;
  unsigned buffers = (unsigned)e.nest->bufs.count;
  LLVMTypeRef i64 = LLVMInt64TypeInContext(e.c), index = tn_emit_type(&e, TN_INDEX);
  LLVMTypeRef *params = TN_NEW_ARRAY(e.arena, LLVMTypeRef, buffers + 2);
  for (unsigned i = 0; i < buffers + 2; i++)
    params[i] = i < buffers ? LLVMPointerTypeInContext(e.c, 0) : i64;
  e.function = add_function(&e, "slice", params, buffers + 2);
  tn_emit_buffers(&e, e.function);
  e.parallel = NULL;
  e.tiled = 0;
  e.stamp = 1;
  e.b = e.math.b = tn_llvm_builder(e.arena, e.c);
  e.entry = LLVMAppendBasicBlockInContext(e.c, e.function, "entry");
  LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(e.c, e.function, "start");
  LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(e.c, e.function, "slice");
  LLVMPositionBuilderAtEnd(e.b, e.entry);
  for (unsigned i = 0; i < buffers; i++) { /* scratch that every iteration fills anew */
    const struct tn_buf *buf = e.nest->bufs.at[i];
    if (!buf->own)
      continue;
    LLVMTypeRef type = LLVMArrayType2(tn_emit_storage(&e, buf->dtype), (uint64_t)buf->count);
    e.buffer[i] = LLVMBuildAlloca(e.b, type, buf->name);
    LLVMSetAlignment(e.buffer[i], 64);
  }
  LLVMBuildBr(e.b, start);
  LLVMPositionBuilderAtEnd(e.b, start);
  LLVMValueRef begin = LLVMBuildIntCast2(e.b, LLVMGetParam(e.function, buffers), index, 1, "begin");
  LLVMValueRef end = LLVMBuildIntCast2(e.b, LLVMGetParam(e.function, buffers + 1), index, 1, "end");
  LLVMBuildBr(e.b, loop);
  LLVMPositionBuilderAtEnd(e.b, loop);
  LLVMValueRef i = LLVMBuildPhi(e.b, index, "i");
  LLVMAddIncoming(i, &begin, &start, 1);
  LLVMValueRef at[TN_MAX_REDUCE], rest = i;
  for (int k = r->count - 1; k > 0; k--) {
    LLVMValueRef extent = tn_emit_index(&e, r->var[k]->extent);
    at[k] = LLVMBuildURem(e.b, rest, extent, "");
    rest = LLVMBuildUDiv(e.b, rest, extent, "");
  }
  at[0] = rest;
  tn_emit_iteration(&e, r->count, r->var, at, r->body);
  LLVMBasicBlockRef last = LLVMGetInsertBlock(e.b),
                    done = LLVMAppendBasicBlockInContext(e.c, e.function, "done");
  LLVMValueRef next = LLVMBuildNSWAdd(e.b, i, tn_emit_index(&e, 1), "");
  LLVMAddIncoming(i, &next, &last, 1);
  LLVMBuildCondBr(e.b, LLVMBuildICmp(e.b, LLVMIntSLT, next, end, ""), loop, done);
  LLVMPositionBuilderAtEnd(e.b, done);
  LLVMBuildRetVoid(e.b);
  return e.function;
}

static LLVMValueRef emit_body(struct tn_emit *e, LLVMValueRef slice) {
  unsigned buffers = (unsigned)e->nest->bufs.count;
  LLVMTypeRef i64 = LLVMInt64TypeInContext(e->c), pointer = LLVMPointerTypeInContext(e->c, 0);
  LLVMValueRef f = add_function(e, "body", (LLVMTypeRef[]){pointer, i64, i64}, 3);
  LLVMBuilderRef b = tn_llvm_builder(e->arena, e->c);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(e->c, f, "entry"));
  LLVMValueRef *args = TN_NEW_ARRAY(e->arena, LLVMValueRef, buffers + 2);
  for (unsigned i = 0; i < buffers; i++) {
    LLVMValueRef number = tn_emit_index(e, i);
    args[i] = LLVMBuildLoad2(b, pointer, LLVMBuildGEP2(b, pointer, LLVMGetParam(f, 0), &number, 1, ""), "");
  }
  args[buffers] = LLVMGetParam(f, 1);
  args[buffers + 1] = LLVMGetParam(f, 2);
  LLVMBuildCall2(b, LLVMGlobalGetValueType(slice), slice, args, buffers + 2, "");
  LLVMBuildRetVoid(b);
  return f;
}

void tn_emit_parallel(struct tn_emit *e, const struct tn_stmt *st) {
  struct range r = range_of(st);
  unsigned buffers = (unsigned)e->nest->bufs.count;
  LLVMTypeRef i64 = LLVMInt64TypeInContext(e->c), pointer = LLVMPointerTypeInContext(e->c, 0);
  LLVMValueRef slice = emit_slice(e, &r), body = emit_body(e, slice);
  e->parallel_count++;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
  LLVMPositionBuilder(e->b, e->entry, LLVMGetFirstInstruction(e->entry));
  LLVMValueRef context =
      LLVMBuildArrayAlloca(e->b, pointer, tn_emit_index(e, buffers ? buffers : 1), "context");
  LLVMPositionBuilderAtEnd(e->b, here);
  LLVMBasicBlockRef alone = LLVMAppendBasicBlockInContext(e->c, e->function, "alone");
  LLVMBasicBlockRef shared = LLVMAppendBasicBlockInContext(e->c, e->function, "shared");
  LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->c, e->function, "after");
  LLVMBuildCondBr(e->b, LLVMBuildIsNull(e->b, e->parallel, ""), alone, shared);

  LLVMPositionBuilderAtEnd(e->b, alone);
  LLVMValueRef *args = TN_NEW_ARRAY(e->arena, LLVMValueRef, buffers + 2);
  memcpy(args, e->buffer, buffers * sizeof *args);
  args[buffers] = LLVMConstInt(i64, 0, 0);
  args[buffers + 1] = LLVMConstInt(i64, (unsigned long long)r.extent, 0);
  LLVMBuildCall2(e->b, LLVMGlobalGetValueType(slice), slice, args, buffers + 2, "");
  LLVMBuildBr(e->b, after);

  LLVMPositionBuilderAtEnd(e->b, shared);
  for (unsigned i = 0; i < buffers; i++) {
    LLVMValueRef number = tn_emit_index(e, i);
    LLVMBuildStore(e->b, e->buffer[i], LLVMBuildGEP2(e->b, pointer, context, &number, 1, ""));
  }
  /* struct tenon_parallel: its first member is the function. */
  LLVMValueRef run = LLVMBuildLoad2(e->b, pointer, e->parallel, "run");
  LLVMTypeRef params[] = {pointer, i64, pointer, pointer};
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->c), params, 4, 0);
  LLVMValueRef call[] = {e->parallel, args[buffers + 1], body, context};
  LLVMBuildCall2(e->b, type, run, call, 4, "");
  LLVMBuildBr(e->b, after);
  LLVMPositionBuilderAtEnd(e->b, after);
}
