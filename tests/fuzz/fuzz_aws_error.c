#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "aws/answer.h"
#include "aws/lifecycle.h"
#include "aws/source.h"
#include "aws/xml.h"

/* Whatever AWS's front ends, proxies and metadata endpoints answer: error bodies, dates, keys, XML.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = { (const char *)data, size }, rest = body, inner;
	struct credentials_keys keys = { 0 };
	struct answer_error e;
	struct lifecycle rules;
	struct error err;
	char text[64];
	int64_t ms;

	answer_parse(body, &e);
	if (answer_judge(&e, 400).kind == ERROR_NONE)
		abort(); /* an error that nobody would see */
	if (answer_date(body, &ms) && ms <= 0)
		abort();
	(void)!source_parse(body, "Token", &keys, &err);
	while (xml_next(&rest, "Part", &inner))
		xml_text(inner, "ETag", text, sizeof(text));
	if (!lifecycle_parse(body, &rules))
		return 0;
	for (size_t i = 0; i < rules.count; i++)
		if (rules.rules[i].days < 1 || !rules.rules[i].id || !rules.rules[i].prefix)
			abort();
	lifecycle_release(&rules);
	return 0;
}
