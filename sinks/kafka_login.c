#include <openssl/crypto.h>
#include <stdlib.h>

#include "aws/client.h"
#include "aws/credentials.h"
#include "aws/msk.h"
#include "sinks/kafka.h"

/* Who we are to the brokers, where librdkafka does not know it from its own settings: with AWS's
 * credentials, by tokens that are made anew before they end. */

/* Keys that are expired are told so by the broker; librdkafka only wants a time that is to come. */
#define TOKEN_MS_MIN 10000

static int64_t token_ms(const struct credentials_keys *keys, const struct clock *clock)
{
	int64_t ms = (int64_t)MSK_TOKEN_S * 1000, left_ms = keys->expires_ms - clock_aws_ms(clock);

	if (keys->expires_ms && left_ms < ms)
		ms = left_ms;
	return ms < TOKEN_MS_MIN ? TOKEN_MS_MIN : ms;
}

bool kafka_login(rd_kafka_t *rk, const struct kafka_settings *s, const struct sink_host *host,
		 struct error *err)
{
	struct credentials_keys keys;
	struct buf token = { 0 };
	rd_kafka_resp_err_t code;
	char why[256];

	if (!s->sasl_mechanism)
		return true;
	if (!credentials_get(host->credentials, &keys))
		return error_set(err, ERROR_RETRY, "there are no credentials of AWS yet");
	msk_token(&keys, s->sasl_region ? s->sasl_region : host->aws->region,
		  clock_aws_ms(host->clock), &token);
	/* Its end is measured by the machine's own clock. */
	code = rd_kafka_oauthbearer_set_token(
		rk, token.data, host->clock->wall_ms(host->clock) + token_ms(&keys, host->clock),
		"sluice", NULL, 0, why, sizeof(why));
	OPENSSL_cleanse(&keys, sizeof(keys));
	OPENSSL_cleanse(token.data, token.size);
	buf_release(&token);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ||
	       error_set(err, ERROR_INVALID, "sasl.mechanism: %s", why);
}

rd_kafka_t *kafka_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
			     const struct kafka_settings *s, const struct sink_host *host,
			     struct error *err)
{
	char why[256];
	rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof(why));

	if (!rk) {
		rd_kafka_conf_destroy(conf);
		error_set(err, ERROR_INVALID, "librdkafka does not take the settings: %s", why);
		return NULL;
	}
	rd_kafka_set_log_queue(rk, NULL);
	if (kafka_login(rk, s, host, err))
		return rk;
	rd_kafka_destroy(rk);
	return NULL;
}
