/* Support: what every other folder stands on, and nothing of neural networks.
 *
 * Memory.  All memory comes from arenas that hang off a context; nothing is freed piece by piece.  An
 * allocation never returns NULL: when memory runs out, or a limit is passed, control returns to the nearest
 * tn_guard() with a diagnostic recorded.  Objects that live outside the arenas (an LLVM module, an open file)
 * register a cleanup, which runs when the context is destroyed.
 *
 * Errors.  Library code neither prints nor exits.  It records diagnostics in the context and returns false (or
 * NULL).  The driver prints them.
 *
 * Contexts are independent of each other; one context is used by one thread at a time. */
#ifndef TENON_SUPPORT_H
#define TENON_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TN_NORETURN __attribute__((noreturn))
#else
#define TN_PRINTF(fmt, args)
#define TN_NORETURN
#endif

#define TN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct tn_ctx tn_ctx;
typedef struct tn_arena tn_arena;

/* ---- context ------------------------------------------------------------------------------------------- */

/* The one allocation hook.  realloc semantics: size 0 frees.  Returning NULL for size > 0 means out of memory.
 */
struct tn_allocator {
  void *(*resize)(void *user, void *old, size_t size);
  void *user;
};

/* NULL: the C library's realloc and free.  Returns NULL when even the context does not fit. */
tn_ctx *tn_ctx_create(const struct tn_allocator *allocator);
void tn_ctx_destroy(tn_ctx *ctx);
/* Runs `run(object)` when the context is destroyed, last registered first; at once when there is no memory to
 * keep it, before leaving to the guard. */
void tn_ctx_cleanup(tn_ctx *ctx, void (*run)(void *object), void *object);

/* Runs body(user) and returns what it returned; false when it was left by tn_fail_now or for want of memory.
 * Guards nest. */
bool tn_guard(tn_ctx *ctx, bool (*body)(void *user), void *user);
/* Leaves to the nearest guard.  A diagnostic must have been recorded. */
TN_NORETURN void tn_fail_now(tn_ctx *ctx);

/* ---- memory -------------------------------------------------------------------------------------------- */

tn_arena *tn_arena_create(tn_ctx *ctx); /* freed with the context, or before by tn_arena_destroy */
void tn_arena_destroy(tn_arena *arena);
tn_ctx *tn_arena_ctx(const tn_arena *arena);
size_t tn_arena_bytes(const tn_arena *arena); /* bytes reserved */
tn_arena *tn_ctx_arena(tn_ctx *ctx);          /* lives as long as the context */

void *tn_alloc(tn_arena *arena, size_t size); /* zeroed, aligned to 16; blocks of 64 KiB and more to 64 */
void *tn_alloc_raw(tn_arena *arena, size_t size, size_t align); /* not zeroed; align is a power of two */
void *tn_calloc(tn_arena *arena, size_t count, size_t size);    /* zeroed; an overflow of count*size fails */
#define TN_NEW(arena, type) ((type *)tn_alloc((arena), sizeof(type)))
#define TN_NEW_ARRAY(arena, type, count) ((type *)tn_calloc((arena), (size_t)(count), sizeof(type)))

/* Gives back the memory of bytes in an arena that nobody reads any more, as far as it is whole pages: for large
 * ones. */
void tn_release(void *at, size_t size);

char *tn_strdup(tn_arena *arena, const char *text);
char *tn_strndup(tn_arena *arena, const char *text, size_t length);
char *tn_printf(tn_arena *arena, const char *format, ...) TN_PRINTF(2, 3);
char *tn_vprintf(tn_arena *arena, const char *format, va_list args) TN_PRINTF(2, 0);

/* A vector of `type`: struct { type *at; size_t count, cap; }.  Declare with TN_VEC(type) name; zero it; push.
 */
#define TN_VEC(type)   \
  struct {             \
    type *at;          \
    size_t count, cap; \
  }
void *tn_vec_grow(tn_arena *arena, void *at, size_t count, size_t *cap, size_t elem_size);
#define TN_PUSH(arena, vec, ...)                                                                 \
  do {                                                                                           \
    if ((vec)->count == (vec)->cap)                                                              \
      (vec)->at = tn_vec_grow((arena), (vec)->at, (vec)->count, &(vec)->cap, sizeof *(vec)->at); \
    (vec)->at[(vec)->count++] = (__VA_ARGS__);                                                   \
  } while (0)

/* A growing string, always NUL-terminated once something was added. */
struct tn_str {
  tn_arena *arena;
  char *at;
  size_t count, cap;
};
void tn_str_init(struct tn_str *s, tn_arena *arena);
void tn_str_add(struct tn_str *s, const char *format, ...) TN_PRINTF(2, 3);
void tn_str_addn(struct tn_str *s, const char *bytes, size_t count);

/* String-keyed hash map, insertion-ordered; keys are not copied. */
struct tn_map {
  tn_arena *arena;
  struct tn_map_entry {
    const char *key;
    void *value;
  } *entries;
  size_t count, cap;
  uint32_t *slots;
  size_t slot_count;
};
void tn_map_init(struct tn_map *map, tn_arena *arena);
void *tn_map_get(const struct tn_map *map, const char *key); /* NULL when absent */
bool tn_map_has(const struct tn_map *map, const char *key);
void tn_map_set(struct tn_map *map, const char *key, void *value); /* replaces */

/* ---- diagnostics --------------------------------------------------------------------------------------- */

enum tn_severity { TN_NOTE, TN_WARNING, TN_ERROR, TN_BUG };

/* Everything a person needs to mend the cause.  Any of file, node, op may be NULL. */
struct tn_diag {
  enum tn_severity severity;
  const char *file; /* the input it is about */
  const char *node; /* the user's name of the node or value */
  const char *op;   /* its operator, as the user knows it */
  const char *text; /* what was expected, what was found, and what to do */
};

struct tn_where {
  const char *file, *node, *op;
};
/* Reporting itself never leaves to the guard; the strings are copied. */
void tn_report(tn_ctx *ctx, enum tn_severity severity, struct tn_where where, const char *format, ...)
    TN_PRINTF(4, 5);
void tn_vreport(tn_ctx *ctx, enum tn_severity severity, struct tn_where where, const char *format, va_list args)
    TN_PRINTF(4, 0);
/* Records a TN_BUG and leaves to the guard: for what cannot happen unless Tenon itself is wrong. */
TN_NORETURN void tn_bug(tn_ctx *ctx, const char *format, ...) TN_PRINTF(2, 3);
size_t tn_diag_count(const tn_ctx *ctx, enum tn_severity at_least);
/* All diagnostics in order of report; *count is set. */
const struct tn_diag *tn_diags(const tn_ctx *ctx, size_t *count);
/* "file: error: node 'n' (Conv): text" without a newline. */
char *tn_diag_format(tn_arena *arena, const struct tn_diag *diag);
/* Drops the diagnostics after the first `keep`: for trying something that may fail. */
void tn_diag_truncate(tn_ctx *ctx, size_t keep);

/* ---- files --------------------------------------------------------------------------------------------- */

struct tn_bytes {
  const uint8_t *at;
  size_t size;
};
/* Moves the first `size` bytes of `from` to `to`; false when there are fewer. */
bool tn_take(struct tn_bytes *from, void *to, size_t size);
/* The text at the beginning of `from`, with the zero that ends it; false when there is no zero. */
bool tn_take_text(struct tn_bytes *from, const char **text);
/* Maps (or reads, when it is not a plain file) the whole file; lives as long as the context.  Reports on
 * failure. */
bool tn_file_map(tn_ctx *ctx, const char *path, struct tn_bytes *out);
/* Gives the memory of a part of a mapped file back; it is read from the file again when it is used again.  For
 * what was copied or hashed and is large.  Bytes of anything else stay as they are. */
void tn_file_forget(tn_ctx *ctx, struct tn_bytes part);
/* Which file it is, and when it was changed last: equal stamps, equal bytes, as far as the clock of the file
 * system can tell. */
struct tn_stamp {
  uint64_t device, inode;
  int64_t size;                   /* -1: there is no such file, or it is a device or a pipe */
  int64_t modified_ns, status_ns; /* st_mtim and st_ctim */
};
struct tn_stamp tn_stamp_of(int fd);
bool tn_stamp_equal(const struct tn_stamp *a, const struct tn_stamp *b);
/* Makes now the file's time of modification, finer than the clock of file systems is: whatever is written to it
 * afterwards shows in its stamp.  -1 as the size when that cannot be. */
struct tn_stamp tn_stamp_now(int fd);
/* Writes the file whole or not at all: a temporary beside it, rename.  Reports on failure.  It is not forced to
 * the disk: what is lost with the machine's power is made again. */
bool tn_file_write(tn_ctx *ctx, const char *path, const void *bytes, size_t size);
struct tn_file {
  const char *path;
  struct tn_bytes bytes;
  int same; /* 0, or a file that is open and holds these bytes: file systems that can share them do */
  struct tn_stamp stamp; /* set when it was written; size -1: it cannot be known by that */
};
/* Writes all of them, or none: what was there before stays whole until every byte is written. */
bool tn_files_write(tn_ctx *ctx, struct tn_file *files, size_t count);
/* Writes all bytes; 0, or the errno. */
int tn_write_all(int fd, const void *bytes, size_t size);
/* The files that were mapped or read, each once, in order, as they were then: what a result depends on. */
struct tn_file_read {
  const char *path;
  struct tn_stamp stamp;
};
const struct tn_file_read *tn_files_read(const tn_ctx *ctx, size_t *count);
/* "dir/name" relative to the folder that holds `path`. */
char *tn_path_beside(tn_arena *arena, const char *path, const char *name);

/* ---- hashing ------------------------------------------------------------------------------------------- */

struct tn_hash {
  uint64_t low, high;
}; /* XXH3-128 */
struct tn_hash tn_hash_bytes(const void *bytes, size_t size);
/* The same of bytes that come in parts. */
struct tn_hasher *tn_hasher_create(tn_arena *arena);
void tn_hasher_add(struct tn_hasher *h, const void *bytes, size_t size);
struct tn_hash tn_hasher_end(const struct tn_hasher *h);
bool tn_hash_equal(struct tn_hash a, struct tn_hash b);
char *tn_hash_hex(tn_arena *arena, struct tn_hash hash); /* 32 digits */

/* ---- numbers ------------------------------------------------------------------------------------------- */

/* False on overflow. */
bool tn_mul_i64(int64_t a, int64_t b, int64_t *out);
bool tn_add_i64(int64_t a, int64_t b, int64_t *out);
int64_t tn_floor_div(int64_t a, int64_t b); /* b != 0; rounds to minus infinity; INT64_MIN / -1 is INT64_MAX */
int64_t tn_floor_mod(int64_t a, int64_t b); /* sign of b */
int64_t tn_round_up(int64_t a, int64_t multiple); /* multiple > 0; INT64_MAX when it does not fit */
int64_t tn_ceil_div(int64_t a, int64_t b); /* a >= 0, b > 0, a + b fits */
int64_t tn_gcd(int64_t a, int64_t b); /* of the absolute values; gcd(a, 0) is |a| */

float tn_half_to_float(uint16_t bits);
uint16_t tn_float_to_half(float value); /* to nearest even, as are the next three */
float tn_bf16_to_float(uint16_t bits);
uint16_t tn_float_to_bf16(float value);
uint16_t tn_double_to_half(double value); /* one rounding */
/* The shortest decimal text that reads back as the same value; "inf", "-inf", "nan". */
char *tn_float_text(tn_arena *arena, float value);
char *tn_double_text(tn_arena *arena, double value);

#endif
