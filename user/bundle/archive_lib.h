/* SPDX-License-Identifier: GPL-2.0-only */
/* What is used of libarchive, which is loaded with the first bundle. */
#ifndef WV_BUNDLE_ARCHIVE_LIB_H
#define WV_BUNDLE_ARCHIVE_LIB_H

#include <archive.h>
#include <archive_entry.h>

#define WV_ARCHIVE_FUNCTIONS(F)                                                                    \
	F(archive_read_new)                                                                        \
	F(archive_read_free)                                                                       \
	F(archive_read_support_format_tar)                                                         \
	F(archive_read_open)                                                                       \
	F(archive_read_next_header)                                                                \
	F(archive_read_header_position)                                                            \
	F(archive_read_data)                                                                       \
	F(archive_format)                                                                          \
	F(archive_set_error)                                                                       \
	F(archive_errno)                                                                           \
	F(archive_write_new)                                                                       \
	F(archive_write_free)                                                                      \
	F(archive_write_close)                                                                     \
	F(archive_write_set_format_ustar)                                                          \
	F(archive_write_set_bytes_in_last_block)                                                   \
	F(archive_write_open)                                                                      \
	F(archive_write_header)                                                                    \
	F(archive_write_data)                                                                      \
	F(archive_entry_new)                                                                       \
	F(archive_entry_free)                                                                      \
	F(archive_entry_pathname)                                                                  \
	F(archive_entry_filetype)                                                                  \
	F(archive_entry_hardlink)                                                                  \
	F(archive_entry_symlink)                                                                   \
	F(archive_entry_size)                                                                      \
	F(archive_entry_size_is_set)                                                               \
	F(archive_entry_set_pathname)                                                              \
	F(archive_entry_set_filetype)                                                              \
	F(archive_entry_set_perm)                                                                  \
	F(archive_entry_set_size)                                                                  \
	F(archive_entry_set_mtime)

/* Members are called as the functions: lib->archive_read_new(). */
struct wv_archive_lib {
#define WV_POINTER(name) __typeof__(name) *name;
	WV_ARCHIVE_FUNCTIONS(WV_POINTER)
#undef WV_POINTER
};

/* -ENOPKG: it is not installed. */
int wv_archive_lib(const struct wv_archive_lib **ret);

#endif
