/* SPDX-License-Identifier: GPL-2.0-only */
/* For the printers of tables: names that -DBREAK_... gives, made whole. */
#ifndef WV_TESTS_MODEL_H
#define WV_TESTS_MODEL_H

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#endif
