#pragma once
#include "config/option.h"
#include "event/filter.h"
#include "event/schema.h"
#include "event/transform.h"

/* What the configuration says of events, made ready for work; the configuration's check took each
 * of these. NULL: the list is empty. To be freed with what they are. */
struct filter *compile_filter(const struct option_list *patterns);
struct schemas *compile_schemas(const struct option_list *schemas);
/* The stream's (NULL: it has none) and then the sink's own. */
struct transform *compile_transform(const struct option_list *first, const struct option_list *own);
