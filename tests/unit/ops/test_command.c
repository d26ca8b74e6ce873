/* The command line from outside: what it says, and its exit codes. */
#include "output.h"

#include <stdlib.h>

#include "ops/command.h"

static struct output said;
static char folder[] = "/tmp/sluice-command-XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static int run(int argc, char **argv)
{
	int code;

	output_begin(&said);
	code = command_main(argc, argv);
	output_end(&said);
	return code;
}
#define sluice(...)                                                                                \
	run(sizeof((char *[]){ "sluice", __VA_ARGS__ }) / sizeof(char *),                          \
	    (char *[]){ "sluice", __VA_ARGS__, NULL })

/* With a word in it, so that its line of a file is known. */
static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void expect_file(const char *name, const char *wanted)
{
	char text[512];
	FILE *f = fopen(name, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_string_equal(text, wanted);
}

static void without_a_command_it_lists_them_and_fails(void **state)
{
	char *argv[] = { "sluice", NULL };

	(void)state;
	assert_int_equal(run(1, argv), EXIT_USAGE);
	assert_string_equal(said.out, "");
	for (size_t i = 0; i < command_count; i++)
		assert_says(said.err, commands[i]->name);
}

static void help_is_on_stdout_at_every_level(void **state)
{
	(void)state;
	assert_int_equal(sluice("--help"), EXIT_DONE);
	assert_string_equal(said.err, "");
	for (size_t i = 0; i < command_count; i++) {
		char usage[64];

		assert_int_equal(sluice("help"), EXIT_DONE);
		assert_says(said.out, commands[i]->name);
		snprintf(usage, sizeof(usage), "sluice %s", commands[i]->name);
		assert_int_equal(sluice((char *)(uintptr_t)commands[i]->name, "--help"), EXIT_DONE);
		assert_says(said.out, usage);
		assert_string_equal(said.err, "");
		assert_int_equal(sluice((char *)(uintptr_t)commands[i]->name, "-h"), EXIT_DONE);
	}
}

static void unknown_commands_and_flags_are_wrong_usage(void **state)
{
	(void)state;
	assert_int_equal(sluice("rum"), EXIT_USAGE);
	assert_says(said.err, "rum");
	for (size_t i = 0; i < command_count; i++) {
		assert_int_equal(sluice((char *)(uintptr_t)commands[i]->name, "--nonsense"),
				 EXIT_USAGE);
		assert_says(said.err, "--nonsense");
		assert_says(said.err, "usage: sluice");
		assert_string_equal(said.out, "");
	}
}

/* What bash would offer for this line. */
static void words_that_nobody_takes_are_wrong_usage(void **state)
{
	static const char *const names[] = { "version", "health", "advise", "status", "pause" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *name = (char *)(uintptr_t)names[i];
		bool bare = i < 3, stream = i == 4;

		assert_int_equal(bare     ? sluice(name, "extra")
				 : stream ? sluice(name, "-c", "f", "--stream", "s", "extra")
					  : sluice(name, "-c", "f", "extra"),
				 2);
		assert_says(said.err, "not understood: extra");
		assert_string_equal(said.out, "");
	}
}

static void expect_completions(const char *line, const char *wanted)
{
	char script[512];

	assert_int_equal(sluice("completion", "bash"), EXIT_DONE);
	write_file("completion.bash", said.out);
	snprintf(script, sizeof(script),
		 "bash -c '. ./completion.bash; COMP_WORDS=(%s); "
		 "COMP_CWORD=$((${#COMP_WORDS[@]}-1)); "
		 "_sluice; echo \"${COMPREPLY[*]}\"' > offered",
		 line);
	assert_int_equal(system(script), 0);
	expect_file("offered", wanted);
}

static void shells_complete_what_there_is(void **state)
{
	(void)state;
	expect_completions("sluice repl", "replay\n");
	expect_completions("sluice replay --s", "--stream --sink\n");
	expect_completions("sluice checkpoint sa", "savepoint\n");
	expect_completions("sluice health --", "--ready --url --help\n");
	expect_completions("sluice che", "check checkpoint\n");
	unlink("completion.bash");
	unlink("offered");
	for (size_t i = 0; i < command_count; i++) {
		char wanted[64];

		assert_int_equal(sluice("completion", "bash"), EXIT_DONE);
		snprintf(wanted, sizeof(wanted), "    %s) words=", commands[i]->name);
		assert_says(said.out, wanted);
	}
	assert_int_equal(sluice("completion", "zsh"), EXIT_DONE);
	assert_says(said.out, "bashcompinit");
	assert_int_equal(sluice("completion", "fish"), EXIT_USAGE);
}

static void the_version_has_two_spellings(void **state)
{
	(void)state;
	assert_int_equal(sluice("version"), EXIT_DONE);
	assert_string_equal(said.out, "sluice " SLUICE_VERSION "\n");
	assert_int_equal(sluice("--version"), EXIT_DONE);
	assert_string_equal(said.out, "sluice " SLUICE_VERSION "\n");
}

static void commands_that_need_a_configuration_say_so(void **state)
{
	static const char *const need[] = { "run", "check", "status" };

	(void)state;
	for (size_t i = 0; i < sizeof(need) / sizeof(*need); i++) {
		char *name = (char *)(uintptr_t)need[i];

		assert_int_equal(sluice(name), EXIT_USAGE);
		assert_says(said.err, "-c FILE");
		assert_int_equal(sluice(name, "-c", "not-there.yaml"), EXIT_USAGE);
		assert_says(said.err, "not-there.yaml");
	}
	assert_int_equal(sluice("config", "print"), EXIT_USAGE);
	assert_says(said.err, "-c FILE");
}

static void a_wrong_configuration_is_told_with_its_line(void **state)
{
	static const char *const need[] = { "run", "check", "status" };

	(void)state;
	write_file("wrong.yaml", "worker:\n  thraeds: 2\n");
	for (size_t i = 0; i < sizeof(need) / sizeof(*need); i++) {
		assert_int_equal(sluice((char *)(uintptr_t)need[i], "-c", "wrong.yaml"),
				 EXIT_USAGE);
		assert_says(said.err, "wrong.yaml:2");
		assert_says(said.err, "thraeds");
	}
	assert_int_equal(sluice("config", "print", "-c", "wrong.yaml"), EXIT_USAGE);
	assert_says(said.err, "wrong.yaml:2");
	unlink("wrong.yaml");
}

static void run_refuses_words_and_durations_it_does_not_know(void **state)
{
	(void)state;
	write_file("good.yaml", "streams: [{table: orders, sinks: [screen]}]\n"
				"sinks: {screen: {type: stdout}}\n");
	assert_int_equal(sluice("run", "-c", "good.yaml", "now"), EXIT_USAGE);
	assert_says(said.err, "now");
	assert_int_equal(sluice("run", "-c", "good.yaml", "--until-idle", "soon"), EXIT_USAGE);
	assert_says(said.err, "until-idle");
	assert_int_equal(sluice("check", "-c", "good.yaml", "now"), EXIT_USAGE);
	unlink("good.yaml");
}

static void config_prints_in_three_ways(void **state)
{
	(void)state;
	write_file("good.yaml", "streams: [{table: orders, sinks: [screen]}]\n"
				"sinks: {screen: {type: stdout}}\n");
	assert_int_equal(sluice("config", "print", "-c", "good.yaml"), EXIT_DONE);
	assert_says(said.out, "orders");
	assert_int_equal(sluice("config", "reference"), EXIT_DONE);
	assert_says(said.out, "checkpoint");
	assert_int_equal(sluice("config", "schema"), EXIT_DONE);
	assert_says(said.out, "{");
	assert_int_equal(sluice("config"), EXIT_USAGE);
	assert_int_equal(sluice("config", "prnt"), EXIT_USAGE);
	assert_int_equal(sluice("config", "schema", "print"), EXIT_USAGE);
	unlink("good.yaml");
}

/* What it is given becomes a configuration: mistakes in it are mistakes of usage. */
static void tail_checks_what_it_is_given(void **state)
{
	(void)state;
	assert_int_equal(sluice("tail"), EXIT_USAGE);
	assert_says(said.err, "which table");
	assert_int_equal(sluice("tail", "orders", "customers"), EXIT_USAGE);
	assert_int_equal(sluice("tail", "orders", "--format", "xml"), EXIT_USAGE);
	assert_says(said.err, "format");
	assert_int_equal(sluice("tail", "orders", "--from", "yesterday"), EXIT_USAGE);
	assert_says(said.err, "--from: expected latest, oldest, a time such as "
			      "2026-11-21T10:00:00Z or a duration back such as -2h, not "
			      "'yesterday'\n");
	/* A stream may, whose configuration says where exports go. */
	assert_int_equal(sluice("tail", "orders", "--from", "baseline"), EXIT_USAGE);
	assert_says(said.err, "--from: expected latest, oldest, a time");
	assert_int_equal(sluice("tail", "orders", "--until-idle", "0s"), EXIT_USAGE);
	/* Nobody writes a configuration into the table's name. */
	assert_int_equal(sluice("tail", "a\",\"gap\":\"stop", "--from", "latest"), EXIT_USAGE);
	assert_int_equal(sluice("tail", "a b"), EXIT_USAGE);
	assert_int_equal(sluice("tail", "${HOME}"), EXIT_USAGE);
}

/* It names what it takes itself, which is not what a stream's start takes. */
static void replay_names_what_it_takes(void **state)
{
	(void)state;
	write_file("good.yaml", "streams: [{table: orders, sinks: [screen]}]\n"
				"sinks: {screen: {type: stdout}}\n");
	assert_int_equal(
		sluice("replay", "-c", "good.yaml", "--stream", "orders", "--from", "yesterday"),
		EXIT_USAGE);
	assert_says(said.err, "--from: expected oldest, a time such as 2026-11-21T10:00:00Z, a "
			      "duration back such as -2h, SEQUENCE@SHARD or savepoint:NAME, not "
			      "'yesterday'\n");
	assert_int_equal(sluice("replay", "-c", "good.yaml", "--stream", "orders", "--from",
				"oldest", "--into", "screen", "--to", "latest"),
			 EXIT_USAGE);
	assert_says(said.err, "--to: expected a time such as 2026-11-21T10:00:00Z or a duration "
			      "back such as -2h, not 'latest'\n");
	unlink("good.yaml");
}

static void health_fails_where_nobody_answers(void **state)
{
	(void)state;
	assert_int_equal(sluice("health", "--url", "http://127.0.0.1:1"), EXIT_FAILED);
	assert_says(said.err, "127.0.0.1:1");
	assert_int_equal(sluice("health", "--ready", "--url", "http://127.0.0.1:1"), EXIT_FAILED);
}

static void status_of_a_store_that_is_not_there_fails_and_makes_none(void **state)
{
	(void)state;
	write_file("good.yaml", "checkpoint: {store: 'sqlite:none.db'}\n"
				"streams: [{table: orders, sinks: [screen]}]\n"
				"sinks: {screen: {type: stdout}}\n");
	assert_int_equal(sluice("status", "-c", "good.yaml"), EXIT_FAILED);
	assert_says(said.err, "none.db");
	assert_int_not_equal(access("none.db", F_OK), 0);
	unlink("good.yaml");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_command_it_lists_them_and_fails),
		cmocka_unit_test(help_is_on_stdout_at_every_level),
		cmocka_unit_test(unknown_commands_and_flags_are_wrong_usage),
		cmocka_unit_test(words_that_nobody_takes_are_wrong_usage),
		cmocka_unit_test(shells_complete_what_there_is),
		cmocka_unit_test(the_version_has_two_spellings),
		cmocka_unit_test(commands_that_need_a_configuration_say_so),
		cmocka_unit_test(a_wrong_configuration_is_told_with_its_line),
		cmocka_unit_test(run_refuses_words_and_durations_it_does_not_know),
		cmocka_unit_test(config_prints_in_three_ways),
		cmocka_unit_test(tail_checks_what_it_is_given),
		cmocka_unit_test(replay_names_what_it_takes),
		cmocka_unit_test(health_fails_where_nobody_answers),
		cmocka_unit_test(status_of_a_store_that_is_not_there_fails_and_makes_none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
