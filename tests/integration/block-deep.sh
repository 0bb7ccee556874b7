# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/deps/e2fsprogs tests/integration/block-files.sh
# guest: disk
#
# block-files.sh with plugs pulled early, late and often, and guests that recover what is left.
PLUG_COUNTS="2 15" replay=yes
. "$T/block-files.sh"
