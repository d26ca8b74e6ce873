#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Catches what a command says on stdout and stderr. */
struct output {
	int kept[2];
	FILE *files[2];
	char out[65536], err[65536];
};

static inline void output_begin(struct output *o)
{
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		o->kept[i] = dup(i + 1);
		o->files[i] = tmpfile();
		assert_non_null(o->files[i]);
		assert_int_equal(dup2(fileno(o->files[i]), i + 1), i + 1);
	}
}

static inline void output_end(struct output *o)
{
	char *texts[] = { o->out, o->err };

	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		size_t n;

		dup2(o->kept[i], i + 1);
		close(o->kept[i]);
		rewind(o->files[i]);
		n = fread(texts[i], 1, sizeof(o->out) - 1, o->files[i]);
		texts[i][n] = '\0';
		fclose(o->files[i]);
	}
}

#define assert_says(text, part)                                                                    \
	do {                                                                                       \
		if (!strstr((text), (part)))                                                       \
			fail_msg("'%s' is not in: %s", (part), (text));                            \
	} while (0)
