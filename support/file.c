/* Files: read whole, written whole or not at all. */
#include "support/context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool report_errno(tn_ctx *ctx, const char *path, const char *what, int error) {
  char text[128];
  tn_report(ctx, TN_ERROR, (struct tn_where){.file = path}, "%s: %s", what,
            strerror_r(error, text, sizeof text));
  return false;
}

/* ---- stamps ---- */

static int64_t nanoseconds(struct timespec t) {
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct tn_stamp tn_stamp_of(int fd) {
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return (struct tn_stamp){.size = -1};
  return (struct tn_stamp){(uint64_t)info.st_dev, (uint64_t)info.st_ino, (int64_t)info.st_size,
                           nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

bool tn_stamp_equal(const struct tn_stamp *a, const struct tn_stamp *b) {
  return a->size >= 0 && a->size == b->size && a->device == b->device && a->inode == b->inode &&
         a->modified_ns == b->modified_ns && a->status_ns == b->status_ns;
}

struct tn_stamp tn_stamp_now(int fd) {
  struct timespec times[2];
  clock_gettime(CLOCK_REALTIME, &times[1]);
  times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
  struct tn_stamp stamp = tn_stamp_of(futimens(fd, times) == 0 ? fd : -1);
  if (stamp.modified_ns != nanoseconds(times[1])) /* a file system with coarse times, or written meanwhile */
    stamp.size = -1;
  return stamp;
}

/* ---- reading ---- */

static void unmap(void *object) {
  struct tn_mapping *mapping = object;
  if (!mapping->at)
    return;
  if (mapping->mapped)
    munmap(mapping->at, mapping->size);
  else
    tn_ctx_resize(mapping->ctx, mapping->at, 0);
}

/* A pipe or a device: its size is known at its end.  `mapping` owns the bytes throughout. */
static bool read_stream(tn_ctx *ctx, const char *path, int fd, struct tn_mapping *mapping) {
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
  struct tn_mapping *mapping = TN_NEW(&ctx->arena, struct tn_mapping);
  *mapping = (struct tn_mapping){.next = ctx->mappings, .ctx = ctx};
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
        *mapping = (struct tn_mapping){ctx->mappings, ctx, at, (size_t)info.st_size, true};
    }
  } else
    good = read_stream(ctx, path, fd, mapping);
  struct tn_stamp stamp = tn_stamp_of(fd);
  close(fd);
  bool known = !good;
  for (size_t i = 0; i < ctx->files.count && !known; i++) {
    known = strcmp(ctx->files.at[i].path, path) == 0;
    if (known && !tn_stamp_equal(&ctx->files.at[i].stamp, &stamp))
      ctx->files.at[i].stamp.size = -1; /* changed between two readings */
  }
  if (!known) {
    struct tn_file_read read = {tn_strdup(&ctx->arena, path), stamp};
    TN_PUSH(&ctx->arena, &ctx->files, read);
  }
  if (good) {
    *out = (struct tn_bytes){mapping->at, mapping->size};
    ctx->mappings = mapping;
  }
  return good;
}

void tn_file_forget(tn_ctx *ctx, struct tn_bytes part) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)part.at, end = begin + part.size;
  for (const struct tn_mapping *m = ctx->mappings; m; m = m->next)
    if (m->mapped && begin >= (uintptr_t)m->at && end <= (uintptr_t)m->at + m->size) {
      begin = (begin + page - 1) / page * page;
      end = end == (uintptr_t)m->at + m->size ? (end + page - 1) / page * page : end / page * page;
      if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
      return;
    }
}

/* ---- writing ---- */

int tn_write_all(int fd, const void *bytes, size_t size) {
  for (const char *at = bytes; size;) {
    ssize_t done = write(fd, at, size < (size_t)1 << 30 ? size : (size_t)1 << 30);
    if (done < 0) {
      if (errno == EINTR)
        continue;
      return errno;
    }
    at += done;
    size -= (size_t)done;
  }
  return 0;
}

/* The same from a file that holds the bytes; what that cannot do is written. */
static int copy_all(int from, int fd, const void *bytes, size_t size) {
  loff_t at = 0;
  while ((size_t)at < size && copy_file_range(from, &at, fd, NULL, size - (size_t)at, 0) > 0)
    ;
  return tn_write_all(fd, (const char *)bytes + at, size - (size_t)at);
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

/* One file on its way: `temporary` holds its bytes until all files are there. */
struct writing {
  const char *path, *target; /* as named; behind links */
  char real[PATH_MAX], temporary[PATH_MAX + 64];
  bool direct; /* a device or a pipe cannot be replaced and must not be */
  struct tn_stamp stamp;
};

static bool write_temporary(tn_ctx *ctx, struct writing *w, const struct tn_file *file) {
  struct stat info;
  w->target = w->path;
  if (stat(w->path, &info) == 0) {
    if (S_ISDIR(info.st_mode))
      return report_errno(ctx, w->path, "cannot write", EISDIR);
    w->direct = !S_ISREG(info.st_mode);
    if (!w->direct && realpath(w->path, w->real)) /* a link keeps pointing to what is written */
      w->target = w->real;
  }
  int fd = w->direct ? open(w->target, O_WRONLY | O_CLOEXEC)
                     : open_temporary(w->target, w->temporary, sizeof w->temporary);
  if (fd < 0) {
    w->temporary[0] = 0;
    return report_errno(ctx, w->path, "cannot create", errno);
  }
  int error = file->same && !w->direct ? copy_all(file->same, fd, file->bytes.at, file->bytes.size)
                                       : tn_write_all(fd, file->bytes.at, file->bytes.size);
  w->stamp = tn_stamp_now(w->direct ? -1 : fd);
  if (close(fd) != 0 && !error)
    error = errno;
  return !error || report_errno(ctx, w->path, "cannot write", error);
}

/* The temporary has its name now, which changed the time of its status. */
static struct tn_stamp stamp_written(const struct writing *w) {
  int fd = w->direct ? -1 : open(w->target, O_RDONLY | O_CLOEXEC);
  struct tn_stamp stamp = tn_stamp_of(fd), as_written = w->stamp;
  if (fd >= 0)
    close(fd);
  as_written.status_ns = stamp.status_ns;
  return tn_stamp_equal(&as_written, &stamp) ? stamp : (struct tn_stamp){.size = -1};
}

bool tn_files_write(tn_ctx *ctx, struct tn_file *files, size_t count) {
  struct writing *all = TN_NEW_ARRAY(&ctx->arena, struct writing, count);
  bool good = true;
  for (size_t i = 0; i < count && good; i++) {
    all[i].path = files[i].path;
    good = write_temporary(ctx, &all[i], &files[i]);
  }
  for (size_t i = 0; i < count && good; i++)
    if (!all[i].direct && rename(all[i].temporary, all[i].target) != 0)
      good = report_errno(ctx, all[i].path, "cannot write", errno);
    else
      all[i].temporary[0] = 0;
  for (size_t i = 0; i < count; i++)
    if (all[i].temporary[0])
      unlink(all[i].temporary);
  for (size_t i = 0; i < count && good; i++)
    files[i].stamp = stamp_written(&all[i]);
  return good;
}

bool tn_file_write(tn_ctx *ctx, const char *path, const void *bytes, size_t size) {
  return tn_files_write(ctx, &(struct tn_file){.path = path, .bytes = {bytes, size}}, 1);
}

const struct tn_file_read *tn_files_read(const tn_ctx *ctx, size_t *count) {
  *count = ctx->files.count;
  return ctx->files.at;
}

char *tn_path_beside(tn_arena *arena, const char *path, const char *name) {
  const char *slash = strrchr(path, '/');
  if (!slash || name[0] == '/')
    return tn_strdup(arena, name);
  return tn_printf(arena, "%.*s%s", (int)(slash + 1 - path), path, name);
}
