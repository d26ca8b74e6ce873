#pragma once
#include "checkpoint/exports.h"
#include "config/config.h"
#include "export/chain.h"
#include "ops/arguments.h"
#include "ops/operator.h"
#include "ops/service.h"

/* Between the files of `sluice export`: cmd_export.c (which subcommand), export_begin.c (full,
 * incremental), export_load.c, export_wait.c (--wait), export_status.c, export_retry.c,
 * export_baseline.c. Each returns an exit code. */
struct export_context {
	const struct arguments *arguments;
	const struct config *config;
	struct clock clock;
	struct service_client aws; /* opened by those that need it */
};

/* Of one command. */
#define EXPORT_TABLES_MAX 1000

int export_begin(struct export_context *x, enum store_export_kind kind);
int export_load(struct export_context *x);
int export_status(struct export_context *x);
int export_retry(struct export_context *x);
int export_baseline(struct export_context *x);

int export_failed(const struct error *err);
/* Asks the person at the terminal; false: no, or there is nobody. */
bool export_sure(const struct export_context *x, const char *question);
/* Follows exports until all of them are done; says so where no worker runs. */
int export_wait(struct export_context *x, const int64_t *ids, size_t count);
/* What is to be said after something was begun: who does the work. */
bool export_say_workers(struct store *store, struct error *err) MUST_CHECK;
