# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/hostile.img tests/integration/hostile.sh
# modules: tun
#
# hostile.sh with half a minute for each device and engine.
HOSTILE_MS=30000 HOSTILE_ENGINES=
. "$T/hostile.sh"
