/** What of a URL may be shown: nothing secret. */

const SECRET_PARAMETER = /secret|pass|pwd|token|key|auth|credential|signature/i

/** A URL as log lines may show it: without user, password, fragment, and the values of secret query parameters. */
export function redactUrl(url: string): string {
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
  for (const key of [...parsed.searchParams.keys()]) {
    if (SECRET_PARAMETER.test(key)) parsed.searchParams.set(key, 'redacted')
    // A URL within the URL, such as an endpoint, may have a password of its own.
    const value = parsed.searchParams.get(key) ?? ''
    if (value.includes('@')) parsed.searchParams.set(key, redactUserInfo(value))
  }
  return parsed.toString()
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
