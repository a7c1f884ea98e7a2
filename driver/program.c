/* A compiled model in this process, with the pool of threads that --threads asks for. */
#include "driver/driver.h"

#include "runtime/tenon_threads.h"

static void destroy_pool(void *pool) {
  tenon_threads_destroy(pool);
}

bool tn_program_load(tn_ctx *ctx, const struct tn_options *o, struct tn_codegen *cg, void (*hook)(int kernel),
                     struct tn_program *out) {
  *out = (struct tn_program){0};
  if (o->threads == 1) {
    out->run = tn_codegen_load(cg, hook);
    return out->run != NULL;
  }
  out->run_parallel = tn_codegen_load_parallel(cg, hook);
  if (!out->run_parallel)
    return false;
  out->pool = tenon_threads_create(o->threads);
  if (!out->pool) {
    tn_report(ctx, TN_ERROR, (struct tn_where){0}, "--threads=%d: so many threads cannot be started",
              o->threads);
    return false;
  }
  tn_ctx_cleanup(ctx, destroy_pool, out->pool);
  return true;
}

int tn_program_run(const struct tn_program *p, const void *const *inputs, void *const *outputs, void *arena) {
  return p->run ? p->run(inputs, outputs, arena) : p->run_parallel(inputs, outputs, arena, p->pool);
}
