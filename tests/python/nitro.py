"""An independent reading of the rules for Nitro attestation documents.

Python's cbor2 and cryptography, no code shared with the Rust verifier: two readings of one
specification (AWS attestation_process.md, RFC 9052, RFC 5280) that must give the same answers.
"""

import hashlib
import io
from datetime import datetime, timezone

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

MAX_PAYLOAD = 16384
MAX_CERTIFICATE = 1024
MAX_FIELD = 1024
KEYS = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce")
REQUIRED = KEYS[:6]
KNOWN_CRITICAL = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE}

BYTES, TEXT, ARRAY, MAP = 2, 3, 4, 5


class Refused(Exception):
    """The document breaks a rule; the message says which."""


class Reader:
    """Walks CBOR item by item: heads are read here, scalars by cbor2."""

    def __init__(self, data):
        self.data = data
        self.stream = io.BytesIO(data)

    def peek(self):
        position = self.stream.tell()
        if position >= len(self.data):
            raise Refused("truncated")
        return self.data[position]

    def at_end(self):
        return self.stream.tell() == len(self.data)

    def head(self, major, what):
        """The count of an array or map; None when it is indefinite."""
        byte = self.peek()
        if byte >> 5 != major:
            raise Refused(f"{what} has another type")
        self.stream.read(1)
        short = byte & 31
        if short < 24:
            return short
        if short == 31:
            return None
        if short > 27:
            raise Refused(f"{what} has a reserved head")
        size = 1 << (short - 24)
        raw = self.stream.read(size)
        if len(raw) != size:
            raise Refused("truncated")
        value = int.from_bytes(raw, "big")
        self.shortest(value, size, what)
        return value

    def shortest(self, value, size, what):
        """RFC 8949 section 4.1: an argument of `size` bytes must need them."""
        if value < {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}[size]:
            raise Refused(f"{what} is not in its shortest form")

    def scalar(self, what, majors=None):
        """One integer, byte string, text or null; no tag, no chunks, no float, no container."""
        byte = self.peek()
        major, short = byte >> 5, byte & 31
        if byte == 0xF6:
            self.stream.read(1)
            if majors and 7 not in majors:
                raise Refused(f"{what} is null")
            return None
        if major not in (0, 1, 2, 3) or short == 31:
            raise Refused(f"{what} has another type")
        if majors and major not in majors:
            raise Refused(f"{what} has another type")
        if 24 <= short <= 27:
            size = 1 << (short - 24)
            position = self.stream.tell() + 1
            self.shortest(int.from_bytes(self.data[position:position + size], "big"), size, what)
        try:
            return cbor2.CBORDecoder(io_rest(self.stream)).decode()
        except Exception as error:  # cbor2 raises several kinds for malformed input
            raise Refused(f"{what}: {error}") from error

    def entries(self, count, what):
        """Yields the byte strings of an array, at most ten."""
        taken = 0
        while taken != count:
            if count is None and self.peek() == 0xFF:
                self.stream.read(1)
                return
            taken += 1
            if taken > 10:
                raise Refused(f"{what} holds too much")
            yield self.scalar(f"{what} entry", [BYTES])

    def pairs(self, count, what, key_majors):
        """Yields the keys of a map; the caller reads each value. Duplicates are refused."""
        seen = set()
        while True:
            if count is None:
                if self.peek() == 0xFF:
                    self.stream.read(1)
                    return
            elif len(seen) == count:
                return
            key = self.scalar(f"{what} key", key_majors)
            if key in seen:
                raise Refused(f"{what} holds {key!r} twice")
            if len(seen) > 64:
                raise Refused(f"{what} holds too much")
            seen.add(key)
            yield key


class io_rest(io.RawIOBase):
    """Hands cbor2 a stream byte by byte, so that it never reads ahead."""

    def __init__(self, stream):
        self.stream = stream

    def readable(self):
        return True

    def read(self, size=-1):
        return self.stream.read(size)


def envelope(document):
    reader = Reader(document)
    if reader.peek() == 0xD2:  # tag 18, COSE_Sign1
        reader.stream.read(1)
    if reader.head(ARRAY, "envelope") != 4:
        raise Refused("envelope is no array of four")
    protected = reader.scalar("protected", [BYTES])
    if reader.head(MAP, "unprotected") != 0:
        raise Refused("unprotected header is not empty")
    payload = reader.scalar("payload", [BYTES])
    signature = reader.scalar("signature", [BYTES])
    if not reader.at_end():
        raise Refused("bytes after the document")
    if not 1 <= len(payload) <= MAX_PAYLOAD:
        raise Refused("payload length")
    if len(signature) != 96:
        raise Refused("signature length")
    header = Reader(protected)
    if not protected or header.head(MAP, "protected") != 1:
        raise Refused("protected header")
    if header.scalar("label", [0]) != 1 or header.scalar("alg", [1]) != -35 or not header.at_end():
        raise Refused("protected header is not {1: -35}")
    return protected, payload, signature


def payload_fields(payload):
    reader = Reader(payload)
    fields = {}
    for key in reader.pairs(reader.head(MAP, "payload"), "payload", [TEXT]):
        if key not in KEYS:
            raise Refused(f"unknown key {key}")
        if key == "pcrs":
            count = reader.head(MAP, key)
            fields[key] = {index: reader.scalar("pcr", [BYTES]) for index in reader.pairs(count, key, [0])}
        elif key == "cabundle":
            fields[key] = list(reader.entries(reader.head(ARRAY, key), key))
        else:
            majors = {"module_id": [TEXT], "digest": [TEXT], "timestamp": [0], "certificate": [BYTES]}
            fields[key] = reader.scalar(key, majors.get(key, [BYTES, 7]))
    if not reader.at_end():
        raise Refused("bytes after the payload")
    for key in REQUIRED:
        if key not in fields:
            raise Refused(f"{key} is missing")
    check_fields(fields)
    return fields


def check_fields(fields):
    if not fields["module_id"] or fields["digest"] != "SHA384" or fields["timestamp"] == 0:
        raise Refused("module_id, digest or timestamp")
    pcrs = fields["pcrs"]
    if not 1 <= len(pcrs) <= 32 or any(index > 31 for index in pcrs) or not {0, 1, 2} <= set(pcrs):
        raise Refused("pcr indexes")
    if any(len(value) != 48 for value in pcrs.values()):
        raise Refused("pcr length")
    if not fields["cabundle"]:
        raise Refused("cabundle is empty")
    for certificate in [fields["certificate"], *fields["cabundle"]]:
        if not 1 <= len(certificate) <= MAX_CERTIFICATE:
            raise Refused("certificate length")
    for key in ("public_key", "user_data", "nonce"):
        if len(fields.get(key) or b"") > MAX_FIELD:
            raise Refused(f"{key} length")


def load(der):
    try:
        certificate = x509.load_der_x509_certificate(der)
        for extension in certificate.extensions:
            if extension.critical and extension.oid not in KNOWN_CRITICAL:
                raise Refused(f"unknown critical extension {extension.oid.dotted_string}")
        key = certificate.public_key()
    except ValueError as error:
        raise Refused(f"certificate: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise Refused("key is not P-384")
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise Refused("not ecdsa-with-SHA384")
    return certificate


def extension(certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def check_chain(fields, root, at):
    if fields["cabundle"][0] != root:
        raise Refused("the bundle does not begin with the anchor")
    authorities = [load(der) for der in fields["cabundle"]]
    leaf = load(fields["certificate"])
    chain = [*authorities, leaf]
    for certificate in chain:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise Refused("a certificate is not valid at that time")
    for below, authority in zip(range(len(authorities) - 1, -1, -1), authorities):
        basic, usage = extension(authority, x509.BasicConstraints), extension(authority, x509.KeyUsage)
        if not basic or not basic.critical or not basic.value.ca:
            raise Refused("an issuer is no CA")
        if basic.value.path_length is not None and below > basic.value.path_length:
            raise Refused("path length")
        if not usage or not usage.value.key_cert_sign:
            raise Refused("an issuer may not sign certificates")
    basic, usage = extension(leaf, x509.BasicConstraints), extension(leaf, x509.KeyUsage)
    if not basic or basic.value.ca or not usage or not usage.value.digital_signature:
        raise Refused("the leaf's constraints")
    if extension(leaf, x509.ExtendedKeyUsage):
        raise Refused("the leaf has an extended key usage")
    for issuer, subject in zip(chain, chain[1:]):
        try:
            subject.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise Refused(f"issuance: {error}") from error
    return leaf


def verify(document, root, at_ms):
    """The document's fields, or Refused. `at_ms` is the time to judge at; debug documents are refused."""
    protected, payload, signature = envelope(document)
    fields = payload_fields(payload)
    if abs(fields["timestamp"] - at_ms) > 300_000:
        raise Refused("not fresh")
    at = datetime.fromtimestamp(at_ms / 1000, timezone.utc)
    leaf = check_chain(fields, root, at)
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = (int.from_bytes(half, "big") for half in (signature[:48], signature[48:]))
    try:
        leaf.public_key().verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        raise Refused("signature") from error
    return fields


def is_debug(fields):
    """PCR0, 1 and 2 are zero in debug mode; PCR4 never is."""
    return all(fields["pcrs"][index] == bytes(48) for index in (0, 1, 2))


def fingerprint(der):
    return hashlib.sha256(der).hexdigest().upper()
