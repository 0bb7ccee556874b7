# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img tests/integration/snapshot-files.sh
# seconds: 600
#
# snapshot-files.sh with 200 snapshots of one guest, and 20 VMMs killed at random moments.
SNAPSHOT_CYCLES=200 SNAPSHOT_KILLS=20
. "$T/snapshot-files.sh"
