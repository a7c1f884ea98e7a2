/* The network of make_int8.c on images of noise: every image's scores, and a sum that any change of its
 * features changes. */
#include "classify.h"
#include "int8.h"

#define IMAGES 6

static int8_t image[INT8_INPUT0_BYTES], scores[INT8_OUTPUT1_BYTES];
static uint8_t features[INT8_OUTPUT0_BYTES];
static union {
  unsigned char bytes[INT8_ARENA_BYTES + INT8_ARENA_ALIGN];
  double align;
} memory;

static void *arena(void) {
  uintptr_t at = (uintptr_t)memory.bytes;
  return memory.bytes + (INT8_ARENA_ALIGN - at % INT8_ARENA_ALIGN) % INT8_ARENA_ALIGN;
}

static void put_number(void (*put)(const char *), uint32_t n, int negative) {
  char text[14];
  int at = 13;
  text[at] = 0;
  text[--at] = ' ';
  do
    text[--at] = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  if (negative)
    text[--at] = '-';
  put(text + at);
}

int classify_all(void (*put)(const char *), int pictures) {
  struct int8_inputs in;
  struct int8_outputs out;
  uint32_t seed = 7, sum;
  int n, i, status;
  (void)pictures;
  in.image = image;
  out.features = features;
  out.scores = scores;
  for (n = 0; n < IMAGES; n++) {
    for (i = 0; i < (int)sizeof image; i++) {
      seed = seed * 1664525u + 1013904223u;
      image[i] = (int8_t)((int)(seed >> 24) - 128);
    }
    status = int8_run(&in, &out, arena());
    if (status != 0)
      return status;
    for (i = 0; i < (int)sizeof scores; i++)
      put_number(put, (uint32_t)(scores[i] < 0 ? -scores[i] : scores[i]), scores[i] < 0);
    sum = 0;
    for (i = 0; i < (int)sizeof features; i++)
      sum = sum * 31 + features[i];
    put_number(put, sum, 0);
    put("\n");
  }
  return 0;
}
