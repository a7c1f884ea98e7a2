/* Scratch lies where nothing is alive while its kernel runs: in the lowest gap that holds it, else at the end.
 */
#include "unit/codegen_eval.h"
#include "codegen/internal.h"

#define KERNEL(n, in, dims)                                                                               \
  "kernel(" in ") graph(%p" n ": f32[" dims "]) {\n %q" n " = exp(%p" n ") : f32[" dims "]\n return %q" n \
  "\n } : f32[" dims "] "
#define BRANCH(n) "graph() {\n %e" n " = " KERNEL(n, "%c", "64") "@arena+256\n return %e" n "\n }"

static const char text[] =
    "module \"m\"\nmemory {arena = 1024, arena_low_bound = 1024, weights = 0}\n"
    "graph(%x: f32[64] @input 0, %t: bool[] @input 1) {\n"
    "  %a = " KERNEL("1", "%x", "64") "@arena+0\n"
                                      "  %b = " KERNEL(
                                          "2", "%a",
                                          "64") "@arena+512 window(16, [2])\n"
                                                "  %v = reshape(%a) {shape = [8,8]} : f32[8,8] @arena+0\n"
                                                "  %c = " KERNEL(
                                                    "3", "%b",
                                                    "64") "@arena+256\n"
                                                          "  %d = " KERNEL(
                                                              "4", "%v",
                                                              "8,8") "@output 0\n"
                                                                     "  %f = if(%t) " BRANCH("5") " " BRANCH(
                                                                         "6") " : f32[64] @arena+256\n"
                                                                              "  %g = " KERNEL(
                                                                                  "7", "%f",
                                                                                  "64") "@output 1\n"
                                                                                        "  return %d, %g\n}\n";

static const struct tn_node *maker(const struct tn_module *m, const char *name) {
  const struct tn_node *node = m->main->first;
  while (node && strcmp(node->out[0]->name, name) != 0)
    node = node->next;
  assert_non_null(node);
  return node;
}

EVAL_TEST(places) {
  struct tn_module *m = tn_parse(f->ctx, "scratch.tir", text, strlen(text));
  if (!m)
    tn_fail_now(f->ctx);
  const struct tn_scratch *s = tn_scratch_create(tn_ctx_arena(f->ctx), m);
  /* %a [0, 256) until its view was read; %b [512, 512 + 4 (16 + 2 63 + 1)); %c [256, 512) through the if */
  assert_int_equal(tn_scratch_place(s, maker(m, "a"), 64), 256);
  assert_int_equal(tn_scratch_place(s, maker(m, "b"), 256), 256);
  assert_int_equal(tn_scratch_place(s, maker(m, "b"), 257), 1088);
  assert_int_equal(tn_scratch_place(s, maker(m, "c"), 1), 1088);
  assert_int_equal(tn_scratch_place(s, maker(m, "d"), 1), 512);
  assert_int_equal(tn_scratch_place(s, maker(m, "g"), 256), 0);
  assert_int_equal(tn_scratch_place(s, maker(m, "g"), 320), 512);
  /* inside of a branch: behind the arena */
  assert_int_equal(tn_scratch_place(s, maker(m, "f")->region[0]->first, 1), 1024);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(places)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
