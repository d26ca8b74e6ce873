#include "event/record.h"

#include "event/number.h"

/* What a record is read with and into. */
struct reading {
	struct record_reader *reader;
	struct scan *scan;
	struct record *record;
	char *text;    /* where the next item's text goes */
	unsigned seen; /* bits of enum member */
};

enum member {
	MEMBER_OTHER = 0,
	MEMBER_ID = 1,
	MEMBER_NAME = 2,
	MEMBER_DYNAMODB = 4,
	MEMBER_IDENTITY = 8,
	MEMBER_ARN = 16,
	MEMBER_TIME = 32,
	MEMBER_KEYS = 64,
	MEMBER_NEW = 128,
	MEMBER_OLD = 256,
	MEMBER_SEQUENCE = 512,
};

typedef const char *member_read(struct reading *r, struct str name, const char *p);

/* The members of an object from its '{'; `read` takes each from its value. */
static inline __attribute__((always_inline)) const char *object(struct reading *r, const char *p,
								member_read *read)
{
	struct scan *s = r->scan;
	struct str name;

	if (UNLIKELY(*p != '{'))
		return scan_fail(s, p, "'{'");
	p = scan_space(s, p + 1);
	if (*p == '}')
		return p + 1;
	for (;;) {
		if (UNLIKELY(*p != '"'))
			return scan_fail(s, p, "a member's name");
		name.p = p + 1;
		p = scan_string(s, name.p);
		if (UNLIKELY(!p))
			return NULL;
		name.n = (size_t)(p - name.p);
		p = scan_space(s, p + 1);
		if (UNLIKELY(*p != ':'))
			return scan_fail(s, p, "':'");
		p = read(r, name, scan_space(s, p + 1));
		if (UNLIKELY(!p))
			return NULL;
		p = scan_space(s, p);
		if (*p == '}')
			return p + 1;
		if (UNLIKELY(*p != ','))
			return scan_fail(s, p, "',' or '}'");
		p = scan_space(s, p + 1);
	}
}

static bool null(const char *p)
{
	return memcmp(p, "null", 4) == 0;
}

static bool is(struct str name, const char *word, size_t n)
{
	return name.n == n && memcmp(name.p, word, n) == 0;
}
#define IS(name, literal) is(name, literal, sizeof(literal) - 1)

/* False, with a fault: it was there before. */
static bool once(struct reading *r, enum member m, const char *p)
{
	if (UNLIKELY(r->seen & m)) {
		scan_fail(r->scan, p, "each member of a record once");
		return false;
	}
	r->seen |= m;
	return true;
}

/* A string with its quotes. */
static const char *string(struct reading *r, const char *p, struct str *out)
{
	const char *end;

	if (*p != '"')
		return scan_fail(r->scan, p, "a string");
	end = scan_string(r->scan, p + 1);
	if (!end)
		return NULL;
	*out = (struct str){ p, (size_t)(end + 1 - p) };
	return end + 1;
}

static struct str unquoted(struct str s)
{
	return (struct str){ s.p + 1, s.n - 2 };
}

static const char *item(struct reading *r, struct value_style style, const char *p,
			struct item *out)
{
	struct span t;

	if (UNLIKELY(null(p)))
		return p + 4;
	t = value_item(r->scan, style, p, r->text);
	if (UNLIKELY(!t.in))
		return NULL;
	out->raw = (struct str){ p, (size_t)(t.in - p) };
	out->text = (struct str){ r->text, (size_t)(t.out - r->text) };
	r->text = t.out;
	return t.in;
}

static const char *time_read(struct reading *r, const char *p)
{
	const char *end = scan_number(r->scan, p);

	if (end && !number_milliseconds(p, &r->record->time_ms))
		return scan_fail(r->scan, p, "epoch seconds between 1970 and 9999");
	return end;
}

/* The digits of a sequence number behind its opening quote; NULL where it is none. */
static const char *sequence_digits(const char *p, struct sequence *out)
{
	size_t n = 0;

	while (p[0] == '0' && p[1] >= '0' && p[1] <= '9')
		p++;
	while (p[n] >= '0' && p[n] <= '9')
		n++;
	if (n == 0 || n > SEQUENCE_DIGITS_MAX || p[n] != '"')
		return NULL;
	out->length = (uint8_t)n;
	memcpy(out->digits, p, n);
	return p + n;
}

static const char *sequence_read(struct reading *r, const char *p)
{
	const char *end = *p == '"' ? sequence_digits(p + 1, &r->record->sequence) : NULL;

	return end ? end + 1
		   : scan_fail(r->scan, p, "a sequence number, a string of at most 40 digits");
}

static const char *change_member(struct reading *r, struct str name, const char *p)
{
	/* What the key is made of, whatever the style of the images. */
	const struct value_style exact = { 0 };

	if (IS(name, "NewImage"))
		return once(r, MEMBER_NEW, p) ? item(r, r->reader->style, p, &r->record->new_image)
					      : NULL;
	if (IS(name, "OldImage"))
		return once(r, MEMBER_OLD, p) ? item(r, r->reader->style, p, &r->record->old_image)
					      : NULL;
	if (IS(name, "Keys"))
		return once(r, MEMBER_KEYS, p) ? item(r, exact, p, &r->record->keys) : NULL;
	if (IS(name, "SequenceNumber"))
		return once(r, MEMBER_SEQUENCE, p) ? sequence_read(r, p) : NULL;
	if (IS(name, "ApproximateCreationDateTime"))
		return once(r, MEMBER_TIME, p) ? time_read(r, p) : NULL;
	return scan_skip(r->scan, p);
}

static const char *identity_member(struct reading *r, struct str name, const char *p)
{
	if (IS(name, "Type") || IS(name, "type"))
		return string(r, p, &r->record->identity_type);
	if (IS(name, "PrincipalId") || IS(name, "principalId"))
		return string(r, p, &r->record->identity_principal);
	return scan_skip(r->scan, p);
}

static const char *identity_read(struct reading *r, const char *p)
{
	const char *end;

	if (null(p))
		return p + 4;
	end = object(r, p, identity_member);
	if (end)
		r->record->identity = (struct str){ p, (size_t)(end - p) };
	return end;
}

static const char *name_read(struct reading *r, const char *p)
{
	struct str name;
	const char *end = string(r, p, &name);

	if (!end)
		return NULL;
	name = unquoted(name);
	if (IS(name, "INSERT"))
		r->record->op = EVENT_CREATE;
	else if (IS(name, "MODIFY"))
		r->record->op = EVENT_UPDATE;
	else if (IS(name, "REMOVE"))
		r->record->op = EVENT_DELETE;
	else
		return scan_fail(r->scan, p, "INSERT, MODIFY or REMOVE");
	return end;
}

static const char *id_read(struct reading *r, const char *p)
{
	struct str id;
	const char *end;

	if (null(p))
		return p + 4;
	end = string(r, p, &id);
	if (end)
		r->record->id = unquoted(id);
	return end;
}

static const char *record_member(struct reading *r, struct str name, const char *p)
{
	if (IS(name, "eventID"))
		return once(r, MEMBER_ID, p) ? id_read(r, p) : NULL;
	if (IS(name, "eventName"))
		return once(r, MEMBER_NAME, p) ? name_read(r, p) : NULL;
	if (IS(name, "dynamodb"))
		return once(r, MEMBER_DYNAMODB, p) ? object(r, p, change_member) : NULL;
	if (IS(name, "userIdentity"))
		return once(r, MEMBER_IDENTITY, p) ? identity_read(r, p) : NULL;
	if (IS(name, "eventSourceARN")) {
		r->record->has_source_arn = true;
		return once(r, MEMBER_ARN, p) ? scan_skip(r->scan, p) : NULL;
	}
	return scan_skip(r->scan, p);
}

/* What every record has; NULL: it is all there. */
static const char *missing(const struct reading *r)
{
	if (!(r->seen & MEMBER_NAME))
		return "a record with an eventName";
	if (!r->record->keys.raw.p)
		return "a record with dynamodb.Keys";
	if (!(r->seen & MEMBER_SEQUENCE))
		return "a record with a dynamodb.SequenceNumber";
	if (!(r->seen & MEMBER_TIME))
		return "a record with a dynamodb.ApproximateCreationDateTime";
	return NULL;
}

const char *record_read(struct record_reader *reader, const char *p, struct record *out)
{
	struct reading r = { .reader = reader, .scan = &reader->scan, .record = out };
	const char *end, *lacks;

	*out = (struct record){ 0 };
	r.text = reader->scratch;
	reader->scan.spaced = false;
	end = object(&r, p, record_member);
	if (UNLIKELY(!end))
		return NULL;
	lacks = missing(&r);
	if (UNLIKELY(lacks))
		return scan_fail(r.scan, p, lacks);
	out->raw = (struct str){ p, (size_t)(end - p) };
	out->spaced = reader->scan.spaced;
	if (out->op == EVENT_UPDATE && !out->old_image.raw.p)
		out->op = EVENT_READ;
	out->ttl = out->op == EVENT_DELETE && str_equal(out->identity_type, STR("\"Service\"")) &&
		   str_equal(out->identity_principal, STR("\"dynamodb.amazonaws.com\""));
	return end;
}

static const char *outline_member(struct reading *r, struct str name, const char *p)
{
	const char *end;

	if (IS(name, "eventSourceARN"))
		r->record->has_source_arn = true;
	if (IS(name, "userIdentity")) {
		end = identity_read(r, p);
		if (end)
			return end;
		r->record->identity = (struct str){ 0 };
	}
	return scan_skip(r->scan, p);
}

const char *record_outline(struct record_reader *reader, const char *p, struct record *out)
{
	struct reading r = { .reader = reader, .scan = &reader->scan, .record = out };
	const char *end;

	*out = (struct record){ 0 };
	reader->scan.spaced = false;
	end = object(&r, p, outline_member);
	if (end)
		out->raw = (struct str){ p, (size_t)(end - p) };
	out->spaced = reader->scan.spaced;
	return end;
}

bool record_salvage_sequence(struct str raw, struct sequence *out)
{
	static const char name[] = "\"SequenceNumber\"";
	const size_t n = sizeof(name) - 1;
	const char *p = raw.p, *end = raw.p + raw.n, *q;
	unsigned depth = 0;

	for (; p < end; p++) {
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		if (*p != '"')
			continue;
		if (depth == 2 && (size_t)(end - p) > n && memcmp(p, name, n) == 0) {
			for (q = p + n; q < end && (*q == ' ' || *q == ':');)
				q++;
			if (*q == '"' && sequence_digits(q + 1, out))
				return true;
		}
		for (p++; p < end && *p != '"'; p++)
			if (*p == '\\')
				p++;
	}
	return false;
}
