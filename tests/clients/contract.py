"""Checks the exchanges between drainhook and an agent against docs/openapi.yaml.

The checks are strict: a field that the document does not list is a complaint too.
"""

import json
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, FormatChecker

PATH = Path(__file__).parents[2] / "docs" / "openapi.yaml"
DOCUMENT = yaml.safe_load(PATH.read_text())


def strict(schema):
    """The schema, with unlisted properties forbidden."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


COMPONENTS = strict(DOCUMENT["components"])


def complaints(schema, value):
    """How a value breaks a schema."""
    validator = Draft202012Validator({**schema, "components": COMPONENTS}, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def schema_named(name):
    return {"$ref": f"#/components/schemas/{name}"}


def check(exchange):
    """Fails if the request or its answer breaks the document."""
    found = request_complaints(operation_of(exchange), exchange)
    assert not found, f"{exchange}: {found}"
    if exchange.status:
        check_answer(exchange)


def check_answer(exchange):
    """Fails if the answer breaks the document."""
    found = answer_complaints(operation_of(exchange), exchange)
    assert not found, f"{exchange}: {found}"


def operation_of(exchange):
    operation = DOCUMENT["paths"].get(exchange.path, {}).get(exchange.method.lower())
    assert operation, f"the document has no {exchange.method} {exchange.path}"
    return operation


def request_complaints(operation, exchange):
    parameters = {one["name"].lower(): one["schema"] for one in operation.get("parameters", [])}
    found = header_complaints(parameters, exchange.headers)
    if "prefer" in exchange.headers and "prefer" not in parameters:
        found.append("Prefer is not among the parameters")
    if "requestBody" in operation:
        return found + body_complaints(operation["requestBody"], exchange.headers, exchange.body)
    return found + (["a body that the document does not have"] if exchange.body else [])


def answer_complaints(operation, exchange):
    answers = operation["responses"]
    answer = answers.get(str(exchange.status)) or answers.get(f"{exchange.status // 100}XX")
    if answer is None:
        return [f"the document has no answer {exchange.status}"]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    headers = {name.lower(): header["schema"] for name, header in answer.get("headers", {}).items()}
    found = header_complaints(headers, exchange.answer_headers)
    if "preference-applied" in exchange.answer_headers and "preference-applied" not in headers:
        found.append("Preference-Applied is not among the headers")
    return found + body_complaints(answer, exchange.answer_headers, exchange.answer)


def header_complaints(schemas, headers):
    present = [name for name in schemas if name in headers]
    return [f"{name}: {why}" for name in present for why in complaints(schemas[name], headers[name])]


def body_complaints(described, headers, body):
    if headers.get("content-type") != "application/json":
        return [f"the content type is {headers.get('content-type')}"]
    try:
        value = json.loads(body)
    except ValueError as error:
        return [f"not JSON: {error}"]
    return complaints(described["content"]["application/json"].get("schema", {}), value)
