# What users install (packaging/, docs/packaging.md): everything goes to $(O)/dist.
DIST := $(O)/dist
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# the last change, not the time of the build: two builds give the same bytes
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
# zstd is the smaller by a fifth; gzip is for runtimes that are older than containerd 1.5, Docker 23 or Podman 3
IMAGE_COMPRESSION ?= zstd

.PHONY: image
image: all ## OCI image archive from scratch: $(O)/dist/waveos-bpf-VERSION.oci.tar
	$(Q)mkdir -p $(DIST) $(O)/oci
	$(Q)packaging/oci/rootfs.sh $(O)/waveos-bpf $(O)/oci/rootfs
	$(Q)packaging/oci/image.py --rootfs $(O)/oci/rootfs --output $(DIST)/waveos-bpf-$(VERSION).oci.tar \
		--compression $(IMAGE_COMPRESSION) --version $(VERSION) --revision $(REVISION)

.PHONY: deb rpm release release-test
deb: all ## Debian package in $(O)/dist
	$(Q)packaging/deb.sh $(VERSION) $(O)/waveos-bpf $(DIST)

rpm: all ## RPM package in $(O)/dist
	$(Q)packaging/rpm.sh $(VERSION) $(O)/waveos-bpf $(DIST)

release: all ## all that a release consists of in $(O)/dist; MINISIGN_KEY=, DSSE_KEY=, COSIGN_KEY= sign (docs/release.md)
	$(Q)rm -rf $(DIST)
	$(Q)packaging/release/release.sh $(VERSION) $(O)/waveos-bpf $(DIST)

release-test: all ## a release built twice, from two folders, compared and verified (several minutes)
	$(Q)O=$(O) SOAK=1 ONLY='11-release*' tests/run.sh build
