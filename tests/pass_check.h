/* For unit tests of passes: a graph as text, a pass, and the graph as text that must come out. */
#ifndef TENON_TESTS_PASS_CHECK_H
#define TENON_TESTS_PASS_CHECK_H

#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static int setup(void **state) {
  *state = tn_ctx_create(NULL);
  return *state ? 0 : -1;
}
static int teardown(void **state) {
  tn_ctx_destroy(*state);
  return 0;
}

static inline void print_diags(tn_ctx *ctx) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    print_message("%s\n", tn_diag_format(tn_ctx_arena(ctx), &diags[i]));
}

static inline struct tn_module *read_module(tn_ctx *ctx, const char *text) {
  text = tn_printf(tn_ctx_arena(ctx), "module \"\"\n%s", text);
  struct tn_module *module = tn_parse(ctx, "t.tir", text, strlen(text));
  if (!module || !tn_verify(module, "parsing")) {
    print_diags(ctx);
    fail_msg("the text was not read:\n%s", text);
  }
  return module;
}

/* The graph without the lines before it, and without the notes where a node came from. */
static inline const char *graph_text(struct tn_module *module) {
  struct tn_str out;
  tn_str_init(&out, module->arena);
  for (const char *at = strstr(tn_print(module->arena, module), "\ngraph(") + 1; *at;) {
    const char *note = strstr(at, " loc(");
    size_t length = note ? (size_t)(note - at) : strlen(at);
    tn_str_addn(&out, at, length);
    at += length + (note ? strcspn(note, "\n") : 0);
  }
  return out.at;
}

static inline struct tn_module *after_pass(tn_ctx *ctx, const char *pass, const struct tn_pass_options *options,
                                           const char *text) {
  struct tn_module *module = read_module(ctx, text);
  if (!tn_run_pass(module, pass, options)) {
    print_diags(ctx);
    fail_msg("pass '%s' failed on\n%s", pass, text);
  }
  return module;
}

static inline void becomes(tn_ctx *ctx, const char *pass, const struct tn_pass_options *options,
                           const char *before, const char *after) {
  struct tn_module *module = after_pass(ctx, pass, options, before);
  const char *found = graph_text(module);
  if (strcmp(found, after) != 0)
    fail_msg("pass '%s' made of\n%sthis:\n%sexpected:\n%s", pass, before, found, after);
}

#endif
