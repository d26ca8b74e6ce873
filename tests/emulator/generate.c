#include "tests/emulator/generate.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* splitmix64's finaliser over what names the value: random access, no state. */
uint64_t generate_mix(uint64_t seed, uint64_t a, uint64_t b)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + a * 0xbf58476d1ce4e5b9u + b * 0x94d049bb133111ebu;

	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void add(struct buf *out, const char *text, size_t size)
{
	bool fits = buf_add(out, text, size);

	assert(fits);
}

#define ADD(out, literal) add(out, literal, sizeof(literal) - 1)

static void add_number(struct buf *out, uint64_t n)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	add(out, text + at, sizeof(text) - at);
}

static void add_hex(struct buf *out, uint64_t n, size_t digits)
{
	static const char hex[] = "0123456789abcdef";
	char text[16];

	for (size_t i = 0; i < digits; i++, n >>= 4)
		text[i] = hex[n & 15];
	add(out, text, digits);
}

/* Base64 of 3·groups bytes: any character of the alphabet will do. */
static void add_base64(struct buf *out, uint64_t h, size_t groups)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[40];

	for (size_t i = 0; i < groups * 4; i++) {
		if (i % 8 == 0)
			h = generate_mix(h, i, 7);
		text[i] = alphabet[h >> (i % 8 * 6) & 63];
	}
	add(out, text, groups * 4);
}

static void add_key_value(struct buf *out, char type, uint64_t key, bool range, bool plain)
{
	if (type == 'N') {
		add_number(out, 1000000 + key);
	} else if (type == 'B') {
		char text[12];

		/* Ten digits of three bytes' worth of base64 each would be long: digits are in the
		 * alphabet themselves, twelve of them are nine bytes. */
		snprintf(text, sizeof(text), "%011llu", (unsigned long long)key % 100000000000u);
		add(out, text, 11);
		ADD(out, "A");
	} else if (range) {
		ADD(out, "2026/");
		add_number(out, 1000000 + key);
	} else {
		/* Every eighth key needs UTF-8 of two, three and four bytes and an escape. */
		if (key % 8 == 5)
			buf_text(out, plain ? "ключ\\\"€😀-"
					    : "\\u043a\\u043b\\u044e\\u0447\\\"€\\ud83d\\ude00-");
		else
			ADD(out, "customer-");
		add_number(out, 1000000 + key);
	}
}

void generate_key(struct buf *out, const struct generator *g, uint64_t key)
{
	for (int i = 0; i < 2; i++) {
		const struct key_attribute *a = i ? g->range : g->hash;
		bool quoted = a->type != 'N';

		if (!a->name[0])
			continue;
		add(out, i ? "," : "{", 1);
		buf_json_text(out, str_of(a->name));
		add(out, ":\"", quoted ? 2 : 1);
		add_key_value(out, a->type, key, i == 1, true);
		add(out, "\"", quoted ? 1 : 0);
	}
	ADD(out, "}");
}

/* The key attributes as members: `"pk":{"S":"…"},"sk":{"N":"…"}`. */
static void add_keys(struct buf *out, const struct generator *g, uint64_t key)
{
	for (int i = 0; i < 2; i++) {
		const struct key_attribute *a = i ? g->range : g->hash;

		if (!a->name[0])
			continue;
		if (i)
			ADD(out, ",");
		buf_json_text(out, str_of(a->name));
		ADD(out, ":{\"");
		add(out, &a->type, 1);
		ADD(out, "\":\"");
		add_key_value(out, a->type, key, i == 1, false);
		ADD(out, "\"}");
	}
}

struct values {
	struct buf *out;
	uint64_t key, n;
	uint64_t h;     /* of this change */
	uint64_t fixed; /* of the key's whole life */
};

static void add_status(struct values *v)
{
	static const char *const states[] = { "open", "paid",      "packed",
					      "sent", "delivered", "returned" };

	buf_text(v->out, ",\"status\":{\"S\":\"");
	buf_text(v->out, states[v->h % 6]);
	ADD(v->out, "\"}");
}

static void add_amount(struct values *v)
{
	ADD(v->out, ",\"total\":{\"N\":\"");
	if (v->h & 64)
		ADD(v->out, "-");
	add_number(v->out, (v->h >> 8) % 100000);
	ADD(v->out, ".");
	add_number(v->out, 1 + (v->h >> 30) % 9);
	ADD(v->out, "\"},\"paid\":{\"BOOL\":");
	buf_text(v->out, v->h & 128 ? "true}" : "false}");
}

/* 38 significant digits, which no double holds; every fourth with an exponent. */
static void add_exact(struct values *v)
{
	ADD(v->out, ",\"exact\":{\"N\":\"");
	add_number(v->out, 1000000000000000000u + v->h % 1000000000000000000u);
	if (v->h % 4 == 3) {
		ADD(v->out, "E-");
		add_number(v->out, 1 + v->fixed % 100);
	} else {
		ADD(v->out, ".");
		add_number(v->out, 1000000000000000001u + v->fixed % 100000000000000000u * 10);
	}
	ADD(v->out, "\"}");
}

static void add_note(struct values *v)
{
	static const char *const notes[] = {
		"Größe 42, bitte klingeln",
		"line one\\nline two\\ttab \\\"quoted\\\" back\\\\slash",
		"\\u00e9t\\u00e9 \\ud83d\\ude80 \\/ 東京都",
		"plain ascii text of an ordinary length",
		"",
		"emoji 👩‍👩‍👧 и кириллица \\u0001",
	};

	ADD(v->out, ",\"note\":{\"S\":\"");
	buf_text(v->out, notes[v->h / 7 % 6]);
	ADD(v->out, "\"}");
}

/* The order of a set's members changes from one change to the next, as DynamoDB gives no order. */
static void add_sets(struct values *v)
{
	bool swap = v->n & 1;

	buf_text(v->out, swap ? ",\"tags\":{\"SS\":[\"urgent\",\"gift ☃\"]},\"sizes\":{\"NS\":["
			      : ",\"tags\":{\"SS\":[\"gift ☃\",\"urgent\"]},\"sizes\":{\"NS\":[");
	for (int i = 0; i < 2; i++) {
		buf_text(v->out, i ? ",\"" : "\"");
		add_number(v->out, (swap ^ i) ? 36 + v->fixed % 8 : 1000 + v->fixed % 777);
		ADD(v->out, "\"");
	}
	ADD(v->out, "]},\"hashes\":{\"BS\":[\"");
	add_base64(v->out, v->fixed, 2);
	ADD(v->out, "\"]}");
}

static void add_address(struct values *v)
{
	ADD(v->out, ",\"address\":{\"M\":{\"street\":{\"S\":\"Hauptstraße ");
	add_number(v->out, v->fixed % 200);
	ADD(v->out, "\"},\"zip\":{\"S\":\"");
	add_number(v->out, 10000 + v->fixed / 256 % 89999);
	ADD(v->out, "\"},\"lat\":{\"N\":\"52.");
	add_number(v->out, v->fixed / 7 % 1000000);
	ADD(v->out, "1\"},\"verified\":{\"BOOL\":true},\"floor\":{\"NULL\":true}}}");
}

static void add_lines(struct values *v)
{
	ADD(v->out, ",\"lines\":{\"L\":[");
	for (unsigned i = 0; i < 1 + v->h % 2; i++) {
		if (i)
			ADD(v->out, ",");
		ADD(v->out, "{\"M\":{\"sku\":{\"S\":\"");
		add_hex(v->out, v->fixed >> i, 8);
		ADD(v->out, "\"},\"count\":{\"N\":\"");
		add_number(v->out, 1 + (v->h >> (8 * i)) % 9);
		ADD(v->out, "\"}}}");
	}
	ADD(v->out, "]},\"photo\":{\"B\":\"");
	add_base64(v->out, v->h, 4);
	ADD(v->out, "\"}");
}

static void add_empties(struct values *v)
{
	ADD(v->out, ",\"gone\":{\"NULL\":true},\"extras\":{\"M\":{}},\"history\":{\"L\":[]}");
}

/* An image of exactly `bytes` bytes of JSON, or as few as the keys and the counter need: as many of
 * the attributes as fit, then text to the length. */
static void add_image(struct buf *out, const struct generator *g, uint64_t key, uint64_t n,
		      size_t bytes)
{
	static void (*const attributes[])(struct values *) = {
		add_status, add_amount,  add_exact, add_note,
		add_sets,   add_address, add_lines, add_empties,
	};
	static const char pad_head[] = ",\"pad\":{\"S\":\"", pad_tail[] = "\"}";
	const size_t pad_bytes = sizeof(pad_head) + sizeof(pad_tail) - 2;
	struct values v = { out, key, n, generate_mix(g->seed, key, n),
			    generate_mix(g->seed, key, 0) };
	size_t start = out->size, used;

	ADD(out, "{");
	add_keys(out, g, key);
	ADD(out, ",\"n\":{\"N\":\"");
	add_number(out, n);
	ADD(out, "\"}");
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		size_t before = out->size;

		attributes[i](&v);
		if (out->size - start + 1 + pad_bytes > bytes)
			out->size = before;
	}
	used = out->size - start + 1 + pad_bytes;
	if (used <= bytes) {
		static const char words[] = "the quick brown fox jumps over the lazy dog ";
		size_t left = bytes - used;

		ADD(out, ",\"pad\":{\"S\":\"");
		while (left) {
			size_t part = left < sizeof(words) - 1 ? left : sizeof(words) - 1;

			add(out, words, part);
			left -= part;
		}
		ADD(out, "\"}");
	}
	ADD(out, "}");
}

/* Accounted bytes are fewer than the JSON's: no quotes, no type names. Near enough for a limit. */
static size_t accounted(size_t json_bytes)
{
	return json_bytes - json_bytes / 4;
}

static bool gives_new(const struct generator *g)
{
	return g->view == VIEW_NEW_IMAGE || g->view == VIEW_NEW_AND_OLD_IMAGES;
}

static bool gives_old(const struct generator *g)
{
	return g->view == VIEW_OLD_IMAGE || g->view == VIEW_NEW_AND_OLD_IMAGES;
}

#define HEAD_ID     "{\"eventID\":\""
#define HEAD_NAME   "\",\"eventName\":\""
#define HEAD_REGION "\",\"eventVersion\":\"1.1\",\"eventSource\":\"aws:dynamodb\",\"awsRegion\":\""
#define HEAD_TIME   "\",\"dynamodb\":{\"ApproximateCreationDateTime\":"
#define HEAD_KEYS   ",\"Keys\":{"
#define NEW_IMAGE   ",\"NewImage\":"
#define OLD_IMAGE   ",\"OldImage\":"
#define SEQUENCE    ",\"SequenceNumber\":\""
#define SIZE_BYTES  "\",\"SizeBytes\":"
#define VIEW_TYPE   ",\"StreamViewType\":\""
#define ID_DIGITS   32

/* What surrounds the images of a MODIFY, with a time of ten and a size of four digits. */
static size_t envelope_size(const struct generator *g, const struct change *c, size_t keys)
{
	size_t size = sizeof(HEAD_ID HEAD_NAME HEAD_REGION HEAD_TIME HEAD_KEYS
			     "}" SEQUENCE SIZE_BYTES VIEW_TYPE "\"}}") -
		      1;

	if (gives_new(g))
		size += sizeof(NEW_IMAGE) - 1;
	if (gives_old(g))
		size += sizeof(OLD_IMAGE) - 1;
	return size + ID_DIGITS + strlen("MODIFY") + strlen(c->region) + 10 + keys +
	       GENERATE_SEQUENCE_DIGITS + 4 + strlen(view_name(g->view));
}

/* Of one image, so that the record has its size. `out` is written to and left as it was. */
static size_t image_bytes(struct buf *out, const struct generator *g, const struct change *c,
			  size_t *envelope)
{
	size_t images = (size_t)gives_new(g) + gives_old(g), start = out->size, keys;

	add_keys(out, g, c->key);
	keys = out->size - start;
	out->size = start;
	*envelope = envelope_size(g, c, keys);
	return images && g->bytes > *envelope ? (g->bytes - *envelope) / images : 0;
}

void generate_item(struct buf *out, const struct generator *g, uint64_t key, uint64_t n,
		   const char *region)
{
	struct change c = { .key = key, .n = n, .region = region };
	size_t envelope;

	add_image(out, g, key, n, image_bytes(out, g, &c, &envelope));
}

void generate_item_key(struct buf *out, const struct generator *g, uint64_t key)
{
	ADD(out, "{");
	add_keys(out, g, key);
	ADD(out, "}");
}

static void add_time(struct buf *out, const struct generator *g, const struct change *c)
{
	uint64_t seconds = (uint64_t)(c->created_ms / 1000);

	if (g->milliseconds)
		buf_printf(out, "%llu.%03llu", (unsigned long long)seconds,
			   (unsigned long long)(c->created_ms % 1000));
	/* The service's own samples write seconds like 1.46480431E9. */
	else if (c->n % 8 == 6)
		buf_printf(out, "%llu.%09lluE9", (unsigned long long)(seconds / 1000000000u),
			   (unsigned long long)(seconds % 1000000000u));
	else
		add_number(out, seconds);
}

size_t generate_record(struct buf *out, const struct generator *g, const struct change *c)
{
	bool new_there = generate_exists(c->n), old_there = c->n > 1 && generate_exists(c->n - 1);
	size_t images = (size_t)gives_new(g) + gives_old(g);
	uint64_t id = generate_mix(g->seed, c->key, c->n);
	size_t start = out->size, envelope, size;
	size_t image = image_bytes(out, g, c, &envelope);

	ADD(out, HEAD_ID);
	add_hex(out, id, ID_DIGITS / 2);
	add_hex(out, generate_mix(id, c->n, 3), ID_DIGITS / 2);
	/* Two equal images leave a byte over where the rest is odd; the id is opaque. */
	if (images == 2 && g->bytes > envelope && (g->bytes - envelope) % 2)
		ADD(out, "0");
	ADD(out, HEAD_NAME);
	buf_text(out, !new_there ? "REMOVE" : old_there ? "MODIFY" : "INSERT");
	ADD(out, HEAD_REGION);
	buf_text(out, c->region);
	ADD(out, HEAD_TIME);
	add_time(out, g, c);
	ADD(out, HEAD_KEYS);
	add_keys(out, g, c->key);
	ADD(out, "}");
	if (gives_new(g) && new_there) {
		ADD(out, NEW_IMAGE);
		add_image(out, g, c->key, c->n, image);
	}
	if (gives_old(g) && old_there) {
		ADD(out, OLD_IMAGE);
		add_image(out, g, c->key, c->n - 1, image);
	}
	size = accounted(out->size - start);
	ADD(out, SEQUENCE);
	buf_text(out, c->sequence);
	ADD(out, SIZE_BYTES);
	add_number(out, size);
	ADD(out, VIEW_TYPE);
	buf_text(out, view_name(g->view));
	ADD(out, "\"}");
	/* Every other life ends by its time to live. */
	if (!new_there && c->n / GENERATE_LIFE % 2)
		ADD(out, ",\"userIdentity\":{\"Type\":\"Service\",\"PrincipalId\":"
			 "\"dynamodb.amazonaws.com\"}");
	ADD(out, "}");
	return size;
}
