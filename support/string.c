/* Text in arenas. */
#include "support/context.h"

#include <stdio.h>

char *tn_strndup(tn_arena *arena, const char *text, size_t length) {
  if (length == SIZE_MAX)
    tn_no_memory(arena->ctx);
  char *copy = tn_alloc_raw(arena, length + 1, 1);
  if (length)
    memcpy(copy, text, length);
  copy[length] = '\0';
  return copy;
}

char *tn_strdup(tn_arena *arena, const char *text) {
  return tn_strndup(arena, text, strlen(text));
}

char *tn_vprintf(tn_arena *arena, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (length < 0) /* longer than INT_MAX */
    tn_no_memory(arena->ctx);
  char *text = tn_alloc_raw(arena, (size_t)length + 1, 1);
  vsnprintf(text, (size_t)length + 1, format, args);
  return text;
}

char *tn_printf(tn_arena *arena, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = tn_vprintf(arena, format, args);
  va_end(args);
  return text;
}

void tn_str_init(struct tn_str *s, tn_arena *arena) {
  *s = (struct tn_str){.arena = arena};
}

/* Room for `more` bytes and the NUL. */
static void reserve(struct tn_str *s, size_t more) {
  if (more > (size_t)PTRDIFF_MAX - s->count - 1)
    tn_no_memory(s->arena->ctx);
  size_t need = s->count + more + 1;
  if (need <= s->cap)
    return;
  size_t cap = s->cap ? s->cap : 64;
  while (cap < need)
    cap = cap > (size_t)PTRDIFF_MAX / 2 ? need : cap * 2;
  if (!tn_arena_extend(s->arena, s->at, s->cap, cap)) {
    char *moved = tn_alloc_raw(s->arena, cap, 1);
    if (s->count)
      memcpy(moved, s->at, s->count);
    s->at = moved;
  }
  s->cap = cap;
}

void tn_str_addn(struct tn_str *s, const char *bytes, size_t count) {
  reserve(s, count);
  if (count)
    memcpy(s->at + s->count, bytes, count);
  s->count += count;
  s->at[s->count] = '\0';
}

void tn_str_add(struct tn_str *s, const char *format, ...) {
  va_list args;
  reserve(s, 48); /* most additions are short and then formatted once */
  va_start(args, format);
  int length = vsnprintf(s->at + s->count, s->cap - s->count, format, args);
  va_end(args);
  if (length < 0)
    tn_no_memory(s->arena->ctx);
  if ((size_t)length >= s->cap - s->count) {
    reserve(s, (size_t)length);
    va_start(args, format);
    vsnprintf(s->at + s->count, s->cap - s->count, format, args);
    va_end(args);
  }
  s->count += (size_t)length;
}

bool tn_take(struct tn_bytes *from, void *to, size_t size) {
  if (from->size < size)
    return false;
  memcpy(to, from->at, size);
  from->at += size;
  from->size -= size;
  return true;
}

bool tn_take_text(struct tn_bytes *from, const char **text) {
  const uint8_t *end = from->size ? memchr(from->at, 0, from->size) : NULL;
  if (!end)
    return false;
  *text = (const char *)from->at;
  from->size -= (size_t)(end + 1 - from->at);
  from->at = end + 1;
  return true;
}
