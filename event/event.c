#include "event/event.h"

#include <string.h>

char event_op_letter(enum event_op op)
{
	return "cudr"[op];
}

char *event_order_text(uint64_t generation, const struct sequence *s, char out[EVENT_ORDER_SIZE])
{
	memset(out, '0', EVENT_ORDER_SIZE - 1);
	for (unsigned i = 10; i > 0; i--, generation /= 10)
		out[i - 1] = (char)('0' + generation % 10);
	out[10] = '-';
	memcpy(out + EVENT_ORDER_SIZE - 1 - s->length, s->digits, s->length);
	out[EVENT_ORDER_SIZE - 1] = '\0';
	return out;
}

const struct event_fields event_fields_default = { "_op", "_ts", "_seq", "_gen", "_order" };

#define FIELDS 6
static void names_of(const struct event_fields *f, struct str names[FIELDS])
{
	names[0] = str_of(f->op);
	names[1] = str_of(f->ts);
	names[2] = str_of(f->seq);
	names[3] = str_of(f->gen);
	names[4] = str_of(f->order);
	names[5] = STR("_part");
}

/* The field's name, with any number of underscores in front. */
static bool is_or_grows(struct str name, struct str field)
{
	while (name.n > field.n && name.p[0] == '_') {
		name.p++;
		name.n--;
	}
	return str_equal(name, field);
}

bool event_fields_reserve(const struct event_fields *fields, struct str name)
{
	struct str names[FIELDS];

	names_of(fields ? fields : &event_fields_default, names);
	for (unsigned i = 0; i < FIELDS; i++)
		if (is_or_grows(name, names[i]))
			return true;
	return false;
}

const char *event_fields_fault(const struct event_fields *fields)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_.-@:";
	struct str names[FIELDS];

	names_of(fields, names);
	for (unsigned i = 0; i < FIELDS; i++) {
		if (names[i].n == 0 || names[i].n > EVENT_FIELD_MAX ||
		    strspn(names[i].p, bytes) < names[i].n)
			return "expected names of 1 to 32 of a-z A-Z 0-9 _ . - @ :";
		for (unsigned k = 0; k < FIELDS; k++)
			if (k != i && is_or_grows(names[i], names[k]))
				return "expected names that differ in more than underscores in "
				       "front, also from _part";
	}
	return NULL;
}

const struct event_fields *event_fields_set(const struct event_fields *fields)
{
	struct str names[FIELDS], by_default[FIELDS];

	names_of(fields, names);
	names_of(&event_fields_default, by_default);
	for (unsigned i = 0; i < FIELDS; i++)
		if (!str_equal(names[i], by_default[i]))
			return fields;
	return NULL;
}
