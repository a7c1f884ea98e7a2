/* A model compiled for threads in a program: net_run_parallel gives the bits of net_run with any
 * parallel-for, and two runs at a time, with a pool and an arena each, do not disturb each other. */
#include "net.h"
#include "tenon_threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 50
#define X (600 * 200)
#define Y (200 * 300)
#define W (600 * 300)
#define S 600

struct user {
  struct tenon_parallel *parallel;
  int seed, wrong;
};

static float *room(size_t count) {
  void *p = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
  if (!p)
    exit(1);
  return p;
}

static void *use(void *argument) {
  struct user *u = argument;
  float *x = room(X), *y = room(Y), *want = room(W + S), *got = room(W + S);
  void *arena = room(NET_ARENA_BYTES / sizeof(float) + 1);
  for (int i = 0; i < X; i++)
    x[i] = (float)((i * 31 + u->seed) % 211) / 500 - 0.2f;
  for (int i = 0; i < Y; i++)
    y[i] = (float)((i * 17 + u->seed) % 307) / 700 - 0.2f;
  struct net_inputs in = {x, y};
  struct net_outputs alone = {want, want + W}, shared = {got, got + W};
  u->wrong |= net_run(&in, &alone, arena) != TENON_OK;
  for (int i = 0; i < RUNS; i++) {
    memset(arena, i, NET_ARENA_BYTES);
    memset(got, i, (W + S) * sizeof *got);
    u->wrong |= net_run_parallel(&in, &shared, arena, u->parallel) != TENON_OK;
    u->wrong |= memcmp(want, got, (W + S) * sizeof *got) != 0;
  }
  free(x);
  free(y);
  free(want);
  free(got);
  free(arena);
  return NULL;
}

/* The program's own parallel-for: backwards, one iteration at a time. */
struct backwards {
  struct tenon_parallel parallel;
  int loops;
};
static void backwards(struct tenon_parallel *self, int64_t count, void (*body)(void *, int64_t, int64_t),
                      void *context) {
  ((struct backwards *)self)->loops++;
  for (int64_t i = count; i-- > 0;)
    body(context, i, i + 1);
}

int main(void) {
  struct backwards own = {{backwards}, 0};
  struct user users[4] = {
      {NULL, 0, 0}, {&own.parallel, 1, 0}, {tenon_threads_create(2), 2, 0}, {tenon_threads_create(3), 3, 0}};
  pthread_t threads[4];
  int wrong = !users[2].parallel || !users[3].parallel;
  for (int i = 0; i < 4; i++)
    wrong |= pthread_create(&threads[i], NULL, use, &users[i]) != 0;
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    if (users[i].wrong)
      printf("wrong with parallel-for %d\n", i);
    wrong |= users[i].wrong;
  }
  if (own.loops < 3 * RUNS) {
    printf("only %d loops were shared in %d runs\n", own.loops, RUNS);
    wrong = 1;
  }
  wrong |= !net_model.run_parallel || net_model.abi != TENON_MODEL_ABI;
  tenon_threads_destroy(users[2].parallel);
  tenon_threads_destroy(users[3].parallel);
  return wrong;
}
