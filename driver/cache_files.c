/* The compile cache: files by their bytes.
 *
 * A file of LARGE bytes or more is hashed once: its hash is remembered with its stamp, as an entry `.tnf` under
 * its device and inode.  The stamp (size, times of modification and of status) is trusted
 *
 *   - of a file that was hashed when it had not changed for RACY_SECONDS: a change within the same tick of the
 * file system's clock would not show;
 *   - of one that this compiler wrote (bytes in the cache, outputs): tn_stamp_now gave it a time of its own;
 *   - until the machine starts again: what a crash left of a file may have the stamp of the whole. */
#include "driver/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 1 << 20, RACY_SECONDS = 2, BLOCK = 1 << 18 };

/* ---- hashes of files ----------------------------------------------------------------------------------------
 */

struct memo {
  struct tn_stamp stamp;
  struct tn_hash hash;
};

/* Of the file, in this run of the machine. */
static struct tn_hash memo_key(struct tn_cache *c, const struct tn_stamp *stamp) {
  char boot[64] = "";
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (f) {
    if (!fgets(boot, sizeof boot, f))
      *boot = 0;
    fclose(f);
  }
  const char *text = tn_printf(tn_ctx_arena(c->ctx), "%s %llx %llx", boot, (unsigned long long)stamp->device,
                               (unsigned long long)stamp->inode);
  return tn_hash_bytes(text, strlen(text));
}

static bool recall(struct tn_cache *c, const struct tn_stamp *stamp, struct tn_hash *hash) {
  struct tn_bytes entry;
  struct memo memo;
  if (!c || stamp->size < LARGE || !tn_entry_get(c, "tnf", memo_key(c, stamp), &entry) ||
      entry.size != sizeof memo)
    return false;
  memcpy(&memo, entry.at, sizeof memo);
  *hash = memo.hash;
  return tn_stamp_equal(&memo.stamp, stamp);
}

void tn_cache_remember(struct tn_cache *c, const struct tn_stamp *stamp, struct tn_hash hash) {
  if (!c || stamp->size < LARGE)
    return;
  struct memo memo = {*stamp, hash};
  tn_entry_put(c, "tnf", memo_key(c, stamp), &memo, sizeof memo);
}

/* Read, not mapped: a file that is truncated meanwhile is no crash. */
static bool hash_open_file(tn_ctx *ctx, int fd, struct tn_hash *out) {
  tn_arena *scratch = tn_arena_create(ctx);
  struct tn_hasher *hasher = tn_hasher_create(scratch);
  char *block = tn_alloc_raw(scratch, BLOCK, 64);
  ssize_t got;
  while ((got = read(fd, block, BLOCK)) > 0 || (got < 0 && errno == EINTR))
    if (got > 0)
      tn_hasher_add(hasher, block, (size_t)got);
  *out = tn_hasher_end(hasher);
  tn_arena_destroy(scratch);
  return got == 0;
}

static bool settled(const struct tn_stamp *s) {
  int64_t before = ((int64_t)time(NULL) - RACY_SECONDS) * 1000000000;
  return s->modified_ns < before && s->status_ns < before;
}

bool tn_file_hash(tn_ctx *ctx, struct tn_cache *c, const char *path, struct tn_stamp *stamp,
                  struct tn_hash *hash) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* of a pipe, too: it is none that can be hashed */
  *stamp = tn_stamp_of(fd);
  bool known = stamp->size >= 0, hashed = known && !recall(c, stamp, hash);
  if (hashed) {
    known = hash_open_file(ctx, fd, hash);
    struct tn_stamp after = tn_stamp_of(fd);
    known = known && tn_stamp_equal(stamp, &after); /* else it is being written */
  }
  if (fd >= 0)
    close(fd);
  if (hashed && known && settled(stamp))
    tn_cache_remember(c, stamp, *hash);
  return known;
}

/* ---- outputs ------------------------------------------------------------------------------------------------
 */

bool tn_output_is(struct tn_cache *c, const char *path, struct tn_hash hash) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct tn_stamp stamp = tn_stamp_of(fd);
  struct tn_hash there;
  if (fd >= 0)
    close(fd);
  return recall(c, &stamp, &there) && tn_hash_equal(there, hash);
}

bool tn_output_touch(struct tn_cache *c, const char *path, struct tn_hash hash) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct tn_stamp stamp = tn_stamp_of(fd);
  struct tn_hash there;
  bool good = recall(c, &stamp, &there) && tn_hash_equal(there, hash);
  if (good) {
    stamp = tn_stamp_now(fd);
    tn_cache_remember(c, &stamp, hash);
    good = stamp.size >= 0;
  }
  if (fd >= 0)
    close(fd);
  return good;
}

/* ---- bytes in the cache -------------------------------------------------------------------------------------
 */

static void close_blob(void *object) {
  close(((struct tn_blob *)object)->fd);
}

static struct tn_blob *add_blob(struct tn_cache *c, struct tn_blob blob) {
  struct tn_blob *kept = TN_NEW(tn_ctx_arena(c->ctx), struct tn_blob);
  *kept = blob;
  kept->next = c->blobs;
  c->blobs = kept;
  tn_ctx_cleanup(c->ctx, close_blob, kept);
  return kept;
}

/* Used now, and known to be whole. */
static void mark_used(struct tn_cache *c, int fd, struct tn_hash hash) {
  struct tn_stamp stamp = tn_stamp_now(fd);
  tn_cache_remember(c, &stamp, hash);
}

const struct tn_blob *tn_blob_get(struct tn_cache *c, struct tn_hash hash, uint64_t size) {
  const char *path = tn_cache_path(c, tn_ctx_arena(c->ctx), "tnb", hash);
  struct tn_blob blob = {.hash = hash, .fd = open(path, O_RDONLY | O_CLOEXEC)};
  if (blob.fd < 0)
    return NULL;
  struct tn_stamp stamp = tn_stamp_of(blob.fd);
  struct tn_hash known;
  bool whole = stamp.size >= 0 && (uint64_t)stamp.size == size && tn_cache_map(c->ctx, blob.fd, &blob.bytes);
  if (whole && !(recall(c, &stamp, &known) && tn_hash_equal(known, hash)))
    whole = tn_hash_equal(tn_hash_bytes(blob.bytes.at, blob.bytes.size), hash);
  if (!whole) {
    close(blob.fd);
    unlink(path);
    return NULL;
  }
  mark_used(c, blob.fd, hash);
  return add_blob(c, blob);
}

const struct tn_blob *tn_blob_find(const struct tn_cache *c, struct tn_bytes bytes) {
  const struct tn_blob *b = c->blobs;
  while (b && (b->bytes.at != bytes.at || b->bytes.size != bytes.size))
    b = b->next;
  return b;
}

const struct tn_blob *tn_blob_put(struct tn_cache *c, struct tn_bytes bytes) {
  const struct tn_blob *known = tn_blob_find(c, bytes);
  if (known)
    return known;
  /* What is most of what may be kept would only push the rest out. */
  if (!bytes.size || bytes.size > (uint64_t)c->most_bytes / 2)
    return NULL;
  struct tn_blob blob = {.hash = tn_hash_bytes(bytes.at, bytes.size), .bytes = bytes};
  const struct tn_blob *there = tn_blob_get(c, blob.hash, bytes.size);
  if (there)
    return there;
  const char *path = tn_cache_path(c, tn_ctx_arena(c->ctx), "tnb", blob.hash), *part;
  blob.fd = tn_cache_part(c, path, &part);
  if (blob.fd < 0)
    return NULL;
  if (tn_write_all(blob.fd, bytes.at, bytes.size) != 0 || rename(part, path) != 0) {
    unlink(part);
    close(blob.fd);
    return NULL;
  }
  mark_used(c, blob.fd, blob.hash);
  const struct tn_blob *kept = add_blob(c, blob);
  tn_cache_evict(c);
  return kept;
}
