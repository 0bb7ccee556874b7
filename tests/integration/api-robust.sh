# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests out/deps/clients tests/integration/clients:api docs/api.yaml
#
# The API and clients that are slow, wrong, many or hostile (clients/api_robust.py).
exec "$T/clients/bin/python3" -I -S "$T/api/api_robust.py"
