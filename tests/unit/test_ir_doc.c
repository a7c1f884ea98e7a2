/* The examples of docs/ir.md, each a block that starts with ```tir: what is parsed and printed is the same
 * text. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void check(const char *text) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  size_t count;
  struct tn_module *m = tn_parse(ctx, "docs/ir.md", text, strlen(text));
  if (!m || !tn_verify(m, "reading"))
    fail_msg("%s\n%s", tn_diag_format(tn_ctx_arena(ctx), tn_diags(ctx, &count)), text);
  const char *printed = tn_print(m->arena, m);
  if (strcmp(printed, text) != 0)
    fail_msg("docs/ir.md has\n%swhich prints as\n%s", text, printed);
  tn_ctx_destroy(ctx);
}

static void examples(void **state) {
  (void)state;
  static const char start[] = "\n```tir\n", end[] = "\n```\n";
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_bytes bytes;
  int count = 0;
  assert_true(tn_file_map(ctx, TENON_IR_MD, &bytes));
  char *page = tn_strndup(tn_ctx_arena(ctx), (const char *)bytes.at, bytes.size);
  for (char *at = strstr(page, start); at; at = strstr(at, start), count++) {
    at += strlen(start);
    char *close = strstr(at, end);
    assert_non_null(close);
    check(tn_strndup(tn_ctx_arena(ctx), at, (size_t)(close + 1 - at)));
    at = close;
  }
  assert_true(count >= 6);
  tn_ctx_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(examples)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
