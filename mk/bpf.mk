# BPF: every source becomes two objects, <name>.btf.bpf.o and <name>.raw.bpf.o (see bpf/lib/waveos.bpf.h),
# and each of those a header with its bytes, packed (what of bpftool's skeletons is used).

BPF_CPPFLAGS = -D__TARGET_ARCH_$(BPF_ARCH_$(ARCH)) -Ivmlinux/$(ARCH) -Ibpf -Ibpf/lib -Iinclude
BPF_CFLAGS := -target bpf -mcpu=v2 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-declarations \
	$(HERE_IS_DOT)

BPF_SKELETONS := $(foreach o,$(BPF_OBJECTS),$(O)/skel/$(o).btf.skel.h $(O)/skel/$(o).raw.skel.h)

$(O)/bpf/%.btf.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) $(BPF_CPPFLAGS) -MMD -MP -MF $@.d -c $< -o $@

$(O)/bpf/%.raw.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -DWV_RAW_TP $(BPF_CPPFLAGS) -MMD -MP -MF $@.d -c $< -o $@

# bpftool gen object drops what the compiler left beyond BTF and code
$(O)/skel/%.btf.skel.h: $(O)/bpf/%.btf.bpf.o mk/embed.sh
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen object $(O)/bpf/$*.btf.linked.o $<
	$(Q)mk/embed.sh $*_btf $(O)/bpf/$*.btf.linked.o >$@.tmp && mv $@.tmp $@

# the raw build is kept as a difference from the one for BTF
$(O)/skel/%.raw.skel.h: $(O)/bpf/%.raw.bpf.o $(O)/skel/%.btf.skel.h mk/embed.sh
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen object $(O)/bpf/$*.raw.linked.o $<
	$(Q)mk/embed.sh $*_raw $(O)/bpf/$*.raw.linked.o $(O)/bpf/$*.btf.linked.o >$@.tmp && mv $@.tmp $@

.SECONDARY:
-include $(wildcard $(O)/bpf/*.d)
