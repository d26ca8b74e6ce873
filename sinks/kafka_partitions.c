#include <stdlib.h>

#include "base/memory.h"
#include "sinks/kafka.h"

struct watched_stream {
	char *name;
	int32_t told; /* 0: nothing yet */
};

struct kafka_watched {
	struct kafka_channel *channel;
	char *topic;
	_Atomic int32_t partitions;     /* 0: not known yet */
	struct watched_stream *streams; /* sorted by name */
	size_t stream_count;
};

struct kafka_watched *kafka_watched_new(struct kafka_channel *c, const char *topic)
{
	struct kafka_watched *t = memory_new(sizeof(*t));

	t->channel = c;
	t->topic = memory_text(topic);
	return t;
}

void kafka_watched_free(struct kafka_watched *t)
{
	for (size_t i = 0; i < t->stream_count; i++)
		free(t->streams[i].name);
	free(t->streams);
	free(t->topic);
	free(t);
}

/* As `partitioner` says (kafka_settings.c), on any of librdkafka's threads. */
static int32_t place_key(const rd_kafka_topic_t *handle, const void *key, size_t key_n,
			 int32_t partitions, void *topic, void *message)
{
	struct kafka_watched *t = topic;

	if (atomic_load_explicit(&t->partitions, memory_order_relaxed) != partitions) {
		atomic_store_explicit(&t->partitions, partitions, memory_order_relaxed);
		atomic_store_explicit(&t->channel->recount, true, memory_order_release);
	}
	return rd_kafka_msg_partitioner_murmur2_random(handle, key, key_n, partitions, topic,
						       message);
}

rd_kafka_topic_t *kafka_watched_handle(struct kafka_watched *t)
{
	rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(t->channel->rk);

	rd_kafka_topic_conf_set_opaque(conf, t);
	rd_kafka_topic_conf_set_partitioner_cb(conf, place_key);
	return rd_kafka_topic_new(t->channel->rk, t->topic, conf);
}

/* The place of the stream, or where it belongs. */
static size_t stream_place(const struct kafka_watched *t, const char *name, bool *there)
{
	size_t low = 0, high = t->stream_count;

	*there = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(t->streams[middle].name, name);

		if (order == 0) {
			*there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void kafka_watched_stream(struct kafka_watched *t, const char *stream)
{
	bool there;
	size_t place = stream_place(t, stream, &there);

	if (there)
		return;
	t->streams = memory_room(t->streams, t->stream_count, sizeof(*t->streams));
	memmove(&t->streams[place + 1], &t->streams[place],
		(t->stream_count - place) * sizeof(*t->streams));
	t->streams[place] = (struct watched_stream){ .name = memory_text(stream) };
	t->stream_count++;
	atomic_store_explicit(&t->channel->recount, true, memory_order_release);
}

void kafka_watched_tell(struct kafka_watched *t)
{
	const struct sink_host *host = t->channel->sink->host;
	int32_t partitions = atomic_load_explicit(&t->partitions, memory_order_relaxed);

	for (size_t i = 0; partitions > 0 && i < t->stream_count; i++) {
		struct sink_answer a = { .kind = SINK_PARTITIONS,
					 .sink = host->index,
					 .topic = t->topic,
					 .stream = t->streams[i].name,
					 .partitions = (uint32_t)partitions };

		if (t->streams[i].told == partitions)
			continue;
		t->streams[i].told = partitions;
		host->answer(host->arg, &a);
	}
}
