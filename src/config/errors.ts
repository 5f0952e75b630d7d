import { LtxdError } from '../util/errors.ts'

export type KeyPath = readonly (string | number)[]

/** One problem of the configuration. */
export interface ConfigIssue {
  readonly path: KeyPath
  readonly message: string
  /** The place of the value: `ltxd.yml:12`, `--http`. Absent when it has none. */
  readonly origin?: string
}

/** All problems of the configuration, one a line: `ltxd.yml:12: data.retention.age: …`. */
export class ConfigError extends LtxdError {
  readonly issues: readonly ConfigIssue[]

  constructor(issues: readonly ConfigIssue[], options?: ErrorOptions) {
    super('CONFIG_INVALID', issues.map(describe).join('\n'), 2, options)
    this.issues = issues
  }
}

/** `exec[0].cmd` */
export function formatKeyPath(path: KeyPath): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? key : `.${key}`)).join('')
}

function describe(issue: ConfigIssue): string {
  return [issue.origin, issue.path.length > 0 ? formatKeyPath(issue.path) : undefined, issue.message]
    .filter((part) => part !== undefined)
    .join(': ')
}
