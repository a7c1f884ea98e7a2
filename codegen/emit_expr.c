/* Emission of expressions: what is uniform over the lanes stays scalar, positions become addresses, and a load
 * is a vector load, a splat or a gather according to its stride over the lanes. */
#include "codegen/emit.h"

#include <llvm/Config/llvm-config.h>

static struct tn_val scalar(LLVMValueRef v) {
  return (struct tn_val){v, false};
}
static struct tn_val vector(LLVMValueRef v) {
  return (struct tn_val){v, true};
}

/* May be true of what is uniform (tn_expr's `uses`): that then takes the way of vectors. */
static bool over_lanes(const struct tn_emit *e, const struct tn_expr *x) {
  return e->lane && tn_ex_uses(x, e->lane);
}

/* Some variable inside has another value in each lane: a result of a reduction that was computed in them. */
static bool reads_lanes(const struct tn_emit *e, const struct tn_point *p, const struct tn_expr *x) {
  if (!e->lane || !x)
    return false;
  if (!(x->uses & e->tiled))
    p = &e->first;
  switch (x->kind) {
  case TN_EX_VAR:
    return x->var != e->lane && p->var[x->var->id].vec;
  case TN_EX_AFFINE:
    for (int i = 0; i < x->affine.count; i++)
      if (reads_lanes(e, p, x->affine.term[i]))
        return true;
    return false;
  case TN_EX_LOAD:
    return reads_lanes(e, p, x->load.index) || reads_lanes(e, p, x->load.guard);
  case TN_EX_OP:
    for (int i = 0; i < x->op.argc; i++)
      if (reads_lanes(e, p, x->op.arg[i]))
        return true;
    return false;
  default:
    return false;
  }
}

/* A part of a position whose stride over the lanes is known: whether that is not zero. */
static bool moves_with_lanes(const struct tn_emit *e, const struct tn_expr *x) {
  int64_t stride;
  return over_lanes(e, x) && !(tn_ex_stride(x, e->lane, &stride) && stride == 0);
}

/* ---- positions ---------------------------------------------------------------------------------------------
 */

static LLVMValueRef lane_numbers(struct tn_emit *e) {
  LLVMValueRef *number = TN_NEW_ARRAY(e->arena, LLVMValueRef, e->lanes);
  for (int i = 0; i < e->lanes; i++)
    number[i] = tn_emit_index(e, i);
  return LLVMConstVector(number, (unsigned)e->lanes);
}

static LLVMValueRef scaled(struct tn_emit *e, LLVMValueRef v, int64_t coef) {
  if (coef == 1)
    return v;
  LLVMTypeRef type = LLVMTypeOf(v);
  LLVMValueRef factor = tn_emit_index(e, coef);
  if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
    factor = tn_emit_splat(e, factor);
  return LLVMBuildNSWMul(e->b, v, factor, "");
}

/* base + sum coef * term at lane 0; terms with the lane variable left out when `lane_zero` (their stride over
 * the lanes is known, so only the variable itself occurs). */
static LLVMValueRef affine_scalar(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x,
                                  bool lane_zero) {
  if (x->kind != TN_EX_AFFINE) {
    if (lane_zero && moves_with_lanes(e, x))
      return tn_emit_index(e, 0);
    return tn_emit_expr(e, p, x).v;
  }
  LLVMValueRef sum = NULL;
  for (int i = 0; i < x->affine.count; i++) {
    if (lane_zero && moves_with_lanes(e, x->affine.term[i]))
      continue;
    LLVMValueRef t = scaled(e, tn_emit_expr(e, p, x->affine.term[i]).v, x->affine.coef[i]);
    sum = sum ? LLVMBuildNSWAdd(e->b, sum, t, "") : t;
  }
  LLVMValueRef base = tn_emit_index(e, x->affine.base);
  if (!sum)
    return base;
  return x->affine.base ? LLVMBuildNSWAdd(e->b, sum, base, "") : sum;
}

LLVMValueRef tn_emit_first_position(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  return affine_scalar(e, p, x, true);
}

static struct tn_val emit_affine(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  if (!over_lanes(e, x) && !reads_lanes(e, p, x))
    return scalar(affine_scalar(e, p, x, false));
  LLVMValueRef uniform = tn_emit_index(e, x->affine.base), varying = NULL;
  for (int i = 0; i < x->affine.count; i++) {
    struct tn_val t = tn_emit_expr(e, p, x->affine.term[i]);
    LLVMValueRef s = scaled(e, t.v, x->affine.coef[i]);
    if (!t.vec)
      uniform = LLVMBuildNSWAdd(e->b, uniform, s, "");
    else
      varying = varying ? LLVMBuildNSWAdd(e->b, varying, s, "") : s;
  }
  if (!varying)
    return scalar(uniform);
  return vector(LLVMBuildNSWAdd(e->b, varying, tn_emit_splat(e, uniform), ""));
}

/* ---- memory ------------------------------------------------------------------------------------------------
 */

static int buffer_number(const struct tn_emit *e, const struct tn_buf *buf) {
  for (size_t i = 0; i < e->nest->bufs.count; i++)
    if (e->nest->bufs.at[i] == buf)
      return (int)i;
  tn_bug(tn_arena_ctx(e->arena), "kernel '%s' uses buffer '%s' of another one", e->nest->name, buf->name);
}

LLVMValueRef tn_emit_address(struct tn_emit *e, const struct tn_buf *buf, LLVMValueRef index) {
  return LLVMBuildGEP2(e->b, tn_emit_storage(e, buf->dtype), e->buffer[buffer_number(e, buf)], &index, 1, "");
}

LLVMValueRef tn_emit_from_storage(struct tn_emit *e, enum tn_dtype dtype, LLVMValueRef v, bool vec) {
  LLVMTypeRef type = tn_emit_widen(e, tn_emit_type(e, dtype), vec);
  switch (dtype) {
  case TN_BOOL:
    return LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
  case TN_F16:
    return tn_emit_half_to_float(e, v);
  case TN_BF16: {
    LLVMTypeRef wide = tn_emit_widen(e, LLVMInt32TypeInContext(e->c), vec);
    LLVMValueRef sixteen = LLVMConstInt(LLVMInt32TypeInContext(e->c), 16, 0);
    v = LLVMBuildZExt(e->b, v, wide, "");
    v = LLVMBuildShl(e->b, v, vec ? tn_emit_splat(e, sixteen) : sixteen, "");
    return LLVMBuildBitCast(e->b, v, type, "");
  }
  default:
    return v;
  }
}

LLVMValueRef tn_emit_to_storage(struct tn_emit *e, enum tn_dtype dtype, LLVMValueRef v, bool vec) {
  LLVMTypeRef type = tn_emit_widen(e, tn_emit_storage(e, dtype), vec);
  switch (dtype) {
  case TN_BOOL:
    return LLVMBuildZExt(e->b, v, type, "");
  case TN_F16:
    return tn_emit_float_to_half(e, v);
  case TN_BF16: {
    LLVMTypeRef wide = tn_emit_widen(e, LLVMInt32TypeInContext(e->c), vec);
    LLVMValueRef sixteen = LLVMConstInt(LLVMInt32TypeInContext(e->c), 16, 0);
    v = LLVMBuildBitCast(e->b, v, wide, "");
    v = LLVMBuildLShr(e->b, v, vec ? tn_emit_splat(e, sixteen) : sixteen, "");
    return LLVMBuildTrunc(e->b, v, type, "");
  }
  default:
    return v;
  }
}

static unsigned align_of(const struct tn_emit *e, enum tn_dtype dtype) {
  (void)e;
  return (unsigned)tn_dtype_size(dtype);
}

static LLVMValueRef load_one(struct tn_emit *e, const struct tn_buf *buf, LLVMValueRef index) {
  LLVMValueRef v = LLVMBuildLoad2(e->b, tn_emit_storage(e, buf->dtype), tn_emit_address(e, buf, index), "");
  LLVMSetAlignment(v, align_of(e, buf->dtype));
  return v;
}

/* `bytes` bytes, in elements of 8 or 16 bits, from index on, as an i32. */
static LLVMValueRef load_bytes(struct tn_emit *e, const struct tn_buf *buf, LLVMValueRef index, int bytes) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  int size = (int)tn_dtype_size(buf->dtype);
  LLVMValueRef v = NULL;
  for (int done = 0; done < bytes;) {
    int some = bytes - done >= 4 ? 4 : bytes - done >= 2 ? 2 : 1;
    LLVMTypeRef type = LLVMIntTypeInContext(e->c, (unsigned)some * 8);
    LLVMValueRef at = done ? LLVMBuildNSWAdd(e->b, index, tn_emit_index(e, done / size), "") : index;
    LLVMValueRef part = LLVMBuildLoad2(e->b, type, tn_emit_address(e, buf, at), "");
    LLVMSetAlignment(part, (unsigned)size);
    part = some == 4 ? part : LLVMBuildZExt(e->b, part, i32, "");
    if (done)
      part = LLVMBuildShl(e->b, part, LLVMConstInt(i32, (unsigned)done * 8, 0), "");
    v = v ? LLVMBuildOr(e->b, v, part, "") : part;
    done += some;
  }
  return v;
}

/* The scalar that load expression x has at an index. */
static LLVMValueRef load_at(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef index) {
  return x->load.bytes ? load_bytes(e, x->load.buf, index, x->load.bytes) : load_one(e, x->load.buf, index);
}

/* A masked load or store; arg[pointer] is the address, which the alignment follows: as an argument of its own
 * up to LLVM 21, as an attribute since. */
static LLVMValueRef masked_access(struct tn_emit *e, const char *intrinsic, LLVMTypeRef type, LLVMValueRef *arg,
                                  unsigned count, unsigned pointer, unsigned align) {
  LLVMTypeRef overload[2] = {type, LLVMTypeOf(arg[pointer])};
#if LLVM_VERSION_MAJOR >= 22
  LLVMValueRef call = tn_emit_call(e, intrinsic, overload, 2, arg, count);
  unsigned id = LLVMGetEnumAttributeKindForName("align", 5);
  LLVMAddCallSiteAttribute(call, pointer + 1, LLVMCreateEnumAttribute(e->c, id, align));
  return call;
#else
  LLVMValueRef all[4];
  for (unsigned i = 0, k = 0; i < count; i++) {
    all[k++] = arg[i];
    if (i == pointer)
      all[k++] = LLVMConstInt(LLVMInt32TypeInContext(e->c), align, 0);
  }
  return tn_emit_call(e, intrinsic, overload, 2, all, count + 1);
#endif
}

LLVMValueRef tn_emit_load_row(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef index,
                              LLVMValueRef mask) {
  const struct tn_buf *buf = x->load.buf;
  LLVMTypeRef type = tn_emit_widen(e, tn_emit_storage(e, x->dtype), true);
  LLVMValueRef at = tn_emit_address(e, buf, index);
  if (!mask) {
    LLVMValueRef v = LLVMBuildLoad2(e->b, type, at, "");
    LLVMSetAlignment(v, align_of(e, buf->dtype));
    return v;
  }
  return masked_access(e, "llvm.masked.load", type, (LLVMValueRef[]){at, mask, LLVMConstNull(type)}, 3, 0,
                       align_of(e, buf->dtype));
}

static LLVMValueRef reversed(struct tn_emit *e, LLVMValueRef v) {
  LLVMValueRef *number = TN_NEW_ARRAY(e->arena, LLVMValueRef, e->lanes);
  for (int i = 0; i < e->lanes; i++)
    number[i] = LLVMConstInt(LLVMInt32TypeInContext(e->c), (unsigned)(e->lanes - 1 - i), 0);
  return LLVMBuildShuffleVector(e->b, v, LLVMGetUndef(LLVMTypeOf(v)),
                                LLVMConstVector(number, (unsigned)e->lanes), "");
}

/* Loads of all lanes in one instruction.  Positions in a buffer of fewer than 2^31 elements are taken as i32,
 * of which a register holds as many as of values. */
static LLVMValueRef gather_at_once(struct tn_emit *e, const struct tn_buf *buf, LLVMValueRef indices) {
  if (buf->count <= INT32_MAX)
    indices = LLVMBuildTrunc(e->b, indices, tn_emit_widen(e, LLVMInt32TypeInContext(e->c), true), "");
  LLVMTypeRef type = tn_emit_widen(e, tn_emit_storage(e, buf->dtype), true);
  LLVMValueRef all = LLVMConstAllOnes(tn_emit_widen(e, LLVMInt1TypeInContext(e->c), true));
  return masked_access(e, "llvm.masked.gather", type,
                       (LLVMValueRef[]){tn_emit_address(e, buf, indices), all, LLVMGetPoison(type)}, 3, 0,
                       align_of(e, buf->dtype));
}

/* One load a lane, at index[lane] or at first + stride * lane. */
static LLVMValueRef gather(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef indices, LLVMValueRef first,
                           int64_t stride) {
  const struct tn_buf *buf = x->load.buf;
  if (indices && e->target->gathers && !x->load.bytes && tn_dtype_size(buf->dtype) >= 4 && e->lanes >= 4)
    return gather_at_once(e, buf, indices);
  LLVMValueRef v = LLVMGetUndef(tn_emit_widen(e, tn_emit_storage(e, x->dtype), true));
  for (int i = 0; i < e->lanes; i++) {
    LLVMValueRef lane = LLVMConstInt(LLVMInt32TypeInContext(e->c), (unsigned)i, 0);
    LLVMValueRef index = indices ? LLVMBuildExtractElement(e->b, indices, lane, "")
                                 : LLVMBuildNSWAdd(e->b, first, tn_emit_index(e, stride * i), "");
    v = LLVMBuildInsertElement(e->b, v, load_at(e, x, index), lane, "");
  }
  return v;
}

static struct tn_val emit_load(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  const struct tn_expr *index = x->load.index, *guard = x->load.guard;
  LLVMValueRef zero = tn_emit_index(e, 0);
  bool found = reads_lanes(e, p, index); /* the position is no sum of loop variables */
  if (!over_lanes(e, x) && !found && !reads_lanes(e, p, guard)) {
    LLVMValueRef at = affine_scalar(e, p, index, false);
    if (!guard)
      return scalar(tn_emit_from_storage(e, x->dtype, load_at(e, x, at), false));
    /* Where the guard is false element 0 is read and dropped: no branch. */
    LLVMValueRef ok = tn_emit_expr(e, p, guard).v;
    LLVMValueRef v = load_at(e, x, LLVMBuildSelect(e->b, ok, at, zero, ""));
    v = LLVMBuildSelect(e->b, ok, v, LLVMConstNull(LLVMTypeOf(v)), "");
    return scalar(tn_emit_from_storage(e, x->dtype, v, false));
  }
  if (!x->load.bytes && !found && tn_emit_load_block(e, p, x))
    return p->memo[x->id];
  struct tn_val ok = guard ? tn_emit_expr(e, p, guard) : scalar(NULL);
  LLVMValueRef constant = guard && !ok.vec ? LLVMIsAConstantInt(ok.v) : NULL; /* in an unrolled window */
  if (constant && !LLVMConstIntGetZExtValue(constant))
    return vector(LLVMConstNull(tn_emit_widen(e, tn_emit_type(e, x->dtype), true)));
  LLVMValueRef mask = guard && !constant ? tn_emit_widened(e, ok) : NULL;
  int64_t stride;
  LLVMValueRef v;
  bool known = !found && tn_ex_stride(index, e->lane, &stride);
  bool apart = known && stride >= 2 && stride <= TN_MOST_APART && e->lanes >= 4 && !x->load.bytes;
  bool row = known && (stride == 1 || (stride == -1 && !mask));
  if (x->load.bytes)
    row = known && stride * (int64_t)tn_dtype_size(x->load.buf->dtype) == 4 && x->load.bytes == 4;
  if (row) {
    LLVMValueRef at = affine_scalar(e, p, index, true);
    if (stride < 0)
      at = LLVMBuildNSWSub(e->b, at, tn_emit_index(e, e->lanes - 1), "");
    v = tn_emit_load_row(e, x, at, mask);
    if (stride < 0)
      v = reversed(e, v);
  } else if (known && !mask) {
    LLVMValueRef first = affine_scalar(e, p, index, true);
    if (stride == 0)
      v = tn_emit_splat(e, load_at(e, x, first));
    else if (apart)
      v = tn_emit_load_apart(e, x, first, stride, NULL);
    else
      v = gather(e, x, NULL, first, stride);
  } else if (apart && e->target->masked) {
    v = tn_emit_load_apart(e, x, affine_scalar(e, p, index, true), stride, mask);
  } else if (!known && !found && (v = tn_emit_load_picked(e, p, x))) {
    if (mask)
      v = LLVMBuildSelect(e->b, mask, v, LLVMConstNull(LLVMTypeOf(v)), "");
  } else {
    LLVMValueRef at = tn_emit_widened(e, tn_emit_expr(e, p, index));
    if (mask)
      at = LLVMBuildSelect(e->b, mask, at, LLVMConstNull(LLVMTypeOf(at)), "");
    v = gather(e, x, at, NULL, 0);
    if (mask)
      v = LLVMBuildSelect(e->b, mask, v, LLVMConstNull(LLVMTypeOf(v)), "");
  }
  return vector(tn_emit_from_storage(e, x->dtype, v, true));
}

void tn_emit_store(struct tn_emit *e, struct tn_point *p, const struct tn_stmt *st) {
  const struct tn_buf *buf = st->store.buf;
  const struct tn_expr *index = st->store.index, *guard = st->store.guard;
  struct tn_val value = tn_emit_expr(e, p, st->store.value);
  bool found = reads_lanes(e, p, index);
  if (!e->lane || (!over_lanes(e, index) && !value.vec && !found)) {
    LLVMValueRef at = affine_scalar(e, p, index, false);
    LLVMBasicBlockRef after = NULL;
    LLVMValueRef v = tn_emit_to_storage(e, buf->dtype, value.v, false);
    if (guard) {
      LLVMValueRef ok = tn_emit_expr(e, p, guard).v;
      LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(e->c, e->function, "store");
      after = LLVMAppendBasicBlockInContext(e->c, e->function, "stored");
      LLVMBuildCondBr(e->b, ok, then, after);
      LLVMPositionBuilderAtEnd(e->b, then);
    }
    LLVMValueRef store = LLVMBuildStore(e->b, v, tn_emit_address(e, buf, at));
    LLVMSetAlignment(store, align_of(e, buf->dtype));
    if (after) {
      LLVMBuildBr(e->b, after);
      LLVMPositionBuilderAtEnd(e->b, after);
      e->stamp++; /* what was emitted before the branch is still valid, what came inside is not */
    }
    return;
  }
  LLVMValueRef v = tn_emit_to_storage(e, buf->dtype, tn_emit_widened(e, value), true);
  LLVMValueRef mask = guard ? tn_emit_widened(e, tn_emit_expr(e, p, guard)) : NULL;
  int64_t stride;
  bool known = !found && tn_ex_stride(index, e->lane, &stride);
  if (known && (stride == 1 || (stride == -1 && !mask))) {
    LLVMValueRef at = affine_scalar(e, p, index, true);
    if (stride < 0) {
      at = LLVMBuildNSWSub(e->b, at, tn_emit_index(e, e->lanes - 1), "");
      v = reversed(e, v);
    }
    at = tn_emit_address(e, buf, at);
    if (!mask) {
      LLVMSetAlignment(LLVMBuildStore(e->b, v, at), align_of(e, buf->dtype));
      return;
    }
    masked_access(e, "llvm.masked.store", LLVMTypeOf(v), (LLVMValueRef[]){v, at, mask}, 3, 1,
                  align_of(e, buf->dtype));
    return;
  }
  LLVMValueRef indices = known ? NULL : tn_emit_widened(e, tn_emit_expr(e, p, index));
  LLVMValueRef first = known ? affine_scalar(e, p, index, true) : NULL;
  for (int i = 0; i < e->lanes; i++) {
    LLVMValueRef lane = LLVMConstInt(LLVMInt32TypeInContext(e->c), (unsigned)i, 0);
    LLVMValueRef at = known ? LLVMBuildNSWAdd(e->b, first, tn_emit_index(e, stride * i), "")
                            : LLVMBuildExtractElement(e->b, indices, lane, "");
    LLVMValueRef one = LLVMBuildExtractElement(e->b, v, lane, "");
    LLVMBasicBlockRef after = NULL;
    if (mask) {
      LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(e->c, e->function, "store");
      after = LLVMAppendBasicBlockInContext(e->c, e->function, "stored");
      LLVMBuildCondBr(e->b, LLVMBuildExtractElement(e->b, mask, lane, ""), then, after);
      LLVMPositionBuilderAtEnd(e->b, then);
    }
    LLVMSetAlignment(LLVMBuildStore(e->b, one, tn_emit_address(e, buf, at)), align_of(e, buf->dtype));
    if (after) {
      LLVMBuildBr(e->b, after);
      LLVMPositionBuilderAtEnd(e->b, after);
    }
  }
}

/* ---- all expressions ---------------------------------------------------------------------------------------
 */

static struct tn_val emit_var(struct tn_emit *e, struct tn_point *p, const struct tn_var *var) {
  if (var == e->lane)
    return vector(lane_numbers(e));
  struct tn_val v = p->var[var->id];
  if (!v.v)
    tn_bug(tn_arena_ctx(e->arena), "kernel '%s' reads variable %s%d where it has no value", e->nest->name,
           var->name, var->id);
  if (!var->is_set)
    return v;
  LLVMTypeRef type = tn_emit_widen(e, tn_emit_type(e, var->dtype), v.vec);
  return (struct tn_val){LLVMBuildLoad2(e->b, type, v.v, ""), v.vec};
}

/* Functions that take tens of instructions. */
static bool is_costly(enum tn_op op) {
  return (op >= TN_EXP && op <= TN_SIGMOID) || op == TN_POW;
}

/* A costly function of scalars, one for each iteration of the tile, is done for all of them at once, in lanes;
 * the results are left in the memos of the points of one tile.  False where that is not so. */
static bool emit_in_tile(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  if (!is_costly(x->op.op) || x->dtype != TN_F32 || p == &e->first || over_lanes(e, x) || !e->tile ||
      e->tile->extent < 2 || e->tile->extent * 4 > e->target->vector_bytes)
    return false;
  struct tn_point *head = tn_emit_tile_head(e, p);
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  int rows = (int)e->tile->extent, before = e->lanes, lanes = 1;
  while (lanes < rows)
    lanes *= 2;
  LLVMValueRef arg[3] = {0};
  for (int i = 0; i < x->op.argc; i++) {
    arg[i] = LLVMGetUndef(LLVMVectorType(LLVMFloatTypeInContext(e->c), (unsigned)lanes));
    for (int r = 0; r < lanes; r++) { /* the first row's once more where there is none */
      struct tn_val one = tn_emit_expr(e, &head[r < rows ? r : 0], x->op.arg[i]);
      if (one.vec) /* sums of their own in each lane */
        return false;
      arg[i] = LLVMBuildInsertElement(e->b, arg[i], one.v, LLVMConstInt(i32, (unsigned)r, 0), "");
    }
  }
  e->lanes = lanes;
  LLVMValueRef all = tn_emit_op(e, x->op.op, x->dtype, x->dtype, x->op.flags, arg);
  e->lanes = before;
  for (int r = 0; r < rows; r++) {
    LLVMValueRef one = LLVMBuildExtractElement(e->b, all, LLVMConstInt(i32, (unsigned)r, 0), "");
    head[r].memo[x->id] = scalar(one);
    head[r].stamp[x->id] = e->stamp;
  }
  return true;
}

static struct tn_val emit_op(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  if (emit_in_tile(e, p, x))
    return p->memo[x->id];
  struct tn_val arg[3] = {0};
  double zero;
  const struct tn_expr *rounded = tn_quantized(e, x, &zero);
  if (rounded) {
    struct tn_val v = tn_emit_expr(e, p, rounded);
    if (v.vec)
      return (struct tn_val){tn_emit_quantized(e, x->dtype, v.v, zero), true};
  }
  bool vec = false;
  for (int i = 0; i < x->op.argc; i++) {
    arg[i] = tn_emit_expr(e, p, x->op.arg[i]);
    vec |= arg[i].vec;
  }
  LLVMValueRef v[3] = {0};
  for (int i = 0; i < x->op.argc; i++) {
    bool keep = x->op.op == TN_SELECT && i == 0 && !arg[0].vec; /* a uniform condition selects whole vectors */
    v[i] = vec && !keep ? tn_emit_widened(e, arg[i]) : arg[i].v;
  }
  enum tn_dtype from = x->op.arg[x->op.op == TN_SELECT]->dtype;
  if (x->op.op == TN_DIV && vec) {
    LLVMValueRef q = tn_emit_quotient(e, x, v[0]);
    if (q)
      return (struct tn_val){q, true};
  }
  /* A floor quotient or remainder of a position that is never negative is an unsigned one. */
  if (x->dtype == TN_INDEX && (x->op.op == TN_DIV || x->op.op == TN_MOD) && x->op.arg[0]->lo >= 0) {
    LLVMValueRef q =
        x->op.op == TN_DIV ? LLVMBuildUDiv(e->b, v[0], v[1], "") : LLVMBuildURem(e->b, v[0], v[1], "");
    return (struct tn_val){q, vec};
  }
  return (struct tn_val){tn_emit_op(e, x->op.op, from, x->dtype, x->op.flags, v), vec};
}

struct tn_val tn_emit_expr(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  if (!(x->uses & e->tiled))
    p = &e->first;
  if (p->stamp[x->id] == e->stamp)
    return p->memo[x->id];
  struct tn_val v = {0};
  switch (x->kind) {
  case TN_EX_INT:
    v = scalar(x->dtype == TN_INDEX ? tn_emit_index(e, x->i)
                                    : LLVMConstInt(tn_emit_type(e, x->dtype), (unsigned long long)x->i, 1));
    break;
  case TN_EX_FLOAT:
    v = scalar(LLVMConstReal(tn_emit_type(e, x->dtype), x->f));
    break;
  case TN_EX_VAR:
    v = emit_var(e, p, x->var);
    break;
  case TN_EX_AFFINE:
    v = emit_affine(e, p, x);
    break;
  case TN_EX_LOAD:
    v = emit_load(e, p, x);
    break;
  case TN_EX_OP:
    v = emit_op(e, p, x);
    break;
  }
  p->memo[x->id] = v;
  p->stamp[x->id] = e->stamp;
  return v;
}
