/**
 * Secrets that this process sends to servers. What a server answers is foreign text and may repeat them, whether it
 * means harm or only shows the request that it rejects. Errors, log lines and the status show such text without them.
 */

/** Session tokens are renewed: older ones have expired. */
const MAX_SECRETS = 32
/** A shorter one would be found everywhere. */
const MIN_LENGTH = 4
/** Servers repeat long arguments cut short. */
const RECOGNIZED_LENGTH = 16
const SIGNATURE = /(signature["']?\s*[=:]\s*["']?)[0-9a-f]{32,}/gi
const REDACTED = '[redacted]'

const sent = new Set<string>()

/** Called before the secret is sent. */
export function rememberSecret(secret: string | undefined): void {
  if (secret === undefined || secret.length < MIN_LENGTH) return
  for (const form of [secret, encodeURIComponent(secret)]) {
    sent.delete(form)
    sent.add(form)
  }
  for (const oldest of sent) {
    if (sent.size <= MAX_SECRETS) return
    sent.delete(oldest)
  }
}

/** A server's text without the secrets that it was sent, and without signatures of requests. */
export function withoutSecrets(text: string): string {
  let shown = text
  for (const secret of sent) shown = hidden(shown, secret)
  return shown.replace(SIGNATURE, `$1${REDACTED}`)
}

/** Also hides the beginning of a long secret. */
function hidden(text: string, secret: string): string {
  const beginning = secret.slice(0, RECOGNIZED_LENGTH)
  let shown = ''
  let after = 0
  for (let found = text.indexOf(beginning); found >= 0; found = text.indexOf(beginning, after)) {
    let length = beginning.length
    while (length < secret.length && text[found + length] === secret[length]) length++
    shown += text.slice(after, found) + REDACTED
    after = found + length
  }
  return shown + text.slice(after)
}
