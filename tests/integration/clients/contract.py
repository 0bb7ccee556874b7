# SPDX-License-Identifier: Apache-2.0
#
# Holds what was said and answered against the OpenAPI description of the API. JSON is judged by
# python3-openapi-schema-validator; what is around it, statuses and media types, here.
import json
import re

import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

URI = "urn:stasis:api"
METHODS = ("get", "put", "patch", "delete")


class Contract:
    def __init__(self, path):
        with open(path) as file:
            self.description = yaml.load(file, Loader=yaml.CSafeLoader)
        resource = Resource(contents=self.description, specification=DRAFT4)
        self.registry = Registry().with_resource(URI, resource)
        self.validators = {}
        self.problems = []      # in words
        self.seen = set()       # (method, path of the description, status)
        self.checked = {}       # verdicts: the same exchange is judged once
        self.templates = []
        for template in self.description["paths"]:
            pattern = re.sub(r"\{[a-z_]+\}", "[^/]+", template)
            self.templates.append((re.compile(pattern + "$"), template))

    def operations(self):
        """[(METHOD, path)] of all there are."""
        return [(method.upper(), path) for path, item in self.description["paths"].items()
                for method in METHODS if method in item]

    def operation(self, method, path):
        """(path of the description, operation), or (None, None)."""
        for pattern, template in self.templates:
            if pattern.match(path):
                found = self.description["paths"][template].get(method.lower())
                return (template, found) if found else (None, None)
        return None, None

    def check(self, method, path, request, answer):
        """Adds to `problems` what is wrong with an exchange."""
        key = (method, path, request, answer.status, answer.body, str(sorted(answer.headers.items())))
        if key not in self.checked:
            self.checked[key] = [f"docs/api.yaml: {method} {path} -> {answer.status}: {problem}"
                                 for problem in self.judge(method, path, request, answer)]
        self.problems += self.checked[key]

    def judge(self, method, path, request, answer):
        template, operation = self.operation(method, path)
        headers = answer.headers
        if answer.status == 503:
            return self.judge_response({"$ref": "#/components/responses/TooManyConnections"}, answer)
        if answer.status == 400 and b'"fault_message"' not in answer.body:
            return self.judge_response({"$ref": "#/components/responses/NotHttp"}, answer)
        if not operation:
            if answer.status != 400:
                return ["the description does not know this operation"]
            return self.judge_response({"$ref": "#/components/responses/Refused"}, answer)
        self.seen.add((method, template, answer.status))
        response = operation["responses"].get(str(answer.status))
        if not response:
            return ["the description does not know this status"]
        problems = self.judge_response(response, answer)
        if answer.status < 300:
            problems += self.judge_request(operation, request)
        if "x-when" not in operation:
            problems.append("the description does not say when")
        if "server" not in headers:
            problems.append("no Server header")
        return problems

    def judge_response(self, response, answer):
        response = self.follow(response)
        content = response.get("content")
        if not content:
            unwanted = [name for name in ("content-length", "content-type") if name in answer.headers]
            return [f"a body, or the head of one: {unwanted} {answer.body[:100]}"] \
                if unwanted or answer.body else []
        media = answer.headers.get("content-type", "none")
        if media not in content:
            return [f"media type {media} instead of {', '.join(content)}"]
        return self.judge_json(content[media]["schema"], answer.body)

    def judge_request(self, operation, request):
        """What was accepted must be what the description allows."""
        body = operation.get("requestBody")
        if not body:
            return ["it took a body that the description has not"] if request else []
        if not request:
            return ["it took no body, which the description requires"] if body["required"] else []
        problems = self.judge_json(body["content"]["application/json"]["schema"], request)
        return [f"it took what the description refuses: {problem}" for problem in problems]

    def judge_json(self, schema, text):
        try:
            value = json.loads(text)
        except ValueError as error:
            return [f"no JSON: {error}"]
        return self.judge_value(schema, value)

    def judge_value(self, schema, value):
        key = json.dumps(schema)
        if key not in self.validators:
            absolute = json.loads(key.replace('"#/', f'"{URI}#/'))
            self.validators[key] = OAS30Validator(absolute, registry=self.registry)
        return [f"{'/'.join(map(str, error.absolute_path)) or 'the body'}: {error.message[:200]}"
                for error in self.validators[key].iter_errors(value)]

    def check_event(self, line):
        """One line of /events."""
        schema = {"$ref": "#/components/schemas/Event"}
        self.problems += [f"docs/api.yaml: an event: {problem}: {line[:200]!r}"
                          for problem in self.judge_json(schema, line)]

    def follow(self, value):
        while "$ref" in value:
            parts = value["$ref"].removeprefix("#/").split("/")
            value = self.description
            for part in parts:
                value = value[part]
        return value
