#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: build/check_sources.sh OUT_DIR
#
# Fails if a C file of the tree belongs to no GN target.  `gn check` does not
# check an #include of a file that it does not know, so such a file would escape
# the layering rules.
listed=$(gn desc "$1" '//*' --all-toolchains --format=json |
         grep -oE '"//[^"]+\.[chS]"' | tr -d '"' | sort -u)
[ -n "$listed" ] || { echo "gn desc $1 lists no source at all"; exit 1; }
missing=$(git ls-files --cached --others --exclude-standard '*.[chS]' |
          sed 's#^#//#' |
          while read -r f; do
            echo "$listed" | grep -qxF "$f" || echo "$f"
          done)
[ -z "$missing" ] || { echo "in no BUILD.gn:"; echo "$missing"; exit 1; }
