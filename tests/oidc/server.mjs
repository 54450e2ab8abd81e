// A real OpenID provider on a loopback port, for the tests of the admin API.
//
// Grants by client_credentials: client `admin` gets a JWT with the roles claim
// `countersign-admins`, `stranger` one without roles. Prints one line when it
// is ready, `ready <issuer>`, and ends with its standard input, so that it
// never outlives the test that started it.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const AUDIENCE = 'https://admin.example';
const ROLES = { admin: ['countersign-admins'], stranger: [] };

const client = (id) => ({
  client_id: id,
  client_secret: `${id}-secret`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

const resource = (audience) => ({
  scope: 'countersign',
  audience,
  accessTokenFormat: 'jwt',
  accessTokenTTL: 300,
  jwt: { sign: { alg: process.env.OIDC_ALG ?? 'RS256' } },
});

// The port must be known before the provider is made: it is part of the issuer.
const server = createServer();
server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: Object.keys(ROLES).map(client),
    scopes: ['countersign'],
    jwks: { keys: await keys() },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, indicator) => resource(indicator),
        defaultResource: () => AUDIENCE,
      },
    },
    extraTokenClaims: (_ctx, token) => ({ realm_access: { roles: ROLES[token.clientId] } }),
  });
  server.on('request', provider.callback());
  console.log(`ready ${issuer}`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

// Fresh keys for each run: one of each kind that the proxy takes.
async function keys() {
  const { generateKeyPair, exportJWK } = await import('jose');
  const all = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'].map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `key-${alg}` };
  });
  return Promise.all(all);
}
