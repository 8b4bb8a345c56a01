# waveos-bpf: lists only; the rules are in mk/*.mk. `make help` says what there is.
#   O=DIR     where everything is built (default: build)
#   CC=clang  the other compiler          SAN=1  with ASan and UBSan (use another O)
#   V=1       show commands

O ?= build
VERSION := 0.1.0

# one BPF object a subsystem: bpf/<name>.bpf.c, built for BTF and for raw tracepoints
BPF_OBJECTS := $(sort $(patsubst bpf/%.bpf.c,%,$(wildcard bpf/*.bpf.c)))
# everything but main.c is also linked into the tests
# gpu/*.c and its folders, but for gpu/cupti: that is a library of its own (mk/gpu.mk), which runs in others' processes
USER_SOURCES := $(sort $(wildcard user/*/*.c gpu/*.c gpu/tune/*.c gpu/jobs/*.c gpu/topo/*.c))
UNIT_TESTS := $(sort $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c)))

PKGS := libbpf libelf zlib json-c libsystemd libcrypto yaml-0.1 libmicrohttpd ncursesw libseccomp libcap-ng libzstd libssl

.DEFAULT_GOAL := all
include mk/toolchain.mk mk/bpf.mk mk/user.mk mk/gpu.mk mk/test.mk mk/fuzz.mk mk/lint.mk mk/docs.mk mk/bench.mk mk/install.mk mk/package.mk mk/sim.mk mk/k8s.mk

.PHONY: all
all: deps-check $(O)/waveos-bpf

.PHONY: run
run: setup ## sets up, builds, attaches to this machine for a while and shows figures and files
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/run-demo.sh $(O)/waveos-bpf

.PHONY: test
test: setup ## sets up, builds, runs every test level that can run here
	$(Q)$(MAKE) --no-print-directory all check

.PHONY: setup
setup: ## installs what is missing (Debian packages)
	$(Q)packaging/setup.sh

.PHONY: clean
clean:
	rm -rf $(O)

.PHONY: help
help:
	@grep -hE '^[a-z-]+:.*##' Makefile mk/*.mk | sed 's/:.*## /\t/' | sort | expand -t 16
