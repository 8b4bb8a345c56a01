# Static checks.
LINT_C := $(USER_SOURCES) user/main.c

.PHONY: lint
lint: ## clang-format, clang-tidy, cppcheck, scan-build, shellcheck, size gates
	$(Q)O=$(O) tests/lint.sh
