/** What of a URL may be shown: nothing secret. */

const SECRET_PARAMETER = /secret|pass|pwd|token|key|auth|credential|signature/i
/** How often a URL within a URL may be encoded. Beyond it, nothing of the value is shown. */
const MAX_DEPTH = 5

/** A URL as log lines may show it: without user, password, fragment, and the values of secret query parameters. */
export function redactUrl(url: string): string {
  return redacted(url, MAX_DEPTH)
}

function redacted(url: string, depth: number): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return redactUserInfo(url)
  }
  if (parsed.username !== '') parsed.username = 'redacted'
  if (parsed.password !== '') parsed.password = 'redacted'
  // A "#" in a password begins a fragment.
  if (parsed.hash !== '') parsed.hash = 'redacted'
  // A "/" in a password begins the path. Only the paths of stores can have an "@".
  const isStore = /^(s3|file):$/.test(parsed.protocol) && parsed.port === ''
  if (parsed.pathname.includes('@') && !isStore) parsed.pathname = '/redacted'
  const parameters = [...parsed.searchParams]
  const shown = parameters.map(([key, value]): [string, string] => {
    return [key, SECRET_PARAMETER.test(key) ? 'redacted' : redactedValue(value, depth)]
  })
  if (shown.some(([, value], i) => value !== parameters[i]?.[1])) parsed.search = new URLSearchParams(shown).toString()
  return parsed.toString()
}

/** A URL within the URL, such as an endpoint, may have secrets of its own, however often it is encoded. */
function redactedValue(value: string, depth: number): string {
  if (depth === 0) return 'redacted'
  const decoded = decodedOnce(value)
  if (decoded !== value) {
    const shown = redactedValue(decoded, depth - 1)
    return shown === decoded ? value : shown
  }
  if (value.includes('@')) return redactUserInfo(value)
  const query = value.search(/[?#]/)
  if (query < 0) return value
  const { search, hash } = new URL(value.slice(query), 'http://host')
  const shown = redacted(`http://host/${search}${hash}`, depth - 1)
  return shown === `http://host/${search}${hash}` ? value : value.slice(0, query) + shown.slice('http://host/'.length)
}

/** Whatever of it is not percent-encoded stays. */
function decodedOnce(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/%[0-7][0-9a-f]/gi, (byte) => decodeURIComponent(byte))
  }
}

/** Whether a URL, valid or not, may hold a user, a password or another secret. */
export function holdsSecret(url: string): boolean {
  if (!URL.canParse(url)) return url.includes('@')
  const parsed = new URL(url)
  // A fragment alone is a mistake, not a secret, unless it is the end of a password.
  if (!parsed.hash.includes('@')) parsed.hash = ''
  return redactUrl(parsed.toString()) !== parsed.toString()
}

/** Replaces what may be a user and a password in a text that is not a valid URL. */
function redactUserInfo(text: string): string {
  return text.replace(/^([a-z][\w+.-]*:\/*)?.*@/is, '$1redacted@')
}
