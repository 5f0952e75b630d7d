/**
 * What of a URL may be shown: what is known to be harmless. Secrets end up in odd places, because a slash is forgotten,
 * "?" is written as "&" or ";", a password has a "#" or an "@", or a URL within the URL has secrets of its own.
 */

/** A parameter that may hold a secret, wherever it stands: those of stores and of presigned URLs, and short ones. */
const SECRET_PARAMETER =
  /secret|pass|pwd|token|key|auth|credential|sig(nature)?$|^(amz|x-amz|x-goog)|^(sas|acl|s[a-z]|pw|p|t|k|u|user)$/i
/** The values that are shown. */
const HARMLESS: Readonly<Record<string, RegExp>> = {
  endpoint: /^https?:\/\/([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?(\/[\w./~-]*)?$/i,
  region: /^[a-z][\w-]{0,40}$/i,
  forcePathStyle: /^(true|false)$/,
  db: /^\d{1,5}$/,
  family: /^[046]$/,
}
const HOST = /^([\w.-]*|\[[\da-f:.]+\])$/i
/** Up to a ":" after a host that no port number follows: what does is a password, whose user stands as the host. */
const ODD_PORT =
  /^(?:[a-z][a-z0-9+.-]*:\/\/|(?:s3|rediss?|https?):\/*)(?:\[[\da-f:.]*\])?[^/?#;&:[\]]*:(?!\d{1,5}([/?#;&]|$))/i
const PARAMETER_NAME = /^[a-z][\w.-]{0,31}$/i
const PARAMETER_BEGIN = /[?#;&]/
/** A parameter that stands in a path, a value or a fragment. */
const PARAMETER_WITHIN = /[?#;&]\s*([^=?#;&/]*)=/g
/** How often a part may be encoded. Beyond it, nothing of the part is shown. */
const MAX_DEPTH = 5
const REDACTED = 'redacted'

interface Look {
  readonly shown: string
  /** What is not shown is or may be a secret, and not only unknown. */
  readonly isSecret: boolean
}

/** A URL as log lines may show it: without user, password, fragment, and the values of unknown query parameters. */
export function redactUrl(url: string): string {
  return lookAt(url).shown
}

/** Whether a URL, valid or not, may hold a user, a password or another secret. */
export function holdsSecret(url: string): boolean {
  return lookAt(url).isSecret
}

/** The name of a query parameter as messages may show it. Without a value, it may be one itself. */
export function redactName(name: string, value: string): string {
  return PARAMETER_NAME.test(name) && value !== '' ? name : REDACTED
}

function lookAt(url: string): Look {
  if (!URL.canParse(url)) return lookAtText(url)
  const parsed = new URL(url)
  // A slash is forgotten, so that there is no host, and the path is text.
  if (parsed.host === '' && !/^[a-z][\w+.-]*:\/\//i.test(url)) return lookAtText(url)
  const host = lookAtHost(parsed)
  const path = lookAtPath(parsed, url)
  const search = lookAtSearch(parsed)
  const hash = decoded(parsed.hash)
  const isHashSecret = hash?.includes('@') !== false || namesSecret(hash)
  const user = parsed.username === '' ? '' : REDACTED
  const password = parsed.password === '' ? '' : `:${REDACTED}`
  const userInfo = user + password === '' ? '' : `${user}${password}@`
  const parts = [host, path, search]
  const isSecret = userInfo !== '' || parts.some((part) => part.isSecret) || (parsed.hash !== '' && isHashSecret)
  const shownHash = parsed.hash === '' ? '' : `#${REDACTED}`
  const isShown = parts.every((part, i) => part.shown === [parsed.host, parsed.pathname, parsed.search][i])
  if (isShown && userInfo === '' && shownHash === '') return { shown: parsed.toString(), isSecret }
  return { shown: `${parsed.protocol}//${userInfo}${parts.map(({ shown }) => shown).join('')}${shownHash}`, isSecret }
}

/** What is no URL with a host: everything before the last "@" may be a user and a password. */
function lookAtText(text: string): Look {
  const plain = decoded(text)
  if (plain === undefined) return { shown: REDACTED, isSecret: true }
  const at = plain.lastIndexOf('@')
  const [scheme = ''] = /^[a-z][\w+.-]*:\/*/i.exec(plain.slice(0, at)) ?? []
  const rest = plain.slice(at + 1)
  const [odd] = ODD_PORT.exec(at < 0 ? plain : scheme + rest) ?? []
  const isSecret = at >= 0 || odd !== undefined || namesSecret(plain)
  if (!isSecret && !PARAMETER_BEGIN.test(plain)) return { shown: text, isSecret }
  const end = rest.search(PARAMETER_BEGIN)
  const begin = odd?.slice(at < 0 ? 0 : scheme.length) ?? (end < 0 ? undefined : rest.slice(0, end + 1))
  const shown = begin === undefined ? rest : `${begin}${REDACTED}`
  return { shown: at < 0 ? shown : `${scheme}${REDACTED}@${shown}`, isSecret }
}

function lookAtHost({ host, hostname }: URL): Look {
  return HOST.test(hostname) ? { shown: host, isSecret: false } : { shown: REDACTED, isSecret: true }
}

/** A "/" in a password begins the path. Only the paths of stores can have an "@", and then no user before it. */
function lookAtPath({ protocol, host, port, pathname }: URL, url: string): Look {
  const plain = decoded(pathname)
  const isFile = protocol === 'file:' && /^file:\/\/\//i.test(url)
  const isStore = isFile || (protocol === 's3:' && port === '' && host !== '')
  const hasUser = isStore ? !isFile && /:.*@/s.test(plain ?? '') : plain?.includes('@') === true
  const isSecret = plain === undefined || hasUser || namesSecret(plain)
  const isUnknown = !isFile && plain?.search(PARAMETER_WITHIN) !== -1
  return { shown: isSecret || isUnknown ? `/${REDACTED}` : pathname, isSecret }
}

function lookAtSearch({ search, searchParams }: URL): Look {
  const parameters = [...searchParams].map(([name, value]) => {
    const plain = decoded(value)
    const isShown = Object.hasOwn(HARMLESS, name) && plain !== undefined && HARMLESS[name]?.test(plain) === true
    const isSecret =
      SECRET_PARAMETER.test(name) ||
      plain === undefined ||
      /[@#]/.test(plain) ||
      ODD_PORT.test(plain) ||
      namesSecret(`?${name}=${plain}`)
    return {
      name: redactName(name, value),
      value: isShown ? value : REDACTED,
      isSecret: isSecret && !isShown,
      isShown,
    }
  })
  const isSecret = parameters.some((parameter) => parameter.isSecret)
  if (parameters.every(({ isShown }) => isShown)) return { shown: search, isSecret }
  const shown = new URLSearchParams(parameters.map(({ name, value }): [string, string] => [name, value]))
  return { shown: `?${shown.toString()}`, isSecret }
}

function namesSecret(plain: string): boolean {
  return [...plain.matchAll(PARAMETER_WITHIN)].some(([, name]) => SECRET_PARAMETER.test(name ?? ''))
}

/** Without any percent-encoding; undefined where it is encoded too often. Whatever is no valid encoding stays. */
function decoded(text: string): string | undefined {
  let plain = text
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const next = decodedOnce(plain)
    if (next === plain) return plain
    plain = next
  }
  return undefined
}

/** Byte by byte where the whole is no valid encoding. */
function decodedOnce(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/%[0-7][0-9a-f]/gi, (byte) => decodeURIComponent(byte))
  }
}
