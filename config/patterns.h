#pragma once
#include "config/fill.h"

/* A list of event patterns, each a map or JSON text, into JSON texts that were checked. */
bool patterns_fill(struct fill *f, struct option_list *list, const struct yaml_node *n) MUST_CHECK;
