/* Runs a fuzz target on each file of the folders that are named, without a fuzzer: its seeds as a regression
 * test. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

static int replay(const char *folder) {
  int count = 0;
  DIR *dir = opendir(folder);
  if (!dir)
    return 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char path[4096];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
      continue;
    FILE *file = fopen(path, "rb");
    size_t size = (size_t)info.st_size;
    uint8_t *bytes = malloc(size ? size : 1); /* no byte more, so that a sanitizer sees one read past it */
    fuzz_want(file && bytes && fread(bytes, 1, size, file) == size, path);
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    count++;
  }
  closedir(dir);
  return count;
}

int main(int argc, char **argv) {
  int count = 0;
  for (int i = 1; i < argc; i++)
    count += replay(argv[i]);
  printf("%d files\n", count);
  return count ? 0 : 1;
}
