/* Objects made before: what is kept of a build, and under which key.
 *
 * The key is the hash of all that the object depends on: the planned module (its text, long constants by their
 * hash), the resolved target, the options that change code, and the build of this compiler and of LLVM.  What
 * is kept are the facts and the object. */
#include "codegen/internal.h"

#include <llvm-c/Core.h>

#include <stdlib.h>

/* A field that is added to the options belongs in the key when it changes the object: then here, and in this
 * sum. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct tn_target_options) == 88, "see tn_cache_key");

struct tn_hash tn_cache_key(struct tn_codegen *cg) {
  tn_arena *scratch = tn_arena_create(cg->ctx);
  const struct tn_target *t = &cg->target;
  const struct tn_target_options *o = &cg->options;
  struct tn_hash module = tn_module_hash(scratch, cg->module);
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  struct tn_str s;
  tn_str_init(&s, scratch);
  tn_str_add(&s, "compiler %s LLVM %u.%u.%u\n", tn_hash_hex(scratch, o->cache->compiler), major, minor, patch);
  tn_str_add(&s, "model %s module %s\n", tn_hash_hex(scratch, cg->facts.model_hash),
             tn_hash_hex(scratch, module));
  tn_str_add(&s, "target %s cpu '%s' features '%s'\n", t->triple, t->cpu, t->features);
  tn_str_add(&s, "opt %d small %d threads %d fork %d profile %d section '%s'\n", t->opt, t->small, t->threads,
             t->fork_ns, o->profile, o->weights_section ? o->weights_section : "");
  struct tn_hash key = tn_hash_bytes(s.at, s.count);
  tn_arena_destroy(scratch);
  return key;
}

/* ---- the facts: numbers, then the kernels with their names --------------------------------------------------
 */

enum { NUMBERS = 11, KERNEL_NUMBERS = 6 };

static void put(struct tn_str *s, int64_t v) {
  tn_str_addn(s, (const char *)&v, sizeof v);
}

static void put_text(struct tn_str *s, const char *text) {
  tn_str_addn(s, text ? text : "", (text ? strlen(text) : 0) + 1);
}

void tn_facts_put(struct tn_str *s, const struct tn_build_facts *f) {
  tn_str_addn(s, (const char *)&f->model_hash, sizeof f->model_hash);
  const int64_t numbers[NUMBERS] = {f->code_bytes,  f->weight_bytes, f->arena_bytes,    f->arena_low_bound,
                                    f->io_bytes,    f->stack_bytes,  f->macs,           f->flops,
                                    f->arena_align, f->kernel_count, f->kernel_distinct};
  for (int i = 0; i < NUMBERS; i++)
    put(s, numbers[i]);
  for (int i = 0; i < f->kernel_count; i++) {
    const struct tn_build_kernel *k = &f->kernels[i];
    const int64_t each[KERNEL_NUMBERS] = {k->flops, k->bytes, k->macs, k->written, k->constant, k->calls};
    for (int n = 0; n < KERNEL_NUMBERS; n++)
      put(s, each[n]);
    put_text(s, k->symbol);
    put_text(s, k->node);
  }
}

bool tn_facts_take(tn_arena *arena, struct tn_bytes *from, struct tn_build_facts *facts) {
  struct tn_hash model;
  int64_t n[NUMBERS];
  if (!tn_take(from, &model, sizeof model) || !tn_take(from, n, sizeof n) || n[9] < 0 ||
      (uint64_t)n[9] > from->size / sizeof(int64_t[KERNEL_NUMBERS]))
    return false;
  struct tn_build_kernel *kernels = TN_NEW_ARRAY(arena, struct tn_build_kernel, n[9] + 1);
  for (int64_t i = 0; i < n[9]; i++) {
    int64_t k[KERNEL_NUMBERS];
    if (!tn_take(from, k, sizeof k) || !tn_take_text(from, &kernels[i].symbol) ||
        !tn_take_text(from, &kernels[i].node))
      return false;
    kernels[i].flops = k[0], kernels[i].bytes = k[1], kernels[i].macs = k[2];
    kernels[i].written = k[3], kernels[i].constant = k[4], kernels[i].calls = k[5];
  }
  *facts = (struct tn_build_facts){.code_bytes = n[0],
                                   .weight_bytes = n[1],
                                   .arena_bytes = n[2],
                                   .arena_low_bound = n[3],
                                   .io_bytes = n[4],
                                   .stack_bytes = n[5],
                                   .macs = n[6],
                                   .flops = n[7],
                                   .arena_align = (int)n[8],
                                   .kernel_count = (int)n[9],
                                   .kernel_distinct = (int)n[10],
                                   .kernels = kernels,
                                   .model_hash = model};
  return true;
}

/* ---- the object ---------------------------------------------------------------------------------------------
 */

void tn_cache_put(struct tn_codegen *cg) {
  const struct tn_object_cache *cache = cg->options.cache;
  tn_arena *scratch = tn_arena_create(cg->ctx);
  struct tn_str s;
  tn_str_init(&s, scratch);
  tn_facts_put(&s, &cg->facts);
  cache->put(cache->user, cg->key, (struct tn_bytes){(const uint8_t *)s.at, s.count}, cg->object);
  tn_arena_destroy(scratch);
}

bool tn_cache_get(struct tn_codegen *cg) {
  const struct tn_object_cache *cache = cg->options.cache;
  struct tn_bytes head, object;
  struct tn_build_facts facts;
  if (!cache->get(cache->user, cg->key, &head, &object) || !tn_facts_take(cg->arena, &head, &facts) ||
      head.size)
    return false;
  cg->facts = facts;
  cg->object = object;
  return true;
}
