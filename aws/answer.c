#include "aws/answer.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "aws/xml.h"

#define BODY_PARSED_MAX ((size_t)64 << 10)

static const struct {
	const char *code;
	struct answer_verdict verdict;
} codes[] = {
	{ "ExpiredIteratorException", { ERROR_EXPIRED, ANSWER_NO_REMEDY } },
	{ "TrimmedDataAccessException", { ERROR_TRIMMED, ANSWER_NO_REMEDY } },

	{ "ResourceNotFoundException", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY } },
	{ "TableNotFoundException", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY } },
	{ "NoSuchBucket", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY } },
	{ "NoSuchKey", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY } },
	{ "NoSuchUpload", { ERROR_NOT_FOUND, ANSWER_NO_REMEDY } },

	{ "BandwidthLimitExceeded", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "EC2ThrottledException", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "LimitExceededException", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "PriorRequestNotComplete", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "ProvisionedThroughputExceededException", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "RequestLimitExceeded", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "RequestThrottled", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "RequestThrottledException", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "SlowDown", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "ThrottledException", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "Throttling", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "ThrottlingException", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "TooManyRequestsException", { ERROR_THROTTLED, ANSWER_AGAIN } },
	{ "TransactionInProgressException", { ERROR_THROTTLED, ANSWER_AGAIN } },

	{ "ConditionalRequestConflict", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "IDPCommunicationError", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "InternalError", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "InternalFailure", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "InternalServerError", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "OperationAborted", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "RequestTimeout", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "RequestTimeoutException", { ERROR_RETRY, ANSWER_AGAIN } },
	{ "ServiceUnavailable", { ERROR_RETRY, ANSWER_AGAIN } },

	{ "ExpiredToken", { ERROR_REFUSED, ANSWER_REFRESH } },
	{ "ExpiredTokenException", { ERROR_REFUSED, ANSWER_REFRESH } },
	{ "InvalidAccessKeyId", { ERROR_REFUSED, ANSWER_REFRESH } },
	{ "InvalidClientTokenId", { ERROR_REFUSED, ANSWER_REFRESH } },
	{ "RequestExpired", { ERROR_REFUSED, ANSWER_REFRESH } },
	{ "TokenRefreshRequired", { ERROR_REFUSED, ANSWER_REFRESH } },
	{ "UnrecognizedClientException", { ERROR_REFUSED, ANSWER_REFRESH } },

	{ "RequestInTheFuture", { ERROR_REFUSED, ANSWER_CLOCK } },
	{ "RequestTimeTooSkewed", { ERROR_REFUSED, ANSWER_CLOCK } },

	{ "AccessDenied", { ERROR_REFUSED, ANSWER_NO_REMEDY } },
	{ "AccessDeniedException", { ERROR_REFUSED, ANSWER_NO_REMEDY } },
	{ "AuthFailure", { ERROR_REFUSED, ANSWER_NO_REMEDY } },
	{ "InvalidSignatureException", { ERROR_REFUSED, ANSWER_NO_REMEDY } },
	{ "NotAuthorized", { ERROR_REFUSED, ANSWER_NO_REMEDY } },
	{ "OptInRequired", { ERROR_REFUSED, ANSWER_NO_REMEDY } },
	{ "SignatureDoesNotMatch", { ERROR_REFUSED, ANSWER_NO_REMEDY } },
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

struct answer_verdict answer_judge(const struct answer_error *e, int status)
{
	/* One code for a wrong secret and for a wrong clock: only the text tells. */
	if (strcmp(e->code, "InvalidSignatureException") == 0 &&
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
