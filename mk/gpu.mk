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
