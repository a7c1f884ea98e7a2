/* tenon bench: the compiled model's time on this machine, against the machine's own limits measured in the same
 * run. */
#include "driver/driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The profile hook has no argument for a context: bench is the one user, on one thread. */
static double *kernel_seconds, last_hook; /* of the pass that is running, by kernel */
static double (*kernel_clock)(void) = tn_now;
static void on_kernel(int kernel) {
  kernel_seconds[kernel] += kernel_clock() - last_hook;
  last_hook = kernel_clock();
}

/* This thread's time on a processor. */
static double thread_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool make_inputs(tn_ctx *ctx, const struct tn_given *given, struct tn_built *built,
                        struct tn_tensor *in) {
  struct tn_graph *g = built->module->main;
  uint64_t seed = 0x9E3779B97F4A7C15u;
  for (size_t i = 0; i < g->inputs.count; i++) {
    const struct tn_value *v = g->inputs.at[i];
    if (given->inputs[built->live.at[i]].type.dtype != TN_NONE) {
      if (!tn_check_input(ctx, v, &given->inputs[built->live.at[i]]))
        return false;
      in[i] = given->inputs[built->live.at[i]];
      continue;
    }
    int64_t count, bytes;
    tn_type_count(&v->type, &count);
    tn_type_bytes(&v->type, &bytes);
    void *data = tn_alloc(tn_ctx_arena(ctx), (size_t)bytes + 64);
    for (int64_t k = 0; k < count; k++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      double unit = (double)(seed >> 11) / 9007199254740992.0;
      if (tn_dtype_is_float(v->type.dtype))
        tn_store_float(v->type.dtype, data, k, unit * 2 - 1);
      else
        tn_store_int(v->type.dtype, data, k, (int64_t)(unit * 2));
    }
    in[i] = (struct tn_tensor){.type = v->type, .data = data, .bytes = (size_t)bytes};
  }
  return true;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

struct timing {
  double median, min, p95;
  int runs;
};

static struct timing time_runs(tn_ctx *ctx, const struct tn_options *o, const struct tn_program *run,
                               const void **in, void **out, void *memory) {
  for (int i = 0; i < 2; i++)
    tn_program_run(run, in, out, memory);
  double start = tn_now();
  tn_program_run(run, in, out, memory);
  double once = tn_now() - start;
  int runs = o->runs ? o->runs : once > 0.2 ? 5 : once * 20000 < 1 ? 20000 : (int)(1 / once);
  double *took = TN_NEW_ARRAY(tn_ctx_arena(ctx), double, runs);
  for (int i = 0; i < runs; i++) {
    start = tn_now();
    tn_program_run(run, in, out, memory);
    took[i] = tn_now() - start;
  }
  qsort(took, (size_t)runs, sizeof *took, ascending);
  return (struct timing){took[runs / 2], took[0], took[runs * 95 / 100 < runs ? runs * 95 / 100 : runs - 1],
                         runs};
}

/* A row a kernel: each pass's seconds, of which the median and the least are kept.  The core's multiply-adds
 * are measured between the passes: a core that is kept busy clocks lower than one that was at rest. */
static struct timing *profile(tn_ctx *ctx, const struct tn_target *target, const struct tn_program *watched,
                              int kernels, int passes, const void **in, void **out, void *memory,
                              struct tn_peak *peak) {
  tn_arena *arena = tn_ctx_arena(ctx);
  double *flops = TN_NEW_ARRAY(arena, double, passes + 1);
  struct timing *row = TN_NEW_ARRAY(arena, struct timing, kernels + 1);
  double *took = TN_NEW_ARRAY(arena, double, (size_t)kernels *(size_t)passes + 1);
  kernel_seconds = TN_NEW_ARRAY(arena, double, kernels + 1);
  tn_program_run(watched, in, out, memory);
  for (int i = 0; i < passes; i++) {
    memset(kernel_seconds, 0, (size_t)kernels * sizeof *kernel_seconds);
    last_hook = kernel_clock();
    tn_program_run(watched, in, out, memory);
    for (int k = 0; k < kernels; k++)
      took[k * passes + i] = kernel_seconds[k];
    flops[i] = tn_peak_multiply_adds(target);
  }
  qsort(flops, (size_t)passes, sizeof *flops, ascending);
  peak->flops = flops[passes / 2];
  for (int k = 0; k < kernels; k++) {
    double *mine = took + (ptrdiff_t)k * passes;
    qsort(mine, (size_t)passes, sizeof *mine, ascending);
    row[k] = (struct timing){.median = mine[passes / 2], .min = mine[0], .runs = passes};
  }
  return row;
}

static void print_results(tn_ctx *ctx, const struct tn_options *o, struct tn_built *built, struct timing t,
                          const struct tn_peak *peak, const struct timing *row) {
  const struct tn_build_facts *f = tn_codegen_facts(built->cg);
  if (o->json) {
    struct tn_str s;
    tn_str_init(&s, tn_ctx_arena(ctx));
    tn_str_add(&s,
               "{\"threads\": %d, \"runs\": %d, \"median_us\": %.3f, \"min_us\": %.3f, \"p95_us\": %.3f, "
               "\"flops\": %" PRId64 ", \"peak_flops_per_s\": %.4g, \"burst_flops_per_s\": %.4g, "
               "\"peak_bytes_per_s\": %.4g, \"kernels\": [",
               o->threads, t.runs, t.median * 1e6, t.min * 1e6, t.p95 * 1e6, f->flops, peak->flops, peak->burst,
               peak->copy[TN_LEVELS - 1]);
    for (int i = 0; i < f->kernel_count; i++) {
      tn_str_add(&s, "%s{\"name\": ", i ? ", " : "");
      tn_json_string(&s, f->kernels[i].node);
      tn_str_add(&s,
                 ", \"us\": %.3f, \"min_us\": %.3f, \"flops\": %" PRId64 ", \"bytes\": %" PRId64
                 ", \"limit_us\": %.3f}",
                 row[i].median * 1e6, row[i].min * 1e6, f->kernels[i].flops * f->kernels[i].calls,
                 f->kernels[i].bytes * f->kernels[i].calls,
                 tn_peak_seconds(peak, &f->kernels[i], f->weight_bytes) * 1e6);
    }
    tn_str_add(&s, "]}");
    puts(s.at);
    return;
  }
  printf("%s: median %.1f us, min %.1f us, p95 %.1f us over %d runs, %d thread%s\n", built->module->name,
         t.median * 1e6, t.min * 1e6, t.p95 * 1e6, t.runs, o->threads, o->threads > 1 ? "s" : "");
  printf("%.2f GFLOP/s; this core: %.1f GFLOP/s in multiply-adds (%.1f from rest), %.1f GB/s in copies\n",
         (double)f->flops / t.median * 1e-9, peak->flops * 1e-9, peak->burst * 1e-9,
         peak->copy[TN_LEVELS - 1] * 1e-9);
  printf("%10s %9s %8s %6s  %s\n", "us", "GFLOP/s", "GB/s", "limit", "kernel");
  for (int i = 0; i < f->kernel_count; i++) {
    double s = row[i].median, calls = (double)f->kernels[i].calls;
    double fl = (double)f->kernels[i].flops * calls / s, by = (double)f->kernels[i].bytes * calls / s;
    double share = tn_peak_seconds(peak, &f->kernels[i], f->weight_bytes) / s;
    printf("%10.2f %9.2f %8.2f %5.0f%%  %s\n", s * 1e6, fl * 1e-9, by * 1e-9, share * 100, f->kernels[i].node);
  }
  printf("limit: share of what one core can do at most, in multiply-adds or in bytes, whichever binds\n");
}

bool tn_command_bench(tn_ctx *ctx, const struct tn_options *o) {
  struct tn_built built, profiled;
  struct tn_given given;
  struct tn_cache *cache = tn_cache_open(ctx, o);
  if (!tn_read_inputs(ctx, o, true, &given) || !tn_build_model(ctx, o, &given, cache, false, &built) ||
      !tn_build_model(ctx, o, &given, cache, true, &profiled))
    return false;
  struct tn_program run, watched;
  if (!tn_program_load(ctx, o, built.cg, NULL, &run) ||
      !tn_program_load(ctx, o, profiled.cg, on_kernel, &watched))
    return false;
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_graph *g = built.module->main;
  struct tn_tensor *inputs = TN_NEW_ARRAY(arena, struct tn_tensor, g->inputs.count + 1);
  if (!make_inputs(ctx, &given, &built, inputs))
    return false;
  const void **in = TN_NEW_ARRAY(arena, const void *, g->inputs.count + 1);
  void **out = TN_NEW_ARRAY(arena, void *, g->outputs.count + 1);
  for (size_t i = 0; i < g->inputs.count; i++)
    in[i] = inputs[i].data;
  for (size_t i = 0; i < g->outputs.count; i++) {
    int64_t bytes;
    tn_type_bytes(&g->outputs.at[i]->type, &bytes);
    out[i] = tn_alloc_raw(arena, (size_t)bytes + 64, 64);
  }
  void *memory = tn_alloc_raw(arena, (size_t)tn_codegen_facts(built.cg)->arena_bytes + 64, 64);
  struct tn_peak peak;
  tn_peak_measure(ctx, tn_codegen_target(built.cg), &peak);
  tn_progress.pass = "the compiled model's run";
  struct timing t = time_runs(ctx, o, &run, in, out, memory);
  int kernels = tn_codegen_facts(profiled.cg)->kernel_count;
  /* What else runs on a busy machine does not count; but reading this clock takes a good part of a microsecond.
   */
  if (o->threads == 1 && t.median > 1e-3)
    kernel_clock = thread_time;
  const struct timing *row = profile(ctx, tn_codegen_target(built.cg), &watched, kernels,
                                     t.median > 0.05 ? 5 : 50, in, out, memory, &peak);
  print_results(ctx, o, &built, t, &peak, row);
  return true;
}
