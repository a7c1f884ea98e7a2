/* The digits network with its weights in a file: mapped, checked, run. Arguments: the file; prints the checks'
 * and runs' statuses and how many test digits are right. */
#include "digits.h"
#include "digits_test.h"
#include "tenon_weights.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

static _Alignas(DIGITS_ARENA_ALIGN) unsigned char arena[DIGITS_ARENA_BYTES];

int main(int argc, char **argv) {
  struct stat info;
  int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
  if (fd < 0 || fstat(fd, &info) != 0)
    return 2;
  const char *weights = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  int status = tenon_check_weights(&digits_model, weights, (uint64_t)info.st_size);
  printf("check %d\n", status);
  if (status != TENON_OK)
    return 1;
  float image[64], scores[10];
  struct digits_outputs out = {scores};
  struct digits_inputs none = {image, NULL}, off = {image, weights + 4},
                       in = {.image = image, .weights = weights};
  int right = 0;
  for (int i = 0; i < DIGITS_TEST_COUNT; i++) {
    for (int k = 0; k < 64; k++)
      image[k] = (float)digits_test_image[i][k];
    if (digits_run(&in, &out, arena) != TENON_OK)
      return 3;
    int best = 0;
    for (int k = 1; k < 10; k++)
      best = scores[k] > scores[best] ? k : best;
    right += best == digits_test_label[i];
  }
  printf("without %d\nmisaligned %d\nright %d\n", digits_run(&none, &out, arena), digits_run(&off, &out, arena),
         right);
  return 0;
}
