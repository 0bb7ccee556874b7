#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Links the programs from these object files with the libraries of a folder, glibc's among them:
#
#     ./relink SYSROOT
#
# SYSROOT has usr/lib and usr/include of the arm64 packages that NOTICE names; put your libc.a there.
# It needs clang 19 and lld 19. The programs are written to out/.
set -eu
sysroot=$(realpath "${1:?give a folder with the libraries: ./relink SYSROOT}")
cd "$(dirname "$0")/out"
mkdir -p guest-tools
