/* Several ELF objects of one build as one, as `ld -r` would: their sections one after the other, under their
 * own names, and one table of symbols.
 *
 * Only what LLVM writes is known here: little-endian, fewer than 65,280 sections, no groups.  What is hidden
 * and defined in one of the parts is local afterwards. */
#include "codegen/internal.h"

#include <elf.h>

#ifndef SHT_LLVM_ADDRSIG
#define SHT_LLVM_ADDRSIG 0x6fff4c03 /* numbers symbols, for linkers that fold; left out */
#endif
#define SHT_ATTRIBUTES 0x70000003 /* of Arm and RISC-V */

/* Headers, symbols and relocations are held as those of 64 bits. */
struct section {
  Elf64_Shdr head;
  const char *name;
  const uint8_t *data;
  size_t part, number; /* where it is from */
  size_t at;           /* its number in the result */
};

struct part {
  const uint8_t *file;
  bool wide;
  Elf64_Ehdr head;
  struct section *sections; /* of the part, all of them */
  size_t count;
  size_t *symbol; /* number in the result, by number in the part */
  Elf64_Sym *symbols;
  const char *names;
  size_t symbol_count;
};

struct merge {
  tn_ctx *ctx;
  tn_arena *arena;
  struct part *parts;
  size_t part_count;
  bool wide;
  TN_VEC(struct section *) sections; /* of the result, after the null one */
  TN_VEC(Elf64_Sym) local, global;
  TN_VEC(const char *) global_name;
  struct tn_map by_name; /* number in `global` plus one */
  struct tn_str names, file;
};

/* ---- reading ------------------------------------------------------------------------------------------------
 */

#define WIDEN(to, from, field) (to).field = (from).field

static Elf64_Shdr read_section(const struct part *p, size_t i) {
  Elf64_Shdr s;
  const uint8_t *at = p->file + p->head.e_shoff + i * p->head.e_shentsize;
  if (p->wide) {
    memcpy(&s, at, sizeof s);
    return s;
  }
  Elf32_Shdr n;
  memcpy(&n, at, sizeof n);
  WIDEN(s, n, sh_name), WIDEN(s, n, sh_type), WIDEN(s, n, sh_flags), WIDEN(s, n, sh_addr);
  WIDEN(s, n, sh_offset), WIDEN(s, n, sh_size), WIDEN(s, n, sh_link), WIDEN(s, n, sh_info);
  WIDEN(s, n, sh_addralign), WIDEN(s, n, sh_entsize);
  return s;
}

static Elf64_Sym read_symbol(bool wide, const uint8_t *at) {
  Elf64_Sym s;
  if (wide) {
    memcpy(&s, at, sizeof s);
    return s;
  }
  Elf32_Sym n;
  memcpy(&n, at, sizeof n);
  WIDEN(s, n, st_name), WIDEN(s, n, st_info), WIDEN(s, n, st_other), WIDEN(s, n, st_shndx);
  WIDEN(s, n, st_value), WIDEN(s, n, st_size);
  return s;
}

static void read_head(struct part *p, struct tn_bytes object) {
  p->file = object.at;
  p->wide = object.at[EI_CLASS] == ELFCLASS64;
  if (p->wide) {
    memcpy(&p->head, object.at, sizeof p->head);
    return;
  }
  Elf32_Ehdr n;
  memcpy(&n, object.at, sizeof n);
  memcpy(p->head.e_ident, n.e_ident, sizeof n.e_ident);
  WIDEN(p->head, n, e_type), WIDEN(p->head, n, e_machine), WIDEN(p->head, n, e_version);
  WIDEN(p->head, n, e_flags), WIDEN(p->head, n, e_shoff), WIDEN(p->head, n, e_shentsize);
  WIDEN(p->head, n, e_shnum), WIDEN(p->head, n, e_shstrndx), WIDEN(p->head, n, e_ehsize);
}

static void read_part(struct merge *m, struct part *p, struct tn_bytes object) {
  read_head(p, object);
  p->count = p->head.e_shnum;
  if (!p->count)
    tn_bug(m->ctx, "an object of a part of the build has too many sections");
  p->sections = TN_NEW_ARRAY(m->arena, struct section, p->count);
  Elf64_Shdr names = read_section(p, p->head.e_shstrndx);
  for (size_t i = 0; i < p->count; i++) {
    struct section *s = &p->sections[i];
    *s = (struct section){.head = read_section(p, i), .part = (size_t)(p - m->parts), .number = i};
    s->name = (const char *)p->file + names.sh_offset + s->head.sh_name;
    s->data = p->file + s->head.sh_offset;
    if (s->head.sh_type == SHT_GROUP || s->head.sh_type == SHT_SYMTAB_SHNDX)
      tn_bug(m->ctx, "section '%s' of a part of the build is of a kind that is not known", s->name);
    if (s->head.sh_type != SHT_SYMTAB)
      continue;
    Elf64_Shdr text = read_section(p, s->head.sh_link);
    p->names = (const char *)p->file + text.sh_offset;
    p->symbol_count = (size_t)(s->head.sh_size / s->head.sh_entsize);
    p->symbols = TN_NEW_ARRAY(m->arena, Elf64_Sym, p->symbol_count);
    p->symbol = TN_NEW_ARRAY(m->arena, size_t, p->symbol_count);
    for (size_t k = 0; k < p->symbol_count; k++)
      p->symbols[k] = read_symbol(p->wide, s->data + k * s->head.sh_entsize);
  }
}

/* ---- sections and symbols of the result
 * ----------------------------------------------------------------------- */

/* What every object has once, and is the same in all parts. */
static bool once(const struct section *s) {
  return s->head.sh_type == SHT_ATTRIBUTES || (s->head.sh_size == 0 && strcmp(s->name, ".text") == 0) ||
         strcmp(s->name, ".note.GNU-stack") == 0 || strcmp(s->name, ".comment") == 0;
}

static void choose_sections(struct merge *m) {
  for (size_t i = 0; i < m->part_count; i++)
    for (size_t k = 1; k < m->parts[i].count; k++) {
      struct section *s = &m->parts[i].sections[k];
      unsigned type = s->head.sh_type;
      if (type == SHT_NULL || type == SHT_SYMTAB || type == SHT_STRTAB || type == SHT_LLVM_ADDRSIG ||
          (i > 0 && once(s)))
        continue;
      TN_PUSH(m->arena, &m->sections, s);
      s->at = m->sections.count;
    }
}

static unsigned add_name(struct merge *m, const char *name) {
  if (!*name)
    return 0;
  unsigned at = (unsigned)m->names.count;
  tn_str_addn(&m->names, name, strlen(name) + 1);
  return at;
}

static void add_symbol(struct merge *m, struct part *p, size_t k) {
  Elf64_Sym s = p->symbols[k];
  const char *name = p->names + s.st_name;
  unsigned type = ELF64_ST_TYPE(s.st_info), bind = ELF64_ST_BIND(s.st_info);
  bool defined = s.st_shndx != SHN_UNDEF, in_section = defined && s.st_shndx < SHN_LORESERVE;
  if (in_section) {
    s.st_shndx = (Elf64_Half)p->sections[s.st_shndx].at;
    if (!s.st_shndx) /* of a section that every part has: nothing refers to it */
      return;
  }
  if (bind == STB_LOCAL) {
    if (type == STT_FILE && p != m->parts)
      return;
    s.st_name = add_name(m, name);
    TN_PUSH(m->arena, &m->local, s);
    p->symbol[k] = m->local.count; /* after the null one */
    return;
  }
  size_t known = (size_t)(uintptr_t)tn_map_get(&m->by_name, name);
  if (!known) {
    s.st_name = 0;
    TN_PUSH(m->arena, &m->global, s);
    TN_PUSH(m->arena, &m->global_name, name);
    known = m->global.count;
    tn_map_set(&m->by_name, name, (void *)known);
  } else if (defined) {
    Elf64_Sym *there = &m->global.at[known - 1];
    if (there->st_shndx != SHN_UNDEF)
      tn_bug(m->ctx, "two parts of the build define '%s'", name);
    *there = s;
  }
  p->symbol[k] = known; /* for now its number among the globals */
}

static bool becomes_local(const Elf64_Sym *s) {
  return s->st_shndx != SHN_UNDEF && ELF64_ST_VISIBILITY(s->st_other) == STV_HIDDEN;
}

static void number_symbols(struct merge *m) {
  tn_map_init(&m->by_name, m->arena);
  for (size_t i = 0; i < m->part_count; i++)
    for (size_t k = 1; k < m->parts[i].symbol_count; k++)
      add_symbol(m, &m->parts[i], k);
  size_t *final = TN_NEW_ARRAY(m->arena, size_t, m->global.count + 1), rest = 0;
  for (size_t i = 0; i < m->global.count; i++) {
    Elf64_Sym *s = &m->global.at[i];
    s->st_name = add_name(m, m->global_name.at[i]);
    if (!becomes_local(s))
      continue;
    s->st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(s->st_info));
    s->st_other = STV_DEFAULT;
    TN_PUSH(m->arena, &m->local, *s);
    final[i] = m->local.count;
  }
  for (size_t i = 0; i < m->global.count; i++)
    if (!final[i]) {
      final[i] = m->local.count + 1 + rest;
      m->global.at[rest++] = m->global.at[i];
    }
  m->global.count = rest;
  for (size_t i = 0; i < m->part_count; i++)
    for (size_t k = 1; k < m->parts[i].symbol_count; k++)
      if (ELF64_ST_BIND(m->parts[i].symbols[k].st_info) != STB_LOCAL)
        m->parts[i].symbol[k] = final[m->parts[i].symbol[k] - 1];
}

/* ---- writing
 * ------------------------------------------------------------------------------------------------- */

static void align_file(struct merge *m, uint64_t align) {
  static const char zeros[64];
  for (size_t more;
       align > 1 && (more = m->file.count % align ? (size_t)(align - m->file.count % align) : 0) > 0;)
    tn_str_addn(&m->file, zeros, more < sizeof zeros ? more : sizeof zeros);
}

static void add_section_header(struct merge *m, Elf64_Shdr s) {
  Elf32_Shdr n;
  if (m->wide) {
    tn_str_addn(&m->file, (const char *)&s, sizeof s);
    return;
  }
#define NARROW(field) n.field = (Elf32_Word)s.field
  NARROW(sh_name), NARROW(sh_type), NARROW(sh_flags), NARROW(sh_addr), NARROW(sh_offset), NARROW(sh_size);
  NARROW(sh_link), NARROW(sh_info), NARROW(sh_addralign), NARROW(sh_entsize);
  tn_str_addn(&m->file, (const char *)&n, sizeof n);
}

static void write_symbol(struct merge *m, Elf64_Sym s) {
  Elf32_Sym n;
  if (m->wide) {
    tn_str_addn(&m->file, (const char *)&s, sizeof s);
    return;
  }
  n = (Elf32_Sym){s.st_name, (Elf32_Addr)s.st_value, (Elf32_Word)s.st_size, s.st_info, s.st_other, s.st_shndx};
  tn_str_addn(&m->file, (const char *)&n, sizeof n);
}

/* The relocations with the new numbers of their symbols. */
static void write_relocations(struct merge *m, const struct section *s) {
  const struct part *p = &m->parts[s->part];
  for (uint64_t at = 0; at < s->head.sh_size; at += s->head.sh_entsize) {
    union {
      Elf64_Rela wide;
      Elf32_Rela narrow;
    } r;
    size_t entry = (size_t)s->head.sh_entsize;
    memcpy(&r, s->data + at, entry);
    size_t symbol = m->wide ? (size_t)ELF64_R_SYM(r.wide.r_info) : ELF32_R_SYM(r.narrow.r_info);
    size_t to = symbol ? p->symbol[symbol] : 0;
    if (symbol && !to)
      tn_bug(m->ctx, "a relocation of '%s' is against a symbol that was left out", s->name);
    if (m->wide)
      r.wide.r_info = ELF64_R_INFO(to, ELF64_R_TYPE(r.wide.r_info));
    else
      r.narrow.r_info = ELF32_R_INFO((Elf32_Word)to, ELF32_R_TYPE(r.narrow.r_info));
    tn_str_addn(&m->file, (const char *)&r, entry);
  }
}

static void write_sections(struct merge *m, size_t symtab) {
  for (size_t i = 0; i < m->sections.count; i++) {
    struct section *s = m->sections.at[i];
    const struct part *p = &m->parts[s->part];
    align_file(m, s->head.sh_addralign);
    size_t offset = m->file.count;
    bool relocations = s->head.sh_type == SHT_RELA || s->head.sh_type == SHT_REL;
    if (relocations) {
      write_relocations(m, s);
      s->head.sh_link = (Elf64_Word)symtab;
      s->head.sh_info = (Elf64_Word)p->sections[s->head.sh_info].at;
    } else {
      if (s->head.sh_type != SHT_NOBITS)
        tn_str_addn(&m->file, (const char *)s->data, (size_t)s->head.sh_size);
      if (s->head.sh_flags & SHF_LINK_ORDER)
        s->head.sh_link = (Elf64_Word)p->sections[s->head.sh_link].at;
    }
    s->head.sh_offset = offset;
    s->head.sh_name = add_name(m, s->name);
  }
}

static size_t write_head(struct merge *m, size_t sections) {
  Elf64_Ehdr h = m->parts[0].head;
  size_t offset = m->wide ? offsetof(Elf64_Ehdr, e_shoff) : offsetof(Elf32_Ehdr, e_shoff);
  h.e_shnum = (Elf64_Half)sections;
  h.e_shstrndx = (Elf64_Half)(sections - 1);
  if (m->wide) {
    tn_str_addn(&m->file, (const char *)&h, sizeof h);
    return offset;
  }
  Elf32_Ehdr n;
  memcpy(&n, m->parts[0].file, sizeof n);
  n.e_shnum = h.e_shnum;
  n.e_shstrndx = h.e_shstrndx;
  tn_str_addn(&m->file, (const char *)&n, sizeof n);
  return offset;
}

static void write_tables(struct merge *m, size_t strtab, size_t head_at) {
  align_file(m, 8);
  size_t symbols_at = m->file.count, entry = m->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
  write_symbol(m, (Elf64_Sym){0});
  for (size_t i = 0; i < m->local.count; i++)
    write_symbol(m, m->local.at[i]);
  for (size_t i = 0; i < m->global.count; i++)
    write_symbol(m, m->global.at[i]);
  Elf64_Shdr symtab = {.sh_name = add_name(m, ".symtab"),
                       .sh_type = SHT_SYMTAB,
                       .sh_offset = symbols_at,
                       .sh_size = m->file.count - symbols_at,
                       .sh_link = (Elf64_Word)strtab,
                       .sh_info = (Elf64_Word)m->local.count + 1,
                       .sh_addralign = 8,
                       .sh_entsize = entry};
  Elf64_Shdr names = {.sh_name = add_name(m, ".strtab"),
                      .sh_type = SHT_STRTAB,
                      .sh_offset = m->file.count,
                      .sh_size = m->names.count,
                      .sh_addralign = 1};
  tn_str_addn(&m->file, m->names.at, m->names.count);
  align_file(m, 8);
  uint64_t at = m->file.count;
  memcpy(m->file.at + head_at, &at, m->wide ? 8 : 4); /* little-endian */
  add_section_header(m, (Elf64_Shdr){0});
  for (size_t i = 0; i < m->sections.count; i++)
    add_section_header(m, m->sections.at[i]->head);
  add_section_header(m, symtab);
  add_section_header(m, names);
}

struct tn_bytes tn_merge_objects(tn_ctx *ctx, tn_arena *arena, const struct tn_bytes *objects, size_t count) {
  struct merge m = {.ctx = ctx, .arena = arena, .part_count = count};
  m.parts = TN_NEW_ARRAY(arena, struct part, count);
  for (size_t i = 0; i < count; i++)
    read_part(&m, &m.parts[i], objects[i]);
  m.wide = m.parts[0].wide;
  tn_str_init(&m.names, arena);
  tn_str_init(&m.file, arena);
  tn_str_addn(&m.names, "", 1);
  choose_sections(&m);
  number_symbols(&m);
  size_t symtab = m.sections.count + 1;
  if (symtab + 2 >= SHN_LORESERVE)
    tn_bug(ctx, "the parts of the build have too many sections");
  size_t head_at = write_head(&m, symtab + 2);
  write_sections(&m, symtab);
  write_tables(&m, symtab + 1, head_at);
  return (struct tn_bytes){(const uint8_t *)m.file.at, m.file.count};
}
