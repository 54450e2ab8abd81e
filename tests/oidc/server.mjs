// A real OpenID provider on a loopback port, for the tests of the admin API.
//
// Grants by client_credentials (RFC 6749 section 4.4) for any resource (RFC 8707):
// the client `admin-<alg>` gets a JWT signed with that algorithm whose claim
// `realm_access.roles` has `countersign-admins`; `stranger` gets one without
// roles. The secret is the client's name and `-secret`. People sign in with a
// browser (RFC 6749 section 4.1) for the client `web`, which sends them back to
// one of the URLs that the arguments name: a page asks who they are, and of them
// all `alice` alone has roles. Prints `ready <issuer>` when it is, and ends with
// its standard input, so that it never outlives the test that started it.
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

const WEB = {
  client_id: 'web',
  client_secret: 'planted-client-secret-0b7e',
  grant_types: ['authorization_code'],
  response_types: ['code'],
  redirect_uris: process.argv.slice(2),
};

const rolesOf = (name) => (name === 'alice' ? ['countersign-admins'] : []);

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
    clients: [...CLIENTS.map(client), ...(WEB.redirect_uris.length ? [WEB] : [])],
    scopes: ['openid', 'countersign'],
    claims: { openid: ['sub', 'realm_access'] },
    // Roles in the ID token itself, as most providers give them.
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, realm_access: { roles: rolesOf(id) } }),
    }),
    pkce: { required: () => true },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    jwks: { keys: await keys() },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, indicator, { clientId }) => resource(indicator, clientId),
        defaultResource: (_ctx, { clientId }) => (clientId === 'web' ? undefined : AUDIENCE),
      },
    },
    extraTokenClaims: (_ctx, { clientId }) => ({
      realm_access: { roles: clientId.startsWith('admin-') ? ['countersign-admins'] : [] },
    }),
  });
  const protocol = provider.callback();
  server.on('request', (request, response) =>
    request.url.startsWith('/interaction/') ? ask(provider, request, response) : protocol(request, response));
  console.log(`ready ${issuer}`);
});

// The provider's own page: who are you? Nobody is a refusal.
async function ask(provider, request, response) {
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>Provider</title><form method="post">'
      + '<input id="account" name="account" autofocus><button>Sign in</button></form>');
    return;
  }
  let body = '';
  for await (const piece of request) body += piece;
  const accountId = new URLSearchParams(body).get('account');
  const { params } = await provider.interactionDetails(request, response);
  let result = { error: 'access_denied' };
  if (accountId) {
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { login: { accountId }, consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

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
