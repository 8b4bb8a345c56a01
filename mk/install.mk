PREFIX ?= /usr
DESTDIR ?=
SYSTEMD_UNITS ?= /lib/systemd/system
# what is installed: packages are made of a binary that was built before
BINARY ?= $(O)/waveos-bpf
# beside that executable, or as it was built here
CUPTI_LIBRARY ?= $(firstword $(wildcard $(dir $(BINARY))libwaveos_cupti.so) $(O)/libwaveos_cupti.so)

.PHONY: install install-files
install: all install-files ## installs binary, man pages, units, users, completions and the sample configuration under DESTDIR

install-files:
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/sbin/waveos-bpf
	install -D -m 0644 $(CUPTI_LIBRARY) $(DESTDIR)$(PREFIX)/lib/waveos-bpf/libwaveos_cupti.so
	install -d $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/waveos-bpf/units
	install -m 0644 docs/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 0644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -D -m 0644 packaging/waveos.yaml $(DESTDIR)$(PREFIX)/share/doc/waveos-bpf/examples/waveos.yaml
	install -d $(DESTDIR)$(PREFIX)/share/waveos-bpf/python/waveos
	install -m 0644 gpu/python/sitecustomize.py $(DESTDIR)$(PREFIX)/share/waveos-bpf/python/
	install -m 0644 gpu/python/waveos/*.py $(DESTDIR)$(PREFIX)/share/waveos-bpf/python/waveos/
	install -m 0644 packaging/systemd/*.conf $(DESTDIR)$(PREFIX)/share/waveos-bpf/units/
	install -D -m 0644 packaging/systemd/waveos-bpf.service $(DESTDIR)$(SYSTEMD_UNITS)/waveos-bpf.service
	install -D -m 0644 packaging/systemd/sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/waveos-bpf.conf
	install -D -m 0644 packaging/systemd/tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/waveos-bpf.conf
	packaging/completion.sh $(BINARY) $(DESTDIR)$(PREFIX)
