# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests out/deps/clients tests/integration/clients:api docs/api.yaml vmm/api/routes.c
# modules: tun
#
# The API, operation by operation and state by state (clients/api_state.py says what is tested).
# -I -S: nothing but the library that is there. The status and the results are the program's.
exec "$T/clients/bin/python3" -I -S "$T/api/api_state.py"
