#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "config/option.h"
#include "config/yaml.h"

/* Fills settings from a YAML map by their table. Errors are ERROR_INVALID with "FILE:LINE: KEY: ".
 */
struct fill {
	struct arena *arena; /* of the settings' text */
	const char *file;
	size_t expand_left;                                                 /* see expand_text */
	bool (*pattern)(struct str pattern, size_t *at, struct error *err); /* config_types */
	bool (*transform)(struct str definition, size_t *at, struct error *err);
	bool (*schemas)(const struct str *definitions, size_t count, size_t *at, struct error *err);
	struct error *err;
};

/* About a node, or about `key` inside of it (NULL: the node itself), which need not be there. Keys
 * may have dots. */
bool fill_fail(struct fill *f, const struct yaml_node *n, const char *key, const char *fmt, ...)
	PRINTF(4, 5);
/* "no such setting", with the nearest of what was offered. */
bool fill_unknown(struct fill *f, const struct yaml_node *n, const struct nearest *near);
/* The expanded text of a scalar; NULL on error. */
const char *fill_text(struct fill *f, const struct yaml_node *n, bool is_template);
/* Defaults, then what the map gives, then what is required. `map` NULL: only defaults, and nothing
 * is required. `other` is a key that belongs to the caller, or NULL. */
bool fill_table(struct fill *f, const struct option *table, void *base, const struct yaml_node *map,
		const char *other) MUST_CHECK;
/* Runs a check whose message begins with the setting's name ("topic: …"), and adds file and line.
 */
bool fill_check(struct fill *f, const struct option *table, const void *base,
		bool (*check)(const void *settings, struct error *err),
		const struct yaml_node *map) MUST_CHECK;
