#include "sinks/kafka_reference.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define HASH 32 /* bytes of SHA-256 */

static void hash_text(struct str of, char out[2 * HASH + 1])
{
	unsigned char hash[HASH];

	EVP_Digest(of.p, of.n, hash, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < HASH; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static void add(struct buf *out, struct str text)
{
	bool added = buf_add(out, text.p, text.n);

	assert(added); /* a record is far smaller than the buffer's limit */
}

/* Rows of an export have one sequence all together: one is known by its key. */
void kafka_object_key(const struct kafka_settings *s, const char *sink, const struct batch *b,
		      size_t i, unsigned part, struct buf *out)
{
	const char *prefix = s->large_prefix ? s->large_prefix : "";
	size_t n = strlen(prefix);
	const struct event *e = &b->events[i];
	char sequence[SEQUENCE_TEXT_SIZE], hash[2 * HASH + 1];

	sequence_text(&e->sequence, sequence);
	buf_printf(out, "%s%s%s/%s/%" PRIu64 "/", prefix, n > 0 && prefix[n - 1] != '/' ? "/" : "",
		   sink, b->source->stream, b->source->generation);
	if (b->shard) {
		buf_printf(out, "%s/%s", b->shard, sequence);
	} else {
		hash_text(e->key, hash);
		buf_printf(out, "export/%s-%s", *sequence ? sequence : "0", hash);
	}
	if (part > 0)
		buf_printf(out, "-%u", part);
	buf_text(out, ".json");
}

/* The last place of `what`, which the images are before. */
static const char *tail_of(struct str payload, struct str what)
{
	for (size_t left = payload.n; left >= what.n; left--) {
		const char *p = payload.p + left - what.n;

		if (memcmp(p, what.p, what.n) == 0)
			return p;
	}
	return NULL;
}

void kafka_object_body(const struct kafka_settings *s, const struct event *e, struct str payload,
		       struct buf *out)
{
	const struct str name = STR(",\"ts_ms\":");
	const char *at = s->format == FORMAT_DEBEZIUM ? tail_of(payload, name) : NULL;

	if (!at) {
		add(out, payload);
		return;
	}
	add(out, (struct str){ payload.p, (size_t)(at - payload.p) + name.n });
	buf_printf(out, "%" PRId64 "}", e->time_ms);
}

static void add_large(const struct kafka_settings *s, struct str key, struct str body,
		      struct buf *out)
{
	char hash[2 * HASH + 1];

	hash_text(body, hash);
	buf_text(out, "{\"bucket\":");
	buf_json_text(out, str_of(s->large_bucket));
	buf_text(out, ",\"key\":");
	buf_json_text(out, key);
	buf_printf(out, ",\"bytes\":%zu,\"sha256\":\"%s\"}", body.n, hash);
}

/* Without its last brace. */
static struct str open_end(const char *tail, struct str payload)
{
	return (struct str){ tail, (size_t)(payload.p + payload.n - 1 - tail) };
}

/* What is known of the item without its images is its key, as of streams that have none. */
static void debezium(const struct kafka_settings *s, const struct event *e, struct str payload,
		     struct str key, struct str body, struct buf *out)
{
	const char *tail = tail_of(payload, STR(",\"source\":{\"version\":"));
	const struct str null = STR("null");
	bool before = e->op == EVENT_UPDATE || e->op == EVENT_DELETE;

	assert(tail);
	buf_text(out, "{\"before\":");
	add(out, before ? e->key : null);
	buf_text(out, ",\"after\":");
	add(out, e->op != EVENT_DELETE ? e->key : null);
	add(out, open_end(tail, payload));
	buf_text(out, ",\"large\":");
	add_large(s, key, body, out);
	buf_text(out, "}");
}

static void plain(const struct kafka_settings *s, const struct event *e, struct str payload,
		  struct str key, struct str body, struct buf *out)
{
	char name[EVENT_FIELD_MAX + sizeof("\"\":\"")];
	const char *tail;

	snprintf(name, sizeof(name), "\"%s\":\"", s->fields.op);
	tail = tail_of(payload, str_of(name));
	assert(tail);
	add(out, (struct str){ e->key.p, e->key.n - 1 });
	buf_text(out, ",");
	add(out, open_end(tail, payload));
	buf_text(out, ",\"_large\":");
	add_large(s, key, body, out);
	buf_text(out, "}");
}

static void dynamodb(const struct kafka_settings *s, struct str payload, struct str key,
		     struct str body, struct buf *out)
{
	json_t *root = json_loadb(payload.p, payload.n, JSON_ALLOW_NUL, NULL);
	json_t *change = json_object_get(root, "dynamodb");
	char *text;

	json_object_del(change, "NewImage");
	json_object_del(change, "OldImage");
	text = json_dumps(root, JSON_COMPACT);
	assert(text); /* our own payload is JSON */
	add(out, (struct str){ text, strlen(text) - 1 });
	buf_text(out, ",\"large\":");
	add_large(s, key, body, out);
	buf_text(out, "}");
	free(text);
	json_decref(root);
}

void kafka_reference(const struct kafka_settings *s, const struct event *e, struct str payload,
		     struct str key, struct str body, struct buf *out)
{
	switch ((enum event_format)s->format) {
	case FORMAT_DEBEZIUM:
		debezium(s, e, payload, key, body, out);
		break;
	case FORMAT_PLAIN:
		plain(s, e, payload, key, body, out);
		break;
	case FORMAT_DYNAMODB:
		dynamodb(s, payload, key, body, out);
		break;
	}
}
