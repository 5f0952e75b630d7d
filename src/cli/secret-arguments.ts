/** Secrets among the arguments of a process can be read by every local user: they are rejected before they are used. */

import { UsageError } from '../util/errors.ts'
import { holdsSecret } from '../util/redact.ts'

/** Where the value of an option goes instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  '--redis': 'set LTXD_REDIS_URL in the environment, or redis.url in ltxd.yml',
  '--consul': 'set LTXD_CONSUL_URL in the environment, or lease.consul.url in ltxd.yml',
  '--advertise-url': 'leave it out: peers need no password',
}
const OF_A_STORE = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or name an AWS_PROFILE'

/** A URL in an argument: `URL`, `--option=URL`, `NAME=URL`. Of a known scheme, also where a slash is forgotten. */
const URL_AT = /[a-z][a-z0-9+.-]*:\/\/.*|(?<![\w+.:-])(?:s3|rediss?|https?|file):.*/is

/** Throws UsageError for a URL with a user, a password or another secret. It repeats nothing of the URL. */
export function assertNoSecrets(args: readonly string[]): void {
  for (const [i, arg] of args.entries()) {
    const [url] = URL_AT.exec(arg) ?? []
    if (url === undefined || !holdsSecret(url)) continue
    const before = args[i - 1] ?? ''
    const option = /^--[a-z-]+(?==)/.exec(arg)?.[0] ?? (before.startsWith('--') ? before : undefined)
    throw new UsageError(
      `${option ?? 'a URL'} holds a password or a token, which every local user can read among the arguments of this ` +
        `process. Leave it out of the URL, and ${INSTEAD[option ?? ''] ?? OF_A_STORE}`,
    )
  }
}
