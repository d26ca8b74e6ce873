#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* One line per event on stderr: a fixed message and fields, as text or JSON. INFO is what an
 * operator wants to know once, WARN what was handled and how, ERROR what a person must act on.
 * Nothing per record. Thread safe; a line is one write. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
	const char *name;
	enum { LOG_FIELD_TEXT, LOG_FIELD_INT, LOG_FIELD_REAL } type;
	struct str text;
	int64_t number;
	double real;
};

#define log_str(field, value)                                                                      \
	((struct log_field){ .name = (field), .type = LOG_FIELD_TEXT, .text = (value) })
#define log_text(field, value) log_str(field, str_of(value))
#define log_int(field, value)                                                                      \
	((struct log_field){ .name = (field), .type = LOG_FIELD_INT, .number = (value) })
#define log_real(field, value)                                                                     \
	((struct log_field){ .name = (field), .type = LOG_FIELD_REAL, .real = (value) })

#define log_write(level, message, ...)                                                             \
	log_fields(level, message, (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })
/* log_info("shard closed", log_text("shard", id), log_int("records", n)); */
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/* `fields` ends with a field whose name is NULL. */
void log_fields(enum log_level level, const char *message, const struct log_field *fields);
void log_setup(enum log_level level, enum log_format format);
bool log_level_parse(const char *text, enum log_level *out);

/* For what repeats: lets the first through and then one each `every_ms`, and says how many were
 * held back in the field `repeated`. A static or a member; used by one thread. */
struct log_limit {
	int64_t next_ms;
	uint64_t held;
};
bool log_limit_pass(struct log_limit *l, int64_t now_ms, int64_t every_ms, uint64_t *repeated);
