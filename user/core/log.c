// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/log.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <time.h>

/* A line longer than this is cut: a log must not be a way to exhaust memory. */
#define LINE_MAX_BYTES 1024

static struct {
	enum wv_log_format format;
	int max_priority;
	char process[64];
	char run_id[64];
} log_state = {.format = WV_LOG_TEXT, .max_priority = LOG_INFO, .process = "waveos-bpf"};

static const char *const priority_names[] = {
	[LOG_EMERG] = "emerg", [LOG_ALERT] = "alert",	  [LOG_CRIT] = "crit",
	[LOG_ERR] = "error",   [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

/* journald names its stream's device and inode in JOURNAL_STREAM (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void wv_log_init(enum wv_log_format format, int max_priority)
{
	if (format == WV_LOG_AUTO)
		format = stderr_is_journal()	 ? WV_LOG_JOURNAL
			 : isatty(STDERR_FILENO) ? WV_LOG_TEXT
						 : WV_LOG_JSON;
	log_state.format = format;
	log_state.max_priority = max_priority;
}

void wv_log_identity(const char *process, const char *run_id)
{
	if (process)
		snprintf(log_state.process, sizeof(log_state.process), "%s", process);
	if (run_id)
		snprintf(log_state.run_id, sizeof(log_state.run_id), "%s", run_id);
}

int wv_log_max_priority(void)
{
	return log_state.max_priority;
}

bool wv_log_is_text(void)
{
	return log_state.format == WV_LOG_TEXT;
}

static void log_json(int priority, int error, const char *module, const char *message)
{
	struct json_object *line = json_object_new_object();
	struct timespec now;

	if (!line)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	json_object_object_add(
		line, "time_ns",
		json_object_new_int64((int64_t)now.tv_sec * 1000000000LL + now.tv_nsec));
	json_object_object_add(line, "level", json_object_new_string(priority_names[priority & 7]));
	json_object_object_add(line, "process", json_object_new_string(log_state.process));
	json_object_object_add(line, "pid", json_object_new_int(getpid()));
	if (log_state.run_id[0])
		json_object_object_add(line, "run_id", json_object_new_string(log_state.run_id));
	if (module)
		json_object_object_add(line, "module", json_object_new_string(module));
	json_object_object_add(line, "message", json_object_new_string(message));
	if (error)
		json_object_object_add(line, "error", json_object_new_string(strerror(-error)));
	fprintf(stderr, "%s\n",
		json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(line);
}

int wv_log_full(int priority, int error, const char *module, const char *format, ...)
{
	char message[LINE_MAX_BYTES];
	va_list ap;

	if (priority > log_state.max_priority)
		return error;
	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);

	switch (log_state.format) {
	case WV_LOG_JOURNAL:
		(void)sd_journal_send("MESSAGE=%s%s%s", message, error ? ": " : "",
				      error ? strerror(-error) : "", "PRIORITY=%d", priority,
				      "WAVEOS_MODULE=%s", module ?: "", "WAVEOS_RUN_ID=%s",
				      log_state.run_id, "WAVEOS_PROCESS=%s", log_state.process,
				      NULL);
		break;
	case WV_LOG_JSON:
		log_json(priority, error, module, message);
		break;
	default:
		fprintf(stderr, "%s: %s%s%s%s%s\n", priority_names[priority & 7], module ?: "",
			module ? ": " : "", message, error ? ": " : "",
			error ? strerror(-error) : "");
	}
	return error;
}
