/* Inside of a context; for the files of support/ alone. */
#ifndef TENON_SUPPORT_CONTEXT_H
#define TENON_SUPPORT_CONTEXT_H

#include "support/support.h"

struct tn_block {
  struct tn_block *next;
  size_t size; /* with this header */
};

struct tn_arena {
  tn_ctx *ctx;
  tn_arena *prev, *next;   /* all arenas of the context but its own */
  struct tn_block *blocks; /* newest first */
  char *cursor, *end;      /* free part of the block that small allocations come from */
  size_t next_block;       /* size of the next such block */
  size_t bytes;
};

struct tn_guard_frame {
  jmp_buf env;
  struct tn_guard_frame *outer;
};

struct tn_cleanup {
  struct tn_cleanup *next;
  void (*run)(void *object);
  void *object;
};

/* A file's bytes; see file.c. */
struct tn_mapping {
  struct tn_mapping *next;
  tn_ctx *ctx;
  void *at;
  size_t size;
  bool mapped; /* or from the allocator */
};

/* Room for the first diagnostics without an allocation. */
#define TN_FIRST_DIAGS 8

struct tn_ctx {
  struct tn_allocator allocator;
  tn_arena arena;
  tn_arena *arenas;
  struct tn_guard_frame *guard;
  struct tn_cleanup *cleanups;
  TN_VEC(struct tn_file_read) files;
  struct tn_mapping *mappings;
  struct tn_diag *diags; /* `first` or a block from the allocator; always room for one more than was reported */
  size_t diag_count, diag_cap;
  struct tn_diag first[TN_FIRST_DIAGS];
};

void *tn_ctx_resize(tn_ctx *ctx, void *old, size_t size);
void tn_arena_init(tn_arena *arena, tn_ctx *ctx);
void tn_arena_free_blocks(tn_arena *arena);
/* As tn_alloc_raw(), but NULL when there is no memory, and nothing is reported. */
void *tn_arena_try(tn_arena *arena, size_t size, size_t align);
/* Enlarges the arena's newest allocation in place; false when it is not the newest or does not fit. */
bool tn_arena_extend(tn_arena *arena, const void *at, size_t old_size, size_t new_size);
/* Records that memory ran out, which needs no memory. */
void tn_report_no_memory(tn_ctx *ctx);
TN_NORETURN void tn_no_memory(tn_ctx *ctx);

#endif
