#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/emulator/emulator.h"
#include "tests/emulator/tls.h"

static const char usage[] =
	"sluice-emulator [--port N] [--table NAME:WORD=VALUE:…]… [--config FILE] [--threads N]\n"
	"                [--seed N] [--tls-cert FILE --tls-key FILE] [--verify-key "
	"AKID:SECRET[:TOKEN]]\n"
	"                [--s3 URL --s3-key AKID:SECRET] [--s3-region R]\n"
	"sluice-emulator --tls-make DIR\n"
	"A server that speaks DynamoDB Streams on 127.0.0.1 (tests/emulator/README.md).\n"
	"Prints `listening 127.0.0.1:PORT` and serves until SIGTERM or SIGINT.\n";

static bool number(const char *text, unsigned long long max, unsigned long long *out)
{
	char *end;

	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && *out <= max;
}

enum {
	OPTION_PORT = 256,
	OPTION_TABLE,
	OPTION_CONFIG,
	OPTION_THREADS,
	OPTION_SEED,
	OPTION_CERT,
	OPTION_KEY,
	OPTION_MAKE,
	OPTION_VERIFY,
	OPTION_S3,
	OPTION_S3_KEY,
	OPTION_S3_REGION,
	OPTION_HELP
};

static const struct option options[] = {
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "table", required_argument, NULL, OPTION_TABLE },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "threads", required_argument, NULL, OPTION_THREADS },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "tls-cert", required_argument, NULL, OPTION_CERT },
	{ "tls-key", required_argument, NULL, OPTION_KEY },
	{ "tls-make", required_argument, NULL, OPTION_MAKE },
	{ "verify-key", required_argument, NULL, OPTION_VERIFY },
	{ "s3", required_argument, NULL, OPTION_S3 },
	{ "s3-key", required_argument, NULL, OPTION_S3_KEY },
	{ "s3-region", required_argument, NULL, OPTION_S3_REGION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

/* False: wrong usage. */
static bool parse(int argc, char **argv, struct emulator_options *o, const char **make, bool *help)
{
	size_t tables = 0;
	unsigned long long n;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case OPTION_PORT:
			if (!number(optarg, 65535, &n))
				return false;
			o->port = (int)n;
			break;
		case OPTION_TABLE:
			if (tables == EMULATOR_TABLES_MAX - 1)
				return false;
			o->tables[tables++] = optarg;
			break;
		case OPTION_THREADS:
			if (!number(optarg, 64, &n))
				return false;
			o->threads = (unsigned)n;
			break;
		case OPTION_SEED:
			if (!number(optarg, UINT64_MAX, &n))
				return false;
			o->seed = n;
			break;
		case OPTION_CONFIG:
			o->config = optarg;
			break;
		case OPTION_CERT:
			o->cert = optarg;
			break;
		case OPTION_KEY:
			o->key = optarg;
			break;
		case OPTION_VERIFY:
			o->verify_key = optarg;
			break;
		case OPTION_S3:
			o->s3 = optarg;
			break;
		case OPTION_S3_KEY:
			o->s3_key = optarg;
			break;
		case OPTION_S3_REGION:
			o->s3_region = optarg;
			break;
		case OPTION_MAKE:
			*make = optarg;
			break;
		case 'h':
		case OPTION_HELP:
			*help = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

static int failed(const struct error *err)
{
	fprintf(stderr, "sluice-emulator: %s\n", err->message);
	return 1;
}

int main(int argc, char **argv)
{
	struct emulator_options o = { .seed = 1 };
	const char *make = NULL;
	struct emulator *e;
	struct error err;
	bool help = false;
	sigset_t stop;
	int got;

	if (!parse(argc, argv, &o, &make, &help) || help) {
		fputs(usage, help ? stdout : stderr);
		return help ? 0 : 2;
	}
	if (make)
		return tls_make(make, &err) ? 0 : failed(&err);
	/* Before the threads start, so that they inherit it and sigwait is the only taker. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	e = emulator_start(&o, &err);
	if (!e)
		return failed(&err);
	printf("listening 127.0.0.1:%d\n", emulator_port(e));
	fflush(stdout);
	sigwait(&stop, &got);
	emulator_stop(e);
	return 0;
}
