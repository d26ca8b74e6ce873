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

/* Members that mean something to us; bits of `seen`. */
enum member {
	MEMBER_OTHER = 0,
	MEMBER_ID = 1 << 0,
	MEMBER_NAME = 1 << 1,
	MEMBER_DYNAMODB = 1 << 2,
	MEMBER_IDENTITY = 1 << 3,
	MEMBER_ARN = 1 << 4,
	MEMBER_TIME = 1 << 5,
	MEMBER_KEYS = 1 << 6,
	MEMBER_NEW = 1 << 7,
	MEMBER_OLD = 1 << 8,
	MEMBER_SEQUENCE = 1 << 9,
	MEMBER_TYPE = 1 << 10,
	MEMBER_PRINCIPAL = 1 << 11,
};

typedef enum member member_find(struct str name);
typedef const char *member_read(struct reading *r, enum member m, const char *p);

/* A member's name and colon, from its first byte; the place of the value. */
static const char *member_name(struct scan *s, const char *p, struct str *name)
{
	if (UNLIKELY(*p != '"'))
		return scan_fail(s, p, "a member's name");
	name->p = p + 1;
	p = scan_string(s, name->p);
	if (UNLIKELY(!p))
		return NULL;
	name->n = (size_t)(p - name->p);
	p = scan_space(s, p + 1);
	if (UNLIKELY(*p != ':'))
		return scan_fail(s, p, "':'");
	return scan_space(s, p + 1);
}

/* Whether the member at p is `seen` as a whole, up to what stands behind it. */
static inline bool same(const struct record_seen *seen, const char *p, unsigned common)
{
	if (LIKELY(common < 32))
		return common >= seen->n;
	return 32 + scan_common(p + 32, seen->in + 32) >= seen->n;
}

static inline bool once(struct reading *r, enum member m, const char *p);

/* Notes the name from p to value as what stands here. Names are compared as one block. White space
 * is not learned: it has to be seen in each record. */
static void learn(const struct reading *r, struct record_seen *seen, enum member m, const char *p,
		  const char *value)
{
	bool usual = value - p <= 32 && !r->scan->spaced;

	seen->in = p;
	seen->member = m;
	seen->head_n = usual ? (uint32_t)(value - p) : UINT32_MAX;
	seen->n = UINT32_MAX;
}

/* One member from its name. `seen`: what stood here in the last record, and what stands here now.
 */
static inline __attribute__((always_inline)) const char *
one_member(struct reading *r, const char *p, struct record_seen *seen, member_find *find,
	   member_read *read)
{
	unsigned common = scan_common(p, seen->in);
	const char *begin = p;
	enum member m;

	if (LIKELY(common >= seen->head_n)) {
		m = seen->member;
		if (m == MEMBER_OTHER && same(seen, p, common))
			return p + seen->n - 1;
		if (m == MEMBER_TIME && same(seen, p, common) && once(r, m, p)) {
			r->record->time_ms = r->reader->time_ms;
			return p + seen->n - 1;
		}
		p = scan_space(r->scan, p + seen->head_n);
	} else {
		struct str name;

		p = member_name(r->scan, p, &name);
		if (UNLIKELY(!p))
			return NULL;
		m = find(name);
		learn(r, seen, m, begin, p);
	}
	if (m != MEMBER_OTHER && UNLIKELY(!once(r, m, p)))
		return NULL;
	p = read(r, m, p);
	if (UNLIKELY(!p))
		return NULL;
	if (LIKELY(p - begin < 64 && !r->scan->spaced)) {
		seen->in = begin;
		seen->n = (uint32_t)(p - begin) + 1;
	}
	return p;
}

/* The members of an object from its '{'. */
static inline __attribute__((always_inline)) const char *object(struct reading *r, const char *p,
								struct record_seen *seen,
								member_find *find,
								member_read *read)
{
	struct record_seen *end = seen + RECORD_MEMORY_MAX - 1;
	struct scan *s = r->scan;

	if (UNLIKELY(*p != '{'))
		return scan_fail(s, p, "'{'");
	p = scan_space(s, p + 1);
	if (*p == '}')
		return p + 1;
	for (;;) {
		p = one_member(r, p, seen, find, read);
		if (UNLIKELY(!p))
			return NULL;
		p = scan_space(s, p);
		if (*p == '}')
			return p + 1;
		if (UNLIKELY(*p != ','))
			return scan_fail(s, p, "',' or '}'");
		p = scan_space(s, p + 1);
		seen += seen < end;
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
static inline bool once(struct reading *r, enum member m, const char *p)
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

static const char *item(struct reading *r, struct value_style style, struct value_memory *memory,
			const char *p, struct item *out)
{
	struct span t;

	if (UNLIKELY(null(p)))
		return p + 4;
	t = value_item(r->scan, style, memory, p, r->text);
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

	if (end && !number_milliseconds(p, &r->reader->time_ms))
		return scan_fail(r->scan, p, "epoch seconds between 1970 and 9999");
	r->record->time_ms = r->reader->time_ms;
	return end;
}

/* The digits of a sequence number behind its opening quote; NULL where it is none. */
static const char *sequence_digits(const char *p, struct sequence *out)
{
	size_t n = 0;

	while (p[0] == '0' && p[1] >= '0' && p[1] <= '9')
		p++;
	for (;; n += 32) {
		uint32_t other = scan_not_digits(p + n);

		if (other) {
			n += (unsigned)__builtin_ctz(other);
			break;
		}
		if (n == 32)
			return NULL;
	}
	if (n == 0 || n > SEQUENCE_DIGITS_MAX || p[n] != '"')
		return NULL;
	out->length = (uint8_t)n;
	memcpy(out->digits, p, sizeof(out->digits));
	return p + n;
}

static const char *sequence_read(struct reading *r, const char *p)
{
	const char *end = *p == '"' ? sequence_digits(p + 1, &r->record->sequence) : NULL;

	return end ? end + 1
		   : scan_fail(r->scan, p, "a sequence number, a string of at most 40 digits");
}

static enum member change_find(struct str name)
{
	if (IS(name, "NewImage"))
		return MEMBER_NEW;
	if (IS(name, "OldImage"))
		return MEMBER_OLD;
	if (IS(name, "Keys"))
		return MEMBER_KEYS;
	if (IS(name, "SequenceNumber"))
		return MEMBER_SEQUENCE;
	if (IS(name, "ApproximateCreationDateTime"))
		return MEMBER_TIME;
	return MEMBER_OTHER;
}

static inline const char *change_member(struct reading *r, enum member m, const char *p)
{
	struct record_reader *reader = r->reader;
	/* What the key is made of, whatever the style of the images. */
	const struct value_style exact = { 0 };

	switch (m) {
	case MEMBER_NEW:
		return item(r, reader->style, &reader->images, p, &r->record->new_image);
	case MEMBER_OLD:
		return item(r, reader->style, &reader->images, p, &r->record->old_image);
	case MEMBER_KEYS:
		return item(r, exact, &reader->keys, p, &r->record->keys);
	case MEMBER_SEQUENCE:
		return sequence_read(r, p);
	case MEMBER_TIME:
		return time_read(r, p);
	default:
		return scan_value(r->scan, p);
	}
}

static const char *change_read(struct reading *r, const char *p)
{
	return object(r, p, r->reader->change, change_find, change_member);
}

static enum member identity_find(struct str name)
{
	if (IS(name, "Type") || IS(name, "type"))
		return MEMBER_TYPE;
	if (IS(name, "PrincipalId") || IS(name, "principalId"))
		return MEMBER_PRINCIPAL;
	return MEMBER_OTHER;
}

static const char *identity_member(struct reading *r, enum member m, const char *p)
{
	if (m == MEMBER_TYPE)
		return string(r, p, &r->record->identity_type);
	if (m == MEMBER_PRINCIPAL)
		return string(r, p, &r->record->identity_principal);
	return scan_skip(r->scan, p);
}

static const char *identity_read(struct reading *r, const char *p)
{
	const char *end;

	if (null(p))
		return p + 4;
	end = object(r, p, r->reader->identity, identity_find, identity_member);
	if (end)
		r->record->identity = (struct str){ p, (size_t)(end - p) };
	return end;
}

static const char *name_read(struct reading *r, const char *p)
{
	static const char names[][9] = { "\"INSERT\"", "\"MODIFY\"", "\"REMOVE\"" };
	static const enum event_op ops[] = { EVENT_CREATE, EVENT_UPDATE, EVENT_DELETE };

	for (unsigned i = 0; i < 3; i++)
		if (memcmp(p, names[i], 8) == 0) {
			r->record->op = ops[i];
			return p + 8;
		}
	return scan_fail(r->scan, p, "INSERT, MODIFY or REMOVE");
}

static const char *id_read(struct reading *r, const char *p)
{
	struct str id;
	const char *end;

	if (null(p))
		return p + 4;
	end = string(r, p, &id);
	if (end)
		r->record->id = (struct str){ id.p + 1, id.n - 2 };
	return end;
}

static enum member record_find(struct str name)
{
	if (IS(name, "eventID"))
		return MEMBER_ID;
	if (IS(name, "eventName"))
		return MEMBER_NAME;
	if (IS(name, "dynamodb"))
		return MEMBER_DYNAMODB;
	if (IS(name, "userIdentity"))
		return MEMBER_IDENTITY;
	if (IS(name, "eventSourceARN"))
		return MEMBER_ARN;
	return MEMBER_OTHER;
}

static const char *record_member(struct reading *r, enum member m, const char *p)
{
	switch (m) {
	case MEMBER_ID:
		return id_read(r, p);
	case MEMBER_NAME:
		return name_read(r, p);
	case MEMBER_DYNAMODB:
		return change_read(r, p);
	case MEMBER_IDENTITY:
		return identity_read(r, p);
	default:
		return scan_value(r->scan, p);
	}
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

void record_reader_init(struct record_reader *r, struct value_style style, char *scratch)
{
	static const char nothing[SCAN_PADDING];
	static const struct record_seen unknown = { nothing, UINT32_MAX, UINT32_MAX, 0 };

	*r = (struct record_reader){ .style = style, .scratch = scratch };
	for (unsigned i = 0; i < RECORD_MEMORY_MAX; i++)
		r->record[i] = r->change[i] = r->identity[i] = unknown;
}

/* What a record need not have, and what is asked for by its pointer; the rest is always set. */
static void clear(struct record *out)
{
	out->id.p = out->identity.p = NULL;
	out->identity_type = out->identity_principal = (struct str){ 0 };
	out->keys.raw.p = out->new_image.raw.p = out->old_image.raw.p = NULL;
}

const char *record_read(struct record_reader *reader, const char *p, struct record *out)
{
	struct reading r = { .reader = reader, .scan = &reader->scan, .record = out };
	const char *end, *lacks;

	clear(out);
	r.text = reader->scratch;
	reader->scan.spaced = false;
	/* The last record's texts are overwritten now. */
	reader->images.fresh = reader->keys.fresh = false;
	end = object(&r, p, reader->record, record_find, record_member);
	if (UNLIKELY(!end))
		return NULL;
	lacks = missing(&r);
	if (UNLIKELY(lacks))
		return scan_fail(r.scan, p, lacks);
	out->raw = (struct str){ p, (size_t)(end - p) };
	out->spaced = reader->scan.spaced;
	out->has_source_arn = r.seen & MEMBER_ARN;
	if (out->op == EVENT_UPDATE && !out->old_image.raw.p)
		out->op = EVENT_READ;
	out->ttl = out->op == EVENT_DELETE && str_equal(out->identity_type, STR("\"Service\"")) &&
		   str_equal(out->identity_principal, STR("\"dynamodb.amazonaws.com\""));
	return end;
}

static const char *outline_member(struct reading *r, enum member m, const char *p)
{
	const char *end = m == MEMBER_IDENTITY ? identity_read(r, p) : NULL;

	return end ? end : scan_skip(r->scan, p);
}

const char *record_outline(struct record_reader *reader, const char *p, struct record *out)
{
	struct reading r = { .reader = reader, .scan = &reader->scan, .record = out };
	const char *end;

	*out = (struct record){ 0 };
	reader->scan.spaced = false;
	end = object(&r, p, reader->record, record_find, outline_member);
	out->has_source_arn = r.seen & MEMBER_ARN;
	if (!end) {
		/* A member twice, say: still JSON, but nothing of it is to be touched. */
		*out = (struct record){ .has_source_arn = true };
		end = scan_skip(&reader->scan, p);
	}
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
