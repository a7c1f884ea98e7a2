/* The compile cache: what was made before, found again by the hash of all that it depends on.
 *
 * Where: --cache=DIR, else $TENON_CACHE_DIR, else $XDG_CACHE_HOME/tenon, else ~/.cache/tenon; `off` for either
 * of the first two turns it off.  It holds
 *
 *   KEY.tnc    a compilation: what `tenon compile` gives for a model and options (cache_compile.c)
 *   KEY.tno    an object: what codegen makes of a planned module (codegen/cache.c), for all commands
 *   HASH.tnb   bytes, under their own hash: objects, weights.  Of the two above, each names those that it needs
 *   KEY.tnf    the hash of a file that was hashed before (cache_files.c)
 *
 * Each of the entries, all but bytes, is a header with the key and the hash of the rest, then the rest.  A file
 * is written under another name and renamed, so that processes may share a folder; whatever is not whole is
 * removed and made again.  No failure here is an error of the build: a cache that cannot be read or written is
 * no cache.
 *
 * Size: at most $TENON_CACHE_MIB MiB (default 5120) and 8192 files; what was not used for longest goes first.
 */
#include "driver/driver.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FILES = 8192, DEFAULT_MIB = 5120, STALE_SECONDS = 3600 };
static const char magic[8] = "tenon 2";

struct header {
  char magic[8];
  struct tn_hash key, payload;
  uint64_t size; /* of the payload */
};

const char *tn_cache_path(const struct tn_cache *c, tn_arena *arena, const char *kind, struct tn_hash key) {
  return tn_printf(arena, "%s/%s.%s", c->folder, tn_hash_hex(arena, key), kind);
}

/* ---- taking ------------------------------------------------------------------------------------------------
 */

static void unmap(void *object) {
  const struct tn_bytes *b = object;
  munmap((void *)(uintptr_t)b->at, b->size);
}

/* Not by tn_file_map: what is read here is no part of what the user's build depends on. */
bool tn_cache_map(tn_ctx *ctx, int fd, struct tn_bytes *out) {
  struct stat info;
  void *at = MAP_FAILED;
  if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
    at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (at == MAP_FAILED)
    return false;
  struct tn_bytes *kept = TN_NEW(tn_ctx_arena(ctx), struct tn_bytes);
  *kept = *out = (struct tn_bytes){at, (size_t)info.st_size};
  tn_ctx_cleanup(ctx, unmap, kept);
  return true;
}

bool tn_entry_get(struct tn_cache *c, const char *kind, struct tn_hash key, struct tn_bytes *out) {
  const char *path = tn_cache_path(c, tn_ctx_arena(c->ctx), kind, key);
  struct tn_bytes file;
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool mapped = tn_cache_map(c->ctx, fd, &file);
  if (fd >= 0)
    close(fd);
  if (!mapped) {
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

/* One of the cache's files: HASH.tnX.  *part: it is being written, or was left by a process that died. */
static bool is_ours(const char *name, bool *part) {
  size_t digits = strspn(name, "0123456789abcdef");
  if (digits != 32 || strncmp(name + digits, ".tn", 3) != 0 || !name[digits + 3])
    return false;
  *part = name[digits + 4] != 0;
  return true;
}

/* Removes what was not used for longest until the rest is well within the limits. */
void tn_cache_evict(struct tn_cache *c) {
  DIR *dir = opendir(c->folder);
  if (!dir)
    return;
  tn_arena *scratch = tn_arena_create(c->ctx);
  TN_VEC(struct entry) all = {0};
  int64_t bytes = 0;
  time_t now = time(NULL);
  for (struct dirent *d; (d = readdir(dir));) {
    struct stat info;
    bool part;
    if (!is_ours(d->d_name, &part) || fstatat(dirfd(dir), d->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode))
      continue;
    if (part) {
      if (info.st_mtime < now - STALE_SECONDS)
        unlinkat(dirfd(dir), d->d_name, 0);
      continue;
    }
    struct entry e = {tn_strdup(scratch, d->d_name), (int64_t)info.st_size, info.st_mtim};
    TN_PUSH(scratch, &all, e);
    bytes += e.bytes;
  }
  if (bytes > c->most_bytes || all.count > MOST_FILES) {
    qsort(all.at, all.count, sizeof *all.at, by_age);
    size_t left = all.count;
    for (size_t i = 0; i < all.count && (bytes > c->most_bytes / 4 * 3 || left > MOST_FILES / 4 * 3); i++) {
      unlinkat(dirfd(dir), all.at[i].name, 0);
      bytes -= all.at[i].bytes;
      left--;
    }
  }
  closedir(dir);
  tn_arena_destroy(scratch);
}

int tn_cache_part(struct tn_cache *c, const char *path, const char **part) {
  *part = tn_printf(tn_ctx_arena(c->ctx), "%s.%ld", path, (long)getpid());
  return open(*part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

void tn_entry_put(struct tn_cache *c, const char *kind, struct tn_hash key, const void *bytes, size_t size) {
  struct header h = {.key = key, .payload = tn_hash_bytes(bytes, size), .size = size};
  memcpy(h.magic, magic, sizeof magic);
  const char *path = tn_cache_path(c, tn_ctx_arena(c->ctx), kind, key), *part;
  int fd = tn_cache_part(c, path, &part);
  if (fd < 0)
    return;
  bool good = tn_write_all(fd, &h, sizeof h) == 0 && tn_write_all(fd, bytes, size) == 0;
  good &= close(fd) == 0;
  if (!good || rename(part, path) != 0)
    unlink(part);
}

/* ---- objects, for codegen ----------------------------------------------------------------------------------
 */

/* In the entry, before the head. */
struct object {
  struct tn_hash hash;
  uint64_t size;
};

static bool get_object(void *user, struct tn_hash key, struct tn_bytes *head, struct tn_bytes *object) {
  struct tn_cache *c = user;
  struct object o;
  if (!tn_entry_get(c, "tno", key, head) || head->size < sizeof o)
    return false;
  memcpy(&o, head->at, sizeof o);
  head->at += sizeof o;
  head->size -= sizeof o;
  const struct tn_blob *blob = tn_blob_get(c, o.hash, o.size);
  if (blob)
    *object = blob->bytes;
  return blob != NULL;
}

static void put_object(void *user, struct tn_hash key, struct tn_bytes head, struct tn_bytes object) {
  struct tn_cache *c = user;
  const struct tn_blob *blob = tn_blob_put(c, object);
  if (!blob)
    return;
  struct object o = {blob->hash, object.size};
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(c->ctx));
  tn_str_addn(&s, (const char *)&o, sizeof o);
  tn_str_addn(&s, (const char *)head.at, head.size);
  tn_entry_put(c, "tno", key, s.at, s.count);
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
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  bool mapped = tn_cache_map(ctx, fd, &self);
  if (fd >= 0)
    close(fd);
  if (!mapped)
    return false;
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(ctx));
  tn_str_add(&s, "%s %s\n", tn_hash_hex(s.arena, tn_hash_bytes(self.at, self.size)), tn_llvm_version());
  stamp(&s, tn_llvm_address());
  *out = tn_hash_bytes(s.at, s.count);
  return true;
}

struct tn_cache *tn_cache_open(tn_ctx *ctx, const struct tn_options *o) {
  tn_arena *arena = tn_ctx_arena(ctx);
  const char *path = folder_path(arena, o);
  struct tn_cache *c = TN_NEW(arena, struct tn_cache);
  if (!path || !make_folders(tn_strdup(arena, path)) || !identify(ctx, &c->objects.compiler))
    return NULL;
  const char *limit = getenv("TENON_CACHE_MIB");
  long long mib = limit ? strtoll(limit, NULL, 10) : DEFAULT_MIB;
  c->ctx = ctx;
  c->folder = path;
  c->most_bytes = (mib < 1 ? 1 : mib > 1 << 24 ? 1 << 24 : mib) << 20;
  c->objects.user = c;
  c->objects.get = get_object;
  c->objects.put = put_object;
  return c;
}
