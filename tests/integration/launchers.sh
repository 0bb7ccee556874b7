# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests out/deps/clients out/tests/pager tests/integration/clients:api tests/clients:launchers docs/api.yaml
# modules: tun
#
# What launchers send, in their order, with their headers and quirks: tests/clients says which.
exec "$T/clients/bin/python3" -I -S "$T/launchers/replay.py"
