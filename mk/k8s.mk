# Kubernetes: the chart (packaging/helm) and the test on a real cluster of one node (tests/k8s).
HELM_CHART := packaging/helm/waveos-bpf
MIXIN := packaging/mixin

.PHONY: helm
helm: ## makes what the chart takes from elsewhere: the CRD, dashboards, rules
	$(Q)python3 packaging/helm/crd.py docs/policy.schema.json >$(HELM_CHART)/crds/waveospolicies.yaml.new
	$(Q)mv $(HELM_CHART)/crds/waveospolicies.yaml.new $(HELM_CHART)/crds/waveospolicies.yaml
	$(Q)packaging/helm/files.sh $(MIXIN) $(HELM_CHART)/files

.PHONY: e2e-k8s
e2e-k8s: all ## builds Kubernetes once (ten minutes), starts a node and runs the agent on it (root)
	$(Q)tests/k8s/build.sh
	$(Q)O=$(O) tests/k8s/e2e.sh
