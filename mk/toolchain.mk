# Compilers, flags, quiet output.

V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' "$(1)" "$(2)"
else
Q :=
say = @:
endif

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config

ARCH := $(shell uname -m)
BPF_ARCH_x86_64 := x86
BPF_ARCH_aarch64 := arm64

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wundef -Wwrite-strings -Wno-format-nonliteral
HARDENING := -fstack-protector-strong -fstack-clash-protection -fPIE -D_FORTIFY_SOURCE=2 \
	-fno-strict-overflow -fno-delete-null-pointer-checks
LINK_HARDENING := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed

# no path of the build folder in what is built (BTF and debug information name sources): two folders, the same bytes
HERE_IS_DOT := -ffile-prefix-map=$(CURDIR)=.

CPPFLAGS += -D_GNU_SOURCE -DWV_VERSION='"$(VERSION)"' -I. -Iinclude -I$(O)
CFLAGS ?= -O2 -g
# replay is bit-identical: no fused multiply-add, which would round differently on some machines
FLOATING := -ffp-contract=off
ALL_CFLAGS = -std=gnu11 $(WARNINGS) $(HARDENING) $(FLOATING) $(HERE_IS_DOT) $(CFLAGS) $(FILE_CFLAGS) $(PKG_CFLAGS)
ALL_LDFLAGS = $(LINK_HARDENING) $(LDFLAGS)

SAN ?= 0
ifeq ($(SAN),1)
HARDENING := -fPIE
CFLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS += -fsanitize=address,undefined
endif

# evaluated when first used, so that `make setup` works before the packages exist
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS)))$(PKG_LIBS)

.PHONY: deps-check
deps-check:
	@packaging/setup.sh --check
