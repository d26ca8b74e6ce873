#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"

/* S3 as far as rolls need it, in memory, with faults on order. Etags change with each arrival of a
 * part, as under KMS. Listings come in pages of two. Signatures are not looked at: the real
 * server's test does that. */

#define S3_BUCKET "lake"

enum s3_fault_kind {
	S3_ANSWER, /* `status` and `code`, and nothing is done */
	S3_CUT,    /* the connection, and nothing is done */
	S3_LOSE,   /* it is done, and the connection is cut before the answer */
	S3_IN_200, /* 200 with an <Error> of `code`, and nothing is done */
	S3_GARBLE, /* it is done, and the answer is not S3's */
	S3_HOLD,   /* waits for s3_server_let_go, then is done */
	S3_BREAK,  /* GET of an object: the connection, after `status` bytes of the body */
};
struct s3_fault {
	const char *method, *query; /* what the query begins with; "" is none */
	enum s3_fault_kind kind;
	int status;
	const char *code;
	int times;
};

struct s3_stored {
	int number;
	struct buf body;
	char etag[64], checksum[16];
};
struct s3_server_upload {
	char id[32], *key, *mark;
	struct s3_stored parts[64];
	size_t part_count;
	bool gone;
};
struct s3_server_object {
	char *key, *mark;
	struct buf body;
	int versions;
};

struct s3_server {
	int fd, null_fd;
	char url[64];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop, let_go;
	int held;
	struct s3_server_upload uploads[32];
	struct s3_server_object objects[32];
	size_t upload_count, object_count;
	int arrivals;
	struct s3_fault faults[8];
	const char *region;  /* signatures for another one are told this; NULL: not looked at */
	const char *rules;   /* the bucket's lifecycle configuration; NULL: it has none */
	size_t gets, served; /* of objects: how many, and bytes of bodies */
	struct buf heads;    /* of all requests, for tests that look at what was sent */
	int connections[64];
	pthread_t connection_threads[64];
	size_t connection_count;
};

struct s3_request {
	char method[8], path[1200], query[1200];
	struct str head;
	struct str body;
	char *checksum, *mark, *range, *match;
	size_t break_after; /* 0: not */
};

/* --- what it has --- */

static inline struct s3_server_upload *s3_upload_find(struct s3_server *s, const char *id)
{
	for (size_t i = 0; i < s->upload_count; i++)
		if (strcmp(s->uploads[i].id, id) == 0 && !s->uploads[i].gone)
			return &s->uploads[i];
	return NULL;
}

static inline struct s3_server_object *s3_object_find(struct s3_server *s, const char *key)
{
	for (size_t i = 0; i < s->object_count; i++)
		if (strcmp(s->objects[i].key, key) == 0)
			return &s->objects[i];
	return NULL;
}

static inline size_t s3_open_uploads(struct s3_server *s)
{
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->upload_count; i++)
		n += !s->uploads[i].gone;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static inline struct s3_stored *s3_part_slot(struct s3_server_upload *u, int number)
{
	for (size_t i = 0; i < u->part_count; i++)
		if (u->parts[i].number == number)
			return &u->parts[i];
	assert(u->part_count < 64);
	return &u->parts[u->part_count++];
}

static inline void s3_checksum(struct str body, char *out)
{
	uint32_t crc = ~crc32_iscsi((unsigned char *)(uintptr_t)body.p, (int)body.n, UINT32_MAX);
	uint8_t bytes[4] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
			     (uint8_t)crc };

	EVP_EncodeBlock((unsigned char *)out, bytes, 4);
}

static inline void s3_part_set(struct s3_server *s, struct s3_server_upload *u, int number,
			       struct str body)
{
	struct s3_stored *part = s3_part_slot(u, number);
	bool ok;

	buf_clear(&part->body);
	ok = buf_add(&part->body, body.p, body.n);
	assert(ok);
	part->number = number;
	snprintf(part->etag, sizeof(part->etag), "etag-%d-%d", number, ++s->arrivals);
	s3_checksum(body, part->checksum);
}

static inline char *s3_parameter(const struct s3_request *r, const char *name)
{
	char *copy = memory_text(r->query), *rest = copy, *found = NULL, *pair;
	size_t n = strlen(name);

	while (!found && (pair = strsep(&rest, "&")))
		if (strncmp(pair, name, n) == 0 && (pair[n] == '=' || !pair[n])) {
			char *out = found = memory_text(pair[n] ? pair + n + 1 : "");

			for (const char *in = found; *in; in++)
				if (*in == '%') {
					char hex[3] = { in[1], in[2], 0 };

					*out++ = (char)strtoul(hex, NULL, 16);
					in += 2;
				} else {
					*out++ = *in;
				}
			*out = '\0';
		}
	free(copy);
	return found;
}

/* --- answers --- */

static inline void s3_send(int fd, int status, const char *headers, struct str body, bool head)
{
	struct buf out;

	buf_init(&out, 0);
	buf_printf(&out, "HTTP/1.1 %d X\r\n%s", status, headers);
	if (!strstr(headers, "Content-Length"))
		buf_printf(&out, "Content-Length: %zu\r\n", body.n);
	buf_text(&out, "\r\n");
	if (!head)
		buf_printf(&out, "%.*s", STR_ARG(body));
	(void)!write(fd, out.data, out.size);
	buf_release(&out);
}

static inline void s3_say_error(int fd, const char *method, int status, const char *code)
{
	char xml[512];

	snprintf(xml, sizeof(xml),
		 "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>so the test "
		 "says</Message></Error>",
		 code);
	s3_send(fd, status, "", str_of(xml), strcmp(method, "HEAD") == 0);
}

static inline void s3_say(int fd, struct buf *xml)
{
	s3_send(fd, 200, "", buf_str(xml), false);
	buf_release(xml);
}

/* --- operations; -1 as fd: the answer is lost --- */

static inline void s3_do_create(struct s3_server *s, int fd, struct s3_request *r, const char *key)
{
	struct s3_server_upload *u = &s->uploads[s->upload_count++];
	struct buf xml;

	assert(s->upload_count <= 32);
	snprintf(u->id, sizeof(u->id), "upload-%zu+/=", s->upload_count);
	u->key = memory_text(key);
	u->mark = MOVE(r->mark);
	buf_init(&xml, 0);
	buf_printf(&xml,
		   "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>%s</Key><UploadId>%s"
		   "</UploadId></InitiateMultipartUploadResult>",
		   key, u->id);
	s3_say(fd, &xml);
}

static inline void s3_do_part(struct s3_server *s, int fd, struct s3_request *r,
			      struct s3_server_upload *u)
{
	char *number = s3_parameter(r, "partNumber"), headers[128];
	struct s3_stored *part;

	s3_part_set(s, u, atoi(number), r->body);
	part = s3_part_slot(u, atoi(number));
	if (!r->checksum || strcmp(r->checksum, part->checksum) != 0) {
		s3_say_error(fd, r->method, 400, "BadDigest");
	} else {
		snprintf(headers, sizeof(headers), "ETag: \"%s\"\r\n", part->etag);
		s3_send(fd, 200, headers, (struct str){ "", 0 }, false);
	}
	free(number);
}

static inline bool s3_parts_given(struct s3_server_upload *u, struct str body, struct buf *out)
{
	const char *at = body.p;

	for (int number; (at = strstr(at, "<PartNumber>")); at++) {
		char etag[64], checksum[16];
		struct s3_stored *part;
		bool ok;

		if (sscanf(at,
			   "<PartNumber>%d</PartNumber><ETag>\"%63[^\"]\"</ETag>"
			   "<ChecksumCRC32C>%15[^<]",
			   &number, etag, checksum) != 3)
			return false;
		part = s3_part_slot(u, number);
		if (strcmp(etag, part->etag) != 0 || strcmp(checksum, part->checksum) != 0)
			return false;
		ok = buf_add(out, part->body.data, part->body.size);
		assert(ok);
	}
	return out->size > 0;
}

static inline void s3_do_put(struct s3_server *s, int fd, struct s3_request *r, const char *key)
{
	struct s3_server_object *o = s3_object_find(s, key);
	char checksum[16];
	bool ok;

	s3_checksum(r->body, checksum);
	if (!r->checksum || strcmp(r->checksum, checksum) != 0) {
		s3_say_error(fd, r->method, 400, "BadDigest");
		return;
	}
	if (!o)
		o = &s->objects[s->object_count++];
	free(o->key);
	free(o->mark);
	buf_clear(&o->body);
	o->key = memory_text(key);
	o->mark = r->mark ? memory_text(r->mark) : NULL;
	ok = buf_add(&o->body, r->body.p, r->body.n);
	assert(ok);
	o->versions++;
	s3_send(fd, 200, "ETag: \"put\"\r\n", (struct str){ "", 0 }, false);
}

static inline void s3_do_complete(struct s3_server *s, int fd, struct s3_request *r,
				  struct s3_server_upload *u)
{
	struct s3_server_object *o = s3_object_find(s, u->key);
	struct buf whole, xml;

	buf_init(&whole, 0);
	if (!s3_parts_given(u, r->body, &whole)) {
		buf_release(&whole);
		s3_say_error(fd, r->method, 400, "InvalidPart");
		return;
	}
	if (!o)
		o = &s->objects[s->object_count++];
	free(o->key);
	free(o->mark);
	buf_release(&o->body);
	o->key = memory_text(u->key);
	o->mark = memory_text(u->mark);
	o->body = whole;
	o->versions++;
	u->gone = true;
	buf_init(&xml, 0);
	buf_printf(&xml,
		   "  \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult><Key>%s</Key>"
		   "</CompleteMultipartUploadResult>",
		   u->key);
	s3_say(fd, &xml);
}

static inline void s3_do_parts(int fd, struct s3_request *r, struct s3_server_upload *u)
{
	char *marker = s3_parameter(r, "part-number-marker");
	int after = marker ? atoi(marker) : 0, given = 0;
	bool more = false;
	struct buf xml;

	buf_init(&xml, 0);
	buf_text(&xml, "<ListPartsResult>");
	for (int number = after + 1; number < 64; number++)
		for (size_t i = 0; i < u->part_count; i++) {
			struct s3_stored *p = &u->parts[i];

			if (p->number != number)
				continue;
			if (given == 2) {
				more = true;
				continue;
			}
			given++;
			buf_printf(&xml,
				   "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag>"
				   "<ChecksumCRC32C>%s</ChecksumCRC32C><Size>%zu</Size></Part>",
				   number, p->etag, p->checksum, p->body.size);
		}
	buf_printf(&xml, "<IsTruncated>%s</IsTruncated></ListPartsResult>",
		   more ? "true" : "false");
	s3_say(fd, &xml);
	free(marker);
}

static inline void s3_do_uploads(struct s3_server *s, int fd, struct s3_request *r)
{
	char *prefix = s3_parameter(r, "prefix"), *marker = s3_parameter(r, "upload-id-marker");
	size_t at = 0, given = 0;
	const char *key = "", *id = "";
	bool more = false;
	struct buf xml;

	for (size_t i = 0; marker && i < s->upload_count; i++)
		if (strcmp(s->uploads[i].id, marker) == 0)
			at = i + 1;
	buf_init(&xml, 0);
	buf_text(&xml, "<ListMultipartUploadsResult>");
	for (; at < s->upload_count; at++) {
		struct s3_server_upload *u = &s->uploads[at];

		if (u->gone || strncmp(u->key, prefix, strlen(prefix)) != 0)
			continue;
		if (given++ == 2) {
			more = true;
			break;
		}
		key = u->key;
		id = u->id;
		buf_printf(&xml, "<Upload><Key>%s</Key><UploadId>%s</UploadId></Upload>", key, id);
	}
	buf_printf(&xml,
		   "<NextKeyMarker>%s</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>"
		   "<IsTruncated>%s</IsTruncated></ListMultipartUploadsResult>",
		   key, id, more ? "true" : "false");
	s3_say(fd, &xml);
	free(prefix);
	free(marker);
}

static inline void s3_do_head(struct s3_server *s, int fd, const char *key)
{
	struct s3_server_object *o = s3_object_find(s, key);
	char headers[512];

	if (!key[0]) {
		s3_send(fd, 200, "", (struct str){ "", 0 }, true);
	} else if (!o) {
		s3_send(fd, 404, "", (struct str){ "", 0 }, true);
	} else {
		snprintf(headers, sizeof(headers),
			 "Content-Length: %zu\r\nETag: \"whole\"\r\nx-amz-meta-sluice-roll: "
			 "%s\r\n",
			 o->body.size, o->mark ? o->mark : "");
		s3_send(fd, 200, headers, (struct str){ "", 0 }, true);
	}
}

static inline bool s3_write(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t written = write(fd, p, n);

		if (written <= 0)
			return false;
		p += written;
		n -= (size_t)written;
	}
	return true;
}

static inline void s3_do_get(struct s3_server *s, int fd, struct s3_request *r, const char *key)
{
	struct s3_server_object *o = s3_object_find(s, key);
	size_t first = 0, last = o && o->body.size ? o->body.size - 1 : 0, n;
	char headers[256], etag[32];

	if (!o) {
		s3_say_error(fd, r->method, 404, "NoSuchKey");
		return;
	}
	snprintf(etag, sizeof(etag), "\"whole-%d\"", o->versions);
	if (r->match && strcmp(r->match, etag) != 0) {
		s3_say_error(fd, r->method, 412, "PreconditionFailed");
		return;
	}
	if (r->range)
		sscanf(r->range, "bytes=%zu-%zu", &first, &last);
	if (first >= o->body.size) {
		s3_say_error(fd, r->method, 416, "InvalidRange");
		return;
	}
	if (last >= o->body.size)
		last = o->body.size - 1;
	n = last - first + 1;
	snprintf(headers, sizeof(headers),
		 "HTTP/1.1 206 X\r\nContent-Length: %zu\r\nContent-Range: bytes %zu-%zu/%zu\r\n"
		 "Content-Encoding: gzip\r\nETag: %s\r\n\r\n",
		 n, first, last, o->body.size, etag);
	if (r->break_after && r->break_after < n)
		n = r->break_after;
	s->gets++;
	s->served += n;
	if (s3_write(fd, headers, strlen(headers)))
		(void)!s3_write(fd, o->body.data + first, n);
}

static inline void s3_do_rules(struct s3_server *s, int fd, struct s3_request *r)
{
	if (s->rules)
		s3_send(fd, 200, "", str_of(s->rules), false);
	else
		s3_say_error(fd, r->method, 404, "NoSuchLifecycleConfiguration");
}

static inline void s3_do(struct s3_server *s, int fd, struct s3_request *r)
{
	size_t n = strlen("/" S3_BUCKET);
	const char *key = r->path[n] == '/' ? r->path + n + 1 : "";
	char *id = s3_parameter(r, "uploadId"), *uploads = s3_parameter(r, "uploads");
	struct s3_server_upload *u = id ? s3_upload_find(s, id) : NULL;

	if (strncmp(r->path, "/" S3_BUCKET, n) != 0 || (r->path[n] && r->path[n] != '/'))
		s3_say_error(fd, r->method, 404, "NoSuchBucket");
	else if (strcmp(r->method, "HEAD") == 0)
		s3_do_head(s, fd, key);
	else if (uploads && strcmp(r->method, "POST") == 0)
		s3_do_create(s, fd, r, key);
	else if (uploads)
		s3_do_uploads(s, fd, r);
	else if (strncmp(r->query, "lifecycle", 9) == 0)
		s3_do_rules(s, fd, r);
	else if (!id && strcmp(r->method, "GET") == 0)
		s3_do_get(s, fd, r, key);
	else if (!id && strcmp(r->method, "PUT") == 0)
		s3_do_put(s, fd, r, key);
	else if (!u)
		s3_say_error(fd, r->method, 404, "NoSuchUpload");
	else if (strcmp(r->method, "PUT") == 0)
		s3_do_part(s, fd, r, u);
	else if (strcmp(r->method, "POST") == 0)
		s3_do_complete(s, fd, r, u);
	else if (strcmp(r->method, "GET") == 0)
		s3_do_parts(fd, r, u);
	else {
		u->gone = true;
		s3_send(fd, 204, "", (struct str){ "", 0 }, false);
	}
	free(id);
	free(uploads);
}

/* --- faults and connections --- */

static inline struct s3_fault *s3_fault_find(struct s3_server *s, const struct s3_request *r)
{
	for (size_t i = 0; i < 8; i++) {
		struct s3_fault *f = &s->faults[i];

		if (f->times > 0 && strcmp(f->method, r->method) == 0 &&
		    strncmp(r->query, f->query, strlen(f->query)) == 0)
			return f;
	}
	return NULL;
}

/* A bucket that is called in another region: the answer to HEAD has no body. */
static inline bool s3_elsewhere(struct s3_server *s, int fd, const struct s3_request *r)
{
	char scope[80], xml[256], header[96];

	snprintf(scope, sizeof(scope), "/%s/s3/aws4_request", s->region ? s->region : "");
	if (!s->region || memmem(r->head.p, r->head.n, scope, strlen(scope)))
		return false;
	snprintf(header, sizeof(header), "x-amz-bucket-region: %s\r\n", s->region);
	snprintf(xml, sizeof(xml),
		 "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong"
		 "</Message><Region>%s</Region></Error>",
		 s->region);
	s3_send(fd, 400, strcmp(r->method, "HEAD") == 0 ? header : "", str_of(xml),
		strcmp(r->method, "HEAD") == 0);
	return true;
}

/* False: the connection is to be cut. */
static inline bool s3_serve(struct s3_server *s, int fd, struct s3_request *r)
{
	struct s3_fault none = { 0 }, fault = none, *found;
	bool keep = true;

	pthread_mutex_lock(&s->lock);
	found = s3_fault_find(s, r);
	if (found) {
		fault = *found;
		found->times--;
	}
	assert(s->heads.size < (1 << 20));
	buf_printf(&s->heads, "%.*s\n", STR_ARG(r->head));
	if (found && fault.kind == S3_HOLD) {
		s->held++;
		pthread_cond_broadcast(&s->changed);
		while (!s->let_go && !s->stop)
			pthread_cond_wait(&s->changed, &s->lock);
		found = NULL;
	}
	if (s3_elsewhere(s, fd, r)) {
		/* nothing is done */
	} else if (!found) {
		s3_do(s, fd, r);
	} else if (fault.kind == S3_BREAK) {
		r->break_after = (size_t)fault.status;
		s3_do(s, fd, r);
		keep = false;
	} else if (fault.kind == S3_ANSWER || fault.kind == S3_IN_200) {
		s3_say_error(fd, r->method, fault.kind == S3_IN_200 ? 200 : fault.status,
			     fault.code);
	} else {
		if (fault.kind != S3_CUT)
			s3_do(s, s->null_fd, r);
		if (fault.kind == S3_GARBLE)
			s3_send(fd, 200, "", STR("<html>welcome</html>"), false);
		keep = fault.kind == S3_GARBLE;
	}
	pthread_mutex_unlock(&s->lock);
	return keep;
}

static inline char *s3_header(const char *head, const char *name)
{
	const char *at = strcasestr(head, name), *end;

	if (!at)
		return NULL;
	at += strlen(name);
	at += strspn(at, " ");
	end = strstr(at, "\r\n");
	return end ? memory_text_n(at, (size_t)(end - at)) : NULL;
}

/* One request off the connection; false at its end. */
static inline bool s3_read(int fd, struct buf *in, struct s3_request *r)
{
	char room[65536], *length;
	size_t head = 0, need = 1;

	buf_clear(in);
	while (in->size < need || head == 0) {
		ssize_t n = read(fd, room, sizeof(room));
		const char *end;
		bool ok;

		if (n <= 0)
			return false;
		ok = buf_add(in, room, (size_t)n);
		assert(ok);
		end = head ? NULL : memmem(in->data, in->size, "\r\n\r\n", 4);
		if (!end)
			continue;
		head = (size_t)(end - in->data) + 4;
		in->data[head - 1] = '\0';
		length = s3_header(in->data, "\r\ncontent-length:");
		need = head + (length ? strtoul(length, NULL, 10) : 0);
		free(length);
		if (strcasestr(in->data, "\r\nexpect: 100"))
			(void)!write(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
	r->head = (struct str){ in->data, head - 1 };
	r->body = (struct str){ in->data + head, in->size - head };
	r->checksum = s3_header(in->data, "\r\nx-amz-checksum-crc32c:");
	r->mark = s3_header(in->data, "\r\nx-amz-meta-sluice-roll:");
	r->range = s3_header(in->data, "\r\nrange:");
	r->match = s3_header(in->data, "\r\nif-match:");
	r->query[0] = '\0';
	return sscanf(in->data, "%7s %1199[^ ?]?%1199[^ ]", r->method, r->path, r->query) >= 2;
}

struct s3_connection {
	struct s3_server *server;
	int fd;
};

static inline void *s3_connection_run(void *arg)
{
	struct s3_connection c = *(struct s3_connection *)arg;
	struct s3_request r = { 0 };
	struct buf in;
	bool more = true;

	free(arg);
	buf_init(&in, 0);
	while (more && s3_read(c.fd, &in, &r)) {
		more = s3_serve(c.server, c.fd, &r);
		free(r.checksum);
		free(r.mark);
		free(r.range);
		free(r.match);
		r = (struct s3_request){ 0 };
	}
	shutdown(c.fd, SHUT_RDWR);
	buf_release(&in);
	return NULL;
}

static inline void *s3_server_run(void *arg)
{
	struct s3_server *s = arg;

	for (;;) {
		struct s3_connection *c;
		int fd = accept(s->fd, NULL, NULL), on = 1;

		if (fd < 0)
			return NULL;
		/* Head and body are written apart. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c = memory_new(sizeof(*c));
		*c = (struct s3_connection){ s, fd };
		assert(s->connection_count < 64);
		s->connections[s->connection_count] = fd;
		pthread_create(&s->connection_threads[s->connection_count++], NULL,
			       s3_connection_run, c);
	}
}

static inline void s3_server_start(struct s3_server *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(s->fd, 64), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &size), 0);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", ntohs(at.sin_port));
	pthread_create(&s->thread, NULL, s3_server_run, s);
}

static inline void s3_server_stop(struct s3_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	close(s->null_fd);
	for (size_t i = 0; i < s->connection_count; i++) {
		shutdown(s->connections[i], SHUT_RDWR);
		pthread_join(s->connection_threads[i], NULL);
		close(s->connections[i]);
	}
	for (size_t i = 0; i < s->upload_count; i++) {
		for (size_t k = 0; k < s->uploads[i].part_count; k++)
			buf_release(&s->uploads[i].parts[k].body);
		free(s->uploads[i].key);
		free(s->uploads[i].mark);
	}
	for (size_t i = 0; i < s->object_count; i++) {
		free(s->objects[i].key);
		free(s->objects[i].mark);
		buf_release(&s->objects[i].body);
	}
	buf_release(&s->heads);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
}

/* Puts an object, or another one in its place. */
static inline void s3_server_put(struct s3_server *s, const char *key, struct str body)
{
	struct s3_server_object *o;
	bool ok;

	pthread_mutex_lock(&s->lock);
	o = s3_object_find(s, key);
	if (!o) {
		assert(s->object_count < 32);
		o = &s->objects[s->object_count++];
		o->key = memory_text(key);
		buf_init(&o->body, 0);
	}
	buf_clear(&o->body);
	ok = buf_add(&o->body, body.p, body.n);
	assert(ok);
	o->versions++;
	pthread_mutex_unlock(&s->lock);
}

static inline void s3_server_fault(struct s3_server *s, struct s3_fault fault)
{
	size_t i = 0;

	pthread_mutex_lock(&s->lock);
	while (s->faults[i].times > 0)
		i++;
	assert(i < 8);
	s->faults[i] = fault;
	pthread_mutex_unlock(&s->lock);
}

static inline void s3_server_wait_held(struct s3_server *s, int count)
{
	pthread_mutex_lock(&s->lock);
	while (s->held < count)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static inline void s3_server_let_go(struct s3_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->let_go = true;
	memset(s->faults, 0, sizeof(s->faults));
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}
