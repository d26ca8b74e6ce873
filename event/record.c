#include "event/record.h"

#include "event/number.h"

/* What a record is read with and into. */
struct reading {
	struct record_reader *reader;
	struct scan *scan;
	struct record *record;
	char *text;     /* where the next item's text goes */
	unsigned state; /* a bit for each member that there was, and STATE_INSIDE */
};

/* Members that mean something to us. */
enum member {
	MEMBER_OTHER,
	MEMBER_NUMBER, /* another, that changes from record to record */
	MEMBER_END,    /* of the record */
	MEMBER_ID,
	MEMBER_NAME,
	MEMBER_DYNAMODB,
	MEMBER_IDENTITY,
	MEMBER_ARN,
	MEMBER_TIME,
	MEMBER_KEYS,
	MEMBER_NEW,
	MEMBER_OLD,
	MEMBER_SEQUENCE,
};
#define BIT(member) (1u << (member))
/* Of "dynamodb", not of the record itself. */
#define STATE_INSIDE BIT(MEMBER_OTHER)

/* The longest gap worth comparing: one between two records with all that AWS puts there. */
#define GAP_MAX 192

static bool null(const char *p)
{
	return memcmp(p, "null", 4) == 0;
}

static bool is(struct str name, const char *word, size_t n)
{
	return name.n == n && memcmp(name.p, word, n) == 0;
}
#define IS(name, literal) is(name, literal, sizeof(literal) - 1)

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

void record_keep(struct record_reader *r, struct item *image, unsigned which)
{
	uint32_t n = r->images.count;

	image->seen = r->kept[which];
	image->seen_n = n < VALUE_MEMORY_MAX - 1 ? n : 0;
	image->changes = r->images.changes;
	/* Not memcpy: of whole words, gcc makes one slow instruction of it. */
	scan_copy((char *)r->kept[which], (const char *)r->images.seen,
		  image->seen_n * sizeof(image->seen[0]));
}

static const char *image(struct reading *r, const char *p, struct item *out, unsigned which)
{
	struct record_reader *reader = r->reader;

	p = item(r, reader->style, &reader->images, p, out);
	if (UNLIKELY(reader->kept) && p && out->raw.p)
		record_keep(reader, out, which);
	return p;
}

static const char *time_read(struct reading *r, const char *p)
{
	struct record_reader *reader = r->reader;
	const char *end;

	if (LIKELY(scan_common(p, reader->time.p) >= reader->time.n)) {
		r->record->time_ms = reader->time_ms;
		return p + reader->time.n - 1;
	}
	end = scan_number(r->scan, p);
	if (end && !number_milliseconds(p, &reader->time_ms))
		return scan_fail(r->scan, p, "epoch seconds between 1970 and 9999");
	if (end)
		reader->time = (struct str){ p, (size_t)(end - p) + 1 };
	r->record->time_ms = reader->time_ms;
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

/* The members of an object from its '{'. */
typedef const char *member_read(struct reading *r, struct str name, const char *p);
static const char *object(struct reading *r, const char *p, member_read *read)
{
	struct scan *s = r->scan;
	struct str name;

	if (*p != '{')
		return scan_fail(s, p, "'{'");
	p = scan_space(s, p + 1);
	if (*p == '}')
		return p + 1;
	for (;;) {
		p = scan_name(s, p, &name);
		p = p ? read(r, name, p) : NULL;
		if (!p)
			return NULL;
		p = scan_space(s, p);
		if (*p == '}')
			return p + 1;
		if (*p != ',')
			return scan_fail(s, p, "',' or '}'");
		p = scan_space(s, p + 1);
	}
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

/* "INSERT", "MODIFY" or "REMOVE" in one comparison: which one it is cannot be foretold. */
static const char *name_read(struct reading *r, const char *p)
{
	static const struct {
		char text[9];
		enum event_op op;
	} names[16] = { ['I' - 'I'] = { "\"INSERT\"", EVENT_CREATE },
			['M' - 'I'] = { "\"MODIFY\"", EVENT_UPDATE },
			['R' - 'I'] = { "\"REMOVE\"", EVENT_DELETE } };
	unsigned i = (unsigned)(p[1] - 'I') & 15;

	if (scan_load(p) != scan_load(names[i].text))
		return scan_fail(r->scan, p, "INSERT, MODIFY or REMOVE");
	r->record->op = names[i].op;
	return p + 8;
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

static enum member find(bool inside, struct str name)
{
	static const struct {
		struct str name;
		enum member member;
		bool inside;
	} rows[] = {
		{ { "eventID", 7 }, MEMBER_ID, false },
		{ { "eventName", 9 }, MEMBER_NAME, false },
		{ { "dynamodb", 8 }, MEMBER_DYNAMODB, false },
		{ { "userIdentity", 12 }, MEMBER_IDENTITY, false },
		{ { "eventSourceARN", 14 }, MEMBER_ARN, false },
		{ { "ApproximateCreationDateTime", 27 }, MEMBER_TIME, true },
		{ { "Keys", 4 }, MEMBER_KEYS, true },
		{ { "NewImage", 8 }, MEMBER_NEW, true },
		{ { "OldImage", 8 }, MEMBER_OLD, true },
		{ { "SequenceNumber", 14 }, MEMBER_SEQUENCE, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].inside == inside && str_equal(rows[i].name, name))
			return rows[i].member;
	return MEMBER_OTHER;
}

/* Reads the gap at p, from the record's '{' or behind a value, to the next value that matters or
 * behind the record's end. */
static const char *gap_read(struct reading *r, const char *p, bool opened, struct record_step *step)
{
	struct scan *s = r->scan;
	struct str name;
	enum member m;

	for (;;) {
		if (opened && *p != '{')
			return scan_fail(s, p, "'{'");
		p = scan_space(s, p + opened);
		if (*p == '}') {
			p++;
			step->member = MEMBER_END;
			if (!(r->state & STATE_INSIDE))
				return p;
			r->state &= ~STATE_INSIDE;
			opened = false;
			continue;
		}
		if (!opened && *p != ',')
			return scan_fail(s, p, "',' or '}'");
		p = scan_name(s, opened ? p : scan_space(s, p + 1), &name);
		if (!p)
			return NULL;
		m = find(r->state & STATE_INSIDE, name);
		if (m != MEMBER_OTHER && r->state & BIT(m))
			return scan_fail(s, name.p, "each member of a record once");
		opened = m == MEMBER_DYNAMODB;
		if (m != MEMBER_OTHER)
			r->state |= opened ? BIT(m) | STATE_INSIDE : BIT(m);
		step->member = m == MEMBER_OTHER && *p != '"' ? MEMBER_NUMBER : m;
		if (step->member != MEMBER_OTHER && !opened)
			return p;
		p = opened ? p : scan_value(s, p);
		if (!p)
			return NULL;
	}
}

/* White space is not remembered: it has to be seen in each record. */
static const char *gap_learn(struct reading *r, const char *p, struct record_step *step)
{
	const char *end;
	bool usual;

	step->state[0] = r->state;
	end = gap_read(r, p, step == r->reader->steps && !r->state, step);
	usual = end && end - p <= GAP_MAX && !r->scan->spaced;
	step->gap = p;
	step->n = usual ? (uint32_t)(end - p) : UINT32_MAX;
	step->state[1] = r->state;
	return end;
}

static inline bool gap_same(const char *p, const struct record_step *step)
{
	uint32_t n = step->n, i = 32;
	unsigned common = scan_common(p, step->gap);

	if (LIKELY(n <= 32))
		return common >= n;
	/* As far as they are the same, there is no end of the page within reach. */
	for (; common == 32 && i < n; i += 32)
		common = scan_common(p + i, step->gap + i);
	return i - 32 + common >= n;
}

static inline const char *value_read(struct reading *r, enum member m, const char *p)
{
	/* What the key is made of, whatever the style of the images. */
	const struct value_style exact = { 0 };
	struct record_reader *reader = r->reader;

	switch (m) {
	case MEMBER_ID:
		return id_read(r, p);
	case MEMBER_NAME:
		return name_read(r, p);
	case MEMBER_IDENTITY:
		return identity_read(r, p);
	case MEMBER_TIME:
		return time_read(r, p);
	case MEMBER_KEYS:
		return item(r, exact, &reader->keys, p, &r->record->keys);
	case MEMBER_NEW:
		return image(r, p, &r->record->new_image, 0);
	case MEMBER_OLD:
		return image(r, p, &r->record->old_image, 1);
	case MEMBER_SEQUENCE:
		return sequence_read(r, p);
	default:
		return scan_value(r->scan, p);
	}
}

/* The record from its '{', step by step. */
static const char *steps(struct reading *r, const char *p)
{
	struct record_step *first = r->reader->steps, *step = first;

	for (;;) {
		if (LIKELY(step->state[0] == r->state && gap_same(p, step))) {
			p += step->n;
			r->state = step->state[1];
		} else {
			p = gap_learn(r, p, step);
			if (UNLIKELY(!p))
				return NULL;
		}
		if (step->member == MEMBER_END)
			return p;
		p = value_read(r, step->member, scan_space(r->scan, p));
		if (UNLIKELY(!p))
			return NULL;
		step += step < first + RECORD_STEPS_MAX - 1;
	}
}

/* What every record has; NULL: it is all there. */
static const char *missing(const struct reading *r)
{
	if (!(r->state & BIT(MEMBER_NAME)))
		return "a record with an eventName";
	if (!r->record->keys.raw.p)
		return "a record with dynamodb.Keys";
	if (!(r->state & BIT(MEMBER_SEQUENCE)))
		return "a record with a dynamodb.SequenceNumber";
	if (!(r->state & BIT(MEMBER_TIME)))
		return "a record with a dynamodb.ApproximateCreationDateTime";
	return NULL;
}

void record_reader_init(struct record_reader *r, struct value_style style, const char *page,
			char *scratch)
{
	r->scan = (struct scan){ 0 };
	r->style = style;
	r->scratch = scratch;
	r->kept = NULL;
	value_memory_init(&r->images, page);
	value_memory_init(&r->keys, page);
	for (unsigned i = 0; i < RECORD_STEPS_MAX; i++)
		r->steps[i] = (struct record_step){ .gap = page, .n = UINT32_MAX };
	r->time = (struct str){ page, SIZE_MAX };
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
	reader->images.since = reader->keys.since = p;
	end = steps(&r, p);
	if (UNLIKELY(!end))
		return NULL;
	lacks = missing(&r);
	if (UNLIKELY(lacks))
		return scan_fail(r.scan, p, lacks);
	out->raw = (struct str){ p, (size_t)(end - p) };
	out->spaced = reader->scan.spaced;
	out->has_source_arn = r.state & BIT(MEMBER_ARN);
	if (out->op == EVENT_UPDATE && !out->old_image.raw.p)
		out->op = EVENT_READ;
	out->ttl = out->op == EVENT_DELETE && str_equal(out->identity_type, STR("\"Service\"")) &&
		   str_equal(out->identity_principal, STR("\"dynamodb.amazonaws.com\""));
	return end;
}

static const char *outline_member(struct reading *r, struct str name, const char *p)
{
	const char *end = NULL;

	if (IS(name, "eventSourceARN"))
		r->record->has_source_arn = true;
	if (IS(name, "userIdentity") && !r->record->identity.p)
		end = identity_read(r, p);
	return end ? end : scan_skip(r->scan, p);
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
