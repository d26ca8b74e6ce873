#pragma once
#include "sinks/kafka.h"

/* An event that is too large for Kafka: its payload lies in an object, and a reference to that is
 * what is sent (docs/delivery.md). Pure. `part`: of several events of a record, 1.., else 0. */

/* The object's key: the same whoever writes it. */
void kafka_object_key(const struct kafka_settings *s, const char *sink, const struct batch *b,
		      size_t i, unsigned part, struct buf *out);
/* What lies there: the payload, but that its time of delivery is the change's, so that it has the
 * same bytes whoever writes it. */
void kafka_object_body(const struct kafka_settings *s, const struct event *e, struct str payload,
		       struct buf *out);
/* The event without its images, and where they are. */
void kafka_reference(const struct kafka_settings *s, const struct event *e, struct str payload,
		     struct str key, struct str body, struct buf *out);
