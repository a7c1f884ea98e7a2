#include "classify.h"
#include "digits.h"
#include "digits_test.h"

static float image[64], scores[10];
static union {
  unsigned char bytes[DIGITS_ARENA_BYTES + DIGITS_ARENA_ALIGN];
  double align;
} memory;

static void *arena(void) {
  uintptr_t at = (uintptr_t)memory.bytes;
  return memory.bytes + (DIGITS_ARENA_ALIGN - at % DIGITS_ARENA_ALIGN) % DIGITS_ARENA_ALIGN;
}

/* The digit that the network sees, or a negative status. */
static int classify(const unsigned char *pixels) {
  struct digits_inputs in;
  struct digits_outputs out;
  int best = 0, status, i;
  for (i = 0; i < 64; i++)
    image[i] = (float)pixels[i];
  in.image = image;
  out.scores = scores;
  status = digits_run(&in, &out, arena());
  if (status != 0)
    return status;
  for (i = 1; i < 10; i++)
    if (scores[i] > scores[best])
      best = i;
  return best;
}

static void put_number(void (*put)(const char *), int n) {
  char text[12];
  int at = 11;
  text[at] = 0;
  do
    text[--at] = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  put(text + at);
}

static void put_picture(void (*put)(const char *), const unsigned char *pixels) {
  static const char shade[] = " .:-=+*#@";
  char row[10];
  int y, x;
  for (y = 0; y < 8; y++) {
    for (x = 0; x < 8; x++)
      row[x] = shade[pixels[y * 8 + x] / 2];
    row[8] = '\n';
    row[9] = 0;
    put(row);
  }
}

int classify_all(void (*put)(const char *), int pictures) {
  static char line[DIGITS_TEST_COUNT + 2];
  int right = 0, i;
  for (i = 0; i < DIGITS_TEST_COUNT; i++) {
    int digit = classify(digits_test_image[i]);
    if (digit < 0)
      return digit;
    right += digit == digits_test_label[i];
    line[i] = (char)('0' + digit);
    if (pictures && i < 3) {
      put_picture(put, digits_test_image[i]);
      put("it is a ");
      put_number(put, digits_test_label[i]);
      put(", the network says ");
      put_number(put, digit);
      put("\n\n");
    }
  }
  line[DIGITS_TEST_COUNT] = '\n';
  line[DIGITS_TEST_COUNT + 1] = 0;
  put(line);
  put_number(put, right);
  put(" of ");
  put_number(put, DIGITS_TEST_COUNT);
  put(" test digits right\n");
  return right;
}
