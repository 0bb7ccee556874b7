/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define STASIS_VERSION "0.1.0"
/* The Firecracker version whose interface launchers may rely on. */
#define FIRECRACKER_VERSION "1.17.0"
