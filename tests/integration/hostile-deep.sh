# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/hostile.img tests/integration/hostile.sh
# modules: tun
#
# hostile.sh with the better part of a minute for each device: what a suite's time allows.
HOSTILE_MS=45000 HOSTILE_ENGINES=,async
. "$T/hostile.sh"
