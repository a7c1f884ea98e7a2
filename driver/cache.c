/* The compile cache: objects on disk, found again by the hash of all that they depend on (codegen/cache.c).
 *
 * Where: --cache=DIR, else $TENON_CACHE_DIR, else $XDG_CACHE_HOME/tenon, else ~/.cache/tenon; `off` for either
 * of the first two turns it off.  An entry is a file: a header with the key and the hash of the rest, then the
 * rest.  It is written under another name and renamed, so that processes may share a folder; whatever is not
 * whole is removed and made again.  No failure here is an error of the build: a cache that cannot be read or
 * written is no cache.
 *
 * Size: at most $TENON_CACHE_MIB MiB (default 1024) and 4096 entries; what was not used for longest goes first.
 */
#include "driver/driver.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_ENTRIES = 4096, STALE_SECONDS = 3600 };
#define SUFFIX ".tno"
static const char magic[8] = "tenon 1";

struct header {
  char magic[8];
  struct tn_hash key, payload;
  uint64_t size; /* of the payload */
};

struct folder {
  tn_ctx *ctx;
  const char *path;
  int64_t most_bytes;
  struct tn_object_cache cache;
};

static const char *entry_path(const struct folder *f, tn_arena *arena, struct tn_hash key) {
  return tn_printf(arena, "%s/%s%s", f->path, tn_hash_hex(arena, key), SUFFIX);
}

/* ---- taking ------------------------------------------------------------------------------------------------
 */

static void unmap(void *object) {
  const struct tn_bytes *b = object;
  munmap((void *)(uintptr_t)b->at, b->size);
}

/* Not by tn_file_map: what is read here is no part of what the user's build depends on. */
static bool map(tn_ctx *ctx, const char *path, struct tn_bytes *out) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  void *at = MAP_FAILED;
  if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
    at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (fd >= 0)
    close(fd);
  if (at == MAP_FAILED)
    return false;
  struct tn_bytes *kept = TN_NEW(tn_ctx_arena(ctx), struct tn_bytes);
  *kept = *out = (struct tn_bytes){at, (size_t)info.st_size};
  tn_ctx_cleanup(ctx, unmap, kept);
  return true;
}

static bool get(void *user, struct tn_hash key, struct tn_bytes *out) {
  struct folder *f = user;
  const char *path = entry_path(f, tn_ctx_arena(f->ctx), key);
  struct tn_bytes file;
  struct stat info;
  if (!map(f->ctx, path, &file)) {
    if (lstat(path, &info) == 0 && info.st_size == 0)
      unlink(path);
    return false;
  }
  struct header h;
  bool whole = file.size >= sizeof h;
  if (whole) {
    memcpy(&h, file.at, sizeof h);
    *out = (struct tn_bytes){file.at + sizeof h, file.size - sizeof h};
    whole = !memcmp(h.magic, magic, sizeof magic) && tn_hash_equal(h.key, key) && h.size == out->size &&
            tn_hash_equal(h.payload, tn_hash_bytes(out->at, out->size));
  }
  if (whole)
    utimensat(AT_FDCWD, path, NULL, 0); /* used now */
  else
    unlink(path);
  return whole;
}

/* ---- keeping -----------------------------------------------------------------------------------------------
 */

struct entry {
  const char *name;
  int64_t bytes;
  struct timespec used;
};

static int by_age(const void *a, const void *b) {
  const struct timespec *x = &((const struct entry *)a)->used, *y = &((const struct entry *)b)->used;
  return x->tv_sec != y->tv_sec ? (x->tv_sec > y->tv_sec) - (x->tv_sec < y->tv_sec)
                                : (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static bool ends_with(const char *text, const char *suffix) {
  size_t a = strlen(text), b = strlen(suffix);
  return a >= b && !strcmp(text + a - b, suffix);
}

/* Removes what was not used for longest until the rest is well within the limits. */
static void evict(struct folder *f) {
  DIR *dir = opendir(f->path);
  if (!dir)
    return;
  tn_arena *scratch = tn_arena_create(f->ctx);
  TN_VEC(struct entry) all = {0};
  int64_t bytes = 0;
  time_t now = time(NULL);
  for (struct dirent *d; (d = readdir(dir));) {
    struct stat info;
    if (!strstr(d->d_name, SUFFIX) || fstatat(dirfd(dir), d->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode))
      continue;
    if (!ends_with(d->d_name, SUFFIX)) { /* being written, or left by a process that died */
      if (info.st_mtime < now - STALE_SECONDS)
        unlinkat(dirfd(dir), d->d_name, 0);
      continue;
    }
    struct entry e = {tn_strdup(scratch, d->d_name), (int64_t)info.st_size, info.st_mtim};
    TN_PUSH(scratch, &all, e);
    bytes += e.bytes;
  }
  if (bytes > f->most_bytes || all.count > MOST_ENTRIES) {
    qsort(all.at, all.count, sizeof *all.at, by_age);
    size_t left = all.count;
    for (size_t i = 0; i < all.count && (bytes > f->most_bytes / 4 * 3 || left > MOST_ENTRIES / 4 * 3); i++) {
      unlinkat(dirfd(dir), all.at[i].name, 0);
      bytes -= all.at[i].bytes;
      left--;
    }
  }
  closedir(dir);
  tn_arena_destroy(scratch);
}

static bool write_bytes(int fd, const void *bytes, size_t size) {
  for (const char *at = bytes; size;) {
    ssize_t done = write(fd, at, size < (size_t)1 << 30 ? size : (size_t)1 << 30);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return false;
    at += done;
    size -= (size_t)done;
  }
  return true;
}

static void put(void *user, struct tn_hash key, const struct tn_bytes *parts, size_t count) {
  struct folder *f = user;
  tn_arena *scratch = tn_arena_create(f->ctx);
  struct header h = {.key = key};
  memcpy(h.magic, magic, sizeof magic);
  struct tn_hasher *hasher = tn_hasher_create(scratch);
  for (size_t i = 0; i < count; i++) {
    h.size += parts[i].size;
    tn_hasher_add(hasher, parts[i].at, parts[i].size);
  }
  h.payload = tn_hasher_end(hasher);
  const char *path = entry_path(f, scratch, key);
  const char *part = tn_printf(scratch, "%s.%ld", path, (long)getpid());
  /* One entry that is most of what may be kept would only push the others out. */
  int fd =
      h.size > (uint64_t)f->most_bytes / 2 ? -1 : open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) {
    bool good = write_bytes(fd, &h, sizeof h);
    for (size_t i = 0; i < count && good; i++)
      good = write_bytes(fd, parts[i].at, parts[i].size);
    good &= close(fd) == 0;
    if (!good || rename(part, path) != 0)
      unlink(part);
    evict(f);
  }
  tn_arena_destroy(scratch);
}

/* ---- where -------------------------------------------------------------------------------------------------
 */

static bool make_folders(char *path) {
  for (char *c = path + 1; *c; c++)
    if (*c == '/') {
      *c = 0;
      mkdir(path, 0700);
      *c = '/';
    }
  mkdir(path, 0700);
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static const char *folder_path(tn_arena *arena, const struct tn_options *o) {
  const char *given = o->cache ? o->cache : getenv("TENON_CACHE_DIR");
  if (given && *given)
    return strcmp(given, "off") ? given : NULL;
  const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (xdg && *xdg == '/')
    return tn_printf(arena, "%s/tenon", xdg);
  return home && *home == '/' ? tn_printf(arena, "%s/.cache/tenon", home) : NULL;
}

static void stamp(struct tn_str *s, const void *address_in) {
  Dl_info info;
  struct stat st;
  if (dladdr(address_in, &info) && info.dli_fname && stat(info.dli_fname, &st) == 0)
    tn_str_add(s, "%s %lld %lld.%09ld\n", info.dli_fname, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
               st.st_mtim.tv_nsec);
}

/* This compiler: the bytes of the program, and which file LLVM is. */
static bool identify(tn_ctx *ctx, struct tn_hash *out) {
  struct tn_bytes self;
  if (!map(ctx, "/proc/self/exe", &self))
    return false;
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(ctx));
  tn_str_add(&s, "%s %s\n", tn_hash_hex(s.arena, tn_hash_bytes(self.at, self.size)), tn_llvm_version());
  stamp(&s, tn_llvm_address());
  *out = tn_hash_bytes(s.at, s.count);
  return true;
}

const struct tn_object_cache *tn_cache_open(tn_ctx *ctx, const struct tn_options *o) {
  tn_arena *arena = tn_ctx_arena(ctx);
  const char *path = folder_path(arena, o);
  struct folder *f = TN_NEW(arena, struct folder);
  if (!path || !make_folders(tn_strdup(arena, path)) || !identify(ctx, &f->cache.compiler))
    return NULL;
  const char *limit = getenv("TENON_CACHE_MIB");
  long long mib = limit ? strtoll(limit, NULL, 10) : 1024;
  f->ctx = ctx;
  f->path = path;
  f->most_bytes = (mib < 1 ? 1 : mib > 1 << 24 ? 1 << 24 : mib) << 20;
  f->cache.user = f;
  f->cache.get = get;
  f->cache.put = put;
  return &f->cache;
}
