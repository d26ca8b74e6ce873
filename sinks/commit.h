#pragma once

/* How what a sink took becomes visible to its readers (sink.h). */
enum sink_commit {
	SINK_IMMEDIATE,   /* taken is durable; prepare, finish and bury are never called */
	SINK_ROLL,        /* blob and positions are saved together, then finish makes it visible */
	SINK_TRANSACTION, /* blob and places are saved as pending, positions move after finish */
};
