// @aws-sdk/client-kms against the enclave's KMS endpoint, which the environment names (AWS_ENDPOINT_URL_KMS):
// the attested operations and Encrypt, as with plain KMS. `node client.mjs KEY` prints `ok`.

import assert from "node:assert/strict";
import {
  DecryptCommand,
  DeriveSharedSecretCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairCommand,
  GenerateRandomCommand,
  KMSClient,
} from "@aws-sdk/client-kms";

const KeyId = process.argv[2];
const kms = new KMSClient({ maxAttempts: 1 });
const context = { app: "payments" };

const sealed = await kms.send(
  new EncryptCommand({ KeyId, Plaintext: Buffer.from("hello"), EncryptionContext: context }),
);
const opened = await kms.send(
  new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: context }),
);
assert.equal(Buffer.from(opened.Plaintext).toString(), "hello");
assert.equal(opened.KeyId, KeyId);
assert.equal(opened.CiphertextForRecipient, undefined);

const key = await kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256" }));
const again = await kms.send(new DecryptCommand({ CiphertextBlob: key.CiphertextBlob }));
assert.deepEqual(again.Plaintext, key.Plaintext);
assert.equal(key.Plaintext.length, 32);

const random = await kms.send(new GenerateRandomCommand({ NumberOfBytes: 1024 }));
assert.equal(random.Plaintext.length, 1024);

const pair = await kms.send(new GenerateDataKeyPairCommand({ KeyId, KeyPairSpec: "RSA_2048" }));
assert.ok(pair.PrivateKeyPlaintext.length > 1000 && pair.PublicKey.length > 200);

const derived = await kms.send(
  new DeriveSharedSecretCommand({ KeyId, KeyAgreementAlgorithm: "ECDH", PublicKey: Buffer.from("x") }),
);
assert.deepEqual(Buffer.from(derived.SharedSecret), Buffer.from(Array.from({ length: 32 }, (_, n) => n)));
console.log("ok");
