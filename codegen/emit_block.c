/* Transposes in registers.
 *
 * Inside a tile loop of R iterations around L lanes, a load may lie along the tile's iterations instead of
 * along the lanes: position = base + tile + stride * lane.  Then the block of R x L elements is loaded once, as
 * L vectors of R elements, and turned by shuffles into the R vectors of L lanes that the tile's points want.  A
 * store that lies so is the same the other way round.
 *
 * The network that turns P x P elements is the usual one of log2 P stages: a bit of the vector's number changes
 * places with a bit of the element's number.  Bits within 16 bytes go by interleaving neighbours, which is one
 * instruction on every vector unit; higher ones by exchanging blocks. */
#include "codegen/emit.h"

/* Up to so many tile iterations a contiguous block is taken apart by wide shuffles, which LLVM knows as
 * interleaved accesses. */
#define WIDE_ROWS 4
#define MOST_ROWS 64

static LLVMValueRef mask_of(struct tn_emit *e, const int *at, int count) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  LLVMValueRef *number = TN_NEW_ARRAY(e->arena, LLVMValueRef, count);
  for (int i = 0; i < count; i++)
    number[i] = at[i] < 0 ? LLVMGetPoison(i32) : LLVMConstInt(i32, (unsigned)at[i], 0);
  return LLVMConstVector(number, (unsigned)count);
}

/* Elements of a, then of b (NULL: none), by number; -1: whatever. */
static LLVMValueRef shuffled(struct tn_emit *e, LLVMValueRef a, LLVMValueRef b, const int *at, int count) {
  return LLVMBuildShuffleVector(e->b, a, b ? b : LLVMGetPoison(LLVMTypeOf(a)), mask_of(e, at, count), "");
}

/* All elements of the vectors, one after the other. */
static LLVMValueRef joined(struct tn_emit *e, const LLVMValueRef *v, int count) {
  if (count == 1)
    return v[0];
  int low = (count + 1) / 2, width = (int)LLVMGetVectorSize(LLVMTypeOf(v[0]));
  int *at = TN_NEW_ARRAY(e->arena, int, count *width);
  LLVMValueRef a = joined(e, v, low), b = joined(e, v + low, count - low);
  for (int i = 0; i < count * width; i++)
    at[i] = i;
  if (low > count - low) { /* operands of a shuffle have one width */
    int *wide = TN_NEW_ARRAY(e->arena, int, low *width);
    for (int i = 0; i < low * width; i++)
      wide[i] = i < (count - low) * width ? i : -1;
    b = shuffled(e, b, NULL, wide, low * width);
  }
  return shuffled(e, a, b, at, count * width);
}

static LLVMValueRef part(struct tn_emit *e, LLVMValueRef v, int first, int count) {
  int *at = TN_NEW_ARRAY(e->arena, int, count);
  for (int i = 0; i < count; i++)
    at[i] = first + i;
  return shuffled(e, v, NULL, at, count);
}

/* p vectors of `lanes` elements of `size` bytes: each square of p x p elements is transposed where it stands.
 */
static void turn(struct tn_emit *e, LLVMValueRef *v, int p, int lanes, int size) {
  int near = 16 / size < p ? 16 / size : p; /* elements that neighbours are interleaved within */
  int *a = TN_NEW_ARRAY(e->arena, int, lanes), *b = TN_NEW_ARRAY(e->arena, int, lanes);
  for (int d = p / 2; d >= 1; d /= 2) {
    for (int i = 0; i < lanes; i++) {
      if (d >= near) { /* blocks of d elements change places */
        a[i] = i & d ? lanes + i - d : i;
        b[i] = i & d ? lanes + i : i + d;
      } else {
        int group = i / near * near, k = i % near;
        a[i] = group + k / 2 + (k % 2) * lanes;
        b[i] = a[i] + near / 2;
      }
    }
    for (int i = 0; i < p; i++) {
      if (i & d)
        continue;
      LLVMValueRef x = v[i], y = v[i + d];
      v[i] = shuffled(e, x, y, a, lanes);
      v[i + d] = shuffled(e, x, y, b, lanes);
    }
  }
}

static int power_of_two_from(int v) {
  int p = 1;
  while (p < v)
    p *= 2;
  return p;
}

/* Whether `index` lies along the tile's iterations, with a stride over the lanes. */
static bool lies_across(const struct tn_emit *e, const struct tn_expr *index, int64_t *stride) {
  int64_t along;
  return e->lane && e->tile && e->tile->extent >= 2 && e->tile->extent <= MOST_ROWS && e->lanes >= 2 &&
         tn_ex_stride(index, e->tile, &along) && along == 1 && tn_ex_stride(index, e->lane, stride) &&
         *stride != 0 && *stride != 1 && *stride != -1;
}

static LLVMValueRef load_vector(struct tn_emit *e, const struct tn_buf *buf, LLVMValueRef index, int count) {
  LLVMTypeRef type = LLVMVectorType(tn_emit_storage(e, buf->dtype), (unsigned)count);
  LLVMValueRef v = LLVMBuildLoad2(e->b, type, tn_emit_address(e, buf, index), "");
  LLVMSetAlignment(v, (unsigned)tn_dtype_size(buf->dtype));
  return v;
}

static void store_vector(struct tn_emit *e, const struct tn_buf *buf, LLVMValueRef index, LLVMValueRef v) {
  LLVMSetAlignment(LLVMBuildStore(e->b, v, tn_emit_address(e, buf, index)),
                   (unsigned)tn_dtype_size(buf->dtype));
}

static LLVMValueRef plus(struct tn_emit *e, LLVMValueRef first, int64_t offset) {
  return offset ? LLVMBuildNSWAdd(e->b, first, tn_emit_index(e, offset), "") : first;
}

static bool by_wide_shuffle(int rows, int64_t stride, bool loads) {
  bool power = (rows & (rows - 1)) == 0;
  return stride == rows && (rows <= WIDE_ROWS || (loads && rows <= 2 * WIDE_ROWS && !power));
}

struct tn_point *tn_emit_tile_head(const struct tn_emit *e, struct tn_point *p) {
  return p - (p - e->tile_points) % e->tile->extent;
}

bool tn_emit_load_block(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x) {
  const struct tn_buf *buf = x->load.buf;
  int64_t stride;
  if (x->load.guard || !lies_across(e, x->load.index, &stride))
    return false;
  int rows = (int)e->tile->extent, lanes = e->lanes, square = power_of_two_from(rows);
  if (!by_wide_shuffle(rows, stride, true) && square > lanes)
    return false;
  struct tn_point *head = tn_emit_tile_head(e, p);
  LLVMValueRef first = tn_emit_first_position(e, head, x->load.index);
  LLVMValueRef *v = TN_NEW_ARRAY(e->arena, LLVMValueRef, rows > square ? rows : square);
  int *at = TN_NEW_ARRAY(e->arena, int, lanes > square ? lanes : square);
  if (by_wide_shuffle(rows, stride, true)) {
    LLVMValueRef all = load_vector(e, buf, first, rows * lanes);
    for (int r = 0; r < rows; r++) {
      for (int l = 0; l < lanes; l++)
        at[l] = l * rows + r;
      v[r] = shuffled(e, all, NULL, at, lanes);
    }
  } else {
    int parts = lanes / square;
    LLVMValueRef *piece = TN_NEW_ARRAY(e->arena, LLVMValueRef, parts);
    for (int k = 0; k < square; k++)
      at[k] = k < rows ? k : -1;
    for (int i = 0; i < square; i++) {
      for (int b = 0; b < parts; b++) {
        piece[b] = load_vector(e, buf, plus(e, first, stride * (i + b * square)), rows);
        if (rows != square)
          piece[b] = shuffled(e, piece[b], NULL, at, square);
      }
      v[i] = joined(e, piece, parts);
    }
    turn(e, v, square, lanes, (int)tn_dtype_size(buf->dtype));
  }
  for (int r = 0; r < rows; r++) {
    head[r].memo[x->id] = (struct tn_val){tn_emit_from_storage(e, buf->dtype, v[r], true), true};
    head[r].stamp[x->id] = e->stamp;
  }
  return true;
}

LLVMValueRef tn_emit_load_apart(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef first, int64_t stride,
                                LLVMValueRef mask) {
  int lanes = e->lanes;
  int64_t last =
      (stride - 1) * (lanes - 1); /* where the last vector begins: it ends with the last lane's element */
  int *at = TN_NEW_ARRAY(e->arena, int, lanes), *part = TN_NEW_ARRAY(e->arena, int, lanes);
  LLVMValueRef all = NULL;
  for (int64_t k = 0; k < stride; k++) {
    int64_t from = k + 1 < stride ? k * lanes : last;
    for (int l = 0; l < lanes; l++) {
      int64_t element = stride * l, of = element / lanes;
      at[l] = of < k ? l : of == k ? (int)(element - from) + (all ? lanes : 0) : -1;
      /* only what a lane wants is read: the next element may lie outside */
      part[l] = (from + l) % stride ? lanes : (int)((from + l) / stride);
    }
    LLVMValueRef wanted = mask ? shuffled(e, mask, LLVMConstNull(LLVMTypeOf(mask)), part, lanes) : NULL;
    LLVMValueRef v = tn_emit_load_row(e, x, plus(e, first, from), wanted);
    all = shuffled(e, all ? all : v, all ? v : NULL, at, lanes);
  }
  return all;
}

bool tn_emit_store_block(struct tn_emit *e, struct tn_point *head, const struct tn_stmt *st) {
  const struct tn_buf *buf = st->store.buf;
  int64_t stride;
  if (st->store.guard || !lies_across(e, st->store.index, &stride))
    return false;
  int rows = (int)e->tile->extent, lanes = e->lanes;
  bool wide = by_wide_shuffle(rows, stride, false);
  if (!wide && (power_of_two_from(rows) != rows || rows > lanes))
    return false;
  LLVMValueRef *v = TN_NEW_ARRAY(e->arena, LLVMValueRef, rows);
  for (int r = 0; r < rows; r++) {
    LLVMValueRef one = tn_emit_widened(e, tn_emit_expr(e, &head[r], st->store.value));
    v[r] = tn_emit_to_storage(e, buf->dtype, one, true);
  }
  LLVMValueRef first = tn_emit_first_position(e, head, st->store.index);
  if (wide) {
    int *at = TN_NEW_ARRAY(e->arena, int, rows *lanes);
    for (int i = 0; i < rows * lanes; i++)
      at[i] = i % rows * lanes + i / rows;
    store_vector(e, buf, first, shuffled(e, joined(e, v, rows), NULL, at, rows * lanes));
    return true;
  }
  turn(e, v, rows, lanes, (int)tn_dtype_size(buf->dtype));
  for (int l = 0; l < lanes; l++)
    store_vector(e, buf, plus(e, first, stride * l), part(e, v[l % rows], l / rows * rows, rows));
  return true;
}
