/* SPDX-License-Identifier: GPL-2.0-only */
/* Spools of the configuration: lists spools, spool_inputs, spool_outputs (docs/spool.md). */
#ifndef WV_SPOOL_CONFIG_H
#define WV_SPOOL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define WV_SPOOL_NAME 32 /* with its NUL */
#define WV_SPOOL_INPUTS_MAX 32
#define WV_SPOOL_OUTPUTS_MAX 8

/* What happens with new records when the buffer is full; order of the choices in lists.def. */
enum wv_spool_full { WV_FULL_BACKPRESSURE, WV_FULL_DROP_NEWEST, WV_FULL_DROP_OLDEST };

struct wv_spool_config {
	char name[WV_SPOOL_NAME];
	char dir[256]; /* "": <state>/spool/<name> */
	uint64_t buffer_bytes, segment_bytes, sync_ns;
	int when_full;
};

enum wv_input_type {
	WV_INPUT_STDIN,
	WV_INPUT_UNIX_DGRAM,
	WV_INPUT_UNIX_STREAM,
	WV_INPUT_UDP,
	WV_INPUT_TCP,
	WV_INPUT_FILE,
};

struct wv_spool_input_config {
	char name[WV_SPOOL_NAME], spool[WV_SPOOL_NAME];
	int type;
	int format;	  /* enum wv_record_format */
	int framing;	  /* enum wv_framing */
	char path[256];	  /* of a socket, 107 bytes at most, or of a file */
	char listen[128]; /* loopback address:port */
	bool public;	  /* anyone may send to the socket */
	bool ack;	  /* streams: answer with the number of records that are durable */
	int when_full;	  /* 0: as the spool says, else enum wv_spool_full + 1 */
};

enum wv_output_type { WV_OUTPUT_FILE, WV_OUTPUT_SYSLOG_TLS, WV_OUTPUT_HTTP };

struct wv_spool_output_config {
	char name[WV_SPOOL_NAME], spool[WV_SPOOL_NAME];
	int type;
	int format; /* enum wv_spool_format */
	char path[256];
	uint64_t rotate_bytes, keep;
	char url[512];
	char address[256]; /* host:port */
	char ca[256], cert[256], key[256], token_file[256];
	uint64_t batch_bytes, batch_wait_ns, timeout_ns, retry_min_ns, retry_max_ns;
	uint64_t dead_letter_bytes;
};

/* "host:port" or "[v6]:port" into its parts. -EINVAL. */
int wv_spool_split_address(const char *address, char *host, unsigned host_size, char port[8]);

#endif
