#pragma once
#include <stdbool.h>
#include <stddef.h>

/* The person at the command line: who it is, and whether they mean it. */

/* "name@host", for the store's audit. */
void operator_name(char *out, size_t size);
/* Asks, unless `yes`; false: no, or there is no terminal to ask at, which is then said. */
bool operator_sure(const char *command, const char *question, bool yes);
