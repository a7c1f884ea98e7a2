/* A pool of threads for models compiled with --threads=N: a parallel-for for NAME_run_parallel.
 *
 *   struct tenon_parallel *pool = tenon_threads_create(4);
 *   digits_run_parallel(&in, &out, arena, pool);
 *   tenon_threads_destroy(pool);
 *
 * Compile tenon_threads.c into the program (C99, POSIX threads, GCC or Clang).  No model needs it: it is the
 * program's side, and it alone starts threads and takes memory from the heap, once, in tenon_threads_create. */
#ifndef TENON_THREADS_H
#define TENON_THREADS_H

#include "tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `threads` work on a run, the caller's among them: threads - 1 are started here (1: none).  NULL when there is
 * no memory, when a thread cannot be started, or when threads < 1. */
struct tenon_parallel *tenon_threads_create(int threads);

/* Joins the threads and frees the pool; NULL is nothing to do.  No run may be in progress. */
void tenon_threads_destroy(struct tenon_parallel *pool);

#ifdef __cplusplus
}
#endif

/* A pool serves one parallel loop at a time.  A run that finds it busy with another thread's loop goes on
 * alone; two runs that should both be fast need two pools.  Idle threads spin for TENON_SPIN_NS, so that the
 * next loop of the same run finds them awake, then sleep. */
#ifndef TENON_SPIN_NS
#define TENON_SPIN_NS 200000
#endif

#endif
