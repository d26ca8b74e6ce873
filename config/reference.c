#include <string.h>

#include "config/config.h"
#include "config/sections.h"

static void cell_print(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_printf(out, "%s%c", *text == '|' ? "\\" : "", *text);
}

static void row_print(struct buf *out, const struct option *o)
{
	struct buf expected;

	buf_init(&expected, 0);
	option_expected(o, &expected);
	buf_printf(out, "| `%s` | ", o->name);
	cell_print(out, expected.data);
	buf_text(out, " | ");
	if (o->flags & OPTION_REQUIRED) {
		buf_text(out, "required");
	} else if (o->def) {
		buf_text(out, "`");
		cell_print(out, o->def);
		buf_text(out, "`");
	}
	buf_text(out, " | ");
	cell_print(out, o->help);
	if (o->flags & OPTION_TEMPLATE)
		buf_text(out, " `${…}` are placeholders of the event; the environment is "
			      "`${env:NAME}`.");
	if (o->type == OPTION_MAP)
		buf_text(out, " Values whose key looks secret are printed as `***`.");
	else if (o->flags & OPTION_SECRET)
		buf_text(out, " A secret: printed as `***`.");
	if (o->flags & OPTION_RELOAD)
		buf_text(out, " Read again on SIGHUP.");
	buf_text(out, " |\n");
	buf_release(&expected);
}

static void table_print(struct buf *out, const struct option *table)
{
	buf_text(out, "| setting | expected | default | meaning |\n|---|---|---|---|\n");
	for (const struct option *o = table; o->name; o++)
		row_print(out, o);
	buf_text(out, "\n");
}

static void section_print(struct buf *out, const struct section *s)
{
	buf_printf(out, "## %s\n%s\n\n", s->name, s->help);
	table_print(out, s->options);
}

static void streams_print(struct buf *out)
{
	section_print(out, &config_stream_section);
	buf_printf(out, "### streams[].sinks\n%s\n\n", config_stream_sink_section.help);
	table_print(out, config_stream_sink_section.options);
}

static void exports_print(struct buf *out)
{
	section_print(out, &config_export_section);
	buf_text(out,
		 "### exports[].sinks\nWhere rows go, as in `streams`; required unless `load` is "
		 "false.\n\n");
}

static void sinks_print(struct buf *out, const struct config_sink_type *types)
{
	buf_text(out, "## sinks\nA map of sinks by name; the name is the sink's identity. `type` "
		      "is required and decides which settings there are.\n\n");
	for (; types->type; types++) {
		buf_printf(out, "### type: %s\n\n", types->type);
		if (types->options->name)
			table_print(out, types->options);
		else
			buf_text(out, "No settings.\n\n");
	}
}

void config_reference(const struct config_types *types, struct buf *out)
{
	for (const struct section *s = config_sections; s->name; s++) {
		if (!strcmp(s->name, "dead_letter")) {
			streams_print(out);
			exports_print(out);
			sinks_print(out, types->sinks);
		}
		section_print(out, s);
	}
}
