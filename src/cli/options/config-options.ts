/** Options that stand above the configuration file, and variables of the environment that do. */

import type { Flag } from '../../config/load.ts'

export interface ConfigOption {
  readonly option: string
  /** Commander's name for it. */
  readonly key: string
  readonly path: readonly string[]
  /** It takes no value. */
  readonly isSwitch?: true
  /** The value of a switch; default: true. */
  readonly value?: string
  /** For a value that may hold a secret, which every local user could read among the arguments of a process. */
  readonly variable?: string
}

/** Each option's value: from the command line, or else from its variable. */
export function flagsOf(
  known: readonly ConfigOption[],
  options: Readonly<Record<string, unknown>>,
  environment: NodeJS.ProcessEnv = process.env,
): Flag[] {
  return known.flatMap(({ option, key, path, value: meant, variable = '' }): Flag[] => {
    const given = options[key]
    const value = given === true ? (meant ?? given) : given
    if (typeof value === 'string' || typeof value === 'boolean') return [{ flag: option, path, value }]
    const fallback = environment[variable] ?? ''
    return fallback === '' ? [] : [{ flag: variable, path, value: fallback }]
  })
}
