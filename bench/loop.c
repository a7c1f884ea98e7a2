/* The timed loops of the benchmark: a compiled model and an ONNX Runtime session, each called as a C program
 * calls it. peers.py builds this file, with runtime/tenon_threads.c, into a shared library. */
#define _POSIX_C_SOURCE 200809L
#include "../runtime/tenon_threads.h"

#include <time.h>

static double now(int cpu) {
  struct timespec t;
  clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The descriptor's facts, so that the script need not know its layout; -1: the model has another version. */
int64_t bench_fact(const struct tenon_model *m, int what) {
  const int64_t facts[] = {m->abi == TENON_MODEL_ABI && !m->weights_hash ? 0 : -1, m->arena_bytes, m->weight_bytes,
                           m->input_count, m->output_count};
  return facts[what];
}

const char *bench_name(const struct tenon_model *m, int output, int i) {
  return (output ? m->outputs : m->inputs)[i].name;
}

int64_t bench_bytes(const struct tenon_model *m, int output, int i) {
  return (output ? m->outputs : m->inputs)[i].bytes;
}

/* Seconds that `count` runs took, of processor time where cpu is set; -1 when one fails.  pool NULL: the model
 * was compiled for one thread. */
double bench_tenon(const struct tenon_model *model, const void *const *inputs, void *const *outputs,
                   void *arena, struct tenon_parallel *pool, int64_t count, int cpu) {
  double start = now(cpu);
  int status = 0;
  for (int64_t i = 0; i < count; i++)
    status |= pool ? model->run_parallel(inputs, outputs, arena, pool) : model->run(inputs, outputs, arena);
  return status ? -1 : now(cpu) - start;
}

/* OrtApi::Run, entry 9 of ONNX Runtime's table of functions since its version 1. */
typedef void *ort_run(void *session, const void *options, const char *const *input_names,
                      const void *const *inputs, size_t input_count, const char *const *output_names,
                      size_t output_count, void **outputs);

double bench_onnxruntime(ort_run *run, void *session, const char *const *input_names, const void *const *inputs,
                         size_t input_count, const char *const *output_names, void **outputs,
                         size_t output_count, int64_t count, int cpu) {
  double start = now(cpu);
  for (int64_t i = 0; i < count; i++)
    if (run(session, NULL, input_names, inputs, input_count, output_names, output_count, outputs))
      return -1;
  return now(cpu) - start;
}
