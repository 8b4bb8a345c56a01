PREFIX ?= /usr
DESTDIR ?=

.PHONY: install
install: all ## installs binary, man pages and unit under DESTDIR
	install -D -m 0755 $(O)/waveos-bpf $(DESTDIR)$(PREFIX)/sbin/waveos-bpf
