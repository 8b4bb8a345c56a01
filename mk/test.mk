# Tests. `check` runs all levels that can run here; each level can be run alone.

TEST_BINARIES := $(UNIT_TESTS:%=$(O)/tests/%)
CMOCKA_CFLAGS = $(shell $(PKG_CONFIG) --cflags cmocka)
CMOCKA_LIBS = $(shell $(PKG_CONFIG) --libs cmocka)

# $(@D) holds the dependency file too: a touched header rebuilds its tests
$(O)/tests/%: tests/unit/%.c $(USER_OBJECTS)
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(CMOCKA_CFLAGS) -MMD -MP -MF $@.d $(ALL_LDFLAGS) -o $@ $< \
		$(USER_OBJECTS) $(PKG_LIBS) $(CMOCKA_LIBS) -lm -pthread

-include $(wildcard $(O)/tests/*.d)

# only the test programs
.PHONY: tests
tests: $(TEST_BINARIES)

.PHONY: check check-unit check-host check-vm
check: all $(TEST_BINARIES) ## runs unit, build, host and vm tests and prints one closing line
	$(Q)O=$(O) tests/run.sh build unit host vm

check-unit: $(TEST_BINARIES) ## unit tests only (no root needed)
	$(Q)O=$(O) tests/run.sh unit

check-host: all $(TEST_BINARIES) ## tests on this machine's kernel (root)
	$(Q)O=$(O) tests/run.sh host

check-vm: all ## tests on Debian kernels under qemu
	$(Q)O=$(O) tests/run.sh vm

.PHONY: soak
soak: all $(TEST_BINARIES) ## everything, the long tests included
	$(Q)O=$(O) SOAK=1 tests/run.sh build unit host vm

# libFuzzer targets, ten lines each, that call the real parsers. FUZZ_SECONDS for each.
FUZZ_SECONDS ?= 60
FUZZ_SAN := -fsanitize=address,undefined
.PHONY: fuzz fuzz-objects
fuzz-objects: $(USER_OBJECTS)
fuzz: ## runs each fuzzer for FUZZ_SECONDS
	$(Q)$(MAKE) --no-print-directory O=$(O)-fuzz CC=clang HARDENING=-fPIE \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link $(FUZZ_SAN)' fuzz-objects
	$(Q)for t in tests/fuzz/fuzz_*.c; do name=$$(basename $$t .c); \
		clang $(CPPFLAGS) -I$(O)-fuzz -std=gnu11 -O1 -g -fsanitize=fuzzer $(FUZZ_SAN) -o $(O)-fuzz/$$name $$t \
			$(USER_OBJECTS:$(O)/%=$(O)-fuzz/%) $(PKG_LIBS) -lm -pthread && \
		mkdir -p $(O)-fuzz/corpus-$$name && \
		$(O)-fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -max_len=4096 $(O)-fuzz/corpus-$$name \
			$$(ls -d tests/fuzz/seeds/$$name 2>/dev/null) || exit 1; done
