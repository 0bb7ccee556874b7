# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests out/deps/clients tests/integration/clients:api docs/api.yaml
# modules: tun
# guest: linux power-key
#
# The API as real launchers use it (clients/api_clients.py says which, and how).
exec "$T/clients/bin/python3" -I -S "$T/api/api_clients.py"
