import { LtxdError } from '../util/errors.ts'

export type KeyPath = readonly (string | number)[]

/** One thing that is wrong with the configuration. */
export interface ConfigIssue {
  readonly path: KeyPath
  readonly message: string
  /** Where it was written: `ltxd.yml:12`, `--http`; absent for a file as a whole. */
  readonly origin?: string
}

/** Everything that is wrong with the configuration, a line each: `ltxd.yml:12: data.retention.age: …`. */
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
