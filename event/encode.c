#include "event/encode.h"

#include "base/arena.h"
#include "base/buf.h"

/* Which run of an encoder's constant text is which. */
enum debezium_text { DEBEZIUM_SOURCE, DEBEZIUM_PLACE, DEBEZIUM_ID, DEBEZIUM_END };
enum plain_text { PLAIN_OP, PLAIN_TIME, PLAIN_SEQUENCE, PLAIN_GENERATION };
enum dynamodb_text { DYNAMODB_ARN, DYNAMODB_HEAD, DYNAMODB_OP, DYNAMODB_WINDOW };

/* Digits, commas and names around them; more than any format has. */
#define VARIABLE_MAX 256

/* Long or of any length. */
static inline char *put(char *o, struct str s)
{
	memcpy(o, s.p, s.n);
	return o + s.n;
}
#define PUT(o, literal) put((o), STR(literal))
/* Short, with padding behind. */
static inline char *put_short(char *o, struct str s)
{
	return scan_copy(o, s.p, s.n);
}

static void take(struct encoder *e, unsigned text, struct buf *b, struct arena *arena)
{
	e->texts[text] = scan_keep(buf_str(b), arena);
	e->fixed += e->texts[text].n;
	buf_clear(b);
}

static void json_member(struct buf *b, const char *before, const char *value)
{
	buf_text(b, before);
	if (value)
		buf_json_text(b, str_of(value));
	else
		buf_text(b, "null");
}

static void debezium_init(struct encoder *e, const struct source *source, const char *shard,
			  const struct rows *rows, int64_t now_ms, struct buf *b,
			  struct arena *arena)
{
	const char *snapshot = !rows ? "false" : rows->window ? "incremental" : "true";

	json_member(b, ",\"source\":{\"version\":", source->version);
	json_member(b, ",\"connector\":\"sluice\",\"name\":", source->stream);
	buf_text(b, ",\"ts_ms\":");
	take(e, DEBEZIUM_SOURCE, b, arena);
	json_member(b, ",\"snapshot\":", snapshot);
	json_member(b, ",\"table\":", source->table);
	json_member(b, ",\"stream\":", rows ? NULL : source->arn);
	json_member(b, ",\"shard\":", shard);
	buf_text(b, ",\"sequence\":\"");
	take(e, DEBEZIUM_PLACE, b, arena);
	buf_printf(b,
		   "\",\"generation\":%llu,\"event_id\":", (unsigned long long)source->generation);
	take(e, DEBEZIUM_ID, b, arena);
	buf_printf(b, "\",\"ts_ms\":%lld}", (long long)now_ms);
	take(e, DEBEZIUM_END, b, arena);
}

static void plain_init(struct encoder *e, const struct source *source, struct buf *b,
		       struct arena *arena)
{
	const struct event_fields *f =
		e->encoding.fields ? e->encoding.fields : &event_fields_default;

	buf_printf(b, "\"%s\":\"", f->op);
	take(e, PLAIN_OP, b, arena);
	buf_printf(b, "\",\"%s\":", f->ts);
	take(e, PLAIN_TIME, b, arena);
	buf_printf(b, ",\"%s\":\"", f->seq);
	take(e, PLAIN_SEQUENCE, b, arena);
	buf_printf(b, "\",\"%s\":%llu,\"%s\":\"", f->gen, (unsigned long long)source->generation,
		   f->order);
	take(e, PLAIN_GENERATION, b, arena);
}

static void dynamodb_init(struct encoder *e, const struct source *source, const struct rows *rows,
			  struct buf *b, struct arena *arena)
{
	if (source->arn)
		json_member(b, "\"eventSourceARN\":", source->arn);
	take(e, DYNAMODB_ARN, b, arena);
	if (!rows)
		return;
	json_member(b,
		    "\",\"eventVersion\":\"1.1\",\"eventSource\":\"aws:dynamodb\",\"awsRegion\":",
		    source->region);
	buf_text(b, ",\"dynamodb\":{\"ApproximateCreationDateTime\":");
	take(e, DYNAMODB_HEAD, b, arena);
	buf_text(b, "\"},\"sluice\":{\"op\":\"");
	take(e, DYNAMODB_OP, b, arena);
	buf_text(b, "\",\"window\":");
	take(e, DYNAMODB_WINDOW, b, arena);
}

void encoder_init(struct encoder *e, struct encoding encoding, const struct source *source,
		  const char *shard, const struct rows *rows, int64_t now_ms, struct arena *arena)
{
	struct buf b;

	*e = (struct encoder){ .encoding = encoding,
			       .fixed = VARIABLE_MAX + SCAN_PADDING,
			       .rows = rows != NULL,
			       .generation = source->generation,
			       .time_ms = -1 };
	buf_init(&b, 0);
	switch (encoding.format) {
	case FORMAT_DEBEZIUM:
		debezium_init(e, source, shard, rows, now_ms, &b, arena);
		break;
	case FORMAT_PLAIN:
		plain_init(e, source, &b, arena);
		break;
	case FORMAT_DYNAMODB:
		dynamodb_init(e, source, rows, &b, arena);
		break;
	}
	buf_release(&b);
}

struct value_style encoder_style(const struct encoder *e)
{
	return (struct value_style){
		.numbers_as_strings =
			e->encoding.format != FORMAT_DYNAMODB && e->encoding.numbers_as_strings,
		.escape_names = e->encoding.format == FORMAT_PLAIN,
		.fields = e->encoding.format == FORMAT_PLAIN ? e->encoding.fields : NULL,
	};
}

static size_t made_bytes(const struct transformed *made)
{
	return made ? made->keys.n + made->new_image.n + made->old_image.n : 0;
}

size_t encoder_bound(const struct encoder *e, const struct record *r,
		     const struct transformed *made)
{
	/* Images, keys and id are parts of the record, and none is written twice. Only a row's keys
	 * may be parts of its image. */
	return e->fixed + r->raw.n + (e->rows ? r->keys.raw.n : 0) + made_bytes(made);
}

/* What the item is like after the change; its keys are all that some streams tell. */
static const struct item *after(const struct record *r)
{
	return r->new_image.raw.p ? &r->new_image : &r->keys;
}

size_t encoder_guess(const struct encoder *e, const struct record *r,
		     const struct transformed *made)
{
	size_t texts = e->fixed - VARIABLE_MAX / 2 - SCAN_PADDING;

	if (made)
		return texts + made_bytes(made) +
		       (e->encoding.format == FORMAT_DYNAMODB ? VARIABLE_MAX : 0);
	if (e->encoding.format == FORMAT_DYNAMODB)
		return texts + r->raw.n;
	if (e->encoding.format == FORMAT_PLAIN || !r->old_image.raw.p)
		return texts + after(r)->text.n;
	return texts + after(r)->text.n + r->old_image.text.n;
}

/* Records of one page share few times. */
static char *put_time(struct encoder *e, int64_t time_ms, char *o)
{
	if (time_ms != e->time_ms) {
		char *end = e->digits + sizeof(e->digits) - SCAN_PADDING, *p = end;
		uint64_t v = (uint64_t)time_ms;

		do {
			*--p = (char)('0' + v % 10);
			v /= 10;
		} while (v > 0);
		e->time_ms = time_ms;
		e->time = (struct str){ p, (size_t)(end - p) };
	}
	return put_short(o, e->time);
}

/* Which of several events of one record it is; nothing where it is the only one. */
static char *put_part(char *o, struct str before, const struct transformed *made,
		      const char *behind)
{
	char digits[12], *p = digits + sizeof(digits);

	if (LIKELY(!made || made->part == 0))
		return o;
	for (unsigned v = made->part; v > 0; v /= 10)
		*--p = (char)('0' + v % 10);
	o = put(o, before);
	o = put(o, (struct str){ p, (size_t)(digits + sizeof(digits) - p) });
	return put(o, str_of(behind));
}

static char *put_sequence(const struct sequence *s, char *o)
{
	memcpy(o, s->digits, sizeof(s->digits));
	return o + s->length;
}

/* A text in one style that serves for the other as well. */
static bool serves(const struct item *item, struct value_style have, struct value_style want)
{
	if (have.numbers_as_strings != want.numbers_as_strings)
		return false;
	if (value_names_serve(have, want, false))
		return true;
	return value_names_serve(have, want, true) && !have.escape_names &&
	       !memmem(item->text.p, item->text.n, "\"_", 2) &&
	       !memchr(item->text.p, '\\', item->text.n);
}

static struct str made_of(const struct record *r, const struct transformed *made,
			  const struct item *item)
{
	return item == &r->keys        ? made->keys
	       : item == &r->new_image ? made->new_image
				       : made->old_image;
}

static char *put_item(const struct encoder *e, const struct record *r,
		      const struct transformed *made, const struct item *item,
		      struct value_style have, char *o)
{
	struct value_style want = encoder_style(e);
	struct scan scan; /* no fault can come up: it was read before */

	if (UNLIKELY(made))
		return put(o, made_of(r, made, item));
	if (item == &r->keys)
		have = (struct value_style){ 0 };
	if (LIKELY(serves(item, have, want)))
		return put(o, item->text);
	return value_item(&scan, want, NULL, item->raw.p, o).out;
}

static char *debezium(struct encoder *e, const struct record *r, const struct transformed *made,
		      struct value_style style, char *o)
{
	const struct item *before = NULL;

	if (r->op == EVENT_UPDATE || r->op == EVENT_DELETE)
		before = r->old_image.raw.p ? &r->old_image : &r->keys;
	o = PUT(o, "{\"before\":");
	o = before ? put_item(e, r, made, before, style, o) : PUT(o, "null");
	o = PUT(o, ",\"after\":");
	o = r->op != EVENT_DELETE ? put_item(e, r, made, after(r), style, o) : PUT(o, "null");
	o = put_short(o, e->texts[DEBEZIUM_SOURCE]);
	o = put_time(e, r->time_ms, o);
	o = put_short(o, e->texts[DEBEZIUM_PLACE]);
	o = put_sequence(&r->sequence, o);
	o = put_short(o, e->texts[DEBEZIUM_ID]);
	if (r->id.p) {
		*o++ = '"';
		o = put_short(o, r->id);
		*o++ = '"';
	} else {
		o = PUT(o, "null");
	}
	o = r->ttl ? PUT(o, ",\"ttl\":true") : PUT(o, ",\"ttl\":false");
	o = put_part(o, STR(",\"part\":"), made, "");
	o = PUT(o, "},\"op\":\"");
	*o++ = event_op_letter(r->op);
	return put_short(o, e->texts[DEBEZIUM_END]);
}

static char *plain(struct encoder *e, const struct record *r, const struct transformed *made,
		   struct value_style style, char *o)
{
	o = put_item(e, r, made, r->op == EVENT_DELETE ? &r->keys : after(r), style, o) - 1;
	if (o[-1] != '{')
		*o++ = ',';
	o = put_short(o, e->texts[PLAIN_OP]);
	*o++ = event_op_letter(r->op);
	o = put_short(o, e->texts[PLAIN_TIME]);
	o = put_time(e, r->time_ms, o);
	o = put_short(o, e->texts[PLAIN_SEQUENCE]);
	o = put_sequence(&r->sequence, o);
	o = put_short(o, e->texts[PLAIN_GENERATION]);
	event_order_text(e->generation, &r->sequence, o);
	o = put_part(o + EVENT_ORDER_SIZE - 1, STR("\",\"_part\":"), made, "}");
	return UNLIKELY(o[-1] == '}') ? o : PUT(o, "\"}");
}

/* The bytes from p to end as they came, but without white space between tokens. */
static char *put_raw(const struct record *r, const char *p, const char *end, char *o)
{
	bool quoted = false;

	if (LIKELY(!r->spaced))
		return put(o, (struct str){ p, (size_t)(end - p) });
	for (; p < end; p++) {
		if (!quoted && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
			continue;
		*o++ = *p;
		if (*p == '\\')
			*o++ = *++p;
		else if (*p == '"')
			quoted = !quoted;
	}
	return o;
}

static char *put_identity(const struct record *r, char *o)
{
	*o++ = '{';
	if (r->identity_type.p) {
		o = PUT(o, "\"type\":");
		o = put(o, r->identity_type);
	}
	if (r->identity_principal.p) {
		if (r->identity_type.p)
			*o++ = ',';
		o = PUT(o, "\"principalId\":");
		o = put(o, r->identity_principal);
	}
	*o++ = '}';
	return o;
}

/* From p to the next of the record's items, with what was made of it; and so on. *p: behind it. */
static char *put_made(const struct record *r, const struct transformed *made, const char **p,
		      const char *end, char *o)
{
	const struct item *items[] = { &r->keys, &r->new_image, &r->old_image };

	for (;;) {
		const struct item *next = NULL;

		for (unsigned i = 0; i < 3; i++)
			if (items[i]->raw.p && items[i]->raw.p >= *p && items[i]->raw.p < end &&
			    (!next || items[i]->raw.p < next->raw.p))
				next = items[i];
		if (!next)
			return o;
		o = put(put_raw(r, *p, next->raw.p, o), made_of(r, made, next));
		*p = next->raw.p + next->raw.n;
	}
}

static char *dynamodb(const struct encoder *e, const struct record *r,
		      const struct transformed *made, char *o)
{
	const char *p = r->raw.p, *end = p + r->raw.n - 1; /* without the last '}' */

	if (r->identity.p) {
		if (made)
			o = put_made(r, made, &p, r->identity.p, o);
		o = put_raw(r, p, r->identity.p, o);
		o = put_identity(r, o);
		p = r->identity.p + r->identity.n;
	}
	if (made)
		o = put_made(r, made, &p, end, o);
	o = put_raw(r, p, end, o);
	if (!r->has_source_arn && e->texts[DYNAMODB_ARN].n > 0) {
		if (o[-1] != '{')
			*o++ = ',';
		o = put_short(o, e->texts[DYNAMODB_ARN]);
	}
	o = put_part(o, STR(",\"sluice\":{\"part\":"), made, "}");
	*o++ = '}';
	return o;
}

static char *put_member(const struct record *r, const struct transformed *made, struct str head,
			const struct item *item, char *o)
{
	if (!item->raw.p)
		return o;
	if (made)
		return put(put(o, head), made_of(r, made, item));
	return put_raw(r, item->raw.p, item->raw.p + item->raw.n, put(o, head));
}

/* What a stream would have told of it. */
static char *dynamodb_row(struct encoder *e, const struct record *r, const struct transformed *made,
			  char *o)
{
	o = PUT(o, "{\"eventName\":\"");
	o = r->op == EVENT_DELETE ? PUT(o, "REMOVE") : PUT(o, "INSERT");
	o = put(o, e->texts[DYNAMODB_HEAD]);
	o = put_time(e, r->time_ms / 1000, o);
	o = put_member(r, made, STR(",\"Keys\":"), &r->keys, o);
	o = put_member(r, made, STR(",\"NewImage\":"), &r->new_image, o);
	o = put_member(r, made, STR(",\"OldImage\":"), &r->old_image, o);
	o = PUT(o, ",\"SequenceNumber\":\"");
	o = put_sequence(&r->sequence, o);
	o = put(o, e->texts[DYNAMODB_OP]);
	*o++ = event_op_letter(r->op);
	o = put(o, e->texts[DYNAMODB_WINDOW]);
	o = put_sequence(&r->sequence, o); /* a row's is its window's number */
	o = put_part(o, STR(",\"part\":"), made, "");
	*o++ = '}';
	if (e->texts[DYNAMODB_ARN].n > 0)
		*o++ = ',';
	o = put(o, e->texts[DYNAMODB_ARN]);
	*o++ = '}';
	return o;
}

char *encoder_write(struct encoder *e, const struct record *r, const struct transformed *made,
		    struct value_style style, char *o)
{
	switch (e->encoding.format) {
	case FORMAT_DEBEZIUM:
		return debezium(e, r, made, style, o);
	case FORMAT_PLAIN:
		return plain(e, r, made, style, o);
	case FORMAT_DYNAMODB:
	default:
		return e->rows ? dynamodb_row(e, r, made, o) : dynamodb(e, r, made, o);
	}
}
