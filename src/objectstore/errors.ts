import { errorCode, errorMessage, LtxdError } from '../util/errors.ts'

export class ObjectNotFoundError extends LtxdError {
  constructor(
    readonly url: string,
    readonly key: string,
    options?: ErrorOptions,
  ) {
    super('OBJECT_NOT_FOUND', `${url} holds no object ${key}; list its databases with "ltxd backup list"`, 1, options)
  }
}

/** A put with `ifNoneMatch: '*'` found an object under the key. Nothing was changed. */
export class ObjectExistsError extends LtxdError {
  constructor(
    readonly url: string,
    readonly key: string,
    options?: ErrorOptions,
  ) {
    super('OBJECT_EXISTS', `${url} already holds an object ${key}; it was left as it is`, 1, options)
  }
}

/** A key that no store accepts. */
export class InvalidKeyError extends LtxdError {
  constructor(
    readonly key: string,
    problem: string,
  ) {
    super('OBJECT_KEY_INVALID', `object key ${JSON.stringify(key.slice(0, 200))} ${problem}`)
  }
}

/** A range that begins after the object's end, or ends before its own beginning. */
export class InvalidRangeError extends LtxdError {
  constructor(url: string, key: string, start: number, end: number | undefined, sizeBytes: number) {
    super(
      'OBJECT_RANGE_INVALID',
      `bytes ${start}-${end ?? ''} of object ${key} in ${url} do not exist: it has ${sizeBytes} bytes`,
    )
  }
}

/** A store's address is invalid. */
export class StoreUrlError extends LtxdError {
  constructor(url: string, problem: string) {
    super('STORE_URL_INVALID', `cannot open the object store ${JSON.stringify(url)}: ${problem}`, 2)
  }
}

/** The store failed: full, forbidden, unreachable. A later retry may succeed. */
export class StoreUnavailableError extends LtxdError {
  constructor(
    readonly url: string,
    action: string,
    cause: unknown,
    advice = adviceFor(cause),
  ) {
    super('STORE_UNAVAILABLE', `cannot ${action} in ${url}: ${errorMessage(cause)}${advice}`, 1, { cause })
  }
}

/** In the place of an object's metadata there is something that is not read. Others can be read. */
export class MetadataUnreadableError extends StoreUnavailableError {
  constructor(
    url: string,
    readonly key: string,
    cause: unknown,
  ) {
    super(url, `look up object ${key}`, cause)
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  EACCES: '; give this user read and write permission there',
  EPERM: '; give this user read and write permission there',
  EROFS: '; the file system is mounted read-only',
  ENOSPC: '; free some space or shorten the retention',
  EDQUOT: '; free some space or raise the quota',
  ENOTDIR: '; a part of the path is a file where a directory was expected',
  ELOOP: '; a part of the path is a symbolic link to itself',
}

function adviceFor(cause: unknown): string {
  return ADVICE[errorCode(cause) ?? ''] ?? ''
}
