/* The tenon command: options, the pipeline that all commands share, files of tensors, reports.  The only code
 * that prints or exits. */
#ifndef TENON_DRIVER_DRIVER_H
#define TENON_DRIVER_DRIVER_H

#include "codegen/codegen.h"
#include "codegen/target.h"
#include "frontend/onnx/onnx.h"
#include "passes/passes.h"

enum { TN_EXIT_OK = 0, TN_EXIT_INPUT = 1, TN_EXIT_USAGE = 2, TN_EXIT_BUG = 70 };

/* ---- options (options.c) ------------------------------------------------------------------------------- */

enum tn_command { TN_COMPILE = 1, TN_RUN = 2, TN_VERIFY = 4, TN_BENCH = 8, TN_INSPECT = 16 };

struct tn_pair {
  const char *name, *value;
};

struct tn_options {
  enum tn_command command;
  const char *model;
  TN_VEC(const char *) folders; /* verify */
  const char *output, *emit, *target, *cpu, *features, *name, *weights_section, *weights_file, *runner,
      *output_dir, *inputs_dir, *cache;
  TN_VEC(struct tn_pair) dims, shapes, binds, inputs;
  TN_VEC(const char *) print_after, disable;
  const char *stop_after;
  int opt;
  bool small, depfile, json, time_passes, verify_each, per_node, help;
  int threads, runs;
  double rtol, atol; /* < 0: by dtype */
};
/* Fills o from the arguments.  Returns an exit status, or -1 to go on. */
int tn_options_parse(tn_ctx *ctx, int argc, char **argv, struct tn_options *o);
void tn_print_help(enum tn_command command); /* 0: the overview */

/* ---- tensors in files ---------------------------------------------------------------------------------- */

bool tn_npy_read(tn_ctx *ctx, const char *path, struct tn_tensor *out);
/* The same from memory; path: for messages.  The elements are copied. */
bool tn_npy_parse(tn_ctx *ctx, const char *path, struct tn_bytes file, struct tn_tensor *out);
bool tn_npy_write(tn_ctx *ctx, const char *path, const struct tn_tensor *tensor);
/* PREFIX.npy or PREFIX.pb; false without a diagnostic when neither exists. */
bool tn_vector_exists(tn_ctx *ctx, const char *folder, const char *kind, int number);
bool tn_vector_read(tn_ctx *ctx, const char *folder, const char *kind, int number, struct tn_tensor *out);
/* The folders that hold vectors at or right below `path`: it itself, io/, test_data_set_*. */
size_t tn_vector_folders(tn_ctx *ctx, const char *path, const char ***out);

struct tn_tolerance {
  double rtol, atol; /* < 0: chosen by dtype */
};
const char *tn_type_text(tn_arena *arena, const struct tn_type *type); /* "f32[1,10]" */
/* NULL when equal within the tolerance, else what differs, in words. */
char *tn_compare(tn_arena *arena, const char *name, const struct tn_tensor *got,
                 const struct tn_tensor *expected, struct tn_tolerance tolerance);

/* ---- loading (load.c; tir.c for models in text) --------------------------------------------------------- */

struct tn_bindings { /* what --dim, --shape and --bind say */
  TN_VEC(struct tn_onnx_dim) dims;
  TN_VEC(struct tn_onnx_shape) shapes;
  TN_VEC(struct tn_onnx_value) values;
};
struct tn_given {                 /* what is known beyond the options: the inputs of this run, in graph order */
  const struct tn_tensor *inputs; /* of dtype TN_NONE: not known */
  size_t count;
};
struct tn_built {
  struct tn_module *module;
  struct tn_codegen *cg;
  TN_VEC(int) live;           /* numbers (in the model) of the inputs that are still inputs */
  TN_VEC(const char *) bound; /* names of inputs made constants because their values decide shapes */
};
/* All inputs of the model, whatever the options bind. */
bool tn_model_inputs(tn_ctx *ctx, const struct tn_options *o, const struct tn_onnx_port **out, size_t *count);
/* The model's inputs in order: --input NAME=FILE, --bind NAME=FILE or numbered files of --inputs.  One without
 * a value is an error, or with `optional` left as TN_NONE. */
bool tn_read_inputs(tn_ctx *ctx, const struct tn_options *o, bool optional, struct tn_given *out);
/* What inspect tells, with what the options bind bound.  False when the file cannot be read as a model. */
bool tn_inspect_model(tn_ctx *ctx, const struct tn_options *o, struct tn_onnx_summary *out);
bool tn_tir_inspect(tn_ctx *ctx, const struct tn_options *o, const struct tn_bindings *b,
                    struct tn_onnx_summary *out);
/* The module of a .tir file, bound.  NULL after a diagnostic. */
struct tn_module *tn_tir_load(tn_ctx *ctx, const struct tn_options *o, const struct tn_bindings *b);
/* Load, import, passes; with `stop_after` the module is as that pass left it. */
bool tn_load(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given, struct tn_built *out);

struct tn_cache; /* below */

/* ---- the pipeline (pipeline.c) ------------------------------------------------------------------------- */

/* tn_load and code generation; cache: or NULL. */
bool tn_build_model(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given,
                    struct tn_cache *cache, bool profile, struct tn_built *out);
const char *tn_model_prefix(tn_ctx *ctx, const struct tn_options *o);

/* A build loaded into this process, with o->threads threads that live as long as ctx (program.c). */
struct tn_program {
  tn_run_function *run; /* or, with threads: */
  tn_parallel_run_function *run_parallel;
  struct tenon_parallel *pool;
};
bool tn_program_load(tn_ctx *ctx, const struct tn_options *o, struct tn_codegen *cg, void (*hook)(int kernel),
                     struct tn_program *out);
int tn_program_run(const struct tn_program *p, const void *const *inputs, void *const *outputs, void *arena);

/* Whether the value is of the input's dtype and shape; else reports. */
bool tn_check_input(tn_ctx *ctx, const struct tn_value *input, const struct tn_tensor *given);
/* Runs a loaded model once on `inputs` (all of the model's, in order); outputs are allocated in arena. */
bool tn_execute(tn_ctx *ctx, struct tn_built *built, const struct tn_tensor *inputs,
                const struct tn_program *program, struct tn_tensor **outputs, size_t *output_count);
/* What --per-node finds: a sentence. */
const char *tn_first_difference(tn_ctx *ctx, const struct tn_options *o, struct tn_built *built,
                                const struct tn_tensor *inputs);
void tn_print_diags(tn_ctx *ctx, size_t from);

/* ---- the compile cache (cache.c, cache_files.c, cache_compile.c) ------------------------------------------
 */

/* Bytes that the cache holds as a file of their own. */
struct tn_blob {
  struct tn_blob *next;
  struct tn_hash hash;
  struct tn_bytes bytes; /* alive as long as the tn_ctx, as is the rest */
  int fd;
};
struct tn_cache {
  tn_ctx *ctx;
  const char *folder;
  int64_t most_bytes;
  struct tn_object_cache objects; /* for codegen */
  struct tn_blob *blobs;          /* that were given or taken by this process */
};
/* NULL: off, or not to be had; as an argument below it is a cache that holds nothing. */
struct tn_cache *tn_cache_open(tn_ctx *ctx, const struct tn_options *o);

/* An entry of a kind ("tno", see cache.c): the bytes that were put under the key, or false.  They live as long
 * as the tn_ctx. */
bool tn_entry_get(struct tn_cache *c, const char *kind, struct tn_hash key, struct tn_bytes *out);
void tn_entry_put(struct tn_cache *c, const char *kind, struct tn_hash key, const void *bytes, size_t size);

/* Bytes by their hash; NULL when they are not there, or cannot be kept.  What is put is not copied. */
const struct tn_blob *tn_blob_get(struct tn_cache *c, struct tn_hash hash, uint64_t size);
const struct tn_blob *tn_blob_put(struct tn_cache *c, struct tn_bytes bytes);
const struct tn_blob *tn_blob_find(const struct tn_cache *c, struct tn_bytes bytes); /* given or taken before */

/* The hash of a plain file, and its stamp when it was hashed; remembered for large ones.  False, without a
 * diagnostic: it cannot be read, is none, or is being written. */
bool tn_file_hash(tn_ctx *ctx, struct tn_cache *c, const char *path, struct tn_stamp *stamp,
                  struct tn_hash *hash);
/* That the file with a stamp of this compiler's making (tn_file.stamp) has the hash. */
void tn_cache_remember(struct tn_cache *c, const struct tn_stamp *stamp, struct tn_hash hash);
/* Whether the file is a large one that is known to have the hash; and the same, making it as new as if it had
 * been written now. */
bool tn_output_is(struct tn_cache *c, const char *path, struct tn_hash hash);
bool tn_output_touch(struct tn_cache *c, const char *path, struct tn_hash hash);

/* What `tenon compile` writes of, made now or before. */
struct tn_product {
  const char *name, *triple, *header;
  struct tn_build_facts facts;
  struct tn_bytes object, weights; /* weights: of a file of their own */
  const char *const *read;         /* paths of all files that were read */
  size_t read_count;
};
/* The key: model, options and compiler.  False: this cannot be kept (it prints on its way, say). */
bool tn_product_key(struct tn_cache *c, const struct tn_options *o, struct tn_hash *key, struct tn_hash *model);
/* What was kept, if all files that it was made of are what they were; its warnings are reported again. */
bool tn_product_get(struct tn_cache *c, const struct tn_options *o, struct tn_hash key, struct tn_product *out);
/* model: its hash when the key was made. */
void tn_product_put(struct tn_cache *c, const struct tn_options *o, struct tn_hash key, struct tn_hash model,
                    const struct tn_product *product);

/* Among the three files. */
const char *tn_cache_path(const struct tn_cache *c, tn_arena *arena, const char *kind, struct tn_hash key);
bool tn_cache_map(tn_ctx *ctx, int fd, struct tn_bytes *out);
int tn_cache_part(struct tn_cache *c, const char *path, const char **part); /* a file to become `path`, open */
void tn_cache_evict(struct tn_cache *c); /* what was not used for longest, when there is too much */

/* ---- the commands: exit statuses ------------------------------------------------------------------------ */

bool tn_command_compile(tn_ctx *ctx, const struct tn_options *o);
bool tn_command_run(tn_ctx *ctx, const struct tn_options *o);
bool tn_command_verify(tn_ctx *ctx, const struct tn_options *o);
bool tn_command_bench(tn_ctx *ctx, const struct tn_options *o);
bool tn_command_inspect(tn_ctx *ctx, const struct tn_options *o);

/* Runs an object on a vector folder through --runner: see cross.c. */
bool tn_run_foreign(tn_ctx *ctx, const struct tn_options *o, struct tn_built *built,
                    const struct tn_tensor *inputs, struct tn_tensor **outputs, size_t *output_count);
/* peak.c: one core's limits, measured with instructions of the target's width; rates by size of working set. */
#define TN_LEVELS 5
struct tn_peak {
  double flops;                            /* float32 operations a second; a multiply-add is two */
  double burst;                            /* the same at its best, from rest */
  double read[TN_LEVELS], copy[TN_LEVELS]; /* bytes a second; a byte copied counts twice */
};
/* flops is burst until somebody knows better. */
void tn_peak_measure(tn_ctx *ctx, const struct tn_target *target, struct tn_peak *peak);
/* One measurement of the multiply-adds, 0.2 ms: at the clock that the core has now. */
double tn_peak_multiply_adds(const struct tn_target *target);
/* The least seconds that a kernel's calls can take, by arithmetic or by memory, whichever binds.  weight_bytes:
 * of the whole model. */
double tn_peak_seconds(const struct tn_peak *peak, const struct tn_build_kernel *kernel, int64_t weight_bytes);
/* A self-contained HTML page about the build. */
char *tn_report_html(tn_ctx *ctx, struct tn_built *built);
void tn_json_string(struct tn_str *s, const char *text); /* quoted and escaped */
extern struct tn_pass_progress tn_progress; /* where the process is, for the crash handler of main.c */
double tn_now(void);                        /* seconds, monotonic */
const char *tn_human_bytes(tn_arena *arena, int64_t bytes);

#endif
