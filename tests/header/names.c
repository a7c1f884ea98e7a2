/* The header of names.tir, in C99 and in C++: field names, macros, agreement with runtime/tenon.h in either
 * order. */
#ifdef TENON_H_FIRST
#include "runtime/tenon.h"
#endif
#include "names.h"
#ifndef TENON_H_FIRST
#include "runtime/tenon.h"
#endif
#include <stdio.h>
#include <string.h>

static int wrong;
static void expect(int holds, const char *what) {
  if (!holds) {
    printf("does not hold: %s\n", what);
    wrong = 1;
  }
}
#define EXPECT(condition) expect(condition, #condition)

static int same_tensor(const struct tenon_tensor *t, const char *name, int dtype, int rank, const int64_t *dims,
                       int64_t bytes, int64_t quant_count) {
  int i;
  if (strcmp(t->name, name) != 0 || t->dtype != dtype || t->rank != rank || t->bytes != bytes ||
      t->quant_count != quant_count)
    return 0;
  for (i = 0; i < rank; i++)
    if (t->dims[i] != dims[i])
      return 0;
  return 1;
}

int main(void) {
  static const float a[4] = {1, 2, 3, 4}, b[4] = {10, 20, 30, 40}, c[4] = {100, 200, 300, 400};
  static const int64_t one = 7;
  static const uint8_t u[6] = {0};
  static const int8_t q[2] = {0};
  static const int64_t dims0[] = NAMES_INPUT0_DIMS, dims3[] = NAMES_INPUT3_DIMS, dims4[] = NAMES_INPUT4_DIMS,
                       dims5[] = NAMES_INPUT5_DIMS;
  static const float scales[] = NAMES_INPUT5_SCALES;
  static const int32_t zeros[] = NAMES_INPUT5_ZERO_POINTS;
  static double arena[NAMES_ARENA_BYTES / sizeof(double) + 16];
  char *aligned =
      (char *)arena + (NAMES_ARENA_ALIGN - (uintptr_t)arena % NAMES_ARENA_ALIGN) % NAMES_ARENA_ALIGN;
  const struct tenon_model *m = &names_model;
  float sum[4];
  int64_t copy = 0;
  struct names_inputs in;
  struct names_outputs out;
  in.int_1 = a;
  in.a_b_0 = b;
  in.a_b_0_1 = c;
  in._1st = &one;
  in.linux_1 = u;
  in.q__x___ = q;
  out.class_1 = sum;
  out._1st_copy = &copy;
  EXPECT(names_run(&in, &out, aligned) == TENON_OK);
  EXPECT(sum[0] == 111 && sum[1] == 222 && sum[2] == 333 && sum[3] == 444 && copy == 7);
  memset(sum, 0, sizeof sum);
  EXPECT(m->run((const void *const *)&in, (void *const *)&out, aligned) == TENON_OK); /* the layouts agree */
  EXPECT(sum[0] == 111 && sum[3] == 444);
  in._1st = NULL;
  EXPECT(names_run(&in, &out, aligned) == TENON_NULL_POINTER);
  EXPECT(m->run == (int (*)(const void *const *, void *const *, void *))names_run);
  EXPECT(m->abi == TENON_MODEL_ABI && m->arena_bytes == NAMES_ARENA_BYTES &&
         m->arena_align == NAMES_ARENA_ALIGN);
  EXPECT(m->input_count == NAMES_INPUTS && m->output_count == NAMES_OUTPUTS && strcmp(m->name, "names") == 0);
  EXPECT(strlen(m->hash) == 32);
  EXPECT(same_tensor(&m->inputs[0], NAMES_INPUT0_NAME, NAMES_INPUT0_DTYPE, NAMES_INPUT0_RANK, dims0,
                     NAMES_INPUT0_BYTES, 0));
  EXPECT(same_tensor(&m->inputs[3], NAMES_INPUT3_NAME, NAMES_INPUT3_DTYPE, NAMES_INPUT3_RANK, dims3,
                     NAMES_INPUT3_BYTES, 0));
  EXPECT(same_tensor(&m->inputs[4], NAMES_INPUT4_NAME, NAMES_INPUT4_DTYPE, NAMES_INPUT4_RANK, dims4,
                     NAMES_INPUT4_BYTES, 1));
  EXPECT(same_tensor(&m->inputs[5], NAMES_INPUT5_NAME, NAMES_INPUT5_DTYPE, NAMES_INPUT5_RANK, dims5,
                     NAMES_INPUT5_BYTES, 2));
  EXPECT(strcmp(m->inputs[5].name, "q \"x\" ?") == 0);
  EXPECT(m->inputs[4].scale[0] == NAMES_INPUT4_SCALE && m->inputs[4].zero_point[0] == NAMES_INPUT4_ZERO_POINT);
  EXPECT(!memcmp(m->inputs[5].scale, scales, sizeof scales) &&
         !memcmp(m->inputs[5].zero_point, zeros, sizeof zeros));
  return wrong;
}
