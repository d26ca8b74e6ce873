#include "tests/emulator/emulator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/memory.h"
#include "base/queue.h"
#include "tests/emulator/connection.h"
#include "tests/emulator/exporter.h"
#include "tests/emulator/tls.h"
#include "tests/emulator/world.h"

#define THREADS_MAX    64
#define ACCEPT_BACKLOG 4096
#define ACCEPTED_MAX   65536 /* sockets on their way to a thread */

struct server {
	pthread_t thread;
	struct connection_owner owner;
	struct queue *accepted; /* of int: sockets */
};

struct emulator {
	struct world world;
	struct signature_key key;
	SSL_CTX *tls;
	int listen_fd, port;
	struct server *servers; /* the first one accepts for all */
	unsigned server_count, next, running;
	struct exporter *exporter;
};

static void accepted_take(void *arg, int fd, uint32_t events)
{
	struct server *s = arg;
	int fds[64];
	size_t n;

	(void)fd;
	(void)events;
	while ((n = queue_drain(s->accepted, fds, 64)) > 0)
		for (size_t i = 0; i < n; i++)
			connection_start(&s->owner, fds[i]);
	if (queue_closed(s->accepted))
		loop_watch(s->owner.loop, queue_fd(s->accepted), 0, NULL, NULL);
}

/* Round robin: a few connections that carry all the load are spread evenly. */
static void listen_accept(void *arg, int fd, uint32_t events)
{
	struct emulator *e = arg;
	int client;

	(void)events;
	while ((client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (!queue_offer(e->servers[e->next].accepted, &client))
			close(client);
		e->next = (e->next + 1) % e->server_count;
	}
}

static void *server_run(void *arg)
{
	struct server *s = arg;

	loop_run(s->owner.loop);
	return NULL;
}

static bool emulator_listen(struct emulator *e, int port, struct error *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int on = 1;

	e->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (e->listen_fd < 0 ||
	    setsockopt(e->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(e->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(e->listen_fd, ACCEPT_BACKLOG) != 0 ||
	    getsockname(e->listen_fd, (struct sockaddr *)&address, &size) != 0)
		return error_set(err, ERROR_INVALID, "port %d: %s", port, strerror(errno));
	e->port = ntohs(address.sin_port);
	return true;
}

static bool config_tables(struct world *w, const json_t *config, struct error *err)
{
	const json_t *tables = json_object_get(config, "tables");
	const json_t *faults = json_object_get(config, "faults");
	struct table_spec spec;
	uint64_t id;

	for (size_t i = 0; i < json_array_size(tables); i++)
		if (!spec_parse_json(&spec, json_array_get(tables, i), err) ||
		    !world_add_table(w, &spec, err))
			return false;
	for (size_t i = 0; i < json_array_size(faults); i++)
		if (!fault_list_add(&w->faults, json_array_get(faults, i), &id, err))
			return false;
	return true;
}

static bool emulator_populate(struct emulator *e, const struct emulator_options *o,
			      struct error *err)
{
	struct table_spec spec;
	json_error_t json;
	json_t *config;
	bool good;

	for (size_t i = 0; i < EMULATOR_TABLES_MAX && o->tables[i]; i++)
		if (!spec_parse(&spec, o->tables[i], err) ||
		    !world_add_table(&e->world, &spec, err))
			return false;
	if (!o->config)
		return true;
	config = json_load_file(o->config, 0, &json);
	good = json_is_object(config)
		       ? config_tables(&e->world, config, err)
		       : error_set(err, ERROR_INVALID, "line %d: %s", json.line, json.text);
	json_decref(config);
	return good || error_wrap(err, "%s", o->config);
}

/* Ten thousand connections are more than the usual limit of descriptors. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool emulator_run(struct emulator *e, const struct emulator_options *o, struct error *err)
{
	for (unsigned i = 0; i < e->server_count; i++) {
		struct server *s = &e->servers[i];

		s->accepted = queue_new(sizeof(int), ACCEPTED_MAX);
		s->owner = (struct connection_owner){ .loop = loop_new(&e->world.clock),
						      .world = &e->world,
						      .tls = e->tls,
						      .key = o->verify_key ? &e->key : NULL };
		reply_tools_init(&s->owner.tools, o->seed + i + 1);
		loop_watch(s->owner.loop, queue_fd(s->accepted), EPOLLIN, accepted_take, s);
	}
	loop_watch(e->servers[0].owner.loop, e->listen_fd, EPOLLIN, listen_accept, e);
	for (; e->running < e->server_count; e->running++)
		if (pthread_create(&e->servers[e->running].thread, NULL, server_run,
				   &e->servers[e->running]) != 0)
			return error_set(err, ERROR_RETRY, "cannot start a thread");
	return true;
}

struct emulator *emulator_start(const struct emulator_options *o, struct error *err)
{
	struct emulator *e = memory_new(sizeof(*e));
	bool good;

	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	raise_descriptors();
	e->listen_fd = -1;
	e->server_count = o->threads < 1 ? 1 : o->threads > THREADS_MAX ? THREADS_MAX : o->threads;
	e->servers = memory_array(e->server_count, sizeof(e->servers[0]));
	world_init(&e->world, o->seed);
	good = !o->verify_key || signature_key_parse(&e->key, o->verify_key, err);
	if (good && o->cert) {
		e->tls = tls_context_new(o->cert, o->key ? o->key : o->cert, err);
		good = e->tls != NULL;
	}
	if (good && emulator_populate(e, o, err) && emulator_listen(e, o->port, err) &&
	    emulator_run(e, o, err)) {
		e->exporter = exporter_start(&e->world, o->s3, o->s3_key, o->s3_region);
		return e;
	}
	emulator_stop(e);
	return NULL;
}

int emulator_port(const struct emulator *e)
{
	return e->port;
}

void emulator_stop(struct emulator *e)
{
	int fds[64];
	size_t n;

	if (!e)
		return;
	for (unsigned i = 0; i < e->running; i++)
		loop_stop(e->servers[i].owner.loop);
	for (unsigned i = 0; i < e->running; i++)
		pthread_join(e->servers[i].thread, NULL);
	for (unsigned i = 0; i < e->server_count; i++) {
		struct server *s = &e->servers[i];

		if (!s->owner.loop)
			continue;
		connection_stop_all(&s->owner);
		while ((n = queue_drain(s->accepted, fds, 64)) > 0)
			while (n > 0)
				close(fds[--n]);
		loop_free(s->owner.loop);
		queue_free(s->accepted);
		reply_tools_release(&s->owner.tools);
	}
	exporter_stop(e->exporter);
	if (e->listen_fd >= 0)
		close(e->listen_fd);
	SSL_CTX_free(e->tls);
	world_release(&e->world);
	free(e->servers);
	free(e);
}
