/* Reading whole files, writing whole or not at all. */
#include "support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/tenon-file-XXXXXX";

static int make_folder(void **state) {
  *state = tn_ctx_create(NULL);
  return mkdtemp(folder) ? 0 : -1;
}
static int remove_folder(void **state) {
  tn_ctx_destroy(*state);
  return rmdir(folder); /* fails when a test left something behind */
}

static int count_entries(void) {
  int count = 0;
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  while (readdir(dir))
    count++;
  closedir(dir);
  return count - 2;
}

static void write_and_read(void **state) {
  tn_ctx *ctx = *state;
  char *path = tn_printf(tn_ctx_arena(ctx), "%s/a", folder);
  struct tn_bytes bytes;
  assert_true(tn_file_write(ctx, path, "hello", 5));
  assert_true(tn_file_map(ctx, path, &bytes));
  assert_int_equal(bytes.size, 5);
  assert_memory_equal(bytes.at, "hello", 5);
  assert_true(tn_file_write(ctx, path, "", 0)); /* replaced, the mapping stays */
  assert_memory_equal(bytes.at, "hello", 5);
  assert_true(tn_file_map(ctx, path, &bytes));
  assert_int_equal(bytes.size, 0);
  assert_int_equal(count_entries(), 1);
  struct stat info;
  mode_t mask = umask(0);
  umask(mask);
  assert_int_equal(stat(path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
  unlink(path);
}

static void links_are_followed(void **state) {
  tn_ctx *ctx = *state;
  char *path = tn_printf(tn_ctx_arena(ctx), "%s/a", folder);
  char *link = tn_printf(tn_ctx_arena(ctx), "%s/l", folder);
  assert_true(tn_file_write(ctx, path, "1", 1));
  assert_int_equal(symlink("a", link), 0);
  assert_true(tn_file_write(ctx, link, "22", 2));
  struct tn_bytes bytes;
  assert_true(tn_file_map(ctx, path, &bytes));
  assert_int_equal(bytes.size, 2);
  unlink(link);
  unlink(path);
}

static void streams(void **state) {
  tn_ctx *ctx = *state;
  struct tn_bytes bytes;
  assert_true(tn_file_map(ctx, "/proc/self/maps", &bytes)); /* says it has 0 bytes */
  assert_true(bytes.size > 100);
  struct stat before, after;
  assert_int_equal(stat("/dev/null", &before), 0);
  assert_true(tn_file_write(ctx, "/dev/null", "x", 1)); /* written to, not replaced */
  assert_int_equal(stat("/dev/null", &after), 0);
  assert_true(S_ISCHR(after.st_mode) && before.st_ino == after.st_ino);
}

static void expect_error(tn_ctx *ctx, const char *path, const char *text) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  assert_true(count > 0);
  assert_string_equal(diags[count - 1].file, path);
  assert_non_null(strstr(diags[count - 1].text, text));
}

static void errors_are_named(void **state) {
  tn_ctx *ctx = *state;
  struct tn_bytes bytes;
  assert_false(tn_file_map(ctx, "/nowhere/x", &bytes));
  expect_error(ctx, "/nowhere/x", "No such file");
  assert_false(tn_file_map(ctx, folder, &bytes));
  expect_error(ctx, folder, "Is a directory");
  assert_false(tn_file_write(ctx, "/nowhere/x", "", 0));
  expect_error(ctx, "/nowhere/x", "No such file");
  assert_false(tn_file_write(ctx, folder, "", 0));
  expect_error(ctx, folder, "Is a directory");
  assert_false(tn_file_write(ctx, "/dev/full", "x", 1));
  expect_error(ctx, "/dev/full", "No space left");
}

/* A file-size limit makes write() fail half-way, as a full disk does. */
static void failed_write_leaves_the_old_file(void **state) {
  tn_ctx *ctx = *state;
  char *path = tn_printf(tn_ctx_arena(ctx), "%s/a", folder);
  assert_true(tn_file_write(ctx, path, "old", 3));
  char *big = tn_alloc(tn_ctx_arena(ctx), 100000);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096}) != 0)
      _exit(3);
    _exit(tn_file_write(ctx, path, big, 100000) ? 1 : 0);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  struct tn_bytes bytes;
  assert_true(tn_file_map(ctx, path, &bytes));
  assert_int_equal(bytes.size, 3);
  assert_int_equal(count_entries(), 1); /* no temporary left */
  unlink(path);
}

static void all_files_or_none(void **state) {
  tn_ctx *ctx = *state;
  tn_arena *arena = tn_ctx_arena(ctx);
  char *a = tn_printf(arena, "%s/a", folder), *b = tn_printf(arena, "%s/b", folder);
  struct tn_bytes bytes, one = {(const uint8_t *)"1", 1}, two = {(const uint8_t *)"22", 2};
  assert_true(tn_files_write(ctx, (struct tn_file[]){{.path = a, .bytes = one}, {.path = b, .bytes = two}}, 2));
  assert_int_equal(count_entries(), 2);
  assert_false(tn_files_write(ctx,
                              (struct tn_file[]){{.path = a, .bytes = two},
                                                 {.path = "/dev/full", .bytes = one},
                                                 {.path = b, .bytes = one}},
                              3));
  assert_false(
      tn_files_write(ctx, (struct tn_file[]){{.path = a, .bytes = two}, {.path = folder, .bytes = one}}, 2));
  assert_int_equal(count_entries(), 2);
  assert_true(tn_file_map(ctx, a, &bytes) && bytes.size == 1);
  assert_true(tn_file_map(ctx, b, &bytes) && bytes.size == 2);
  unlink(a);
  unlink(b);
}

static void what_was_read(void **state) {
  (void)state;
  tn_ctx *ctx = tn_ctx_create(NULL);
  struct tn_bytes bytes;
  size_t count;
  tn_files_read(ctx, &count);
  assert_int_equal(count, 0);
  assert_true(tn_file_map(ctx, "/dev/null", &bytes));
  assert_false(tn_file_map(ctx, "/nowhere/x", &bytes));
  assert_true(tn_file_map(ctx, "/dev/null", &bytes));
  const struct tn_file_read *read = tn_files_read(ctx, &count);
  assert_int_equal(count, 1);
  assert_string_equal(read[0].path, "/dev/null");
  assert_int_equal(read[0].stamp.size, -1);
  tn_ctx_destroy(ctx);
}

static struct tn_stamp stamp_of(const char *path) {
  int fd = open(path, O_RDONLY);
  struct tn_stamp stamp = tn_stamp_of(fd);
  close(fd);
  return stamp;
}

/* What is written to a file right after this compiler wrote it shows, however soon. */
static void stamps(void **state) {
  tn_ctx *ctx = *state;
  char *path = tn_printf(tn_ctx_arena(ctx), "%s/a", folder);
  for (int i = 0; i < 100; i++) {
    struct tn_file file = {.path = path, .bytes = {(const uint8_t *)"some", 4}};
    assert_true(tn_files_write(ctx, &file, 1));
    struct tn_stamp before = file.stamp, after = stamp_of(path);
    assert_true(tn_stamp_equal(&before, &after));
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "more", 4, 0), 4);
    close(fd);
    after = stamp_of(path);
    assert_false(tn_stamp_equal(&before, &after));
  }
  struct tn_bytes bytes;
  size_t count;
  tn_ctx *reading = tn_ctx_create(NULL);
  assert_true(tn_file_map(reading, path, &bytes));
  struct tn_stamp now = stamp_of(path);
  assert_true(tn_stamp_equal(&tn_files_read(reading, &count)->stamp, &now));
  assert_true(tn_file_write(ctx, path, "others", 6) && tn_file_map(reading, path, &bytes));
  assert_int_equal(tn_files_read(reading, &count)->stamp.size, -1); /* it was two files */
  tn_ctx_destroy(reading);
  unlink(path);
  now = stamp_of(path);
  assert_false(tn_stamp_equal(&now, &now));
}

/* From a file that holds the bytes; or holds but their beginning. */
static void copies(void **state) {
  tn_ctx *ctx = *state;
  char *from = tn_printf(tn_ctx_arena(ctx), "%s/a", folder), *to = tn_printf(tn_ctx_arena(ctx), "%s/b", folder);
  enum { SIZE = 3 << 20 };
  char *content = tn_alloc(tn_ctx_arena(ctx), SIZE);
  for (int i = 0; i < SIZE; i++)
    content[i] = (char)(i * 7 + i / 256);
  for (size_t held = SIZE;; held = SIZE / 3) {
    assert_true(tn_file_write(ctx, from, content, held));
    struct tn_file file = {.path = to, .bytes = {(const uint8_t *)content, SIZE}};
    file.same = open(from, O_RDONLY);
    struct tn_bytes bytes;
    assert_true(file.same > 0 && tn_files_write(ctx, &file, 1) && tn_file_map(ctx, to, &bytes));
    assert_int_equal(bytes.size, SIZE);
    assert_memory_equal(bytes.at, content, SIZE);
    close(file.same);
    if (held < SIZE)
      break;
  }
  unlink(from);
  unlink(to);
}

static void forgotten_parts_read_the_same(void **state) {
  tn_ctx *ctx = *state;
  char *path = tn_printf(tn_ctx_arena(ctx), "%s/a", folder);
  enum { SIZE = 100000 };
  uint8_t *content = tn_alloc(tn_ctx_arena(ctx), SIZE);
  for (int i = 0; i < SIZE; i++)
    content[i] = (uint8_t)(i * 7 + i / 256);
  struct tn_bytes bytes;
  assert_true(tn_file_write(ctx, path, content, SIZE) && tn_file_map(ctx, path, &bytes));
  tn_file_forget(ctx, bytes);
  tn_file_forget(ctx, (struct tn_bytes){bytes.at + 5000, 50001});
  tn_file_forget(ctx, (struct tn_bytes){content, SIZE}); /* of no file: stays */
  tn_file_forget(ctx, (struct tn_bytes){0});
  assert_memory_equal(bytes.at, content, SIZE);
  assert_int_equal(content[SIZE - 1], (uint8_t)((SIZE - 1) * 7 + (SIZE - 1) / 256));
  unlink(path);
}

static void paths_beside(void **state) {
  tn_arena *arena = tn_ctx_arena(*state);
  assert_string_equal(tn_path_beside(arena, "a/b/c.onnx", "w.bin"), "a/b/w.bin");
  assert_string_equal(tn_path_beside(arena, "c.onnx", "w.bin"), "w.bin");
  assert_string_equal(tn_path_beside(arena, "/c.onnx", "w.bin"), "/w.bin");
  assert_string_equal(tn_path_beside(arena, "a/c.onnx", "/x/w.bin"), "/x/w.bin");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(write_and_read),
      cmocka_unit_test(links_are_followed),
      cmocka_unit_test(streams),
      cmocka_unit_test(errors_are_named),
      cmocka_unit_test(paths_beside),
      cmocka_unit_test(failed_write_leaves_the_old_file),
      cmocka_unit_test(forgotten_parts_read_the_same),
      cmocka_unit_test(what_was_read),
      cmocka_unit_test(stamps),
      cmocka_unit_test(copies),
      cmocka_unit_test(all_files_or_none),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
