/** The stores that a worker, or a function, is given: names and URLs. */

import { UsageError } from '../src/util/errors.ts'
import { holdsSecret } from '../src/util/redact.ts'

/** A store that the configuration of a worker, or of a function, defines. */
export interface StoreDefinition {
  readonly name: string
  /** Without credentials: those are in the environment. */
  readonly url: string
}

/** The name of the store that `backup.url` defines. */
export const BACKUP_STORE = 'backup'

/** No URL is a name: a name has no colon. */
export const STORE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Parses `NAME=URL`, of `--store` and of LTXD_STORES. Throws UsageError. */
export function parseStoreDefinition(text: string, origin: string): StoreDefinition {
  const at = text.indexOf('=')
  const [name, url] = [text.slice(0, at), text.slice(at + 1)]
  if (at < 1 || !STORE_NAME.test(name)) {
    throw new UsageError(
      `${origin}: expected NAME=URL, such as archive=s3://BUCKET/PREFIX; a name has up to 64 letters, digits, "-", "." or "_"`,
    )
  }
  if (holdsSecret(url)) {
    throw new UsageError(
      `${origin}: the URL of ${name} holds credentials: put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
    )
  }
  return { name, url }
}

/** LTXD_STORES: definitions `NAME=URL`, separated by white space. Throws UsageError. */
export function storesOfEnvironment(environment: NodeJS.ProcessEnv = process.env): StoreDefinition[] {
  const texts = (environment.LTXD_STORES ?? '').split(/\s+/).filter((text) => text !== '')
  return texts.map((text) => parseStoreDefinition(text, 'LTXD_STORES'))
}
