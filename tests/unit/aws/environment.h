#pragma once
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An environment without anything that the machine may have set for AWS. */

extern char **environ;

static inline int environment_clean(void **state)
{
	(void)state;
	for (char **at = environ; *at;) {
		char name[128];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*at, "="), *at);
		if (strncmp(name, "AWS_", 4) == 0)
			unsetenv(name); /* moves the rest up */
		else
			at++;
	}
	setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
	return 0;
}

/* Writes a file, whose path the variable then has. The file is gone at the end of the program. */
static inline void environment_file(const char *variable, const char *content)
{
	static char paths[32][64];
	static size_t count;
	FILE *file;
	int fd;

	assert(count < 32);
	snprintf(paths[count], sizeof(paths[count]), "/tmp/sluice-test-XXXXXX");
	fd = mkstemp(paths[count]);
	file = fdopen(fd, "w");
	assert(file && fputs(content, file) >= 0 && fclose(file) == 0);
	setenv(variable, paths[count++], 1);
}
