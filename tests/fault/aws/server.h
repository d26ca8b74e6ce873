#pragma once
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"

/* A scripted HTTP server on loopback, a thread per connection: each request gets the next reply of
 * the script, the last one again and again. */
enum reply_fault {
	REPLY_WHOLE,
	REPLY_CHUNKED,
	REPLY_CUT,   /* half of the body, then the connection ends */
	REPLY_RESET, /* no answer, RST */
	REPLY_HANG,  /* no answer, until server_stop */
};
struct reply {
	int status;
	const char *headers; /* "Name: value\r\n"…; NULL: none */
	struct str body;
	enum reply_fault fault;
};

#define SERVER_CONNECTIONS_MAX 64
struct server {
	int fd, port;
	SSL_CTX *tls;
	const struct reply *script;
	size_t script_size;
	pthread_t thread, workers[SERVER_CONNECTIONS_MAX];
	int fds[SERVER_CONNECTIONS_MAX];
	_Atomic int connections, requests;
	pthread_mutex_t lock;
	struct buf log; /* every request as it came */
	char url[64];
};

struct server_worker {
	struct server *server;
	int fd;
	SSL *ssl;
};

static inline ssize_t server_read(struct server_worker *w, char *to, size_t n)
{
	return w->ssl ? SSL_read(w->ssl, to, (int)n) : recv(w->fd, to, n, 0);
}

static inline void server_write(struct server_worker *w, const char *from, size_t n)
{
	if (w->ssl) {
		if (n)
			SSL_write(w->ssl, from, (int)n);
		return;
	}
	while (n) {
		ssize_t sent = send(w->fd, from, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		from += sent;
		n -= (size_t)sent;
	}
}

/* Reads one request into `in`; false where the connection ended. */
static inline bool server_request(struct server_worker *w, struct buf *in)
{
	char chunk[65536];

	buf_clear(in);
	for (;;) {
		const char *end = in->size ? strstr(in->data, "\r\n\r\n") : NULL;
		const char *length = end ? strcasestr(in->data, "\r\ncontent-length:") : NULL;
		ssize_t n;

		if (end && in->size - (size_t)(end + 4 - in->data) >=
				   (length ? strtoul(length + 17, NULL, 10) : 0))
			return true;
		n = server_read(w, chunk, sizeof(chunk));
		if (n <= 0 || !buf_add(in, chunk, (size_t)n))
			return false;
	}
}

/* False where the connection is to end. */
static inline bool server_reply(struct server_worker *w, const struct reply *r)
{
	struct buf head = { 0 };
	struct linger reset = { .l_onoff = 1 };
	char drain[256];

	switch (r->fault) {
	case REPLY_RESET:
		setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		return false;
	case REPLY_HANG:
		while (server_read(w, drain, sizeof(drain)) > 0)
			;
		return false;
	default:
		break;
	}
	buf_printf(&head, "HTTP/1.1 %d Status\r\n%s", r->status, r->headers ? r->headers : "");
	if (r->fault == REPLY_CHUNKED)
		buf_printf(&head, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%.*s\r\n0\r\n\r\n",
			   r->body.n, STR_ARG(r->body));
	else
		buf_printf(&head, "Content-Length: %zu\r\n\r\n", r->body.n);
	if (r->fault == REPLY_WHOLE && r->body.n)
		assert(buf_add(&head, r->body.p, r->body.n));
	if (r->fault == REPLY_CUT)
		assert(buf_add(&head, r->body.p, r->body.n / 2));
	server_write(w, head.data, head.size);
	buf_release(&head);
	return r->fault != REPLY_CUT;
}

static inline void *server_connection(void *arg)
{
	struct server_worker *w = arg;
	struct server *s = w->server;
	struct buf in = { 0 };
	bool open = true;

	if (s->tls) {
		w->ssl = SSL_new(s->tls);
		SSL_set_fd(w->ssl, w->fd);
		open = SSL_accept(w->ssl) == 1;
	}
	while (open && server_request(w, &in)) {
		size_t at = (size_t)atomic_fetch_add(&s->requests, 1);

		pthread_mutex_lock(&s->lock);
		if (s->log.size < (1 << 20))
			assert(buf_add(&s->log, in.data, in.size));
		pthread_mutex_unlock(&s->lock);
		open = server_reply(w, &s->script[at < s->script_size ? at : s->script_size - 1]);
	}
	SSL_free(w->ssl);
	close(w->fd);
	buf_release(&in);
	free(w);
	return NULL;
}

static inline void *server_accept(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		struct server_worker *w = memory_new(sizeof(*w));
		int n = atomic_load(&s->connections);

		assert(n < SERVER_CONNECTIONS_MAX);
		*w = (struct server_worker){ .server = s, .fd = fd };
		s->fds[n] = dup(fd);
		pthread_create(&s->workers[n], NULL, server_connection, w);
		atomic_fetch_add(&s->connections, 1);
	}
	return NULL;
}

static inline void server_start(struct server *s, const struct reply *script, size_t size,
				SSL_CTX *tls)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	*s = (struct server){ .script = script, .script_size = size, .tls = tls };
	pthread_mutex_init(&s->lock, NULL);
	buf_init(&s->log, 0);
	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert(bind(s->fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(s->fd, 128) == 0);
	assert(getsockname(s->fd, (struct sockaddr *)&at, &n) == 0);
	s->port = ntohs(at.sin_port);
	snprintf(s->url, sizeof(s->url), "%s://127.0.0.1:%d", tls ? "https" : "http", s->port);
	pthread_create(&s->thread, NULL, server_accept, s);
}

static inline void server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	for (int i = 0; i < s->connections; i++) {
		shutdown(s->fds[i], SHUT_RDWR);
		pthread_join(s->workers[i], NULL);
		close(s->fds[i]);
	}
	pthread_mutex_destroy(&s->lock);
	buf_release(&s->log);
}

/* What it was asked so far. */
static inline const char *server_log(struct server *s)
{
	const char *text;

	pthread_mutex_lock(&s->lock);
	text = buf_str(&s->log).p;
	pthread_mutex_unlock(&s->lock);
	return text;
}

/* A certificate for 127.0.0.1 that signs itself; its PEM goes to `path`. */
static inline SSL_CTX *server_tls(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509_EXTENSION *san, *ca;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	FILE *file = fopen(path, "we");

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1,
				   0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	X509_add_ext(cert, san, -1);
	X509_add_ext(cert, ca, -1);
	X509_EXTENSION_free(san);
	X509_EXTENSION_free(ca);
	assert(X509_sign(cert, key, EVP_sha256()));
	assert(file && PEM_write_X509(file, cert) == 1);
	fclose(file);
	SSL_CTX_use_certificate(ctx, cert);
	SSL_CTX_use_PrivateKey(ctx, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}
