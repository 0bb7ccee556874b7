# SPDX-License-Identifier: Apache-2.0
#
# In a guest: asks for metadata as EC2's usual clients do, with their headers and in their order.
# `imds.py sdk` as SDKs look for credentials, `imds.py crawl` as cloud-init reads all there is, and
# `imds.py many` with several clients at once, each on a connection that it keeps. Prints "fine", or
# what is not.
import http.client
import json
import sys
import threading
import urllib.error
import urllib.request

HOST = "169.254.169.254"
TTL, TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"


class Wrong(Exception):
    pass


def ask(connection, method, path, headers, status=200):
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    if answer.status != status:
        raise Wrong(f"{method} {path}: {answer.status} {body!r}")
    return answer, body


def get_token(connection):
    answer, token = ask(connection, "PUT", "/latest/api/token", {
        TTL: "21600", "User-Agent": "Boto3/1.34 md/Botocore#1.34", "Content-Length": "0"})
    # aws-sdk-go-v2 wants to be told the lifetime.
    if answer.getheader(TTL) != "21600":
        raise Wrong(f"the lifetime is said to be {answer.getheader(TTL)!r}")
    return token


def sdk():
    connection = http.client.HTTPConnection(HOST, timeout=20)
    folder = "/latest/meta-data/iam/security-credentials/"
    ask(connection, "GET", folder, {}, 401)
    ask(connection, "GET", folder, {TOKEN: "x" * 56}, 401)
    headers = {TOKEN: get_token(connection), "Accept": "*/*"}
    role = ask(connection, "GET", folder, headers)[1]
    credentials = json.loads(ask(connection, "GET", folder + role, headers)[1])
    if credentials["AccessKeyId"] != "key" or credentials["Code"] != "Success":
        raise Wrong(f"the credentials are {credentials}")
    region = ask(connection, "GET", "/latest/meta-data/placement/availability-zone/", headers)[1]
    if region != "eu-west-1a":
        raise Wrong(f"the zone is {region!r}")
    ask(connection, "GET", "/latest/user-data", headers, 404)


def crawl_folder(url, headers):
    """As cloud-init's MetadataMaterializer: a line per name; those with a slash are folders."""
    found = {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    for name in lines:
        if name.endswith("/"):
            found[name[:-1]] = crawl_folder(url + name, headers)
        else:
            with urllib.request.urlopen(urllib.request.Request(url + name, headers=headers), timeout=20) as answer:
                found[name] = answer.read().decode()
    return found


def crawl():
    put = urllib.request.Request(f"http://{HOST}/latest/api/token", method="PUT",
                                 headers={TTL: "21600", "User-Agent": "Cloud-Init/24.1"})
    with urllib.request.urlopen(put, timeout=20) as answer:
        headers = {TOKEN: answer.read().decode(), "User-Agent": "Cloud-Init/24.1"}
    found = crawl_folder(f"http://{HOST}/latest/meta-data/", headers)
    macs = found["network"]["interfaces"]["macs"]
    if macs != {"02:29:96:8f:6a:2d": {"device-number": "0", "local-hostname": "ip-10-0-1-2"}}:
        raise Wrong(f"the interfaces are {macs}")
    if found["ami-id"] != "ami-12345678":
        raise Wrong(f"the image is {found['ami-id']!r}")
    try:
        urllib.request.urlopen(f"http://{HOST}/latest/meta-data/", timeout=20)
        raise Wrong("no token was needed")
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise


def many():
    problems = []

    def client():
        try:
            connection = http.client.HTTPConnection(HOST, timeout=60)
            headers = {TOKEN: get_token(connection)}
            for _ in range(10):
                if ask(connection, "GET", "/latest/long", headers)[1] != "long " * 9000:
                    raise Wrong("the long value is another")
        except (Wrong, OSError, http.client.HTTPException) as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise Wrong(problems)


try:
    {"sdk": sdk, "crawl": crawl, "many": many}[sys.argv[1]]()
    print("fine")
except (Wrong, OSError, KeyError, ValueError) as problem:
    print(repr(problem).replace("\n", " "))
