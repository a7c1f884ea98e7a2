/* The weights: equal ones once, in a section of the object or in a file of their own. */
#include "codegen/internal.h"

int64_t tn_weights_place(struct tn_weights *w, const void *data, size_t bytes, bool own) {
  struct tn_hash hash = tn_hash_bytes(data, bytes);
  for (size_t i = 0; i < w->count; i++)
    if (w->items[i].bytes == bytes && tn_hash_equal(w->items[i].hash, hash))
      return w->items[i].offset;
  struct tn_weight item = {data, bytes, hash, tn_round_up(w->bytes, TN_WEIGHT_ALIGN), own};
  TN_VEC(struct tn_weight) items = {w->items, w->count, w->cap};
  TN_PUSH(w->arena, &items, item);
  w->items = items.at;
  w->count = items.count;
  w->cap = items.cap;
  w->bytes = item.offset + (int64_t)bytes;
  return item.offset;
}

const char *tn_weights_symbol(const struct tn_codegen *cg) {
  return tn_printf(cg->arena, "%s_weights", cg->module->name);
}

const char *tn_weights_section(const struct tn_codegen *cg) {
  const char *section = cg->options.weights_section;
  return section ? section : tn_printf(cg->arena, ".rodata.%s_weights", cg->module->name);
}

static void copy_weight(const struct tn_weights *w, size_t i, char *to) { /* with the zeros before it */
  const struct tn_weight *it = &w->items[i];
  int64_t end = i ? w->items[i - 1].offset + (int64_t)w->items[i - 1].bytes : 0;
  memset(to + end, 0, (size_t)(it->offset - end));
  memcpy(to + it->offset, it->data, it->bytes);
}

void tn_weights_copy(const struct tn_weights *w, char *to) {
  for (size_t i = 0; i < w->count; i++)
    copy_weight(w, i, to);
}

void tn_weights_move(struct tn_weights *w, char *to) {
  for (size_t i = 0; i < w->count; i++) {
    struct tn_weight *it = &w->items[i];
    copy_weight(w, i, to);
    if (it->own)
      tn_release((void *)(uintptr_t)it->data, it->bytes);
    it->data = to + it->offset;
    it->own = false;
  }
}

/* The smallest file: its hash is then of one kind, see runtime/tenon_weights.c. */
#define WEIGHTS_FILE_LEAST 256

bool tn_weights_make_file(struct tn_codegen *cg) {
  if (!cg->weights.bytes) {
    tn_report(cg->ctx, TN_ERROR, (struct tn_where){.file = cg->module->file},
              "the model has no weights that could be put in a file of their own");
    return false;
  }
  int64_t bytes = tn_round_up(cg->weights.bytes, TN_WEIGHT_ALIGN);
  bytes = bytes < WEIGHTS_FILE_LEAST ? WEIGHTS_FILE_LEAST : bytes;
  char *file = tn_alloc(cg->arena, (size_t)bytes);
  tn_weights_move(&cg->weights, file);
  cg->weights_file = (struct tn_bytes){(const uint8_t *)file, (size_t)bytes};
  cg->facts.weight_bytes = bytes;
  cg->facts.weights_hash = tn_hash_hex(cg->arena, tn_hash_bytes(file, (size_t)bytes));
  return true;
}

/* "Externally initialized" keeps LLVM from taking the zeros for the values. */
void tn_weights_add(struct tn_codegen *cg, LLVMValueRef placeholder) {
  LLVMTypeRef type = LLVMArrayType2(LLVMInt8TypeInContext(cg->part[0].c), (uint64_t)cg->weights.bytes);
  LLVMValueRef real = LLVMAddGlobal(cg->part[0].m, type, "");
  LLVMSetInitializer(real, LLVMConstNull(type));
  LLVMSetExternallyInitialized(real, 1);
  LLVMSetGlobalConstant(real, 1);
  LLVMSetLinkage(real, LLVMInternalLinkage);
  LLVMSetAlignment(real, TN_WEIGHT_ALIGN);
  LLVMSetSection(real, tn_weights_section(cg));
  LLVMReplaceAllUsesWith(placeholder, real);
  LLVMDeleteGlobal(placeholder);
  const char *name = tn_weights_symbol(cg);
  LLVMSetValueName2(real, name, strlen(name));
}
