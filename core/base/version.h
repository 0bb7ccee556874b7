/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define STASIS_VERSION "0.1.0"
/* The version of Firecracker's interface that launchers may count on. */
#define FIRECRACKER_VERSION "1.17.0"
