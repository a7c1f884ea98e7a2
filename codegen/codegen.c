/* The stages of a build: open the target, emit the program, optimize, make the object, measure it. */
#include "codegen/internal.h"

/* How many parts LLVM works on at a time: some for the kernels, and one for the rest.  Nothing of the machine
 * that compiles decides, so that the object is the same everywhere. */
static int parts_of(const struct tn_codegen *cg) {
  int kernels = 0;
  for (const struct tn_node *n = cg->module->main->first; n; n = n->next)
    kernels += n->op == TN_KERNEL;
  int parts = kernels / 4 < TN_MOST_PARTS - 1 ? kernels / 4 : TN_MOST_PARTS - 1;
  return cg->target.elf && parts > 1 ? parts + 1 : 1;
}

/* The program for an object; or whole, for text. */
static bool generate(struct tn_codegen *cg, bool whole) {
  cg->whole = whole;
  tn_str_init(&cg->nests, cg->arena);
  tn_llvm_modules(cg, whole ? 1 : parts_of(cg));
  return tn_emit_program(cg) && (!whole || tn_llvm_optimize(cg));
}

struct tn_codegen *tn_codegen(struct tn_module *module, const struct tn_target_options *options,
                              struct tn_hash model_hash) {
  struct tn_codegen *cg = TN_NEW(module->arena, struct tn_codegen);
  cg->ctx = module->ctx;
  cg->arena = module->arena;
  cg->module = module;
  cg->options = *options;
  cg->facts.model_hash = model_hash;
  if (!tn_llvm_open(cg))
    return NULL;
  if (cg->options.weights_apart) /* they come about with the code */
    cg->options.cache = NULL;
  if (cg->options.cache) {
    cg->key = tn_cache_key(cg);
    cg->cached = cg->measured = tn_cache_get(cg);
  }
  return cg->cached || generate(cg, false) ? cg : NULL;
}

static bool make_object(struct tn_codegen *cg) {
  return cg->object.at || (tn_llvm_object(cg, &cg->object) && tn_object_weights(cg));
}

/* For text: the object is made and measured first, and stays what it is. */
static bool make_whole(struct tn_codegen *cg) {
  const struct tn_build_facts facts = *tn_codegen_facts(cg);
  cg->facts = (struct tn_build_facts){.model_hash = facts.model_hash};
  bool good = cg->object.at && generate(cg, true);
  cg->facts = facts;
  return good;
}

bool tn_codegen_emit(struct tn_codegen *cg, enum tn_emit_kind kind, struct tn_bytes *out) {
  const char *text = NULL;
  bool has_text = kind == TN_EMIT_NEST ? !cg->cached : cg->whole; /* of an object that was kept there is none */
  if (kind != TN_EMIT_OBJECT && !has_text && !cg->whole && !make_whole(cg))
    return false;
  switch (kind) {
  case TN_EMIT_OBJECT:
    if (!make_object(cg))
      return false;
    *out = cg->object;
    return true;
  case TN_EMIT_ASM:
    return tn_llvm_assembly(cg, out);
  case TN_EMIT_LLVM:
    text = tn_llvm_text(cg);
    break;
  case TN_EMIT_NEST:
    text = cg->nests.at ? cg->nests.at : "";
    break;
  }
  *out = (struct tn_bytes){(const uint8_t *)text, strlen(text)};
  return true;
}

/* The deepest calls: a run function, a kernel, with threads its share of a loop, a helper. */
static int64_t stack_bytes(const struct tn_codegen *cg) {
  int64_t total = 0;
  for (int kind = 0; kind < TN_FRAMES; kind++) {
    int64_t largest = 0;
    for (int i = 0; i < cg->part_count; i++)
      largest = cg->part[i].frame[kind] > largest ? cg->part[i].frame[kind] : largest;
    total += kind == TN_FRAME_KERNEL && cg->target.threads > 1 ? 2 * largest : largest;
  }
  return total;
}

const struct tn_build_facts *tn_codegen_facts(struct tn_codegen *cg) {
  if (!cg->measured && make_object(cg)) {
    cg->measured = true;
    cg->facts.code_bytes = tn_object_code_bytes(cg);
    cg->facts.stack_bytes = stack_bytes(cg);
    if (cg->options.cache && tn_diag_count(cg->ctx, TN_ERROR) == 0)
      tn_cache_put(cg);
  }
  return &cg->facts;
}

struct tn_bytes tn_codegen_weights(const struct tn_codegen *cg) {
  return cg->weights_file;
}

const struct tn_target *tn_codegen_target(const struct tn_codegen *cg) {
  return &cg->target;
}

const char *tn_codegen_triple(const struct tn_codegen *cg) {
  return cg->target.triple;
}

static void *load(struct tn_codegen *cg, const char *suffix, void (*hook)(int kernel)) {
  if (!make_object(cg))
    return NULL;
  union {
    void *data;
    void (*hook)(int);
  } address = {.hook = hook};
  return tn_llvm_load(cg, tn_printf(cg->arena, "%s_%s", cg->module->name, suffix), "tenon_profile_hook",
                      hook ? address.data : NULL);
}

tn_run_function *tn_codegen_load(struct tn_codegen *cg, void (*hook)(int kernel)) {
  union {
    void *data;
    tn_run_function *code;
  } address = {.data = load(cg, "run", hook)};
  return address.code;
}

tn_parallel_run_function *tn_codegen_load_parallel(struct tn_codegen *cg, void (*hook)(int kernel)) {
  union {
    void *data;
    tn_parallel_run_function *code;
  } address = {.data = load(cg, "run_parallel", hook)};
  return address.code;
}
