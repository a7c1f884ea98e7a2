/* LLVM's contexts, target machines, pass pipelines and error conventions, wrapped once.
 *
 * LLVM reports errors in three ways: a bool with a message, an LLVMErrorRef, and a diagnostic handler; all end
 * as diagnostics of the tn_ctx. */
#include "codegen/internal.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/IRReader.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <stdlib.h>

static const struct tn_where nowhere;

static bool failed(struct tn_codegen *cg, const char *doing, char *message) {
  tn_report(cg->ctx, TN_ERROR, nowhere, "%s: %s", doing, message ? message : "no reason given");
  LLVMDisposeMessage(message);
  return false;
}

static bool failed_error(struct tn_codegen *cg, const char *doing, LLVMErrorRef error) {
  char *message = LLVMGetErrorMessage(error);
  tn_report(cg->ctx, TN_ERROR, nowhere, "%s: %s", doing, message);
  LLVMDisposeErrorMessage(message);
  return false;
}

/* ---- the machine -------------------------------------------------------------------------------------------
 */

static void init_targets(void) {
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
  LLVMInitializeAllAsmParsers();
}

const char *tn_host_triple(tn_ctx *ctx) {
  char *t = LLVMGetDefaultTargetTriple();
  const char *copy = tn_strdup(tn_ctx_arena(ctx), t);
  LLVMDisposeMessage(t);
  return copy;
}

const char *tn_host_text(tn_ctx *ctx) {
  char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
  const char *text = tn_printf(tn_ctx_arena(ctx), "%s %s %s", tn_host_triple(ctx), cpu, features);
  LLVMDisposeMessage(cpu);
  LLVMDisposeMessage(features);
  return text;
}

const char *tn_llvm_version(void) {
  return LLVM_VERSION_STRING;
}

const void *tn_llvm_address(void) {
  union {
    void (*code)(unsigned *, unsigned *, unsigned *);
    const void *data;
  } address = {.code = LLVMGetVersion};
  return address.data;
}

static bool has_prefix(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *user) {
  struct tn_codegen *cg = user;
  char *text = LLVMGetDiagInfoDescription(info);
  /* Every function asks for a warning when its frame passes 0 bytes: that is how frames are measured. */
  const char *frame = strstr(text, "stack frame size (");
  if (frame) {
    int64_t bytes = strtoll(frame + strlen("stack frame size ("), NULL, 10);
    if (bytes > cg->stack_bytes)
      cg->stack_bytes = bytes;
  } else if (LLVMGetDiagInfoSeverity(info) == LLVMDSError) {
    tn_report(cg->ctx, TN_ERROR, nowhere, "LLVM: %s", text);
  }
  LLVMDisposeMessage(text);
}

static void dispose_builder(void *builder) {
  LLVMDisposeBuilder(builder);
}

LLVMBuilderRef tn_llvm_builder(tn_arena *arena, LLVMContextRef c) {
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  tn_ctx_cleanup(tn_arena_ctx(arena), dispose_builder, b);
  return b;
}

static void close_llvm(void *object) {
  struct tn_codegen *cg = object;
  if (cg->jit)
    LLVMOrcDisposeLLJIT(cg->jit);
  if (cg->layout)
    LLVMDisposeTargetData(cg->layout);
  if (cg->machine)
    LLVMDisposeTargetMachine(cg->machine);
  if (cg->m)
    LLVMDisposeModule(cg->m);
  if (cg->c)
    LLVMContextDispose(cg->c);
}

/* Functions that multiply, add, round and convert; their assembly shows which registers and instructions the
 * cpu has. */
static const char probe_text[] =
    "define void @probe(ptr %p, ptr %q) {\n"
    "  %a = load <16 x float>, ptr %p, align 4\n"
    "  %b = load <16 x float>, ptr %q, align 4\n"
    "  %c = call <16 x float> @llvm.fma.v16f32(<16 x float> %a, <16 x float> %b, <16 x float> %a)\n"
    "  store <16 x float> %c, ptr %p, align 4\n"
    "  ret void\n}\n"
    "define void @probe_add(ptr %p, ptr %q) {\n" /* vectors without a fused multiply-add */
    "  %a = load <16 x float>, ptr %p, align 4\n"
    "  %b = load <16 x float>, ptr %q, align 4\n"
    "  %c = fadd <16 x float> %a, %b\n"
    "  store <16 x float> %c, ptr %p, align 4\n"
    "  ret void\n}\n"
    "define float @probe_round(float %x) {\n"
    "  %r = call float @llvm.roundeven.f32(float %x)\n"
    "  ret float %r\n}\n"
    "define float @probe_half(half %x) {\n"
    "  %r = fpext half %x to float\n"
    "  ret float %r\n}\n"
    "define float @probe_float(float %x) {\n"
    "  %r = fmul float %x, %x\n"
    "  ret float %r\n}\n"
    "define double @probe_double(double %x) {\n"
    "  %r = fmul double %x, %x\n"
    "  ret double %r\n}\n"
    "define i32 @probe_dot_s(ptr %p, ptr %q) {\n"
    "  %a = load <16 x i8>, ptr %p, align 1\n"
    "  %b = load <16 x i8>, ptr %q, align 1\n"
    "  %x = sext <16 x i8> %a to <16 x i32>\n"
    "  %y = sext <16 x i8> %b to <16 x i32>\n"
    "  %m = mul <16 x i32> %x, %y\n"
    "  %r = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %m)\n"
    "  ret i32 %r\n}\n"
    "define i32 @probe_dot_u(ptr %p, ptr %q) {\n"
    "  %a = load <16 x i8>, ptr %p, align 1\n"
    "  %b = load <16 x i8>, ptr %q, align 1\n"
    "  %x = zext <16 x i8> %a to <16 x i32>\n"
    "  %y = sext <16 x i8> %b to <16 x i32>\n"
    "  %m = mul <16 x i32> %x, %y\n"
    "  %r = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %m)\n"
    "  ret i32 %r\n}\n"
    "define void @probe_words(ptr %p, ptr %q) {\n"
    "  %a = load <32 x i16>, ptr %p, align 2\n"
    "  %b = load <32 x i16>, ptr %q, align 2\n"
    "  %c = add <32 x i16> %a, %b\n"
    "  store <32 x i16> %c, ptr %p, align 2\n"
    "  ret void\n}\n"
    "declare i32 @llvm.vector.reduce.add.v16i32(<16 x i32>)\n"
    "declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)\n"
    "declare float @llvm.roundeven.f32(float)\n";

static bool probe(struct tn_codegen *cg, char **assembly) {
  char *message = NULL;
  LLVMMemoryBufferRef text =
      LLVMCreateMemoryBufferWithMemoryRangeCopy(probe_text, sizeof probe_text - 1, "probe");
  LLVMModuleRef m;
  if (LLVMParseIRInContext(cg->c, text, &m, &message))
    return failed(cg, "cannot read the probe of the target", message);
  LLVMSetTarget(m, cg->target.triple);
  LLVMSetModuleDataLayout(m, cg->layout);
  LLVMMemoryBufferRef out;
  bool bad = LLVMTargetMachineEmitToMemoryBuffer(cg->machine, m, LLVMAssemblyFile, &message, &out);
  LLVMDisposeModule(m);
  if (bad)
    return failed(cg, "cannot generate code for the target", message);
  *assembly = tn_strndup(cg->arena, LLVMGetBufferStart(out), LLVMGetBufferSize(out));
  LLVMDisposeMemoryBuffer(out);
  return true;
}

/* Families: first row whose architecture is a prefix of the triple and whose register name occurs in the probe.
 */
static const struct family {
  const char *arch, *sign;
  struct tn_target row;
} families[] = {
#define FAMILY(arch, sign, name, vb, vr, ivb, rows, vectors, is_masked, has_gathers, l1, l2) \
  {arch,                                                                                     \
   sign,                                                                                     \
   {.family = name,                                                                          \
    .vector_bytes = vb,                                                                      \
    .vector_regs = vr,                                                                       \
    .int_vector_bytes = ivb,                                                                 \
    .tile_rows = rows,                                                                       \
    .tile_vectors = vectors,                                                                 \
    .masked = is_masked,                                                                     \
    .gathers = has_gathers,                                                                  \
    .l1_bytes = (l1) * 1024,                                                                 \
    .l2_bytes = (l2) * 1024}},
#include "codegen/target.def"
#undef FAMILY
};

/* How bytes are multiplied, see emit_dot.c. */
static void find_dot(struct tn_target *t, const char *assembly) {
  if (has_prefix(t->family, "x86")) {
    /* AVX-512 without BW has no words in its registers. */
    const char *add = strstr(assembly, "vpaddw");
    bool has_words = t->vector_bytes < 64 || (add && memchr(add, 'z', strcspn(add, "\n")));
    t->dot = strstr(assembly, "vpdpbusd") != NULL;
    t->dot_u = t->dot || has_words;
    t->dot_w = has_words;
    t->dot_s = !t->dot && has_words;
  } else if (has_prefix(t->family, "aarch64")) {
    t->dot = strstr(assembly, "sdot\t") != NULL;
    t->dot_s = true;
    t->dot_u = strstr(assembly, "usdot\t") != NULL;
  } else {
    /* Without vectors: processors that multiply 16-bit halves of registers also add two such products. */
    t->dot = t->dot_s = t->dot_u =
        has_prefix(t->triple, "thumb") && !t->vector_bytes && strstr(assembly, "smlabb");
  }
}

static bool find_family(struct tn_codegen *cg) {
  char *assembly;
  if (!probe(cg, &assembly))
    return false;
  struct tn_target *t = &cg->target;
  for (size_t i = 0; i < TN_COUNT(families); i++) {
    const struct family *f = &families[i];
    if (!has_prefix(t->triple, f->arch) || !strstr(assembly, f->sign))
      continue;
    const struct tn_target *r = &f->row;
    t->family = r->family;
    t->vector_bytes = r->vector_bytes;
    t->vector_regs = r->vector_regs;
    t->int_vector_bytes = r->int_vector_bytes;
    t->tile_rows = r->tile_rows;
    t->tile_vectors = r->tile_vectors;
    t->masked = r->masked;
    t->gathers = r->gathers;
    t->l1_bytes = r->l1_bytes;
    t->l2_bytes = r->l2_bytes;
    t->fma = !strstr(assembly, "fmaf");
    t->round = !strstr(assembly, "roundevenf");
    t->half = !strstr(assembly, "hfsf2") && !strstr(assembly, "h2f"); /* library calls */
    t->f32 = !strstr(assembly, "mulsf3") && !strstr(assembly, "aeabi_fmul");
    t->f64 = !strstr(assembly, "muldf3") && !strstr(assembly, "dmul");
    t->f64_lanes = t->f64 && !has_prefix(f->arch, "arm") && !has_prefix(f->arch, "thumb");
    t->elf = strstr(assembly, "\t.type\tprobe,") != NULL && LLVMByteOrder(cg->layout) == LLVMLittleEndian;
    find_dot(t, assembly);
    return true;
  }
  tn_report(cg->ctx, TN_ERROR, nowhere,
            "target %s with cpu '%s' is not supported; supported architectures: x86_64, aarch64, arm, thumb, "
            "riscv32, "
            "riscv64, and a cpu or features of theirs that LLVM knows",
            t->triple, t->cpu);
  return false;
}

/* Sharing a loop costs about a microsecond, and what another core wrote is then read from that core's caches.
 * Measured: loops of 5 to 10 us gained nothing, and what ran after them took up to a sixth longer. */
#define FORK_NS 12000

/* What a Linux distribution's triple means when no cpu is named.  LLVM's own answer is the architecture's
 * smallest member, whose objects do not link with the distribution's. */
static const char *distribution_features(const char *triple, const char *cpu) {
  bool armv7 = (has_prefix(triple, "armv7-") || has_prefix(triple, "armv7a-")) && strstr(triple, "eabihf");
  if (armv7 && (!*cpu || has_prefix(cpu, "cortex-a")))
    return "+neon"; /* as C compilers take it; LLVM leaves it to them, for named cpus too */
  if (*cpu)
    return "";
  if (has_prefix(triple, "riscv64-") && strstr(triple, "-linux"))
    return "+m,+a,+f,+d,+c"; /* rv64gc, lp64d */
  if (has_prefix(triple, "arm-") && strstr(triple, "-linux-gnueabihf"))
    return "+armv7-a,+vfp3d16"; /* Debian's armhf: no NEON unless it is asked for */
  return "";
}

bool tn_llvm_open(struct tn_codegen *cg) {
  init_targets();
  tn_ctx_cleanup(cg->ctx, close_llvm, cg);
  cg->c = LLVMContextCreate();
  LLVMContextSetDiagnosticHandler(cg->c, on_diagnostic, cg);
  const struct tn_target_options *o = &cg->options;
  struct tn_target *t = &cg->target;
  char *host = LLVMGetDefaultTargetTriple();
  char *normal = LLVMNormalizeTargetTriple(o->triple ? o->triple : host);
  t->triple = tn_strdup(cg->arena, normal);
  bool is_host = strcmp(normal, host) == 0;
  LLVMDisposeMessage(normal);
  LLVMDisposeMessage(host);
  const char *cpu = o->cpu ? o->cpu : is_host ? "native" : "";
  const char *features = o->features ? o->features : "";
  if (strcmp(cpu, "native") == 0) {
    char *name = LLVMGetHostCPUName(), *list = LLVMGetHostCPUFeatures();
    t->cpu = tn_strdup(cg->arena, name);
    t->features = tn_printf(cg->arena, "%s%s%s", list, *features ? "," : "", features);
    LLVMDisposeMessage(name);
    LLVMDisposeMessage(list);
  } else {
    const char *base = distribution_features(t->triple, cpu);
    t->cpu = cpu;
    t->features = tn_printf(cg->arena, "%s%s%s", base, *base && *features ? "," : "", features);
  }
  char *message = NULL;
  LLVMTargetRef target;
  if (LLVMGetTargetFromTriple(t->triple, &target, &message))
    return failed(cg, "unknown target", message);
  bool bare = strstr(t->triple, "none") != NULL;
  LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault,
                                  LLVMCodeGenLevelAggressive};
  cg->machine = LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features, levels[o->opt & 3],
                                        bare ? LLVMRelocStatic : LLVMRelocPIC, LLVMCodeModelDefault);
  if (!cg->machine) {
    tn_report(cg->ctx, TN_ERROR, nowhere, "LLVM makes no machine for target %s, cpu '%s'", t->triple, t->cpu);
    return false;
  }
  cg->layout = LLVMCreateTargetDataLayout(cg->machine);
  t->pointer_bits = (int)LLVMPointerSize(cg->layout) * 8;
  t->opt = o->opt;
  t->small = o->small;
  t->threads = o->threads > 0 ? o->threads : 1;
  t->fork_ns = o->fork_ns > 0 ? o->fork_ns : FORK_NS;
  if (!find_family(cg))
    return false;
  cg->m = LLVMModuleCreateWithNameInContext(cg->module->name, cg->c);
  LLVMSetTarget(cg->m, t->triple);
  LLVMSetModuleDataLayout(cg->m, cg->layout);
  return true;
}

/* ---- optimization and output -------------------------------------------------------------------------------
 */

/* The nests come out scheduled: what is left is to clean the address arithmetic and hoist it. */
static const char pipeline_o1[] = "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg)";
static const char pipeline_o2[] = "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
                                  "loop-mssa(loop-rotate,licm),early-cse<memssa>,"
                                  "instcombine<no-verify-fixpoint>,loop-mssa(licm),simplifycfg)";

bool tn_llvm_optimize(struct tn_codegen *cg) {
  char *message = NULL;
  if (LLVMVerifyModule(cg->m, LLVMReturnStatusAction, &message)) {
    tn_report(cg->ctx, TN_BUG, nowhere, "the generated LLVM module is not valid: %s", message);
    LLVMDisposeMessage(message);
    return false;
  }
  LLVMDisposeMessage(message);
  if (cg->options.opt == 0)
    return true;
  LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
  LLVMErrorRef error = LLVMRunPasses(cg->m, cg->options.opt == 1 ? pipeline_o1 : pipeline_o2, cg->machine, o);
  LLVMDisposePassBuilderOptions(o);
  return error ? failed_error(cg, "LLVM's passes", error) : true;
}

static void dispose_buffer(void *buffer) {
  LLVMDisposeMemoryBuffer(buffer);
}

/* A copy of the module, as emission changes it; for text, with the weights' values. */
static LLVMModuleRef copy_module(struct tn_codegen *cg, bool text) {
  LLVMModuleRef copy = LLVMCloneModule(cg->m);
  LLVMValueRef weights = LLVMGetNamedGlobal(copy, tn_weights_symbol(cg));
  if (weights && text) {
    tn_arena *scratch = tn_arena_create(cg->ctx);
    char *bytes = tn_alloc_raw(scratch, (size_t)cg->weights.bytes + 1, TN_WEIGHT_ALIGN);
    tn_weights_copy(&cg->weights, bytes);
    LLVMSetInitializer(weights, LLVMConstStringInContext2(cg->c, bytes, (size_t)cg->weights.bytes, 1));
    LLVMSetExternallyInitialized(weights, 0);
    tn_arena_destroy(scratch);
  } else if (weights && cg->weights.bytes && cg->target.elf) {
    LLVMSetSection(weights, tn_printf(cg->arena, TN_WEIGHTS_PREFIX "%s", tn_weights_section(cg)));
  }
  return copy;
}

bool tn_llvm_emit(struct tn_codegen *cg, bool assembly, struct tn_bytes *out) {
  char *message = NULL;
  LLVMMemoryBufferRef buffer;
  LLVMModuleRef copy = copy_module(cg, assembly);
  bool bad = LLVMTargetMachineEmitToMemoryBuffer(
      cg->machine, copy, assembly ? LLVMAssemblyFile : LLVMObjectFile, &message, &buffer);
  LLVMDisposeModule(copy);
  if (bad)
    return failed(cg, "LLVM's code generator", message);
  /* Kept, not copied: an object with weights is large. The buffer ends with a NUL. */
  tn_ctx_cleanup(cg->ctx, dispose_buffer, buffer);
  *out = (struct tn_bytes){(const uint8_t *)LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer)};
  return tn_diag_count(cg->ctx, TN_ERROR) == 0;
}

char *tn_llvm_text(struct tn_codegen *cg) {
  LLVMModuleRef module = copy_module(cg, true);
  char *text = LLVMPrintModuleToString(module);
  LLVMDisposeModule(module);
  char *copy = tn_strdup(cg->arena, text);
  LLVMDisposeMessage(text);
  return copy;
}

/* ---- in memory ---------------------------------------------------------------------------------------------
 */

void *tn_llvm_load(struct tn_codegen *cg, const char *symbol, const char *hook_name, void *hook) {
  LLVMOrcLLJITRef jit;
  LLVMErrorRef error = LLVMOrcCreateLLJIT(&jit, NULL);
  if (error) {
    failed_error(cg, "LLVM's just-in-time linker", error);
    return NULL;
  }
  cg->jit = jit;
  LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit);
  LLVMOrcDefinitionGeneratorRef process;
  char prefix = LLVMOrcLLJITGetGlobalPrefix(jit);
  error = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL);
  if (!error)
    LLVMOrcJITDylibAddGenerator(library, process);
  if (!error && hook) {
    LLVMOrcCSymbolMapPair pair = {
        LLVMOrcLLJITMangleAndIntern(jit, hook_name),
        {(LLVMOrcExecutorAddress)(uintptr_t)hook, {LLVMJITSymbolGenericFlagsExported, 0}}};
    error = LLVMOrcJITDylibDefine(library, LLVMOrcAbsoluteSymbols(&pair, 1));
  }
  LLVMOrcExecutorAddress address = 0;
  if (!error) {
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRangeCopy((const char *)cg->object.at, cg->object.size, symbol);
    error = LLVMOrcLLJITAddObjectFile(jit, library, buffer);
  }
  if (!error)
    error = LLVMOrcLLJITLookup(jit, &address, symbol);
  if (error) {
    failed_error(cg, "loading the compiled model", error);
    return NULL;
  }
  return (void *)(uintptr_t)address;
}
