/* Arenas: memory given out by moving a cursor through blocks, and given back all at once.
 *
 * The blocks for small allocations start at 64 KiB and double, so that a long compilation makes few of them; an
 * allocation too large for the rest of the block and not small against a new one gets a block of its own and
 * leaves the cursor where it is. */
#include "support/context.h"

#include <sys/mman.h>
#include <unistd.h>

#define FIRST_BLOCK ((size_t)64 << 10)
#define LARGEST_BLOCK ((size_t)16 << 20)
#define LARGE ((size_t)64 << 10) /* aligned to a cache line from here on */
#define HUGE ((size_t)4 << 20)   /* in large pages */

void tn_arena_init(tn_arena *arena, tn_ctx *ctx) {
  *arena = (tn_arena){.ctx = ctx, .next_block = FIRST_BLOCK};
}

tn_arena *tn_arena_create(tn_ctx *ctx) {
  tn_arena *arena = tn_ctx_resize(ctx, NULL, sizeof *arena);
  if (!arena)
    tn_no_memory(ctx);
  tn_arena_init(arena, ctx);
  arena->next = ctx->arenas;
  if (ctx->arenas)
    ctx->arenas->prev = arena;
  ctx->arenas = arena;
  return arena;
}

void tn_arena_free_blocks(tn_arena *arena) {
  while (arena->blocks) {
    struct tn_block *block = arena->blocks;
    arena->blocks = block->next;
    tn_ctx_resize(arena->ctx, block, 0);
  }
}

void tn_arena_destroy(tn_arena *arena) {
  if (!arena)
    return;
  tn_ctx *ctx = arena->ctx;
  tn_arena_free_blocks(arena);
  if (arena->prev)
    arena->prev->next = arena->next;
  else
    ctx->arenas = arena->next;
  if (arena->next)
    arena->next->prev = arena->prev;
  tn_ctx_resize(ctx, arena, 0);
}

tn_ctx *tn_arena_ctx(const tn_arena *arena) {
  return arena->ctx;
}
size_t tn_arena_bytes(const tn_arena *arena) {
  return arena->bytes;
}

static char *align_up(char *at, size_t align) {
  size_t over = (size_t)((uintptr_t)at & (align - 1));
  return over ? at + (align - over) : at;
}

/* Weights are written once; a page at a time that would be page faults for the most part. */
static void use_large_pages(void *block, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)block + page - 1) / page * page;
  madvise((void *)begin, ((uintptr_t)block + size - begin) / page * page, MADV_HUGEPAGE);
}

static struct tn_block *new_block(tn_arena *arena, size_t size) {
  struct tn_block *block = tn_ctx_resize(arena->ctx, NULL, size);
  if (!block)
    return NULL;
  *block = (struct tn_block){arena->blocks, size};
  arena->blocks = block;
  arena->bytes += size;
  return block;
}

void *tn_arena_try(tn_arena *arena, size_t size, size_t align) {
  if (size == 0)
    size = 1;
  if (arena->cursor) {
    char *at = align_up(arena->cursor, align);
    if (at <= arena->end && size <= (size_t)(arena->end - at)) {
      arena->cursor = at + size;
      return at;
    }
  }
  if (size > (size_t)PTRDIFF_MAX - sizeof(struct tn_block) - align)
    return NULL;
  size_t need = sizeof(struct tn_block) + align + size;
  if (need > arena->next_block / 4) {
    struct tn_block *own = new_block(arena, need);
    if (own && need >= HUGE)
      use_large_pages(own, need);
    return own ? align_up((char *)(own + 1), align) : NULL;
  }
  struct tn_block *block = new_block(arena, arena->next_block);
  if (!block)
    return NULL;
  if (arena->next_block < LARGEST_BLOCK)
    arena->next_block *= 2;
  char *at = align_up((char *)(block + 1), align);
  arena->cursor = at + size;
  arena->end = (char *)block + block->size;
  return at;
}

void tn_release(void *at, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)at + page - 1) / page * page,
            end = ((uintptr_t)at + size) / page * page;
  if (size >= HUGE)
    madvise((void *)begin, end - begin, MADV_DONTNEED);
}

bool tn_arena_extend(tn_arena *arena, const void *at, size_t old_size, size_t new_size) {
  const char *start = at;
  if (!start || start + old_size != arena->cursor || new_size < old_size)
    return false;
  if (new_size - old_size > (size_t)(arena->end - arena->cursor))
    return false;
  arena->cursor += new_size - old_size;
  return true;
}

void *tn_alloc_raw(tn_arena *arena, size_t size, size_t align) {
  void *at = tn_arena_try(arena, size, align);
  if (!at)
    tn_no_memory(arena->ctx);
  return at;
}

void *tn_alloc(tn_arena *arena, size_t size) {
  void *at = tn_alloc_raw(arena, size, size >= LARGE ? 64 : 16);
  memset(at, 0, size);
  return at;
}

void *tn_calloc(tn_arena *arena, size_t count, size_t size) {
  if (size && count > (size_t)PTRDIFF_MAX / size)
    tn_no_memory(arena->ctx);
  return tn_alloc(arena, count * size);
}

void *tn_vec_grow(tn_arena *arena, void *at, size_t count, size_t *cap, size_t elem_size) {
  size_t more = *cap ? *cap : 4;
  if (*cap > (size_t)PTRDIFF_MAX / elem_size - more)
    tn_no_memory(arena->ctx);
  size_t new_cap = *cap + more;
  if (!tn_arena_extend(arena, at, *cap * elem_size, new_cap * elem_size)) {
    void *moved = tn_alloc_raw(arena, new_cap * elem_size, 16);
    if (count)
      memcpy(moved, at, count * elem_size);
    at = moved;
  }
  *cap = new_cap;
  return at;
}
