"""Checks the raw body of an answer against botocore's service model. botocore's own parser ignores unknown and missing
fields."""

import json
import re
from xml.etree import ElementTree

# AWS returns these values, though the service model does not list them. Recorded in Terminating:Wait.
UNLISTED = {("ScalingActivityStatusCode", "MidTerminatingLifecycleAction")}

INTEGER = re.compile(r"-?\d+")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def faults(operation, answer):
    """How a successful answer breaks the model of its operation: status, headers, body."""
    if answer["status_code"] != 200:
        return [f"status {answer['status_code']}"]
    if "x-amzn-requestid" not in {name.lower() for name in answer["headers"]}:
        return ["no x-amzn-requestid"]
    if operation.service_model.metadata["protocol"] == "query":
        return list(_query(operation, answer))
    return list(_json_body(operation, answer))


def error_faults(operation, answer):
    """How an error answer breaks the shape of its service's errors."""
    if operation.service_model.metadata["protocol"] == "query":
        root = ElementTree.fromstring(answer["body"])
        tree = {child.tag.split("}")[1]: child for child in root}
        error = [child.tag.split("}")[1] for child in tree.get("Error", [])]
        if not root.tag.endswith("}ErrorResponse") or set(tree) != {"Error", "RequestId"}:
            yield f"{root.tag} with {', '.join(tree)}"
        if error != ["Type", "Code", "Message"]:
            yield f"Error with {', '.join(error)}"
    else:
        body = json.loads(answer["body"])
        if set(body) != {"__type", "message"} or "#" not in body["__type"]:
            yield f"error with {body}"
        if not re.fullmatch(r"[\w.]+;(Sender|Receiver)", answer["headers"].get("x-amzn-query-error", "")):
            yield "no x-amzn-query-error"


def _query(operation, answer):
    if not answer["headers"]["Content-Type"].startswith("text/xml"):
        yield f"content type {answer['headers']['Content-Type']}"
    namespace = operation.service_model.metadata["xmlNamespace"]
    shape = operation.output_shape
    root = ElementTree.fromstring(answer["body"])
    wrapper = shape.serialization.get("resultWrapper") if shape else None
    expected = {"ResponseMetadata", *([wrapper] if wrapper else [])}
    for element in root.iter():
        if not element.tag.startswith(f"{{{namespace}}}"):
            yield f"{element.tag} is not in {namespace}"
        element.tag = element.tag.split("}")[-1]
        if element.attrib:
            yield f"{element.tag} has attributes"
    children = {child.tag: child for child in root}
    if root.tag != operation.name + "Response":
        yield f"the root element is {root.tag}"
    if set(children) != expected:
        yield f"{root.tag} has {sorted(children)}, not {sorted(expected)}"
    if not children["ResponseMetadata"].findtext("RequestId"):
        yield "no RequestId"
    if wrapper in children:
        yield from _element(shape, children[wrapper], wrapper)


def _element(shape, element, path):
    if shape.type_name == "structure":
        names = {member.serialization.get("name", name): name for name, member in shape.members.items()}
        seen = [child.tag for child in element]
        yield from _members(shape, [names.get(tag, tag) for tag in seen], path)
        yield from (f"{path} has {tag} twice" for tag in set(seen) if seen.count(tag) > 1)
        for child in element:
            if child.tag in names:
                yield from _element(shape.members[names[child.tag]], child, f"{path}.{child.tag}")
    elif shape.type_name == "list":
        tag = shape.member.serialization.get("name", "member")
        for child in element:
            if child.tag != tag:
                yield f"{path} has {child.tag}, not {tag}"
            yield from _element(shape.member, child, f"{path}[]")
    elif len(element):
        yield f"{path} has {element[0].tag}, not text"
    else:
        yield from _text(shape, element.text or "", path)


def _text(shape, text, path):
    patterns = {"integer": INTEGER, "boolean": re.compile("true|false"), "timestamp": TIMESTAMP}
    if shape.type_name in patterns:
        if not patterns[shape.type_name].fullmatch(text):
            yield f"{path} is not of type {shape.type_name}: {text!r}"
    elif shape.type_name == "string":
        yield from _string(shape, text, path)
    else:
        yield f"{path}: model.py cannot check the type {shape.type_name}"


def _string(shape, text, path):
    limits = shape.metadata
    if "enum" in limits and text not in limits["enum"] and (shape.name, text) not in UNLISTED:
        yield f"{path} is not a value of {shape.name}: {text!r}"
    if not limits.get("min", 0) <= len(text) <= limits.get("max", len(text)):
        yield f"{path} has {len(text)} characters: {text!r}"


def _json_body(operation, answer):
    if answer["headers"]["Content-Type"] != "application/x-amz-json-1.0":
        yield f"content type {answer['headers']['Content-Type']}"
    if operation.output_shape is None:
        if answer["body"]:
            yield f"the body is not empty: {answer['body']!r}"
    else:
        yield from _value(operation.output_shape, json.loads(answer["body"]), operation.output_shape.name)


def _value(shape, value, path):
    types = {"structure": dict, "map": dict, "list": list, "string": str, "integer": int, "boolean": bool}
    # Python counts booleans as integers.
    if type(value) is not types[shape.type_name]:
        yield f"{path} is not of type {shape.type_name}: {value!r}"
    elif shape.type_name == "structure":
        yield from _members(shape, list(value), path)
        for name in value.keys() & shape.members.keys():
            yield from _value(shape.members[name], value[name], f"{path}.{name}")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _value(shape.key, key, f"{path} key")
            yield from _value(shape.value, item, f"{path}.{key}")
    elif shape.type_name == "list":
        for item in value:
            yield from _value(shape.member, item, f"{path}[]")
    elif shape.type_name == "string":
        yield from _string(shape, value, path)


def _members(shape, seen, path):
    yield from (f"{path} has {name}, which is not in {shape.name}" for name in seen if name not in shape.members)
    yield from (f"{path} lacks {name}" for name in shape.required_members if name not in seen)
