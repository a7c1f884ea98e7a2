/* The context: where the allocator, the arenas, the guards and the cleanups hang.
 *
 * A guard is a jump buffer on the stack of tn_guard(); the context knows the innermost.  What must not be lost
 * when control jumps out (a mapped file, an LLVM module) is registered as a cleanup the moment that it exists.
 */
#include "support/context.h"

#include <stdlib.h>

static void *libc_resize(void *user, void *old, size_t size) {
  (void)user;
  if (size == 0) {
    free(old);
    return NULL;
  }
  return realloc(old, size);
}

void *tn_ctx_resize(tn_ctx *ctx, void *old, size_t size) {
  return ctx->allocator.resize(ctx->allocator.user, old, size);
}

tn_ctx *tn_ctx_create(const struct tn_allocator *allocator) {
  struct tn_allocator use = {libc_resize, NULL};
  if (allocator)
    use = *allocator;
  tn_ctx *ctx = use.resize(use.user, NULL, sizeof *ctx);
  if (!ctx)
    return NULL;
  memset(ctx, 0, sizeof *ctx);
  ctx->allocator = use;
  ctx->diags = ctx->first;
  ctx->diag_cap = TN_FIRST_DIAGS;
  tn_arena_init(&ctx->arena, ctx);
  return ctx;
}

void tn_ctx_destroy(tn_ctx *ctx) {
  if (!ctx)
    return;
  while (ctx->cleanups) {
    struct tn_cleanup *cleanup = ctx->cleanups;
    ctx->cleanups = cleanup->next;
    cleanup->run(cleanup->object);
  }
  while (ctx->arenas)
    tn_arena_destroy(ctx->arenas);
  tn_arena_free_blocks(&ctx->arena);
  if (ctx->diags != ctx->first)
    tn_ctx_resize(ctx, ctx->diags, 0);
  ctx->allocator.resize(ctx->allocator.user, ctx, 0);
}

void tn_ctx_cleanup(tn_ctx *ctx, void (*run)(void *object), void *object) {
  struct tn_cleanup *cleanup = tn_arena_try(&ctx->arena, sizeof *cleanup, 16);
  if (!cleanup) {
    run(object); /* it cannot be remembered, so it goes now rather than leak */
    tn_no_memory(ctx);
  }
  *cleanup = (struct tn_cleanup){ctx->cleanups, run, object};
  ctx->cleanups = cleanup;
}

bool tn_guard(tn_ctx *ctx, bool (*body)(void *user), void *user) {
  struct tn_guard_frame frame;
  frame.outer = ctx->guard;
  ctx->guard = &frame;
  bool good = false;
  if (setjmp(frame.env) == 0)
    good = body(user);
  else
    good = false;
  ctx->guard = frame.outer;
  return good;
}

void tn_fail_now(tn_ctx *ctx) {
  if (!ctx->guard)
    abort(); /* called outside of every tn_guard(): there is no place to return to */
  longjmp(ctx->guard->env, 1);
}

void tn_no_memory(tn_ctx *ctx) {
  tn_report_no_memory(ctx);
  tn_fail_now(ctx);
}

tn_arena *tn_ctx_arena(tn_ctx *ctx) {
  return &ctx->arena;
}
