# Benchmarks: programs that only measure.
$(O)/bench/%: tests/bench/%.c
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(PKG_LIBS)

$(O)/bench/%.bpf.o: tests/bench/%.bpf.c
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) $(BPF_CPPFLAGS) -c $< -o $@

.PHONY: bench
bench: setup ## measures every figure of docs/benchmarks.md (root, takes minutes)
	$(Q)$(MAKE) --no-print-directory all $(O)/bench/hook_cost $(O)/bench/empty.bpf.o
	$(Q)O=$(O) tests/bench/run.sh
