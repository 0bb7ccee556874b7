# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# add: tests/integration/snapshot-linux.sh
# guest: load
# modules: tun
#
# snapshot-linux.sh, with a guest twenty generations deep.
generations=20
. "$T/snapshot-linux.sh"
