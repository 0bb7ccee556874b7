/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps what a fuzzer asks for within a folder of its own: what is linked with
 * the configuration sandboxed opens, creates, renames, removes and binds only
 * names below the working directory, and syncs nothing.  Of the host's files it
 * reads those that the product reads by itself.
 */
#pragma once

/* Make the working directory a new folder, which is removed at exit. */
void sandbox_enter(const char *name);

/* Remove what is in it, but for files whose names begin with a dot. */
void sandbox_empty(void);
