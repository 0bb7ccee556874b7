# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/hostile.img tests/integration/hostile.sh
# modules: tun vhost_net
# seconds: 900
#
# hostile.sh with a minute for each device.
HOSTILE_MS=60000 HOSTILE_ENGINES=,async
. "$T/hostile.sh"
