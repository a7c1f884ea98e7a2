/* What one core of this machine can do at most, measured: multiply-adds a second in registers, bytes a second
 * in each level of its memory.  Nothing here comes from the compiler under test: the loops are a processor's
 * own instructions, independent of one another, so that they run at the rate of its units and not of their
 * latency. */
#include "driver/driver.h"

#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

enum { CHAINS = 12 }; /* latency 4 to 6 times 2 units; with two operands they still fit 16 registers */

/* A family's pair of loops.  `NAME_fma`: trips rounds of CHAINS multiply-adds.  `NAME_read`: one pass over
 * count floats (a multiple of CHAINS vectors), every vector added into a chain. */
#define PROBE(name, attribute, vector, lanes, splat, load, multiply_add, add)              \
  attribute static void name##_fma(int64_t trips, volatile float *seed) {                  \
    vector a[CHAINS], x = splat(seed[0]), y = splat(seed[1]);                              \
    for (int k = 0; k < CHAINS; k++)                                                       \
      a[k] = splat(seed[k]);                                                               \
    for (int64_t i = 0; i < trips; i++)                                                    \
      for (int k = 0; k < CHAINS; k++)                                                     \
        a[k] = multiply_add(a[k], x, y);                                                   \
    for (int k = 0; k < CHAINS; k++)                                                       \
      seed[k] = ((float *)&a[k])[0];                                                       \
  }                                                                                        \
  attribute static void name##_read(const float *p, int64_t count, volatile float *seed) { \
    vector a[CHAINS];                                                                      \
    for (int k = 0; k < CHAINS; k++)                                                       \
      a[k] = splat(seed[k]);                                                               \
    for (int64_t i = 0; i < count; i += CHAINS * (lanes))                                  \
      for (int k = 0; k < CHAINS; k++)                                                     \
        a[k] = add(a[k], load(p + i + k * (lanes)));                                       \
    for (int k = 0; k < CHAINS; k++)                                                       \
      seed[k] = ((float *)&a[k])[0];                                                       \
  }

/* clang-format off */
#if defined(__x86_64__)
#define TARGET(features) __attribute__((target(features)))
#define AVX_MULTIPLY_ADD(a, x, y) _mm256_add_ps(_mm256_mul_ps(a, x), y)
#define SSE_MULTIPLY_ADD(a, x, y) _mm_add_ps(_mm_mul_ps(a, x), y)
PROBE(avx512, TARGET("avx512f"), __m512, 16, _mm512_set1_ps, _mm512_load_ps, _mm512_fmadd_ps, _mm512_add_ps)
PROBE(fma, TARGET("avx2,fma"), __m256, 8, _mm256_set1_ps, _mm256_load_ps, _mm256_fmadd_ps, _mm256_add_ps)
PROBE(avx, TARGET("avx"), __m256, 8, _mm256_set1_ps, _mm256_load_ps, AVX_MULTIPLY_ADD, _mm256_add_ps)
PROBE(sse, , __m128, 4, _mm_set1_ps, _mm_load_ps, SSE_MULTIPLY_ADD, _mm_add_ps)
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define NEON_MULTIPLY_ADD(a, x, y) vfmaq_f32(y, a, x)
PROBE(neon, , float32x4_t, 4, vdupq_n_f32, vld1q_f32, NEON_MULTIPLY_ADD, vaddq_f32)
#endif
#define SCALAR_MULTIPLY_ADD(a, x, y) ((a) * (x) + (y))
#define SCALAR_ADD(a, b) ((a) + (b))
PROBE(scalar, , float, 1, , *, SCALAR_MULTIPLY_ADD, SCALAR_ADD)

static const struct probe {
  int vector_bytes;
  bool fused;
  void (*fma)(int64_t, volatile float *);
  void (*read)(const float *, int64_t, volatile float *);
} probes[] = { /* widest first */
#if defined(__x86_64__)
    {64, true, avx512_fma, avx512_read}, {32, true, fma_fma, fma_read}, {32, false, avx_fma, avx_read},
    {16, false, sse_fma, sse_read},
#elif defined(__ARM_NEON) && defined(__aarch64__)
    {16, true, neon_fma, neon_read},
#endif
    {4, false, scalar_fma, scalar_read},
};
/* clang-format on */

/* The widest probe of instructions that the artifact may use too. */
static const struct probe *probe_of(const struct tn_target *t) {
  const struct probe *p = probes;
  while (p->vector_bytes > 4 && (p->vector_bytes > t->vector_bytes || (p->fused && !t->fma)))
    p++;
  return p;
}

/* Bytes that a working set of one size holds; whole rounds of every probe. */
static const int64_t sizes[TN_LEVELS] = {24 << 10, 384 << 10, 1536 << 10, 12 << 20, 96 << 20};

static double best_of(double best, double start) {
  double took = tn_now() - start;
  return took < best ? took : best;
}

double tn_peak_multiply_adds(const struct tn_target *target) {
  const struct probe *probe = probe_of(target);
  volatile float seed[CHAINS];
  for (int i = 0; i < CHAINS; i++)
    seed[i] = 0.5f + 0.01f * (float)i; /* chains stay near a fixed point, far from slow denormals */
  int64_t trips = 100000;
  double start = tn_now();
  probe->fma(trips, seed);
  return 2.0 * (double)(probe->vector_bytes / (int)sizeof(float)) * (double)(CHAINS * trips) /
         (tn_now() - start);
}

void tn_peak_measure(tn_ctx *ctx, const struct tn_target *target, struct tn_peak *peak) {
  const struct probe *probe = probe_of(target);
  volatile float seed[CHAINS] = {0};
  peak->burst = 0;
  for (int i = 0; i < 20; i++) {
    double flops = tn_peak_multiply_adds(target);
    peak->burst = flops > peak->burst ? flops : peak->burst;
  }
  peak->flops = peak->burst;

  tn_arena *arena = tn_arena_create(ctx);
  int64_t most = sizes[TN_LEVELS - 1];
  char *memory = tn_alloc_raw(arena, (size_t)most, 64);
  memset(memory, 0, (size_t)most);
  for (int level = 0; level < TN_LEVELS; level++) {
    int64_t size = sizes[level], repeat = size < (4 << 20) ? (4 << 20) / size : 1;
    double read = 1e9, copy = 1e9;
    for (int i = 0; i < 6; i++) {
      double start = tn_now();
      for (int64_t r = 0; r < repeat; r++)
        probe->read((float *)(void *)memory, size / (int64_t)sizeof(float), seed);
      read = best_of(read, start);
      start = tn_now();
      for (int64_t r = 0; r < repeat; r++) {
        memcpy(memory, memory + size / 2, (size_t)size / 2);
        __asm__ volatile("" : : "r"(memory) : "memory");
      }
      copy = best_of(copy, start);
    }
    peak->read[level] = (double)(size * repeat) / read;
    peak->copy[level] = (double)(size * repeat) / copy;
  }
  tn_arena_destroy(arena);
}

/* Between two measured sizes the rate goes with the logarithm of the size. */
static double rate(const double *level, int64_t working_set) {
  int i = 0;
  while (i < TN_LEVELS && sizes[i] < working_set)
    i++;
  if (i == 0 || i == TN_LEVELS)
    return level[i ? TN_LEVELS - 1 : 0];
  double part =
      log2((double)working_set / (double)sizes[i - 1]) / log2((double)sizes[i] / (double)sizes[i - 1]);
  return level[i - 1] + part * (level[i] - level[i - 1]);
}

double tn_peak_seconds(const struct tn_peak *peak, const struct tn_build_kernel *k, int64_t weight_bytes) {
  /* Weights come from where all of the model's weights fit, since the others went by between two uses; what a
   * kernel reads and writes besides comes from where its own data fits.  A byte written takes one read along as
   * a copy does. */
  int64_t moved = k->bytes - k->constant, read = moved - 2 * k->written;
  int64_t copied = read > 0 ? 2 * k->written : moved;
  double memory = (double)copied / rate(peak->copy, k->bytes) +
                  (double)(read > 0 ? read : 0) / rate(peak->read, k->bytes) +
                  (double)k->constant / rate(peak->read, weight_bytes);
  double arithmetic = (double)k->flops / peak->flops;
  return (arithmetic > memory ? arithmetic : memory) * (double)k->calls;
}
