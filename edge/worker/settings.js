// The worker's bindings, read once. README.md has them as a table.

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/i;

/** Everything wrong with the bindings is in `problems`; what is wrong has its default. */
export function readSettings(env) {
  const problems = [];
  const header = (name, otherwise) => {
    const value = env[name] || otherwise;
    if (value === undefined || NAME.test(value)) return value;
    problems.push(`${name}: ${JSON.stringify(value)} is not the name of a header`);
    return otherwise;
  };
  const milliseconds = (name, otherwise, max) => {
    const value = Number(env[name] ?? otherwise);
    if (value >= 10 && value <= max) return value;
    problems.push(`${name}: ${JSON.stringify(env[name])} is not a number of milliseconds from 10 to ${max}`);
    return otherwise;
  };
  const origins = readOrigins(env, problems);
  const settings = {
    origins,
    fallback: env.FALLBACK_VERSION ?? (origins.has('v1') ? 'v1' : origins.keys().next().value),
    policy: readJson('POLICY', env.POLICY, problems),
    control: readControl(env.CONTROL, problems),
    token: env.CONTROL_TOKEN,
    node: env.NODE || 'worker',
    versionHeader: header('VERSION_HEADER', 'x-api-version'),
    reasonHeader: header('REASON_HEADER'),
    addressHeader: header('ADDRESS_HEADER', 'cf-connecting-ip'),
    pollMs: milliseconds('POLL_MS', 5000, 3_600_000),
    // What a worker does after its answer ends after 30 s on Cloudflare.
    reportMs: milliseconds('REPORT_MS', 5000, 25_000),
    timeoutMs: milliseconds('TIMEOUT_MS', 2000, 25_000),
    shadowTimeoutMs: milliseconds('SHADOW_TIMEOUT_MS', 2000, 25_000),
    statusPath: env.STATUS_PATH || undefined,
    problems,
  };
  if (origins.size === 0) {
    problems.push('ORIGINS: there is no origin: give {"v1": "https://…", "v2": "https://…"}, or service bindings ORIGIN_v1, ORIGIN_v2');
  } else if (!origins.has(settings.fallback)) {
    problems.push(`FALLBACK_VERSION: ${JSON.stringify(settings.fallback)} has no origin: there are ${[...origins.keys()].join(', ')}`);
    settings.fallback = origins.keys().next().value;
  }
  return settings;
}

/** Origins by version: each a function from a request's URL and the request to its response. */
function readOrigins(env, problems) {
  const origins = new Map();
  const add = (name, version, target) => {
    if (typeof target?.fetch === 'function') {
      // The request keeps its URL, and so its host.
      origins.set(version, { url: (url) => url, fetch: (request) => target.fetch(request) });
    } else if (typeof target === 'string' && /^https?:\/\//.test(target) && URL.canParse(target)) {
      const base = target.replace(/\/+$/, '');
      const url = (from) => base + from.slice(from.indexOf('/', from.indexOf('//') + 2));
      origins.set(version, { url, fetch: (request) => fetch(request) });
    } else {
      problems.push(`${name}: ${JSON.stringify(target)} is neither an http(s) URL nor a service binding`);
    }
  };
  const listed = readJson('ORIGINS', env.ORIGINS, problems) ?? {};
  for (const [version, target] of Object.entries(listed)) add(`ORIGINS.${version}`, version, target);
  for (const [name, target] of Object.entries(env)) {
    if (name.startsWith('ORIGIN_')) add(name, name.slice('ORIGIN_'.length), target);
  }
  return origins;
}

function readControl(control, problems) {
  if (control === undefined || control === '') return undefined;
  if (typeof control.fetch === 'function') return control;
  if (typeof control === 'string' && /^https?:\/\//.test(control) && URL.canParse(control)) return control;
  problems.push(`CONTROL: ${JSON.stringify(control)} is neither an http(s) URL nor a service binding`);
  return undefined;
}

function readJson(name, value, problems) {
  if (value === undefined || value === '') return undefined;
  try {
    const read = typeof value === 'string' ? JSON.parse(value) : value;
    if (typeof read === 'object' && read !== null && !Array.isArray(read)) return read;
    problems.push(`${name}: ${JSON.stringify(value)} is not a JSON object`);
  } catch (error) {
    problems.push(`${name}: not JSON: ${error.message}`);
  }
  return undefined;
}
