"""KMS as an enclave sees it: moto (SigV4 and IAM switched on) behind a shim that honours Recipient.

The shim ends TLS and passes each request on to moto byte for byte, `Recipient` included, so that moto checks the
signature over what the endpoint really sent. It verifies the attestation document with the independent reading in
nitro.py, and replaces the plaintext in moto's answer by an envelope that the openssl command makes: an implementation
nobody here wrote. moto has no GenerateDataKeyPair and no DeriveSharedSecret; the shim answers these two itself.

    kms_shim.py --root ROOT.der            honours Recipient; the root is read when the first document comes
    kms_shim.py --root ROOT.der --ignore   ignores it, as moto does: plaintext comes back

There is a role `payments` that may use the key, and a user who may assume it (STS is moto's own, on its own port, plain
HTTP) and read and write the key's policy.

Prints one line of JSON when ready and ends when its stdin does.
"""

import argparse
import base64
import hashlib
import http.client
import http.server
import ipaddress
import json
import logging
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
import waitress
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

import nitro

REGION = "eu-west-1"
PLAINTEXT = {"Decrypt": "Plaintext", "GenerateDataKey": "Plaintext", "GenerateRandom": "Plaintext"}
HEADERS = ("content-type", "x-amzn-requestid")


def self_signed(name, key, alternative=None):
    """A certificate for one day; a CA unless it has an alternative name."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=alternative is None, path_length=None), critical=True)
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Sealer:
    """Makes envelopes with `openssl cms`, in the shape of KMS: BER, key identifier, OAEP with SHA-256."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.recipients = {}
        self.lock = threading.Lock()
        ca = ec.generate_private_key(ec.SECP256R1())
        (self.directory / "ca.key").write_bytes(key_pem(ca))
        (self.directory / "ca.crt").write_bytes(self_signed("recipients", ca))

    def run(self, *arguments, stdin=None):
        return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout

    def certificate(self, spki):
        """A certificate over the recipient's key: the openssl command takes recipients in no other form."""
        identifier = hashlib.sha256(spki).hexdigest()
        with self.lock:
            if identifier not in self.recipients:
                base = self.directory / identifier[:16]
                public = base.with_suffix(".pub")
                public.write_bytes(self.run("pkey", "-pubin", "-inform", "DER", "-pubout", stdin=spki))
                extension = base.with_suffix(".ext")
                extension.write_text(f"subjectKeyIdentifier={identifier}\n")
                certificate = base.with_suffix(".crt")
                self.run(
                    "x509", "-new", "-force_pubkey", str(public), "-subj", "/CN=r",
                    "-CA", str(self.directory / "ca.crt"), "-CAkey", str(self.directory / "ca.key"),
                    "-days", "2", "-extfile", str(extension), "-out", str(certificate),
                )
                self.recipients[identifier] = certificate
            return self.recipients[identifier]

    def seal(self, spki, plaintext):
        return self.run(
            "cms", "-encrypt", "-binary", "-stream", "-outform", "DER", "-keyid", "-aes256",
            "-recip", str(self.certificate(spki)),
            "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256",
            "-keyopt", "rsa_mgf1_md:sha256", stdin=plaintext,
        )


class Shim(http.server.BaseHTTPRequestHandler):
    """One connection of the endpoint."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        if operation in ("GenerateDataKeyPair", "DeriveSharedSecret"):
            status, headers = 200, {"content-type": "application/x-amz-json-1.1"}
            answer, plaintext = self.own(operation, json.loads(body))
        else:
            status, headers, answer = self.ask_moto(body)
            plaintext = None
        recipient = json.loads(body or b"{}").get("Recipient")
        if status == 200 and recipient and not self.server.ignore:
            document = base64.b64decode(recipient["AttestationDocument"])
            try:
                fields = nitro.verify(document, self.server.root.read_bytes(), int(time.time() * 1000))
            except nitro.Refused as refused:
                status, answer = 400, json.dumps({"__type": "ValidationException", "message": str(refused)}).encode()
            else:
                answer = self.restrict(operation, answer, plaintext, fields["public_key"])
        elif plaintext is not None:
            answer = json.dumps(answer).encode()
        self.send_response(status)
        for name in HEADERS:
            if name in headers:
                self.send_header(name, headers[name])
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def ask_moto(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.moto_port, timeout=20)
        connection.putrequest("POST", "/", skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = response.read()
        connection.close()
        return response.status, headers, answer

    def own(self, operation, request):
        if operation == "DeriveSharedSecret":
            return {"KeyId": request["KeyId"]}, bytes(range(32))
        pair = rsa.generate_private_key(65537, 2048)
        private = pair.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = pair.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        answer = {
            "KeyId": request["KeyId"],
            "KeyPairSpec": request["KeyPairSpec"],
            "PublicKey": base64.b64encode(public).decode(),
            "PrivateKeyCiphertextBlob": base64.b64encode(b"sealed").decode(),
        }
        return answer, private

    def restrict(self, operation, answer, plaintext, spki):
        """The plaintext out, an envelope in."""
        if plaintext is None:
            answer = json.loads(answer)
            plaintext = base64.b64decode(answer[PLAINTEXT[operation]])
            answer[PLAINTEXT[operation]] = None
        envelope = self.server.sealer.seal(spki, plaintext)
        answer["CiphertextForRecipient"] = base64.b64encode(envelope).decode()
        return json.dumps(answer).encode()

    def log_message(self, *_):
        pass


def start_moto():
    server = waitress.create_server(
        DomainDispatcherApplication(create_backend_app), host="127.0.0.1", port=0, threads=4
    )
    threading.Thread(target=server.run, daemon=True).start()
    return server.effective_port


def user(iam, name, actions):
    """A user who may do this and nothing else; their keys."""
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def with_iam(port):
    """A key, a user and a role that may use it and nothing else; from then on moto checks every signature."""
    client = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": REGION,
              "aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
    kms, iam = boto3.client("kms", **client), boto3.client("iam", **client)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    allowed = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateRandom"]
    access_key, secret = user(iam, "enclave", allowed)
    proxy = user(iam, "proxy", ["sts:AssumeRole", "sts:TagSession", "kms:GetKeyPolicy", "kms:PutKeyPolicy"])
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]}
    role = iam.create_role(RoleName="payments", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    may = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
    iam.put_role_policy(RoleName="payments", PolicyName="may", PolicyDocument=json.dumps(may))
    switch = http.client.HTTPConnection("127.0.0.1", port)
    switch.request("POST", "/moto-api/reset-auth", body=b"0")
    assert switch.getresponse().status == 200
    return {"key": arn, "access_key": access_key, "secret": secret,
            "role": role, "proxy_access_key": proxy[0], "proxy_secret": proxy[1]}


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True, type=Path, help="the documents' root certificate, DER")
    parser.add_argument("--ignore", action="store_true", help="ignore Recipient")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    directory = tempfile.TemporaryDirectory()
    tls_key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed("kms", tls_key, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    pem = Path(directory.name) / "tls.pem"
    pem.write_bytes(key_pem(tls_key) + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    moto_port = start_moto()
    names = with_iam(moto_port)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shim)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.root, server.ignore, server.moto_port = arguments.root, arguments.ignore, moto_port
    server.sealer = Sealer(directory.name)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    ready = {"port": server.server_port, "moto": int(moto_port), "anchor": certificate.decode(), **names}
    print(json.dumps(ready), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
