/* What a compiled model promises beside its numbers: nothing is kept between runs, nothing outside the arena
 * and the outputs is written, any content of the arena and any pointers of the elements' own alignment will do,
 * and runs at the same time with an arena each do not disturb each other. */
#include "digits.h"
#include "digits_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 256, RUNS = 200, THREADS = 4 };

static int wrong;
static void expect(int holds, const char *what) {
  if (!holds) {
    printf("does not hold: %s\n", what);
    wrong = 1;
  }
}
#define EXPECT(condition) expect(condition, #condition)

static unsigned char *room(void) {
  unsigned char *p = aligned_alloc(DIGITS_ARENA_ALIGN, (DIGITS_ARENA_BYTES + 2 * GUARD + 255) / 256 * 256);
  if (!p)
    exit(1);
  return p;
}

static void load_image(float *to, int i) {
  for (int k = 0; k < 64; k++)
    to[k] = (float)digits_test_image[i % DIGITS_TEST_COUNT][k];
}

/* One run in an arena between guards that was filled with `fill`. */
static void run_filled(int image, int fill, float *scores) {
  unsigned char *memory = room(), *arena = memory + GUARD;
  float in[64 + 1], out[10 + 2 * 8];
  /* One element off any larger alignment. */
  float *x = in + 1, *y = out + 8 + 1;
  load_image(x, image);
  memset(memory, fill, DIGITS_ARENA_BYTES + 2 * GUARD);
  memset(out, 0x5A, sizeof out);
  struct digits_inputs inputs = {x};
  struct digits_outputs outputs = {y};
  EXPECT(digits_run(&inputs, &outputs, arena) == TENON_OK);
  int kept = 1;
  for (int i = 0; i < GUARD; i++)
    kept &= memory[i] == fill && arena[DIGITS_ARENA_BYTES + i] == fill;
  const unsigned char *bytes = (const unsigned char *)out;
  for (size_t i = 0; i < sizeof out; i++)
    kept &= bytes + i >= (unsigned char *)y && bytes + i < (unsigned char *)(y + 10) ? 1 : bytes[i] == 0x5A;
  EXPECT(kept);
  float again[64];
  load_image(again, image);
  EXPECT(!memcmp(again, x, sizeof again));
  memcpy(scores, y, 10 * sizeof *scores);
  free(memory);
}

static float expected[RUNS][10];

static void *thread(void *first) {
  unsigned char *arena = room();
  intptr_t differ = 0;
  for (int k = 0; k < 20 * RUNS; k++) {
    int i = (k + *(const int *)first) % RUNS;
    float x[64], y[10];
    struct digits_inputs inputs = {x};
    struct digits_outputs outputs = {y};
    load_image(x, i);
    differ |= digits_run(&inputs, &outputs, arena) != TENON_OK || memcmp(y, expected[i], sizeof y) != 0;
  }
  free(arena);
  return (void *)differ;
}

int main(void) {
  float x[64] = {0}, y[10];
  struct digits_inputs inputs = {x}, no_input = {NULL};
  struct digits_outputs outputs = {y}, no_output = {NULL};
  unsigned char *arena = room();
  EXPECT(digits_run(&no_input, &outputs, arena) == TENON_NULL_POINTER);
  EXPECT(digits_run(&inputs, &no_output, arena) == TENON_NULL_POINTER);
  EXPECT(digits_run(&inputs, &outputs, NULL) == TENON_NULL_POINTER);
  EXPECT(digits_run(&inputs, &outputs, arena + 1) == TENON_ARENA_MISALIGNED);
  EXPECT(digits_run(&inputs, &outputs, arena) == TENON_OK);
  free(arena);

  for (int i = 0; i < RUNS; i++) {
    float other[10];
    run_filled(i, 0, expected[i]);
    run_filled(i, 0xFF, other); /* not-a-number in every float */
    EXPECT(!memcmp(other, expected[i], sizeof other));
    run_filled(i, 0x7B, other);
    EXPECT(!memcmp(other, expected[i], sizeof other));
  }

  pthread_t threads[THREADS];
  int first[THREADS];
  for (int t = 0; t < THREADS; t++) {
    first[t] = t * RUNS / THREADS;
    if (pthread_create(&threads[t], NULL, thread, &first[t]) != 0)
      return 1;
  }
  for (int t = 0; t < THREADS; t++) {
    void *differ;
    pthread_join(threads[t], &differ);
    EXPECT(!differ);
  }
  return wrong;
}
