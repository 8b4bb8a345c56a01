# The agent: one binary.

USER_OBJECTS := $(USER_SOURCES:%.c=$(O)/%.o)

# which skeletons a source includes, so that the first build makes them before it ("file:skel/...")
SKELETON_USES := $(shell grep -oHE 'skel/[a-z_]+\.(btf|raw)\.skel\.h' $(USER_SOURCES))
$(foreach use,$(SKELETON_USES),$(eval $(O)/$(patsubst %.c,%.o,$(firstword $(subst :, ,$(use)))): | $(O)/$(lastword $(subst :, ,$(use)))))

# the page: its files, compressed, in one header
WEB_ASSETS := $(sort $(wildcard user/web/*.html user/web/*.js user/web/*.css user/web/*.svg user/web/vendor/*.js user/web/vendor/*.css))
$(O)/web/assets.h: mk/assets.sh $(WEB_ASSETS)
	$(call say,ASSETS,$@)
	@mkdir -p $(@D)
	$(Q)mk/assets.sh $(@D) $(WEB_ASSETS) >$@.tmp && mv $@.tmp $@
$(O)/user/export/web_page.o: | $(O)/web/assets.h

# loops over lanes, which are to become vector code
$(O)/user/policy/columns.o $(O)/user/policy/vm_block.o: FILE_CFLAGS := -O3

$(O)/user/%.o: user/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(O)/gpu/%.o: gpu/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# what tests and fuzzers link: they get what they use, and the linker reads the rest no further
$(O)/libwaveos.a: $(USER_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcsT $@ $^

$(O)/waveos-bpf: $(O)/user/main.o $(USER_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm -pthread

-include $(wildcard $(O)/user/*.d $(O)/user/*/*.d $(O)/gpu/*.d $(O)/gpu/*/*.d)
