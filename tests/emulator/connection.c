#include "tests/emulator/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/memory.h"
#include "tests/emulator/api.h"
#include "tests/emulator/control.h"
#include "tests/emulator/http.h"

#define READ_CHUNK   (16 << 10)
#define BODY_MAX     (1 << 20)
#define CONTROL_MAX  (64 << 20)
#define CONTROL_PATH "/_control/"

enum state { CONNECTION_READING, CONNECTION_WAITING, CONNECTION_WRITING, CONNECTION_HANGING };

struct connection {
	struct connection_owner *owner;
	struct connection *next, **link;
	int fd;
	SSL *ssl;
	enum state state;
	uint32_t watching;
	struct buf in;
	struct http_request request;
	struct reply reply;
	size_t written, write_until; /* of the reply; write_until: cut or dripped there */
	struct loop_timer *timer;
	bool continued, counted_handshake;
};

static void connection_event(void *arg, int fd, uint32_t events);

static void connection_free(struct connection *c)
{
	struct world *w = c->owner->world;

	api_sent(w, &c->reply);
	reply_end(&c->reply);
	buf_release(&c->reply.out);
	loop_watch(c->owner->loop, c->fd, 0, NULL, NULL);
	loop_timer_free(c->timer);
	if (c->ssl)
		SSL_free(c->ssl);
	close(c->fd);
	buf_release(&c->in);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	w->connections_open--;
	free(c);
}

static void connection_watch(struct connection *c, uint32_t events)
{
	if (c->watching == events)
		return;
	c->watching = events;
	loop_watch(c->owner->loop, c->fd, events, connection_event, c);
}

/* > 0: bytes; 0: nothing now; < 0: the peer is gone. */
static ssize_t connection_read(struct connection *c, char *bytes, size_t size)
{
	ssize_t n;

	if (!c->ssl) {
		n = read(c->fd, bytes, size);
		if (n > 0)
			return n;
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
	}
	ERR_clear_error();
	n = SSL_read(c->ssl, bytes, (int)size);
	if (!c->counted_handshake && SSL_is_init_finished(c->ssl)) {
		c->counted_handshake = true;
		c->owner->world->handshakes++;
	}
	if (n > 0)
		return n;
	switch (SSL_get_error(c->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		return -1;
	}
}

static ssize_t connection_write(struct connection *c, const char *bytes, size_t size)
{
	ssize_t n;

	if (!c->ssl) {
		n = send(c->fd, bytes, size, MSG_NOSIGNAL);
		if (n >= 0)
			return n;
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	}
	ERR_clear_error();
	n = SSL_write(c->ssl, bytes, (int)(size < INT32_MAX ? size : INT32_MAX));
	if (n > 0)
		return n;
	switch (SSL_get_error(c->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		return -1;
	}
}

/* The answer is out. False: the connection is no more. */
static bool connection_sent(struct connection *c)
{
	bool close = c->reply.close;
	size_t used = c->request.head_size + c->request.body_size;

	api_sent(c->owner->world, &c->reply);
	reply_end(&c->reply);
	if (close) {
		if (c->ssl)
			SSL_shutdown(c->ssl);
		connection_free(c);
		return false;
	}
	memmove(c->in.data, c->in.data + used, c->in.size - used);
	c->in.size -= used;
	c->state = CONNECTION_READING;
	c->continued = false;
	return true;
}

/* Writes what the socket takes. False: the connection is no more. */
static bool connection_flush(struct connection *c)
{
	while (c->written < c->write_until) {
		ssize_t n = connection_write(c, c->reply.bytes + c->written,
					     c->write_until - c->written);

		if (n < 0) {
			connection_free(c);
			return false;
		}
		if (n == 0) {
			connection_watch(c, EPOLLOUT);
			return true;
		}
		c->written += (size_t)n;
	}
	if (c->reply.fault.kind == FAULT_CUT_BODY) {
		connection_free(c);
		return false;
	}
	if (c->written < c->reply.size) { /* dripping */
		connection_watch(c, EPOLLRDHUP);
		loop_timer_arm(c->timer, c->reply.fault.ms);
		return true;
	}
	return connection_sent(c);
}

static size_t connection_cut_at(const struct connection *c)
{
	size_t head = c->reply.size - c->reply.body_size;
	size_t bytes = c->reply.fault.bytes ? (size_t)c->reply.fault.bytes : c->reply.body_size / 2;

	return head + (bytes < c->reply.body_size ? bytes : c->reply.body_size);
}

static void connection_begin_write(struct connection *c)
{
	c->state = CONNECTION_WRITING;
	c->written = 0;
	c->write_until = c->reply.size;
	if (c->reply.fault.kind == FAULT_CUT_BODY)
		c->write_until = connection_cut_at(c);
	else if (c->reply.fault.kind == FAULT_DRIP)
		c->write_until = 0;
}

/* A delay is over, or a drip is due. */
static void connection_timer(void *arg)
{
	struct connection *c = arg;

	if (c->state == CONNECTION_WAITING) {
		connection_begin_write(c);
	} else {
		size_t left = c->reply.size - c->write_until, bytes = (size_t)c->reply.fault.bytes;

		c->write_until += left < bytes ? left : bytes;
	}
	connection_event(c, c->fd, 0);
}

/* The whole request is there: answers it. False: the connection is no more. */
static bool connection_answer(struct connection *c)
{
	struct connection_owner *o = c->owner;
	struct reply *r = &c->reply;

	o->world->requests++;
	reply_begin(r, &o->tools);
	if (c->request.target.n >= sizeof(CONTROL_PATH) - 1 &&
	    memcmp(c->request.target.p, CONTROL_PATH, sizeof(CONTROL_PATH) - 1) == 0)
		control_answer(o->world, &c->request, r);
	else
		api_answer(o->world, o->key, &c->request, r);
	if (r->fault.kind == FAULT_CUT) {
		connection_free(c);
		return false;
	}
	if (r->fault.kind == FAULT_HANG) {
		c->state = CONNECTION_HANGING;
		connection_watch(c, EPOLLRDHUP);
		return true;
	}
	reply_finish(r, &c->request, world_date_ms(o->world));
	if (r->fault.kind == FAULT_DELAY) {
		c->state = CONNECTION_WAITING;
		connection_watch(c, EPOLLRDHUP);
		loop_timer_arm(c->timer, r->fault.ms);
		return true;
	}
	connection_begin_write(c);
	return connection_flush(c);
}

/* Not HTTP, or too large: an answer that needs no request, then the end. */
static bool connection_refuse(struct connection *c)
{
	reply_begin(&c->reply, &c->owner->tools);
	c->request = (struct http_request){ .close = true };
	reply_error(&c->reply, 400, "SerializationException", "The request cannot be read");
	reply_finish(&c->reply, &c->request, world_date_ms(c->owner->world));
	connection_begin_write(c);
	return connection_flush(c);
}

/* Answers requests that are complete. False: the connection is no more. */
static bool connection_serve(struct connection *c)
{
	while (c->state == CONNECTION_READING) {
		enum http_parse parsed = http_parse(&c->request, buf_str(&c->in));
		size_t max, whole;

		if (parsed == HTTP_MORE)
			return true;
		max = c->request.target.n > 1 ? CONTROL_MAX : BODY_MAX;
		if (parsed == HTTP_BAD || c->request.body_size > max)
			return connection_refuse(c);
		whole = c->request.head_size + c->request.body_size;
		if (c->in.size < whole) {
			if (c->request.expect_continue && !c->continued) {
				c->continued = true;
				(void)connection_write(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
			}
			return true;
		}
		c->request.body =
			(struct str){ c->in.data + c->request.head_size, c->request.body_size };
		if (!connection_answer(c))
			return false;
	}
	return true;
}

static void connection_event(void *arg, int fd, uint32_t events)
{
	struct connection *c = arg;
	char chunk[READ_CHUNK];
	ssize_t n;

	(void)fd;
	if (c->state == CONNECTION_WRITING && !(events & EPOLLRDHUP)) {
		if (!connection_flush(c))
			return;
	} else if (c->state != CONNECTION_READING) {
		connection_free(c); /* whoever waited for this answer has gone */
		return;
	}
	/* A request may be complete already, behind the one that was answered. */
	for (;;) {
		if (!connection_serve(c))
			return;
		if (c->state != CONNECTION_READING)
			return;
		n = connection_read(c, chunk, sizeof(chunk));
		if (n < 0 || (n > 0 && !buf_add(&c->in, chunk, (size_t)n))) {
			connection_free(c);
			return;
		}
		if (n == 0)
			break;
	}
	connection_watch(c, EPOLLIN);
}

void connection_start(struct connection_owner *owner, int fd)
{
	struct connection *c = memory_new(sizeof(*c));
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->owner = owner;
	c->fd = fd;
	c->timer = loop_timer_new(owner->loop, connection_timer, c);
	buf_init(&c->in, CONTROL_MAX + HTTP_HEAD_MAX + READ_CHUNK);
	if (owner->tls) {
		c->ssl = SSL_new(owner->tls);
		if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1)
			abort();
		SSL_set_accept_state(c->ssl);
	}
	c->next = owner->connections;
	c->link = &owner->connections;
	if (c->next)
		c->next->link = &c->next;
	owner->connections = c;
	owner->world->connections++;
	owner->world->connections_open++;
	connection_watch(c, EPOLLIN);
}

void connection_stop_all(struct connection_owner *owner)
{
	for (struct connection *c = owner->connections, *next; c; c = next) {
		next = c->next;
		connection_free(c);
	}
}
