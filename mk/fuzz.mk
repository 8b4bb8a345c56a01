# Fuzzing: libFuzzer targets that call the real parsers (tests/fuzz/fuzz_*.c), built apart with clang, ASan and UBSan.
#   make fuzz                    each for FUZZ_SECONDS (60), two at a time; finds are kept below $(O)-fuzz
#   make fuzz FUZZ_ONLY='note log'
# A target whose head has "needs: FILE" is built where that file exists.
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_TARGETS := $(shell for f in tests/fuzz/fuzz_*.c; do n=$$(sed -n '1,8s/.*needs: *\([^ ]*\).*/\1/p' $$f); \
	{ [ -z "$$n" ] || [ -e "$$n" ]; } && basename $$f .c; done)

# in the build folder of fuzzers only
$(O)/fuzz/%: tests/fuzz/%.c $(O)/libwaveos.a
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< $(O)/libwaveos.a $(PKG_LIBS) \
		-lm -pthread

-include $(wildcard $(O)/fuzz/*.d)

.PHONY: fuzz fuzz-build fuzz-targets
fuzz-targets: $(FUZZ_TARGETS:%=$(O)/fuzz/%)
fuzz-build:
	$(Q)$(MAKE) --no-print-directory O=$(O)-fuzz CC=clang HARDENING=-fPIE LINK_HARDENING= \
		CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link $(FUZZ_SAN)' fuzz-targets
fuzz: ## every fuzzer for FUZZ_SECONDS, two at a time, and all inputs that were kept
	$(Q)O=$(O) bash tests/build/08-fuzz.sh
