/** What a program and the process of its node say to each other. */

import type { LogLevel } from '../util/log.ts'

/** Each key is one of ltxd.yml; absent: the file's value, or the default. */
export interface NodeSettings {
  /** An ltxd.yml. */
  readonly config?: string
  readonly mount: string
  readonly data?: string
  readonly backup?: string
  readonly http?: string
  readonly logLevel?: LogLevel
}

export type ToNode = { readonly type: 'start'; readonly settings: NodeSettings } | { readonly type: 'stop' }

export type FromNode =
  /** Applications can open databases. */
  | { readonly type: 'serving'; readonly mountDir: string; readonly url: string }
  /** Nothing runs any more: stopped as asked, or for this reason. */
  | { readonly type: 'ended'; readonly error?: Failure }

/** An LtxdError, or any other. */
export interface Failure {
  readonly code: string
  readonly message: string
  readonly exitCode: 1 | 2
}
