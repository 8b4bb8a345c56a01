// SPDX-License-Identifier: GPL-2.0-only
/*
 * fake_train: a training loop on the fake driver, in real time. A step is: a copy to the device,
 * forward and backward kernels, communication, the optimizer's kernel, a wait for the device, then
 * a gap in which the host sleeps. Its last line on stdout and its exit status say that it was not
 * disturbed; --end says how it ends.
 */
#include <dlfcn.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/gpu/fake/fake.h"

static struct {
	unsigned steps, kernels, devices, forks;
	uint64_t kernel_ns, gap_ns, nccl_ns, copy_ns;
	bool graph, tell, async;
	const char *end;
} o = {.steps = 100,
       .kernels = 8,
       .devices = 1,
       .kernel_ns = 500000,
       .gap_ns = 300000,
       .copy_ns = 20000,
       .end = "return"};

static void doze(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000ULL), (long)(ns % 1000000000ULL)};

	while (nanosleep(&t, &t) < 0)
		;
}

static void step(int device)
{
	static const char *const names[] = {"forward_gemm",  "forward_softmax", "forward_norm",
					    "backward_gemm", "backward_norm",	"backward_softmax"};

	if (o.copy_ns)
		fake_copy(device, 0, 1, 1 << 20, o.copy_ns);
	if (o.graph) {
		fake_graph(device, 0, 1, o.kernel_ns);
	} else {
		for (unsigned i = 0; i + 1 < o.kernels; i++)
			fake_kernel(device, 0, names[i * 6 / o.kernels], o.kernel_ns / o.kernels);
	}
	if (o.nccl_ns)
		fake_kernel(device, 0, "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", o.nccl_ns);
	if (!o.graph)
		fake_kernel(device, 0, "multi_tensor_apply_adamw", o.kernel_ns / o.kernels);
}

static void *abort_here(void *arg)
{
	(void)arg;
	abort();
}

/* A loader worker: forked, does nothing with the device, and ends in its own way. */
static void fork_worker(unsigned i)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		if (i % 3 == 0)
			_exit(3);
		if (i % 3 == 1)
			exit(3);
		execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
		_exit(9);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 3) {
		fprintf(stderr, "fake_train: a child was disturbed: %#x\n", status);
		exit(4);
	}
}

static int end(void)
{
	pthread_t t;

	fflush(stdout);
	if (strcmp(o.end, "exit") == 0)
		exit(0);
	if (strcmp(o.end, "_exit") == 0)
		_exit(0);
	if (strcmp(o.end, "kill") == 0)
		raise(SIGKILL);
	if (strcmp(o.end, "abort") == 0 && pthread_create(&t, NULL, abort_here, NULL) == 0)
		pthread_join(t, NULL);
	if (strcmp(o.end, "exec") == 0)
		execl("/bin/true", "true", (char *)NULL);
	if (strcmp(o.end, "segv") == 0)
		raise(SIGSEGV);
	return 0;
}

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"steps", 1, NULL, 's'},   {"kernel-us", 1, NULL, 'k'}, {"gap-us", 1, NULL, 'g'},
		{"nccl-us", 1, NULL, 'n'}, {"copy-us", 1, NULL, 'c'},	{"kernels", 1, NULL, 'K'},
		{"devices", 1, NULL, 'd'}, {"forks", 1, NULL, 'f'},	{"graph", 0, NULL, 'G'},
		{"tell", 0, NULL, 't'},	   {"async", 0, NULL, 'a'},	{"end", 1, NULL, 'e'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 1;

		switch (c) {
		case 's':
			o.steps = (unsigned)n;
			break;
		case 'k':
			o.kernel_ns = n * 1000;
			break;
		case 'g':
			o.gap_ns = n * 1000;
			break;
		case 'n':
			o.nccl_ns = n * 1000;
			break;
		case 'c':
			o.copy_ns = n * 1000;
			break;
		case 'K':
			o.kernels = n ? (unsigned)n : 1;
			break;
		case 'd':
			o.devices = (unsigned)n;
			break;
		case 'f':
			o.forks = (unsigned)n;
			break;
		case 'G':
			o.graph = true;
			break;
		case 't':
			o.tell = true;
			break;
		case 'a':
			o.async = true;
			break;
		case 'e':
			o.end = optarg;
			break;
		default:
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *library = getenv("WAVEOS_GPU_LIBRARY");
	void (*tell)(uint64_t) = NULL;
	char count[16];
	void *lib;

	if (!parse(argc, argv))
		return 2;
	if (o.devices > 1) {
		snprintf(count, sizeof(count), "%u", o.devices);
		setenv("FAKE_CUDA_DEVICES", count, 1);
	}
	if (cuInit(0))
		return 1;
	lib = library ? dlopen(library, RTLD_NOW | RTLD_NOLOAD) : NULL;
	if (lib && o.tell)
		*(void **)&tell = dlsym(lib, "waveos_gpu_step");
	for (unsigned i = 0; i < o.forks; i++)
		fork_worker(i);
	for (unsigned i = 0; i < o.steps; i++) {
		for (unsigned d = 0; d < o.devices; d++)
			step((int)d);
		for (unsigned d = 0; !o.async && d < o.devices; d++)
			fake_sync((int)d, -1);
		if (o.gap_ns)
			doze(o.gap_ns);
		if (tell)
			tell(i);
	}
	printf("fake_train: %u steps\n", o.steps);
	return end();
}
