/* Diagnostics: recorded in the context in order of report.
 *
 * Reporting never leaves to the guard.  One slot is always kept free, so that when memory runs out, that can
 * still be said. */
#include "support/context.h"

#include <stdio.h>

static const char no_memory_text[] = "out of memory; give the process more, or compile a smaller model";

void tn_report_no_memory(tn_ctx *ctx) {
  /* Said once in a row: what fails next fails for the same reason. */
  if (ctx->diag_count && ctx->diags[ctx->diag_count - 1].text == no_memory_text)
    return;
  if (ctx->diag_count < ctx->diag_cap)
    ctx->diags[ctx->diag_count++] = (struct tn_diag){.severity = TN_ERROR, .text = no_memory_text};
}

/* Room for two: one to fill now, one that stays free. */
static bool make_room(tn_ctx *ctx) {
  if (ctx->diag_count + 2 <= ctx->diag_cap)
    return true;
  size_t cap = ctx->diag_cap * 2;
  bool inlined = ctx->diags == ctx->first;
  struct tn_diag *more = tn_ctx_resize(ctx, inlined ? NULL : ctx->diags, cap * sizeof *more);
  if (!more)
    return false;
  if (inlined)
    memcpy(more, ctx->first, ctx->diag_count * sizeof *more);
  ctx->diags = more;
  ctx->diag_cap = cap;
  return true;
}

/* The reporter's strings may lie in an arena that goes before the context does. */
static bool keep_text(tn_ctx *ctx, const char *text, const char **out) {
  *out = NULL;
  if (!text)
    return true;
  size_t size = strlen(text) + 1;
  char *copy = tn_arena_try(&ctx->arena, size, 1);
  if (!copy)
    return false;
  memcpy(copy, text, size);
  *out = copy;
  return true;
}

void tn_vreport(tn_ctx *ctx, enum tn_severity severity, struct tn_where where, const char *format,
                va_list args) {
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  struct tn_diag diag = {.severity = severity};
  char *text = length < 0 ? NULL : tn_arena_try(&ctx->arena, (size_t)length + 1, 1);
  if (!text || !make_room(ctx) || !keep_text(ctx, where.file, &diag.file) ||
      !keep_text(ctx, where.node, &diag.node) || !keep_text(ctx, where.op, &diag.op)) {
    tn_report_no_memory(ctx);
    return;
  }
  vsnprintf(text, (size_t)length + 1, format, args);
  diag.text = text;
  ctx->diags[ctx->diag_count++] = diag;
}

void tn_report(tn_ctx *ctx, enum tn_severity severity, struct tn_where where, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tn_vreport(ctx, severity, where, format, args);
  va_end(args);
}

void tn_bug(tn_ctx *ctx, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tn_vreport(ctx, TN_BUG, (struct tn_where){0}, format, args);
  va_end(args);
  tn_fail_now(ctx);
}

size_t tn_diag_count(const tn_ctx *ctx, enum tn_severity at_least) {
  size_t count = 0;
  for (size_t i = 0; i < ctx->diag_count; i++)
    count += ctx->diags[i].severity >= at_least;
  return count;
}

const struct tn_diag *tn_diags(const tn_ctx *ctx, size_t *count) {
  *count = ctx->diag_count;
  return ctx->diags;
}

char *tn_diag_format(tn_arena *arena, const struct tn_diag *diag) {
  static const char *const names[] = {
      [TN_NOTE] = "note", [TN_WARNING] = "warning", [TN_ERROR] = "error", [TN_BUG] = "internal error"};
  struct tn_str s;
  tn_str_init(&s, arena);
  if (diag->file)
    tn_str_add(&s, "%s: ", diag->file);
  tn_str_add(&s, "%s: ", names[diag->severity]);
  if (diag->node && diag->op)
    tn_str_add(&s, "node '%s' (%s): ", diag->node, diag->op);
  else if (diag->node)
    tn_str_add(&s, "node '%s': ", diag->node);
  else if (diag->op)
    tn_str_add(&s, "%s: ", diag->op);
  tn_str_add(&s, "%s", diag->text);
  return s.at;
}

void tn_diag_truncate(tn_ctx *ctx, size_t keep) {
  if (keep < ctx->diag_count)
    ctx->diag_count = keep;
}
