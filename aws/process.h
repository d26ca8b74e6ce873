#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* A program that is run for what it prints. No shell: its command line is split into words at
 * blanks, where '…', "…" and \ keep them together, and nothing in it is replaced. It gets an empty
 * standard input, none of our other files, and a group of processes of its own. The process must
 * not ignore SIGCHLD: how a child ended is known to nobody then. */
struct process_run {
	const char *command;
	int64_t timeout_ms;
	size_t output_max;
	bool (*go_on)(void *arg); /* asked about ten times a second; false: CANCELLED */
	void *arg;
};
/* Blocks until it ends; what it printed is added to `out`. One that takes longer is killed with its
 * group (RETRY). REFUSED: it cannot be started, fails, or prints more; the error has the end of
 * what it said on its standard error, and never what it printed. */
bool process_read(const struct process_run *r, struct buf *out, struct error *err) MUST_CHECK;
