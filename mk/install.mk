PREFIX ?= /usr
DESTDIR ?=
SYSTEMD_UNITS ?= /lib/systemd/system

.PHONY: install
install: all ## installs binary, man page, sample configuration and unit under DESTDIR
	install -D -m 0755 $(O)/waveos-bpf $(DESTDIR)$(PREFIX)/sbin/waveos-bpf
	install -d $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0644 docs/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 0644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -D -m 0644 packaging/waveos.yaml $(DESTDIR)$(PREFIX)/share/doc/waveos-bpf/waveos.yaml
	install -D -m 0644 packaging/systemd/waveos-bpf.service $(DESTDIR)$(SYSTEMD_UNITS)/waveos-bpf.service
	install -d $(DESTDIR)$(PREFIX)/share/waveos-bpf/units
	install -m 0644 packaging/systemd/*.conf $(DESTDIR)$(PREFIX)/share/waveos-bpf/units/
	install -D -m 0644 packaging/systemd/sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/waveos-bpf.conf
	install -D -m 0644 packaging/systemd/tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/waveos-bpf.conf
	packaging/completion.sh $(O)/waveos-bpf $(DESTDIR)$(PREFIX)
