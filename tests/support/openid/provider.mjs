// An OpenID provider for tests: oidc-provider, with people, groups, refresh tokens, back-channel logout and keys that change.
// GIVEN (JSON in the environment) says what it is; POST /control changes it while it runs.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const given = JSON.parse(process.env.GIVEN);
const people = new Map(Object.entries(given.people));
const counts = {};
let keys = [newKey()];
let away = false;

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

async function findAccount(_ctx, sub) {
  const claims = people.get(sub);
  return claims && { accountId: sub, claims: async () => ({ sub, ...claims }) };
}

async function loadExistingGrant(ctx) {
  const { client, session, provider } = ctx.oidc;
  const known = ctx.oidc.result?.consent?.grantId || session.grantIdFor(client.clientId);
  const grant = known
    ? await provider.Grant.find(known)
    : new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  if (grant) {
    grant.addOIDCScope('openid email profile groups');
    await grant.save();
  }
  return grant;
}

function make() {
  const provider = new Provider(given.issuer, {
    clients: [{
      client_id: given.client_id,
      client_secret: given.client_secret,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: [`${given.cloud}/login/oidc/callback`],
      post_logout_redirect_uris: [`${given.cloud}/`],
      backchannel_logout_uri: `${given.cloud}/login/oidc/backchannel`,
      backchannel_logout_session_required: true,
    }],
    claims: {
      openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'hd'], groups: ['groups', 'roles'],
    },
    scopes: ['openid', 'email', 'profile', 'groups'],
    conformIdTokenClaims: given.claims_in_userinfo_only ?? true,
    findAccount,
    loadExistingGrant,
    issueRefreshToken: async () => given.refresh_tokens ?? true,
    rotateRefreshToken: true,
    jwks: { keys },
    cookies: { keys: ['only for tests'] },
    features: { backchannelLogout: { enabled: true }, userinfo: { enabled: true } },
    fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }), // to loopback too
    ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, RefreshToken: 3600, Interaction: 600, Session: 3600, Grant: 3600 },
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  return provider;
}

let provider = make();
let handle = provider.callback();

const orders = {
  person: ({ sub, claims }) => { if (claims) people.set(sub, claims); else people.delete(sub); },
  rotate: () => { keys = [newKey()]; provider = make(); handle = provider.callback(); },
  away: ({ is }) => { away = is; },
  logout: async ({ sub, sid }) => {
    const client = await provider.Client.find(given.client_id);
    await client.backchannelLogout(sub, sid);
  },
  counts: () => ({ ...counts }),
};

async function control(request, response) {
  let body = '';
  for await (const piece of request) body += piece;
  const { order, ...rest } = JSON.parse(body);
  try {
    response.end(JSON.stringify((await orders[order](rest)) ?? {}));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
}

const server = createServer((request, response) => {
  const [path] = request.url.split('?');
  if (path === '/control') return control(request, response);
  counts[path] = (counts[path] ?? 0) + 1;
  if (away) return response.writeHead(503).end();
  return handle(request, response);
});
server.listen(Number(new URL(given.issuer).port), '127.0.0.1', () => console.log('ready'));
