#pragma once
#include "tests/unit/event/transforming.h"

#include <unistd.h>

/* What the tests of scripts share: files of their own, and one record's way through one. */

/* A file in a folder of its own, as files are read once a process. */
struct scripting_file {
	char folder[32], path[64];
};
static inline struct scripting_file scripting_write(const char *name, struct str text)
{
	struct scripting_file f = { .folder = "/tmp/sluice-lua-XXXXXX" };
	FILE *out;

	assert_non_null(mkdtemp(f.folder));
	snprintf(f.path, sizeof(f.path), "%s/%s", f.folder, name);
	out = fopen(f.path, "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(text.p, 1, text.n, out), text.n);
	assert_int_equal(fclose(out), 0);
	return f;
}
static inline void scripting_remove(const struct scripting_file *f)
{
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(rmdir(f->folder), 0);
}

/* A transform with this script; `settings`: more members of its map, such as ,"memory":"2MiB".
 * NULL, with err, where it is refused. */
static inline struct transform *scripting_try(struct str source, const char *settings,
					      struct error *err)
{
	struct scripting_file f = scripting_write("script.lua", source);
	struct transform *t;
	char text[512];
	struct str definition;

	snprintf(text, sizeof(text), "{\"lua\":{\"file\":\"%s\"%s}}", f.path, settings);
	definition = str_of(text);
	t = transform_new(&definition, 1, err);
	scripting_remove(&f);
	return t;
}

static inline struct transform *scripting_with(const char *source, const char *settings)
{
	struct error err = { 0 };
	struct transform *t = scripting_try(str_of(source), settings, &err);

	if (!t)
		fail_msg("%s\n%s", source, err.message);
	return t;
}

/* The function's body alone. */
static inline struct transform *scripting(const char *body)
{
	struct transform *t;
	char *source = NULL;

	assert_true(asprintf(&source, "function transform(event)\n%s\nend\n", body) > 0);
	t = scripting_with(source, "");
	free(source);
	return t;
}

#define SCRIPTING_KEYS "{\"pk\":{\"S\":\"k\"},\"sk\":{\"N\":\"1\"}}"

/* A record with these images (NULL: none); its op is told by them. */
static inline struct batch *scripting_run(const struct transform *t, enum event_format format,
					  const char *new_image, const char *old_image)
{
	struct encoding encoding = { .format = format, .transform = t };
	struct batch *b;
	struct buf page;

	buf_init(&page, 0);
	transforming_page(&page,
			  !new_image  ? "REMOVE"
			  : old_image ? "MODIFY"
				      : "INSERT",
			  SCRIPTING_KEYS, new_image, old_image);
	b = transforming_decode(buf_str(&page), encoding);
	buf_release(&page);
	return b;
}
