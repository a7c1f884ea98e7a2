/* Shape rules: each row is a graph in text whose written types must be the inferred ones, or whose diagnostic
 * must say what is expected. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct row {
  const char *inputs, *body;
  const char *error; /* NULL: the graph is right; else a part of the message */
};

static void check_rows(const struct row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const struct row *r = &rows[i];
    char text[2048];
    int size = snprintf(text, sizeof text, "module \"t\"\ngraph(%s) {\n%s\nreturn }\n", r->inputs, r->body);
    tn_ctx *ctx = tn_ctx_create(NULL);
    bool good = tn_parse(ctx, "t.tir", text, (size_t)size) != NULL;
    size_t diag_count;
    const struct tn_diag *diags = tn_diags(ctx, &diag_count);
    bool said = false;
    for (size_t d = 0; d < diag_count && r->error; d++)
      said = said || (diags[d].severity == TN_ERROR && strstr(diags[d].text, r->error) != NULL);
    if (good != (r->error == NULL) || (r->error && !said)) {
      print_error("%s -> %s\n  expected: %s\n", r->inputs, r->body, r->error ? r->error : "no error");
      for (size_t d = 0; d < diag_count; d++)
        print_error("  found: %s\n", tn_diag_format(tn_ctx_arena(ctx), &diags[d]));
      fail();
    }
    tn_ctx_destroy(ctx);
  }
}
#define CHECK_ROWS(rows) check_rows(rows, TN_COUNT(rows))

static void sources(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"", "%r = constant {value = f32[2,2] [1, 2, 3, 4]} : f32[2,2]", NULL},
      {"", "%r = constant {value = f32[0] []} : f32[0]", NULL},
      {"", "%r = iota {shape = [2, N], axis = -1} : i64[2,N]", NULL},
      {"", "%r = iota {shape = [2], axis = 1} : i64[2]", "axis must be in -1..0"},
      {"", "%r = iota {shape = [2], dtype = bool} : bool[2]", "numeric dtype"},
      {"", "%r = iota {shape = [1,1,1,1,1,1,1,1,1]} : i64[1]", "rank is at most 8"},
      {"", "%r = iota {shape = [1000000, 1000000, 1000000]} : i64[1]", "2^40 bytes"},
      {"", "%r = iota {shape = [9223372036854775807, 0]} : i64[0]", "2^40 bytes"},
      {"%x: f32[N,3,4]", "%r = shape(%x) : i64[3]", NULL},
      {"%x: f32[N,3,4]", "%r = shape(%x) {start = -2, end = 99} : i64[2]", NULL},
      {"%x: f32[N,3,4]", "%r = shape(%x) {start = 2, end = 1} : i64[0]", NULL},
      {"%x: f32[]", "%r = shape(%x) {start = -9223372036854775808} : i64[0]", NULL},
  };
  CHECK_ROWS(rows);
}

static void elementwise(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"%x: i32[2]", "%r = neg(%x) : i32[2]", NULL},
      {"%x: bool[2]", "%r = neg(%x) : bool[2]", "must be numeric, not bool"},
      {"%x: i32[2]", "%r = exp(%x) : i32[2]", "operand 'x' must be of a float dtype (cast it), found i32[2]"},
      {"%x: f32[2]", "%r = not(%x) : f32[2]", "must be bool or of an integer dtype"},
      {"%x: f32[2]", "%r = isnan(%x) : bool[2]", NULL},
      {"%x: f32[2,N]", "%r = cast(%x) {to = i8} : i8[2,N]", NULL},
      {"%x: f32[2]", "%r = cast(%x) {to = none} : i8[2]", "must be a dtype"},
      {"%x: f32[2]", "%r = bitcast(%x) {to = u32} : u32[2]", NULL},
      {"%x: f32[2]", "%r = bitcast(%x) {to = u16} : u16[2]", "elements must be of one size"},
      {"%x: f32[2,1], %y: f32[3]", "%r = add(%x, %y) : f32[2,3]", NULL},
      {"%x: f32[2], %y: f32[]", "%r = add(%x, %y) : f32[2]", NULL},
      {"%x: f32[0,1], %y: f32[1,5]", "%r = add(%x, %y) : f32[0,5]", NULL},
      {"%x: f32[N,1], %y: f32[1,M]", "%r = add(%x, %y) : f32[N,M]", NULL},
      {"%x: f32[N], %y: f32[N]", "%r = add(%x, %y) : f32[N]", NULL},
      {"%x: f32[N], %y: f32[4]", "%r = add(%x, %y) : f32[4]", NULL},
      {"%x: f32[N], %y: f32[M]", "%r = add(%x, %y) : f32[max(N, M)]", NULL},
      {"%x: f32[2,3], %y: f32[4,3]", "%r = add(%x, %y) : f32[2,3]",
       "shapes of 'x' (f32[2x3]) and 'y' (f32[4x3]) do not broadcast: 2 against 4"},
      {"%x: f32[2], %y: f64[2]", "%r = add(%x, %y) : f32[2]", "'x' is f32[2], 'y' is f64[2]; cast one"},
      {"%x: f32[2]", "%r = add(%x) : f32[2]", "add takes 2 operands, found 1"},
      {"%x: f32[2]", "%r = add(%x, _) : f32[2]", "operand 1 of add is required"},
      {"%x: bool[2], %y: bool[2]", "%r = and(%x, %y) : bool[2]", NULL},
      {"%x: bool[2], %y: bool[2]", "%r = mul(%x, %y) : bool[2]", "not bool"},
      {"%x: f32[2], %y: f32[2]", "%r = shl(%x, %y) : f32[2]", "of an integer dtype"},
      {"%x: f32[2], %y: f32[1]", "%r = lt(%x, %y) : bool[2]", NULL},
      {"%x: bool[2], %y: bool[2]", "%r = eq(%x, %y) : bool[2]", NULL},
      {"%x: bool[2], %y: bool[2]", "%r = lt(%x, %y) : bool[2]", "not bool"},
      {"%c: bool[4,1,1], %x: f32[3,1], %y: f32[2]", "%r = select(%c, %x, %y) : f32[4,3,2]", NULL},
      {"%c: i8[1], %x: f32[1], %y: f32[1]", "%r = select(%c, %x, %y) : f32[1]",
       "must be of dtype bool, found i8"},
      {"%x: f32[100000,1], %y: f32[100000]", "%r = add(%x, %y) : f32[100000,100000]", NULL},
      {"%x: f32[1000000,1], %y: f32[1000000]", "%r = add(%x, %y) : f32[1]", "2^40 bytes"},
  };
  CHECK_ROWS(rows);
}

static void moves(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"%x: f32[2,3]", "%r = reshape(%x) {shape = [3, 2, 1]} : f32[3,2,1]", NULL},
      {"%x: f32[N,3]", "%r = reshape(%x) {shape = [(N * 3)]} : f32[(N * 3)]", NULL},
      {"%x: f32[2,3]", "%r = reshape(%x) {shape = [4]} : f32[4]", "has 6 elements, the new shape f32[4] has 4"},
      {"%x: f32[2,3]", "%r = reshape(%x) {shape = [-1]} : f32[6]", ""},
      {"%x: f32[2,0]", "%r = reshape(%x) {shape = [0]} : f32[0]", NULL},
      {"%x: f32[2,N,4]", "%r = transpose(%x) {perm = [2, 0, 1]} : f32[4,2,N]", NULL},
      {"%x: f32[2,3]", "%r = transpose(%x) {perm = [0, 0]} : f32[2,2]", "found 0 twice"},
      {"%x: f32[2,3]", "%r = transpose(%x) {perm = [0, 7]} : f32[2,2]", "found 7"},
      {"%x: f32[2,3]", "%r = transpose(%x) {perm = [0]} : f32[2]", "must have 2 elements, found 1"},
      {"%x: f32[3,1]", "%r = expand(%x) {shape = [2, 3, 4]} : f32[2,3,4]", NULL},
      {"%x: f32[1]", "%r = expand(%x) {shape = [N]} : f32[N]", NULL},
      {"%x: f32[3,1]", "%r = expand(%x) {shape = [4]} : f32[3,4]", "cannot be expanded to f32[4]"},
      {"%x: f32[3]", "%r = expand(%x) {shape = [1]} : f32[1]", "cannot be expanded"},
      {"%x: f32[5,4]", "%r = slice(%x) {starts = [1, 3], steps = [2, -1], sizes = [2, 4]} : f32[2,4]", NULL},
      {"%x: f32[5]", "%r = slice(%x) {starts = [5], steps = [1], sizes = [0]} : f32[0]", NULL},
      {"%x: f32[N]", "%r = slice(%x) {starts = [1], steps = [1], sizes = [(N - 1)]} : f32[(N - 1)]", NULL},
      {"%x: f32[5]", "%r = slice(%x) {starts = [0], steps = [0], sizes = [2]} : f32[2]", "steps[0] is 0"},
      {"%x: f32[5]", "%r = slice(%x) {starts = [3], steps = [1], sizes = [3]} : f32[3]", "leave its bounds"},
      {"%x: f32[5]", "%r = slice(%x) {starts = [1], steps = [-1], sizes = [3]} : f32[3]", "leave its bounds"},
      {"%x: f32[5]", "%r = slice(%x) {starts = [0], steps = [9223372036854775807], sizes = [3]} : f32[3]",
       "steps[0] must be at least"},
      {"%x: f32[5]", "%r = slice(%x) {starts = [0, 0], steps = [1], sizes = [3]} : f32[3]",
       "for each of the 1 dims"},
      {"%x: f32[2,3]", "%r = pad(%x) {before = [1, -1], after = [0, 2]} : f32[3,4]", NULL},
      {"%x: f32[3]", "%r = pad(%x) {before = [0], after = [0], interior = [2]} : f32[7]", NULL},
      {"%x: f32[0]", "%r = pad(%x) {before = [1], after = [0], interior = [2]} : f32[1]", NULL},
      {"%x: f32[N]", "%r = pad(%x) {before = [1], after = [2]} : f32[(N + 3)]", NULL},
      {"%x: f32[3], %v: f32[]", "%r = pad(%x, %v) {before = [1], after = [1]} : f32[5]", NULL},
      {"%x: f32[3], %v: f32[1]", "%r = pad(%x, %v) {before = [1], after = [1]} : f32[5]", "must have rank 0"},
      {"%x: f32[3], %v: f32[]", "%r = pad(%x, %v) {before = [1], after = [1], mode = edge} : f32[5]",
       "mode constant alone"},
      {"%x: f32[3]", "%r = pad(%x) {before = [2], after = [2], mode = reflect} : f32[7]", NULL},
      {"%x: f32[3]", "%r = pad(%x) {before = [3], after = [0], mode = reflect} : f32[6]", "cannot be padded"},
      {"%x: f32[0]", "%r = pad(%x) {before = [1], after = [0], mode = edge} : f32[1]", "cannot be padded"},
      {"%x: f32[3]", "%r = pad(%x) {before = [-4], after = [9]} : f32[8]", "cannot be padded"},
      {"%x: f32[3]", "%r = pad(%x) {before = [-2], after = [-2]} : f32[0]", "cannot be padded"},
      {"%x: f32[2,3], %y: f32[2,4]", "%r = concat(%x, %y, %x) {axis = -1} : f32[2,10]", NULL},
      {"%x: f32[N], %y: f32[M]", "%r = concat(%x, %y) {axis = 0} : f32[(N + M)]", NULL},
      {"%x: f32[N,2], %y: f32[3,2]", "%r = concat(%x, %y) {axis = 1} : f32[3,4]", NULL},
      {"%x: f32[2,3], %y: f32[3,3]", "%r = concat(%x, %y) {axis = 1} : f32[2,6]", "differ in dim 0"},
      {"%x: f32[2]", "%r = concat(%x, _) {axis = 0} : f32[2]", "is absent"},
      {"%x: f32[]", "%r = concat(%x) {axis = 0} : f32[]", "axis must be"},
  };
  CHECK_ROWS(rows);
}

static void gathers(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"%x: f32[5,N,7], %i: i64[2,3]", "%r = gather(%x, %i) {axis = -2} : f32[5,2,3,7]", NULL},
      {"%x: f32[5], %i: i32[]", "%r = gather(%x, %i) : f32[]", NULL},
      {"%x: f32[5], %i: f32[]", "%r = gather(%x, %i) : f32[]", "operand 'i' must be of an integer dtype"},
      {"%x: f32[0], %i: i32[1]", "%r = gather(%x, %i) : f32[1]", "is empty"},
      {"%x: f32[0], %i: i32[0]", "%r = gather(%x, %i) : f32[0]", NULL},
      {"%x: f32[1,1,1,1,1], %i: i32[1,1,1,1,1]", "%r = gather(%x, %i) : f32[1]", "would have rank 9"},
      {"%x: f32[5,4], %i: i64[2,4]", "%r = gather_elements(%x, %i) : f32[2,4]", NULL},
      {"%x: f32[5,4], %i: i64[2,5]", "%r = gather_elements(%x, %i) : f32[2,5]", "is larger"},
      {"%x: f32[5,4], %i: i64[2]", "%r = gather_elements(%x, %i) : f32[2]", "must have rank 2"},
      {"%x: f32[2,3,4], %i: i64[5,2]", "%r = gather_nd(%x, %i) : f32[5,4]", NULL},
      {"%x: f32[2,3,4], %i: i64[2,1]", "%r = gather_nd(%x, %i) {batch_dims = 1} : f32[2,4]", NULL},
      {"%x: f32[2,3,4], %i: i64[3,1]", "%r = gather_nd(%x, %i) {batch_dims = 1} : f32[2,4]", "batch dim 0"},
      {"%x: f32[2,3], %i: i64[5,3]", "%r = gather_nd(%x, %i) : f32[5]", "at most 2"},
      {"%x: f32[2,3], %i: i64[5,N]", "%r = gather_nd(%x, %i) : f32[5]", "must be static"},
      {"%x: f32[2,3], %i: i64[]", "%r = gather_nd(%x, %i) : f32[5]", "batch_dims must be below"},
      {"%x: f32[2,3], %i: i64[5,1]", "%r = gather_nd(%x, %i) {batch_dims = -1} : f32[5]", "batch_dims"},
      {"%x: f32[5,4], %i: i64[2,4], %u: f32[2,4]", "%r = scatter_elements(%x, %i, %u) : f32[5,4]", NULL},
      {"%x: f32[5,4], %i: i64[2,4], %u: f32[2,3]", "%r = scatter_elements(%x, %i, %u) : f32[5,4]",
       "the updates"},
      {"%x: bool[5], %i: i64[2], %u: bool[2]", "%r = scatter_elements(%x, %i, %u) {reduction = add} : bool[5]",
       "not bool"},
      {"%x: f32[5,4], %i: i64[2,1], %u: f32[2,4]", "%r = scatter_nd(%x, %i, %u) : f32[5,4]", NULL},
      {"%x: f32[5,4], %i: i64[2,2], %u: f32[2,4]", "%r = scatter_nd(%x, %i, %u) : f32[5,4]", "the updates"},
      {"%x: f32[5,4], %i: i64[2,1], %u: f64[2,4]", "%r = scatter_nd(%x, %i, %u) : f32[5,4]", "one dtype"},
  };
  CHECK_ROWS(rows);
}

static void reductions(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"%x: f32[2,3,4]", "%r = reduce_sum(%x) {axes = [-1, 0]} : f32[1,3,1]", NULL},
      {"%x: f32[2,3,4]", "%r = reduce_max(%x) {axes = [2, 0], keepdims = 0} : f32[3]", NULL},
      {"%x: f32[2,3]", "%r = reduce_max(%x) {axes = [], keepdims = 0} : f32[2,3]", NULL},
      {"%x: f32[2,3]", "%r = reduce_sum(%x) {axes = [0, -2]} : f32[1,3]", "axes[1] of 'x' (f32[2x3])"},
      {"%x: f32[2,3]", "%r = reduce_sum(%x) {axes = [2]} : f32[1,3]", "found 2"},
      {"%x: f32[2,3]", "%r = reduce_sum(%x) {axes = [-9223372036854775808]} : f32[1,3]", "axes[0]"},
      {"%x: bool[2]", "%r = reduce_max(%x) {axes = [0]} : bool[1]", NULL},
      {"%x: bool[2]", "%r = reduce_sum(%x) {axes = [0]} : bool[1]", "not bool"},
      {"%x: f32[2,N]", "%r = arg_max(%x) {axis = -1, keepdims = 0} : i64[2]", NULL},
      {"%x: f32[2,0]", "%r = arg_min(%x) {axis = 1} : i64[2,1]", "is empty"},
      {"%x: f32[]", "%r = arg_min(%x) {axis = 0} : i64[]", "axis must be"},
      {"%x: f32[2,3]", "%r = cumsum(%x) {axis = -1} : f32[2,3]", NULL},
      {"%x: f32[2,3]", "%r = cumprod(%x) {axis = 5} : f32[2,3]", "axis must be in -2..1 for rank 2, found 5"},
      {"%x: f32[2,9]", "%v, %i = topk(%x) {axis = 1, k = 3} : f32[2,3], i64[2,3]", NULL},
      {"%x: f32[2,9]", "%v, %i = topk(%x) {axis = 1, k = 10} : f32[2,3], i64[2,3]", "k must be in 0..9"},
      {"%x: f32[2,9]", "%v = topk(%x) {axis = 1, k = 3} : f32[2,3]", "results, found 1"},
  };
  CHECK_ROWS(rows);
}

static void contractions(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"%x: f32[5,1,2,3], %y: f32[4,3,7]", "%r = matmul(%x, %y) : f32[5,4,2,7]", NULL},
      {"%x: f32[N,3], %y: f32[3,7]", "%r = matmul(%x, %y) : f32[N,7]", NULL},
      {"%x: u8[2,3], %y: i8[3,7]", "%r = matmul(%x, %y) {acc = i32} : i32[2,7]", NULL},
      {"%x: f16[2,3], %y: f16[3,7]", "%r = matmul(%x, %y) {acc = f32} : f32[2,7]", NULL},
      {"%x: u8[2,3], %y: i8[3,7]", "%r = matmul(%x, %y) : i32[2,7]", "one dtype"},
      {"%x: i8[2,3], %y: i8[3,7]", "%r = matmul(%x, %y) {acc = f32} : f32[2,7]", "not in f32"},
      {"%x: f32[3], %y: f32[3,7]", "%r = matmul(%x, %y) : f32[7]", "of rank 2 or more"},
      {"%x: f32[2,3], %y: f32[4,7]", "%r = matmul(%x, %y) : f32[2,7]",
       "has 3 columns, 'y' (f32[4x7]) has 4 rows"},
      {"%x: f32[2,2,3], %y: f32[3,3,7]", "%r = matmul(%x, %y) : f32[2,2,7]", "do not broadcast"},
      {"%x: f32[1,9,8,4], %w: f32[3,3,2,6]",
       "%r = conv(%x, %w) {strides = [2, 1], dilations = [1, 2], group = 2} : f32[1,4,4,6]", NULL},
      {"%x: f32[N,H,4], %w: f32[3,4,6]",
       "%r = conv(%x, %w) {strides = [2], dilations = [1]} : f32[N,((H - 3) / 2 + 1),6]", ""},
      {"%x: f32[N,H,4], %w: f32[3,4,6]",
       "%r = conv(%x, %w) {strides = [2], dilations = [1]} : f32[N,(((H - 3) / 2) + 1),6]", NULL},
      {"%x: f32[1,2,4], %w: f32[3,4,6]", "%r = conv(%x, %w) {strides = [1], dilations = [1]} : f32[1,0,6]",
       "is larger than"},
      {"%x: f32[1,9,4], %w: f32[3,4,6]", "%r = conv(%x, %w) {strides = [0], dilations = [1]} : f32[1,0,6]",
       "strides[0] must be at least 1"},
      {"%x: f32[1,9,4], %w: f32[3,4,6]",
       "%r = conv(%x, %w) {strides = [1], dilations = [1099511627776]} : f32[1,0,6]", "is larger than"},
      {"%x: f32[1,9,4], %w: f32[3,3,6]", "%r = conv(%x, %w) {strides = [1], dilations = [1]} : f32[1,7,6]",
       "group 1 does not fit"},
      {"%x: f32[1,9,4], %w: f32[3,4,6]",
       "%r = conv(%x, %w) {strides = [1], dilations = [1], group = 0} : f32[1,7,6]", "group 0 does not fit"},
      {"%x: f32[1,9,4], %w: f32[0,4,6]", "%r = conv(%x, %w) {strides = [1], dilations = [1]} : f32[1,7,6]",
       "must be static and at least 1"},
      {"%x: f32[1,4], %w: f32[4,6]", "%r = conv(%x, %w) {strides = [], dilations = []} : f32[1,6]",
       "spatial dims"},
      {"%x: f32[1,5,5,2]",
       "%r = pool(%x) {kind = max, window = [1, 3, 2, 1], strides = [1, 2, 2, 1], dilations = [1, 1, 1, 1], "
       "before = [0, 1, 0, 0], after = [0, 1, 1, 0]} : f32[1,3,3,2]",
       NULL},
      {"%x: f32[2]",
       "%r = pool(%x) {kind = sum, window = [3], strides = [1], dilations = [1], before = [0], after = [0]} : "
       "f32[0]",
       "is larger than"},
      {"%x: f32[2]",
       "%r = pool(%x) {kind = sum, window = [1], strides = [1], dilations = [1], before = [-1], after = [0]} : "
       "f32[1]",
       "before[0] must be at least 0"},
  };
  CHECK_ROWS(rows);
}

static void composites(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"%x: f32[2,3]", "%r = softmax(%x) : f32[2,3]", NULL},
      {"%x: f32[]", "%r = log_softmax(%x) : f32[]", "axis must be"},
      {"%x: f32[2,3], %s: f32[3], %b: f32[2,1]", "%r = layer_norm(%x, %s, %b) : f32[2,3]", NULL},
      {"%x: f32[2,3], %b: f32[3]", "%r = layer_norm(%x, _, %b) : f32[2,3]", NULL},
      {"%x: f32[2,3], %s: f32[4]", "%r = layer_norm(%x, %s) : f32[2,3]", "do not broadcast"},
      {"%x: f32[2,1], %s: f32[4]", "%r = layer_norm(%x, %s) : f32[2,1]", "must broadcast to 'x'"},
      {"%x: f32[2], %s: f32[1,2]", "%r = rms_norm(%x, %s) : f32[2]", "must broadcast to 'x'"},
      {"%x: f32[2,3,4], %p: f32[3]", "%r = batch_norm(%x, %p, %p, %p, %p) : f32[2,3,4]", NULL},
      {"%x: f32[2,3,4], %p: f32[3], %q: f32[4]", "%r = batch_norm(%x, %p, %p, %q, %p) : f32[2,3,4]",
       "operand 'q' (f32[4]) must have an element for each of dim 1"},
      {"%x: f32[2,3], %s: f32[], %z: i8[]", "%r = quantize(%x, %s, %z) {to = i8} : i8[2,3]", NULL},
      {"%x: f32[2,3], %s: f32[3]", "%r = quantize(%x, %s) {to = u8} : u8[2,3]", NULL},
      {"%x: f32[2,3], %s: f32[2]", "%r = quantize(%x, %s) {to = u8, axis = 0} : u8[2,3]", NULL},
      {"%x: f32[2,9], %s: f32[2,3]", "%r = quantize(%x, %s) {to = u8, axis = 1, block = 4} : u8[2,9]", NULL},
      {"%x: f32[2,3], %s: f32[2]", "%r = quantize(%x, %s) {to = u8} : u8[2,3]",
       "scale 's' (f32[2]) must be a scalar"},
      {"%x: f32[2,3], %s: f32[]", "%r = quantize(%x, %s) {to = f16} : f16[2,3]", "must be an integer dtype"},
      {"%x: f32[2], %s: f32[], %z: u8[]", "%r = quantize(%x, %s, %z) {to = i8} : i8[2]", "must be of dtype i8"},
      {"%x: f32[2], %s: f32[], %z: i8[1]", "%r = quantize(%x, %s, %z) {to = i8} : i8[2]",
       "the shape of the scale"},
      {"%x: f32[2], %s: f32[]", "%r = quantize(%x, %s) {to = i8, block = -1} : i8[2]", "block must be 0"},
      {"%x: i8[2,3], %s: f16[3]", "%r = dequantize(%x, %s) : f16[2,3]", NULL},
      {"%x: f32[2,3], %s: f32[3]", "%r = dequantize(%x, %s) : f32[2,3]", "of an integer dtype"},
      {"%x: f32[1,3,4,2], %w: f32[3,2,2,5]",
       "%r = conv_transpose(%x, %w) {strides = [2, 1], dilations = [1, 1], before = [1, 0], after = [0, 0], "
       "output_padding = [1, 0], group = 2} : f32[1,7,5,10]",
       NULL},
      {"%x: f32[1,1,2], %w: f32[1,2,5]",
       "%r = conv_transpose(%x, %w) {strides = [1], dilations = [1], before = [1], after = [1], output_padding "
       "= [0]}"
       " : f32[1,0,5]",
       "would have -1 elements"},
      {"%x: f32[1,3,2], %w: f32[1,3,5]",
       "%r = conv_transpose(%x, %w) {strides = [1], dilations = [1], before = [0], after = [0], output_padding "
       "= [0]}"
       " : f32[1,3,5]",
       "group 1 does not fit"},
      {"%x: f32[2,3], %y: f32[3,4]",
       "%r = einsum(%x, %y) {labels = [2, 105, 106, 2, 106, 107, 2, 107, 105]} : f32[4,2]", NULL},
      {"%x: f32[3,3]", "%r = einsum(%x) {labels = [2, 5, 5, 0]} : f32[]", NULL},
      {"%x: f32[2,3], %y: f32[4]", "%r = einsum(%x, %y) {labels = [2, 0, 1, 1, 1, 1, 0]} : f32[2]", "label 1"},
      {"%x: f32[2]", "%r = einsum(%x) {labels = [1, 0, 1, 3]} : f32[2]", "label 3 of the result"},
      {"%x: f32[2]", "%r = einsum(%x) {labels = [1, 0, 2, 0, 0]} : f32[2,2]", "not repeat"},
      {"%x: f32[2]", "%r = einsum(%x) {labels = [9223372036854775807, 0]} : f32[2]", "labels must hold"},
      {"%x: f32[2]", "%r = einsum(%x) {labels = [1]} : f32[2]", "labels must hold"},
      {"%x: f32[2]", "%r = einsum(%x) {labels = [1, 0]} : f32[2]", "labels must end"},
      {"%x: f32[2]", "%r = einsum(%x) {labels = [1, 0, 1, 0, 0]} : f32[2]", "labels must end"},
  };
  CHECK_ROWS(rows);
}

#define BODY(carried, scanned) "graph(%i: i64[], %k: bool[], %c: f32[2]) { return %k, " carried scanned " }"

static void control(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"%p: bool[], %x: f32[2], %y: f32[2]",
       "%r = if(%p) graph() { return %x } graph() { %z = add(%x, %y) : f32[2] return %z } : f32[2]", NULL},
      {"%p: bool[], %x: f32[2], %y: f32[3]", "%r = if(%p) graph() { return %x } graph() { return %y } : f32[2]",
       "output 0 is 'x' (f32[2]) in the then branch and 'y' (f32[3]) in the else branch"},
      {"%p: bool[1], %x: f32[2]", "%r = if(%p) graph() { return %x } graph() { return %x } : f32[2]",
       "must have rank 0"},
      {"%p: bool[], %x: f32[2]", "%r = if(%p) graph() { return %x } : f32[2]", "needs 2 regions, found 1"},
      {"%p: bool[], %x: f32[2]", "%r = if(%p) graph() { return } graph() { return %x } : f32[2]",
       "outputs of the then branch must be 1, found 0"},
      {"%t: i64[], %p: bool[], %x: f32[2]",
       "%a, %b = loop(%t, %p, %x) {trip = 5} " BODY("%c", ", %c") " : f32[2], f32[5,2]", NULL},
      {"%t: i64[], %p: bool[], %x: f32[2]",
       "%a, %b = loop(%t, %p, %x) " BODY("%c", ", %c") " : f32[2], f32[5,2]", "needs a trip count known"},
      {"%t: i64[], %p: bool[], %x: f32[2]",
       "%a = loop(%t, %p, %x) graph(%i: i64[], %k: bool[], %c: f32[2]) { %d = concat(%c, %c) {axis = 0} : "
       "f32[4] "
       "return %k, %d } : f32[2]",
       "carried value 0 changes its type from f32[2] ('c') to f32[4] ('d')"},
      {"%t: i64[], %p: bool[], %x: f32[3]", "%a = loop(%t, %p, %x) " BODY("%c", "") " : f32[2]",
       "operand 'x' (f32[3]) does not fit the region's input 'c' (f32[2])"},
      {"%t: i32[], %p: bool[], %x: f32[2]", "%a = loop(%t, %p, %x) " BODY("%c", "") " : f32[2]",
       "the trip count 't' must be a scalar of i64"},
      {"%t: i64[], %p: bool[], %x: f32[2]", "loop(%t, %p, %x) " BODY("%c", ""),
       "gives at least as many results"},
      {"%x: f32[2]", "%r = kernel(%x) graph(%a: f32[2]) { %b = exp(%a) : f32[2] return %b } : f32[2]", NULL},
      {"%x: f32[2]", "%r = kernel(%x) graph(%a: f32[3]) { return %a } : f32[3]", "does not fit"},
      {"%x: f32[2]", "%r = kernel(%x) graph() { return %x } : f32[2]", "must be 1, found 0"},
  };
  CHECK_ROWS(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sources),    cmocka_unit_test(elementwise), cmocka_unit_test(moves),
      cmocka_unit_test(gathers),    cmocka_unit_test(reductions),  cmocka_unit_test(contractions),
      cmocka_unit_test(composites), cmocka_unit_test(control),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
