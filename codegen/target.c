/* What the processor is: the names that the options mean, and what it has, by the code that LLVM makes for it.
 */
#include "codegen/internal.h"

#include <llvm-c/IRReader.h>

/* Functions that multiply, add, round and convert; their assembly shows which registers and instructions the
 * cpu has. */
static const char probe_text[] =
    "define void @probe(ptr %p, ptr %q) {\n"
    "  %a = load <16 x float>, ptr %p, align 4\n"
    "  %b = load <16 x float>, ptr %q, align 4\n"
    "  %c = call <16 x float> @llvm.fma.v16f32(<16 x float> %a, <16 x float> %b, <16 x float> %a)\n"
    "  store <16 x float> %c, ptr %p, align 4\n"
    "  ret void\n}\n"
    "define void @probe_add(ptr %p, ptr %q) {\n" /* vectors without a fused multiply-add */
    "  %a = load <16 x float>, ptr %p, align 4\n"
    "  %b = load <16 x float>, ptr %q, align 4\n"
    "  %c = fadd <16 x float> %a, %b\n"
    "  store <16 x float> %c, ptr %p, align 4\n"
    "  ret void\n}\n"
    "define float @probe_round(float %x) {\n"
    "  %r = call float @llvm.roundeven.f32(float %x)\n"
    "  ret float %r\n}\n"
    "define float @probe_half(half %x) {\n"
    "  %r = fpext half %x to float\n"
    "  ret float %r\n}\n"
    "define float @probe_float(float %x) {\n"
    "  %r = fmul float %x, %x\n"
    "  ret float %r\n}\n"
    "define double @probe_double(double %x) {\n"
    "  %r = fmul double %x, %x\n"
    "  ret double %r\n}\n"
    "define i32 @probe_dot_s(ptr %p, ptr %q) {\n"
    "  %a = load <16 x i8>, ptr %p, align 1\n"
    "  %b = load <16 x i8>, ptr %q, align 1\n"
    "  %x = sext <16 x i8> %a to <16 x i32>\n"
    "  %y = sext <16 x i8> %b to <16 x i32>\n"
    "  %m = mul <16 x i32> %x, %y\n"
    "  %r = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %m)\n"
    "  ret i32 %r\n}\n"
    "define i32 @probe_dot_u(ptr %p, ptr %q) {\n"
    "  %a = load <16 x i8>, ptr %p, align 1\n"
    "  %b = load <16 x i8>, ptr %q, align 1\n"
    "  %x = zext <16 x i8> %a to <16 x i32>\n"
    "  %y = sext <16 x i8> %b to <16 x i32>\n"
    "  %m = mul <16 x i32> %x, %y\n"
    "  %r = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %m)\n"
    "  ret i32 %r\n}\n"
    "define void @probe_words(ptr %p, ptr %q) {\n"
    "  %a = load <32 x i16>, ptr %p, align 2\n"
    "  %b = load <32 x i16>, ptr %q, align 2\n"
    "  %c = add <32 x i16> %a, %b\n"
    "  store <32 x i16> %c, ptr %p, align 2\n"
    "  ret void\n}\n"
    "declare i32 @llvm.vector.reduce.add.v16i32(<16 x i32>)\n"
    "declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)\n"
    "declare float @llvm.roundeven.f32(float)\n";

static bool probe(struct tn_codegen *cg, LLVMTargetMachineRef machine, char **assembly) {
  char *message = NULL;
  LLVMMemoryBufferRef text =
      LLVMCreateMemoryBufferWithMemoryRangeCopy(probe_text, sizeof probe_text - 1, "probe");
  LLVMModuleRef m;
  if (LLVMParseIRInContext(cg->part[0].c, text, &m, &message))
    return tn_llvm_failed(cg, "cannot read the probe of the target", message);
  LLVMSetTarget(m, cg->target.triple);
  LLVMSetModuleDataLayout(m, cg->layout);
  LLVMMemoryBufferRef out;
  bool bad = LLVMTargetMachineEmitToMemoryBuffer(machine, m, LLVMAssemblyFile, &message, &out);
  LLVMDisposeModule(m);
  if (bad)
    return tn_llvm_failed(cg, "cannot generate code for the target", message);
  *assembly = tn_strndup(cg->arena, LLVMGetBufferStart(out), LLVMGetBufferSize(out));
  LLVMDisposeMemoryBuffer(out);
  return true;
}

/* Families: first row whose architecture is a prefix of the triple and whose register name occurs in the probe.
 */
static const struct family {
  const char *arch, *sign;
  struct tn_target row;
} families[] = {
#define FAMILY(arch, sign, name, vb, vr, ivb, is_masked, has_gathers, l1, l2) \
  {arch,                                                                      \
   sign,                                                                      \
   {.family = name,                                                           \
    .vector_bytes = vb,                                                       \
    .vector_regs = vr,                                                        \
    .int_vector_bytes = ivb,                                                  \
    .masked = is_masked,                                                      \
    .gathers = has_gathers,                                                   \
    .l1_bytes = (l1) * 1024,                                                  \
    .l2_bytes = (l2) * 1024}},
#include "codegen/target.def"
#undef FAMILY
};

/* How bytes are multiplied, see emit_dot.c; AVX2, AVX-512 with BW (and so VL) and AArch64's NEON pick lanes. */
static void find_dot(struct tn_target *t, const char *assembly) {
  if (tn_has_prefix(t->family, "x86")) {
    /* AVX-512 without BW has no words in its registers. */
    const char *add = strstr(assembly, "vpaddw");
    bool has_words = t->vector_bytes < 64 || (add && memchr(add, 'z', strcspn(add, "\n")));
    t->picks =
        t->vector_bytes >= 32 && add && memchr(add, t->vector_bytes == 64 ? 'z' : 'y', strcspn(add, "\n"));
    t->dot = strstr(assembly, "vpdpbusd") != NULL;
    t->dot_u = t->dot || has_words;
    t->dot_w = has_words;
    t->dot_s = !t->dot && has_words;
  } else if (tn_has_prefix(t->family, "aarch64")) {
    t->dot = strstr(assembly, "sdot\t") != NULL;
    t->dot_s = true;
    t->dot_u = strstr(assembly, "usdot\t") != NULL;
    t->picks = true;
  } else {
    /* Without vectors: processors that multiply 16-bit halves of registers also add two such products. */
    t->dot = t->dot_s = t->dot_u =
        tn_has_prefix(t->triple, "thumb") && !t->vector_bytes && strstr(assembly, "smlabb");
  }
}

bool tn_target_probe(struct tn_codegen *cg, LLVMTargetMachineRef machine) {
  char *assembly = NULL;
  if (!probe(cg, machine, &assembly))
    return false;
  struct tn_target *t = &cg->target;
  for (size_t i = 0; i < TN_COUNT(families); i++) {
    const struct family *f = &families[i];
    if (!tn_has_prefix(t->triple, f->arch) || !strstr(assembly, f->sign))
      continue;
    const struct tn_target *r = &f->row;
    t->family = r->family;
    t->vector_bytes = r->vector_bytes;
    t->vector_regs = r->vector_regs;
    t->int_vector_bytes = r->int_vector_bytes;
    t->masked = r->masked;
    t->gathers = r->gathers;
    t->by_lanes = tn_has_prefix(t->family, "armv7");
    t->l1_bytes = r->l1_bytes;
    t->l2_bytes = r->l2_bytes;
    t->fma = !strstr(assembly, "fmaf");
    t->round = !strstr(assembly, "roundevenf");
    t->half = !strstr(assembly, "hfsf2") && !strstr(assembly, "h2f"); /* library calls */
    t->f32 = !strstr(assembly, "mulsf3") && !strstr(assembly, "aeabi_fmul");
    t->f64 = !strstr(assembly, "muldf3") && !strstr(assembly, "dmul");
    t->f64_lanes = t->f64 && !tn_has_prefix(f->arch, "arm") && !tn_has_prefix(f->arch, "thumb");
    t->elf = strstr(assembly, "\t.type\tprobe,") != NULL && LLVMByteOrder(cg->layout) == LLVMLittleEndian;
    find_dot(t, assembly);
    return true;
  }
  tn_report(cg->ctx, TN_ERROR, (struct tn_where){0},
            "target %s with cpu '%s' is not supported; supported architectures: x86_64, aarch64, arm, thumb, "
            "riscv32, riscv64, "
            "and a cpu or features of theirs that LLVM knows",
            t->triple, t->cpu);
  return false;
}

/* What a Linux distribution's triple means when no cpu is named.  LLVM's own answer is the architecture's
 * smallest member, whose objects do not link with the distribution's. */
static const char *distribution_features(const char *triple, const char *cpu) {
  bool armv7 =
      (tn_has_prefix(triple, "armv7-") || tn_has_prefix(triple, "armv7a-")) && strstr(triple, "eabihf");
  if (armv7 && (!*cpu || tn_has_prefix(cpu, "cortex-a")))
    return "+neon"; /* as C compilers take it; LLVM leaves it to them, for named cpus too */
  if (*cpu)
    return "";
  if (tn_has_prefix(triple, "riscv64-") && strstr(triple, "-linux"))
    return "+m,+a,+f,+d,+c"; /* rv64gc, lp64d */
  if (tn_has_prefix(triple, "arm-") && strstr(triple, "-linux-gnueabihf"))
    return "+armv7-a,+vfp3d16"; /* Debian's armhf: no NEON unless it is asked for */
  return "";
}

/* Register tiles fill the registers and have enough independent sums, which LLVM does not expect: on x86 it
 * would take vpdpwssd apart to shorten a chain; for ARM it would schedule without an account of registers, and
 * for some cores take vmla apart. */
static const char *tuning_features(const char *triple) {
  if (tn_has_prefix(triple, "x86_64"))
    return "+fast-dpwssd";
  return tn_has_prefix(triple, "arm") || tn_has_prefix(triple, "thumb") ? "+use-misched,-expand-fp-mlx" : "";
}

void tn_target_resolve(struct tn_codegen *cg) {
  const struct tn_target_options *o = &cg->options;
  struct tn_target *t = &cg->target;
  char *host = LLVMGetDefaultTargetTriple();
  char *normal = LLVMNormalizeTargetTriple(o->triple ? o->triple : host);
  t->triple = tn_strdup(cg->arena, normal);
  bool is_host = strcmp(normal, host) == 0;
  LLVMDisposeMessage(normal);
  LLVMDisposeMessage(host);
  const char *cpu = o->cpu ? o->cpu : is_host ? "native" : "";
  const char *features = o->features ? o->features : "";
  if (strcmp(cpu, "native") == 0) {
    char *name = LLVMGetHostCPUName(), *list = LLVMGetHostCPUFeatures();
    t->cpu = tn_strdup(cg->arena, name);
    t->features = tn_printf(cg->arena, "%s%s%s", list, *features ? "," : "", features);
    LLVMDisposeMessage(name);
    LLVMDisposeMessage(list);
  } else {
    const char *base = distribution_features(t->triple, cpu);
    t->cpu = cpu;
    t->features = tn_printf(cg->arena, "%s%s%s", base, *base && *features ? "," : "", features);
  }
  const char *tuning = tuning_features(t->triple);
  if (*tuning)
    t->features = tn_printf(cg->arena, "%s%s%s", tuning, *t->features ? "," : "", t->features);
}
