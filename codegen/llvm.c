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

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
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

/* Says what went wrong in a part, whose thread may not report it.  Takes the message. */
static bool part_failed(struct tn_part *p, const char *what, char *message) {
  if (!p->bad)
    snprintf(p->message, sizeof p->message, "%s", message ? message : "no reason given");
  p->bad = p->bad ? p->bad : what;
  LLVMDisposeMessage(message);
  return false;
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *user) {
  struct tn_part *p = user;
  char *text = LLVMGetDiagInfoDescription(info);
  /* Every function asks for a warning when its frame passes 0 bytes: that is how frames are measured. */
  const char *frame = strstr(text, "stack frame size (");
  if (frame) {
    int64_t bytes = strtoll(frame + strlen("stack frame size ("), NULL, 10);
    if (bytes > p->stack_bytes)
      p->stack_bytes = bytes;
  } else if (LLVMGetDiagInfoSeverity(info) == LLVMDSError) {
    part_failed(p, "LLVM", text);
    return;
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

static void close_part(struct tn_part *p) {
  if (p->object)
    LLVMDisposeMemoryBuffer(p->object);
  if (p->m)
    LLVMDisposeModule(p->m);
  p->object = NULL;
  p->m = NULL;
}

static void close_llvm(void *object) {
  struct tn_codegen *cg = object;
  if (cg->jit)
    LLVMOrcDisposeLLJIT(cg->jit);
  if (cg->layout)
    LLVMDisposeTargetData(cg->layout);
  for (int i = 0; i < TN_MOST_PARTS; i++) {
    close_part(&cg->part[i]);
    if (cg->part[i].c)
      LLVMContextDispose(cg->part[i].c);
  }
}

static LLVMTargetMachineRef make_machine(const struct tn_codegen *cg) {
  static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess,
                                               LLVMCodeGenLevelDefault, LLVMCodeGenLevelAggressive};
  const struct tn_target *t = &cg->target;
  bool bare = strstr(t->triple, "none") != NULL;
  return LLVMCreateTargetMachine(cg->llvm_target, t->triple, t->cpu, t->features, levels[cg->options.opt & 3],
                                 bare ? LLVMRelocStatic : LLVMRelocPIC, LLVMCodeModelDefault);
}

void tn_llvm_modules(struct tn_codegen *cg, int count) {
  cg->part_count = count;
  for (int i = 0; i < TN_MOST_PARTS; i++) {
    struct tn_part *p = &cg->part[i];
    close_part(p);
    *p = (struct tn_part){.c = p->c};
    if (i >= count)
      continue;
    if (!p->c)
      p->c = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(p->c, on_diagnostic, p);
    p->m = LLVMModuleCreateWithNameInContext(cg->module->name, p->c);
    LLVMSetTarget(p->m, cg->target.triple);
    LLVMSetModuleDataLayout(p->m, cg->layout);
  }
}

struct tn_part *tn_llvm_least_part(struct tn_codegen *cg) {
  struct tn_part *least = &cg->part[cg->part_count > 1];
  for (int i = 1; i < cg->part_count; i++)
    if (cg->part[i].work < least->work)
      least = &cg->part[i];
  return least;
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

static bool probe(struct tn_codegen *cg, LLVMTargetMachineRef machine, char **assembly) {
  char *message = NULL;
  LLVMMemoryBufferRef text =
      LLVMCreateMemoryBufferWithMemoryRangeCopy(probe_text, sizeof probe_text - 1, "probe");
  LLVMModuleRef m;
  if (LLVMParseIRInContext(cg->part[0].c, text, &m, &message))
    return failed(cg, "cannot read the probe of the target", message);
  LLVMSetTarget(m, cg->target.triple);
  LLVMSetModuleDataLayout(m, cg->layout);
  LLVMMemoryBufferRef out;
  bool bad = LLVMTargetMachineEmitToMemoryBuffer(machine, m, LLVMAssemblyFile, &message, &out);
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
#define FAMILY(arch, sign, name, vb, vr, ivb, is_masked, has_gathers, l1, l2) \
  {arch,                                                                      \
   sign,                                                                      \
   {.family = name,                                                           \
    .vector_bytes = vb,                                                       \
    .vector_regs = vr,                                                        \
    .int_vector_bytes = ivb,                                                  \
    .masked = is_masked,                                                      \
    .gathers = has_gathers,                                                   \
    .l1_bytes = (l1) * 1024,                                                  \
    .l2_bytes = (l2) * 1024}},
#include "codegen/target.def"
#undef FAMILY
};

/* How bytes are multiplied, see emit_dot.c; AVX2, AVX-512 with BW (and so VL) and AArch64's NEON pick lanes. */
static void find_dot(struct tn_target *t, const char *assembly) {
  if (has_prefix(t->family, "x86")) {
    /* AVX-512 without BW has no words in its registers. */
    const char *add = strstr(assembly, "vpaddw");
    bool has_words = t->vector_bytes < 64 || (add && memchr(add, 'z', strcspn(add, "\n")));
    t->picks =
        t->vector_bytes >= 32 && add && memchr(add, t->vector_bytes == 64 ? 'z' : 'y', strcspn(add, "\n"));
    t->dot = strstr(assembly, "vpdpbusd") != NULL;
    t->dot_u = t->dot || has_words;
    t->dot_w = has_words;
    t->dot_s = !t->dot && has_words;
  } else if (has_prefix(t->family, "aarch64")) {
    t->dot = strstr(assembly, "sdot\t") != NULL;
    t->dot_s = true;
    t->dot_u = strstr(assembly, "usdot\t") != NULL;
    t->picks = true;
  } else {
    /* Without vectors: processors that multiply 16-bit halves of registers also add two such products. */
    t->dot = t->dot_s = t->dot_u =
        has_prefix(t->triple, "thumb") && !t->vector_bytes && strstr(assembly, "smlabb");
  }
}

static bool find_family(struct tn_codegen *cg, LLVMTargetMachineRef machine) {
  char *assembly;
  if (!probe(cg, machine, &assembly))
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
    t->masked = r->masked;
    t->gathers = r->gathers;
    t->by_lanes = has_prefix(t->family, "armv7");
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

/* Register tiles fill the registers and have enough independent sums, which LLVM does not expect: on x86 it
 * would take vpdpwssd apart to shorten a chain; for ARM it would schedule without an account of registers, and
 * for some cores take vmla apart. */
static const char *tuning_features(const char *triple) {
  if (has_prefix(triple, "x86_64"))
    return "+fast-dpwssd";
  return has_prefix(triple, "arm") || has_prefix(triple, "thumb") ? "+use-misched,-expand-fp-mlx" : "";
}

bool tn_llvm_open(struct tn_codegen *cg) {
  init_targets();
  tn_ctx_cleanup(cg->ctx, close_llvm, cg);
  cg->part[0].c = LLVMContextCreate();
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
  const char *tuning = tuning_features(t->triple);
  if (*tuning)
    t->features = tn_printf(cg->arena, "%s%s%s", tuning, *t->features ? "," : "", t->features);
  char *message = NULL;
  if (LLVMGetTargetFromTriple(t->triple, &cg->llvm_target, &message))
    return failed(cg, "unknown target", message);
  if (strstr(t->triple, "-apple-") || strstr(t->triple, "macho")) {
    tn_report(
        cg->ctx, TN_ERROR, nowhere,
        "target %s is not supported: its objects are Mach-O; take a triple with ELF or COFF objects, such as "
        "aarch64-linux-gnu",
        t->triple);
    return false;
  }
  LLVMTargetMachineRef machine = make_machine(cg);
  if (!machine) {
    tn_report(cg->ctx, TN_ERROR, nowhere, "LLVM makes no machine for target %s, cpu '%s'", t->triple, t->cpu);
    return false;
  }
  cg->layout = LLVMCreateTargetDataLayout(machine);
  t->pointer_bits = (int)LLVMPointerSize(cg->layout) * 8;
  t->opt = o->opt;
  t->small = o->small;
  t->threads = o->threads > 0 ? o->threads : 1;
  t->fork_ns = o->fork_ns > 0 ? o->fork_ns : FORK_NS;
  bool found = find_family(cg, machine);
  LLVMDisposeTargetMachine(machine);
  return found;
}

/* ---- optimization and output -------------------------------------------------------------------------------
 */

/* The nests come out scheduled: what is left is to clean the address arithmetic and hoist it. */
static const char pipeline_o1[] = "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg)";
static const char pipeline_o2[] = "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
                                  "loop-mssa(loop-rotate,licm),early-cse<memssa>,"
                                  "instcombine<no-verify-fixpoint>,loop-mssa(licm),simplifycfg)";

static bool optimize(const struct tn_codegen *cg, struct tn_part *p, LLVMTargetMachineRef machine) {
  char *message = NULL;
  if (LLVMVerifyModule(p->m, LLVMReturnStatusAction, &message)) {
    p->bug = true;
    return part_failed(p, "the generated LLVM module is not valid", message);
  }
  LLVMDisposeMessage(message);
  if (cg->options.opt == 0)
    return true;
  LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
  LLVMErrorRef error = LLVMRunPasses(p->m, cg->options.opt == 1 ? pipeline_o1 : pipeline_o2, machine, o);
  LLVMDisposePassBuilderOptions(o);
  if (!error)
    return true;
  char *words = LLVMGetErrorMessage(error);
  part_failed(p, "LLVM's passes", LLVMCreateMessage(words));
  LLVMDisposeErrorMessage(words);
  return false;
}

static bool report_part(struct tn_codegen *cg, const struct tn_part *p) {
  if (p->bad)
    tn_report(cg->ctx, p->bug ? TN_BUG : TN_ERROR, nowhere, "%s: %s", p->bad, p->message);
  return !p->bad;
}

/* ---- the object, part by part: which parts there are does not depend on the number of threads -------------
 */

static void emit_part(const struct tn_codegen *cg, struct tn_part *p) {
  LLVMTargetMachineRef machine = make_machine(cg);
  char *message = NULL;
  if (optimize(cg, p, machine) &&
      LLVMTargetMachineEmitToMemoryBuffer(machine, p->m, LLVMObjectFile, &message, &p->object))
    part_failed(p, "LLVM's code generator", message);
  LLVMDisposeTargetMachine(machine);
  LLVMDisposeModule(p->m);
  p->m = NULL;
}

struct emission {
  struct tn_codegen *cg;
  atomic_int next;
};

static void *emit_parts(void *user) {
  struct emission *e = user;
  for (int i; (i = atomic_fetch_add(&e->next, 1)) < e->cg->part_count;)
    emit_part(e->cg, &e->cg->part[i]);
  return NULL;
}

static int processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

#define THREAD_STACK ((size_t)8 << 20) /* as the first thread has: LLVM goes deep */

static void emit_in_threads(struct tn_codegen *cg) {
  struct emission e = {.cg = cg};
  pthread_t thread[TN_MOST_PARTS];
  int most = processors(), started = 1;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, THREAD_STACK);
  while (started < most && started < cg->part_count &&
         pthread_create(&thread[started], &attributes, emit_parts, &e) == 0)
    started++;
  pthread_attr_destroy(&attributes);
  emit_parts(&e);
  for (int i = 1; i < started; i++)
    pthread_join(thread[i], NULL);
}

bool tn_llvm_object(struct tn_codegen *cg, struct tn_bytes *out) {
  LLVMValueRef weights = LLVMGetNamedGlobal(cg->part[0].m, tn_weights_symbol(cg));
  if (weights && cg->weights.bytes && cg->target.elf)
    LLVMSetSection(weights, tn_printf(cg->arena, TN_WEIGHTS_PREFIX "%s", tn_weights_section(cg)));
  emit_in_threads(cg);
  struct tn_bytes objects[TN_MOST_PARTS];
  bool good = true;
  for (int i = 0; i < cg->part_count; i++) {
    const struct tn_part *p = &cg->part[i];
    good = report_part(cg, p) && good;
    if (good)
      objects[i] =
          (struct tn_bytes){(const uint8_t *)LLVMGetBufferStart(p->object), LLVMGetBufferSize(p->object)};
  }
  if (good)
    *out = cg->part_count == 1 ? objects[0]
                               : tn_merge_objects(cg->ctx, cg->arena, objects, (size_t)cg->part_count);
  return good;
}

/* ---- text: of the program as one module --------------------------------------------------------------------
 */

bool tn_llvm_optimize(struct tn_codegen *cg) {
  LLVMTargetMachineRef machine = make_machine(cg);
  optimize(cg, &cg->part[0], machine);
  LLVMDisposeTargetMachine(machine);
  return report_part(cg, &cg->part[0]);
}

static void dispose_buffer(void *buffer) {
  LLVMDisposeMemoryBuffer(buffer);
}

/* A copy of the module, as emission changes it, with the weights' values. */
static LLVMModuleRef copy_module(struct tn_codegen *cg) {
  LLVMModuleRef copy = LLVMCloneModule(cg->part[0].m);
  LLVMValueRef weights = LLVMGetNamedGlobal(copy, tn_weights_symbol(cg));
  if (weights) {
    tn_arena *scratch = tn_arena_create(cg->ctx);
    char *bytes = tn_alloc_raw(scratch, (size_t)cg->weights.bytes + 1, TN_WEIGHT_ALIGN);
    tn_weights_copy(&cg->weights, bytes);
    LLVMSetInitializer(weights, LLVMConstStringInContext2(cg->part[0].c, bytes, (size_t)cg->weights.bytes, 1));
    LLVMSetExternallyInitialized(weights, 0);
    tn_arena_destroy(scratch);
  }
  return copy;
}

bool tn_llvm_assembly(struct tn_codegen *cg, struct tn_bytes *out) {
  LLVMMemoryBufferRef buffer;
  LLVMTargetMachineRef machine = make_machine(cg);
  LLVMModuleRef copy = copy_module(cg);
  char *message = NULL;
  if (LLVMTargetMachineEmitToMemoryBuffer(machine, copy, LLVMAssemblyFile, &message, &buffer))
    part_failed(&cg->part[0], "LLVM's code generator", message);
  else
    tn_ctx_cleanup(cg->ctx, dispose_buffer, buffer);
  LLVMDisposeModule(copy);
  LLVMDisposeTargetMachine(machine);
  if (!report_part(cg, &cg->part[0]))
    return false;
  *out = (struct tn_bytes){(const uint8_t *)LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer)};
  return true;
}

char *tn_llvm_text(struct tn_codegen *cg) {
  LLVMModuleRef module = copy_module(cg);
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
