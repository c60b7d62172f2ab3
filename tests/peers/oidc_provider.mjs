// node-oidc-provider as it is: `node oidc_provider.mjs <port> <redirect uri> <private keys as JSON> <signing algorithm>`.
// Whoever signs in as "someone@…" has that address; it is verified unless the name begins with "unverified".
import Provider from "oidc-provider";

const [port, redirectUri, keys, algorithm] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: "studio client",
    client_secret: "s3cret:with/odd characters",
    redirect_uris: [redirectUri],
    response_types: ["code"],
    grant_types: ["authorization_code"],
    id_token_signed_response_alg: algorithm,
  }],
  jwks: JSON.parse(keys),
  cookies: { keys: ["only for a test"] },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  features: { devInteractions: { enabled: true } },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: !id.startsWith("unverified"), name: "Ann" }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
