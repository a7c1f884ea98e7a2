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

bool tn_llvm_failed(struct tn_codegen *cg, const char *doing, char *message) {
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

bool tn_has_prefix(const char *text, const char *prefix) {
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

static enum tn_frame frame_of(const struct tn_part *p, const char *function) {
  if (!tn_has_prefix(function, p->name))
    return TN_FRAME_HELPER;
  return tn_has_prefix(function + strlen(p->name), "_k") ? TN_FRAME_KERNEL : TN_FRAME_RUN;
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *user) {
  struct tn_part *p = user;
  char *text = LLVMGetDiagInfoDescription(info);
  /* Every function asks for a warning when its frame passes 0 bytes: that is how frames are measured. */
  const char *frame = strstr(text, "stack frame size ("), *function = strstr(text, "function '");
  if (frame && function) {
    int64_t bytes = strtoll(frame + strlen("stack frame size ("), NULL, 10);
    int64_t *largest = &p->frame[frame_of(p, function + strlen("function '"))];
    *largest = bytes > *largest ? bytes : *largest;
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
    p->name = cg->module->name;
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

/* Sharing a loop costs about a microsecond, and what another core wrote is then read from that core's caches.
 * Measured: loops of 5 to 10 us gained nothing, and what ran after them took up to a sixth longer. */
#define FORK_NS 12000

bool tn_llvm_open(struct tn_codegen *cg) {
  init_targets();
  tn_ctx_cleanup(cg->ctx, close_llvm, cg);
  cg->part[0].c = LLVMContextCreate();
  const struct tn_target_options *o = &cg->options;
  struct tn_target *t = &cg->target;
  tn_target_resolve(cg);
  char *message = NULL;
  if (LLVMGetTargetFromTriple(t->triple, &cg->llvm_target, &message))
    return tn_llvm_failed(cg, "unknown target", message);
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
  bool found = tn_target_probe(cg, machine);
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
