#pragma once
/* A Postgres of the test's own, in a directory of its own and on a socket there, that can be killed
 * and started again. As root it runs as the user postgres, since Postgres refuses root. */
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/checkpoint/store_fixture.h"

struct postgres_server {
	char directory[64], binaries[256], url[256];
	pid_t pid; /* 0: not running */
};

FIXTURE void server_pause(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

/* Runs a program of Postgres; it dies with the test. */
FIXTURE pid_t server_spawn(const struct postgres_server *server, const char *program,
			   char *const arguments[])
{
	pid_t parent = getpid(), pid = fork();
	char path[400];

	if (pid != 0)
		return pid;
	if (geteuid() == 0) {
		const struct passwd *user = getpwnam("postgres");

		if (!user || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
			_exit(126);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user forgets it, so after that */
	if (getppid() != parent)
		_exit(125);
	snprintf(path, sizeof(path), "%s/log", server->directory);
	if (!freopen(path, "a", stdout) || !freopen(path, "a", stderr))
		_exit(124);
	snprintf(path, sizeof(path), "%s/%s", server->binaries, program);
	execv(path, arguments);
	_exit(127);
}

/* False where Postgres is not installed. */
FIXTURE bool server_find(struct postgres_server *server)
{
	const char *patterns[] = { "/usr/lib/postgresql/*/bin/initdb", "/usr/bin/initdb",
				   "/usr/local/pgsql/bin/initdb" };

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		glob_t found;
		bool any = glob(patterns[i], 0, NULL, &found) == 0;

		if (any)
			snprintf(server->binaries, sizeof(server->binaries), "%.*s",
				 (int)(strlen(found.gl_pathv[found.gl_pathc - 1]) -
				       strlen("/initdb")),
				 found.gl_pathv[found.gl_pathc - 1]);
		globfree(&found);
		if (any)
			return true;
	}
	return false;
}

FIXTURE void server_log(const struct postgres_server *server)
{
	char command[200];

	snprintf(command, sizeof(command), "tail -n 30 %s/log >&2", server->directory);
	if (system(command) != 0)
		fprintf(stderr, "%s has no log\n", server->directory);
}

/* Until it answers. After a kill the first tries may find the old one's memory still in use. */
FIXTURE void server_start(struct postgres_server *server)
{
	char data[80];
	char *arguments[] = { "postgres",
			      "-D",
			      data,
			      "-k",
			      server->directory,
			      "-c",
			      "listen_addresses=",
			      "-c",
			      "restart_after_crash=on",
			      NULL };

	snprintf(data, sizeof(data), "%s/data", server->directory);
	server->pid = server_spawn(server, "postgres", arguments);
	for (int tries = 0; PQping(server->url) != PQPING_OK; tries++) {
		if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
			server->pid = server_spawn(server, "postgres", arguments);
		if (tries > 3000) {
			server_log(server);
			fail_msg("Postgres does not start");
		}
		server_pause();
	}
}

/* Its backends see it gone and follow: they become the test's children, which waits for them. */
FIXTURE void server_kill(struct postgres_server *server)
{
	kill(server->pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	server->pid = 0;
}

FIXTURE void server_make(struct postgres_server *server)
{
	const struct passwd *user = getpwnam("postgres");
	char data[80];
	char *arguments[] = { "initdb",   "-D", data,   "-A",          "trust", "-U",
			      "postgres", "-E", "UTF8", "--no-locale", NULL };
	int status;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(server->directory, sizeof(server->directory), "/tmp/sluice-postgres-XXXXXX");
	assert_non_null(mkdtemp(server->directory));
	if (geteuid() == 0 && user)
		assert_int_equal(chown(server->directory, user->pw_uid, user->pw_gid), 0);
	snprintf(data, sizeof(data), "%s/data", server->directory);
	snprintf(server->url, sizeof(server->url), "postgres://postgres@/postgres?host=%s",
		 server->directory);
	assert_int_not_equal(waitpid(server_spawn(server, "initdb", arguments), &status, 0), -1);
	if (status != 0) {
		server_log(server);
		fail_msg("initdb failed");
	}
	server_start(server);
}

FIXTURE void server_remove(struct postgres_server *server)
{
	char command[100];

	if (server->pid) {
		kill(server->pid, SIGQUIT);
		waitpid(server->pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf %s", server->directory);
	if (system(command) != 0)
		fprintf(stderr, "%s is left over\n", server->directory);
}

/* For a program's tests. False where Postgres is not installed; *failed: it has to be. */
FIXTURE bool server_up(struct postgres_server *server, int *failed)
{
	const char *must = getenv("SLUICE_TEST_REQUIRE_POSTGRES");

	if (!server_find(server)) {
		fprintf(stderr, "Postgres is not installed: nothing was tested\n");
		*failed = must && strcmp(must, "1") == 0;
		return false;
	}
	server_make(server);
	return true;
}

/* Its log is of interest where tests failed. */
FIXTURE void server_down(struct postgres_server *server, int failed)
{
	if (failed)
		server_log(server);
	server_remove(server);
}
