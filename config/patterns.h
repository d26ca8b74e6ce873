#pragma once
#include "config/fill.h"

/* A list of event patterns, each a map or JSON text, into JSON texts that were checked. */
bool patterns_fill(struct fill *f, struct option_list *list, const struct yaml_node *n) MUST_CHECK;
/* The same of schemas. */
bool schemas_fill(struct fill *f, struct option_list *list, const struct yaml_node *n) MUST_CHECK;
/* A list of transforms, each a map or a word, into JSON texts that were checked, and what is
 * printed of them: without the key of a hash. What `set` has are templates. */
bool transforms_fill(struct fill *f, struct option_list *list,
		     const struct yaml_node *n) MUST_CHECK;
