/* The digits network in a hosted C program. */
#include <stdio.h>

#include "classify.h"

static void put(const char *text) { fputs(text, stdout); }

int main(int argc, char **argv) {
  (void)argv;
  return classify_all(put, argc == 1) < 0;
}
