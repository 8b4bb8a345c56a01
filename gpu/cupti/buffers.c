// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool of buffers for CUPTI, last in first out, so that only as many are ever touched as are in
 * use at a time. None free: CUPTI gets none and counts what it drops.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/cupti/cupti.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *pool;
static uint16_t free_at[WV_BUFFERS];
static unsigned n_free;

int wv_buffers_init(void)
{
	void *at;

	if (pool)
		return 0;
	at = mmap(NULL, (size_t)WV_BUFFERS * WV_BUFFER_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	pool = at;
	for (n_free = 0; n_free < WV_BUFFERS; n_free++)
		free_at[n_free] = (uint16_t)(WV_BUFFERS - 1 - n_free);
	return 0;
}

void wv_buffers_request(uint8_t **buffer, size_t *size, size_t *max_records)
{
	*buffer = NULL;
	*size = 0;
	*max_records = 0;
	pthread_mutex_lock(&lock);
	if (pool && n_free) {
		*buffer = pool + (size_t)free_at[--n_free] * WV_BUFFER_BYTES;
		*size = WV_BUFFER_BYTES;
	}
	pthread_mutex_unlock(&lock);
}

bool wv_buffers_ours(const uint8_t *buffer)
{
	return pool && buffer >= pool && buffer < pool + (size_t)WV_BUFFERS * WV_BUFFER_BYTES &&
	       (size_t)(buffer - pool) % WV_BUFFER_BYTES == 0;
}

void wv_buffers_give_back(uint8_t *buffer)
{
	pthread_mutex_lock(&lock);
	if (n_free < WV_BUFFERS)
		free_at[n_free++] = (uint16_t)((size_t)(buffer - pool) / WV_BUFFER_BYTES);
	pthread_mutex_unlock(&lock);
}

/* In a child: CUPTI may still know the buffers, so that they stay mapped. */
void wv_buffers_forget(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	n_free = 0;
	pool = NULL;
}
