/* The object that LLVM made: the weights go into it, and it is measured.
 *
 * LLVM would take its time for their bytes, and several copies.  So it sees zeros: in ELF a section .bss.NAME,
 * which has no bytes in the file and becomes NAME, with the weights' behind the rest; in other formats room
 * that is filled.
 */
#include "codegen/internal.h"

#include <llvm-c/Object.h>

#include <elf.h>

/* ---- ELF ---------------------------------------------------------------------------------------------------
 */

/* Gives the section that is called `name` its bytes at `offset`, and takes .bss from its name; the names' table
 * stays as it is.  False: there is no such section. */
#define PLACE_SECTION(bits)                                                                         \
  static bool place_section_##bits(char *file, const char *name, uint64_t offset, uint64_t bytes) { \
    Elf##bits##_Ehdr head;                                                                          \
    Elf##bits##_Shdr first, names, s;                                                               \
    memcpy(&head, file, sizeof head);                                                               \
    memcpy(&first, file + head.e_shoff, sizeof first);                                              \
    uint64_t count = head.e_shnum ? head.e_shnum : first.sh_size;                                   \
    uint64_t names_at = head.e_shstrndx == SHN_XINDEX ? first.sh_link : head.e_shstrndx;            \
    memcpy(&names, file + head.e_shoff + names_at * sizeof names, sizeof names);                    \
    for (uint64_t i = 1; i < count; i++) {                                                          \
      char *at = file + head.e_shoff + i * sizeof s;                                                \
      memcpy(&s, at, sizeof s);                                                                     \
      if (s.sh_type != SHT_NOBITS || s.sh_size != bytes ||                                          \
          strcmp(file + names.sh_offset + s.sh_name, name) != 0)                                    \
        continue;                                                                                   \
      s.sh_name += (unsigned)strlen(TN_WEIGHTS_PREFIX);                                             \
      s.sh_type = SHT_PROGBITS;                                                                     \
      s.sh_flags = SHF_ALLOC;                                                                       \
      s.sh_offset = (Elf##bits##_Off)offset;                                                        \
      memcpy(at, &s, sizeof s);                                                                     \
      return true;                                                                                  \
    }                                                                                               \
    return false;                                                                                   \
  }
PLACE_SECTION(32)
PLACE_SECTION(64)

static void append_weights(struct tn_codegen *cg) {
  size_t begin = (size_t)tn_round_up((int64_t)cg->object.size, TN_WEIGHT_ALIGN),
         bytes = (size_t)cg->weights.bytes;
  char *file = tn_alloc_raw(cg->arena, begin + bytes, TN_WEIGHT_ALIGN);
  memcpy(file, cg->object.at, cg->object.size);
  memset(file + cg->object.size, 0, begin - cg->object.size);
  tn_weights_move(&cg->weights, file + begin);
  const char *name = tn_printf(cg->arena, TN_WEIGHTS_PREFIX "%s", tn_weights_section(cg));
  if (!(file[EI_CLASS] == ELFCLASS32 ? place_section_32 : place_section_64)(file, name, begin, bytes))
    tn_bug(cg->ctx, "the object has no section %s for the weights", name);
  cg->object = (struct tn_bytes){(const uint8_t *)file, begin + bytes};
}

/* ---- other formats
 * ------------------------------------------------------------------------------------------- */

/* Where the object has room for the weights; NULL: nowhere. */
static char *weights_in(struct tn_codegen *cg, LLVMBinaryRef binary) {
  const char *symbol = tn_weights_symbol(cg);
  char *found = NULL;
  LLVMSymbolIteratorRef s = LLVMObjectFileCopySymbolIterator(binary);
  LLVMSectionIteratorRef section = LLVMObjectFileCopySectionIterator(binary);
  for (; !found && !LLVMObjectFileIsSymbolIteratorAtEnd(binary, s); LLVMMoveToNextSymbol(s)) {
    const char *name = LLVMGetSymbolName(s);
    if (!name || strcmp(name, symbol) != 0)
      continue;
    LLVMMoveToContainingSection(section, s);
    uint64_t at = LLVMGetSymbolAddress(s), bytes = (uint64_t)cg->weights.bytes;
    if (at + bytes <= LLVMGetSectionSize(section))
      found = (char *)(uintptr_t)LLVMGetSectionContents(section) + at;
  }
  LLVMDisposeSectionIterator(section);
  LLVMDisposeSymbolIterator(s);
  return found;
}

static void fill_weights(struct tn_codegen *cg) {
  LLVMMemoryBufferRef buffer =
      LLVMCreateMemoryBufferWithMemoryRange((const char *)cg->object.at, cg->object.size, "object", 0);
  char *message = NULL;
  LLVMBinaryRef binary = LLVMCreateBinary(buffer, NULL, &message);
  char *room = binary ? weights_in(cg, binary) : NULL; /* in the object's own memory: nothing was copied */
  if (binary)
    LLVMDisposeBinary(binary);
  LLVMDisposeMessage(message);
  LLVMDisposeMemoryBuffer(buffer);
  if (!room)
    tn_bug(cg->ctx, "the object has no room for the weights");
  tn_weights_copy(&cg->weights, room);
}

bool tn_object_weights(struct tn_codegen *cg) {
  if (cg->options.weights_apart || !cg->weights.bytes)
    return true;
  if (cg->target.elf)
    append_weights(cg);
  else
    fill_weights(cg);
  return true;
}

/* ---- measuring
 * ----------------------------------------------------------------------------------------------- */

/* Bytes of code: the object's sections named .text*. */
int64_t tn_object_code_bytes(struct tn_codegen *cg) {
  int64_t total = 0;
  LLVMMemoryBufferRef buffer =
      LLVMCreateMemoryBufferWithMemoryRange((const char *)cg->object.at, cg->object.size, "object", 0);
  char *message = NULL;
  LLVMBinaryRef binary = LLVMCreateBinary(buffer, NULL, &message);
  if (binary) {
    LLVMSectionIteratorRef s = LLVMObjectFileCopySectionIterator(binary);
    for (; !LLVMObjectFileIsSectionIteratorAtEnd(binary, s); LLVMMoveToNextSection(s)) {
      const char *name = LLVMGetSectionName(s);
      if (name && strncmp(name, ".text", 5) == 0)
        total += (int64_t)LLVMGetSectionSize(s);
    }
    LLVMDisposeSectionIterator(s);
    LLVMDisposeBinary(binary);
  }
  LLVMDisposeMessage(message);
  LLVMDisposeMemoryBuffer(buffer);
  return total;
}
