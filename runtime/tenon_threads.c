/* The pool of tenon_threads.h.
 *
 * A loop's range is cut into one slice a thread.  Each thread takes pieces off its own slice, front first, then
 * off the slices of others, so that equal shares stay where they were last time and a thread that is held up
 * costs little.  A thread joins a loop only while it is open: the caller never waits for one that is still
 * asleep. */
#define _POSIX_C_SOURCE 200809L
#include "tenon_threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define PIECES 4 /* that a slice is taken in */
#define LINE 128 /* bytes that two threads should not share */

/* `state`: the loop's number in the high half; OPEN while it may be joined; below that, threads that joined. */
#define OPEN ((uint64_t)1 << 31)
#define NUMBER_ONE ((uint64_t)1 << 32)
#define JOINED (OPEN - 1)

struct slice {
  int64_t next, end; /* next: taken from by any thread */
  char apart[LINE - 2 * sizeof(int64_t)];
};

struct pool {
  struct tenon_parallel parallel; /* first: what the program holds */
  int threads, started;
  pthread_t *thread;
  struct slice *slice;
  void (*body)(void *context, int64_t begin, int64_t end);
  void *context;
  int64_t piece;
  int busy; /* a loop is being run */
  char apart[LINE];
  uint64_t state;
  int sleepers, caller_sleeps, stop;
  char apart_too[LINE];
  pthread_mutex_t mutex;
  pthread_cond_t work, done;
};

struct start {
  struct pool *pool;
  int number;
};

#define GET(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define PUT(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)

static void pause_a_little(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
  __asm__ volatile("yield");
#endif
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The clock is asked once in a while only. */
struct spin {
  int64_t until;
  int turns;
};
static int spin_on(struct spin *s) {
  pause_a_little();
  if (++s->turns % 64)
    return 1;
  if (!s->until)
    s->until = now() + TENON_SPIN_NS;
  return now() < s->until;
}

static void work_on(struct pool *p, int self) {
  for (int k = 0; k < p->threads; k++) {
    struct slice *s = &p->slice[(self + k) % p->threads];
    int64_t end = s->end;
    while (__atomic_load_n(&s->next, __ATOMIC_RELAXED) < end) {
      int64_t begin = __atomic_fetch_add(&s->next, p->piece, __ATOMIC_RELAXED);
      if (begin < end)
        p->body(p->context, begin, end - begin < p->piece ? end : begin + p->piece);
    }
  }
}

/* Waits for a loop that was not seen yet; 0: the pool ends. */
static int wait_for_work(struct pool *p, uint64_t seen) {
  struct spin spin = {0, 0};
  do {
    if (GET(&p->stop))
      return 0;
    uint64_t state = GET(&p->state);
    if ((state & OPEN) && state / NUMBER_ONE != seen)
      return 1;
  } while (spin_on(&spin));
  pthread_mutex_lock(&p->mutex);
  PUT(&p->sleepers, p->sleepers + 1);
  int stop;
  uint64_t state;
  while (!(stop = GET(&p->stop)) && (state = GET(&p->state), !(state & OPEN) || state / NUMBER_ONE == seen))
    pthread_cond_wait(&p->work, &p->mutex);
  PUT(&p->sleepers, p->sleepers - 1);
  pthread_mutex_unlock(&p->mutex);
  return !stop;
}

static void *thread_main(void *argument) {
  struct start start = *(struct start *)argument;
  struct pool *p = start.pool;
  free(argument);
  uint64_t seen = 0;
  while (wait_for_work(p, seen)) {
    uint64_t state = GET(&p->state);
    if (!(state & OPEN) || state / NUMBER_ONE == seen ||
        !__atomic_compare_exchange_n(&p->state, &state, state + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      continue;
    seen = state / NUMBER_ONE;
    work_on(p, start.number);
    state = __atomic_sub_fetch(&p->state, 1, __ATOMIC_SEQ_CST);
    if ((state & JOINED) == 0 && GET(&p->caller_sleeps)) {
      pthread_mutex_lock(&p->mutex);
      pthread_cond_signal(&p->done);
      pthread_mutex_unlock(&p->mutex);
    }
  }
  return NULL;
}

static void run(struct tenon_parallel *self, int64_t count, void (*body)(void *, int64_t, int64_t),
                void *context) {
  struct pool *p = (struct pool *)self;
  if (count <= 0)
    return;
  if (p->threads == 1 || count == 1 || __atomic_exchange_n(&p->busy, 1, __ATOMIC_ACQUIRE)) {
    body(context, 0, count);
    return;
  }
  p->body = body;
  p->context = context;
  p->piece = count / ((int64_t)p->threads * PIECES);
  p->piece = p->piece < 1 ? 1 : p->piece;
  for (int t = 0; t < p->threads; t++) {
    int64_t share = count / p->threads, more = count % p->threads;
    __atomic_store_n(&p->slice[t].next, share * t + (t < more ? t : more), __ATOMIC_RELAXED);
    p->slice[t].end = share * (t + 1) + (t + 1 < more ? t + 1 : more);
  }
  uint64_t number = GET(&p->state) / NUMBER_ONE + 1;
  number = number > UINT32_MAX ? 1 : number;
  PUT(&p->state, number * NUMBER_ONE | OPEN);
  if (GET(&p->sleepers)) {
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
  }
  work_on(p, 0);
  uint64_t state = __atomic_and_fetch(&p->state, ~OPEN, __ATOMIC_SEQ_CST);
  struct spin spin = {0, 0};
  while ((state & JOINED) && spin_on(&spin))
    state = GET(&p->state);
  if (state & JOINED) {
    pthread_mutex_lock(&p->mutex);
    PUT(&p->caller_sleeps, 1);
    while (GET(&p->state) & JOINED)
      pthread_cond_wait(&p->done, &p->mutex);
    PUT(&p->caller_sleeps, 0);
    pthread_mutex_unlock(&p->mutex);
  }
  __atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
}

struct tenon_parallel *tenon_threads_create(int threads) {
  struct pool *p = threads < 1 ? NULL : (struct pool *)calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->parallel.run = run;
  p->threads = threads;
  p->thread = (pthread_t *)calloc((size_t)threads, sizeof *p->thread);
  p->slice = (struct slice *)calloc((size_t)threads, sizeof *p->slice);
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->work, NULL);
  pthread_cond_init(&p->done, NULL);
  int ok = p->thread && p->slice;
  for (int t = 1; ok && t < threads; t++) {
    struct start *start = (struct start *)malloc(sizeof *start);
    ok = start != NULL;
    if (!ok)
      break;
    start->pool = p;
    start->number = t;
    ok = pthread_create(&p->thread[p->started], NULL, thread_main, start) == 0;
    if (ok)
      p->started++;
    else
      free(start);
  }
  if (ok)
    return &p->parallel;
  tenon_threads_destroy(&p->parallel);
  return NULL;
}

void tenon_threads_destroy(struct tenon_parallel *pool) {
  struct pool *p = (struct pool *)pool;
  if (!p)
    return;
  pthread_mutex_lock(&p->mutex);
  PUT(&p->stop, 1);
  pthread_cond_broadcast(&p->work);
  pthread_mutex_unlock(&p->mutex);
  for (int t = 0; t < p->started; t++)
    pthread_join(p->thread[t], NULL);
  pthread_cond_destroy(&p->done);
  pthread_cond_destroy(&p->work);
  pthread_mutex_destroy(&p->mutex);
  free(p->slice);
  free(p->thread);
  free(p);
}
