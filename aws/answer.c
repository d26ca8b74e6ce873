#include "aws/answer.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "aws/xml.h"

#define BODY_PARSED_MAX ((size_t)64 << 10)

/* Every code that AWS is known to answer, and what it means. What is not here is judged by its
 * status. */
static const struct {
	const char *code;
	struct answer_verdict verdict;
	const char *meaning;
} codes[] = {
	{ "ExpiredIteratorException",
	  { ERROR_EXPIRED, ANSWER_NO_REMEDY },
	  "the shard iterator is older than 15 minutes" },

	{ "TrimmedDataAccessException",
	  { ERROR_TRIMMED, ANSWER_NO_REMEDY },
	  "the place in the shard is older than the stream keeps (24 hours)" },

	{ "ResourceNotFoundException",
	  { ERROR_NOT_FOUND, ANSWER_NO_REMEDY },
	  "no such table, stream or shard: not yet, or not any more" },
	{ "TableNotFoundException", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY }, "no such table" },
	{ "ExportNotFoundException",
	  { ERROR_NOT_FOUND, ANSWER_NO_REMEDY },
	  "no such export: AWS forgets them after 90 days" },
	{ "NoSuchBucket", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY }, "no such bucket" },
	{ "NoSuchKey", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY }, "no such object" },
	{ "NoSuchUpload",
	  { ERROR_NOT_FOUND, ANSWER_NO_REMEDY },
	  "the upload was completed, aborted, or cleared away by a rule of the bucket" },

	{ "BandwidthLimitExceeded", { ERROR_THROTTLED, ANSWER_AGAIN }, "too much data" },
	{ "EC2ThrottledException", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls" },
	{ "LimitExceededException",
	  { ERROR_THROTTLED, ANSWER_AGAIN },
	  "too many calls or exports at once, or more than two readers of a shard" },
	{ "PriorRequestNotComplete", { ERROR_THROTTLED, ANSWER_AGAIN }, "the same is under way" },
	{ "ProvisionedThroughputExceededException",
	  { ERROR_THROTTLED, ANSWER_AGAIN },
	  "more reads than the shard or table gives" },
	{ "RequestLimitExceeded",
	  { ERROR_THROTTLED, ANSWER_AGAIN },
	  "more calls than the account may make" },
	{ "RequestThrottled", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls" },
	{ "RequestThrottledException", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls" },
	{ "SlowDown", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls of a bucket" },
	{ "ThrottledException", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls" },
	{ "Throttling", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls" },
	{ "ThrottlingException", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls" },
	{ "TooManyRequestsException", { ERROR_THROTTLED, ANSWER_AGAIN }, "too many calls" },
	{ "TransactionInProgressException",
	  { ERROR_THROTTLED, ANSWER_AGAIN },
	  "the same is under way" },

	{ "ConditionalRequestConflict",
	  { ERROR_RETRY, ANSWER_AGAIN },
	  "another change of the object is under way" },
	{ "ContinuousBackupsUnavailableException",
	  { ERROR_RETRY, ANSWER_NO_REMEDY }, /* minutes, not attempts */
	  "a new table cannot have point-in-time recovery yet" },
	{ "IDPCommunicationError",
	  { ERROR_RETRY, ANSWER_AGAIN },
	  "STS does not reach the identity provider" },
	{ "InternalError", { ERROR_RETRY, ANSWER_AGAIN }, "a fault of AWS" },
	{ "InternalFailure", { ERROR_RETRY, ANSWER_AGAIN }, "a fault of AWS" },
	{ "InternalServerError", { ERROR_RETRY, ANSWER_AGAIN }, "a fault of AWS" },
	{ "OperationAborted",
	  { ERROR_RETRY, ANSWER_AGAIN },
	  "another change of the bucket is under way" },
	{ "RequestTimeout", { ERROR_RETRY, ANSWER_AGAIN }, "the request came too slowly" },
	{ "RequestTimeoutException", { ERROR_RETRY, ANSWER_AGAIN }, "the request came too slowly" },
	{ "ServiceUnavailable", { ERROR_RETRY, ANSWER_AGAIN }, "AWS is overloaded or away" },

	{ "ExpiredToken", { ERROR_REFUSED, ANSWER_REFRESH }, "the credentials are expired" },
	{ "ExpiredTokenException",
	  { ERROR_REFUSED, ANSWER_REFRESH },
	  "the credentials are expired" },
	{ "InvalidAccessKeyId", { ERROR_REFUSED, ANSWER_REFRESH }, "AWS does not know the key" },
	{ "InvalidClientTokenId", { ERROR_REFUSED, ANSWER_REFRESH }, "AWS does not know the key" },
	{ "TokenRefreshRequired",
	  { ERROR_REFUSED, ANSWER_REFRESH },
	  "the credentials are expired" },
	{ "UnrecognizedClientException",
	  { ERROR_REFUSED, ANSWER_REFRESH },
	  "AWS does not know the key" },

	{ "RequestExpired", { ERROR_REFUSED, ANSWER_CLOCK }, "this machine's clock is wrong" },
	{ "RequestInTheFuture", { ERROR_REFUSED, ANSWER_CLOCK }, "this machine's clock is wrong" },
	{ "RequestTimeTooSkewed",
	  { ERROR_REFUSED, ANSWER_CLOCK },
	  "this machine's clock is wrong" },

	{ "AccessDenied", { ERROR_REFUSED, ANSWER_NO_REMEDY }, "a permission is missing" },
	{ "AccessDeniedException", { ERROR_REFUSED, ANSWER_NO_REMEDY }, "a permission is missing" },
	{ "AuthFailure", { ERROR_REFUSED, ANSWER_NO_REMEDY }, "the credentials are not taken" },
	{ "InvalidSignatureException",
	  { ERROR_REFUSED, ANSWER_NO_REMEDY },
	  "the secret key is wrong; where the text says so, the clock" },
	{ "NotAuthorized", { ERROR_REFUSED, ANSWER_NO_REMEDY }, "a permission is missing" },
	{ "OptInRequired",
	  { ERROR_REFUSED, ANSWER_NO_REMEDY },
	  "the account does not have the service" },
	{ "SignatureDoesNotMatch",
	  { ERROR_REFUSED, ANSWER_NO_REMEDY },
	  "the secret key is wrong; where the text says so, the clock" },

	{ "ExportConflictException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "the token was another export's" },
	{ "IncompleteSignatureException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "a request without a whole signature" },
	{ "InvalidExportTimeException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "a time that point-in-time recovery does not have, or no window of 15 minutes to 24 "
	  "hours" },
	{ "InvalidRange", { ERROR_INVALID, ANSWER_NO_REMEDY }, "the object is shorter" },
	{ "MissingAuthenticationTokenException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "a request without a signature" },
	{ "PointInTimeRecoveryUnavailableException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "the table has no point-in-time recovery" },
	{ "PreconditionFailed",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "the object is another one by now" },
	{ "SerializationException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "a request that AWS cannot read" },
	{ "UnknownOperationException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "the endpoint is no DynamoDB, or an old emulator" },
	{ "ValidationException",
	  { ERROR_INVALID, ANSWER_NO_REMEDY },
	  "a request that AWS can never take" },
};

static void copy(char *out, size_t size, struct str text)
{
	size_t n = text.n < size ? text.n : size - 1;

	memcpy(out, text.p, n);
	out[n] = '\0';
	for (size_t i = 0; i < n; i++) /* it goes to logs and terminals */
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = ' ';
}

/* "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException:http://…" */
static void copy_code(struct answer_error *out, const char *type)
{
	const char *hash = strrchr(type, '#');
	struct str code = str_of(hash ? hash + 1 : type);
	const char *colon = memchr(code.p, ':', code.n);

	if (colon)
		code.n = (size_t)(colon - code.p);
	copy(out->code, sizeof(out->code), code);
}

static void parse_json(struct str body, struct answer_error *out)
{
	json_t *root = json_loadb(body.p, body.n, 0, NULL);
	const char *type = json_string_value(json_object_get(root, "__type"));
	const char *message = json_string_value(json_object_get(root, "message"));

	if (!message)
		message = json_string_value(json_object_get(root, "Message"));
	if (type)
		copy_code(out, type);
	if (message)
		copy(out->message, sizeof(out->message), str_of(message));
	json_decref(root);
}

static void parse_xml(struct str body, struct answer_error *out)
{
	char message[2048];

	if (!xml_next(&body, "Error", &body))
		return;
	xml_text(body, "Code", out->code, sizeof(out->code));
	xml_text(body, "Message", message, sizeof(message));
	copy(out->message, sizeof(out->message), str_of(message));
	xml_text(body, "Region", out->region, sizeof(out->region));
}

void answer_parse(struct str body, struct answer_error *out)
{
	*out = (struct answer_error){ 0 };
	while (body.n && strchr(" \t\r\n", body.p[0]) && body.p[0])
		body = (struct str){ body.p + 1, body.n - 1 };
	if (!body.n || body.n > BODY_PARSED_MAX)
		return;
	if (body.p[0] == '{')
		parse_json(body, out);
	else if (body.p[0] == '<')
		parse_xml(body, out);
}

static struct answer_verdict judge_status(int status)
{
	switch (status) {
	case 429:
		return (struct answer_verdict){ ERROR_THROTTLED, ANSWER_AGAIN };
	case 408:
	case 500:
	case 502:
	case 503:
	case 504:
		return (struct answer_verdict){ ERROR_RETRY, ANSWER_AGAIN };
	case 401:
	case 403:
		return (struct answer_verdict){ ERROR_REFUSED, ANSWER_NO_REMEDY };
	case 404:
		return (struct answer_verdict){ ERROR_NOT_FOUND, ANSWER_NO_REMEDY };
	default: /* other 5xx pass, too, but nobody promises that they do so soon */
		return (struct answer_verdict){ status >= 500 ? ERROR_RETRY : ERROR_INVALID,
						ANSWER_NO_REMEDY };
	}
}

const char *answer_result(enum error_kind kind)
{
	return kind == ERROR_NONE ? "ok" : error_kind_name(kind);
}

struct answer_verdict answer_judge(const struct answer_error *e, int status)
{
	/* One code for a wrong secret and for a wrong clock, DynamoDB's and STS's: only the text
	 * tells. */
	if ((strcmp(e->code, "InvalidSignatureException") == 0 ||
	     strcmp(e->code, "SignatureDoesNotMatch") == 0) &&
	    (strstr(e->message, "Signature expired") || strstr(e->message, "not yet current")))
		return (struct answer_verdict){ ERROR_REFUSED, ANSWER_CLOCK };
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(e->code, codes[i].code) == 0)
			return codes[i].verdict;
	return judge_status(status);
}

json_t *answer_json(struct str body, struct error *err)
{
	json_error_t why;
	json_t *root = json_loadb(body.p, body.n, 0, &why);

	if (!root)
		error_set(err, ERROR_RETRY, "an answer that is no JSON: %.100s", why.text);
	return root;
}

bool answer_text(const json_t *object, const char *key, char *out, size_t size)
{
	const json_t *value = json_object_get(object, key);
	size_t n = json_string_length(value);

	out[0] = '\0';
	if (!value || json_is_null(value))
		return true;
	if (!json_is_string(value) || n >= size)
		return false;
	memcpy(out, json_string_value(value), n + 1);
	return true;
}

bool answer_date(struct str text, int64_t *epoch_ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char copied[30], month[4];
	const char *at;
	struct tm tm = { 0 };
	int used = 0;

	if (text.n != sizeof(copied) - 1)
		return false;
	copy(copied, sizeof(copied), text);
	if (sscanf(copied, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
		   &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
	    used != (int)text.n)
		return false;
	at = strstr(months, month);
	if (!at || (at - months) % 3 != 0 || strlen(month) != 3 || tm.tm_year < 2020 ||
	    tm.tm_year > 2120 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
	    tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return false;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	*epoch_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

/* ---- the documentation ---- */

/* By kind, what every caller of an API does; what a shard's reader does besides. */
static const struct {
	enum error_kind kind;
	const char *means, *done;
} kinds[] = {
	{ ERROR_NONE, "an answer",
	  "its records are delivered; for `sluice_polls_total` it is `records` or `empty`" },
	{ ERROR_RETRY, "no answer, a broken one (its CRC-32 too), or a fault of AWS",
	  "some attempts, later and later; then the shard is asked again after pauses that grow, "
	  "from the last record read" },
	{ ERROR_THROTTLED, "AWS asks for less",
	  "the same with longer pauses; a shard's read makes no attempts, it waits for the shard's "
	  "next one; many throttled shards slow down their stream" },
	{ ERROR_EXPIRED, "the iterator is too old",
	  "a new one after the last record read, at once: no failure" },
	{ ERROR_TRIMMED, "unread records are gone",
	  "a gap: in the log, in `sluice_gaps_total`; then as the stream's `gap` says" },
	{ ERROR_NOT_FOUND, "the thing is not there, or not yet",
	  "asked again as after a fault; by itself it is never the end of a shard" },
	{ ERROR_REFUSED, "credentials, a permission or a clock",
	  "with new credentials, or the clock set by AWS's own Date, once more at once; then asked "
	  "again as after a fault, with an error in the log" },
	{ ERROR_INVALID, "no repetition helps",
	  "the shard stands still (at the start: the worker ends), with an error in the log" },
	{ ERROR_CANCELLED, "the worker stops", "nothing" },
};

void answer_reference(struct buf *out)
{
	buf_text(out, "| result | means | what is done with a shard |\n|---|---|---|\n");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		buf_printf(out, "| `%s` | %s | %s |\n", answer_result(kinds[i].kind),
			   kinds[i].means, kinds[i].done);
	buf_text(out, "\n| AWS answers | result | it means |\n|---|---|---|\n");
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		buf_printf(out, "| `%s` | `%s` | %s |\n", codes[i].code,
			   answer_result(codes[i].verdict.kind), codes[i].meaning);
	buf_text(out, "| another one | by the HTTP status | `throttled`: 429; `retry`: 408, 5xx; "
		      "`refused`: 401, 403; `not_found`: 404; else `invalid` |\n");
}
