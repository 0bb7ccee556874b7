# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img out/guests/state.img out/tests/clock_host out/tests/jail
# add: tests/integration/snapshot.sh tests/integration/snapshot-jail.sh
#
# All of snapshot.sh in a jail.
essential=''
. "$T/snapshot-jail.sh"
