// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fake libnvidia-ml.so.1: FAKE_NVML_DEVICES (1) devices that are those of the fake libcuda, each
 * with figures that tell it from the others. FAKE_NVML_FAULT names a fault, or with a leading @ a
 * file whose first word does, read at each call: block   calls never come back          slow each
 * takes a second error   meters answer "unknown error"  lost     device 0 has fallen off the bus
 *   init    nvmlInit fails                 crash    the process ends by SIGSEGV
 *   mig     device 0 is cut into two slices, of the fake libcuda's device 1 and 2's identity
 * With -DFAKE_OLD it is a driver from before the energy counter and the newer names.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/gpu/nvml.h"

#define DEVICES 16
#define UNKNOWN_ERROR 999
#define NOT_SUPPORTED 3
#define NOT_FOUND 6

/* a handle is the address of its number */
static const int number[2 * DEVICES] = {0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10,
					11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
					22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

static const char *fault(void)
{
	static char word[32];
	const char *f = getenv("FAKE_NVML_FAULT");
	FILE *file;

	if (!f || *f != '@')
		return f ? f : "";
	word[0] = '\0';
	file = fopen(f + 1, "re");
	if (file) {
		if (fscanf(file, "%31s", word) != 1)
			word[0] = '\0';
		fclose(file);
	}
	return word;
}

static int is(const char *name)
{
	return strcmp(fault(), name) == 0;
}

static int of(const void *device)
{
	return *(const int *)device;
}

/* What goes wrong with any call; 0: nothing. */
static int trouble(const void *device)
{
	const struct timespec second = {1, 0};

	if (is("crash"))
		raise(SIGSEGV);
	while (is("block"))
		sleep(1000000);
	if (is("slow"))
		nanosleep(&second, NULL);
	if (device && of(device) == 0 && is("lost"))
		return WV_NVML_LOST;
	return device && is("error") ? UNKNOWN_ERROR : 0;
}

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *n);
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device);
int nvmlDeviceGetUUID(void *device, char *buf, unsigned size);
int nvmlDeviceGetName(void *device, char *buf, unsigned size);
int nvmlDeviceGetMemoryInfo(void *device, struct wv_nvml_memory *m);
int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later);
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *n);
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned i, void **slice);
int nvmlDeviceGetUtilizationRates(void *device, struct wv_nvml_rates *r);
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj);
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *c);
int nvmlDeviceGetClockInfo(void *device, int which, unsigned *mhz);
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits);
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits);
int nvmlDeviceGetPcieThroughput(void *device, int counter, unsigned *kb_s);
int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *n);

int nvmlInit_v2(void)
{
	return is("init") ? UNKNOWN_ERROR : trouble(NULL);
}

int nvmlShutdown(void)
{
	return 0;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
	const char *d = getenv("FAKE_NVML_DEVICES");

	*n = d ? (unsigned)atoi(d) : 1;
	return trouble(NULL);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device)
{
	if (i >= DEVICES)
		return NOT_FOUND;
	*device = (void *)(uintptr_t)&number[i];
	return trouble(NULL);
}

int nvmlDeviceGetUUID(void *device, char *buf, unsigned size)
{
	int i = of(device), slice = i >= DEVICES;

	snprintf(buf, size, "%s-fafafafa-fafa-fafa-fafa-fafafafafa%02x", slice ? "MIG" : "GPU",
		 slice ? (unsigned)(i - DEVICES + 1) : (unsigned)i);
	return 0;
}

int nvmlDeviceGetName(void *device, char *buf, unsigned size)
{
	snprintf(buf, size, "Fake GPU%s", of(device) >= DEVICES ? " slice" : "");
	return 0;
}

int nvmlDeviceGetMemoryInfo(void *device, struct wv_nvml_memory *m)
{
	m->total = of(device) >= DEVICES ? 10ULL << 30 : 80ULL << 30;
	m->used = (unsigned long long)(of(device) + 1) << 30;
	m->free = m->total - m->used;
	return trouble(device);
}

int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later)
{
	*now = *later = of(device) == 0 && is("mig");
	return 0;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *n)
{
	(void)device;
	*n = 7;
	return 0;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned i, void **slice)
{
	(void)device;
	if (i != 1 && i != 4) /* places need not be taken in order */
		return NOT_FOUND;
	*slice = (void *)(uintptr_t)&number[DEVICES + (i == 4)];
	return 0;
}

int nvmlDeviceGetUtilizationRates(void *device, struct wv_nvml_rates *r)
{
	r->gpu = 60 + (unsigned)of(device);
	r->memory = 30;
	return trouble(device);
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *mw)
{
	*mw = 300000 + 1000 * (unsigned)of(device);
	return trouble(device);
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *c)
{
	*c = 50 + (unsigned)of(device);
	return sensor ? NOT_SUPPORTED : trouble(device);
}

int nvmlDeviceGetClockInfo(void *device, int which, unsigned *mhz)
{
	*mhz = which == 1 ? 1755 : 2619;
	return which == 1 || which == 2 ? trouble(device) : NOT_SUPPORTED;
}

#ifndef FAKE_OLD
/* 300 W all the time */
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	*mj = 300ULL *
	      ((unsigned long long)t.tv_sec * 1000 + (unsigned long long)t.tv_nsec / 1000000);
	return trouble(device);
}

int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits)
{
	*bits = 4; /* a power cap */
	return trouble(device);
}
#endif

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits)
{
	*bits = 8;
	return trouble(device);
}

int nvmlDeviceGetPcieThroughput(void *device, int counter, unsigned *kb_s)
{
	*kb_s = counter ? 5000 : 3000;
	return trouble(device);
}

int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *n)
{
	(void)device;
	*n = kind == 1 && counter == 0 ? 2 : 77;
	return NOT_SUPPORTED * (of(device) != 0);
}
