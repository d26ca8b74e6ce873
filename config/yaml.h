#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* A YAML document as a tree of texts, lists and maps, each with its line. Everything lives in the
 * arena it was parsed into. Refused: anchors, aliases, tags, a second document, a key
 * given twice, and what passes the limits below. */
#define YAML_BYTES_MAX ((size_t)1 << 20)
#define YAML_DEPTH_MAX 20
#define YAML_NODES_MAX 100000
#define YAML_KEYS_MAX  1000 /* of one map */

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	int line;
	const char *text; /* TEXT: UTF-8 without zero bytes; else "" */
	bool plain;       /* TEXT: written without quotes */
	const char *key;  /* in a map */
	size_t index;     /* in a list or map */
	struct yaml_node *parent, *first, *last, *next;
	size_t count; /* of children */
};

/* `name` stands in messages: "NAME:LINE: …", ERROR_INVALID. NULL on error. An empty document is an
 * empty map. */
const struct yaml_node *yaml_parse(struct arena *a, struct str bytes, const char *name,
				   struct error *err);
/* NULL where the map has no such key. */
const struct yaml_node *yaml_find(const struct yaml_node *map, const char *key);
/* Nothing was written there: `key:`, `key: ~` or `key: null`. */
bool yaml_is_null(const struct yaml_node *n);
/* "streams[0].poll.min"; "" for the root. */
void yaml_path(const struct yaml_node *n, struct buf *out);
/* `text` as a double-quoted scalar that reads as the same text. */
void yaml_quote(struct buf *out, const char *text);
/* The length of the UTF-8 character at p and its code point; 0 where it is not valid. */
size_t yaml_utf8(const char *p, const char *end, uint32_t *code);
