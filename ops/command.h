#pragma once
#include <stdbool.h>
#include <stddef.h>

/* The subcommands: one table, one file each (cmd_NAME.c). Exit codes: 0 done, 1 failed, 2 wrong
 * usage or configuration. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct arguments;
struct flag;

struct command {
	const char *name;
	const char *usage; /* behind the name: "-c FILE [--until-idle 2s]" */
	const char *help;  /* one sentence */
	const char *more;  /* for --help of the command; NULL: nothing to add */
	const char *words; /* that it may begin with, for completion; NULL: none */
	bool operand;      /* it takes a word of the caller's own; else none but `words` */
	const struct flag *flags;
	int (*run)(const struct arguments *a);
};

extern const struct command command_run, command_check, command_tail, command_status, command_pause,
	command_resume, command_replay, command_checkpoint, command_skip, command_export,
	command_deadletter, command_config, command_health, command_advise, command_completion,
	command_version;

/* All of them, in the order of --help. */
extern const struct command *const commands[];
extern const size_t command_count;

/* The whole of main(). */
int command_main(int argc, char **argv);
/* "sluice run: …" on stderr; returns EXIT_USAGE. */
int command_usage_error(const struct command *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
