/* SPDX-License-Identifier: GPL-2.0-only */
/* What verb `recover` leaves for core: {"cgroup", "chain" or "step"} in a file of its own. */
#ifndef WV_RECOVER_REQUEST_H
#define WV_RECOVER_REQUEST_H

#define WV_REQUEST_DIR "requests" /* in <runtime>, mode 0700 */

#endif
