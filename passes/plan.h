/* Private to the memory plan (plan*.c). */
#ifndef TENON_PASSES_PLAN_H
#define TENON_PASSES_PLAN_H

#include "passes/passes.h"

/* The value whose storage a value has: itself, or what it is a view of. */
struct tn_value *tn_plan_root(struct tn_value *value);
/* Adds the copies that the contract asks for. */
void tn_plan_copies(struct tn_pass *pass, struct tn_module *module);
/* Whether the kernel reads each element of this operand only to compute the result's element at the same place,
 * so that its one result may overwrite it. */
bool tn_plan_same_elements(const struct tn_node *kernel, int operand);

#endif
