/* SPDX-License-Identifier: Apache-2.0 */
/* Error messages and warnings, on standard error. */
#pragma once

void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
