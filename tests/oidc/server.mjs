// A real OpenID provider on a loopback port, for the tests of the admin API.
//
// Grants by client_credentials (RFC 6749 section 4.4) for any resource (RFC 8707):
// the client `admin-<alg>` gets a JWT signed with that algorithm whose claim
// `realm_access.roles` has `countersign-admins`; `stranger` gets one without
// roles. The secret is the client's name and `-secret`. Prints `ready <issuer>`
// when it is, and ends with its standard input, so that it never outlives the
// test that started it.
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const AUDIENCE = 'https://admin.example';
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
const CLIENTS = [...ALGORITHMS.map((alg) => `admin-${alg}`), 'stranger'];

const client = (id) => ({
  client_id: id,
  client_secret: `${id}-secret`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

const resource = (audience, id) => ({
  scope: 'countersign',
  audience,
  accessTokenFormat: 'jwt',
  accessTokenTTL: 300,
  jwt: { sign: { alg: ALGORITHMS.find((alg) => id === `admin-${alg}`) ?? 'RS256' } },
});

// The port must be known before the provider is made: it is part of the issuer.
const server = createServer();
server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: CLIENTS.map(client),
    scopes: ['countersign'],
    jwks: { keys: await keys() },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, indicator, { clientId }) => resource(indicator, clientId),
        defaultResource: () => AUDIENCE,
      },
    },
    extraTokenClaims: (_ctx, { clientId }) => ({
      realm_access: { roles: clientId.startsWith('admin-') ? ['countersign-admins'] : [] },
    }),
  });
  server.on('request', provider.callback());
  console.log(`ready ${issuer}`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

// Fresh keys for each run: one of each kind that the proxy takes.
async function keys() {
  const all = ALGORITHMS.map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `key-${alg}` };
  });
  return Promise.all(all);
}
