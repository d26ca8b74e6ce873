#pragma once
#include <stdint.h>

/* What this process may use of the machine: the tightest limit of its cgroup and the ones above it
 * (version 2 or 1), else the machine itself. `root` stands before /proc and /sys; "" outside of
 * tests. */
long machine_cpus(const char *root);            /* at least 1; a part of a CPU counts as one */
int64_t machine_memory_bytes(const char *root); /* at least 1 */
