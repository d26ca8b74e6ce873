/* Plain JSON becomes DynamoDB's. */
#include <stdlib.h>

#include "base/memory.h"
#include "event/number.h"
#include "event/tree.h"

/* JSON on its way to DynamoDB's: what is read is padded. */
struct parse {
	struct tree_out *out;
	struct scan scan;
	const char *fault; /* of what DynamoDB cannot hold */
};

static const char *value(struct parse *ps, const char *p, unsigned depth);

static int name_order(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int order = n ? memcmp(x->p, y->p, n) : 0;

	return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* The members of a map at p each have a name of their own. */
static bool names_differ(struct parse *ps, const char *p)
{
	struct str *names = NULL, name;
	char *plain = NULL;
	size_t count = 0, used = 0;
	bool differ = true;

	p = scan_space(&ps->scan, p + 1);
	for (const char *q = p; *q != '}';) {
		q = scan_space(&ps->scan, scan_skip(&ps->scan, scan_name(&ps->scan, q, &name)));
		used += name.n;
		count++;
		if (*q == ',')
			q = scan_space(&ps->scan, q + 1);
	}
	if (count < 2)
		return true;
	names = memory_array(count, sizeof(*names));
	plain = memory_new(used + 1);
	used = count = 0;
	while (*p != '}') {
		p = scan_space(&ps->scan, scan_skip(&ps->scan, scan_name(&ps->scan, p, &name)));
		names[count] = (struct str){ plain + used, scan_unescape(name, plain + used) };
		used += names[count++].n;
		if (*p == ',')
			p = scan_space(&ps->scan, p + 1);
	}
	qsort(names, count, sizeof(*names), name_order);
	for (size_t i = 1; i < count && differ; i++)
		differ = !str_equal(names[i - 1], names[i]);
	free(names);
	free(plain);
	return differ;
}

static const char *container(struct parse *ps, const char *p, unsigned depth)
{
	bool map = *p == '{';
	const char *between = map ? "{" : "[";

	if (depth > VALUE_DEPTH_MAX) {
		ps->fault = "expected at most 32 lists and maps inside each other";
		return NULL;
	}
	if (map && !names_differ(ps, p)) {
		ps->fault = "expected each name of a map once";
		return NULL;
	}
	tree_out_put(ps->out, map ? STR("{\"M\":") : STR("{\"L\":"));
	p = scan_space(&ps->scan, p + 1);
	while (*p != (map ? '}' : ']')) {
		tree_out_put(ps->out, (struct str){ between, 1 });
		between = ",";
		if (map) {
			const char *name = p;
			struct str unused;

			p = scan_name(&ps->scan, p, &unused);
			tree_out_put(ps->out, (struct str){ name, unused.n + 2 });
			tree_out_put(ps->out, STR(":"));
		}
		p = value(ps, p, depth + 1);
		if (!p)
			return NULL;
		p = scan_space(&ps->scan, p);
		if (*p == ',')
			p = scan_space(&ps->scan, p + 1);
	}
	if (*between != ',')
		tree_out_put(ps->out, (struct str){ between, 1 });
	tree_out_put(ps->out, map ? STR("}}") : STR("]}"));
	return p + 1;
}

static const char *value(struct parse *ps, const char *p, unsigned depth)
{
	const char *end;
	struct number number;

	switch (*p) {
	case '{':
	case '[':
		return container(ps, p, depth);
	case 't':
		tree_out_put(ps->out, STR("{\"BOOL\":true}"));
		return p + 4;
	case 'f':
		tree_out_put(ps->out, STR("{\"BOOL\":false}"));
		return p + 5;
	case 'n':
		tree_out_put(ps->out, STR("{\"NULL\":true}"));
		return p + 4;
	default:
		end = scan_skip(&ps->scan, p);
	}
	if (*p == '"') {
		tree_out_put(ps->out, STR("{\"S\":"));
		tree_out_put(ps->out, (struct str){ p, (size_t)(end - p) });
		tree_out_put(ps->out, STR("}"));
		return end;
	}
	if (!number_view(p, &number, NULL) || !number_fits(&number)) {
		ps->fault = "expected numbers of at most 38 digits";
		return NULL;
	}
	tree_out_put(ps->out, STR("{\"N\":\""));
	tree_out_put(ps->out, (struct str){ p, (size_t)(end - p) });
	tree_out_put(ps->out, STR("\"}"));
	return end;
}

const char *tree_out_json(struct tree_out *o, const char *p, const char **fault)
{
	struct parse ps = { .out = o };
	const char *end = value(&ps, p, 1);

	*fault = ps.fault;
	return end;
}
