#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "aws/client.h"

/* The table calls that streams need. */
struct dynamodb_table {
	char name[256];
	char arn[1025];
	char status[32];
	char stream_arn[1025]; /* LatestStreamArn; "" where there never was one */
	bool stream_enabled;
	char view_type[32]; /* "" where there is no stream */
	char key_hash[256], key_range[256];
	int64_t items, bytes; /* as AWS counted them within the last six hours */
};

/* One page of the names of all tables. */
#define DYNAMODB_NAMES_MAX 100
struct dynamodb_names {
	char names[DYNAMODB_NAMES_MAX][256];
	size_t count;
	char last[256]; /* "" on the last page */
};

typedef void dynamodb_table_fn(void *arg, const struct error *err, const struct dynamodb_table *t);
/* `table` is a name or a table ARN. ERROR_NOT_FOUND where there is no such table. */
void dynamodb_describe_table(struct aws_client *c, const char *table, dynamodb_table_fn *fn,
			     void *arg);
typedef void dynamodb_names_fn(void *arg, const struct error *err, const struct dynamodb_names *n);
/* Tables behind `after`, "" for the first page. */
void dynamodb_list_tables(struct aws_client *c, const char *after, dynamodb_names_fn *fn,
			  void *arg);
/* UpdateTable: stream on. Already on counts as done. */
void dynamodb_enable_stream(struct aws_client *c, const char *table, const char *view_type,
			    dynamodb_table_fn *fn, void *arg);
