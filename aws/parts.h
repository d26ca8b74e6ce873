#pragma once
#include <libdeflate.h>

#include "aws/call.h"
#include "aws/client.h"
#include "aws/credentials.h"
#include "aws/endpoint.h"
#include "aws/http.h"
#include "aws/sign.h"
#include "aws/skew.h"
#include "base/metrics.h"
#include "base/rng.h"

/* What client.c and call.c share; nobody else includes it. */

#define CLIENT_OPERATIONS_MAX 32
#define CLIENT_BUCKETS_MAX    16
#define CLIENT_REGION_SIZE    64

/* The metric cells of an operation, looked up once. */
struct operation_cells {
	const struct aws_operation *operation;
	struct metric_cell *results[ERROR_KINDS];
};

struct aws_client {
	struct loop *loop;
	struct http *http;
	struct signer *signer;
	struct credentials *credentials;
	struct clock *clock;
	struct metrics *metrics;
	struct metric_cell *clock_offset;
	char region[CLIENT_REGION_SIZE];
	struct endpoint endpoints[AWS_SERVICES];
	struct credentials_keys keys; /* a copy, renewed when the version moves */
	int64_t date_second;          /* what `date` says */
	char date[SIGN_DATE_SIZE];
	struct buf host, path, query, authorization; /* scratch of one request's head */
	char answer_date[32]; /* the last Date, which is the same for many answers */
	int64_t answer_ms;
	struct client_time {
		struct skew skew;
		bool apart; /* from AWS's time */
		int64_t offset_ms;
	} times[AWS_SERVICES];
	struct rng rng;
	int retry_tokens;                         /* a storm of retries ends when they do */
	struct libdeflate_decompressor *inflater; /* made when first needed */
	struct operation_cells cells[CLIENT_OPERATIONS_MAX];
	/* Buckets that turned out to be in another region; the oldest is forgotten first. */
	struct client_bucket {
		char *name;
		char region[CLIENT_REGION_SIZE];
	} buckets[CLIENT_BUCKETS_MAX];
	size_t bucket_next;
	struct aws_call *waiting; /* calls that neither http nor a callback has */
	struct aws_call *spare;
	size_t spare_count;
	bool closing;
};

/* The keys as they are now; false before there were any. */
bool client_keys(struct aws_client *c);
/* Now, as the service's signatures write it. */
const char *client_date(struct aws_client *c, enum aws_service service);
/* Learns from an answer's Date; true where the service's time is now another. `refused` as
 * skew_note. */
bool client_note_time(struct aws_client *c, enum aws_service service, const struct http_response *r,
		      bool refused);
/* Where a bucket is, as far as is known: the client's own region, or where S3 said it is. */
const char *client_bucket_region(struct aws_client *c, struct str bucket);
/* S3 said so. False: that is no region. */
bool client_bucket_moved(struct aws_client *c, struct str bucket, struct str region);
void client_count(struct aws_client *c, const struct aws_operation *op, enum error_kind kind);
/* Ends each waiting call with ERROR_CANCELLED, and frees the spare ones. */
void calls_cancel(struct aws_client *c);
