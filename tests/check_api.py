# SPDX-License-Identifier: Apache-2.0
#
# Is what the API serves what docs/api.yaml describes? Each row of vmm/api/routes.c, and each part of a VM
# that no row names (vmm/config/body_table.c), is a path and a method there, valid in
# the same state of the VM (x-when), and nothing else is.
import os
import re
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
METHODS = {"GET": "GET", "PUT": "PUT", "PATCH": "PATCH", "DEL": "DELETE"}
STATES = {"ANY": "any", "PRE": "pre-boot", "BOOT": "pre-boot", "POST": "post-boot", "POST_LAX": "post-boot"}


def read(path):
    with open(f"{ROOT}/{path}") as file:
        return file.read()


def served():
    """"PUT /drives/* pre-boot", ... of the tables in the source."""
    routes = read("vmm/api/routes.c")
    rows = re.findall(r'^\t\{(GET|PUT|PATCH|DEL), "([^"]*)", (\w+),', routes, re.M)
    if len(rows) < 10:
        sys.exit("check_api: vmm/api/routes.c does not look as expected")
    found = {f"{METHODS[method]} /{path} {STATES[when]}" for method, path, when in rows}
    kinds = re.findall(r"struct body_kind (body_\w+) = \{\n(.*?)^\};", read("vmm/config/body_table.c"), re.M | re.S)
    for kind, members in kinds:
        if f"&{kind}}}" not in routes and ".is_list" not in members:
            found.add("PUT /" + re.search(r'\.name = "([^"]+)"', members)[1] + " pre-boot")
    return found


def described():
    paths = yaml.safe_load(read("docs/api.yaml"))["paths"]
    return {f"{method.upper()} {re.sub(r'{[^}]*}', '*', path)} {operation['x-when']}"
            for path, methods in paths.items() for method, operation in methods.items()
            if method.upper() in METHODS.values()}


def main():
    here, there = served(), described()
    for request in sorted(here - there):
        print(f"docs/api.yaml does not describe {request}")
    for request in sorted(there - here):
        print(f"docs/api.yaml describes {request}, which nothing serves")
    return 1 if here != there else 0


if __name__ == "__main__":
    sys.exit(main())
