// SPDX-License-Identifier: GPL-2.0-only
/* docs/gpu-tune-spec.md, from the rows of spec.def and knobs.def. */
#include "user/tune/docs.h"

#include "gpu/tune/knobs.h"
#include "user/core/config.h"

/* clang-format off */
static const char intro[] =
	"<!-- Written by `make docs`. -->\n# The specification of a tuning\n"
	"\n"
	"`waveos-bpf gpu tune -f FILE -- COMMAND...` reads it; how a tuning goes is in [gpu-tuning.md](gpu-tuning.md). YAML, 1 MiB at\n"
	"most; values are written as in [config.md](config.md). What is unknown, given twice or out of range is an error with file, line and column.\n"
	"\n"
	"```yaml\n"
	"job:\n"
	"  name: resnet50\n"
	"  global_batch: 256\n"
	"start:                       # what the program does now\n"
	"  loader.workers: 2\n"
	"  batch.micro: 64\n"
	"knobs:                       # what may be tried\n"
	"  loader.workers: default    # the values of the table below, up to twice the CPUs\n"
	"  loader.cache: [off, ram]\n"
	"  batch.micro: [32, 64, 128]\n"
	"limits:\n"
	"  budget: 5m\n"
	"  trials: 12\n"
	"environment:\n"
	"  OMP_NUM_THREADS: \"1\"\n"
	"```\n"
	"\n"
	"In the command, `job.arguments` and values of `environment`, `{knob}` (as `{batch.micro}`), `{seed}` and `{steps}` are replaced by those of the\n"
	"trial, for programs that take knobs by their arguments; such a knob needs a value in `start`. Other braces stay. Variables `WAVEOS_*` are the\n"
	"tuner's own.\n"
	"\n"
	"The global batch is kept: micro batch x accumulation x `job.world`. `batch.accumulate` therefore follows and is never listed. Without\n"
	"`job.global_batch` neither is touched.\n";
/* clang-format on */

void wv_tune_print_spec_doc(FILE *f)
{
	static const char *const numbers[] = {"the same losses",
					      "another order of sums or of random numbers",
					      "other arithmetic: only where losses are told"};

	fputs(intro, f);
	fputs("\n## job\n\n", f);
	wv_config_print_list_markdown(f, "job");
	fputs("\n## limits\n\n", f);
	wv_config_print_list_markdown(f, "limits");
	fputs("\n## Knobs\n\nIn `start` one value each, in `knobs` a list, one value or `default`. "
	      "A "
	      "knob that is not listed is left as it is.\n\n"
	      "| Knob | Values tried by `default` | Effect on numbers | What it is |\n"
	      "| --- | --- | --- | --- |\n",
	      f);
	for (int i = 0; i < WV_TUNE_KNOB_N; i++) {
		const struct wv_tune_knob_def *d = &wv_tune_knobs[i];
		char text[32];

		fprintf(f, "| `%s` | ", d->name);
		for (uint32_t v = 0; v < d->n_values; v++)
			fprintf(f, "%s%s", v ? ", " : "",
				wv_tune_value_text((enum wv_tune_knob)i, d->value[v], text,
						   sizeof(text)));
		fprintf(f, " | %s | %s |\n", numbers[d->numbers], d->doc);
	}
}
