/* The pool of runtime/tenon_threads.h alone: every iteration done once, whatever the count, the number of
 * threads, and who else uses a pool at the same time; pools that sleep wake up, and pools end. */
#include "tenon_threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST 3000

struct work {
  int64_t count;
  int *times; /* done, by iteration */
  int wrong;
};

static void body(void *context, int64_t begin, int64_t end) {
  struct work *w = (struct work *)context;
  int64_t i;
  if (begin < 0 || begin >= end || end > w->count)
    __atomic_store_n(&w->wrong, 1, __ATOMIC_RELAXED);
  else
    for (i = begin; i < end; i++)
      w->times[i]++; /* nobody else may be at i */
}

static int check(struct tenon_parallel *pool, struct work *w, int64_t count) {
  int64_t i;
  for (i = 0; i < count; i++)
    w->times[i] = 0;
  w->count = count;
  pool->run(pool, count, body, w);
  for (i = 0; i < count; i++)
    if (w->times[i] != 1) {
      printf("iteration %ld of %ld was done %d times\n", (long)i, (long)count, w->times[i]);
      return 1;
    }
  return w->wrong;
}

struct user {
  struct tenon_parallel *pool;
  int rounds, wrong;
};

static void *use(void *argument) {
  struct user *u = (struct user *)argument;
  struct work w = {0, NULL, 0};
  int round;
  w.times = (int *)calloc(MOST, sizeof *w.times);
  for (round = 0; round < u->rounds && w.times; round++)
    u->wrong |= check(u->pool, &w, round * 37 % MOST);
  u->wrong |= !w.times;
  free(w.times);
  return NULL;
}

static int together(struct tenon_parallel *a, struct tenon_parallel *b, const char *what) {
  struct user users[2];
  pthread_t threads[2];
  int i, wrong = 0;
  for (i = 0; i < 2; i++) {
    users[i].pool = i ? b : a;
    users[i].rounds = 2000;
    users[i].wrong = 0;
    if (pthread_create(&threads[i], NULL, use, &users[i]))
      return 1;
  }
  for (i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    wrong |= users[i].wrong;
  }
  if (wrong)
    printf("wrong: %s\n", what);
  return wrong;
}

int main(void) {
  static const int sizes[] = {1, 2, 3, 4, 7};
  const struct timespec longer_than_spinning = {0, TENON_SPIN_NS + 2000000};
  struct tenon_parallel *pool, *other;
  struct user u;
  int wrong = 0, round;
  size_t i;
  for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    pool = tenon_threads_create(sizes[i]);
    if (!pool)
      return 1;
    u.pool = pool;
    u.rounds = 3000;
    u.wrong = 0;
    use(&u);
    for (round = 0; round < 20; round++) {
      nanosleep(&longer_than_spinning, NULL);
      u.rounds = 3;
      use(&u);
    }
    if (u.wrong)
      printf("wrong with %d threads\n", sizes[i]);
    wrong |= u.wrong;
    tenon_threads_destroy(pool);
  }
  for (round = 0; round < 200; round++) /* ends before its threads have begun */
    tenon_threads_destroy(tenon_threads_create(3));
  pool = tenon_threads_create(2);
  other = tenon_threads_create(3);
  if (!pool || !other)
    return 1;
  wrong |= together(pool, other, "two pools at a time");
  wrong |= together(pool, pool, "one pool that two threads use");
  tenon_threads_destroy(pool);
  tenon_threads_destroy(other);
  tenon_threads_destroy(NULL);
  wrong |= tenon_threads_create(0) != NULL;
  return wrong;
}
