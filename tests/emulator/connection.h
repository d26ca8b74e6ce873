#pragma once
#include <openssl/ssl.h>
#include <stddef.h>

#include "tests/emulator/reply.h"
#include "tests/emulator/signature.h"
#include "tests/emulator/world.h"

/* One client's connection: reads requests, has them answered one after the other, writes. It lives
 * on its thread's loop and frees itself when the client goes. */

struct connection;
struct loop;

/* What the connections of one thread share. */
struct connection_owner {
	struct loop *loop;
	struct world *world;
	SSL_CTX *tls;                    /* NULL: plain */
	const struct signature_key *key; /* NULL: signatures are not verified */
	struct reply_tools tools;
	struct connection *connections; /* a list, for the end */
};

/* Takes the socket. */
void connection_start(struct connection_owner *owner, int fd);
void connection_stop_all(struct connection_owner *owner);
