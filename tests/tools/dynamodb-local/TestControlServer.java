package com.amazonaws.services.dynamodbv2.local.server;

import java.net.InetSocketAddress;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.handler.ContextHandler;

/**
 * DynamoDB Local in memory, on loopback only, one database per access key, with its test control: a
 * PutItem to the table [TEST_CONTROL] closes the open shard (ROLLOVER) or ages records (DILATE_TIME).
 * The constructor that turns the control on is visible in this package alone.
 */
public final class TestControlServer {
    public static void main(String[] args) throws Exception {
        boolean sharedDb = false;
        boolean delayTransientStatuses = false;
        boolean testControl = true;
        LocalDynamoDBRequestHandler requests = new LocalDynamoDBRequestHandler(
            0, true, null, sharedDb, delayTransientStatuses, testControl);
        Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        server.setHandler(new ContextHandler(new LocalDynamoDBServerHandler(requests, "*")));
        server.start();
        server.join();
    }
}
