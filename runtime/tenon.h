/* The descriptor of a compiled model: what a program that knows nothing of the model needs to run it.
 *
 * A compiled model NAME exports `const struct tenon_model NAME_model`.  Every pointer in it is to read-only data;
 * nothing is allocated.  This header and the one generated for a model declare the same types; either may come
 * first. */
#ifndef TENON_MODEL_ABI
#define TENON_MODEL_ABI 3

#include <stddef.h>
#include <stdint.h>

enum tenon_dtype {
  TENON_F32 = 1,
  TENON_F64,
  TENON_F16,
  TENON_BF16,
  TENON_I8,
  TENON_I16,
  TENON_I32,
  TENON_I64,
  TENON_U8,
  TENON_U16,
  TENON_U32,
  TENON_U64,
  TENON_BOOL
};

enum tenon_status {
  TENON_OK = 0,
  TENON_NULL_POINTER = -1,       /* an input, an output, the arena or the weights are missing */
  TENON_ARENA_MISALIGNED = -2,   /* the arena is not aligned to arena_align bytes */
  TENON_WEIGHTS_MISALIGNED = -3, /* nor are the weights, in a file of their own */
  TENON_WEIGHTS_WRONG_SIZE = -4, /* the last two only from tenon_check_weights (tenon_weights.h) */
  TENON_WEIGHTS_WRONG_HASH = -5
};

struct tenon_tensor {
  const char *name;    /* as in the model */
  int32_t dtype;       /* enum tenon_dtype */
  int32_t rank;
  const int64_t *dims; /* rank of them */
  int64_t bytes;
  int64_t quant_count;         /* 0: not quantized; 1: one scale; else one a channel */
  const float *scale;          /* quant_count of them */
  const int32_t *zero_point;
};

/* A parallel-for that the program gives: tenon_threads.h has one, and any other will do (OpenMP, a task system).
 * run: calls body(context, begin, end) on ranges that cover 0 .. count-1 once each, begin < end, in any order and on
 * any threads, and returns when all have returned; what they wrote is then seen by the caller. */
struct tenon_parallel {
  void (*run)(struct tenon_parallel *self, int64_t count, void (*body)(void *context, int64_t begin, int64_t end),
              void *context);
};

struct tenon_model {
  int32_t abi; /* TENON_MODEL_ABI */
  int32_t arena_align;
  const char *name;
  const char *hash; /* 32 hexadecimal digits: the model's */
  int64_t arena_bytes, weight_bytes, macs;
  int32_t input_count, output_count;
  const struct tenon_tensor *inputs, *outputs;
  /* inputs, outputs: one pointer a tensor, in order.  Re-entrant: all state is in the arena. */
  int (*run)(const void *const *inputs, void *const *outputs, void *arena);
  /* The same with its loops shared between threads; parallel NULL: on this one alone.  The results have the same
   * bits however many threads there are.  NULL in a model that was compiled for one thread. */
  int (*run_parallel)(const void *const *inputs, void *const *outputs, void *arena,
                      struct tenon_parallel *parallel);
  /* NULL: the weights are in the object.  Else they are a file of weight_bytes bytes with this hash, 32 hexadecimal
   * digits, and the pointers of the inputs are followed by one to it, aligned to arena_align. */
  const char *weights_hash;
};

#endif
