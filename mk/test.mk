# Tests. `check` runs all levels that can run here; each level can be run alone.

TEST_BINARIES := $(UNIT_TESTS:%=$(O)/tests/%)
CMOCKA_CFLAGS = $(shell $(PKG_CONFIG) --cflags cmocka)
CMOCKA_LIBS = $(shell $(PKG_CONFIG) --libs cmocka)

# $(@D) holds the dependency file too: a touched header rebuilds its tests
$(O)/tests/%: tests/unit/%.c $(O)/libwaveos.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(CMOCKA_CFLAGS) -MMD -MP -MF $@.d $(ALL_LDFLAGS) -o $@ $< \
		$(O)/libwaveos.a $(PKG_LIBS) $(CMOCKA_LIBS) -lm -pthread

-include $(wildcard $(O)/tests/*.d)

# only the test programs
.PHONY: tests
tests: $(TEST_BINARIES)

.PHONY: check check-unit check-host check-e2e check-vm
check: all $(TEST_BINARIES) $(GPU_TOOLS) ## runs build, unit, host, e2e and vm tests and prints one closing line
	$(Q)O=$(O) tests/run.sh build unit host e2e vm

check-unit: $(TEST_BINARIES) ## unit tests only (no root needed)
	$(Q)O=$(O) tests/run.sh unit

check-host: all $(TEST_BINARIES) $(GPU_TOOLS) ## tests on this machine's kernel (root)
	$(Q)O=$(O) tests/run.sh host

check-e2e: all ## tests with the real parts around the agent: Prometheus, Alertmanager, Chromium ... (root)
	$(Q)O=$(O) tests/run.sh e2e

.PHONY: e2e-aws
e2e-aws: all ## secrets from AWS's API as moto has it, in a chroot of Debian 13 (root, a minute)
	$(Q)O=$(O) tests/e2e/aws/secrets.sh

check-vm: all ## tests on Debian kernels under qemu
	$(Q)O=$(O) tests/run.sh vm

.PHONY: soak
soak: all $(TEST_BINARIES) $(GPU_TOOLS) ## everything, the long tests included
	$(Q)O=$(O) SOAK=1 tests/run.sh build unit host e2e vm

.PHONY: e2e-grafana
e2e-grafana: all ## draws every dashboard panel by Grafana's components in Chromium (root; 660 MB of npm packages)
	$(Q)O=$(O) SOAK=1 ONLY='31-grafana*' tests/run.sh e2e
