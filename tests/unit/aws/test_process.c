#include "tests/unit/aws/credentials_world.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "aws/process.h"

/* Programs that are run for what they print, and the keys of such a one. */

static int turns;
static bool go_on(void *arg)
{
	turns++;
	return !arg || turns < *(int *)arg;
}

static bool run(const char *command, int64_t timeout_ms, struct buf *out, struct error *err)
{
	buf_clear(out);
	*err = (struct error){ 0 };
	return process_read(&(struct process_run){ .command = command,
						   .timeout_ms = timeout_ms,
						   .output_max = 1000,
						   .go_on = go_on },
			    out, err);
}

static void test_words(void **state)
{
	static const struct {
		const char *command, *printed;
	} good[] = {
		{ "printf <%s> a  b\tc", "<a><b><c>" },
		{ "printf '<%s>' 'a b' \"c d\" e\\ f", "<a b><c d><e f>" },
		{ "printf <%s> '' \"\" x", "<><><x>" },
		{ "printf <%s> 'a\"b\\' \"c'd\" \"e\\\"f\\\\g\\h\" i'j k'l",
		  "<a\"b\\><c'd><e\"f\\g\\h><ij kl>" },
		/* Nobody replaces anything: it is no shell. */
		{ "printf <%s> $HOME ~ * `id` a;b|c", "<$HOME><~><*><`id`><a;b|c>" },
	};
	struct buf out = { 0 };
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!run(good[i].command, 60000, &out, &err))
			fail_msg("%s: %s", good[i].command, err.message);
		assert_string_equal(out.data, good[i].printed);
	}
	assert_false(run("printf 'a", 60000, &out, &err));
	assert_string_equal(err.message, "a quote that does not end");
	assert_false(run("  ", 60000, &out, &err));
	assert_string_equal(err.message, "no command");
	buf_release(&out);
}

static int files_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_what_goes_wrong(void **state)
{
	int files = files_open();
	struct buf out = { 0 };
	struct error err;

	(void)state;
	assert_false(run("/nonexistent/tool --x", 60000, &out, &err));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_string_equal(err.message,
			    "/nonexistent/tool cannot be run: No such file or directory");
	assert_false(run("sh -c 'echo secret; echo who are you >&2; exit 3'", 60000, &out, &err));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_string_equal(err.message, "it ended with 3: who are you");
	assert_false(run("sh -c 'kill -15 $$'", 60000, &out, &err));
	assert_string_equal(err.message, "it was ended by signal 15");
	assert_false(run("sh -c 'yes | head -c 100000'", 60000, &out, &err));
	assert_string_equal(err.message, "it prints more than 1000 bytes");
	/* Of much that it says the end, in one line. */
	assert_false(run("sh -c 'yes no | head -n 5000 >&2; printf \"a\\nb\\n\" >&2; exit 1'",
			 60000, &out, &err));
	assert_non_null(strstr(err.message, "no no no a b"));
	assert_true(strlen(err.message) < 240);
	assert_int_equal(files_open(), files);
	buf_release(&out);
}

/* Holds the time still until the program has got as far as to make this file. */
static bool go_on_from(void *arg)
{
	for (int i = 0; access(arg, F_OK) != 0 && i < 15000; i++)
		usleep(10000);
	return true;
}

static bool is_gone(pid_t pid)
{
	char path[64], text[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return !*text || strstr(text, ") Z"); /* nobody may be there to take it */
}

/* One that hangs is killed, with what it began; what it said so far is told. */
static void test_the_time_is_limited(void **state)
{
	char folder[] = "/tmp/sluice-process-XXXXXX", path[64], line[32] = "";
	struct buf out = { 0 }, command = { 0 };
	int end = 2;
	struct error err;
	pid_t child;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/child", folder);
	buf_printf(&command,
		   "sh -c 'sleep 1000 & echo waiting for a token >&2; echo $! > %s.new; "
		   "mv %s.new %s; wait'",
		   path, path, path);
	assert_false(process_read(&(struct process_run){ .command = command.data,
							 .timeout_ms = 1,
							 .output_max = 1000,
							 .go_on = go_on_from,
							 .arg = path },
				  &out, &err));
	assert_int_equal(err.kind, ERROR_RETRY);
	assert_string_equal(err.message, "it has not ended after 0 s: waiting for a token");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and reaped */
	file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	child = (pid_t)strtol(line, NULL, 10);
	assert_true(child > 0);
	for (int i = 0; !is_gone(child) && i < 15000; i++)
		usleep(10000);
	assert_true(is_gone(child));
	unlink(path);
	rmdir(folder);
	buf_release(&command);
	/* A stop need not wait for it either. */
	turns = 0;
	assert_false(process_read(&(struct process_run){ .command = "sleep 1000",
							 .timeout_ms = 600000,
							 .output_max = 1000,
							 .go_on = go_on,
							 .arg = &end },
				  &out, &err));
	assert_int_equal(err.kind, ERROR_CANCELLED);
	assert_int_equal(turns, 2);
	buf_release(&out);
}

/* A service that it leaves running, with our pipes in its hands, is not waited for. */
static void test_what_it_leaves_running_is_not_waited_for(void **state)
{
	struct buf out = { 0 };
	struct error err;

	(void)state;
	assert_true(run("sh -c 'sleep 1000 & echo $!'", 600000, &out, &err));
	assert_int_equal(kill((pid_t)strtol(out.data, NULL, 10), SIGKILL), 0);
	buf_release(&out);
}

/* Neither files nor signals of ours are its. */
static void test_it_has_nothing_of_ours(void **state)
{
	int fd = open("/dev/null", O_RDONLY); /* not close-on-exec, as libraries forget it */
	unsigned long long blocked, ignored;
	struct buf out = { 0 };
	struct error err;
	sigset_t all;
	char more;

	(void)state;
	assert_true(fd > 2);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	assert_true(run("sh -c 'ls /proc/$$/fd; grep -h Sig[BI] /proc/self/status; cat'", 60000,
			&out, &err));
	assert_int_equal(sscanf(out.data, "0\n1\n2\nSigBlk: %llx\nSigIgn: %llx\n%c", &blocked,
				&ignored, &more),
			 2);
	assert_int_equal(blocked, 0);
	assert_int_equal(ignored & 0x7fffffff, 0); /* the last are the C library's own */
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(fd);
	buf_release(&out);
}

/* Where its end is told to nobody it may have failed. */
static void test_an_end_that_is_not_known(void **state)
{
	struct buf out = { 0 };
	struct error err;

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_false(run("sh -c 'echo keys; exit 3'", 60000, &out, &err));
	signal(SIGCHLD, SIG_DFL);
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_string_equal(err.message, "how it ended is not known: No child processes");
	buf_release(&out);
}

/* ---- credential_process ---- */

static const char *script(const char *text)
{
	const char *path;

	environment_file("SCRIPT_OF_TEST", text);
	path = getenv("SCRIPT_OF_TEST");
	assert_int_equal(chmod(path, 0700), 0);
	return path;
}

static void profile_of(const char *path)
{
	struct buf text = { 0 };

	buf_printf(&text,
		   "[default]\ncredential_process = \"%s\" --account '1 2'\n"
		   "[profile over]\nrole_arn = arn:aws:iam::7:role/over\n"
		   "source_profile = default\n",
		   path);
	environment_file("AWS_CONFIG_FILE", text.data);
	buf_release(&text);
}

static void test_keys_of_a_process(void **state)
{
	static const struct answer role[] = { { 200, STS_KEYS("ONE", "2026-11-21T11:00:00Z") } };
	struct world w;

	(void)state;
	profile_of(script(
		"#!/bin/sh\n[ \"$2\" = '1 2' ] || exit 1\ncat <<E\n{\"Version\": 1, "
		"\"AccessKeyId\": \"PROC\", \"SecretAccessKey\": \"s\", \"SessionToken\": \"t\", "
		"\"Expiration\": \"2026-11-21T11:00:00+00:00\"}\nE\n"));
	assert_true(open_with(&w, NULL, NULL, 0));
	assert_string_equal(credentials_source(w.credentials), "profile default");
	assert_string_equal(w.keys.access_key, "PROC");
	assert_string_equal(w.keys.session_token, "t");
	assert_int_equal(w.keys.expires_ms, wall_ms + 3600000);
	close_it(&w);
	assert_true(open_with(&w, "over", role, 1));
	assert_non_null(strstr(w.script.asked.data, "Credential=PROC/"));
	close_it(&w);
	/* Without an end they are good for ever, until AWS says no. */
	profile_of(script("#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"LONG\","
			  "\"SecretAccessKey\":\"s\"}'\n"));
	assert_true(open_with(&w, NULL, NULL, 0));
	assert_string_equal(w.keys.access_key, "LONG");
	assert_string_equal(w.keys.session_token, "");
	assert_int_equal(w.keys.expires_ms, 0);
	assert_int_equal(credentials_turn(w.credentials), -1);
	pass(20000);
	credentials_refused(w.credentials, 1);
	assert_true(credentials_refreshing(w.credentials));
	credentials_turn(w.credentials);
	assert_false(credentials_refreshing(w.credentials));
	close_it(&w);
}

static void test_a_process_that_gives_no_keys(void **state)
{
	static const struct {
		const char *text, *message;
	} wrong[] = {
		{ "#!/bin/sh\necho logged out >&2; exit 255\n",
		  "credentials from: profile default: the AWS profile 'default': "
		  "credential_process: it ended with 255: logged out" },
		{ "#!/bin/sh\necho s3cret\n", "it does not print JSON" },
		{ "#!/bin/sh\n", "it does not print JSON" },
		{ "#!/bin/sh\necho '{\"Version\":2,\"AccessKeyId\":\"s3cret\"}'\n",
		  "it prints Version 2 where 1 is understood" },
		{ "#!/bin/sh\necho '{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s3cret\"}'\n",
		  "it prints Version 0" },
		{ "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"s3cret\"}'\n",
		  "it prints no proper AccessKeyId" },
		{ "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":"
		  "\"s3cret\",\"Expiration\":\"soon\"}'\n",
		  "it prints no proper AccessKeyId" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct world w;

		profile_of(script(wrong[i].text));
		assert_false(open_with(&w, NULL, NULL, 0));
		assert_int_equal(w.err.kind, ERROR_REFUSED);
		if (!strstr(w.err.message, wrong[i].message))
			fail_msg("\"%s\" lacks \"%s\"", w.err.message, wrong[i].message);
		assert_null(strstr(w.err.message, "s3cret"));
		close_it(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_words),
		TEST(test_what_goes_wrong),
		TEST(test_the_time_is_limited),
		TEST(test_what_it_leaves_running_is_not_waited_for),
		TEST(test_it_has_nothing_of_ours),
		TEST(test_an_end_that_is_not_known),
		TEST(test_keys_of_a_process),
		TEST(test_a_process_that_gives_no_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
