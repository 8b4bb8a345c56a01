// SPDX-License-Identifier: GPL-2.0-only
/*
 * A GPU program whose truth is known: it runs kernels of a given length, with gaps of a given cause
 * between them, and writes what it did. It needs the driver only (libcuda.so.1 by dlopen, kernels
 * as PTX), so that it runs wherever there is a GPU, and on the fake driver of tests/gpu/fake, too.
 *
 *   planted MODE [--steps N] [--kernel-us N] [--gap-us N] [--launches N] [--bytes N] [--truth FILE]
 *
 * MODE: storm    many empty kernels, launched as fast as can be; a step is --launches of them
 *       graph    the same, as one CUDA graph a step
 *       host, sleep, input, fetch, checkpoint, sync
 *                one kernel a step, then a gap for that reason
 *       overlap  a kernel, and one named like NCCL's beside it, half of it overlapped
 *       copy     --bytes to the device a step, nothing beside it
 *
 * Steps go to $WAVEOS_TUNE_STEPS as JSON lines {"step", "begin_ns", "end_ns", "arm", "block"}. With
 * WAVEOS_BENCH_ARMS="0,1,1,0" and WAVEOS_BENCH_BLOCK=STEPS the profiler's level is changed after
 * each block to the next of these, which is what paired measurements are made of.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* cuda.h: what is used of it. CUdeviceptr is 64 bits; all else are pointers and ints. */
typedef uint64_t cu_pointer;
#define CU_FUNCTIONS(X)                                                                            \
	X(cuInit, (unsigned flags))                                                                \
	X(cuDeviceGet, (int *device, int i))                                                       \
	X(cuDevicePrimaryCtxRetain, (void **context, int device))                                  \
	X(cuCtxSetCurrent, (void *context))                                                        \
	X(cuModuleLoadData, (void **module, const void *image))                                    \
	X(cuModuleGetFunction, (void **function, void *module, const char *name))                  \
	X(cuStreamCreate, (void **stream, unsigned flags))                                         \
	X(cuStreamSynchronize, (void *stream))                                                     \
	X(cuLaunchKernel,                                                                          \
	  (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,        \
	   unsigned bz, unsigned shared, void *stream, void **args, void **extra))                 \
	X(cuEventCreate, (void **event, unsigned flags))                                           \
	X(cuEventRecord, (void *event, void *stream))                                              \
	X(cuEventElapsedTime, (float *ms, void *from, void *to))                                   \
	X(cuStreamWaitEvent, (void *stream, void *event, unsigned flags))                          \
	X(cuMemAlloc_v2, (cu_pointer * p, size_t bytes))                                           \
	X(cuMemHostAlloc, (void **p, size_t bytes, unsigned flags))                                \
	X(cuMemcpyHtoDAsync_v2, (cu_pointer to, const void *from, size_t bytes, void *stream))     \
	X(cuStreamBeginCapture_v2, (void *stream, int mode))                                       \
	X(cuStreamEndCapture, (void *stream, void **graph))                                        \
	X(cuGraphInstantiateWithFlags, (void **exec, void *graph, unsigned long long flags))       \
	X(cuGraphLaunch, (void *exec, void *stream))

static struct {
#define X(name, args) int(*name) args;
	CU_FUNCTIONS(X)
#undef X
} cu;

#define CHECK(call)                                                                                \
	do {                                                                                       \
		int check_r = (call);                                                              \
		if (check_r) {                                                                     \
			fprintf(stderr, "planted: %s: CUDA error %d\n", #call, check_r);           \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/*
 * spin(ns): one thread that looks at %globaltimer until ns have passed, PTX ISA 7.8, 10.27. The
 * second has a name that is NCCL's by its beginning.
 */
#define SPIN(NAME)                                                                                 \
	".visible .entry " NAME "(.param .u64 ns)\n"                                               \
	"{\n"                                                                                      \
	"  .reg .u64 %rd<5>;\n"                                                                    \
	"  .reg .pred %p;\n"                                                                       \
	"  ld.param.u64 %rd1, [ns];\n"                                                             \
	"  mov.u64 %rd2, %globaltimer;\n"                                                          \
	"AGAIN:\n"                                                                                 \
	"  mov.u64 %rd3, %globaltimer;\n"                                                          \
	"  sub.u64 %rd4, %rd3, %rd2;\n"                                                            \
	"  setp.lt.u64 %p, %rd4, %rd1;\n"                                                          \
	"  @%p bra AGAIN;\n"                                                                       \
	"  ret;\n"                                                                                 \
	"}\n"
#define COMMS_NAME "ncclDevKernel_planted"
static const char ptx[] =
	".version 7.0\n.target sm_70\n.address_size 64\n" SPIN("planted_spin") SPIN(COMMS_NAME);

static struct {
	const char *mode, *truth;
	unsigned steps, launches;
	uint64_t kernel_ns, gap_ns;
	size_t bytes;
} o = {.steps = 100, .launches = 1000, .kernel_ns = 1000000, .gap_ns = 1000000, .bytes = 64 << 20};

static void *spin, *comms, *stream[2];
/* the profiler, where it is in this process */
static void (*tell_step)(uint64_t number);
static int (*set_level)(int level);

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void load(void)
{
	void *module, *context, *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
	const char *library = getenv("WAVEOS_GPU_LIBRARY");
	int device;

	if (!lib) {
		fprintf(stderr, "planted: %s\n", dlerror());
		exit(77);
	}
#define X(name, args)                                                                              \
	*(void **)&cu.name = dlsym(lib, #name);                                                    \
	if (!cu.name) {                                                                            \
		fprintf(stderr, "planted: the driver has no " #name "\n");                         \
		exit(77);                                                                          \
	}
	CU_FUNCTIONS(X)
#undef X
	CHECK(cu.cuInit(0));
	CHECK(cu.cuDeviceGet(&device, 0));
	CHECK(cu.cuDevicePrimaryCtxRetain(&context, device));
	CHECK(cu.cuCtxSetCurrent(context));
	CHECK(cu.cuModuleLoadData(&module, ptx));
	CHECK(cu.cuModuleGetFunction(&spin, module, "planted_spin"));
	CHECK(cu.cuModuleGetFunction(&comms, module, COMMS_NAME));
	for (unsigned i = 0; i < 2; i++)
		CHECK(cu.cuStreamCreate(&stream[i], 1)); /* CU_STREAM_NON_BLOCKING */
	lib = library ? dlopen(library, RTLD_NOW | RTLD_NOLOAD) : NULL;
	if (lib) {
		*(void **)&tell_step = dlsym(lib, "waveos_gpu_step");
		*(void **)&set_level = dlsym(lib, "waveos_gpu_level");
	}
}

static void launch(void *function, uint64_t ns, void *on)
{
	void *args[] = {&ns};

	CHECK(cu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, on, args, NULL));
}

/* --- gaps ------------------------------------------------------------------------------------ */

static void busy(uint64_t ns)
{
	uint64_t until = now() + ns;

	while (now() < until)
		;
}

static void doze(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000ULL), (long)(ns % 1000000000ULL)};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static struct {
	int to, from;
	pid_t pid;
} loader;

/* Reads a file past the page cache until the time is over. */
static void fetch(const char *path, uint64_t ns)
{
	uint64_t until = now() + ns;
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	off_t at = 0;
	void *buf;

	if (fd < 0 || posix_memalign(&buf, 4096, 1 << 20))
		_exit(1);
	while (now() < until) {
		if (pread(fd, buf, 1 << 20, at) <= 0)
			at = 0;
		else
			at += 1 << 20;
	}
	free(buf);
	close(fd);
}

/* A worker as data loaders fork them: asked over a pipe, it works, and answers over a pipe. */
static void loader_start(void)
{
	bool disk = strcmp(o.mode, "fetch") == 0;
	char path[] = "planted.XXXXXX", c = 0;
	int down[2], up[2], fd = -1;

	if (disk) {
		char *block = calloc(1, 1 << 20);

		fd = mkstemp(path);
		for (unsigned i = 0; block && fd >= 0 && i < 64; i++)
			if (write(fd, block, 1 << 20) != 1 << 20)
				break;
		free(block);
		if (fd < 0 || fsync(fd) < 0)
			exit(1);
		close(fd);
	}
	if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
		exit(1);
	loader.pid = fork();
	if (loader.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(down[1]);
		while (read(down[0], &c, 1) == 1) {
			if (disk)
				fetch(path, o.gap_ns);
			else
				busy(o.gap_ns);
			if (write(up[1], &c, 1) != 1)
				break;
		}
		if (disk)
			unlink(path);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	loader.to = down[1];
	loader.from = up[0];
}

static void load_batch(void)
{
	struct pollfd p = {.fd = loader.from, .events = POLLIN};
	char c = 0;

	if (write(loader.to, &c, 1) != 1 || poll(&p, 1, -1) < 0 || read(loader.from, &c, 1) != 1)
		exit(1);
}

static void save(uint64_t ns)
{
	static char block[1 << 20];
	uint64_t until = now() + ns;
	int fd = open("planted.checkpoint", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		exit(1);
	while (now() < until)
		if (write(fd, block, sizeof(block)) < 0 || fsync(fd) < 0)
			exit(1);
	close(fd);
	unlink("planted.checkpoint");
}

static void gap(void)
{
	if (strcmp(o.mode, "host") == 0)
		busy(o.gap_ns);
	else if (strcmp(o.mode, "sleep") == 0)
		doze(o.gap_ns);
	else if (strcmp(o.mode, "checkpoint") == 0)
		save(o.gap_ns);
	else if (loader.pid)
		load_batch();
}

/* --- steps ----------------------------------------------------------------------------------- */

static FILE *truth;
static void *event[5];

static double since_first(void *e)
{
	float ms = 0;

	CHECK(cu.cuEventElapsedTime(&ms, event[0], e));
	return (double)ms * 1e6;
}

/* One kernel between two events, then the gap: begin and end of both, on their own clocks. */
static void step_gap(void)
{
	uint64_t start = now(), from, to;

	CHECK(cu.cuEventRecord(event[1], stream[0]));
	launch(spin, o.kernel_ns, stream[0]);
	CHECK(cu.cuEventRecord(event[2], stream[0]));
	CHECK(cu.cuStreamSynchronize(stream[0]));
	from = now();
	gap();
	to = now();
	if (truth)
		fprintf(truth,
			"{\"kernel\":[%.0f,%.0f],\"gap\":[%" PRIu64 ",%" PRIu64
			"],\"host\":[%" PRIu64 ",%" PRIu64 "]}\n",
			since_first(event[1]), since_first(event[2]), from, to, start, to);
}

/* The communication begins when half of the kernel is over: |C - K| = |C & K| = half of it. */
static void step_overlap(void)
{
	uint64_t from = now(), to;

	CHECK(cu.cuEventRecord(event[1], stream[0]));
	launch(spin, o.kernel_ns / 2, stream[0]);
	CHECK(cu.cuEventRecord(event[3], stream[0]));
	CHECK(cu.cuStreamWaitEvent(stream[1], event[3], 0));
	launch(spin, o.kernel_ns / 2, stream[0]);
	CHECK(cu.cuEventRecord(event[2], stream[0]));
	launch(comms, o.kernel_ns, stream[1]);
	CHECK(cu.cuEventRecord(event[4], stream[1]));
	CHECK(cu.cuStreamSynchronize(stream[0]));
	CHECK(cu.cuStreamSynchronize(stream[1]));
	to = now();
	if (truth)
		fprintf(truth,
			"{\"kernel\":[%.0f,%.0f],\"comms\":[%.0f,%.0f],\"host\":[%" PRIu64
			",%" PRIu64 "]}\n",
			since_first(event[1]), since_first(event[2]), since_first(event[3]),
			since_first(event[4]), from, to);
}

static void step_copy(void)
{
	static cu_pointer device;
	static void *host;

	if (!host) {
		CHECK(cu.cuMemHostAlloc(&host, o.bytes, 0));
		CHECK(cu.cuMemAlloc_v2(&device, o.bytes));
	}
	CHECK(cu.cuEventRecord(event[1], stream[0]));
	CHECK(cu.cuMemcpyHtoDAsync_v2(device, host, o.bytes, stream[0]));
	CHECK(cu.cuEventRecord(event[2], stream[0]));
	CHECK(cu.cuStreamSynchronize(stream[0]));
	if (truth)
		fprintf(truth, "{\"memory\":[%.0f,%.0f]}\n", since_first(event[1]),
			since_first(event[2]));
}

static void step_storm(void)
{
	for (unsigned i = 0; i < o.launches; i++)
		launch(spin, 0, stream[0]);
	CHECK(cu.cuStreamSynchronize(stream[0]));
}

static void step_graph(void)
{
	static void *exec;
	void *graph;

	if (!exec) {
		CHECK(cu.cuStreamBeginCapture_v2(stream[0], 2)); /* relaxed */
		for (unsigned i = 0; i < o.launches; i++)
			launch(spin, 0, stream[0]);
		CHECK(cu.cuStreamEndCapture(stream[0], &graph));
		CHECK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
	}
	CHECK(cu.cuGraphLaunch(exec, stream[0]));
	CHECK(cu.cuStreamSynchronize(stream[0]));
}

static const struct {
	const char *name;
	void (*step)(void);
} modes[] = {
	{"storm", step_storm},	  {"graph", step_graph}, {"host", step_gap},
	{"sleep", step_gap},	  {"input", step_gap},	 {"fetch", step_gap},
	{"checkpoint", step_gap}, {"sync", step_gap},	 {"overlap", step_overlap},
	{"copy", step_copy},
};

static void run(void (*step)(void))
{
	const char *arms = getenv("WAVEOS_BENCH_ARMS"), *block = getenv("WAVEOS_BENCH_BLOCK");
	const char *file = getenv("WAVEOS_TUNE_STEPS");
	unsigned per_block = block ? (unsigned)atoi(block) : 0;
	FILE *steps = file && *file ? fopen(file, "we") : NULL;
	int arm = arms && *arms ? atoi(arms) : -1;

	if (arm >= 0 && set_level)
		set_level(arm);
	for (unsigned i = 0; i < o.steps; i++) {
		uint64_t begin, end;

		if (i && per_block && i % per_block == 0 && arms && (arms = strchr(arms, ','))) {
			arm = atoi(++arms);
			if (set_level)
				set_level(arm);
		}
		begin = now();
		step();
		end = now();
		if (tell_step)
			tell_step(i);
		if (steps)
			fprintf(steps,
				"{\"step\":%u,\"begin_ns\":%" PRIu64 ",\"end_ns\":%" PRIu64
				",\"arm\":%d,\"block\":%u}\n",
				i, begin, end, arm, per_block ? i / per_block : 0);
	}
	if (steps)
		fclose(steps);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"steps", 1, NULL, 's'},    {"kernel-us", 1, NULL, 'k'}, {"gap-us", 1, NULL, 'g'},
		{"launches", 1, NULL, 'l'}, {"bytes", 1, NULL, 'b'},	 {"truth", 1, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned long long n = optarg ? strtoull(optarg, NULL, 10) : 0;

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
		case 'l':
			o.launches = (unsigned)n;
			break;
		case 'b':
			o.bytes = n;
			break;
		case 't':
			o.truth = optarg;
			break;
		default:
			exit(2);
		}
	}
	if (optind == argc) {
		fprintf(stderr, "usage: planted MODE [--steps N] ... (see planted.c)\n");
		exit(2);
	}
	o.mode = argv[optind];
}

int main(int argc, char **argv)
{
	void (*step)(void) = NULL;

	parse(argc, argv);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, o.mode) == 0)
			step = modes[i].step;
	if (!step) {
		fprintf(stderr, "planted: no mode %s\n", o.mode);
		return 2;
	}
	/* before there is a context: children of one that has a device may not use it */
	if (strcmp(o.mode, "input") == 0 || strcmp(o.mode, "fetch") == 0)
		loader_start();
	load();
	truth = o.truth ? fopen(o.truth, "we") : NULL;
	for (size_t i = 0; i < sizeof(event) / sizeof(event[0]); i++)
		CHECK(cu.cuEventCreate(&event[i], 0));
	CHECK(cu.cuEventRecord(event[0], stream[0]));
	CHECK(cu.cuStreamSynchronize(stream[0]));
	run(step);
	if (truth)
		fclose(truth);
	if (loader.pid) {
		close(loader.to);
		waitpid(loader.pid, NULL, 0);
	}
	return 0;
}
