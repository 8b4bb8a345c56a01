// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that the verifier looks at, from its own log: for kernels before 5.16, which do not
 * keep the figure. Programs are loaded as built, without the machine's settings, and not attached.
 *
 *   insns OBJECT.bpf.o...
 * prints: program instructions; programs that this kernel refuses are left out
 */
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_STATS 4 /* BPF_LOG_STATS: only the summary at the end */
#define LOG_SIZE (64 * 1024)
#define MAX_PROGRAMS 64

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

/* Loads program number `only`, or all if negative; how many programs there are, or -1. */
static int load(const char *path, int only, char *logs)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_program *p;
	const char *found;
	int n = 0, r, i = 0;

	if (!obj)
		return -1;
	bpf_object__for_each_program(p, obj)
	{
		if (n >= MAX_PROGRAMS)
			break;
		memset(logs + (size_t)n * LOG_SIZE, 0, LOG_SIZE);
		bpf_program__set_log_level(p, LOG_STATS);
		bpf_program__set_log_buf(p, logs + (size_t)n * LOG_SIZE, LOG_SIZE);
		bpf_program__set_autoload(p, only < 0 || n == only);
		n++;
	}
	r = bpf_object__load(obj);
	bpf_object__for_each_program(p, obj)
	{
		found = r == 0 && i < n ? strstr(logs + (size_t)i * LOG_SIZE, "processed ") : NULL;
		if (found)
			printf("%s %ld\n", bpf_program__name(p),
			       strtol(found + strlen("processed "), NULL, 10));
		i++;
	}
	bpf_object__close(obj);
	return r < 0 && only < 0 ? -n : n;
}

int main(int argc, char **argv)
{
	char *logs = malloc((size_t)MAX_PROGRAMS * LOG_SIZE);

	if (!logs || argc < 2)
		return 2;
	libbpf_set_print(quiet);
	for (int a = 1; a < argc; a++) {
		int n = load(argv[a], -1, logs);

		/* one program that is refused takes its object along: then each alone */
		for (int i = 0; n < 0 && i < -n; i++)
			(void)load(argv[a], i, logs);
	}
	free(logs);
	return 0;
}
