// SPDX-License-Identifier: GPL-2.0-only
#include "user/gpu/nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

int wv_nvml_load(enum wv_nvml_use use, struct wv_nvml *ret)
{
	enum { BOTH = WV_NVML_METERS | WV_NVML_TOPOLOGY, NONE = 0 };
	struct wv_nvml n = {0};
	const struct {
		const char *name, *before; /* what it was called in older drivers */
		unsigned need;		   /* uses that are nothing without it */
		void *to;
	} rows[] = {
		{"nvmlInit_v2", NULL, BOTH, &n.init},
		{"nvmlShutdown", NULL, BOTH, &n.shutdown},
		{"nvmlDeviceGetCount_v2", NULL, BOTH, &n.count},
		{"nvmlDeviceGetHandleByIndex_v2", NULL, BOTH, &n.handle},
		{"nvmlDeviceGetUUID", NULL, BOTH, &n.uuid},
		{"nvmlDeviceGetName", NULL, WV_NVML_TOPOLOGY, &n.name},
		{"nvmlDeviceGetMemoryInfo", NULL, WV_NVML_TOPOLOGY, &n.memory},
		{"nvmlDeviceGetMigMode", NULL, WV_NVML_TOPOLOGY, &n.mig_mode},
		{"nvmlDeviceGetMaxMigDeviceCount", NULL, WV_NVML_TOPOLOGY, &n.mig_max},
		{"nvmlDeviceGetMigDeviceHandleByIndex", NULL, WV_NVML_TOPOLOGY, &n.mig_handle},
		{"nvmlDeviceGetPciInfo_v3", NULL, WV_NVML_TOPOLOGY, &n.pci},
		{"nvmlDeviceGetCudaComputeCapability", NULL, WV_NVML_TOPOLOGY, &n.capability},
		{"nvmlDeviceGetMaxPcieLinkGeneration", NULL, WV_NVML_TOPOLOGY, &n.generation},
		{"nvmlDeviceGetMaxPcieLinkWidth", NULL, WV_NVML_TOPOLOGY, &n.width},
		{"nvmlDeviceGetNvLinkState", NULL, WV_NVML_TOPOLOGY, &n.link_state},
		{"nvmlDeviceGetNvLinkRemotePciInfo_v2", NULL, WV_NVML_TOPOLOGY, &n.link_remote},
		{"nvmlDeviceGetNvLinkVersion", NULL, WV_NVML_TOPOLOGY, &n.link_version},
		{"nvmlDeviceGetUtilizationRates", NULL, NONE, &n.rates},
		{"nvmlDeviceGetPowerUsage", NULL, NONE, &n.power},
		{"nvmlDeviceGetTotalEnergyConsumption", NULL, NONE, &n.energy},
		{"nvmlDeviceGetTemperature", NULL, NONE, &n.temperature},
		{"nvmlDeviceGetClockInfo", NULL, NONE, &n.clock},
		{"nvmlDeviceGetCurrentClocksEventReasons",
		 "nvmlDeviceGetCurrentClocksThrottleReasons", NONE, &n.throttle},
		{"nvmlDeviceGetPcieThroughput", NULL, NONE, &n.pcie},
		{"nvmlDeviceGetTotalEccErrors", NULL, NONE, &n.ecc},
	};
	const char *other = secure_getenv("WAVEOS_NVML_LIBRARY");
	void *lib = dlopen(other && *other ? other : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return -ENOPKG;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		void *symbol = dlsym(lib, rows[i].name);

		if (!symbol && rows[i].before)
			symbol = dlsym(lib, rows[i].before);
		if (!symbol && rows[i].need & use) {
			dlclose(lib);
			return -ENOEXEC;
		}
		memcpy(rows[i].to, &symbol, sizeof(symbol));
	}
	*ret = n; /* the library stays: threads of the driver may be in it */
	return 0;
}

struct reading {
	void (*came_back)(void *ctx);
	void *ctx;
	bool lost;
};

/* Whether a call told something. */
static bool said(struct reading *r, int result)
{
	if (r->came_back)
		r->came_back(r->ctx);
	r->lost |= result == WV_NVML_LOST;
	return result == 0;
}

static void read_small(const struct wv_nvml *nvml, void *device, struct reading *r,
		       struct wv_gpu_meter *m)
{
	/* nvmlTemperatureSensors_t, nvmlClockType_t, nvmlPcieUtilCounter_t */
	enum { SENSOR_GPU = 0, CLOCK_SM = 1, CLOCK_MEMORY = 2, PCIE_TX = 0, PCIE_RX = 1 };
	unsigned v = 0;

	if (nvml->power && said(r, nvml->power(device, &v)))
		m->power_mw = v;
	if (nvml->temperature && said(r, nvml->temperature(device, SENSOR_GPU, &v)))
		m->temperature_c = v;
	if (nvml->clock && said(r, nvml->clock(device, CLOCK_SM, &v)))
		m->sm_clock_mhz = v;
	if (nvml->clock && said(r, nvml->clock(device, CLOCK_MEMORY, &v)))
		m->memory_clock_mhz = v;
	/* each looks for 20 ms, and tells KB/s */
	if (nvml->pcie && said(r, nvml->pcie(device, PCIE_TX, &v)))
		m->pcie_tx_bytes_s = v * 1000ULL;
	if (nvml->pcie && said(r, nvml->pcie(device, PCIE_RX, &v)))
		m->pcie_rx_bytes_s = v * 1000ULL;
}

int wv_nvml_read(const struct wv_nvml *nvml, void *device, bool slice, void (*came_back)(void *ctx),
		 void *ctx, struct wv_gpu_meter *ret)
{
	/* nvmlMemoryErrorType_t, nvmlEccCounterType_t: those since the driver was loaded */
	enum { UNCORRECTED = 1, VOLATILE = 0 };
	struct reading r = {.came_back = came_back, .ctx = ctx};
	struct wv_nvml_memory memory = {0};
	struct wv_nvml_rates rates = {0};
	unsigned long long v = 0;
	struct wv_gpu_meter m;

	memset(&m, 0xff, sizeof(m));
	if (nvml->memory && said(&r, nvml->memory(device, &memory))) {
		m.memory_total_bytes = memory.total;
		m.memory_used_bytes = memory.used;
	}
	if (!slice) {
		if (nvml->rates && said(&r, nvml->rates(device, &rates)))
			m.busy_permille = rates.gpu * 10ULL;
		if (nvml->energy && said(&r, nvml->energy(device, &v)))
			m.energy_mj = v;
		if (nvml->throttle && said(&r, nvml->throttle(device, &v)))
			m.throttle = v;
		if (nvml->ecc && said(&r, nvml->ecc(device, UNCORRECTED, VOLATILE, &v)))
			m.ecc_errors = v;
		read_small(nvml, device, &r, &m);
	}
	if (r.lost)
		return -ENODEV;
	*ret = m;
	return 0;
}
