/* A text that is JSON becomes what it says. */
#include "event/transformer_internal.h"

static enum tree_type type_of(char first)
{
	switch (first) {
	case '{':
		return TREE_M;
	case '[':
		return TREE_L;
	case '"':
		return TREE_S;
	case 't':
	case 'f':
		return TREE_BOOL;
	case 'n':
		return TREE_NULL;
	default:
		return TREE_N;
	}
}

bool transform_parse(struct transformer *x, const struct transform_step *s, struct tree *parent,
		     struct tree *t)
{
	struct str json, raw;
	struct scan scan;
	const char *p, *end, *fault;
	char *plain, *o;

	if (tree_type(t) != TREE_S)
		return false;
	json = tree_body(t);
	plain = tree_bytes(&x->memory, json.n);
	if (!transformer_room(x, plain))
		return false;
	json = (struct str){ plain, scan_unescape(json, plain) };
	memset(plain + json.n, 0, SCAN_PADDING);
	p = scan_space(&scan, plain);
	end = scan_skip(&scan, p);
	if (!end || scan_space(&scan, end) != plain + json.n)
		return transformer_fail(x, s, parent, t, "expected a text that is JSON");
	transform_text_begin(x);
	if (!tree_out_json(&x->text, p, &fault))
		return transformer_fail(x, s, parent, t, fault);
	if (x->text.full)
		return transformer_fail(x, s, parent, t, "what it says is longer than 8 MiB");
	raw = (struct str){ x->text.begin, (size_t)(x->text.at - x->text.begin) };
	o = tree_bytes(&x->memory, raw.n);
	if (!transformer_room(x, o))
		return false;
	memcpy(o, raw.p, raw.n);
	memset(o + raw.n, 0, SCAN_PADDING);
	tree_replace(t, type_of(*p), (struct str){ o, raw.n });
	return true;
}
