/* Wire bytes to messages.
 *
 * protobuf-c copies every byte field, follows messages to any depth and says nothing about what is wrong.  So
 * the bytes go through a first pass that writes a skeleton of the message and leaves out: large tensor payloads
 * (a note of where they lie takes their place), fields that our schema does not name, and nothing else.  That
 * pass checks all that could go wrong - truncation, wire types, depth, UTF-8 - and says at which byte.
 * protobuf-c then reads the skeleton, on an arena.
 *
 * Invariant: what protobuf-c sees is well-formed and at most TN_ONNX_MAX_NESTING graphs deep, and its strings
 * hold no NUL. */
#include "frontend/onnx/wire.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum {
  MAX_DEPTH = 3 * TN_ONNX_MAX_NESTING + 16, /* a nested graph is three messages: node, attribute, graph */
  MAPPED_AT_LEAST = 256,                    /* smaller payloads are copied */
  LENGTH_BYTES = 5 /* of a message's length, which is patched in: a varint of fixed width */
};

struct skeleton {
  struct tn_wire *wire;
  TN_VEC(uint8_t) out;
};

void tn_wire_init(struct tn_wire *wire, tn_ctx *ctx, tn_arena *arena, tn_arena *keep, const char *path,
                  struct tn_bytes bytes) {
  *wire = (struct tn_wire){.ctx = ctx, .arena = arena, .keep = keep, .path = path, .bytes = bytes};
  tn_map_init(&wire->external, arena);
}

static bool fault(const struct skeleton *s, const uint8_t *at, const char *message, const char *text) {
  const char *hint = "the file is damaged, or it is no ONNX model";
  tn_report(s->wire->ctx, TN_ERROR, (struct tn_where){.file = s->wire->path}, "%s at byte %zu, in %s: %s", text,
            (size_t)(at - s->wire->bytes.at), message, hint);
  return false;
}

static void put(struct skeleton *s, const void *bytes, size_t count) {
  tn_arena *arena = s->wire->arena;
  if (count > s->out.cap - s->out.count) {
    size_t cap = s->out.cap < 4096 ? 4096 : s->out.cap;
    while (cap - s->out.count < count)
      cap *= 2;
    uint8_t *at = tn_alloc_raw(arena, cap, 16);
    if (s->out.count)
      memcpy(at, s->out.at, s->out.count);
    s->out.at = at;
    s->out.cap = cap;
  }
  if (count)
    memcpy(s->out.at + s->out.count, bytes, count);
  s->out.count += count;
}

static void put_varint(struct skeleton *s, uint64_t value) {
  uint8_t bytes[10];
  size_t count = 0;
  for (; value >= 0x80; value >>= 7)
    bytes[count++] = (uint8_t)(value | 0x80);
  bytes[count++] = (uint8_t)value;
  put(s, bytes, count);
}

/* Advances *at past a varint. */
static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *out) {
  uint64_t value = 0;
  for (int shift = 0; shift < 70 && *at < end; shift += 7) {
    uint8_t byte = *(*at)++;
    if (shift == 63 && byte > 1)
      return false;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) {
      *out = value;
      return true;
    }
  }
  return false;
}

/* UTF-8 without NUL: shortest form, no surrogates. */
static bool text_valid(const uint8_t *at, size_t size) {
  const uint8_t *end = at + size;
  while (at < end) {
    uint32_t lead = *at++, code, least;
    int more;
    if (lead == 0)
      return false;
    if (lead < 0x80)
      continue;
    if (lead >= 0xc2 && lead < 0xe0)
      more = 1, code = lead & 0x1f, least = 0x80;
    else if (lead >= 0xe0 && lead < 0xf0)
      more = 2, code = lead & 0x0f, least = 0x800;
    else if (lead >= 0xf0 && lead < 0xf5)
      more = 3, code = lead & 0x07, least = 0x10000;
    else
      return false;
    for (; more > 0; more--) {
      if (at == end || (*at & 0xc0) != 0x80)
        return false;
      code = code << 6 | (*at++ & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      return false;
  }
  return true;
}

static int wire_type_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_FLOAT:
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
    return WIRE_FIXED32;
  case PROTOBUF_C_TYPE_DOUBLE:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
    return WIRE_FIXED64;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE:
    return WIRE_BYTES;
  default:
    return WIRE_VARINT;
  }
}

/* The payload of a packed field: whole elements only. */
static bool packed_valid(ProtobufCType type, const uint8_t *at, size_t size) {
  switch (wire_type_of(type)) {
  case WIRE_FIXED32:
    return size % 4 == 0;
  case WIRE_FIXED64:
    return size % 8 == 0;
  default: {
    uint64_t value;
    for (const uint8_t *end = at + size; at < end;)
      if (!get_varint(&at, end, &value))
        return false;
    return true;
  }
  }
}

static bool copy_message(struct skeleton *s, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                         const uint8_t *end, int depth);

/* One length-delimited field that the schema names; tag and payload as they are in the file. */
static bool copy_bytes(struct skeleton *s, const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *field, const uint8_t *at, size_t size, int depth) {
  uint64_t tag = (uint64_t)field->id << 3 | WIRE_BYTES;
  if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
    put_varint(s, tag);
    size_t patch = s->out.count;
    put(s, (uint8_t[LENGTH_BYTES]){0}, LENGTH_BYTES);
    if (!copy_message(s, field->descriptor, at, at + size, depth + 1))
      return false;
    size_t length = s->out.count - patch - LENGTH_BYTES;
    if (length > INT32_MAX)
      return fault(s, at, type->short_name, "a message of more than 2 GiB");
    for (int i = 0; i < LENGTH_BYTES; i++)
      s->out.at[patch + i] = (uint8_t)((length >> (7 * i) & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
    return true;
  }
  if (field->type == PROTOBUF_C_TYPE_STRING && !text_valid(at, size))
    return fault(s, at, type->short_name,
                 tn_printf(s->wire->arena, "field '%s' is not valid UTF-8 text", field->name));
  if (wire_type_of(field->type) != WIRE_BYTES) {
    if (!packed_valid(field->type, at, size))
      return fault(s, at, type->short_name, tn_printf(s->wire->arena, "field '%s' is cut short", field->name));
  }
  /* float_data and double_data, packed, have the layout of raw_data. */
  bool payload =
      field->id == TN_WIRE_RAW_DATA || field->id == TN_WIRE_FLOAT_DATA || field->id == TN_WIRE_DOUBLE_DATA;
  if (payload && type == &onnx__tensor_proto__descriptor && size >= MAPPED_AT_LEAST) {
    put_varint(s, 1001 << 3 | WIRE_VARINT);
    put_varint(s, field->id);
    put_varint(s, 1002 << 3 | WIRE_VARINT);
    put_varint(s, (uint64_t)(at - s->wire->bytes.at));
    put_varint(s, 1003 << 3 | WIRE_VARINT);
    put_varint(s, size);
    return true;
  }
  put_varint(s, tag);
  put_varint(s, size);
  put(s, at, size);
  return true;
}

static bool copy_message(struct skeleton *s, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                         const uint8_t *end, int depth) {
  uint64_t seen = 0; /* fields of the message, by position in the descriptor */
  if (depth > MAX_DEPTH)
    return fault(s, at, type->short_name,
                 tn_printf(s->wire->arena, "graphs nested more than %d deep", TN_ONNX_MAX_NESTING));
  while (at < end) {
    const uint8_t *start = at;
    uint64_t tag, size = 0;
    if (!get_varint(&at, end, &tag))
      return fault(s, start, type->short_name, "a field's tag is cut short");
    int wire = (int)(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
      return fault(s, start, type->short_name, "a field has an impossible number");
    if (wire == WIRE_VARINT) {
      if (!get_varint(&at, end, &size))
        return fault(s, start, type->short_name, "an integer is cut short");
    } else if (wire == WIRE_FIXED32 || wire == WIRE_FIXED64) {
      size_t width = wire == WIRE_FIXED32 ? 4 : 8;
      if ((size_t)(end - at) < width)
        return fault(s, start, type->short_name, "a number is cut short");
      at += width;
    } else if (wire == WIRE_BYTES) {
      if (!get_varint(&at, end, &size))
        return fault(s, start, type->short_name, "a length is cut short");
      if (size > (uint64_t)(end - at))
        return fault(s, start, type->short_name,
                     tn_printf(s->wire->arena, "a field of %llu bytes where %llu are left",
                               (unsigned long long)size, (unsigned long long)(end - at)));
      at += size;
    } else {
      return fault(s, start, type->short_name, "a field of an unknown kind");
    }
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    if (!field || field->id > 1000)
      continue; /* not one that we read */
    bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
    int wanted = wire_type_of(field->type);
    if (wire != wanted && !(wire == WIRE_BYTES && repeated))
      return fault(s, start, type->short_name,
                   tn_printf(s->wire->arena, "field '%s' is of the wrong kind", field->name));
    uint64_t bit = 1ull << (field - type->fields);
    if (!repeated && (seen & bit) && field->type == PROTOBUF_C_TYPE_MESSAGE)
      return fault(s, start, type->short_name,
                   tn_printf(s->wire->arena, "field '%s' is there twice", field->name));
    seen |= bit;
    if (wire == WIRE_BYTES) {
      if (!copy_bytes(s, type, field, at - size, (size_t)size, depth))
        return false;
    } else {
      put(s, start, (size_t)(at - start));
    }
  }
  return true;
}

static void *arena_alloc(void *user, size_t size) {
  return tn_alloc_raw(user, size ? size : 1, 16);
}
static void arena_free(void *user, void *pointer) {
  (void)user;
  (void)pointer;
}

ProtobufCMessage *tn_wire_read(struct tn_wire *wire, const ProtobufCMessageDescriptor *type) {
  struct tn_where where = {.file = wire->path};
  struct skeleton s = {.wire = wire};
  if (wire->bytes.size == 0) {
    tn_report(wire->ctx, TN_ERROR, where, "the file is empty: expected an ONNX %s", type->short_name);
    return NULL;
  }
  if (!copy_message(&s, type, wire->bytes.at, wire->bytes.at + wire->bytes.size, 0))
    return NULL;
  ProtobufCAllocator allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = wire->arena};
  ProtobufCMessage *message =
      protobuf_c_message_unpack(type, &allocator, s.out.count, s.out.at ? s.out.at : (const uint8_t *)"");
  if (!message)
    tn_report(wire->ctx, TN_ERROR, where, "not an ONNX %s: the file is damaged", type->short_name);
  return message;
}
