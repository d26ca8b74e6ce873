#include "ops/aws_time.h"

#include "aws/streams.h"
#include "ops/service.h"

/* One answer alone is not believed (aws/skew.c). */
#define ANSWERS 2

struct asked {
	bool done;
	struct error err;
};

static void on_description(void *arg, const struct error *err, const struct streams_description *d)
{
	struct asked *a = arg;

	(void)d;
	a->done = true;
	a->err = *err;
}

bool aws_time(const struct config *c, const char *arn, struct clock *clock, struct error *err)
{
	struct service_client aws;
	bool ok = service_client_open(&aws, c, clock, err);

	for (int i = 0; ok && i < ANSWERS; i++) {
		struct asked a = { 0 };

		streams_describe(aws.client, arn, "", NULL, on_description, &a);
		aws_wait(aws.client, &a.done);
		ok = a.err.kind == ERROR_NONE;
		if (!ok)
			*err = a.err;
	}
	service_client_close(&aws);
	return ok;
}
