"""boto3 against the enclave's KMS endpoint, which the environment names (AWS_ENDPOINT_URL_KMS).

    kms_client.py KEY           the five attested operations and Encrypt, as with plain KMS; prints `ok`
    kms_client.py KEY --refused Decrypt must fail; prints the error's code and message
"""

import argparse
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization


# Looked for in what passes on the way.
PLAINTEXT = b"the plaintext that nobody on the way may see"


def check(kms, key):
    context = {"app": "payments", "naïve": "ü"}
    sealed = kms.encrypt(KeyId=key, Plaintext=PLAINTEXT, EncryptionContext=context)
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == PLAINTEXT, opened
    assert opened["KeyId"] == key and "CiphertextForRecipient" not in opened, opened

    large = os.urandom(4096)
    sealed = kms.encrypt(KeyId=key, Plaintext=large)
    assert kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], KeyId=key)["Plaintext"] == large

    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
    assert len(data_key["Plaintext"]) == 32 and "CiphertextForRecipient" not in data_key, data_key

    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024

    pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="RSA_2048")
    private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], None)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert public == pair["PublicKey"]

    derived = kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=b"x")
    assert derived["SharedSecret"] == bytes(range(32))

    try:
        kms.create_key()
    except ClientError as error:
        # moto's own answer, which is XML where KMS's is JSON: the user may not, and its words come through.
        assert "not authorized to perform: kms:CreateKey" in str(error), error
    else:
        raise AssertionError("CreateKey was allowed")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("key")
    parser.add_argument("--refused", action="store_true")
    arguments = parser.parse_args()
    kms = boto3.client("kms", config=Config(retries={"max_attempts": 0}))
    if not arguments.refused:
        check(kms, arguments.key)
        print("ok")
        return
    sealed = kms.encrypt(KeyId=arguments.key, Plaintext=b"hello")
    try:
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    except ClientError as error:
        print(error.response["Error"]["Code"], error.response["Error"]["Message"], sep="\n")


if __name__ == "__main__":
    main()
