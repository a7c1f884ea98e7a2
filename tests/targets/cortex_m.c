/* Start-up, semihosting and a test's classify_all for Cortex-M machines of QEMU: no C library. */
#include <stddef.h>
#include <stdint.h>

#include "classify.h"

extern uint32_t stack_top[], bss_start[], bss_end[], data_start[], data_end[], data_image[];
void reset(void);
void fault(void);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

void *memcpy(void *to, const void *from, size_t n) {
  unsigned char *t = to;
  const unsigned char *f = from;
  while (n--)
    *t++ = *f++;
  return to;
}

void *memmove(void *to, const void *from, size_t n) {
  unsigned char *t = to;
  const unsigned char *f = from;
  if (t < f)
    return memcpy(to, from, n);
  while (n--)
    t[n] = f[n];
  return to;
}

void *memset(void *to, int value, size_t n) {
  unsigned char *t = to;
  while (n--)
    *t++ = (unsigned char)value;
  return to;
}

/* ARM semihosting: operation in r0, its argument in r1. */
static int semihost(int operation, const void *argument) {
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void put(const char *text) { semihost(0x04 /* SYS_WRITE0 */, text); }

static void finish(int status) {
  uint32_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, (uint32_t)status};
  semihost(0x20 /* SYS_EXIT_EXTENDED */, block);
  for (;;)
    ;
}

void fault(void) {
  put("fault\n");
  finish(1);
}

void reset(void) {
  *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: open the floating-point unit */
  __asm__ volatile("dsb\nisb");
  memcpy(data_start, data_image, (size_t)((char *)data_end - (char *)data_start));
  memset(bss_start, 0, (size_t)((char *)bss_end - (char *)bss_start));
  finish(classify_all(put, 0) < 0);
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))stack_top, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault};
