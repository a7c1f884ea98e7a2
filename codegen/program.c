/* The program around the kernels: kernel functions (equal ones emitted once), the run function with its control
 * flow, and the descriptor of runtime/tenon.h. */
#include "codegen/emit.h"
#include "codegen/internal.h"
#include "codegen/lower.h"

#include <ctype.h>
#include <inttypes.h>

char *tn_c_name(tn_arena *arena, const char *name) {
  struct tn_str s;
  tn_str_init(&s, arena);
  if (!*name || isdigit((unsigned char)*name))
    tn_str_add(&s, "_");
  for (const char *c = name; *c; c++)
    tn_str_add(&s, "%c", isalnum((unsigned char)*c) && (unsigned char)*c < 128 ? *c : '_');
  return s.at;
}

/* ---- building the run function -----------------------------------------------------------------------------
 */

struct emitted {
  struct tn_hash key;
  LLVMValueRef function;
};

struct program {
  struct tn_codegen *cg;
  tn_arena *arena;
  LLVMBuilderRef b;
  LLVMValueRef run;      /* the function being built: NAME_run, or with threads NAME_run_parallel */
  LLVMValueRef parallel; /* its argument, NULL without threads */
  LLVMValueRef arena_ptr, weights;
  struct tn_scratch *scratch;
  LLVMValueRef *input, *output;
  LLVMTypeRef i8, i32, i64, pointer;
  TN_VEC(struct emitted) kernels;
  TN_VEC(struct tn_build_kernel) rows;
  int64_t trips; /* product of the known trip counts around */
};

static LLVMValueRef constant_i64(struct program *p, int64_t v) {
  return LLVMConstInt(p->i64, (unsigned long long)v, 1);
}

static LLVMValueRef offset_ptr(struct program *p, LLVMValueRef base, int64_t offset) {
  LLVMTypeRef index = LLVMIntTypeInContext(p->cg->part[0].c, (unsigned)p->cg->target.pointer_bits);
  LLVMValueRef at = LLVMConstInt(index, (unsigned long long)offset, 1);
  return offset ? LLVMBuildGEP2(p->b, p->i8, base, &at, 1, "") : base;
}

static LLVMValueRef weight_ptr(struct program *p, const struct tn_tensor *tensor, bool own) {
  return offset_ptr(p, p->weights, tn_weights_place(&p->cg->weights, tensor->data, tensor->bytes, own));
}

static LLVMValueRef buffer_ptr(struct program *p, const struct tn_value *v) {
  switch (v->storage.place) {
  case TN_IN_INPUT:
    return p->input[v->storage.index];
  case TN_IN_OUTPUT:
    return p->output[v->storage.index];
  case TN_IN_ARENA:
    return offset_ptr(p, p->arena_ptr, v->storage.index);
  case TN_IN_WEIGHTS: {
    const struct tn_value *source = v; /* a view's storage is that of the constant it views */
    while (source->def && source->def->op == TN_RESHAPE)
      source = source->def->in[0];
    const struct tn_tensor *t = tn_value_tensor(source);
    if (t)
      return weight_ptr(p, t, false);
    break;
  }
  case TN_NOWHERE:
    break;
  }
  tn_bug(p->cg->ctx, "value '%s' has no storage at code generation", v->name);
}

static LLVMValueRef value_ptr(struct program *p, const struct tn_value *v) {
  LLVMValueRef buffer = buffer_ptr(p, v);
  const struct tn_window *window = v->storage.window;
  return window ? offset_ptr(p, buffer, window->offset * (int64_t)tn_dtype_size(v->type.dtype)) : buffer;
}

static bool same_storage(const struct tn_value *a, const struct tn_value *b) {
  return a->storage.place == b->storage.place && a->storage.index == b->storage.index;
}

static bool in_arena(const struct tn_value *v) {
  return v->storage.place == TN_IN_ARENA;
}

/* Two windows of one buffer that share no element.  The strides, where each is a multiple of the next, cut a
 * position into digits; a window whose digits do not run over is a box of digits, and boxes part in some dim.
 */
static bool disjoint(const struct tn_value *a, const struct tn_value *b) {
  const struct tn_window *x = a->storage.window, *y = b->storage.window;
  if (!x || !y || a->type.rank != b->type.rank ||
      memcmp(x->stride, y->stride, (size_t)a->type.rank * sizeof *x->stride) != 0)
    return false;
  int64_t at = x->offset, other = y->offset;
  bool apart = false;
  for (int d = 0; d < a->type.rank; d++) {
    int64_t stride = x->stride[d], i = at / stride, k = other / stride, i_end = i + a->type.dim[d],
            k_end = k + b->type.dim[d];
    if (d) {
      int64_t radix = x->stride[d - 1] / stride;
      if (x->stride[d - 1] % stride || i_end > radix || k_end > radix)
        return false;
    }
    apart |= i_end <= k || k_end <= i;
    at %= stride;
    other %= stride;
  }
  return apart;
}

static int64_t bytes_of(struct program *p, const struct tn_value *v) {
  int64_t bytes;
  if (!tn_type_bytes(&v->type, &bytes))
    tn_bug(p->cg->ctx, "value '%s' reached code generation without a static shape", v->name);
  return bytes;
}

static void copy_bytes(struct program *p, LLVMValueRef to, LLVMValueRef from, int64_t bytes) {
  if (bytes > 0)
    LLVMBuildMemMove(p->b, to, 1, from, 1,
                     LLVMConstInt(LLVMIntTypeInContext(p->cg->part[0].c, (unsigned)p->cg->target.pointer_bits),
                                  (unsigned long long)bytes, 0));
}

static void copy_value(struct program *p, const struct tn_value *to, const struct tn_value *from) {
  if (!same_storage(to, from))
    copy_bytes(p, value_ptr(p, to), value_ptr(p, from), bytes_of(p, from));
}

static void call_hook(struct program *p, int kernel) {
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(p->cg->part[0].c), &p->i32, 1, 0);
  LLVMValueRef hook = LLVMGetNamedFunction(p->cg->part[0].m, "tenon_profile_hook");
  if (!hook)
    hook = LLVMAddFunction(p->cg->part[0].m, "tenon_profile_hook", type);
  LLVMValueRef number = LLVMConstInt(p->i32, (unsigned)kernel, 0);
  LLVMBuildCall2(p->b, type, hook, &number, 1, "");
}

static void add_attribute(LLVMContextRef c, LLVMValueRef f, const char *name) {
  unsigned id = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(c, id, 0));
}

static void add_string_attribute(LLVMContextRef c, LLVMValueRef f, const char *key, const char *value) {
  LLVMAddAttributeAtIndex(
      f, LLVMAttributeFunctionIndex,
      LLVMCreateStringAttribute(c, key, (unsigned)strlen(key), value, (unsigned)strlen(value)));
}

/* Every function: its cpu, its section, and a report of its frame (see llvm.c). */
static void dress_function(struct tn_codegen *cg, LLVMContextRef c, LLVMValueRef f) {
  size_t length;
  const char *name = LLVMGetValueName2(f, &length);
  if (*cg->target.cpu)
    add_string_attribute(c, f, "target-cpu", cg->target.cpu);
  if (*cg->target.features)
    add_string_attribute(c, f, "target-features", cg->target.features);
  add_string_attribute(c, f, "warn-stack-size", "0");
  add_attribute(c, f, "nounwind");
  if (cg->target.small)
    add_attribute(c, f, "optsize");
  LLVMSetSection(f, tn_printf(cg->arena, ".text.%s", name));
}

static int64_t count_instructions(LLVMValueRef function) {
  int64_t count = 0;
  for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b; b = LLVMGetNextBasicBlock(b))
    for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
      count++;
  return count;
}

/* The kernel's function, as the run function calls it. */
static LLVMValueRef add_kernel(struct tn_codegen *cg, const struct tn_nest *nest, const char *symbol,
                               const bool *noalias) {
  struct tn_part *part = tn_llvm_least_part(cg);
  tn_arena *scratch = tn_arena_create(cg->ctx);
  LLVMValueRef f = tn_emit_nest(scratch, &cg->target, part->m, nest, symbol, noalias);
  tn_arena_destroy(scratch);
  add_attribute(part->c, f, "noinline");
  if (part == cg->part) {
    LLVMSetLinkage(f, LLVMInternalLinkage);
    return f;
  }
  /* Seen by the other parts, and by nobody else once they are one object. */
  part->work += count_instructions(f);
  LLVMSetVisibility(f, LLVMHiddenVisibility);
  LLVMContextRef c = cg->part[0].c;
  unsigned count = LLVMCountParams(f);
  LLVMTypeRef *types = TN_NEW_ARRAY(cg->arena, LLVMTypeRef, count + 1);
  for (unsigned i = 0; i < count; i++)
    types[i] = LLVMPointerTypeInContext(c, 0);
  f = LLVMAddFunction(cg->part[0].m, symbol, LLVMFunctionType(LLVMVoidTypeInContext(c), types, count, 0));
  LLVMSetVisibility(f, LLVMHiddenVisibility);
  add_attribute(c, f, "nounwind");
  return f;
}

static bool is_local(const struct tn_buf *buf) {
  return buf->param < 0 && !buf->data;
}

static int64_t local_bytes(const struct tn_buf *buf) {
  return tn_round_up(buf->count * (int64_t)tn_dtype_size(buf->dtype), 64);
}

static bool emit_kernel(struct program *p, struct tn_node *node) {
  struct tn_codegen *cg = p->cg;
  struct tn_nest *nest = tn_lower_placed(p->arena, node);
  if (!nest)
    return false;
  if (!nest->body) /* all is where it should be */
    return true;
  if (nest->in_order && (cg->target.threads > 1 || !tn_order_holds(nest)))
    tn_bug(cg->ctx, "kernel '%s' would overwrite what it is still to read", node->name);
  if (cg->target.opt > 0)
    tn_schedule(&cg->target, nest);
  if (cg->target.threads > 1)
    tn_schedule_parallel(&cg->target, nest);
  unsigned count = (unsigned)nest->bufs.count;
  LLVMValueRef *args = TN_NEW_ARRAY(p->arena, LLVMValueRef, count + 1);
  bool *noalias = TN_NEW_ARRAY(p->arena, bool, count + 1);
  int64_t local = 0;
  for (unsigned i = 0; i < count; i++)
    local += is_local(nest->bufs.at[i]) ? local_bytes(nest->bufs.at[i]) : 0;
  int64_t place = local ? tn_scratch_place(p->scratch, node, local) : 0;
  if (place + local > cg->scratch_end)
    cg->scratch_end = place + local;
  for (unsigned i = 0; i < count; i++) {
    const struct tn_buf *buf = nest->bufs.at[i];
    noalias[i] = true;
    if (is_local(buf)) {
      args[i] = offset_ptr(p, p->arena_ptr, place);
      place += local_bytes(buf);
    } else if (buf->data) {
      args[i] = weight_ptr(p, buf->data, buf->param < 0); /* packed, for this nest */
    } else {
      args[i] = value_ptr(p, buf->value);
      for (unsigned k = 0; k < count; k++)
        if (k != i && nest->bufs.at[k]->value &&
            (nest->in_order ? in_arena(buf->value) && in_arena(nest->bufs.at[k]->value)
                            : same_storage(buf->value, nest->bufs.at[k]->value) &&
                                  !disjoint(buf->value, nest->bufs.at[k]->value)))
          noalias[i] = false;
    }
  }

  tn_str_add(&cg->nests, "%s\n", tn_nest_print(p->arena, nest));
  uint64_t alias_bits = 0;
  for (unsigned i = 0; i < count; i++)
    alias_bits = alias_bits * 31 + noalias[i];
  struct tn_hash key = tn_nest_key(p->arena, nest);
  key.low ^= alias_bits;
  LLVMValueRef function = NULL;
  for (size_t i = 0; i < p->kernels.count; i++)
    if (tn_hash_equal(p->kernels.at[i].key, key))
      function = p->kernels.at[i].function;
  if (!function) {
    const char *symbol = tn_printf(cg->arena, "%s_k%zu_%s", cg->module->name, p->kernels.count,
                                   tn_c_name(p->arena, node->name ? node->name : "kernel"));
    function = add_kernel(cg, nest, symbol, noalias);
    struct emitted e = {key, function};
    TN_PUSH(p->arena, &p->kernels, e);
  }
  args[count] = p->parallel;
  LLVMBuildCall2(p->b, LLVMGlobalGetValueType(function), function, args, LLVMCountParams(function), "");
  size_t length;
  struct tn_build_kernel row = {.symbol = LLVMGetValueName2(function, &length),
                                .node = node->name,
                                .flops = nest->flops,
                                .bytes = nest->bytes,
                                .written = nest->bytes_written,
                                .constant = nest->bytes_constant,
                                .macs = nest->macs,
                                .calls = p->trips};
  row.symbol = tn_strdup(cg->arena, row.symbol);
  if (cg->options.profile)
    call_hook(p, (int)p->rows.count);
  TN_PUSH(cg->arena, &p->rows, row);
  return true;
}

static bool emit_graph(struct program *p, struct tn_graph *graph);

static LLVMBasicBlockRef new_block(struct program *p, const char *name) {
  return LLVMAppendBasicBlockInContext(p->cg->part[0].c, p->run, name);
}

static bool emit_if(struct program *p, struct tn_node *node) {
  LLVMBasicBlockRef arm[2] = {new_block(p, "then"), new_block(p, "else")}, after = new_block(p, "after");
  LLVMValueRef cond = LLVMBuildLoad2(p->b, p->i8, value_ptr(p, node->in[0]), "");
  LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntNE, cond, LLVMConstNull(p->i8), ""), arm[0], arm[1]);
  for (int r = 0; r < 2; r++) {
    LLVMPositionBuilderAtEnd(p->b, arm[r]);
    if (!emit_graph(p, node->region[r]))
      return false;
    for (int i = 0; i < node->out_count; i++)
      copy_value(p, node->out[i], node->region[r]->outputs.at[i]);
    LLVMBuildBr(p->b, after);
  }
  LLVMPositionBuilderAtEnd(p->b, after);
  return true;
}

/* See the contract of the memory plan in passes/passes.h. */
static bool emit_loop(struct program *p, struct tn_node *node) {
  struct tn_graph *body = node->region[0];
  int carried = node->in_count - 2;
  for (int i = 0; i < carried; i++)
    copy_value(p, node->out[i], node->in[2 + i]);
  LLVMValueRef trip =
      node->in[0] ? LLVMBuildLoad2(p->b, p->i64, value_ptr(p, node->in[0]), "") : constant_i64(p, INT64_MAX);
  if (node->in[0])
    LLVMSetAlignment(trip, 1);
  LLVMValueRef cond_slot = value_ptr(p, body->inputs.at[1]);
  LLVMValueRef first =
      node->in[1] ? LLVMBuildLoad2(p->b, p->i8, value_ptr(p, node->in[1]), "") : LLVMConstInt(p->i8, 1, 0);
  LLVMBuildStore(p->b, first, cond_slot);
  LLVMBasicBlockRef before = LLVMGetInsertBlock(p->b), test = new_block(p, "test"),
                    inside = new_block(p, "body"), after = new_block(p, "after");
  LLVMBuildBr(p->b, test);
  LLVMPositionBuilderAtEnd(p->b, test);
  LLVMValueRef i = LLVMBuildPhi(p->b, p->i64, "iteration"), zero = constant_i64(p, 0);
  LLVMAddIncoming(i, &zero, &before, 1);
  LLVMValueRef go =
      LLVMBuildICmp(p->b, LLVMIntNE, LLVMBuildLoad2(p->b, p->i8, cond_slot, ""), LLVMConstNull(p->i8), "");
  go = LLVMBuildAnd(p->b, go, LLVMBuildICmp(p->b, LLVMIntSLT, i, trip, ""), "");
  LLVMBuildCondBr(p->b, go, inside, after);
  LLVMPositionBuilderAtEnd(p->b, inside);
  LLVMSetAlignment(LLVMBuildStore(p->b, i, value_ptr(p, body->inputs.at[0])), 1);
  int64_t known = tn_get_int(node, TN_LOOP_trip), trips = p->trips;
  p->trips = known > 0 ? trips * known : trips;
  if (!emit_graph(p, body))
    return false;
  p->trips = trips;
  LLVMTypeRef index = LLVMIntTypeInContext(p->cg->part[0].c, (unsigned)p->cg->target.pointer_bits);
  for (int k = carried; k < node->out_count; k++) {
    struct tn_value *row = body->outputs.at[1 + k];
    int64_t bytes = bytes_of(p, row);
    LLVMValueRef at = LLVMBuildIntCast2(p->b, i, index, 1, "");
    at = LLVMBuildMul(p->b, at, LLVMConstInt(index, (unsigned long long)bytes, 0), "");
    copy_bytes(p, LLVMBuildGEP2(p->b, p->i8, value_ptr(p, node->out[k]), &at, 1, ""), value_ptr(p, row), bytes);
  }
  copy_value(p, body->inputs.at[1], body->outputs.at[0]);
  for (int k = 0; k < carried; k++)
    copy_value(p, node->out[k], body->outputs.at[1 + k]);
  LLVMValueRef next = LLVMBuildAdd(p->b, i, constant_i64(p, 1), "");
  LLVMBasicBlockRef end = LLVMGetInsertBlock(p->b);
  LLVMAddIncoming(i, &next, &end, 1);
  LLVMBuildBr(p->b, test);
  LLVMPositionBuilderAtEnd(p->b, after);
  return true;
}

static bool emit_graph(struct program *p, struct tn_graph *graph) {
  int total = 0, done = 0;
  for (struct tn_node *n = graph->first; n; n = n->next)
    total++;
  for (struct tn_node *n = graph->first; n; n = n->next) {
    bool ok = true;
    if (n->op == TN_KERNEL)
      ok = emit_kernel(p, n);
    else if (n->op == TN_IF)
      ok = emit_if(p, n);
    else if (n->op == TN_LOOP)
      ok = emit_loop(p, n);
    else if (n->op != TN_CONSTANT && !(tn_op_info(n->op)->flags & TN_VIEW))
      tn_bug(p->cg->ctx, "node '%s' (%s) reached code generation outside a kernel", n->name,
             tn_op_info(n->op)->name);
    if (!ok)
      return false;
    done++;
    if (p->cg->options.progress && graph == p->cg->module->main)
      p->cg->options.progress(p->cg->options.user, "kernels", done, total);
  }
  return true;
}

/* ---- the function's entry ----------------------------------------------------------------------------------
 */

static void return_if(struct program *p, LLVMValueRef bad, int status) {
  LLVMBasicBlockRef fail = new_block(p, "fail"), go = new_block(p, "go");
  LLVMBuildCondBr(p->b, bad, fail, go);
  LLVMPositionBuilderAtEnd(p->b, fail);
  LLVMBuildRet(p->b, LLVMConstInt(p->i32, (unsigned long long)status, 1));
  LLVMPositionBuilderAtEnd(p->b, go);
}

static LLVMValueRef *load_pointers(struct program *p, LLVMValueRef array, const struct tn_value *const *values,
                                   size_t count) {
  LLVMValueRef *at = TN_NEW_ARRAY(p->arena, LLVMValueRef, count + 1);
  if (count)
    return_if(p, LLVMBuildIsNull(p->b, array, ""), -1);
  for (size_t i = 0; i < count; i++) {
    LLVMValueRef number = LLVMConstInt(p->i32, i, 0);
    at[i] = LLVMBuildLoad2(p->b, p->pointer, LLVMBuildGEP2(p->b, p->pointer, array, &number, 1, ""), "");
    if (bytes_of(p, values[i]) > 0)
      return_if(p, LLVMBuildIsNull(p->b, at[i], ""), -1);
  }
  return at;
}

/* NULL or not aligned to arena_align. */
static void check_pointer(struct program *p, LLVMValueRef pointer, int misaligned) {
  LLVMTypeRef index = LLVMIntTypeInContext(p->cg->part[0].c, (unsigned)p->cg->target.pointer_bits);
  return_if(p, LLVMBuildIsNull(p->b, pointer, ""), -1);
  LLVMValueRef low = LLVMBuildAnd(p->b, LLVMBuildPtrToInt(p->b, pointer, index, ""),
                                  LLVMConstInt(index, (unsigned)p->cg->facts.arena_align - 1, 0), "");
  return_if(p, LLVMBuildICmp(p->b, LLVMIntNE, low, LLVMConstNull(index), ""), misaligned);
}

/* The pointer that follows those of the inputs. */
static LLVMValueRef load_weights(struct program *p, size_t inputs) {
  LLVMValueRef number = LLVMConstInt(p->i32, inputs, 0), array = LLVMGetParam(p->run, 0);
  if (!inputs)
    return_if(p, LLVMBuildIsNull(p->b, array, ""), -1);
  return LLVMBuildLoad2(p->b, p->pointer, LLVMBuildGEP2(p->b, p->pointer, array, &number, 1, ""), "weights");
}

/* ---- the descriptor ----------------------------------------------------------------------------------------
 */

static LLVMValueRef add_constant(struct program *p, LLVMValueRef value) {
  LLVMValueRef g = LLVMAddGlobal(p->cg->part[0].m, LLVMTypeOf(value), "");
  LLVMSetInitializer(g, value);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMPrivateLinkage);
  return g;
}

static LLVMValueRef string_constant(struct program *p, const char *text) {
  LLVMValueRef g = add_constant(p, LLVMConstStringInContext2(p->cg->part[0].c, text, strlen(text), 0));
  LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
  return g;
}

static LLVMValueRef tensor_constant(struct program *p, const struct tn_value *v) {
  LLVMValueRef dims[TN_MAX_RANK];
  for (int d = 0; d < v->type.rank; d++)
    dims[d] = constant_i64(p, v->type.dim[d]);
  LLVMValueRef null = LLVMConstNull(p->pointer), scale = null, zero_point = null;
  const struct tn_quant *q = v->type.quant;
  if (q) {
    scale = add_constant(p, LLVMConstStringInContext2(p->cg->part[0].c, (const char *)q->scale,
                                                      (size_t)q->count * sizeof *q->scale, 1));
    zero_point = add_constant(p, LLVMConstStringInContext2(p->cg->part[0].c, (const char *)q->zero_point,
                                                           (size_t)q->count * sizeof *q->zero_point, 1));
    LLVMSetAlignment(scale, 4);
    LLVMSetAlignment(zero_point, 4);
  }
  LLVMValueRef field[] = {
      string_constant(p, v->name),
      LLVMConstInt(p->i32, (unsigned)v->type.dtype, 0),
      LLVMConstInt(p->i32, (unsigned)v->type.rank, 0),
      v->type.rank ? add_constant(p, LLVMConstArray2(p->i64, dims, (uint64_t)v->type.rank)) : null,
      constant_i64(p, bytes_of(p, v)),
      constant_i64(p, q ? q->count : 0),
      scale,
      zero_point,
  };
  return LLVMConstStructInContext(p->cg->part[0].c, field, TN_COUNT(field), 0);
}

static LLVMValueRef tensors_constant(struct program *p, struct tn_value *const *values, size_t count) {
  if (!count)
    return LLVMConstNull(p->pointer);
  LLVMValueRef *each = TN_NEW_ARRAY(p->arena, LLVMValueRef, count);
  for (size_t i = 0; i < count; i++)
    each[i] = tensor_constant(p, values[i]);
  return add_constant(p, LLVMConstArray2(LLVMTypeOf(each[0]), each, count));
}

/* NAME_run of a model with threads: all of it on the caller's. */
static LLVMValueRef emit_serial_run(struct program *p) {
  struct tn_codegen *cg = p->cg;
  LLVMTypeRef params[] = {p->pointer, p->pointer, p->pointer};
  LLVMValueRef f = LLVMAddFunction(cg->part[0].m, tn_printf(p->arena, "%s_run", cg->module->name),
                                   LLVMFunctionType(p->i32, params, 3, 0));
  LLVMPositionBuilderAtEnd(p->b, LLVMAppendBasicBlockInContext(cg->part[0].c, f, "entry"));
  LLVMValueRef args[] = {LLVMGetParam(f, 0), LLVMGetParam(f, 1), LLVMGetParam(f, 2), LLVMConstNull(p->pointer)};
  LLVMBuildRet(p->b, LLVMBuildCall2(p->b, LLVMGlobalGetValueType(p->run), p->run, args, 4, ""));
  return f;
}

static void emit_descriptor(struct program *p) {
  struct tn_codegen *cg = p->cg;
  struct tn_graph *g = cg->module->main;
  LLVMValueRef field[] = {
      LLVMConstInt(p->i32, 3, 0),
      LLVMConstInt(p->i32, (unsigned)cg->facts.arena_align, 0),
      string_constant(p, cg->module->name),
      string_constant(p, tn_hash_hex(p->arena, cg->facts.model_hash)),
      constant_i64(p, cg->facts.arena_bytes),
      constant_i64(p, cg->facts.weight_bytes),
      constant_i64(p, cg->facts.macs),
      LLVMConstInt(p->i32, g->inputs.count, 0),
      LLVMConstInt(p->i32, g->outputs.count, 0),
      tensors_constant(p, g->inputs.at, g->inputs.count),
      tensors_constant(p, g->outputs.at, g->outputs.count),
      p->parallel ? emit_serial_run(p) : p->run,
      p->parallel ? p->run : LLVMConstNull(p->pointer),
      cg->facts.weights_hash ? string_constant(p, cg->facts.weights_hash) : LLVMConstNull(p->pointer),
  };
  LLVMValueRef value = LLVMConstStructInContext(cg->part[0].c, field, TN_COUNT(field), 0);
  LLVMValueRef d =
      LLVMAddGlobal(cg->part[0].m, LLVMTypeOf(value), tn_printf(p->arena, "%s_model", cg->module->name));
  LLVMSetInitializer(d, value);
  LLVMSetGlobalConstant(d, 1);
}

/* ---- entry -------------------------------------------------------------------------------------------------
 */

static void sum_facts(struct program *p) {
  struct tn_build_facts *f = &p->cg->facts;
  struct tn_graph *g = p->cg->module->main;
  f->kernels = p->rows.at;
  f->kernel_count = (int)p->rows.count;
  f->kernel_distinct = (int)p->kernels.count;
  for (size_t i = 0; i < p->rows.count; i++) {
    f->macs += p->rows.at[i].macs * p->rows.at[i].calls;
    f->flops += p->rows.at[i].flops * p->rows.at[i].calls;
  }
  for (size_t i = 0; i < g->inputs.count; i++)
    f->io_bytes += bytes_of(p, g->inputs.at[i]);
  for (size_t i = 0; i < g->outputs.count; i++)
    f->io_bytes += bytes_of(p, g->outputs.at[i]);
  f->weight_bytes = p->cg->weights.bytes;
  f->arena_align = 64;
  f->arena_low_bound = p->cg->module->arena_low_bound;
  f->arena_bytes = tn_round_up(p->cg->module->arena_bytes, 64);
  if (p->cg->scratch_end > f->arena_bytes)
    f->arena_bytes = p->cg->scratch_end;
}

bool tn_emit_program(struct tn_codegen *cg) {
  struct program p = {.cg = cg, .arena = tn_arena_create(cg->ctx), .trips = 1};
  struct tn_graph *g = cg->module->main;
  p.i8 = LLVMInt8TypeInContext(cg->part[0].c);
  p.i32 = LLVMInt32TypeInContext(cg->part[0].c);
  p.i64 = LLVMInt64TypeInContext(cg->part[0].c);
  p.pointer = LLVMPointerTypeInContext(cg->part[0].c, 0);
  cg->weights.arena = cg->arena;
  LLVMTypeRef params[] = {p.pointer, p.pointer, p.pointer, p.pointer};
  bool threads = cg->target.threads > 1;
  const char *name = tn_printf(p.arena, threads ? "%s_run_parallel" : "%s_run", cg->module->name);
  p.run = LLVMAddFunction(cg->part[0].m, name, LLVMFunctionType(p.i32, params, threads ? 4 : 3, 0));
  p.parallel = threads ? LLVMGetParam(p.run, 3) : NULL;
  p.b = tn_llvm_builder(cg->arena, cg->part[0].c);
  LLVMPositionBuilderAtEnd(p.b, new_block(&p, "entry"));
  p.input =
      load_pointers(&p, LLVMGetParam(p.run, 0), (const struct tn_value *const *)g->inputs.at, g->inputs.count);
  p.output = load_pointers(&p, LLVMGetParam(p.run, 1), (const struct tn_value *const *)g->outputs.at,
                           g->outputs.count);
  p.arena_ptr = LLVMGetParam(p.run, 2);
  p.weights = cg->options.weights_apart ? load_weights(&p, g->inputs.count)
                                        : LLVMAddGlobal(cg->part[0].m, p.i8, "weights");
  LLVMBasicBlockRef checks = LLVMGetInsertBlock(p.b), start = new_block(&p, "start");
  LLVMPositionBuilderAtEnd(p.b, start);
  p.scratch = tn_scratch_create(p.arena, cg->module);
  bool ok = emit_graph(&p, g);
  if (ok) {
    LLVMBuildRet(p.b, LLVMConstInt(p.i32, 0, 0));
    sum_facts(&p);
    /* Only now is it known whether there is an arena to check. */
    LLVMPositionBuilderAtEnd(p.b, checks);
    if (cg->facts.arena_bytes > 0)
      check_pointer(&p, p.arena_ptr, -2);
    if (cg->options.weights_apart)
      check_pointer(&p, p.weights, -3);
    LLVMBuildBr(p.b, start);
    if (cg->options.weights_apart)
      ok = tn_weights_make_file(cg);
    else
      tn_weights_add(cg, p.weights);
    emit_descriptor(&p);
    for (int i = 0; i < cg->part_count; i++)
      for (LLVMValueRef f = LLVMGetFirstFunction(cg->part[i].m); f; f = LLVMGetNextFunction(f))
        if (!LLVMIsDeclaration(f))
          dress_function(cg, cg->part[i].c, f);
  }
  return ok;
}
