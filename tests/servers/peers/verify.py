"""Reads event messages and prints the content identifier of each, computed by Python's own IPLD libraries.

stdin: one message a line, {"headers": {...}, "body": base64}. stdout: one line a message,
"CID-BY-DAG-CBOR CID-BY-LIBIPLD CE-ID", where CE-ID is what the message itself claims.
"""

import base64
import hashlib
import json
import sys

import dag_cbor
import libipld
from multiformats import CID, multihash


def from_dag_json(value):
    """The value that DAG-JSON stands for: links as CID, bytes as bytes."""
    if isinstance(value, list):
        return [from_dag_json(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {"/"}:
            inner = value["/"]
            if isinstance(inner, str):
                return CID.decode(inner)
            text = inner["bytes"]
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        return {key: from_dag_json(item) for key, item in value.items()}
    return value


def cid_of(block):
    return str(CID("base32", 1, "dag-cbor", multihash.digest(block, "sha2-256")))


for line in sys.stdin:
    message = json.loads(line)
    headers = message["headers"]
    body = base64.b64decode(message["body"], validate=True)
    # DAG-JSON begins with a brace, and the block of an event with a byte of 0xa0 or more.
    as_block = body[:1] != b"{"
    if as_block:
        event = dag_cbor.decode(body)
        claimed = headers["ce-id"]
    else:
        document = json.loads(body)
        event = from_dag_json(document["event"])
        claimed = document["cid"]["/"]
        assert claimed == headers["ce-id"], "body and header name two identifiers"
    block = dag_cbor.encode(event)
    # libipld has its own notion of links; it reads the block that dag-cbor wrote and writes it again.
    again = libipld.encode_dag_cbor(libipld.decode_dag_cbor(block))
    if as_block:
        assert libipld.encode_dag_cbor(libipld.decode_dag_cbor(body)) == body
    digest = hashlib.sha256(again).digest()
    second = "b" + base64.b32encode(b"\x01\x71\x12\x20" + digest).decode().lower().rstrip("=")
    print(cid_of(block), second, claimed)
