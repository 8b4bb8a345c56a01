/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the profiler library and the Python package are, and the environment that leads to them. */
#ifndef WV_GPU_PLACE_H
#define WV_GPU_PLACE_H

struct wv_gpu_place {
	char library[512]; /* libwaveos_cupti.so; "": it is not here */
	char python[512];  /* folder with sitecustomize.py and the package; "": it is not here */
};

/* Looks beside the executable (a build), then where `make install` puts them. */
void wv_gpu_find(struct wv_gpu_place *ret);
/*
 * Sets what a command needs to be seen, in the environment of this process, which is to execute it:
 * CUDA_INJECTION64_PATH (read by the driver at cuInit), PYTHONPATH before what it was, and
 * WAVEOS_GPU_*. level: enum wv_gpu_level. 0 or -ENOMEM.
 */
int wv_gpu_environment(const struct wv_gpu_place *place, const char *socket, unsigned level);
/* Only the Python package: knobs and steps without the profiler. 0 or -ENOMEM. */
int wv_gpu_environment_python(const struct wv_gpu_place *place);

#endif
