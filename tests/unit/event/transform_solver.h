#pragma once
/* A second implementation of the transforms, written for clarity, on jansson's trees of DynamoDB's
 * JSON. */
#include "tests/unit/event/transforming.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SECRET "0123456789abcdef"

/* ---- values ---- */

static const char *type_of(const json_t *v)
{
	return json_object_iter_key(json_object_iter((json_t *)(uintptr_t)v));
}

static json_t *inside(const json_t *v)
{
	return json_object_get(v, type_of(v));
}

static bool is(const json_t *v, const char *type)
{
	return strcmp(type_of(v), type) == 0;
}

static bool is_set(const json_t *v)
{
	return is(v, "SS") || is(v, "NS") || is(v, "BS");
}

static json_t *typed(const char *type, json_t *of)
{
	json_t *v = json_object();

	json_object_set_new(v, type, of);
	return v;
}

/* *at is a new value. */
static void become(json_t *v, json_t *other)
{
	json_object_clear(v);
	json_object_update(v, other);
	json_decref(other);
}

static json_t *plain(const json_t *v)
{
	json_t *of = inside(v), *out, *e;
	const char *name;
	size_t i;

	if (is(v, "M")) {
		out = json_object();
		json_object_foreach(of, name, e) json_object_set_new(out, name, plain(e));
		return out;
	}
	if (is(v, "L")) {
		out = json_array();
		json_array_foreach(of, i, e) json_array_append_new(out, plain(e));
		return out;
	}
	if (is(v, "NULL"))
		return json_null();
	/* The random numbers are whole and short. */
	if (is(v, "N"))
		return json_integer(atoll(json_string_value(of)));
	if (is(v, "NS")) {
		out = json_array();
		json_array_foreach(of, i, e)
			json_array_append_new(out, json_integer(atoll(json_string_value(e))));
		return out;
	}
	return json_incref(of);
}

/* As text; to be freed. */
static char *as_text(const json_t *v)
{
	json_t *p;
	char *text;

	if (is(v, "S") || is(v, "N") || is(v, "B"))
		return memory_text(json_string_value(inside(v)));
	p = plain(v);
	text = json_dumps(p, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(p);
	return text;
}

/* ---- each value of a map, list or set ---- */

typedef json_t *each_make(const json_t *v, const json_t *options);

static void each(json_t *v, const json_t *options, each_make *make)
{
	json_t *of = inside(v), *e, *list;
	const char *name;
	size_t i;

	if (is(v, "M")) {
		json_object_foreach(of, name, e) each(e, options, make);
	} else if (is(v, "L")) {
		json_array_foreach(of, i, e) each(e, options, make);
	} else if (is_set(v)) {
		char one[2] = { *type_of(v), 0 };

		list = json_array();
		json_array_foreach(of, i, e)
		{
			json_t *element = typed(one, json_incref(e));

			json_array_append_new(list, make(element, options));
			json_decref(element);
		}
		become(v, typed("L", list));
	} else if (!is(v, "NULL")) {
		become(v, make(v, options));
	}
}

static size_t binary(const char *base64, unsigned char *out)
{
	int n = EVP_DecodeBlock(out, (const unsigned char *)base64, (int)strlen(base64));

	return (size_t)n - (strstr(base64, "==") ? 2 : strchr(base64, '=') ? 1 : 0);
}

static json_t *hash_make(const json_t *v, const json_t *options)
{
	char *text = as_text(v), hex[65];
	unsigned char bytes[256], digest[32];
	size_t n = strlen(text);

	(void)options;
	if (is(v, "B"))
		n = binary(text, bytes);
	else
		memcpy(bytes, text, n);
	HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), bytes, n, digest, NULL);
	for (int i = 0; i < 32; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
	free(text);
	return typed("S", json_string(hex));
}

static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xC0) != 0x80;
	return n;
}

/* The place behind n characters. */
static const char *behind(const char *text, size_t n)
{
	for (; n > 0 && *text; n--)
		do
			text++;
		while ((*text & 0xC0) == 0x80);
	return text;
}

static json_t *mask_make(const json_t *v, const json_t *options)
{
	size_t first = (size_t)json_integer_value(json_object_get(options, "keep_first"));
	size_t last = (size_t)json_integer_value(json_object_get(options, "keep_last"));
	const char *with = json_string_value(json_object_get(options, "with"));
	const char *text = json_string_value(inside(v));
	size_t n = text ? characters(text) : 0;
	char out[256];

	if (first + last == 0 || !(is(v, "S") || is(v, "N")) || n < 2 * (first + last))
		return typed("S", json_string(with));
	snprintf(out, sizeof(out), "%.*s%s%s", (int)(behind(text, first) - text), text, with,
		 behind(text, n - last));
	return typed("S", json_string(out));
}

/* ---- cast, truncate, parse: false: it fails ---- */

/* No random text is another number. */
static bool is_whole(const char *text)
{
	text += *text == '-';
	return *text && !text[strspn(text, "0123456789")];
}

static bool cast(json_t *v, const char *to)
{
	const char *text = json_string_value(inside(v));
	json_t *made = NULL;
	char *copy;

	if (is(v, "NULL") || (*to == 's' && is(v, "S")) || (*to == 'n' && is(v, "N")) ||
	    (*to == 'b' && is(v, "BOOL")))
		return true;
	if (*to == 's') {
		copy = as_text(v);
		made = typed("S", json_string(copy));
		free(copy);
	} else if (*to == 'n' && is(v, "BOOL")) {
		made = typed("N", json_string(json_is_true(inside(v)) ? "1" : "0"));
	} else if (*to == 'n' && is(v, "S") && is_whole(text)) {
		made = typed("N", json_string(text));
	} else if (*to == 'b' && (is(v, "S") || is(v, "N"))) {
		if (!strcasecmp(text, "true") || !strcmp(text, "1"))
			made = typed("BOOL", json_true());
		if (!strcasecmp(text, "false") || !strcmp(text, "0"))
			made = typed("BOOL", json_false());
	}
	if (made)
		become(v, made);
	return made != NULL;
}

static void cut(json_t *v, size_t n)
{
	json_t *of = inside(v);
	const char *text = json_string_value(of);

	if (is(v, "S"))
		become(v, typed("S", json_stringn(text, (size_t)(behind(text, n) - text))));
	else if (is(v, "B")) {
		unsigned char bytes[64];
		char out[64];
		size_t all = binary(text, bytes);

		EVP_EncodeBlock((unsigned char *)out, bytes, (int)(all < n ? all : n));
		become(v, typed("B", json_string(out)));
	} else if (is(v, "L") || is_set(v))
		while (json_array_size(of) > n)
			json_array_remove(of, n);
}

static json_t *structured(json_t *j)
{
	json_t *out, *e;
	const char *name;
	char number[32];
	size_t i;

	switch (json_typeof(j)) {
	case JSON_OBJECT:
		out = json_object();
		json_object_foreach(j, name, e) json_object_set_new(out, name, structured(e));
		return typed("M", out);
	case JSON_ARRAY:
		out = json_array();
		json_array_foreach(j, i, e) json_array_append_new(out, structured(e));
		return typed("L", out);
	case JSON_STRING:
		return typed("S", json_incref(j));
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(j));
		return typed("N", json_string(number));
	case JSON_NULL:
		return typed("NULL", json_true());
	default:
		return typed("BOOL", json_incref(j));
	}
}

static bool parse(json_t *v)
{
	json_t *j;

	if (!is(v, "S"))
		return true;
	j = json_loads(json_string_value(inside(v)), JSON_DECODE_ANY | JSON_REJECT_DUPLICATES,
		       NULL);
	if (!j)
		return false;
	become(v, structured(j));
	json_decref(j);
	return true;
}

/* ---- paths ---- */

/* An item as a map, so that it is like any other. */
struct work {
	json_t *root; /* {"M": item} */
	bool fault;
	const char *fail;
};

#define PARTS_MAX 4
struct parts {
	int count;
	struct {
		char name[8]; /* "" : index */
		int index;    /* -1: all */
	} part[PARTS_MAX];
};

static struct parts parts_of(const char *path)
{
	struct parts p = { 0 };

	while (*path) {
		size_t n = strcspn(path, ".[");

		if (*path == '[') {
			p.part[p.count++].index = path[1] == '*' ? -1 : atoi(path + 1);
			path = strchr(path, ']') + 1;
		} else {
			memcpy(p.part[p.count++].name, path, n);
			path += n;
		}
		path += *path == '.';
	}
	return p;
}

typedef void act(struct work *w, json_t *map, const char *name, json_t *v, json_t *list, size_t i,
		 const json_t *options);

static void visit(struct work *w, json_t *v, const struct parts *p, int at, act *a,
		  const json_t *options)
{
	const char *name = p->part[at].name;
	bool last = at + 1 == p->count;
	json_t *of = inside(v), *e;

	if (*name && is(v, "M")) {
		e = json_object_get(of, name);
		if (e && last)
			a(w, of, name, e, NULL, 0, options);
		else if (e)
			visit(w, e, p, at + 1, a, options);
	} else if (!*name && is(v, "L")) {
		/* From the end, as elements may go. */
		for (size_t i = json_array_size(of); i-- > 0 && !w->fault;) {
			if (p->part[at].index >= 0 && (size_t)p->part[at].index != i)
				continue;
			e = json_array_get(of, i);
			if (last)
				a(w, NULL, NULL, e, of, i, options);
			else
				visit(w, e, p, at + 1, a, options);
		}
	}
}

static void removed(json_t *map, const char *name, json_t *list, size_t i)
{
	if (map)
		json_object_del(map, name);
	else
		json_array_remove(list, i);
}

static void failed(struct work *w, json_t *map, const char *name, json_t *v, json_t *list, size_t i)
{
	if (strcmp(w->fail, "error") == 0)
		w->fault = true;
	else if (strcmp(w->fail, "null") == 0)
		become(v, typed("NULL", json_true()));
	else if (strcmp(w->fail, "drop") == 0)
		removed(map, name, list, i);
}

static void act_drop(struct work *w, json_t *map, const char *name, json_t *v, json_t *list,
		     size_t i, const json_t *o)
{
	(void)w, (void)v, (void)o;
	removed(map, name, list, i);
}

static void act_rename(struct work *w, json_t *map, const char *name, json_t *v, json_t *list,
		       size_t i, const json_t *o)
{
	const char *to = json_string_value(o);

	(void)w, (void)list, (void)i;
	if (!name || !to || strcmp(to, name) == 0)
		return;
	json_object_set(map, to, v);
	json_object_del(map, name);
}

/* NULL: something on the way is no map. */
static json_t *place(struct work *w, const struct parts *p)
{
	json_t *v = w->root;

	for (int i = 0; i + 1 < p->count; i++) {
		json_t *of = inside(v), *e = json_object_get(of, p->part[i].name);

		if (!e) {
			e = typed("M", json_object());
			json_object_set_new(of, p->part[i].name, e);
		}
		if (!is(e, "M"))
			return NULL;
		v = e;
	}
	return inside(v);
}

static void act_move(struct work *w, json_t *map, const char *name, json_t *v, json_t *list,
		     size_t i, const json_t *o)
{
	struct parts to = parts_of(json_string_value(o));
	json_t *at = place(w, &to);

	if (!at) {
		failed(w, map, name, v, list, i);
		return;
	}
	json_incref(v);
	removed(map, name, list, i);
	json_object_set_new(at, to.part[to.count - 1].name, v);
}

static void act_value(struct work *w, json_t *map, const char *name, json_t *v, json_t *list,
		      size_t i, const json_t *o)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	const json_t *arg = json_object_get(o, "arg");
	bool ok = true;

	if (strcmp(kind, "cast") == 0)
		ok = cast(v, json_string_value(arg));
	else if (strcmp(kind, "parse") == 0)
		ok = parse(v);
	else if (strcmp(kind, "truncate") == 0)
		cut(v, (size_t)json_integer_value(arg));
	else
		each(v, arg, strcmp(kind, "hash") == 0 ? hash_make : mask_make);
	if (!ok)
		failed(w, map, name, v, list, i);
}

static bool flat_into(json_t *map, const char *name, json_t *of, const char *separator)
{
	const char *member;
	json_t *e;

	json_object_foreach(of, member, e)
	{
		char full[128];

		snprintf(full, sizeof(full), "%s%s%s", name, separator, member);
		if (is(e, "M") && json_object_size(inside(e)) > 0) {
			if (!flat_into(map, full, inside(e), separator))
				return false;
			continue;
		}
		if (json_object_get(map, full))
			return false;
		json_object_set(map, full, e);
	}
	return true;
}

static void act_flatten(struct work *w, json_t *map, const char *name, json_t *v, json_t *list,
			size_t i, const json_t *o)
{
	json_t *copy;

	if (!is(v, "M") || json_object_size(inside(v)) == 0)
		return;
	copy = json_copy(map);
	json_object_del(copy, name);
	if (flat_into(copy, name, inside(v), json_string_value(o))) {
		json_object_clear(map);
		json_object_update(map, copy);
	} else {
		failed(w, map, name, v, list, i);
	}
	json_decref(copy);
}

static void act_split(struct work *w, json_t *map, const char *name, json_t *v, json_t *list,
		      size_t i, const json_t *o)
{
	char full[64];

	if (is(v, "NULL"))
		return;
	snprintf(full, sizeof(full), "%s%s%s", name, json_string_value(o), type_of(v));
	for (char *p = full + strlen(name); *p; p++)
		*p = (char)tolower(*p);
	if (json_object_get(map, full)) {
		failed(w, map, name, v, list, i);
		return;
	}
	json_object_set(map, full, v);
	json_object_del(map, name);
}

/* ---- keep, set ---- */

/* Whether `path` leads through `at` to more, or ends there. */
static json_t *kept(json_t *v, json_t *const *paths, size_t count, int at)
{
	json_t *of = inside(v), *out = is(v, "M") ? json_object() : json_array(), *e;
	const char *name;
	size_t i;

	if (at == PARTS_MAX || (!is(v, "M") && !is(v, "L"))) {
		json_decref(out);
		return NULL;
	}
	for (void *it = is(v, "M") ? json_object_iter(of) : NULL; it;
	     it = json_object_iter_next(of, it)) {
		json_t *some[16], *left = NULL;
		size_t n = 0;
		bool all = false;

		name = json_object_iter_key(it);
		e = json_object_iter_value(it);
		for (size_t k = 0; k < count; k++) {
			struct parts p = parts_of(json_string_value(paths[k]));

			if (strcmp(p.part[at].name, name) != 0)
				continue;
			all |= at + 1 == p.count;
			some[n++] = paths[k];
		}
		if (all || (at == 0 && (!strcmp(name, "pk") || !strcmp(name, "sk"))))
			left = json_incref(e);
		else if (n > 0)
			left = kept(e, some, n, at + 1);
		if (left)
			json_object_set_new(out, name, left);
	}
	for (i = 0; is(v, "L") && i < json_array_size(of); i++) {
		json_t *some[16], *left = NULL;
		size_t n = 0;
		bool all = false;

		e = json_array_get(of, i);
		for (size_t k = 0; k < count; k++) {
			struct parts p = parts_of(json_string_value(paths[k]));

			if (*p.part[at].name ||
			    (p.part[at].index >= 0 && (size_t)p.part[at].index != i))
				continue;
			all |= at + 1 == p.count;
			some[n++] = paths[k];
		}
		left = all ? json_incref(e) : n > 0 ? kept(e, some, n, at + 1) : NULL;
		if (left)
			json_array_append_new(out, left);
	}
	if (at > 0 && (is(v, "M") ? json_object_size(out) : json_array_size(out)) == 0) {
		json_decref(out);
		return NULL;
	}
	return typed(is(v, "M") ? "M" : "L", out);
}

static const json_t *found(const struct work *w, const char *path)
{
	struct parts p = parts_of(path);
	const json_t *v = w->root;

	for (int i = 0; i < p.count && v; i++)
		v = *p.part[i].name
			    ? (is(v, "M") ? json_object_get(inside(v), p.part[i].name) : NULL)
		    : is(v, "L") ? json_array_get(inside(v), (size_t)p.part[i].index)
				 : NULL;
	return v;
}

static void set(struct work *w, const char *path, const json_t *value)
{
	struct parts to = parts_of(path);
	const char *template = json_string_value(value);
	json_t *made, *at;

	if (!template) {
		made = structured((json_t *)(uintptr_t)value);
	} else if (strncmp(template, "${attribute:", 12) == 0 && !strchr(template, '}')[1]) {
		char inner[32], *def;
		const json_t *v;

		snprintf(inner, sizeof(inner), "%.*s", (int)strcspn(template + 12, "}"),
			 template + 12);
		def = strstr(inner, ":-");
		if (def)
			*def = '\0';
		v = found(w, inner);
		if (!v && !def)
			return;
		made = v ? json_deep_copy(v) : typed("S", json_string(def + 2));
	} else {
		char out[4096] = "";

		while (*template) {
			size_t n = strcspn(template, "$");
			char inner[32], *def, *text;
			const json_t *v;

			strncat(out, template, n);
			template += n;
			if (!*template)
				break;
			n = strcspn(template, "}");
			snprintf(inner, sizeof(inner), "%.*s", (int)n - 12, template + 12);
			template += n + 1;
			def = strstr(inner, ":-");
			if (def)
				*def = '\0';
			v = found(w, inner);
			if (!v && !def)
				return;
			text = v ? as_text(v) : memory_text(def + 2);
			strcat(out, text);
			free(text);
		}
		made = typed("S", json_string(out));
	}
	at = place(w, &to);
	if (at) {
		json_object_set_new(at, to.part[to.count - 1].name, made);
	} else {
		json_decref(made);
		w->fault |= strcmp(w->fail, "error") == 0;
	}
}

/* ---- a chain ---- */

static void each_path(struct work *w, const json_t *paths, act *a, const json_t *options)
{
	size_t count = json_is_array(paths) ? json_array_size(paths) : 1;

	for (size_t i = 0; i < count && !w->fault; i++) {
		const json_t *path = json_is_array(paths) ? json_array_get(paths, i) : paths;
		struct parts p = parts_of(json_string_value(path));

		visit(w, w->root, &p, 0, a, options);
	}
}

static void each_pair(struct work *w, const char *kind, json_t *pairs)
{
	const char *path;
	json_t *arg;

	json_object_foreach(pairs, path, arg)
	{
		json_t *options = json_object();
		struct parts p = parts_of(path);

		if (w->fault) {
			json_decref(options);
			return;
		}
		json_object_set_new(options, "kind", json_string(kind));
		json_object_set(options, "arg", arg);
		if (strcmp(kind, "set") == 0)
			set(w, path, arg);
		else if (strcmp(kind, "rename") == 0)
			visit(w, w->root, &p, 0, act_rename, arg);
		else if (strcmp(kind, "move") == 0)
			visit(w, w->root, &p, 0, act_move, arg);
		else
			visit(w, w->root, &p, 0, act_value, options);
		json_decref(options);
	}
}

static inline void apply(struct work *w, json_t *definition)
{
	static const char *const pairs[] = { "rename", "move", "set", "cast", "truncate" };
	const char *kind = json_object_iter_key(json_object_iter(definition));
	json_t *of = json_object_get(definition, kind), *options, *some[16];
	const json_t *paths = json_object_get(of, "paths");

	w->fail = json_string_value(json_object_get(definition, "on_fail"));
	w->fail = w->fail ? w->fail : "error";
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (strcmp(kind, pairs[i]) == 0) {
			each_pair(w, kind, of);
			return;
		}
	paths = paths ? paths : of;
	if (strcmp(kind, "keep") == 0) {
		for (size_t i = 0; i < json_array_size(of); i++)
			some[i] = json_array_get(of, i);
		options = w->root;
		w->root = kept(options, some, json_array_size(of), 0);
		json_decref(options);
	} else if (strcmp(kind, "drop") == 0) {
		each_path(w, paths, act_drop, NULL);
	} else if (strcmp(kind, "flatten") == 0) {
		each_path(w, paths, act_flatten, json_object_get(of, "separator"));
	} else if (strcmp(kind, "split") == 0) {
		each_path(w, paths, act_split, json_object_get(of, "separator"));
	} else {
		options = json_object();
		json_object_set_new(options, "kind", json_string(kind));
		json_object_set(options, "arg", of);
		each_path(w, paths, act_value, options);
		json_decref(options);
	}
}
