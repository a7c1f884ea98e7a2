/* Simplify: each rule on the smallest graph that shows it, and on one where it must keep away. */
#include "pass_check.h"

static const struct tn_pass_options options = {.level = 1, .verify_each = true};

static void simplifies(void **state, const char *before, const char *after) {
  becomes(*state, "simplify", &options, before, after);
}
static void keeps(void **state, const char *text) {
  simplifies(state, text, text);
}

static void neutral_constants(void **state) {
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %o = constant {value = f32[] [1]} : f32[]\n"
             "  %z = constant {value = f32[4] [0, 0, 0, 0]} : f32[4]\n"
             "  %a = mul(%x, %o) : f32[4]\n"
             "  %b = sub(%a, %z) : f32[4]\n"
             "  %c = div(%b, %o) : f32[4]\n"
             "  %y = exp(%c) : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %y = exp(%x) : f32[4]\n"
             "  return %y\n}\n");
}

static void a_zero_keeps_its_sign(void **state) {
  keeps(state, "graph(%x: f32[4]) {\n"
               "  %z = constant {value = f32[] [0]} : f32[]\n"
               "  %a = add(%x, %z) : f32[4]\n"
               "  %y = exp(%a) : f32[4]\n"
               "  return %y\n}\n");
  keeps(state, "graph(%x: f32[4]) {\n"
               "  %z = constant {value = f32[] [0]} : f32[]\n"
               "  %a = sub(%z, %x) : f32[4]\n"
               "  %y = exp(%a) : f32[4]\n"
               "  return %y\n}\n");
  keeps(state, "graph(%x: f32[4]) {\n"
               "  %z = constant {value = f32[] [0]} : f32[]\n"
               "  %y = mul(%x, %z) : f32[4]\n"
               "  return %y\n}\n");
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %z = constant {value = f32[] [-0]} : f32[]\n"
             "  %a = add(%x, %z) : f32[4]\n"
             "  %b = sub(%z, %a) : f32[4]\n"
             "  %y = exp(%b) : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %b = neg(%x) : f32[4]\n"
             "  %y = exp(%b) : f32[4]\n"
             "  return %y\n}\n");
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %z = constant {value = f32[] [0]} : f32[]\n"
             "  %a = abs(%x) : f32[4]\n"
             "  %b = add(%a, %z) : f32[4]\n"
             "  %y = exp(%b) : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %a = abs(%x) : f32[4]\n"
             "  %y = exp(%a) : f32[4]\n"
             "  return %y\n}\n");
}

static void neutral_constant_that_broadcasts(void **state) {
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %o = constant {value = f32[2,1] [1, 1]} : f32[2,1]\n"
             "  %a = mul(%x, %o) : f32[2,4]\n"
             "  %y = transpose(%a) {perm = [1, 0]} : f32[4,2]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %a = expand(%x) {shape = [2, 4]} : f32[2,4]\n"
             "  %y = transpose(%a) {perm = [1, 0]} : f32[4,2]\n"
             "  return %y\n}\n");
}

static void chains_of_integer_constants(void **state) {
  simplifies(state,
             "graph(%x: i32[4]) {\n"
             "  %c = constant {value = i32[] [3]} : i32[]\n"
             "  %d = constant {value = i32[] [4]} : i32[]\n"
             "  %a = add(%c, %x) : i32[4]\n"
             "  %y = add(%a, %d) : i32[4]\n"
             "  return %y\n}\n",
             "graph(%x: i32[4]) {\n"
             "  %c = constant {value = i32[] [3]} : i32[]\n"
             "  %d = constant {value = i32[] [4]} : i32[]\n"
             "  %y.1 = add(%c, %d) : i32[]\n"
             "  %y = add(%x, %y.1) : i32[4]\n"
             "  return %y\n}\n");
  keeps(state, "graph(%x: f32[4]) {\n" /* would round in another order */
               "  %c = constant {value = f32[] [3]} : f32[]\n"
               "  %d = constant {value = f32[] [4]} : f32[]\n"
               "  %a = add(%x, %c) : f32[4]\n"
               "  %y = add(%a, %d) : f32[4]\n"
               "  return %y\n}\n");
}

static void powers(void **state) {
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %two = constant {value = f32[] [2]} : f32[]\n"
             "  %half = constant {value = f32[] [0.5]} : f32[]\n"
             "  %a = pow(%x, %two) : f32[4]\n"
             "  %y = pow(%a, %half) : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %a = mul(%x, %x) : f32[4]\n"
             "  %y = sqrt(%a) : f32[4]\n"
             "  return %y\n}\n");
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %p = constant {value = f32[] [-0.75]} : f32[]\n"
             "  %a = abs(%x) : f32[4]\n"
             "  %y = pow(%a, %p) : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %a = abs(%x) : f32[4]\n"
             "  %y.1 = sqrt(%a) : f32[4]\n"
             "  %y.2 = sqrt(%y.1) : f32[4]\n"
             "  %y.3 = mul(%y.2, %y.1) : f32[4]\n"
             "  %y.4 = constant {value = f32[] [1]} : f32[]\n"
             "  %y = div(%y.4, %y.3) : f32[4]\n"
             "  return %y\n}\n");
  keeps(state, "graph(%x: f32[4]) {\n" /* sqrt(-0) is -0, pow(-0, 0.5) is 0 */
               "  %half = constant {value = f32[] [0.5]} : f32[]\n"
               "  %y = pow(%x, %half) : f32[4]\n"
               "  return %y\n}\n");
}

static void division_by_a_power_of_two(void **state) {
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %c = constant {value = f32[] [8]} : f32[]\n"
             "  %y = div(%x, %c) : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %y.1 = constant {value = f32[] [0.125]} : f32[]\n"
             "  %y = mul(%x, %y.1) : f32[4]\n"
             "  return %y\n}\n");
  keeps(state, "graph(%x: f32[4]) {\n"
               "  %c = constant {value = f32[] [3]} : f32[]\n"
               "  %y = div(%x, %c) : f32[4]\n"
               "  return %y\n}\n");
}

static void casts(void **state) {
  simplifies(state,
             "graph(%x: i8[4]) {\n"
             "  %a = cast(%x) {to = i32} : i32[4]\n"
             "  %b = cast(%a) {to = i32} : i32[4]\n"
             "  %y = cast(%b) {to = f32} : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: i8[4]) {\n"
             "  %y = cast(%x) {to = f32} : f32[4]\n"
             "  return %y\n}\n");
  keeps(state, "graph(%x: u8[4]) {\n" /* 200 saturates to 127 by way of float, and wraps without */
               "  %a = cast(%x) {to = f32} : f32[4]\n"
               "  %y = cast(%a) {to = i8} : i8[4]\n"
               "  return %y\n}\n");
  keeps(state, "graph(%x: f64[4]) {\n" /* rounds twice */
               "  %a = cast(%x) {to = f32} : f32[4]\n"
               "  %y = cast(%a) {to = f16} : f16[4]\n"
               "  return %y\n}\n");
}

static void logic(void **state) {
  simplifies(state,
             "graph(%x: f32[4], %y: f32[4]) {\n"
             "  %e = eq(%x, %y) : bool[4]\n"
             "  %n = not(%e) : bool[4]\n"
             "  %t = constant {value = bool[] [true]} : bool[]\n"
             "  %a = and(%n, %t) : bool[4]\n"
             "  %s = select(%a, %x, %y) : f32[4]\n"
             "  return %s\n}\n",
             "graph(%x: f32[4], %y: f32[4]) {\n"
             "  %n = ne(%x, %y) : bool[4]\n"
             "  %s = select(%n, %x, %y) : f32[4]\n"
             "  return %s\n}\n");
  keeps(state, "graph(%x: f32[4], %y: f32[4]) {\n" /* a NaN makes both false */
               "  %e = lt(%x, %y) : bool[4]\n"
               "  %n = not(%e) : bool[4]\n"
               "  return %n\n}\n");
  keeps(state, "graph(%x: f32[4]) {\n" /* a NaN differs from itself */
               "  %e = eq(%x, %x) : bool[4]\n"
               "  return %e\n}\n");
}

static void transposes(void **state) {
  simplifies(state,
             "graph(%x: f32[2,3,4]) {\n"
             "  %a = transpose(%x) {perm = [2, 0, 1]} : f32[4,2,3]\n"
             "  %b = transpose(%a) {perm = [1, 2, 0]} : f32[2,3,4]\n"
             "  %y = exp(%b) : f32[2,3,4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[2,3,4]) {\n"
             "  %y = exp(%x) : f32[2,3,4]\n"
             "  return %y\n}\n");
  simplifies(state,
             "graph(%x: f32[2,1,4]) {\n"
             "  %y = transpose(%x) {perm = [1, 0, 2]} : f32[1,2,4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[2,1,4]) {\n"
             "  %y = reshape(%x) {shape = [1, 2, 4]} : f32[1,2,4]\n"
             "  return %y\n}\n");
}

static void reshapes(void **state) {
  simplifies(state,
             "symbol N = 1..64\n"
             "graph(%x: f32[N,3,4]) {\n"
             "  %a = reshape(%x) {shape = [N, 12]} : f32[N,12]\n"
             "  %y = reshape(%a) {shape = [N, 4, 3]} : f32[N,4,3]\n"
             "  %b = reshape(%a) {shape = [N, 3, 4]} : f32[N,3,4]\n"
             "  %z = neg(%b) : f32[N,3,4]\n"
             "  return %y, %z\n}\n",
             "graph(%x: f32[N,3,4]) {\n"
             "  %y = reshape(%x) {shape = [N, 4, 3]} : f32[N,4,3]\n"
             "  %z = neg(%x) : f32[N,3,4]\n"
             "  return %y, %z\n}\n");
}

static void an_output_keeps_its_name(void **state) {
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %a = exp(%x) : f32[4]\n"
             "  %y = reshape(%a) {shape = [4]} : f32[4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %y = exp(%x) : f32[4]\n"
             "  return %y\n}\n");
  keeps(state, "graph(%x: f32[4]) {\n" /* an input keeps its own */
               "  %y = reshape(%x) {shape = [4]} : f32[4]\n"
               "  return %y\n}\n");
}

static void broadcasting(void **state) {
  simplifies(state,
             "graph(%x: f32[4], %z: f32[2,4]) {\n"
             "  %a = expand(%x) {shape = [2, 4]} : f32[2,4]\n"
             "  %y = add(%a, %z) : f32[2,4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4], %z: f32[2,4]) {\n"
             "  %y = add(%x, %z) : f32[2,4]\n"
             "  return %y\n}\n");
  simplifies(state,
             "graph(%x: f32[2,3]) {\n"
             "  %c = constant {value = f32[2,3] [1, 2, 3, 1, 2, 3]} : f32[2,3]\n"
             "  %y = add(%x, %c) : f32[2,3]\n"
             "  return %y\n}\n",
             "graph(%x: f32[2,3]) {\n"
             "  %y.1 = constant {value = f32[1,3] [1, 2, 3]} : f32[1,3]\n"
             "  %y = add(%x, %y.1) : f32[2,3]\n"
             "  return %y\n}\n");
  keeps(state, "graph(%x: f32[], %z: f32[]) {\n" /* the result's rank comes from the view */
               "  %a = reshape(%x) {shape = [1, 1]} : f32[1,1]\n"
               "  %y = add(%a, %z) : f32[1,1]\n"
               "  return %y\n}\n");
  keeps(state, "graph(%x: f32[]) {\n" /* and here from the constant */
               "  %c = constant {value = f32[1,1] [2]} : f32[1,1]\n"
               "  %y = add(%x, %c) : f32[1,1]\n"
               "  return %y\n}\n");
  keeps(state, "graph(%x: f32[1,3]) {\n" /* the result's shape comes from the constant */
               "  %c = constant {value = f32[2,3] [1, 2, 3, 1, 2, 3]} : f32[2,3]\n"
               "  %y = add(%x, %c) : f32[2,3]\n"
               "  return %y\n}\n");
}

static void slices(void **state) {
  simplifies(state,
             "graph(%x: f32[10]) {\n"
             "  %a = slice(%x) {starts = [8], steps = [-2], sizes = [4]} : f32[4]\n"
             "  %y = slice(%a) {starts = [1], steps = [2], sizes = [2]} : f32[2]\n"
             "  return %y\n}\n",
             "graph(%x: f32[10]) {\n"
             "  %y = slice(%x) {starts = [6], steps = [-4], sizes = [2]} : f32[2]\n"
             "  return %y\n}\n");
  simplifies(state,
             "graph(%p: f32[4], %q: f32[4]) {\n"
             "  %c = concat(%p, %q) {axis = 0} : f32[8]\n"
             "  %a = slice(%c) {starts = [4], steps = [1], sizes = [4]} : f32[4]\n"
             "  %b = slice(%c) {starts = [1], steps = [1], sizes = [2]} : f32[2]\n"
             "  %y = exp(%a) : f32[4]\n"
             "  return %y, %b\n}\n",
             "graph(%p: f32[4], %q: f32[4]) {\n"
             "  %b = slice(%p) {starts = [1], steps = [1], sizes = [2]} : f32[2]\n"
             "  %y = exp(%q) : f32[4]\n"
             "  return %y, %b\n}\n");
  keeps(state, "graph(%p: f32[4], %q: f32[4]) {\n"
               "  %c = concat(%p, %q) {axis = 0} : f32[8]\n"
               "  %a = slice(%c) {starts = [3], steps = [1], sizes = [2]} : f32[2]\n"
               "  return %a\n}\n");
}

static void concats(void **state) {
  simplifies(state,
             "graph(%x: f32[6], %q: f32[2]) {\n"
             "  %a = slice(%x) {starts = [0], steps = [1], sizes = [2]} : f32[2]\n"
             "  %b = slice(%x) {starts = [2], steps = [1], sizes = [3]} : f32[3]\n"
             "  %c = concat(%a, %b) {axis = 0} : f32[5]\n"
             "  %y = concat(%c, %q) {axis = 0} : f32[7]\n"
             "  return %y\n}\n",
             "graph(%x: f32[6], %q: f32[2]) {\n"
             "  %c = slice(%x) {starts = [0], steps = [1], sizes = [5]} : f32[5]\n"
             "  %y = concat(%c, %q) {axis = 0} : f32[7]\n"
             "  return %y\n}\n");
}

static void gathers(void **state) {
  simplifies(state,
             "graph(%x: f32[2,5]) {\n"
             "  %i = constant {value = i64[] [-2]} : i64[]\n"
             "  %y = gather(%x, %i) {axis = 1} : f32[2]\n"
             "  return %y\n}\n",
             "graph(%x: f32[2,5]) {\n"
             "  %y.1 = slice(%x) {starts = [0, 3], steps = [1, 1], sizes = [2, 1]} : f32[2,1]\n"
             "  %y = reshape(%y.1) {shape = [2]} : f32[2]\n"
             "  return %y\n}\n");
  keeps(state, "graph(%x: f32[2,5]) {\n"
               "  %i = constant {value = i64[3] [0, 1, 4]} : i64[3]\n"
               "  %y = gather(%x, %i) {axis = 1} : f32[2,3]\n"
               "  return %y\n}\n");
}

static void pads(void **state) {
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %a = pad(%x) {before = [1], after = [0]} : f32[5]\n"
             "  %b = pad(%a) {before = [1], after = [2]} : f32[8]\n"
             "  %c = pad(%b) {before = [0], after = [0]} : f32[8]\n"
             "  %y = exp(%c) : f32[8]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %b = pad(%x) {before = [2], after = [2]} : f32[8]\n"
             "  %y = exp(%b) : f32[8]\n"
             "  return %y\n}\n");
  simplifies(state,
             "graph(%x: f32[4]) {\n"
             "  %y = pad(%x) {before = [-1], after = [0]} : f32[3]\n"
             "  return %y\n}\n",
             "graph(%x: f32[4]) {\n"
             "  %y = slice(%x) {starts = [1], steps = [1], sizes = [3]} : f32[3]\n"
             "  return %y\n}\n");
}

static void windows(void **state) {
  simplifies(
      state,
      "graph(%x: f32[1,4,4,2]) {\n"
      "  %l = constant {value = f32[] [-inf]} : f32[]\n"
      "  %a = pad(%x, %l) {before = [0, 1, 1, 0], after = [0, 1, 1, 0]} : f32[1,6,6,2]\n"
      "  %y = pool(%a) {kind = max, window = [1, 3, 3, 1], strides = [1, 1, 1, 1], dilations = [1, 1, 1, 1], "
      "before = [0, 0, 0, 0], after = [0, 0, 0, 0]} : f32[1,4,4,2]\n"
      "  return %y\n}\n",
      "graph(%x: f32[1,4,4,2]) {\n"
      "  %y = pool(%x) {kind = max, window = [1, 3, 3, 1], strides = [1, 1, 1, 1], dilations = [1, 1, 1, 1], "
      "before = [0, 1, 1, 0], after = [0, 1, 1, 0]} : f32[1,4,4,2]\n"
      "  return %y\n}\n");
  keeps(state,
        "graph(%x: f32[1,4,4,2]) {\n" /* a zero counts for the largest */
        "  %a = pad(%x) {before = [0, 1, 1, 0], after = [0, 1, 1, 0]} : f32[1,6,6,2]\n"
        "  %y = pool(%a) {kind = max, window = [1, 3, 3, 1], strides = [1, 1, 1, 1], dilations = [1, 1, 1, "
        "1], before = [0, 0, 0, 0], after = [0, 0, 0, 0]} : f32[1,4,4,2]\n"
        "  return %y\n}\n");
  simplifies(
      state,
      "graph(%x: f32[1,4,4,2]) {\n"
      "  %y = pool(%x) {kind = sum, window = [1, 4, 4, 1], strides = [1, 1, 1, 1], dilations = [1, 1, 1, 1], "
      "before = [0, 0, 0, 0], after = [0, 0, 0, 0]} : f32[1,1,1,2]\n"
      "  return %y\n}\n",
      "graph(%x: f32[1,4,4,2]) {\n"
      "  %y = reduce_sum(%x) {axes = [1, 2]} : f32[1,1,1,2]\n"
      "  return %y\n}\n");
}

static void reductions(void **state) {
  simplifies(state,
             "graph(%x: f32[3,1,4]) {\n"
             "  %y = reduce_max(%x) {axes = [1], keepdims = 0} : f32[3,4]\n"
             "  return %y\n}\n",
             "graph(%x: f32[3,1,4]) {\n"
             "  %y = reshape(%x) {shape = [3, 4]} : f32[3,4]\n"
             "  return %y\n}\n");
  simplifies(state,
             "graph(%x: f32[3,2,4]) {\n"
             "  %a = reduce_max(%x) {axes = [2]} : f32[3,2,1]\n"
             "  %y = reduce_max(%a) {axes = [0]} : f32[1,2,1]\n"
             "  return %y\n}\n",
             "graph(%x: f32[3,2,4]) {\n"
             "  %y = reduce_max(%x) {axes = [0, 2]} : f32[1,2,1]\n"
             "  return %y\n}\n");
}

static void inside_a_loop(void **state) {
  simplifies(state,
             "graph(%n: i64[], %t: bool[], %x: f32[4]) {\n"
             "  %o = constant {value = f32[] [1]} : f32[]\n"
             "  %y = loop(%n, %t, %x) graph(%i: i64[], %c: bool[], %h: f32[4]) {\n"
             "    %a = mul(%h, %o) : f32[4]\n"
             "    %b = exp(%a) : f32[4]\n"
             "    %d = lt(%i, %n) : bool[]\n"
             "    return %d, %b\n"
             "  } : f32[4]\n"
             "  return %y\n}\n",
             "graph(%n: i64[], %t: bool[], %x: f32[4]) {\n"
             "  %y = loop(%n, %t, %x) graph(%i: i64[], %c: bool[], %h: f32[4]) {\n"
             "    %b = exp(%h) : f32[4]\n"
             "    %d = lt(%i, %n) : bool[]\n"
             "    return %d, %b\n"
             "  } : f32[4]\n"
             "  return %y\n}\n");
}

static void what_a_loop_does_not_change_leaves_it(void **state) {
  simplifies(state,
             "graph(%n: i64[], %t: bool[], %x: f32[4], %w: f32[4]) {\n"
             "  %y = loop(%n, %t, %x) graph(%i: i64[], %c: bool[], %h: f32[4]) {\n"
             "    %a = exp(%w) : f32[4]\n"
             "    %b = neg(%a) : f32[4]\n"
             "    %d = mul(%h, %b) : f32[4]\n"
             "    return %c, %d\n"
             "  } : f32[4]\n"
             "  return %y\n}\n",
             "graph(%n: i64[], %t: bool[], %x: f32[4], %w: f32[4]) {\n"
             "  %a = exp(%w) : f32[4]\n"
             "  %b = neg(%a) : f32[4]\n"
             "  %c = constant {value = bool[] [true]} : bool[]\n"
             "  %y = loop(%n, %t, %x) graph(%i: i64[], %c.1: bool[], %h: f32[4]) {\n"
             "    %d = mul(%h, %b) : f32[4]\n"
             "    return %c, %d\n"
             "  } : f32[4]\n"
             "  return %y\n}\n");
}

static void a_loop_carries_what_is_needed(void **state) {
  struct tn_module *module =
      after_pass(*state, "simplify", &options,
                 "graph(%n: i64[], %t: bool[], %x: f32[4], %w: f32[4], %v: f32[4]) {\n"
                 "  %p, %q, %r, %s, %u, %z = loop(%n, %t, %x, %w, %v, %x) {trip = 3} "
                 "graph(%i: i64[], %c: bool[], %a: f32[4], %b: f32[4], %d: f32[4], %e: f32[4]) {\n"
                 "    %f = mul(%a, %b) : f32[4]\n" /* needed; b is invariant */
                 "    %g = add(%d, %f) : f32[4]\n" /* only for itself */
                 "    %h = add(%e, %f) : f32[4]\n" /* for the second scan */
                 "    return %c, %f, %b, %g, %h, %g, %h\n"
                 "  } : f32[4], f32[4], f32[4], f32[4], f32[3,4], f32[3,4]\n"
                 "  %l = exp(%q) : f32[4]\n"
                 "  return %p, %l, %z\n}\n");
  const struct tn_node *loop = module->main->outputs.at[0]->def;
  assert_int_equal(loop->op, TN_LOOP);
  assert_int_equal(loop->in_count, 4);
  assert_int_equal(loop->out_count, 3);
  assert_string_equal(loop->in[2]->name, "x");
  assert_string_equal(loop->in[3]->name, "x");
  assert_ptr_equal(module->main->outputs.at[2], loop->out[2]);
  assert_string_equal(module->main->outputs.at[1]->def->in[0]->name, "w");
  assert_string_equal(loop->region[0]->outputs.at[1]->def->in[1]->name, "w");
}

/* Each level copies the levels inside it; were the old ones left beside the new, the graph would double at
 * each. */
static void loops_in_loops(void **state) {
  enum { DEPTH = 40 };
  struct tn_str text;
  tn_str_init(&text, tn_ctx_arena(*state));
  tn_str_add(&text, "graph(%%n: i64[], %%t: bool[], %%x: f32[4], %%w: f32[4]) {\n");
  for (int i = 0; i < DEPTH; i++)
    tn_str_add(&text,
               "%%y%d, %%z%d = loop(%%n, %%t, %s%d, %%w) graph(%%i%d: i64[], %%c%d: bool[], %%h%d: f32[4], "
               "%%v%d: f32[4]) {\n",
               i, i, i ? "%h" : "%x.", i - 1, i, i, i, i);
  tn_str_add(&text, "%%a = exp(%%h%d) : f32[4]\n", DEPTH - 1);
  for (int i = DEPTH - 1; i >= 0; i--) {
    tn_str_add(&text, "return %%c%d, %s%d, %%v%d\n", i, i == DEPTH - 1 ? "%a." : "%y", i + 1, i);
    tn_str_add(&text, "} : f32[4], f32[4]\n");
  }
  tn_str_add(&text, "return %%y0, %%z0\n}\n");
  /* The outermost and the innermost have no number. */
  char *first = strstr(text.at, "%x.-1"), *last = strstr(text.at, "%a.40");
  memcpy(first, "%x   ", 5);
  memcpy(last, "%a   ", 5);
  struct tn_module *module = after_pass(*state, "simplify", &options, text.at);
  int depth = 0;
  for (const struct tn_graph *graph = module->main; graph; depth++) {
    const struct tn_node *loop = graph->first;
    while (loop && loop->op != TN_LOOP)
      loop = loop->next;
    if (loop)
      assert_int_equal(loop->in_count, 3);
    graph = loop ? loop->region[0] : NULL;
  }
  assert_int_equal(depth, DEPTH + 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(neutral_constants),
      TEST(a_zero_keeps_its_sign),
      TEST(neutral_constant_that_broadcasts),
      TEST(chains_of_integer_constants),
      TEST(powers),
      TEST(division_by_a_power_of_two),
      TEST(casts),
      TEST(logic),
      TEST(transposes),
      TEST(reshapes),
      TEST(an_output_keeps_its_name),
      TEST(broadcasting),
      TEST(slices),
      TEST(concats),
      TEST(gathers),
      TEST(pads),
      TEST(windows),
      TEST(reductions),
      TEST(inside_a_loop),
      TEST(what_a_loop_does_not_change_leaves_it),
      TEST(a_loop_carries_what_is_needed),
      TEST(loops_in_loops),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
