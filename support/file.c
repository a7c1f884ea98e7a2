/* Files: read whole, written whole or not at all. */
#include "support/context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool report_errno(tn_ctx *ctx, const char *path, const char *what, int error) {
  char text[128];
  tn_report(ctx, TN_ERROR, (struct tn_where){.file = path}, "%s: %s", what,
            strerror_r(error, text, sizeof text));
  return false;
}

/* ---- reading ---- */

struct mapping {
  tn_ctx *ctx;
  void *at;
  size_t size;
  bool mapped; /* or from the allocator */
};

static void unmap(void *object) {
  struct mapping *mapping = object;
  if (!mapping->at)
    return;
  if (mapping->mapped)
    munmap(mapping->at, mapping->size);
  else
    tn_ctx_resize(mapping->ctx, mapping->at, 0);
}

/* A pipe or a device: its size is known at its end.  `mapping` owns the bytes throughout. */
static bool read_stream(tn_ctx *ctx, const char *path, int fd, struct mapping *mapping) {
  size_t cap = 0;
  for (;;) {
    if (mapping->size == cap) {
      size_t more = cap ? cap * 2 : (size_t)1 << 16;
      void *grown = cap > SIZE_MAX / 4 ? NULL : tn_ctx_resize(ctx, mapping->at, more);
      if (!grown) {
        tn_report_no_memory(ctx);
        return false;
      }
      mapping->at = grown;
      cap = more;
    }
    ssize_t got = read(fd, (char *)mapping->at + mapping->size, cap - mapping->size);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return report_errno(ctx, path, "cannot read", errno);
    if (got == 0)
      return true;
    mapping->size += (size_t)got;
  }
}

bool tn_file_map(tn_ctx *ctx, const char *path, struct tn_bytes *out) {
  *out = (struct tn_bytes){0};
  struct mapping *mapping = TN_NEW(&ctx->arena, struct mapping);
  mapping->ctx = ctx;
  tn_ctx_cleanup(ctx, unmap, mapping); /* before there is anything to lose: from here on nothing jumps */
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return report_errno(ctx, path, "cannot open", errno);
  struct stat info;
  bool good = true;
  if (fstat(fd, &info) != 0)
    good = report_errno(ctx, path, "cannot read", errno);
  else if (S_ISDIR(info.st_mode))
    good = report_errno(ctx, path, "cannot read", EISDIR);
  else if (S_ISREG(info.st_mode) && info.st_size > 0) {
    if ((uintmax_t)info.st_size > (uintmax_t)PTRDIFF_MAX)
      good = report_errno(ctx, path, "cannot map", EFBIG);
    else {
      void *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
      if (at == MAP_FAILED)
        good = report_errno(ctx, path, "cannot map", errno);
      else
        *mapping = (struct mapping){ctx, at, (size_t)info.st_size, true};
    }
  } else
    good = read_stream(ctx, path, fd, mapping);
  close(fd);
  if (good)
    *out = (struct tn_bytes){mapping->at, mapping->size};
  return good;
}

/* ---- writing ---- */

/* 0, or the errno. */
static int write_all(int fd, const char *bytes, size_t size) {
  while (size) {
    ssize_t done = write(fd, bytes, size < (size_t)1 << 30 ? size : (size_t)1 << 30);
    if (done < 0) {
      if (errno == EINTR)
        continue;
      return errno;
    }
    bytes += done;
    size -= (size_t)done;
  }
  return 0;
}

/* Opens a new file beside `path` under a name of its own, with the mode that the umask gives. */
static int open_temporary(const char *path, char *temporary, size_t room) {
  for (unsigned attempt = 0; attempt < 100; attempt++) {
    int length = snprintf(temporary, room, "%s.tmp%ld-%u", path, (long)getpid(), attempt);
    if (length < 0 || (size_t)length >= room) {
      errno = ENAMETOOLONG;
      return -1;
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST)
      return fd;
  }
  return -1;
}

bool tn_file_write(tn_ctx *ctx, const char *path, const void *bytes, size_t size) {
  char real[PATH_MAX], temporary[PATH_MAX + 64];
  struct stat info;
  const char *target = path;
  bool direct = false;
  if (stat(path, &info) == 0) {
    if (S_ISDIR(info.st_mode))
      return report_errno(ctx, path, "cannot write", EISDIR);
    /* A device or a pipe cannot be replaced and must not be; a link keeps pointing to what is written. */
    direct = !S_ISREG(info.st_mode);
    if (!direct && realpath(path, real))
      target = real;
  }
  int fd = direct ? open(target, O_WRONLY | O_CLOEXEC) : open_temporary(target, temporary, sizeof temporary);
  if (fd < 0)
    return report_errno(ctx, path, "cannot create", errno);
  int error = write_all(fd, bytes, size);
  if (!error && !direct && fsync(fd) != 0)
    error = errno;
  if (close(fd) != 0 && !error)
    error = errno;
  if (!error && !direct && rename(temporary, target) != 0)
    error = errno;
  if (!error)
    return true;
  if (!direct)
    unlink(temporary);
  return report_errno(ctx, path, "cannot write", error);
}

char *tn_path_beside(tn_arena *arena, const char *path, const char *name) {
  const char *slash = strrchr(path, '/');
  if (!slash || name[0] == '/')
    return tn_strdup(arena, name);
  return tn_printf(arena, "%.*s%s", (int)(slash + 1 - path), path, name);
}
