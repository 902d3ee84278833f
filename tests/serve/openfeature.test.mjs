// OpenFeature's own SDK and its OFREP provider, unmodified, against a real `crossfade serve`.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';

import { serve } from './server.mjs';

const PLAN = `
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
canary_percentage: 45
pins: { qa-1: v2 }
rules: [{ name: beta, when: { attribute: plan, in: [beta] }, to: v2 }]
`;

// `CROSSFADE_OPENFEATURE`: the folder that the provider is installed in.
const require = createRequire(`${process.env.CROSSFADE_OPENFEATURE ?? process.cwd()}/package.json`);
const { OpenFeature } = require('@openfeature/server-sdk');
const { OFREPProvider } = require('@openfeature/ofrep-provider');

describe('an OpenFeature SDK', () => {
  let server;
  let client;
  before(async () => {
    server = await serve(PLAN);
    await OpenFeature.setProviderAndWait('ofrep', new OFREPProvider({ baseUrl: server.url }));
    client = OpenFeature.getClient('ofrep');
  });
  after(async () => {
    await OpenFeature.close();
    await server.stop();
  });

  const ask = (context, flag = 'users') => client.getStringDetails(flag, 'the default', context);

  it('gets the version for a client, and why it is this one', async () => {
    // user123 is in bucket 4497, which 45 % has.
    const details = await ask({ targetingKey: 'user123' });
    assert.deepEqual(
      [details.value, details.variant, details.reason, details.errorCode],
      ['v2', 'v2', 'SPLIT', undefined],
    );
    assert.deepEqual(details.flagMetadata, { revision: 1, reason: 'canary', bucket: 4497 });
  });

  it('gets the version that a rule gives to its attributes, and a pin to its key', async () => {
    const rule = await ask({ targetingKey: 'zoe', plan: 'beta', seats: 5, tags: ['a'], since: new Date(0) });
    assert.deepEqual([rule.value, rule.reason, rule.flagMetadata.rule], ['v2', 'TARGETING_MATCH', 'beta']);
    const pin = await ask({ targetingKey: 'qa-1' });
    assert.deepEqual([pin.value, pin.reason, pin.flagMetadata.reason], ['v2', 'TARGETING_MATCH', 'pin']);
  });

  it('gets its default and a reason when the question cannot be answered', async () => {
    const missing = await ask({});
    assert.deepEqual([missing.value, missing.errorCode], ['the default', 'TARGETING_KEY_MISSING']);
    const unknown = await ask({ targetingKey: 'user123' }, 'orders');
    assert.deepEqual([unknown.value, unknown.errorCode], ['the default', 'FLAG_NOT_FOUND']);
    const invalid = await ask({ targetingKey: 'user123', plan: ['beta'] });
    assert.deepEqual([invalid.value, invalid.errorCode], ['the default', 'INVALID_CONTEXT']);
    const type = await client.getBooleanDetails('users', true, { targetingKey: 'user123' });
    assert.deepEqual([type.value, type.errorCode], [true, 'TYPE_MISMATCH']);
  });

  it('sees a new policy with its next question, and its questions count nobody', async () => {
    const policy = await fetch(`${server.url}/v1/policy`);
    const { document } = await policy.json();
    const put = (changes, etag) => fetch(`${server.url}/v1/policy`, {
      method: 'PUT',
      headers: {
        'content-type': 'application/json',
        'if-match': etag,
        authorization: `Bearer ${server.token}`,
      },
      body: JSON.stringify({ document: { ...document, ...changes }, reason: 'test' }),
    });
    const back = await put({ canary_percentage: 44 }, policy.headers.get('etag'));
    assert.equal(back.status, 200);
    const details = await ask({ targetingKey: 'user123' });
    assert.deepEqual([details.value, details.flagMetadata.revision], ['v1', 2]);
    const killed = await put({ kill_switch: true }, back.headers.get('etag'));
    assert.equal(killed.status, 200);
    const disabled = await ask({ targetingKey: 'qa-1' });
    assert.deepEqual([disabled.value, disabled.reason], ['v1', 'DISABLED']);
    const { body } = await (async () => {
      const response = await fetch(`${server.url}/v1/status`);
      return { body: await response.json() };
    })();
    assert.equal(body.migration.total_clients, 0);
    assert.deepEqual(body.migration.routed, { v1: 0, v2: 0 });
  });
});

describe('bulk evaluation, which web SDKs poll', () => {
  let server;
  before(async () => {
    server = await serve(PLAN);
  });
  after(() => server.stop());

  const poll = (context, headers = {}) => fetch(`${server.url}/ofrep/v1/evaluate/flags`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ context }),
  });

  it('has an entity tag that stays while the answer does', async () => {
    const first = await poll({ targetingKey: 'user123' });
    const etag = first.headers.get('etag');
    assert.equal((await first.json()).flags[0].value, 'v2');
    const again = await poll({ targetingKey: 'user123' }, { 'if-none-match': etag });
    assert.deepEqual([again.status, await again.text()], [304, '']);
    const other = await poll({ targetingKey: 'ann' }, { 'if-none-match': etag });
    assert.equal(other.status, 200);
    assert.notEqual(other.headers.get('etag'), etag);
  });

  it('has the error of a flag in its place', async () => {
    const { flags } = await (await poll({})).json();
    assert.deepEqual([flags[0].key, flags[0].errorCode], ['users', 'TARGETING_KEY_MISSING']);
  });

  it('refuses what is no context', async () => {
    for (const [body, code] of [['{', 'PARSE_ERROR'], ['[]', 'PARSE_ERROR'], ['{"context":1}', 'INVALID_CONTEXT']]) {
      const response = await fetch(`${server.url}/ofrep/v1/evaluate/flags`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      assert.deepEqual([response.status, (await response.json()).errorCode], [400, code]);
    }
  });
});
