/* Code generation: from a planned module to object code, its C header and a function that can be called here.
 *
 * Everything LLVM is behind this header.  A build owns its LLVM context; it is disposed of with the tn_ctx. */
#ifndef TENON_CODEGEN_CODEGEN_H
#define TENON_CODEGEN_CODEGEN_H

#include "ir/ir.h"

/* Where objects are kept between builds, each with some numbers (`head`) that codegen/cache.c writes and reads.
 */
struct tn_object_cache {
  struct tn_hash compiler; /* of the running compiler: another build's objects are not taken */
  void *user;
  /* What is kept under `key`, alive as long as the tn_ctx; false when there is none. */
  bool (*get)(void *user, struct tn_hash key, struct tn_bytes *head, struct tn_bytes *object);
  /* Keeps both under `key`; or does not. */
  void (*put)(void *user, struct tn_hash key, struct tn_bytes head, struct tn_bytes object);
};

struct tn_target_options {
  const char *triple;   /* NULL: this machine */
  const char *cpu;      /* NULL: "native" for this machine's triple, else the target's generic; "native" */
  const char *features; /* NULL or "+x,-y", added to the cpu's */
  int opt;              /* 0 to 3 */
  bool small;           /* -Os */
  int threads;          /* 1: nothing is shared; more: loops may be, between about so many */
  int fork_ns;  /* least time of a loop that is shared, as estimated; 0: several times what threads cost */
  bool profile; /* the run function reports each kernel to a hook: for bench, in memory only */
  const char *weights_section;         /* NULL: .rodata.<name>_weights */
  bool weights_apart;                  /* not in the object: a run is given them, see tn_codegen_weights */
  const struct tn_object_cache *cache; /* or NULL */
  void (*progress)(void *user, const char *what, int done, int total); /* or NULL */
  void *user;
};

struct tn_build_kernel {
  const char *symbol; /* "digits_k3_conv1" */
  const char *node;
  int64_t flops, bytes, macs; /* a call */
  int64_t written, constant;  /* of bytes: written; read from constants */
  int64_t calls;              /* a run; loop bodies count their trips when known */
};

/* What the artifact takes; bytes. */
struct tn_build_facts {
  int64_t code_bytes, weight_bytes, arena_bytes, arena_low_bound, io_bytes, stack_bytes, macs, flops;
  int arena_align;
  int kernel_count, kernel_distinct;
  const struct tn_build_kernel *kernels; /* in order of first call; one row a call site */
  struct tn_hash model_hash;
  const char *weights_hash; /* with weights_apart: 32 digits; weight_bytes is then the file's size; else NULL */
};

/* The facts as bytes, and again from the beginning of `from`, which is moved on and holds the names;
 * weights_hash is left out.  False: that are no facts. */
void tn_facts_put(struct tn_str *s, const struct tn_build_facts *facts);
bool tn_facts_take(tn_arena *arena, struct tn_bytes *from, struct tn_build_facts *facts);

struct tn_codegen;

/* Lowers, schedules and emits every kernel, the run function and the descriptor, and optimizes.  NULL after a
 * diagnostic. */
struct tn_codegen *tn_codegen(struct tn_module *module, const struct tn_target_options *options,
                              struct tn_hash model_hash);
const struct tn_build_facts *tn_codegen_facts(struct tn_codegen *cg); /* emits the object once, to measure it */

enum tn_emit_kind { TN_EMIT_OBJECT, TN_EMIT_ASM, TN_EMIT_LLVM, TN_EMIT_NEST };
bool tn_codegen_emit(struct tn_codegen *cg, enum tn_emit_kind kind, struct tn_bytes *out);
/* With weights_apart: the file, which a run is given in memory aligned to facts.arena_align as one more input.
 * Lives as long as the module. */
struct tn_bytes tn_codegen_weights(const struct tn_codegen *cg);
/* The text of <name>.h. */
char *tn_codegen_header(struct tn_codegen *cg, tn_arena *arena);
const char *tn_codegen_triple(const struct tn_codegen *cg);
const struct tn_target *tn_codegen_target(const struct tn_codegen *cg); /* codegen/target.h */

/* Loads the object into this process.  The run function takes arrays of pointers in the order of the graph's
 * inputs and outputs.  hook (with options.profile): called after each kernel with its number in facts.kernels.
 */
typedef int tn_run_function(const void *const *inputs, void *const *outputs, void *arena);
tn_run_function *tn_codegen_load(struct tn_codegen *cg, void (*hook)(int kernel));
/* The same of a build with options.threads > 1, which takes a parallel-for. */
struct tenon_parallel; /* runtime/tenon.h */
typedef int tn_parallel_run_function(const void *const *inputs, void *const *outputs, void *arena,
                                     struct tenon_parallel *parallel);
tn_parallel_run_function *tn_codegen_load_parallel(struct tn_codegen *cg, void (*hook)(int kernel));

/* Facts about targets for --help and reports. */
const char *tn_host_triple(tn_ctx *ctx);
const char *tn_host_text(tn_ctx *ctx); /* triple, cpu and features of this machine */
const char *tn_llvm_version(void);
const void *tn_llvm_address(void); /* somewhere in LLVM's library */

#endif
