/* What the files of codegen share and nobody else sees. */
#ifndef TENON_CODEGEN_INTERNAL_H
#define TENON_CODEGEN_INTERNAL_H

#include "codegen/codegen.h"
#include "codegen/nest.h"
#include "codegen/target.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

/* Constants that kernels read, in one read-only section: equal bytes are stored once. */
struct tn_weights {
  tn_arena *arena;
  struct tn_weight {
    const void *data;
    size_t bytes;
    struct tn_hash hash;
    int64_t offset;
  } *items;
  size_t count, cap;
  int64_t bytes;
};
int64_t tn_weights_place(struct tn_weights *w, const void *data,
                         size_t bytes); /* its offset; data is not copied */

/* w->bytes of them, with zeros between the constants. */
void tn_weights_copy(const struct tn_weights *w, char *to);
#define TN_WEIGHT_ALIGN 64

struct tn_codegen {
  tn_ctx *ctx;
  tn_arena *arena;
  struct tn_module *module;
  struct tn_target_options options;
  struct tn_target target;
  struct tn_build_facts facts;
  struct tn_weights weights;
  struct tn_bytes weights_file; /* with weights_apart */
  struct tn_str nests;          /* text of every scheduled nest */
  LLVMContextRef c;
  LLVMModuleRef m;
  LLVMTargetMachineRef machine;
  LLVMTargetDataRef layout;
  void *jit; /* LLVMOrcLLJITRef */
  struct tn_bytes object;
  struct tn_hash key; /* in options.cache */
  bool cached;        /* object and facts are from there; there is no LLVM module unless one is asked for */
  bool measured;
  int64_t scratch_bytes; /* kernels' local buffers, after the plan's arena */
  int64_t stack_bytes;   /* largest frame sum, filled while the object is emitted */
};

/* llvm.c: the only file that knows LLVM's contexts, target machines and error conventions. */
bool tn_llvm_open(struct tn_codegen *cg); /* resolves target and machine, makes context and module */
/* A builder that goes with the arena's context: whoever uses it may be left by a guard. */
LLVMBuilderRef tn_llvm_builder(tn_arena *arena, LLVMContextRef c);
bool tn_llvm_optimize(struct tn_codegen *cg); /* verifies and runs the pass pipeline */
bool tn_llvm_emit(struct tn_codegen *cg, bool assembly, struct tn_bytes *out);
char *tn_llvm_text(struct tn_codegen *cg);
void *tn_llvm_load(struct tn_codegen *cg, const char *symbol, const char *hook_name, void *hook);

/* program.c: the run function and the descriptor. */
const char *tn_weights_symbol(const struct tn_codegen *cg);
const char *tn_weights_section(const struct tn_codegen *cg);
bool tn_emit_program(struct tn_codegen *cg);

/* object.c: the bytes of the weights, for which tn_llvm_emit left room: in ELF a section without bytes, its
 * name with this before it. */
#define TN_WEIGHTS_PREFIX ".bss."
bool tn_object_weights(struct tn_codegen *cg);
int64_t tn_object_code_bytes(struct tn_codegen *cg); /* of the sections named .text* */

/* schedule.c: rewrites the nest's loops for the target. Packed constants become new constant buffers. */
void tn_schedule(const struct tn_target *target, struct tn_nest *nest);

/* schedule_parallel.c: makes parallel the loops whose iterations are independent and worth sharing between
 * threads; any other is serial afterwards. */
void tn_schedule_parallel(const struct tn_target *target, struct tn_nest *nest);

/* cache.c: with options.cache. */
struct tn_hash tn_cache_key(struct tn_codegen *cg); /* of a target that is open */
bool tn_cache_get(struct tn_codegen *cg);           /* object and facts; false: not there */
void tn_cache_put(struct tn_codegen *cg);

/* A C identifier from any name: other characters become '_', a leading digit gets one before it. */
char *tn_c_name(tn_arena *arena, const char *name);

#endif
