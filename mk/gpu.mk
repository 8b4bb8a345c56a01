# GPU: programs that tests and benchmarks of it run (tests/gpu).
GPU_TOOLS := $(patsubst tests/gpu/%.c,$(O)/gpu-test/%,$(wildcard tests/gpu/*.c))

$(O)/gpu-test/%: tests/gpu/%.c $(O)/libwaveos.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -MF $@.d $(ALL_LDFLAGS) -o $@ $< $(O)/libwaveos.a $(PKG_LIBS) -lm -pthread

# plays on a GPU what is known of before; needs nothing but the driver, by dlopen
$(O)/gpu-test/planted: tests/gpu/bench/planted.c
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -ldl

GPU_TOOLS += $(O)/gpu-test/planted
-include $(wildcard $(O)/gpu-test/*.d)

# The profiler library, which runs in others' processes (docs/gpu-profiler.md): nothing but libc, and
# nothing to be seen but its few entries.
CUPTI_SOURCES := $(sort $(wildcard gpu/cupti/*.c) $(filter-out gpu/period.c,$(wildcard gpu/*.c)))
CUPTI_OBJECTS := $(CUPTI_SOURCES:%.c=$(O)/cupti/%.o)
SHARED_LDFLAGS = -shared -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodelete -Wl,--as-needed $(LDFLAGS)

$(O)/cupti/%.o: %.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(WARNINGS) $(HARDENING) -fPIC -fvisibility=hidden $(FLOATING) $(HERE_IS_DOT) $(CFLAGS) \
		-MMD -MP -c $< -o $@

$(O)/libwaveos_cupti.so: $(CUPTI_OBJECTS) gpu/cupti/exports.map
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(SHARED_LDFLAGS) -Wl,--version-script=gpu/cupti/exports.map -Wl,-soname,libwaveos_cupti.so \
		-o $@ $(CUPTI_OBJECTS) -pthread -ldl

all: $(O)/libwaveos_cupti.so

# a driver and a CUPTI without a GPU (tests/gpu/fake/README.md)
FAKE_CFLAGS = -std=gnu11 $(WARNINGS) -fPIC $(HERE_IS_DOT) $(CFLAGS)
FAKES := $(O)/gpu/fake/libcuda.so.1 $(O)/gpu/fake/libnvidia-ml.so.1 $(O)/gpu/fake/libnvidia-ml-old.so.1 $(O)/gpu/fake/libcupti.so.13 $(O)/gpu/fake_train $(O)/gpu/receive $(O)/gpu/replay

$(O)/gpu/fake/libcuda.so.1: tests/gpu/fake/libcuda.c tests/gpu/fake/fake.h
	$(call say,FAKE,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) $(SHARED_LDFLAGS) -Wl,-soname,libcuda.so.1 -o $@ $< -pthread -ldl

$(O)/gpu/fake/libcupti.so.13: tests/gpu/fake/libcupti.c tests/gpu/fake/fake.h gpu/cupti/abi.h
	$(call say,FAKE,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) $(SHARED_LDFLAGS) -Wl,-soname,libcupti.so.13 -o $@ $< -pthread -ldl

$(O)/gpu/fake/libnvidia-ml.so.1: tests/gpu/fake/libnvml.c user/gpu/nvml.h
	$(call say,FAKE,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) $(SHARED_LDFLAGS) -Wl,-soname,libnvidia-ml.so.1 -o $@ $<

$(O)/gpu/fake/libnvidia-ml-old.so.1: tests/gpu/fake/libnvml.c user/gpu/nvml.h
	$(call say,FAKE,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) -DFAKE_OLD $(SHARED_LDFLAGS) -Wl,-soname,libnvidia-ml.so.1 -o $@ $<

$(O)/gpu/fake_train: tests/gpu/fake/train.c tests/gpu/fake/fake.h $(O)/gpu/fake/libcuda.so.1
	$(call say,FAKE,$@)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) $(LDFLAGS) -o $@ $< $(O)/gpu/fake/libcuda.so.1 -Wl,-rpath,'$$ORIGIN/fake' -pthread -ldl

# a hub in miniature: prints the frames that come as JSON lines
$(O)/gpu/receive: tests/gpu/fake/receive.c gpu/ring.c gpu/ring.h include/waveos/gpu.h
	$(call say,FAKE,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) $(LDFLAGS) -o $@ $< gpu/ring.c

# recorded activity buffers through the library's own code, without a GPU
$(O)/gpu/replay: tests/gpu/fake/replay.c $(CUPTI_OBJECTS)
	$(call say,FAKE,$@)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) $(LDFLAGS) -o $@ $< $(CUPTI_OBJECTS) -pthread -ldl

.PHONY: gpu-fakes
GPU_TOOLS += $(FAKES)
gpu-fakes: $(O)/libwaveos_cupti.so $(FAKES)
-include $(CUPTI_OBJECTS:.o=.d)

# measures the library's own code (its entries stay what they are)
$(O)/bench/gpu_record: tests/bench/gpu_record.c $(CUPTI_OBJECTS)
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(FAKE_CFLAGS) $(LDFLAGS) -o $@ $< $(CUPTI_OBJECTS) -pthread -ldl

# On a machine with a GPU: every stage ends within ten minutes. STAGE=overhead-gpt runs one; FAKE=1 tries the harness without a GPU.
GPU_PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
.PHONY: gpu-bench gpu-bench-table
gpu-bench: all $(GPU_TOOLS) ## benchmarks on a GPU, all stages or STAGE=NAME; FAKE=1: tries the harness
	$(Q)O=$(O) $(GPU_PYTHON) tests/gpu/bench/run.py $(or $(STAGE),all) --out $(O)/gpu-bench $(if $(FAKE),--fake)

gpu-bench-table: ## writes the table of docs/gpu-benchmarks.md from results in $(O)/gpu-bench
	$(Q)$(GPU_PYTHON) tests/gpu/bench/run.py --table $(O)/gpu-bench docs/gpu-benchmarks.md
