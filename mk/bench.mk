# Benchmarks: programs that only measure. `make bench ROWS="hook scrape"` measures some rows anew and keeps the rest.
BENCH_TOOLS := $(patsubst tests/bench/%.c,$(O)/bench/%,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)))
BENCH_OBJECTS := $(patsubst tests/bench/%.c,$(O)/bench/%.o,$(wildcard tests/bench/*.bpf.c))

$(O)/bench/%: tests/bench/%.c
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(PKG_LIBS) -pthread

# measures the agent's own code
$(O)/bench/wake_cost $(O)/bench/turn_cost $(O)/bench/eval_cost $(O)/bench/policy_cost $(O)/bench/evidence_verify $(O)/bench/evidence_append: $(O)/bench/%: tests/bench/%.c $(USER_OBJECTS)
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(USER_OBJECTS) $(PKG_LIBS) -lm -pthread

$(O)/bench/%.bpf.o: tests/bench/%.bpf.c bpf/lib/waveos.bpf.h bpf/lib/maps.bpf.h include/waveos/wire.h
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) $(BPF_CPPFLAGS) -c $< -o $@

.PHONY: bench bench-tools
bench-tools: $(BENCH_TOOLS) $(BENCH_OBJECTS)

bench: setup ## measures every figure of docs/benchmarks.md (root, takes half an hour)
	$(Q)$(MAKE) --no-print-directory all bench-tools
	$(Q)O=$(O) tests/bench/run.sh $(ROWS)
