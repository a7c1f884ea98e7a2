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
    bool own;
  } *items;
  size_t count, cap;
  int64_t bytes;
};
/* Its offset; data is not copied.  own: nobody else reads the data, and it is not constant memory. */
int64_t tn_weights_place(struct tn_weights *w, const void *data, size_t bytes, bool own);

/* w->bytes of them, with zeros between the constants. */
void tn_weights_copy(const struct tn_weights *w, char *to);
/* The same; they are there from now on, and the memory of those that are their own is given back. */
void tn_weights_move(struct tn_weights *w, char *to);
#define TN_WEIGHT_ALIGN 64

/* Functions by who calls them: the program, run functions, kernels. */
enum tn_frame { TN_FRAME_RUN, TN_FRAME_KERNEL, TN_FRAME_HELPER, TN_FRAMES };

/* A part of the program, which LLVM works on by itself: the run function and the data, or some of the kernels.
 */
struct tn_part {
  LLVMContextRef c;
  LLVMModuleRef m;     /* NULL once it has become an object */
  int64_t work;        /* instructions of the kernels */
  const char *name;    /* that its functions' names begin with, and helpers' do not */
  int64_t frame[TN_FRAMES]; /* the largest of each kind */
  LLVMMemoryBufferRef object;
  const char *bad; /* what went wrong, and LLVM's words */
  char message[512];
  bool bug; /* it is Tenon's fault */
};
#define TN_MOST_PARTS 9

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
  struct tn_part part[TN_MOST_PARTS];
  int part_count; /* 1: everything is in the first */
  LLVMTargetRef llvm_target;
  LLVMTargetDataRef layout;
  bool whole; /* the program is one module, and optimized */
  void *jit;  /* LLVMOrcLLJITRef */
  struct tn_bytes object;
  struct tn_hash key; /* in options.cache */
  bool cached;        /* object and facts are from there; there is no LLVM module unless one is asked for */
  bool measured;
  int64_t scratch_end; /* of kernels' local buffers in the arena; 0: there are none */
};

/* llvm.c: the only file that knows LLVM's contexts, target machines and error conventions. */
bool tn_llvm_open(struct tn_codegen *cg); /* resolves the target */
/* Reports what LLVM could not do and takes its message; false. */
bool tn_llvm_failed(struct tn_codegen *cg, const char *doing, char *message);
bool tn_has_prefix(const char *text, const char *prefix);
/* target.c: the triple, cpu and features that the options mean; then what the processor has. */
void tn_target_resolve(struct tn_codegen *cg);
bool tn_target_probe(struct tn_codegen *cg, LLVMTargetMachineRef machine);
/* Empty modules for the program, in place of those there are: one, or some for the kernels beside it. */
void tn_llvm_modules(struct tn_codegen *cg, int count);
struct tn_part *tn_llvm_least_part(struct tn_codegen *cg); /* for the next kernel */
/* A builder that goes with the arena's context: whoever uses it may be left by a guard. */
LLVMBuilderRef tn_llvm_builder(tn_arena *arena, LLVMContextRef c);
/* Optimizes all parts and makes the object of them, in threads; the parts are used up. */
bool tn_llvm_object(struct tn_codegen *cg, struct tn_bytes *out);
/* Of a program that is whole. */
bool tn_llvm_optimize(struct tn_codegen *cg);
bool tn_llvm_assembly(struct tn_codegen *cg, struct tn_bytes *out);
char *tn_llvm_text(struct tn_codegen *cg);
void *tn_llvm_load(struct tn_codegen *cg, const char *symbol, const char *hook_name, void *hook);

/* scratch.c: where a kernel's local buffers lie in the arena of the planned module. */
struct tn_scratch *tn_scratch_create(tn_arena *arena, const struct tn_module *m);
/* Offset of `bytes` bytes that nothing has while the kernel runs; a multiple of 64, perhaps past the arena's
 * end. */
int64_t tn_scratch_place(const struct tn_scratch *s, const struct tn_node *kernel, int64_t bytes);

/* weights.c: where they are. */
const char *tn_weights_symbol(const struct tn_codegen *cg);
const char *tn_weights_section(const struct tn_codegen *cg);
/* Their bytes as a file of their own. False after a diagnostic: there are none. */
bool tn_weights_make_file(struct tn_codegen *cg);
/* Puts a section of zeros in the placeholder's place, as long as they are, until the object is made; copying the
 * bytes there (object.c) spares LLVM several copies of them. */
void tn_weights_add(struct tn_codegen *cg, LLVMValueRef placeholder);

/* program.c: the run function and the descriptor. */
bool tn_emit_program(struct tn_codegen *cg);

/* object_merge.c: the parts of one build as one ELF object. */
struct tn_bytes tn_merge_objects(tn_ctx *ctx, tn_arena *arena, const struct tn_bytes *objects, size_t count);

/* object.c: the bytes of the weights, for which tn_llvm_object left room: in ELF a section without bytes, its
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
