#include "tests/bench/page.h"

#include <assert.h>
#include <time.h>

#include "base/rng.h"

const char page_shard[] = "shardId-00000001763700000000-0a1b2c3d";

#define ARN "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-20T21:21:33.291"

const struct source *page_source(enum page_shape shape)
{
	static const struct source orders = {
		.stream = "orders",
		.table = "orders",
		.arn = ARN,
		.account = "123456789012",
		.region = "eu-west-1",
		.key_hash = "pk",
		.key_range = "sk",
		.version = "0.1.0",
		.generation = 1,
		.new_images = true,
		.old_images = true,
	};
	static const struct source users = {
		.stream = "users",
		.table = "users",
		.arn = ARN,
		.account = "123456789012",
		.region = "eu-west-1",
		.key_hash = "pk",
		.key_range = "",
		.version = "0.1.0",
		.generation = 1,
	};

	return shape == PAGE_SMALL ? &users : &orders;
}

const char *page_shape_name(enum page_shape shape)
{
	static const char *const names[] = { "main", "small", "deep", "replaced" };

	return names[shape];
}

static const char *pick(struct rng *r, const char *const *from, size_t count)
{
	return from[rng_below(r, count)];
}
#define PICK(r, from) pick((r), (from), sizeof(from) / sizeof((from)[0]))

static void add_hex(struct rng *r, struct buf *out, unsigned digits)
{
	for (; digits >= 16; digits -= 16)
		buf_printf(out, "%016llx", (unsigned long long)rng_next(r));
	for (; digits > 0; digits--)
		buf_printf(out, "%x", (unsigned)rng_below(r, 16));
}

static void add_uuid(struct rng *r, struct buf *out)
{
	add_hex(r, out, 8);
	for (unsigned i = 0; i < 3; i++) {
		buf_text(out, "-");
		add_hex(r, out, 4);
	}
	buf_text(out, "-");
	add_hex(r, out, 12);
}

static void add_words(struct rng *r, struct buf *out, unsigned count)
{
	static const char *const words[] = { "please", "leave",  "the",     "parcel", "at",
					     "door",   "second", "floor",   "ring",   "twice",
					     "before", "noon",   "fragile", "call",   "neighbour",
					     "gate",   "code",   "garden",  "no",     "signature" };

	for (unsigned i = 0; i < count; i++)
		buf_printf(out, "%s%s", i ? " " : "", PICK(r, words));
}

static void add_time(struct rng *r, struct buf *out)
{
	buf_printf(out, "2026-11-%02uT%02u:%02u:%02u.%03uZ", (unsigned)rng_below(r, 20) + 1,
		   (unsigned)rng_below(r, 24), (unsigned)rng_below(r, 60),
		   (unsigned)rng_below(r, 60), (unsigned)rng_below(r, 1000));
}

/* An order as a shop keeps it. Two calls with the same `steady` and another `moving` are two states
 * of one item. */
static void add_order(uint64_t steady_seed, uint64_t moving_seed, uint64_t number, struct buf *out)
{
	static const char *const states[] = { "PENDING", "PAID", "PACKED", "SHIPPED", "DELIVERED" };
	static const char *const names[] = { "Ada Lovelace",    "Grace Hopper", "Jürgen Groß",
					     "Edsger Dijkstra", "Søren Åberg",  "Lin Wei",
					     "Barbara Liskov",  "Al-Khwarizmi" };
	static const char *const towns[] = { "Berlin", "Rotterdam", "Łódź", "Porto", "Lyon" };
	static const char *const tags[] = { "gift", "express", "fragile", "b2b", "return" };
	struct rng steady, moving;

	rng_seed(&steady, steady_seed);
	rng_seed(&moving, moving_seed);
	buf_printf(out, "{\"pk\":{\"S\":\"customer#%06llu\"},\"sk\":{\"S\":\"order#%08llu\"}",
		   (unsigned long long)(number * 7919 % 1000000), (unsigned long long)number);
	buf_printf(out, ",\"status\":{\"S\":\"%s\"},\"version\":{\"N\":\"%u\"}",
		   PICK(&moving, states), (unsigned)rng_below(&moving, 100));
	buf_text(out, ",\"updated_at\":{\"S\":\"");
	add_time(&moving, out);
	buf_text(out, "\"},\"created_at\":{\"S\":\"");
	add_time(&steady, out);
	buf_text(out, "\"},\"order_id\":{\"S\":\"");
	add_uuid(&steady, out);
	buf_printf(out, "\"},\"name\":{\"S\":\"%s\"}", PICK(&steady, names));
	buf_printf(out, ",\"amount\":{\"N\":\"%u.%02u\"},\"currency\":{\"S\":\"EUR\"}",
		   (unsigned)rng_below(&steady, 2000), (unsigned)rng_below(&steady, 100));
	buf_printf(out, ",\"paid\":{\"BOOL\":%s}", rng_below(&moving, 2) ? "true" : "false");
	buf_printf(out, ",\"coupon\":{\"NULL\":true},\"items\":{\"N\":\"%u\"}",
		   (unsigned)rng_below(&steady, 20));
	buf_printf(out, ",\"address\":{\"M\":{\"town\":{\"S\":\"%s\"},\"zip\":{\"S\":\"%05u\"}}}",
		   PICK(&steady, towns), (unsigned)rng_below(&steady, 100000));
	buf_printf(out, ",\"tags\":{\"SS\":[\"%s\"]}", PICK(&steady, tags));
	buf_text(out, ",\"token\":{\"B\":\"");
	add_hex(&steady, out, 24);
	buf_printf(out, "\"},\"warehouse\":{\"S\":\"RTM-%02u\"}", (unsigned)rng_below(&steady, 20));
	buf_text(out, ",\"note\":{\"S\":\"");
	add_words(&steady, out, (unsigned)rng_below(&steady, 11));
	buf_text(out, "\"}}");
}

void page_item(uint64_t seed, uint64_t number, struct buf *out)
{
	struct rng r;

	rng_seed(&r, seed + number);
	add_order(rng_next(&r), rng_next(&r), number, out);
}

static void add_nested(struct rng *r, unsigned depth, struct buf *out)
{
	unsigned count = (unsigned)rng_below(r, 3) + 1;

	switch (depth == 0 ? rng_below(r, 3) : 3 + rng_below(r, 2)) {
	case 0:
		buf_text(out, "{\"S\":\"");
		add_words(r, out, (unsigned)rng_below(r, 4));
		buf_text(out, "\"}");
		break;
	case 1:
		buf_printf(out, "{\"N\":\"%u\"}", (unsigned)rng_below(r, 100000));
		break;
	case 2:
		buf_printf(out, "{\"BOOL\":%s}", rng_below(r, 2) ? "true" : "false");
		break;
	case 3:
		buf_text(out, "{\"L\":[");
		for (unsigned i = 0; i < count; i++) {
			buf_text(out, i ? "," : "");
			add_nested(r, i ? (unsigned)rng_below(r, depth) : depth - 1, out);
		}
		buf_text(out, "]}");
		break;
	default:
		buf_text(out, "{\"M\":{");
		for (unsigned i = 0; i < count; i++) {
			buf_printf(out, "%s\"field_%u\":", i ? "," : "", i);
			add_nested(r, i ? (unsigned)rng_below(r, depth) : depth - 1, out);
		}
		buf_text(out, "}}");
	}
}

static void add_tree(uint64_t seed, uint64_t number, struct buf *out)
{
	struct rng r;

	rng_seed(&r, seed);
	buf_printf(out, "{\"pk\":{\"S\":\"tree\"},\"sk\":{\"S\":\"%llu\"}",
		   (unsigned long long)number);
	for (unsigned i = 0; i < 3; i++) {
		buf_printf(out, ",\"branch_%u\":", i);
		add_nested(&r, (unsigned)rng_below(&r, 8) + 3, out);
	}
	buf_text(out, "}");
}

static void add_images(struct rng *r, enum page_shape shape, uint64_t number, struct buf *out)
{
	uint64_t seed = rng_next(r), other = rng_next(r);

	buf_text(out, "\"Keys\":{\"pk\":{\"S\":\"");
	if (shape == PAGE_SMALL) {
		buf_printf(out, "u%u\"}},", (unsigned)rng_below(r, 100000));
		return;
	}
	if (shape == PAGE_DEEP) {
		buf_printf(out, "tree\"},\"sk\":{\"S\":\"%llu\"}},\"NewImage\":",
			   (unsigned long long)number);
		add_tree(seed, number, out);
		buf_text(out, ",\"OldImage\":");
		add_tree(other, number, out);
	} else {
		buf_printf(out, "customer#%06llu\"},\"sk\":{\"S\":\"order#%08llu\"}},\"NewImage\":",
			   (unsigned long long)(number * 7919 % 1000000),
			   (unsigned long long)number);
		add_order(seed, other, number, out);
		buf_text(out, ",\"OldImage\":");
		add_order(shape == PAGE_MAIN ? seed : other, seed, number, out);
	}
	buf_text(out, ",");
}

static void add_record(struct rng *r, enum page_shape shape, uint64_t number, struct buf *out)
{
	buf_printf(out,
		   "{\"awsRegion\":\"eu-west-1\",\"dynamodb\":{\"ApproximateCreationDateTime\":"
		   "%llu,",
		   1763700000 + (unsigned long long)number / 50);
	add_images(r, shape, number, out);
	buf_printf(out,
		   "\"SequenceNumber\":\"%llu%011llu\",\"SizeBytes\":%u,\"StreamViewType\":\"%s\"}",
		   4215846000000ULL, (unsigned long long)number * 113,
		   (unsigned)rng_below(r, 900) + 100,
		   shape == PAGE_SMALL ? "KEYS_ONLY" : "NEW_AND_OLD_IMAGES");
	buf_text(out, ",\"eventID\":\"");
	add_hex(r, out, 32);
	buf_printf(out, "\",\"eventName\":\"%s\",\"eventSource\":\"aws:dynamodb\"",
		   shape == PAGE_SMALL && rng_below(r, 2) ? "INSERT" : "MODIFY");
	buf_text(out, ",\"eventVersion\":\"1.1\"}");
}

void page_make(uint64_t seed, enum page_shape shape, size_t target_bytes, struct buf *out)
{
	size_t begin = out->size;
	struct rng r;

	assert(shape < PAGE_SHAPES);
	rng_seed(&r, seed);
	buf_text(out, "{\"Records\":[");
	for (uint64_t number = 1; number == 1 || out->size - begin < target_bytes; number++) {
		buf_text(out, number == 1 ? "" : ",");
		add_record(&r, shape, number, out);
	}
	buf_printf(out, "],\"NextShardIterator\":\"%s|1|AAAA%016llx\"}", ARN,
		   (unsigned long long)seed);
}

double bench_cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void bench_best(double *least, double s)
{
	if (*least <= 0 || s < *least)
		*least = s;
}
