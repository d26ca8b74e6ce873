#include <stdio.h>
#include <string.h>

#include "ops/arguments.h"
#include "ops/command.h"

/* What a shell needs to complete a command line, out of the table of commands. */

static void print_command(const struct command *c)
{
	printf("    %s) words=\"%s", c->name, c->words ? c->words : "");
	for (const struct flag *f = c->flags; f && f->name; f++)
		printf("%s--%s", f == c->flags && !c->words ? "" : " ", f->name);
	puts(" --help\" ;;");
}

static int run(const struct arguments *a)
{
	bool zsh = a->word_count == 1 && strcmp(a->words[0], "zsh") == 0;

	if (!zsh && (a->word_count != 1 || strcmp(a->words[0], "bash") != 0))
		return command_usage_error(&command_completion, "for which shell?");
	if (zsh)
		puts("autoload -U +X bashcompinit && bashcompinit");
	puts("_sluice() {\n"
	     "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" "
	     "words\n"
	     "  case \"$before\" in\n"
	     "    -c|--config|--prices) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
	     "  esac\n"
	     "  if [ \"$COMP_CWORD\" -eq 1 ]; then");
	printf("    words=\"");
	for (size_t i = 0; i < command_count; i++)
		printf("%s ", commands[i]->name);
	puts("--help --version\"\n"
	     "  else case \"${COMP_WORDS[1]}\" in");
	for (size_t i = 0; i < command_count; i++)
		print_command(commands[i]);
	puts("  esac; fi\n"
	     "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
	     "}\n"
	     "complete -F _sluice sluice");
	return EXIT_DONE;
}

const struct command command_completion = {
	.name = "completion",
	.usage = "bash|zsh",
	.help = "Print what the shell needs to complete command lines.",
	.more = "  source <(sluice completion bash)",
	.words = "bash zsh",
	.run = run,
};
