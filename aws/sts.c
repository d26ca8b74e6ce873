#include "aws/sts.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "aws/endpoint.h"
#include "aws/profile.h"
#include "aws/sign.h"
#include "aws/skew.h"
#include "aws/xml.h"
#include "base/clock.h"
#include "base/metrics.h"

#define ANSWER_MAX   ((size_t)64 << 10)
#define TIMEOUT_MS   10000
#define TRIES        3
#define CONTENT_TYPE "application/x-www-form-urlencoded"
#define SESSION      "sluice" /* in CloudTrail, where nothing else is set */

void sts_form_add(struct buf *form, const char *name, struct str value)
{
	buf_printf(form, "&%s=", name);
	sign_encode(form, value, false);
}

void sts_form(struct buf *form, const char *action, const struct aws_role *role)
{
	char seconds[24];

	buf_printf(form, "Action=%s&Version=2011-06-15", action);
	sts_form_add(form, "RoleArn", str_of(role->arn));
	sts_form_add(form, "RoleSessionName", str_of(role->session ? role->session : SESSION));
	if (role->external_id)
		sts_form_add(form, "ExternalId", str_of(role->external_id));
	if (role->duration_s) {
		snprintf(seconds, sizeof(seconds), "%ld", role->duration_s);
		sts_form_add(form, "DurationSeconds", str_of(seconds));
	}
}

static bool find(const struct source_context *x, struct endpoint *sts, struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);

	if (!p)
		return false;
	if (!x->settings->region)
		return error_set(err, ERROR_INVALID,
				 "STS needs a region: set aws.region or AWS_REGION");
	return endpoint_resolve(sts, AWS_STS, x->settings->region, x->settings->endpoints[AWS_STS],
				p, x->profile, err);
}

#define SIGNED_LINES 3
/* The lines that signed requests have besides: the date, the token, the signature. */
static void sign_lines(const struct source_context *x, const struct endpoint *sts, struct str form,
		       const struct credentials_keys *by, struct buf lines[SIGNED_LINES])
{
	AUTO(signer) struct signer *signer = signer_new();
	char date[SIGN_DATE_SIZE], hash[SIGN_HASH_SIZE], path[sizeof(sts->path) + 1];
	struct sign_field headers[] = {
		{ STR("content-type"), STR(CONTENT_TYPE) },
		{ STR("host"), str_of(sts->host) },
		{ STR("x-amz-date"), str_of(sign_date(clock_aws_ms(x->clock), date)) },
		{ STR("x-amz-security-token"), str_of(by->session_token) },
	};

	snprintf(path, sizeof(path), "%s/", sts->path);
	buf_printf(&lines[0], "X-Amz-Date: %s", date);
	buf_text(&lines[1], "Authorization: ");
	signer_sign(signer, by,
		    &(struct sign_request){ .method = STR("POST"),
					    .path = str_of(path),
					    .query = STR(""),
					    .headers = headers,
					    .header_count = *by->session_token ? 4 : 3,
					    .payload = str_of(signer_hash(signer, form, hash)),
					    .date = date,
					    .region = x->settings->region,
					    .service = endpoint_signing_name(AWS_STS) },
		    &lines[1]);
	if (*by->session_token)
		buf_printf(&lines[2], "X-Amz-Security-Token: %s", by->session_token);
}

static bool exchange(const struct source_context *x, struct str form,
		     const struct credentials_keys *by, int *status, struct buf *answer,
		     char date[HTTP_DATE_SIZE], struct error *err)
{
	const char *headers[SIGNED_LINES + 2] = { "Content-Type: " CONTENT_TYPE };
	struct buf lines[SIGNED_LINES] = { 0 };
	struct endpoint sts = { 0 };
	char url[600];
	bool ok;

	if (!find(x, &sts, err))
		return false;
	snprintf(url, sizeof(url), "%s://%s%s/", sts.tls ? "https" : "http", sts.host, sts.path);
	if (by)
		sign_lines(x, &sts, form, by, lines);
	for (size_t i = 0; i < SIGNED_LINES && lines[i].size; i++)
		headers[i + 1] = lines[i].data;
	ok = source_fetch(x,
			  &(struct http_fetch){ .method = "POST",
						.url = url,
						.headers = headers,
						.body = form,
						.timeout_ms = TIMEOUT_MS,
						.body_max = ANSWER_MAX,
						.date = date,
						.ca_bundle = x->settings->ca_bundle },
			  TRIES, status, answer, err);
	for (size_t i = 0; i < SIGNED_LINES; i++)
		buf_release(&lines[i]);
	return ok;
}

static bool parse_keys(struct str body, struct credentials_keys *out, struct error *err)
{
	char expiration[64];

	if (!xml_next(&body, "Credentials", &body) ||
	    !xml_text(body, "AccessKeyId", out->access_key, sizeof(out->access_key)) ||
	    !xml_text(body, "SecretAccessKey", out->secret_key, sizeof(out->secret_key)) ||
	    !xml_text(body, "SessionToken", out->session_token, sizeof(out->session_token)) ||
	    !xml_text(body, "Expiration", expiration, sizeof(expiration)) ||
	    !source_time(expiration, &out->expires_ms))
		return error_set(err, ERROR_RETRY, "an answer without proper keys");
	return true;
}

/* True where AWS's time is another one now: STS's, which refused ours. */
static bool clock_set(const struct source_context *x, const char *date)
{
	struct skew skew = { 0 };
	int64_t date_ms, offset_ms = atomic_load(&x->clock->aws_offset_ms);

	if (!answer_date(str_of(date), &date_ms) ||
	    !skew_note(&skew, x->clock->wall_ms(x->clock), date_ms, 0, true, &offset_ms))
		return false;
	atomic_store(&x->clock->aws_offset_ms, offset_ms);
	metric_set(metrics_cell(x->metrics, METRIC_AWS_CLOCK_OFFSET, NULL, NULL), offset_ms);
	return true;
}

/* What STS says no to is a person's to change, but for what passes. */
static bool refused(const struct answer_error *e, int status, const char *advice, struct error *err)
{
	struct answer_verdict verdict = answer_judge(e, status);

	return error_set(err, error_passes(verdict.kind) ? verdict.kind : ERROR_REFUSED,
			 "%s%s%.200s (HTTP %d); %s", *e->code ? e->code : "no keys",
			 *e->message ? ": " : "", e->message, status,
			 verdict.remedy == ANSWER_CLOCK ? "set this machine's clock" : advice);
}

/* *again: the clock is right now. */
static bool ask_once(const struct source_context *x, struct str form,
		     const struct credentials_keys *by, const char *advice,
		     struct credentials_keys *out, struct answer_error *e, bool *again,
		     struct error *err)
{
	char date[HTTP_DATE_SIZE] = "";
	struct buf answer = { 0 };
	int status = 0;
	bool ok = exchange(x, form, by, &status, &answer, date, err);

	*again = false;
	*e = (struct answer_error){ 0 };
	if (ok && status == 200) {
		*out = (struct credentials_keys){ 0 };
		ok = parse_keys(buf_str(&answer), out, err);
	} else if (ok) {
		answer_parse(buf_str(&answer), e);
		*again = answer_judge(e, status).remedy == ANSWER_CLOCK && clock_set(x, date);
		ok = refused(e, status, advice, err);
	}
	if (answer.data)
		OPENSSL_cleanse(answer.data, answer.size);
	buf_release(&answer);
	return ok;
}

bool sts_ask(const struct source_context *x, struct str form, const struct credentials_keys *by,
	     const char *what, const char *advice, struct credentials_keys *out,
	     char code[ANSWER_CODE_MAX], struct error *err)
{
	struct answer_error e;
	bool again, ok = ask_once(x, form, by, advice, out, &e, &again, err);

	if (again)
		ok = ask_once(x, form, by, advice, out, &e, &again, err);
	snprintf(code, ANSWER_CODE_MAX, "%s", e.code);
	return ok || error_wrap(err, "%s", what);
}

/* arn:aws:iam::ACCOUNT:role/NAME */
static void account_of(const char *arn, char *out, size_t size)
{
	const char *at = arn;

	for (int i = 0; i < 4 && at; i++)
		at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL;
	if (at && strcspn(at, ":") < size)
		snprintf(out, size, "%.*s", (int)strcspn(at, ":"), at);
}

bool sts_assume_role(const struct source_context *x, const struct aws_role *role,
		     struct credentials_keys *keys, struct error *err)
{
	struct credentials_keys by = *keys;
	struct buf form = { 0 };
	char what[160], code[ANSWER_CODE_MAX];
	bool ok;

	snprintf(what, sizeof(what), "AssumeRole for %.140s", role->arn);
	sts_form(&form, "AssumeRole", role);
	ok = sts_ask(x, buf_str(&form), &by, what,
		     "the role's trust policy and a policy of the caller have to allow "
		     "sts:AssumeRole, with the external id where one is asked for",
		     keys, code, err);
	if (ok)
		account_of(role->arn, keys->account, sizeof(keys->account));
	OPENSSL_cleanse(&by, sizeof(by));
	buf_release(&form);
	return ok;
}
