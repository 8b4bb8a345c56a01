# Documents that come from the tables: option of `modules`, and the file that holds its output.
docs_signals-doc := docs/signals.md
docs_metrics-doc := docs/metrics.md
docs_config-doc := docs/config.md
docs_config-schema := docs/config.schema.json
docs_config-sample := packaging/waveos.yaml
docs_policy-schema := docs/policy.schema.json
docs_policy-doc := docs/policy-keys.md
docs_tune-doc := docs/gpu-tune-spec.md
docs_man := docs/man/waveos-bpf.8
docs_man-config := docs/man/waveos.yaml.5
docs_cli-doc := docs/cli.md
docs_events-doc := docs/events.md
docs_api-doc := docs/api.md
docs_schema-event := docs/schemas/event.schema.json
docs_schema-metrics := docs/schemas/metrics.table-schema.json
docs_schema-meta := docs/schemas/run_meta.schema.json
docs_schema-explain := docs/schemas/explainability.schema.json
docs_schema-status := docs/schemas/status.schema.json
docs_schema-pack := docs/schemas/pack-manifest.schema.json
docs_schema-inclusion := docs/schemas/inclusion-proof.schema.json
docs_schema-consistency := docs/schemas/consistency-proof.schema.json
docs_schema-range := docs/schemas/pack-proof.schema.json

GENERATED_DOCS := signals-doc metrics-doc config-doc config-schema config-sample policy-schema policy-doc tune-doc man man-config cli-doc \
	events-doc api-doc schema-event schema-metrics schema-meta schema-explain schema-status schema-pack schema-range schema-inclusion schema-consistency

.PHONY: docs
docs: all ## writes the generated documents anew
	$(foreach d,$(GENERATED_DOCS),$(O)/waveos-bpf modules --$(d) >$(docs_$(d)) &&) true
	rm -f docs/man/waveos-bpf-*.8
	for v in $$($(O)/waveos-bpf modules --verbs | grep -v ' '); do \
		$(O)/waveos-bpf modules --man-verb $$v >docs/man/waveos-bpf-$$v.8 || exit 1; done

.PHONY: docs-test
docs-test: all ## runs every block of commands in the documents that is marked `sh run` (root)
	$(Q)O=$(O) tests/docs.sh

.PHONY: dashboards
dashboards: ## writes dashboards, rules and runbooks of packaging/mixin anew (RUNBOOKS=URL/: where runbooks are served)
	$(Q)python3 packaging/mixin/build.py
	$(Q)python3 packaging/mixin/build_rules.py
