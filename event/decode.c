#include "event/decode.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/encode.h"
#include "event/key.h"
#include "event/line.h"

/* A run of the arena that is filled from one end. */
struct run {
	char *begin, *at, *end;
};

/* A page on its way through. */
struct page {
	struct batch *batch;
	const struct decode_options *options;
	const struct rows *rows; /* NULL: a page of records, not lines */
	struct record_reader reader;
	struct key_shape key_shape;
	struct encoder encoders[BATCH_ENCODINGS_MAX];
	struct transformer *transformers[BATCH_ENCODINGS_MAX]; /* NULL: it has no transform */
	struct transformer *fillers[BATCH_ENCODINGS_MAX];      /* of those, where something lacks */
	struct schema_sorter *sorter;                          /* NULL: there are no schemas */
	struct router *routers[DECODE_OUTPUTS_MAX];            /* NULL: it has no route */
	bool routed;                                           /* some output has one */
	struct value_seen kept[2][VALUE_MEMORY_MAX];           /* for all of these */
	struct run payloads[BATCH_ENCODINGS_MAX];
	struct run keys;
	size_t key_bytes; /* of all keys so far */
	size_t capacity;  /* of events and payloads */
	size_t fault_capacity;
	const char *end; /* of the body */
	char *scratch;   /* of the reader */
	bool filtered;   /* some record may be unwanted */
	struct str arn;  /* of the stream, for filters */
	/* Filters ask a row's `dynamodb` form, which is made for them. */
	struct encoder form;
	char *form_text;
	size_t form_capacity;
	bool records_seen, iterator_seen;
};

/* The body with zero bytes behind it that count to neither its size nor its limit. */
static void pad(struct buf *body)
{
	static const char zeros[SCAN_PADDING];
	size_t size = body->size, limit = body->limit;
	bool added;

	body->limit = size + sizeof(zeros) + 1;
	added = buf_add(body, zeros, sizeof(zeros));
	assert(added);
	body->size = size;
	body->limit = limit;
}

/* What the schemas said of the page's records stays with it. */
static void sorter_release(struct page *page)
{
	struct schema_sorter *s = page->sorter;
	struct batch *b = page->batch;

	if (!s)
		return;
	b->news_count = s->news_count;
	b->news = arena_alloc(&b->arena, (s->news_count + 1) * sizeof(b->news[0]));
	memcpy(b->news, s->news, s->news_count * sizeof(b->news[0]));
	free(s);
}

static void routers_release(struct page *page)
{
	struct batch *b = page->batch;

	for (size_t i = 0; page->routed && i < page->options->output_count; i++) {
		if (!page->routers[i])
			continue;
		router_places(page->routers[i], &b->arena, &b->routes[i]);
		router_free(page->routers[i]);
	}
}

static void page_release(struct page *page)
{
	routers_release(page);
	for (size_t i = 0; i < BATCH_ENCODINGS_MAX; i++)
		transformer_free(page->transformers[i]);
	for (size_t i = 0; i < BATCH_ENCODINGS_MAX; i++)
		transformer_free(page->fillers[i]);
	sorter_release(page);
	free(page->scratch);
	free(page->form_text);
}

/* rows: of lines; NULL: a page of records. */
static void page_init(struct page *page, struct batch *b, const struct decode_options *o,
		      const struct rows *rows)
{
	page->batch = b;
	page->options = o;
	page->rows = rows;
	pad(&b->body);
	page->end = b->body.data + b->body.size;
	page->reader.scan = (struct scan){ 0 };
	page->scratch = page->form_text = NULL;
	page->form_capacity = page->fault_capacity = 0;
	memset(page->transformers, 0, sizeof(page->transformers));
	memset(page->fillers, 0, sizeof(page->fillers));
	page->sorter = NULL;
	page->routed = false;
	page->records_seen = page->iterator_seen = page->filtered = false;
	b->encoding_count = o->encoding_count;
	b->count = b->bad_count = b->fault_count = b->news_count = 0;
	b->routes = NULL;
	b->several = false;
	b->closed = true;
	b->next_iterator = STR("");
}

static void filters_init(struct page *page)
{
	const struct decode_options *o = page->options;
	struct batch *b = page->batch;
	struct encoding lambda = { .format = FORMAT_DYNAMODB };

	assert(o->output_count <= DECODE_OUTPUTS_MAX);
	for (size_t i = 0; i < o->output_count; i++)
		page->filtered |= o->filter || o->outputs[i].filter;
	page->arn = b->source->arn ? str_of(b->source->arn) : (struct str){ 0 };
	if (page->filtered && page->rows)
		encoder_init(&page->form, lambda, b->source, b->shard, page->rows, o->now_ms,
			     &b->arena);
}

static void sorter_init(struct page *page)
{
	const struct decode_options *o = page->options;

	if (!o->schemas)
		return;
	page->sorter = memory_new(sizeof(*page->sorter));
	page->sorter->schemas = o->schemas;
	page->sorter->source = page->batch->source;
	page->sorter->rows = page->rows != NULL;
}

static void routers_init(struct page *page)
{
	const struct decode_options *o = page->options;
	struct batch *b = page->batch;

	for (size_t i = 0; i < o->output_count; i++)
		page->routed |= o->outputs[i].route != NULL;
	if (!page->routed)
		return;
	b->routes = arena_alloc(&b->arena, o->output_count * sizeof(b->routes[0]));
	memset(b->routes, 0, o->output_count * sizeof(b->routes[0]));
	for (size_t i = 0; i < o->output_count; i++)
		page->routers[i] = o->outputs[i].route ? router_new(o->outputs[i].route) : NULL;
}

static void transformers_init(struct page *page, struct value_style style)
{
	const struct decode_options *o = page->options;

	for (size_t i = 0; i < o->encoding_count; i++) {
		const struct encoding *e = &o->encodings[i];

		if (!e->transform)
			continue;
		page->transformers[i] =
			transformer_new(e->transform, page->batch->source, e->format, style,
					encoder_style(&page->encoders[i]));
		page->reader.kept = page->kept;
	}
}

/* What is needed for records only: most pages of most shards have none, and cost nothing then. */
static void records_init(struct page *page)
{
	const struct decode_options *o = page->options;
	struct batch *b = page->batch;
	struct value_style style = { 0 };

	page->keys = (struct run){ 0 };
	page->key_bytes = page->capacity = 0;
	key_shape_init(&page->key_shape, b->source, &b->arena);
	assert(o->encoding_count <= BATCH_ENCODINGS_MAX);
	for (size_t i = 0; i < o->encoding_count; i++) {
		struct value_style wanted;

		page->payloads[i] = (struct run){ 0 };
		encoder_init(&page->encoders[i], o->encodings[i], b->source, b->shard, page->rows,
			     o->now_ms, &b->arena);
		wanted = encoder_style(&page->encoders[i]);
		if (i == 0)
			style = wanted;
		else
			style.escape_names &= wanted.escape_names;
	}
	filters_init(page);
	sorter_init(page);
	routers_init(page);
	/* The items of a record are no longer than the record, nor is the key out of a line. Not of
	 * the batch: it is free again when the page is decoded. */
	page->scratch =
		memory_resize(NULL, (page->rows ? 3 : 1) * b->body.size + 4 * (size_t)SCAN_PADDING);
	record_reader_init(&page->reader, style, b->body.data, page->scratch);
	transformers_init(page, style);
	if (page->sorter || page->routed)
		page->reader.kept = page->kept;
}

/* What n for the part of the page before p makes for all of it, and a little more. */
static size_t extrapolate(const struct page *page, const char *p, size_t n)
{
	const char *begin = page->batch->body.data;

	return (size_t)((double)n * (double)(page->end - begin) / (double)(p - begin) * 1.05);
}

static void *regrow(struct arena *arena, const void *old, size_t used, size_t capacity, size_t size)
{
	void *p = arena_alloc(arena, capacity * size);

	if (used)
		memcpy(p, old, used * size);
	return p;
}

/* Room for one more event, for all of the page if its records are alike. p: behind this record. */
static void reserve_event(struct page *page, const char *p)
{
	struct batch *b = page->batch;

	if (b->count < page->capacity)
		return;
	page->capacity = extrapolate(page, p, b->count + 1) + 16;
	b->events = regrow(&b->arena, b->events, b->count, page->capacity, sizeof(b->events[0]));
	for (size_t i = 0; i < b->encoding_count; i++)
		b->payloads[i] = regrow(&b->arena, b->payloads[i], b->count, page->capacity,
					sizeof(b->payloads[i][0]));
	for (size_t i = 0; page->routed && i < page->options->output_count; i++)
		if (page->routers[i])
			b->routes[i].of = regrow(&b->arena, b->routes[i].of, b->count,
						 page->capacity, sizeof(b->routes[i].of[0]));
}

/* Payloads of one encoding stand one behind the other, so all of them move when their run is full.
 */
static void reserve_payload(struct page *page, size_t encoding, const struct record *r,
			    const struct transformed *made, size_t count)
{
	struct encoder *encoder = &page->encoders[encoding];
	struct run *run = &page->payloads[encoding];
	struct batch *b = page->batch;
	size_t n = encoder_bound(encoder, r, made), used = (size_t)(run->at - run->begin), size;
	size_t guess = encoder_guess(encoder, r, made);
	char *begin;

	for (size_t i = 1; i < count; i++) {
		n += encoder_bound(encoder, r, &made[i]);
		guess += encoder_guess(encoder, r, &made[i]);
	}
	if (LIKELY((size_t)(run->end - run->at) >= n))
		return;
	size = extrapolate(page, r->raw.p + r->raw.n, used + guess) + n;
	begin = regrow(&b->arena, run->begin, used, size, 1);
	for (size_t i = 0; i < b->count; i++)
		if (b->payloads[encoding][i].p)
			b->payloads[encoding][i].p =
				begin + (b->payloads[encoding][i].p - run->begin);
	*run = (struct run){ begin, begin + used, begin + size };
}

/* Keys already made stay where they are. */
static char *reserve_key(struct page *page, const struct record *r)
{
	size_t n = key_bound(&page->key_shape, r->keys.text), size;
	struct run *run = &page->keys;

	if (UNLIKELY((size_t)(run->end - run->at) < n)) {
		size = extrapolate(page, r->raw.p + r->raw.n, page->key_bytes + r->keys.text.n) -
		       page->key_bytes + n;
		run->at = arena_alloc(&page->batch->arena, size);
		run->end = run->at + size;
	}
	return run->at;
}

/* The record as a Lambda function would get it, but for what filter_match adds. */
static const char *lambda_form(struct page *page, const struct record *r)
{
	size_t size;

	if (!page->rows)
		return r->raw.p;
	size = encoder_bound(&page->form, r, NULL) + SCAN_PADDING;
	if (size > page->form_capacity) {
		page->form_capacity = 2 * size;
		page->form_text = memory_resize(page->form_text, page->form_capacity);
	}
	encoder_write(&page->form, r, NULL, page->reader.style, page->form_text);
	return page->form_text;
}

/* Outputs, as bits, that do not get the record. */
static uint32_t unwanted_by(struct page *page, const struct record *r)
{
	const struct decode_options *o = page->options;
	const char *record = lambda_form(page, r);
	uint32_t bits = 0;

	if (o->filter && !filter_match(o->filter, record, page->arn))
		return UINT32_MAX;
	for (size_t i = 0; i < o->output_count; i++)
		if (o->outputs[i].filter && !filter_match(o->outputs[i].filter, record, page->arn))
			bits |= (uint32_t)1 << i;
	return bits;
}

/* Encodings, as bits, that some output wants of it. */
static uint32_t wanted_encodings(const struct decode_options *o, uint32_t unwanted)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < o->output_count; i++)
		if (!(unwanted >> i & 1))
			bits |= (uint32_t)1 << o->outputs[i].encoding;
	return bits;
}

/* Outputs, as bits, that get records in this encoding. */
static uint32_t outputs_of(const struct decode_options *o, size_t encoding)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < o->output_count; i++)
		bits |= (uint32_t)(o->outputs[i].encoding == encoding) << i;
	return o->output_count ? bits : UINT32_MAX;
}

/* Of the record that is being added; an output has one fault of it. */
static void add_fault(struct page *page, uint32_t outputs, enum batch_why why, const char *error,
		      const char *script)
{
	struct batch *b = page->batch;

	outputs &= ~(b->events[b->count].unwanted | b->events[b->count].faulty);
	b->events[b->count].faulty |= outputs;

	if (b->fault_count == page->fault_capacity) {
		page->fault_capacity = 2 * page->fault_capacity + 16;
		b->faults = regrow(&b->arena, b->faults, b->fault_count, page->fault_capacity,
				   sizeof(b->faults[0]));
	}
	b->faults[b->fault_count++] =
		(struct batch_fault){ .event = b->count,
				      .outputs = outputs,
				      .why = why,
				      .error = arena_printf(&b->arena, "%s", error),
				      .script = script };
}

/* No event was made of it for this encoding. */
static void unwant(struct page *page, size_t encoding)
{
	const struct decode_options *o = page->options;
	struct event *e = &page->batch->events[page->batch->count];

	for (size_t i = 0; i < o->output_count; i++)
		if (o->outputs[i].encoding == encoding)
			e->unwanted |= (uint32_t)1 << i;
}

static const struct record_fills no_fills; /* of records that no schema sorts */

/* What changes a record of this encoding; NULL: nothing does. */
static struct transformer *transformer_of(struct page *page, size_t encoding,
					  const struct record_fills *fills)
{
	struct transformer **filler = &page->fillers[encoding];

	if (page->transformers[encoding] || LIKELY(!fills->new_image && !fills->old_image))
		return page->transformers[encoding];
	if (!*filler)
		*filler = transformer_new(
			NULL, page->batch->source, page->options->encodings[encoding].format,
			page->reader.style, encoder_style(&page->encoders[encoding]));
	return *filler;
}

/* The payload of an encoding, with changes: a line for each event that became of it. */
static void transform_record(struct page *page, size_t encoding, const struct record *r,
			     struct transformer *x, const struct record_fills *fills)
{
	struct str *payload = &page->batch->payloads[encoding][page->batch->count];
	struct run *run = &page->payloads[encoding];
	const struct transformed *made;
	size_t count = 0;
	const char *fault = transformer_apply(x, r, fills, &made, &count);

	*payload = (struct str){ 0 };
	if (fault)
		add_fault(page, outputs_of(page->options, encoding), FAULT_TRANSFORM, fault,
			  transformer_script_fault(x));
	else if (count == 0)
		unwant(page, encoding);
	if (fault || count == 0)
		return;
	reserve_payload(page, encoding, r, made, count);
	payload->p = run->at;
	for (size_t i = 0; i < count; i++) {
		run->at = encoder_write(&page->encoders[encoding], r, &made[i], page->reader.style,
					run->at);
		*run->at++ = '\n';
	}
	payload->n = (size_t)(run->at - payload->p) - 1;
	page->batch->several |= count > 1;
}

/* Outputs, as bits, that get the record as far as schemas are concerned. */
static uint32_t sort_record(struct page *page, const struct record *r)
{
	const char *fault = schema_sort(page->sorter, r, page->options->unfit);

	if (LIKELY(!fault))
		return UINT32_MAX;
	add_fault(page, UINT32_MAX, FAULT_SCHEMA, fault, NULL);
	return 0;
}

/* Says where each output's route puts the record. */
static void route_record(struct page *page, const struct record *r)
{
	const struct decode_options *o = page->options;
	struct batch *b = page->batch;
	const struct event *e = &b->events[b->count];
	struct str schema = page->sorter ? page->sorter->name : (struct str){ 0 };
	const char *fault;

	for (size_t i = 0; i < o->output_count; i++) {
		if (!page->routers[i] || (e->unwanted | e->faulty) >> i & 1)
			continue;
		if (!router_place(page->routers[i], r, schema, o->outputs[i].route_required,
				  &b->routes[i].of[b->count], &fault))
			add_fault(page, (uint32_t)1 << i, FAULT_ROUTE, fault, NULL);
	}
}

/* False: a fault was noted. */
static bool add_record(struct page *page, const struct record *r)
{
	const struct record_fills *fills = page->sorter ? &page->sorter->fills : &no_fills;
	struct batch *b = page->batch;
	uint32_t wanted = UINT32_MAX;
	struct event *e;
	char *key = reserve_key(page, r);
	size_t key_n = key_make(&page->key_shape, r->keys.text, key);

	if (key_n == 0) {
		scan_fail(&page->reader.scan, r->keys.raw.p, page->key_shape.expected);
		return false;
	}
	reserve_event(page, r->raw.p + r->raw.n);
	e = &b->events[b->count];
	e->op = r->op;
	e->ttl = r->ttl;
	e->sequence = r->sequence;
	e->time_ms = r->time_ms;
	e->id = r->id.p ? r->id : (struct str){ 0 };
	e->key = (struct str){ key, key_n };
	e->raw = r->raw;
	e->bad = NULL;
	e->skipped = false;
	e->unwanted = e->faulty = 0;
	if (page->filtered) {
		e->unwanted = unwanted_by(page, r);
		wanted = wanted_encodings(page->options, e->unwanted);
	}
	if (UNLIKELY(page->sorter) && wanted)
		wanted &= sort_record(page, r);
	if (UNLIKELY(page->routed) && wanted) {
		route_record(page, r);
		wanted = wanted_encodings(page->options, e->unwanted | e->faulty);
	}
	if (LIKELY(wanted)) {
		page->keys.at += key_n;
		page->key_bytes += key_n;
	} else {
		e->key = (struct str){ 0 };
	}
	for (size_t i = 0; i < b->encoding_count; i++) {
		struct run *run = &page->payloads[i];
		struct str *payload = &b->payloads[i][b->count];
		struct transformer *transformer;

		if (UNLIKELY(!(wanted >> i & 1))) {
			*payload = (struct str){ 0 };
			continue;
		}
		transformer = page->transformers[i];
		if (UNLIKELY(page->sorter))
			transformer = transformer_of(page, i, fills);
		if (UNLIKELY(transformer)) {
			transform_record(page, i, r, transformer, fills);
			continue;
		}
		reserve_payload(page, i, r, NULL, 1);
		payload->p = run->at;
		run->at = encoder_write(&page->encoders[i], r, NULL, page->reader.style, run->at);
		payload->n = (size_t)(run->at - payload->p);
		*run->at++ = '\n';
	}
	b->count++;
	return true;
}

/* What stands at p, for people. */
static const char *found(const struct page *page, const char *p, char out[16])
{
	unsigned char c = (unsigned char)*p;

	if (p >= page->end)
		return page->rows ? "the end" : "the end of the page";
	if (c == '\n')
		return "the end of the line";
	if (c > ' ' && c < 0x7F)
		snprintf(out, 16, "'%c'", c);
	else
		snprintf(out, 16, "byte 0x%02x", c);
	return out;
}

static void add_bad(struct page *page, struct str raw)
{
	struct batch *b = page->batch;
	const struct scan *s = &page->reader.scan;
	char what[16];
	struct event *e;

	reserve_event(page, raw.p + raw.n);
	e = &b->events[b->count];
	*e = (struct event){ .op = EVENT_READ, .raw = raw };
	if (!page->rows)
		record_salvage_sequence(raw, &e->sequence);
	e->bad = arena_printf(&b->arena, "byte %zu of the record: expected %s, found %s",
			      (size_t)(s->fault_at - raw.p), s->fault,
			      found(page, s->fault_at, what));
	for (size_t i = 0; i < b->encoding_count; i++)
		b->payloads[i][b->count] = (struct str){ 0 };
	b->count++;
	b->bad_count++;
}

/* A record of a page that was bad as a whole: its end is looked for first. */
static const char *lenient_record(struct page *page, const char *p)
{
	const char *border = scan_border(p, page->end), *end;
	struct record record;

	if (!border)
		return scan_fail(&page->reader.scan, p, "a record that ends within the page");
	end = record_read(&page->reader, p, &record);
	if (end && scan_space(&page->reader.scan, end) != border) {
		scan_fail(&page->reader.scan, end, "the end of the record");
		end = NULL;
	}
	if (!end || !add_record(page, &record)) {
		for (end = border; end > p && (unsigned char)end[-1] <= ' ';)
			end--;
		add_bad(page, (struct str){ p, (size_t)(end - p) });
	}
	return border;
}

static const char *one_record(struct page *page, const char *p)
{
	struct record record;

	if (page->options->lenient)
		return lenient_record(page, p);
	p = record_read(&page->reader, p, &record);
	return p && add_record(page, &record) ? p : NULL;
}

static const char *records(struct page *page, const char *p)
{
	struct scan *s = &page->reader.scan;

	if (*p != '[' || page->records_seen)
		return scan_fail(s, p, "one array of Records");
	page->records_seen = true;
	p = scan_space(s, p + 1);
	if (*p == ']')
		return p + 1;
	records_init(page);
	for (;;) {
		p = one_record(page, p);
		if (!p)
			return NULL;
		p = scan_space(s, p);
		if (*p == ']')
			return p + 1;
		if (*p != ',')
			return scan_fail(s, p, "',' or ']'");
		p = scan_space(s, p + 1);
	}
}

static const char *iterator(struct page *page, const char *p)
{
	struct batch *b = page->batch;
	struct scan *s = &page->reader.scan;
	struct str text;
	const char *end;

	if (page->iterator_seen)
		return scan_fail(s, p, "one NextShardIterator");
	page->iterator_seen = true;
	if (memcmp(p, "null", 4) == 0)
		return p + 4;
	if (*p != '"' || p[1] == '"')
		return scan_fail(s, p, "an iterator, or null");
	end = scan_string(s, p + 1);
	if (!end)
		return NULL;
	text = (struct str){ p + 1, (size_t)(end - p - 1) };
	if (memchr(text.p, '\\', text.n)) {
		char *plain = arena_alloc(&b->arena, text.n);

		text = (struct str){ plain, scan_unescape(text, plain) };
	}
	b->next_iterator = text;
	b->closed = false;
	return end + 1;
}

static const char *member(struct page *page, const char *p)
{
	struct str name;

	p = scan_name(&page->reader.scan, p, &name);
	if (!p)
		return NULL;
	if (str_equal(name, STR("Records")))
		return records(page, p);
	if (str_equal(name, STR("NextShardIterator")))
		return iterator(page, p);
	return scan_skip(&page->reader.scan, p);
}

static const char *whole_page(struct page *page)
{
	struct scan *s = &page->reader.scan;
	const char *p = scan_space(s, page->batch->body.data);

	if (*p != '{')
		return scan_fail(s, p, "an answer of GetRecords, '{'");
	p = scan_space(s, p + 1);
	while (*p != '}') {
		p = member(page, p);
		if (!p)
			return NULL;
		p = scan_space(s, p);
		if (*p == ',') {
			p = scan_space(s, p + 1);
			if (*p == '}')
				return scan_fail(s, p, "a member's name");
		} else if (*p != '}') {
			return scan_fail(s, p, "',' or '}'");
		}
	}
	if (!page->records_seen)
		return scan_fail(s, p, "a page with Records");
	p = scan_space(s, p + 1);
	if (p != page->end)
		return scan_fail(s, p, "nothing behind the page");
	return p;
}

bool decode_page(struct batch *b, const struct decode_options *o, struct error *err)
{
	struct page page;
	const struct scan *s = &page.reader.scan;
	char what[16];
	bool ok;

	page_init(&page, b, o, NULL);
	ok = whole_page(&page);
	page_release(&page);
	if (ok)
		return true;
	return error_set(err, o->lenient ? ERROR_INVALID : ERROR_RETRY,
			 "page of shard %s, byte %zu of %zu: expected %s, found %s; %s", b->shard,
			 (size_t)(s->fault_at - b->body.data), b->body.size, s->fault,
			 found(&page, s->fault_at, what),
			 o->lenient ? "its records cannot be told apart" : "fetch it again");
}

/* ---- the lines of an export ---- */

/* A row that ends where its line does. False: a fault was noted. */
static bool one_line(struct page *page, struct line_reader *l, const char *p, const char *end)
{
	struct scan *s = &page->reader.scan;
	struct record record;
	const char *behind = line_read(l, p, &record);

	if (!behind)
		return false;
	if (UNLIKELY(behind != end)) {
		/* White space may go on over the line's end, and the row with it. */
		if (behind > end || scan_space(s, behind) < end) {
			scan_fail(s, behind < end ? behind : end, "the end of the row");
			return false;
		}
	}
	return add_record(page, &record);
}

void decode_lines(struct batch *b, const struct decode_options *o, const struct rows *rows)
{
	struct page page;
	struct line_reader lines;
	const char *p, *end;

	page_init(&page, b, o, rows);
	b->closed = false;
	records_init(&page);
	line_reader_init(&lines, &page.reader, b->source, rows, &b->arena);
	for (p = b->body.data; p < page.end; p = end + 1) {
		const struct scan *s = &page.reader.scan;

		end = memchr(p, '\n', (size_t)(page.end - p));
		if (!end)
			end = page.end;
		p = scan_space(&page.reader.scan, p);
		if (p >= end || one_line(&page, &lines, p, end))
			continue;
		/* A row without its end is read on into the next line; what is wrong with a key is
		 * found where it was copied to. */
		if (s->fault_at < p || s->fault_at > end)
			scan_fail(&page.reader.scan,
				  s->fault_at > end && s->fault_at <= page.end ? end : p, s->fault);
		add_bad(&page, (struct str){ p, (size_t)(end - p) });
		/* It may have been read on into the next line, of which nothing may be remembered.
		 */
		value_memory_forget(&page.reader.images, b->body.data);
		value_memory_forget(&page.reader.keys, b->body.data);
	}
	page_release(&page);
}
