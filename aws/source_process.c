#include <openssl/crypto.h>
#include <string.h>

#include "aws/answer.h"
#include "aws/process.h"
#include "aws/source.h"

/* A program that a profile names and that prints keys (credential_process). */

#define OUTPUT_MAX ((size_t)64 << 10)
#define TIMEOUT_MS 60000
#define VERSION    1

static bool go_on(void *arg)
{
	const struct source_context *x = arg;

	return x->world.pause(x->world.arg, 0);
}

/* {"Version":1,"AccessKeyId","SecretAccessKey","SessionToken","Expiration","AccountId"}. What it
 * printed is in no message: it may be a secret that is only in the wrong form. */
static bool parse(struct str body, struct credentials_keys *out, struct error *err)
{
	json_t *root = json_loadb(body.p, body.n, 0, NULL);
	json_int_t version = json_integer_value(json_object_get(root, "Version"));

	json_decref(root);
	if (!root)
		return error_set(err, ERROR_REFUSED, "it does not print JSON");
	if (version != VERSION)
		return error_set(err, ERROR_REFUSED,
				 "it prints Version %" JSON_INTEGER_FORMAT
				 " where %d is understood",
				 version, VERSION);
	return source_parse(body, "SessionToken", out, err) ||
	       error_set(err, ERROR_REFUSED,
			 "it prints no proper AccessKeyId, SecretAccessKey, SessionToken or "
			 "Expiration");
}

bool source_profile_process(const struct source_context *x, const char *command,
			    struct credentials_keys *out, struct error *err)
{
	struct source_context asked = *x;
	struct buf printed = { 0 };
	bool ok = process_read(&(struct process_run){ .command = command,
						      .timeout_ms = TIMEOUT_MS,
						      .output_max = OUTPUT_MAX,
						      .go_on = go_on,
						      .arg = &asked },
			       &printed, err) &&
		  parse(buf_str(&printed), out, err);

	if (printed.data)
		OPENSSL_cleanse(printed.data, printed.size);
	buf_release(&printed);
	return ok || error_wrap(err, "credential_process");
}
