// Requests to the server: sent until they are answered, carried out once.

const content = (name) =>
  document.querySelector(`meta[name="${name}"]`)?.content ?? '';

/** What the server, or the way to it, said instead of an answer. */
export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const PAUSES = [500, 1000, 2000, 4000, 8000]; // ms between tries
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** A key under which the server carries a command out once. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(
    '',
  );
}

async function once(method, path, body, key) {
  const headers = {};
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
    headers['X-Form-Token'] = content('form-token');
    headers['X-Page-Version'] = content('page-version');
    headers['Idempotency-Key'] = key;
  }
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, 'offline', 'There is no connection to the server.');
  }
  const found = await response.json().catch(() => null);
  if (response.ok && found !== null) return found;
  throw new Problem(
    response.status,
    found?.error ?? 'broken',
    found?.message ?? 'The server did not answer as it should.',
  );
}

// By what is asked: whoever gave up and asks the same again asks it once.
const keys = new Map();

/**
 * Sends a request, again while the server is away or busy.
 * @param {(problem: Problem) => void} onWait told before each new try
 */
export async function ask(method, path, body, onWait = () => {}) {
  const what = `${method} ${path} ${JSON.stringify(body)}`;
  const key = keys.get(what) ?? newKey();
  keys.set(what, key);
  for (const pause of [...PAUSES, null]) {
    try {
      const answer = await once(method, path, body, key);
      keys.delete(what);
      return answer;
    } catch (problem) {
      const isPassing = [0, 429, 502, 503, 504].includes(problem.status);
      if (!isPassing) keys.delete(what);
      if (!isPassing || pause === null) throw problem;
      onWait(problem);
      await wait(pause);
    }
  }
}
