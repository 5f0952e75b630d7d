/** Environment variables in configuration values, as in litefs.yml, except that an unset one is an error. */

export class ExpansionError extends Error {}

const REFERENCE = /\$(?:(\$)|([A-Za-z_]\w*)|\{([^{}]*)\}|(\{))/g
const BRACED = /^\s*([A-Za-z_]\w*)\s*(?:(:-)(.*)|(==|!=)\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z_]\w*))\s*)?$/s

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Replaces `$VAR`, `${VAR}`, `${VAR:-default}`, and the comparisons `${VAR == "text"}` and `!=` (which become `true` or
 * `false`; the right side may be another variable). `$$` is a dollar sign. Throws ExpansionError.
 */
export function expand(text: string, environment: Environment): string {
  return text.replace(REFERENCE, (whole, dollar?: string, name?: string, braced?: string) => {
    if (dollar !== undefined) return '$'
    if (name !== undefined) return valueOf(name, environment)
    const match = BRACED.exec(braced ?? '')
    if (match === null) {
      throw new ExpansionError(`${whole} is not a variable: write \${NAME}, \${NAME:-default}, or $$ for a dollar sign`)
    }
    const [, variable = '', fallback, fallbackText = '', operator, doubleQuoted, singleQuoted, other] = match
    if (fallback !== undefined) return environment[variable] || fallbackText
    if (operator === undefined) return valueOf(variable, environment)
    const right = doubleQuoted ?? singleQuoted ?? environment[other ?? ''] ?? ''
    return String(((environment[variable] ?? '') === right) === (operator === '=='))
  })
}

function valueOf(name: string, environment: Environment): string {
  const value = environment[name]
  if (value !== undefined) return value
  throw new ExpansionError(`environment variable ${name} is not set: set it, or write \${${name}:-default}`)
}
