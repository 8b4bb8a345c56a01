# The crash simulator (docs/crash-testing.md): production code on a simulated disk.
SIM_OBJECTS := $(patsubst %.c,$(O)/%.o,$(wildcard tests/sim/*.c))

$(O)/tests/sim/%.o: tests/sim/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(O)/sim: $(SIM_OBJECTS) $(USER_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm -pthread

# real power cuts (tests/vm/powercut.sh): the disk, and the scenarios as a program of the guest
$(O)/cutdisk: tests/vm/tools/cutdisk.c
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $<

$(O)/cutwork: tests/vm/tools/cutwork.c $(filter-out $(O)/tests/sim/main.o,$(SIM_OBJECTS)) $(USER_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm -pthread

-include $(wildcard $(O)/tests/sim/*.d)

.PHONY: sim
sim: $(O)/sim ## power cuts at every point of the durable parts, simulated: the fast subset
	$(Q)O=$(O) bash tests/build/07-crash-states.sh
